"""The server's own failures: restarted, cut off, half-open, slow, stalled, paused; rooms gone (conference.md 10.2).

Between the focus and a real Prosody stands a relay of the tests; clients and bridges talk to the server directly, so
they see what anybody in a call would see.
"""

from __future__ import annotations

import os
import random
import re
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import pytest

from tests.support import impatient, media
from tests.support.bridge import Bridge
from tests.support.client import Client
from tests.support.focus_process import FocusProcess
from tests.support.prosody import Prosody, run_shell
from tests.support.relay import Relay
from tests.support.stage import Stage, answers_to, destroy, full_prosody, unavailable_focus
from tests.support.wire import Stanza

PING = "<ping xmlns='urn:xmpp:ping'/>"
STREAM = impatient.PATIENCE["focus.xmpp.stream"]
GIVEN_UP_AFTER = STREAM["IDLE"] + STREAM["ANSWER_TIME"] + 2 * STREAM["CHECK_INTERVAL"]
"""Seconds of silence after which an impatient focus has given up its connection."""
SEEDS = [int(text) for text in os.environ.get("FAILURES_SEEDS", "1").split(",")]
"""Of the random moments; others can be asked for, to search."""

_REQUEST = re.compile(r"^<iq type='(?:get|set)' to='[^']*' id='([^']+)'")
NO_SCTP = "SCTP support is not configured"
_JUDGED = ("Lost a bridge", "Leaving bridge", "Health check failed", "no bridge available", "Inviting ", "Giving up")


class Outage(Stage):
    """A stage whose focus is started by the test, with a relay between it and the server.

    hurried: its patience with the connection is that of `impatient`.
    """

    def __init__(self, prosody: Prosody, *options: str, hurried: bool = False) -> None:
        program = Path(impatient.__file__) if hurried else None
        process = FocusProcess(prosody, options=options, component=False, program=program)
        super().__init__(prosody, process)
        self.relay = Relay(self.loop, prosody.c2s_port)
        process.options.append("--client_port=%d" % self.relay.port)

    def __exit__(self, *exception: object) -> None:
        status = self.focus.stop()
        super().__exit__(*exception)
        self.focus.discard()
        assert status in (0, None)

    def start(self) -> None:
        """Start the focus, and wait until it can be asked."""
        self.focus.start()
        self.wait_log("Joined the brewery", 30)
        self.wait_log("Registered (resumed=false) client", 30)

    def in_call(self, count: int = 2, **settings: Any) -> Tuple[Bridge, List[Client], str]:
        """A bridge, and participants in a call."""
        bridge = self.bridge(**settings)
        clients, room = [self.client() for _ in range(count)], self.room()
        self.call(room, *clients)
        self.heard(*clients)
        return bridge, clients, room

    def heard(self, *clients: Client) -> None:
        """Wait until the focus has handled all that these clients have sent: requests are answered in order."""
        for client in clients:
            assert client.request("get", client.focus, PING, 20).get("type") == "result"

    def logins(self, resumed: bool) -> int:
        """How many logins of the focus resumed a stream, or began a new one."""
        return self.log().count("Registered (resumed=%s) client" % ("true" if resumed else "false"))

    def wait_resumed(self, count: int, timeout: float = 20.0) -> None:
        """Wait for so many resumptions; that no login did without is checked here, too."""
        self.wait(lambda: self.logins(True) >= count or self.logins(False) > 1, "resumed", self.log, timeout)
        assert (self.logins(True), self.logins(False)) == (count, 1), self.log()

    def wait_new_login(self, count: int = 2, timeout: float = 30.0) -> None:
        """Wait until the focus has logged in anew and is in the brewery again."""
        self.wait(lambda: self.logins(False) == count and self.log().count("Joined the brewery") == count,
                  "logged in anew", self.log, timeout)
        self.wait(lambda: self.log().count("a second session stands") == self.log().count("second session has left"),
                  "the second session gone", self.log)

    # What must hold in the end

    def nobody_noticed(self, *clients: Client) -> None:
        """One session each, nobody saw the focus leave, and each request has exactly one answer, a result."""
        for client in clients:
            assert len(client.sessions) == 1, client.summary()
            assert not unavailable_focus(client)
            self.all_answered(client)

    def all_answered(self, client: Client) -> None:
        """Wait until each request of the client has an answer; none may have two, and none an error."""
        asked = [found.group(1) for _, xml in client.sent for found in [_REQUEST.match(xml)] if found]
        self.wait(lambda: len(answers_to(client, asked)) >= len(asked), "all answered", client.summary)
        answers = [(answer.get("id"), answer.get("type")) for answer in answers_to(client, asked)]
        assert sorted(answers) == sorted((identifier, "result") for identifier in asked)

    def calm(self, *bridges: Bridge) -> None:
        """No endpoint was asked for twice, and no bridge was given up or doubted."""
        for bridge in bridges:
            made = [endpoint for request in bridge.requests if request.is_creation and request.error_text != NO_SCTP
                    for endpoint in request.endpoints]
            assert len(made) == len(set(made)), bridge.requests
        assert not [line for line in self.log().splitlines() if any(words in line for words in _JUDGED)]


