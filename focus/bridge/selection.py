"""Which bridge a participant gets: pure functions over values, one rule a line (bridge.md section 5).

The bridges are given as they stand at the time of the choice; nothing here knows a clock, a socket or a pool.
"""
from __future__ import annotations

from typing import List, NamedTuple, Optional, Sequence


class Candidate(NamedTuple):
    """A bridge as the choice sees it."""

    jid: str
    """Occupant JID in the brewery."""
    operational: bool
    stress: float
    """Corrected stress (B-301)."""
    conferences: int
    """Our conferences on it."""
    region: Optional[str]
    version: Optional[str]
    """Full version (B-208)."""
    draining: bool
    graceful_shutdown: bool
    shutting_down: bool
    why_not: str
    """Why it isn't operational, for the log (U-16)."""


class Refusal(NamedTuple):
    """No bridge: the last reason that left none, and each bridge with what kept it out (U-16)."""

    reason: str
    bridges: str


def order(bridges: Sequence[Candidate]) -> List[Candidate]:
    """Best first (B-211): priority, then stress; ties by fewer conferences (U-24), then by JID."""
    return sorted(bridges, key=lambda b: (_priority(b), b.stress, b.conferences, b.jid))


def _priority(bridge: Candidate) -> int:
    if not bridge.operational:
        return 3
    return 2 if bridge.graceful_shutdown else 1


def usable(bridges: Sequence[Candidate], version: Optional[str]) -> List[Candidate] | Refusal:
    """The bridges that may be chosen, best first (B-504); a version is a preference as long as one has it (U-23)."""
    left = [b for b in order(bridges) if b.operational]
    if not left:
        return Refusal("There are no operational bridges.", describe(bridges))
    left = [b for b in left if not b.shutting_down]
    if not left:
        return Refusal("All operational bridges are SHUTTING_DOWN", describe(bridges))
    if version is not None:
        left = [b for b in left if b.version == version]
        if not left:
            return Refusal("There are no bridges with the required version: %s" % version, describe(bridges))
    left = [b for b in left if not b.draining] or left
    return [b for b in left if not b.graceful_shutdown] or left


def choose(bridges: Sequence[Candidate], in_use: Sequence[str], region: Optional[str],
           version: Optional[str] = None) -> Candidate | Refusal:
    """One bridge for a participant, all of a conference on one (B-520).

    Args:
        bridges: all that are known.
        in_use: JIDs of the conference's bridges, oldest first.
        region: the participant's, if known (B-529).
        version: full version the conference is held to, if any (B-503).
    """
    current = {b.jid: b for b in bridges}
    for jid in in_use:
        bridge = current.get(jid)
        if bridge is not None and bridge.operational and not bridge.shutting_down:
            return bridge
    left = usable(bridges, version)
    if isinstance(left, Refusal):
        return left
    if region:
        for bridge in left:
            if bridge.region == region:
                return bridge
    return left[0]


def describe(bridges: Sequence[Candidate]) -> str:
    """The whole pool with the reason why each was left out (U-16)."""
    if not bridges:
        return "no bridge is in the brewery"
    return "; ".join("%s: %s" % (b.jid.partition("/")[2], _excuse(b)) for b in order(bridges))


def _excuse(bridge: Candidate) -> str:
    if not bridge.operational:
        return "not operational (%s)" % bridge.why_not
    if bridge.shutting_down:
        return "shutting down"
    return "stress %.2f%s%s" % (bridge.stress, ", draining" if bridge.draining else "",
                                ", graceful shutdown" if bridge.graceful_shutdown else "")
