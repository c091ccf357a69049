"""The scripted call: what happens in it, step by step, and what becomes of it when the focus is killed meanwhile.

Everything but the focus lives in the test's process: server, rooms, participants and bridge. The next step is taken
when the focus has gone quiet about the last one, so a run with a kill sees the same steps in the same order as one
without. Who is killed is started again at once, with the same journal.
"""

from __future__ import annotations

import functools
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from tests.chaos.nursery import Nursery
from tests.chaos.process import IDLE, KILLED, Doom, FocusUnderTest
from tests.chaos.record import Record, Transcripts
from tests.support.bridge import Bridge
from tests.support.client import Client
from tests.support.loop import Loop
from tests.support.media import Sources, audio_source, client_transport, update_contents, video_source
from tests.support.scripted_world import Seat, World
from tests.support.smacks_server import SmacksServer

STEP = 15.0
"""Seconds that a step may take, a restart of the focus included."""
LOOK = 0.02
"""Seconds between two looks whether the process lives."""
ALICE, BOB, CAROL, DAVE = "aaaaaaaa", "bbbbbbbb", "cccccccc", "dddddddd"


class Setting(NamedTuple):
    """What a call is held on."""

    bridges: int = 1
    options: Tuple[str, ...] = ("--health_checks_enabled=false",)
    """Of the focus. Nothing is asked by the clock alone: two runs would differ."""


ONE_BRIDGE = Setting()
TWO_BRIDGES = Setting(2, (*ONE_BRIDGE.options, "--octo_enabled=true", "--selection_strategy=split"))


class Outcome(NamedTuple):
    """What one run has shown."""

    transcripts: Transcripts
    complaints: List[str]
    """What no correct run shows, in words."""
    commits: List[int]
    """Stanzas of each commit; only of a run without a kill."""
    kills: int
    outages: List[float]
    """Seconds from each kill to the first stanza of the next process."""
    seconds: float
    log: str


class Stuck(AssertionError):
    """A run that did not go on; the text says why, the rest what it has shown until then."""

    def __init__(self, call: Call, why: AssertionError) -> None:
        super().__init__("%s\n%s" % (why, call.state()))
        self.transcripts = call.record.transcripts
        self.complaints = list(call.complaints)
        self.log = call.focus.log()


