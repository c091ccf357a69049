"""The keeper: what a tick changed is written once, and a journal that fails costs nobody a call (DESIGN)."""
from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

import pytest

from focus.journal.base import JournalFailed
from focus.journal.codec import CODEC
from focus.journal.keeper import LOOK_EVERY, TRY_AGAIN, Keeper
from focus.journal.lock import Lock
from focus.journal.memory import MemoryJournal
from focus.journal.opening import open_journal
from focus.journal.record import Image, Record
from focus.journal.rows import Change, Ledger, Row, Rows
from focus.journal.sqlite import SqlitePlace, files_of
from focus.values.written import Shared
from focus.xmpp.resumption import Session

pytestmark = pytest.mark.usefixtures("databases_closed")

BODY = "<body>%s</body>" % ("y" * 300)


@dataclass(eq=False)
class Cup(Row):
    name: str
    level: int = 0


class Connection:
    """What the keeper sees of a connection."""

    def __init__(self, name: str, session: Optional[Session]) -> None:
        self.name = name
        self.stream = session
        self.queue: List[bytes] = []
        self.number: Optional[int] = 1

    def waiting(self) -> List[bytes]:
        return list(self.queue)

    @property
    def queued(self) -> int:
        return len(self.queue)

    def accepts(self, session: Optional[int]) -> bool:
        return session is None or session == self.number


