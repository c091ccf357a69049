"""Opening the journal at a start: whose turn it is, what an earlier process left, and how time goes on from there.

The order: the lock, which says that nobody else serves; the file, set aside if it can't be read; the epoch, raised by
every process that serves, so that no id of a request is ever used twice; the clock, which goes on over a reboot.
"""
from __future__ import annotations

import json
import logging
import time
from typing import Callable, Dict, NamedTuple, Optional, Tuple

from focus.journal.base import Journal, JournalDamaged, JournalError, JournalNewer
from focus.journal.lock import Lock
from focus.journal.record import Image
from focus.journal.sqlite import SqliteJournal, SqlitePlace

LOG = logging.getLogger(__name__)
BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Opened(NamedTuple):
    """A journal at a start."""

    place: SqlitePlace
    lock: Lock
    journal: Optional[Journal]
    """None: it can't be written now; it is tried again later."""
    image: Image
    """What an earlier process left; empty if nothing, or nothing that can be read."""
    epoch: int
    offset: float
    """Seconds to add to the monotonic clock."""
    rebooted: bool
    """The host was started anew since the last record."""
    failure: str = ""
    """Why there is no journal."""
    clock: str = ""
    """What a journal has to know of the clock."""

    @property
    def notes(self) -> Dict[str, str]:
        """What a journal begun in the place of a failed one has to know."""
        return {"epoch": str(self.epoch), "clock": self.clock}

    def is_ours(self, journal: Optional[Journal]) -> bool:
        """Whether we still hold the lock, and nobody has raised the epoch of the journal in use."""
        if not self.lock.still_ours():
            return False
        try:
            return journal is None or journal.noted("epoch") in (None, str(self.epoch))
        except JournalError:
            return True  # it fails for another reason, and the next commit says so

    def calls_ended_since(self, when: Optional[float]) -> bool:
        """Whether a process ended all calls for good after that time (seconds since 1970; None: never)."""
        try:
            return when is not None and self.journal is not None and float(self.journal.noted("ended") or 0) > when
        except (JournalError, ValueError):
            return False


def open_journal(path: str, lock: Lock, aside: Callable[[Callable[[], None]], None]) -> Opened:
    """Open, or make, the journal whose lock we hold. Never raises: what can't be read is set aside and told."""
    place = SqlitePlace(path, aside)
    try:
        journal, image = _read(place)
    except JournalError as error:
        return Opened(place, lock, None, Image(), int(time.time()), 0.0, False, _not_now(error), _clock(0.0))
    if not image.damage and image.last < lock.marked:
        image.damage = "%s ends with record %d, and %d were written" % (path, image.last, lock.marked)
    if image.damage:
        LOG.error("The journal is damaged: %s. What came after it is not known; the calls are kept as far as the "
                  "server allows", image.damage)
    try:
        epoch = int(journal.noted("epoch") or 0) + 1
        offset, rebooted = _go_on(journal, image)
    except (JournalError, ValueError):
        epoch, offset, rebooted = int(time.time()), 0.0, True
    opened = Opened(place, lock, journal, image, epoch, offset, rebooted, clock=_clock(offset))
    try:
        for key, value in opened.notes.items():
            journal.note(key, value)
    except JournalError as error:
        journal.close()
        return opened._replace(journal=None, failure=_not_now(error))
    return opened


def _not_now(error: JournalError) -> str:
    LOG.error("There is no journal: %s. The calls go on, but none of them would outlive this process. It is tried "
              "again every 30 s", error)
    return str(error)


def _read(place: SqlitePlace) -> Tuple[SqliteJournal, Image]:
    try:
        journal = place.make()
        try:
            return journal, journal.load()
        except JournalError:
            journal.close()
            raise
    except (JournalDamaged, JournalNewer) as error:
        aside = place.set_aside()
        LOG.error("The journal can't be read: %s. It is kept as %s; this process begins without it, and the clients of "
                  "running calls reload", error, aside)
        journal = place.make()
        return journal, journal.load()


def _boot() -> str:
    """Tells one boot of the host from another; empty where the kernel doesn't say."""
    try:
        with open(BOOT_ID, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def _clock(offset: float) -> str:
    return json.dumps({"boot": _boot(), "offset": offset})


def _go_on(journal: Journal, image: Image) -> Tuple[float, bool]:
    """How the clock of the service goes on, since monotonic seconds of an earlier boot mean nothing now; and whether
    there was a boot since the last record."""
    boot = _boot()
    try:
        before = json.loads(journal.noted("clock") or "{}")
        offset, same = float(before.get("offset", 0.0)), before.get("boot", boot) == boot
    except (ValueError, TypeError, AttributeError):
        offset, same = 0.0, True
    now = time.monotonic() + offset
    if image.at is not None and (not same or now < image.at):
        offset += image.at + max(0.0, time.time() - image.wall) - now
    return offset, image.at is not None and not same
