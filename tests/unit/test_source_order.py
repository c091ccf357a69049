"""What receivers hear of each other's sources, under random events: in order, once, only what they may, and all of it.

Each simulated client keeps nothing but what it was told, in the order in which it was told, and is as unforgiving as
can be: it fails on a source that it has already or doesn't have, on its own, on those of somebody who isn't there, on
a medium that it has no feature for, on layers of simulcast, and on updates of a session that it doesn't have. In the
end everybody must know exactly what the others have been told to be accepted.

Room and focus are in step here: the focus hears of a leave before it sends anything else. (In life a source-add that
crosses a leave reaches clients after it; only the room could prevent that.)
"""
from __future__ import annotations

import itertools
import random
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Set, Tuple

import pytest
from lxml import etree

from focus.conference import messages
from focus.conference.offer import Features
from tests.support import media
from tests.support.harness import (
    BRIDGE,
    CLIENT_TRANSPORT,
    COLIBRI,
    ROOM,
    SECOND_BRIDGE,
    Scene,
    Stats,
    colibri_error,
    content,
    endpoint_of,
)
from tests.support.media import NOTHING, MediaSource, Sources

NICKS = ["a%07d" % number for number in range(6)]
FOCUS_NS = "http://jitsi.org/protocol/focus"
JITMEET_JSON = "{http://jitsi.org/jitmeet}json-message"
ICE_UDP = "{urn:xmpp:jingle:transports:ice-udp:1}transport"
RESTARTED = "<transport><transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='u' pwd='p'%s/></transport>"
SSMA_SOURCE = "{urn:xmpp:jingle:apps:rtp:ssma:0}source"


class Kind(NamedTuple):
    """A sort of client."""

    features: Features
    named: bool = True
    """Whether it names its sources."""
    role: str = "participant"
    sends: Tuple[str, ...] = ("mic", "camera", "screen", "flat", "mic2")


KINDS = (
    Kind(Features(audio=True, video=True, sctp=True, rtx=True, tcc=True, json_sources=True)),  # today's web client
    Kind(Features(audio=True, video=True, sctp=True), named=False, sends=("mic", "camera")),  # one of early 2022
    Kind(Features(audio=True, json_sources=True), sends=("mic", "mic2")),  # without video
    Kind(Features(audio=True), sends=("mic",)),  # a telephone gateway
    Kind(Features(video=True, json_sources=True), sends=("camera", "screen")),
    Kind(Features(audio=True, video=True, json_sources=True, ssrc_rewriting=True)),
    Kind(Features(audio=True, video=True, json_sources=True), sends=()),  # a recorder, or someone who only listens
    Kind(Features(audio=True, video=True, json_sources=True), role="visitor", sends=()),
)
PACES = ("prompt", "prompt", "prompt", "slow", "slow", "mute", "never")
"""How a client answers: at once, some time, never a request of ours, or not even the offer."""


def piece(nick: str, what: str, generation: int, named: bool) -> Sources:
    """One thing to send; the same generation of the same nickname has the same SSRCs."""
    base = 1000000000 + 10000 * NICKS.index(nick) + 100 * generation
    if what in ("mic", "mic2"):
        index = 1 if what == "mic2" else 0
        return media.audio_source(nick, base + index, index=index, named=named)
    if what == "flat":
        return media.video_source(nick, base + 30, index=2, layers=1, named=named)
    is_screen = what == "screen"
    return media.video_source(nick, base + (20 if is_screen else 10), index=1 if is_screen else 0, named=named,
                              desktop=is_screen)


def with_default_names(nick: str, sources: Sources) -> Sources:
    """As others are told (J-422)."""
    return Sources(frozenset(s if s.name else s._replace(name="%s-%s0" % (nick, s.media[0])) for s in sources.sources),
                   sources.groups)


class Sent(NamedTuple):
    """A request of a client that isn't answered yet."""

    sid: str
    action: str
    sources: Sources


