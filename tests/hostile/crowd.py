"""Attackers as real clients of a real Prosody, in a room with victims: the second target.

A server between lets less through than the scripted one; what does come through comes as fast as a client can send.
Each attack is a function that makes the next stanza of its kind; see `ATTACKS`.
"""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from typing import Any, Callable, Dict, List, Optional, Tuple
from typing import Counter as CounterOf

from tests.hostile import damage
from tests.hostile.cast import Cast
from tests.hostile.templates import Pool
from tests.hostile.verdict import LogReader, Result
from tests.support import media
from tests.support.client import Client
from tests.support.focus_process import FocusProcess
from tests.support.stage import Stage, full_prosody, wait_usable
from tests.support.wire import Stanza, escape

ANSWER_WITHIN = 3.0
"""Seconds in which a victim's request is answered, and the other victim hears of it, while a flood goes on."""
WINDOW = 300
"""Requests of an attacker that are open at most: what a client can have under way before the server slows it down."""
SENDABLE = ("jingle", "conference", "mute", "login", "discovery", "other request", "unknown request")
"""Kinds of templates that a client can send."""
_GIANT = '{"%s":{"muted":false}}' % ("n" * 60000)


class Crowd:
    """Victims, attackers, and what they send. Use inside of a stage with one bridge.

    stage: the peers. seed: decides what is sent.
    """

    def __init__(self, stage: Stage, pool: Pool, seed: int) -> None:
        self.stage = stage
        self.pool = pool
        self.rng = random.Random(seed)
        self.kinds: CounterOf[str] = Counter()
        self.answers: CounterOf[str] = Counter()
        self.latencies: List[float] = []
        self.sent = self.requests = self.thrown_out = 0
        self._make: Callable[[Crowd], None] = Crowd._change
        self._left = 0
        self._open = 0
        self._probes = itertools.count(1)
        self._numbers = itertools.count(1)
        self._added: List[media.Sources] = []
        self.room = stage.room("victims")
        self.victims = [self._client(), self._client()]
        self.attacker = self._client()
        stage.call(self.room, *self.victims, self.attacker)
        self._cast = Cast(self.rng, stage.prosody, stage.focus.jid)
        self._cast.victims = self.victims

    def _client(self) -> Client:
        return self.stage.client(record=False, endpoint="%08x" % self.rng.getrandbits(32))

    # The victims

    def trouble(self) -> List[str]:
        """What is wrong with the victims' call."""
        found = []
        for victim, other in (self.victims, self.victims[::-1]):
            if victim.others.get(other.endpoint) != other.sources.stripped():
                found.append("%s knows of %s: %s" % (victim.endpoint, other.endpoint,
                                                     victim.others.get(other.endpoint)))
            # An update that the focus wrote before it heard of a leave may come behind it: of who has gone.
            strangers = set(victim.others) - {other.endpoint, self.attacker.endpoint} - victim.gone
            if strangers:
                found.append("%s knows of %s" % (victim.endpoint, strangers))
            if len(victim.sessions) != 1 or victim.sessions[0].state != "active" or victim.violations:
                found.append(victim.summary())
        return found

    def probe(self) -> None:
        """A victim shares a source, the other one hears of it, and it is gone again: each within the bound."""
        number = next(self._probes)
        one, other = self.victims[::1 - 2 * (number % 2)]
        extra = media.audio_source(one.endpoint, 900 + number % 50, index=1)
        for action in ("source-add", "source-remove"):
            answers: List[Stanza] = []
            sent = time.monotonic()
            one.send_iq("set", one.focus, one.jingle(action, media.update_contents(extra)), answers.append)
            one.sources = one.sources.plus(extra) if action == "source-add" else one.sources.minus(extra)
            one.prepare()
            told = one.sources.stripped()
            self._while_flooding(lambda to=told: answers and other.others.get(one.endpoint) == to, sent,
                                 "%s of a victim" % action)
            assert answers[0].get("type") == "result", answers[0]
            self.latencies.append(time.monotonic() - sent)

    def _while_flooding(self, condition: Callable[[], Any], since: float, what: str) -> None:
        while not condition():
            assert time.monotonic() - since < ANSWER_WITHIN, "%s: not within %g s; %d requests of the attacker are open" % (
                what, ANSWER_WITHIN, self._open)
            self._flood_on(20)

    # The flood

    def attack(self, name: str, count: int) -> None:
        """So many stanzas of one kind; a victim asks for something several times meanwhile."""
        self._make = ATTACKS[name][0]
        self._left = count
        before = self.sent
        while self._left > 0:
            self._flood_on(count // 3)
            self.probe()
        self.kinds[name] += self.sent - before
        self.stage.wait(lambda: not self._open, "the attacker's requests are answered", lambda: self._open, 20)
        assert not self.trouble(), self.trouble()
        self._another()

    def _flood_on(self, count: int) -> None:
        """Send some, as far as the window allows, and let the loop work once."""
        if self.attacker.stream.closed:  # what the server itself doesn't take
            self.thrown_out += 1
            self._another()
        for _ in range(count):
            if self._open >= WINDOW or self._left <= 0:
                break
            self._make(self)
            self.sent += 1
            self._left -= 1
        self.stage.loop.step(0.002)

    def ask(self, to: str, payload: str, kind: str = "set") -> None:
        """A request of the attacker."""
        self._open += 1
        self.requests += 1
        self.attacker.send_iq(kind, to, payload, self._answered)

    def _answered(self, answer: Stanza) -> None:
        self._open -= 1
        self.answers[answer.error[1] or "result"] += 1

    def _another(self) -> None:
        """The attacker goes, and another one comes in."""
        old = self.attacker
        old.close()
        self._open = 0
        for victim in self.victims:
            self.stage.wait(lambda v=victim: old.endpoint not in v.occupants, "the attacker has gone")
        self.attacker = self._client()
        self.attacker.enter(self.room, self.stage.focus.jid)
        self.attacker.wait_session(30)
        self._added.clear()

    def spoof(self) -> None:
        """Who writes somebody else's address into a stanza has sent it himself (or the server throws him out)."""
        for address in (self.victims[0].jid, self.victims[0].occupant, self.attacker.focus, self.stage.focus.jid):
            liar = self._client()
            answers: List[Stanza] = []
            liar.hooks.append(lambda stanza, to=answers: stanza.get("id") == "s" and to.append(stanza))
            liar.send("<iq type='set' id='s' from='%s' to='%s'>%s</iq>" % (
                escape(address), self.attacker.focus, self.attacker.jingle("session-terminate", sid=self._sid(0))))
            self.stage.wait(lambda one=liar, to=answers: one.stream.closed or to, "the liar is found out")
            assert not answers or answers[0].get("type") == "error", answers
            liar.close()
        self.kinds["spoofed from"] += 4
        self.sent += 4
        self.probe()

    def _sid(self, number: int) -> str:
        session = self.victims[number].session
        return session.sid if session is not None else "none"

    # The attacks, one stanza each

    def _forge(self) -> None:
        """Others' sources, names, groups and msids, as one's own (M-1128)."""
        victim, attacker = self.rng.choice(self.victims), self.attacker
        theirs = sorted(victim.sources.sources)
        source = self.rng.choice(theirs)
        fresh = source._replace(ssrc=self.rng.randrange(2 ** 31, 2 ** 32))
        sets = ([source], theirs, [fresh], [fresh._replace(msid=None)], [fresh._replace(msid="x", name=source.name)])
        groups = self.rng.choice((frozenset(), victim.sources.groups))
        action = self.rng.choice(("source-add", "source-remove", "session-accept"))
        sources = media.Sources(frozenset(self.rng.choice(sets)), groups)
        self.ask(attacker.focus, attacker.jingle(action, media.update_contents(sources), sid=self._any_sid()))

    def _any_sid(self) -> str:
        one = self.rng.choice([self.attacker, *self.victims])
        return one.session.sid if one.session is not None else "none"

    def _change(self) -> None:
        """Sources of one's own come and go as fast as it can be."""
        attacker = self.attacker
        if self._added and self.rng.random() < 0.5:
            self.ask(attacker.focus, attacker.jingle("source-remove", media.update_contents(self._added.pop())))
            return
        extra = media.audio_source(attacker.endpoint, self.rng.randrange(1, 2 ** 32), index=2 + next(self._numbers) % 9)
        self._added = self._added[-5:] + [extra]
        self.ask(attacker.focus, attacker.jingle("source-add", media.update_contents(extra)))

    def _restart(self) -> None:
        """Asks for a new session again and again (M-1129)."""
        attacker = self.attacker
        bridge = attacker.session.bridge_session if attacker.session is not None else "x"
        self.ask(attacker.focus, attacker.jingle(
            "session-terminate", "<reason><connectivity-error/></reason><bridge-session xmlns='%s' id='%s' "
            "restart='true'/>" % ("http://jitsi.org/protocol/focus", bridge)))

    def _many_rooms(self) -> None:
        """A conference for each of many rooms (M-1101), and for those of others."""
        room = self.rng.choice(("many%d@%s" % (next(self._numbers), self.stage.prosody.muc), self.room,
                                "x@elsewhere.example", "x y@%s" % self.stage.prosody.muc))
        to = self.rng.choice((self.stage.focus.jid, self.stage.focus.component_jid))
        self.ask(to, self.attacker.conference_request(room))

    def _presences(self) -> None:
        """Presences, small and giant, with whatever one can say of oneself (M-1111, M-1114, M-1115)."""
        attacker = self.attacker
        info = self.rng.choice(("{}", _GIANT, "{", "[" * 3000, '{"a":' * 500, "null", '{"%s-a0":{"muted":%s}}' % (
            self.victims[0].endpoint, self.rng.choice(("true", "false")))))
        features = "<features><feature var='http://jitsi.org/protocol/jibri'/></features>"
        extra = self.rng.choice(("", features, "<jitsi_participant_region>r%d</jitsi_participant_region>"
                                 % self.rng.randrange(100), "<x xmlns='http://jabber.org/protocol/muc'/>"))
        if len(info) > 10000 and self.rng.random() < 0.9:
            info = "{}"
        attacker.send(attacker.presence(extra, info))

    def _come_and_go(self) -> None:
        """Joins and leaves (M-1122)."""
        attacker = self.attacker
        if attacker.room:
            attacker.leave()
        else:
            attacker.join(self.room)

    def _messages(self) -> None:
        """Messages as a component would send them (M-1145)."""
        attacker = self.attacker
        to, kind = self.rng.choice(((self.room, "groupchat"), (attacker.focus, "chat"), (self.stage.focus.jid, "normal")))
        text = self.rng.choice(("{}", '{"type":"room_metadata","metadata":{}}', "[" * 2000, "{"))
        attacker.send("<message type='%s' to='%s'><json-message xmlns='http://jitsi.org/jitmeet'>%s</json-message>"
                      "</message>" % (kind, to, text))

    def _elsewhere(self) -> None:
        """Requests to the focus in rooms one isn't in, and with answers nobody has asked for (M-1143)."""
        attacker = self.attacker
        if self.rng.random() < 0.5:
            self.ask("%s/focus" % self.rng.choice(("nowhere@" + self.stage.prosody.muc, self.stage.prosody.brewery)),
                     attacker.jingle("session-terminate", sid=self._any_sid()))
        else:
            attacker.send("<iq type='%s' id='1-%x' to='%s'/>" % (
                self.rng.choice(("result", "error")), self.rng.randrange(500), attacker.focus))

    def _anything(self) -> None:
        """A request that a template gives, from a real client."""
        kind, template = self.pool.draw(self.rng, self.rng.choice(SENDABLE))
        self._cast.inside = self._cast.attackers = [self.attacker]
        self._cast.speaker = self._cast.of(self.attacker)
        raw = template.fill(self._cast.value_of)
        try:
            payload = damage.payload_of(raw)
        except ValueError:
            payload = ""
        to = self.rng.choice((self.attacker.focus, self.attacker.focus, self.stage.focus.jid,
                              self.stage.focus.component_jid))
        self.ask(to, payload, self.rng.choice(("set", "set", "set", "get")))


#: by name: what is done, and which share of the stanzas it is
ATTACKS: Dict[str, Tuple[Callable[[Crowd], None], float]] = {
    "anything": (Crowd._anything, 0.35), "forged sources": (Crowd._forge, 0.15), "changes": (Crowd._change, 0.15),
    "many rooms": (Crowd._many_rooms, 0.1), "restarts": (Crowd._restart, 0.03), "presences": (Crowd._presences, 0.08),
    "coming and going": (Crowd._come_and_go, 0.02), "messages": (Crowd._messages, 0.06),
    "elsewhere": (Crowd._elsewhere, 0.06),
}
ROUND = 4000
"""Stanzas after which all attacks have had their turn, and everything is looked at."""


def run(count: int, seed: int, minutes: float = 25.0, pool: Optional[Pool] = None, checked: bool = False) -> Result:
    """A run of so many stanzas against a Prosody and a focus of its own."""
    pool = pool or Pool(seed, 500)
    with full_prosody() as prosody, FocusProcess(prosody, checked=checked) as focus:
        wait_usable(focus)
        with Stage(prosody, focus) as stage:
            return _play(stage, pool, count, seed, time.monotonic() + 60 * minutes)


def _play(stage: Stage, pool: Pool, count: int, seed: int, deadline: float) -> Result:
    focus = stage.focus
    began, pid = time.monotonic(), focus.pid
    log = LogReader(focus.log_file)
    memory: List[float] = []
    complaints: List[str] = []
    bridge = stage.bridge()
    crowd = Crowd(stage, pool, seed)
    try:
        while crowd.sent < count and time.monotonic() < deadline:
            share = min(ROUND, max(200, count - crowd.sent))
            for name, (_, part) in ATTACKS.items():
                crowd.attack(name, max(6, int(share * part)))
            crowd.spoof()
            fresh_call(stage)
            memory.append(focus.rss_mb())
    except AssertionError as error:
        complaints.append(str(error))
    seconds = time.monotonic() - began
    log.look()
    if not focus.running or focus.pid != pid:
        complaints.append("the focus has ended")
    lost = focus.log().count("XMPP connection closed on error")
    complaints += ["the stream has broken %d times" % lost] * bool(lost) + bridge.violations + log.complaints
    answers = dict(crowd.answers.most_common())
    return Result("prosody", {
        "stanzas": crowd.sent, "kinds": dict(crowd.kinds), "requests": crowd.requests, "answers": answers,
        "seconds": round(seconds, 1), "stanzas/s": round(crowd.sent / seconds), "rss MB": [round(m, 1) for m in memory],
        "cpu s": round(focus.cpu_seconds(), 1) if focus.running else None, "reconnects": lost,
        "attackers thrown out by the server": crowd.thrown_out, "requests of victims": len(crowd.latencies),
        "slowest answer to a victim s": round(max(crowd.latencies, default=0.0), 2),
        "expected errors in the log": dict(log.expected)}, complaints)


def fresh_call(stage: Stage) -> None:
    """Two new people meet in a new room and go."""
    one, other = stage.client(record=False), stage.client(record=False)
    stage.call(stage.room("fresh"), one, other)
    assert one.add_sources(media.audio_source(one.endpoint, 77, index=1)).get("type") == "result"
    other.wait_sources_of([one], 10)
    for client in (one, other):
        assert not client.violations and len(client.sessions) == 1, client.summary()
        client.leave()
        client.close()
