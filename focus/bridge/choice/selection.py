"""Which bridge a participant gets: order, filter and choice (bridge.md section 5).

The bridges are given as they stand at the time of the choice; nothing here knows a clock, a socket or a pool. What is
common to all strategies is here, the strategies themselves are in ``strategies``.
"""
from __future__ import annotations

import re
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

from focus.bridge.choice.rules import SINGLE, Candidate, Choice, InUse, Refusal, Rules, Wish, describe
from focus.bridge.choice.strategies import STRATEGIES, Case

__all__ = ["Candidate", "Choice", "InUse", "Refusal", "Rules", "Wish", "choose", "describe", "is_rate_limited", "order",
           "rank", "usable"]



def rank(bridge: Candidate) -> Tuple[int, float, int, str]:
    """The lower the better (B-211): priority, then stress; ties by fewer conferences (U-24), then by JID."""
    priority = 3 if not bridge.operational else 2 if bridge.graceful_shutdown else 1
    return priority, bridge.stress, bridge.conferences, bridge.jid


def order(bridges: Sequence[Candidate]) -> List[Candidate]:
    """Best first (B-211)."""
    return sorted(bridges, key=rank)


def usable(bridges: Sequence[Candidate], version: Optional[str]) -> Union[List[Candidate], Refusal]:
    """The bridges that may be chosen (B-504), in the order in which they are given.

    Args:
        bridges: all, best first.
        version: full version a bridge must have, if any.
    """
    left = [b for b in bridges if b.operational and not b.shutting_down and (version is None or b.version == version)]
    if left:
        left = [b for b in left if not b.draining] or left
        return [b for b in left if not b.graceful_shutdown] or left
    if not any(b.operational for b in bridges):
        return Refusal("There are no operational bridges.", tuple(bridges))
    if not any(b.operational and not b.shutting_down for b in bridges):
        return Refusal("All operational bridges are SHUTTING_DOWN", tuple(bridges))
    return Refusal("There are no bridges with the required version: %s" % version, tuple(bridges))


def choose(bridges: Sequence[Candidate], in_use: Sequence[InUse], wish: Wish, rules: Rules,
           pinned: Optional[str] = None) -> Union[Choice, Refusal]:
    """One bridge for a participant (B-501 to B-506).

    Args:
        bridges: all that are known, best first (``order``).
        in_use: the conference's, oldest first.
        wish: the participant's.
        rules: the operator's.
        pinned: full version the conference is held to, if any (B-507).
    """
    current = {use.jid for use in in_use}
    known = {b.jid: b for b in bridges if b.jid in current} if current else {}
    own = [known[use.jid] for use in in_use if use.jid in known]  # oldest first (T-11)
    working = [b for b in own if b.operational]
    running = working[0].version if working else None
    if running is not None and pinned is not None and running != pinned:
        return Refusal("The conference runs on version %s and is pinned to %s" % (running, pinned), tuple(bridges))
    version = running or pinned or (own[0].version if own and rules.octo else None)
    left = usable(bridges, None if rules.allow_mixed_versions else version)
    if isinstance(left, Refusal):
        anew = usable(bridges, None) if own and pinned is None else left
        if isinstance(anew, Refusal):
            return anew
        chosen = _by_strategy(_newest(anew), (), (), wish, rules)  # T-14, U-23
        return Choice(chosen, moves_all=True) if chosen is not None else _unsuited(bridges, rules)
    staying = [b for b in working if not b.shutting_down]
    if staying:
        first = staying[0]
        if not rules.octo or first.relay_id is None:
            return Choice(first)  # B-505
        left = _linkable(left, staying) or [first]
    if rules.spread and not staying:
        left = sorted(left, key=lambda b: (rules.is_overloaded(b), b.conferences, b.stress, b.jid))
    chosen = _by_strategy(left, staying, in_use, wish, rules)
    if chosen is None:
        return _unsuited(bridges, rules)
    return Choice(chosen, moves_all=bool(in_use) and chosen.jid not in current and not _joins(chosen, own, rules))


def is_rate_limited(in_use: Sequence[InUse], rules: Rules) -> bool:
    """Whether the conference has added too many of late to some bridge (B-528)."""
    return rules.max_per_interval > 0 and any(rules.is_bursting(use) for use in in_use)


def _by_strategy(left: Sequence[Candidate], staying: Sequence[Candidate], in_use: Sequence[InUse], wish: Wish,
                 rules: Rules) -> Optional[Candidate]:
    jids = {b.jid for b in staying}
    used: Dict[str, InUse] = {use.jid: use for use in in_use if use.jid in jids}
    return STRATEGIES[rules.strategy](Case(left, staying, used, wish, rules))


def _linkable(left: List[Candidate], staying: Sequence[Candidate]) -> List[Candidate]:
    """Those that the conference has, and those that can join them: for that all need relay ids (B-606)."""
    jids = {b.jid for b in staying}
    if any(b.relay_id is None for b in staying):
        return [b for b in left if b.jid in jids]
    return [b for b in left if b.relay_id is not None or b.jid in jids]


def _joins(chosen: Candidate, own: Sequence[Candidate], rules: Rules) -> bool:
    """Whether a new bridge can be used beside those that the conference has, some of which may have failed (T-12).

    The strategy single couldn't choose between two of them later (B-520).
    """
    if not rules.octo or rules.strategy == SINGLE or chosen.relay_id is None or any(b.relay_id is None for b in own):
        return False
    return rules.allow_mixed_versions or all(b.version in (None, chosen.version) for b in own)


def _unsuited(bridges: Sequence[Candidate], rules: Rules) -> Refusal:
    return Refusal("%s has no bridge for this conference" % rules.strategy, tuple(bridges))


def _newest(bridges: Sequence[Candidate]) -> List[Candidate]:
    newest = max((b.version or "" for b in bridges), key=_version_key)
    return [b for b in bridges if (b.version or "") == newest]


def _version_key(version: str) -> List[Any]:
    """Numbers count as numbers: 2.3.10 comes after 2.3.9."""
    return [(1, int(digits), "") if digits else (0, 0, other)
            for digits, other in re.findall("([0-9]{1,18})|([^0-9]+)", version)]
