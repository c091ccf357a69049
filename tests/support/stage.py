"""A stage for server tests: one real Prosody, one real focus, and the scripted peers of a single test.

What every test wants is checked at its end (`check`) without being asked for: nobody may have seen anything that a
correct focus never sends, and when all participants have left, nothing may be left behind on the bridges.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any, Iterable, List, Optional

from tests.support.bridge import Bridge
from tests.support.client import FOCUS, MUC, MUC_USER, Client
from tests.support.focus_process import FocusProcess, account_login, guest_login
from tests.support.loop import Loop, WaitTimeout
from tests.support.prosody import DOMAIN, USER_DOMAIN, Prosody
from tests.support.wire import Stanza, escape

MODULES = Path(__file__).with_name("prosody_modules")
SHIPPED_MODULES = Path(__file__).parents[2] / "conf" / "prosody" / "modules"
#: the component that carries requests to the focus user (S-730)
PROXY = "proxy." + DOMAIN
#: a MUC service on which everybody may create rooms
OPEN_MUC = "open." + DOMAIN
#: the MUC service of a tenant, as it is named where there is no domain mapper (C-210, C-215)
TENANT_MUC = "conference.my_team." + DOMAIN

EXTRA_GLOBAL = 'plugin_paths = { "%s", "%s" }\n' % (MODULES, SHIPPED_MODULES)
EXTRA_HOSTS = """
Component "%s" "requests_for_account"
  target_address = "focus@%s"
Component "%s" "muc"
  muc_room_locking = false
  muc_room_default_public_jids = false
  storage = "memory"
Component "%s" "muc"
  restrict_room_creation = true
  muc_room_locking = false
  muc_room_default_public_jids = true
  storage = "memory"
""" % (PROXY, USER_DOMAIN, OPEN_MUC, TENANT_MUC)

_LINE = re.compile(r"^Jicofo \S+ \S+ (?P<level>[A-Z]+): (?P<text>.*)$", re.MULTILINE)
_numbers = itertools.count(1)


def _accounts_host(enabled: Iterable[str], disabled: Iterable[str] = ()) -> str:
    """More configuration of the accounts' host: modules it has, and modules of all hosts that it hasn't."""
    names = [", ".join('"%s"' % name for name in modules) for modules in (enabled, disabled)]
    return 'VirtualHost "%s"\n  modules_enabled = { %s }\n  modules_disabled = { %s }\n' % (USER_DOMAIN, *names)


#: without this, a stream that was cut inside a stanza can't be resumed on Prosody 0.12 (see the module)
MENDING = "smacks_resume_fix"
MENDED_HOST = _accounts_host([MENDING])


def full_prosody(mended: bool = False, managed: bool = True, shell: bool = False, more_global: str = "",
                 **settings: Any) -> Prosody:
    """A Prosody with all three ways to the focus, an open MUC service and a tenant's.

    mended: its fault in resuming streams is repaired. managed: accounts have stream management. shell: `prosodyctl
    shell` can talk to it while it runs. more_global: lines for the global part of its configuration.
    """
    hosts = EXTRA_HOSTS + _accounts_host([MENDING] * mended + ["admin_shell"] * shell, ["smacks"] * (not managed))
    return Prosody(extra_global=EXTRA_GLOBAL + more_global, extra_hosts=hosts, **settings)


HIBERNATION = 10
QUEUE = 60


def forgetful_prosody() -> Prosody:
    """One that resumes streams, and keeps a cut one for ``HIBERNATION`` seconds and ``QUEUE`` stanzas only."""
    return full_prosody(mended=True, more_global="smacks_hibernation_time = %d\nsmacks_max_queue_size = %d\n" % (
        HIBERNATION, QUEUE))


def wait_usable(focus: FocusProcess, timeout: float = 30.0, component: bool = True) -> None:
    """Wait until the focus answers at its full JID, stands in the brewery, and is there as a component, too."""
    with Loop() as loop:
        focus.wait_ready(loop, timeout)
        loop.wait(lambda: "Joined the brewery" in focus.log(), timeout, lambda: "in the brewery\n" + focus.log())
        if component:
            loop.wait(lambda: "Registered (resumed=false) component" in focus.log(), timeout,
                      lambda: "component is there\n" + focus.log())


def log_lines(log: str, *levels: str) -> List[str]:
    """The lines of a focus's log of these levels (all if none is given), without time and level."""
    return [found["text"] for found in _LINE.finditer(log) if not levels or found["level"] in levels]


