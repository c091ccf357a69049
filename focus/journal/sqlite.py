"""The journal on disk: SQLite in WAL mode.

Each tick adds one record, which is one page or a few at the end of a file. When the records have grown, they are folded
into the table of rows, one row an entity, so that the file stays as small as what is known. Both happen in one
transaction each, so a process that is killed at any moment leaves the last tick or the one before.

``synchronous=NORMAL``: what a killed process has committed is safe; what a host without power has, may be lost.
"""
from __future__ import annotations

import os
import sqlite3
import urllib.parse
import zlib
from typing import Any, Callable, Dict, List, Optional, Tuple

import msgspec

from focus.journal.base import READABLE_FROM, SCHEMA, JournalDamaged, JournalFailed, JournalNewer
from focus.journal.record import Image, Record
from focus.journal.rows import Change

APPLICATION = 0x6A69636F
"""Stands in the file's header: this is a journal of a conference focus."""
FOLD_AT = 8 * 1024 * 1024
"""Bytes of records after which they are folded; each costs a page besides what it holds."""
PAGE = 4096
WAL_LIMIT = 16 * 1024 * 1024

_TABLES = """
CREATE TABLE note (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE entity (owner INTEGER, kind TEXT, key TEXT, ord INTEGER NOT NULL, value BLOB NOT NULL,
                     PRIMARY KEY (owner, kind, key)) WITHOUT ROWID;
CREATE TABLE record (number INTEGER PRIMARY KEY, sum INTEGER NOT NULL, data BLOB NOT NULL);
"""

