"""A conference without a network: its turns are run by hand, with a clock of the test's own.

What the conference sends is kept, parsed; what happens to it is given as XML, so the door is part of every test.
"""
from __future__ import annotations

import itertools
import json
from typing import Any, Dict, List, Optional

from lxml import etree

from focus.bridge.pool import Bridges
from focus.bridge.throttle import Throttle
from focus.conference import joining, messages
from focus.conference.conference import Conference
from focus.conference.offer import Features
from focus.conference.state import ConferenceState, Published, Request, read_state
from focus.conference.turn import Surroundings, Turn
from focus.config import load
from focus.journal.codec import CODEC
from focus.journal.rows import Ledger
from focus.log import context
from focus.stanzas.disco import focus_caps
from focus.stanzas.stanza import parse_stanza
from focus.tick import Floor, Mailbox
from focus.values.rooms import JoinOutcome
from focus.values.written import Written, text_of

ROOM = "standup@conference.meet.example"
FOCUS = "focus@auth.meet.example/focus"
BRIDGE = "jvbbrewery@internal.auth.meet.example/jvb1"
SECOND_BRIDGE = "jvbbrewery@internal.auth.meet.example/jvb2"
CLIENT_FEATURES = Features(audio=True, video=True, sctp=True, rtx=True, tcc=True, remb=True, json_sources=True)
JOINED = JoinOutcome(affiliation="owner", created=True, whois_anyone=True, meeting_id="meeting-1")

COLIBRI = "jitsi:colibri2"
JINGLE = "urn:xmpp:jingle:1"


