"""Jingle at the door: both directions, captured stanzas, old peers' ways, hostile input (jingle.md sections 3 to 5)."""
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from focus.conference.offer import Features, media_for
from focus.stanzas.errors import Malformed
from focus.stanzas.jingle import (
    BridgeSession,
    JingleRequest,
    parse_jingle,
    source_body_json,
    source_body_xml,
    write_session_initiate,
    write_session_terminate,
    write_source_update,
    write_transport_info,
)
from focus.stanzas.jingle_client import Offer, parse_offer, parse_source_update, write_request
from focus.stanzas.sources_json import parse_json_sources
from focus.stanzas.stanza import Unknown, parse_stanza
from focus.values.sources import EMPTY_SOURCES, Source, SourceSet, SsrcGroup
from focus.values.transport import Candidate, Fingerprint, Transport
from focus.values.written import text_of
from tests.wire.captures import payloads
from tests.wire.mutation import mutate, mutations

JINGLE = "{urn:xmpp:jingle:1}jingle"
CAPTURED = list(payloads(JINGLE))
FROM_CLIENTS = [row for row in CAPTURED if row[1].who == "focus" and row[1].dir == "receives"]
FROM_FOCUS = [row for row in CAPTURED if row[1].who == "focus" and row[1].dir == "sends"]
INITIATES = [row for row in FROM_FOCUS if row[1].payload.get("action") == "session-initiate"]
UPDATES = [row for row in FROM_FOCUS if row[1].payload.get("action") in ("source-add", "source-remove")]
TERMINATES = [row for row in FROM_FOCUS if row[1].payload.get("action") == "session-terminate"]

MEDIA = media_for(Features(audio=True, video=True, rtx=True, tcc=True))
TRANSPORT = Transport((("ufrag", "8s2f1"), ("pwd", "3q0d")), True,
                      (Fingerprint("8A:1F", "sha-256", "actpass"),), ("wss://meet.example/jvb1?a=1&pwd='<x",),
                      (Candidate((("component", "1"), ("foundation", "1"), ("new-thing", "<&'\">"))),))
FEEDBACK = SourceSet((Source(2891733201, "video", "jvb-v0", "mixedmslabel mixedlabelvideo0", "camera"),
                      Source(1190022817, "audio", "jvb-a0", "mixedmslabel mixedlabelaudio0")))
CAMERA = SourceSet((Source(401, "video", "abcd1234-v0", "a 1", "camera"),
                    Source(402, "video", "abcd1234-v0", "a 1", "camera"), Source(501, "audio", "abcd1234-a0", "b 1")),
                   (SsrcGroup("FID", "video", (401, 402)),))


def ids_of(rows):
    return [row[0] for row in rows]


def lines(rows):
    return [row[1].payload for row in rows]


def xml(written):
    return etree.fromstring(text_of(written).encode("utf-8"))


def jingle(inner, action="source-add", more=""):
    return xml("<jingle xmlns='urn:xmpp:jingle:1' sid='s1'%s%s>%s</jingle>" % (
        " action='%s'" % action if action is not None else "", more, inner))


def content(inner, media="video", name="video", direct=""):
    return ("<content creator='responder' name='%s'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='%s'>%s"
            "</description>%s</content>" % (name, media, inner, direct))


def source(ssrc, more="", inner=""):
    return "<source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='%s'%s>%s</source>" % (ssrc, more, inner)


def group(semantics, *ssrcs):
    return "<ssrc-group xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' semantics='%s'>%s</ssrc-group>" % (
        semantics, "".join("<source ssrc='%s'/>" % ssrc for ssrc in ssrcs))


def transport(inner="", more="ufrag='u' pwd='p'"):
    return "<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' %s>%s</transport>" % (more, inner)


def payload_of(el) -> Any:
    stanza: Any = parse_stanza(el)
    return stanza.payload


# Captured stanzas

def test_there_are_captures_of_each_kind():
    assert len(FROM_CLIENTS) > 10 and len(INITIATES) > 6 and UPDATES and TERMINATES
    assert len(INITIATES) + len(UPDATES) + len(TERMINATES) == len(FROM_FOCUS)


