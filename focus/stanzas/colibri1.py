"""Colibri 1: the ``conference`` of bridges until autumn 2022, request and answer alike (colibri.md section 7).

A conference has contents by media name; a content has one channel an endpoint, or in ``data`` one SCTP connection; all
of an endpoint share one channel bundle, which has the transport. What is obsolete (transport within a channel, Octo,
recording, the list of received SSRCs) is not read and never written.
"""
from __future__ import annotations

from functools import partial
from typing import Any, Callable, List, NamedTuple, Optional, Tuple

from focus.stanzas.colibri2 import InvalidRequest
from focus.stanzas.media_xml import MEDIA_TYPES, parse_media, write_channel_media
from focus.stanzas.registry import register
from focus.stanzas.sources_xml import BRIDGE_SEMANTICS, SourceReader, write_groups, write_plain_sources
from focus.stanzas.transport_xml import TRANSPORT, parse_transport, write_transport
from focus.stanzas.xml import (
    NS_COLIBRI,
    NS_JINGLE_SSMA,
    Malformed,
    attributes,
    child,
    element,
    optional_int,
    parse_bool,
    required,
)
from focus.values.media import MediaDescription
from focus.values.sources import VIDEO, SourceSet
from focus.values.transport import Transport

DATA = "data"
SENDRECV, SENDONLY = "sendrecv", "sendonly"
DIRECTIONS = frozenset((SENDRECV, SENDONLY, "recvonly", "inactive"))
"""Seen from the bridge: ``sendonly`` takes nothing from the endpoint (K-705)."""

MAX_CONTENTS = 8
MAX_PARTS = 2000
"""Channels of one content, bundles, and endpoints: early bridges name all bundles in every answer (K-711)."""
MAX_TEXT = 256

CONFERENCE = "{%s}conference" % NS_COLIBRI
_CONTENT = "{%s}content" % NS_COLIBRI
_CHANNEL = "{%s}channel" % NS_COLIBRI
_CONNECTION = "{%s}sctpconnection" % NS_COLIBRI
_BUNDLE = "{%s}channel-bundle" % NS_COLIBRI
_ENDPOINT = "{%s}endpoint" % NS_COLIBRI
_SHUTDOWN = "{%s}graceful-shutdown" % NS_COLIBRI
GRACEFUL_SHUTDOWN = (NS_COLIBRI, "graceful-shutdown")
"""Beside a ``service-unavailable``: the bridge takes no new conferences (K-742)."""
_NO_SOURCES = "<source xmlns='%s'/>" % NS_JINGLE_SSMA
_NO_GROUPS = "<ssrc-group xmlns='%s' semantics='SIM'/>" % NS_JINGLE_SSMA


class Channel(NamedTuple):
    """One endpoint's media of one kind (K-705). Without ``id`` a request creates it."""

    id: Optional[str] = None
    endpoint: Optional[str] = None
    bundle: Optional[str] = None
    initiator: bool = False
    """The bridge is ICE controlling."""
    expire: Optional[int] = None
    """Seconds without traffic after which it goes; 0: now."""
    direction: Optional[str] = None
    """None: not written, which a bridge takes for ``sendrecv`` (K-722)."""
    last_n: Optional[int] = None
    media: Optional[MediaDescription] = None
    sources: Optional[SourceSet] = None
    """None changes nothing; an empty set clears them (K-708)."""


class SctpConnection(NamedTuple):
    """One endpoint's data channels (K-706)."""

    id: Optional[str] = None
    endpoint: Optional[str] = None
    bundle: Optional[str] = None
    initiator: bool = False
    expire: Optional[int] = None
    port: Optional[int] = None


class Content(NamedTuple):
    """All of one media name: ``audio``, ``video`` or ``data`` (K-704)."""

    name: str
    channels: Tuple[Channel, ...] = ()
    connections: Tuple[SctpConnection, ...] = ()


class Bundle(NamedTuple):
    """The transport of one endpoint; ``id`` is the endpoint's."""

    id: str
    transport: Optional[Transport] = None


class EndpointLabel(NamedTuple):
    """An endpoint's name for statistics."""

    id: str
    stats_id: Optional[str] = None


class ColibriConference(NamedTuple):
    """A request or an answer; a request without ``id`` creates the conference (K-701)."""

    id: Optional[str] = None
    name: Optional[str] = None
    """Room JID, a label."""
    meeting_id: Optional[str] = None
    rtcstats: Optional[bool] = None
    contents: Tuple[Content, ...] = ()
    bundles: Tuple[Bundle, ...] = ()
    endpoints: Tuple[EndpointLabel, ...] = ()
    graceful_shutdown: bool = False
    """Answer: the bridge takes no new conferences."""

    def content(self, name: str) -> Content:
        """The content of that name, an empty one if there is none."""
        for content in self.contents:
            if content.name == name:
                return content
        return Content(name)


# --- writing --------------------------------------------------------------------------------------------------------

def write_conference(conference: ColibriConference) -> str:
    """The element as XML.  Raises InvalidRequest for what a bridge would refuse for its shape (K-743, K-745)."""
    inner = [_write_content(content) for content in conference.contents]
    inner += [element("channel-bundle", {"id": bundle.id},
                      "" if bundle.transport is None else write_transport(bundle.transport))
              for bundle in conference.bundles]
    inner += [element("endpoint", {"id": one.id, "stats-id": one.stats_id}) for one in conference.endpoints]
    if conference.graceful_shutdown:
        inner.append("<graceful-shutdown/>")
    return element("conference", {"id": conference.id, "name": conference.name, "meeting-id": conference.meeting_id,
                                  "rtcstats-enabled": conference.rtcstats}, "".join(inner), NS_COLIBRI)


