"""A conference under thousands of random events, against a strict bridge and clients that keep their own books.

Whatever comes, in whatever order: every request is answered once, what a client was told equals the table, a bridge
that nobody disturbs never has anything to refuse, nobody is left without an offer, and nothing stays behind.
"""
from __future__ import annotations

import itertools
import random
from typing import Any, Dict, List, NamedTuple, Optional, Set, Tuple

import pytest
from lxml import etree

from focus.conference import messages
from focus.conference.conference import Conference
from focus.conference.offer import Features
from focus.conference.signalling import seen
from focus.conference.state import ACTIVE, CREATING, ENDED, WAITING
from focus.stanzas.jingle_client import parse_offer, parse_source_update
from tests.support.bridge_model import BridgeModel, Refusal, Unparsable
from tests.support.harness import BRIDGE, ROOM, SECOND_BRIDGE, Scene, Stats, content

NICKS = ["a%07d" % number for number in range(6)]
BRIDGES = (BRIDGE, SECOND_BRIDGE, BRIDGE[:-1] + "3")
FEATURES = (
    Features(audio=True, video=True, sctp=True, rtx=True, tcc=True, json_sources=True),
    Features(audio=True, video=True, sctp=True, rtx=True, tcc=True, json_sources=True),
    Features(audio=True, video=True, sctp=True),
    Features(audio=True, json_sources=True),
    Features(audio=True, video=True, sctp=True, json_sources=True, ssrc_rewriting=True),
)
TRANSPORT = ("<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='u%s' pwd='p'><fingerprint "
             "xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256' setup='active'>AA:BB</fingerprint></transport>")
LATER_TRANSPORT = TRANSPORT.replace(" setup='active'", " required='true'")
"""What the client of early 2022 sends after its accept (J-566)."""
ERRORS = (("bad-request", ""), ("internal-server-error", ""), ("conflict", ""), ("service-unavailable", ""),
          ("item-not-found", "conference_not_found"), ("item-not-found", ""), ("resource-constraint", ""),
          ("service-unavailable", "graceful_shutdown"))


class Sent(NamedTuple):
    """A request of the conference that its peer still has to answer."""

    element: Any
    at: float
    conference: Any = None
    """The bridge's, found when the request was received."""


class Client:
    """What a participant's browser knows."""

    def __init__(self, nick: str, features: Features, real: str) -> None:
        self.nick = nick
        self.features = features
        self.real = real
        self.sid = ""
        self.bridge_session = ""
        self.accepted = False
        self.told: Dict[str, Set[int]] = {}
        self.own: List[Tuple[str, str]] = []
        """(media, sources as XML) of what it sends."""
        self.gave_up = False
        """It ended its session for good, or spoilt it."""
        self.open: List[Sent] = []


class Bridge:
    """A bridge with a queue: a request is judged on arrival and executed later (K-131, K-135, K-136)."""

    def __init__(self, jid: str, sctp: bool, relays: bool) -> None:
        self.jid = jid
        self.model = BridgeModel(sctp=sctp, relays=relays, nickname=jid[-4:])
        self.queue: List[Sent] = []

    def receive(self, sent: Sent) -> Sent:
        try:
            if not sent.element[0].tag.endswith("}conference-modify"):
                raise Refusal("service-unavailable")  # an element it doesn't know (K-114)
            return sent._replace(conference=self.model.receive(sent.element[0]))
        except Refusal as refusal:
            return sent._replace(conference=refusal)

    def is_expiry(self, sent: Sent) -> bool:
        """Of a whole conference."""
        return sent.element[0].get("expire") == "true"

    def execute(self, sent: Sent) -> Optional[str]:
        """The payload of the answer, None for silence. Raises Refusal."""
        if isinstance(sent.conference, Refusal):
            raise sent.conference
        return None if sent.conference.expired else self.model.execute(sent.conference, sent.element[0])

    def has(self, nick: str) -> Tuple[Set[int], str]:
        """SSRCs and ICE user fragment of an endpoint."""
        there = self.model.conferences["meeting-1"].endpoints[nick]
        return {ssrc for one in there.sources or () for ssrc in one.ssrcs}, there.remote_ufrag

    def forget(self, rng: random.Random) -> None:
        """Lose an endpoint or a conference without a word."""
        for meeting, conference in list(self.model.conferences.items()):
            if conference.endpoints and rng.random() < 0.5:
                self.model.forget(meeting, rng.choice(list(conference.endpoints)))
            else:
                self.model.expire(conference)