@pytest.mark.parametrize("el", lines(FROM_CLIENTS), ids=ids_of(FROM_CLIENTS))
def test_captured_requests_round_trip(el):
    request: Any = parse_jingle(el)
    assert request.action == el.get("action") and request.sid == el.get("sid") and request.is_supported
    assert parse_jingle(xml(write_request(request))) == request
    assert parse_jingle(xml(write_request(request, MEDIA))) == request
    if request.action == "session-accept":
        assert len(request.sources.sources) == 7 and len(request.sources.groups) == 4
        assert request.transport.rtcp_mux and request.transport.fingerprints[0].setup == "active"
    if request.action == "transport-info":
        assert request.transport.candidates and request.transport.fingerprints[0].setup is None  # J-566


@pytest.mark.parametrize("el", lines(INITIATES), ids=ids_of(INITIATES))
def test_captured_offers_round_trip(el):
    offer = parse_offer(el)
    assert offer.bundle == ("audio", "video") and offer.json and "jvb" in offer.sources
    again = xml(write_session_initiate(offer.sid, offer.initiator, offer.media, offer.transport, offer.sctp_port,
                                       offer.sources, offer.bridge_session_id, offer.region, offer.json))
    assert parse_offer(again) == offer
    assert write_session_initiate(*_arguments(parse_offer(again))) == write_session_initiate(*_arguments(offer))


def _arguments(offer: Offer):
    return (offer.sid, offer.initiator, offer.media, offer.transport, offer.sctp_port, offer.sources,
            offer.bridge_session_id, offer.region, offer.json, offer.start_muted)


@pytest.mark.parametrize("el", lines(UPDATES), ids=ids_of(UPDATES))
def test_captured_updates_round_trip(el):
    update = parse_source_update(el)
    again = xml(write_source_update(update.action, update.sid, source_body_json(update.sources)))
    assert parse_source_update(again) == update
    as_xml = parse_source_update(xml(write_source_update(update.action, update.sid, source_body_xml(update.sources))))
    assert as_xml == update._replace(json=False)


@pytest.mark.parametrize("el", lines(TERMINATES), ids=ids_of(TERMINATES))
def test_captured_terminations_round_trip(el):
    request: Any = parse_jingle(el)
    assert parse_jingle(xml(write_session_terminate(request.sid, request.reason, request.reason_text))) == request


def test_through_the_stanza_reader():
    line = FROM_CLIENTS[0][1]
    assert payload_of(line.element) == parse_jingle(line.payload)
    other = xml("<iq xmlns='jabber:client' type='set' id='1'><jingle xmlns='urn:example:other'/></iq>")
    assert isinstance(payload_of(other), Unknown)


# What we write

def test_offer_frame():
    """Section 3.1: the order of the children, and each content's attributes (J-301, J-302, J-307)."""
    el = xml(write_session_initiate("sid1", "focus@auth.meet.example/focus", MEDIA, TRANSPORT, 5000,
                                    {"jvb": FEEDBACK}, "uuid", "eu1", True, (True, False)))
    assert dict(el.attrib) == {"action": "session-initiate", "sid": "sid1",
                               "initiator": "focus@auth.meet.example/focus"}
    assert [etree.QName(child).localname for child in el] == [
        "content", "content", "content", "group", "startmuted", "bridge-session", "json-message"]
    contents = [child for child in el if etree.QName(child).localname == "content"]
    assert [dict(one.attrib) for one in contents] == [
        {"creator": "initiator", "name": name, "senders": "both"} for name in ("audio", "video", "data")]
    group_el = el[3]
    assert group_el.get("semantics") == "BUNDLE" and [one.get("name") for one in group_el] == ["audio", "video", "data"]
    assert dict(el[4].attrib) == {"audio": "true", "video": "false"}
    assert dict(el[5].attrib) == {"id": "uuid", "region": "eu1"}
    transports = [one[1] for one in contents]
    data = transports[2]
    sctpmap = data[-1]
    assert sctpmap.tag == "{urn:xmpp:jingle:transports:dtls-sctp:1}sctpmap"
    assert dict(sctpmap.attrib) == {"number": "5000", "protocol": "webrtc-datachannel", "streams": "1024"}
    data.remove(sctpmap)
    assert len({etree.tostring(one) for one in transports}) == 1
    assert etree.QName(contents[2][0]).localname == "description" and contents[2][0].get("media") == "application"
    assert [etree.QName(one).localname for one in contents[2][0]] == ["rtcp-mux"]
    for one in contents:
        assert one[0].find("{urn:xmpp:jingle:apps:rtp:1}rtcp-mux") is not None  # J-331


