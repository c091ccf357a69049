"""A real Prosody of our own: private configuration, ports, certificates and data, gone afterwards.

It serves the demo, the tests and the benchmarks::

    with Prosody() as prosody:
        connect("127.0.0.1", prosody.c2s_port, ca_file=prosody.ca_file)

The configuration is services.md 7.2 (Prosody's stock modules only), with TLS required from clients.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from focus.demo.certificates import Authority

DOMAIN = "meet.example"
USER_DOMAIN = "auth." + DOMAIN
PASSWORDS = {
    "focus": "focus-password",
    "jvb": "jvb-password",
    "jibri": "jibri-password",
    "jigasi": "jigasi-password",
}
COMPONENT_SECRET = "component-secret"

GLOBAL_CONFIGURATION = """\
run_as_root = true
daemonize = false
pidfile = "{directory}/prosody.pid"
data_path = "{directory}/data"
certificates = "{directory}/certificates"
log = {{ {{ levels = {{ min = "{log_level}" }}, to = "file", filename = "{directory}/prosody.log" }} }}
network_backend = "epoll"

interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {c2s_port} }}
legacy_ssl_ports = {{ }}
component_ports = {{ {component_port} }}
component_interfaces = {{ "127.0.0.1" }}
http_ports = {{ {http_port} }}
http_interfaces = {{ "127.0.0.1" }}
https_ports = {{ }}
http_default_host = "{domain}"

modules_enabled = {{ "roster", "saslauth", "tls", "disco", "ping", "posix", "bosh", "websocket", "smacks" }}
modules_disabled = {{ "s2s", "offline" }}
admins = {{ "focus@{user_domain}", "jvb@{user_domain}" }}
c2s_require_encryption = {require_tls}
allow_unencrypted_plain_auth = {plain_without_tls}
consider_bosh_secure = true
consider_websocket_secure = true
smacks_max_queue_size = {smacks_max_queue_size}
smacks_hibernation_time = {smacks_hibernation_time}
ssl = {{ certificate = "{certificate}"; key = "{key}" }}
{extra_global}
"""

HOST_CONFIGURATION = """\
VirtualHost "{domain}"
  authentication = "anonymous"
VirtualHost "{user_domain}"
  authentication = "internal_hashed"
Component "{muc}" "muc"
  restrict_room_creation = true
  muc_room_locking = false
  muc_room_default_public_jids = true
  muc_tombstones = false
  muc_room_allow_persistent = false
  muc_room_cache_size = 10000
  storage = "memory"
Component "internal.{user_domain}" "muc"
  muc_room_default_members_only = true
  muc_room_locking = false
  muc_room_default_public_jids = true
  storage = "memory"