class Call:
    """One run. Use as a context manager.

    folder: for the journal and the log. dooms: where the focus is killed; each process has the next of them.
    nurseries: what starts the processes, in turn; without any each is started as an operator would.
    """

    def __init__(self, folder: Path, dooms: Sequence[Doom] = (), nurseries: Sequence[Nursery] = (),
                 setting: Setting = ONE_BRIDGE) -> None:
        self.loop = Loop()
        self.world = World()
        self.server = SmacksServer(self.loop, self.world)
        self.focus_jid = "focus@%s/focus" % self.world.user_domain
        self.room = "standup@" + self.world.muc
        self.record = Record(self.focus_jid, self._name_of)
        self.world.on_heard = self.record.heard
        self.focus = FocusUnderTest(folder, self.server.port, nurseries, setting.options)
        self._dooms = list(dooms)
        self._doom: Optional[Doom] = None
        self.over = False
        """The call has been played, and the focus may end."""
        self.kills = 0
        self.outages: List[float] = []
        self.complaints: List[str] = []
        self.clients: Dict[str, Client] = {}
        self.bridges = [self._bridge("jvb%d" % number, setting.bridges > 1) for number in range(1, setting.bridges + 1)]
        self.server.on_cut = self._ended
        self.loop.call_every(LOOK, self._look)

    def _bridge(self, name: str, relays: bool) -> Bridge:
        seat = Seat(self.world, "%s@%s/b" % (name, self.world.user_domain))
        return Bridge(self.loop, seat, self.world.brewery, nickname=name, stats_interval=3600.0, relays=relays)

    def __enter__(self) -> Call:
        return self

    def __exit__(self, *exception: object) -> None:
        self.over = True
        self.focus.stop()
        self.loop.close()

    def _name_of(self, address: str) -> str:
        """Participants and the bridge by their nickname, wherever they are addressed; all else by its address."""
        bare, _, resource = address.partition("/")
        if bare == self.focus_jid.partition("/")[0]:
            return "focus"
        if bare in (self.room, self.world.brewery):
            return resource or bare
        local, at, host = bare.partition("@")
        if host == self.world.domain:
            return local
        return local if local.startswith("jvb") else bare or self.world.user_domain

    # The kill

    def start(self) -> None:
        """Start the focus, to be killed at the next point."""
        self._doom = self._dooms.pop(0) if self._dooms else None
        self.focus.start(self._doom)

    def _look(self) -> None:
        """A process that ends before it has logged in is missed by looking only; otherwise its connection tells."""
        if self.focus.starts and self.server.connection is None and not self.focus.running:
            self._ended()

    def _ended(self) -> None:
        """The process is gone, or its connection: it was killed, and comes back."""
        if self.over:
            return
        killed_at = time.monotonic()
        status = self.focus.wait_end()
        if self._doom is None or status not in (KILLED, IDLE):
            how = "has lost its connection" if status is None else "has ended with status %d" % status
            raise AssertionError("the focus " + how)
        self.kills += 1
        self._check_counts()
        unread = self.server.session.unread if self.server.sessions else None
        if self._doom.point == "mid" and status == KILLED and (unread is None or not unread.unfinished):
            self.complaints.append("it was killed in mid-stanza, and the server has no half of one")
        self.record.on_first = lambda now: self.outages.append(now - killed_at)
        self.start()

    def _check_counts(self) -> None:
        """What the focus has acknowledged is committed, and what the server has received is journalled."""
        handled, sent = committed(self.focus.journal_file)
        session = self.server.sessions[-1] if self.server.sessions else None
        acknowledged, received = (session.acknowledged, session.h) if session is not None else (0, 0)
        if acknowledged > handled:
            self.complaints.append("%d stanzas were acknowledged, %d committed" % (acknowledged, handled))
        if received > sent:
            self.complaints.append("the server has received %d stanzas, %d are journalled" % (received, sent))

    # Waiting

    def settle(self, what: str, condition: Callable[[], Any], open_requests: int = 0) -> None:
        """Until the condition is true and the focus is quiet, apart from requests that we hold back."""
        def quiet() -> bool:
            if not self.server.sessions or self.server.connection is None:
                return False
            session = self.server.session
            return (session.acknowledged == session.sent and len(self.record.unanswered()) <= open_requests
                    and bool(condition()))

        self.loop.wait(quiet, STEP, what)

    def state(self) -> str:
        """Where it stands, for an error message."""
        session = self.server.sessions[-1] if self.server.sessions else None
        counts = "no session" if session is None else "acknowledged %d of %d" % (session.acknowledged, session.sent)
        open_requests = ", ".join(map(str, self.record.unanswered()))
        return "%s; unanswered: %s; held: %d\n%s" % (counts, open_requests or "none", self.held, "\n".join(
            client.summary() for client in self.clients.values()))

    # Peers

    def client(self, endpoint: str) -> Client:
        """A participant."""
        seat = Seat(self.world, "%s@%s/c" % (endpoint, self.world.domain))
        client = self.clients[endpoint] = Client(self.loop, seat, endpoint=endpoint)
        return client

    def enter(self, client: Client) -> None:
        """It asks for the conference, and joins when it is told to."""
        client.enter(self.room, self.focus_jid)

    def active(self, *clients: Client) -> bool:
        """Whether they hold a session each and know exactly the sources of all the others that do."""
        return all(one.session is not None and one.session.state == "active" and one.others == {
            other.endpoint: other.sources.stripped() for other in clients if other is not one} for one in clients)

    def expired(self, client: Client) -> bool:
        """Whether no bridge has an endpoint of a participant any more."""
        return all(bridge.endpoint(client.endpoint) is None for bridge in self.bridges)

    @property
    def held(self) -> int:
        """Requests whose answers are held back."""
        return sum(bridge.held for bridge in self.bridges)

    def owner(self, client: Client) -> bool:
        """Whether a participant owns the room."""
        room = self.world.rooms.get(self.room)
        return room is not None and client.joined and room.affiliation(client.jid) == "owner"

    def said(self, receiver: str) -> int:
        """How many stanzas of the focus somebody has had until now."""
        return len(self.record.transcripts.get(receiver, []))

    # The end

    def outcome(self, began: float) -> Outcome:
        """What the run has shown, after its end."""
        self.over = True
        status = self.focus.stop()
        found = list(self.complaints)
        if status != 0:
            found.append("the focus has ended with status %s" % status)
        found += self.record.complaints()
        for client in self.clients.values():
            found += ["%s: %s" % (client.endpoint, violation) for violation in client.violations]
        for bridge in self.bridges:
            found += ["%s: %s" % (bridge.nickname, violation) for violation in bridge.violations]
            found += ["left on %s: %s" % (bridge.nickname, leak) for leak in bridge.leaks()]
        found += ["a session has ended: %s" % session.ended for session in self.server.sessions[:-1] if session.h]
        log = self.focus.log()
        found += ["the log has a traceback"] * ("Traceback" in log)
        return Outcome(self.record.transcripts, found, self.focus.commits(), self.kills, self.outages,
                       time.monotonic() - began, log)


