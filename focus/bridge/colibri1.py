"""Colibri 2 in the words of Colibri 1 and back: pure functions over values (colibri.md sections 7 and 8).

Everything in the focus speaks of endpoints, as Colibri 2 does. For a bridge of the time before autumn 2022 a request is
made of channels here, with the help of the table of their ids, and its answer is made into Colibri 2's.

The codecs of a client's answer are not sent to the bridge (K-721 with K-803): it has the offer's from the creation of
the channel, bridges since 2019 only add to them, and earlier ones keep them as long as an update carries none. It is
what bridges of today live with too (K-903).
"""
from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from focus.stanzas.colibri1 import (
    DATA,
    GRACEFUL_SHUTDOWN,
    SENDONLY,
    SENDRECV,
    Bundle,
    Channel,
    ColibriConference,
    Content,
    EndpointLabel,
    SctpConnection,
)
from focus.stanzas.colibri2 import SCTP_PORT, ConferenceModified, ConferenceModify, EndpointAnswer, EndpointRequest
from focus.stanzas.errors import ParsedError
from focus.values.channels import Channels, Leftover
from focus.values.sources import AUDIO, EMPTY_SOURCES, VIDEO, Source, SourceSet, default_name
from focus.values.transport import Transport

MEDIA = (AUDIO, VIDEO)
VISITOR = "visitor"
CONFERENCE_GONE = "conference not found"
CHANNEL_GONE = ("error finding channel", "no rtp channel found", "no sctp connection found")
"""How a bridge's texts begin, in lower case: only they tell these errors from others (K-741, K-744, K-745)."""


class Written(NamedTuple):
    """A request, and the table's entries as they are when it has left."""

    conference: ColibriConference
    entries: Tuple[Channels, ...]


# --- requests -------------------------------------------------------------------------------------------------------

def translate(request: ConferenceModify, conference_id: str, table: Mapping[str, Channels]) -> Written:
    """The request as a ``conference``.

    Expiries need no entry in the table; what has no form in Colibri 1 (capabilities, ICE restart, relays) is left out.

    Args:
        request: ``name`` and ``rtcstats`` are always written, whether it creates the conference or not (K-703).
        conference_id: the bridge's; empty: this request creates the conference (K-701).
        table: by endpoint.
    """
    parts: Dict[str, Content] = {}
    bundles: List[Bundle] = []
    labels: List[EndpointLabel] = []
    entries: List[Channels] = []
    for endpoint in request.endpoints:
        entry = table.get(endpoint.id)
        if endpoint.expire:
            if entry is not None:
                _expire(parts, entry)
            continue
        if endpoint.create:
            entry = _created(endpoint)
            bundles.append(Bundle(endpoint.id, endpoint.transport))
            labels.append(EndpointLabel(endpoint.id, endpoint.stats_id))
            _create(parts, endpoint, entry)
        elif entry is not None:
            if endpoint.force_mute is not None:
                entry = entry._replace(muted=endpoint.force_mute)
            if endpoint.transport is not None:
                bundles.append(Bundle(endpoint.id, endpoint.transport))
            _update(parts, endpoint, entry)
        if entry is not None:
            entries.append(entry)
    return Written(ColibriConference(conference_id or None, request.name, request.meeting_id, request.rtcstats,
                                     _in_order(parts), tuple(bundles), tuple(labels)), tuple(entries))


def expiry(left: Leftover) -> ColibriConference:
    """The request that expires these channels, with which an empty conference goes by itself (K-730, K-731)."""
    parts: Dict[str, Content] = {}
    for entry in left.channels:
        _expire(parts, entry)
    return ColibriConference(left.conference, contents=_in_order(parts))


def _in_order(parts: Dict[str, Content]) -> Tuple[Content, ...]:
    return tuple([parts[name] for name in (*MEDIA, DATA) if name in parts])


def _add(parts: Dict[str, Content], name: str, channel: Channel) -> None:
    content = parts.get(name, Content(name))
    parts[name] = content._replace(channels=(*content.channels, channel))


def _connect(parts: Dict[str, Content], connection: SctpConnection) -> None:
    content = parts.get(DATA, Content(DATA))
    parts[DATA] = content._replace(connections=(*content.connections, connection))


def _expire(parts: Dict[str, Content], entry: Channels) -> None:
    for name, id_ in entry.ids:
        if not id_:
            continue
        if name == DATA:
            _connect(parts, SctpConnection(id_, entry.endpoint, expire=0, port=SCTP_PORT))
        else:
            _add(parts, name, Channel(id_, expire=0))


def _created(endpoint: EndpointRequest) -> Channels:
    """The entry of an endpoint that is asked for; nothing is taken from a visitor, which has no form of its own."""
    names = [description.media for description in endpoint.media] + ([DATA] if endpoint.sctp else [])
    muted = (True, True) if endpoint.muc_role == VISITOR else endpoint.force_mute or (False, False)
    return Channels(endpoint.id, tuple([(name, "") for name in names]), muted)


