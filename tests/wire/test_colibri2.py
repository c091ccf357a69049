"""Colibri 2 at the door: both directions, captured stanzas, what is never sent, hostile input (colibri.md 1 to 5)."""
from __future__ import annotations

from typing import Any, List, Tuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from focus.conference.offer import Features, media_for
from focus.stanzas.colibri2 import (
    ConferenceModified,
    ConferenceModify,
    EndpointAnswer,
    EndpointRequest,
    InvalidRequest,
    RelayAnswer,
    RelayRequest,
    parse_conference_modified,
    parse_conference_modify,
    write_conference_modified,
    write_conference_modify,
)
from focus.stanzas.errors import Malformed
from focus.stanzas.stanza import parse_stanza
from focus.values.media import HeaderExtension, MediaDescription, PayloadType
from focus.values.sources import EMPTY_SOURCES, Source, SourceSet, SsrcGroup
from focus.values.transport import Candidate, Fingerprint, Transport
from tests.wire.captures import payloads, read_odd_requests
from tests.wire.mutation import mutate, mutations

REQUESTS = list(payloads("{jitsi:colibri2}conference-modify"))
ANSWERS = list(payloads("{jitsi:colibri2}conference-modified"))
MEDIA = media_for(Features(audio=True, video=True, rtx=True, tcc=True))
NAMES = ("source-names",)
CLIENT_TRANSPORT = Transport((("ufrag", "aB3d"), ("pwd", "p0o9")), True, (Fingerprint("11:22", "sha-256", "active"),))


def ids_of(rows):
    return [row[0] for row in rows]


def xml(text):
    return etree.fromstring(text.encode("utf-8"))


def written(*endpoints, **conference):
    return xml(write_conference_modify(ConferenceModify("m1", endpoints=endpoints, **conference)))


def children(el):
    return [etree.QName(child).localname for child in el]


# Captured stanzas

def test_there_are_captures_of_each_kind():
    assert len(REQUESTS) > 50 and len(ANSWERS) > 50
    assert any(len(line.payload) > 1 and line.payload[1].tag.endswith("relay") for _, line in REQUESTS)


@pytest.mark.parametrize("el", [row[1].payload for row in REQUESTS], ids=ids_of(REQUESTS))
def test_captured_requests_round_trip(el):
    request = parse_conference_modify(el)
    assert request.meeting_id == el.get("meeting-id")
    assert parse_conference_modify(xml(write_conference_modify(request))) == request


@pytest.mark.parametrize("el", [row[1].payload for row in ANSWERS], ids=ids_of(ANSWERS))
def test_captured_answers_round_trip(el):
    answer: Any = parse_conference_modified(el)
    assert parse_conference_modified(xml(write_conference_modified(answer))) == answer
    if answer.feedback:  # K-296, J-363
        assert {(s.media, s.name, s.msid) for s in answer.feedback.sources} == {
            ("audio", "jvb-a0", "mixedmslabel mixedlabelaudio0"), ("video", "jvb-v0", "mixedmslabel mixedlabelvideo0")}
        assert not answer.endpoints or answer.endpoints[0].transport.web_sockets


#: What the reader of requests says to those that a real bridge left unanswered or tripped over; all others are read.
UNREADABLE = {"no meeting-id", "endpoint without id", "media of a bad type", "payload type without a name",
              "ssrc not a number"}
#: Those that our writer would not let out.
NEVER_SENT = {"endpoint without the capability source-names", "two endpoints in one request", "ssrc zero",
              "one good and one existing endpoint in one request", "good update and unknown endpoint in one request",
              "unknown capability", "endpoint without transport"}
ODD = [row for row in read_odd_requests() if "conference-modify" in row["request"]]


@pytest.mark.parametrize("row", ODD, ids=[row["case"] for row in ODD])
def test_odd_requests(row):
    """K-113, K-244, K-278: what a bridge doesn't answer or can't do is malformed for us too, or never leaves us."""
    el = xml(row["request"])
    if row["case"] in UNREADABLE:
        with pytest.raises(Malformed) as error:
            parse_conference_modify(el)
        assert error.value.condition == "bad-request"
        return
    request = parse_conference_modify(el)
    try:
        text = write_conference_modify(request)
    except InvalidRequest:
        assert row["case"] in NEVER_SENT
    else:
        assert parse_conference_modify(xml(text)) == request
        assert row["case"] not in NEVER_SENT


