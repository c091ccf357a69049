"""What tests of connections need: an inbox with a ticker behind it, and waiting for conditions (gevent)."""

from __future__ import annotations

import os
import time
from typing import Any, Callable, Dict, List, Optional

import gevent

from focus.tick import Inbox
from focus.xmpp.arrivals import Arrived, Connected, Disconnected, Refused


def wait_for(condition: Callable[[], Any], what: str, timeout: float = 15.0) -> Any:
    """Run the other greenlets until the condition holds; returns its value."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, "not within %g s: %s" % (timeout, what)
        gevent.sleep(0.005)


class TickingInbox(Inbox):
    """An inbox with a ticker: takes what has gathered, remembers it and acknowledges it.

    keep: what is remembered of an arrival. While `held` is True nothing is taken.
    """

    def __init__(self, keep: Callable[[Arrived], Any] = lambda arrived: arrived.element,
                 limit: int = 4 * 1024 * 1024) -> None:
        super().__init__(limit)
        self.arrived: List[Any] = []
        self.refused: List[Refused] = []
        self.connected: List[Connected] = []
        self.disconnected: List[Disconnected] = []
        self.most_unprocessed = 0
        self.held = False
        self._keep = keep
        self._ticker = gevent.spawn(self._run)

    def close(self) -> None:
        """End the ticker."""
        self._ticker.kill()

    def wait_connected(self, count: int = 1, timeout: float = 15.0) -> Connected:
        """Wait for that many logins in all; returns the last one."""
        wait_for(lambda: len(self.connected) >= count, "%d logins, seen %r, lost %r"
                 % (count, self.connected, [str(lost.error) for lost in self.disconnected]), timeout)
        return self.connected[count - 1]

    def wait_disconnected(self, count: int = 1, timeout: float = 15.0) -> Disconnected:
        """Wait for that many losses in all; returns the last one."""
        wait_for(lambda: len(self.disconnected) >= count, "%d disconnects" % count, timeout)
        return self.disconnected[count - 1]

    def wait_arrived(self, count: int = 1, timeout: float = 15.0) -> List[Any]:
        """Wait for that many stanzas in all; returns what was kept of them."""
        wait_for(lambda: len(self.arrived) >= count, "%d stanzas, seen %d" % (count, len(self.arrived)), timeout)
        return self.arrived

    def _run(self) -> None:
        while True:
            items = self.take()
            while self.held:
                gevent.sleep(0.005)
            self.most_unprocessed = max(self.most_unprocessed, self.unprocessed)
            handled: Dict[Any, int] = {}
            for item in items:
                if isinstance(item, Arrived):
                    self.arrived.append(self._keep(item))
                elif isinstance(item, Refused):
                    self.refused.append(item)
                elif isinstance(item, Connected):
                    self.connected.append(item)
                elif isinstance(item, Disconnected):
                    self.disconnected.append(item)
                if isinstance(item, (Arrived, Refused)):
                    handled[item.connection] = handled.get(item.connection, 0) + 1
            for connection, count in handled.items():
                connection.acknowledge(count)
            self.done(items)
            gevent.sleep(0)


def resident_bytes(pid: Optional[int] = None) -> int:
    """Resident memory of a process (this one by default)."""
    with open("/proc/%d/statm" % (pid or os.getpid()), encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