@pytest.mark.parametrize("region, muted, port", [(None, (False, False), None), ("", (False, True), 5000)])
def test_optional_parts_of_the_offer(region, muted, port):
    el = xml(write_session_initiate("s", "f", MEDIA[:1], TRANSPORT, port, {}, "u", region, True, muted))
    offer = parse_offer(el)
    assert offer.region is None and offer.start_muted == muted and offer.sctp_port == port
    assert offer.bundle == (("audio",) if port is None else ("audio", "data"))


def test_offer_in_xml_keeps_the_data_content():
    """J-343 R, J-411 to J-417."""
    el = xml(write_session_initiate("s", "f", MEDIA, TRANSPORT, 5000, {"jvb": FEEDBACK, "abcd1234": CAMERA}, "u", None,
                                    False))
    offer = parse_offer(el)
    assert offer.bundle == ("audio", "video", "data") and offer.sctp_port == 5000 and not offer.json
    assert offer.sources == {"jvb": FEEDBACK, "abcd1234": CAMERA} and offer.media == MEDIA
    assert el.find("{http://jitsi.org/jitmeet}json-message") is None
    video = el[1][0]
    kinds = [etree.QName(child).localname for child in video if "ssma" in child.tag]
    assert kinds == ["source", "source", "source", "ssrc-group"]  # J-417


def test_all_elements_declare_their_namespace():
    """T-5: web clients select by the attribute ``xmlns``; no prefixes."""
    text = write_session_initiate("s", "f", MEDIA, TRANSPORT, 5000, {"jvb": FEEDBACK, "abcd1234": CAMERA}, "u", None,
                                  False)
    for name in ("source", "ssrc-group", "transport", "fingerprint", "sctpmap", "group", "bridge-session", "rtp-hdrext",
                 "rtcp-fb", "ssrc-info", "description", "web-socket", "extmap-allow-mixed"):
        starts = text.split("<%s " % name)[1:]
        assert starts and all(start.startswith("xmlns='") for start in starts), name
    assert "xmlns:" not in text


TO_CLIENT = [
    # as the bridge wrote it, as the client gets it (J-352)
    (Fingerprint("AA", "sha-256", "actpass"), ("false", "false")),
    (Fingerprint("AA", "sha-256", "actpass", "true", "true"), ("true", "true")),
    (Fingerprint("AA", "sha-256", "passive", None, "true"), ("false", "true")),
]


@pytest.mark.parametrize("fingerprint, expected", TO_CLIENT)
def test_fingerprint_toward_clients(fingerprint, expected):
    el = xml(write_transport_info("s", Transport((("ufrag", "u"), ("ice-generation", "3")), False, (fingerprint,))))
    found = el[0][0][0]
    assert (found.get("required"), found.get("cryptex")) == expected
    assert (found.get("hash"), found.get("setup"), found.text) == ("sha-256", fingerprint.setup, "AA")
    assert dict(el[0].attrib) == {"creator": "initiator", "name": "audio"} and len(el) == 1  # J-864
    assert el[0][0].get("ice-generation") == "3"
    request: Any = parse_jingle(el)
    assert request.transport.ice_generation == 3


