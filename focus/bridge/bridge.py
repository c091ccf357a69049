"""One bridge as the pool knows it."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Optional, Tuple

from focus.bridge.choice.stress import RAMPUP_BUCKET, RESTARTS_BUCKET, Window
from focus.journal.rows import Row
from focus.values.addresses import bridge_name

# How a bridge came to be known.
ASKED = "asked"            # a client may ask for it, nobody else gets it (B-1003)
PUBLISHED = "published"    # its statistics came by PubSub (B-1002)
DISCOVERED = "discovered"  # the server lists it among its components (B-1001)
NAMED = "named"            # the operator says that it is there
BREWERY = "brewery"        # it stands in the brewery (B-105)
WEIGHT = {ASKED: 0, PUBLISHED: 1, DISCOVERED: 2, NAMED: 3, BREWERY: 4}
"""A bridge that is found in two ways is what weighs more."""
COMPLAINTS = 2
"""Participants who ask for a new session of their own accord, with which a silent bridge needs no second proof."""


class PoolEvent(NamedTuple):
    """Something conferences have to hear.

    ``kind`` is ``usable`` (B-811, B-831), ``lost`` (B-801, B-803, B-804), or ``known``: what it can do is known now,
    and requests that waited for that may leave.
    """

    kind: str
    bridge: str
    reason: str
    fresh: bool = False
    """It wasn't known before; others may be about to come (T-29)."""


@dataclass(eq=False)
class Bridge(Row):
    """One bridge, keyed by its address: the occupant JID in the brewery, or its component's (B-103, B-201, K-775)."""

    jid: str
    added_at: float
    seen_at: float
    average_stress: float
    stress: float = 0.0
    graceful_shutdown: bool = False
    shutting_down: bool = False
    draining: bool = True
    version: Optional[str] = None
    release: Optional[str] = None
    region: Optional[str] = None
    relay_id: Optional[str] = None
    healthy: bool = True
    stamp: Optional[str] = None
    real_jid: Optional[str] = None
    sctp: Optional[bool] = None
    """Whether it has data channels (K-476); None until an allocation has told."""
    sctp_asked_at: float = float("-inf")
    failed_at: Optional[float] = None
    failed_why: str = ""
    unproven: bool = False
    """Another process has come under its name: it isn't used before it has answered a health check (B-411)."""
    passed: bool = False
    """It has passed a check since it failed (B-202)."""
    endpoints: int = field(default=0, metadata={"journal": False})
    """Of our conferences; counted again from them after a restart."""
    conferences: int = field(default=0, metadata={"journal": False})
    recent: Window = field(default_factory=lambda: Window(RAMPUP_BUCKET), metadata={"journal": False})
    """Endpoints we put on it (B-303)."""
    complained_at: Tuple[float, ...] = field(default=(), metadata={"journal": False})
    """When endpoints asked for a new session, the last ``COMPLAINTS`` times."""
    restarts: Window = field(default_factory=lambda: Window(RESTARTS_BUCKET), metadata={"journal": False})
    """Restart requests of endpoints on it (B-306)."""
    restart_requests: int = field(default=0, metadata={"journal": False})
    """All of them (B-851)."""
    endpoints_moved: int = field(default=0, metadata={"journal": False})
    """Moved away by load redistribution."""
    failing_ice_until: float = float("-inf")
    """Monotonic seconds until which its ICE is taken to be failing (B-306)."""
    dialect: int = 0
    """Version of Colibri it speaks, as far as that is known; ``Dialects.of`` tells which to use."""
    dialect_from: str = ""
    """How that is known."""
    origin: str = BREWERY
    """How it came to be known."""
    reported: bool = True
    """It has published statistics; without them nothing is known of its load, and its silence means nothing."""
    failures: int = 0
    """How often it became not operational."""
    checkable: Optional[bool] = None
    """Whether it announces that it answers health checks (K-114); None: nobody has asked it, as in the brewery."""
    dialect_asked_at: float = float("-inf")
    dialect_awaited: bool = False
    """It has been asked, and conferences wait for its answer."""
    silent: bool = False
    """It has stopped publishing: its next statistics end that."""

    @property
    def name(self) -> str:
        """Under which people know it (B-104)."""
        return bridge_name(self.jid)

    @property
    def full_version(self) -> Optional[str]:
        """Version with release (B-208)."""
        if self.version is None or self.release is None:
            return self.version
        return "%s-%s" % (self.version, self.release)
