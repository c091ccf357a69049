"""Bridges and the choice of them as plain data for whoever looks: debug states and overall figures (B-213, B-214)."""
from __future__ import annotations

from typing import Any, Dict, Union

from focus.bridge.bridge import Bridge
from focus.bridge.pool import Bridges

Value = Union[str, bool, int, float]


def bridge_state(bridges: Bridges, bridge: Bridge, now: float) -> Dict[str, Value]:
    """One bridge, with exactly the keys of B-213; missing texts are the text ``null``."""
    return {
        "corrected-stress": bridges.stress(bridge, now),
        "drain": bridge.draining,
        "endpoints": bridge.endpoints,
        "endpoint-restart-requests": bridges.recent_restarts(bridge, now),
        "failing-ice": bridges.is_failing_ice(bridge, now),
        "graceful-shutdown": bridge.graceful_shutdown,
        "healthy": bridge.healthy,
        "operational": bridges.is_operational(bridge, now),
        "overloaded": bridges.is_overloaded(bridge, now),
        "region": _text(bridge.region),
        "relay-id": _text(bridge.relay_id),
        "release": _text(bridge.release),
        "shutting-down": bridge.shutting_down,
        "stress": bridge.stress,
        "version": _text(bridge.version),
    }


def selector_state(bridges: Bridges, now: float) -> Dict[str, Any]:
    """The choice of bridges: its strategy and all bridges by occupant JID (B-213)."""
    return {"strategy": bridges.rules.strategy,
            "bridge": {bridge.jid: bridge_state(bridges, bridge, now) for bridge in bridges}}


def figures(bridges: Bridges, now: float) -> Dict[str, int]:
    """All bridges together (B-214, B-940)."""
    rows = list(bridges)
    return {
        "bridge_count": len(rows),
        "operational_bridge_count": sum(bridges.is_operational(bridge, now) for bridge in rows),
        "in_shutdown_bridge_count": sum(bridge.graceful_shutdown for bridge in rows),
        "lost_bridges": bridges.counters.lost_bridges,
        "bridge_version_count": len({bridge.full_version for bridge in rows}),
    }


def _text(value: Any) -> str:
    return "null" if value is None else str(value)