def test_transport_is_copied_whole():
    """J-351: unknown attributes too; what can't stand in an attribute as it is, is escaped."""
    offer = parse_offer(xml(write_session_initiate("s", "f", MEDIA, TRANSPORT, None, {}, "u", None, True)))
    assert offer.transport == TRANSPORT._replace(
        fingerprints=(Fingerprint("8A:1F", "sha-256", "actpass", "false", "false"),))


def test_json_form():
    """The exact text of section 4.1; J-403, J-404: three arrays always, the fourth only if there is something in it."""
    text = xml(source_body_json({"abcd1234": CAMERA})).text
    assert text == ('{"sources":{"abcd1234":[[{"s":401,"n":"abcd1234-v0","m":"a 1"},'
                    '{"s":402,"n":"abcd1234-v0","m":"a 1"}],'
                    '[["f",401,402]],[{"s":501,"n":"abcd1234-a0","m":"b 1"}]]}}')
    desktop = SourceSet((Source(1, "video", None, None, "desktop"),))
    assert xml(source_body_json({"a": desktop})).text == '{"sources":{"a":[[{"s":1,"v":"d"}],[],[]]}}'
    audio = SourceSet((Source(1, "audio"), Source(2, "audio")), (SsrcGroup("SIM", "audio", (1, 2)),))
    assert xml(source_body_json({"a": audio})).text == '{"sources":{"a":[[],[],[{"s":1},{"s":2}],[["s",1,2]]]}}'
    assert xml(source_body_json({})).text == '{"sources":{}}'


names = st.one_of(st.none(), st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=20))


@given(owner=st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=10), name=names, msid=names)
def test_names_from_others_cannot_break_a_message(owner, name, msid):
    """J-407, for both forms."""
    sources = {owner: SourceSet((Source(7, "video", name, msid, "desktop"), Source(8, "audio", name, msid)))}
    for body in (source_body_json(sources), source_body_xml(sources)):
        update = parse_source_update(xml(write_source_update("source-add", "s", body)))
        assert set(update.sources) == {owner}
        got = {source.ssrc: source for source in update.sources[owner].sources}
        assert set(got) == {7, 8}
        if not {"\ufffe", "\uffff"} & set("".join(filter(None, (owner, name, msid)))):
            assert update.sources == sources


def test_bodies_in_xml():
    """J-411: one content per media type that has entries, and nothing else in it."""
    el = xml(write_source_update("source-remove", "s", source_body_xml({"abcd1234": CAMERA.of("video")})))
    assert dict(el.attrib) == {"action": "source-remove", "sid": "s"} and len(el) == 1
    assert dict(el[0].attrib) == {"name": "video"} and dict(el[0][0].attrib) == {"media": "video"}
    first = el[0][0][0]
    assert dict(first.attrib) == {"ssrc": "401", "name": "abcd1234-v0", "videoType": "camera"}
    assert [etree.QName(child).localname for child in first] == ["ssrc-info", "parameter"]
    assert source_body_xml({}) == ""


def test_terminate():
    """J-128, J-129."""
    el = xml(write_session_terminate("s", "success", "moving"))
    assert [etree.QName(child).localname for child in el[0]] == ["success", "text"] and el[0][1].text == "moving"
    assert len(xml(write_session_terminate("s", "gone"))[0]) == 1


# What we read

