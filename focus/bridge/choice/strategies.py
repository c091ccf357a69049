"""The strategies: which of the usable bridges a participant gets (bridge.md 5.2 and 5.3), one function each.

They see only bridges that may be used, best first, and never refuse one for its load alone (B-527).
"""
from __future__ import annotations

from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence

from focus.bridge.choice.rules import (
    INTRA_REGION,
    REGION_BASED,
    SINGLE,
    SPLIT,
    VISITOR,
    Candidate,
    InUse,
    Rules,
    Wish,
)


class Case(NamedTuple):
    """One choice."""

    left: Sequence[Candidate]
    """The bridges that may be chosen, best first."""
    own: Sequence[Candidate]
    """The conference's bridges that work, oldest first, also those that aren't in ``left``."""
    used: Mapping[str, InUse]
    """JIDs of ``own`` to what the conference has there."""
    wish: Wish
    rules: Rules

    @property
    def first(self) -> Optional[Candidate]:
        """The conference's oldest bridge."""
        return self.own[0] if self.own else None

    def is_loaded(self, bridge: Candidate) -> bool:
        """B-512"""
        use = self.used.get(bridge.jid)
        return self.rules.is_overloaded(bridge) or use is not None and (
            self.rules.is_maxed(use) or self.rules.is_bursting(use))

    def mine(self) -> List[Candidate]:
        """Bridges of the conference that may be chosen, best first."""
        return [b for b in self.left if b.jid in self.used] if self.used else []


Strategy = Callable[[Case], Optional[Candidate]]


def single(case: Case) -> Optional[Candidate]:
    """All on one bridge: the first in the participant's region, whatever its load (B-520)."""
    if case.used:
        return case.first if len(case.used) == 1 else None
    region = case.wish.region
    return _first(case.left, lambda b: region is not None and b.region == region) or _first(case.left)


def split(case: Case) -> Optional[Candidate]:
    """A bridge that the conference hasn't yet; for tests (B-522)."""
    mine = case.mine()
    return (_first(case.left, lambda b: b.jid not in case.used)
            or min(mine, key=lambda b: case.used[b.jid].participants, default=None))


def region_based(case: Case) -> Optional[Candidate]:
    """Near the participant, on a bridge of the conference if that has room (B-521).

    The rule "not loaded, anywhere" before the sixth is ours (B-527).
    """
    left, rules, loaded = case.left, case.rules, case.is_loaded
    region = _region_for(case)
    group = rules.group(region)
    mine = case.mine()

    def free_here(bridge: Candidate) -> bool:
        return region is not None and bridge.region == region and not loaded(bridge)

    def free_near(bridge: Candidate) -> bool:
        return bridge.region in group and not loaded(bridge)

    def free(bridge: Candidate) -> bool:
        return not loaded(bridge)

    return (_first(mine, free_here)
            or _first(mine, free_near)
            or _first(left, free_here)
            or _first(left, free_near)
            or _first(mine, free)
            or _first(left, free)
            or _first(left, lambda b: not rules.is_overloaded(b))
            or _first(mine, lambda b: not rules.is_maxed(case.used[b.jid]))
            or _first(left))


def _region_for(case: Case) -> Optional[str]:
    """The region that is looked for: the participant's, or the local one if nothing nearer can be had."""
    wanted, local = case.wish.region, case.rules.local_region
    if local is None or wanted == local:
        return wanted or local
    near = case.rules.group(wanted)
    if not case.used and local in near:
        return local
    return wanted if any(b.region in near for b in case.left) else local


def intra_region(case: Case) -> Optional[Candidate]:
    """All in the region where the conference began (B-523).

    Where the sheet's rules have none left, the conference's first bridge is used, drained or not (U-23).
    """
    if case.first is None:
        wanted = case.wish.region
        return (_first(case.left, lambda b: wanted is not None and b.region == wanted and not case.is_loaded(b))
                or _first(case.left))
    region = case.first.region
    if region is None:
        return case.first
    mine = [b for b in case.mine() if b.region == region]
    return (_first(mine, lambda b: not case.is_loaded(b))
            or _first(case.left, lambda b: b.region == region and not case.is_loaded(b))
            or _first(mine)
            or case.first)


def visitor(case: Case) -> Optional[Candidate]:
    """Visitors and participants apart, each by a strategy of its own; together if there's no other way (B-524).

    If neither way the inner strategy has one, the oldest bridge is used, of the same class first (U-23).
    """
    is_visitor = case.wish.is_visitor
    inner = STRATEGIES[case.rules.inner[is_visitor]]
    used = {jid: use for jid, use in case.used.items() if use.visitors == is_visitor}
    apart = case._replace(left=[b for b in case.left if b.jid not in case.used or b.jid in used],
                          own=[b for b in case.own if b.jid in used], used=used)
    return inner(apart) or inner(case) or apart.first or case.first


def _first(bridges: Sequence[Candidate], fits: Optional[Callable[[Candidate], bool]] = None) -> Optional[Candidate]:
    for bridge in bridges:
        if fits is None or fits(bridge):
            return bridge
    return None


STRATEGIES: Dict[str, Strategy] = {
    SINGLE: single,
    SPLIT: split,
    REGION_BASED: region_based,
    INTRA_REGION: intra_region,
    VISITOR: visitor,
}
