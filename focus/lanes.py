"""Lanes: exchanges that wait for the network, one greenlet each, written in blocking style.

A lane owns no state. It is born from a row that names it, writes once, waits for the answers and reports the outcome;
what follows from that is a new turn, and if need be a new row. While it waits the tick it belongs to can end.

What a lane was given stands in its row. So a later process brings it to where it was: the function runs again, draws
the same ids, writes nothing that was written, and takes what had come before it waits for what hasn't.
"""
from __future__ import annotations

import logging
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Set

from gevent import Greenlet
from gevent.event import Event

from focus.journal.lanes import LaneRow
from focus.requests import Requests
from focus.stanzas.stanza import read_stanza, write_stanza
from focus.tick import Floor

LOG = logging.getLogger(__name__)


class Delivery(NamedTuple):
    """Something a lane waited for: an answer (None: too late), or a presence."""

    key: str
    stanza: Optional[Any]


class Gone(Exception):
    """The connection was lost, and with it whatever the lane waited for."""


class Lane:
    """What a lane's function may do."""

    def __init__(self, world: Lanes, connection: str, row: LaneRow) -> None:
        self._world = world
        self._connection = connection
        self._row = row
        self._again = list(row.ids)
        """Ids to be drawn again."""
        self._heard = {key for key, _ in row.heard}
        self._writes = 0
        self._deliveries: List[Delivery] = [
            Delivery(key, None if text is None else read_stanza(text)) for key, text in row.heard]
        self._event = Event()
        self._waiting = False
        self._gone = False
        self._watched: Set[str] = set()
        self._asked: Set[str] = set()

    def new_id(self) -> str:
        """An IQ id."""
        if self._again:
            return self._again.pop(0)
        drawn = self._world.new_id()
        self._row.ids = (*self._row.ids, drawn)
        return drawn

    def write(self, *stanzas: str) -> None:
        """Send stanzas, in one go and in this order."""
        self._writes += 1
        if self._writes <= self._row.writes:
            return  # an earlier process did
        self._row.writes = self._writes
        for stanza in stanzas:
            self._world.send(self._connection, stanza)

    def expect(self, request_id: str, to: str, seconds: Optional[float] = None) -> None:
        """The answer to an IQ is awaited; it is delivered under its id."""
        if request_id in self._heard:
            return
        self._asked.add(request_id)
        self._world.requests.expect(self._connection, request_id, to, self._answered, seconds)

    def watch(self, occupant: str) -> None:
        """Presences from this JID are delivered under it."""
        self._watched.add(occupant)
        self._world.watchers.setdefault(occupant, []).append(self)

    def next(self) -> Delivery:
        """Wait for the next delivery.

        Raises:
            Gone: the connection was lost.
        """
        while not self._deliveries:
            if self._gone:
                raise Gone
            self._waiting = True
            self._event.clear()
            self._world.floor.leave()
            self._event.wait()
        return self._deliveries.pop(0)

    def _answered(self, request_id: str, iq: Optional[Any]) -> None:
        self._asked.discard(request_id)
        self.deliver(Delivery(request_id, iq))

    def deliver(self, delivery: Delivery) -> None:
        """Hand the lane something, in a tick."""
        stanza = delivery.stanza
        self._row.heard = (*self._row.heard, (delivery.key, None if stanza is None else write_stanza(stanza)))
        self._deliveries.append(delivery)
        self._wake()

    def lose(self) -> None:
        """The connection is lost."""
        self._gone = True
        self._wake()

    def _wake(self) -> None:
        if self._waiting:
            self._waiting = False
            self._world.floor.enter()
            self._event.set()

    def end(self) -> None:
        """Nothing is awaited any more."""
        for request_id in self._asked:
            self._world.requests.forget(request_id)
        for occupant in self._watched:
            lanes = self._world.watchers.get(occupant, [])
            if self in lanes:
                lanes.remove(self)
            if not lanes:
                self._world.watchers.pop(occupant, None)
        self._world.floor.leave()


LaneFunction = Callable[..., Any]


class Lanes:
    """Brings lanes to life and routes to them.

    Args:
        functions: kind of row to the function that runs it, called with the lane and the row's arguments.
    """

    def __init__(self, floor: Floor, requests: Requests, send: Callable[[str, str], None],
                 new_id: Callable[[], str], functions: Dict[str, LaneFunction]) -> None:
        self.floor = floor
        self.requests = requests
        self.send = send
        self.new_id = new_id
        self._functions = functions
        self.watchers: Dict[str, List[Lane]] = {}
        self._running: Dict[Lane, None] = {}

    def start(self, row: LaneRow, done: Callable[[Any], None], lost: Any, fault: Any) -> None:
        """Run the lane a row names, from where the row says it is.

        ``done`` is told the outcome: ``lost`` if the connection is lost meanwhile, ``fault`` if the lane fails.
        """
        lane = Lane(self, "client", row)
        self._running[lane] = None
        self.floor.enter()
        Greenlet.spawn(self._run, lane, self._functions[row.kind], row.args, done, lost, fault)

    def _run(self, lane: Lane, function: LaneFunction, args: Dict[str, Optional[str]], done: Callable[[Any], None],
             lost: Any, fault: Any) -> None:
        try:
            outcome = function(lane, **args)
        except Gone:
            outcome = lost
        except Exception:  # a fault of ours must not leave the tick waiting for this lane for ever
            LOG.exception("A lane failed: %s", function.__name__)
            outcome = fault
        del self._running[lane]
        try:
            done(outcome)
        finally:
            lane.end()

    def presence(self, stanza: Any) -> None:
        """A presence arrived: hand it to the lanes that watch for its sender."""
        for lane in self.watchers.get(stanza.from_, ())[:]:
            lane.deliver(Delivery(stanza.from_, stanza))

    def disconnected(self) -> None:
        """The stream can't be resumed: whatever lanes wait for won't come."""
        for lane in list(self._running):
            lane.lose()


__all__ = ["Delivery", "Gone", "Lane", "Lanes"]
