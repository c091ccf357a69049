"""The journal's file: its size, who may read it, and every way in which it can be wrong, full, or somebody else's."""
from __future__ import annotations

import os
import random
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, List, Tuple

import pytest

from focus.journal import sqlite
from focus.journal.base import SCHEMA, JournalDamaged, JournalError, JournalFailed, JournalNewer
from focus.journal.lock import Lock
from focus.journal.opening import open_journal
from focus.journal.record import Image, Record, StreamRecord
from focus.journal.rows import Change
from focus.journal.sqlite import APPLICATION, FOLD_AT, WAL_LIMIT, SqliteJournal, SqlitePlace, files_of

pytestmark = pytest.mark.usefixtures("databases_closed")

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "journal.db")


def tick(number: int, size: int = 40) -> Record:
    """The records of a state that doesn't grow."""
    return Record(float(number), 1.0, [Change(1, "member", "m%d" % (number % 50), number % 50 + 1, bytes(size))],
                  streams=[StreamRecord("client", "token", "f@x/y", 600, number, number, number + 1, ["<presence/>"])])


def written(path: str, count: int = 5, fold_at: int = 0) -> List[Image]:
    """A journal with so many records, not closed properly; the images after each of them, the empty one first."""
    journal = SqliteJournal(path)
    images = [Image()]
    for number in range(1, count + 1):
        record = tick(number)
        journal.commit(record, number == fold_at)
        image = Image()
        for earlier in range(1, number + 1):
            image.apply(tick(earlier))
        images.append(image)
    keep_files(journal)
    return images


def keep_files(journal: SqliteJournal) -> None:
    """End the journal as kill -9 does: its files stay as they are."""
    kept = {name: Path(name).read_bytes() for name in files_of(journal.path) if os.path.exists(name)}
    journal.close()
    for name in files_of(journal.path):
        if name in kept:
            Path(name).write_bytes(kept[name])


def said(image: Image) -> Any:
    return (image.owners, image.streams, image.at)


def sizes(path: str) -> int:
    return sum(os.path.getsize(name) for name in files_of(path) if os.path.exists(name))


def shell(path: str, *statements: str) -> None:
    database = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        database.execute(statement)
    database.close()


# --- size and mode --------------------------------------------------------------------------------------------------

def test_its_size_is_bounded(path):
    """10,000 small commits of a state that doesn't grow."""
    journal = SqliteJournal(path)
    for number in range(10000):
        journal.commit(tick(number), journal.wants_fold)
        if number % 500 == 0:
            assert sizes(path) < FOLD_AT + WAL_LIMIT + 1024 * 1024
    journal.close()


def test_its_size_is_bounded_when_it_is_folded(path, monkeypatch):
    """10,000 commits, folded every 64 kB: the state is 50 rows, so little stays."""
    monkeypatch.setattr(sqlite, "FOLD_AT", 64 * 1024)
    journal = SqliteJournal(path)
    folds = 0
    for number in range(10000):
        folds += journal.wants_fold
        journal.commit(tick(number), journal.wants_fold)
        if number % 100 == 0:
            assert sizes(path) < 5 * 1024 * 1024
    assert folds > 10
    assert os.path.getsize(path) > 8192, "nothing was ever moved out of the -wal"
    journal.close()
    assert os.path.getsize(path) < 512 * 1024


def test_nobody_else_may_read_it(path):
    """Who knows the token in it can take the stream over."""
    old = os.umask(0)
    try:
        journal = SqliteJournal(path)
    finally:
        os.umask(old)
    journal.commit(tick(1))
    for name in files_of(path):
        assert stat.S_IMODE(os.stat(name).st_mode) == 0o600, name
    journal.close()


def test_closed_at_any_moment(path, monkeypatch):
    """kill -9 after each commit, also between two folds: what was committed is there."""
    monkeypatch.setattr(sqlite, "FOLD_AT", 300)
    image = Image()
    for number in range(1, 60):
        journal = SqliteJournal(path)
        assert said(journal.load()) == said(image)
        journal.commit(tick(number), number % 7 == 0)
        image.apply(tick(number))
        if number % 3:
            keep_files(journal)
        else:
            journal.close()


