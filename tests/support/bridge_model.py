"""What a Jitsi Videobridge would answer to a Colibri 2 request: its table of conferences, and its strictness.

No sockets and no clock here. The rules are those of colibri.md sections 2 to 4; the answers have the forms of
captures/colibri2-answers.jsonl, which a unit test replays. What the bridge could not even parse gets no answer
(K-113): `answer` returns None then and notes a violation, because our focus must never send such a thing.
"""

from __future__ import annotations

import itertools
import re
from typing import Any, Dict, List, NamedTuple, Optional, Set

from lxml import etree

from tests.support.wire import escape

COLIBRI2 = "jitsi:colibri2"
_NS = "{%s}" % COLIBRI2
_RTP = "{urn:xmpp:jingle:apps:rtp:1}"
_SSMA = "{urn:xmpp:jingle:apps:rtp:ssma:0}"
_ICE = "{urn:xmpp:jingle:transports:ice-udp:1}"
_DTLS = "{urn:xmpp:jingle:apps:dtls:0}"
_STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"

FINGERPRINT = ":".join("%02X" % (7 * number % 256) for number in range(32))

#: condition -> error type, as the bridge's XMPP library sets it (K-401)
ERROR_TYPES = {
    "bad-request": "modify",
    "conflict": "cancel",
    "feature-not-implemented": "cancel",
    "forbidden": "auth",
    "internal-server-error": "cancel",
    "item-not-found": "cancel",
    "service-unavailable": "cancel",
}


class Refusal(Exception):
    """An error answer."""

    def __init__(self, condition: str, text: str = "", reason: str = "", endpoint: str = "") -> None:
        super().__init__("%s: %s" % (condition, text))
        self.condition = condition
        self.text = text
        self.reason = reason
        self.endpoint = endpoint

    def write(self) -> str:
        """The `<error/>` of the IQ; its text has the stanza's own namespace, as seen (K-403)."""
        parts = ["<error type='%s'><%s xmlns='%s'/>" % (ERROR_TYPES[self.condition], self.condition, _STANZAS)]
        if self.text:
            parts.append("<text xml:lang='en'>%s</text>" % escape(self.text))
        if self.reason:
            parts.append("<error xmlns='%s' reason='%s'/>" % (COLIBRI2, self.reason))
        if self.endpoint:
            parts.append("<endpoint xmlns='%s' id='%s'/>" % (COLIBRI2, escape(self.endpoint)))
        return "".join(parts) + "</error>"


class Unparsable(Exception):
    """A request of which the bridge makes nothing, and to which it says nothing (K-113)."""


class SourceList(NamedTuple):
    """Content of one media-source."""

    name: str
    media: str
    ssrcs: tuple
    groups: tuple


class Endpoint:
    """One endpoint as the bridge knows it."""

    def __init__(self, identifier: str, number: int) -> None:
        self.id = identifier
        self.ufrag = "u%xk" % number
        self.password = "p%024x" % (number * 7919)
        self.number = number
        self.stats_id = ""
        self.capabilities: Set[str] = set()
        self.visitor = False
        self.sctp = False
        self.payload_types: Dict[str, Dict[int, str]] = {"audio": {}, "video": {}}
        #: the latest list of `<sources/>`; None until one came
        self.sources: Optional[List[SourceList]] = None
        #: what the client's transport said, or empty
        self.remote_ufrag = ""
        self.remote_setup = ""
        self.force_mute = (False, False)
        self.initial_last_n: Optional[int] = None


class Relay:
    """One side of a link to another bridge (K-280)."""

    def __init__(self, element: Any, number: int) -> None:
        transport = element.find(_NS + "transport")
        sctp = transport.find(_NS + "sctp")
        self.id = element.get("id")
        self.number = number
        self.ufrag = "r%xk" % number
        self.mesh = element.get("mesh-id")
        self.unique_port = _true(transport, "use-unique-port")
        self.controlling = _true(transport, "ice-controlling")
        #: role of its channel by SCTP, None if that is a web socket
        self.sctp_role = None if sctp is None else sctp.get("role")
        self.payload_types = {one.get("id") for one in element.iter(_RTP + "payload-type")}
        #: what it was told of the other side
        self.remote_ufrag = ""
        self.remote_setup = ""
        self.opens_web_socket = False
        #: id -> latest sources
        self.relayed: Dict[str, List[SourceList]] = {}


