"""Colibri 1 on the wire, from the bridge's side: `conference` read and written (colibri.md section 7).

As in `request`, the bridge reads and writes its XML with code of its own. What no bridge could parse is `Malformed`;
what a bridge understands and refuses is decided by `channels`.
"""

from __future__ import annotations

import re
from typing import Any, List, NamedTuple, Optional, Tuple

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
from focus.stanzas.xml import NS_COLIBRI, NS_JINGLE_ICE, NS_JINGLE_RTP, NS_JINGLE_SSMA, quote
from focus.values.media import HeaderExtension, PayloadType
from focus.values.sources import Source, SsrcGroup
from focus.values.transport import Transport

DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
"""Seen from the bridge: with sendonly the endpoint is muted, with recvonly nothing is forwarded to it (K-705)."""
RELAY_TYPES = ("translator", "mixer")


class ChannelRequest(NamedTuple):
    """One `channel` (K-705), or one `sctpconnection` (K-706), which has no media.

    `sources` and `groups` are None where nothing is said of them, empty where they are to be cleared (K-708).
    """

    id: str = ""
    endpoint: str = ""
    bundle: str = ""
    controlling: bool = False
    expire: Optional[int] = None
    direction: str = "sendrecv"
    last_n: Optional[int] = None
    relay_type: str = "translator"
    octo: bool = False
    payload_types: Tuple[PayloadType, ...] = ()
    extensions: Tuple[HeaderExtension, ...] = ()
    sources: Optional[Tuple[Source, ...]] = None
    groups: Optional[Tuple[SsrcGroup, ...]] = None
    has_transport: bool = False


class ContentRequest(NamedTuple):
    """One `content`."""

    name: str
    channels: Tuple[ChannelRequest, ...] = ()
    connections: Tuple[ChannelRequest, ...] = ()


class BundleRequest(NamedTuple):
    """One `channel-bundle`; without a transport it only asks to be described."""

    id: str
    transport: Optional[Transport] = None


class ChannelsRequest(NamedTuple):
    """One `conference`. An empty `id` asks for a new one (K-701); `stats_ids` are (endpoint, label)."""

    id: str = ""
    name: Optional[str] = None
    meeting_id: str = ""
    contents: Tuple[ContentRequest, ...] = ()
    bundles: Tuple[BundleRequest, ...] = ()
    stats_ids: Tuple[Tuple[str, str], ...] = ()

    @property
    def kind(self) -> str:
        """What it is, in the words of the control line `error`."""
        channels = [one for content in self.contents for one in content.channels + content.connections]
        if not self.id:
            return "create-conference"
        if any(not channel.id for channel in channels):
            return "create-endpoint"
        return "expire" if channels and all(channel.expire == 0 for channel in channels) else "update"


def read_conference(element: Any) -> ChannelsRequest:
    """Read the lxml element `conference`. Raises Malformed."""
    return ChannelsRequest(
        element.get("id") or "",
        element.get("name"),
        element.get("meeting-id") or "",
        tuple(_read_content(content) for content in children(element, NS_COLIBRI, "content")),
        tuple(_read_bundle(bundle) for bundle in children(element, NS_COLIBRI, "channel-bundle")),
        tuple(
            (_required(endpoint, "id"), endpoint.get("stats-id") or "")
            for endpoint in children(element, NS_COLIBRI, "endpoint")
        ),
    )


def _read_content(element: Any) -> ContentRequest:
    name = _required(element, "name")
    return ContentRequest(
        name,
        tuple(_read_channel(channel, name) for channel in children(element, NS_COLIBRI, "channel")),
        tuple(_read_channel(one, name) for one in children(element, NS_COLIBRI, "sctpconnection")),
    )


def _read_channel(element: Any, content: str) -> ChannelRequest:
    direction = (element.get("direction") or "sendrecv").lower()
    relay_type = element.get("rtp-level-relay-type") or "translator"
    if direction not in DIRECTIONS:
        raise Malformed("unknown direction of a channel")
    if relay_type not in RELAY_TYPES:
        raise Malformed("unknown rtp-level-relay-type of a channel")
    payloads = list(children(element, NS_JINGLE_RTP, "payload-type"))
    if any(payload.get("name") is None for payload in payloads):
        raise Malformed("payload-type without a name")
    return ChannelRequest(
        element.get("id") or "",
        element.get("endpoint") or "",
        element.get("channel-bundle-id") or "",
        is_true(element, "initiator"),
        _optional_integer(element, "expire"),
        direction,
        _optional_integer(element, "last-n"),
        relay_type,
        element.get("type") == "octo" or next(children(element, NS_COLIBRI, "relay"), None) is not None,
        tuple(read_payload_type(payload) for payload in payloads),
        read_extensions(element),
        _read_sources(element, content),
        _read_groups(element, content),
        next(children(element, NS_JINGLE_ICE, "transport"), None) is not None,
    )


