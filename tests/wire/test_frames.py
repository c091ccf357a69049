"""Stanzas themselves: addresses, errors, bounds of the three kinds, and what was captured of them."""
from __future__ import annotations

from typing import Any

import pytest
from lxml import etree

from focus.stanzas.errors import ERROR_TYPES
from focus.stanzas.registry import parsers, register
from focus.stanzas.small import Ping
from focus.stanzas.stanza import (
    Iq,
    Malformed,
    Message,
    ParsedError,
    Presence,
    StanzaError,
    Unknown,
    parse_stanza,
    stanza_error,
    write_error,
    write_iq,
    write_message,
    write_presence,
    write_result,
)
from tests.wire.captures import element, read_odd_requests, stanzas


def parse(text: str) -> Any:
    return parse_stanza(element(text))


@pytest.mark.parametrize("namespace", ["jabber:client", "jabber:component:accept", ""])
@pytest.mark.parametrize("text, kind", [
    ("<iq xmlns='%s' type='result' id='1' from='a' to='b'/>", Iq),
    ("<presence xmlns='%s' id='1' from='a' to='b'/>", Presence),
    ("<message xmlns='%s' id='1' from='a' to='b'/>", Message),
])
def test_kinds_in_every_namespace(namespace: str, text: str, kind: type) -> None:
    stanza = parse_stanza(etree.fromstring(text % namespace))
    assert type(stanza) is kind
    assert (stanza.id, stanza.from_, stanza.to) == ("1", "a", "b")


def test_other_elements_are_our_own_mistake() -> None:
    with pytest.raises(ValueError):
        parse("<r xmlns='urn:xmpp:sm:3'/>")


@pytest.mark.parametrize("text", [
    "<iq type='get' id='1'/>",
    "<iq type='set' id='1'/>",
    "<iq type='get' id='1'>text</iq>",
    "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/><ping xmlns='urn:xmpp:ping'/></iq>",
    "<iq type='set' id='1'><a xmlns='x'/><b xmlns='y'/></iq>",
    "<iq type='say' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
    "<iq id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
])
def test_a_request_has_exactly_one_child(text: str) -> None:
    payload = parse(text).payload
    assert isinstance(payload, Malformed)
    assert payload.error.type == "modify" and payload.error.condition == "bad-request"  # C-908


def test_unknown_payloads_are_named() -> None:
    assert parse("<iq type='get' id='1'><vCard xmlns='vcard-temp'/></iq>").payload == Unknown("vcard-temp", "vCard")
    assert parse("<iq type='result' id='1'><x/></iq>").payload == Unknown("jabber:client", "x")
    assert parse("<iq type='result' id='1'/>").payload is None


def test_comments_are_no_payload() -> None:
    stanza = etree.fromstring("<iq type='get' id='1'><!-- x --><ping xmlns='urn:xmpp:ping'/><?y z?></iq>")
    iq = parse_stanza(stanza)
    assert isinstance(iq, Iq) and iq.payload == Ping()


def test_a_gap_in_a_parser_is_answered_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    def broken(el: Any, iq_type: str) -> Any:
        raise KeyError("never raise past the door")

    register("urn:test", "broken", broken)
    try:
        payload = parse("<iq type='get' id='1'><broken xmlns='urn:test'/></iq>").payload
    finally:
        del parsers["{urn:test}broken"]
    assert payload.error.condition == "internal-server-error"
    assert "{urn:test}broken" in caplog.text


@pytest.mark.parametrize("from_", ["focus.meet.example/anna1@meet.example/x7", "anna1@meet.example/x7",
                                   "room@conference.meet.example/<a & 'b'>"])
def test_answers_go_back_unchanged(from_: str) -> None:
    request = Iq("set", "id='1' & <2>", "focus@auth.meet.example/focus", from_)
    result = parse(write_result(request, "<ping xmlns='urn:xmpp:ping'/>"))
    assert (result.type, result.id, result.to, result.from_) == ("result", request.id, from_, "")  # C-102
    error = parse(write_error(request, stanza_error("forbidden"), from_=request.to))
    assert (error.type, error.id, error.to, error.from_) == ("error", request.id, from_, request.to)


def test_an_error_has_its_condition_first() -> None:
    request = Iq("set", "1", "", "a@b/c")
    error = StanzaError("modify", "not-acceptable", "invalid <session>",
                        ("<session-invalid xmlns='http://jitsi.org/protocol/focus'/>",))
    answer = element(write_error(request, error))
    assert [etree.QName(child).localname for child in answer[0]] == ["not-acceptable", "text", "session-invalid"]
    assert parse_stanza(answer).error == ParsedError(
        "modify", "not-acceptable", "invalid <session>", None, None,
        (("http://jitsi.org/protocol/focus", "session-invalid"),))


@pytest.mark.parametrize("condition", sorted(ERROR_TYPES))
def test_errors_round_trip_with_their_usual_types(condition: str) -> None:
    error = parse(write_error(Iq("get", "1", "", "a"), StanzaError("", condition, ""))).error
    assert error == ParsedError(ERROR_TYPES[condition], condition)


@pytest.mark.parametrize("condition, kind", [
    ("bad-request", "modify"), ("not-acceptable", "modify"), ("undefined-condition", "modify"),
    ("forbidden", "auth"), ("not-authorized", "auth"),
    ("resource-constraint", "wait"), ("remote-server-timeout", "wait"), ("unexpected-request", "wait"),
    ("conflict", "cancel"), ("feature-not-implemented", "cancel"), ("gone", "cancel"),
    ("internal-server-error", "cancel"), ("item-not-found", "cancel"), ("not-allowed", "cancel"),
    ("service-unavailable", "cancel"),
])
def test_usual_types_are_those_of_the_reference(condition: str, kind: str) -> None:
    assert stanza_error(condition).type == kind  # S-106