READ = [
    ("J-506 missing action", jingle("", None), dict(action=None, raw_action=None)),
    ("J-506 no Jingle action", jingle(source("x"), "explode"), dict(action=None, raw_action="explode")),
    ("J-507 not served", jingle(content(source("x")), "content-modify"), dict(action="content-modify")),
    ("J-507 an offer", jingle(content(source("x")), "session-initiate"), dict(action="session-initiate")),
    ("J-536 addsource", jingle(content(source(7)), "addsource"),
     dict(action="source-add", sources=SourceSet((Source(7, "video"),)))),
    ("J-536 removesource", jingle("", "removesource"), dict(action="source-remove")),
    ("J-512 no description: the content's name",
     jingle("<content name='audio'>%s</content>" % source(7)), dict(sources=SourceSet((Source(7, "audio"),)))),
    ("J-512 name is irrelevant", jingle(content(source(7), "audio", "17")),
     dict(sources=SourceSet((Source(7, "audio"),)))),
    ("J-513 directly in the content", jingle(content(source(7), direct=source(8) + group("FID", 7, 8))),
     dict(sources=SourceSet((Source(7, "video"), Source(8, "video"))))),
    ("J-513 semantics in any case", jingle(content(source(7) + source(8) + group("fid", 7, 8))),
     dict(sources=SourceSet((Source(7, "video"), Source(8, "video")), (SsrcGroup("FID", "video", (7, 8)),)))),
    ("J-513 videoType in any case", jingle(content(source(7, " videoType='DeskTop'"))),
     dict(sources=SourceSet((Source(7, "video", None, None, "desktop"),)))),
    ("J-509 desktop_high_fps", jingle(content(source(7, " videoType='desktop_high_fps'"))),
     dict(sources=SourceSet((Source(7, "video", None, None, "desktop"),)))),
    ("J-509 unknown videoType", jingle(content(source(7, " videoType='hologram'"))),
     dict(sources=SourceSet((Source(7, "video"),)))),
    ("audio has no videoType", jingle(content(source(7, " videoType='camera'"), "audio")),
     dict(sources=SourceSet((Source(7, "audio"),)))),
    ("KT-32 negative ssrc", jingle(content(source(-1) + source(-2147483648))),
     dict(sources=SourceSet((Source(4294967295, "video"), Source(2147483648, "video"))))),
    ("J-611 is not decided here", jingle(content(source(0) + source(4294967296) + source(-2147483649))),
     dict(sources=SourceSet((Source(0, "video"), Source(4294967296, "video"), Source(-2147483649, "video"))))),
    ("J-416 parameter in its own namespace", jingle(content(source(
        7, inner="<parameter name='cname' value='c'/><parameter name='msid' value='a b'/>"))),
     dict(sources=SourceSet((Source(7, "video", None, "a b"),)))),
    ("J-416 parameter in the RTP namespace", jingle(content(source(
        7, inner="<parameter xmlns='urn:xmpp:jingle:apps:rtp:1' name='msid' value='a b'/>"))),
     dict(sources=SourceSet((Source(7, "video", None, "a b"),)))),
    ("empty name and msid", jingle(content(source(7, " name=''", "<parameter name='msid' value=''/>"))),
     dict(sources=SourceSet((Source(7, "video"),)))),
    ("J-615 empty groups are kept for validation", jingle(content(group("SIM"))),
     dict(sources=SourceSet((), (SsrcGroup("SIM", "video", ()),)))),
    ("J-408 JSON from a client", jingle("<json-message xmlns='http://jitsi.org/jitmeet'>{</json-message>"),
     dict(sources=EMPTY_SOURCES)),
    ("J-511 unknown children, rejected content", jingle(
        "<x xmlns='urn:example:x'/><content name='data' senders='rejected'/>" + content("", "application", "data")),
     dict(sources=EMPTY_SOURCES)),
    ("T-5 sources of a wrong namespace", jingle(content("<source ssrc='x'/>")), dict(sources=EMPTY_SOURCES)),
    ("J-514 first transport, rtcp-mux added", jingle(
        content("", "audio", "audio", transport()) + content("", direct=transport(more="ufrag='w' pwd='q'")),
        "session-accept"), dict(action="session-accept", transport=Transport((("ufrag", "u"), ("pwd", "p")), True))),
    ("J-524 no transport", jingle(content(source(7)), "session-accept"),
     dict(action="session-accept", sources=SourceSet((Source(7, "video"),)), transport=None)),
    ("J-1113 transport without its namespace", jingle(content("", direct="<transport/>"), "session-accept"),
     dict(action="session-accept", transport=None)),
    ("J-566 content '0'", jingle("<content creator='responder' name='0'>%s</content>" % transport(
        "<fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256' required='true'> AA </fingerprint>"
        "<candidate ip='::1' tcptype='passive'/><rtcp-mux/>", "pwd='p' ice-generation='2'"), "transport-info"),
     dict(action="transport-info", transport=Transport(
         (("pwd", "p"), ("ice-generation", "2")), True, (Fingerprint("AA", "sha-256", None, "true"),), (),
         (Candidate((("ip", "::1"), ("tcptype", "passive"))),)))),
    ("J-563 no transport", jingle("<content name='0'/>", "transport-info"), dict(action="transport-info")),
    ("sources are not read from a transport-info", jingle(content(source("x")), "transport-info"),
     dict(action="transport-info")),
    ("J-528", jingle(content("", direct="<initial-last-n xmlns='jitsi:colibri2' value='3'/>"), "session-accept"),
     dict(action="session-accept", initial_last_n=3)),
    ("J-528 no limit", jingle(content("", direct="<initial-last-n xmlns='jitsi:colibri2' value='-1'/>"),
                              "session-accept"), dict(action="session-accept", initial_last_n=-1)),
    ("J-528 not a number", jingle(content("", direct="<initial-last-n xmlns='jitsi:colibri2' value='x'/>"),
                                  "session-accept"), dict(action="session-accept")),
    ("J-528 only in video", jingle(content("", "audio", "audio", "<initial-last-n xmlns='jitsi:colibri2' value='3'/>"),
                                   "session-accept"), dict(action="session-accept")),
    ("J-541", jingle("<bridge-session xmlns='http://jitsi.org/protocol/focus' id='b' ice-restart='TRUE'/>",
                     "session-info"), dict(action="session-info", bridge_session=BridgeSession("b", False, True))),
    ("J-542", jingle("<ice-state xmlns='http://jitsi.org/protocol/focus'> FAILED</ice-state>"
                     "<bridge-session xmlns='http://jitsi.org/protocol/focus'/>", "session-info"),
     dict(action="session-info", ice_state="failed", bridge_session=BridgeSession(None))),
    ("J-544", jingle("<ringing xmlns='urn:xmpp:jingle:apps:rtp:info:1'/>", "session-info"),
     dict(action="session-info")),
    ("J-551", jingle("<reason><connectivity-error/><text>ICE FAILED</text></reason>"
                     "<bridge-session xmlns='http://jitsi.org/protocol/focus' id='b' restart='true'/>",
                     "session-terminate"),
     dict(action="session-terminate", reason="connectivity-error", reason_text="ICE FAILED",
          bridge_session=BridgeSession("b", True))),
    ("reason with the text first", jingle("<reason><text/><!--x--><gone/></reason>", "session-terminate"),
     dict(action="session-terminate", reason="gone", reason_text="")),
    ("J-104", jingle("", more=" initiator='i@x/y' responder='r@x/y'"), dict(initiator="i@x/y", responder="r@x/y")),
]


