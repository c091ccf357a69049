"""A scripted Jitsi Meet client: it asks, joins, accepts, keeps the sources of others, and remembers everything.

What it does by itself is what a web client does by itself (jingle.md section 10): answer discovery and pings, answer
each Jingle action, accept an offer with its own sources. Each of these can be switched off or replaced through
`Client.hooks`. Nothing here uses the focus's code.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Set, Tuple
from xml.sax.saxutils import unescape

from tests.support import media
from tests.support.features import FEATURES_2022, FEATURES_2026, FEATURES_XML, caps_version
from tests.support.loop import Loop
from tests.support.media import NOTHING, Sources
from tests.support.wire import Opener, Stanza, escape

JINGLE = "urn:xmpp:jingle:1"
FOCUS = "http://jitsi.org/protocol/focus"
MUC = "http://jabber.org/protocol/muc"
MUC_USER = MUC + "#user"
DISCO_INFO = "http://jabber.org/protocol/disco#info"

__all__ = ["FEATURES_2022", "FEATURES_2026", "FEATURES_XML", "Client", "Session", "Unexpected", "caps_version"]

_JINGLE_START = re.compile(rb"<jingle\b[^>]*>")
_ATTRIBUTE = re.compile(rb"""\s([\w:.-]+)\s*=\s*(?:'([^']*)'|"([^"]*)")""")
_NODE = re.compile(rb"""<query\b[^>]*?\snode=(?:'([^']*)'|"([^"]*)")""")


class Unexpected(AssertionError):
    """An answer is not what the script needed."""


class Session:
    """A Jingle session as the client sees it."""

    def __init__(self, sid: str, offer: Stanza) -> None:
        self.sid = sid
        #: the session-initiate, and when it was read (monotonic seconds)
        self.offer = offer
        self.offered_at = offer.at
        #: "pending", "active" (the accept was answered) or "ended"
        self.state = "pending"
        self.accepted_at = 0.0
        self.accept_answer: Optional[Stanza] = None
        self.end: Optional[Stanza] = None

    @property
    def jingle(self) -> Any:
        """The offer's `<jingle/>`."""
        return self.offer.find("{%s}jingle" % JINGLE)

    @property
    def bridge_session(self) -> str:
        """Id of the bridge session named in the offer, or empty."""
        found = self.offer.find("{%s}jingle/{%s}bridge-session" % (JINGLE, FOCUS))
        return found.get("id", "") if found is not None else ""

    @property
    def end_reason(self) -> str:
        """Reason element's name in the session-terminate that was received, or empty."""
        if self.end is None:
            return ""
        reason = self.end.find("{%s}jingle/{%s}reason" % (JINGLE, JINGLE))
        names = [] if reason is None else [child.tag.rpartition("}")[2] for child in reason]
        return next((name for name in names if name != "text"), "")


