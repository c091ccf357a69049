"""The exchange with bridges, with the real focus on a real Prosody; they fail as scripted (colibri.md, bridge.md)."""

from __future__ import annotations

import time
from typing import Any, Dict, List, Tuple

import pytest

from tests.support import media
from tests.support.bridge import Bridge
from tests.support.client import Client
from tests.support.stage import Stage, log_lines

FOCUS_OPTIONS = ("--reply_timeout=3", "--no_bridge_grace=1", "--health_checks_interval=0.5")


def pair(stage: Stage, **settings: Any) -> Tuple[Bridge, Bridge]:
    """Two bridges; the first is chosen while it is usable."""
    first = stage.bridge(**settings)
    return first, stage.bridge(stats={"stress_level": "0.5"}, **settings)


def known(stage: Stage, *bridges: Bridge) -> None:
    """Wait until the focus knows the bridges."""
    for bridge in bridges:
        stage.wait_log("Added new videobridge: " + bridge.jid)


def call(stage: Stage, count: int = 2) -> Tuple[List[Client], str]:
    """So many participants in a call, or on the way to one."""
    clients, room = [stage.client() for _ in range(count)], stage.room()
    stage.enter(room, *clients)
    return clients, room


def wait_second_session(*clients: Client) -> None:
    """Wait until all are in their second session."""
    for client in clients:
        client.wait(lambda: len(client.sessions) == 2 and client.sessions[1].state == "active", 25,  # noqa: B023
                    "in a second session")


# --- failures of an allocation --------------------------------------------------------------------------------------

MOVES = "moves"
STAYS = "stays"

ALLOCATION: Dict[str, Tuple[Dict[str, Any], str]] = {
    "K-471 bad-request": ({"action": "error", "condition": "bad-request"}, ""),
    "K-441 internal-server-error": ({"action": "error", "condition": "internal-server-error"}, ""),
    "K-472 conference unknown": (
        {"action": "error", "condition": "item-not-found", "reason": "conference_not_found"}, ""),
    "K-472 occupant unknown": ({"action": "error", "condition": "item-not-found"}, MOVES),
    "K-473 conference exists": (
        {"action": "error", "condition": "conflict", "reason": "conference_already_exists"}, STAYS),
    "K-473 endpoint exists": ({"action": "error", "condition": "conflict"}, ""),
    "K-412 graceful shutdown": (
        {"action": "error", "condition": "service-unavailable", "reason": "graceful_shutdown"}, MOVES),
    "K-415 starting": ({"action": "error", "condition": "service-unavailable"}, MOVES),
    "K-414 forbidden": ({"action": "error", "condition": "forbidden"}, MOVES),
    "K-435 not implemented": (
        {"action": "error", "condition": "feature-not-implemented", "reason": "feature_not_implemented"}, STAYS),
    "K-474 no transport": ({"action": "no-transport"}, ""),
    "K-477 nonsense": ({"action": "wrong-result"}, MOVES),
    "K-470 no answer": ({"action": "drop"}, MOVES),
    "K-470 answer lost": ({"action": "drop-answer"}, MOVES),
}


@pytest.mark.parametrize("case", sorted(ALLOCATION))
@pytest.mark.parametrize("which", ["create-conference", "second endpoint"])
def test_a_failed_allocation_is_survived(stage: Stage, case: str, which: str) -> None:
    """K-410 to K-415, K-441, K-470 to K-477, B-633, B-640 to B-645: the call comes about, with few requests."""
    first, second = pair(stage, sctp=True)
    known(stage, first, second)
    details, expected = ALLOCATION[case]
    clients = [stage.client(), stage.client()]
    if which == "create-conference":
        first.script("create-conference", **details)
    else:
        first.script("create-endpoint", **details, endpoint_id=clients[1].endpoint)
    stage.enter(stage.room(), *clients)
    stage.wait(lambda: all(c.session is not None and c.session.state == "active" for c in clients), "both are in",
               stage.log, 30)
    stage.wait_call(*clients)
    if expected:
        there = [bridge for bridge in (first, second) if bridge.endpoint(clients[1].endpoint) is not None]
        assert there == [first if expected == STAYS else second]
    assert len(first.requests) + len(second.requests) < 24
    assert len({id(b) for b in (first, second) for c in clients if b.endpoint(c.endpoint) is not None}) == 1


