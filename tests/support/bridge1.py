"""A bridge of the time before autumn 2022: what it would answer to a Colibri 1 request, and how strict it is.

`OldBridgeModel` has no sockets; its rules are those of colibri.md section 7. `OldBridge` puts it into a brewery.
"""

from __future__ import annotations

import itertools
import re
from typing import Any, Dict, List, NamedTuple, Optional, Set, Tuple

from lxml import etree

from tests.support.bridge import DISCO_INFO, Bridge
from tests.support.bridge_model import FINGERPRINT, Refusal
from tests.support.wire import Stanza, escape

COLIBRI = "http://jitsi.org/protocol/colibri"
_NS = "{%s}" % COLIBRI
_SSMA = "{urn:xmpp:jingle:apps:rtp:ssma:0}"
_ICE = "{urn:xmpp:jingle:transports:ice-udp:1}"
_DTLS = "{urn:xmpp:jingle:apps:dtls:0}"
_RTP = "{urn:xmpp:jingle:apps:rtp:1}"
_EXTENSIONS = "{urn:xmpp:jingle:apps:rtp:rtp-hdrext:0}"
SHUTDOWN = "<graceful-shutdown xmlns='%s'/>" % COLIBRI

ELEMENTS = {
    _NS + "conference": {"id", "name", "meeting-id", "rtcstats-enabled", "gid"},
    _NS + "content": {"name"},
    _NS + "channel": {"id", "endpoint", "channel-bundle-id", "initiator", "expire", "direction", "last-n"},
    _NS + "sctpconnection": {"id", "endpoint", "channel-bundle-id", "initiator", "expire", "port"},
    _NS + "channel-bundle": {"id"},
    _NS + "endpoint": {"id", "stats-id"},
}
"""All that such a bridge knows, with attributes (K-701 to K-706)."""


class OldRefusal(Refusal):
    """An error answer; `extra` stands in the error element."""

    def __init__(self, condition: str, text: str = "", extra: str = "") -> None:
        super().__init__(condition, text)
        self.extra = extra

    def write(self) -> str:
        return super().write().replace("</error>", self.extra + "</error>")


class OldChannel:
    """A channel, or an SCTP connection."""

    def __init__(self, identifier: str, endpoint: str) -> None:
        self.id = identifier
        self.endpoint = endpoint
        self.direction = "sendrecv"
        self.last_n: Optional[int] = None
        self.ssrcs: Tuple[int, ...] = ()
        self.names: Tuple[str, ...] = ()
        self.groups: Tuple[Tuple[str, Tuple[int, ...]], ...] = ()
        self.payload_types: Dict[int, str] = {}


class OldTransport(NamedTuple):
    """What a client's transport said."""

    ufrag: str
    setup: str
    candidates: int


class OldConference:
    """One conference; nothing but its id names it."""

    def __init__(self, identifier: str, name: str) -> None:
        self.id = identifier
        self.name = name
        self.contents: Dict[str, Dict[str, OldChannel]] = {"audio": {}, "video": {}, "data": {}}
        self.transports: Dict[str, List[OldTransport]] = {}
        self.labels: Dict[str, str] = {}

    @property
    def endpoints(self) -> Set[str]:
        """Who has a channel; an endpoint is gone with its last one (K-730)."""
        return {channel.endpoint for channels in self.contents.values() for channel in channels.values()}

    def channel(self, content: str, endpoint: str) -> Optional[OldChannel]:
        """The endpoint's channel."""
        return next((c for c in self.contents[content].values() if c.endpoint == endpoint), None)