class Client:
    """One participant (or anybody else who talks to the focus).

    endpoint: nickname in the room and endpoint id; default: eight random hex digits.
    features: what disco#info is answered with. sources: its own sources; default: microphone and simulcast camera.
    record: keep every stanza in `received` and `sent`. track: follow the occupants of the room (`occupants`).
    """

    def __init__(
        self,
        loop: Loop,
        login: Opener,
        *,
        endpoint: Optional[str] = None,
        features: Sequence[str] = FEATURES_2026,
        sources: Optional[Sources] = None,
        record: bool = True,
        track: bool = True,
    ) -> None:
        self.loop = loop
        self.endpoint = endpoint or uuid.uuid4().hex[:8]
        self.features = tuple(features)
        self.sources = media.default_sources(self.endpoint) if sources is None else sources
        self.record = record
        self.track = track
        self.received: List[Stanza] = []
        self.sent: List[Tuple[float, str]] = []
        #: each is called with every stanza first; one that returns true has consumed it
        self.hooks: List[Callable[[Stanza], Any]] = []
        self.answer_disco = True
        self.answer_jingle = True
        self.auto_accept = True
        #: an error condition with which offers are refused instead
        self.refuse_offers_with = ""
        self.room = ""
        self.focus_jid = "focus"
        self.session: Optional[Session] = None
        self.sessions: List[Session] = []
        #: what the focus has told: owner -> sources ("jvb" is the bridge)
        self.remote: Dict[str, Sources] = {}
        #: owner -> when its sources were first known in this session
        self.remote_since: Dict[str, float] = {}
        #: called after every change of `remote`, with this client and the owners it was told of
        self.on_remote: Optional[Callable[[Client, Iterable[str]], None]] = None
        #: called with this client after its offer has been accepted
        self.on_accepted: Optional[Callable[[Client], None]] = None
        #: what a correct focus would not have sent
        self.violations: List[str] = []
        self.occupants: Dict[str, Stanza] = {}
        self.gone: Set[str] = set()
        #: times (monotonic seconds): request sent, answered as ready, presence sent and confirmed, last update read
        self.asked_at = self.answered_at = self.joined_at = self.confirmed_at = self.last_update_at = 0.0
        #: source-add and source-remove received
        self.updates_received = 0
        #: offers and updates whose sources came in XML
        self.told_in_xml = 0
        self.not_ready = 0
        self._pending: Dict[str, Callable[[Stanza], None]] = {}
        self._ids = 0
        self._joined = False
        self._accept_body = ""
        self._disco = "".join("<feature var='%s'/>" % feature for feature in self.features)
        self.stream = login.open(loop, self._on_stanza)
        self.jid = self.stream.jid

    # Sending

    def send(self, xml: str) -> None:
        """Send any XML, as it is."""
        if self.record:
            self.sent.append((time.monotonic(), xml))
        self.stream.send(xml)

    def send_iq(
        self, kind: str, to: str, payload: str, answered: Optional[Callable[[Stanza], None]] = None
    ) -> str:
        """Send a request without waiting; `answered` is called with the result or error. Returns its id."""
        self._ids += 1
        identifier = "%s-%d" % (self.endpoint, self._ids)
        if answered is not None:
            self._pending[identifier] = answered
        self.send("<iq type='%s' to='%s' id='%s'>%s</iq>" % (kind, escape(to), identifier, payload))
        return identifier

    def request(self, kind: str, to: str, payload: str, timeout: float = 10.0) -> Stanza:
        """Send a request and wait for its result or error."""
        answers: List[Stanza] = []
        self.send_iq(kind, to, payload, answers.append)
        self.loop.wait(lambda: answers, timeout, "answer of %s to %s" % (to, payload[:200]))
        return answers[0]

    # Conference and room

    @property
    def occupant(self) -> str:
        """Our address in the room."""
        return "%s/%s" % (self.room, self.endpoint)

    @property
    def focus(self) -> str:
        """The focus's address in the room."""
        return self.room + "/focus"

    def conference_request(self, room: str, properties: Optional[Dict[str, str]] = None) -> str:
        """The payload of a conference IQ (C-201) as the client of 2026 writes it."""
        given = {"rtcstatsEnabled": "false", "visitors-version": "1"} if properties is None else properties
        lines = "".join("<property name='%s' value='%s'/>" % (k, escape(v)) for k, v in given.items())
        return "<conference xmlns='%s' machine-uid='%s' room='%s'>%s</conference>" % (
            FOCUS,
            self.endpoint * 4,
            escape(room),
            lines,
        )

    def ask(self, room: str, focus: str, timeout: float = 10.0, **properties: str) -> Stanza:
        """Ask for a conference at `focus` (a full JID or the component) and wait for the answer."""
        return self.request("set", focus, self.conference_request(room, properties or None), timeout)

    def enter(self, room: str, focus: str) -> None:
        """Ask, ask again while the answer isn't ready (C-261), then join. Doesn't wait."""
        self.room = room
        self.asked_at = self.asked_at or time.monotonic()

        def answered(answer: Stanza) -> None:
            if answer.get("type") != "result":
                self.violations.append("conference request refused: %r" % answer)
            elif b"ready='true'" in answer.raw or b'ready="true"' in answer.raw:
                self.answered_at = answer.at
                self.join(room)
            else:
                self.not_ready += 1
                self.loop.call_later(
                    float(2 ** (self.not_ready - 1)), lambda: self._ask_again(room, focus, answered)
                )

        self.send_iq("set", focus, self.conference_request(room), answered)

    def _ask_again(self, room: str, focus: str, answered: Callable[[Stanza], None]) -> None:
        if not self.stream.closed:
            self.send_iq("set", focus, self.conference_request(room), answered)

    def join(self, room: str, extra: str = "") -> None:
        """Send the room presence, like the captured client. extra: more XML in it. Doesn't wait."""
        self.room = room
        self.joined_at = time.monotonic()
        self.send(self.presence("<x xmlns='%s'/>%s" % (MUC, extra)))

    def presence(self, extra: str = "", source_info: str = "{}") -> str:
        """Our room presence: caps, SourceInfo and what else a web client puts there, then `extra`."""
        return (
            "<presence to='%s'>%s<stats-id>Some-abc</stats-id>%s<SourceInfo>%s</SourceInfo>"
            "<jitsi_participant_codecList>av1,vp9,vp8,h264</jitsi_participant_codecList>"
            "<nick xmlns='http://jabber.org/protocol/nick'>%s</nick></presence>"
            % (escape(self.occupant), extra, self.caps(), escape(source_info), self.endpoint)
        )

    def caps(self) -> str:
        """The `<c/>` that belongs to our features."""
        return (
            "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://jitsi.org/jitsi-meet' ver='%s'/>"
            % caps_version(self.features)
        )

    def publish(self, **muted: bool) -> None:
        """Send presence again with SourceInfo, e.g. `publish(a0=False, v0=True)`."""
        info = {
            "%s-%s" % (self.endpoint, name): {"muted": value} for name, value in sorted(muted.items())
        }
        self.send(self.presence(source_info=json.dumps(info)))

    def leave(self) -> None:
        """Leave the room; the session is over with it."""
        self.send("<presence type='unavailable' to='%s'/>" % escape(self.occupant))
        self._forget_call()
        self.room = ""

    def close(self, end_stream: bool = True) -> None:
        """End the stream, or only drop the connection."""
        self.stream.close(end_stream)

    # Jingle

    def jingle(self, action: str, inner: str = "", *, sid: Optional[str] = None, attributes: str = "") -> str:
        """A `<jingle/>` of our current session (or of `sid`)."""
        if sid is None:
            sid = self.session.sid if self.session else "none"
        return "<jingle xmlns='%s' action='%s' sid='%s' initiator='%s'%s>%s</jingle>" % (
            JINGLE,
            action,
            sid,
            escape(self.focus),
            attributes,
            inner,
        )

    def accept(self, sources: Optional[Sources] = None) -> None:
        """Answer the current offer with a session-accept. Doesn't wait."""
        session = self.session
        if session is None:
            raise Unexpected("%s has no offer" % self.endpoint)
        if sources is not None:
            self.sources = sources
            self._accept_body = ""
        if not self._accept_body:
            self._accept_body = media.accept_contents(self.endpoint, self.sources)

        def answered(answer: Stanza) -> None:
            session.accept_answer = answer
            if answer.get("type") == "result":
                if session.state == "pending":
                    session.state = "active"
            elif session.end is None:  # one that the focus has ended meanwhile may be refused (J-504)
                session.state = "ended"
                self.violations.append("session-accept refused: %r" % answer)

        session.accepted_at = time.monotonic()
        responder = " responder='%s'" % escape(self.jid)
        self.send_iq(
            "set", self.focus, self.jingle("session-accept", self._accept_body, attributes=responder), answered
        )
        if self.on_accepted is not None:
            self.on_accepted(self)

    def prepare(self) -> None:
        """Build the session-accept now, so that it costs nothing when it is needed."""
        self._accept_body = media.accept_contents(self.endpoint, self.sources)

    def add_sources(self, sources: Sources, timeout: float = 10.0) -> Stanza:
        """Send source-add; own sources change if it is answered with a result."""
        answer = self.request("set", self.focus, self.jingle("source-add", media.update_contents(sources)), timeout)
        if answer.get("type") == "result":
            self.sources = self.sources.plus(sources)
            self._accept_body = ""
        return answer

    def remove_sources(self, sources: Sources, timeout: float = 10.0) -> Stanza:
        """Send source-remove; own sources change if it is answered with a result."""
        answer = self.request("set", self.focus, self.jingle("source-remove", media.update_contents(sources)), timeout)
        if answer.get("type") == "result":
            self.sources = self.sources.minus(sources)
            self._accept_body = ""
        return answer

    def transport_info(self, transport: Optional[str] = None, timeout: float = 10.0) -> Stanza:
        """Send transport-info in the form of early 2022 (J-566)."""
        inner = transport if transport is not None else media.client_transport(self.endpoint, setup="")
        content = "<content name='0' creator='responder'>%s</content>" % inner
        return self.request("set", self.focus, self.jingle("transport-info", content), timeout)

    def terminate(
        self, *, restart: bool = False, bridge_session: Optional[str] = None, timeout: float = 10.0
    ) -> Stanza:
        """Send session-terminate as LJM does (J-551)."""
        if bridge_session is None:
            bridge_session = self.session.bridge_session if self.session else ""
        reason = "<connectivity-error/><text>ICE FAILED</text>" if restart else "<success/>"
        inner = "<reason>%s</reason><bridge-session xmlns='%s' id='%s' restart='%s'/>" % (
            reason,
            FOCUS,
            escape(bridge_session),
            "true" if restart else "false",
        )
        payload = self.jingle("session-terminate", inner)
        if self.session is not None:
            self.session.state = "ended"
        return self.request("set", self.focus, payload, timeout)

    # Waiting

    def wait(self, condition: Callable[[], Any], timeout: float = 10.0, what: str = "") -> Any:
        """Work until `condition()` is true; the error says what this client has seen."""
        return self.loop.wait(condition, timeout, lambda: "%s\n%s" % (what or condition, self.summary()))

    def wait_joined(self, timeout: float = 10.0) -> None:
        """Wait for our own presence from the room."""
        self.wait(lambda: self._joined, timeout, "joined")

    def wait_session(self, timeout: float = 10.0, state: str = "active") -> Session:
        """Wait until there is a session in that state."""
        self.wait(lambda: self.session is not None and self.session.state == state, timeout, "session " + state)
        if self.session is None:
            raise Unexpected("session gone")
        return self.session

    def wait_sources_of(self, others: Iterable[Client], timeout: float = 10.0) -> None:
        """Wait until we know exactly the sources of these clients (without simulcast, J-741), and nothing else."""
        expected = {other.endpoint: other.sources.stripped() for other in others if other.sources}
        self.wait(lambda: self.others == expected, timeout, "exactly the sources of %s" % sorted(expected))

    def wait_stanza(self, matches: Callable[[Stanza], Any], timeout: float = 10.0, since: int = 0) -> Stanza:
        """Wait for a received stanza for which `matches` is true. Needs `record`."""
        return self.wait(
            lambda: next((stanza for stanza in self.received[since:] if matches(stanza)), None), timeout, "stanza"
        )

    @property
    def others(self) -> Dict[str, Sources]:
        """What we know of other participants: `remote` without the bridge's own sources."""
        return {owner: sources for owner, sources in self.remote.items() if owner != "jvb"}

    @property
    def joined(self) -> bool:
        """Whether the room has confirmed our presence."""
        return self._joined

    def summary(self) -> str:
        """What this client has seen, for an error message."""
        session = self.session
        lines = [
            "%s in %s, joined: %s, closed: %s" % (self.endpoint, self.room, self._joined, self.stream.closed),
            "session: %s" % ("none" if session is None else "%s %s" % (session.sid, session.state)),
            "knows sources of: %s" % sorted(self.remote),
        ]
        lines += ["violation: %s" % violation for violation in self.violations[:5]]
        lines += ["received: %s" % repr(stanza)[:300] for stanza in self.received[-6:]]
        return "\n".join(lines)

    # Receiving

    def _on_stanza(self, stanza: Stanza) -> None:
        if self.record:
            self.received.append(stanza)
        for hook in self.hooks:
            if hook(stanza):
                return
        if stanza.name == "iq":
            self._on_iq(stanza)
        elif stanza.name == "presence":
            self._on_presence(stanza)

    def _on_presence(self, stanza: Stanza) -> None:
        if not self._joined and b"110" in stanza.raw:
            codes = {status.get("code") for status in stanza.element.iter("{%s}status" % MUC_USER)}
            self._joined = "110" in codes and stanza.get("type") != "error"
            self.confirmed_at = stanza.at
        if not self.track:
            return
        room, _, nick = stanza.get("from").partition("/")
        if room != self.room or stanza.get("type") == "error":
            return
        if stanza.get("type") == "unavailable":
            self.occupants.pop(nick, None)
            self.gone.add(nick)
            self.remote.pop(nick, None)  # J-1004
            if nick == self.endpoint:
                self._forget_call()
            elif nick == "focus" and self.session is not None:
                self.session.state = "ended"
        else:
            self.occupants[nick] = stanza
            self.gone.discard(nick)

    def _on_iq(self, stanza: Stanza) -> None:
        kind = stanza.get("type")
        if kind in ("result", "error"):
            answered = self._pending.pop(stanza.get("id"), None)
            if answered is not None:
                answered(stanza)
        elif b"urn:xmpp:jingle:1" in stanza.raw and kind == "set" and _JINGLE_START.search(stanza.raw):
            if self.answer_jingle:
                self._on_jingle(stanza)
        elif DISCO_INFO.encode() in stanza.raw and kind == "get":
            if self.answer_disco:
                self._answer_disco(stanza)
        elif b"urn:xmpp:ping" in stanza.raw or kind == "set":
            self.reply(stanza)
        else:
            self.reply_error(stanza, "cancel", "service-unavailable")

    def reply(self, request: Stanza, payload: str = "") -> None:
        """Answer a request with a result."""
        self.send(
            "<iq type='result' to='%s' id='%s'>%s</iq>"
            % (escape(request.get("from")), escape(request.get("id")), payload)
        )

    def reply_error(self, request: Stanza, kind: str, condition: str) -> None:
        """Answer a request with an error."""
        self.send(
            "<iq type='error' to='%s' id='%s'><error type='%s'><%s xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
            "</error></iq>" % (escape(request.get("from")), escape(request.get("id")), kind, condition)
        )

    def _answer_disco(self, stanza: Stanza) -> None:
        found = _NODE.search(stanza.raw)
        given = found.group(1) or found.group(2) or b"" if found else b""
        node = " node='%s'" % given.decode().replace("'", "&apos;") if found else ""
        self.reply(stanza, "<query xmlns='%s'%s>%s</query>" % (DISCO_INFO, node, self._disco))

    def _on_jingle(self, stanza: Stanza) -> None:
        start = _JINGLE_START.findall(stanza.raw)[0]
        attributes = {key.decode(): unescape((one or two).decode()) for key, one, two in _ATTRIBUTE.findall(start)}
        action, sid = attributes.get("action", ""), attributes.get("sid", "")
        if stanza.get("from") != self.focus:
            self.violations.append("jingle from %s" % stanza.get("from"))
        if action == "session-initiate":
            self._on_offer(stanza, sid)
            return
        session = self.session
        if session is None or session.sid != sid or session.state == "ended":
            self.violations.append("%s for an unknown session %s" % (action, sid))
            self.reply_error(stanza, "cancel", "item-not-found")
        elif action in ("source-add", "source-remove"):
            self.reply(stanza)
            self._on_update(stanza, action)
        elif action == "session-terminate":
            session.state, session.end = "ended", stanza
            self.remote, self.remote_since = {}, {}
            self.reply(stanza)
        elif action in ("transport-info", "session-info"):
            self.reply(stanza)
        else:
            self.violations.append("unsupported action %s" % action)
            self.reply_error(stanza, "modify", "bad-request")

    def _on_offer(self, stanza: Stanza, sid: str) -> None:
        if any(session.sid == sid for session in self.sessions):
            self.violations.append("sid %s used twice" % sid)
            self.reply_error(stanza, "cancel", "service-unavailable")
            return
        if self.session is not None and self.session.state != "ended":
            self.violations.append("offer while session %s is %s" % (self.session.sid, self.session.state))
        if self.refuse_offers_with:
            self.reply_error(stanza, "cancel", self.refuse_offers_with)
            return
        self.session = Session(sid, stanza)
        self.sessions.append(self.session)
        self.remote, self.remote_since = {}, {}
        self.reply(stanza)
        self._learn(stanza, "source-add")
        if self.auto_accept:
            self.accept()

    def _on_update(self, stanza: Stanza, action: str) -> None:
        self.last_update_at = stanza.at
        self.updates_received += 1
        self._learn(stanza, action)

    def _learn(self, stanza: Stanza, action: str) -> None:
        try:
            told = media.read_sources(stanza.raw, lambda: stanza.element)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            self.violations.append("unreadable sources (%s): %r" % (error, stanza))
            return
        self.told_in_xml += bool(told) and b"<json-message" not in stanza.raw
        if action == "source-add":
            for owner, sources in told.items():
                self._learn_owner(owner, sources, stanza.at)
        else:
            for owner, sources in told.items():
                known = self.remote.get(owner, NOTHING)
                if not sources.sources <= known.sources and owner not in self.gone:
                    self.violations.append("removal of unknown sources of %s: %r" % (owner, stanza))
                left = known.minus(sources)
                if left:
                    self.remote[owner] = left
                else:
                    self.remote.pop(owner, None)
        if self.on_remote is not None:
            self.on_remote(self, told)

    def _learn_owner(self, owner: str, sources: Sources, at: float) -> None:
        known = self.remote.get(owner)
        if owner == self.endpoint:
            self.violations.append("told of its own sources")
        if known is None:
            self.remote[owner] = sources
            self.remote_since.setdefault(owner, at)
            return
        if known.sources & sources.sources:
            self.violations.append("told twice of sources of %s" % owner)
        self.remote[owner] = known.plus(sources)

    def _forget_call(self) -> None:
        if self.session is not None:
            self.session.state = "ended"
        self.remote, self.remote_since = {}, {}
        self.occupants.clear()
        self._joined = False