def test_odd_requests_are_all_there():
    assert {row["case"] for row in ODD} >= UNREADABLE | NEVER_SENT


def test_answers_to_odd_requests_are_read():
    for row in ODD:
        if row["answer"].startswith("<"):
            iq: Any = parse_stanza(xml(row["answer"]))
            if iq.type == "result":
                assert isinstance(iq.payload, ConferenceModified)
            else:
                assert iq.error is not None and iq.payload is None


# What we write

def test_create():
    """K-210, K-214, K-220, K-260, K-267, K-360."""
    el = written(EndpointRequest("e1", create=True, stats_id="Ada's", media=MEDIA, sctp=True,
                                 capabilities=NAMES + ("ssrc-rewriting",), muc_role="visitor", force_mute=(True, False),
                                 initial_last_n=2), create=True, name="room@muc.example", rtcstats=False)
    assert dict(el.attrib) == {"meeting-id": "m1", "create": "true", "name": "room@muc.example",
                               "rtcstats-enabled": "false"}
    endpoint = el[0]
    assert dict(endpoint.attrib) == {"id": "e1", "create": "true", "stats-id": "Ada's", "muc-role": "visitor"}
    assert children(endpoint) == ["media", "media", "transport", "sources", "force-mute", "initial-last-n",
                                  "capability", "capability"]
    assert [one.get("type") for one in endpoint[:2]] == ["audio", "video"]
    assert dict(endpoint[2].attrib) == {"ice-controlling": "true"} and children(endpoint[2]) == ["sctp"]
    assert not endpoint[2][0].attrib and len(endpoint[3]) == 0
    assert dict(endpoint[4].attrib) == {"audio": "true", "video": "false"}
    assert endpoint[5].get("value") == "2"
    assert all(child.tag.startswith("{jitsi:colibri2}") for child in endpoint)


def test_create_in_an_existing_conference():
    el = written(EndpointRequest("e1", create=True, capabilities=NAMES), name="room@muc.example", rtcstats=False)
    assert dict(el.attrib) == {"meeting-id": "m1"}
    assert children(el[0]) == ["transport", "sources", "capability"] and len(el[0][0]) == 0


def test_update():
    """K-214, K-262, K-264: the transport goes on as the client wrote it, its DTLS role too."""
    sources = SourceSet((Source(1001, "audio", "e1-a0", "x y"),))
    el = written(EndpointRequest("e1", stats_id="Ada", transport=CLIENT_TRANSPORT, sources=sources))
    assert children(el[0]) == ["transport", "sources"]
    assert dict(el[0].attrib) == {"id": "e1", "stats-id": "Ada"} and not el[0][0].attrib
    ice = el[0][0][0]
    assert children(ice) == ["rtcp-mux", "fingerprint"]
    assert dict(ice[1].attrib) == {"hash": "sha-256", "setup": "active"} and ice[1].text == "11:22"
    assert children(written(EndpointRequest("e1", sources=EMPTY_SOURCES))[0]) == ["sources"]  # K-274
    assert children(written(EndpointRequest("e1"))[0]) == []
    undecided = Fingerprint("11:22", "sha-256", "actpass", "true", "true")
    el = written(EndpointRequest("e1", transport=Transport((), False, (undecided,))))
    assert dict(el[0][0][0][0].attrib) == {"hash": "sha-256", "setup": "actpass", "required": "true", "cryptex": "true"}


def test_expire_mute_and_restart():
    assert dict(written(EndpointRequest("e1", expire=True))[0].attrib) == {"id": "e1", "expire": "true"}
    assert dict(written(expire=True).attrib) == {"meeting-id": "m1", "expire": "true"}
    el = written(EndpointRequest("e1", expire=True), EndpointRequest("e2", force_mute=(False, False)),
                 EndpointRequest("e3", initial_last_n=-1))  # K-321
    assert len(el) == 3 and dict(el[1][0].attrib) == {"audio": "false", "video": "false"}  # K-233
    restart = written(EndpointRequest("e1", ice_restart=True))
    assert dict(restart[0][0].attrib) == {"ice-restart": "true"} and len(restart[0][0]) == 0  # J-863
    assert parse_conference_modify(restart).endpoints[0].ice_restart