"""


class ProsodyFailed(Exception):
    """Prosody did not start; the text holds the end of its log."""


class Prosody:
    """One private Prosody process.

    directory: where everything is kept; a temporary one, removed by `stop(clean=True)`, if not given.
    require_tls: clients must use STARTTLS; with `offer_tls=False` it is not even offered (a plain server).
    certificate_names: what the server's certificate is for (default: the domains, localhost, 127.0.0.1).
    components: name -> secret of external components (XEP-0114); default: focus.<domain>.
    accounts: user -> password on the account domain.
    smacks_max_queue_size: stanzas kept per stream for resumption (Prosody's default is 500).
    smacks_hibernation_time: seconds a cut stream may be resumed (Prosody's default is 600).
    extra_global, extra_hosts: more configuration, before the first host and after the last.
    """

    def __init__(
        self,
        directory: Optional[Path] = None,
        *,
        require_tls: bool = True,
        offer_tls: bool = True,
        certificate_names: Optional[Sequence[str]] = None,
        components: Optional[Dict[str, str]] = None,
        accounts: Optional[Dict[str, str]] = None,
        smacks_max_queue_size: int = 500,
        smacks_hibernation_time: int = 600,
        log_level: str = "info",
        extra_global: str = "",
        extra_hosts: str = "",
    ) -> None:
        self._own_directory = directory is None
        self.directory = Path(directory or tempfile.mkdtemp(prefix="prosody-")).absolute()
        self.domain = DOMAIN
        self.user_domain = USER_DOMAIN
        self.muc = "conference." + DOMAIN
        self.brewery = "jvbbrewery@internal." + USER_DOMAIN
        self.focus_component = "focus." + DOMAIN
        self.component_secret = COMPONENT_SECRET
        self.host = "127.0.0.1"
        self.passwords = dict(PASSWORDS if accounts is None else accounts)
        self.components = {self.focus_component: COMPONENT_SECRET} if components is None else components
        self.c2s_port, self.component_port, self.http_port = free_ports(3)
        self.authority = Authority(self.directory / "authority")
        self.ca_file = str(self.authority.ca_file)
        self._certificate_names = certificate_names or (
            self.domain,
            "*." + self.domain,
            self.user_domain,
            "localhost",
            "127.0.0.1",
        )
        self._require_tls = require_tls and offer_tls
        self._offer_tls = offer_tls
        self._smacks = {
            "smacks_max_queue_size": smacks_max_queue_size,
            "smacks_hibernation_time": smacks_hibernation_time,
        }
        self._log_level = log_level
        self._extra_global = extra_global
        self._extra_hosts = extra_hosts
        self._process: Optional[subprocess.Popen[bytes]] = None
        self.configuration = self.directory / "prosody.cfg.lua"
        self.log_file = self.directory / "prosody.log"
        self._write()

    def __enter__(self) -> Prosody:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop(clean=True)

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        if self._process is None:
            raise ProsodyFailed("Prosody is not running")
        return self._process.pid

    @property
    def command(self) -> List[str]:
        """What starts the server in the foreground, for `start()` and for a supervisor."""
        return ["prosody", "-F", "--config", str(self.configuration)]

    @property
    def ports(self) -> List[int]:
        """Every port on which the started server must answer."""
        return [self.c2s_port, self.http_port] + ([self.component_port] if self.components else [])

    @property
    def websocket_url(self) -> str:
        return "ws://127.0.0.1:%d/xmpp-websocket" % self.http_port

    def start(self, timeout: float = 20.0) -> None:
        """Start the server and wait until all its ports answer.

        Raises ProsodyFailed after `timeout` seconds. The ports and the accounts are the same after a stop.
        """
        log_begin = self.log_file.stat().st_size if self.log_file.exists() else 0
        with open(self.directory / "output.log", "ab") as output:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # a Ctrl-C in the terminal is for the tests
            )
        atexit.register(self.stop)
        deadline = time.monotonic() + timeout
        ports = self.ports
        while ports:
            if answers(self.host, ports[0]):
                ports.pop(0)
            elif self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise ProsodyFailed("Prosody did not start:\n" + self.log(log_begin)[-3000:] + self._output())
            else:
                time.sleep(0.02)
        if "Failed to open server port" in self.log(log_begin):
            self.stop()
            raise ProsodyFailed("a port was taken by another program:\n" + self.log(log_begin)[-3000:])

    def stop(self, clean: bool = False) -> None:
        """Stop the server (SIGTERM); with `clean` also remove a temporary directory."""
        self._end(signal.SIGTERM)
        if clean and self._own_directory:
            shutil.rmtree(str(self.directory), ignore_errors=True)

    def kill(self) -> None:
        """End the server at once, as a crash would (SIGKILL)."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Stop the process without ending it (SIGSTOP): sockets stay open and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on."""
        os.kill(self.pid, signal.SIGCONT)

    def reload(self) -> None:
        """Let the server read its configuration again (SIGHUP)."""
        os.kill(self.pid, signal.SIGHUP)

    def cpu_seconds(self) -> float:
        """Processor time the server has used until now, user and system, in seconds."""
        with open("/proc/%d/stat" % self.pid, encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def log(self, begin: int = 0) -> str:
        """The server's log from byte `begin` on."""
        if not self.log_file.exists():
            return ""
        with open(self.log_file, "rb") as log:
            log.seek(begin)
            return log.read().decode("utf-8", "replace")

    def set_password(self, user: str, password: str) -> None:
        """Create an account on the account domain, or change its password.

        Prosody takes the plain password of a storage file and hashes it at the first login.
        """
        self.passwords[user] = password
        folder = self.directory / "data" / _storage_name(self.user_domain) / "accounts"
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / (_storage_name(user) + ".dat")
        file.write_text("return { password = %s };\n" % _lua_string(password), encoding="utf-8")

    def _write(self) -> None:
        certificate, key = self.authority.issue(self._certificate_names)
        (self.directory / "certificates").mkdir(exist_ok=True)
        (self.directory / "data").mkdir(exist_ok=True)
        text = GLOBAL_CONFIGURATION.format(
            directory=self.directory,
            c2s_port=self.c2s_port,
            component_port=self.component_port,
            http_port=self.http_port,
            domain=self.domain,
            user_domain=self.user_domain,
            require_tls="true" if self._require_tls else "false",
            plain_without_tls="false" if self._require_tls else "true",
            certificate=certificate,
            key=key,
            log_level=self._log_level,
            extra_global=self._extra_global,
            **self._smacks,
        )
        if not self._offer_tls:
            text = text.replace('"tls", ', "")
        text += HOST_CONFIGURATION.format(domain=self.domain, user_domain=self.user_domain, muc=self.muc)
        for name, secret in self.components.items():
            text += 'Component "%s"\n  component_secret = %s\n' % (name, _lua_string(secret))
        self.configuration.write_text(text + self._extra_hosts, encoding="utf-8")
        for user, password in list(self.passwords.items()):
            self.set_password(user, password)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        atexit.unregister(self.stop)
        if process.poll() is None:
            process.send_signal(how)
            process.send_signal(signal.SIGCONT)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _output(self) -> str:
        return (self.directory / "output.log").read_text(encoding="utf-8", errors="replace")[-3000:]


def free_ports(count: int) -> List[int]:
    """Ports of 127.0.0.1 on which nothing listens at this moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def answers(host: str, port: int) -> bool:
    """Whether something accepts TCP connections there."""
    try:
        socket.create_connection((host, port), timeout=1).close()
        return True
    except OSError:
        return False


def _storage_name(name: str) -> str:
    """Prosody's file names: every character but letters and digits as %xx."""
    return "".join(c if c.isalnum() else "%%%02x" % ord(c) for c in name)


def _lua_string(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