@pytest.mark.parametrize("el, fields", [row[1:] for row in READ], ids=[row[0] for row in READ])
def test_read(el, fields):
    expected = {"action": "source-add", "sid": "s1", **fields}
    request = parse_jingle(el)
    assert request._replace(raw_action=None) == JingleRequest(**expected)._replace(raw_action=None)
    if "raw_action" in fields:
        assert request.raw_action == fields["raw_action"]


def test_no_sid_and_not_a_set():
    assert parse_jingle(xml("<jingle xmlns='urn:xmpp:jingle:1' action='source-add'/>")).sid == ""
    broken = jingle(content(source("x")))
    assert parse_jingle(broken, "get") == JingleRequest("source-add", "s1", raw_action="source-add")  # J-508


MALFORMED = [
    ("J-509 ssrc", jingle(content(source("x"))), "ssrc"),
    ("J-509 no ssrc (J-626)", jingle(content("<source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' rid='1'/>")), "ssrc"),
    ("J-509 other digits", jingle(content(source("\u0661"))), "ssrc"),
    ("J-509 very long number", jingle(content(source("9" * 5000))), "ssrc"),
    ("J-509 ssrc in a group", jingle(content(source(1) + group("FID", 1, "y"))), "ssrc"),
    ("J-509 semantics", jingle(content(source(1) + group("FEC-FR", 1, 1))), "semantics"),
    ("J-509 no semantics", jingle(content("<ssrc-group xmlns='urn:xmpp:jingle:apps:rtp:ssma:0'/>")), "semantics"),
    ("J-509 media", jingle(content(source(1), "application", "data")), "media type"),
    ("J-509 media of a group", jingle(content(group("FID"), "smell")), "media type"),
    ("J-512 neither media nor name", jingle("<content>%s</content>" % source(1)), "media type"),
    ("201 sources", jingle(content("".join(map(source, range(1, 202))))), "more than 200 sources"),
    ("201 sources in several contents", jingle(content("".join(map(source, range(1, 102)))) * 2),
     "more than 200 sources"),
    ("201 groups", jingle(content(group("SIM", 1) * 201)), "more than 200 ssrc-groups"),
    ("a huge group", jingle(content(group("SIM", *range(1, 70)))), "more than 64 sources in an ssrc-group"),
    ("long name", jingle(content(source(1, " name='%s'" % ("n" * 300)))), "too long"),
    ("many candidates", jingle("<content name='0'>%s</content>" % transport("<candidate/>" * 101), "transport-info"),
     "too many parts"),
    ("long attribute", jingle("<content name='0'>%s</content>" % transport("", "ufrag='%s'" % ("u" * 3000)),
                              "transport-info"), "too long"),
    ("many attributes", jingle("<content name='0'>%s</content>" % transport(
        "", " ".join("a%d=''" % n for n in range(40))), "transport-info"), "too many attributes"),
]


