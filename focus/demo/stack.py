"""The servers of a meeting on one machine: Prosody, the bridge, the focus and the page, under supervisord.

The demo and the browser tests start the same ones. Nothing outside of the folder is written, and every port but the
page's is whatever is free.
"""

from __future__ import annotations

import fcntl
import functools
import json
import os
import secrets
import shutil
import sys
from pathlib import Path
from typing import IO, Callable, Dict, List, Mapping, Optional, Sequence

import focus
from focus.demo import npm
from focus.demo.prosody import DOMAIN, Prosody, answers, free_ports
from focus.demo.supervise import PartFailed, Program, Supervisor

CHECKOUT = Path(focus.__file__).absolute().parent.parent
LIBRARIES = CHECKOUT / "build" / "npm"

FOCUS_CONFIGURATION = """\
[xmpp]
xmpp_domain = {domain}
hostname = 127.0.0.1
port = {port}
domain = {user_domain}
username = focus
conference_muc_jid = {muc}
ca_file = {ca_file}

[bridge]
brewery_jid = {brewery}

[journal]
file = {journal}

[log]
level = {log_level}
"""

BRIDGE_CONFIGURATION = """\
[bridge]
user = jvb@{user_domain}
host = 127.0.0.1
port = {port}
ca_file = {ca_file}
brewery = {brewery}
"""


