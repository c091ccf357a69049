"""What surrounds the resumption of our stream: the doubt before it, and the stand-in while it may fail."""
from __future__ import annotations

import logging
from typing import Any, Callable, Dict, Optional

from focus.conference.state import NICK
from focus.doubt import Outage, Pace, PaceMeter, doubt
from focus.journal.rows import Rows
from focus.tick import Inbox
from focus.xmpp.arrivals import Arrived
from focus.xmpp.standin import StandIn

LOG = logging.getLogger(__name__)
LINGER = 30.0
"""Seconds after which the stand-in goes, whether or not we are in every room again."""
LEAVE = 5.0
"""Seconds after which it goes without the rooms' confirmation that it left."""


class Continuity:
    """Sees to it that rooms don't see us leave when the server refuses to resume.

    Args:
        client: the connection whose stream it is about.
        connect: makes another one of the same account, for an inbox and a resource.
        resource: of the account's session.
        queue: stanzas that the server keeps for a cut stream.
        rooms: gives the rooms where we stand, with the presence that enters each.
        is_settled: whether the new stream is in a room, or nothing holds it there any more.
        inbox: where requests go that the stand-in has kept.
        now: monotonic seconds.
    """

    def __init__(self, client: Any, connect: Callable[[Inbox, str], Any], resource: str, queue: int,
                 rooms: Callable[[], Dict[str, str]], is_settled: Callable[[str], bool], inbox: Inbox,
                 now: Callable[[], float]) -> None:
        self._client = client
        self._connect = connect
        self._resource = resource
        self._queue = queue
        self._rooms = rooms
        self._is_settled = is_settled
        self._inbox = inbox
        self._now = now
        self._meter = PaceMeter()
        self.paces: Rows[Pace] = Rows("pace", Pace)
        self.down_since = now()
        """Monotonic seconds of the last sign that we had a connection."""
        self.rebooted = False
        self.damaged = False
        self._stand_in: Optional[StandIn] = None
        self._until: Optional[float] = None
        self._answers_leave = self._waits_to_leave = False
        """Answers of the stand-in are sent with this tick, after it was settled; so it leaves with the next."""

    def restore(self) -> None:
        """After the rows were read."""
        if not self.paces:
            self.paces["client"] = Pace()

    def before_resuming(self) -> None:
        """Called in the connection's greenlet before each attempt to resume; may block for seconds."""
        if self._stand_in is not None and self._stand_in.is_alive:
            return
        stream = self._client.stream
        if stream is None:
            return
        why = doubt(Outage(self._now() - self.down_since, self.paces["client"].rate, self._client.unacknowledged,
                           stream.max_seconds, self._queue, self.rebooted, self.damaged))
        rooms = self._rooms() if why else {}
        if not rooms:
            return
        stand_in = StandIn(self._connect, rooms, self._resource, self._forward)
        if stand_in.enter():
            LOG.warning("The server may refuse to resume the stream (%s): a second session stands in %d of %d rooms "
                        "meanwhile", why, len(stand_in.rooms), len(rooms))
            self._stand_in = stand_in

    def connected(self, resumed: bool) -> None:
        """The stream is there again."""
        self.rebooted = self.damaged = False
        if self._stand_in is None:
            return
        if resumed:
            LOG.info("The stream was resumed; the second session isn't needed")
            self._close()
        else:
            self._until = self._now() + LINGER
            self._stand_in.hand_on()

    def settle(self, received: int) -> None:
        """A tick is over, after so many stanzas in all: leave the rooms that the new stream has entered."""
        now = self._now()
        if now >= self._meter.next_at:
            rate = round(self._meter.note(received, now), 1)
            if rate != self.paces["client"].rate:
                self.paces["client"].rate = rate
        if self._stand_in is None or self._until is None:
            return
        self._waits_to_leave, self._answers_leave = self._answers_leave, False
        is_busy = self._waits_to_leave or self._stand_in.unanswered > 0
        settled = [] if is_busy else [room for room in self._stand_in.rooms if self._is_settled(room)]
        for room in settled:
            self._stand_in.leave(room, NICK)
        if settled and not self._stand_in.rooms:
            self._until = min(self._until, now + LEAVE)
        if not (self._stand_in.rooms or self._stand_in.leaving) or now >= self._until:
            LOG.info("The new stream stands in the rooms; the second session has left them")
            self._close()

    def _forward(self, request: Arrived) -> None:
        self._inbox.put(Arrived(request.connection, request.element, 0))  # it isn't of the stream that is counted

    def answering(self) -> Optional[Any]:
        """The second session's connection, to which an answer goes now; None if it has gone."""
        if self._stand_in is None:
            return None
        self._stand_in.unanswered -= 1
        self._answers_leave = True
        return self._stand_in.client

    @property
    def wake_at(self) -> Optional[float]:
        """Monotonic seconds at which ``settle`` has something to do, whatever arrives."""
        return self._now() if self._until is not None and self._waits_to_leave else self._until

    def _close(self) -> None:
        stand_in, self._stand_in, self._until = self._stand_in, None, None
        if stand_in is not None:
            stand_in.close()