class OldBridgeModel:
    """The bridge without its XMPP side.

    sctp: has data channels (K-746). early: its errors are those of the first years (K-744), and its answers name all
    bundles and endpoints (K-711). graceful: takes no new conferences (K-742).
    """

    def __init__(self, *, sctp: bool = True, early: bool = False) -> None:
        self.sctp = sctp
        self.early = early
        self.graceful = False
        self.conferences: Dict[str, OldConference] = {}
        self.created = 0
        self.expired = 0
        #: ids of channels that a refused request had made: nobody was told of them
        self.orphans: Set[str] = set()
        self._made: List[str] = []
        #: what a correct focus never sends
        self.violations: List[str] = []
        self._numbers = itertools.count(1)

    def answer(self, request: Any) -> Tuple[str, str]:
        """Type and payload of the answer to a `<conference/>`."""
        self._inspect(request)
        try:
            return "result", self.execute(request)
        except OldRefusal as refusal:
            return "error", refusal.write()

    def execute(self, request: Any) -> str:
        """The answer's payload. Raises OldRefusal; what was done before stays."""
        self._made = []
        try:
            return self._execute(request)
        except OldRefusal:
            self.orphans.update(self._made)
            raise

    def leaks(self) -> List[str]:
        """Channels that nobody has expired and that somebody knows."""
        return ["%s: %s of %s" % (conference.id, content, channel.endpoint) for conference in self.conferences.values()
                for content, channels in conference.contents.items() for channel in channels.values()
                if channel.id not in self.orphans]

    def forget_channel(self, content: str, endpoint: str) -> None:
        """Lose a channel without a word (K-732)."""
        for conference in self.conferences.values():
            channel = conference.channel(content, endpoint)
            if channel is not None:
                del conference.contents[content][channel.id]

    def _inspect(self, request: Any) -> None:
        for element in request.iter("*"):
            known = ELEMENTS.get(element.tag)
            if known is None and element.tag.startswith(_NS) and element.tag != _NS + "web-socket":
                self.violations.append("unknown element %s" % element.tag)
            elif known is not None and not set(element.keys()) <= known:
                self.violations.append("unknown attribute: %s" % etree.tostring(element).decode())
            if element.tag == _EXTENSIONS + "extmap-allow-mixed":
                self.violations.append("extmap-allow-mixed")
        if request.get("rtcstats-enabled") is None and not self._only_expires(request):
            self.violations.append("rtcstats-enabled isn't written always (K-703)")

    @staticmethod
    def _only_expires(request: Any) -> bool:
        return all(channel.get("expire") == "0" for channel in request.iter(_NS + "channel", _NS + "sctpconnection"))

    def _execute(self, request: Any) -> str:
        conference = self._find(request)
        parts = []
        for content in request.findall(_NS + "content"):
            name = content.get("name")
            answered = [self._channel(conference, name, element)
                        for element in content.iterchildren(_NS + "channel", _NS + "sctpconnection")]
            parts.append("<content name='%s'>%s</content>" % (name, "".join(answered)))
        named = [bundle.get("id") for bundle in request.findall(_NS + "channel-bundle")]
        for bundle in request.findall(_NS + "channel-bundle"):
            self._bundle(conference, bundle)
        for label in request.findall(_NS + "endpoint"):
            conference.labels[label.get("id")] = label.get("stats-id", "")
        described = sorted(conference.endpoints) if self.early else named
        parts += ["<channel-bundle id='%s'>%s</channel-bundle>" % (escape(i), self._transport(conference, i))
                  for i in described]
        if self.early:
            parts += ["<endpoint id='%s'/>" % escape(i) for i in described]
        return "<conference xmlns='%s' id='%s'>%s</conference>" % (COLIBRI, conference.id, "".join(parts))

    def _find(self, request: Any) -> OldConference:
        identifier = request.get("id")
        if identifier is None:
            if self.graceful:
                raise OldRefusal("service-unavailable", extra=SHUTDOWN)
            conference = OldConference("c%x" % (0xB7C1D2 + next(self._numbers)), request.get("name", ""))
            self.conferences[conference.id] = conference
            self.created += 1
            return conference
        if identifier not in self.conferences:
            raise OldRefusal("bad-request", "Conference not found for ID: " + identifier)
        return self.conferences[identifier]

    def _channel(self, conference: OldConference, content: str, element: Any) -> str:
        identifier, expire = element.get("id"), element.get("expire")
        channels = conference.contents[content]
        if expire is not None and not re.match(r"^\d+$", expire):
            raise OldRefusal("bad-request", "Invalid 'expire' value: " + expire)
        if expire == "0":
            if identifier is None:
                raise OldRefusal("bad-request", "Channel expire request for empty ID")
            self.expired += channels.pop(identifier, None) is not None
            return ""
        if identifier is None:
            return self._create(conference, content, element)
        channel = channels.get(identifier)
        if channel is None:
            raise self._unknown(content, identifier)
        if content != "data":
            if element.get("direction") is None:
                self.violations.append("an update without direction lifts a mute (K-722)")
            self._update(channel, element)
        return self._describe(conference, content, channel)

    def _unknown(self, content: str, identifier: str) -> OldRefusal:
        if content == "data":
            return OldRefusal("bad-request", "No SCTP connection found for ID: " + identifier)
        if self.early:
            return OldRefusal("bad-request", "No RTP channel found for ID: " + identifier)
        return OldRefusal("item-not-found", "Error finding channel " + identifier)

    def _create(self, conference: OldConference, content: str, element: Any) -> str:
        endpoint = element.get("endpoint")
        if not endpoint:
            raise OldRefusal("bad-request", "Channel creation requested without endpoint ID")
        if element.get("channel-bundle-id") != endpoint:
            raise OldRefusal("bad-request", "Endpoint ID does not match channel bundle ID")
        if content == "data" and not self.sctp:
            raise OldRefusal("feature-not-implemented", "SCTP support is not configured")
        there = conference.channel(content, endpoint)
        if there is not None and there.id not in self.orphans:
            self.violations.append("a second %s channel of %s" % (content, endpoint))
        if element.get("initiator") != "true":
            self.violations.append("the bridge isn't controlling for %s" % endpoint)
        channel = OldChannel("ch%x" % next(self._numbers), endpoint)
        conference.contents[content][channel.id] = channel
        self._made.append(channel.id)
        if content != "data":
            self._update(channel, element)
        return self._describe(conference, content, channel)

    @staticmethod
    def _update(channel: OldChannel, element: Any) -> None:
        channel.direction = element.get("direction", "sendrecv")
        if element.get("last-n") is not None:
            channel.last_n = int(element.get("last-n"))
        types = {int(pt.get("id")): pt.get("name") for pt in element.findall(_RTP + "payload-type")}
        channel.payload_types = types or channel.payload_types
        sources = element.findall(_SSMA + "source")
        if sources:
            real = [source for source in sources if source.get("ssrc") is not None]
            channel.ssrcs = tuple(int(source.get("ssrc")) for source in real)
            channel.names = tuple(source.get("name", "") for source in real)
        groups = element.findall(_SSMA + "ssrc-group")
        if groups:
            channel.groups = tuple((group.get("semantics"), tuple(int(s.get("ssrc")) for s in group))
                                   for group in groups if len(group))

    def _bundle(self, conference: OldConference, bundle: Any) -> None:
        transport = bundle.find(_ICE + "transport")
        if transport is None:
            return
        fingerprint = transport.find(_DTLS + "fingerprint")
        conference.transports.setdefault(bundle.get("id"), []).append(OldTransport(
            transport.get("ufrag", ""), "" if fingerprint is None else fingerprint.get("setup", ""),
            len(transport.findall(_ICE + "candidate"))))

    @staticmethod
    def _describe(conference: OldConference, content: str, channel: OldChannel) -> str:
        head = "id='%s' endpoint='%s' initiator='true' channel-bundle-id='%s'" % (
            channel.id, escape(channel.endpoint), escape(channel.endpoint))
        if content == "data":
            return "<sctpconnection %s port='5000'/>" % head
        direction = "" if channel.direction == "sendrecv" else " direction='%s'" % channel.direction
        last_n = "" if channel.last_n is None else " last-n='%d'" % channel.last_n
        feedback = {"audio": 411312308, "video": 3929652146}[content]
        return ("<channel %s rtp-level-relay-type='translator'%s%s><source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' "
                "ssrc='%d'/>%s</channel>" % (head, direction, last_n, feedback,
                                             "".join("<ssrc>%d</ssrc>" % ssrc for ssrc in channel.ssrcs)))

    @staticmethod
    def _transport(conference: OldConference, endpoint: str) -> str:
        return ("<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='u%s' pwd='p%s'>"
                "<fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' setup='actpass' hash='sha-256'>%s</fingerprint>"
                "<web-socket xmlns='%s' url='wss://meet.example/colibri-ws/old1/%s/%s?pwd=w'/>"
                "<candidate component='1' priority='2130706431' protocol='udp' port='10000' generation='0' network='0' "
                "ip='192.0.2.11' type='host' foundation='1' id='c1'/></transport>" % (
                    escape(endpoint), conference.id, FINGERPRINT, COLIBRI, conference.id, escape(endpoint)))


