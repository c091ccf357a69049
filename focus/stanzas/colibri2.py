"""Colibri 2: what the focus asks of a bridge and what the bridge answers (colibri.md sections 1 to 6), both ways.

A bridge does not answer a request it can't parse at all (K-113), so requests are checked before they are written.
Errors are read in ``stanza`` (``ParsedError.colibri_reason``).
"""
from __future__ import annotations

from functools import lru_cache
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from focus.stanzas.media_xml import MEDIA_TYPES, parse_media, write_media
from focus.stanzas.registry import register
from focus.stanzas.sources_xml import BRIDGE_SEMANTICS, SourceReader, write_groups, write_plain_sources
from focus.stanzas.transport_xml import TRANSPORT as ICE_TRANSPORT
from focus.stanzas.transport_xml import parse_transport, write_transport
from focus.stanzas.xml import NS_COLIBRI2, Malformed, optional_int, parse_bool, parse_int, quote, required
from focus.values.media import MediaDescription
from focus.values.sources import EMPTY_SOURCES, Source, SourceSet, SsrcGroup, default_name
from focus.values.transport import Transport
from focus.values.written import constant

SOURCE_NAMES = "source-names"
SSRC_REWRITING = "ssrc-rewriting"
RTP_MID_DEMUX = "rtp-mid-demux"
PRIVATE_ADDRESSES = "private-address-connectivity"
MUC_ROLES = frozenset({"moderator", "participant", "visitor", "none"})
SCTP_ROLES = frozenset({"client", "server"})
SCTP_PORT = 5000

MAX_ENDPOINTS = 10000
MAX_CAPABILITIES = 64
_ALL_LAST_N = -1

_ENDPOINT = "{%s}endpoint" % NS_COLIBRI2
_ENDPOINTS = "{%s}endpoints" % NS_COLIBRI2
_RELAY = "{%s}relay" % NS_COLIBRI2
_MEDIA = "{%s}media" % NS_COLIBRI2
_TRANSPORT = "{%s}transport" % NS_COLIBRI2
_SCTP = "{%s}sctp" % NS_COLIBRI2
_SOURCES = "{%s}sources" % NS_COLIBRI2
_MEDIA_SOURCE = "{%s}media-source" % NS_COLIBRI2
_CAPABILITY = "{%s}capability" % NS_COLIBRI2
_FORCE_MUTE = "{%s}force-mute" % NS_COLIBRI2
_LAST_N = "{%s}initial-last-n" % NS_COLIBRI2


class InvalidRequest(ValueError):
    """A request of ours that no bridge could act on: our own fault, found before it was sent (K-113, K-244)."""


class EndpointRequest(NamedTuple):
    """One endpoint in a request. ``sources`` None changes nothing, an empty set clears them (K-274).

    A created endpoint is always written with its transport and with ``sources`` (K-220, K-360).
    """

    id: str
    create: bool = False
    expire: bool = False
    stats_id: Optional[str] = None
    muc_role: Optional[str] = None
    media: Tuple[MediaDescription, ...] = ()
    sctp: bool = False
    """Ask for data channels; only when creating (K-267)."""
    capabilities: Tuple[str, ...] = ()
    sources: Optional[SourceSet] = None
    transport: Optional[Transport] = None
    force_mute: Optional[Tuple[bool, bool]] = None
    """(audio, video), both absolute (K-233)."""
    initial_last_n: Optional[int] = None
    ice_restart: bool = False
    """Ask for new ICE credentials in place (J-863)."""
    ice_controlling: bool = True
    """The bridge takes the controlling role; written when creating, and always so for participants (K-260)."""
    transport_missing: bool = False
    """A creating request was read that lacks its transport (K-431)."""


class RelayRequest(NamedTuple):
    """One relay in a request: this bridge's connection to another (K-280)."""

    id: str
    create: bool = False
    expire: bool = False
    mesh_id: Optional[str] = None
    media: Tuple[MediaDescription, ...] = ()
    transport: Optional[Transport] = None
    use_unique_port: bool = False
    ice_controlling: bool = False
    sctp_role: Optional[str] = None
    """``client`` or ``server``; None asks for no data channel."""
    endpoints: Tuple[EndpointRequest, ...] = ()


class ConferenceModify(NamedTuple):
    """A request about one conference on one bridge."""

    meeting_id: str
    create: bool = False
    expire: bool = False
    name: Optional[str] = None
    """Room JID, a label; written with ``create`` only (K-122)."""
    rtcstats: bool = True
    """False keeps the conference out of rtcstats; written with ``create`` only."""
    endpoints: Tuple[EndpointRequest, ...] = ()
    relays: Tuple[RelayRequest, ...] = ()