def test_a_bridge_that_refuses_everything_is_not_asked_for_ever(stage: Stage) -> None:
    """B-641, B-643, K-491: with no other bridge; the participants stay in the room, and what they cost is bounded."""
    bridge = stage.bridge()
    bridge.script("create-endpoint", "error", times=1000, condition="bad-request")
    clients, _ = call(stage)
    stage.loop.run_for(4)
    assert len(bridge.requests) < 40
    assert all(client.joined and client.session is None for client in clients)


# --- failures of an update ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sources", "transport"])
@pytest.mark.parametrize("details, everybody", [
    ({"action": "error", "condition": "item-not-found", "reason": "unknown_endpoint"}, False),
    ({"action": "error", "condition": "item-not-found", "reason": "conference_not_found"}, True),
    ({"action": "error", "condition": "internal-server-error"}, True),
    ({"action": "error", "condition": "bad-request"}, True),
    ({"action": "error", "condition": "service-unavailable"}, True),
], ids=["K-481 endpoint", "K-482 conference", "K-482 internal", "K-482 bad", "K-482 service"])
def test_a_failed_update_re_invites(stage: Stage, kind: str, details: Dict[str, Any], everybody: bool) -> None:
    """K-481, K-482, J-811, J-813, B-820: only who is unknown, or all on that bridge; they get new sessions."""
    bridge = stage.bridge()
    (one, other), _ = call(stage)
    stage.wait_call(one, other)
    settle(stage, bridge)
    if details.get("reason") == "unknown_endpoint":
        details = dict(details, endpoint=one.endpoint)
        bridge.model.forget(bridge.requests[0].meeting_id, one.endpoint)
    elif details.get("reason") == "conference_not_found":
        bridge.model.forget(bridge.requests[0].meeting_id)
    bridge.script(kind, **details)
    extra = media.audio_source(one.endpoint, 4242, index=1)
    if kind == "sources":
        assert one.add_sources(extra).get("type") == "result"
    else:
        assert one.transport_info().get("type") == "result"
    wait_second_session(one)
    assert one.sessions[0].end_reason == "success"
    if everybody:
        wait_second_session(other)
    stage.wait_call(one, other)
    assert len(other.sessions) == (2 if everybody else 1)


def settle(stage: Stage, bridge: Bridge) -> None:
    """Wait until the bridge has answered all it was asked, and knows everybody's sources."""
    stage.wait(lambda: all(r.answered_at for r in bridge.requests) and len(bridge.requests_of(kind="sources")) >= 2,
               "the bridge is at rest", lambda: bridge.requests)


def test_an_update_without_an_answer_is_repeated_once(stage: Stage) -> None:
    """K-480: whole sources again; nobody is re-invited."""
    bridge = stage.bridge()
    (one, other), _ = call(stage)
    stage.wait_call(one, other)
    settle(stage, bridge)
    bridge.script("sources", "drop")
    before = len(bridge.requests_of(kind="sources"))
    extra = media.audio_source(one.endpoint, 4243, index=1)
    one.add_sources(extra)
    stage.wait(lambda: len(bridge.requests_of(kind="sources")) == before + 2, "repeated", stage.log, 15)
    wanted = {source.ssrc for source in one.sources.sources}
    assert {s for source in bridge.endpoint(one.endpoint).sources for s in source.ssrcs} == wanted
    assert len(one.sessions) == len(other.sessions) == 1


def test_two_updates_without_an_answer_are_a_dead_bridge(stage: Stage) -> None:
    """K-480, B-804: everybody moves to the other one."""
    first, second = pair(stage)
    known(stage, first, second)
    (one, other), _ = call(stage)
    stage.wait_call(one, other)
    settle(stage, first)
    first.script("sources", "drop", times=2)
    one.add_sources(media.audio_source(one.endpoint, 4244, index=1))
    wait_second_session(one, other)
    stage.wait_call(one, other)
    assert second.endpoint(one.endpoint) is not None and second.endpoint(other.endpoint) is not None


