"""Which bridge a call is on, with the real focus on a real Prosody: regions, draining, load that is moved away."""

from __future__ import annotations

from typing import Sequence

from tests.support.bridge import Bridge
from tests.support.client import Client
from tests.support.stage import Stage, is_ready

FOCUS_OPTIONS = ("--selection_strategy=region-based", "--region_groups=[eu-west eu-central] [us-east]",
                 "--load_redistribution_enabled=true", "--load_redistribution_interval=1s",
                 "--load_redistribution_endpoints=2")


def known(stage: Stage, *bridges: Bridge) -> None:
    """Wait until the focus knows the bridges."""
    for bridge in bridges:
        stage.wait_log("Added new videobridge: " + bridge.jid)


def call(stage: Stage, count: int, region: str = "") -> Sequence[Client]:
    """So many participants in a call of their own, all of one region."""
    clients, room = [stage.client() for _ in range(count)], stage.room()
    extra = "<jitsi_participant_region>%s</jitsi_participant_region>" % region if region else ""
    for client in clients:
        assert is_ready(client.ask(room, stage.focus.jid))
        client.join(room, extra)
    for client in clients:
        client.wait_joined(20)
    stage.wait_call(*clients)
    return clients


def is_on(bridge: Bridge, clients: Sequence[Client]) -> bool:
    """Whether all of them have an endpoint there."""
    return all(bridge.endpoint(client.endpoint) is not None for client in clients)


def test_a_call_is_near_its_people(stage: Stage) -> None:
    """B-521, B-529: in their region, else in a region of the same group, else where the load is least."""
    west = stage.bridge(stats={"region": "eu-west", "stress_level": "0.5"})
    east = stage.bridge(stats={"region": "us-east", "stress_level": "0.3"})
    south = stage.bridge(stats={"region": "ap-south"})
    known(stage, west, east, south)
    assert is_on(east, call(stage, 2, "us-east"))
    assert is_on(west, call(stage, 2, "eu-central"))
    assert is_on(south, call(stage, 2, "mars"))


def test_a_draining_bridge_gets_nobody_new(stage: Stage) -> None:
    """B-504, B-505, B-806: who is there stays, and who joins them too."""
    first = stage.bridge()
    known(stage, first)
    clients = call(stage, 2)
    second = stage.bridge(stats={"stress_level": "0.7"})
    known(stage, second)
    first.publish(drain="true")
    assert is_on(second, call(stage, 2))
    late = stage.client()
    stage.enter(clients[0].room, late)
    stage.wait_call(*clients, late)
    assert is_on(first, [*clients, late]) and all(len(client.sessions) == 1 for client in clients)


def test_load_is_moved_away(stage: Stage) -> None:
    """B-870, B-872 R: a whole conference that is small enough goes to another bridge; the other one stays."""
    hot = stage.bridge()
    known(stage, hot)
    large, small = call(stage, 3), call(stage, 2)
    cool = stage.bridge(stats={"stress_level": "0.4"})
    known(stage, cool)
    hot.publish(stress_level="0.95")
    stage.wait(lambda: all(len(c.sessions) == 2 and c.sessions[1].state == "active" for c in small),
               "in a second session", stage.log, 20)
    stage.wait_call(*small)
    assert is_on(cool, small) and not hot.endpoint(small[0].endpoint)
    assert is_on(hot, large) and all(len(client.sessions) == 1 for client in large)
    assert "Redistributing load: moving 2 endpoints of 1 conferences" in stage.log()
