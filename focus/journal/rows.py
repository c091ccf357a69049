"""Rows: plain records that know when they were changed, so that a tick writes exactly what it changed.

A table (:class:`Rows`) is a dict; a row (:class:`Row`) is a dataclass. Setting a field or an entry touches the row, and
its owner's :class:`Ledger` remembers that until the changes are collected. A list or dict *inside* a row has to be
replaced, or ``touch()`` called. Nothing here does I/O or knows how a row is serialised.

The ledger also remembers every row as it was collected last. So a turn that fails can be undone (``roll_back``), row
by row, and a row that was touched without being changed is not written.
"""
from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Protocol, Tuple, TypeVar

R = TypeVar("R")


class Codec(Protocol):
    """How rows become bytes and back; ``focus.journal.codec`` is one."""

    def encode(self, row: Any) -> bytes:
        """The row as bytes, the same for equal rows."""

    def encoder(self, kind: type) -> Callable[[Any], bytes]:
        """``encode`` for one kind of row."""

    def decode(self, kind: type, data: bytes) -> Any:
        """A new row of a kind. Raises ``Unreadable``."""

    def restore(self, row: Any, data: bytes) -> None:
        """Give an existing row the fields it had."""


class Unreadable(Exception):
    """Bytes that are no such row."""


class Change(NamedTuple):
    """One row that changed: its bytes, or None if it is gone."""

    owner: int
    kind: str
    key: str
    order: int
    """Rises with every insertion into the owner's tables: rows come back in this order."""
    value: Optional[bytes]


class Row:
    """Base of rows. Subclasses are dataclasses with ``eq=False``; fields whose metadata says ``journal: False`` are
    made anew from others. The others stand in the journal in their order: new ones are added behind them, with a
    default."""

    _rows: Optional[Rows[Any]] = None
    _key = ""

    def touch(self) -> None:
        """Something inside of a field was changed."""
        rows = self._rows
        if rows is not None and self._key not in rows.touched:
            rows.touch(self._key, self)

    def tables(self) -> Iterable[Rows[Any]]:
        """Tables that belong to this row and go with it."""
        return ()


class _Watched:
    """Goes before a row's class while the row stands in a table that notes changes: setting a field touches the row."""

    _rows: Optional[Rows[Any]]
    _key: str

    def __setattr__(self, name: str, value: Any, _set: Any = object.__setattr__) -> None:
        _set(self, name, value)
        rows = self._rows
        if rows is not None and self._key not in rows.touched:
            rows.touch(self._key, self)


_watched: Dict[type, type] = {}


def _watch(row: Row, rows: Rows[Any], key: str) -> None:
    kind = row.__class__
    if not issubclass(kind, _Watched):
        watched = _watched.get(kind)
        if watched is None:
            watched = _watched[kind] = type(kind.__name__, (_Watched, kind), {"__module__": kind.__module__})
        object.__setattr__(row, "__class__", watched)
    row.__dict__["_rows"] = rows
    row.__dict__["_key"] = key


def _let_be(row: Row) -> None:
    if issubclass(row.__class__, _Watched):
        object.__setattr__(row, "__class__", row.__class__.__mro__[2])
    row.__dict__["_rows"] = None


