"""The demo bridge refuses what Jitsi Videobridge refuses, in the same words (colibri.md sections 2 to 4)."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any, Dict, List, Optional, Set, Tuple

import pytest
from lxml import etree

from focus.demo.bridge.colibri import Conference, Endpoint, Media, Refused, Table
from focus.demo.bridge.constraints import ReceiverConstraints
from focus.demo.bridge.knobs import BadCommand, Knobs
from focus.demo.bridge.request import Malformed, read_request, write_answer
from focus.values.transport import Candidate, Fingerprint, Transport

CAPTURES = Path(__file__).parent.parent / "fixtures" / "captures"
COLIBRI2 = "jitsi:colibri2"
MEETING = "9d1c2f00-0000-4000-8000-000000000001"


class RecordingMedia(Media):
    """Answers like a bridge, and writes down what it was told."""

    def __init__(self) -> None:
        self.told: List[Tuple[Any, ...]] = []
        self.is_connected = False
        self.passive: Set[str] = set()

    def create(self, conference: Conference, endpoint: Endpoint, controlling: bool) -> None:
        self.told.append(("create", endpoint.id, controlling))

    def describe(self, conference: Conference, endpoint: Endpoint) -> Transport:
        return Transport(
            (("ufrag", "u"), ("pwd", "p" * 22)),
            True,
            (Fingerprint("AA:BB", "sha-256", "passive" if endpoint.id in self.passive else "actpass"),),
            ("ws://127.0.0.1:1/colibri-ws/b/%s/%s?pwd=x" % (conference.internal_id, endpoint.id),),
            (Candidate((("component", "1"), ("ip", "127.0.0.1"), ("port", "10000"))),),
        )

    def connected(self, conference: Conference, endpoint: Endpoint) -> bool:
        return self.is_connected

    def set_transport(self, conference: Conference, endpoint: Endpoint, transport: Transport) -> None:
        self.told.append(("transport", endpoint.id, transport.ufrag))
        if transport.fingerprints and transport.fingerprints[0].setup == "active":
            self.passive.add(endpoint.id)

    def changed(self, conference: Conference, endpoint: Endpoint) -> None:
        self.told.append(("changed", endpoint.id))

    def close(self, conference: Conference, endpoint: Endpoint) -> None:
        self.told.append(("close", endpoint.id))


def make_table(media: Optional[Media] = None) -> Table:
    counter = itertools.count(1)
    return Table(media or RecordingMedia(), lambda bits: next(counter))


def ask(table: Table, inner: str = "", *, meeting: str = MEETING, now: float = 0.0, **attributes: str) -> Any:
    """Execute one request; gives the lxml element of the answer. Raises Refused or Malformed."""
    words = "".join(" %s='%s'" % item for item in attributes.items())
    text = "<conference-modify xmlns='%s' meeting-id='%s'%s>%s</conference-modify>" % (
        COLIBRI2,
        meeting,
        words,
        inner,
    )
    answer = table.handle(read_request(etree.fromstring(text)), now)
    return etree.fromstring(write_answer(answer.endpoints, answer.feedback))


def creating(identifier: str, more: str = "<transport ice-controlling='true'/>", attributes: str = "") -> str:
    media = (
        "<media type='audio'><payload-type xmlns='urn:xmpp:jingle:apps:rtp:1' id='111' name='opus' clockrate='48000'/>"
        "</media>"
    )
    return "<endpoint id='%s' create='true'%s><capability name='source-names'/>%s%s</endpoint>" % (
        identifier,
        attributes,
        media,
        more,
    )


def captured() -> List[Dict[str, Any]]:
    with open(CAPTURES / "colibri2-answers.jsonl", encoding="utf-8") as lines:
        return [item for item in map(json.loads, lines) if "case" in item]


def shape(element: Any) -> Any:
    """An answer without what differs from bridge to bridge: secrets, addresses, order of attributes."""
    attributes = {
        name: "" if name in ("ufrag", "pwd", "url", "ip", "port", "priority", "foundation", "ssrc") else value
        for name, value in element.attrib.items()
        if element.tag != "{urn:xmpp:jingle:transports:ice-udp:1}candidate"
    }
    return element.tag, attributes, [shape(child) for child in element]


def test_answers_equal_those_of_the_reference_bridge() -> None:
    """Every Colibri 2 request of the capture, in its order: same kind, condition, reason, text and endpoint."""
    table = make_table()
    compared = 0
    for case in captured():
        if "conference-modify" not in case["request"]:
            continue
        compared += 1
        name = case["case"]
        expected = case["answer"]
        try:
            request = read_request(etree.fromstring(case["request"]))
            answer = table.handle(request, 0.0)
        except Malformed as error:
            assert expected.startswith("no answer"), name
            assert str(error), name
            continue
        except Refused as error:
            _compare_error(name, etree.fromstring(expected), error)
            continue
        iq = etree.fromstring(expected)
        assert iq.get("type") == "result", name
        own = etree.fromstring(write_answer(answer.endpoints, answer.feedback))
        assert shape(own) == shape(iq[0]), name
    assert compared == 42


def _compare_error(name: str, iq: Any, error: Refused) -> None:
    assert iq.get("type") == "error", name
    element = next(child for child in iq if etree.QName(child).localname == "error")
    condition = next(
        child for child in element if child.tag.startswith("{urn:ietf:params:xml:ns:xmpp-stanzas}")
    )
    text = next((child.text for child in element if etree.QName(child).localname == "text"), "")
    reason = element.find("{%s}error" % COLIBRI2)
    endpoint = element.find("{%s}endpoint" % COLIBRI2)
    assert error.condition == etree.QName(condition).localname, name
    assert error.text == text, name
    assert error.reason == ("" if reason is None else reason.get("reason")), name
    assert error.endpoint == ("" if endpoint is None else endpoint.get("id")), name


@pytest.mark.parametrize("file", ["call-2026.jsonl", "call-2022.jsonl"])
def test_requests_of_a_real_call_are_answered_alike(file: str) -> None:
    """All requests of a captured call, answered in order as the captured bridge did."""
    table = make_table()
    asked: Dict[Optional[str], Any] = {}
    answered = 0
    with open(CAPTURES / file, encoding="utf-8") as lines:
        stanzas = [
            item for item in map(json.loads, lines) if item.get("who") == "focus" and COLIBRI2 in item["xml"]
        ]
    for item in stanzas:
        iq = etree.fromstring(item["xml"])
        if item["dir"] == "sends":
            asked[iq.get("id")] = table.handle(read_request(iq[0]), 0.0) if _known(table, iq[0]) else None
        elif asked.get(iq.get("id")) is not None:
            answer = asked[iq.get("id")]
            own = etree.fromstring(write_answer(answer.endpoints, answer.feedback))
            assert shape(own) == shape(iq[0]), item["xml"]
            answered += 1
    assert answered >= 6


def _known(table: Table, request: Any) -> bool:
    """False for the requests to a conference that was made before the capture began."""
    return request.get("create") == "true" or request.get("meeting-id") in table.conferences


@pytest.mark.parametrize(
    "inner, condition, text",
    [
        (creating("b", "<transport><sctp role='client'/></transport>"), "feature-not-implemented", "SCTP"),
        (creating("b", "<transport><sctp port='6000'/></transport>"), "feature-not-implemented", "SCTP"),
        (creating("v", "<transport/><sources><media-source type='audio' id='v-a0'>"
                  "<source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='7'/></media-source></sources>",
                  " muc-role='Visitor'"), "bad-request", "visitor"),
        ("<endpoint id='a' expire='true'/><relay id='r' expire='true'/>", "feature-not-implemented", "relay"),
        ("<relay id='r' expire='true'/><relay id='s' expire='true'/>", "feature-not-implemented", "relay"),
        ("<relay id='r'/>", "feature-not-implemented", "Octo"),
        ("<endpoint id='zz'><transport/></endpoint>", "item-not-found", "zz"),
        ("<endpoint id='a'/><endpoint id='zz'><sources/></endpoint>", "feature-not-implemented", "more than one"),
    ],
)  # fmt: skip
def test_refusals(inner: str, condition: str, text: str) -> None:
    """K-320 to K-322, K-421, K-433 to K-438, KT-16."""
    table = make_table()
    ask(table, creating("a"), create="true")
    with pytest.raises(Refused) as refused:
        ask(table, inner)
    assert refused.value.condition == condition
    assert text in refused.value.text


@pytest.mark.parametrize(
    "inner",
    [
        "<endpoint/>",
        "<endpoint id='a' muc-role='king'/>",
        "<endpoint id='a'><media/></endpoint>",
        "<endpoint id='a'><initial-last-n value='x'/></endpoint>",
        "<endpoint id='a'><transport><sctp role='x'/></transport></endpoint>",
        "<endpoint id='a'><transport><sctp port='x'/></transport></endpoint>",
        "<endpoint id='a'><sources><media-source id='x'/></sources></endpoint>",
        "<endpoint id='a'><sources><media-source type='audio'/></sources></endpoint>",
        "<relay/>",
    ],
)
def test_what_the_reference_cannot_parse_is_named(inner: str) -> None:
    """K-113: we answer where the reference is silent, and the table is not touched."""
    table = make_table()
    with pytest.raises(Malformed):
        ask(table, inner, create="true")
    assert not table.conferences


def test_unknown_endpoints_are_tolerated_only_beside_expiry_and_mutes() -> None:
    """K-330, KT-17."""
    table = make_table()
    ask(table, creating("a"), create="true")
    answer = ask(
        table, "<endpoint id='x'><force-mute audio='true'/></endpoint><endpoint id='y' expire='true'/>"
    )
    assert [(child.get("id"), child.get("expire")) for child in answer] == [("x", None), ("y", "true")]


def test_order_within_an_endpoint_and_nothing_is_rolled_back() -> None:
    """K-311, K-312: the endpoint stays although its sources were refused."""
    media = RecordingMedia()
    table = make_table(media)
    ice = "<transport><transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='abcd' pwd='p'/></transport>"
    sources = (
        "<sources><media-source type='audio' id='a-a0'><source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='x'/>"
        "</media-source></sources>"
    )
    with pytest.raises(Refused) as refused:
        ask(table, creating("a", sources + ice), create="true")
    assert refused.value.condition == "internal-server-error"
    assert media.told == [("create", "a", False), ("transport", "a", "abcd")]
    assert "a" in table.conferences[MEETING].endpoints
    with pytest.raises(Refused, match="already exists"):
        ask(table, creating("a"), create="true")


def test_the_last_endpoint_takes_its_conference_along() -> None:
    """K-352, KT-4; and a request of its own for nothing ends an empty conference (K-215)."""
    media = RecordingMedia()
    table = make_table(media)
    ask(table, creating("a"), create="true")
    ask(table, creating("b"))
    ask(table, "<endpoint id='a' expire='true'/>")
    assert MEETING in table.conferences
    ask(table, "<endpoint id='b' expire='true'/>")
    assert not table.conferences
    assert media.told.count(("close", "b")) == 1
    ask(table, create="true", name="room@conference.meet.example")
    ask(table)
    assert not table.conferences


def test_feedback_sources_stay_the_same_and_come_when_due() -> None:
    """K-296 and the table of 2.7."""
    table = make_table()
    first = ask(table, creating("a"), create="true")
    second = ask(table, creating("b"))
    update = ask(table, "<endpoint id='a'><sources/></endpoint>")
    ssrcs = [
        [source.get("ssrc") for source in answer.iter("{*}source")] for answer in (first, second, update)
    ]
    assert ssrcs[0] == ssrcs[1]
    assert len(set(ssrcs[0])) == 2
    assert not ssrcs[2]


def test_sources_replace_and_mutes_are_absolute() -> None:
    """K-274, K-233, KT-8, KT-9, KT-32."""
    table = make_table()
    ask(table, creating("a"), create="true")
    endpoint = table.conferences[MEETING].endpoints["a"]

    def set_sources(*ssrcs: int) -> None:
        inner = "".join(
            "<source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='%d'/>" % ssrc for ssrc in ssrcs
        )
        source = "<media-source type='video' id='a-v0'>%s</media-source>" % inner
        ask(table, "<endpoint id='a'><sources>%s</sources></endpoint>" % source)

    set_sources(1, 2)
    assert endpoint.sources.ssrcs() == (1, 2)
    set_sources(-2)
    assert endpoint.sources.ssrcs() == (2**32 - 2,)
    ask(table, "<endpoint id='a'><force-mute audio='true'/></endpoint>")
    assert endpoint.muted == (True, False)
    ask(table, "<endpoint id='a'><force-mute video='true'/></endpoint>")
    assert endpoint.muted == (False, True)
    ask(table, "<endpoint id='a'/>")
    assert endpoint.sources.ssrcs() == (2**32 - 2,)


def test_payload_types_accumulate() -> None:
    """K-241, K-243: an endpoint without video takes none until it gets a payload type of that kind."""
    table = make_table()
    ask(table, creating("a"), create="true")
    endpoint = table.conferences[MEETING].endpoints["a"]
    assert (endpoint.takes("audio"), endpoint.takes("video")) == (True, False)
    video = "<payload-type xmlns='urn:xmpp:jingle:apps:rtp:1' id='100' name='VP8' clockrate='90000'/>"
    ask(table, "<endpoint id='a'><media type='video'>%s</media></endpoint>" % video)
    assert endpoint.takes("video")
    assert sorted(endpoint.payload_types) == [100, 111]


def test_ice_restart_is_kept_before_and_refused_after_connecting() -> None:
    """J-866, J-867."""
    media = RecordingMedia()
    table = make_table(media)
    ask(table, creating("a"), create="true")
    restart = "<endpoint id='a'><transport ice-restart='true'/></endpoint>"
    assert ask(table, restart).find("{*}endpoint/{*}transport/{*}transport") is not None
    media.is_connected = True
    assert len(ask(table, restart)[0]) == 0


def test_graceful_shutdown_refuses_only_new_conferences() -> None:
    """K-412, K-355."""
    table = make_table()
    ask(table, creating("a"), create="true")
    table.graceful_shutdown = True
    ask(table, creating("b"))
    with pytest.raises(Refused) as refused:
        ask(table, creating("a"), meeting="other", create="true")
    assert (refused.value.condition, refused.value.reason) == ("service-unavailable", "graceful_shutdown")
    assert "other" not in table.conferences


@pytest.mark.parametrize("name, fine", [("room@muc.example", True), ("muc.example", False), ("a@b/c", False)])
def test_conference_name_must_be_a_room(name: str, fine: bool) -> None:
    """K-122, K-413."""
    table = make_table()
    if fine:
        ask(table, create="true", name=name)
    else:
        with pytest.raises(Refused, match="Invalid conference name"):
            ask(table, create="true", name=name)
    assert bool(table.conferences) is fine


def test_silence_ends_endpoints_and_then_the_conference() -> None:
    """K-350, K-351."""
    table = make_table()
    ask(table, creating("a"), create="true")
    ask(table, creating("b"))
    ask(table, creating("c"))
    endpoints = table.conferences[MEETING].endpoints
    endpoints["b"].last_activity = 100.0
    endpoints["c"].ice_failed = True
    assert len(table.expire_idle(119.0)) == 1
    assert sorted(endpoints) == ["a", "b"]
    table.expire_idle(121.0)
    assert sorted(endpoints) == ["b"]
    table.expire_idle(161.0)
    assert not table.conferences


def test_knobs() -> None:
    """K-1163: errors by kind, once, counted or always; drops; what they refuse to understand."""
    knobs = Knobs()
    knobs.command("error create-endpoint conflict conference_already_exists 2")
    create = read_request(etree.fromstring(
        "<conference-modify xmlns='%s' meeting-id='m'><endpoint id='a' create='true'/></conference-modify>" % COLIBRI2
    ))  # fmt: skip
    expire = read_request(
        etree.fromstring("<conference-modify xmlns='%s' meeting-id='m' expire='true'/>" % COLIBRI2)
    )
    assert knobs.take_error(expire.kind) is None
    errors = [knobs.take_error(create.kind) for _ in range(3)]
    assert [error and error.reason for error in errors] == ["conference_already_exists"] * 2 + [None]
    knobs.command("error any internal-server-error always")
    assert [knobs.take_error(expire.kind) is None for _ in range(3)] == [False] * 3
    knobs.command("drop 1")
    assert [knobs.take_drop(), knobs.take_drop()] == [True, False]
    assert knobs.command("forget endpoint a") == ["forget", "endpoint", "a"]
    for wrong in ("dance", "drain", "health maybe", "error nothing conflict", "drop x", "forget all x"):
        with pytest.raises(BadCommand):
            knobs.command(wrong)


def test_receiver_constraints() -> None:
    """K-1042, K-234, K-1125: only "none" is honoured, absent fields stay."""
    constraints = ReceiverConstraints()
    assert constraints.wants("a-v0", "a", -1)
    assert not constraints.wants("a-v0", "a", 0)
    constraints.apply({"colibriClass": "LastNChangedEvent", "lastN": 0})
    assert not constraints.wants("a-v0", "a", -1)
    message = {
        "colibriClass": "ReceiverVideoConstraints",
        "lastN": 5,
        "constraints": {"a-v0": {"maxHeight": 0}},
    }
    constraints.apply(message)
    assert not constraints.wants("a-v0", "a", 0)
    assert constraints.wants("b-v0", "b", 0)
    constraints.apply({"colibriClass": "ReceiverVideoConstraints", "defaultConstraints": {"maxHeight": 0}})
    assert not constraints.wants("b-v0", "b", 0)
    constraints.apply(
        {"colibriClass": "ReceiverVideoConstraints", "constraints": {"b-v0": {"maxHeight": 180}}}
    )
    assert constraints.wants("b-v0", "b", 0)
    assert not constraints.wants("a-v0", "a", 0)
    constraints.apply({"colibriClass": "ReceiverVideoConstraints", "constraints": {"a": {"maxHeight": 360}}})
    assert constraints.wants("a-v0", "a", 0)
