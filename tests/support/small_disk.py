"""A disk that can be full: a small tmpfs where we may mount one, otherwise a limit to the files of a process."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Optional

SIZE = 1024 * 1024
LIMIT = 16 * 1024
"""Bytes: less than any journal has, more than what a focus logs."""


class SmallDisk:
    """Use as a context manager; `folder` is on it.

    `of`: the process that is to feel the limit where there is no disk of its own; a later one has to be limited anew.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="small-disk-"))
        self._mounted = False

    def __enter__(self) -> SmallDisk:
        command = ["mount", "-t", "tmpfs", "-o", "size=%d" % SIZE, "tmpfs", str(self.folder)]
        try:
            done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        except OSError:  # no such command here
            return self
        self._mounted = done.returncode == 0
        return self

    def __exit__(self, *exception: object) -> None:
        if self._mounted:
            subprocess.run(["umount", "-l", str(self.folder)], check=True)
        shutil.rmtree(str(self.folder))

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"

    def fill(self, of: Optional[int] = None) -> None:
        """Nothing more can be written."""
        if not self._mounted:
            if of is not None:
                self._limit(of, LIMIT)
            return
        with open(str(self._ballast), "ab", buffering=0) as file:
            for size in (65536, 4096):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def empty(self, of: Optional[int] = None) -> None:
        """There is room again."""
        if self._mounted:
            os.unlink(str(self._ballast))
        elif of is not None:
            self._limit(of, resource.RLIM_INFINITY)

    @staticmethod
    def _limit(process: int, size: int) -> None:
        _, most = resource.prlimit(process, resource.RLIMIT_FSIZE)
        resource.prlimit(process, resource.RLIMIT_FSIZE, (size, most))