class EndpointAnswer(NamedTuple):
    """What a bridge says of one endpoint (K section 2.7)."""

    id: str
    transport: Optional[Transport] = None
    sctp_port: Optional[int] = None
    expired: bool = False


class RelayAnswer(NamedTuple):
    """What a bridge says of one relay (K-515)."""

    id: str
    transport: Optional[Transport] = None
    sctp_port: Optional[int] = None
    expired: bool = False
    sctp_role: Optional[str] = None
    """The opposite of the requested one (K-531)."""


class ConferenceModified(NamedTuple):
    """A bridge's answer; it names no conference, match it by the IQ's id (K-290)."""

    endpoints: Tuple[EndpointAnswer, ...] = ()
    feedback: SourceSet = EMPTY_SOURCES
    """The bridge's own sources, with the msid that clients are told (K-296, J-363); empty if not in this answer."""
    relays: Tuple[RelayAnswer, ...] = ()

    def endpoint(self, endpoint_id: str) -> Optional[EndpointAnswer]:
        """The answer for that endpoint, or None (K-298)."""
        for answer in self.endpoints:
            if answer.id == endpoint_id:
                return answer
        return None


def write_conference_modify(request: ConferenceModify) -> str:
    """The request as XML.  Raises InvalidRequest if a bridge would refuse it for its shape or not answer at all."""
    check_request(request)
    parts = ["<conference-modify xmlns='%s' meeting-id='%s'" % (NS_COLIBRI2, quote(request.meeting_id))]
    if request.create:
        if request.name:
            parts.append(" name='%s'" % quote(request.name))
        parts.append(" create='true'" if request.rtcstats else " create='true' rtcstats-enabled='false'")
    if request.expire:
        parts.append(" expire='true'")
    if request.endpoints or request.relays:
        parts.append(">")
        parts += [_write_endpoint(endpoint, relayed=False) for endpoint in request.endpoints]
        parts += [_write_relay(relay) for relay in request.relays]
        parts.append("</conference-modify>")
    else:
        parts.append("/>")
    return "".join(parts)


def _write_endpoint(endpoint: EndpointRequest, relayed: bool) -> str:
    parts = ["<endpoint id='%s'" % quote(endpoint.id)]
    if endpoint.create:
        parts.append(" create='true'")
    if endpoint.expire:
        parts.append(" expire='true'")
    if endpoint.stats_id is not None:
        parts.append(" stats-id='%s'" % quote(endpoint.stats_id))
    if endpoint.muc_role is not None:
        parts.append(" muc-role='%s'" % quote(endpoint.muc_role))
    children = [_media(endpoint.media)] if endpoint.media else []
    if not relayed:
        children.append(_write_endpoint_transport(endpoint))
    if endpoint.sources is not None:
        children.append(_write_sources(endpoint.id, endpoint.sources))
    elif endpoint.create:
        children.append("<sources/>")
    if endpoint.force_mute is not None:
        children.append("<force-mute audio='%s' video='%s'/>" % tuple(
            "true" if muted else "false" for muted in endpoint.force_mute))
    if endpoint.initial_last_n is not None:
        children.append("<initial-last-n value='%d'/>" % endpoint.initial_last_n)
    children += ["<capability name='%s'/>" % quote(name) for name in endpoint.capabilities]
    inner = "".join(children)
    parts.append(">%s</endpoint>" % inner if inner else "/>")
    return "".join(parts)


def _write_endpoint_transport(endpoint: EndpointRequest) -> str:
    if endpoint.transport_missing or not (endpoint.create or endpoint.transport is not None or endpoint.sctp
                                          or endpoint.ice_restart):
        return ""
    head = "<transport"
    if endpoint.create and endpoint.ice_controlling:
        head += " ice-controlling='true'"
    if endpoint.ice_restart:
        head += " ice-restart='true'"
    inner = write_transport(endpoint.transport) if endpoint.transport is not None else ""
    if endpoint.sctp:
        inner += "<sctp/>"
    return "%s>%s</transport>" % (head, inner) if inner else head + "/>"