class Changes:
    """A client that adds and removes sources, one request after the other, as soon as it has accepted its offer."""

    def __init__(self, client: Client, count: int, number: int) -> None:
        self.left = count
        self._client = client
        self._ssrc = 1000000 * (number + 1)
        self._added: List[media.Sources] = []
        client.on_accepted = lambda _: self._next()

    def _next(self) -> None:
        client = self._client
        if not self.left:
            return
        self.left -= 1
        adds = len(self._added) < 2
        if adds:
            self._ssrc += 10
            self._added.append(media.video_source(client.endpoint, self._ssrc, index=self._ssrc, layers=1))
        sources = self._added[-1] if adds else self._added.pop(0)

        def answered(answer: Any) -> None:
            if answer.get("type") != "result":
                client.violations.append("a change was refused: %r" % answer)
            client.sources = client.sources.plus(sources) if adds else client.sources.minus(sources)
            client.loop.call_later(0.02, self._next)

        client.send_iq("set", client.focus, client.jingle("source-add" if adds else "source-remove",
                                                          media.update_contents(sources)), answered)

    @property
    def done(self) -> bool:
        """Whether all are made; the last one's answer may be under way."""
        return not self.left


@pytest.fixture(scope="module")
def prosody() -> Iterator[Prosody]:
    """A server that can always resume a stream, and where a connection may do without TLS."""
    with full_prosody(mended=True, require_tls=False) as server:
        yield server


@pytest.fixture
def stage() -> Iterator[Callable[..., Outage]]:
    """Opens stages and closes them after the test."""
    made: List[Outage] = []

    def opened(*arguments: Any, **settings: Any) -> Outage:
        made.append(Outage(*arguments, **settings))
        return made[-1]

    yield opened
    for one in made:
        print(one.log())  # shown if the test has failed
        one.__exit__(None, None, None)


# --- the connection breaks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_cut_at_any_moment_of_joins_and_changes(stage: Any, prosody: Prosody, seed: int) -> None:
    """C-1030, C-1033, C-1034, U-46: many cuts in a row, with and without loss of what is under way; all resumed."""
    print("seed", seed)
    chance = random.Random(seed)
    one = stage(prosody, hurried=True)
    one.start()
    bridge = one.bridge()
    clients, room = [one.client() for _ in range(4)], one.room()
    changes = [Changes(client, 25, number) for number, client in enumerate(clients)]
    for client in clients:
        one.loop.call_later(chance.uniform(0, 3), lambda client=client: client.enter(room, one.focus.jid))
    for count in range(1, 13):
        one.loop.run_for(chance.uniform(0, 0.3))  # the moment is what is tried
        chance.choice((one.relay.cut, one.relay.cut_in_order))()
        one.wait_resumed(count)
    one.wait(lambda: all(change.done for change in changes), "all changes are made", one.log, 20)
    one.wait(lambda: all(client.session is not None for client in clients), "all are in", one.log)
    for client in clients:
        one.all_answered(client)
    one.wait_call(*clients)
    one.nobody_noticed(*clients)
    one.calm(bridge)
    assert one.log().count("Joined the room") == 1
    one.check()


