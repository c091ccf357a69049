"""Rooms whose next conference is held to bridges of one version (B-507)."""
from __future__ import annotations

from dataclasses import dataclass
from typing import List, NamedTuple, Optional

from focus.journal.rows import Row, Rows

MAX_PINS = 10000
MAX_MINUTES = 366 * 24 * 60


@dataclass(eq=False)
class Pin(Row):
    """Keyed by the room's bare JID."""

    room: str
    version: str
    """Full version of bridges (B-208), compared as it stands."""
    until: float
    """Monotonic seconds."""


class Pinned(NamedTuple):
    """A pin as it is shown."""

    room: str
    version: str
    minutes: float
    """For how long it still holds."""


class Pins:
    """The table of pins. A conference asks once, when it is created; a running one isn't changed by a pin."""

    def __init__(self) -> None:
        self.rows: Rows[Pin] = Rows("pin", Pin)

    def pin(self, room: str, version: str, minutes: int, now: float) -> None:
        """From now on for so many minutes. Raises ValueError if that can't be."""
        if not room or not version or not 1 <= minutes <= MAX_MINUTES:
            raise ValueError("a pin needs a room, a version, and 1 to %d minutes" % MAX_MINUTES)
        self._forget_expired(now)
        if len(self.rows) >= MAX_PINS and room not in self.rows:
            raise ValueError("there are %d pins already" % MAX_PINS)
        self.rows[room] = Pin(room, version, now + minutes * 60)

    def unpin(self, room: str) -> bool:
        """Whether there was a pin, which is gone now."""
        return self.rows.pop(room, None) is not None

    def list(self, now: float) -> List[Pinned]:
        """Those that hold."""
        self._forget_expired(now)
        return [Pinned(row.room, row.version, (row.until - now) / 60) for row in self.rows.values()]

    def version_of(self, room: str, now: float) -> Optional[str]:
        """The version to which a conference that begins now is held, if any."""
        row = self.rows.get(room)
        if row is None:
            return None
        if row.until <= now:
            del self.rows[room]
            return None
        return row.version

    def _forget_expired(self, now: float) -> None:
        for room in [room for room, row in self.rows.items() if row.until <= now]:
            del self.rows[room]