class Client:
    """A browser: its session, its own sources, and what it was told of others'."""

    def __init__(self, world: World, nick: str, kind: Kind, pace: str, present: Set[str]) -> None:
        self.world = world
        self.nick = nick
        self.kind = kind
        self.pace = pace
        self.present = present
        """Who is in the room, as far as it has seen."""
        self.sid = self.bridge_session = ""
        self.has_accepted = self.is_replaced = False
        self.generation = 0
        """Of its ICE credentials at the bridge."""
        self.closed: Set[str] = set()
        """Sessions it has ended itself."""
        self.known: Dict[str, Sources] = {}
        self.own = NOTHING
        """What of its own was accepted."""
        self.planned: List[Sources] = []
        """What it has asked for, or is going to have."""
        self.requests: Dict[str, Sent] = {}
        self.inbox: List[Callable[[], None]] = []

    def read_all(self) -> None:
        """Handle what has come, in order."""
        while self.inbox:
            self.inbox.pop(0)()

    # --- the room --------------------------------------------------------------------------------------------

    def joined(self, nick: str) -> None:
        self.present.add(nick)

    def left(self, nick: str) -> None:
        self.present.discard(nick)
        self.known.pop(nick, None)  # J-1004

    # --- what the focus says ---------------------------------------------------------------------------------

    def asked(self, iq: Any) -> None:
        """A request of the focus."""
        jingle = iq[0]
        action, sid = jingle.get("action"), jingle.get("sid")
        refusal = ""
        if action == "session-initiate":
            assert not self.sid, "a second session beside the first (T-9)"
            self.sid, self.is_replaced = sid, False
            self.offered(iq)
        elif sid != self.sid:
            assert sid in self.closed, "%s in a session that it doesn't have" % action
            refusal = colibri_error("item-not-found")
        elif action == "session-terminate":
            self.session_over()
        elif action == "transport-replace":
            assert self.world.replaces, "current clients don't understand it (T-19)"
            self.is_replaced = True
            self.known.clear()
            self.offered(iq)
        elif action == "transport-info":
            self.generation += 1
            assert next(jingle.iter(ICE_UDP)).get("ice-generation") == str(self.generation)
        else:
            assert action in ("source-add", "source-remove"), action
            assert self.has_accepted or self.is_replaced, "%s before the accept (J-717)" % action
            assert not self.kind.features.ssrc_rewriting, "%s with SSRC rewriting (J-721)" % action
            self.world.updates += 1
            self.told_of(iq, added=action == "source-add")
        if self.pace in ("prompt", "slow"):
            self.world.mail.append(self.world.scene.answer(iq, refusal, "error" if refusal else "result"))

    def offered(self, iq: Any) -> None:
        """A whole offer: of a new session, or within the old one (J-816)."""
        self.has_accepted, self.generation = False, 0
        self.bridge_session = iq[0].find("{%s}bridge-session" % FOCUS_NS).get("id")
        assert not self.known
        self.told_of(iq, added=True)
        assert "jvb" in self.known, "an offer without the bridge's own sources (T-3)"

    def told_of(self, iq: Any, added: bool) -> None:
        features = self.kind.features
        others = media.read_sources(etree.tostring(iq), lambda: iq)
        assert (next(iq.iter(JITMEET_JSON), None) is not None) == features.json_sources, "J-401"
        assert not features.json_sources or next(iq.iter(SSMA_SOURCE), None) is None, "J-401"
        assert others, "an update about nothing"
        for owner, sources in others.items():
            self.check(owner, sources)
            known = self.known.get(owner, NOTHING)
            if added:
                everybodys = {source.ssrc for one in self.known.values() for source in one.sources}
                assert not everybodys & {source.ssrc for source in sources.sources}, "told again"
                assert not known.groups & sources.groups, "a group is told again"
                self.known[owner] = known.plus(sources)
            else:
                assert sources.sources <= known.sources, "removes what was never told, or told otherwise"
                assert sources.groups <= known.groups, "removes a group that was never told"
                self.known[owner] = Sources(known.sources - sources.sources, known.groups - sources.groups)
            ssrcs = {source.ssrc for source in self.known[owner].sources}
            assert all(ssrcs.issuperset(group.ssrcs) for group in self.known[owner].groups), "a group of strangers"
            if not self.known[owner]:
                del self.known[owner]

    def check(self, owner: str, sources: Sources) -> None:
        features = self.kind.features
        assert owner != self.nick, "its own sources (J-720)"
        assert sources, "an owner without anything (J-731)"
        assert owner == "jvb" or owner in self.present, "sources of somebody who isn't there"
        assert owner == "jvb" or not features.ssrc_rewriting, "J-362"
        told = {one.media for one in sources.sources} | {one.media for one in sources.groups}
        assert features.audio or "audio" not in told, "a medium it can't receive (J-731, T-8)"
        assert features.video or "video" not in told, "a medium it can't receive (J-731, T-8)"
        assert not self.world.strips or all(group.semantics != "SIM" for group in sources.groups), "J-741, T-6"
        assert all(source.name and source.msid for source in sources.sources), "T-12"
        assert owner == "jvb" or all(source.name.startswith(owner + "-") for source in sources.sources if source.name)

    def answered(self, iq_id: str, error: str) -> None:
        """An answer of the focus."""
        sent = self.requests.pop(iq_id)
        if sent.sid != self.sid:
            return  # of a session that is over
        if sent.action == "session-accept" and error:
            self.closed.add(self.sid)
            self.session_over()
        elif not error and sent.action in ("session-accept", "source-add"):
            self.own = self.own.plus(sent.sources)
        elif not error and sent.action == "source-remove":
            self.own = self.own.minus(sent.sources)

    def session_over(self) -> None:
        self.sid = ""
        self.known.clear()
        self.own, self.planned = NOTHING, []

    # --- what it does ----------------------------------------------------------------------------------------

    def ask(self, action: str, inside: str, sources: Sources = NOTHING) -> None:
        iq_id = self.world.ask(self.nick, action, inside + media.update_contents(sources), self.sid)
        self.requests[iq_id] = Sent(self.sid, action, sources)

    def piece(self, what: str = "") -> Optional[Sources]:
        """Something that it doesn't send yet."""
        rng = self.world.rng
        if not self.kind.sends:
            return None
        found = piece(self.nick, what or rng.choice(self.kind.sends), rng.choice((0, 0, 1)), self.kind.named)
        msids = {source.msid for one in self.planned for source in one.sources}
        names = {source.name for one in self.planned for source in one.sources if self.kind.named}
        taken = any(s.msid in msids or s.name in names for s in found.sources)
        return None if taken or len(self.planned) > 2 else found

    def accept(self) -> None:
        """Accept with some sources or none."""
        if self.is_replaced:
            self.has_accepted = True
            self.ask("transport-accept", content("audio", "", CLIENT_TRANSPORT))
            return
        first = [one for one in (self.piece(), self.piece()) if one is not None]
        sources = NOTHING
        for one in first[:self.world.rng.choice((0, 1, 1, 2))]:
            ssrcs = {(s.name, s.ssrc) for s in sources.sources}
            if not {s.ssrc for s in one.sources} & {ssrc for _, ssrc in ssrcs} and not (
                    {s.name for s in one.sources} & {name for name, _ in ssrcs}):
                sources = sources.plus(one)
                self.planned.append(one)
        self.has_accepted = True
        self.ask("session-accept", content("audio", "", CLIENT_TRANSPORT), sources)

    def add(self) -> None:
        """Also before the accept (J-532)."""
        new = self.piece()
        if new is not None:
            self.planned.append(new)
            self.ask("source-add", "", new)

    def remove(self) -> Optional[Sources]:
        if not self.planned:
            return None
        gone = self.planned.pop(self.world.rng.randrange(len(self.planned)))
        self.ask("source-remove", "", gone)
        return gone

    def replace(self) -> None:
        """The same name with other SSRCs (J-716)."""
        gone = self.remove()
        if gone is not None:
            shifted = shift(gone)
            self.planned.append(shifted)
            self.ask("source-add", "", shifted)

    def end(self, restart: bool) -> None:
        self.ask("session-terminate", "<reason><success/></reason>" + self.bridge_session_element(
            "restart='%s'" % str(restart).lower()))
        self.closed.add(self.sid)
        self.session_over()

    def bridge_session_element(self, attributes: str) -> str:
        return "<bridge-session xmlns='%s' id='%s' %s/>" % (FOCUS_NS, self.bridge_session, attributes)