FEATURES = (COLIBRI, "urn:xmpp:jingle:apps:dtls:0", "urn:xmpp:jingle:transports:ice-udp:1",
            "http://jitsi.org/protocol/healthcheck", "jabber:iq:version")


class OldBridge(Bridge):
    """The model in a brewery; it announces what it speaks, and a request in Colibri 2 is a violation.

    answers_disco: false for one that refuses service discovery; then a request in Colibri 2 is refused only.
    """

    def __init__(self, *arguments: Any, early: bool = False, answers_disco: bool = True, **options: Any) -> None:
        self.old = OldBridgeModel(sctp=options.get("sctp", False), early=early)
        self.answers_disco = answers_disco
        self.refused: List[Stanza] = []
        super().__init__(*arguments, **options)

    @property
    def violations(self) -> List[str]:
        return self.model.violations + self.old.violations

    def leaks(self) -> List[str]:
        return self.model.leaks() + self.old.leaks()

    def _on_request(self, stanza: Stanza) -> None:
        payload = next(iter(stanza.element), None)
        name = payload.tag if payload is not None else ""
        if name == _NS + "conference":
            self._reply(stanza, *self.old.answer(payload))
        elif name == "{jitsi:colibri2}conference-modify":
            self.refused.append(stanza)
            if self.answers_disco:
                self.old.violations.append("a request in Colibri 2")
            self._reply(stanza, "error", Refusal("service-unavailable").write())
        elif name == "{%s}query" % DISCO_INFO and not self.answers_disco:
            self._reply(stanza, "error", Refusal("service-unavailable").write())
        elif name == "{%s}query" % DISCO_INFO:
            self._reply(stanza, "result", "<query xmlns='%s'>%s</query>" % (DISCO_INFO, "".join(
                "<feature var='%s'/>" % feature for feature in FEATURES)))
        else:
            super()._on_request(stanza)