class Failing(MemoryJournal):
    """A journal on a disk that may be full."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.closed = False
        self.there = True

    @property
    def is_there(self) -> bool:
        return self.there

    def commit(self, record: Record, fold: bool = False) -> int:
        if self.place.full:
            raise JournalFailed("the disk is full")
        super().commit(record, fold)
        return 100

    def note(self, key: str, value: str) -> None:
        if self.place.full or self.place.no_notes:
            raise JournalFailed("the disk is full")
        super().note(key, value)

    def close(self) -> None:
        self.closed = True


class Place:
    """Where the journals of a test are made."""

    def __init__(self) -> None:
        self.full = False
        self.no_notes = False
        self.made: List[Failing] = []
        self.asked = 0
        self.removed = 0

    def make(self) -> Failing:
        self.asked += 1
        if self.full:
            raise JournalFailed("the disk is full")
        self.made.append(Failing(self))
        return self.made[-1]

    def remove(self) -> None:
        self.removed += 1


class World:
    """A table of rows, a client and a component, and the keeper of both."""

    def __init__(self, place: Any = None, journal: Any = None, wanted: bool = True) -> None:
        self.now = 100.0
        self.place = place if place is not None else Place()
        self.ledger = Ledger(3, CODEC)
        self.cups: Rows[Cup] = Rows("cup", Cup)
        self.ledger.add(self.cups)
        self.ended: List[int] = []
        self.marks: List[int] = []
        self.client = Connection("client", Session("token", "focus@x/y", 600))
        self.component = Connection("component", None)
        self.log: List[str] = []
        if journal is None and wanted:
            journal = self.place.make()
        self.keeper = self.make_keeper(journal, self.place if wanted else None)

    def make_keeper(self, journal: Any, place: Any, failure: str = "", notes: Any = None) -> Keeper:
        return Keeper(journal, [self.client, self.component], self._take, lambda: [self.ledger], lambda: self.now,
                      lambda: 1e9, place, failure, self.marks.append, notes or {"epoch": "4", "clock": "{}"})

    def _take(self) -> Tuple[List[Change], List[int]]:
        ended, self.ended = self.ended, []
        return self.ledger.take(), ended

    def tick(self, *stanzas: Any, handled: int = 0, component: Tuple[str, ...] = ()) -> None:
        """Commit, then what the ticker does: the output leaves, the input is acknowledged."""
        queued: Dict[Any, List[Any]] = {}
        if stanzas:
            queued[self.client, None] = list(stanzas)
        if component:
            queued[self.component, None] = list(component)
        self.keeper.commit({self.client: handled} if handled else {}, queued)
        self.client.queue += [("".join(one)).encode() for one in stanzas]
        self.component.queue += [one.encode() for one in component]
        if self.client.stream is not None:
            self.client.stream.handle(handled)

    def write(self) -> None:
        """All that is queued goes to the server."""
        assert self.client.stream is not None
        self.client.stream.sent.extend(self.client.queue)
        self.client.queue.clear()
        self.component.queue.clear()

    def check(self, image: Optional[Image] = None) -> None:
        """The journal says what is in memory."""
        if image is None:
            assert self.keeper.journal is not None
            image = self.keeper.journal.load()
        rows = {(change.kind, change.key): (change.order, change.value) for change in self.ledger.recounted()}
        assert {owner: found for owner, found in image.owners.items() if found} == ({3: rows} if rows else {})
        session = self.client.stream
        assert session is not None
        stream = image.streams["client"]
        assert (stream.token, stream.jid, stream.handled) == (session.id, session.jid, session.handled)
        waiting = [one.decode() for one in list(session.sent) + self.client.queue]
        assert stream.stanzas[session.acknowledged - stream.confirmed:] == waiting
        component = image.streams.get("component")
        assert component is None or component.stanzas == [one.decode() for one in self.component.queue]


@pytest.fixture
def world():
    made = World()
    made.cups["a"] = Cup("a")
    made.tick("<hello/>", handled=1)
    made.check()
    return made


# --- what is written ------------------------------------------------------------------------------------------------

def test_no_commit_when_nothing_changed(world):
    """Not even when the server has confirmed something since: it says so again when the stream is resumed."""
    before = world.keeper.commits
    world.tick()
    world.write()
    world.tick()
    world.client.stream.confirm(1)
    world.tick()
    world.cups["a"].level = 0
    world.tick()
    assert world.keeper.commits == before and world.marks == [1]
    world.check()


def test_every_change_alone(world):
    """A row, input that was handled, output, an owner that ended: each is a commit, and marked."""
    world.cups["a"].level = 1
    world.tick()
    world.tick(handled=2)
    world.tick("<more/>")
    world.ended = [9]
    world.tick()
    world.check()
    assert world.keeper.commits == 5 and world.marks == [1, 2, 3, 4, 5]
    assert world.keeper.received == 3 and world.keeper.bytes == 500


def test_output_that_will_not_be_taken(world):
    """Made for a session that is over: it isn't sent, so it isn't kept."""
    world.keeper.commit({}, {(world.client, 7): ["<late/>"]})
    world.check()
    world.keeper.commit({}, {(world.client, 1): ["<x/>"]})
    world.client.queue.append(b"<x/>")
    world.check()


def test_bodies_are_written_once(world):
    shared = [Shared("<to a/>", BODY, "</a>"), Shared("<to b/>", BODY, "</b>")]
    world.tick(*shared)
    world.tick(shared[0])
    world.check()


def test_a_new_session(world):
    """Nothing of the old one is kept; what waits already belongs to the new one."""
    world.client.stream = Session("other", "focus@x/z")
    world.client.queue.clear()
    world.tick("<first/>")
    world.check()
    world.write()
    world.client.stream.confirm(1)
    world.tick("<second/>", handled=4)
    world.check()


def test_a_session_that_cannot_be_resumed(world):
    """Its counts mean nothing to a later process; what isn't written yet is kept."""
    world.client.stream = Session("", "focus@x/y")
    world.client.queue.clear()
    world.tick("<x/>")
    stream = world.keeper.journal.load().streams["client"]
    assert stream.token == "" and stream.stanzas == ["<x/>"]
    world.client.stream = None
    world.client.queue.clear()
    world.tick()
    assert world.keeper.journal.load().streams["client"].stanzas == []


def test_the_component(world):
    """What was written to it is gone, what waits is kept."""
    world.tick(component=("<answer/>",))
    world.check()
    world.write()
    world.tick()
    world.check()
    before = world.keeper.commits
    world.tick()
    assert world.keeper.commits == before


def test_folded(world, monkeypatch):
    """When the journal wants it, all output is written again."""
    world.write()
    world.tick(Shared("<a>", BODY, "</a>"))
    records: List[Record] = []
    monkeypatch.setattr(Failing, "wants_fold", True)
    monkeypatch.setattr(world.keeper.journal, "commit", lambda one, fold: len(records.__iadd__([one])))
    world.tick("<b/>")
    client, component = records[0].streams
    assert client.first == 1 and client.stanzas == ["<hello/>", "<a>%s</a>" % BODY, "<b/>"]
    assert component.name == "component" and component.stanzas == []