def test_errors_to_an_expiry_are_nobodys_business(stage: Stage) -> None:
    """K-482: logged only."""
    bridge = stage.bridge()
    (one, other), room = call(stage)
    third = stage.client()
    stage.enter(room, third)
    stage.wait_call(one, other, third)
    bridge.script("expire-endpoint", "error", condition="internal-server-error")
    bridge.model.forget(bridge.requests[0].meeting_id, third.endpoint)
    third.leave()
    stage.wait(lambda: bridge.requests_of(kind="expire-endpoint"), "asked to expire")
    one.add_sources(media.audio_source(one.endpoint, 4245, index=1))
    other.wait_sources_of([one])
    assert len(one.sessions) == len(other.sessions) == 1


# --- late, out of order, silent -------------------------------------------------------------------------------------


def test_a_slow_bridge_is_asked_for_all_at_once(stage: Stage) -> None:
    """K-132, K-134, B-605: after the first answer nobody waits for another participant's."""
    bridge = stage.bridge(delay=0.4, sctp=True)
    clients, _ = call(stage, 5)
    stage.wait_call(*clients)
    creations = bridge.requests_of(kind="create-endpoint")
    assert len(creations) == 5 and "create-conference" in creations[0].kinds
    assert max(request.in_flight_before for request in creations) >= 3
    for request in creations[1:]:
        assert request.at >= (creations[0].answered_at or 0)


def test_answers_in_another_order_across_conferences(stage: Stage) -> None:
    """K-131: each conference has its own order."""
    bridge = stage.bridge(sctp=True)
    known(stage, bridge)
    bridge.script("create-conference", "hold", times=1)
    (one, other), _ = call(stage)
    stage.wait(lambda: bridge.held == 1, "the first is held")
    later, _ = call(stage)
    stage.wait_call(*later)
    assert one.session is None and other.session is None
    bridge.release()
    stage.wait_call(one, other)


def test_who_leaves_while_its_endpoint_is_made(stage: Stage) -> None:
    """K-134, K-475: the endpoint is expired all the same; coming back makes another."""
    bridge = stage.bridge(sctp=True)
    clients, room = call(stage, 2)
    stage.wait_call(*clients)
    late = stage.client()
    bridge.script("create-endpoint", "delay", seconds=1.0, endpoint_id=late.endpoint)
    stage.enter(room, late)
    stage.wait(lambda: pending(bridge, late.endpoint), "it is being made")
    late.leave()
    stage.wait_log("left: " + late.endpoint)
    assert pending(bridge, late.endpoint)
    stage.wait(lambda: not pending(bridge, late.endpoint) and bridge.endpoint(late.endpoint) is None,
               "no endpoint is left", bridge.leaks)
    stage.enter(room, late)
    stage.wait_call(*clients, late)
    assert len(late.sessions) == 1


def pending(bridge: Bridge, endpoint: str) -> bool:
    """Whether a request about this endpoint is not answered yet."""
    return any(request.answered_at is None for request in bridge.requests if request.endpoints == [endpoint])


def test_all_leave_while_the_conference_is_made(stage: Stage) -> None:
    """K-475, K-352: nothing is left, and the next call in that room works."""
    bridge = stage.bridge(sctp=True)
    known(stage, bridge)
    bridge.script("create-conference", "delay", seconds=1.0)
    clients, room = call(stage)
    stage.wait(lambda: bridge.requests, "it is being made")
    for client in clients:
        client.leave()
    stage.wait(lambda: stage.log_of(room).count("Member left") == 2, "seen leaving")
    first = bridge.requests[0].endpoints[0]
    assert pending(bridge, first)
    stage.wait(lambda: not pending(bridge, first) and not bridge.leaks(), "nothing is left", bridge.leaks)
    stage.call(room, *clients)