def test_a_checkpoint_that_waits_hinders_nobody(path, monkeypatch):
    """It runs elsewhere, once at a time, and also after the journal was closed."""
    waiting: List[Any] = []
    journal = SqliteJournal(path, waiting.append)
    for number in range(1, 20):
        journal.commit(tick(number), True)
    assert len(waiting) == 1
    waiting.pop()()
    journal.commit(tick(20), True)
    assert len(waiting) == 1
    journal.close()
    waiting.pop()()
    assert SqliteJournal(path).load().last == 20


# --- somebody else's ------------------------------------------------------------------------------------------------

def foreign_database(path: str) -> None:
    shell(path, "CREATE TABLE songs (name)", "INSERT INTO songs VALUES ('one')")


def foreign_application(path: str) -> None:
    shell(path, "PRAGMA application_id = 77")


def text_file(path: str) -> None:
    Path(path).write_text("[main]\nthis is no journal\n" * 400, encoding="ascii")


def short_text_file(path: str) -> None:
    Path(path).write_text("hello\n", encoding="ascii")


def zeroes(path: str) -> None:
    Path(path).write_bytes(bytes(8192))


def random_bytes(path: str) -> None:
    Path(path).write_bytes(random.Random(4).getrandbits(8 * 20000).to_bytes(20000, "big"))


def only_header(path: str) -> None:
    written(path)
    Path(path).write_bytes(Path(path).read_bytes()[:100])
    for name in files_of(path)[1:]:
        if os.path.exists(name):
            os.unlink(name)


@pytest.mark.parametrize("make", [foreign_database, foreign_application, text_file, short_text_file, zeroes,
                                  random_bytes, only_header])
def test_no_journal(path, make):
    """What is no journal is left as it is."""
    make(path)
    before = Path(path).read_bytes()
    with pytest.raises(JournalDamaged, match="journal.db is"):
        SqliteJournal(path).load()
    assert Path(path).read_bytes() == before


def test_an_empty_file_becomes_one(path):
    Path(path).touch()
    journal = SqliteJournal(path)
    assert journal.load().at is None
    journal.commit(tick(1))
    journal.close()
    assert SqliteJournal(path).load().last == 1


def test_a_missing_folder(tmp_path):
    with pytest.raises(JournalFailed, match="No such file or directory"):
        SqliteJournal(str(tmp_path / "nowhere" / "journal.db"))
    with pytest.raises(JournalFailed):
        Lock(str(tmp_path / "nowhere" / "journal.db"))


def test_a_folder_in_its_place(path):
    os.mkdir(path)
    with pytest.raises(JournalFailed, match="Is a directory"):
        SqliteJournal(path)


def test_a_folder_that_cannot_be_written(tmp_path):
    """Also as root: a read-only file system is one, and so is /proc."""
    with pytest.raises(JournalFailed):
        SqliteJournal("/proc/journal.db")


# --- schemas --------------------------------------------------------------------------------------------------------

def test_what_a_new_one_says_of_itself(path):
    SqliteJournal(path).close()
    database = sqlite3.connect(path)
    assert database.execute("PRAGMA application_id").fetchone() == (APPLICATION,)
    assert database.execute("PRAGMA user_version").fetchone() == (SCHEMA,)
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    database.close()


def test_a_newer_schema(path):
    """It says from which schema on it can be read."""
    images = written(path)
    shell(path, "PRAGMA user_version = %d" % (SCHEMA + 4))
    journal = SqliteJournal(path)
    assert said(journal.load()) == said(images[-1])
    journal.close()
    shell(path, "UPDATE note SET value = '%d' WHERE key = 'readable from'" % (SCHEMA + 1))
    with pytest.raises(JournalNewer, match="schema %d, this one knows %d" % (SCHEMA + 4, SCHEMA)):
        SqliteJournal(path)
    shell(path, "DELETE FROM note")
    with pytest.raises(JournalNewer):
        SqliteJournal(path)
    shell(path, "PRAGMA user_version = %d" % SCHEMA)
    SqliteJournal(path).close()


@pytest.mark.parametrize("statement", ["UPDATE note SET value = 'soon'", "DROP TABLE note"])
def test_a_newer_schema_that_says_nothing_understandable(path, statement):
    written(path)
    shell(path, "PRAGMA user_version = %d" % (SCHEMA + 1), statement)
    with pytest.raises(JournalNewer):
        SqliteJournal(path)


