"""The focus under supervisord with the configuration that is shipped: only paths, user and secrets are other ones."""

from __future__ import annotations

import os
import pwd
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Mapping, Optional

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "conf" / "supervisor" / "jicofo.conf"
SHIPPED_INI = "/etc/jitsi/jicofo/jicofo.ini"
SHIPPED_COMMAND = "/usr/bin/jicofo"
SHIPPED_LOGS = "/var/log/jitsi/"

SUPERVISORD = """\
[supervisord]
logfile = supervisord.log
pidfile = supervisord.pid
silent = true
nodaemon = true
user = {user}
[include]
files = jicofo.conf
"""


class NotAsShipped(AssertionError):
    """The shipped file no longer says what is replaced here."""


def derived(shipped: str, ini: Path, logs: Path, environment: Mapping[str, str]) -> str:
    """The shipped configuration with our command, ini file, folder of logs, user, and secrets in `environment`."""
    for word in (SHIPPED_COMMAND, SHIPPED_INI, SHIPPED_LOGS):
        if word not in shipped:
            raise NotAsShipped("%s is not in the shipped configuration" % word)
    text = shipped.replace(SHIPPED_INI, str(ini)).replace(SHIPPED_COMMAND, str(ROOT / "bin" / "jicofo"))
    text = text.replace(SHIPPED_LOGS, str(logs) + "/")
    text = re.sub(r"^user\s*=.*$", "user=" + _user(), text, flags=re.MULTILINE)
    secrets = "environment=" + ",".join('%s="%s"' % item for item in sorted(environment.items()))
    if re.search(r"^environment\s*=", text, re.MULTILINE):
        text = re.sub(r"^environment\s*=", lambda _: secrets + ",", text, flags=re.MULTILINE)
    else:
        text = re.sub(r"^\[program:.*\]$", lambda section: section.group() + "\n" + secrets, text, flags=re.MULTILINE)
    return text


class SupervisedFocus:
    """supervisord with the focus's program, or programs, in a folder of its own. Stops everything at the end."""

    def __init__(self, directory: Path, ini: Path, environment: Mapping[str, str]) -> None:
        self.directory = Path(directory)
        self.logs = self.directory / "log"
        self._ini = ini
        self._environment = dict(environment)
        self._process: Optional[subprocess.Popen[bytes]] = None

    def __enter__(self) -> SupervisedFocus:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start supervisord; it starts the focus. Doesn't wait for that."""
        self.logs.mkdir(parents=True)
        shipped = SHIPPED.read_text(encoding="utf-8")
        self._write("jicofo.conf", derived(shipped, self._ini, self.logs, self._environment))
        self._write("supervisord.conf", SUPERVISORD.format(user=_user()))
        clean = {name: value for name, value in os.environ.items() if not name.startswith("JICOFO_")}
        with open(self.directory / "supervisord.out", "wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", "--nodaemon", "-c", "supervisord.conf"],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=str(self.directory), env=clean,
                start_new_session=True,
            )

    def stop(self) -> None:
        """SIGTERM to supervisord, which stops the focus; killed if that takes too long."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def is_ours(self, pid: int) -> bool:
        """Whether that process runs and is a child of our supervisord."""
        try:
            with open("/proc/%d/stat" % pid, encoding="ascii", errors="replace") as stat:
                state, parent = stat.read().rpartition(")")[2].split()[:2]
        except OSError:
            return False
        return state != "Z" and self._process is not None and int(parent) == self._process.pid

    def log(self) -> str:
        """All that the focus's processes have logged, oldest file first."""
        files = sorted(self.logs.iterdir(), key=lambda file: (file.stat().st_mtime, file.name))
        return "".join(file.read_text(encoding="utf-8", errors="replace") for file in files)

    def wait_log(self, words: str, timeout: float = 30.0) -> None:
        """Wait until the focus has logged these words."""
        deadline = time.monotonic() + timeout
        while words not in self.log():
            if time.monotonic() > deadline or self._process is None or self._process.poll() is not None:
                output = (self.directory / "supervisord.out").read_text(encoding="utf-8", errors="replace")
                raise AssertionError("not logged: %s\n%s\n%s" % (words, output[-2000:], self.log()[-4000:]))
            time.sleep(0.05)

    def _write(self, name: str, text: str) -> None:
        with open(self.directory / name, "w", encoding="utf-8", opener=_private) as file:
            file.write(text)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _user() -> str:
    return pwd.getpwuid(os.getuid()).pw_name