@pytest.mark.parametrize("el, text", [row[1:] for row in MALFORMED], ids=[row[0] for row in MALFORMED])
def test_malformed(el, text):
    with pytest.raises(Malformed) as error:
        parse_jingle(el)
    assert error.value.condition == "bad-request" and text in error.value.text
    iq = etree.Element("{jabber:client}iq", type="set", id="1")
    iq.append(el)
    assert isinstance(payload_of(iq), Malformed)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.sampled_from(lines(CAPTURED)), mutations)
def test_damaged_stanzas(el, changes):
    """Whatever a peer sends becomes a value that can be written again, or Malformed; nothing else."""
    damaged = mutate(el, changes)
    ways: Any = (parse_jingle, parse_offer, parse_source_update)
    for parse in ways:
        try:
            value = parse(damaged)
        except Malformed:
            continue
        if parse is parse_jingle and value.is_supported:
            xml(write_request(value._replace(reason=None)))
            assert len(value.sources.sources) <= 200
            source_body_json({"owner": value.sources}), xml("<x>%s</x>" % source_body_xml({"o'": value.sources}))


JSON_TEXTS = ["", "{", "[]", "{}", '{"sources":[]}', '{"sources":{"a":{}}}', '{"sources":{"a":[{}]}}',
              '{"sources":{"a":[[],[],[],[],[]]}}', '{"sources":{"a":[[7]]}}', '{"sources":{"a":[[{"s":"7"}]]}}',
              '{"sources":{"a":[[{"s":true}]]}}', '{"sources":{"a":[[{"s":4294967296}]]}}',
              '{"sources":{"a":[[{"s":1,"n":1}]]}}',
              '{"sources":{"a":[[],["f"]]}}', '{"sources":{"a":[[],[["x",1]]]}}', '{"sources":{"a":[[],[["f",1.5]]]}}',
              '{"sources":{"a":[[],[[[]]]]}}', "[" * 100000]


@pytest.mark.parametrize("text", JSON_TEXTS, ids=[text[:40] for text in JSON_TEXTS])
def test_malformed_json(text):
    with pytest.raises(Malformed):
        parse_json_sources(text)


def test_values_keep_secrets_out_of_logs():
    request: Any = parse_jingle(FROM_CLIENTS[0][1].payload)
    assert request.transport.pwd and request.transport.pwd not in repr(request)
    assert "pwd=" not in repr(TRANSPORT)
