"""What goes on beside the browsers, in a thread of its own: the focus is ended again and again, a scripted client asks
it for a conference each time, and once a hundred scripted clients join other rooms at the same time.
"""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import Callable, List, Optional, Sequence

from focus.demo.stack import CHECKOUT
from tests.chaos.browser_plan import AMID, AMID_WAIT, Kill
from tests.chaos.browser_stage import Servers
from tests.support.bridge import Bridge
from tests.support.client import Client
from tests.support.focus_process import account_login, guest_login
from tests.support.loop import Loop, WaitTimeout
from tests.support.wire import Stanza

MODES = ("kill", "term", "upgrade")
ROOMS, IN_ROOM = 10, 10
"""Of a burst."""
LOOK = 0.005
STEP = 0.05
LONGEST = 20.0
"""Seconds anything may take: a process to end, another to serve, a burst to be over."""
UPGRADE_WITHIN = 60.0
ASK_EVERY = 0.25
"""Seconds between two conference requests during an upgrade."""


@dataclass
class Ended:
    """One end of the focus. Seconds are counted from the signal; `ms` is the time of that since the epoch."""

    ms: float
    in_burst: bool
    spare: bool
    """Another process was waiting to take over."""
    gone: float = 0.0
    """Until the process was no more."""
    served: Optional[float] = None
    """Until a request for the conference of the browsers was answered, sent when the process had gone; for an upgrade:
    the longest that an answer took."""
    created: Optional[float] = None
    """The same for a new conference; the server has a part in that, too: a room is joined."""
    hit: bool = False
    """Before that the next process was ended, too."""


class Burst:
    """Scripted clients in rooms of ten, logged in beforehand, on a scripted bridge of their own."""

    def __init__(self, loop: Loop, servers: Servers) -> None:
        prosody = servers.prosody
        self._focus = servers.focus_jid
        self._muc = prosody.muc
        self._new_bridge = lambda: Bridge(loop, account_login(prosody, "jvb"), prosody.brewery, nickname="scripted")
        self.bridge: Optional[Bridge] = None
        self.rooms = [[Client(loop, guest_login(prosody)) for _ in range(IN_ROOM)] for _ in range(ROOMS)]

    @property
    def clients(self) -> List[Client]:
        return [client for room in self.rooms for client in room]

    def bring_bridge(self) -> None:
        """From now on new calls are on the scripted bridge; those that are on another one stay there."""
        self.bridge = self._new_bridge()

    def leaks(self) -> List[str]:
        """What is left on the bridge."""
        return self.bridge.leaks() if self.bridge is not None else []

    def begin(self) -> None:
        """All ask at the same time, and join when they are let in."""
        for number, clients in enumerate(self.rooms):
            for client in clients:
                client.enter("burst%d@%s" % (number, self._muc), self._focus)

    def offered(self) -> int:
        """How many have an offer."""
        return sum(1 for client in self.clients if client.sessions)

    def complete(self) -> bool:
        """Whether all have a session and know exactly the sources of the others in their room."""
        for clients in self.rooms:
            expected = {client.endpoint: client.sources.stripped() for client in clients}
            for client in clients:
                others = {one: sources for one, sources in expected.items() if one != client.endpoint}
                if client.session is None or client.session.state != "active" or client.others != others:
                    return False
        return True

    def leave(self) -> None:
        """Everybody goes; the bridge stays."""
        for client in self.clients:
            client.close()

    def troubles(self) -> List[str]:
        """What these clients and their bridge should not have seen."""
        found = [violation for client in self.clients for violation in client.violations]
        found += ["%s had %d offers" % (client.endpoint, len(client.sessions))
                  for client in self.clients if len(client.sessions) != 1]
        if self.bridge is not None:
            found += ["scripted bridge: %s" % violation for violation in self.bridge.violations]
        return found + ["scripted bridge: left over: %s" % leak for leak in self.leaks()]


