"""The real focus as a process of its own, started as an operator would: bin/jicofo, shipped defaults, TLS verified.

Only what a private server makes necessary is given: names, ports, the certificate authority; the secrets go through
the environment. More options as flags (`options=["--log_level=FINE"]`).
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Optional, Protocol, Sequence, Union

from tests.support.loop import Loop, WaitTimeout
from tests.support.wire import Login, Stanza, Stream

ROOT = Path(__file__).resolve().parents[2]
TICKS = os.sysconf("SC_CLK_TCK")


class FocusFailed(AssertionError):
    """The focus ended or never answered; the text holds the end of its log."""


class Server(Protocol):
    """What a focus and its participants connect to: a Prosody, or what takes the place of one."""

    host: str
    domain: str
    user_domain: str
    component_port: int
    c2s_port: int
    focus_component: str
    component_secret: str
    ca_file: str
    """Empty if it has no TLS; then it must be on our own address."""

    @property
    def passwords(self) -> Mapping[str, str]:
        """By account."""


class FocusProcess:
    """One focus process.

    component: also open the component connection (needs the Prosody's component). log_file: where its standard
    error goes; default: a temporary file. profile: a file for cProfile's data (the figures are then worthless).
    journal: keep one, in a temporary folder unless a file is given. checked: after each commit compare the journal with
    memory (`checked_focus`). program: a Python file to start instead of the command, with the same options.
    """

    def __init__(
        self,
        prosody: Server,
        *,
        component: bool = True,
        options: Sequence[str] = (),
        environment: Optional[Dict[str, str]] = None,
        log_file: Optional[Path] = None,
        profile: Optional[Path] = None,
        journal: Union[bool, Path] = True,
        checked: bool = True,
        program: Optional[Path] = None,
    ) -> None:
        self.prosody = prosody
        self._own_folder = tempfile.mkdtemp(prefix="focus-") if journal is True else ""
        self.journal: Optional[Path] = None
        if journal is not False:
            self.journal = Path(self._own_folder) / "journal.db" if journal is True else Path(journal)
        self._checked = checked and journal is not False
        self.options = [
            "--host=" + prosody.host,
            "--domain=" + prosody.domain,
            "--port=%d" % prosody.component_port,
            "--subdomain=" + prosody.focus_component.partition(".")[0],
            "--user_domain=" + prosody.user_domain,
            "--user_name=focus",
            "--client_port=%d" % prosody.c2s_port,
            *(["--ca_file=" + prosody.ca_file] if prosody.ca_file else []),
            "--journal_file=" + str(self.journal or "none"),
            *options,
        ]
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("JICOFO_")}
        self.environment["JICOFO_AUTH_PASSWORD"] = prosody.passwords["focus"]
        if component:
            self.environment["JICOFO_SECRET"] = prosody.component_secret
        self.environment.update(environment or {})
        self._own_log = log_file is None
        if log_file is None:
            handle, name = tempfile.mkstemp(prefix="focus-", suffix=".log")
            os.close(handle)
            log_file = Path(name)
        self.log_file = Path(log_file)
        self._profile = profile
        self._program = program
        self._process: Optional[subprocess.Popen] = None
        #: when the process was started (monotonic seconds)
        self.started_at = 0.0

    def __enter__(self) -> FocusProcess:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()
        self.discard()

    def discard(self) -> None:
        """Remove the log and the journal, if they are of its own."""
        if self._own_log:
            self.log_file.unlink()
        if self._own_folder:
            shutil.rmtree(self._own_folder)

    @property
    def jid(self) -> str:
        """The full JID clients may ask (S-710, option A)."""
        return "focus@%s/focus" % self.prosody.user_domain

    @property
    def component_jid(self) -> str:
        """The component clients may ask (S-711, option B)."""
        return self.prosody.focus_component

    @property
    def pid(self) -> int:
        if self._process is None:
            raise FocusFailed("the focus is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def command(self) -> List[str]:
        """What the process is started with, without its options."""
        if self._program is not None:
            return [sys.executable, str(self._program)]
        if self._checked:
            return [sys.executable, str(ROOT / "tests" / "support" / "checked_focus.py")]
        return [str(ROOT / "bin" / "jicofo")]

    def start(self) -> None:
        """Start the process. Doesn't wait for anything. Entering the context does it, too."""
        if self._process is not None:
            raise FocusFailed("already started")
        command = self.command
        if self._profile is not None:
            command = [sys.executable, "-m", "cProfile", "-o", str(self._profile), str(ROOT / "focus" / "__main__.py")]
        with open(self.log_file, "ab") as log:
            self.started_at = time.monotonic()
            self._process = subprocess.Popen(
                command + self.options,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=str(self.log_file.parent),
                start_new_session=True,
            )

    def stop(self, timeout: float = 10.0) -> Optional[int]:
        """SIGTERM, and SIGKILL after `timeout` seconds. Returns the exit status."""
        process, self._process = self._process, None
        if process is None:
            return None
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
        return process.wait()

    def kill(self) -> None:
        """SIGKILL, as a crash."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def wait_ready(self, loop: Loop, timeout: float = 15.0) -> float:
        """Wait until the focus answers a ping at its full JID; returns the seconds since its start."""
        answers: Dict[str, Stanza] = {}
        guest = Stream(loop, guest_login(self.prosody), lambda stanza: answers.update({stanza.get("id"): stanza}))
        deadline = time.monotonic() + timeout
        try:
            for number in itertools.count():
                answers.clear()
                guest.send(
                    "<iq type='get' to='%s' id='r%d'><ping xmlns='urn:xmpp:ping'/></iq>" % (self.jid, number)
                )
                self._wait(loop, lambda: answers, deadline)
                if any(answer.get("type") == "result" for answer in answers.values()):
                    break
                loop.step(0.01)
        finally:
            guest.close()
        return time.monotonic() - self.started_at

    def _wait(self, loop: Loop, condition: Callable[[], object], deadline: float) -> None:
        def alive_and() -> object:
            if not self.running:
                raise FocusFailed("the focus has ended:\n" + self.log()[-4000:])
            return condition()

        try:
            loop.wait(alive_and, max(0.0, deadline - time.monotonic()), "answer of the focus")
        except WaitTimeout as error:
            raise FocusFailed("%s\n%s" % (error, self.log()[-4000:])) from None

    def log(self) -> str:
        """All it has logged."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def cpu_seconds(self) -> float:
        """Processor time used until now, user and system, in seconds (all threads)."""
        with open("/proc/%d/stat" % self.pid, encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def rss_mb(self) -> float:
        """Resident memory now, in MB of 2**20 bytes."""
        with open("/proc/%d/status" % self.pid, encoding="ascii") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) / 1024
        raise FocusFailed("no VmRSS")


def guest_login(prosody: Server, *, tls: bool = True) -> Login:
    """The login of an anonymous participant."""
    return Login(
        prosody.host, prosody.c2s_port, prosody.domain, ca_file=prosody.ca_file if tls else None
    )


def account_login(prosody: Server, user: str, *, resource: str = "", tls: bool = True) -> Login:
    """The login of an account on the server's account domain (focus, jvb, …)."""
    return Login(
        prosody.host,
        prosody.c2s_port,
        prosody.user_domain,
        user=user,
        password=prosody.passwords[user],
        resource=resource,
        ca_file=prosody.ca_file if tls else None,
    )