def play(folder: Path, *dooms: Doom, nurseries: Sequence[Nursery] = (), setting: Setting = ONE_BRIDGE) -> Outcome:
    """One run of the scripted call, in which the focus is killed at these points, one after the other."""
    began = time.monotonic()
    with Call(folder, dooms, nurseries, setting) as call:
        try:
            _begin(call)
            _talk(call)
            _end(call)
        except AssertionError as error:
            raise Stuck(call, error) from None
        return call.outcome(began)


def _begin(call: Call) -> None:
    """Alice comes, then Bob and Carol at once; the bridge is slow with Carol's endpoint."""
    call.start()
    call.settle("in the brewery", lambda: call.said(call.world.brewery) >= 3)
    for bridge in call.bridges:
        bridge.publish(stress_level="0.02")
    call.settle("statistics handled", lambda: True)
    alice, bob, carol = (call.client(endpoint) for endpoint in (ALICE, BOB, CAROL))
    call.enter(alice)
    call.settle("Alice moderates", lambda: call.owner(alice))
    for bridge in call.bridges:
        bridge.script("create-endpoint", "hold", endpoint_id=CAROL)
    with call.world.together():
        call.enter(bob)
        call.enter(carol)
    call.settle("Alice and Bob talk, Carol's endpoint is being made",
                lambda: call.held == 1 and call.active(alice, bob), open_requests=1)


def _talk(call: Call) -> None:
    """Things happen while the bridge's answer is in flight; then it comes."""
    alice, bob, carol = (call.clients[endpoint] for endpoint in (ALICE, BOB, CAROL))
    alice.transport_info(timeout=STEP)
    call.settle("Alice's candidates are on the bridge", lambda: True, open_requests=1)
    bob.add_sources(video_source(BOB, 7000, index=1, layers=1, desktop=True), STEP)
    call.settle("Bob's screen", lambda: call.active(alice, bob), open_requests=1)
    alice.remove_sources(alice.sources.only(video=False), STEP)
    call.settle("Alice has no microphone", lambda: call.active(alice, bob), open_requests=1)
    for bridge in call.bridges:
        bridge.release()
    call.settle("Carol talks, too", lambda: call.active(alice, bob, carol))
    bob.publish(a0=True)
    call.settle("Bob is muted", lambda: True)
    with call.world.together():  # in an order that makes no difference, however they fall into ticks
        send(alice, "transport-info", "<content name='0' creator='responder'>%s</content>" % client_transport(ALICE))
        change(bob, "source-remove", video_source(BOB, 7000, index=1, layers=1, desktop=True))
    call.settle("Alice's candidates once more, Bob's screen is gone", lambda: call.active(alice, bob, carol))
    alice.add_sources(audio_source(ALICE, 8000), STEP)
    call.settle("Alice's new microphone", lambda: call.active(alice, bob, carol))


def _end(call: Call) -> None:
    """Bob leaves, Dave comes late, and at last all are gone."""
    alice, bob, carol = (call.clients[endpoint] for endpoint in (ALICE, BOB, CAROL))
    bob.leave()
    call.settle("Bob is gone", lambda: call.expired(bob) and call.active(alice, carol))
    dave = call.client(DAVE)
    call.enter(dave)
    call.settle("Dave talks, too", lambda: call.active(alice, carol, dave))
    for client in (carol, dave, alice):
        client.leave()
        call.settle("%s is gone" % client.endpoint, functools.partial(call.expired, client))
    call.settle("the room is gone", lambda: call.room not in call.world.rooms)


def send(client: Client, action: str, contents: str) -> None:
    """A Jingle request, without waiting for the answer."""
    client.send_iq("set", client.focus, client.jingle(action, contents))


def change(client: Client, action: str, sources: Sources) -> None:
    """A change of a client's own sources, without waiting for the answer."""
    client.sources = client.sources.plus(sources) if action == "source-add" else client.sources.minus(sources)
    send(client, action, update_contents(sources))


def committed(journal_file: Path) -> tuple[int, int]:
    """What a killed process has in its journal: our h, and the number of our last stanza."""
    from focus.journal.sqlite import SqliteJournal

    if not journal_file.exists():
        return 0, 0
    with tempfile.TemporaryDirectory() as folder:  # to read it is to change it
        for file in journal_file.parent.glob(journal_file.name + "*"):
            shutil.copy(str(file), folder)
        journal = SqliteJournal(str(Path(folder) / journal_file.name))
        try:
            stream = journal.load().streams.get("client")
        finally:
            journal.close()
    return (stream.handled, stream.confirmed + len(stream.stanzas)) if stream is not None else (0, 0)