def _write_relay(relay: RelayRequest) -> str:
    parts = ["<relay id='%s'" % quote(relay.id)]
    if relay.create:
        parts.append(" create='true'")
    if relay.expire:
        parts.append(" expire='true'")
    if relay.mesh_id is not None:
        parts.append(" mesh-id='%s'" % quote(relay.mesh_id))
    children = [_media(relay.media)] if relay.media else []
    if relay.create or relay.transport is not None:
        inner = write_transport(relay.transport) if relay.transport is not None else ""
        if relay.sctp_role is not None:
            inner += "<sctp role='%s'/>" % quote(relay.sctp_role)
        children.append("<transport%s%s>%s</transport>" % (
            " use-unique-port='true'" if relay.use_unique_port else "",
            " ice-controlling='true'" if relay.ice_controlling else "", inner))
    if relay.endpoints or relay.create:
        children.append("<endpoints>%s</endpoints>" % "".join(
            [_write_endpoint(endpoint, relayed=True) for endpoint in relay.endpoints]))
    inner = "".join(children)
    parts.append(">%s</relay>" % inner if inner else "/>")
    return "".join(parts)


def _write_sources(endpoint_id: str, sources: SourceSet) -> str:
    """``sources``: one ``media-source`` a name, with the groups that belong to it (K-270 to K-273)."""
    if not sources:
        return "<sources/>"
    named: Dict[Tuple[str, str], List[Source]] = {}
    name_of: Dict[int, str] = {}
    for source in sources.sources:
        if source.name is None:
            source = source._replace(name=default_name(endpoint_id, source.media))
        name = source.name or ""
        name_of[source.ssrc] = name
        named.setdefault((source.media, name), []).append(source)
    groups: Dict[Tuple[str, str], List[SsrcGroup]] = {}
    for group in sources.groups:
        if group.ssrcs and group.ssrcs[0] in name_of:
            groups.setdefault((group.media, name_of[group.ssrcs[0]]), []).append(group)
    return "<sources>%s</sources>" % "".join([
        "<media-source type='%s' id='%s'>%s%s</media-source>" % (
            key[0], quote(key[1]), write_plain_sources(members), write_groups(groups.get(key, ())))
        for key, members in named.items()])


@lru_cache(maxsize=256)
def _media(media: Tuple[MediaDescription, ...]) -> str:
    """Checks (K-244, K-250, K-905, ids of extensions) and writes; remembered, both are the same for most endpoints.

    Raises InvalidRequest.
    """
    for description in media:
        if description.media not in MEDIA_TYPES:
            raise InvalidRequest("media type %r" % description.media)
        for payload in description.payload_types:
            if not payload.name or not 0 <= payload.id <= 127:
                raise InvalidRequest("payload type %r without a name or with a bad id" % (payload,))
            if payload.name.lower() == "rtx" and not any(name == "apt" for name, _ in payload.parameters):
                raise InvalidRequest("retransmission payload type %d without apt" % payload.id)
        for extension in description.extensions:
            if not extension.uri or not 1 <= extension.id <= 255:
                raise InvalidRequest("header extension %r" % (extension,))
    return constant(write_media(media))


def check_request(request: ConferenceModify) -> None:
    """Raises InvalidRequest for what a bridge refuses by its shape or leaves unanswered.

    K-113, K-122, K-220, K-221, K-244, K-267, K-278, K-320 to K-322, K-360.
    """
    if not request.meeting_id or not request.meeting_id.strip():
        raise InvalidRequest("no meeting-id")
    if request.create and request.name:
        node, at, domain = request.name.partition("@")
        if not node or not at or not domain or "/" in request.name:
            raise InvalidRequest("conference name %r is not a room's bare JID" % request.name)
    if len(request.relays) > 1 or (request.relays and request.endpoints):
        raise InvalidRequest("a relay must be alone in its request")
    if len(request.endpoints) > 1 and any(changes_media(endpoint) for endpoint in request.endpoints):
        raise InvalidRequest("several endpoints in one request may only be expired, muted or given a last-n")
    for endpoint in request.endpoints:
        _check_endpoint(endpoint)
        if endpoint.create and not endpoint.expire and SOURCE_NAMES not in endpoint.capabilities:
            raise InvalidRequest("endpoint %r is created without source names" % endpoint.id)
        if endpoint.sctp and not endpoint.create:
            raise InvalidRequest("data channels of endpoint %r are asked for after its creation" % endpoint.id)
        if endpoint.transport_missing:
            raise InvalidRequest("endpoint %r is created without transport" % endpoint.id)
    for relay in request.relays:
        if not relay.id:
            raise InvalidRequest("relay without id")
        if relay.sctp_role is not None and relay.sctp_role not in SCTP_ROLES:
            raise InvalidRequest("SCTP role %r" % relay.sctp_role)
        for endpoint in relay.endpoints:
            _check_endpoint(endpoint)