def test_proof_and_end(world):
    world.keeper.prove()
    world.cups["a"].level = 7
    world.keeper.end(123.5)
    assert world.keeper.journal.noted("proved") == "4" and world.keeper.journal.noted("ended") == "123.5"
    world.check()


def test_none_is_wanted():
    world = World(wanted=False)
    world.cups["a"] = Cup("a")
    world.tick("<x/>", handled=3)
    world.keeper.prove()
    world.keeper.end(1.0)
    assert world.keeper.journal is None and world.keeper.commits == 0 and world.place.asked == 0
    assert world.keeper.received == 3


# --- failing --------------------------------------------------------------------------------------------------------

def severe(caplog: Any) -> List[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_full_disk(world, caplog):
    """The calls go on; the journal, which is true less and less, is removed; it is told once, and tried again."""
    caplog.set_level(logging.INFO)
    place, first = world.place, world.keeper.journal
    place.full = True
    world.tick()
    assert world.keeper.journal is first, "nothing was to be written"
    world.cups["b"] = Cup("b")
    world.tick("<lost/>", handled=1)
    assert world.keeper.journal is None and place.removed == 1 and first.closed
    (line,) = severe(caplog)
    assert "the disk is full" in line and "none of them would outlive this process" in line and "30 s" in line
    assert world.keeper.failure == "the disk is full"
    for seconds in range(1, 91):
        world.now = 100.0 + seconds
        world.cups["b"].level = seconds
        world.tick("<n%d/>" % seconds, handled=1)
    assert len(severe(caplog)) == 1 and place.asked == 1 + 3
    world.write()
    world.client.stream.confirm(50)
    place.full = False
    world.now += TRY_AGAIN
    del world.cups["a"]
    world.tick(Shared("<a>", BODY, "</a>"))
    assert world.keeper.journal is place.made[-1] is not first
    assert "There is a journal again" in caplog.text and world.keeper.failure == ""
    world.check()
    world.cups["b"].level = 1000
    world.tick("<on/>", handled=1)
    world.check()


def test_failing_again(world, caplog):
    for number in range(3):
        world.place.full = True
        world.cups["a"].level = number + 1
        world.tick()
        assert world.keeper.journal is None and len(severe(caplog)) == number + 1
        world.place.full = False
        world.now += TRY_AGAIN
        world.tick()
        world.check()
    assert world.place.removed == 6, "when it fails, and before the next is made"


def test_a_quiet_time_ends_it_too(world):
    """The new journal is written although nothing changes in that tick."""
    world.place.full = True
    world.cups["a"].level = 1
    world.tick()
    world.place.full = False
    world.now += TRY_AGAIN
    world.tick()
    world.check()


def test_owners_that_end_meanwhile(world):
    world.place.full = True
    world.cups["a"].level = 1
    world.tick()
    world.ended = [3]
    world.cups.clear()
    world.tick()
    world.place.full = False
    world.now += TRY_AGAIN
    world.tick()
    world.check()


def test_notes_fail_too(world, caplog):
    world.place.full = True
    world.keeper.prove()
    assert world.keeper.journal is None and len(severe(caplog)) == 1
    world.keeper.prove()
    world.keeper.end(1.0)
    assert len(severe(caplog)) == 1


def test_somebody_has_removed_the_file(world, monkeypatch, caplog):
    """Noticed within 10 s: a new one is made, with everything."""
    world.keeper.journal.there = False
    world.now += LOOK_EVERY
    world.tick("<x/>", handled=1)
    assert world.keeper.journal is None and "somebody has removed the file" in severe(caplog)[0]
    world.now += TRY_AGAIN
    world.tick("<y/>")
    world.check()


def test_a_new_one_whose_notes_cannot_be_written(world):
    """There is room for a file, and not for what it has to know: the next attempt begins with everything."""
    world.place.full = True
    world.cups["b"] = Cup("b")
    world.tick("<x/>")
    world.place.full, world.place.no_notes = False, True
    world.now += TRY_AGAIN
    world.tick()
    world.place.no_notes = False
    for level in (1, 2):
        world.now += TRY_AGAIN
        world.cups["b"].level = level
        world.tick("<y/>")
    world.check()
    assert world.keeper.journal.noted("epoch") == "4"


def test_a_new_one_knows_what_it_has_to(world):
    world.place.full = True
    world.cups["b"] = Cup("b")
    world.tick()
    world.place.full = False
    world.now += TRY_AGAIN
    world.tick()
    assert (world.keeper.journal.noted("epoch"), world.keeper.journal.noted("clock")) == ("4", "{}")


def test_none_at_the_start():
    """It couldn't be made: the first attempt is 30 s later, and it begins with everything there is."""
    place = Place()
    world = World(place, journal=None, wanted=False)
    world.keeper = world.make_keeper(None, place, "no such folder")
    world.cups["a"] = Cup("a")
    world.tick("<x/>", handled=1)
    assert place.asked == 0 and world.keeper.failure == "no such folder"
    world.now += TRY_AGAIN
    world.tick("<y/>")
    world.check()


# --- on disk --------------------------------------------------------------------------------------------------------

@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "journal.db")