def shift(sources: Sources) -> Sources:
    """The same with other SSRCs."""
    return Sources(frozenset(s._replace(ssrc=s.ssrc + 5000, msid="%s-again" % s.msid) for s in sources.sources),
                   frozenset(g._replace(ssrcs=tuple(ssrc + 5000 for ssrc in g.ssrcs)) for g in sources.groups))


class World:
    """The scene, its clients, and the dice."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.strips, self.replaces = seed % 4 != 3, seed % 5 == 4
        self.scene = Scene(bridges=2, visitors_enabled="true", strip_simulcast=str(self.strips).lower(),
                           reinvite_method="ReplaceTransport" if self.replaces else "RestartJingle",
                           source_signaling_delays="3: 300 ms, 5: 700 ms" if seed % 2 else "")
        self.features: Dict[str, Features] = {}
        around = self.scene.around._replace(discover=lambda room, info, jid: self.features[jid.rpartition("/")[2]])
        self.scene.around = self.scene.conference._around = around
        self.clients: Dict[str, Client] = {}
        self.mail: List[Any] = []
        self.at_bridges: List[Any] = []
        self.numbers = itertools.count(1)
        self.unanswered: Dict[str, Client] = {}
        self.updates = 0

    # --- turns and deliveries --------------------------------------------------------------------------------

    def ask(self, nick: str, action: str, inside: str, sid: str) -> str:
        iq_id = "c%d" % next(self.numbers)
        self.unanswered[iq_id] = self.clients[nick]
        self.mail.append(self.scene.jingle(nick, action, inside, sid=sid, iq_id=iq_id))
        return iq_id

    def turn(self) -> None:
        while self.mail:
            mail, self.mail = self.mail, []
            self.scene.mail(*mail)
            self.deliver()

    def deliver(self) -> None:
        """Everything goes where it is to go, in the order in which it was sent."""
        for element in self.scene.take():
            to, nick = element.get("to"), element.get("to").rpartition("/")[2]
            if element.tag.endswith("presence"):
                continue
            if element.get("type") in ("result", "error"):
                self.deliver_answer(element)
            elif to in (BRIDGE, SECOND_BRIDGE):
                self.at_bridges.append(element)
            elif to == ROOM:
                self.mail.append(self.scene.answer(element))
            elif nick in self.clients:
                client = self.clients[nick]
                client.inbox.append(lambda client=client, iq=element: client.asked(iq))  # type: ignore[misc]
            else:
                self.mail.append(self.scene.answer(element, colibri_error("item-not-found"), "error"))
        for client in self.clients.values():
            if client.pace != "slow" or self.rng.random() < 0.2:
                client.read_all()

    def deliver_answer(self, element: Any) -> None:
        client = self.unanswered.pop(element.get("id"))  # a second answer isn't expected any more
        error = etree.QName(element[0][0]).localname if len(element) else ""
        client.inbox.append(lambda: client.answered(element.get("id"), error))

    def bridges_answer(self, everything: bool = False) -> None:
        """Properly, but for an endpoint that the bridge has forgotten."""
        while self.at_bridges and (everything or self.rng.random() < 0.8):
            request = self.at_bridges.pop(0)
            endpoint = endpoint_of(request)
            is_update = request[0].get("expire") is None and endpoint is not None and not (
                {"create", "expire"} & set(endpoint.attrib))
            if is_update and not everything and self.rng.random() < 0.05:
                self.mail.append(self.scene.answer(request, colibri_error(
                    "item-not-found", "unknown_endpoint", endpoint.get("id")), "error"))
            elif request.find(".//*[@ice-restart='true']") is not None:
                self.ice_restarted(request, endpoint.get("id"))
            else:
                self.mail.append(self.scene.proper_answer(request))

    def ice_restarted(self, request: Any, nick: str) -> None:
        """The bridge has new credentials, or needs none, or refuses; the answers of one endpoint are numbered."""
        client = self.clients.get(nick)
        how = self.rng.choice(("new", "new", "none", "refused"))
        if client is None or client.pace == "slow":
            how = "none"  # its answers are numbered by what it has read
        generation = " ice-generation='%d'" % (client.generation + 1) if client is not None and how == "new" else ""
        transport = "" if how == "refused" else RESTARTED % generation
        self.mail.append(self.scene.answer(
            request, "<conference-modified xmlns='%s'><endpoint id='%s'>%s</endpoint></conference-modified>" % (
                COLIBRI, nick, transport)))
        self.turn()

    def pass_time(self, seconds: float) -> None:
        scene = self.scene
        end = scene.now + seconds
        while scene.wake_at is not None and scene.wake_at <= end:
            scene.now = max(scene.now, scene.wake_at)
            self.mail.append(messages.Wake())
            self.turn()
        scene.now = end

    # --- events ----------------------------------------------------------------------------------------------

    def step(self) -> None:
        rng = self.rng
        for _ in range(rng.choice((1, 1, 2, 4))):
            rng.choices((self.accept, self.change, self.join, self.leave, self.come_back, self.hand_over,
                         self.repeat_accept, self.steal, self.restart, self.end, self.lose_bridge, self.ice_failed,
                         self.restart_ice), (10, 12, 3, 1, 2, 2, 1, 1, 1, 1, 1, 1, 1))[0]()
        self.bridges_answer()
        self.turn()
        if rng.random() < 0.1:
            self.scene.restart()
        self.pass_time(rng.choice((0.0, 0.05, 0.3, 0.3, 1.1)))

    def somebody(self, accepted: Optional[bool] = None) -> Optional[Client]:
        found = [client for client in self.clients.values()
                 if accepted is None or (client.sid and client.has_accepted == accepted)]
        return self.rng.choice(found) if found else None

    def join(self, nick: str = "") -> None:
        absent = [nick] if nick else [nick for nick in NICKS if nick not in self.clients]
        if not absent:
            return
        nick = self.rng.choice(absent)
        self.turn()  # features are found by nickname
        kind = self.rng.choice(KINDS)
        self.features[nick] = kind.features
        for other in self.clients.values():
            other.inbox.append(lambda other=other: other.joined(nick))  # type: ignore[misc]
        self.clients[nick] = Client(self, nick, kind, self.rng.choice(PACES), {*self.clients})
        self.mail.append(self.scene.presence(nick, role=kind.role, real="%s@meet.example/%d" % (
            nick, next(self.numbers))))

    def leave(self, client: Optional[Client] = None) -> None:
        client = client or (self.somebody() if len(self.clients) > 3 and self.rng.random() < 0.5 else None)
        if client is None:
            return
        del self.clients[client.nick]
        for other in self.clients.values():
            other.inbox.append(lambda other=other: other.left(client.nick))  # type: ignore[misc]
        self.mail.append(self.scene.presence(client.nick, "unavailable", "none"))

    def come_back(self) -> None:
        """The same nickname, and the same SSRCs, perhaps with another client; rather one that has lost its session."""
        lost = [client for client in self.clients.values() if client.closed and not client.sid]
        client = self.rng.choice(lost) if lost else self.somebody()
        if client is not None:
            self.leave(client)
            self.join(client.nick)

    def accept(self) -> None:
        client = self.somebody(accepted=False)
        if client is not None and client.pace != "never":
            client.accept()

    def change(self) -> None:
        client = self.somebody()
        if client is not None and client.sid:
            self.rng.choice((client.add, client.add, client.remove, client.replace))()

    def hand_over(self) -> None:
        """An SSRC goes from one to another."""
        one, other = self.somebody(accepted=True), self.somebody(accepted=True)
        if one is not None and other is not None and one is not other and other.kind.named and other.kind.sends:
            gone = one.remove()
            if gone is not None and all(s.media == "audio" for s in gone.sources):
                (source,) = gone.sources
                new = Sources(frozenset([MediaSource(source.ssrc, "audio", other.nick + "-a7",
                                                     "%s-%d" % (other.nick, next(self.numbers)))]), frozenset())
                other.planned.append(new)
                other.ask("source-add", "", new)

    def steal(self) -> None:
        """An SSRC that another has: refused, and nothing of it is ever told."""
        one, other = self.somebody(accepted=True), self.somebody()
        if one is not None and other is not None and one is not other and other.own.sources and one.kind.sends:
            source = self.rng.choice(sorted(other.own.sources))
            one.ask("source-add", "", Sources(frozenset([source._replace(
                name="%s-%s8" % (one.nick, source.media[0]), msid="stolen-%d" % next(self.numbers))]), frozenset()))

    def repeat_accept(self) -> None:
        client = self.somebody(accepted=True)
        if client is not None:
            client.requests[self.ask(client.nick, "session-accept", media.update_contents(client.own), client.sid)] = (
                Sent("", "session-accept", NOTHING))

    def restart(self) -> None:
        client = self.somebody(accepted=True)
        if client is not None:
            client.end(restart=True)

    def end(self) -> None:
        client = self.somebody(accepted=True)
        if client is not None and self.rng.random() < 0.3:
            client.end(restart=False)

    def restart_ice(self) -> None:
        client = self.somebody(accepted=True)
        if client is not None:
            client.ask("session-info", client.bridge_session_element("ice-restart='true'"))

    def ice_failed(self) -> None:
        client = self.somebody(accepted=True)
        if client is not None:
            client.ask("session-info", "<ice-state xmlns='%s'>failed</ice-state>%s" % (
                FOCUS_NS, client.bridge_session_element("")))

    def lose_bridge(self) -> None:
        if self.rng.random() < 0.3:
            jid = self.rng.choice((BRIDGE, SECOND_BRIDGE))
            self.mail += [messages.BridgeLost(event.bridge, event.reason)
                          for event in self.scene.bridges.gone(jid, "gone")]
            self.turn()
            self.scene.bridges.heard(jid, Stats(stress_level=0.0, drain=False, version="2.3"), None, self.scene.now)
            self.mail.append(messages.BridgeUsable(jid))

    # --- the end ---------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """No more events: all requests are answered, offers accepted but by those who never do, and time passes."""
        for _ in range(20):
            for client in list(self.clients.values()):
                client.read_all()
                if client.sid and not client.has_accepted and client.pace != "never":
                    client.accept()
            self.bridges_answer(everything=True)
            self.turn()
            self.pass_time(4.0)

    def check_knowledge(self) -> None:
        truth = {nick: with_default_names(nick, client.own) for nick, client in self.clients.items() if client.own}
        if self.strips:
            truth = {nick: sources.stripped() for nick, sources in truth.items()}
        for client in self.clients.values():
            assert not client.requests, "unanswered: %s" % client.requests
            if client.sid and client.has_accepted:
                known = {owner: sources for owner, sources in client.known.items() if owner != "jvb"}
                features = client.kind.features
                may_know = {nick: sources.only(audio=features.audio, video=features.video)
                            for nick, sources in truth.items() if nick != client.nick and not features.ssrc_rewriting}
                assert known == {nick: sources for nick, sources in may_know.items() if sources}


@pytest.mark.parametrize("seed", range(20))
def test_everybody_knows_the_truth_in_the_end(seed: int) -> None:
    """J-361, J-362, J-365, J-366, J-401, J-402, J-411, J-422, J-521, J-526, J-527, J-532, J-534, J-542, J-553, J-554,
    J-711 to J-722, J-731, J-741, J-811, J-814, J-1004, T-3, T-6, T-8, T-9, T-11, T-14, T-16, T-26.
    """
    world = World(seed)
    for _ in range(4):
        world.join()
    for _ in range(3):
        for _ in range(40):
            world.step()
        world.settle()
        world.check_knowledge()
    assert world.updates > 15, "nothing was tried"