def test_cut_within_our_stanzas(stage: Any, prosody: Prosody) -> None:
    """C-1030, C-1033, C-1034: the server has read a part of what we wrote, to any byte; without TLS, where it can."""
    one = stage(prosody, "--use_tls=false", hurried=True)
    one.start()
    bridge, (ada, bo), _ = one.in_call()
    for count, size in enumerate((1, 7, 60, 150, 333, 700, 1300), 1):
        extra = media.audio_source(ada.endpoint, 7000 + count, index=count)
        one.relay.cut_after(size)
        answers: List[Any] = []
        ada.send_iq("set", ada.focus, ada.jingle("source-add", media.update_contents(extra)), answers.append)
        ada.sources = ada.sources.plus(extra)
        for _ in range(20):  # more than the last size is written for these
            bo.send_iq("get", bo.focus, PING)
        one.wait(lambda n=count: one.relay.sprung == n, "cut", one.log)
        one.wait_resumed(count)
        one.wait(lambda told=answers: told, "answered", one.log)
        one.wait_call(ada, bo)
    one.nobody_noticed(ada, bo)
    one.calm(bridge)
    one.check()


@pytest.mark.parametrize("size", [1, 100, 400])
def test_cut_while_logging_in(stage: Any, prosody: Prosody, size: int) -> None:
    """C-1032, C-1033: the next connection breaks before it has come to the resumption; the one after it resumes."""
    one = stage(prosody, "--use_tls=false", hurried=True)
    one.start()
    bridge, clients, _ = one.in_call()
    one.relay.cut()
    one.relay.cut_after(size)
    one.wait(lambda: one.relay.sprung, "cut again", one.log)
    one.wait_resumed(1)
    one.heard(*clients)
    one.nobody_noticed(*clients)
    one.calm(bridge)
    one.check()


@pytest.mark.parametrize("where", ["the request", "the answer"])
def test_cut_while_resuming(stage: Any, prosody: Prosody, where: str) -> None:
    """C-1033, U-46: <resume/> or <resumed/> is lost on its way; that is no refusal, and the next attempt resumes."""
    one = stage(prosody, "--use_tls=false", hurried=True)
    one.start()
    bridge, clients, _ = one.in_call()

    def meets_resume(data: bytes) -> bool:
        if b"<resume " in data and where == "the answer":
            one.relay.cut_after(len(data))  # the server reads and answers it, and nobody hears the answer
        return b"<resume " in data and where == "the request"

    one.relay.trap = meets_resume
    one.relay.cut()
    one.wait(lambda: one.relay.sprung, "cut again", one.log)
    one.wait_resumed(1)
    one.heard(*clients)
    one.nobody_noticed(*clients)
    one.calm(bridge)
    one.check()


@pytest.mark.parametrize("side", ["the server", "the focus"])
def test_half_open(stage: Any, prosody: Prosody, side: str) -> None:
    """C-1030, C-1033, C-1034, U-46: one side believes that the connection is there. Resumed, whoever finds out."""
    one = stage(prosody, hurried=True)
    one.start()
    bridge, (ada, bo), room = one.in_call()
    extra = media.audio_source(ada.endpoint, 4242, index=1)
    if side == "the server":
        one.relay.lose_near()  # what the server sends until we are back goes into the old connection
    else:
        one.relay.lose_far()  # what we send until we find out is lost
    asked = ada.send_iq("set", ada.focus, ada.jingle("source-add", media.update_contents(extra)))
    late = one.client()
    late.enter(room, one.focus.jid)
    one.wait(lambda: answers_to(ada, [asked]), "answered", one.log, 20)
    one.wait_resumed(1)
    ada.sources = ada.sources.plus(extra)
    one.wait_call(ada, bo, late)
    one.nobody_noticed(ada, bo, late)
    one.calm(bridge)
    one.check()


# --- the server, or the way to it, is slow --------------------------------------------------------------------------


def test_slow(stage: Any, prosody: Prosody) -> None:
    """C-434, U-47: a long way and a thin line: the call comes about, nothing is asked twice, no bridge is doubted."""
    one = stage(prosody)
    one.relay.latency, one.relay.rate = 0.3, 200000.0
    one.start()
    bridge, clients, room = one.bridge(), [one.client() for _ in range(4)], one.room()
    one.call(room, *clients)
    extra = media.audio_source(clients[0].endpoint, 4343, index=1)
    assert clients[0].add_sources(extra).get("type") == "result"
    one.wait_call(*clients)
    one.nobody_noticed(*clients)
    one.calm(bridge)
    assert one.logins(True) == 0
    one.check()