class Conference:
    """One meeting on the bridge."""

    def __init__(self, meeting_id: str, name: str, number: int) -> None:
        self.meeting_id = meeting_id
        self.name = name
        self.hex_id = "%x" % (0xC0FFEE0000 + number)
        self.feedback = (2000000000 + number, 1000000000 + number)
        self.endpoints: Dict[str, Endpoint] = {}
        self.relays: Dict[str, Any] = {}
        self.expired = False


class BridgeModel:
    """The bridge without its XMPP side.

    sctp: whether data channels are configured (K-433). graceful: refuses new conferences (K-412).
    relays: whether there are relays (K-437).
    """

    def __init__(self, *, sctp: bool = False, nickname: str = "jvb1", relays: bool = False) -> None:
        self.sctp = sctp
        self.relays = relays
        self.graceful = False
        self.nickname = nickname
        self.conferences: Dict[str, Conference] = {}
        #: meeting-id -> number of successful creations
        self.creations: Dict[str, int] = {}
        self.expired_endpoints = 0
        #: what a correct focus never sends
        self.violations: List[str] = []
        self._numbers = itertools.count(1)

    # The two steps of a request (K-135: existence is judged at reception, before the queue)

    def receive(self, request: Any) -> Conference:
        """Find or create the conference of a `<conference-modify/>`. Raises Refusal or Unparsable."""
        self._check_parsable(request)
        meeting_id = request.get("meeting-id")
        known = self.conferences.get(meeting_id)
        if not _true(request, "create"):
            if known is None:
                raise Refusal(
                    "item-not-found", "Conference not found for ID: " + meeting_id, "conference_not_found"
                )
            return known
        if known is not None:
            raise Refusal(
                "conflict", "Conference already exists for ID: " + meeting_id, "conference_already_exists"
            )
        if self.graceful:
            raise Refusal("service-unavailable", "In graceful shutdown", "graceful_shutdown")
        name = request.get("name", "")
        if name and not re.match(r"^[^@/]+@[^@/]+$", name):
            raise Refusal("bad-request", "Invalid conference name (not a JID)")
        conference = Conference(meeting_id, name, next(self._numbers))
        self.conferences[meeting_id] = conference
        self.creations[meeting_id] = self.creations.get(meeting_id, 0) + 1
        return conference

    def execute(self, conference: Conference, request: Any) -> str:
        """Do it, in the order of K-310, and return the `<conference-modified/>`. Raises Refusal."""
        endpoints = request.findall(_NS + "endpoint")
        relays = request.findall(_NS + "relay")
        self._check_shape(endpoints, relays)
        tolerant = not any(_touches(endpoint) for endpoint in endpoints)
        try:
            parts = [self._endpoint(conference, endpoint, tolerant) for endpoint in endpoints]
        except ValueError as error:
            raise Refusal("internal-server-error", str(error)) from None
        parts += [self._relay(conference, relay) for relay in relays]
        if _true(request, "create") or any(_true(endpoint, "create") for endpoint in endpoints):
            parts.append(_feedback(conference))
        empty = not conference.endpoints and not conference.relays
        if _true(request, "expire") or (empty and not _true(request, "create")):
            self.expire(conference)
        return "<conference-modified xmlns='%s'>%s</conference-modified>" % (COLIBRI2, "".join(parts))

    def answer(self, request: Any) -> Optional[str]:
        """Payload of the answer to a request in one step: conference-modified, `<error/>`, or None for silence."""
        try:
            return self.execute(self.receive(request), request)
        except Refusal as refusal:
            return refusal.write() + echo(request)
        except Unparsable as error:
            self.violations.append("%s: %s" % (error, etree.tostring(request).decode()))
            return None

    def expire(self, conference: Conference) -> None:
        """End a conference with all that is in it."""
        conference.expired = True
        self.expired_endpoints += len(conference.endpoints)
        conference.endpoints.clear()
        conference.relays.clear()
        if self.conferences.get(conference.meeting_id) is conference:
            del self.conferences[conference.meeting_id]

    def forget(self, meeting_id: str, endpoint: str = "") -> None:
        """Lose a conference, or one endpoint of it, without a word (as a restart or a timeout would)."""
        if endpoint:
            del self.conferences[meeting_id].endpoints[endpoint]
        else:
            del self.conferences[meeting_id]

    def leaks(self) -> List[str]:
        """Conferences and endpoints that nobody has expired."""
        return [
            "%s (%s): %s" % (conference.meeting_id, conference.name, sorted(conference.endpoints))
            for conference in self.conferences.values()
        ]

    # Checks

    def _check_parsable(self, request: Any) -> None:
        if not (request.get("meeting-id") or "").strip():
            raise Unparsable("no meeting-id")
        for connect in request.iter(_NS + "connect"):
            raise Unparsable("connect %s" % connect.get("type"))
        for endpoint in request.iter(_NS + "endpoint"):
            if not endpoint.get("id"):
                raise Unparsable("endpoint without id")
            role = endpoint.get("muc-role")
            if role is not None and role.lower() not in ("moderator", "participant", "visitor", "none"):
                raise Unparsable("muc-role %s" % role)
        for media in request.iter(_NS + "media"):
            if media.get("type") not in ("audio", "video", "application", "data", "message"):
                raise Unparsable("media type %s" % media.get("type"))
        for source in request.iter(_NS + "media-source"):
            if not source.get("id") or source.get("type") not in ("audio", "video"):
                raise Unparsable("media-source %s of type %s" % (source.get("id"), source.get("type")))
        for sctp in request.iter(_NS + "sctp"):
            if sctp.get("role") not in (None, "client", "server") or not (sctp.get("port") or "0").isdigit():
                raise Unparsable("sctp role %s, port %s" % (sctp.get("role"), sctp.get("port")))
        for last_n in request.iter(_NS + "initial-last-n"):
            if not re.match(r"^-?\d+$", last_n.get("value") or ""):
                raise Unparsable("initial-last-n %s" % last_n.get("value"))

    @staticmethod
    def _check_shape(endpoints: List[Any], relays: List[Any]) -> None:
        if endpoints and relays:
            text = "Using both endpoint and relay in a request."
        elif len(endpoints) > 1 and any(_touches(endpoint) for endpoint in endpoints):
            text = "Creating or updating media, sources or transport for more than one endpoint in a request."
        elif len(relays) > 1:
            text = "Updating more than one relay in a request."
        else:
            return
        raise Refusal("feature-not-implemented", text, "feature_not_implemented")

    # One endpoint (K-312)

    def _endpoint(self, conference: Conference, element: Any, tolerant: bool) -> str:
        identifier = element.get("id")
        if _true(element, "expire"):
            if conference.endpoints.pop(identifier, None) is not None:
                self.expired_endpoints += 1
            return "<endpoint expire='true' id='%s'/>" % escape(identifier)
        endpoint = conference.endpoints.get(identifier)
        described = ""
        if _true(element, "create"):
            endpoint = self._create(conference, element)
        elif endpoint is None:
            if tolerant:
                return "<endpoint id='%s'/>" % escape(identifier)
            raise Refusal("item-not-found", "Endpoint not found for ID: " + identifier, "unknown_endpoint", identifier)
        self._media(endpoint, element)
        self._transport(endpoint, element)
        self._sources(endpoint, element)
        mute = element.find(_NS + "force-mute")
        if mute is not None:
            endpoint.force_mute = (_true(mute, "audio"), _true(mute, "video"))
        transport = element.find(_NS + "transport")
        if _true(element, "create") or (transport is not None and _true(transport, "ice-restart")):
            described = self._describe(conference, endpoint)
        if not described:
            return "<endpoint id='%s'/>" % escape(identifier)
        return "<endpoint id='%s'>%s</endpoint>" % (escape(identifier), described)

    def _create(self, conference: Conference, element: Any) -> Endpoint:
        identifier = element.get("id")
        if any(identifier in relay.relayed for relay in conference.relays.values()):  # K-341
            self.violations.append("%s is created on %s while it is a relayed one" % (identifier, self.nickname))
            raise Refusal("internal-server-error", "Endpoint %s is a relayed one" % identifier)
        if identifier in conference.endpoints:
            raise Refusal("conflict", "Endpoint with ID %s already exists" % identifier)
        capabilities = {capability.get("name") for capability in element.findall(_NS + "capability")}
        if "source-names" not in capabilities:
            raise Refusal("bad-request", "Source name support is mandatory.")
        transport = element.find(_NS + "transport")
        if transport is None:
            raise Refusal("bad-request", "Attempt to create endpoint %s with no <transport>" % identifier)
        sctp = transport.find(_NS + "sctp")
        if sctp is not None:
            self._check_sctp(sctp)
        endpoint = Endpoint(identifier, next(self._numbers))
        endpoint.capabilities = capabilities
        endpoint.stats_id = element.get("stats-id", "")
        endpoint.visitor = (element.get("muc-role") or "").lower() == "visitor"
        endpoint.sctp = sctp is not None
        conference.endpoints[identifier] = endpoint
        return endpoint

    def _check_sctp(self, sctp: Any) -> None:
        if not self.sctp:
            raise Refusal("feature-not-implemented", "SCTP support is not configured")
        if sctp.get("role") == "client":
            raise Refusal("feature-not-implemented", "Unsupported SCTP role: client")
        if sctp.get("port") not in (None, "5000"):
            raise Refusal("bad-request", "Specific SCTP port requested, not supported.")

    @staticmethod
    def _media(endpoint: Endpoint, element: Any) -> None:
        for media in element.findall(_NS + "media"):
            for payload_type in media.findall(_RTP + "payload-type"):
                if payload_type.get("name") is None:
                    raise ValueError("getName(...) must not be null")
                kind = endpoint.payload_types.setdefault(media.get("type"), {})
                kind[_number(payload_type.get("id"))] = payload_type.get("name")
        last_n = element.find(_NS + "initial-last-n")
        if last_n is not None:
            endpoint.initial_last_n = int(last_n.get("value"))

    def _transport(self, endpoint: Endpoint, element: Any) -> None:
        transport = element.find("%stransport/%stransport" % (_NS, _ICE))
        if transport is None:
            return
        if not transport.get("ufrag") or not transport.get("pwd"):
            self.violations.append("transport of %s without credentials" % endpoint.id)
        endpoint.remote_ufrag = transport.get("ufrag", "")
        fingerprint = transport.find(_DTLS + "fingerprint")
        if fingerprint is None:
            return
        setup = fingerprint.get("setup")
        if setup in ("active", "passive"):
            endpoint.remote_setup = setup
        elif setup is not None or not endpoint.remote_setup:  # K-264
            self.violations.append("setup=%s for %s leaves the DTLS role open" % (setup, endpoint.id))

    def _sources(self, endpoint: Endpoint, element: Any) -> None:
        sources = element.find(_NS + "sources")
        if sources is None:
            return
        lists = [_source_list(media_source) for media_source in sources.findall(_NS + "media-source")]
        if lists and endpoint.visitor:
            raise Refusal("bad-request", "Attempt to set sources for visitor endpoint " + endpoint.id)
        endpoint.sources = lists

    # One relay (section 5)

    def _relay(self, conference: Conference, element: Any) -> str:
        if not self.relays:
            raise Refusal("feature-not-implemented", "Octo is disabled in configuration.")
        identifier = element.get("id")
        if _true(element, "expire"):
            conference.relays.pop(identifier, None)
            return "<relay expire='true' id='%s'/>" % escape(identifier)
        relay = conference.relays.get(identifier)
        described = ""
        if _true(element, "create"):
            relay = self._create_relay(conference, element)
            described = self._describe_relay(relay)
        elif relay is None:
            self.violations.append("update of relay %s, which isn't on %s" % (identifier, self.nickname))  # T-23
            raise Refusal("bad-request", "Unknown relay %s" % identifier)
        self._relay_transport(relay, element)
        for endpoint in element.findall("%sendpoints/%sendpoint" % (_NS, _NS)):
            self._relayed(conference, relay, endpoint)
        return "<relay id='%s'>%s</relay>" % (escape(identifier), described)

    def _create_relay(self, conference: Conference, element: Any) -> Relay:
        identifier = element.get("id")
        if identifier in conference.relays:
            raise Refusal("conflict", "Relay with ID %s already exists" % identifier)
        transport = element.find(_NS + "transport")
        if transport is None:
            raise Refusal("bad-request", "Attempt to create relay %s with no <transport>" % identifier)
        if transport.find(_NS + "sctp") is not None and not self.sctp:
            raise Refusal("feature-not-implemented", "SCTP support is not configured")
        relay = conference.relays[identifier] = Relay(element, next(self._numbers))
        if not relay.payload_types or not relay.mesh:
            self.violations.append("relay %s without media or mesh" % identifier)
        return relay

    def _relay_transport(self, relay: Relay, element: Any) -> None:
        transport = element.find("%stransport/%stransport" % (_NS, _ICE))
        if transport is None:
            return
        fingerprint = transport.find(_DTLS + "fingerprint")
        setup = fingerprint.get("setup") if fingerprint is not None else None
        if setup not in ("active", "passive"):
            self.violations.append("setup=%s for relay %s leaves the DTLS role open" % (setup, relay.id))  # T-30
        web_sockets = [el for el in transport if el.tag == "{http://jitsi.org/protocol/colibri}web-socket"]
        if web_sockets and (relay.sctp_role is not None or not relay.unique_port):
            self.violations.append("web socket for the wrong side of relay %s" % relay.id)
        relay.remote_ufrag = transport.get("ufrag", "")
        relay.remote_setup = setup or ""
        relay.opens_web_socket = bool(web_sockets)

    def _relayed(self, conference: Conference, relay: Relay, element: Any) -> None:
        identifier = element.get("id")
        if _true(element, "expire"):
            relay.relayed.pop(identifier, None)
            return
        if _true(element, "create"):
            if identifier in conference.endpoints:
                self.violations.append("relayed %s replaces the local one on %s" % (identifier, self.nickname))
            if any(identifier in other.relayed for other in conference.relays.values() if other is not relay):
                self.violations.append("%s is behind two relays of %s" % (identifier, self.nickname))
            relay.relayed.setdefault(identifier, [])
        sources = element.find(_NS + "sources")
        if identifier not in relay.relayed or sources is None:
            self.violations.append("nothing to be done with relayed %s on %s" % (identifier, self.nickname))
            return
        relay.relayed[identifier] = [_source_list(one) for one in sources.findall(_NS + "media-source")]

    def _describe_relay(self, relay: Relay) -> str:
        if relay.sctp_role is not None:
            own_role = "server" if relay.sctp_role == "client" else "client"
            web_socket, sctp = "", "<sctp port='5000' role='%s'/>" % own_role  # K-531
        else:
            web_socket, sctp = ("<web-socket xmlns='http://jitsi.org/protocol/colibri' url='wss://%s.meet.example/"
                                "colibri-relay-ws/%s/c/%s?pwd=x'/>" % (self.nickname, self.nickname, relay.id)), ""
        return (
            "<transport><transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' pwd='p' ufrag='%s'><rtcp-mux/>"
            "<fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' setup='actpass' hash='sha-256'>%s</fingerprint>%s"
            "</transport>%s</transport>" % (relay.ufrag, FINGERPRINT, web_socket, sctp)
        )

    def _describe(self, conference: Conference, endpoint: Endpoint) -> str:
        setup = {"active": "passive", "passive": "active"}.get(endpoint.remote_setup, "actpass")
        return (
            "<transport><transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' pwd='%s' ufrag='%s'><rtcp-mux/>"
            "<fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' setup='%s' hash='sha-256'>%s</fingerprint>"
            "<web-socket xmlns='http://jitsi.org/protocol/colibri' "
            "url='wss://meet.example/colibri-ws/%s/%s/%s?pwd=w%x'/>"
            "<candidate component='1' priority='2130706431' protocol='udp' port='10000' generation='0' network='0' "
            "ip='192.0.2.10' type='host' foundation='1' id='c%x'/></transport>%s</transport>"
        ) % (
            endpoint.password,
            endpoint.ufrag,
            setup,
            FINGERPRINT,
            self.nickname,
            conference.hex_id,
            escape(endpoint.id),
            endpoint.number,
            endpoint.number,
            "<sctp port='5000' role='server'/>" if endpoint.sctp else "",
        )


