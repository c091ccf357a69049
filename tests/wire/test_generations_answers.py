"""How each client generation answers, and what the bridge and the other generations are told of it.

Sheet: jingle.md sections 4, 5.3, 5.7, 7.3 and 10. The answers and what must come of them stand in
``tests/support/generation_answers.py``.
"""
from __future__ import annotations

from typing import Any, List, Tuple

import pytest
from lxml import etree

from tests.support.generation_answers import GATEWAY, TODAY, Answer, accept
from tests.support.generation_room import RESIDENTS, Room
from tests.support.generations import BY_NAME, GENERATIONS, ICE, SSMA, Generation
from tests.support.harness import ROOM, condition
from tests.wire.captures import read_capture
from tests.wire.compare import differences
from tests.wire.test_generations import heard, readable

COLIBRI = "{jitsi:colibri2}"
DTLS = "{urn:xmpp:jingle:apps:dtls:0}fingerprint"

#: Who only listens, beside those of RESIDENTS: generation and nickname.
LISTENERS = (("web-2020", "1157e001"), ("web-2026-rewriting", "1157e002"), ("video-only", "1157e003"))

every_generation = pytest.mark.parametrize("generation", GENERATIONS, ids=[g.name for g in GENERATIONS])


def room_with_listeners(generation: Generation) -> Room:
    room = Room(**generation.options)
    for name, nick in LISTENERS:
        room.come(BY_NAME[name], nick)
        room.take_answer(Answer(nick, requests=(accept(nick, "", ""),)))
        room.settle()
    return room


def listeners() -> List[Tuple[Generation, str]]:
    return [(BY_NAME[name], nick) for name, nick in LISTENERS] + [
        (BY_NAME[name], answer.nick) for name, answer in RESIDENTS]


def sources_of(endpoint: Any) -> List[str]:
    """The bridge's ``sources`` in the words of the table."""
    lines = []
    for named in endpoint.iter(COLIBRI + "media-source"):
        ssrcs = [source.get("ssrc") for source in named.findall("{%s}source" % SSMA)]
        parts = ["%s %s: %s" % (named.get("type"), named.get("id"), " ".join(ssrcs))]
        for group in named.findall("{%s}ssrc-group" % SSMA):
            parts.append(" ".join([group.get("semantics"), *(member.get("ssrc") for member in group)]))
        lines.append("; ".join(parts))
    return lines


def transports_of(endpoints: List[Any]) -> List[Any]:
    return [carried for endpoint in endpoints for carried in endpoint.iter("{%s}transport" % ICE)]


def role(carried: Any) -> str:
    """The DTLS role that a transport's fingerprint takes."""
    fingerprint = carried.find(DTLS)
    return "none" if fingerprint is None else fingerprint.get("setup", "none")


def in_words(carried: Any) -> str:
    return "%s %s %d" % (carried.get("ufrag"), role(carried), len(carried.findall("{%s}candidate" % ICE)))


@every_generation
def test_the_bridge_is_told(generation: Generation) -> None:
    """J-422, J-521, J-528, J-535, J-744: all sources, by name; the transport; the wish for few videos."""
    room = Room(**generation.options)
    room.come(generation, generation.answer.nick)
    told = room.take_answer(generation.answer)
    assert [dict(endpoint.attrib) for endpoint in told] == [
        {"id": generation.answer.nick, "stats-id": "S-" + generation.answer.nick}] * len(told)
    with_sources = [endpoint for endpoint in told if endpoint.find(COLIBRI + "sources") is not None]
    assert len(with_sources) == 1 and sources_of(with_sources[0]) == list(generation.answer.bridge)
    last_n = [one.get("value") for endpoint in told for one in endpoint.iter(COLIBRI + "initial-last-n")]
    assert last_n == ([] if generation.answer.last_n is None else [str(generation.answer.last_n)])
    carried = transports_of(told)
    assert all(len(one.findall("{%s}rtcp-mux" % ICE)) == 1 for one in carried)  # J-514
    if generation.answer is not GATEWAY:
        assert [in_words(one) for one in carried] == list(generation.answer.transports)


