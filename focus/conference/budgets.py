"""How often somebody may do what costs others: no flood of one stalls a room (moderation.md section 11).

Budgets are of the process: after a restart everybody has a full one. Nothing is lost by them, it comes later.
"""
from __future__ import annotations

from typing import Dict, Iterable, Tuple


def within(times: Iterable[float], now: float, seconds: float) -> Tuple[float, ...]:
    """Those of the times (monotonic seconds) that are less than so many seconds ago."""
    return tuple(t for t in times if now - t < seconds)


class Bucket:
    """So many uses at once, and so many a second in the long run."""

    __slots__ = ("_level", "_at")

    def __init__(self) -> None:
        self._level = 0.0
        self._at = float("-inf")

    def spend(self, now: float, rate: float, burst: float) -> float:
        """Use it once; returns 0.0, or if it is used up the seconds until it can be used again, and then it isn't.

        Args:
            now: monotonic seconds.
            rate: uses a second in the long run.
            burst: uses at once.
        """
        level = max(0.0, self._level - (now - self._at) * rate)
        if level > burst - 1:
            return (level - (burst - 1)) / rate
        self._level, self._at = level + 1, now
        return 0.0


class Invitations:
    """How often each person was invited of late; of those whose time is over nothing is kept."""

    def __init__(self) -> None:
        self._of: Dict[str, Tuple[float, ...]] = {}

    def spend(self, who: str, now: float, most: int, seconds: float) -> float:
        """Count one; returns 0.0, or the seconds until the next one is due, and then it isn't counted.

        Args:
            who: real bare JID.
            now: monotonic seconds.
            most: so many within ``seconds``.
        """
        recent = within(self._of.get(who, ()), now, seconds)
        if len(recent) >= most:
            return recent[0] + seconds - now
        if len(self._of) >= 64:
            self._of = {one: times for one, times in self._of.items() if now - times[-1] < seconds}
        self._of[who] = (*recent, now)
        return 0.0