def test_media_sources():
    """K-270 to K-273: one a name, default names, the groups with their sources, no msid, no owner."""
    sources = SourceSet((
        Source(1, "video", "e1-v0", "m", "camera"), Source(2, "video", "e1-v0", "m", "camera"), Source(3, "audio"),
        Source(4, "video", "e1-v1", "n", "desktop"), Source(5, "video"), Source(6, "audio", "e1-v0")),
        (SsrcGroup("FID", "video", (1, 2)), SsrcGroup("SIM", "video", (4,)), SsrcGroup("FID", "video", (77, 78)),
         SsrcGroup("SIM", "video", ())))
    media_sources = written(EndpointRequest("e1", sources=sources))[0][0]
    seen = [(one.get("type"), one.get("id"), [(child.get("ssrc") or child.get("semantics")) for child in one])
            for one in media_sources]
    assert seen == [("video", "e1-v0", ["1", "2", "5", "FID"]), ("audio", "e1-a0", ["3"]),
                    ("video", "e1-v1", ["4", "SIM"]), ("audio", "e1-v0", ["6"])]
    first = media_sources[0][0]
    assert dict(first.attrib) == {"ssrc": "1", "name": "e1-v0", "videoType": "camera"} and len(first) == 0
    assert media_sources[0][2].get("name") == "e1-v0"
    assert [member.get("ssrc") for member in media_sources[0][3]] == ["1", "2"]


def test_payload_types_keep_their_namespace():
    """K-110."""
    el = written(EndpointRequest("e1", create=True, media=MEDIA, capabilities=NAMES))[0][0]
    assert {child.tag.split("}")[0][1:] for child in el} == {"urn:xmpp:jingle:apps:rtp:1",
                                                             "urn:xmpp:jingle:apps:rtp:rtp-hdrext:0"}
    assert parse_conference_modify(written(EndpointRequest("e1", create=True, media=MEDIA, capabilities=NAMES))
                                   ).endpoints[0].media == tuple(one._replace(maxptime=None) for one in MEDIA)


def test_relay():
    """K-511, K-520, K-530."""
    relay = RelayRequest("jvb2", create=True, mesh_id="0", media=MEDIA[:1], use_unique_port=True, ice_controlling=True,
                         sctp_role="client", endpoints=(EndpointRequest("e1", create=True, capabilities=NAMES),))
    el = xml(write_conference_modify(ConferenceModify("m1", relays=(relay,))))
    assert children(el[0]) == ["media", "transport", "endpoints"]
    assert dict(el[0][1].attrib) == {"use-unique-port": "true", "ice-controlling": "true"}
    assert dict(el[0][1][0].attrib) == {"role": "client"} and children(el[0][2][0]) == ["sources", "capability"]
    read = parse_conference_modify(el).relays[0]
    assert read == relay._replace(media=(MEDIA[0]._replace(maxptime=None),), endpoints=(
        relay.endpoints[0]._replace(sources=EMPTY_SOURCES),))
    transport = RelayRequest("jvb2", transport=CLIENT_TRANSPORT)
    update = xml(write_conference_modify(ConferenceModify("m1", relays=(transport,))))
    assert parse_conference_modify(update).relays == (transport,)
    ended = xml(write_conference_modify(ConferenceModify("m1", relays=(RelayRequest("jvb2", expire=True),))))
    assert len(ended[0]) == 0 and ended[0].get("expire") == "true"


def media(*payloads, kind="audio", extensions=()):
    return (MediaDescription(kind, tuple(payloads), tuple(extensions)),)


def endpoint(**fields):
    return EndpointRequest(**{"id": "e1", "create": True, "capabilities": NAMES, **fields})