class Stats:
    """Statistics of a bridge as the pool reads them."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(dict.fromkeys(
            ("stress_level", "average_participant_stress", "graceful_shutdown", "shutting_down", "drain", "version",
             "release", "region", "relay_id", "healthy", "current_timestamp", "colibri2")), **values)


class Scene:
    """One conference with everything around it scripted.

    ``options`` are configuration flags without the dashes, such as ``min_participants=1``; ``pool`` is that of other
    scenes too.
    """

    def __init__(self, bridges: int = 1, features: Optional[Features] = CLIENT_FEATURES, join: bool = True,
                 properties: Optional[Dict[str, str]] = None, pool: Optional[Bridges] = None,
                 **options: Any) -> None:
        options.setdefault("health_checks_enabled", "false")  # nobody asks the bridges here
        flags = ["--domain=meet.example"] + ["--%s=%s" % pair for pair in options.items()]
        self.config = load(flags, {})
        self.now = 1000.0
        self.up = True
        self.features = features
        self.sent: List[Any] = []
        """Elements sent and not yet looked at."""
        self.connections: List[str] = []
        self.deadlines: Dict[str, Optional[float]] = {}
        self.in_flight = 0
        """Requests that a bridge has to answer besides."""
        self.called: List[str] = []
        """Bridges that the conference may ask again."""
        self.lanes: List[Any] = []
        self.told: List[Any] = []
        """Bridge events for all conferences."""
        self.wake_at: Optional[float] = None
        self.bridges = Bridges.configured(self.config) if pool is None else pool
        for jid in (BRIDGE, SECOND_BRIDGE)[:bridges]:
            relay_id = jid.partition("/")[2] if self.config.octo_enabled else None
            self.bridges.heard(jid, Stats(stress_level=0.0, drain=False, version="2.3", relay_id=relay_id), None,
                               self.now)
        self._ids = itertools.count(1)
        self._next_accept = itertools.count(1)
        self._jingles = itertools.count(1)
        self.throttle = Throttle(self.config.max_requests_in_flight, lambda to: self.in_flight, lambda: self.now,
                                 self._call)
        around = Surroundings(
            config=self.config, codecs=self.config.codec, bridges=self.bridges, now=lambda: self.now,
            new_id=lambda: "f%d" % next(self._ids), send=self._send, expect=self._expect,
            discover=lambda room, info, jid: self.features, caps=focus_caps(), own_jid=lambda: FOCUS,
            connected=lambda: self.up, throttle=self.throttle,
            claim_meeting=lambda meeting, room: True, tell=self.told.append)
        self.state = ConferenceState(room=ROOM, number=1, created_at=self.now, properties=properties or {},
                                     published=Published("standup", {"support-terminate-restart": "true"}))
        self.journal: Dict[Any, Any] = {}
        """Rows as a journal has them: (kind, key) to order and bytes."""
        self.around = around
        self.conference = self._conference(self.state, Ledger(1, CODEC))
        begin = Turn(self.state, around, context(room=ROOM))
        joining.begin(begin)
        begin.release()
        self.lanes += begin.spawn
        self._commit()
        if join:
            self.lane_done(JOINED)
            self.sent.clear()

    # --- what the conference sees ----------------------------------------------------------------------------

    def _conference(self, state: ConferenceState, ledger: Ledger) -> Conference:
        return Conference(state, self.around, Mailbox(Floor()), context(room=ROOM),
                          lambda _, row: self.lanes.append(row), self._timer, lambda _: None, ledger)

    def _commit(self) -> None:
        """What a journal would be given now; it must be all there is, and readable."""
        ledger = self.conference.ledger
        for change in ledger.take():
            if change.value is None:
                self.journal.pop((change.kind, change.key), None)  # it may have come and gone since the last commit
            else:
                self.journal[change.kind, change.key] = (change.order, change.value)
        assert {(c.kind, c.key): c.value for c in ledger.recounted()} == {
            name: value for name, (_, value) in self.journal.items()}, "a row changed without being noted"

    def restored(self) -> ConferenceState:
        """The state as a later process would read it."""
        return self._read(Ledger(1, CODEC))

    def _read(self, ledger: Ledger) -> ConferenceState:
        stored: Dict[str, List[Any]] = {}
        for (kind, key), (order, value) in self.journal.items():
            stored.setdefault(kind, []).append((key, order, value))
        return read_state(ledger, stored)

    def restart(self) -> Scene:
        """From now on a later process has the conference."""
        ledger = Ledger(1, CODEC)
        self.state = self._read(ledger)
        self.conference = self._conference(self.state, ledger)
        self._commit()
        return self

    def _send(self, connection: str, stanza: Written) -> None:
        self.connections.append(connection)
        self.sent.append(etree.fromstring("<stream xmlns='jabber:client'>%s</stream>" % text_of(stanza))[0])

    def _expect(self, connection: str, request: Request, room: str, seconds: Optional[float]) -> None:
        self.deadlines[request.id] = seconds

    def _call(self, room: str, bridge: str) -> bool:
        self.called.append(bridge)
        return True

    def _timer(self, _: Conference, when: Optional[float]) -> None:
        self.wake_at = when

    @property
    def ended(self) -> bool:
        return self.conference.is_over

    # --- what happens to it ----------------------------------------------------------------------------------

    def mail(self, *mail: Any) -> Scene:
        """One turn over these messages."""
        self.conference.turn(list(mail))
        self._commit()
        return self

    def pass_time(self, seconds: float) -> Scene:
        """Let time pass, waking the conference at each timer on the way."""
        end = self.now + seconds
        while self.wake_at is not None and self.wake_at <= end and not self.ended:
            self.now = max(self.now, self.wake_at)
            self.mail(messages.Wake())
        self.now = end
        return self

    def lane_done(self, outcome: Any) -> Scene:
        """The oldest running lane ends."""
        return self.mail(messages.LaneDone(self.lanes.pop(0).id, outcome))

    def ask(self, iq_id: str = "q1", connection: str = "client", sender: str = "anna@meet.example/x7",
            **properties: str) -> Scene:
        iq = stanza("<iq type='set' id='%s' from='%s' to='focus.meet.example'><conference "
                    "xmlns='http://jitsi.org/protocol/focus' room='%s'/></iq>" % (iq_id, sender, ROOM))
        return self.mail(messages.Asked(connection, iq, properties))

    def presence(self, nick: str, type: str = "", role: str = "participant", affiliation: str = "none",
                 extra: str = "", real: Optional[str] = None, codes: str = "") -> messages.RoomPresence:
        """A presence message of an occupant."""
        return messages.RoomPresence(stanza(
            "<presence from='%s/%s'%s>%s<x xmlns='http://jabber.org/protocol/muc#user'><item jid='%s' "
            "affiliation='%s' role='%s'/>%s</x></presence>" % (
                ROOM, nick, " type='%s'" % type if type else "", extra, real or "%s@meet.example/r" % nick,
                affiliation, role, "".join("<status code='%s'/>" % code for code in codes.split()))))

    def join(self, *nicks: str) -> Scene:
        """These join, in one turn."""
        return self.mail(*[self.presence(nick, extra="<stats-id>S-%s</stats-id>" % nick) for nick in nicks])

    def leave(self, *nicks: str) -> Scene:
        return self.mail(*[self.presence(nick, type="unavailable", role="none") for nick in nicks])

    def answer(self, request: Any, payload: str = "", type: str = "result") -> messages.Answered:
        """The answer to a request of ours."""
        return messages.Answered(request.get("id"), stanza("<iq type='%s' id='%s' from='%s'>%s</iq>" % (
            type, request.get("id"), request.get("to"), payload)))

    def give_up_silent(self) -> Scene:
        """Who doesn't answer service discovery is no longer waited for: our server has answered two pings (U-47)."""
        for seconds in (4, 1):
            self.pass_time(seconds)
            self.mail(self.answer(self.one("ping")))
        return self

    def timeout(self, request: Any) -> messages.Answered:
        return messages.Answered(request.get("id"), None)

    def jingle(self, nick: str, action: str, content: str = "", sid: Optional[str] = None, iq_id: str = "",
               type: str = "set") -> messages.JingleReceived:
        """A Jingle request of an occupant, in its current session unless another sid is given."""
        if sid is None:
            sid = self.state.participants[nick].sid
        return messages.JingleReceived(stanza(
            "<iq type='%s' id='%s' from='%s/%s'><jingle xmlns='%s' action='%s' sid='%s'>%s</jingle></iq>" % (
                type, iq_id or "j%d" % next(self._jingles), ROOM, nick, JINGLE, action, sid, content)))

    # --- looking at what was sent ----------------------------------------------------------------------------

    def take(self, kind: str = "", to: str = "") -> List[Any]:
        """What was sent of a kind (a payload's name, a Jingle action, or a stanza's name), removing it."""
        found = [el for el in self.sent if kind in ("", *kinds(el)) and to in ("", el.get("to"))]
        self.sent = [el for el in self.sent if el not in found]
        return found

    def one(self, kind: str = "", to: str = "") -> Any:
        """The only one of its kind."""
        found = self.take(kind, to)
        if len(found) != 1:
            raise AssertionError("%d of %r, not one; left: %s" % (
                len(found), kind, [etree.tostring(el)[:300] for el in found or self.sent]))
        return found[0]

    def allocated(self, request: Any, sctp: bool = True) -> messages.Answered:
        """The bridge's proper answer to a request that creates an endpoint."""
        endpoint = request.find(".//{%s}endpoint" % COLIBRI)
        asked_sctp = endpoint.find(".//{%s}sctp" % COLIBRI) is not None
        return self.answer(request, ALLOCATED % (
            endpoint.get("id"), endpoint.get("id"), "<sctp port='5000' role='server'/>" if asked_sctp and sctp else ""))

    def bring_in(self, *nicks: str, accept: bool = True) -> Scene:
        """Join, allocation, offer and acceptance of several, every request answered, all stanzas thrown away."""
        self.join(*nicks).settle()
        if accept:
            self.mail(*[self.accept(nick) for nick in nicks if self.state.participants[nick].phase == "offered"])
        return self.settle()

    def settle(self) -> Scene:
        """Bridge, clients and room answer everything as they should, until there is nothing more to answer."""
        while self.sent:
            requests = [el for el in self.take() if el.get("type") in ("get", "set")]
            answers = [self.proper_answer(request) for request in requests]
            if answers:
                self.mail(*answers)
        return self

    def proper_answer(self, request: Any) -> messages.Answered:
        """What a healthy peer says."""
        relay = request.find(".//{%s}relay" % COLIBRI)
        if relay is not None:
            return self.answer(request, RELAY % (relay.get("id"), ICE if relay.get("create") == "true" else ""))
        if request.find(".//*[@create='true']") is not None:
            return self.allocated(request)
        modified = "<conference-modified xmlns='jitsi:colibri2'/>" if "conference-modify" in kinds(request) else ""
        return self.answer(request, modified)

    def accept(self, nick: str, number: Optional[int] = None) -> messages.JingleReceived:
        """The participant's session-accept with one audio and one video source."""
        number = next(self._next_accept) if number is None else number
        return self.jingle(nick, "session-accept", accept_contents(nick, number))