def _write_content(content: Content) -> str:
    return element("content", {"name": content.name}, "".join(
        [_write_channel(content.name, channel) for channel in content.channels]
        + [_write_connection(connection) for connection in content.connections]))


def _shared(what: Any) -> str:
    """Attributes that channels and SCTP connections have in common."""
    if what.expire is not None and what.expire < 0:
        raise InvalidRequest("expire=%d" % what.expire)
    if not what.id and (not what.endpoint or what.expire == 0):
        raise InvalidRequest("neither an id nor an endpoint to create it for")
    if what.bundle is not None and what.endpoint is not None and what.bundle != what.endpoint:
        raise InvalidRequest("endpoint %r in the bundle %r" % (what.endpoint, what.bundle))
    return attributes({"id": what.id, "endpoint": what.endpoint, "initiator": what.initiator or None,
                       "channel-bundle-id": what.bundle, "expire": what.expire})


def _write_channel(media: str, channel: Channel) -> str:
    if channel.direction is not None and channel.direction not in DIRECTIONS:
        raise InvalidRequest("direction %r" % channel.direction)
    head = "<channel" + _shared(channel) + attributes({"direction": channel.direction, "last-n": channel.last_n})
    inner = "" if channel.media is None else write_channel_media(channel.media)
    if channel.sources is not None:
        inner += _write_sources(media, channel.sources)
    return "%s>%s</channel>" % (head, inner) if inner else head + "/>"


def _write_sources(media: str, sources: SourceSet) -> str:
    if any(not 0 < source.ssrc < 1 << 32 for source in sources.sources):
        raise InvalidRequest("sources %r" % (sources,))
    written = write_plain_sources(sources.sources) or _NO_SOURCES
    return written + (write_groups(sources.groups) or (_NO_GROUPS if media == VIDEO else ""))


def _write_connection(connection: SctpConnection) -> str:
    return "<sctpconnection%s%s/>" % (_shared(connection), attributes({"port": connection.port}))


# --- reading --------------------------------------------------------------------------------------------------------

def parse_conference(el: Any, iq_type: str = "result") -> ColibriConference:
    """A request or an answer.  Raises Malformed; unknown elements, contents and words are passed over.

    Of an answer's channels the codecs are not read: nothing depends on what a bridge repeats.
    """
    contents: List[Content] = []
    for content in el.iterchildren(_CONTENT):
        name = content.get("name")
        if len(contents) >= MAX_CONTENTS:
            raise Malformed("bad-request", "too many contents")
        if name in MEDIA_TYPES:
            contents.append(Content(name, _all(content, _CHANNEL, partial(_parse_channel, media=name,
                                                                          is_answer=iq_type == "result"))))
        elif name == DATA:
            contents.append(Content(name, (), _all(content, _CONNECTION, _parse_connection)))
    return ColibriConference(
        _text(el, "id"), _text(el, "name"), _text(el, "meeting-id"),
        None if el.get("rtcstats-enabled") is None else parse_bool(el.get("rtcstats-enabled")), tuple(contents),
        _all(el, _BUNDLE, _parse_bundle), _all(el, _ENDPOINT, _parse_endpoint), child(el, _SHUTDOWN) is not None)


def _all(parent: Any, tag: str, parse: Callable[[Any], Any]) -> Tuple[Any, ...]:
    found: List[Any] = []
    for el in parent.iterchildren(tag):
        if len(found) >= MAX_PARTS:
            raise Malformed("bad-request", "more than %d parts of a kind" % MAX_PARTS)
        found.append(parse(el))
    return tuple(found)


def _text(el: Any, name: str) -> Optional[str]:
    value = el.get(name)
    if value is not None and len(value) > MAX_TEXT:
        raise Malformed("bad-request", "%s is too long" % name)
    return value or None


def _expire(el: Any) -> Optional[int]:
    return optional_int(el.get("expire"), 0, 2 ** 31 - 1)


def _parse_channel(el: Any, media: str, is_answer: bool) -> Channel:
    direction: Optional[str] = (el.get("direction") or "")[:16].lower()
    reader = SourceReader(BRIDGE_SEMANTICS)
    says_sources = reader.read_channel(el, media)
    description = None if is_answer else parse_media(el, media)
    return Channel(_text(el, "id"), _text(el, "endpoint"), _text(el, "channel-bundle-id"),
                   parse_bool(el.get("initiator")), _expire(el), direction if direction in DIRECTIONS else None,
                   optional_int(el.get("last-n"), -1, 2 ** 31 - 1),
                   description if description and (description.payload_types or description.extensions) else None,
                   reader.result() if says_sources else None)


def _parse_connection(el: Any) -> SctpConnection:
    return SctpConnection(_text(el, "id"), _text(el, "endpoint"), _text(el, "channel-bundle-id"),
                          parse_bool(el.get("initiator")), _expire(el),
                          optional_int(el.get("port"), 1, 65535))


def _parse_bundle(el: Any) -> Bundle:
    transport = child(el, TRANSPORT)
    return Bundle(required(el, "id")[:MAX_TEXT], None if transport is None else parse_transport(transport))


def _parse_endpoint(el: Any) -> EndpointLabel:
    return EndpointLabel(required(el, "id")[:MAX_TEXT], _text(el, "stats-id"))


register(NS_COLIBRI, "conference", parse_conference)
