"""One writer: the lock on a journal, held for the life of the process that serves (DESIGN, "One writer").

The kernel lets go of it at the moment the process ends, however that happens. The file beside the journal also says who
holds it, for people and for the commands ``stop`` and ``upgrade``.
"""
from __future__ import annotations

import fcntl
import logging
import mmap
import os
from typing import NamedTuple, Optional

from focus.journal.base import JournalFailed

_MARK = 1000
"""Where the mark stands in the file, behind the signature."""
_SIZE = _MARK + 8


LOG = logging.getLogger(__name__)


class Holder(NamedTuple):
    """Who holds a lock, by its own word."""

    pid: int
    version: str


class Lock:
    """The lock on a journal.

    Raises:
        JournalFailed: the file can't be made.
    """

    def __init__(self, journal_path: str) -> None:
        self.path = journal_path + ".lock"
        self._descriptor = self._open()
        self._page: Optional[mmap.mmap] = None
        self.held = False

    def _open(self) -> int:
        try:
            return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise JournalFailed("%s can't be opened: %s" % (self.path, error.strerror or error)) from None

    def try_take(self) -> bool:
        """Take it if nobody has it."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        if not self._is_the_file():
            return self._take_again()
        self.held = True
        return True

    def wait(self) -> None:
        """Wait until it is ours; signals are handled meanwhile."""
        while not self.held:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            if self._is_the_file():
                self.held = True
            else:
                self._open_again()

    def _take_again(self) -> bool:
        self._open_again()
        return self.try_take()

    def _open_again(self) -> None:
        """The file we have open isn't there any more."""
        self.close()
        self._descriptor = self._open()

    def _is_the_file(self) -> bool:
        """Whether what we have open is what others will open: somebody may have removed it."""
        try:
            mine, theirs = os.fstat(self._descriptor), os.stat(self.path)
        except OSError:
            return False
        return (mine.st_dev, mine.st_ino) == (theirs.st_dev, theirs.st_ino)

    def still_ours(self) -> bool:
        """Whether we hold it and others can see that."""
        return self.held and self._is_the_file()

    def sign(self, version: str) -> None:
        """Write down who holds it."""
        text = ("%d %s\n" % (os.getpid(), version)).encode("ascii", "replace")[:_MARK]
        try:
            os.ftruncate(self._descriptor, _SIZE)
            os.pwrite(self._descriptor, text.ljust(_MARK, b"\0"), 0)
            if self._page is None:
                self._page = mmap.mmap(self._descriptor, _SIZE)
        except OSError as error:  # a full disk is no reason not to serve
            LOG.error("%s can't be written: %s. It doesn't say which process serves", self.path,
                      error.strerror or error)

    def mark(self, number: int) -> None:
        """Note the number of the last record: so the next process knows whether the journal has lost its end."""
        if self._page is not None:
            self._page[_MARK:_SIZE] = number.to_bytes(8, "little")

    @property
    def marked(self) -> int:
        """The number that was noted last, by whichever process; 0 if none was."""
        return int.from_bytes(os.pread(self._descriptor, 8, _MARK), "little")

    def release(self) -> None:
        """Let go of it; somebody who waits has it at once."""
        self.held = False
        os.pwrite(self._descriptor, b"\0" * _MARK, 0)
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of it for good."""
        if self._page is not None:
            self._page.close()
            self._page = None
        os.close(self._descriptor)
        self.held = False


def read_holder(path: str) -> Optional[Holder]:
    """Who signed a file like this; None if nobody did or the process is gone."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            pid, _, version = file.readline(_MARK).rstrip("\0\n").partition(" ")
        holder = Holder(int(pid), version)
        if holder.pid <= 0:  # such a number stands for many processes
            return None
    except (OSError, ValueError):
        return None
    try:
        os.kill(holder.pid, 0)
    except PermissionError:
        pass  # somebody else's process, but it lives
    except (OSError, OverflowError):
        return None
    return holder