# --- damage ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("statement", ["UPDATE record SET sum = sum + 1 WHERE number = 4",
                                       "UPDATE record SET data = x'00' WHERE number = 4",
                                       "UPDATE record SET number = 14 WHERE number = 4",
                                       "UPDATE record SET data = 'text' WHERE number = 4",
                                       "DELETE FROM record WHERE number = 4"])
def test_a_record_that_cannot_be_read(path, statement):
    """Those before it are kept; what came later isn't known."""
    images = written(path, 6)
    shell(path, statement)
    journal = SqliteJournal(path)
    image = journal.load()
    assert said(image) == said(images[3]) and image.last == journal.last == 3
    assert "record" in image.damage and "can't be read" in image.damage
    journal.close()


def test_after_damage_it_goes_on(path):
    """The first record of the next process is a fold, which takes the place of those that can't be read."""
    images = written(path, 6)
    shell(path, "UPDATE record SET sum = sum + 1 WHERE number = 4")
    journal = SqliteJournal(path)
    journal.load()
    journal.commit(tick(7), True)
    journal.close()
    image = SqliteJournal(path).load()
    images[3].apply(tick(7))
    assert said(image) == said(images[3]) and not image.damage


def test_rows_of_an_unknown_kind(path):
    """A later version has written them, and says that this one may read on."""
    journal = SqliteJournal(path)
    journal.commit(Record(1.0, 1.0, [Change(1, "hologram", "a", 1, b"\xc1"), Change(0, "hologram", "b", 1, b"?")]))
    journal.commit(tick(2), True)
    journal.close()
    image = SqliteJournal(path).load()
    assert image.tables(1)["hologram"] == [("a", 1, b"\xc1")] and len(image.tables(1)["member"]) == 1


def lengths(of: int) -> List[int]:
    rng = random.Random(of)
    return sorted({0, 1, 16, 31, 32, 56, 99, 100, of // 2, of - 1, of, *(rng.randrange(of) for _ in range(25)),
                   *range(4096, of, 4096)})


def opened(path: str) -> Tuple[Any, str]:
    """What it says, or why it says nothing."""
    try:
        journal = SqliteJournal(path)
    except JournalError as error:
        return None, type(error).__name__
    try:
        image = journal.load()
        journal.commit(tick(100), True)
        return said(image), image.damage
    except JournalError as error:
        return None, type(error).__name__
    finally:
        journal.close()


@pytest.mark.parametrize("which", ["", "-wal", "-shm"])
def test_cut_at_any_length(path, which):
    """Either an earlier state of it, with which it goes on, or a file that is known to be none.

    Only within a page of the file itself nothing tells: rows that were folded have no check sum.
    """
    images = [said(image) for image in written(path, 5, fold_at=2)]
    whole = {name: Path(name).read_bytes() for name in files_of(path)}
    for length in lengths(len(whole[path + which])):
        for name, data in whole.items():
            Path(name).write_bytes(data)
        Path(path + which).write_bytes(whole[path + which][:length])
        found, why = opened(path)
        if found is None:
            assert which == "" and why == "JournalDamaged", (length, why)
        else:
            assert found in images or (which == "" and length % 4096), length


def test_bytes_of_the_wal_that_changed(path):
    """A disk that lies: sums tell it, so what is found is an earlier state."""
    images = [said(image) for image in written(path, 5, fold_at=2)]
    whole = {name: Path(name).read_bytes() for name in files_of(path)}
    rng = random.Random(5)
    for _ in range(60):
        data = changed(whole[path + "-wal"], rng)
        for name in whole:
            Path(name).write_bytes(data if name.endswith("-wal") else whole[name])
        found, why = opened(path)
        assert found in images, why


def test_bytes_of_the_file_that_changed(path):
    """Whatever they are: it can be read, or it is known to be damaged (or newer), so that it is set aside."""
    written(path, 5, fold_at=2)
    whole = {name: Path(name).read_bytes() for name in files_of(path)}
    rng = random.Random(5)
    for _ in range(150):
        data = changed(whole[path], rng)
        for name in whole:
            Path(name).write_bytes(data if name == path else whole[name])
        found, why = opened(path)
        assert found is not None or why in ("JournalDamaged", "JournalNewer"), why


