"""How much a bridge is asked at once, and which conferences wait for their turn (B-612).

When thousands are invited again together, a bridge would get all their allocations within a moment, answer the last of
them after the deadline, and be taken for a failing one, which begins everything anew. So an allocation leaves only
while the bridge has fewer requests to answer than the limit. Each answer lets the conference go on that has waited
longest, for one allocation; what else it has waits again, behind the others.
"""
from __future__ import annotations

import logging
from typing import Callable, Dict, Set

LOG = logging.getLogger(__name__)
LOOK_AGAIN = 5.0
"""Seconds after which a conference that waits looks for itself, should nobody have told it."""
SAY_AGAIN = 60.0
"""Seconds between two log lines about the same bridge."""


class Throttle:
    """The requests that bridges have to answer, and the queue at each bridge.

    Args:
        limit: requests without an answer from which on allocations wait; 0: they never do.
        in_flight: how many requests to an address have no answer.
        now: monotonic seconds.
        wake: ``wake(room, bridge)``: tell a conference that its turn has come; whether it is still there.
    """

    def __init__(self, limit: int, in_flight: Callable[[str], int], now: Callable[[], float],
                 wake: Callable[[str, str], bool]) -> None:
        self._limit = limit
        self._in_flight = in_flight
        self._now = now
        self._wake = wake
        self._waiting: Dict[str, Dict[str, None]] = {}
        """By bridge: the rooms that wait, the one that has waited longest first."""
        self._called: Dict[str, Set[str]] = {}
        """By bridge: the rooms whose turn it is, until they have heard of it."""
        self._said: Dict[str, float] = {}

    def has_room(self, bridge: str, more: int) -> bool:
        """Whether the bridge may be asked for an endpoint now.

        more: requests to it that this turn has made already.
        """
        if not self._limit:
            return True
        return self._in_flight(bridge) + more + len(self._called.get(bridge, ())) < self._limit

    def wait(self, bridge: str, room: str) -> None:
        """The room's conference has an allocation that has to wait; it is told when its turn has come."""
        waiting = self._waiting.setdefault(bridge, {})
        waiting[room] = None
        now = self._now()
        if now >= self._said.get(bridge, float("-inf")) + SAY_AGAIN:
            self._said = {jid: at for jid, at in self._said.items() if now < at + SAY_AGAIN}
            self._said[bridge] = now
            LOG.info("%s has %d requests to answer; further allocations wait for that (max_requests_in_flight)",
                     bridge, self._limit)

    def come(self, bridge: str, room: str) -> None:
        """The room's conference has heard that its turn has come, and takes it or not."""
        called = self._called.get(bridge)
        if called is not None:
            called.discard(room)
            if not called:
                del self._called[bridge]

    def call(self, bridge: str, more: int = 0) -> None:
        """There may be room again: those that have waited longest are told, one for each place.

        more: requests to the bridge that leave in a moment.
        """
        waiting = self._waiting.get(bridge)
        while waiting and self.has_room(bridge, more):
            room = next(iter(waiting))
            del waiting[room]
            if self._wake(room, bridge):
                self._called.setdefault(bridge, set()).add(room)
        if waiting is not None and not waiting:
            del self._waiting[bridge]

    def forget(self, room: str) -> None:
        """Its conference is over."""
        for bridge in [*self._waiting, *self._called]:
            self._waiting.get(bridge, {}).pop(room, None)
            self.come(bridge, room)
            self.call(bridge)

    def begin_anew(self) -> None:
        """All requests in flight are lost with the stream: conferences ask again by themselves."""
        self._waiting.clear()
        self._called.clear()