STANZAS = "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'"


@pytest.mark.parametrize("inside, expected", [
    ("", ParsedError("", "undefined-condition")),
    ("<error/>", ParsedError("", "undefined-condition")),
    ("<error type='wait'><x xmlns='y'/></error>",
     ParsedError("wait", "undefined-condition", application=(("y", "x"),))),
    ("<error><never-heard-of %s/></error>" % STANZAS, ParsedError("", "undefined-condition")),
    ("<error><text %s>a</text><gone %s>xmpp:b</gone></error>" % (STANZAS, STANZAS), ParsedError("", "gone", "a")),
    ("<error><conflict %s/><text>plain</text></error>" % STANZAS, ParsedError("", "conflict", "plain")),  # K-403
    ("<query xmlns='jabber:iq:x'><error/></query><error type='cancel'><conflict %s/></error>" % STANZAS,
     ParsedError("cancel", "conflict")),
    ("<error><item-not-found %s/><error xmlns='jitsi:colibri2' reason='UNKNOWN_endpoint'/>"
     "<endpoint xmlns='jitsi:colibri2' id='1a2b'/></error>" % STANZAS,
     ParsedError("", "item-not-found", "", "unknown_endpoint", "1a2b")),  # K-401
    ("<error><item-not-found %s/><error xmlns='jitsi:colibri2' reason='new_one'/></error>" % STANZAS,
     ParsedError("", "item-not-found", "", "unspecified")),
    ("<error><item-not-found %s/><error xmlns='jitsi:colibri2'/></error>" % STANZAS,
     ParsedError("", "item-not-found", "", "unspecified")),
])
def test_errors_of_peers(inside: str, expected: ParsedError) -> None:
    iq = parse("<iq type='error' id='1'>%s</iq>" % inside)
    assert iq.error == expected and iq.payload is None


def test_presence_and_message_errors() -> None:
    text = "<error type='auth'><forbidden %s/></error>" % STANZAS
    assert parse("<presence type='error'>%s</presence>" % text).error == ParsedError("auth", "forbidden")
    assert parse("<presence>%s</presence>" % text).error is None
    message = parse("<message type='error'><body>x</body>%s</message>" % text)
    assert message.error == ParsedError("auth", "forbidden") and message.kind == "error"


@pytest.mark.parametrize("inside, kind", [
    ("<subject/>", "subject"),  # C-532
    ("<subject>Today</subject>", "subject"),
    ("<body>hello</body>", "chat"),
    ("<body>hello</body><subject>x</subject>", "chat"),
    ("<x xmlns='http://jabber.org/protocol/muc#user'><status code='104'/></x>", "configuration"),
    ("<x xmlns='http://jabber.org/protocol/muc#user'><status code='172'/></x>", "status"),
    ("<x xmlns='http://jabber.org/protocol/muc#user'><status code='nonsense'/></x>", "other"),
    ("<body xmlns='http://jabber.org/protocol/xhtml-im'>x</body>", "other"),
    ("", "other"),
])
def test_kinds_of_messages(inside: str, kind: str) -> None:
    assert parse("<message type='groupchat' from='room@c'>%s</message>" % inside).kind == kind


def test_written_messages_and_presences() -> None:
    message = parse(write_message("room@c", "groupchat", "<subject>a</subject>", id="7", from_="me@b"))
    assert (message.to, message.type, message.id, message.from_, message.subject) == (
        "room@c", "groupchat", "7", "me@b", "a")
    assert parse(write_message("room@c")).type == "normal"
    assert write_presence(None) == "<presence/>"
    presence = parse(write_presence("a@b/c", "unavailable", "<status>switch_room</status>", id="1"))
    assert (presence.to, presence.type, presence.id, presence.status) == ("a@b/c", "unavailable", "1", "switch_room")
    iq = parse(write_iq("get", "1", "a", "<ping xmlns='urn:xmpp:ping'/>", from_="b"))
    assert (iq.type, iq.id, iq.to, iq.from_) == ("get", "1", "a", "b")


@pytest.mark.parametrize("text", [pytest.param(text, id=label) for label, text in stanzas()])
def test_every_captured_stanza_is_read(text: str) -> None:
    el = element(text)
    stanza = parse_stanza(el)
    assert stanza.id == el.get("id", "")
    if isinstance(stanza, Iq):
        assert not isinstance(stanza.payload, (Malformed, Unknown)), stanza.payload
        assert (stanza.error is not None) == (stanza.type == "error")


REFUSALS = [pytest.param(record["answer"], id=record["case"])
            for record in read_odd_requests() if "type=\"error\"" in record["answer"].partition(">")[0]]


@pytest.mark.parametrize("answer", REFUSALS)
def test_every_captured_refusal_of_a_bridge_is_read(answer: str) -> None:
    el: Any = etree.fromstring(answer)
    error = parse_stanza(el).error
    assert error is not None and error.condition in answer and error.condition != "undefined-condition"
    assert error.text and error.text in "".join(el.itertext())
    assert (error.colibri_reason is not None) == ("reason=" in answer)
    assert error.colibri_reason is None or "reason=\"%s\"" % error.colibri_reason in answer
    assert error.type == el.find("{*}error").get("type")
