"""A guest who means harm, in the room of others and beside it: they notice nothing (moderation.md section 11)."""

from __future__ import annotations

import base64
from typing import Any, Callable, List, Tuple

import pytest

from tests.support import media
from tests.support.client import Client
from tests.support.stage import Stage, answers_to
from tests.support.wire import escape

STATS = ("<stats xmlns='http://jitsi.org/protocol/colibri'><stat name='stress_level' value='0'/>"
         "<stat name='drain' value='false'/><stat name='version' value='2.3'/></stats>")
ACTIONS = ("session-accept", "session-info", "session-terminate", "transport-info", "transport-accept",
           "transport-reject", "source-add", "source-remove")
FLOOD = 300


@pytest.fixture(scope="module")
def room(server: Any, focus: Any) -> Any:
    """Two victims and an attacker in one call, and an outsider who is in no room."""
    with Stage(server, focus) as stage:
        stage.bridge()
        victims = [stage.client(), stage.client()]
        attacker = stage.client()
        stage.call(stage.room(), *victims, attacker)
        yield stage, victims, attacker, stage.client()
        stage.check()


def seen(*clients: Client) -> List[Tuple[Any, ...]]:
    """What participants know and have."""
    return [(one.others, one.session.sid if one.session else "", one.session.state if one.session else "",
             one.updates_received) for one in clients]


def unharmed(stage: Stage, victims: List[Client], before: Any, requests: int) -> None:
    """The focus goes on serving the victims; nothing changed for them, and the bridge was asked nothing."""
    for one in victims:
        assert one.request("set", one.focus, one.jingle("session-info")).get("type") == "result"
    assert seen(*victims) == before
    assert len(stage.bridges[0].requests) == requests


def attack(room: Any, do: Callable[[Client, Client], None]) -> None:
    """Do something as attacker and outsider that must change nothing."""
    stage, victims, attacker, outsider = room
    before, requests = seen(*victims), len(stage.bridges[0].requests)
    do(attacker, outsider)
    unharmed(stage, victims, before, requests)


def test_sessions_of_others(room: Any) -> None:
    """M-1127, J-106, C-252: every action on each victim's session, by an occupant and by somebody outside."""
    stage, victims, attacker, _ = room

    def do(inside: Client, outside: Client) -> None:
        for victim in victims:
            sid, body = victim.session.sid, media.update_contents(victim.sources)
            for action in ACTIONS:
                answer = inside.request("set", inside.focus, attacker.jingle(action, body, sid=sid))
                assert answer.error[:2] == ("cancel", "item-not-found"), action
                answer = outside.request("set", stage.focus.jid, attacker.jingle(action, body, sid=sid))
                assert answer.get("type") == "error", action

    attack(room, do)


def test_sources_of_others(room: Any) -> None:
    """M-1128, J-641, J-642: forged SSRCs, names and msids of victims; removal of what is theirs."""
    _, victims, _, _ = room

    def do(inside: Client, _: Client) -> None:
        for victim in victims:
            assert inside.remove_sources(victim.sources).error[1] == "bad-request"
            assert inside.add_sources(victim.sources).error[1] == "bad-request"

    attack(room, do)


def test_unknown_payloads(room: Any) -> None:
    """M-1054, M-1119a, M-1119b: `service-unavailable`, never a word of the request, and the stream goes on."""
    stage, _, attacker, _ = room

    def do(inside: Client, outside: Client) -> None:
        for client, to in ((inside, attacker.focus), (inside, stage.focus.jid), (outside, stage.focus.jid)):
            for kind in ("get", "set"):
                answer = client.request(kind, to, "<foo xmlns='urn:example:y'><evil/></foo>")
                assert answer.error[:2] == ("cancel", "service-unavailable")
                assert b"evil" not in answer.raw
        answer = inside.request("set", attacker.focus, "<mute xmlns='http://jitsi.org/jitmeet/audio'/>")
        assert answer.get("type") == "error"

    attack(room, do)