def reopened(path: str) -> Image:
    journal = SqlitePlace(path).make()
    try:
        return journal.load()
    finally:
        journal.close()


def test_on_disk(path, caplog):
    """The file is removed when it can't be written, and made anew when there is room."""
    world = World(SqlitePlace(path))
    world.cups["a"] = Cup("a")
    world.tick("<x/>", handled=1)
    journal: Any = world.keeper.journal
    journal._database.execute("PRAGMA max_page_count = 1")
    for number in range(1000):
        world.cups["a"].level = number
        world.tick("<%s/>" % ("z" * 2000))
        if world.keeper.journal is None:
            break
    assert not [name for name in files_of(path) if os.path.exists(name)]
    (line,) = severe(caplog)
    assert "database or disk is full" in line
    world.now += TRY_AGAIN
    world.tick()
    world.check(reopened(path))


def earlier(path: str, lock: Lock) -> Any:
    """A process that has served with this journal, and been killed."""
    opened = open_journal(path, lock, lambda function: function())
    assert opened.journal is not None
    for number in range(1, 8):
        rows = [Change(3, "cup", "old", 1, b"\x92\xa3old\x00"), Change(9, "cup", "b", 1, b"\x92\xa1b\x00")]
        opened.journal.commit(Record(float(number), 1.0, rows), True)
    opened.journal.close()
    return opened


@pytest.fixture
def lock(path):
    made = Lock(path)
    assert made.try_take()
    made.sign("test")
    yield made
    made.close()


def without_a_journal(path: str, lock: Lock, monkeypatch: Any) -> Tuple[Any, World]:
    """A later process that can't write it at its start, and 30 s later can."""
    with monkeypatch.context() as patch:
        patch.setattr("focus.journal.sqlite.SqliteJournal.note", full)
        opened = open_journal(path, lock, lambda function: function())
    assert opened.journal is None
    world = World(opened.place, wanted=False)
    world.keeper = world.make_keeper(None, opened.place, opened.failure, opened.notes)
    world.cups["new"] = Cup("new")
    world.tick("<x/>", handled=1)
    for _ in range(2):  # the first new one may still meet what was there
        world.now += TRY_AGAIN
        world.tick("<y/>")
    return opened, world


def full(self: Any, key: str, value: str) -> None:
    raise JournalFailed("database or disk is full")


def test_a_new_one_has_nothing_of_an_old_one(path, lock, monkeypatch):
    """It wasn't read when the process started, so it is no part of what the process knows."""
    earlier(path, lock)
    _, world = without_a_journal(path, lock, monkeypatch)
    world.check(reopened(path))


@pytest.mark.parametrize("before", [False, True])
def test_a_new_one_knows_the_epoch(path, lock, monkeypatch, before):
    if before:
        for _ in range(3):
            earlier(path, lock)
    opened, world = without_a_journal(path, lock, monkeypatch)
    assert opened.is_ours(world.keeper.journal)
    assert world.keeper.journal is not None
    world.keeper.journal.close()
    assert open_journal(path, lock, lambda function: function()).epoch > opened.epoch


def test_a_full_disk_at_the_start(path, lock, monkeypatch):
    """What an earlier process has left can be read all the same, and its calls go on."""
    earlier(path, lock)
    opened, _ = without_a_journal(path, lock, monkeypatch)
    assert opened.image.tables(9)
