"""The bridge's conferences and endpoints, and what a Colibri 2 request does to them.

Pure: no socket, no XML, no clock; time is an argument and everything that is done with real media goes through the
`Media` that the table is given. The rules are those of Jitsi Videobridge as colibri.md states them: order of
execution K-310 to K-314, what may be combined K-320 to K-331, refusals K-410 to K-440, B-1103 to B-1106, expiry K-350
to K-352.
A refused request is not rolled back (K-311). Relays (section 5) need a relay id of this bridge (K-437); bridges
exchange no channel messages, so a relay offers no web-socket. There is no SCTP (K-433) and no SSRC rewriting: the
capability `ssrc-rewriting` is accepted and has no effect, so the focus must not use it with this bridge (K-1126).
"""

from __future__ import annotations

from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

from focus.demo.bridge.request import (
    ConferenceRequest,
    EndpointAnswer,
    EndpointRequest,
    RelayRequest,
    is_room_name,
)
from focus.values.media import HeaderExtension, MediaDescription, PayloadType
from focus.values.sources import EMPTY_SOURCES, SourceSet
from focus.values.transport import Transport


class Refused(Exception):
    """A request that is answered with an error (colibri.md section 4)."""

    def __init__(self, condition: str, text: str, reason: str = "", endpoint: str = "") -> None:
        super().__init__(text)
        self.condition = condition
        self.text = text
        self.reason = reason
        self.endpoint = endpoint


class Endpoint:
    """One local endpoint. Times are seconds of the clock that the table's callers use."""

    def __init__(self, request: EndpointRequest, now: float) -> None:
        self.id = request.id
        self.stats_id = request.stats_id
        self.visitor = request.visitor
        self.capabilities = request.capabilities
        self.payload_types: Dict[int, PayloadType] = {}
        self.extensions: Dict[str, Dict[int, HeaderExtension]] = {"audio": {}, "video": {}}
        self.kinds: Tuple[str, ...] = ()
        self.sources: SourceSet = EMPTY_SOURCES
        self.muted = (False, False)
        self.initial_last_n = -1
        self.created_at = now
        self.last_activity: Optional[float] = None
        self.ice_failed = False

    def takes(self, kind: str) -> bool:
        """Whether it takes media of this kind at all (K-243)."""
        return kind in self.kinds

    def learn(self, media: MediaDescription) -> None:
        """Add payload types and header extensions; nothing is ever removed (K-241)."""
        for payload_type in media.payload_types:
            self.payload_types[payload_type.id] = payload_type
        if media.media in self.extensions:
            self.extensions[media.media].update({extension.id: extension for extension in media.extensions})
            if media.payload_types and media.media not in self.kinds:
                self.kinds += (media.media,)


class Relay(Endpoint):
    """The connection to another bridge (K-280), whose id is that bridge's relay id (K-124).

    Media goes through it as through an endpoint; the sources belong to the `relayed` endpoints behind it.
    """

    def __init__(self, request: RelayRequest, now: float) -> None:
        super().__init__(EndpointRequest(request.id), now)
        self.mesh_id = request.mesh_id
        self.unique_port = request.transport is not None and request.transport.unique_port
        self.relayed: Dict[str, Endpoint] = {}


class Conference:
    """One conference on this bridge. `internal_id` is the path part of its WebSocket URLs (K-125)."""

    def __init__(
        self, meeting_id: str, name: Optional[str], internal_id: str, feedback: Tuple[int, int], now: float
    ):
        self.meeting_id = meeting_id
        self.name = name
        self.internal_id = internal_id
        self.feedback = feedback
        self.created_at = now
        self.endpoints: Dict[str, Endpoint] = {}
        self.relays: Dict[str, Relay] = {}

    @property
    def empty(self) -> bool:
        """No endpoint, local or relayed (K-351)."""
        return not self.endpoints and not any(relay.relayed for relay in self.relays.values())

    @property
    def label(self) -> str:
        """What logs call it: the room's local part, or the meeting id."""
        return self.name.partition("@")[0] if self.name else self.meeting_id


