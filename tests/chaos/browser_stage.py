"""The servers of a chaos run: Prosody as we ship its configuration, a bridge with real media, the page, and the focus
under supervisord with the shipped program section.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Set

from focus.demo import npm
from focus.demo.prosody import USER_DOMAIN, Prosody, answers, free_ports
from focus.demo.stack import BRIDGE_CONFIGURATION, CHECKOUT, FOCUS_CONFIGURATION, FOCUS_READY, LIBRARIES
from focus.demo.supervise import Program, Supervisor
from focus.journal.lock import read_holder
from focus.life import spare_file
from tests.support.supervised import SupervisedFocus

#: as conf/prosody/jicofo.cfg.lua says
GLOBAL = 'plugin_paths = { "%s" }\ngc = { mode = "generational" }\n'
HOST = 'VirtualHost "%s"\n  modules_enabled = { "smacks_resume_fix" }\n' % USER_DOMAIN
HIBERNATION, QUEUE = 600, 10000
ACCOUNTS = ("focus", "jvb")
#: of the bridge with media, so that calls of scripted clients go to another one
STRESS = 0.5


class Servers:
    """Everything but the browsers. Use as a context manager; the folder keeps the logs."""

    def __init__(self, directory: Path, log_level: str = "INFO") -> None:
        self.directory = Path(directory).absolute()
        self.journal = self.directory / "journal" / "journal.db"
        self._log_level = log_level
        self._open = ExitStack()
        self._page_port = free_ports(1)[0]
        self.environment: Dict[str, str] = {}
        """For a command of the focus's."""
        self.prosody: Prosody
        self.focus: SupervisedFocus
        self._others: Supervisor

    def __enter__(self) -> Servers:
        with ExitStack() as stack:
            self._start(stack)
            self._open = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()

    @property
    def focus_jid(self) -> str:
        """Where clients ask for a conference."""
        return "focus@%s/focus" % self.prosody.user_domain

    @property
    def ini(self) -> Path:
        """The focus's configuration."""
        return self.directory / "jicofo.ini"

    def url(self, room: str, **query: object) -> str:
        """Where a browser joins (page/call.js)."""
        words = ["room=" + room] + ["%s=%s" % item for item in query.items()]
        return "http://localhost:%d/?%s" % (self._page_port, "&".join(words))

    def check(self) -> None:
        """Raise PartFailed if bridge or page have ended."""
        self._others.check()

    # The focus

    def serving_pid(self) -> Optional[int]:
        """The focus process that serves: its pid stands in the journal's lock file. None while there is none."""
        holder = read_holder(str(self.journal) + ".lock")
        return holder.pid if holder is not None and self.focus.is_ours(holder.pid) else None

    def spare_waits(self) -> bool:
        """Whether another process waits to take over at once."""
        holder = read_holder(spare_file(str(self.journal)))
        return holder is not None and self.focus.is_ours(holder.pid)

    # The bridge

    def bridge_sources(self, room: str, timeout: float = 10.0) -> Dict[str, Set[int]]:
        """Endpoint -> SSRCs that the bridge has for the room now. Its own ones stand under ""."""
        log = self._others.log_of("bridge")
        begin = log.stat().st_size
        os.kill(self._others.pid_of("bridge"), signal.SIGUSR1)
        deadline = time.monotonic() + timeout
        while True:
            with open(log, encoding="utf-8", errors="replace") as file:
                file.seek(begin)
                told = [json.loads(line) for line in file if line.startswith("{") and line.endswith("}\n")]
            event = next((event for event in told if event["event"] == "sources"), None)
            if event is not None:
                endpoints = {one: set(ssrcs) for one, ssrcs in event["endpoints"].get(room, {}).items()}
                endpoints[""] = set(event["own"].get(room, ()))
                return endpoints
            assert time.monotonic() < deadline, "the bridge does not tell its sources"
            time.sleep(0.02)

    def logs(self) -> Dict[str, Path]:
        """Where to look."""
        return {"focus": self.focus.logs, "bridge": self._others.log_of("bridge"), "prosody": self.prosody.log_file}

    # Starting

    def _start(self, stack: ExitStack) -> None:
        for folder in (self.directory, self.journal.parent):
            folder.mkdir(parents=True, exist_ok=True)
        passwords = {name: secrets.token_urlsafe(24) for name in ACCOUNTS}
        self.prosody = stack.enter_context(Prosody(
            self.directory / "prosody", components={}, accounts=passwords, smacks_hibernation_time=HIBERNATION,
            smacks_max_queue_size=QUEUE, extra_hosts=HOST,
            extra_global=GLOBAL % (CHECKOUT / "conf" / "prosody" / "modules")))
        names = {
            "domain": self.prosody.domain, "user_domain": self.prosody.user_domain, "muc": self.prosody.muc,
            "brewery": self.prosody.brewery, "port": self.prosody.c2s_port, "ca_file": self.prosody.ca_file,
            "log_level": self._log_level, "journal": self.journal,
        }
        self.ini.write_text(FOCUS_CONFIGURATION.format(**names), encoding="utf-8")
        (self.directory / "bridge.ini").write_text(BRIDGE_CONFIGURATION.format(**names), encoding="utf-8")
        self._others = stack.enter_context(Supervisor(self.directory, self._programs(passwords)))
        self._others.start()
        settings = {"JICOFO_AUTH_PASSWORD": passwords["focus"]}
        self.environment = dict(os.environ, **settings)
        self.focus = stack.enter_context(SupervisedFocus(self.directory / "focus", self.ini, settings))
        self.focus.wait_log(FOCUS_READY)

    def _programs(self, passwords: Mapping[str, str]) -> List[Program]:
        settings = self.directory / "settings.json"
        settings.write_text(json.dumps(self._settings()), encoding="utf-8")
        path = {"PYTHONPATH": str(CHECKOUT), "PYTHONUNBUFFERED": "1"}
        bridge = [sys.executable, "-m", "tests.support.observed_bridge", "--config",
                  str(self.directory / "bridge.ini"), "--json", "--control", "stat stress_level %s" % STRESS]
        page = [sys.executable, "-m", "focus.demo.pages", "--port", str(self._page_port), "--library",
                str(npm.fetch_client(LIBRARIES)), "--settings", str(settings)]
        return [
            Program("bridge", bridge, dict(path, FOCUS_BRIDGE_PASSWORD=passwords["jvb"]), self._bridge_ready(), 30),
            Program("page", page, path, lambda: answers("127.0.0.1", self._page_port), 30),
        ]

    def _bridge_ready(self) -> Callable[[], bool]:
        def ready() -> bool:
            log = self._others.log_of("bridge")
            return log.exists() and '"brewery_joined"' in log.read_text(encoding="utf-8", errors="replace")

        return ready

    def _settings(self) -> Dict[str, Any]:
        hosts = {"domain": self.prosody.domain, "muc": self.prosody.muc, "focus": self.focus_jid}
        return {"hosts": hosts, "serviceUrl": self.prosody.websocket_url}
