"""The tick: what makes everything that was read, done and written one unit.

A tick takes all stanzas the readers have gathered, in order, runs every turn and every lane they wake until all
wait again, and only then writes the output and acknowledges the input, in one ``commit()`` (DESIGN, "The tick").
So whatever leaves the process speaks of a state that is complete, and is in the journal.

What belongs here: the order of things. What does not: what a stanza means (``router``) and what a conference does
with it (``conference``). Invariants:

* ``Floor.busy`` is the number of greenlets that have work in this tick; nothing is written while it is above zero.
* Mail is posted only while a tick runs: timers, answers and connection events come through the inbox too.
"""
from __future__ import annotations

from collections import deque
from time import monotonic
from typing import Any, Callable, Deque, Dict, List, Optional, Protocol, Tuple

import gevent
from gevent import Greenlet
from gevent.event import Event

from focus.values.written import Written, text_of

MAX_UNPROCESSED = 4 * 1024 * 1024
"""Bytes of stanzas read but not yet handled at which the readers pause."""


PACE = 0.003
"""Seconds from the beginning of a tick to the next at least: in a burst more is handled by each, which costs less."""


class Inbox:
    """What arrives from outside, in order; readers fill it, the ticker empties it."""

    def __init__(self, limit: int = MAX_UNPROCESSED) -> None:
        self._items: Deque[Any] = deque()
        self._limit = limit
        self._filled = Event()
        self._room = Event()
        self._room.set()
        self.unprocessed = 0
        """Bytes put and not yet reported as done."""

    def put(self, item: Any) -> None:
        """Append one item; never blocks. An item's ``size`` (bytes) counts toward the limit."""
        self._items.append(item)
        size = getattr(item, "size", 0)
        if size:
            self.unprocessed += size
            if self.unprocessed > self._limit:
                self._room.clear()
        self._filled.set()

    def wait_for_room(self) -> None:
        """Block the calling reader while too much is unprocessed."""
        if not self._room.is_set():
            self._room.wait()

    def take(self) -> List[Any]:
        """Everything that is there, waiting until there is something."""
        self._filled.wait()
        self._filled.clear()
        items = list(self._items)
        self._items.clear()
        return items

    def take_now(self) -> List[Any]:
        """Everything that is there."""
        return self.take() if self._items else []

    def done(self, items: List[Any]) -> None:
        """Report items taken as handled."""
        for item in items:
            self.unprocessed -= getattr(item, "size", 0)
        if self.unprocessed <= self._limit:
            self._room.set()


class Floor:
    """Counts the greenlets that have work in the running tick."""

    def __init__(self) -> None:
        self.busy = 0
        self._quiet = Event()

    def enter(self) -> None:
        """One more greenlet has work."""
        self.busy += 1

    def leave(self) -> None:
        """A greenlet waits again."""
        self.busy -= 1
        if self.busy == 0:
            self._quiet.set()

    def wait_quiet(self) -> None:
        """Block until every greenlet waits."""
        while self.busy:
            self._quiet.clear()
            self._quiet.wait()


class Mailbox:
    """The messages for one owner greenlet, which takes all that has gathered as one turn."""

    __slots__ = ("_awake", "_closed", "_event", "_floor", "_messages")

    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        self._messages: List[Any] = []
        self._event = Event()
        self._awake = False
        self._closed = False

    def __len__(self) -> int:
        return len(self._messages)

    def post(self, message: Any) -> None:
        """Append one message; never blocks. After the owner's end it is dropped."""
        if self._closed:
            return
        self._messages.append(message)
        if not self._awake:
            self._awake = True
            self._floor.enter()
            self._event.set()

    def take(self) -> List[Any]:
        """All messages that have gathered; waits while there are none. Called by the owner only."""
        while not self._messages:
            if self._awake:
                self._awake = False
                self._event.clear()
                self._floor.leave()
            self._event.wait()
        messages, self._messages = self._messages, []
        return messages

    def close(self) -> None:
        """The owner ends: it has no work any more, and what comes later is dropped."""
        self._closed = True
        self._messages = []
        if self._awake:
            self._awake = False
            self._floor.leave()


