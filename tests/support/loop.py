"""One thread, one selector, many scripted peers: the clock and the sockets of the tests' own peers.

Everything a scripted peer does happens while the test waits: `loop.wait(condition, timeout)` moves bytes, runs
timers and looks at the condition after each round. So a test reads like a script, has no threads, and never
sleeps for synchronisation.
"""

from __future__ import annotations

import heapq
import selectors
import socket
import time
from typing import Any, Callable, List, Optional, Tuple


class WaitTimeout(AssertionError):
    """A condition did not become true in time; the text says which and what was seen."""


class Timer:
    """A call that is due at `due` (monotonic seconds), once or every `interval` seconds."""

    __slots__ = ("due", "call", "interval", "cancelled")

    def __init__(self, due: float, call: Callable[[], None], interval: Optional[float] = None) -> None:
        self.due = due
        self.call = call
        self.interval = interval
        self.cancelled = False

    def cancel(self) -> None:
        """The call is not made any more."""
        self.cancelled = True


class Loop:
    """Selector, timers and waiting. Use as a context manager: leaving it closes what still is registered."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: List[Tuple[float, int, Timer]] = []
        self._count = 0

    def __enter__(self) -> Loop:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every socket that is still registered, and the selector."""
        for key in list(self._selector.get_map().values()):
            peer = key.data
            self._selector.unregister(key.fileobj)
            peer.drop()
        self._selector.close()

    def register(self, sock: socket.socket, peer: Any) -> None:
        """Call `peer.on_readable()` and, while wanted, `peer.on_writable()`."""
        self._selector.register(sock, selectors.EVENT_READ, peer)

    def want_write(self, sock: socket.socket, peer: Any, wanted: bool) -> None:
        """Switch the interest in writing on or off."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if wanted else 0)
        self._selector.modify(sock, events, peer)

    def unregister(self, sock: socket.socket) -> None:
        """Forget a socket; unknown ones are no error."""
        try:
            self._selector.unregister(sock)
        except (KeyError, ValueError):
            pass

    def call_later(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call once, `seconds` from now, in the course of a wait."""
        return self._add(Timer(time.monotonic() + seconds, call))

    def call_at(self, due: float, call: Callable[[], None]) -> Timer:
        """Call once, at `due` (monotonic seconds); those of one time in the order in which they were asked for."""
        return self._add(Timer(due, call))

    def call_every(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call every `seconds` from now on, in the course of waits."""
        return self._add(Timer(time.monotonic() + seconds, call, seconds))

    def step(self, timeout: float = 0.0) -> None:
        """One round: wait at most `timeout` seconds for something to happen, and do it."""
        now = time.monotonic()
        if self._timers:
            timeout = min(timeout, max(0.0, self._timers[0][0] - now))
        for key, events in self._selector.select(timeout):
            if events & selectors.EVENT_READ:
                key.data.on_readable()
            if events & selectors.EVENT_WRITE:
                key.data.on_writable()
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            if timer.cancelled:
                continue
            if timer.interval is not None:
                timer.due = now + timer.interval
                self._add(timer)
            timer.call()

    def wait(self, condition: Callable[[], Any], timeout: float, what: Any = "") -> Any:
        """Work until `condition()` is true and return its value.

        what: text, or a function that makes one, for the WaitTimeout raised after `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            value = condition()
            if value:
                return value
            left = deadline - time.monotonic()
            if left <= 0:
                text = what() if callable(what) else what
                raise WaitTimeout("not within %g s: %s" % (timeout, text or condition))
            self.step(min(left, 0.5))

    def run_for(self, seconds: float) -> None:
        """Work for a given time. Only to show that something does *not* happen; never to wait for something."""
        deadline = time.monotonic() + seconds
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                return
            self.step(left)

    def _add(self, timer: Timer) -> Timer:
        self._count += 1
        heapq.heappush(self._timers, (timer.due, self._count, timer))
        return timer