class Stack:
    """Prosody, bridge, focus and page. As a context manager it starts them and stops them.

    directory: everything is written here; what was in it from an earlier run is removed.
    page_port: where the page is served on localhost; 0 for any free port.
    log_level: of the focus.
    bridges: how many (bridge, bridge2, ...); each has a relay id and a region of its own.
    bridge_options: name of a bridge -> more of its options, for example {"bridge": ["--colibri=1"]}. One with
        --component=ADDRESS is made known to the server, and may publish at pubsub.<domain>.
    focus_settings: more options of the focus, as the environment has them (JICOFO_...).
    server_hosts: more lines for the hosts in Prosody's configuration.
    started: told the name of each part that is ready, and the seconds it took.
    """

    def __init__(
        self,
        directory: Path,
        page_port: int = 0,
        log_level: str = "INFO",
        started: Callable[[str, float], None] = lambda name, seconds: None,
        bridges: int = 1,
        focus_settings: Optional[Mapping[str, str]] = None,
        server_hosts: str = "",
        bridge_options: Optional[Mapping[str, Sequence[str]]] = None,
    ) -> None:
        self.directory = Path(directory).absolute()
        self.page_port = page_port or free_ports(1)[0]
        self._log_level = log_level
        self._started = started
        self._server_hosts = server_hosts
        self._focus_settings = dict(focus_settings or {})
        self._bridge_options = dict(bridge_options or {})
        self.bridges = ["bridge"] + ["bridge%d" % number for number in range(2, bridges + 1)]
        self._lock: IO[str]
        self.prosody: Prosody
        self.supervisor: Supervisor

    def __enter__(self) -> Stack:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def url(self, room: str, **query: object) -> str:
        """Where a browser on this machine joins the room. `query`: see page/call.js."""
        words = ["room=" + room] + ["%s=%s" % item for item in query.items()]
        return "http://localhost:%d/?%s" % (self.page_port, "&".join(words))

    def start(self) -> None:
        """Start everything, each part when the one before is ready.

        Raises PartFailed or Interrupted, and nothing runs then.
        """
        self._lock = _locked(self.directory)
        try:
            self._start()
        except BaseException:
            self._lock.close()
            raise

    def _start(self) -> None:
        self._empty_directory()
        try:
            library = npm.fetch_client(LIBRARIES)
        except npm.NpmFailed as error:
            raise PartFailed("the client library: %s" % error) from error
        passwords = {name: secrets.token_urlsafe(24) for name in ("focus", "jvb")}
        # a stream that was cut is given up after 15 s, as in Jitsi's own template: a closed tab leaves the room
        components = [address for address in map(self._component, self.bridges) if address]
        self.prosody = Prosody(
            self.directory / "prosody",
            components=dict.fromkeys(components, passwords["jvb"]),
            accounts=passwords,
            smacks_hibernation_time=15,
            extra_hosts=self._server_hosts + (_pubsub(components) if components else ""),
        )
        if answers("127.0.0.1", self.page_port):
            raise PartFailed("page: port %d is in use by another program" % self.page_port)
        self.supervisor = Supervisor(self.directory, self._programs(passwords, library), [self._lock.fileno()])
        try:
            self.supervisor.start(self._started)
        except BaseException:
            self.supervisor.stop()
            raise

    def stop(self) -> None:
        """Stop everything. The logs stay."""
        self.supervisor.stop()
        self._lock.close()

    def control(self, bridge: str, line: str) -> None:
        """Give a bridge a control line (focus/demo/bridge/knobs.py). Raises OSError."""
        with open(self._pipe(bridge), "w", encoding="ascii") as pipe:
            pipe.write(line + "\n")

    def logs(self) -> Dict[str, Path]:
        """Log file of every part."""
        logs = {program.name: self.supervisor.log_of(program.name) for program in self.supervisor.programs}
        logs["prosody"] = self.prosody.log_file
        return logs

    def _empty_directory(self) -> None:
        """Only a folder that a stack made is emptied: it holds our mark."""
        mark = self.directory / ".stack"
        if self.directory.exists():
            if mark.exists():
                shutil.rmtree(str(self.directory))
            elif any(self.directory.iterdir()):
                raise PartFailed("%s is not empty and not from an earlier run" % self.directory)
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        mark.touch()

    def _programs(self, passwords: Dict[str, str], library: Path) -> List[Program]:
        names = {
            "domain": self.prosody.domain,
            "user_domain": self.prosody.user_domain,
            "muc": self.prosody.muc,
            "brewery": self.prosody.brewery,
            "port": self.prosody.c2s_port,
            "ca_file": self.prosody.ca_file,
            "journal": self.directory / "journal.db",
            "log_level": self._log_level,
        }
        focus_ini = self._write("jicofo.ini", FOCUS_CONFIGURATION.format(**names))
        bridge_ini = self._write("bridge.ini", BRIDGE_CONFIGURATION.format(**names))
        settings = self._write("settings.json", json.dumps(self._settings(), indent=2))
        python = sys.executable
        path = {"PYTHONPATH": str(CHECKOUT), "PYTHONUNBUFFERED": "1"}
        pages = ["-m", "focus.demo.pages", "--port", str(self.page_port), "--library", str(library)]
        return [
            Program("prosody", self.prosody.command, {}, self._prosody_answers, 30),
            *(
                Program(
                    name,
                    [python, "-m", "focus.demo.bridge", "--config", str(bridge_ini), "--json"]
                    + self._flags_of_bridge(name),
                    dict(path, FOCUS_BRIDGE_PASSWORD=passwords["jvb"]),
                    functools.partial(
                        self._says, name, '"component_connected"' if self._component(name) else '"brewery_joined"'
                    ),
                    30,
                )
                for name in self.bridges
            ),
            Program(
                "focus",
                [str(CHECKOUT / "bin" / "jicofo"), "--config", str(focus_ini)],
                dict(path, JICOFO_AUTH_PASSWORD=passwords["focus"], **self._focus_settings),
                lambda: self._says("focus", FOCUS_READY),
                30,
            ),
            Program(
                "page",
                [python] + pages + ["--settings", str(settings)],
                path,
                lambda: answers("127.0.0.1", self.page_port),
                30,
            ),
        ]

    def _flags_of_bridge(self, name: str) -> List[str]:
        port = ["--port=%d" % self.prosody.component_port] if self._component(name) else []
        own = ["--relay-id=relay-" + name, "--region=region-" + name, "--control-file=%s" % self._pipe(name)]
        return own + port + list(self._bridge_options.get(name, ()))

    def _pipe(self, bridge: str) -> Path:
        return self.directory / (bridge + ".control")

    def _component(self, bridge: str) -> str:
        """The address of a bridge that is a component, or ""."""
        prefix = "--component="
        options = self._bridge_options.get(bridge, ())
        return next((option[len(prefix) :] for option in options if option.startswith(prefix)), "")

    def _settings(self) -> Dict[str, object]:
        """What the page must know. It asks the focus's user directly (S-710, option A)."""
        return {
            "hosts": {
                "domain": self.prosody.domain,
                "muc": self.prosody.muc,
                "focus": "focus@%s/focus" % self.prosody.user_domain,
            },
            "serviceUrl": self.prosody.websocket_url,
        }

    def _prosody_answers(self) -> bool:
        if "Failed to open server port" in self.prosody.log():
            raise PartFailed("prosody: a port was taken by another program (log: %s)" % self.prosody.log_file)
        return all(answers("127.0.0.1", port) for port in self.prosody.ports)

    def _says(self, name: str, words: str) -> bool:
        log = self.supervisor.log_of(name)
        return log.exists() and words in log.read_text(encoding="utf-8", errors="replace")

    def _write(self, name: str, text: str) -> Path:
        file = self.directory / name
        with open(os.open(str(file), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as opened:
            opened.write(text)
        return file


def _pubsub(publishers: Sequence[str]) -> str:
    """A PubSub service for these, for Prosody's configuration."""
    admins = ", ".join('"%s"' % publisher for publisher in publishers)
    return 'Component "pubsub.%s" "pubsub"\n  admins = { %s }\n' % (DOMAIN, admins)


def _locked(directory: Path) -> IO[str]:
    """A lock beside the folder, held by us and by supervisord: until that has stopped everything. Raises PartFailed."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    lock = open(str(directory) + ".lock", "w", encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise PartFailed("%s is in use by another run, or one that is just stopping" % directory) from None
    return lock


FOCUS_READY = "Added new videobridge"
"""In the focus's log once it is logged in and knows a bridge."""
