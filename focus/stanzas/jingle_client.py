"""Jingle as the participant's side writes and reads it: for scripted clients, the demo and round trips."""
from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from focus.stanzas.jingle import BridgeSession, JingleRequest, content_media, contents_of
from focus.stanzas.media_xml import open_description, parse_description
from focus.stanzas.sources_json import JSON_MESSAGE, parse_json_sources
from focus.stanzas.sources_xml import SourceReader, parse_owners, write_own_sources
from focus.stanzas.transport_xml import TRANSPORT, parse_sctp_port, parse_transport, write_transport
from focus.stanzas.xml import (
    NS_COLIBRI2,
    NS_FOCUS,
    NS_JINGLE,
    NS_JINGLE_GROUPING,
    NS_JINGLE_RTP,
    NS_START_MUTED,
    Malformed,
    attributes,
    escape,
    parse_bool,
    text_of,
)
from focus.values.media import MediaDescription
from focus.values.sources import AUDIO, VIDEO, SourceSet
from focus.values.transport import Transport

_DESCRIPTION = "{%s}description" % NS_JINGLE_RTP
_GROUP = "{%s}group" % NS_JINGLE_GROUPING
_GROUP_CONTENT = "{%s}content" % NS_JINGLE_GROUPING
_START_MUTED = "{%s}startmuted" % NS_START_MUTED
_BRIDGE_SESSION = "{%s}bridge-session" % NS_FOCUS


class Offer(NamedTuple):
    """A ``session-initiate`` as a client reads it."""

    sid: str
    initiator: str
    media: Tuple[MediaDescription, ...]
    transport: Transport
    sctp_port: Optional[int]
    sources: Dict[str, SourceSet]
    bridge_session_id: str
    region: Optional[str]
    json: bool
    start_muted: Tuple[bool, bool] = (False, False)
    bundle: Tuple[str, ...] = ()


class SourceUpdate(NamedTuple):
    """A ``source-add`` or ``source-remove`` as a client reads it."""

    action: str
    sid: str
    sources: Dict[str, SourceSet]
    json: bool


def parse_offer(el: Any) -> Offer:
    """A ``session-initiate``.  Raises Malformed if it can't be used."""
    media: List[MediaDescription] = []
    transports: List[Transport] = []
    sctp_port: Optional[int] = None
    for content in contents_of(el):
        description = next(content.iterchildren(_DESCRIPTION), None)
        kind = content_media(content, description)
        if description is not None and kind in (AUDIO, VIDEO):
            media.append(parse_description(description, kind))
        for transport in content.iterchildren(TRANSPORT):
            transports.append(parse_transport(transport))
            sctp_port = sctp_port or parse_sctp_port(transport)
    if not transports:
        raise Malformed("bad-request", "offer without transport")
    if any(transport != transports[0] for transport in transports):
        raise Malformed("bad-request", "contents have different transports (J-307)")
    session = next(el.iterchildren(_BRIDGE_SESSION), None)
    if session is None or not session.get("id"):
        raise Malformed("bad-request", "offer without bridge-session")
    muted = next(el.iterchildren(_START_MUTED), None)
    start_muted = (False, False) if muted is None else (parse_bool(muted.get("audio")), parse_bool(muted.get("video")))
    group = next(el.iterchildren(_GROUP), None)
    bundle = () if group is None else tuple(one.get("name") or "" for one in group.iterchildren(_GROUP_CONTENT))
    sources, json = parse_told_sources(el)
    return Offer(el.get("sid") or "", el.get("initiator") or "", tuple(media), transports[0], sctp_port, sources,
                 session.get("id"), session.get("region"), json, start_muted, bundle)


def parse_source_update(el: Any) -> SourceUpdate:
    """A ``source-add`` or ``source-remove`` from the focus.  Raises Malformed."""
    sources, json = parse_told_sources(el)
    return SourceUpdate(el.get("action") or "", el.get("sid") or "", sources, json)


def parse_told_sources(el: Any) -> Tuple[Dict[str, SourceSet], bool]:
    """All owners' sources in a stanza of the focus, and whether they came as JSON (J-401)."""
    message = next(el.iterchildren(JSON_MESSAGE), None)
    if message is not None:
        return parse_json_sources(text_of(message, 1 << 24)), True
    readers: Dict[str, SourceReader] = {}
    for content in contents_of(el):
        for description in content.iterchildren(_DESCRIPTION):
            parse_owners(description, content_media(content, description), readers)
    return {owner: reader.result() for owner, reader in readers.items()}, False


def write_request(request: JingleRequest, media: Tuple[MediaDescription, ...] = ()) -> str:
    """A participant's request: an answer (with ``media``), a change of its sources, an end, an information."""
    parts = ["<jingle xmlns='%s'%s>" % (NS_JINGLE, attributes({
        "action": request.raw_action or request.action, "sid": request.sid, "initiator": request.initiator,
        "responder": request.responder}))]
    parts.append(_write_contents(request, {one.media: one for one in media}))
    if request.reason is not None or request.reason_text is not None:
        parts.append("<reason>%s%s</reason>" % (
            "" if request.reason is None else "<%s/>" % request.reason,
            "" if request.reason_text is None else "<text>%s</text>" % escape(request.reason_text)))
    if request.ice_state is not None:
        parts.append("<ice-state xmlns='%s'>%s</ice-state>" % (NS_FOCUS, escape(request.ice_state)))
    if request.bridge_session is not None:
        parts.append(_write_bridge_session(request.bridge_session))
    parts.append("</jingle>")
    return "".join(parts)


def _write_bridge_session(session: BridgeSession) -> str:
    return "<bridge-session xmlns='%s'%s/>" % (NS_FOCUS, attributes({
        "id": session.id, "restart": session.restart or None, "ice-restart": session.ice_restart or None,
        "region": session.region}))


def _write_contents(request: JingleRequest, media: Mapping[str, MediaDescription]) -> str:
    transport = "" if request.transport is None else write_transport(request.transport)
    contents = []
    for name in (AUDIO, VIDEO):
        sources = request.sources.of(name)
        last_n = ""
        if name == VIDEO and request.initial_last_n is not None:
            last_n = "<initial-last-n xmlns='%s' value='%d'/>" % (NS_COLIBRI2, request.initial_last_n)
        description = media.get(name)
        if not sources and not last_n and description is None and not (transport and name == AUDIO):
            continue
        opened = ("<description xmlns='%s' media='%s'>" % (NS_JINGLE_RTP, name) if description is None
                  else open_description(description))
        contents.append("<content creator='responder' name='%s' senders='both'>%s%s</description>%s%s</content>" % (
            name, opened, write_own_sources(sources), transport, last_n))
    return "".join(contents)
