"""The values of bridge selection: what is given to a choice and what comes of it (bridge.md 5.1)."""
from __future__ import annotations

from typing import Any, Dict, FrozenSet, Mapping, NamedTuple, Optional, Sequence, Tuple

from focus.values.addresses import bridge_name

SINGLE = "SingleBridgeSelectionStrategy"
SPLIT = "SplitBridgeSelectionStrategy"
REGION_BASED = "RegionBasedBridgeSelectionStrategy"
INTRA_REGION = "IntraRegionBridgeSelectionStrategy"
VISITOR = "VisitorSelectionStrategy"


class Candidate(NamedTuple):
    """A bridge as the choice sees it."""

    jid: str
    """Its address: the occupant JID in the brewery, or a component's."""
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
    relay_id: Optional[str] = None
    """None also if another bridge had the same id first (B-604)."""
    failure: str = ""
    """Why it isn't operational, for the log (U-16)."""
    failed_at: Optional[float] = None
    """Monotonic seconds of that failure."""

    @property
    def name(self) -> str:
        """Under which people know it (B-104)."""
        return bridge_name(self.jid)


class InUse(NamedTuple):
    """A bridge of the conference in question (B-502)."""

    jid: str
    participants: int = 0
    """Of this conference on it, allocations in flight included."""
    visitors: bool = False
    """Whether its first participant is a visitor (T-17)."""
    recent: int = 0
    """Endpoints this conference added to it within the interval of ``max_per_interval``."""


class Wish(NamedTuple):
    """The participant for whom a bridge is chosen."""

    region: Optional[str] = None
    """As its presence says (B-529)."""
    is_visitor: bool = False


class Rules(NamedTuple):
    """What the operator has set for all choices."""

    strategy: str = SINGLE
    inner: Tuple[str, str] = (SINGLE, SINGLE)
    """The visitor strategy's own, for participants and for visitors (B-524)."""
    octo: bool = False
    """Whether a conference may have several bridges."""
    allow_mixed_versions: bool = False
    stress_threshold: float = 0.8
    max_participants: int = 80
    """Of one conference on one bridge; 0 or less: no limit (B-510)."""
    max_per_interval: int = -1
    """New ones of one conference on one bridge within ``interval``; 0 or less: no limit (B-511)."""
    interval: float = 60.0
    """Seconds."""
    groups: Mapping[str, FrozenSet[str]] = {}
    """Region to the regions of its group (B-913)."""
    local_region: Optional[str] = None
    spread: bool = False
    """A new conference goes where the fewest are, not where the stress is least (U-24)."""

    def group(self, region: Optional[str]) -> FrozenSet[str]:
        """The regions as good as this one, itself among them; empty if it is unknown (B-513)."""
        if region is None:
            return frozenset()
        return self.groups.get(region) or frozenset((region,))

    def is_overloaded(self, bridge: Candidate) -> bool:
        """B-302"""
        return bridge.stress >= self.stress_threshold

    def is_maxed(self, use: InUse) -> bool:
        """B-510"""
        return 0 < self.max_participants <= use.participants

    def is_bursting(self, use: InUse) -> bool:
        """B-511"""
        return 0 < self.max_per_interval <= use.recent


def rules_of(config: Any) -> Rules:
    """The rules as a ``focus.config.Config`` has them."""
    groups: Dict[str, FrozenSet[str]] = {}
    for group in config.region_groups:
        groups.update(dict.fromkeys(group, frozenset(group)))
    return Rules(
        strategy=config.selection_strategy,
        inner=(config.participant_selection_strategy or SINGLE, config.visitor_selection_strategy or SINGLE),
        octo=config.octo_enabled, allow_mixed_versions=config.octo_allow_mixed_versions,
        stress_threshold=config.stress_threshold, max_participants=config.max_bridge_participants,
        max_per_interval=config.max_bridge_participants_per_interval,
        interval=config.max_bridge_participants_interval, groups=groups, local_region=config.local_region,
        spread=config.spread_conferences)


class Choice(NamedTuple):
    """The bridge a participant gets."""

    bridge: Candidate
    moves_all: bool = False
    """The conference can't stay on its other bridges beside this one: all move (B-606, T-14)."""


class Refusal(NamedTuple):
    """No bridge: the last reason that left none, and the pool as it was."""

    reason: str
    pool: Sequence[Candidate]
    at: Optional[float] = None
    """Monotonic seconds."""

    @property
    def bridges(self) -> str:
        """Each bridge with what kept it out (U-16)."""
        return describe(self.pool, self.at)


DESCRIBED = 50
"""So many bridges of a pool are named in one line of the log."""


def describe(bridges: Sequence[Candidate], now: Optional[float] = None) -> str:
    """The pool with the reason why each bridge was left out (U-16).

    Args:
        bridges: in the order in which they are to be named.
        now: monotonic seconds, to say since when one isn't operational.
    """
    if not bridges:
        return "no bridge is known"
    named = ["%s: %s" % (b.name, _excuse(b, now)) for b in bridges[:DESCRIBED]]
    if len(bridges) > DESCRIBED:
        named.append("and %d more" % (len(bridges) - DESCRIBED))
    return "; ".join(named)


def _excuse(bridge: Candidate, now: Optional[float]) -> str:
    if not bridge.operational:
        since = "" if bridge.failed_at is None or now is None else "since %d s: " % (now - bridge.failed_at)
        return "not operational (%s%s)" % (since, bridge.failure)
    if bridge.shutting_down:
        return "shutting down"
    return "stress %.2f%s%s%s" % (bridge.stress, ", version %s" % bridge.version if bridge.version else "",
                                  ", draining" if bridge.draining else "",
                                  ", graceful shutdown" if bridge.graceful_shutdown else "")