def test_slow_with_a_dead_bridge(stage: Any, prosody: Prosody) -> None:
    """U-47, B-410, B-634: patience with a slow server has an end: who is silent is found out all the same."""
    one = stage(prosody, "--reply_timeout=1")
    one.start()
    one.relay.latency = 0.6
    dead, alive = one.bridge(stats={"stress_level": "0.0"}), one.bridge(stats={"stress_level": "0.5"})
    dead.script("any", "drop", times=99)
    clients, room = [one.client(), one.client()], one.room()
    one.enter(room, *clients)
    one.wait_call(*clients)
    assert dead.requests and all(alive.endpoint(client.endpoint) is not None for client in clients)
    one.check()


def test_stalled(stage: Any, prosody: Prosody) -> None:
    """C-1008, C-1033, C-1034, U-46: nothing passes, first for less than we wait, then for more."""
    one = stage(prosody, hurried=True)
    one.start()
    bridge, (ada, bo), room = one.in_call()
    late = one.client()
    for number, seconds in enumerate((GIVEN_UP_AFTER / 2, GIVEN_UP_AFTER)):
        one.relay.hold()
        extra = media.audio_source(ada.endpoint, 5000 + number, index=1 + number)
        asked = ada.send_iq("set", ada.focus, ada.jingle("source-add", media.update_contents(extra)))
        if number == 0:
            one.loop.run_for(seconds)
        else:
            late.enter(room, one.focus.jid)
            one.wait_log("the server has not answered for", seconds + 5)
        one.relay.release()
        one.wait(lambda told=asked: answers_to(ada, [told]), "answered", one.log)
        assert one.log().count("connection closed on error") == number
        ada.sources = ada.sources.plus(extra)
        bo.wait_sources_of([ada] if number == 0 else [ada, late])
    one.wait_resumed(1)
    one.wait_call(ada, bo, late)
    one.nobody_noticed(ada, bo, late)
    one.calm(bridge)
    one.check()


@pytest.mark.parametrize("by_presence", ["true", "false"])
@pytest.mark.parametrize("what, seconds", [("the way", 4.0), ("the server", 4.0), ("the server", 2.3)])
def test_a_pause_is_not_the_bridges_silence(stage: Any, prosody: Prosody, what: str, seconds: float,
                                            by_presence: str) -> None:
    """U-47, B-410, B-430, C-1008: longer than bridges and peers may be silent; nothing is asked twice or given up.

    What was begun just before goes on just after, and who comes then is put on the same bridge at once.
    """
    one = stage(prosody, "--reply_timeout=2", "--health_checks_interval=0.5", "--health_checks_presence_timeout=2",
                "--health_checks_silence=2", "--health_checks_use_presence=%s" % by_presence)
    one.start()
    bridge, (ada, bo), room = one.in_call(stats_interval=0.5)
    early, late = one.client(), one.client()
    early.enter(room, one.focus.jid)
    one.wait(lambda: early.answered_at, "answered")
    if what == "the way":
        one.relay.hold()
    else:
        prosody.pause()
    one.loop.run_for(seconds)
    if what == "the way":
        one.relay.release()
    else:
        prosody.resume()
    one.wait_call(ada, bo, early)
    one.enter(room, late)
    one.wait_call(ada, bo, early, late)
    one.nobody_noticed(ada, bo, early, late)
    one.calm(bridge)
    assert one.logins(True) == 0
    one.check()


# --- the server is restarted ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how, first", [("SIGTERM", "bridge"), ("SIGKILL", "focus")])
def test_restarted_in_mid_call(stage: Any, how: str, first: str) -> None:
    """C-1032, C-1033, C-1037, U-13, U-46: streams and rooms are gone; what comes back gets a call, the rest ends.

    The bridge keeps what it has, as a real one does, and is back before the focus or after it.
    """
    with full_prosody() as server:
        one = stage(server, "--initial_timeout=2")
        one.start()
        bridge, clients, room = one.in_call()
        lonely = [one.client(), one.client()]
        deserted = one.room("deserted")
        one.call(deserted, *lonely)
        one.relay.open = False
        if how == "SIGTERM":
            server.stop()
        else:
            server.kill()
        one.wait(lambda: bridge.stream.closed and all(c.stream.closed for c in one.clients), "all are out")
        one.wait_log("XMPP connection closed on error: client")
        one.clients.clear()
        server.start()
        if first == "bridge":
            bridge.come_back()
            one.relay.open = True
            one.wait_new_login()
        else:
            one.relay.open = True
            one.wait_new_login()
            bridge.come_back()
        newcomers = [one.client(), one.client()]
        one.call(room, *newcomers)
        one.wait(lambda: "Stopped." in one.log_of(deserted), "the deserted conference ends", one.log)
        one.wait_no_room(one.client(), deserted)
        for client in (*clients, *lonely):
            assert bridge.endpoint(client.endpoint) is None, bridge.leaks()
        one.nobody_noticed(*newcomers)
        one.check()