class Killer(threading.Thread):
    """Carries out the planned kills once `begin()` was called; `done` is set when all is over.

    room: the browsers' one. mode: "kill" (SIGKILL), "term" (SIGTERM), "upgrade" (the command), or "" to kill nobody
    (the control run): then everything else happens at the same times.
    """

    def __init__(self, servers: Servers, room: str, planned: Sequence[Kill], mode: str, seed: int) -> None:
        super().__init__(name="killer", daemon=True)
        self._room = room
        self._servers = servers
        self._planned = planned
        self._mode = mode
        self._rng = random.Random("middle %d" % seed)
        self._go = threading.Event()
        self._halt = threading.Event()
        self._stepped = threading.Event()
        self.prepared = threading.Event()
        self.done = threading.Event()
        self.error: Optional[BaseException] = None
        self.ends: List[Ended] = []
        self.troubles: List[str] = []
        self.burst: Optional[Burst] = None
        self._open_probes = 0

    def begin(self) -> None:
        """Let the first pause begin."""
        self._go.set()

    def stepped(self, action: str) -> None:
        """Be told that somebody begins a step."""
        if action in AMID:
            self._stepped.set()

    def stop(self) -> None:
        """End the thread, done or not."""
        self._halt.set()
        self._go.set()
        self.join(30)

    def run(self) -> None:
        try:
            with Loop() as loop:
                self._work(loop)
        except BaseException as error:  # noqa: BLE001 - shown by the test
            self.error = error
        finally:
            self.prepared.set()
            self.done.set()

    def _work(self, loop: Loop) -> None:
        asking = Client(loop, guest_login(self._servers.prosody))
        if any(kill.in_burst for kill in self._planned):
            self.burst = Burst(loop, self._servers)
        self.prepared.set()
        while not self._go.is_set():
            loop.step(STEP)
        if self.burst is not None:
            self.burst.bring_bridge()
        for number, kill in enumerate(self._planned):
            self._pause(loop, kill.pause)
            if self._halt.is_set():
                return
            if kill.after_step is not None:
                self._wait_step(loop, kill.after_step)
            if kill.in_burst and self.burst is not None:
                self._wait_middle(loop, self.burst)
            if self._mode:
                self._end(loop, asking, "asked%d@%s" % (number, self._servers.prosody.muc), kill.in_burst)
        self._wait(loop, lambda: not self._open_probes, LONGEST, "every conference request is answered")
        if self.burst is not None:
            self._finish(loop, self.burst)

    def _pause(self, loop: Loop, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._halt.is_set() and time.monotonic() < end:
            loop.step(min(STEP, max(0.0, end - time.monotonic())))

    def _wait_step(self, loop: Loop, seconds: float) -> None:
        """Until so long after the next step has begun; not for ever."""
        self._stepped.clear()
        end = time.monotonic() + AMID_WAIT
        while not self._stepped.is_set() and time.monotonic() < end:
            loop.step(2 * LOOK)
        self._pause(loop, seconds)

    def _wait(self, loop: Loop, condition: Callable[[], object], seconds: float, what: str) -> bool:
        """Wait for it, and note if it does not come true."""
        try:
            loop.wait(condition, seconds, what)
        except WaitTimeout as error:
            self.troubles.append(str(error))
            return False
        return True

    # The end of the focus

    def _end(self, loop: Loop, asking: Client, room: str, in_burst: bool) -> None:
        """End the process that serves, and ask the next one for a conference."""
        found: List[int] = []

        def serves() -> bool:
            pid = self._servers.serving_pid()
            found.extend([pid] if pid is not None else [])
            return pid is not None

        # a process may be ended before it serves, but not one after the other: the pages' patience is the limit
        self._wait(loop, lambda: [end.served for end in self.ends[-2:]] != [None, None], LONGEST,
                   "one of the last two ends is over")
        if not self._look(loop, serves, "a focus serves"):
            return
        if self._mode == "upgrade" and not self._look(loop, self._servers.spare_waits, "a spare waits"):
            return
        handle = os.pidfd_open(found[0])
        try:
            end = Ended(time.time() * 1000, in_burst, self._servers.spare_waits())
            if self._mode == "upgrade":
                self._upgrade(loop, asking, end, handle)
            else:
                self._signal(loop, asking, room, end, handle)
        finally:
            os.close(handle)

    def _signal(self, loop: Loop, asking: Client, room: str, end: Ended, handle: int) -> None:
        begun = time.monotonic()
        signal.pidfd_send_signal(handle, signal.SIGKILL if self._mode == "kill" else signal.SIGTERM)
        if not self._look(loop, lambda: _ended(handle), "the process has ended"):
            return
        end.gone = time.monotonic() - begun
        for earlier in self.ends:
            earlier.hit = earlier.hit or earlier.served is None
        self.ends.append(end)

        def served(at: float) -> None:
            end.served = at - begun

        def created(at: float) -> None:
            end.created = at - begun

        self._ask(asking, self._room, served)
        self._ask(asking, room, created)

    def _upgrade(self, loop: Loop, asking: Client, end: Ended, handle: int) -> None:
        """The old process serves on until the new one does: so what counts is the longest time an answer took."""
        begun = time.monotonic()
        command = [str(CHECKOUT / "bin" / "jicofo"), "upgrade", "--config", str(self._servers.ini)]
        upgrade = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   env=self._servers.environment)
        took: List[float] = []

        def ask() -> None:
            asked = time.monotonic()
            self._ask(asking, self._room, lambda at: took.append(at - asked))

        timer = loop.call_every(ASK_EVERY, ask)
        try:
            self._look(loop, lambda: upgrade.poll() is not None, "jicofo upgrade has ended", UPGRADE_WITHIN)
            if upgrade.poll() != 0:
                self.troubles.append("jicofo upgrade: exit status %s" % upgrade.poll())
            elif self._look(loop, lambda: _ended(handle), "the process has ended"):
                end.gone = time.monotonic() - begun
                self.ends.append(end)
        finally:
            timer.cancel()
        self._wait(loop, lambda: not self._open_probes, LONGEST, "every conference request is answered")
        end.served = end.created = max(took, default=None)

    def _look(self, loop: Loop, condition: Callable[[], object], what: str, seconds: float = LONGEST) -> bool:
        """Like `_wait`, for what no stanza tells: it is looked at again and again."""
        timer = loop.call_every(LOOK, lambda: None)
        try:
            return self._wait(loop, condition, seconds, what)
        finally:
            timer.cancel()

    def _ask(self, client: Client, room: str, answered_at: Callable[[float], None]) -> None:
        """Ask for a conference. Told is when the answer came (monotonic seconds)."""
        self._open_probes += 1

        def answered(answer: Stanza) -> None:
            self._open_probes -= 1
            if answer.get("type") == "result":
                answered_at(answer.at)
            else:
                self.troubles.append("conference request for %s: %r" % (room, answer))

        client.send_iq("set", self._servers.focus_jid, client.conference_request(room), answered)

    # The burst

    def _wait_middle(self, loop: Loop, burst: Burst) -> None:
        burst.begin()
        wanted = self._rng.randrange(ROOMS * IN_ROOM // 5, ROOMS * IN_ROOM * 4 // 5)
        self._wait(loop, lambda: burst.offered() >= wanted, LONGEST, "the burst is half done")

    def _finish(self, loop: Loop, burst: Burst) -> None:
        if not self._wait(loop, burst.complete, LONGEST, "all of the burst are in their calls"):
            self.troubles += [client.summary() for client in burst.clients if client.violations][:3]
        burst.leave()
        self._wait(loop, lambda: not burst.leaks(), LONGEST, "nothing is left on the scripted bridge")
        self.troubles += burst.troubles()


def _ended(handle: int) -> bool:
    """Whether the process of a pidfd is no more."""
    return bool(select.select([handle], [], [], 0)[0])