def _create(parts: Dict[str, Content], endpoint: EndpointRequest, entry: Channels) -> None:
    for description in endpoint.media:
        name = description.media
        sources = _sources(endpoint, name)
        direction = _direction(entry, name)
        _add(parts, name, Channel(
            None, endpoint.id, endpoint.id, endpoint.ice_controlling,
            direction=None if direction == SENDRECV else direction,  # what it is if nothing is said
            last_n=endpoint.initial_last_n if name == VIDEO else None, media=description, sources=sources or None))
    if endpoint.sctp:
        _connect(parts, SctpConnection(None, endpoint.id, endpoint.id, endpoint.ice_controlling, port=SCTP_PORT))


def _update(parts: Dict[str, Content], endpoint: EndpointRequest, entry: Channels) -> None:
    for name in MEDIA:
        id_ = entry.id(name)
        last_n = endpoint.initial_last_n if name == VIDEO else None
        if id_ is None or (endpoint.sources is None and endpoint.force_mute is None and last_n is None):
            continue
        _add(parts, name, Channel(id_, direction=_direction(entry, name), last_n=last_n,
                                  sources=_sources(endpoint, name)))


def _direction(entry: Channels, name: str) -> str:
    return SENDONLY if entry.muted[MEDIA.index(name)] else SENDRECV


def _sources(endpoint: EndpointRequest, media: str) -> Optional[SourceSet]:
    """Those of one kind, each with its name (K-707)."""
    if endpoint.sources is None:
        return None
    own = endpoint.sources.of(media)
    return SourceSet([source._replace(name=source.name or default_name(endpoint.id, media), video_type=None)
                      for source in own.sources], own.groups)


# --- answers --------------------------------------------------------------------------------------------------------

def created(answer: ColibriConference, asked: Channels) -> Tuple[ConferenceModified, Channels]:
    """The answer to the creation of an endpoint, and its entry with the ids that the bridge has told.

    If something that was asked for is missing, the endpoint has no transport, which makes it unusable (K-474).
    """
    endpoint = asked.endpoint
    ids: List[Tuple[str, str]] = []
    port: Optional[int] = None
    feedback: List[Source] = []
    for name, _ in asked.ids:
        content = answer.content(name)
        found: Any = _of(endpoint, content.connections if name == DATA else content.channels)
        if found is None:
            continue
        ids.append((name, found.id))
        if name == DATA:
            port = found.port or SCTP_PORT
        elif found.sources is not None and found.sources.sources:
            feedback.append(_feedback(name, found.sources.sources[0].ssrc))
    entry = asked._replace(ids=tuple(ids))
    transport = _transport(answer, endpoint) if len(ids) == len(asked.ids) else None
    sources = SourceSet([source for source in feedback if 0 < source.ssrc < 1 << 32])
    return ConferenceModified((EndpointAnswer(endpoint, transport, port),), sources or EMPTY_SOURCES), entry


def _of(endpoint: str, parts: Tuple[Any, ...]) -> Optional[Any]:
    """The one that is this endpoint's; a request creates one endpoint, so one that says nothing is its too."""
    unnamed = None
    for part in parts:
        if part.id and (part.endpoint or part.bundle) == endpoint:
            return part
        if part.id and part.endpoint is None and part.bundle is None:
            unnamed = part
    return unnamed


def _feedback(media: str, ssrc: int) -> Source:
    """The bridge's own source of one kind, under the name and msid that clients are told (K-712, J-363)."""
    return Source(ssrc, media, default_name("jvb", media), "mixedmslabel mixedlabel%s0" % media)


def _transport(answer: ColibriConference, endpoint: str) -> Optional[Transport]:
    """The endpoint's transport, as clients need it (K-714)."""
    for bundle in answer.bundles:
        if bundle.id == endpoint and bundle.transport is not None:
            return bundle.transport._replace(rtcp_mux=True)
    return None


def leftover_of(answer: ColibriConference, endpoint: str) -> Optional[Leftover]:
    """What the answer to a creation that nobody waits for any more has brought to the bridge (K-475)."""
    ids: List[Tuple[str, str]] = []
    for content in answer.contents:
        found = _of(endpoint, content.connections if content.name == DATA else content.channels)
        if found is not None:
            ids.append((content.name, found.id))
    return Leftover(answer.id, (Channels(endpoint, tuple(ids)),)) if answer.id and ids else None


def normalised(error: ParsedError, endpoint: str) -> ParsedError:
    """An error in the words of Colibri 2 (section 7.5); ``endpoint`` is whom the request was about."""
    text = error.text.strip().lower()
    if error.condition == "bad-request" and text.startswith(CONFERENCE_GONE):
        return error._replace(condition="item-not-found", colibri_reason="conference_not_found")
    if error.condition in ("bad-request", "item-not-found") and text.startswith(CHANNEL_GONE):
        return error._replace(condition="item-not-found", colibri_reason="unknown_endpoint",
                              colibri_endpoint=endpoint or None)
    if error.condition == "service-unavailable" and GRACEFUL_SHUTDOWN in error.application:
        return error._replace(colibri_reason="graceful_shutdown")
    return error