# --- rooms are gone, our stream is not ------------------------------------------------------------------------------


@pytest.mark.parametrize("connected", [True, False])
def test_room_destroyed(stage: Any, prosody: Prosody, connected: bool) -> None:
    """C-713, C-820, C-1033: an admin destroys a room, also while we are cut off: that conference ends, others go on.

    Who comes back gets a new one.
    """
    one = stage(prosody, hurried=True)
    one.start()
    bridge, clients, room = one.in_call()
    others, other_room = [one.client(), one.client()], one.room()
    one.call(other_room, *others)
    admin = one.account("jvb")
    if not connected:
        one.relay.open = False
        one.relay.cut()
        one.wait_log("XMPP connection closed on error")
    assert admin.request("set", room, destroy("spring cleaning")).get("type") == "result"
    one.wait(lambda: not any(client.joined for client in clients), "all are out")
    if not connected:
        one.relay.open = True
        one.wait_resumed(1)
    one.wait(lambda: "Stopped." in one.log_of(room), "it ends", one.log)
    one.wait(lambda: all(bridge.endpoint(c.endpoint) is None for c in clients), "released", bridge.leaks)
    assert "spring cleaning" in one.log_of(room)
    one.heard(*others)
    one.nobody_noticed(*others)
    one.call(room, *clients)
    one.check()


def test_muc_module_reloaded(stage: Any) -> None:
    """C-1033: the server's MUC module is loaded anew, in mid-call: it keeps the rooms, and nobody notices."""
    with full_prosody(shell=True) as server:
        one = stage(server)
        one.start()
        bridge, (ada, bo), room = one.in_call()
        run_shell(server, "module", "reload", "muc", server.muc)
        extra = media.audio_source(ada.endpoint, 6262, index=1)
        assert ada.add_sources(extra).get("type") == "result"
        late = one.client()
        one.enter(room, late)
        one.wait_call(ada, bo, late)
        one.nobody_noticed(ada, bo, late)
        one.calm(bridge)
        one.check()


def test_the_brewerys_component_restarted(stage: Any) -> None:
    """B-107, B-112, T-38, S-114: its rooms are gone; focus and bridges go in again, and calls notice nothing."""
    with full_prosody(shell=True) as server:
        one = stage(server)
        one.start()
        bridge, (ada, bo), room = one.in_call(stats_interval=1.0)
        component = server.brewery.partition("@")[2]
        run_shell(server, "host", "deactivate", component)
        run_shell(server, "host", "activate", component)
        one.wait(lambda: one.log().count("Joined the brewery") == 2, "in the brewery again", one.log, 30)
        late = one.client()
        one.enter(room, late)
        one.wait_call(ada, bo, late)
        one.nobody_noticed(ada, bo, late)
        one.calm(bridge)
        one.check()


# --- the stream can't be resumed ------------------------------------------------------------------------------------


NOT_RESUMED: Dict[str, Dict[str, Any]] = {
    "never offered": {"managed": False},
    "away too long": {"mended": True, "smacks_hibernation_time": 2},
    "too much was kept": {"mended": True, "smacks_max_queue_size": 40},
}
"""Why the server doesn't resume a stream, and how it is made so."""