def kinds(element: Any) -> List[str]:
    """Names under which a stanza can be looked for."""
    found = [etree.QName(element).localname]
    if len(element):
        child = element[0]
        found.append(etree.QName(child).localname)
        if child.get("action"):
            found.append(child.get("action"))
    elif element.get("type") == "result":
        found.append("result")
    if element.get("type") == "error":
        found.append("refusal")
    return found


def stanza(xml: str) -> Any:
    """A stanza through the door."""
    return parse_stanza(etree.fromstring("<stream xmlns='jabber:client'>%s</stream>" % xml)[0])


def condition(element: Any) -> str:
    """The condition of an error stanza: the first child of its error element (J-502)."""
    return etree.QName(element.find("{jabber:client}error")[0]).localname


def source(nick: str, kind: str, ssrc: int, index: int = 0) -> str:
    return ("<source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='%d' name='%s-%s%d'><parameter name='msid' "
            "value='%s-%s-%d-1 t%d'/></source>" % (ssrc, nick, kind, index, nick, kind, index, index))


def content(media: str, inside: str, transport: str = "") -> str:
    return ("<content name='%s' creator='responder'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='%s'>%s"
            "</description>%s</content>" % (media, media, inside, transport))


def accept_contents(nick: str, number: int) -> str:
    """Contents with the SSRCs 1000000·number (audio) and 1000000·number + 1 (video)."""
    return (content("audio", source(nick, "a", 1000000 * number), CLIENT_TRANSPORT)
            + content("video", source(nick, "v", 1000000 * number + 1)))


