"""Our offers and bridge requests beside those that were captured, for the same inputs.

A captured call is played through: disco answer, bridge answers and the clients' requests go in; each stanza that the
reference sent is compared, element by element, with what ours would be. Each difference stands in a table with the item
of the sheets that wants it; one that is missing there, and one that is not needed any more, fails.
"""
from __future__ import annotations

from typing import Any, Dict, List, Set, Tuple

import pytest
from lxml import etree

from focus.conference.offer import Features, capabilities_for, features_from_vars, media_for
from focus.conference.signalling import offered
from focus.conference.validation import SourceTable
from focus.stanzas.colibri2 import ConferenceModify, EndpointRequest, parse_conference_modified, write_conference_modify
from focus.stanzas.jingle import (
    parse_jingle,
    source_body_json,
    write_session_initiate,
    write_session_terminate,
    write_source_update,
)
from focus.values.sources import EMPTY_SOURCES, SourceSet
from focus.values.written import text_of
from tests.wire.captures import Line, read_capture
from tests.wire.compare import child_order, differences

COLIBRI = "{jitsi:colibri2}"
JINGLE = "{urn:xmpp:jingle:1}jingle"
DISCO = "{http://jabber.org/protocol/disco#info}query"
TRACE = "traceparent"

H264 = "payload-type[@id='107']/parameter"
OFFERED_H264 = "/jingle/content[@name='video']/description/" + H264
ENDPOINT_H264 = "/conference-modify/endpoint/media[@type='video']/" + H264

#: (calls, kind of stanza, difference, item that wants it). +: only ours has it, -: only theirs.
EXPECTED: List[Tuple[Tuple[str, ...], str, str, str]] = [
    (("call-2026", "call-2022"), "session-initiate", "-/jingle/traceparent", "J-306"),
    (("call-2026", "call-2022"), "session-initiate", OFFERED_H264 + "[@name='profile-level-id']/@value", "J-324"),
    (("call-2026", "call-2022"), "session-initiate", "+" + OFFERED_H264 + "[@name='level-asymmetry-allowed']", "J-324"),
    (("call-2026", "call-2022"), "session-initiate", "+" + OFFERED_H264 + "[@name='packetization-mode']", "J-324"),
    (("call-2022",), "session-initiate", "+/jingle/json-message/sources/*/n", "J-422"),
    (("call-2022",), "source-add", "+/jingle/json-message/sources/*/n", "J-422"),
    (("call-2026", "call-2022"), "create", "-/conference-modify/traceparent", "K-214"),
    (("call-2026", "call-2022"), "create", ENDPOINT_H264 + "[@name='profile-level-id']/@value", "J-324"),
    (("call-2026", "call-2022"), "create", "+" + ENDPOINT_H264 + "[@name='level-asymmetry-allowed']", "J-324"),
    (("call-2026", "call-2022"), "create", "+" + ENDPOINT_H264 + "[@name='packetization-mode']", "J-324"),
    (("call-2026", "call-2022"), "update", "-/conference-modify/traceparent", "K-214"),
    (("call-2022",), "update", "+/conference-modify/endpoint/sources/media-source/source/@name", "J-422"),
    (("call-2026", "call-2022"), "expire", "-/conference-modify/traceparent", "K-214"),
]


