"""What can happen to a conference: the kinds of mail in its mailbox."""
from __future__ import annotations

from typing import Any, Dict, NamedTuple, Optional, Tuple


class Asked(NamedTuple):
    """A client asks for the conference (C-220); the request is valid and the room is ours."""

    connection: str
    iq: Any
    properties: Dict[str, str]


class RoomPresence(NamedTuple):
    """A presence whose sender is an occupant of the room, or the room itself."""

    presence: Any


class JingleReceived(NamedTuple):
    """A Jingle request of an occupant (J-5)."""

    iq: Any


class Answered(NamedTuple):
    """The answer to one of our requests; ``iq`` is None when its deadline ran out."""

    id: str
    iq: Optional[Any]


class LaneDone(NamedTuple):
    """An exchange named by a lane row has ended."""

    id: str
    outcome: Any


class FeaturesFound(NamedTuple):
    """A member's features by disco; ``features`` is None when it can't be asked (J-202)."""

    nick: str
    jid: str
    features: Optional[Any]


class Wake(NamedTuple):
    """A timer is due."""


class BridgeUsable(NamedTuple):
    """A bridge appeared or can be used again (B-811, B-831)."""

    bridge: str
    fresh: bool = False
    """It wasn't known before; others may be about to come."""


class BridgeKnown(NamedTuple):
    """What a bridge can do is known now: requests that waited for it may leave."""

    bridge: str


class BridgeFree(NamedTuple):
    """The conference's turn has come to ask a bridge for an endpoint (B-612)."""

    bridge: str


class BridgeLost(NamedTuple):
    """A bridge left, failed its health check or is shutting down: conferences leave it (B-801, B-803, B-804)."""

    bridge: str
    reason: str


class MoveEndpoints(NamedTuple):
    """These endpoints have to leave a bridge, which may be chosen again for them unless it is excluded (B-864)."""

    bridge: str
    endpoints: Tuple[str, ...]
    exclude: bool
    reason: str


class RebuildLinks(NamedTuple):
    """The operator wants a bridge's links to be made again: all, or the one to another bridge (K-539)."""

    bridge: str
    other: Optional[str]


class ConnectionBack(NamedTuple):
    """The stream is up again; ``resumed`` tells whether the room ever saw us leave (C-1033)."""

    resumed: bool
    outage: float = 0.0
    """Seconds without a stream: by so much timers are put off (C-1034)."""


class Stop(NamedTuple):
    """End the conference for good (C-820)."""

    reason: str