def echo(request: Any) -> str:
    """The copy of the request, without children, that follows an error (K-402)."""
    attributes = "".join(" %s='%s'" % (key, escape(value)) for key, value in request.items())
    return "<conference-modify xmlns='%s'%s/>" % (COLIBRI2, attributes)


def _feedback(conference: Conference) -> str:
    return "<sources>%s</sources>" % "".join(
        "<media-source id='%s' type='%s'><source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='%d' name='%s'/>"
        "</media-source>" % (name, media, ssrc, name)
        for name, media, ssrc in zip(("jvb-a0", "jvb-v0"), ("audio", "video"), conference.feedback)
    )


def _source_list(element: Any) -> SourceList:
    ssrcs = tuple(_number(source.get("ssrc")) for source in element.findall(_SSMA + "source"))
    groups = tuple(
        (group.get("semantics"), tuple(_number(source.get("ssrc")) for source in group))
        for group in element.findall(_SSMA + "ssrc-group")
    )
    return SourceList(element.get("id"), element.get("type"), ssrcs, groups)


def _number(text: Optional[str]) -> int:
    try:
        return int(text or "")
    except ValueError:
        raise ValueError('For input string: "%s"' % text) from None


def _true(element: Any, name: str) -> bool:
    return (element.get(name) or "").lower() == "true"


def _touches(endpoint: Any) -> bool:
    """Whether an endpoint element creates, or updates media, transport or sources (K-321, K-330)."""
    return _true(endpoint, "create") or any(
        endpoint.find(_NS + name) is not None for name in ("media", "transport", "sources")
    )
