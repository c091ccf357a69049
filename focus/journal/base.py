"""What every kind of journal can do, and how it fails."""
from __future__ import annotations

from typing import Optional, Protocol

from focus.journal.record import Image, Record

SCHEMA = 1
"""Raised by one with every change of the tables, or of a row's meaning; ``sqlite.MIGRATIONS`` says how to get there."""
READABLE_FROM = 1
"""The oldest schema whose program can still work with what this one writes."""


class JournalError(Exception):
    """Base: the text is for the operator."""


class JournalFailed(JournalError):
    """It can't be written or read: the disk is full, the folder is missing, the file system failed."""


class JournalDamaged(JournalError):
    """The file is no journal, or is broken."""


class JournalNewer(JournalError):
    """A later version of the program has written it in a way that this one can't read."""


class Journal(Protocol):
    """A place for records. Used by one thread at a time; nothing here waits for anything but the disk."""

    def load(self) -> Image:
        """What it holds. Raises JournalError."""

    def commit(self, record: Record, fold: bool = False) -> int:
        """Add a record; when this returns, it survives the end of the process. Returns its bytes.

        fold: the record has every unconfirmed stanza of every stream, so that earlier records may be folded into
        rows. Raises JournalFailed.
        """

    @property
    def is_there(self) -> bool:
        """Whether a later process would find it."""

    @property
    def last(self) -> int:
        """Number of the last record, 0 if there is none."""

    @property
    def wants_fold(self) -> bool:
        """Whether the next record should be made for folding: the records have grown."""

    def note(self, key: str, value: str) -> None:
        """Keep a text beside the records, at once. Raises JournalFailed."""

    def noted(self, key: str) -> Optional[str]:
        """A text that was kept. Raises JournalFailed."""

    def close(self) -> None:
        """Let go of it."""


class Place(Protocol):
    """Where journals are made."""

    def make(self) -> Journal:
        """The journal that is there, or a new one. Raises JournalError."""

    def remove(self) -> None:
        """Take away what is there, if that can be done."""