def _read_sources(channel: Any, content: str) -> Optional[Tuple[Source, ...]]:
    elements = list(children(channel, NS_JINGLE_SSMA, "source"))
    if not elements:
        return None
    return tuple(
        Source(_read_ssrc(source), content, source.get("name"), None, source.get("videoType"))
        for source in elements
        if source.get("ssrc") is not None
    )


def _read_groups(channel: Any, content: str) -> Optional[Tuple[SsrcGroup, ...]]:
    elements = list(children(channel, NS_JINGLE_SSMA, "ssrc-group"))
    if not elements:
        return None
    groups = []
    for element in elements:
        members = tuple(_read_ssrc(member) for member in children(element, NS_JINGLE_SSMA, "source"))
        if members:
            groups.append(SsrcGroup(_required(element, "semantics").upper(), content, members))
    return tuple(groups)


def _read_ssrc(element: Any) -> int:
    """KT-32: old peers wrote negative decimals."""
    text = element.get("ssrc") or ""
    if not re.fullmatch(r"-?[0-9]{1,10}", text):
        raise Malformed("ssrc of source is not a number")
    return int(text) + (1 << 32 if text.startswith("-") else 0)


def _read_bundle(element: Any) -> BundleRequest:
    transport = next(children(element, NS_JINGLE_ICE, "transport"), None)
    return BundleRequest(_required(element, "id"), None if transport is None else read_ice(transport))


def _required(element: Any, attribute: str) -> str:
    value = element.get(attribute)
    if not value:
        raise Malformed("%s without %s" % (element.tag.rpartition("}")[2], attribute))
    return str(value)


def _optional_integer(element: Any, attribute: str) -> Optional[int]:
    return None if element.get(attribute) is None else read_integer(element, attribute)


class ChannelAnswer(NamedTuple):
    """One `channel` of an answer (K-711). `feedback` is the SSRC that the bridge's own RTCP comes from (K-712)."""

    id: str
    endpoint: str
    bundle: str
    direction: str
    last_n: Optional[int]
    feedback: int
    received: Tuple[int, ...] = ()


class ChannelsAnswer(NamedTuple):
    """The positive answer: contents as (name, channels), bundles as (id, transport), endpoints as (id, stats id)."""

    id: str
    contents: Tuple[Tuple[str, Tuple[ChannelAnswer, ...]], ...] = ()
    bundles: Tuple[Tuple[str, Transport], ...] = ()
    endpoints: Tuple[Tuple[str, str], ...] = ()
    graceful_shutdown: bool = False


def write_conference(answer: ChannelsAnswer) -> str:
    """The element `conference`."""
    parts: List[str] = []
    for name, channels in answer.contents:
        written = "".join(_write_channel(channel) for channel in channels)
        parts.append("<content name='%s'>%s</content>" % (quote(name), written))
    for bundle, transport in answer.bundles:
        parts.append("<channel-bundle id='%s'>%s</channel-bundle>" % (quote(bundle), write_ice(transport)))
    for endpoint, stats_id in answer.endpoints:
        label = " stats-id='%s'" % quote(stats_id) if stats_id else ""
        parts.append("<endpoint id='%s'%s/>" % (quote(endpoint), label))
    if answer.graceful_shutdown:
        parts.append("<graceful-shutdown/>")
    return "<conference xmlns='%s' id='%s'>%s</conference>" % (NS_COLIBRI, quote(answer.id), "".join(parts))


def _write_channel(channel: ChannelAnswer) -> str:
    attributes = " id='%s' endpoint='%s' initiator='true' channel-bundle-id='%s' rtp-level-relay-type='translator'" % (
        quote(channel.id),
        quote(channel.endpoint),
        quote(channel.bundle),
    )
    if channel.last_n is not None:
        attributes += " last-n='%d'" % channel.last_n
    if channel.direction != "sendrecv":
        attributes += " direction='%s'" % channel.direction
    inner = "<source xmlns='%s' ssrc='%d'/>" % (NS_JINGLE_SSMA, channel.feedback)
    inner += "".join("<ssrc>%d</ssrc>" % ssrc for ssrc in channel.received)
    return "<channel%s>%s</channel>" % (attributes, inner)
