"""Colibri 2 on the wire, from the bridge's side: `conference-modify` read, `conference-modified` written.

The bridge is a peer of the focus, not a part of it. It reads and writes its XML with code of its own, so that a
mistake in `focus.stanzas` does not meet the same mistake here and stay unseen. Strictness is that of Jitsi Videobridge
(colibri.md section 2): unknown children and attributes are passed over (K-111), what it can't parse is `Malformed`
(K-113, answered with bad-request and a text), and what only fails when it is executed is kept as `failure` (K-440).
"""

from __future__ import annotations

import re
from typing import Any, Iterable, List, NamedTuple, Optional, Tuple

from focus.demo.bridge.elements import (
    Malformed,
    children,
    is_true,
    read_extensions,
    read_ice,
    read_integer,
    read_payload_type,
    write_ice,
)
from focus.stanzas.xml import (
    NS_COLIBRI2,
    NS_JINGLE_HEADER_EXTENSIONS,
    NS_JINGLE_ICE,
    NS_JINGLE_RTP,
    NS_JINGLE_SSMA,
    quote,
)
from focus.values.media import MediaDescription
from focus.values.sources import EMPTY_SOURCES, Source, SourceSet, SsrcGroup
from focus.values.transport import Transport

ROLES = ("moderator", "participant", "visitor", "none")
MEDIA_TYPES = ("audio", "video", "application", "data", "message")
_BARE_JID = re.compile(r'[^@/\s<>"&\']+@[^@/\s<>"&\']+')


class SctpRequest(NamedTuple):
    """`<sctp/>` of a request (K-267)."""

    role: Optional[str] = None
    port: Optional[int] = None


class TransportRequest(NamedTuple):
    """The Colibri 2 `transport` (K-260 to K-267); `ice` is the ICE-UDP element in it."""

    controlling: bool = False
    ice_restart: bool = False
    ice: Optional[Transport] = None
    sctp: Optional[SctpRequest] = None
    unique_port: bool = False
    """K-520: a port of its own, so that several relays between the same two bridges can be told apart."""


class EndpointRequest(NamedTuple):
    """One `endpoint` of a request (colibri.md 2.2). `failure` is (stage, text) of what will fail in execution."""

    id: str
    create: bool = False
    expire: bool = False
    stats_id: Optional[str] = None
    visitor: bool = False
    capabilities: Tuple[str, ...] = ()
    media: Tuple[MediaDescription, ...] = ()
    transport: Optional[TransportRequest] = None
    sources: Optional[SourceSet] = None
    force_mute: Optional[Tuple[bool, bool]] = None
    initial_last_n: Optional[int] = None
    failure: Optional[Tuple[str, str]] = None

    @property
    def builds(self) -> bool:
        """True if it does more than expire, mute or limit, so that it must be alone in its request (K-321)."""
        return self.create or bool(self.media) or self.transport is not None or self.sources is not None


class RelayRequest(NamedTuple):
    """The `relay` of a request (K-280): one side of a connection to the bridge with this relay id."""

    id: str
    create: bool = False
    expire: bool = False
    mesh_id: str = ""
    media: Tuple[MediaDescription, ...] = ()
    transport: Optional[TransportRequest] = None
    endpoints: Tuple[EndpointRequest, ...] = ()
    failure: Optional[Tuple[str, str]] = None


class ConferenceRequest(NamedTuple):
    """One `conference-modify`."""

    meeting_id: str
    create: bool = False
    expire: bool = False
    name: Optional[str] = None
    endpoints: Tuple[EndpointRequest, ...] = ()
    relays: Tuple[RelayRequest, ...] = ()
    connects: bool = False

    @property
    def kind(self) -> str:
        """What it is, in the words of the control line `error`."""
        if self.create:
            return "create-conference"
        if any(endpoint.create for endpoint in self.endpoints):
            return "create-endpoint"
        if self.expire or (self.endpoints and all(endpoint.expire for endpoint in self.endpoints)):
            return "expire"
        return "update"


def read_request(element: Any) -> ConferenceRequest:
    """Read the lxml element `conference-modify`. Raises Malformed."""
    meeting_id = (element.get("meeting-id") or "").strip()
    if not meeting_id:
        raise Malformed("conference-modify without a meeting-id")
    for connects in children(element, NS_COLIBRI2, "connects"):
        for connect in children(connects, NS_COLIBRI2, "connect"):
            if not connect.get("id"):
                raise Malformed("connect without an id")
    return ConferenceRequest(
        meeting_id,
        is_true(element, "create"),
        is_true(element, "expire"),
        element.get("name"),
        tuple(_read_endpoint(endpoint) for endpoint in children(element, NS_COLIBRI2, "endpoint")),
        tuple(_read_relay(relay) for relay in children(element, NS_COLIBRI2, "relay")),
        next(children(element, NS_COLIBRI2, "connects"), None) is not None,
    )


def is_room_name(name: str) -> bool:
    """True for a full bare JID, with a local part (K-122)."""
    return _BARE_JID.fullmatch(name) is not None


def _read_endpoint(element: Any) -> EndpointRequest:
    identifier = element.get("id")
    if not identifier:
        raise Malformed("endpoint without an id")
    role = (element.get("muc-role") or "none").lower()
    if role not in ROLES:
        raise Malformed("unknown muc-role of endpoint %s" % identifier)
    media, media_failure = _read_media(element)
    sources, sources_failure = _read_sources(element)
    mute = next(children(element, NS_COLIBRI2, "force-mute"), None)
    last_n = next(children(element, NS_COLIBRI2, "initial-last-n"), None)
    transport = next(children(element, NS_COLIBRI2, "transport"), None)
    return EndpointRequest(
        identifier,
        is_true(element, "create"),
        is_true(element, "expire"),
        element.get("stats-id"),
        role == "visitor",
        tuple(capability.get("name") or "" for capability in children(element, NS_COLIBRI2, "capability")),
        media,
        None if transport is None else _read_transport(transport),
        sources,
        None if mute is None else (is_true(mute, "audio"), is_true(mute, "video")),
        None if last_n is None else read_integer(last_n, "value"),
        media_failure or sources_failure,
    )