def test_a_silent_bridge_is_given_up(stage: Stage) -> None:
    """K-470, B-410: it neither answers nor leaves; the next one is taken."""
    first, second = pair(stage)
    known(stage, first, second)
    first.vanish()
    clients, _ = call(stage)
    stage.wait(lambda: all(c.session is not None and c.session.state == "active" for c in clients), "both are in",
               stage.log, 30)
    stage.wait_call(*clients)
    assert all(second.endpoint(client.endpoint) is not None for client in clients)


# --- bridges come and go --------------------------------------------------------------------------------------------


def moved(stage: Stage, clients: List[Client], to: Bridge) -> None:
    """Wait until all have new sessions on that bridge."""
    wait_second_session(*clients)
    stage.wait_call(*clients)
    for client in clients:
        assert to.endpoint(client.endpoint) is not None
        assert client.sessions[0].end_reason == "success" and "moving" in repr(client.sessions[0].end)
        assert client.sessions[0].bridge_session != client.sessions[1].bridge_session


def test_a_bridge_that_leaves_is_followed_by_the_other(stage: Stage) -> None:
    """B-107, B-801, B-820, J-811, J-813, J-128: same room, same meeting id; all get new sessions."""
    first, second = pair(stage)
    known(stage, first, second)
    clients, _ = call(stage, 3)
    stage.wait_call(*clients)
    first.leave()
    moved(stage, clients, second)
    assert {r.meeting_id for r in first.requests} == {r.meeting_id for r in second.requests}
    first.model.conferences.clear()  # it is gone, nobody has to expire anything there


def test_a_bridge_that_breaks_off(stage: Stage) -> None:
    """B-107: its stream ends."""
    first, second = pair(stage)
    known(stage, first, second)
    clients, _ = call(stage)
    stage.wait_call(*clients)
    first.close()
    moved(stage, clients, second)
    first.model.conferences.clear()


def test_without_a_bridge_people_wait_for_one(stage: Stage) -> None:
    """B-801, B-811, B-831, B-832, C-520, C-656, J-124, U-16: no reload, and the offer comes by itself."""
    clients, _ = call(stage)
    one = clients[0]
    stage.wait_log("no bridge available")

    def unavailable() -> bool:
        return one.occupants["focus"].find("{http://jitsi.org/protocol/focus}bridgeNotAvailable") is not None

    one.wait(unavailable, 10, "told that there is no bridge")
    bridge = stage.bridge()
    stage.wait_call(*clients)
    one.wait(lambda: not unavailable(), 10, "told that there is one")
    first = bridge
    first.leave()
    first.model.conferences.clear()
    stage.wait_log("Lost a bridge")
    second = stage.bridge()
    moved(stage, clients, second)


def test_nothing_is_said_within_the_grace(stage: Stage) -> None:
    """C-520, B-832: a bridge that comes soon enough."""
    one, other, room = stage.client(), stage.client(), stage.room()
    stage.enter(room, one)
    bridge = stage.bridge()
    known(stage, bridge)
    stage.enter(room, other)
    stage.wait_call(one, other)
    assert not any(b"bridgeNotAvailable" in s.raw for s in one.received)


def test_a_bridge_in_graceful_shutdown_keeps_its_calls(stage: Stage) -> None:
    """B-633, B-803: new conferences go elsewhere; when it is shutting down, all move."""
    first, second = pair(stage)
    known(stage, first, second)
    clients, room = call(stage)
    stage.wait_call(*clients)
    first.publish(graceful_shutdown="true")
    others, _ = call(stage)
    stage.wait_call(*others)
    assert all(second.endpoint(client.endpoint) is not None for client in others)
    assert all(len(client.sessions) == 1 for client in clients)
    first.publish(shutting_down="true")
    moved(stage, clients, second)


