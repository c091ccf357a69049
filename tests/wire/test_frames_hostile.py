"""Whatever a peer sends becomes a value, a refusal or nothing: the door never raises."""
from __future__ import annotations

from typing import Any, List

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from focus.stanzas.focus_presence import parse_focus_presence
from focus.stanzas.member import MemberInfo, read_member, write_member
from focus.stanzas.muc import parse_muc_join
from focus.stanzas.registry import parsers
from focus.stanzas.stanza import (
    Iq,
    Malformed,
    Message,
    Presence,
    StanzaError,
    parse_stanza,
    write_error,
    write_iq,
    write_message,
    write_presence,
    write_result,
)
from tests.wire.captures import element, stanzas
from tests.wire.mutation import mutate, mutations

SEEN: List[str] = [text for _, text in stanzas()]
#: What nobody captured, so that each kind is damaged too.
OTHERS = [
    "<iq type='result' id='1' from='a'><query xmlns='jabber:iq:version'><name>a</name><version>b</version>"
    "</query></iq>",
    "<iq type='result' id='1' from='a'><query xmlns='jabber:iq:last' seconds='12'/></iq>",
    "<iq type='get' id='1' from='a'><login-url xmlns='http://jitsi.org/protocol/focus' room='a@b'/></iq>",
    "<iq type='set' id='1' from='a'><logout xmlns='http://jitsi.org/protocol/focus' session-id='a'/></iq>",
    "<iq type='result' id='1' from='a'><query xmlns='http://jabber.org/protocol/disco#items'><item jid='a'/>"
    "</query></iq>",
    "<iq type='result' id='1' from='a'><query xmlns='http://jabber.org/protocol/disco#info'><x xmlns='jabber:x:data'>"
    "<field var='a' type='hidden'><value>1</value></field></x><identity category='a' type='b'/></query></iq>",
    "<iq type='error' id='1' from='a'><error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
    "<text>a</text><error xmlns='jitsi:colibri2' reason='unspecified'/></error></iq>",
    "<presence from='a@b/c' type='unavailable'><x xmlns='http://jabber.org/protocol/muc#user'>"
    "<item affiliation='none' role='none'><actor nick='a'/><reason>b</reason></item><status code='307'/>"
    "<destroy jid='a'><reason>b</reason></destroy></x></presence>",
    "<message from='a@b' type='groupchat'><subject>a</subject><body>b</body></message>",
    "<message from='a'><event xmlns='http://jabber.org/protocol/pubsub#event'><items node='n'><item id='b.c'><stats "
    "xmlns='http://jitsi.org/protocol/colibri'><stat name='stress_level' value='0.1'/></stats></item><item id='d'>"
    "<service-unavailable xmlns='urn:x'/></item></items></event><delay xmlns='urn:xmpp:delay'/></message>",
    "<iq type='set' id='1' from='a'><stats xmlns='http://jitsi.org/protocol/colibri'><stat name='drain' value='true'/>"
    "</stats></iq>",
]


def use(stanza: Any) -> None:
    """Asks for everything that a stanza can tell, and answers it."""
    if isinstance(stanza, Iq):
        payload = stanza.payload
        if isinstance(payload, Malformed):
            assert payload.error.condition != "internal-server-error", payload
            etree.fromstring(write_error(stanza, payload.error))
        etree.fromstring(write_result(stanza))
    elif isinstance(stanza, Presence):
        member = read_member(stanza, MemberInfo())
        etree.fromstring(write_presence("a", "", write_member(member)))
        assert read_member(stanza, member) == member
        hash((stanza.muc, stanza.stats, stanza.error, stanza.status, stanza.destroy_reason, member))
        parse_focus_presence(stanza.element)
        parse_muc_join(stanza.element)
    else:
        assert isinstance(stanza, Message) and stanza.kind
    assert repr(stanza)


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.sampled_from(SEEN + OTHERS * 10), mutations)
def test_damaged_stanzas_never_raise(text: str, changes: List[tuple]) -> None:
    damaged = mutate(element(text), changes)
    if etree.QName(damaged).localname in ("iq", "presence", "message"):
        use(parse_stanza(damaged))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_random_children_never_raise(data: Any) -> None:
    names = sorted(parsers) + ["{jabber:x:data}x", "{jabber:x:data}field", "{jabber:x:data}value", "error", "text",
                               "{http://jabber.org/protocol/muc#user}x", "{http://jabber.org/protocol/muc#user}item",
                               "{http://jitsi.org/protocol/colibri}stats", "SourceInfo", "features", "item"]
    attributes = ["var", "jid", "code", "node", "ver", "hash", "name", "value", "type", "room", "seconds", "reason"]
    root = etree.Element(data.draw(st.sampled_from(("iq", "presence", "message"))))
    root.set("type", data.draw(st.sampled_from(("get", "set", "result", "error", "", "unavailable", "x"))))
    places = [root]
    for _ in range(data.draw(st.integers(0, 6))):
        child = etree.SubElement(data.draw(st.sampled_from(places)), data.draw(st.sampled_from(names)))
        value = data.draw(st.sampled_from(("", "1", "a@b", "true", "é" * 600)))
        child.set(data.draw(st.sampled_from(attributes)), value)
        child.text = data.draw(st.sampled_from((None, "", "x", "{}", "7")))
        places.append(child)
    use(parse_stanza(root))


@pytest.mark.parametrize("payload", [
    "<query xmlns='http://jabber.org/protocol/disco#info'>%s</query>" % ("<feature var='x'/>" * 50_000),
    "<query xmlns='http://jabber.org/protocol/muc#admin'>%s</query>" % ("<item jid='x'/>" * 50_000),
    "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data'>%s</x></query>"
    % ("<field var='x'/>" * 50_000),
    "<conference xmlns='http://jitsi.org/protocol/focus' room='a@b'>%s</conference>"
    % ("<property name='x'/>" * 50_000),
])
@pytest.mark.parametrize("iq_type", ["result", "set"])
def test_floods_are_refused(payload: str, iq_type: str) -> None:
    iq = parse_stanza(element(write_iq(iq_type, "1", "a", payload)))
    assert isinstance(iq, Iq) and isinstance(iq.payload, Malformed)


any_text = st.text(st.characters(), max_size=40)


@given(any_text, any_text, any_text, any_text)
def test_stanzas_of_any_text_are_well_formed(id: str, to: str, from_: str, text: str) -> None:
    request = Iq("set", id, to, from_)
    for written in (
        write_iq("get", id, to, from_=from_), write_result(request), write_presence(to, text, "", id, from_),
        write_message(to, "chat", "", id, from_), write_error(request, StanzaError("", "gone", text), from_=to),
    ):
        parse_stanza(element(written))


# What XML can hold of it.
xml_text = any_text.map(lambda text: "".join(
    c for c in text if c in "\t\n\r" or " " <= c < "\ud800" or "\ue000" <= c < "\ufffe" or c > "\uffff"))


@given(xml_text, xml_text, xml_text, xml_text)
def test_addresses_and_texts_round_trip(id: str, to: str, from_: str, text: str) -> None:
    iq = parse_stanza(element(write_iq("result", id, to, from_=from_)))
    assert (iq.id, iq.to, iq.from_) == (id, to, from_)
    error = parse_stanza(element(write_error(Iq("get", id, "", to), StanzaError("", "gone", text)))).error
    assert error is not None and error.text == text