def changes_media(endpoint: EndpointRequest) -> bool:
    """Whether it is more than an expiry, a mute or a last-n, so that it must be alone in its request (K-321)."""
    return bool(endpoint.create or endpoint.media or endpoint.transport is not None or endpoint.sctp
                or endpoint.ice_restart or endpoint.sources is not None)


def _check_endpoint(endpoint: EndpointRequest) -> None:
    if not endpoint.id:
        raise InvalidRequest("endpoint without id")
    if endpoint.muc_role is not None and endpoint.muc_role not in MUC_ROLES:
        raise InvalidRequest("muc-role %r" % endpoint.muc_role)
    for source in endpoint.sources.sources if endpoint.sources is not None else ():
        if not 0 < source.ssrc < 1 << 32 or source.media not in MEDIA_TYPES:
            raise InvalidRequest("source %r" % (source,))


def parse_conference_modify(el: Any, iq_type: str = "get") -> ConferenceModify:
    """A request, as a bridge reads it.

    Raises Malformed for what JVB can't parse (K-113) and for what is out of bounds. Whether it may be done, shape
    included (K-310 (2)), is the bridge's business.
    """
    meeting_id = required(el, "meeting-id")
    if not meeting_id.strip():
        raise Malformed("bad-request", "meeting-id is blank")
    endpoints = _parse_endpoints(el)
    relays = [_parse_relay(relay) for relay in el.iterchildren(_RELAY)]
    return ConferenceModify(meeting_id, parse_bool(el.get("create")), parse_bool(el.get("expire")),
                            el.get("name") or None, parse_bool(el.get("rtcstats-enabled"), True), endpoints,
                            tuple(relays))


def _parse_endpoints(parent: Any) -> Tuple[EndpointRequest, ...]:
    endpoints: List[EndpointRequest] = []
    for el in parent.iterchildren(_ENDPOINT):
        if len(endpoints) >= MAX_ENDPOINTS:
            raise Malformed("bad-request", "too many endpoints")
        endpoints.append(_parse_endpoint(el, relayed=parent.tag == _ENDPOINTS))
    return tuple(endpoints)


def _parse_endpoint(el: Any, relayed: bool) -> EndpointRequest:
    create = parse_bool(el.get("create"))
    role = el.get("muc-role")
    if role is not None:
        role = role[:32].lower()
        if role not in MUC_ROLES:
            raise Malformed("bad-request", "unknown muc-role")
    wrapper = next(el.iterchildren(_TRANSPORT), None)
    ice: Optional[Transport] = None
    sctp = ice_restart = False
    ice_controlling = True
    if wrapper is not None:
        ice, sctp = _parse_wrapped(wrapper), _parse_sctp_request(wrapper)[0]
        ice_restart = parse_bool(wrapper.get("ice-restart"))
        ice_controlling = parse_bool(wrapper.get("ice-controlling")) or not create
    sources = next(el.iterchildren(_SOURCES), None)
    mute = next(el.iterchildren(_FORCE_MUTE), None)
    last_n = next(el.iterchildren(_LAST_N), None)
    capabilities = [capability.get("name") or "" for capability in el.iterchildren(_CAPABILITY)]
    if len(capabilities) > MAX_CAPABILITIES:
        raise Malformed("bad-request", "too many capabilities")
    return EndpointRequest(
        required(el, "id"), create, parse_bool(el.get("expire")), el.get("stats-id"), role, _parse_all_media(el), sctp,
        tuple(capabilities), _parse_sources(sources) if sources is not None else EMPTY_SOURCES if create else None,
        ice, None if mute is None else (parse_bool(mute.get("audio")), parse_bool(mute.get("video"))),
        None if last_n is None else parse_int(last_n.get("value") or "", "initial-last-n", _ALL_LAST_N, 2 ** 31 - 1),
        ice_restart, ice_controlling, transport_missing=create and wrapper is None and not relayed)


def _parse_all_media(el: Any) -> Tuple[MediaDescription, ...]:
    return tuple([parse_media(media, media.get("type")) for media in el.iterchildren(_MEDIA)])


def _parse_wrapped(wrapper: Any) -> Optional[Transport]:
    ice = next(wrapper.iterchildren(ICE_TRANSPORT), None)
    return None if ice is None else parse_transport(ice)