class Stage:
    """The peers of one test. Use as a context manager; leaving it ends all peers."""

    def __init__(self, prosody: Prosody, focus: FocusProcess) -> None:
        self.prosody = prosody
        self.focus = focus
        self.loop = Loop()
        self.clients: List[Client] = []
        self.bridges: List[Bridge] = []
        #: set when the test has passed: only then `check` has something to say
        self.passed = False
        self._log_begin = len(focus.log())

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *exception: object) -> None:
        for client in self.clients:
            client.close()
        for bridge in self.bridges:
            bridge.close()
        self.loop.close()

    def check(self) -> None:
        """Everybody leaves; nothing wrong may have been seen, nothing may be left on a bridge."""
        for client in self.clients:
            assert client.violations == [], client.summary()
            client.close()
        for bridge in self.bridges:
            self.wait(lambda one=bridge: not one.leaks(), "nothing left on %s" % bridge.nickname,
                      lambda one=bridge: one.leaks())
            assert bridge.violations == []
        assert not [line for line in log_lines(self.log()) if "Traceback" in line or "failed; it" in line]

    # Peers

    def client(self, **settings: Any) -> Client:
        """An anonymous participant, logged in."""
        return self._add(Client(self.loop, guest_login(self.prosody), **settings))

    def account(self, user: str, resource: str = "", **settings: Any) -> Client:
        """A participant with an account; "jvb" is an administrator of the server."""
        return self._add(Client(self.loop, account_login(self.prosody, user, resource=resource), **settings))

    def _add(self, client: Client) -> Client:
        self.clients.append(client)
        return client

    def bridge(self, kind: Any = Bridge, **settings: Any) -> Any:
        """A bridge in the brewery, under a nickname of its own."""
        settings.setdefault("nickname", "jvb%d" % next(_numbers))
        bridge = kind(self.loop, account_login(self.prosody, "jvb"), self.prosody.brewery, **settings)
        self.bridges.append(bridge)
        return bridge

    def room(self, name: str = "", muc: str = "") -> str:
        """The address of a room that no other test has."""
        return "%s%d@%s" % (name or "room", next(_numbers), muc or self.prosody.muc)

    # A call

    def enter(self, room: str, *clients: Client, address: str = "") -> None:
        """They ask and join; waits until the room has let all in."""
        for client in clients:
            client.enter(room, address or self.focus.jid)
        for client in clients:
            client.wait_joined(20)

    def call(self, room: str, *clients: Client) -> None:
        """They enter, accept, and learn all others' sources."""
        self.enter(room, *clients)
        self.wait_call(*clients)

    def wait_call(self, *clients: Client) -> None:
        """Wait until all have a session and know exactly the sources of the others."""
        for client in clients:
            client.wait_session(20)
            client.wait_sources_of([other for other in clients if other is not client], 20)

    def wait(self, condition: Any, what: str, detail: Any = None, timeout: float = 15.0) -> Any:
        """Work until the condition is true; the error shows `detail()`."""
        return self.loop.wait(condition, timeout, lambda: "%s: %s" % (what, detail() if detail else ""))

    def wait_log(self, text: str, timeout: float = 15.0) -> None:
        """Wait for a text in what the focus has logged since the test began."""
        self.wait(lambda: text in self.log(), "%r in the log" % text, self.log, timeout)

    def log(self) -> str:
        """What the focus has logged since the test began."""
        return self.focus.log()[self._log_begin:]

    def never(self, condition: Any, seconds: float, what: str) -> None:
        """Nothing like it happens for so many seconds."""
        try:
            self.loop.wait(condition, seconds)
        except WaitTimeout:
            return
        raise AssertionError("it happened: " + what)

    def log_of(self, room: str) -> str:
        """The lines about one room."""
        return "\n".join(line for line in self.log().splitlines() if "room=%s" % room in line)

    # Looking at the server

    def exists(self, client: Client, room: str) -> bool:
        """Whether the server has the room: somebody is in it."""
        answer = client.request("get", room, "<query xmlns='http://jabber.org/protocol/disco#info'/>")
        return answer.get("type") == "result"

    def wait_no_room(self, client: Client, room: str, timeout: float = 15.0) -> None:
        """Wait until the server has no such room any more: nobody is in it, the focus neither."""
        self.wait(lambda: not self.exists(client, room), "%s is gone" % room, lambda: self.log_of(room), timeout)


# Reading what clients receive


def conference(answer: Stanza) -> Any:
    """The `<conference/>` of an answer."""
    element = answer.find("{%s}conference" % FOCUS)
    assert answer.get("type") == "result" and element is not None, repr(answer)
    return element


def is_ready(answer: Stanza) -> bool:
    """Whether the answer lets the client join."""
    return conference(answer).get("ready") == "true"


def item(presence: Stanza) -> Any:
    """The first muc#user item of a presence."""
    return presence.find("{%s}x/{%s}item" % (MUC_USER, MUC_USER))


def affiliation(client: Client, nick: Optional[str] = None) -> str:
    """The affiliation a client sees of an occupant, or of itself; empty if it isn't there."""
    presence = client.occupants.get(nick or client.endpoint)
    found = item(presence) if presence is not None else None
    return found.get("affiliation", "") if found is not None else ""


def unavailable_focus(client: Client) -> List[Stanza]:
    """Every presence that told the client that the focus has left."""
    return [s for s in client.received
            if s.name == "presence" and s.get("type") == "unavailable" and s.get("from").endswith("/focus")]


def answers_to(client: Client, identifiers: Iterable[str]) -> List[Stanza]:
    """All results and errors with one of these ids."""
    wanted = set(identifiers)
    return [s for s in client.received
            if s.name == "iq" and s.get("type") in ("result", "error") and s.get("id") in wanted]


def admin_set(payload: str) -> str:
    """A muc#admin request."""
    return "<query xmlns='%s#admin'>%s</query>" % (MUC, payload)


def owner_form(**fields: str) -> str:
    """A submission of the room's configuration; `roomsecret` stands for muc#roomconfig_roomsecret."""
    lines = "".join("<field var='muc#roomconfig_%s'><value>%s</value></field>" % (name, escape(value))
                    for name, value in fields.items())
    return ("<query xmlns='%s#owner'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>"
            "<value>%s#roomconfig</value></field>%s</x></query>" % (MUC, MUC, lines))


def destroy(reason: str) -> str:
    """The request that destroys a room."""
    return "<query xmlns='%s#owner'><destroy><reason>%s</reason></destroy></query>" % (MUC, reason)
