"""The clock: sleeps until the earliest deadline or timer and says so in the inbox, so that time passes in ticks too."""
from __future__ import annotations

from typing import Any, Callable, Optional

from gevent import Greenlet
from gevent.event import Event


class Clock:
    """One alarm, set anew after each tick.

    Args:
        now: monotonic seconds.
        ring: called when the alarm is due; puts an item into the inbox.
    """

    def __init__(self, now: Callable[[], float], ring: Callable[[], Any]) -> None:
        self._now = now
        self._ring = ring
        self._alarm: Optional[float] = None
        self._earlier = Event()

    def set(self, when: Optional[float]) -> None:
        """Ring at that time (monotonic seconds); None: no alarm."""
        earlier = when is not None and (self._alarm is None or when < self._alarm)
        self._alarm = when
        if earlier:
            self._earlier.set()

    def start(self) -> Greenlet:
        """Run the clock's greenlet."""
        return Greenlet.spawn(self._run)

    def _run(self) -> None:
        while True:
            alarm = self._alarm
            if self._earlier.wait(None if alarm is None else max(0.0, alarm - self._now())):
                self._earlier.clear()
            elif self._alarm is not None and self._alarm <= self._now():
                self._alarm = None
                self._ring()
