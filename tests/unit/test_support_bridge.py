"""The synthetic bridge is as strict as a real one: the captured questions get the captured answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest
from lxml import etree

from tests.support.bridge_model import COLIBRI2, BridgeModel, Refusal

CAPTURE = Path(__file__).parents[1] / "fixtures" / "captures" / "colibri2-answers.jsonl"
LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
#: what the bridge makes up anew each time, or what is its own address
MADE_UP = {"pwd", "ufrag", "url", "ssrc", "ip", "port", "priority", "id", "foundation", LANGUAGE}


def captured() -> List[Dict[str, Any]]:
    lines = CAPTURE.read_text(encoding="utf-8").splitlines()[1:]
    return [json.loads(line) for line in lines]


def shape(element: Any, transport: bool = False) -> Any:
    """An element without what is made up, its attributes sorted."""
    name = etree.QName(element)
    transport = transport or name.namespace == "urn:xmpp:jingle:transports:ice-udp:1"
    ignored = MADE_UP if transport or name.localname == "source" else {LANGUAGE}
    attributes = sorted((key, value) for key, value in element.items() if key not in ignored)
    text = "" if name.localname == "fingerprint" else (element.text or "").strip()
    return name.text, attributes, text, [shape(child, transport) for child in element]


def payload(answer: Optional[str]) -> List[Any]:
    if answer is None:
        return []
    return list(etree.fromstring("<iq xmlns='jabber:client'>%s</iq>" % answer))


def test_captured_requests_get_the_captured_answers() -> None:
    model = BridgeModel()
    compared = 0
    for case in captured():
        request = etree.fromstring(case["request"])
        if etree.QName(request).namespace != COLIBRI2:
            continue
        mine = payload(model.answer(request))
        theirs = [] if case["answer"].startswith("no answer") else list(etree.fromstring(case["answer"]))
        assert [shape(element) for element in mine] == [shape(element) for element in theirs], case["case"]
        compared += 1
    assert compared == 42
    assert len(model.violations) == 4  # the four that a bridge leaves unanswered
    # What the capture leaves alive; the sixth was created by a request that then failed (K-311).
    assert sorted(meeting[-1] for meeting in model.conferences) == ["3", "4", "5", "6"]


def modify(inner: str, attributes: str = "") -> Any:
    return etree.fromstring(
        "<conference-modify xmlns='%s' meeting-id='m1'%s>%s</conference-modify>" % (COLIBRI2, attributes, inner)
    )


def endpoint(identifier: str, inner: str = "", attributes: str = " create='true'") -> str:
    return "<endpoint id='%s'%s><capability name='source-names'/><transport>%s</transport></endpoint>" % (
        identifier,
        attributes,
        inner,
    )


SOURCES = (
    "<sources><media-source id='e1-a0' type='audio'><source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='7'/>"
    "</media-source></sources>"
)


def test_sctp_is_answered_if_the_bridge_has_it() -> None:
    answer = BridgeModel(sctp=True).answer(modify(endpoint("e1", "<sctp/>"), " create='true'"))
    sctp = payload(answer)[0].find(".//{%s}sctp" % COLIBRI2)
    assert (sctp.get("port"), sctp.get("role")) == ("5000", "server")


@pytest.mark.parametrize(
    "inner, condition, reason",
    [
        (endpoint("e2") + "<relay id='r'/>", "feature-not-implemented", "feature_not_implemented"),
        ("<relay id='r'/><relay id='s'/>", "feature-not-implemented", "feature_not_implemented"),
        (endpoint("e2") + "<endpoint id='e1' expire='true'/>", "feature-not-implemented", "feature_not_implemented"),
        ("<endpoint id='e9'>%s</endpoint>" % SOURCES, "item-not-found", "unknown_endpoint"),
        (endpoint("e2", "<sctp role='client'/>"), "feature-not-implemented", ""),
        (endpoint("e2", "<sctp port='5001'/>"), "bad-request", ""),
    ],
)
def test_refusals_that_are_not_in_the_capture(inner: str, condition: str, reason: str) -> None:
    model = BridgeModel(sctp=True)
    model.answer(modify(endpoint("e1"), " create='true'"))
    request = modify(inner)
    with pytest.raises(Refusal) as caught:
        model.execute(model.receive(request), request)
    assert (caught.value.condition, caught.value.reason) == (condition, reason)


def test_a_visitor_cannot_have_sources() -> None:
    model = BridgeModel()
    model.answer(modify(endpoint("e1", attributes=" create='true' muc-role='visitor'"), " create='true'"))
    request = modify("<endpoint id='e1'>%s</endpoint>" % SOURCES)
    with pytest.raises(Refusal):
        model.execute(model.receive(request), request)


def test_graceful_shutdown_refuses_new_conferences_only() -> None:
    model = BridgeModel()
    model.answer(modify(endpoint("e1"), " create='true'"))
    model.graceful = True
    model.answer(modify(endpoint("e2")))
    assert set(model.conferences["m1"].endpoints) == {"e1", "e2"}
    other = etree.fromstring("<conference-modify xmlns='%s' meeting-id='m2' create='true'/>" % COLIBRI2)
    with pytest.raises(Refusal) as caught:
        model.receive(other)
    assert caught.value.reason == "graceful_shutdown"


def test_the_last_endpoint_takes_the_conference_with_it() -> None:
    model = BridgeModel()
    model.answer(modify(endpoint("e1"), " create='true'"))
    assert model.leaks()
    model.answer(modify("<endpoint id='e1' expire='true'/>"))
    assert not model.leaks()
    assert model.creations == {"m1": 1}


def test_unparsable_requests_are_violations() -> None:
    model = BridgeModel()
    for request in (
        "<conference-modify xmlns='jitsi:colibri2'/>",
        "<conference-modify xmlns='jitsi:colibri2' meeting-id='m'><endpoint id='e' muc-role='king'/>"
        "</conference-modify>",
        "<conference-modify xmlns='jitsi:colibri2' meeting-id='m'><endpoint id='e'><transport><sctp role='x'/>"
        "</transport></endpoint></conference-modify>",
    ):
        assert model.answer(etree.fromstring(request)) is None
    assert len(model.violations) == 3