INVALID = [
    ("K-113 meeting-id", ConferenceModify(" ")),
    ("K-122 name", ConferenceModify("m", True, name="muc.example", endpoints=(endpoint(),))),
    ("K-122 name with a resource", ConferenceModify("m", True, name="a@muc.example/x", endpoints=(endpoint(),))),
    ("K-113 endpoint id", ConferenceModify("m", endpoints=(endpoint(id=""),))),
    ("K-432 source names", ConferenceModify("m", endpoints=(endpoint(capabilities=("ssrc-rewriting",)),))),
    ("K-431 transport", ConferenceModify("m", endpoints=(endpoint(transport_missing=True),))),
    ("K-230 role", ConferenceModify("m", endpoints=(endpoint(muc_role="owner"),))),
    ("K-250 media type", ConferenceModify("m", endpoints=(endpoint(media=media(kind="data")),))),
    ("K-244 payload type", ConferenceModify("m", endpoints=(endpoint(media=media(PayloadType(111, "", 48000))),))),
    ("payload type id", ConferenceModify("m", endpoints=(endpoint(media=media(PayloadType(200, "x", 48000))),))),
    ("K-905 apt", ConferenceModify("m", endpoints=(endpoint(media=media(PayloadType(96, "rtx", 90000))),))),
    ("extension id", ConferenceModify("m", endpoints=(endpoint(media=media(extensions=[HeaderExtension(0, "u")])),))),
    ("K-278 ssrc", ConferenceModify("m", endpoints=(endpoint(sources=SourceSet((Source(0, "audio"),))),))),
    ("K-278 ssrc too big", ConferenceModify("m", endpoints=(
        endpoint(sources=SourceSet((Source(1 << 32, "audio"),))),))),
    ("K-267 late SCTP", ConferenceModify("m", endpoints=(EndpointRequest("e1", sctp=True),))),
    ("K-321 two creations", ConferenceModify("m", endpoints=(endpoint(), endpoint(id="e2")))),
    ("K-321 expiry and sources", ConferenceModify("m", endpoints=(
        EndpointRequest("e1", expire=True), EndpointRequest("e2", sources=EMPTY_SOURCES)))),
    ("K-320", ConferenceModify("m", endpoints=(EndpointRequest("e1"),), relays=(RelayRequest("r"),))),
    ("K-322", ConferenceModify("m", relays=(RelayRequest("r"), RelayRequest("s")))),
    ("K-280 relay id", ConferenceModify("m", relays=(RelayRequest(""),))),
    ("K-268 role of a relay", ConferenceModify("m", relays=(RelayRequest("r", create=True, sctp_role="both"),))),
    ("relayed endpoint", ConferenceModify("m", relays=(RelayRequest("r", endpoints=(EndpointRequest(""),)),))),
]


@pytest.mark.parametrize("request_", [row[1] for row in INVALID], ids=[row[0] for row in INVALID])
def test_never_sent(request_):
    with pytest.raises(InvalidRequest):
        write_conference_modify(request_)


# What we read

def read(inner):
    return parse_conference_modify(xml("<conference-modify xmlns='jitsi:colibri2' meeting-id='m'>%s</conference-modify>"
                                       % inner))


MALFORMED = [
    ("K-230", "<endpoint id='e' muc-role='x'/>"),
    ("K-234", "<endpoint id='e'><initial-last-n value='x'/></endpoint>"),
    ("K-268 role", "<endpoint id='e'><transport><sctp role='x'/></transport></endpoint>"),
    ("K-434 port", "<endpoint id='e'><transport><sctp port='5001'/></transport></endpoint>"),
    ("K-268 port", "<endpoint id='e'><transport><sctp port='x'/></transport></endpoint>"),
    ("media-source without type", "<endpoint id='e'><sources><media-source id='x'/></sources></endpoint>"),
    ("media-source without id", "<endpoint id='e'><sources><media-source type='audio'/></sources></endpoint>"),
    ("relay without id", "<relay/>"),
    ("capabilities without end", "<endpoint id='e'>%s</endpoint>" % ("<capability name='x'/>" * 100)),
    ("endpoints without end", "<endpoint id='e'/>" * 10001),
    ("extension without uri", "<endpoint id='e'><media type='audio'><rtp-hdrext "
                              "xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0' id='1'/></media></endpoint>"),
]


