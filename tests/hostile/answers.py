"""Each request gets exactly one answer: who asked what, and what came back."""

from __future__ import annotations

import time
from collections import Counter
from typing import Counter as CounterOf
from typing import Dict, List, NamedTuple, Tuple

Key = Tuple[str, str]
"""Sender and id of a request; an answer has them as receiver and id."""


class Asked(NamedTuple):
    """Requests of one key that are open. at: when the last of them was sent (monotonic seconds)."""

    count: int
    injected: int
    at: float


class Answers:
    """The books. A request is injected if it came from nobody real, so that its answer is for nobody."""

    def __init__(self) -> None:
        self.requests = 0
        self.conditions: CounterOf[str] = Counter()
        self.slowest = 0.0
        self.slowest_of: Key = ("", "")
        self.complaints: List[str] = []
        """Answers that nobody had asked for."""
        self._open: Dict[Key, Asked] = {}

    def asked(self, key: Key, injected: bool) -> None:
        """A request is on its way to the focus."""
        self.requests += 1
        old = self._open.get(key)
        count, by_nobody = (old.count, old.injected) if old is not None else (0, 0)
        self._open[key] = Asked(count + 1, by_nobody + injected, time.monotonic())

    def answered(self, key: Key, condition: str) -> bool:
        """An answer of the focus; returns whether it is for nobody real."""
        self.conditions[condition or "result"] += 1
        asked = self._open.get(key)
        if asked is None:
            if len(self.complaints) < 20:
                self.complaints.append("an answer (%s) to %r that nobody waits for" % (condition or "result", key))
            return False
        seconds = time.monotonic() - asked.at
        if seconds > self.slowest:
            self.slowest, self.slowest_of = seconds, key
        if asked.count == 1:
            del self._open[key]
        else:
            self._open[key] = asked._replace(count=asked.count - 1, injected=max(0, asked.injected - 1))
        return asked.injected > 0

    def unanswered(self) -> List[Key]:
        """Requests whose answer has not come."""
        return list(self._open)

    def forget(self) -> None:
        """The session is over, and no answers come to what was asked in it."""
        self._open.clear()