class Media:
    """What the table needs done. This one does nothing: tests of the rules use it as it is."""

    def create(self, conference: Conference, endpoint: Endpoint, controlling: bool) -> None:
        """Make the transport of a new endpoint; ICE role as asked (K-260)."""

    def describe(self, conference: Conference, endpoint: Endpoint) -> Transport:
        """The bridge's own side of that transport (K-291, K-292)."""
        return Transport()

    def connected(self, conference: Conference, endpoint: Endpoint) -> bool:
        """Whether its ICE is established, so that an in-place restart is refused (J-867)."""
        return False

    def set_transport(self, conference: Conference, endpoint: Endpoint, transport: Transport) -> None:
        """Take over the client's credentials, fingerprints, candidates (K-262 to K-266)."""

    def changed(self, conference: Conference, endpoint: Endpoint) -> None:
        """Sources, mutes, payload types or last-n of this endpoint are other ones now."""

    def limit(self, conference: Conference, endpoint: Endpoint, last_n: int) -> None:
        """The focus says how many videos this endpoint takes; it or the client, whoever spoke last (K-726)."""

    def received(self, conference: Conference, endpoint: Endpoint, kind: str) -> Tuple[int, ...]:
        """The SSRCs of this kind that packets have come from (K-711)."""
        return ()

    def close(self, conference: Conference, endpoint: Endpoint) -> None:
        """The endpoint is gone."""


class Answer(NamedTuple):
    """The positive answer to a request."""

    endpoints: Tuple[EndpointAnswer, ...]
    feedback: Optional[Tuple[int, int]]