def _read_relay(element: Any) -> RelayRequest:
    identifier = element.get("id")
    if not identifier:
        raise Malformed("relay without an id")
    media, failure = _read_media(element)
    transport = next(children(element, NS_COLIBRI2, "transport"), None)
    container = next(children(element, NS_COLIBRI2, "endpoints"), None)
    relayed = iter(()) if container is None else children(container, NS_COLIBRI2, "endpoint")
    return RelayRequest(
        identifier,
        is_true(element, "create"),
        is_true(element, "expire"),
        element.get("mesh-id") or "",
        media,
        None if transport is None else _read_transport(transport),
        tuple(_read_endpoint(endpoint) for endpoint in relayed),
        failure,
    )


def _read_media(endpoint: Any) -> Tuple[Tuple[MediaDescription, ...], Optional[Tuple[str, str]]]:
    described = []
    failure = None
    for media in children(endpoint, NS_COLIBRI2, "media"):
        kind = (media.get("type") or "").lower()
        if kind not in MEDIA_TYPES:
            raise Malformed("media without a known type")
        types = []
        for payload in children(media, NS_JINGLE_RTP, "payload-type"):
            if payload.get("name") is None:
                failure = ("media", "getName(...) must not be null")
                continue
            types.append(read_payload_type(payload))
        extensions = read_extensions(media)
        mixed = next(children(media, NS_JINGLE_HEADER_EXTENSIONS, "extmap-allow-mixed"), None) is not None
        described.append(MediaDescription(kind, tuple(types), extensions, mixed))
    return tuple(described), failure


def _read_sources(endpoint: Any) -> Tuple[Optional[SourceSet], Optional[Tuple[str, str]]]:
    container = next(children(endpoint, NS_COLIBRI2, "sources"), None)
    if container is None:
        return None, None
    sources: List[Source] = []
    groups: List[SsrcGroup] = []
    for media_source in children(container, NS_COLIBRI2, "media-source"):
        kind, name = (media_source.get("type") or "").lower(), media_source.get("id")
        if kind not in MEDIA_TYPES or not name:
            raise Malformed("media-source without an id or a known type")
        for source in children(media_source, NS_JINGLE_SSMA, "source"):
            text = source.get("ssrc")
            if text is None:
                continue
            if not re.fullmatch(r"-?[0-9]{1,10}", text):
                return EMPTY_SOURCES, ("sources", 'For input string: "%s"' % text[:32])
            ssrc = int(text) + (1 << 32 if text.startswith("-") else 0)
            sources.append(Source(ssrc, kind, name, None, source.get("videoType")))
        for group in children(media_source, NS_JINGLE_SSMA, "ssrc-group"):
            members = tuple(
                int(member.get("ssrc"))
                for member in children(group, NS_JINGLE_SSMA, "source")
                if re.fullmatch(r"[0-9]{1,10}", member.get("ssrc") or "")
            )
            if members:
                groups.append(SsrcGroup((group.get("semantics") or "").upper(), kind, members))
    return SourceSet(sources, groups), None


def _read_transport(element: Any) -> TransportRequest:
    sctp = next(children(element, NS_COLIBRI2, "sctp"), None)
    ice = next(children(element, NS_JINGLE_ICE, "transport"), None)
    return TransportRequest(
        is_true(element, "ice-controlling"),
        is_true(element, "ice-restart"),
        None if ice is None else read_ice(ice),
        None if sctp is None else _read_sctp(sctp),
        is_true(element, "use-unique-port"),
    )


def _read_sctp(element: Any) -> SctpRequest:
    role = element.get("role")
    if role is not None and role.lower() not in ("client", "server"):
        raise Malformed("unknown SCTP role")
    return SctpRequest(role and role.lower(), read_integer(element, "port") if element.get("port") else None)


class EndpointAnswer(NamedTuple):
    """One `endpoint` or `relay` of an answer (K-290 to K-295, K-515)."""

    id: str
    expired: bool = False
    transport: Optional[Transport] = None
    element: str = "endpoint"


def write_answer(endpoints: Iterable[EndpointAnswer], feedback: Optional[Tuple[int, int]]) -> str:
    """`conference-modified`; `feedback` holds the SSRCs of jvb-a0 and jvb-v0 if they are due (K-296)."""
    parts = [_write_endpoint(endpoint) for endpoint in endpoints]
    if feedback is not None:
        parts.append("<sources>")
        for kind, name, ssrc in (("audio", "jvb-a0", feedback[0]), ("video", "jvb-v0", feedback[1])):
            parts.append(
                "<media-source type='%s' id='%s'><source xmlns='%s' ssrc='%d' name='%s'/></media-source>"
                % (kind, name, NS_JINGLE_SSMA, ssrc, name)
            )
        parts.append("</sources>")
    return "<conference-modified xmlns='%s'>%s</conference-modified>" % (NS_COLIBRI2, "".join(parts))


def _write_endpoint(endpoint: EndpointAnswer) -> str:
    expired = " expire='true'" if endpoint.expired else ""
    inner = ""
    if endpoint.transport is not None:
        inner = "<transport>%s</transport>" % write_ice(endpoint.transport)
    name = endpoint.element
    return "<%s id='%s'%s>%s</%s>" % (name, quote(endpoint.id), expired, inner, name)