def test_a_bridge_that_says_it_is_ill(stage: Stage) -> None:
    """B-404, B-803, B-433: its answer counts, what it publishes of its health doesn't; moved; logged once."""
    first, second = pair(stage)
    known(stage, first, second)
    first.publish(healthy="false")
    clients, _ = call(stage)
    stage.wait_call(*clients)
    first.script("health", "error", condition="internal-server-error", times=99)
    moved(stage, clients, second)
    asked = first.health_checks
    stage.wait(lambda: first.health_checks > asked + 2, "asked on")
    lines = [line for line in log_lines(stage.log(), "WARNING") if "Health check failed" in line]
    assert len(lines) == 1 and first.jid in lines[0]


def test_a_bridge_that_falls_silent_in_a_call(stage: Stage) -> None:
    """B-410, B-820: nothing closes, nothing leaves; all are on the other within 8 s, and it isn't waited for."""
    first, second = pair(stage)
    known(stage, first, second)
    clients, _ = call(stage, 3)
    stage.wait_call(*clients)
    asked = len(first.requests)
    first.vanish()
    silent_at = time.monotonic()
    moved(stage, clients, second)
    assert 3 < clients[0].sessions[1].offered_at - silent_at < 6
    assert time.monotonic() - silent_at < 8
    first.model.conferences.clear()
    assert len(first.requests) == asked and "nothing was heard of it for" in stage.log()


def test_a_bridge_restarted_under_its_name(stage: Stage) -> None:
    """B-411: its calls move at once; it is used again when the server has given up the connection of the dead one."""
    first, second = pair(stage)
    known(stage, first, second)
    clients, _ = call(stage)
    stage.wait_call(*clients)
    first.vanish()
    anew = stage.bridge(nickname=first.nickname)
    came_at = time.monotonic()
    moved(stage, clients, second)
    assert clients[0].sessions[1].offered_at - came_at < 3
    first.model.conferences.clear()
    stage.wait_log("%s was restarted under the same name" % first.jid)
    others, _ = call(stage)
    stage.wait_call(*others)
    assert all(second.endpoint(client.endpoint) is not None for client in others)  # though the other has less load
    assert not anew.requests
    first.close()
    stage.wait_log("The bridge can be used again: %s" % first.jid, 15)
    more, _ = call(stage)
    stage.wait_call(*more)
    assert all(anew.endpoint(client.endpoint) is not None for client in more)


def test_a_draining_bridge_takes_nothing_new(stage: Stage) -> None:
    """B-207: unless there is no other."""
    first, second = pair(stage)
    known(stage, first, second)
    first.publish(drain="true")
    clients, _ = call(stage)
    stage.wait_call(*clients)
    assert all(second.endpoint(client.endpoint) is not None for client in clients)


def test_a_bridge_that_lost_its_conference(stage: Stage) -> None:
    """K-482, K-410: a restarted bridge; noticed at the next update, or at the next one who joins."""
    bridge = stage.bridge()
    clients, room = call(stage)
    stage.wait_call(*clients)
    settle(stage, bridge)
    bridge.model.forget(bridge.requests[0].meeting_id)
    third = stage.client()
    stage.enter(room, third)
    wait_second_session(*clients)
    stage.wait_call(*clients, third)


def test_two_conferences_share_a_bridge_and_nothing_else(stage: Stage) -> None:
    """K-100, B-602: other meeting ids, other bridge-session ids."""
    bridge = stage.bridge()
    one, _ = call(stage)
    other, _ = call(stage)
    stage.wait_call(*one)
    stage.wait_call(*other)
    assert len({request.meeting_id for request in bridge.requests}) == 2
    assert len({client.wait_session().bridge_session for client in [*one, *other]}) == 2
    assert len({client.wait_session().bridge_session for client in one}) == 1


def test_requests_are_few_and_of_the_right_kinds(stage: Stage) -> None:
    """K-321, issue 10: two requests a join, and the end in one."""
    bridge = stage.bridge(sctp=True)
    clients, _ = call(stage, 4)
    stage.wait_call(*clients)
    settle(stage, bridge)
    assert len(bridge.requests) <= 2 * 4 + 2
    assert all(len(request.endpoints) <= 1 for request in bridge.requests)
    for client in clients:
        client.close()
    stage.wait(lambda: not bridge.leaks(), "nothing is left")
    assert not [request for request in bridge.requests if request.error]