class Table:
    """All conferences of one bridge.

    media: what is done with real media. random_bits(n): an unsigned random number of n bits.
    """

    relays_enabled = False
    """Whether this bridge has a relay id (K-437)."""
    endpoint_timeout = 60.0
    """Seconds without any activity after which an endpoint is removed (K-350)."""
    first_activity_timeout = 120.0
    """Seconds after its creation in which an endpoint must have shown life (K-350)."""
    empty_conference_timeout = 20.0
    """Age in seconds from which an empty conference is removed (K-351)."""

    def __init__(self, media: Media, random_bits: Callable[[int], int]) -> None:
        self.conferences: Dict[str, Conference] = {}
        self.graceful_shutdown = False
        self._media = media
        self._random_bits = random_bits

    def handle(self, request: ConferenceRequest, now: float) -> Answer:
        """Execute one request (K-310). Raises Refused; what was done before the refusal stays (K-311)."""
        conference = self._find(request, now)
        _check_shape(request)
        tolerant = not any(endpoint.builds for endpoint in request.endpoints) and all(
            relay.expire for relay in request.relays
        )
        answers: List[EndpointAnswer] = []
        for endpoint in request.endpoints:
            answers.append(self._endpoint(conference, endpoint, tolerant, now))
        if request.connects:
            raise Refused("bad-request", "connects are not supported by this bridge")
        for relay in request.relays:
            answers.append(self._relay(conference, relay, now))
        due = request.create or any(endpoint.create for endpoint in request.endpoints)
        if request.expire or (not request.create and conference.empty and not conference.relays):
            self.expire(conference)
        return Answer(tuple(answers), conference.feedback if due else None)

    def expire(self, conference: Conference) -> None:
        """Remove a conference with all its endpoints."""
        for endpoint in list(conference.endpoints.values()):
            self.remove(conference, endpoint)
        for relay in list(conference.relays.values()):
            self._remove_relay(conference, relay)
        self.conferences.pop(conference.meeting_id, None)

    def remove(self, conference: Conference, endpoint: Endpoint) -> None:
        """Remove one endpoint; its conference stays."""
        if conference.endpoints.get(endpoint.id) is endpoint:
            del conference.endpoints[endpoint.id]
            self._media.close(conference, endpoint)

    def expire_idle(self, now: float) -> List[str]:
        """What the bridge removes on its own (K-350, K-351), telling nobody. Returns log lines."""
        gone = []
        for conference in list(self.conferences.values()):
            for endpoint in list(conference.endpoints.values()):
                why = self._why_idle(endpoint, now)
                if why:
                    gone.append("endpoint %s of %s: %s" % (endpoint.id, conference.label, why))
                    self.remove(conference, endpoint)
            meshes = {relay.mesh_id for relay in conference.relays.values()}
            age = now - conference.created_at
            if conference.empty and len(meshes) < 2 and age > self.empty_conference_timeout:
                gone.append("conference %s: empty" % conference.label)
                self.expire(conference)
        return gone

    def _why_idle(self, endpoint: Endpoint, now: float) -> str:
        if endpoint.ice_failed:
            return "its ICE failed"
        if endpoint.last_activity is None:
            return "never any activity" if now - endpoint.created_at > self.first_activity_timeout else ""
        return "no activity" if now - endpoint.last_activity > self.endpoint_timeout else ""

    def _find(self, request: ConferenceRequest, now: float) -> Conference:
        conference = self.conferences.get(request.meeting_id)
        if not request.create:
            if conference is None:
                text = "Conference not found for ID: %s" % request.meeting_id
                raise Refused("item-not-found", text, "conference_not_found")
            return conference
        if conference is not None:
            text = "Conference already exists for ID: %s" % request.meeting_id
            raise Refused("conflict", text, "conference_already_exists")
        if self.graceful_shutdown:
            raise Refused("service-unavailable", "In graceful shutdown", "graceful_shutdown")
        if request.name is not None and not is_room_name(request.name):
            raise Refused("bad-request", "Invalid conference name (not a JID)")
        feedback = (self._random_bits(32) or 1, self._random_bits(32) or 2)
        conference = Conference(
            request.meeting_id, request.name, "%016x" % self._random_bits(64), feedback, now
        )
        self.conferences[request.meeting_id] = conference
        return conference

    def _endpoint(
        self, conference: Conference, request: EndpointRequest, tolerant: bool, now: float
    ) -> EndpointAnswer:
        endpoint = conference.endpoints.get(request.id)
        if request.expire:
            if endpoint is not None:
                self.remove(conference, endpoint)
            return EndpointAnswer(request.id, expired=True)
        if request.create:
            endpoint = self._create(conference, request, now)
        elif endpoint is None:
            if tolerant:
                return EndpointAnswer(request.id)
            text = "Endpoint not found for ID: %s" % request.id
            raise Refused("item-not-found", text, "unknown_endpoint", request.id)
        self._update(conference, endpoint, request)
        if request.create:
            return EndpointAnswer(request.id, transport=self._media.describe(conference, endpoint))
        if request.transport is not None and request.transport.ice_restart:
            if not self._media.connected(conference, endpoint):
                return EndpointAnswer(request.id, transport=self._media.describe(conference, endpoint))
        return EndpointAnswer(request.id)

    def _create(self, conference: Conference, request: EndpointRequest, now: float) -> Endpoint:
        if any(request.id in relay.relayed for relay in conference.relays.values()):
            raise Refused("internal-server-error", "Endpoint %s is a relayed one" % request.id)  # K-341
        if request.id in conference.endpoints:
            raise Refused("conflict", "Endpoint with ID %s already exists" % request.id)
        if request.transport is None:
            raise Refused("bad-request", "Attempt to create endpoint %s with no <transport>" % request.id)
        if "source-names" not in request.capabilities:
            raise Refused("bad-request", "Source name support is mandatory.")
        if request.transport.sctp is not None:
            raise Refused("feature-not-implemented", "SCTP support is not configured")
        endpoint = conference.endpoints[request.id] = Endpoint(request, now)
        self._media.create(conference, endpoint, request.transport.controlling)
        return endpoint

    def _relay(self, conference: Conference, request: RelayRequest, now: float) -> EndpointAnswer:
        """Create, update or expire one relay (K-331, K-430, K-431, K-433, K-437, K-438)."""
        if not self.relays_enabled:
            raise Refused("feature-not-implemented", "Octo is disabled in configuration.")
        relay = conference.relays.get(request.id)
        if request.expire:
            if relay is not None:
                self._remove_relay(conference, relay)
            return EndpointAnswer(request.id, expired=True, element="relay")
        if request.create:
            if relay is not None:
                raise Refused("conflict", "Relay with ID %s already exists" % request.id)
            if request.transport is None:
                raise Refused("bad-request", "Attempt to create relay %s with no <transport>" % request.id)
            if request.transport.sctp is not None:
                raise Refused("feature-not-implemented", "SCTP support is not configured")
            relay = Relay(request, now)
            self._media.create(conference, relay, request.transport.controlling)
            conference.relays[request.id] = relay
        elif relay is None:
            raise Refused("bad-request", "Unknown relay %s" % request.id)
        for media in request.media:
            relay.learn(media)
        if request.failure is not None:
            raise Refused("internal-server-error", request.failure[1])
        if request.transport is not None and request.transport.ice is not None:
            self._media.set_transport(conference, relay, request.transport.ice)
        for endpoint in request.endpoints:
            self._relayed(conference, relay, endpoint, now)
        self._media.changed(conference, relay)
        described = self._media.describe(conference, relay) if request.create else None
        return EndpointAnswer(request.id, transport=described, element="relay")

    def _relayed(self, conference: Conference, relay: Relay, request: EndpointRequest, now: float) -> None:
        """An endpoint behind a relay: what is not known of it is passed over (K-341, K-550 to K-556)."""
        if request.expire:
            relay.relayed.pop(request.id, None)
            return
        if request.create and request.id not in relay.relayed:
            local = conference.endpoints.get(request.id)
            if local is not None:
                self.remove(conference, local)
            relay.relayed[request.id] = Endpoint(request, now)
        known = relay.relayed.get(request.id)
        if request.failure is not None:
            raise Refused("internal-server-error", request.failure[1])
        if known is not None and request.sources is not None:
            known.sources = request.sources

    def _remove_relay(self, conference: Conference, relay: Relay) -> None:
        del conference.relays[relay.id]
        self._media.close(conference, relay)

    def _update(self, conference: Conference, endpoint: Endpoint, request: EndpointRequest) -> None:
        """In the order of K-312. A value that makes the reference fail fails here at the same place (K-440)."""
        stage, failure = request.failure or ("", "")
        for media in request.media:
            endpoint.learn(media)
        if stage == "media":
            raise Refused("internal-server-error", failure)
        if request.initial_last_n is not None:
            endpoint.initial_last_n = request.initial_last_n
        if request.transport is not None and request.transport.ice is not None:
            self._media.set_transport(conference, endpoint, request.transport.ice)
        if stage == "sources":
            raise Refused("internal-server-error", failure)
        if request.sources is not None:
            if endpoint.visitor and request.sources:
                raise Refused("bad-request", "Attempt to set sources for visitor endpoint %s" % endpoint.id)
            endpoint.sources = request.sources
        if request.force_mute is not None:
            endpoint.muted = request.force_mute
        self._media.changed(conference, endpoint)


def _check_shape(request: ConferenceRequest) -> None:
    """What may be combined in one request (K-320 to K-322)."""
    problem = ""
    if request.endpoints and request.relays:
        problem = "Using both endpoints and relays in a single request"
    elif len(request.relays) > 1:
        problem = "Using multiple relays in a single request"
    elif len(request.endpoints) > 1 and any(endpoint.builds for endpoint in request.endpoints):
        problem = "Creating or updating media, sources or transport for more than one endpoint in a request."
    if problem:
        raise Refused("feature-not-implemented", problem, "feature_not_implemented")