class Replay:
    """The part of a focus that turns a captured call's inputs into stanzas."""

    def __init__(self) -> None:
        self.features = Features()
        self.table = SourceTable()
        self.feedback: Dict[str, SourceSet] = {}
        self.answers: Dict[str, Any] = {}
        self.creating: Dict[str, str] = {}
        self.updates: Dict[str, List[Tuple[Any, bool]]] = {}
        self.compared: List[Tuple[str, Any, Any]] = []

    def take(self, line: Line) -> None:
        payload = line.payload
        if line.who != "focus" or payload is None:
            return
        if line.dir == "receives":
            self._receive(line, payload)
        elif payload.tag == JINGLE:
            kind = payload.get("action")
            self.compared.append((kind, etree.fromstring(getattr(self, "_" + kind.replace("-", "_"))(line, payload)),
                                  payload))
        elif payload.tag == COLIBRI + "conference-modify":
            kind, request = self._bridge_request(line, payload)
            self.compared.append((kind, etree.fromstring(write_conference_modify(request)), payload))

    def _receive(self, line: Line, payload: Any) -> None:
        if payload.tag == DISCO and payload.get("node"):
            self.features = features_from_vars([feature.get("var") for feature in payload if feature.get("var")])
        elif payload.tag == COLIBRI + "conference-modified":
            answer: Any = parse_conference_modified(payload)
            if line.element.get("id") in self.creating:
                endpoint = self.creating[line.element.get("id")]
                self.answers[endpoint] = answer.endpoint(endpoint).transport
                self.feedback = {"jvb": answer.feedback}
        elif payload.tag == JINGLE:
            owner = line.element.get("from").partition("/")[2]
            request = parse_jingle(payload)
            if request.has_sources:
                self.table.add(owner, request.sources)
            self.updates.setdefault(owner, []).append((request, request.action in ("session-accept", "source-add")))

    def _bridge_request(self, line: Line, payload: Any) -> Tuple[str, ConferenceModify]:
        meeting = payload.get("meeting-id")
        endpoint = payload.find(COLIBRI + "endpoint")
        if endpoint is None:
            return "end", ConferenceModify(meeting, expire=True)
        name = endpoint.get("id")
        if endpoint.get("expire"):
            return "expire", ConferenceModify(meeting, endpoints=(EndpointRequest(name, expire=True),))
        if endpoint.get("create"):
            self.creating[line.element.get("id")] = name
            return "create", ConferenceModify(
                meeting, create=payload.get("create") == "true", name=payload.get("name"),
                rtcstats=False, endpoints=(EndpointRequest(
                    name, create=True, stats_id=endpoint.get("stats-id"), media=media_for(self.features),
                    capabilities=capabilities_for(self.features, rewriting=False)),))
        request, with_sources = self.updates[name].pop(0)
        return "update", ConferenceModify(meeting, endpoints=(EndpointRequest(
            name, stats_id=endpoint.get("stats-id"), transport=request.transport,
            sources=self.table.get(name) if with_sources else None, initial_last_n=request.initial_last_n),))

    def _session_initiate(self, line: Line, payload: Any) -> str:
        receiver = line.element.get("to").partition("/")[2]
        sources = {**self.feedback, **offered(self.table.items(), receiver, True, True, True)}
        session = payload.find("{http://jitsi.org/protocol/focus}bridge-session")
        return write_session_initiate(payload.get("sid"), payload.get("initiator"), media_for(self.features),
                                      self.answers[receiver], None, sources, session.get("id"), None,
                                      json=self.features.json_sources)

    def _source_add(self, line: Line, payload: Any) -> str:
        """What went into one update depends on the moment; all else must come out of our table."""
        told = {source.ssrc for sources in _told(payload).values() for source in sources.sources}
        sources = {}
        for owner in _told(payload):
            seen = self.table.get(owner).strip_simulcast()
            sources[owner] = SourceSet((s for s in seen.sources if s.ssrc in told),
                                       (g for g in seen.groups if told.issuperset(g.ssrcs)))
        return text_of(write_source_update("source-add", payload.get("sid"), source_body_json(sources)))

    def _session_terminate(self, line: Line, payload: Any) -> str:
        return write_session_terminate(payload.get("sid"), "expired", "Idle session timeout")


def _told(payload: Any) -> Dict[str, SourceSet]:
    from focus.stanzas.jingle_client import parse_source_update

    return parse_source_update(payload).sources


@pytest.fixture(scope="module", params=["call-2026", "call-2022"])
def replayed(request) -> Tuple[str, Replay]:
    replay = Replay()
    for line in read_capture(request.param):
        replay.take(line)
    return request.param, replay