def test_forged_answers(room: Any) -> None:
    """J-106, M-1143, K-484: answers to requests to others, among them one that waits for the bridge, are nobody's."""
    stage, _, attacker, _ = room
    bridge, newcomer = stage.bridges[0], stage.client()
    bridge.script("create-endpoint", "hold", endpoint_id=newcomer.endpoint)
    stage.enter(attacker.room, newcomer)
    stage.wait(lambda: bridge.held == 1, "a request in flight")
    # The room passes ids on wrapped, in a form that everybody can undo.
    own = base64.b64decode(attacker.session.offer.get("id") + "==").split(b"\x00")[1].decode()
    stem, number = own.rpartition("-")[0], int(own.rpartition("-")[2], 16)
    answer = "<conference-modified xmlns='jitsi:colibri2'><endpoint id='%s'/></conference-modified>" % newcomer.endpoint

    def do(inside: Client, outside: Client) -> None:
        for guess in range(max(0, number - 100), number + 100):
            identifier = "%s-%x" % (stem, guess)
            for client, to in ((inside, attacker.focus), (outside, stage.focus.jid)):
                client.send("<iq type='result' id='%s' to='%s'>%s</iq>" % (identifier, escape(to), answer))
                client.send("<iq type='error' id='%s' to='%s'><error type='cancel'><item-not-found "
                            "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>" % (identifier, escape(to)))
        # handled in order: what they sent before their requests has been read when these are answered
        assert inside.request("set", inside.focus, inside.jingle("session-info")).get("type") == "result"
        assert outside.request("set", stage.focus.jid, outside.jingle("session-info", sid="x")).get("type") == "error"
        assert newcomer.session is None and bridge.held == 1

    attack(room, do)
    assert "Allocation of %s" % newcomer.endpoint not in stage.log()
    bridge.release()
    newcomer.wait_session()
    newcomer.leave()
    stage.wait(lambda: bridge.endpoint(newcomer.endpoint) is None, "the bridge has forgotten who left")


def test_a_guest_is_no_bridge(room: Any) -> None:
    """M-1111, B-105, B-129: statistics in a room of participants make nobody a bridge; the brewery lets no guest in."""
    stage, _, attacker, _ = room

    def do(inside: Client, outside: Client) -> None:
        inside.send(inside.presence(extra=STATS))
        outside.send("<presence to='%s/jvb-evil'><x xmlns='http://jabber.org/protocol/muc'/>%s</presence>" % (
            stage.prosody.brewery, STATS))
        refusal = outside.wait_stanza(lambda s: s.name == "presence" and s.get("type") == "error")
        assert refusal.error[:2] == ("auth", "registration-required")

    attack(room, do)
    assert "jvb-evil" not in stage.log()
    assert "Added new videobridge: " + attacker.room not in stage.log()


def test_a_flood_of_source_changes(room: Any) -> None:
    """M-1128, J-719: each is answered once; the others end with exactly what is left, told in far fewer stanzas."""
    stage, victims, attacker, _ = room
    extra = media.audio_source(attacker.endpoint, 900000, index=7)
    body = media.update_contents(extra)
    updates = [one.updates_received for one in victims]
    answers: List[str] = []
    for number in range(FLOOD):
        action = "source-remove" if number % 2 else "source-add"
        attacker.send_iq("set", attacker.focus, attacker.jingle(action, body), lambda a: answers.append(a.get("type")))
    stage.wait(lambda: len(answers) >= FLOOD, "all answers", lambda: len(answers), 30)
    assert answers == ["result"] * FLOOD
    fresh = stage.client()
    stage.enter(attacker.room, fresh)
    stage.wait_call(*victims, attacker, fresh)
    assert all(one.updates_received - before < FLOOD for one, before in zip(victims, updates))
    fresh.leave()
    stage.wait(lambda: stage.bridges[0].endpoint(fresh.endpoint) is None, "the bridge has forgotten who left")
    for one in victims:
        one.wait_sources_of([other for other in (*victims, attacker) if other is not one])


def test_a_flood_of_wrong_requests(room: Any) -> None:
    """M-1107, M-1114, M-1127: thousands of requests and presences; everybody is answered, the log isn't flooded."""
    stage, _, attacker, _ = room
    lines = len(stage.log().splitlines())
    identifiers: List[str] = []

    def do(inside: Client, outside: Client) -> None:
        for number in range(FLOOD):
            identifiers.append("flood%d" % number)
            inside.send("<iq type='set' id='flood%d' to='%s'>%s</iq>" % (
                number, escape(attacker.focus), attacker.jingle("transport-info", sid="wrong%d" % number)))
            inside.send(inside.presence(extra="<jitsi_participant_region>r%d</jitsi_participant_region>" % number))
            outside.send("<iq type='set' id='flood%d' to='%s'>%s</iq>" % (
                number, escape(stage.focus.jid), outside.jingle("session-accept", sid="wrong")))
        stage.wait(lambda: len(answers_to(inside, identifiers)) == FLOOD, "answers", timeout=30)
        stage.wait(lambda: len(answers_to(outside, identifiers)) == FLOOD, "answers to the outsider", timeout=30)

    attack(room, do)
    assert {a.get("type") for a in answers_to(attacker, identifiers)} == {"error"}
    assert len(stage.log().splitlines()) - lines < 20
