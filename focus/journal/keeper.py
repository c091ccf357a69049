"""The keeper: at the end of a tick it writes down what the tick has changed and what is about to leave.

It knows the parts that have rows and the connections that have streams, and turns them into one record. What it does
when the journal fails: the calls go on in memory, the file is removed since it says less and less of the truth, the
operator is told, and from time to time a new one is tried, which begins with everything there is.
"""
from __future__ import annotations

import logging
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from focus.journal.base import Journal, JournalError, Place
from focus.journal.bodies import Bodies
from focus.journal.record import Record, StreamRecord
from focus.journal.rows import Change, Ledger

LOG = logging.getLogger(__name__)
TRY_AGAIN = 30.0
"""Seconds between two attempts to begin a new journal after one has failed."""
LOOK_EVERY = 10.0
"""Seconds between two looks whether the file is still there."""

Queued = Dict[Tuple[Any, Optional[int]], List[Any]]
"""Connection and session to the stanzas of a tick."""
TakeChanges = Callable[[], Tuple[List[Change], List[int]]]


class Keeper:
    """Commits ticks.

    Args:
        journal: where to; None: nowhere, and everything here does nothing.
        connections: those whose streams are kept.
        take: gives the rows that changed and the owners that ended, and forgets that they did.
        ledgers: gives every ledger there is, for a beginning with everything.
        now, wall: monotonic seconds, and seconds since 1970.
        place: where a new journal is made when one has failed; None: no journal is wanted.
        failure: why there is none now.
        mark: told the number of each record, once it is written.
        notes: what a new journal has to know of this process.
    """

    def __init__(self, journal: Optional[Journal], connections: Sequence[Any], take: TakeChanges,
                 ledgers: Callable[[], List[Ledger]], now: Callable[[], float], wall: Callable[[], float],
                 place: Optional[Place], failure: str = "",
                 mark: Callable[[int], None] = lambda _: None, notes: Optional[Dict[str, str]] = None) -> None:
        self.journal = journal
        self._wanted = place is not None
        self._connections = list(connections)
        self._take = take
        self._ledgers = ledgers
        self._now = now
        self._wall = wall
        self._place = place
        self._notes = notes or {}
        self._mark = mark
        self._bodies = Bodies()
        self._seen: Dict[str, Tuple[Any, ...]] = {}
        """By connection: what the journal knows of its session."""
        self._look_at = float("-inf")
        self._everything = journal is not None
        """The next record holds every stanza not confirmed, and what came before can be folded."""
        self.failed_at: Optional[float] = now() if place is not None and journal is None else None
        self.failure = failure
        self.commits = 0
        self.bytes = 0
        self.received = 0
        """Stanzas handled by the process until now."""

    def commit(self, handled: Dict[Any, int], queued: Queued) -> None:
        """Write down the tick; when this returns, its output may leave and its input may be acknowledged."""
        rows, ended = self._take()
        self.received += sum(handled.values())
        if not self._wanted:
            return
        if self.journal is None:
            if self.failed_at is not None and self._now() - self.failed_at < TRY_AGAIN:
                return
            if not self._begin_anew():
                return
            rows = [change for ledger in self._ledgers() for change in ledger.all()]
            ended = []
        journal = self.journal
        if journal is None:
            return
        fold = self._everything or journal.wants_fold
        if self._now() >= self._look_at:
            self._look_at = self._now() + LOOK_EVERY
            if not journal.is_there:
                self._fail("somebody has removed the file")
                return
        if fold:
            self._bodies.forget()
        streams = self._streams(handled, queued, fold)
        if not (rows or ended or streams):
            return
        try:
            self.bytes += journal.commit(Record(self._now(), self._wall(), rows, ended, streams,
                                                self._bodies.take()), fold)
        except JournalError as error:
            self._fail(str(error))
            return
        self.commits += 1
        self._everything = False
        self._mark(journal.last)

    def prove(self) -> None:
        """This process has served for some seconds: whoever handed over to it may go."""
        self._note("proved", self._notes.get("epoch", "0"))

    def end(self, wall: float) -> None:
        """All calls and streams have been ended on purpose."""
        self.commit({}, {})
        self._note("ended", str(wall))

    def _note(self, key: str, value: str) -> None:
        if self.journal is not None:
            try:
                self.journal.note(key, value)
            except JournalError as error:
                self._fail(str(error))

    # --- streams ---------------------------------------------------------------------------------------------

    def _streams(self, handled: Dict[Any, int], queued: Queued, everything: bool) -> List[StreamRecord]:
        records = []
        for connection in self._connections:
            stanzas = [stanza for (target, session), some in queued.items()
                       if target is connection and connection.accepts(session) for stanza in some]
            record = self._stream(connection, handled.get(connection, 0), stanzas, everything)
            if record is not None:
                records.append(record)
        return records

    def _stream(self, connection: Any, handled: int, stanzas: List[Any],
                everything: bool) -> Optional[StreamRecord]:
        """The connection's entry, None if the journal knows all of it."""
        name = connection.name
        session = connection.stream
        if session is None or not session.resumable:
            return self._unmanaged(connection, stanzas, everything)
        earlier: List[bytes] = []
        if everything or self._seen.get(name, ("",))[0] != session.id:
            earlier = list(session.sent) + connection.waiting()
            first = session.acknowledged + 1
        else:
            first = session.acknowledged + len(session.sent) + connection.queued + 1
        record = StreamRecord(name, session.id, session.jid, session.max_seconds, session.will_handle(handled),
                              session.acknowledged, first)
        seen = (session.id, record.handled)
        if seen == self._seen.get(name) and not stanzas and not everything:
            return None  # what the server has confirmed since is known when it matters: it says so when resuming
        self._seen[name] = seen
        record.stanzas = self._bodies.parts([stanza.decode("utf-8") for stanza in earlier] + stanzas)
        return record

    def _unmanaged(self, connection: Any, stanzas: List[Any], everything: bool) -> Optional[StreamRecord]:
        """Without stream management nobody says what has arrived: what isn't written yet is kept."""
        waiting = [stanza.decode("utf-8") for stanza in connection.waiting()] + stanzas
        seen = ("", len(waiting))
        if not waiting and self._seen.get(connection.name, ("", 0)) == seen and not everything:
            return None
        self._seen[connection.name] = seen
        return StreamRecord(connection.name, stanzas=self._bodies.parts(waiting))

    # --- failing ---------------------------------------------------------------------------------------------

    def _fail(self, why: str) -> None:
        journal, self.journal = self.journal, None
        if journal is not None:
            journal.close()
        self.failed_at, self.failure = self._now(), why
        LOG.error("The journal failed: %s. The calls go on, but none of them would outlive this process. Is the disk "
                  "full? It is tried again every %d s", why, TRY_AGAIN)
        if self._place is not None:
            self._place.remove()  # what it says is true less and less

    def _begin_anew(self) -> bool:
        self.failed_at = self._now()
        if self._place is None:
            return False
        try:
            self._place.remove()  # what is there was given up, or was never read
            journal = self._place.make()
            for key, value in self._notes.items():
                journal.note(key, value)
        except JournalError as error:
            self.failure = str(error)
            return False
        self.journal = journal
        LOG.info("There is a journal again; everything is written to it")
        self.failed_at, self.failure = None, ""
        self._everything = True
        self._seen.clear()
        return True
