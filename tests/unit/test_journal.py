"""What every journal does: records in, the same image out, whatever was folded and reopened in between."""
from __future__ import annotations

import os
import tempfile
from typing import Any, Dict, List, Optional, Tuple
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focus.journal import sqlite
from focus.journal.bodies import Bodies
from focus.journal.memory import MemoryJournal
from focus.journal.record import Image, Record, StreamRecord
from focus.journal.rows import Change
from focus.journal.sqlite import SqliteJournal
from focus.values.written import Shared, Written

BODY = "<body>%s</body>" % ("x" * 300)


class Reopening:
    """A journal on disk that is opened anew before it is read, as a later process would."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.journal = SqliteJournal(path)
        self.commit = self.journal.commit
        self.note = self.journal.note

    def load(self) -> Image:
        self.journal.close()
        self.__init__(self.path)  # type: ignore[misc]
        return self.journal.load()

    def noted(self, key: str) -> Optional[str]:
        return self.journal.noted(key)

    @property
    def last(self) -> int:
        return self.journal.last

    def close(self) -> None:
        self.journal.close()


@pytest.fixture(params=["memory", "sqlite"])
def journal(request, tmp_path):
    made: Any = MemoryJournal() if request.param == "memory" else Reopening(str(tmp_path / "journal.db"))
    yield made
    made.close()


def change(key: str, value: Optional[bytes], order: int = 1, owner: int = 1, kind: str = "member") -> Change:
    return Change(owner, kind, key, order, value)


def record(*rows: Change, at: float = 5.0, **fields: Any) -> Record:
    return Record(at, 1000.0, list(rows), **fields)


def stanzas(journal: Any, name: str = "client") -> List[str]:
    return list(journal.load().streams[name].stanzas)


def comparable(image: Image) -> Tuple[Any, ...]:
    """All an image says, without what has no meaning: owners without rows, and the order within a dict."""
    tables = {owner: {kind: sorted(rows) for kind, rows in image.tables(owner).items()} for owner in image.owners}
    return ({owner: kinds for owner, kinds in tables.items() if kinds}, image.streams, image.at, image.wall, image.last,
            image.damage)


# --- rows -----------------------------------------------------------------------------------------------------------

def test_a_new_one_is_empty(journal):
    image = journal.load()
    assert not image.owners and not image.streams and image.at is None and not image.damage
    assert journal.last == image.last == 0


def test_rows(journal):
    """Insert, change and removal; the order of insertion is told."""
    journal.commit(record(change("a", b"1", 1), change("b", b"2", 2), change("c", b"3", 3)))
    journal.commit(record(change("a", b"4", 1), change("b", None, 0), at=6.0))
    journal.commit(record(change("b", b"5", 4), change("a", b"6", 1, kind="bridge"), at=7.0))
    image = journal.load()
    assert sorted(image.tables(1)["member"], key=lambda row: row[1]) == [("a", 1, b"4"), ("c", 3, b"3"), ("b", 4, b"5")]
    assert image.tables(1)["bridge"] == [("a", 1, b"6")]
    assert (image.at, image.wall, image.last) == (7.0, 1000.0, 3)
    assert image.tables(2) == {}


def test_an_owner_that_ends_takes_its_rows_along(journal):
    journal.commit(record(change("a", b"1"), change("a", b"2", owner=2)))
    journal.commit(record(ended=[1]))
    assert comparable(journal.load())[0] == {2: {"member": [("a", 1, b"2")]}}
    journal.commit(record(change("z", b"3")))
    assert journal.load().tables(1) == {"member": [("z", 1, b"3")]}


def test_the_number_of_the_last_record(journal):
    for number in range(1, 4):
        journal.commit(record(change("a", b"%d" % number)))
        assert journal.last == number


def test_what_is_loaded_is_the_callers_own(journal):
    journal.commit(record(change("a", b"1")))
    journal.load().owners.clear()
    assert journal.load().tables(1)


# --- streams --------------------------------------------------------------------------------------------------------

def test_output_until_it_is_confirmed(journal):
    """The stanzas that the server has not confirmed, in order, over many records."""
    journal.commit(record(streams=[StreamRecord("client", "t", "f@x/y", 600, 3, 0, 1, ["<a/>", "<b/>"])]))
    journal.commit(record(streams=[StreamRecord("client", "t", "f@x/y", 600, 5, 1, 3, ["<c/>"])]))
    stream = journal.load().streams["client"]
    assert stream[:5] == ("t", "f@x/y", 600, 5, 1) and stream.stanzas == ["<b/>", "<c/>"]
    journal.commit(record(streams=[StreamRecord("client", "t", "f@x/y", 600, 5, 3, 4, [])]))
    assert stanzas(journal) == []
    journal.commit(record(streams=[StreamRecord("client", "t", "f@x/y", 600, 5, 5, 4, ["<d/>", "<e/>", "<f/>"])]))
    assert stanzas(journal) == ["<f/>"]  # two of those that are written now are confirmed already


def test_a_record_without_the_stream_says_nothing_of_it(journal):
    journal.commit(record(streams=[StreamRecord("client", "t", stanzas=["<a/>"]), StreamRecord("component")]))
    journal.commit(record(change("a", b"1")))
    assert stanzas(journal) == ["<a/>"] and stanzas(journal, "component") == []


def test_another_session_has_other_output(journal):
    journal.commit(record(streams=[StreamRecord("client", "t", stanzas=["<a/>"])]))
    journal.commit(record(streams=[StreamRecord("client", "u", stanzas=["<b/>"])]))
    assert stanzas(journal) == ["<b/>"] and journal.load().streams["client"].token == "u"


def test_without_a_token_what_waits_is_replaced(journal):
    """Nobody confirms anything on a component's stream: each record says what isn't written."""
    journal.commit(record(streams=[StreamRecord("component", stanzas=["<a/>", "<b/>"])]))
    journal.commit(record(streams=[StreamRecord("component", stanzas=["<b/>"])]))
    assert stanzas(journal, "component") == ["<b/>"]


def test_written_again_from_a_number_on(journal):
    journal.commit(record(streams=[StreamRecord("client", "t", stanzas=["<a/>", "<b/>", "<c/>"])]))
    journal.commit(record(streams=[StreamRecord("client", "t", first=2, stanzas=["<d/>"])]))
    assert stanzas(journal) == ["<a/>", "<d/>"]


def test_shared_bodies(journal):
    """A body stands in the first record that names it."""
    journal.commit(record(streams=[StreamRecord("client", "t", stanzas=[["<a>", 0, "</a>"]])], bodies={0: BODY}))
    journal.commit(record(streams=[StreamRecord("client", "t", first=2, stanzas=[["<b>", 0, "</b>"], "<c/>"])]))
    assert stanzas(journal) == ["<a>%s</a>" % BODY, "<b>%s</b>" % BODY, "<c/>"]


def test_folding_forgets_nothing(journal):
    """A record made for it has all output, so that earlier ones may go."""
    journal.commit(record(change("a", b"1"), change("b", b"2", 2),
                          streams=[StreamRecord("client", "t", stanzas=["x"])]))
    journal.commit(record(change("a", None), streams=[StreamRecord("client", "t", first=1, stanzas=["x", "y"])]), True)
    journal.commit(record(streams=[StreamRecord("client", "t", first=3, stanzas=["z"])]))
    image = journal.load()
    assert image.tables(1) == {"member": [("b", 2, b"2")]} and image.streams["client"].stanzas == ["x", "y", "z"]
    assert image.last == 3


# --- notes ----------------------------------------------------------------------------------------------------------

def test_notes(journal):
    assert journal.noted("epoch") is None
    journal.note("epoch", "1")
    journal.note("epoch", "2")
    journal.note("clock", "{}")
    assert (journal.noted("epoch"), journal.noted("clock")) == ("2", "{}")
    journal.commit(record(change("a", b"1")), True)
    assert journal.noted("epoch") == "2"


# --- the twins ------------------------------------------------------------------------------------------------------

ChangedRow = Tuple[int, str, Optional[bytes], bool]
"""Owner, key, value and whether it is inserted anew."""


class Twins:
    """A journal on disk and one in memory are given the same, made as the keeper makes it."""

    def __init__(self, path: str) -> None:
        self.disk = Reopening(path)
        self.memory = MemoryJournal()
        self.bodies = Bodies()
        self.rows: Dict[Tuple[int, str], int] = {}
        self.orders = 0
        self.at = 0.0
        self.streams: Dict[str, Tuple[str, int, int, List[Written]]] = {}
        self.folds = 0

    def step(self, rows: List[ChangedRow], ended: List[int],
             streams: List[Tuple[str, int, int, List[Written], bool]]) -> None:
        """One tick."""
        fold = self.disk.journal.wants_fold
        if fold:
            self.bodies.forget()
            self.folds += 1
        self.at += 1.0
        for owner in ended:
            self.rows = {name: order for name, order in self.rows.items() if name[0] != owner}
        made = Record(self.at, 2 * self.at, [self.row(*row) for row in rows], ended, [])
        named = {name: (handled, confirmed, sent, renew) for name, handled, confirmed, sent, renew in streams}
        for name in list(self.streams) if fold else []:
            named.setdefault(name, (0, 0, [], False))
        made.streams = [self.stream(name, fold, *values) for name, values in named.items()]
        made.bodies = self.bodies.take()
        self.disk.journal.commit(made, fold)
        self.memory.commit(made, fold)

    def row(self, owner: int, key: str, value: Optional[bytes], anew: bool) -> Change:
        name = (owner, key)
        if value is None:
            self.rows.pop(name, None)
            return Change(owner, "member", key, 0, None)
        if anew or name not in self.rows:
            self.orders += 1
            self.rows[name] = self.orders
        return Change(owner, "member", key, self.rows[name], value)

    def stream(self, name: str, fold: bool, handled: int, confirmed: int, sent: List[Written],
               renew: bool) -> StreamRecord:
        token, before, done, waiting = self.streams.get(name, ("t0", 0, 0, []))
        if renew:
            token, before, done, waiting, fold = token + "x", 0, 0, [], True
        confirmed = min(confirmed, len(waiting))
        done, waiting = done + confirmed, waiting[confirmed:]
        first = done + 1 if fold else done + len(waiting) + 1
        written = self.bodies.parts(waiting + sent if fold else sent)
        self.streams[name] = (token, before + handled, done, waiting + sent)
        return StreamRecord(name, token, "f@x/y", None, before + handled, done, first, written)

    def check(self, reopen: bool) -> None:
        """reopen: a later process reads it and goes on with it; otherwise somebody looks at the file of this one."""
        if not reopen:
            other = SqliteJournal(self.disk.path)
            try:
                assert comparable(other.load()) == comparable(self.memory.load())
            finally:
                other.close()
            return
        image = self.disk.load()
        assert comparable(image) == comparable(self.memory.load())
        assert self.disk.last == self.memory.last
        for name, (token, handled, done, waiting) in self.streams.items():
            texts = [stanza if isinstance(stanza, str) else "".join(stanza) for stanza in waiting]
            assert image.streams[name] == (token, "f@x/y", None, handled, done, texts)


KEYS = st.sampled_from(["a", "b", "c", "key\nwith a line"])
OWNERS = st.integers(0, 3)
STANZAS = st.one_of(st.text(max_size=20), st.builds(
    Shared, st.just("<to b='&#228;'>"), st.sampled_from([BODY, BODY.upper(), "short"]), st.just("</to>")))
STEPS = st.tuples(
    st.lists(st.tuples(OWNERS, KEYS, st.one_of(st.none(), st.binary(max_size=60)), st.booleans()), max_size=4,
             unique_by=lambda row: row[:2]),
    st.lists(OWNERS, max_size=1),
    st.lists(st.tuples(st.sampled_from(["client", "component"]), st.integers(0, 3), st.integers(0, 4),
                       st.lists(STANZAS, max_size=3), st.integers(0, 9).map(lambda die: die == 0)),
             max_size=2, unique_by=lambda stream: stream[0]))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(STEPS, st.booleans()), min_size=1, max_size=20))
def test_disk_and_memory_are_twins(steps):
    """The same image after every record, folded or not, by the one that writes and by those that open it anew."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder, \
            mock.patch.object(sqlite, "FOLD_AT", 500):
        twins = Twins(folder + "/journal.db")
        for step, reopen in steps:
            twins.step(*step)
            twins.check(reopen)
        twins.check(True)
        twins.disk.journal.close()


def test_folded_many_times(tmp_path):
    """The test above does fold: rows, output and bodies of 400 ticks."""
    with mock.patch.object(sqlite, "FOLD_AT", 2000):
        twins = Twins(str(tmp_path / "journal.db"))
        for number in range(400):
            body = BODY.replace("x", "xyz"[number // 90 % 3])
            rows: List[ChangedRow] = [(number % 7, "k%d" % (number % 5), b"%d" % number, number % 11 == 0)]
            twins.step(rows, [3] * (number % 50 == 49),
                       [("client", 1, number % 3, [Shared("<a>", body, "</a>"), "<b/>"], number % 150 == 149)])
            if number % 40 == 0:
                twins.check(number % 80 == 0)
        twins.check(True)
        assert twins.folds > 5
        twins.disk.journal.close()
