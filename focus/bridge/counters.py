"""What has happened to bridges and because of them since the process began: plain numbers for whoever shows them."""
from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Counters:
    """Of all bridges and conferences together (bridge.md 9.2)."""

    lost_bridges: int = 0
    """Bridges that went without having announced it (B-110)."""
    rate_limited: int = 0
    """Choices in which a bridge of the conference had too many new participants (B-528)."""
    throttled: int = 0
    """Times that a conference had to wait for a bridge with too many requests to answer (B-612)."""
    participants_moved: int = 0
    """Participants who were invited again because of a bridge or an operator (B-824)."""
    bridges_removed: int = 0
    """Sessions on a bridge that ended for an error in its answers (B-824)."""
    redistributed: int = 0
    """Endpoints moved away from bridges with too much load (B-870)."""