def changed(data: bytes, rng: random.Random) -> bytes:
    changing = bytearray(data)
    for _ in range(rng.choice((1, 20, 500))):
        changing[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(changing)


# --- full -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("fold", [False, True])
def test_a_full_disk(path, fold):
    """It is told; what was committed before is there."""
    journal = SqliteJournal(path)
    journal.commit(tick(1))
    journal._database.execute("PRAGMA max_page_count = 8")
    with pytest.raises(JournalFailed, match="can't be written: database or disk is full"):
        for number in range(2, 100):
            journal.commit(tick(number, size=3000), fold)
    with pytest.raises(JournalFailed):
        journal.note("key", "x" * 100000)
    keep_files(journal)
    image = SqliteJournal(path).load()
    assert 1 <= image.last < 20 and image.at == float(image.last) and not image.damage


LIMITED = """
import resource, sys
from focus.journal.base import JournalFailed
from focus.journal.sqlite import SqliteJournal
from tests.unit.test_journal_file import tick
journal = SqliteJournal(sys.argv[1])
journal.commit(tick(1), True)
resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))
number = 1
try:
    while number < 1000:
        journal.commit(tick(number + 1), number % 50 == 0)
        number += 1
except JournalFailed as error:
    print(number, error, flush=True)
    import os; os._exit(0)
"""


def test_a_file_that_may_not_grow(path):
    """The kernel refuses to write more, in a process of its own, which then just ends."""
    done = subprocess.run([sys.executable, "-c", LIMITED, path], cwd=str(ROOT), stdout=subprocess.PIPE, timeout=60,
                          text=True)
    number, _, text = done.stdout.partition(" ")
    assert done.returncode == 0 and "can't be written" in text, done.stdout
    image = SqliteJournal(path).load()
    assert image.last == int(number) and not image.damage


# --- opening at a start ---------------------------------------------------------------------------------------------

def start(path: str, lock: Lock) -> Any:
    return open_journal(path, lock, lambda function: function())


@pytest.fixture
def lock(path):
    made = Lock(path)
    assert made.try_take()
    made.sign("test")
    yield made
    made.close()


def test_every_start_raises_the_epoch(path, lock):
    for epoch in (1, 2, 3):
        opened_ = start(path, lock)
        assert opened_.epoch == epoch and opened_.is_ours(opened_.journal)
        opened_.journal.close()


@pytest.mark.parametrize("make", [text_file, foreign_database, random_bytes])
def test_set_aside(path, lock, make, caplog):
    """What can't be read is kept under another name; a new journal takes its place."""
    make(path)
    before = Path(path).read_bytes()
    opened_ = start(path, lock)
    assert opened_.journal is not None and opened_.image.at is None and opened_.epoch == 1
    assert Path(path + ".unreadable").read_bytes() == before
    assert "The journal can't be read" in caplog.text and "journal.db.unreadable" in caplog.text
    opened_.journal.commit(tick(1))
    opened_.journal.close()
    assert start(path, lock).image.last == 1


def test_its_end_is_missing(path, lock, caplog):
    """The lock keeps the number of the last record."""
    written(path, 5)
    lock.mark(5)
    assert not start(path, lock).image.damage
    assert "damaged" not in caplog.text
    lock.mark(6)
    assert "ends with record 5, and 6 were written" in start(path, lock).image.damage
    assert "The journal is damaged" in caplog.text


def test_no_room_at_the_start(tmp_path, caplog):
    """There is no journal; the service starts all the same."""
    folder = tmp_path / "folder"
    folder.mkdir()
    lock = Lock(str(folder / "journal.db"))
    os.mkdir(str(folder / "journal.db"))
    opened_ = start(str(folder / "journal.db"), lock)
    assert opened_.journal is None and "Is a directory" in opened_.failure and opened_.image.at is None
    assert "There is no journal" in caplog.text
    lock.close()


def test_one_is_set_aside_only(path):
    place = SqlitePlace(path)
    for text in ("one", "two"):
        Path(path).write_text(text, encoding="ascii")
        assert place.set_aside() == path + ".unreadable"
    assert Path(path + ".unreadable").read_text(encoding="ascii") == "two" and not os.path.exists(path)
    place.remove()  # what is missing already is no error
    assert os.listdir(os.path.dirname(path)) == ["journal.db.unreadable"]