def _parse_sctp_request(wrapper: Any) -> Tuple[bool, Optional[str]]:
    """(asked for, role).  Raises Malformed (K-268, K-434)."""
    sctp = next(wrapper.iterchildren(_SCTP), None)
    if sctp is None:
        return False, None
    role = sctp.get("role")
    if role is not None and role not in SCTP_ROLES:
        raise Malformed("bad-request", "unknown SCTP role")
    port = sctp.get("port")
    if port is not None and parse_int(port, "SCTP port") != SCTP_PORT:
        raise Malformed("bad-request", "specific SCTP port requested, not supported")
    return True, role


def _parse_relay(el: Any) -> RelayRequest:
    wrapper = next(el.iterchildren(_TRANSPORT), None)
    endpoints = next(el.iterchildren(_ENDPOINTS), None)
    unique = controlling = False
    ice: Optional[Transport] = None
    role: Optional[str] = None
    if wrapper is not None:
        ice, role = _parse_wrapped(wrapper), _parse_sctp_request(wrapper)[1]
        unique = parse_bool(wrapper.get("use-unique-port"))
        controlling = parse_bool(wrapper.get("ice-controlling"))
    return RelayRequest(required(el, "id"), parse_bool(el.get("create")), parse_bool(el.get("expire")),
                        el.get("mesh-id"), _parse_all_media(el), ice, unique, controlling, role,
                        () if endpoints is None else _parse_endpoints(endpoints))


def _parse_sources(el: Any) -> SourceSet:
    reader = SourceReader(BRIDGE_SEMANTICS)
    for media_source in el.iterchildren(_MEDIA_SOURCE):
        reader.read(media_source, required(media_source, "type"), name=required(media_source, "id"))
    return reader.result()


def parse_conference_modified(el: Any, iq_type: str = "result") -> ConferenceModified:
    """A bridge's answer.  Raises Malformed if it can't be used (K-477)."""
    endpoints = tuple([EndpointAnswer(*_parse_answer(answer)) for answer in el.iterchildren(_ENDPOINT)])
    relays = tuple([RelayAnswer(*_parse_answer(answer), _sctp_role(answer)) for answer in el.iterchildren(_RELAY)])
    sources = next(el.iterchildren(_SOURCES), None)
    feedback = EMPTY_SOURCES
    if sources is not None:
        own = _parse_sources(sources)
        if own:
            feedback = SourceSet([source._replace(msid="mixedmslabel mixedlabel%s0" % source.media)
                                  for source in own.sources])
    return ConferenceModified(endpoints, feedback, relays)


def _parse_answer(el: Any) -> Tuple[str, Optional[Transport], Optional[int], bool]:
    wrapper = next(el.iterchildren(_TRANSPORT), None)
    ice: Optional[Transport] = None
    port: Optional[int] = None
    if wrapper is not None:
        ice = _parse_wrapped(wrapper)
        sctp = next(wrapper.iterchildren(_SCTP), None)
        if sctp is not None:
            port = optional_int(sctp.get("port"), 1, 65535)
    return required(el, "id"), ice, port, parse_bool(el.get("expire"))


def _sctp_role(answer: Any) -> Optional[str]:
    sctp = answer.find("%s/%s" % (_TRANSPORT, _SCTP))
    return sctp.get("role") if sctp is not None and sctp.get("role") in SCTP_ROLES else None


def write_conference_modified(answer: ConferenceModified) -> str:
    """An answer, as a bridge writes it (K section 2.7)."""
    inner = "".join([_write_answer("endpoint", endpoint) for endpoint in answer.endpoints]
                    + [_write_answer("relay", relay) for relay in answer.relays])
    if answer.feedback:
        inner += _write_sources("jvb", answer.feedback)
    return "<conference-modified xmlns='%s'>%s</conference-modified>" % (NS_COLIBRI2, inner)


def _write_answer(name: str, answer: Any) -> str:
    inner = ""
    if answer.transport is not None:
        inner = "<transport>%s%s</transport>" % (
            write_transport(answer.transport),
            "" if answer.sctp_port is None else "<sctp port='%d' role='%s'/>" % (
                answer.sctp_port, getattr(answer, "sctp_role", None) or "server"))
    return "<%s id='%s'%s>%s</%s>" % (name, quote(answer.id), " expire='true'" if answer.expired else "", inner, name)


register(NS_COLIBRI2, "conference-modify", parse_conference_modify)
register(NS_COLIBRI2, "conference-modified", parse_conference_modified)
