"""The focus as a process that may be doomed to die at a given point (see `tests.chaos.doomed`)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import List, NamedTuple, Optional, Sequence, Union

from tests.chaos.nursery import Child, Nursery

ROOT = Path(__file__).resolve().parents[2]
KILLED, IDLE = 9, 10
"""Exit status of a process that ended at its point, or where it would have been if there was anything to write."""
POINTS = ("before", "after", "mid", "written")


class Doom(NamedTuple):
    """Where a process ends: commit is counted from 1 over those that write something."""

    commit: int
    point: str

    def __str__(self) -> str:
        return "%s of commit %d" % (self.point, self.commit)


class FocusUnderTest:
    """Starts the focus, again and again with the same journal.

    folder: where journal and log are. port: where the server listens. nurseries: what starts the processes, in turn;
    without any each is started as an operator would. options: more of them.
    """

    def __init__(self, folder: Path, port: int, nurseries: Sequence[Nursery] = (),
                 options: Sequence[str] = ()) -> None:
        self.journal_file = folder / "journal"
        self.commits_file = folder / "commits"
        self.log_file = folder / "focus.log"
        self.starts = 0
        self._options = ["--host=127.0.0.1", "--domain=meet.example", "--user_name=focus", "--client_port=%d" % port,
                         "--journal_file=%s" % self.journal_file, *options]
        self._nurseries = nurseries
        self._process: Union[subprocess.Popen[bytes], Child, None] = None

    def start(self, doom: Optional[Doom] = None) -> None:
        """Start the process; it ends at the point given."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("JICOFO_", "DOOM"))}
        environment["JICOFO_AUTH_PASSWORD"] = "focus-password"
        environment["DOOM_COMMITS"] = str(self.commits_file)
        if doom is not None:
            environment["DOOM_COMMIT"], environment["DOOM_POINT"] = str(doom.commit), doom.point
        if self._nurseries:
            nursery = self._nurseries[self.starts % len(self._nurseries)]
            self._process = nursery.start(self._options, environment, self.log_file)
        else:
            with open(self.log_file, "ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "tests.chaos.doomed", *self._options], env=environment, cwd=str(ROOT),
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self.starts += 1

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def wait_end(self, timeout: float = 5.0) -> Optional[int]:
        """Wait for the end of the process; its exit status, None if it lives on."""
        if self._process is None:
            raise AssertionError("the focus was not started")
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def stop(self) -> Optional[int]:
        """End it as an operator does, or by force; its exit status."""
        process, self._process = self._process, None
        if process is None:
            return None
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
        return process.wait()

    def commits(self) -> List[int]:
        """How many stanzas each commit had of the process that has ended in order."""
        if not self.commits_file.exists():
            raise AssertionError("the focus has not ended in order:\n" + self.log()[-4000:])
        return [int(count) for count in json.loads(self.commits_file.read_text(encoding="ascii"))]

    def log(self) -> str:
        """All that it has logged."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")