COUNTS = {"call-2026": {"session-initiate": 3, "create": 3, "update": 4, "source-add": 7, "expire": 2},
          "call-2022": {"session-initiate": 3, "create": 3, "update": 6, "source-add": 4, "expire": 1,
                        "end": 1, "session-terminate": 1}}


def test_everything_is_compared(replayed):
    call, replay = replayed
    counts: Dict[str, int] = {}
    for kind, _, _ in replay.compared:
        counts[kind] = counts.get(kind, 0) + 1
    assert counts == COUNTS[call]


def test_differences_are_those_that_are_wanted(replayed):
    call, replay = replayed
    found: Set[Tuple[str, str]] = set()
    for kind, ours, theirs in replay.compared:
        found |= {(kind, difference) for difference in differences(ours, theirs)}
    wanted = {(kind, difference) for calls, kind, difference, _ in EXPECTED if call in calls}
    assert sorted(found - wanted) == [], "not in the table"
    assert sorted(wanted - found) == [], "not needed any more"


def test_every_stanza_has_the_differences_of_its_kind(replayed):
    """A wanted difference stands in each stanza of the kind it is wanted for, the names of nameless sources apart."""
    call, replay = replayed
    for kind, ours, theirs in replay.compared:
        always = {difference for calls, of, difference, item in EXPECTED
                  if call in calls and of == kind and item != "J-422"}
        assert always <= set(differences(ours, theirs))


def test_order_of_the_parts(replayed):
    """Children of ``jingle`` (J section 3.1) and of an endpoint (K-214) stand in the captured order."""
    for kind, ours, theirs in replayed[1].compared:
        assert child_order(ours) == [name for name in child_order(theirs) if name != TRACE]
        endpoints = zip(ours.findall(COLIBRI + "endpoint"), theirs.findall(COLIBRI + "endpoint"))
        for our_endpoint, their_endpoint in endpoints:
            assert child_order(our_endpoint) == child_order(their_endpoint), kind


def test_offer_and_endpoint_describe_the_same_media(replayed):
    """K-901, T-24: compared element by element, ours with ours."""
    replay = replayed[1]
    create = next(ours for kind, ours, _ in replay.compared if kind == "create")
    offer = next(ours for kind, ours, _ in replay.compared if kind == "session-initiate")
    for kind in ("audio", "video"):
        media = next(el for el in create[0] if el.get("type") == kind)
        content = next(el for el in offer if el.get("name") == kind)
        described = [el for el in content[0] if etree.QName(el).localname != "rtcp-mux"]
        assert [etree.tostring(el, method="c14n") for el in media] == [
            etree.tostring(el, method="c14n") for el in described]


def test_comparison_sees_every_kind_of_difference():
    theirs = etree.fromstring("<a x='1' y='2'><b/><c>t</c><source ssrc='1'/><source ssrc='2'/>"
                              "<json-message>{\"sources\":{\"owner123\":[[{\"s\":1}]]}}</json-message></a>")
    ours = etree.fromstring("<a x='2' z='3'><d/><c>u</c><source ssrc='2'/><source ssrc='1' name='n'/>"
                            "<json-message>{\"sources\":{\"owner123\":[[{\"s\":2,\"n\":\"x\"}]]}}</json-message></a>")
    assert sorted(differences(ours, theirs)) == sorted([
        "/a/@x", "+/a/@z", "-/a/@y", "+/a/d", "-/a/b", "/a/c/text()", "+/a/source/@name", "/a/source/order()",
        "+/a/json-message/sources/*/n", "/a/json-message/sources/*/s"])
    assert differences(theirs, theirs) == []
    assert differences(etree.fromstring("<a xmlns='n'/>"), etree.fromstring("<a/>")) == ["/a/name()"]


def test_nothing_is_told_of_an_unknown_owner():
    assert SourceTable().get("nobody") is EMPTY_SOURCES
