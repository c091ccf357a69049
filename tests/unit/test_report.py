"""Bridges as plain data: the keys are an interface of the reference (B-213, B-214)."""
from __future__ import annotations

import json

from focus.bridge import report
from focus.bridge.choice.rules import REGION_BASED, Rules
from focus.bridge.choice.stress import IceDetection
from focus.bridge.pool import Bridges
from tests.support.harness import BRIDGE, SECOND_BRIDGE, Stats


def pool() -> Bridges:
    bridges = Bridges(rules=Rules(REGION_BASED), ice=IceDetection(True, min_endpoints=1, threshold=0.5))
    bridges.heard(BRIDGE, Stats(stress_level=0.25, drain=False, version="2.3", release="r1", region="eu",
                                relay_id="10.0.0.5:4096"), None, 0.0)
    bridges.heard(SECOND_BRIDGE, Stats(graceful_shutdown=True), None, 0.0)
    return bridges


def test_a_bridge_that_says_everything():
    """B-213: exactly these keys."""
    bridges = pool()
    bridges.placed(BRIDGE, 0.0)
    bridges.restart_requested(BRIDGE, 0.0)
    assert report.bridge_state(bridges, bridges.rows[BRIDGE], 1.0) == {
        "corrected-stress": 0.81, "drain": False, "endpoints": 1, "endpoint-restart-requests": 1, "failing-ice": True,
        "graceful-shutdown": False, "healthy": True, "operational": True, "overloaded": True, "region": "eu",
        "relay-id": "10.0.0.5:4096", "release": "r1", "shutting-down": False, "stress": 0.25, "version": "2.3"}


def test_a_bridge_that_says_nothing():
    """B-213: missing texts are the text null."""
    bridges = pool()
    bridges.failed(SECOND_BRIDGE, "test", 0.0)
    state = report.bridge_state(bridges, bridges.rows[SECOND_BRIDGE], 1.0)
    assert [state[key] for key in ("region", "relay-id", "release", "version")] == ["null"] * 4
    assert (state["operational"], state["graceful-shutdown"], state["drain"]) == (False, True, True)


def test_the_selector():
    """B-213"""
    state = report.selector_state(pool(), 0.0)
    assert state["strategy"] == "RegionBasedBridgeSelectionStrategy"
    assert list(state) == ["strategy", "bridge"] and list(state["bridge"]) == [BRIDGE, SECOND_BRIDGE]
    assert json.loads(json.dumps(state)) == state


def test_figures():
    """B-214: no version is a version of its own."""
    bridges = pool()
    bridges.failed(SECOND_BRIDGE, "test", 0.0)
    assert report.figures(bridges, 0.0) == {
        "bridge_count": 2, "operational_bridge_count": 1, "in_shutdown_bridge_count": 1, "lost_bridges": 0,
        "bridge_version_count": 2}
    bridges.gone(BRIDGE, "left")
    assert report.figures(bridges, 0.0)["lost_bridges"] == 1