Keep = Callable[[Dict[Any, int], Dict[Tuple[Any, Optional[int]], List[Written]]], None]


class Outbox:
    """What the turns of a tick want to send, per connection and session of it, in the order it was decided."""

    def __init__(self) -> None:
        self._queued: Dict[Tuple[Any, Optional[int]], List[Written]] = {}

    def add(self, connection: Any, stanza: Written, session: Optional[int] = None) -> None:
        """Queue one serialised stanza, made for that session of the connection (None: for any)."""
        queue = self._queued.get((connection, session))
        if queue is None:
            queue = self._queued[connection, session] = []
        queue.append(stanza)

    def take(self) -> Dict[Tuple[Any, Optional[int]], List[Written]]:
        """What is queued, leaving nothing."""
        queued, self._queued = self._queued, {}
        return queued


class Careful(Protocol):
    """``focus.caution`` has one."""

    @property
    def is_active(self) -> bool:
        """Whether stanzas are to be taken one by one."""

    def begin(self, stream: Any) -> bool:
        """A stanza is about to be handled; True if it is to be skipped instead."""


class Ticker:
    """Runs the ticks.

    Args:
        dispatch: the router's: it hands one inbox item to whom it concerns.
        on_commit: told that a tick's work is done.
        keep: writes to the journal how many stanzas each connection has handled with this tick, and its output.
    """

    def __init__(self, inbox: Inbox, floor: Floor, outbox: Outbox, dispatch: Callable[[Any], None],
                 on_commit: Callable[[], None], keep: Keep) -> None:
        self._inbox = inbox
        self._floor = floor
        self._outbox = outbox
        self._dispatch = dispatch
        self._on_commit = on_commit
        self._keep = keep
        self.ticks = 0
        self._ended: Optional[Event] = None
        self._careful: Optional[Careful] = None
        self._skip: Callable[[Any], None] = dispatch

    def start(self) -> Greenlet:
        """Run ticks in a greenlet until it is killed."""
        return Greenlet.spawn(self.run)

    def run(self) -> None:
        """Tick until told to end."""
        begun = 0.0
        while self._ended is None:
            items = self._inbox.take()
            early = begun + PACE - monotonic()
            if early > 0:
                gevent.sleep(early)
                items += self._inbox.take_now()
            begun = monotonic()
            if self._careful is None:
                self.tick(items)
            else:
                self._one_by_one(items, self._careful)
        self._ended.set()

    def be_careful(self, careful: Careful, skip: Callable[[Any], None]) -> None:
        """Take one stanza a tick.

        Args:
            careful: told of each stanza before it is handled; says whether to skip it, and when it is over.
            skip: what is done instead of handling.
        """
        self._careful, self._skip = careful, skip

    def _one_by_one(self, items: List[Any], careful: Careful) -> None:
        for item in items:
            counted = getattr(item, "size", 0) and item.connection.stream is not None
            if counted and careful.is_active and careful.begin(item.connection.stream):
                handle, self._dispatch = self._dispatch, self._skip
                try:
                    self.tick([item])
                finally:
                    self._dispatch = handle
            else:
                self.tick([item])
        if not careful.is_active:
            self._careful = None

    def end(self, ended: Event) -> None:
        """Let the running tick be the last one; the event is set when its output has been handed over."""
        self._ended = ended

    def tick(self, items: List[Any]) -> None:
        """One tick over the items given."""
        for item in items:
            self._dispatch(item)
        self._floor.wait_quiet()
        self.commit(items)
        self._inbox.done(items)
        self.ticks += 1

    def commit(self, items: List[Any]) -> None:
        """Write the tick down, let its output leave, then acknowledge its input (XEP-0198): the one place for each."""
        self._on_commit()
        handled: Dict[Any, int] = {}
        for item in items:
            if getattr(item, "size", 0):
                handled[item.connection] = handled.get(item.connection, 0) + 1
        queued = self._outbox.take()
        self._keep(handled, queued)
        for (connection, session), stanzas in queued.items():
            connection.send([text_of(stanza).encode("utf-8") for stanza in stanzas], session)
        for connection, count in handled.items():
            connection.acknowledge(count)
