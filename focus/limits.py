"""How often strangers may make us begin something (C-226), and say something."""
from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Deque, Dict, Hashable


class Allowed(Enum):
    """What a limit says."""

    YES = 1
    LATER = 2
    """Over the limit: the answer makes the client ask again."""
    NO = 3
    """Beyond ten times the limit: an error."""


class Seldom:
    """Says of the same thing only once a minute that it is to be told."""

    WINDOW = 60.0
    MOST = 1000
    """Things remembered; when there are more, all may be told again."""

    def __init__(self) -> None:
        self._told: Dict[Hashable, float] = {}

    def ask(self, what: Hashable, now: float) -> bool:
        """Whether ``what`` is to be told now (monotonic seconds)."""
        told = self._told.get(what)
        if told is not None and now - told < self.WINDOW:
            return False
        if len(self._told) >= self.MOST:
            self._told.clear()
        self._told[what] = now
        return True


class CreationLimit:
    """New conferences per sender and in total, within a sliding minute.

    Args:
        per_sender: for one bare JID.
        total: for all together.
    """

    WINDOW = 60.0

    def __init__(self, per_sender: int = 20, total: int = 3000) -> None:
        self._per_sender = per_sender
        self._total = total
        self._all: Deque[float] = deque()
        self._of: Dict[str, Deque[float]] = {}
        self._swept = 0.0

    def ask(self, sender: str, now: float) -> Allowed:
        """Count one attempt to create and say what becomes of it."""
        if now - self._swept > self.WINDOW:
            self._sweep(now)
        times = self._of.setdefault(sender, deque())
        self._trim(times, now)
        self._trim(self._all, now)
        over = max(len(times) / self._per_sender, len(self._all) / self._total)
        if len(times) < 10 * self._per_sender:  # what is refused isn't remembered without a bound
            times.append(now)
        if over < 1:
            self._all.append(now)
            return Allowed.YES
        return Allowed.LATER if len(times) < 10 * self._per_sender else Allowed.NO

    def _trim(self, times: Deque[float], now: float) -> None:
        while times and now - times[0] >= self.WINDOW:
            times.popleft()

    def _sweep(self, now: float) -> None:
        self._swept = now
        for sender in [s for s, times in self._of.items() if not times or now - times[-1] >= self.WINDOW]:
            del self._of[sender]
