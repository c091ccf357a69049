"""Handing over to another version (``jicofo upgrade``), and ending a process that serves (``jicofo stop``).

What is handed over is the stream, by way of the journal: the one that serves ends its last tick, drops its connection
and lets go of the lock; the spare, which runs the new version, has the lock at that moment and resumes. Nothing is
lost, and it is the way that every restart goes, so it is well tried. (The other way, a second session under the same
nickname, loses what is asked in between.) The old process stays until the new one has served for some seconds; if it
doesn't, the old one takes the calls back.
"""
from __future__ import annotations

import logging
import os
import signal
import sqlite3
import time
from typing import Any, Callable, Optional

from focus.journal.base import JournalFailed
from focus.journal.lock import Holder, Lock, read_holder
from focus.life import identity, spare_file

LOG = logging.getLogger(__name__)
PROOF_AFTER = 3.0
"""Seconds that a new process has to serve until that counts as proof."""
PROOF_WITHIN = 30.0
"""Seconds it has for that."""
SPARE_WITHIN = 60.0
"""Seconds a supervisor has to start a spare."""
SPARE_COMES = 5.0
"""Seconds within which one that is being started shows up."""
STOP_WITHIN = 15.0
LOOK_EVERY = 0.05


# --- the process that hands over ------------------------------------------------------------------------------------

def is_succeeded(path: str, lock: Lock, epoch: int, sleep: Callable[[float], Any]) -> bool:
    """After the lock was let go: wait until a later process has proved itself.

    Args:
        path: of the journal.
        lock: ours, released; when this returns False, it is held again.
        epoch: of the process that hands over.
        sleep: lets others run for so many seconds; true if this process is to end.

    Returns:
        True: somebody else serves, or this process is to end. False: nobody does, and it is our turn again.
    """
    deadline = time.monotonic() + PROOF_WITHIN
    begun = time.monotonic()
    while True:
        if proved(path) > epoch:
            return True
        if time.monotonic() - begun > 1.0 and lock.try_take():  # who had it has ended, or nobody came for it
            return False
        if time.monotonic() > deadline:
            holder = read_holder(lock.path)
            if holder is not None and holder.pid != os.getpid():
                LOG.error("The new process (pid %d) has the journal and doesn't serve: it is killed", holder.pid)
                _signal(holder.pid, signal.SIGKILL)
            deadline = time.monotonic() + PROOF_WITHIN
        if sleep(LOOK_EVERY):
            return True


def proved(path: str) -> int:
    """The epoch of the last process that has proved itself, 0 if none did or the journal can't be read now."""
    return _number(path, "proved")


def _number(path: str, key: str) -> int:
    try:
        database = sqlite3.connect("file:%s?mode=ro" % path.replace("?", "%3f"), uri=True, timeout=0.5)
        try:
            row = database.execute("SELECT value FROM note WHERE key = ?", (key,)).fetchone()
        finally:
            database.close()
        return int(float(row[0])) if row is not None else 0
    except (sqlite3.Error, ValueError):
        return 0


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


# --- the commands ---------------------------------------------------------------------------------------------------

class CommandFailed(Exception):
    """The text is for the operator."""


def serving(config: Any) -> Holder:
    """The process that serves with the configured journal. Raises CommandFailed."""
    path = config.journal_file
    if path is None:
        raise CommandFailed("no journal is configured, so it isn't known which process serves; use the supervisor")
    if os.path.exists(path + ".lock") and not os.access(path + ".lock", os.R_OK | os.W_OK):
        raise CommandFailed("%s.lock is another user's; do this as root or as the focus's user" % path)
    holder = read_holder(path + ".lock")
    if holder is None or not _is_locked(path):
        raise CommandFailed("no process serves with the journal %s" % path)
    return holder


def _is_locked(path: str) -> bool:
    """Whether somebody holds the lock: a pid alone may be another process's by now."""
    try:
        lock = Lock(path)
    except JournalFailed:
        return False
    try:
        return not lock.try_take()
    finally:
        lock.close()


def _wait(condition: Callable[[], Any], seconds: float) -> Any:
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() > deadline:
            return value
        time.sleep(LOOK_EVERY)


def stop(config: Any, end_calls: bool) -> str:
    """End the process that serves; returns what to tell the operator. Raises CommandFailed."""
    holder = serving(config)
    _tell(holder, signal.SIGUSR2 if end_calls else signal.SIGTERM)
    if not _wait(lambda: not _is_alive(holder.pid), STOP_WITHIN):
        raise CommandFailed("process %d has not ended within %d s; its log says why" % (holder.pid, STOP_WITHIN))
    if end_calls:
        return "All calls are ended, and so is process %d." % holder.pid
    other = _wait(lambda: _successor(config.journal_file, holder), 2.0)
    if other is not None:
        return "Process %d has ended; process %d goes on with its calls." % (holder.pid, other.pid)
    return ("Process %d has ended. Its calls go on when a focus is started again before the server gives its stream up "
            "(smacks_hibernation_time); to end them use `jicofo stop --end-calls`." % holder.pid)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        with open("/proc/%d/stat" % pid, encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return False


def _successor(path: str, before: Holder) -> Optional[Holder]:
    holder = read_holder(path + ".lock")
    return holder if holder is not None and holder.pid != before.pid else None


def _tell(holder: Holder, number: int) -> None:
    try:
        os.kill(holder.pid, number)
    except PermissionError:
        raise CommandFailed("process %d is another user's; do this as root or as that user" % holder.pid) from None
    except ProcessLookupError:
        raise CommandFailed("process %d has just ended" % holder.pid) from None


def upgrade(config: Any, say: Callable[[str], None]) -> str:
    """Let this installed version take over from the one that serves. Raises CommandFailed: the old one serves on.

    Args:
        say: told each step.
    """
    old = serving(config)
    path = config.journal_file
    if not os.path.exists(path):
        raise CommandFailed("process %d has no journal now, so nothing can be handed over; its log says why" % old.pid)
    spare = _wait(lambda: read_holder(spare_file(path)), SPARE_COMES)
    if spare is None:
        raise CommandFailed("no spare waits to take over: run two processes with standby = true, as "
                            "conf/supervisor/jicofo.conf does")
    if spare.version != identity():
        say("The spare (pid %d) is version %s: it is ended, for the supervisor to start this one" % spare)
        _tell(spare, signal.SIGTERM)
        spare = _wait(lambda: _new_spare(path, spare), SPARE_WITHIN)
        if spare is None:
            raise CommandFailed("nobody started a new spare within %d s; process %d (version %s) serves on"
                                % (SPARE_WITHIN, old.pid, old.version))
    if spare.version != identity():
        raise CommandFailed("the new spare is version %s, this command %s: the supervisor starts another installation; "
                            "process %d serves on" % (spare.version, identity(), old.pid))
    before = proved(path)
    begun = time.monotonic()
    _tell(old, signal.SIGUSR1)
    _wait(lambda: proved(path) > before or not _is_alive(spare.pid), PROOF_WITHIN + 5.0)
    now = _wait(lambda: read_holder(path + ".lock"), 5.0)
    if proved(path) > before and now is not None and now.pid == spare.pid:
        return "Version %s serves (pid %d), handed over and proved within %.1f s." % (
            now.version, now.pid, time.monotonic() - begun)
    raise CommandFailed("the new version did not prove itself; %s serves. The log of process %d says why" % (
        "process %d (version %s)" % now if now is not None else "nobody", spare.pid))


def _new_spare(path: str, before: Optional[Holder]) -> Optional[Holder]:
    spare = read_holder(spare_file(path))
    return spare if spare is not None and before is not None and spare.pid != before.pid else None
