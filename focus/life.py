"""The life of a process: whose turn it is to serve, and how it ends.

One process serves with a journal, others wait as warm spares. The one that serves ends on a signal, hands over to a
spare, or ends the calls for good:

======== ==========================================================================================
SIGTERM  end between two ticks; nobody in a call notices, whoever serves next goes on (also SIGINT)
SIGUSR1  hand over to the spare and wait until it has proved itself (``jicofo upgrade``)
SIGUSR2  end all calls, leave the rooms, and end (``jicofo stop --end-calls``)
SIGHUP   open the log file again
======== ==========================================================================================
"""
from __future__ import annotations

import logging
import os
import signal
import sys
import time
from typing import Any, NamedTuple, Optional

from focus import __version__, log
from focus.journal.base import JournalFailed
from focus.journal.lock import Lock, read_holder

LOG = logging.getLogger(__name__)
FAULT = 1
HELD = 3
"""Exit status: another process serves with this journal."""
CALLS_ENDED = 5
"""Exit status after ``jicofo stop --end-calls``: not to be started again by itself."""


_INSTALLED = int(os.stat(__file__).st_mtime)
"""When the files of this program were written, as it was at the start."""


def identity() -> str:
    """Version, time and place of this installation: what tells two of them apart."""
    return "%s of %s in %s" % (__version__, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(_INSTALLED)),
                               os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Turn(NamedTuple):
    """It is our turn to serve."""

    lock: Lock
    waited_since: Optional[float]
    """Seconds since 1970 at which we began to wait as a spare; None if it was our turn at once."""


def take_turn(config: Any) -> Optional[Turn]:
    """Get the lock on the journal, waiting for it as a spare if so configured; None without a journal.

    Raises:
        SystemExit: another process has it and we don't wait (status 3), or a signal ended the wait (0).
        JournalFailed: the lock can't be made.
    """
    path = config.journal_file
    if path is None:
        LOG.warning("No journal is kept (%s): every restart of this process ends all calls",
                    config.source_of("journal_file"))
        return None
    lock = Lock(path)
    since = None
    if not lock.try_take():
        if not config.standby:
            holder = read_holder(lock.path)
            LOG.error("Another process serves with the journal %s (%s). End it first, or start this one with "
                      "standby = true, so that it waits and takes over", path,
                      "pid %d, version %s" % holder if holder is not None else "its pid is not known")
            raise SystemExit(HELD)
        since = time.time()
        wait_for_turn(lock, path)
    lock.sign(identity())
    return Turn(lock, since)


def wait_for_turn(lock: Lock, path: str) -> None:
    """Wait as a spare. Nothing is done meanwhile, and a signal ends it."""
    spare = spare_file(path)
    LOG.info("Waiting as a spare: another process serves with the journal %s", path)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end_waiting)
    signal.signal(signal.SIGHUP, lambda *_: log.reopen())
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # meant for the one that serves
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    _sign(spare)
    try:
        lock.wait()
    finally:
        holder = read_holder(spare)
        if holder is not None and holder.pid == os.getpid():
            try:
                os.unlink(spare)
            except OSError:
                pass


def _end_waiting(*_: Any) -> None:
    sys.exit(0)


def _sign(path: str) -> None:
    temporary = "%s.%d" % (path, os.getpid())
    try:
        with open(temporary, "w", encoding="ascii") as file:
            file.write("%d %s\n" % (os.getpid(), identity()))
        os.replace(temporary, path)
    except OSError as error:
        raise JournalFailed("%s can't be written: %s" % (path, error.strerror or error)) from None


def spare_file(journal_path: str) -> str:
    """Where a spare says that it waits."""
    return journal_path + ".spare"
