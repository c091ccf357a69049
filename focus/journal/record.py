"""What one tick commits (:class:`Record`), and what a journal holds after all of them (:class:`Image`).

A record holds the rows that changed, and per stream the counts of XEP-0198 with the stanzas that are about to leave.
Stanzas are numbered from 1 within a session, in the order in which the server will count them.
"""
from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional, Tuple, Union

import msgspec

from focus.journal.rows import Change

Parts = Union[str, List[Union[str, int]]]
"""A stanza: its text, or its parts, of which numbers stand for the bodies it shares with others."""


class StreamRecord(msgspec.Struct, array_like=True):
    """One connection after the tick."""

    name: str
    token: str = ""
    """What resumes the stream; empty if nothing does. Whoever knows it can take the stream over."""
    jid: str = ""
    max_seconds: Optional[int] = None
    """How long the server keeps a cut stream; None if it did not say."""
    handled: int = 0
    """Stanzas of the server that are fully handled with this record: our ``h``, not wrapped."""
    confirmed: int = 0
    """Stanzas of ours that the server has confirmed."""
    first: int = 1
    """Number of the first of ``stanzas``: what is known under this number and later is replaced."""
    stanzas: List[Parts] = []

    @property
    def sent(self) -> int:
        """Number of the last stanza of ours in the journal, when this record is its last."""
        return self.first - 1 + len(self.stanzas)


class Record(msgspec.Struct, array_like=True):
    """What one tick commits."""

    at: float
    """Monotonic seconds of the service."""
    wall: float
    """Seconds since 1970: tells how long the host was down."""
    rows: List[Change] = []
    ended: List[int] = []
    """Owners that are over, with all their rows."""
    streams: List[StreamRecord] = []
    bodies: Dict[int, str] = {}
    """Those that a stanza names for the first time; later records count on them."""

    def stream(self, name: str) -> Optional[StreamRecord]:
        """The entry of a connection."""
        return next((stream for stream in self.streams if stream.name == name), None)

    @property
    def handled(self) -> int:
        """``h`` of the client's stream."""
        client = self.stream("client")
        return client.handled if client is not None else 0

    @property
    def sent(self) -> int:
        """Number of the last stanza of the client's stream that is in the journal."""
        client = self.stream("client")
        return client.sent if client is not None else 0


class StreamImage(NamedTuple):
    """One connection as the journal has it."""

    token: str
    jid: str
    max_seconds: Optional[int]
    handled: int
    confirmed: int
    stanzas: List[str]
    """Those not confirmed; the first is number ``confirmed`` + 1."""


class Stored(NamedTuple):
    """A row as it lies in the journal."""

    order: int
    value: bytes


class Image:
    """What a journal holds."""

    def __init__(self) -> None:
        self.owners: Dict[int, Dict[Tuple[str, str], Stored]] = {}
        """Owner, then (kind, key) to the row."""
        self.streams: Dict[str, StreamImage] = {}
        self.at: Optional[float] = None
        """When the last record was made; None: nothing was ever committed."""
        self.wall = 0.0
        self.last = 0
        """Number of the last record."""
        self._bodies: Dict[int, str] = {}
        self.damage = ""
        """What could not be read: later records are missing."""

    def apply(self, record: Record) -> None:
        """Take a record in."""
        self.at, self.wall = record.at, record.wall
        for owner in record.ended:
            self.owners.pop(owner, None)
        for change in record.rows:
            rows = self.owners.setdefault(change.owner, {})
            if change.value is None:
                rows.pop((change.kind, change.key), None)
            else:
                rows[change.kind, change.key] = Stored(change.order, change.value)
        self._bodies.update(record.bodies)
        for stream in record.streams:
            self._apply_stream(stream)

    def _apply_stream(self, stream: StreamRecord) -> None:
        old = self.streams.get(stream.name)
        kept: List[str] = []
        if old is not None and old.token == stream.token and stream.token:
            kept = old.stanzas[max(0, stream.confirmed - old.confirmed):stream.first - 1 - old.confirmed]
        written = [stanza if isinstance(stanza, str) else "".join(
            part if isinstance(part, str) else self._bodies[part] for part in stanza) for stanza in stream.stanzas]
        self.streams[stream.name] = StreamImage(
            stream.token, stream.jid, stream.max_seconds, stream.handled, stream.confirmed,
            kept + written[max(0, stream.confirmed - stream.first + 1):])

    def tables(self, owner: int) -> Dict[str, List[Tuple[str, int, bytes]]]:
        """Kind to the rows of an owner: (key, order, value)."""
        found: Dict[str, List[Tuple[str, int, bytes]]] = {}
        for (kind, key), stored in self.owners.get(owner, {}).items():
            found.setdefault(kind, []).append((key, stored.order, stored.value))
        return found
