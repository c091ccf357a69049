"""Starts doomed focus processes at the price of a fork, so that a hundred of them can be killed in a minute or two.

A nursery is a process that has done all imports of the focus and nothing else. For each request it forks; the child
gets its own session, environment and log, and is from there on what `python -m tests.chaos.doomed` is. Requests and the
ends of children are lines of JSON on the nursery's standard input and output.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

ROOT = Path(__file__).resolve().parents[2]


class Nursery:
    """Starts the nursery; use as a context manager.

    hash_seed: of the children. Where the order of a set got out, it would be another one with another seed.
    """

    def __init__(self, hash_seed: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.nursery"], cwd=str(ROOT), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env=dict(os.environ, PYTHONHASHSEED=str(hash_seed)), start_new_session=True)
        self._buffer = b""
        self._lines: List[Dict[str, Any]] = []
        self._statuses: Dict[int, int] = {}

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *exception: object) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()  # at the end of its input it ends
        self._process.wait(10)

    def start(self, arguments: List[str], environment: Mapping[str, str], log_file: Path) -> Child:
        """Start a focus with these arguments; its standard output goes to the log."""
        request = {"arguments": arguments, "environment": dict(environment), "log": str(log_file)}
        if self._process.stdin is None:
            raise AssertionError("the nursery has no input")
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        deadline = time.monotonic() + 30
        while not self._lines:
            self._read(deadline)
        return Child(self, int(self._lines.pop()["started"]))

    def status(self, pid: int, timeout: float) -> Optional[int]:
        """The exit status of a child, as `subprocess` gives it; None if it has not ended in time."""
        deadline = time.monotonic() + timeout
        while pid not in self._statuses:
            if not self._read(deadline) and time.monotonic() >= deadline:
                return None
        return self._statuses[pid]

    def _read(self, deadline: float) -> bool:
        """Read what the nursery says; False if it said nothing in time."""
        if self._process.stdout is None:
            raise AssertionError("the nursery has no output")
        output = self._process.stdout.fileno()
        if not select.select([output], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return False
        data = os.read(output, 65536)
        if not data:
            raise AssertionError("the nursery has ended")
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            said = json.loads(line)
            if "started" in said:
                self._lines.append(said)
            else:
                self._statuses[said["ended"]] = said["status"]
        return True


class Child:
    """A focus of a nursery; behaves like a `subprocess.Popen`, as far as it is needed."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self.pid = pid
        self._nursery = nursery

    def poll(self) -> Optional[int]:
        """The exit status, None while it lives."""
        return self._nursery.status(self.pid, 0.0)

    def wait(self, timeout: float = 30.0) -> int:
        """Wait for its end. Raises subprocess.TimeoutExpired."""
        status = self._nursery.status(self.pid, timeout)
        if status is None:
            raise subprocess.TimeoutExpired("a focus of the nursery", timeout)
        return status

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it lives."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it by force."""
        self.send_signal(signal.SIGKILL)


# The nursery's own side


def main() -> None:
    """Fork until the input ends."""
    from tests.chaos import doomed

    doomed.load()
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    buffer = b""
    while True:
        ready = select.select([0, ended], [], [])[0]
        if ended in ready:
            os.read(ended, 512)
            _report()
        if 0 in ready:
            data = os.read(0, 65536)
            if not data:
                return
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                _fork(json.loads(line))


def _say(**what: int) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


def _report() -> None:
    """Tell of every child that has ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        _say(ended=pid, status=os.waitstatus_to_exitcode(status))


def _fork(request: Dict[str, Any]) -> None:
    pid = os.fork()
    if pid:
        _say(started=pid)
        return
    status = 70
    try:
        status = _be_born(request)
    finally:
        sys.stderr.flush()
        os._exit(status)


def _be_born(request: Dict[str, Any]) -> int:
    """The child: shake off what is the nursery's, and be the focus."""
    from tests.chaos import doomed

    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.closerange(3, 256)
    os.environ.clear()
    os.environ.update(request["environment"])
    return doomed.main(request["arguments"])


if __name__ == "__main__":
    main()
