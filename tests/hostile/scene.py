"""A call that must go on, attackers beside it, and a server that says what attackers want: the scripted target."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any, Dict, List, Mapping, Set

from tests.hostile.cast import EVIL_BRIDGES, Asked, Cast
from tests.hostile.damage import Seen
from tests.hostile.server import HostileServer
from tests.support import media
from tests.support.bridge import Bridge
from tests.support.client import Client
from tests.support.focus_process import FocusProcess
from tests.support.loop import Loop
from tests.support.scripted_world import Seat, World
from tests.support.wire import Stanza, escape

VICTIMS, INSIDE, ATTACK_ROOMS = 2, 2, 4
FRESH_CALL = 20.0
"""Seconds a fresh call may take from the request to the last leave."""
COMES_AGAIN = 2.2
"""Seconds between two times an attacker comes: more often, and the focus lets it wait (M-1122)."""
ALL_GONE = 100.0
"""Seconds in which the focus leaves all rooms when nobody is in them: one that threw it out lately it enters again, with
growing pauses, and waits there for somebody."""
_DISCO = "{http://jabber.org/protocol/disco#info}query"


class Address:
    """Where the scripted server is; see `tests.support.focus_process.Server`."""

    host = "127.0.0.1"
    component_port = 5347
    component_secret = ""
    ca_file = ""

    def __init__(self, world: World, port: int) -> None:
        self.domain = world.domain
        self.user_domain = world.user_domain
        self.focus_component = "focus." + world.domain
        self.c2s_port = port

    @property
    def passwords(self) -> Mapping[str, str]:
        """By account."""
        return {"focus": "focus-password"}


class Scene:
    """Use as a context manager.

    checked: the focus compares its journal with its memory after each commit.
    """

    def __init__(self, rng: random.Random, folder: Path, checked: bool = False) -> None:
        self.rng = rng
        self.loop = Loop()
        self.world = World()
        self.server = HostileServer(self.loop, self.world)
        self.server.on_request = self._requested
        self.focus = FocusProcess(Address(self.world, self.server.port), component=False, checked=checked,
                                  options=["--server_queue=1000000"], log_file=folder / "focus.log")
        self.cast = Cast(rng, self.world, "%s/focus" % self.server.account)
        self.bridge = self.new_bridge("jvb1")
        self.victims: List[Client] = []
        self.inside: List[Client] = []
        self.attackers: List[Client] = []
        self.latencies: List[float] = []
        """Of the victims' requests, in seconds."""
        self.said_to_be: Set[str] = set()
        """Occupants of our rooms of whom a presence was made up."""
        self._fresh = 0
        self._open: Dict[str, float] = {}
        self._rooms: Set[str] = set()

    def __enter__(self) -> Scene:
        self.focus.start()
        self.wait(lambda: self.world.rooms[self.world.brewery].occupants.get("focus"), "in the brewery", 30)
        self.wait(lambda: "Joined the brewery" in self.focus.log(), "it knows that", 10)
        self.bridge.publish()
        return self

    def __exit__(self, *exception: object) -> None:
        self.focus.stop()
        self.loop.close()
        self.focus.discard()

    def wait(self, condition: Any, what: Any, timeout: float = 20.0) -> Any:
        """Work until the condition is true."""
        def alive_and() -> Any:
            if not self.focus.running:
                raise AssertionError("the focus has ended:\n" + self.focus.log()[-4000:])
            return condition()

        return self.loop.wait(alive_and, timeout, what)

    # People

    def client(self, name: str, **settings: Any) -> Client:
        """Somebody with a place in the world; keeps nothing of what it hears."""
        seat = Seat(self.world, "%s@%s/c" % (name, self.world.domain))
        settings.setdefault("endpoint", "%08x" % self.rng.getrandbits(32))
        return Client(self.loop, seat, record=False, **settings)

    def new_bridge(self, nickname: str, kind: Any = Bridge, **settings: Any) -> Any:
        """A bridge in the brewery."""
        seat = Seat(self.world, "jvb@%s/%s" % (self.world.user_domain, nickname))
        return kind(self.loop, seat, self.world.brewery, nickname=nickname, **settings)

    def people(self) -> None:
        """The victims' call, attackers in it, and attackers in rooms of their own."""
        room = "victims@" + self.world.muc
        focus = self.cast.focus_jid
        self.victims = [self.client("victim%d" % number) for number in range(VICTIMS)]
        for victim in self.victims:
            victim.enter(room, focus)
            self.wait(lambda one=victim: one.joined, "a victim is in")
        self.inside = [self.client("inside%d" % number) for number in range(INSIDE)]
        for attacker in self.inside:
            attacker.enter(room, focus)
        for number in range(ATTACK_ROOMS * 2):
            attacker = self.client("attacker%d" % number)
            attacker.answer_disco = number % 4 != 3
            attacker.enter("attack%d@%s" % (number // 2, self.world.muc), focus)
            self.attackers.append(attacker)
        for victim in self.victims:
            self.wait(lambda one=victim: one.session is not None and one.session.state == "active", "victims talk")
        self._rooms = {client.room for client in self.victims + self.attackers}
        self.cast.victims, self.cast.inside, self.cast.attackers = self.victims, self.inside, self.attackers
        self.wait(self.victims_know_each_other, "victims know each other")

    def refresh(self) -> None:
        """Attackers whose session has ended come in anew; doesn't wait for it."""
        gone = self.server.gone
        for attacker in self.inside + self.attackers:
            session = attacker.session
            late = time.monotonic() - attacker.joined_at > COMES_AGAIN
            if late and (session is None or session.state == "ended" or attacker.occupant in gone):
                room = attacker.room
                gone.discard(attacker.occupant)
                attacker.leave()
                attacker.enter(room, self.cast.focus_jid)
            del attacker.sessions[:-4]
            attacker.violations.clear()

    # The victims

    def victims_know_each_other(self) -> bool:
        """Each knows exactly the other's sources, and of attackers only what belongs to them."""
        return not self.trouble_of_victims()

    def trouble_of_victims(self) -> List[str]:
        """What is wrong with their call."""
        found = []
        strangers = {attacker.endpoint for attacker in self.inside}
        taken = {source.ssrc: victim.endpoint for victim in self.victims for source in victim.sources.sources}
        for victim in self.victims:
            for other in self.victims:
                if other is not victim and victim.others.get(other.endpoint) != other.sources.stripped():
                    found.append("%s knows of %s: %s" % (victim.endpoint, other.endpoint,
                                                         victim.others.get(other.endpoint)))
            for owner, sources in victim.others.items():
                if owner in (other.endpoint for other in self.victims):
                    continue
                if owner not in strangers:
                    found.append("%s knows of a stranger %s" % (victim.endpoint, owner))
                found += ["%s has a source of %s" % (owner, taken[source.ssrc])
                          for source in sources.sources if source.ssrc in taken]
                found += ["%s has a source called %s" % (owner, source.name)
                          for source in sources.sources if not (source.name or "").startswith(owner + "-")]
            found += self._trouble_of_session(victim, strangers)
        return found

    @staticmethod
    def _trouble_of_session(victim: Client, strangers: Any) -> List[str]:
        found = ["%s: %s" % (victim.endpoint, text) for text in victim.violations
                 if not any(text.endswith("sources of %s" % one) or "sources of %s:" % one in text
                            for one in strangers)]
        if len(victim.sessions) != 1 or victim.sessions[0].state != "active":
            found.append("%s has had %d sessions, the last is %s: %s" % (
                victim.endpoint, len(victim.sessions), victim.sessions[-1].state if victim.sessions else "none",
                victim.sessions[-1].end_reason if victim.sessions else ""))
        return found

    def victim_adds(self, number: int) -> None:
        """A victim shares one more source. Doesn't wait."""
        victim = self.victims[number % VICTIMS]
        extra = media.audio_source(victim.endpoint, 5000 + number % VICTIMS, index=1)
        self._change(victim, "source-add", extra)

    def victim_removes(self, number: int) -> None:
        """It takes it back."""
        victim = self.victims[number % VICTIMS]
        extra = media.audio_source(victim.endpoint, 5000 + number % VICTIMS, index=1)
        self._change(victim, "source-remove", extra)

    def _change(self, victim: Client, action: str, sources: media.Sources) -> None:
        sent = time.monotonic()
        key = victim.send_iq("set", victim.focus, victim.jingle(action, media.update_contents(sources)),
                             lambda answer: self._changed(victim, action, sources, sent, answer))
        self._open[key] = sent

    def _changed(self, victim: Client, action: str, sources: media.Sources, sent: float, answer: Stanza) -> None:
        self._open.pop(answer.get("id"), None)
        self.latencies.append(time.monotonic() - sent)
        if answer.get("type") != "result":
            victim.violations.append("%s refused: %r" % (action, answer))
        elif action == "source-add":
            victim.sources = victim.sources.plus(sources)
        else:
            victim.sources = victim.sources.minus(sources)

    @property
    def victims_wait(self) -> bool:
        """Whether a request of theirs is open."""
        return bool(self._open)

    # A fresh call

    def fresh_call(self) -> float:
        """Two new people meet in a new room; returns the seconds it took."""
        began = time.monotonic()
        self._fresh += 1
        room = "fresh%d@%s" % (self._fresh, self.world.muc)
        one, other = (self.client("fresh%d%s" % (self._fresh, letter)) for letter in "ab")
        for client in (one, other):
            client.enter(room, self.cast.focus_jid)
        for client, peer in ((one, other), (other, one)):
            self.wait(lambda c=client, p=peer: c.session is not None and c.session.state == "active" and
                      c.others == {p.endpoint: p.sources.stripped()}, lambda c=client: "a fresh call: " + c.summary(),
                      FRESH_CALL)
        extra = media.audio_source(one.endpoint, 77, index=1)
        answers: List[Stanza] = []
        one.send_iq("set", one.focus, one.jingle("source-add", media.update_contents(extra)), answers.append)
        one.sources = one.sources.plus(extra)
        self.wait(lambda: answers and other.others == {one.endpoint: one.sources.stripped()}, "the new source comes",
                  FRESH_CALL)
        for client in (one, other):
            if client.violations or answers[0].get("type") != "result" or len(client.sessions) != 1:
                raise AssertionError("a fresh call: %s\n%r" % (client.summary(), answers))
            client.leave()
            client.close()
        return time.monotonic() - began

    # Cleaning up

    def silence(self) -> None:
        """Whoever was only said to be there is said to have gone."""
        gone = {"%s/%s" % (self.world.brewery, name) for name in EVIL_BRIDGES} | self.said_to_be
        gone -= {one.occupant for one in self.victims + self.inside + self.attackers}
        self.said_to_be.clear()
        raws = [("<presence type='unavailable' from='%s' to='%s'/>" % (escape(jid), self.cast.focus_jid)).encode()
                for jid in sorted(gone)]
        self.server.inject(raws, [None] * len(raws))

    def note(self, what: Seen) -> None:
        """A made-up stanza is about to be sent."""
        room = what.sender.partition("/")[0]
        if what.kind == "presence" and room in self._rooms and what.sender != room + "/focus":
            self.said_to_be.add(what.sender)

    def everybody_leaves(self) -> None:
        """The end: all go, then the focus goes from all rooms, and nothing is left on the bridge."""
        self.silence()
        for client in self.victims + self.inside + self.attackers:
            client.close()
        self.wait(lambda: set(self.world.rooms) == {self.world.brewery}, self._rooms_left, ALL_GONE)
        self.wait(lambda: not self.bridge.leaks(), lambda: "left on the bridge: %s" % self.bridge.leaks(), 30)

    def _rooms_left(self) -> str:
        """Which rooms, who is in them, and what the focus thinks of them."""
        lines = self.focus.log().splitlines()
        return "rooms are left:\n" + "\n".join(
            "%s: %s\n%s" % (room.jid, sorted(room.occupants), "\n".join(
                [line for line in lines if room.jid in line][-20:]))
            for room in self.world.rooms.values() if room.jid != self.world.brewery)

    def _requested(self, asked: Asked, stanza: Any) -> None:
        self.cast.flying.append(asked)
        if stanza.find(_DISCO) is not None and not asked.to.startswith("victims@"):
            self.cast.discoveries.append(asked)