class World:
    """Scene, clients, bridges, and the dice."""

    nicks = NICKS
    relays = False
    """Whether a conference may use several bridges."""
    options: Dict[str, Any] = {}

    def __init__(self, seed: int, stormy: bool) -> None:
        self.rng = random.Random(seed)
        self.stormy = stormy
        self.clients: Dict[str, Client] = {}
        self.joining: Dict[str, Features] = {}
        self.numbers = itertools.count(1)
        self.bridges = {jid: self.new_bridge(jid, self.rng.random() < 0.5) for jid in BRIDGES}
        self.unanswered: Dict[str, str] = {}
        self.answers: Dict[str, str] = {}
        self.refusals: List[str] = []
        self.scene = Scene(bridges=0, **self.options)
        around = self.scene.around
        around = around._replace(discover=lambda room, info, jid: self.joining[jid[-8:]])
        self.scene.around = self.scene.conference._around = around
        self.mail: List[Any] = []
        self.wait: List[Sent] = []
        """Requests nobody will answer, for their deadline."""
        for jid in BRIDGES:
            self.usable(jid)

    def new_bridge(self, jid: str, sctp: bool) -> Any:
        return Bridge(jid, sctp, self.relays)

    # --- time ------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """Some things happen, then a turn, then everybody sees what was sent."""
        for _ in range(self.rng.choice((0, 1, 1, 2, 4))):
            self.rng.choice(self.events())()
        self.answer_some()
        self.turn()
        if self.rng.random() < 0.2:
            self.scene.restart()  # a later process has read it from the journal; nobody may notice
        self.pass_time(self.rng.choice((0.0, 0.01, 0.05, 0.3)))

    def turn(self) -> None:
        if self.mail:
            mail, self.mail = self.mail, []
            self.scene.mail(*mail)
        self.deliver()

    def pass_time(self, seconds: float) -> None:
        scene = self.scene
        end = scene.now + seconds
        for _ in range(1000):
            if scene.wake_at is None or scene.wake_at > end or scene.ended:
                break
            scene.now = max(scene.now, scene.wake_at)
            scene.mail(messages.Wake())
            self.deliver()
        else:
            raise AssertionError("a timer is due again and again")
        scene.now = end
        due = [sent for sent in self.wait if self.deadline(sent) <= end]
        self.wait = [sent for sent in self.wait if self.deadline(sent) > end]
        self.mail += [scene.timeout(sent.element) for sent in due]
        self.turn()

    def deadline(self, sent: Sent) -> float:
        seconds = self.scene.deadlines[sent.element.get("id")]
        return sent.at + (15.0 if seconds is None else seconds)

    # --- what the conference sends ---------------------------------------------------------------------------

    def deliver(self) -> None:
        for element in self.scene.take():
            to = element.get("to")
            if element.tag.endswith("presence"):
                continue
            if element.get("type") in ("result", "error"):
                iq_id = element.get("id")
                assert iq_id in self.unanswered, "answered twice, or never asked: %r" % etree.tostring(element)
                assert to == self.unanswered.pop(iq_id)
                self.answers[iq_id] = etree.QName(element.find("*")[0]).localname if len(element) else "result"
                continue
            sent = Sent(element, self.scene.now)
            if to in self.bridges:
                bridge = self.bridges[to]
                try:
                    bridge.queue.append(bridge.receive(sent))
                except Unparsable as error:
                    raise AssertionError("a request that no bridge can read: %s" % error) from None
            elif to == ROOM:
                self.mail.append(self.scene.answer(element))
            else:
                self.to_client(to.partition("/")[2], sent)

    def to_client(self, nick: str, sent: Sent) -> None:
        client = self.clients.get(nick)
        if client is None:
            self.mail.append(self.scene.answer(sent.element, "<error type='cancel'><item-not-found xmlns="
                                               "'urn:ietf:params:xml:ns:xmpp-stanzas'/></error>", type="error"))
            return
        client.open.append(sent)
        jingle = sent.element[0]
        action = jingle.get("action")
        if action == "session-initiate":
            assert not client.sid, "a second offer without an end of the first session (T-9)"
            offer = parse_offer(jingle)
            client.sid, client.bridge_session, client.accepted = offer.sid, offer.bridge_session_id, False
            client.told = {owner: set(owned.ssrcs()) for owner, owned in offer.sources.items() if owner != "jvb"}
            assert nick not in client.told
        elif jingle.get("sid") != client.sid:
            pass  # an echo of a session it has ended itself
        elif action == "session-terminate":
            client.sid = ""
        elif action == "source-add":
            for owner, owned in parse_source_update(jingle).sources.items():
                known = client.told.setdefault(owner, set())
                assert owner != nick and client.accepted
                assert not known & set(owned.ssrcs()), "told again"
                known.update(owned.ssrcs())
        elif action == "source-remove":
            for owner, owned in parse_source_update(jingle).sources.items():
                assert client.told.get(owner, set()) >= set(owned.ssrcs()), "removed what was never told"
                client.told[owner] -= set(owned.ssrcs())

    def answer_some(self, everybody: bool = False) -> None:
        """Clients and bridges answer some of what they were asked, each in order."""
        rng, scene = self.rng, self.scene
        for client in self.clients.values():
            while client.open and (everybody or rng.random() < 0.5):
                sent = client.open.pop(0)
                if not everybody and rng.random() < 0.1:
                    self.wait.append(sent)
                else:
                    self.mail.append(scene.answer(sent.element))
        for bridge in self.bridges.values():
            while bridge.queue and (everybody or rng.random() < 0.6 or scene.now - bridge.queue[0].at > 1.0):
                self.bridge_answers(bridge, bridge.queue.pop(0), everybody)

    def bridge_answers(self, bridge: Bridge, sent: Sent, faultless: bool) -> None:
        faulty = self.stormy and not faultless and not bridge.is_expiry(sent)
        if faulty and self.rng.random() < 0.03:
            name, reason = self.rng.choice(ERRORS)
            detail = "<error xmlns='jitsi:colibri2' reason='%s'/>" % reason if reason else ""
            self.mail.append(self.scene.answer(sent.element, "<error type='cancel'><%s xmlns="
                                               "'urn:ietf:params:xml:ns:xmpp-stanzas'/>%s</error>" % (name, detail),
                                               type="error"))
            return
        try:
            payload = None if faulty and self.rng.random() < 0.01 else bridge.execute(sent)
            if payload is None:
                self.refusals.append("silence: %s" % etree.tostring(sent.element).decode()[:300])
                self.wait.append(sent)  # its queue is closed (K-136)
                return
            self.mail.append(self.scene.answer(sent.element, payload))
        except Refusal as refusal:
            expected = "SCTP" in refusal.text or self.is_expected(refusal)
            if not expected and not bridge.is_expiry(sent):  # of what is gone already: its answer is ignored
                self.refusals.append("%s: %s" % (refusal, etree.tostring(sent.element).decode()[:300]))
            self.mail.append(self.scene.answer(sent.element, refusal.write(), type="error"))

    def is_expected(self, refusal: Refusal) -> bool:
        return False

    # --- what happens ----------------------------------------------------------------------------------------

    def events(self) -> List[Any]:
        chosen = [self.join, self.join, self.leave, self.come_back, self.accept, self.accept, self.accept, self.add,
                  self.add, self.remove, self.transport, self.end, self.restart, self.nonsense, self.again]
        if self.stormy:
            chosen += [self.lose, self.forget, self.ice_failed, self.usable, self.fall_silent]
        return chosen

    def anybody(self, with_session: bool = False) -> Optional[Client]:
        clients = [client for client in self.clients.values() if client.sid or not with_session]
        return self.rng.choice(clients) if clients else None

    def join(self, nick: str = "") -> None:
        absent = [nick] if nick else [nick for nick in self.nicks if nick not in self.clients]
        if not absent:
            return
        nick = self.rng.choice(absent)
        client = Client(nick, self.rng.choice(FEATURES), "%s@meet.example/%d" % (nick, next(self.numbers)))
        self.clients[nick] = client
        self.joining[nick] = client.features
        region = self.rng.choice(("jvb1", "jvb2", "jvb3"))
        role = "participant" if self.may_send(client) else "visitor"
        self.mail.append(self.scene.presence(nick, real=client.real, role=role, extra="<jitsi_participant_region>%s"
                                             "</jitsi_participant_region>" % region))
        self.turn()  # features are looked up by nickname

    def may_send(self, client: Client) -> bool:
        """Whether it isn't a visitor."""
        return client.nick[0] != "v"

    def leave(self, nick: str = "") -> None:
        if not nick and len(self.clients) <= 2:
            return
        client = self.clients.get(nick) or self.anybody()
        if client is None:
            return
        del self.clients[client.nick]
        self.mail.append(self.scene.presence(client.nick, type="unavailable", role="none", real=client.real))
        self.mail += [self.scene.timeout(sent.element) for sent in client.open]
        for other in self.clients.values():
            other.told.pop(client.nick, None)

    def come_back(self) -> None:
        client = self.anybody()
        if client is not None:
            self.leave(client.nick)
            self.join(client.nick)

    def ask(self, client: Client, action: str, inside: str, sid: str = "") -> str:
        iq_id = "c%d" % next(self.numbers)
        self.unanswered[iq_id] = "%s/%s" % (ROOM, client.nick)
        self.mail.append(self.scene.jingle(client.nick, action, inside, sid=sid or client.sid or "none", iq_id=iq_id))
        return iq_id

    def new_sources(self, client: Client) -> Tuple[str, str]:
        number = 1000000000 + 10 * next(self.numbers)
        kind = self.rng.choice(("audio", "video", "simulcast"))
        media = "audio" if kind == "audio" else "video"
        ssrcs = range(number, number + (6 if kind == "simulcast" else 1))
        xml = "".join(
            "<source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='%d' name='%s-%s%d'><parameter name='msid' "
            "value='%s-%d'/></source>" % (ssrc, client.nick, media[0], number, client.nick, number) for ssrc in ssrcs)
        if kind == "simulcast":
            for semantics, members in (("SIM", ssrcs[:3]), *(("FID", ssrcs[i::3]) for i in range(3))):
                xml += "<ssrc-group xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' semantics='%s'>%s</ssrc-group>" % (
                    semantics, "".join("<source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='%d'/>" % s
                                       for s in members))
        return media, xml

    def accept(self) -> None:
        client = self.anybody(with_session=True)
        if client is not None and not client.accepted:
            client.accepted = True
            client.own = [self.new_sources(client)] if self.may_send(client) and self.rng.random() < 0.8 else []
            transport = TRANSPORT % client.sid
            self.ask(client, "session-accept", content("audio", "", transport) + "".join(
                content(media, xml) for media, xml in client.own))
            if self.rng.random() < 0.3:
                self.ask(client, "transport-info", "<content name='0'>%s</content>" % (LATER_TRANSPORT % client.sid))

    def again(self) -> None:
        """A request that was delivered twice (J-527, T-27)."""
        client = self.anybody(with_session=True)
        if client is not None and client.accepted:
            self.ask(client, "session-accept", content("audio", "", TRANSPORT % client.sid))

    def add(self) -> None:
        client = self.anybody(with_session=True)
        if client is not None and client.accepted and len(client.own) < 3 and self.may_send(client):
            client.own.append(self.new_sources(client))
            self.ask(client, "source-add", content(*client.own[-1]))

    def remove(self) -> None:
        client = self.anybody(with_session=True)
        if client is not None and client.accepted and client.own:
            self.ask(client, "source-remove", content(*client.own.pop(self.rng.randrange(len(client.own)))))

    def transport(self) -> None:
        client = self.anybody(with_session=True)
        if client is not None:
            transport = LATER_TRANSPORT if client.accepted else TRANSPORT
            self.ask(client, "transport-info", "<content name='0'>%s</content>" % (transport % client.sid))

    def end(self) -> None:
        client = self.anybody(with_session=True)
        if client is not None and self.rng.random() < 0.3:
            self.ask(client, "session-terminate", "<reason><success/></reason>")
            client.sid, client.gave_up = "", True

    def restart(self) -> None:
        client = self.anybody(with_session=True)
        if client is None:
            return
        self.ask(client, "session-terminate", "<reason><connectivity-error/></reason><bridge-session xmlns="
                 "'http://jitsi.org/protocol/focus' id='%s' restart='true'/>" % client.bridge_session)
        client.sid = ""

    def ice_failed(self) -> None:
        client = self.anybody(with_session=True)
        if client is not None:
            self.ask(client, "session-info", "<ice-state xmlns='http://jitsi.org/protocol/focus'>failed</ice-state>"
                     "<bridge-session xmlns='http://jitsi.org/protocol/focus' id='%s'/>" % client.bridge_session)

    def nonsense(self) -> None:
        client = self.anybody()
        if client is None:
            return
        theirs = self.rng.choice(list(self.scene.state.sources.rows.values()) or [None])
        ssrc = theirs.sources[0].ssrc if theirs is not None else 0
        action, inside, sid = self.rng.choice((
            ("dance", "", ""), ("content-modify", "", ""), ("source-add", "", "nosuchsid"),
            ("source-remove", content("audio", "<source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='7'/>"), ""),
            ("source-add", content("audio", "<source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='%d'/>" % ssrc), ""),
            ("source-add", content("audio", "<source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='x'/>"), ""),
            ("transport-info", "", ""), ("session-info", "", "")))
        self.ask(client, action, inside, sid)

    # --- faults ----------------------------------------------------------------------------------------------

    def lose(self) -> None:
        """A bridge process goes, and another comes under the same name, with nothing in it."""
        bridge = self.bridges[self.rng.choice(BRIDGES)]
        for event in self.scene.bridges.gone(bridge.jid, "it left"):
            self.mail.append(messages.BridgeLost(event.bridge, event.reason))
        self.wait += bridge.queue
        self.turn()
        self.wait += bridge.queue
        self.bridges[bridge.jid] = self.new_bridge(bridge.jid, bridge.model.sctp)
        self.usable(bridge.jid)

    def usable(self, jid: str = "") -> None:
        jid = jid or self.rng.choice(BRIDGES)
        stats = Stats(stress_level=0.0, drain=False, version="2.3", region=jid[-4:],
                      relay_id=jid[-4:] if self.relays else None)
        self.scene.bridges.heard(jid, stats, None, self.scene.now)
        self.mail.append(messages.BridgeUsable(jid))

    def fall_silent(self) -> None:
        """A bridge isn't operational any more, and no event tells it (B-802)."""
        if self.rng.random() < 0.3:
            self.scene.bridges.failed(self.rng.choice(BRIDGES), "silent", self.scene.now)

    def forget(self) -> None:
        self.bridges[self.rng.choice(BRIDGES)].forget(self.rng)

    # --- the rules -------------------------------------------------------------------------------------------

    def check(self) -> None:
        state = self.scene.state
        assert self.relays or len(state.bridges) <= 1, "a conference on two bridges that don't know each other"
        for bridge in self.bridges.values():
            assert self.stormy or not bridge.model.violations, bridge.model.violations
        if not self.stormy:
            assert not self.refusals
            assert all(bridge.failed_at is None for bridge in self.scene.bridges), "a healthy bridge was blamed"
        for session in state.bridges.values():
            waits = [session.expiring[row.id] for row in session.endpoints.values()
                     if not row.asked and row.id in session.expiring]
            if session.bridge in state.clearing and session.endpoints:
                waits.append(state.clearing[session.bridge].until)
            if session.phase != CREATING and waits:
                assert state.timers.get("bridges", 1e9) <= min(waits) + 1e-6, "a creation waits longer than 2 s"
        if any(participant.phase == WAITING for participant in state.participants.values()):
            assert "retry" in state.timers
        assert len(state.log.changes) < 3000 and len(state.requests) < 2000

    def settle(self) -> None:
        """No more faults; clients accept what they are offered and answer; after some minutes all must be well."""
        for round_ in range(60):
            for client in self.clients.values():
                if client.sid and not client.accepted:
                    client.accepted, client.own = True, [self.new_sources(client)] if self.may_send(client) else []
                    self.ask(client, "session-accept", content("audio", "", TRANSPORT % client.sid)
                             + "".join(content(*own) for own in client.own))
            self.answer_some(everybody=True)
            self.turn()
            if round_ % 3 == 0:
                for jid in self.bridges:
                    self.usable(jid)
                for event in self.scene.bridges.recovered(self.scene.now):
                    self.mail.append(messages.BridgeUsable(event.bridge))
            self.pass_time(5.0 if self.stormy else 0.5)
        state = self.scene.state
        assert not self.unanswered, "never answered: %s" % self.unanswered
        for nick, client in self.clients.items():
            participant = state.participants[nick]
            if participant.phase == ENDED:
                continue  # by its own will, its own fault, or after five attempts
            assert participant.phase == ACTIVE, "%s is left %s" % (nick, participant.phase)
            assert participant.sid == client.sid
            expected = {owner: set(seen(owned, client.features.audio, client.features.video, True).ssrcs())
                        for owner, owned in state.sources.items() if owner != nick}
            told = {owner: ssrcs for owner, ssrcs in client.told.items() if ssrcs}
            session = next(session for session in state.bridges.values() if nick in session.endpoints)
            if client.features.ssrc_rewriting and session.dialect == 2:
                assert not told
            else:
                assert told == {owner: ssrcs for owner, ssrcs in expected.items() if ssrcs}
            known, ufrag = self.bridges[session.bridge].has(nick)
            assert known == set(state.sources.get(nick).ssrcs())
            assert ufrag == "u%s" % client.sid

    def play(self) -> None:
        """The whole of it: things happen, all settles, and everybody leaves."""
        if self.go_on():
            self.finish()

    def go_on(self) -> bool:
        """Things happen, and all settles; whether the conference is still there."""
        for _ in range(150):
            self.step()
            self.check()
            if self.scene.ended:
                return False
        self.settle()
        return True

    def finish(self) -> None:
        """All leave: nothing is left anywhere."""
        for nick in list(self.clients):
            self.leave(nick)
        for _ in range(40):
            self.answer_some(everybody=True)
            self.turn()
            self.pass_time(5.0)
        assert self.scene.ended
        for bridge in self.bridges.values():
            assert not bridge.model.leaks()
        for jid in self.bridges:
            pooled = self.scene.bridges.get(jid)
            assert pooled is not None and pooled.endpoints == 0 and pooled.conferences == 0


@pytest.fixture(autouse=True)
def _no_fault_in_a_turn(monkeypatch):
    """A turn that raises would only be logged."""
    original = Conference._attempt

    def attempt(self, mail):
        assert original(self, mail), "a turn failed"
        return True
    monkeypatch.setattr(Conference, "_attempt", attempt)


@pytest.mark.parametrize("stormy", [False, True], ids=["calm", "stormy"])
@pytest.mark.parametrize("seed", range(20))
def test_random_events(seed: int, stormy: bool) -> None:
    world = World(seed, stormy)
    world.play()

