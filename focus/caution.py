"""Poison: a stanza that makes the process crash would be replayed to every process after it (DESIGN, "Poison").

A process that starts where the one before it started, no stanza further, is cautious: it takes one stanza a tick, and
notes which it is about to take. The stanza at which that ends twice is skipped: a request gets internal-server-error,
presence and message are dropped. After a while without a crash all is as always.
"""
from __future__ import annotations

import json
import logging
from typing import Any, Callable, NamedTuple, Optional

from focus.journal.base import Journal, JournalError
from focus.journal.record import Image

LOG = logging.getLogger(__name__)
STANZAS = 300
SECONDS = 20.0
"""So long a process is cautious, whichever is over first."""
TRIES = 2


class Place(NamedTuple):
    """A place in the server's stanzas: the stream, and how many of it are handled; with what happened there."""

    token: str = ""
    handled: int = 0
    times: int = 0

    def is_at(self, other: Place) -> bool:
        """Whether it is the same place."""
        return bool(self.token) and self[:2] == other[:2]


class Caution:
    """Whether to take one stanza a tick, and which to skip.

    Args:
        journal: where the notes are.
        image: what it held at the start.
        now: monotonic seconds.
    """

    def __init__(self, journal: Optional[Journal], image: Image, now: Callable[[], float]) -> None:
        self._journal = journal
        client = image.streams.get("client")
        here = Place(client.token, client.handled) if client is not None else Place()
        started, tried = self._read("started"), self._read("tried")
        again = started.times + 1 if started.is_at(here) else 1
        self._write("started", here._replace(times=again))
        self._tried = tried
        self.skips = tried.is_at(here) and tried.times >= TRIES
        """Whether the next stanza is to be skipped."""
        self._left = STANZAS if self.skips or again > 1 or (bool(tried.token) and tried.token == here.token) else 0
        self._until = now() + SECONDS
        self._now = now
        if self._left:
            LOG.warning("The process before this one got no further than it began: stanzas are taken one by one for a "
                        "while")

    @property
    def is_active(self) -> bool:
        """Whether stanzas are to be taken one by one."""
        return self._left > 0

    def begin(self, stream: Any) -> bool:
        """A stanza is about to be handled; True if it is to be skipped instead.

        Args:
            stream: the session that counts it.
        """
        skip, self.skips = self.skips, False
        self._left -= 1
        if self._left <= 0 or self._now() > self._until:
            self._left = 0
            self._write("tried", Place())
        else:
            here = Place(stream.id, stream.handled)
            times = self._tried.times + 1 if self._tried.is_at(here) else 1
            self._tried = here._replace(times=0 if skip else times)
            self._write("tried", self._tried)
        return skip

    def _read(self, key: str) -> Place:
        try:
            text = self._journal.noted(key) if self._journal is not None else None
            token, handled, times = json.loads(text or "[]")
            return Place(str(token), int(handled), int(times))
        except (JournalError, ValueError, TypeError):
            return Place()

    def _write(self, key: str, place: Place) -> None:
        try:
            if self._journal is not None:
                self._journal.note(key, json.dumps(place))
        except JournalError as error:
            LOG.error("%s", error)
