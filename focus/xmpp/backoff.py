"""How long to wait before the next attempt (C-1033, C-1036, U-2). Pure: time and chance are arguments."""

from __future__ import annotations

import random
from typing import Callable, Optional

from focus.xmpp.errors import Patience

FIRST = 0.5
LIMITS = {Patience.NETWORK: 10.0, Patience.REFUSED: 60.0}
CONFLICT = 30.0
CONFLICT_MEMORY = 3600.0
"""Seconds within which a second conflict means that another process insists on our address."""

STABLE = 20.0
"""Seconds a login must have lasted to start again with the shortest pause."""


class Backoff:
    """The pauses of one connection."""

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self._chance = chance
        self._last = 0.0
        self._conflict_at: Optional[float] = None

    def lasted(self, seconds: float) -> None:
        """A login lasted this long."""
        if seconds >= STABLE:
            self._last = 0.0

    def pause(self, patience: str, now: float) -> Optional[float]:
        """Seconds to wait; None: give way, wait until somebody asks for an attempt."""
        if patience == Patience.NONE:
            return 0.0
        if patience == Patience.CONFLICT:
            again = self._conflict_at is not None and now - self._conflict_at < CONFLICT_MEMORY
            self._conflict_at = now
            return None if again else CONFLICT
        self._last = min(self._last * 2 or FIRST, LIMITS[patience])
        return self._last * (0.75 + 0.5 * self._chance())