CLIENT_TRANSPORT = ("<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='u' pwd='p'><fingerprint "
                    "xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256' setup='active'>AA:BB</fingerprint></transport>")
ICE = ("<transport><transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='ru' pwd='rp'><fingerprint "
       "xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256' setup='actpass'>EE:FF</fingerprint></transport></transport>")
RELAY = "<conference-modified xmlns='jitsi:colibri2'><relay id='%s'>%s</relay></conference-modified>"
ALLOCATED = (
    "<conference-modified xmlns='jitsi:colibri2'><endpoint id='%s'><transport><transport "
    "xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='bu' pwd='bp'><rtcp-mux/><fingerprint "
    "xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256' setup='actpass'>CC:DD</fingerprint><web-socket "
    "xmlns='http://jitsi.org/protocol/colibri' url='wss://meet.example/colibri-ws/jvb1/c/%s?pwd=x'/><candidate "
    "component='1' foundation='1' generation='0' id='c1' ip='192.0.2.9' network='0' port='10000' "
    "priority='2130706431' protocol='udp' type='host'/></transport>%s</transport></endpoint><sources>"
    "<media-source type='audio' id='jvb-a0'><source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='411312308' "
    "name='jvb-a0'/></media-source><media-source type='video' id='jvb-v0'><source "
    "xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='3929652146' name='jvb-v0'/></media-source></sources>"
    "</conference-modified>")
COLIBRI_ERROR = ("<error type='cancel'><%s xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>%s</error>")


def colibri_error(condition_name: str, reason: str = "", endpoint: str = "") -> str:
    """The error element of a bridge's answer."""
    detail = "<error xmlns='jitsi:colibri2' reason='%s'/>" % reason if reason else ""
    if endpoint:
        detail += "<endpoint xmlns='jitsi:colibri2' id='%s'/>" % endpoint
    return COLIBRI_ERROR % (condition_name, detail)


def endpoint_of(request):
    return request.find(".//{%s}endpoint" % COLIBRI)


def told(update):
    """{owner: set of SSRCs} of a JSON source update."""
    text = update.find(".//{http://jitsi.org/jitmeet}json-message").text
    sources = json.loads(text)["sources"]
    return {owner: {s["s"] for part in lists[::2] for s in part} for owner, lists in sources.items()}


def xml(element):
    return etree.tostring(element).decode()