@every_generation
def test_the_others_are_told(generation: Generation) -> None:
    """J-401, J-411, J-422, J-712, J-720, J-721, J-731, J-741: each in its own form, of the media it has."""
    answer = generation.answer
    room = room_with_listeners(generation)
    room.come(generation, answer.nick)
    room.take_answer(answer)
    for listener, nick in listeners():
        lines = readable(answer.told, listener)
        updates = room.take("source-add", to="%s/%s" % (ROOM, nick))
        if not lines or listener.hears == "bridge":
            assert updates == [], listener.name
        else:
            (update,) = updates
            assert dict(update[0].attrib) == {"action": "source-add", "sid": room.state.participants[nick].sid}
            assert heard(update[0], listener.form) == {answer.nick: lines}, listener.name
    assert room.take("source-add") == [] and room.take("source-remove") == []


@every_generation
@pytest.mark.parametrize("later", ["web-2026", "web-2022", "web-2020", "jigasi"])
def test_who_comes_later_is_told(generation: Generation, later: str) -> None:
    """J-361: in the offer, as those who were there heard it."""
    answer = generation.answer
    room = Room(residents=False, **generation.options)
    room.come(generation, answer.nick)
    room.take_answer(answer)
    room.settle()
    offer = room.come(BY_NAME[later], "1a7e0001").offer
    lines = readable(answer.told, BY_NAME[later])
    assert heard(offer, BY_NAME[later].form).get(answer.nick, []) == lines


@pytest.mark.parametrize("name", ["visitor", "visitor-rewriting"])
def test_a_visitor_with_sources(name: str) -> None:
    """J-525, J-903: refused, its session has ended, nobody is told anything."""
    generation = BY_NAME[name]
    room = room_with_listeners(generation)
    room.come(generation, TODAY.nick)
    room.mail(room.jingle(TODAY.nick, *TODAY.requests[0]))
    assert condition(room.one("refusal")) == "forbidden"
    assert room.take("source-add") == [] and not room.state.sources.get(TODAY.nick)
    room.mail(room.jingle(TODAY.nick, "source-add", TODAY.requests[0][1], sid="unknown"))
    assert condition(room.one("refusal")) == "item-not-found"


def test_the_trickled_transport_goes_on_as_it_is() -> None:
    """J-566: what the client of early 2022 sends after its accept, as the captured focus told its bridge."""
    generation = BY_NAME["web-2022"]
    room = Room(residents=False)
    room.come(generation, generation.answer.nick)
    ours = transports_of(room.take_answer(generation.answer))
    theirs = transports_of([
        line.payload.find(COLIBRI + "endpoint") for line in read_capture("call-2022")
        if line.dir == "sends" and line.payload is not None and line.payload.tag == COLIBRI + "conference-modify"
        and line.payload.find(COLIBRI + "endpoint[@id='%s']" % generation.answer.nick) is not None])
    assert len(ours) == 2 and [differences(*pair) for pair in zip(ours, theirs)] == [[], []]


def test_the_bridge_learns_all_of_a_gateways_transport() -> None:
    """J-561, K-264, KT-6: Jigasi's credentials are in its transport-info, its fingerprint in its accept only.

    Without the fingerprint the bridge has no DTLS role and the gateway no media; and no transport on the way there may
    be without credentials, the bridge would forget those it has.
    """
    generation = BY_NAME["jigasi"]
    room = Room(residents=False)
    room.come(generation, GATEWAY.nick)
    carried = transports_of(room.take_answer(GATEWAY))
    assert in_words(carried[0]) == "U09a7e001 none 2"
    assert [(one.get("ufrag"), one.get("pwd")) for one in carried] == [
        ("U09a7e001", "pwd-of-09a7e001")] * len(carried)
    assert [one.find(DTLS).text for one in carried if role(one) == "active"] == ["99:88"], [
        etree.tostring(one) for one in carried]
    # the bridge is told again after the focus's stream broke: all at once
    room.settle()
    row = next(iter(room.state.bridges.values())).endpoints[GATEWAY.nick]
    assert row.transport is not None and row.transport.ufrag == "U09a7e001"
    assert [fingerprint.setup for fingerprint in row.transport.fingerprints] == ["active"]
