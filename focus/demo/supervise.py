"""supervisord with a configuration of its own: starts the demo's programs, tells how they are, stops them all.

Everything is in one folder: the configuration (it holds secrets, so only its owner may read it), the control socket,
one log per program. supervisord ends with the process that started it, however that one ends.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from supervisor.xmlrpc import SupervisorTransport

from focus.demo import interrupts

LONGEST_SOCKET = 90
"""Bytes of a Unix socket's path: the kernel takes 107, and supervisord first binds one with its pid behind it."""
_PR_SET_PDEATHSIG = 1
_STOPPED = ("STOPPED", "EXITED", "FATAL", "UNKNOWN")
_POLL = 0.05


class PartFailed(Exception):
    """A program did not start, or stopped. The text is one line: which, why, and where its log is."""


class Program(NamedTuple):
    """What supervisord runs."""

    name: str
    command: Sequence[str]
    environment: Dict[str, str]
    """Added to supervisord's own; the place for secrets (they must not be in the command)."""
    ready: Callable[[], bool]
    """Whether the started program does its work; asked until it says so."""
    patience: float
    """Seconds it may take until it does."""


class Supervisor:
    """One private supervisord. As a context manager it starts nothing by itself, and stops everything at the end.

    kept_open: descriptors that supervisord inherits and never uses, such as a lock to hold until it has ended.
    """

    def __init__(self, directory: Path, programs: Sequence[Program], kept_open: Sequence[int] = ()) -> None:
        self.directory = Path(directory).absolute()
        self.programs = list(programs)
        self._kept_open = tuple(kept_open)
        self.log_file = self.directory / "supervisord.log"
        self._socket_folder: Optional[tempfile.TemporaryDirectory[str]] = None
        self._socket = self.directory / "supervisor.sock"
        if len(os.fsencode(str(self._socket))) > LONGEST_SOCKET:
            self._socket_folder = tempfile.TemporaryDirectory(prefix="demo-")
            self._socket = Path(self._socket_folder.name) / "supervisor.sock"
        self._process: Optional[subprocess.Popen[bytes]] = None

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def log_of(self, name: str) -> Path:
        """Where the program's output and errors go."""
        return self.directory / (name + ".log")

    def start(self, started: Callable[[str, float], None] = lambda name, seconds: None) -> None:
        """Start the programs one after the other, each when the one before is ready.

        `started` is told the name of each and the seconds it took. Raises PartFailed, Interrupted.
        """
        self._start_supervisord()
        for program in self.programs:
            begin = time.monotonic()
            self._start_program(program)
            self._wait_ready(program, begin + program.patience)
            started(program.name, time.monotonic() - begin)

    def restart(self, name: str) -> None:
        """Stop one program as supervisord does (SIGTERM first), and start it again. Raises PartFailed."""
        program = next(one for one in self.programs if one.name == name)
        self._ask("stopProcess", name, True)
        self._start_program(program)
        self._wait_ready(program, time.monotonic() + program.patience)

    def pid_of(self, name: str) -> int:
        """Process id of a running program."""
        return int(self._ask("getProcessInfo", name)["pid"])

    def check(self) -> None:
        """Raise PartFailed for the first program that does not run any more."""
        if self._process is None or self._process.poll() is not None:
            raise PartFailed("supervisord is not running (log: %s)" % self.log_file)
        for info in self._ask("getAllProcessInfo"):
            if info["statename"] in _STOPPED + ("BACKOFF",):
                raise PartFailed(self._failure(info["name"], "stopped: %s" % info["description"]))

    def stop(self) -> None:
        """Stop every program and supervisord itself; killed if that takes too long."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                _kill_tree(process.pid)
                process.wait()
        if self._socket_folder is not None:
            self._socket_folder.cleanup()

    def _start_supervisord(self) -> None:
        configuration = self.directory / "supervisord.conf"
        with open(configuration, "w", encoding="utf-8", opener=_private) as file:
            file.write(self._configuration())
        with open(self.directory / "supervisord.out", "wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", "--nodaemon", "-c", str(configuration)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=str(self.directory),
                pass_fds=self._kept_open,
                start_new_session=True,  # a Ctrl-C in the terminal is for the demo, which then stops it in order
                preexec_fn=_end_with_parent,
            )
        deadline = time.monotonic() + 20
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise PartFailed("supervisord did not start (log: %s)" % (self.directory / "supervisord.out"))
            time.sleep(_POLL)

    def _answers(self) -> bool:
        try:
            return bool(self._ask("getState")["statename"] == "RUNNING")
        except (OSError, xmlrpc.client.Error):
            return False

    def _ask(self, method: str, *arguments: Any) -> Any:
        """One question to supervisord over its socket. Raises OSError, xmlrpc.client.Error."""
        transport = SupervisorTransport(None, None, "unix://" + str(self._socket))
        try:
            server = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
            return getattr(server.supervisor, method)(*arguments)
        finally:
            transport.close()

    def _start_program(self, program: Program) -> None:
        try:
            self._ask("startProcess", program.name, False)
        except xmlrpc.client.Fault as fault:  # no such command, not executable
            raise PartFailed(self._failure(program.name, "did not start: %s" % fault.faultString)) from None

    def _wait_ready(self, program: Program, deadline: float) -> None:
        while not program.ready():
            interrupts.check()
            info = self._ask("getProcessInfo", program.name)
            if info["statename"] in _STOPPED + ("BACKOFF",):
                why = info["spawnerr"] or info["description"] or info["statename"]
                raise PartFailed(self._failure(program.name, "did not start: %s" % why))
            if time.monotonic() > deadline:
                raise PartFailed(self._failure(program.name, "was not ready within %g s" % program.patience))
            time.sleep(_POLL)

    def _failure(self, name: str, why: str) -> str:
        log = self.log_of(name)
        last = last_line(log)
        return "%s %s%s (log: %s)" % (name, why, "; last line: " + last if last else "", log)

    def _configuration(self) -> str:
        lines = [
            "[supervisord]",
            "logfile = %s" % self.log_file.name,  # all relative: a folder's name may hold what is expanded twice
            "pidfile = supervisord.pid",
            "silent = true",
            "nodaemon = true",
        ]
        if os.getuid() == 0:
            lines.append("user = root")  # said on purpose: supervisord warns otherwise
        lines += [
            "[unix_http_server]",
            "file = %s" % _escaped(self._socket),
            "chmod = 0600",
            "[rpcinterface:supervisor]",
            "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface",
        ]
        for number, program in enumerate(self.programs, start=1):
            lines += self._program(number, program)
        return "\n".join(lines) + "\n"

    def _program(self, number: int, program: Program) -> List[str]:
        environment = ",".join('%s="%s"' % (key, _escaped(value)) for key, value in sorted(program.environment.items()))
        return [
            "[program:%s]" % program.name,
            "command = %s" % " ".join(_quoted(word) for word in program.command),
            "environment = %s" % environment,
            "priority = %d" % number,  # stopped in the opposite order
            "autostart = false",
            "autorestart = unexpected",
            "startsecs = 1",
            "startretries = 0",
            "stopwaitsecs = 8",
            "redirect_stderr = true",
            "stdout_logfile = %s" % self.log_of(program.name).name,
            "stdout_logfile_maxbytes = 0",
        ]


def last_line(log: Path) -> str:
    """The last line of a log that is not empty, shortened; empty without one."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, os.path.getsize(log) - 4000))
            lines = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines()]
    except OSError:
        return ""
    return next((line[:300] for line in reversed(lines) if line), "")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _escaped(value: object) -> str:
    """supervisord expands %(name)s in every value."""
    return str(value).replace("%", "%%")


def _quoted(word: str) -> str:
    word = _escaped(word)
    return word if re.match(r"[\w@%+=:,./*-]+\Z", word) else '"%s"' % re.sub(r'(["\\])', r"\\\1", word)


def _end_with_parent() -> None:
    """In the new process: get SIGTERM when the parent ends (Linux)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _kill_tree(pid: int) -> None:
    """SIGKILL to a process and everything it started."""
    children: Dict[int, List[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open("/proc/%s/stat" % entry, encoding="ascii", errors="replace") as stat:
                    parent = int(stat.read().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry))
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        waiting += children.get(one, [])
        try:
            os.kill(one, signal.SIGKILL)
        except ProcessLookupError:
            continue
