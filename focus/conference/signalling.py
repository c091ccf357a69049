"""Who has to be told which sources: the log of source changes and the difference between two versions of it.

Every change of a participant's sources is one entry; every receiver has one number, the version it was told. What a
receiver must hear next is the difference between its version and now, with all that happened in between folded
together: added and removed again means nothing (J-715), a replaced source is a removal and an addition (J-716).
Memory is linear in sources: no list is kept per pair of sender and receiver.

Feedback sources of a bridge are not part of this (J-364).
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, Iterable, List, NamedTuple, Optional, Tuple

from focus.journal.rows import Row, Rows
from focus.values.sources import EMPTY_SOURCES, SourceSet

MAX_ENTRIES = 2000
"""Entries at which the log is folded for receivers that lag behind (a client that never accepts, say)."""


class Change(NamedTuple):
    """One owner's sources before and after one change."""

    version: int
    owner: str
    before: SourceSet
    after: SourceSet


class Difference(NamedTuple):
    """What to remove and what to add, by owner; removals are sent first (J-712)."""

    removed: Dict[str, SourceSet]
    added: Dict[str, SourceSet]

    def __bool__(self) -> bool:
        return bool(self.removed or self.added)


@dataclass(eq=False)
class SourceLog(Row):
    """The changes since the oldest version any receiver still has.

    ``version`` rises by one with every change. Owners that left the room are noted with ``forget``: clients drop
    their sources by the presence (C-701), so receivers aren't told, and the entries go (J-722).
    """

    version: int = 0
    changes: Rows[Change] = field(default_factory=lambda: Rows("change", Change), metadata={"journal": False})
    """By version, in order."""

    def note(self, owner: str, before: SourceSet, after: SourceSet) -> int:
        """Record that ``owner``'s sources changed; returns the new version."""
        if before == after:
            return self.version
        self.version += 1
        self.changes[str(self.version)] = Change(self.version, owner, before, after)
        return self.version

    def forget(self, owner: str) -> None:
        """The owner left the room: nobody is told of its sources, neither now nor later (J-125, J-722)."""
        for key in [key for key, change in self.changes.items() if change.owner == owner]:
            del self.changes[key]

    def trim(self, versions: Iterable[int]) -> None:
        """Drop what every receiver has been told; fold what only laggards need, to bound the memory."""
        marks = sorted(set(versions))
        oldest = marks[0] if marks else self.version
        told = []
        for key, change in self.changes.items():
            if change.version > oldest:
                break
            told.append(key)
        for key in told:
            del self.changes[key]
        if len(self.changes) > MAX_ENTRIES:
            folded = {str(change.version): change for change in _folded(list(self.changes.values()), marks)}
            for key in list(self.changes):
                if key not in folded:
                    del self.changes[key]
                elif folded[key] is not self.changes[key]:
                    self.changes[key] = folded[key]

    def since(self, version: int) -> Dict[str, Tuple[SourceSet, SourceSet]]:
        """For each owner that changed after ``version``: its sources then and now."""
        spans: Dict[str, Tuple[SourceSet, SourceSet]] = {}
        for change in self._after(version):
            first = spans.get(change.owner)
            spans[change.owner] = (first[0] if first else change.before, change.after)
        return spans

    def _after(self, version: int) -> List[Change]:
        """The changes later than ``version``: the last ones, in order."""
        later: List[Change] = []
        for key in reversed(self.changes):
            change = self.changes[key]
            if change.version <= version:
                break
            later.append(change)
        later.reverse()
        return later


def _folded(changes: List[Change], marks: List[int]) -> List[Change]:
    """At most one entry per owner between two versions that receivers have."""
    folded: List[Change] = []
    group: Dict[str, Change] = {}
    bounds = iter(marks)
    bound: Optional[int] = next(bounds, None)
    for change in changes:
        while bound is not None and change.version > bound:
            folded.extend(_ordered(group))
            group = {}
            bound = next(bounds, None)
        first = group.get(change.owner)
        group[change.owner] = change._replace(before=first.before if first else change.before)
    folded.extend(_ordered(group))
    return folded


def _ordered(group: Dict[str, Change]) -> List[Change]:
    return sorted((change for change in group.values() if change.before != change.after),
                  key=lambda change: change.version)


def difference(spans: Dict[str, Tuple[SourceSet, SourceSet]], without: str, audio: bool, video: bool,
               strip_simulcast: bool) -> Difference:
    """What one kind of receiver must be told of ``spans``.

    Sources of ``without`` (the receiver itself, J-720) and of media it has no feature for (J-731) are left out;
    simulcast is stripped on the whole sets before the difference is taken (J-742).
    """
    removed: Dict[str, SourceSet] = {}
    added: Dict[str, SourceSet] = {}
    for owner, (before, after) in spans.items():
        if owner == without:
            continue
        old, new = (seen(sources, audio, video, strip_simulcast) for sources in (before, after))
        gone, fresh = old - new, new - old
        if gone:
            removed[owner] = gone
        if fresh:
            added[owner] = fresh
    return Difference(removed, added)


def seen(sources: SourceSet, audio: bool, video: bool, strip_simulcast: bool) -> SourceSet:
    """The part of an owner's sources that a client with these features is told (J-731, J-741)."""
    if not (audio and video):
        sources = sources.only(audio=audio, video=video)
    return sources.strip_simulcast() if strip_simulcast and sources else sources


def offered(table: Iterable[Tuple[str, SourceSet]], without: str, audio: bool, video: bool,
            strip_simulcast: bool) -> Dict[str, SourceSet]:
    """All others' sources for an offer (J-361), by owner."""
    sources = ((owner, seen(owned, audio, video, strip_simulcast)) for owner, owned in table if owner != without)
    return {owner: owned for owner, owned in sources if owned}


__all__ = ["EMPTY_SOURCES", "Change", "Difference", "SourceLog", "difference", "offered", "seen"]