@pytest.mark.parametrize("inner", [row[1] for row in MALFORMED], ids=[row[0] for row in MALFORMED])
def test_malformed(inner):
    with pytest.raises(Malformed):
        read(inner)


def test_tolerant_reading():
    """K-111, K-112, K-222, K-230, K-431."""
    request = read("<surprise xmlns='urn:example:surprise'/><endpoint id='e' create='TRUE' muc-role='Visitor' x='y'>"
                   "<capability name='new'/><transport ice-controlling='yes'/></endpoint>"
                   "<endpoint id='f' create='true'/>")
    first, second = request.endpoints
    assert (first.create, first.muc_role, first.capabilities) == (True, "visitor", ("new",))
    assert not first.transport_missing
    assert not first.ice_controlling and first.sources == EMPTY_SOURCES
    assert second.transport_missing
    blank = xml("<conference-modify xmlns='jitsi:colibri2' meeting-id='m' rtcstats-enabled='false' name=''/>")
    assert parse_conference_modify(blank) == ConferenceModify("m", rtcstats=False)
    with pytest.raises(Malformed):
        parse_conference_modify(xml("<conference-modify xmlns='jitsi:colibri2' meeting-id=' '/>"))


def test_answer():
    """K-290 to K-298, and what a focus must not trip over."""
    transport = Transport((("ufrag", "7k"), ("pwd", "1f")), True, (Fingerprint("8A", "sha-256", "actpass"),),
                          ("wss://meet.example/x?a=1&b=2",), (Candidate((("ip", "203.0.113.9"),)),))
    feedback = SourceSet((Source(411, "audio", "jvb-a0", "mixedmslabel mixedlabelaudio0"),
                          Source(392, "video", "jvb-v0", "mixedmslabel mixedlabelvideo0")))
    answer = ConferenceModified((EndpointAnswer("e1", transport, 5000), EndpointAnswer("e2", expired=True)), feedback)
    el = xml(write_conference_modified(answer))
    assert dict(el[0][0][1].attrib) == {"port": "5000", "role": "server"}
    assert parse_conference_modified(el) == answer
    assert answer.endpoint("e2") == EndpointAnswer("e2", expired=True) and answer.endpoint("e3") is None
    el.append(xml("<surprise xmlns='urn:example:surprise'/>"))
    el[0][0][1].set("port", "x")
    assert parse_conference_modified(el).endpoints[0].sctp_port is None
    assert parse_conference_modified(xml("<conference-modified xmlns='jitsi:colibri2'/>")) == ConferenceModified()
    empty = xml("<conference-modified xmlns='jitsi:colibri2'><endpoint id='e'><transport/></endpoint><sources/>"
                "</conference-modified>")
    assert parse_conference_modified(empty) == ConferenceModified((EndpointAnswer("e"),))
    with pytest.raises(Malformed):
        parse_conference_modified(xml("<conference-modified xmlns='jitsi:colibri2'><endpoint/></conference-modified>"))


@pytest.mark.parametrize("role", ["client", "server"])
def test_answer_about_a_relay(role):
    """K-515, K-531: the channel's role is the bridge's own; a word that isn't one is none."""
    answer = ConferenceModified(relays=(RelayAnswer("jvb2", Transport((("ufrag", "7k"), ("pwd", "1f"))), 5000,
                                                    sctp_role=role),))
    el = xml(write_conference_modified(answer))
    assert dict(el[0][0][1].attrib) == {"port": "5000", "role": role}
    assert parse_conference_modified(el) == answer
    el[0][0][1].set("role", "both")
    assert parse_conference_modified(el).relays[0].sctp_role is None


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.sampled_from([row[1].payload for row in REQUESTS + ANSWERS]), mutations)
def test_damaged_stanzas(el, changes):
    """Whatever a bridge (or a focus, to our bridge) sends becomes a value or Malformed; nothing else."""
    damaged = mutate(el, changes)
    ways: List[Tuple[Any, Any]] = [(parse_conference_modify, write_conference_modify),
                                   (parse_conference_modified, write_conference_modified)]
    for parse, write in ways:
        try:
            value = parse(damaged)
        except Malformed:
            continue
        try:
            text = write(value)
        except InvalidRequest:
            continue
        parse(xml(text))