MIGRATIONS: Dict[int, str] = {}
"""Schema to the SQL that makes the next one of it. A migration that rewrites rows raises READABLE_FROM."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Record)


def _inline(function: Callable[[], None]) -> None:
    function()


class SqliteJournal:
    """One file (and ``-wal`` and ``-shm`` beside it, which SQLite keeps).

    Args:
        path: made if it is missing, readable by its owner only.
        aside: runs a function that waits for the disk, outside of the caller's way.

    Raises:
        JournalFailed, JournalDamaged, JournalNewer: see there.
    """

    def __init__(self, path: str, aside: Callable[[Callable[[], None]], None] = _inline) -> None:
        self.path = path
        self._aside = aside
        self._size = 0
        self._number = 0
        self._unfolded: Dict[Tuple[int, str, str], Change] = {}
        self._ended: Dict[int, None] = {}
        self._checkpointing = False
        self._database, self._file = _opened(path)
        try:
            _prepare(self._database, path)
        except BaseException:
            self._database.close()
            raise

    # --- reading ---------------------------------------------------------------------------------------------

    def load(self) -> Image:
        """What it holds. Raises JournalDamaged."""
        image = Image()
        rows: Any = []
        try:
            broken = [text for (text,) in self._database.execute("PRAGMA quick_check(3)") if text != "ok"]
            if broken:
                raise JournalDamaged("%s is broken (%s)" % (self.path, "; ".join(broken)[:200]))
            rows = self._database.execute("SELECT owner, kind, key, ord, value FROM entity").fetchall()
            records = self._database.execute("SELECT number, sum, data FROM record ORDER BY number").fetchall()
        except (sqlite3.DatabaseError, UnicodeError) as error:
            raise JournalDamaged("%s is broken (%s)" % (self.path, error)) from None
        image.apply(Record(0.0, 0.0, [Change(*row) for row in rows]))
        image.at = None
        for number, checksum, data in records:
            try:
                if zlib.crc32(data) != checksum or (self._number and number != self._number + 1):
                    raise ValueError("its check sum or number is wrong")
                record = _decoder.decode(data)
            except (msgspec.MsgspecError, ValueError, TypeError) as error:
                image.damage = "record %d of %s can't be read (%s)" % (number, self.path, error)
                break
            self._number = image.last = number
            self._size += len(data) + PAGE
            self._remember(record)
            image.apply(record)
        return image

    # --- writing ---------------------------------------------------------------------------------------------

    def commit(self, record: Record, fold: bool = False) -> int:
        """Add a record. Raises JournalFailed."""
        data = _encoder.encode(record)
        database = self._database
        self._remember(record)
        self._number += 1
        try:
            if fold:
                database.execute("BEGIN IMMEDIATE")
                self._fold()
            database.execute("INSERT INTO record VALUES (?, ?, ?)", (self._number, zlib.crc32(data), data))
            if fold:
                database.execute("COMMIT")
        except sqlite3.Error as error:
            raise JournalFailed("%s can't be written: %s" % (self.path, error)) from None
        self._size += len(data) + PAGE
        if fold:
            self._size = len(data)
            self._unfolded.clear()
            self._ended.clear()
            self._checkpoint()
        return len(data)

    @property
    def is_there(self) -> bool:
        """Whether our file still has its name: somebody may have removed it."""
        try:
            there = os.stat(self.path)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == self._file

    @property
    def last(self) -> int:
        """Number of the last record."""
        return self._number

    @property
    def wants_fold(self) -> bool:
        """Whether the records have grown."""
        return self._size > FOLD_AT

    def _remember(self, record: Record) -> None:
        """What the next fold has to write: of each row only the last."""
        for owner in record.ended:
            self._ended[owner] = None
            for name in [name for name in self._unfolded if name[0] == owner]:
                del self._unfolded[name]
        for change in record.rows:
            self._unfolded[change.owner, change.kind, change.key] = change

    def _fold(self) -> None:
        database = self._database
        database.executemany("DELETE FROM entity WHERE owner = ?", [(owner,) for owner in self._ended])
        gone = [name for name, change in self._unfolded.items() if change.value is None]
        database.executemany("DELETE FROM entity WHERE owner = ? AND kind = ? AND key = ?", gone)
        database.executemany("INSERT OR REPLACE INTO entity VALUES (?, ?, ?, ?, ?)",
                             [change for change in self._unfolded.values() if change.value is not None])
        database.execute("DELETE FROM record")

    def _checkpoint(self) -> None:
        """Move what is committed from the WAL into the file, which waits for the disk: not in the caller's time."""
        if self._checkpointing:
            return
        self._checkpointing = True
        path = self.path

        def move() -> None:
            try:
                other = sqlite3.connect(_uri(path), uri=True, isolation_level=None, timeout=0.0)
                try:
                    other.execute("PRAGMA wal_checkpoint(PASSIVE)")
                finally:
                    other.close()
            except sqlite3.Error:
                pass  # the next commit meets the same trouble and says so
            finally:
                self._checkpointing = False

        self._aside(move)

    # --- notes -----------------------------------------------------------------------------------------------

    def note(self, key: str, value: str) -> None:
        """Keep a text. Raises JournalFailed."""
        try:
            self._database.execute("INSERT OR REPLACE INTO note VALUES (?, ?)", (key, value))
        except sqlite3.Error as error:
            raise JournalFailed("%s can't be written: %s" % (self.path, error)) from None

    def noted(self, key: str) -> Optional[str]:
        """A text that was kept. Raises JournalFailed."""
        try:
            row = self._database.execute("SELECT value FROM note WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            raise JournalFailed("%s can't be read: %s" % (self.path, error)) from None
        return str(row[0]) if row is not None else None

    def close(self) -> None:
        """Let go of it."""
        try:
            self._database.close()
        except sqlite3.Error:
            pass


class SqlitePlace:
    """The place of a journal on disk."""

    def __init__(self, path: str, aside: Callable[[Callable[[], None]], None] = _inline) -> None:
        self.path = path
        self._aside = aside

    def make(self) -> SqliteJournal:
        """The journal there, made if it is missing. Raises JournalError."""
        return SqliteJournal(self.path, self._aside)

    def remove(self) -> None:
        """Unlink it; what is missing already is no error."""
        for name in files_of(self.path):
            try:
                os.unlink(name)
            except OSError:
                pass

    def set_aside(self) -> str:
        """Rename one that can't be read, for whoever wants to look at it; one is kept. Returns the new path."""
        aside = self.path + ".unreadable"
        for name, new in zip(files_of(self.path), files_of(aside)):
            try:
                os.replace(name, new)
            except OSError:
                pass
        return aside


def files_of(path: str) -> List[str]:
    """The journal's file and those SQLite keeps beside it."""
    return [path, path + "-wal", path + "-shm"]


def _uri(path: str) -> str:
    """The file if it is there; SQLite makes none."""
    return "file:%s?mode=rw" % urllib.parse.quote(os.path.abspath(path))


def _opened(path: str) -> Tuple[sqlite3.Connection, Tuple[int, int]]:
    """The database, and which file it is; only we may read that."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
            file = os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise JournalFailed("%s can't be opened: %s" % (path, error.strerror or error)) from None
    database = sqlite3.connect(_uri(path), uri=True, isolation_level=None, timeout=2.0, check_same_thread=False)
    return database, (file.st_dev, file.st_ino)


def _prepare(database: sqlite3.Connection, path: str) -> None:
    """See that it is ours and of our schema, or make it so. Raises JournalError."""
    try:
        (application,) = database.execute("PRAGMA application_id").fetchone()
        (schema,) = database.execute("PRAGMA user_version").fetchone()
        (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application != APPLICATION and (application or tables):
            raise JournalDamaged("%s is a database of another program" % path)
        if tables:
            _check_schema(database, path, schema)
        (mode,) = database.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise JournalFailed("%s is on a file system that SQLite can't use with a log (mode %s)" % (path, mode))
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("PRAGMA wal_autocheckpoint = 0")
        database.execute("PRAGMA journal_size_limit = %d" % WAL_LIMIT)
        database.execute("PRAGMA cache_size = -2000")
        _migrate(database, schema if tables else 0)
    except (sqlite3.DatabaseError, UnicodeError) as error:
        if isinstance(error, sqlite3.OperationalError) and "unsupported file format" not in str(error):
            raise JournalFailed("%s can't be used: %s" % (path, error)) from None
        raise JournalDamaged("%s is no journal (%s)" % (path, error)) from None


def _check_schema(database: sqlite3.Connection, path: str, schema: int) -> None:
    if schema <= SCHEMA:
        return
    try:
        (readable,) = database.execute("SELECT value FROM note WHERE key = 'readable from'").fetchone()
        understood = int(readable) <= SCHEMA
    except (sqlite3.OperationalError, TypeError, ValueError):
        understood = False
    if not understood:
        raise JournalNewer("%s was written by a later version (schema %d, this one knows %d)" % (path, schema, SCHEMA))


def _migrate(database: sqlite3.Connection, schema: int) -> None:
    if schema >= SCHEMA:
        return
    database.execute("BEGIN IMMEDIATE")
    for statement in (_TABLES if schema == 0 else "").split(";"):
        if statement.strip():
            database.execute(statement)
    for step in range(schema or SCHEMA, SCHEMA):
        for statement in MIGRATIONS[step].split(";"):
            if statement.strip():
                database.execute(statement)
    database.execute("INSERT OR REPLACE INTO note VALUES ('readable from', ?)", (str(READABLE_FROM),))
    database.execute("PRAGMA application_id = %d" % APPLICATION)
    database.execute("PRAGMA user_version = %d" % SCHEMA)
    database.execute("COMMIT")