class Rows(Dict[str, R]):
    """A table of one kind of row, in the order of insertion. Until it is attached to a ledger it is a plain dict.

    Args:
        kind: names the table in the journal.
        of: the class of the rows.
    """

    __slots__ = ("before", "kind", "ledger", "of", "prefix", "saved", "touched")

    def __init__(self, kind: str, of: type) -> None:
        super().__init__()
        self.kind = kind
        self.of = of
        self.prefix = ""
        """Stands before the keys in the journal: the key of the row the table belongs to."""
        self.ledger: Optional[Ledger] = None
        self.touched: Dict[str, bool] = {}
        """Key to whether it was inserted anew since the last collection."""
        self.before: Dict[str, Any] = {}
        """The rows that stood under touched keys."""
        self.saved: Dict[str, Tuple[int, bytes]] = {}
        """Order and bytes as collected last."""

    def attach(self, ledger: Ledger, prefix: str = "") -> None:
        """From now on changes are noted; what is there already counts as inserted now."""
        self.ledger, self.prefix = ledger, prefix
        for key in self:
            self.touch(key, None, True)
            self._adopt(key, self[key])

    def touch(self, key: str, row: Any, inserted: bool = False) -> None:
        """Note that what stands under a key changes; ``row`` is what stood there."""
        if not self.touched and self.ledger is not None:
            self.ledger.wake(self)
        if key not in self.touched and row is not None:
            self.before[key] = row
        if inserted:
            self.touched.pop(key, None)  # its place is behind those touched before it
        self.touched[key] = inserted

    def __setitem__(self, key: str, row: R) -> None:
        if self.ledger is not None:
            old = self.get(key)
            self.touch(key, old, old is None or self.touched.get(key, False))
            if old is not None and old is not row:
                self._release(old)
            self._adopt(key, row)
        super().__setitem__(key, row)

    def __delitem__(self, key: str) -> None:
        self.pop(key)

    def pop(self, key: str, *default: Any) -> Any:
        """As of a dict."""
        if key not in self:
            return super().pop(key, *default)
        row = super().pop(key)
        if self.ledger is not None:
            self.touch(key, row)
            self._release(row)
        return row

    def clear(self) -> None:
        """As of a dict."""
        for key in list(self):
            self.pop(key)

    def popitem(self) -> Any:
        """Not for rows: which goes has to be said."""
        raise TypeError("rows are removed by their key")

    def setdefault(self, *arguments: Any) -> Any:
        """Not for rows."""
        raise TypeError("rows are set by their key")

    def update(self, *arguments: Any, **rows: Any) -> None:
        """Not for rows."""
        raise TypeError("rows are set by their key")

    def _adopt(self, key: str, row: Any) -> None:
        if isinstance(row, Row) and self.ledger is not None:
            _watch(row, self, key)
            for table in row.tables():
                if table.ledger is None:
                    table.attach(self.ledger, "%s%s\n" % (self.prefix, key))

    def _release(self, row: Any) -> None:
        if isinstance(row, Row):
            _let_be(row)
            for table in row.tables():
                table.clear()
                table.ledger = None

    # --- what the ledger does with it ------------------------------------------------------------------------

    def collect(self, ledger: Ledger, pending: Dict[Tuple[str, str], Change]) -> None:
        """Add the changes since the last time to those that are pending."""
        encode = ledger.codec.encoder(self.of)
        owner, kind, prefix, all_saved = ledger.owner, self.kind, self.prefix, self.saved
        for key, inserted in self.touched.items():
            row = self.get(key)
            saved = all_saved.get(key)
            name = prefix + key
            if row is None:
                if saved is not None:
                    del all_saved[key]
                    pending[kind, name] = Change(owner, kind, name, 0, None)
                continue
            value = encode(row)
            if saved is None or inserted:
                ledger.orders = order = ledger.orders + 1
            elif saved[1] == value:
                continue
            else:
                order = saved[0]
            all_saved[key] = (order, value)
            pending[kind, name] = Change(owner, kind, name, order, value)
        self.touched.clear()
        self.before.clear()

    def roll_back(self, ledger: Ledger) -> None:
        """Put every touched row back to what was collected last."""
        moved = any(self.touched.values()) or any(key not in self for key in self.touched)
        self.ledger = ledger
        for key in self.touched:
            saved = self.saved.get(key)
            current = self.get(key)
            if saved is None:
                super().pop(key, None)
                if isinstance(current, Row):
                    _let_be(current)
                continue
            row: Any = self.before.get(key, current)
            if current is not row and isinstance(current, Row):
                _let_be(current)
            if isinstance(row, Row):
                _let_be(row)
                ledger.codec.restore(row, saved[1])
            super().__setitem__(key, row)
            self._adopt(key, row)
        if moved:
            self._sort()
        self.touched.clear()
        self.before.clear()

    def _sort(self) -> None:
        ordered = sorted(self.items(), key=lambda item: self.saved[item[0]][0])
        super().clear()
        for key, row in ordered:
            super().__setitem__(key, row)

    def load(self, ledger: Ledger, prefix: str, stored: Iterable[Tuple[str, int, bytes]]) -> None:
        """Fill the empty table with rows read from a journal: (key without prefix, order, value).

        Raises:
            Unreadable: one of them can't be read.
        """
        self.ledger, self.prefix = ledger, prefix
        for key, order, value in sorted(stored, key=lambda entry: entry[1]):
            row = ledger.codec.decode(self.of, value)
            self.saved[key] = (order, value)
            ledger.orders = max(ledger.orders, order)
            super().__setitem__(key, row)
            self._adopt(key, row)


class Ledger:
    """The rows of one owner, a conference or the service, and what changed of them.

    Args:
        owner: its number in the journal.
        codec: makes bytes of rows.
        woken: told when there are changes after there were none.
    """

    __slots__ = ("_active", "_woken", "codec", "orders", "owner", "pending", "roots")

    def __init__(self, owner: int, codec: Codec, woken: Any = None) -> None:
        self.owner = owner
        self.codec = codec
        self._woken = woken
        self._active: List[Rows[Any]] = []
        self.orders = 0
        self.pending: Dict[Tuple[str, str], Change] = {}
        """Collected and not yet committed."""
        self.roots: List[Rows[Any]] = []

    def add(self, *tables: Rows[Any]) -> None:
        """Attach tables that belong to no row."""
        for table in tables:
            self.roots.append(table)
            if table.ledger is None:
                table.attach(self)

    def wake(self, rows: Rows[Any]) -> None:
        """A table has its first change."""
        self._active.append(rows)
        if self._woken is not None:
            self._woken(self)

    def collect(self) -> None:
        """A turn is over and stands: its changes are pending now."""
        for rows in self._active:  # encoding changes nothing, so nothing is added meanwhile
            rows.collect(self, self.pending)
        self._active.clear()

    def roll_back(self) -> None:
        """Undo everything since the last collection."""
        active, self._active = self._active, []
        for rows in active:
            rows.roll_back(self)

    def take(self) -> List[Change]:
        """The changes for the journal, each row's last; nothing is pending afterwards."""
        self.collect()
        changes = list(self.pending.values())
        self.pending.clear()
        return changes

    def all(self) -> Iterator[Change]:
        """Every row as collected last."""
        for table in self.roots:
            yield from self._rows_of(table)

    def _rows_of(self, table: Rows[Any]) -> Iterator[Change]:
        for key, row in table.items():
            saved = table.saved.get(key)
            if saved is not None:
                yield Change(self.owner, table.kind, table.prefix + key, *saved)
            if isinstance(row, Row):
                for inner in row.tables():
                    yield from self._rows_of(inner)

    def recounted(self) -> Iterator[Change]:
        """Every row as it is in memory now, whatever was noted: what ``all`` must be equal to after a collection."""
        for change, row in self._living():
            yield change._replace(value=self.codec.encode(row))

    def _living(self) -> Iterator[Tuple[Change, Any]]:
        tables = list(self.roots)
        while tables:
            table = tables.pop(0)
            for key, row in table.items():
                order = table.saved.get(key, (0, b""))[0]
                yield Change(self.owner, table.kind, table.prefix + key, order, None), row
                if isinstance(row, Row):
                    tables += row.tables()