@pytest.mark.parametrize("why", NOT_RESUMED)
def test_not_resumed(stage: Any, why: str) -> None:
    """C-606, C-712, C-1030, C-1031, C-1033, C-1040 to C-1042, U-46: refused; the focus enters its rooms again.

    Members keep their sessions and sources: nobody is sent a session-terminate or a second session-initiate. Who came
    meanwhile is invited, also under the nickname of one who went. If the server gives the session up before the focus
    is back, or if the focus had no reason to doubt it, they see it leave (unavailable) and come back; what they see
    where it had is in test_refused.
    """
    still_there = why == "too much was kept"
    with full_prosody(**NOT_RESUMED[why]) as server:
        one = stage(server, hurried=True)
        one.start()
        bridge, (ada, bo, cy), room = one.in_call(3)
        for client in (ada, bo):  # web clients would reload; these stay
            client.hooks.append(lambda s: s.name == "presence" and s.get("type") == "unavailable"
                                and s.get("from").endswith("/focus"))
        one.relay.open = False
        one.relay.cut()
        one.wait_log("XMPP connection closed on error")
        cy.leave()  # while nobody hears it
        cy.close()
        dee, eve = one.client(), one.client(endpoint=cy.endpoint, sources=media.audio_source(cy.endpoint, 737373))
        dee.join(room)
        eve.join(room)
        if not still_there:
            one.wait(lambda: unavailable_focus(ada) and unavailable_focus(bo), "seen leaving", one.log)
        else:
            for number in range(50):
                ada.publish(a0=bool(number % 2))
            assert ada.request("get", server.domain, PING).get("type") == "result"  # the room has had them all
        sessions, seen = [client.session for client in (ada, bo)], len(ada.received)
        one.relay.open = True
        one.wait_new_login()
        ada.wait_stanza(lambda s: s.name == "presence" and not s.get("type") and s.get("from") == ada.focus, since=seen)
        assert one.logins(True) == 0
        one.heard(ada, bo)
        extra = media.audio_source(ada.endpoint, 6161, index=1)
        assert ada.add_sources(extra).get("type") == "result"
        late = one.client()
        one.enter(room, late)
        one.wait_call(ada, bo, dee, eve, late)
        assert [client.session for client in (ada, bo)] == sessions
        assert [(len(c.sessions), c.sessions[0].end) for c in (ada, bo)] == [(1, None), (1, None)]
        assert [len(unavailable_focus(client)) for client in (ada, bo)] == [1, 1]
        assert len(dee.sessions) == len(eve.sessions) == 1
        wanted = {source.ssrc for source in eve.sources.sources}
        one.wait(lambda: {s for one in bridge.endpoint(eve.endpoint).sources or () for s in one.ssrcs} == wanted,
                 "the bridge knows who has the nickname now", bridge.leaks)
        for client in (ada, bo):  # the focus can't know that they saw who had the nickname leave: harmless (J-1004)
            client.violations[:] = [said for said in client.violations
                                    if not said.startswith("removal of unknown sources of " + eve.endpoint)]
        one.check()


def test_not_resumed_with_requests_under_way(stage: Any) -> None:
    """C-1033, K-340, DESIGN "Coming back, refused": answers to what was asked over the old stream will never come.

    An endpoint's creation is undone and made anew; an offer is ended and made anew under another session id; a change
    of sources is told again. Nobody else notices.
    """
    with full_prosody(mended=True, smacks_hibernation_time=2) as server:
        one = stage(server, hurried=True)
        one.start()
        bridge, (ada, bo), room = one.in_call()
        created, offered = one.client(), one.client()
        for client in (ada, bo, created, offered):  # web clients would reload; these stay
            client.hooks.append(lambda s: s.name == "presence" and s.get("type") == "unavailable"
                                and s.get("from").endswith("/focus"))
        bridge.script("create-endpoint", "hold", endpoint_id=created.endpoint)
        one.enter(room, created)
        one.wait(lambda: bridge.held, "its endpoint is being made", one.log)
        offered.auto_accept = False

        def cut_at_the_offer(stanza: Stanza) -> None:
            if one.relay.open and b"session-initiate" in stanza.raw:
                one.relay.open = False
                one.relay.cut()

        offered.hooks.append(cut_at_the_offer)
        one.enter(room, offered)
        offered.wait_session(20, "pending")
        offered.hooks.remove(cut_at_the_offer)
        one.wait(lambda: unavailable_focus(ada) and unavailable_focus(offered), "the server gave it up", one.log)
        bridge.release()
        offered.auto_accept = True
        one.relay.open = True
        one.wait_new_login()
        one.wait_call(ada, bo, created, offered)
        assert [len(client.sessions) for client in (ada, bo, created, offered)] == [1, 1, 1, 2]
        assert offered.sessions[0].end is not None
        one.check()
