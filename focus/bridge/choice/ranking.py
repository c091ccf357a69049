"""The bridges best first, kept in order so that a choice among a thousand needn't sort them.

A bridge is read again when something was done to it (``changed``) or when the time comes at which it changes by
itself: an endpoint that is no longer new, a failure that is over. The others stay where they are.
"""
from __future__ import annotations

from bisect import bisect_left, insort
from heapq import heappop, heappush
from typing import Any, Callable, Dict, List, Mapping, Tuple

from focus.bridge.choice.rules import Candidate
from focus.bridge.choice.selection import rank

Entry = Tuple[Tuple[int, float, int, str], Candidate]
FEW = 32
"""Up to so many changed bridges are put in their places one by one; with more the list is sorted."""


class Ranking:
    """All bridges of a pool as candidates.

    Args:
        rows: the pool's table, by JID.
        read: ``read(bridge, now)``: the bridge as a candidate, and the monotonic seconds at which that changes by
            itself.
    """

    def __init__(self, rows: Mapping[str, Any], read: Callable[[Any, float], Tuple[Candidate, float]]) -> None:
        self._rows = rows
        self._read = read
        self._entries: List[Entry] = []
        self._of: Dict[str, Entry] = {}
        self._stale: Dict[str, None] = {}
        self._until: Dict[str, float] = {}
        self._due: List[Tuple[float, str]] = []

    def changed(self, jid: str) -> None:
        """Something was done to this bridge, or may be done now; also: it came or went."""
        if jid in self._rows or jid in self._of:
            self._stale[jid] = None

    def at(self, now: float) -> List[Candidate]:
        """All bridges best first (B-211), as they are at a time (monotonic seconds)."""
        self._come_due(now)
        if self._stale:
            self._bring_up_to_date(now)
        if len(self._of) != len(self._rows):  # the table was read from a journal
            self._stale = dict.fromkeys([*self._of, *self._rows])
            self._bring_up_to_date(now)
        return [entry[1] for entry in self._entries]

    def _come_due(self, now: float) -> None:
        due = self._due
        while due and due[0][0] <= now:
            when, jid = heappop(due)
            if self._until.get(jid) == when:
                self._stale[jid] = None

    def _bring_up_to_date(self, now: float) -> None:
        stale, self._stale = self._stale, {}
        entries, few = self._entries, len(stale) <= FEW
        for jid in stale:
            old, bridge = self._of.pop(jid, None), self._rows.get(jid)
            if few and old is not None:
                del entries[bisect_left(entries, old[:1])]
            if bridge is None:
                self._until.pop(jid, None)
                continue
            candidate, until = self._read(bridge, now)
            self._of[jid] = new = (rank(candidate), candidate)
            if few:
                insort(entries, new)
            if until != float("inf") and self._until.get(jid) != until:
                heappush(self._due, (until, jid))
            self._until[jid] = until
        if not few:
            self._entries = sorted(self._of.values())
