"""Jingle between the focus and a participant (XEP-0166 with Jitsi's additions; jingle.md).

Read: what clients send, into one :class:`JingleRequest`. Written: what the focus sends. The other two directions,
for peers in tests and in the demo, stand in ``jingle_client``.
"""
from __future__ import annotations

from typing import Any, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from focus.stanzas.media_xml import open_description
from focus.stanzas.registry import register
from focus.stanzas.sources_json import source_body_json
from focus.stanzas.sources_xml import SourceReader, source_body_xml, write_sources
from focus.stanzas.transport_xml import TRANSPORT, open_transport, parse_transport, write_sctpmap, write_transport
from focus.stanzas.xml import (
    NS_COLIBRI2,
    NS_FOCUS,
    NS_JINGLE,
    NS_JINGLE_GROUPING,
    NS_JINGLE_RTP,
    NS_START_MUTED,
    escape,
    optional_int,
    parse_bool,
    quote,
    split_tag,
)
from focus.values.media import MediaDescription
from focus.values.sources import EMPTY_SOURCES, SourceSet
from focus.values.transport import Transport
from focus.values.written import Shared

__all__ = ["BridgeSession", "JingleRequest", "SUPPORTED_ACTIONS", "UNSUPPORTED_ACTIONS", "parse_jingle",
           "source_body_json", "source_body_xml", "write_session_initiate", "write_session_terminate",
           "write_source_update", "write_transport_info"]

#: What a participant may ask of us (J section 5.2); synonyms are already resolved (J-536).
SUPPORTED_ACTIONS = frozenset({"session-accept", "session-info", "session-terminate", "transport-info",
                               "transport-accept", "transport-reject", "source-add", "source-remove"})
#: Jingle actions that the focus doesn't serve: ``feature-not-implemented`` (J-507).
UNSUPPORTED_ACTIONS = frozenset({"session-initiate", "content-add", "content-accept", "content-reject",
                                 "content-remove", "content-modify", "description-info", "security-info",
                                 "transport-replace"})
_SYNONYMS = {"addsource": "source-add", "removesource": "source-remove"}
_WITH_SOURCES = frozenset({"session-accept", "transport-accept", "source-add", "source-remove"})
_WITH_TRANSPORT = frozenset({"session-accept", "transport-accept", "transport-info"})

MAX_CONTENTS = 64
MAX_TEXT = 1000

_CONTENT = "{%s}content" % NS_JINGLE
_REASON = "{%s}reason" % NS_JINGLE
_REASON_TEXT = "{%s}text" % NS_JINGLE
_DESCRIPTION = "{%s}description" % NS_JINGLE_RTP
_BRIDGE_SESSION = "{%s}bridge-session" % NS_FOCUS
_ICE_STATE = "{%s}ice-state" % NS_FOCUS
_LAST_N = "{%s}initial-last-n" % NS_COLIBRI2


class BridgeSession(NamedTuple):
    """``bridge-session``: which bridge a client talks of, and what it wants of it (J-303, J-541, J-551)."""

    id: Optional[str]
    restart: bool = False
    ice_restart: bool = False
    region: Optional[str] = None


class JingleRequest(NamedTuple):
    """A participant's request. ``initiator`` and ``responder`` are what it wrote: don't compare them (J-104)."""

    action: Optional[str]
    """None if missing or no Jingle action: ``bad-request`` (J-506)."""
    sid: str
    """Empty if missing, which no session has."""
    sources: SourceSet = EMPTY_SOURCES
    transport: Optional[Transport] = None
    """The first ICE-UDP transport, with ``rtcp-mux`` added (J-514)."""
    bridge_session: Optional[BridgeSession] = None
    ice_state: Optional[str] = None
    """In lower case, of old clients (J-542)."""
    initial_last_n: Optional[int] = None
    reason: Optional[str] = None
    reason_text: Optional[str] = None
    initiator: Optional[str] = None
    responder: Optional[str] = None
    raw_action: Optional[str] = None
    """The attribute as it was, for logs."""

    @property
    def has_sources(self) -> bool:
        """Whether it names any source or group."""
        return bool(self.sources)

    @property
    def is_supported(self) -> bool:
        """Whether the focus serves this action (J-507)."""
        return self.action in SUPPORTED_ACTIONS


def parse_jingle(el: Any, iq_type: str = "set") -> JingleRequest:
    """A ``<jingle>`` from a participant.

    Of an action that the focus doesn't serve, and of an IQ that isn't a ``set`` (J-508), only the attributes are
    read: they get their own answers whatever they hold.  Raises Malformed (J-509).
    """
    raw_action = el.get("action")
    action = _SYNONYMS.get(raw_action, raw_action)
    if action not in SUPPORTED_ACTIONS and action not in UNSUPPORTED_ACTIONS:
        action = None
    sid, initiator, responder = _cut(el.get("sid")) or "", _cut(el.get("initiator")), _cut(el.get("responder"))
    if iq_type != "set" or action not in SUPPORTED_ACTIONS:
        return JingleRequest(action, sid, initiator=initiator, responder=responder, raw_action=_cut(raw_action))
    sources, transport, last_n = _parse_contents(el, action)
    reason, reason_text = _parse_reason(el)
    return JingleRequest(action, sid, sources, transport, _parse_bridge_session(el), _parse_ice_state(el), last_n,
                         reason, reason_text, initiator, responder, _cut(raw_action))


def _cut(text: Optional[str]) -> Optional[str]:
    return text if text is None or len(text) <= MAX_TEXT else text[:MAX_TEXT]


def content_media(content: Any, description: Optional[Any]) -> Optional[str]:
    """``media`` of the description; without one the content's name (J-512)."""
    media = description.get("media") if description is not None else None
    return media if media is not None else content.get("name")


def contents_of(el: Any) -> Iterator[Any]:
    """The ``content`` children, the first ``MAX_CONTENTS`` of them."""
    for count, content in enumerate(el.iterchildren(_CONTENT)):
        if count >= MAX_CONTENTS:
            return
        yield content


def _parse_contents(el: Any, action: str) -> Tuple[SourceSet, Optional[Transport], Optional[int]]:
    reader = SourceReader() if action in _WITH_SOURCES else None
    wants_transport = action in _WITH_TRANSPORT
    transport: Optional[Transport] = None
    last_n: Optional[int] = None
    for content in contents_of(el):
        if reader is not None:
            description = next(content.iterchildren(_DESCRIPTION), None)
            media = content_media(content, description)
            if description is not None:
                reader.read(description, media)
            reader.read(content, media, groups=False)  # where clients before descriptions had them (J-513)
        if wants_transport and transport is None:
            found = next(content.iterchildren(TRANSPORT), None)
            if found is not None:
                transport = parse_transport(found)
                if not transport.rtcp_mux:
                    transport = transport._replace(rtcp_mux=True)
        if last_n is None and content.get("name") == "video":
            asked = next(content.iterchildren(_LAST_N), None)
            if asked is not None:
                last_n = optional_int(asked.get("value"), -1, 2 ** 31 - 1)
    return reader.result() if reader is not None else EMPTY_SOURCES, transport, last_n


def _parse_reason(el: Any) -> Tuple[Optional[str], Optional[str]]:
    reason = next(el.iterchildren(_REASON), None)
    if reason is None:
        return None, None
    condition: Optional[str] = None
    text: Optional[str] = None
    for child in reason.iterchildren("*"):
        if child.tag == _REASON_TEXT:
            text = _cut(child.text or "")
        elif condition is None:
            condition = split_tag(child.tag)[1][:64]
        if condition is not None and text is not None:
            break
    return condition, text


def _parse_bridge_session(el: Any) -> Optional[BridgeSession]:
    found = next(el.iterchildren(_BRIDGE_SESSION), None)
    if found is None:
        return None
    return BridgeSession(_cut(found.get("id")), parse_bool(found.get("restart")), parse_bool(found.get("ice-restart")),
                         _cut(found.get("region")))


def _parse_ice_state(el: Any) -> Optional[str]:
    found = next(el.iterchildren(_ICE_STATE), None)
    return None if found is None else (found.text or "")[:64].strip().lower()


def write_session_initiate(sid: str, initiator: str, media: Sequence[MediaDescription], transport: Transport,
                           sctp_port: Optional[int], sources: Mapping[str, SourceSet], bridge_session_id: str,
                           region: Optional[str], json: bool,
                           start_muted: Tuple[bool, bool] = (False, False), action: str = "session-initiate") -> str:
    """An offer (jingle.md section 3); with the action ``transport-replace`` one within a session (J-816).

    ``sources`` are all that the receiver is told, the bridge's own under ``jvb`` included (J-361, J-363); written
    as JSON or as XML (J-401, J-411). A ``data`` content stands in it exactly if there is an ``sctp_port`` (J-341,
    J-343). ``start_muted`` is (audio, video) (J-305).
    """
    carried = open_transport(transport, to_client=True)
    parts = ["<jingle xmlns='%s' action='%s' sid='%s' initiator='%s'>" % (
        NS_JINGLE, action, quote(sid), quote(initiator))]
    names: List[str] = []
    for description in media:
        name = description.media
        names.append(name)
        parts += ["<content creator='initiator' name='%s' senders='both'>" % name, open_description(description),
                  "" if json else write_sources(sources, name), "</description>", carried, "</transport></content>"]
    if sctp_port is not None:
        names.append("data")
        parts += ["<content creator='initiator' name='data' senders='both'>"
                  "<description xmlns='%s' media='application'><rtcp-mux/></description>" % NS_JINGLE_RTP,
                  carried, write_sctpmap(sctp_port), "</transport></content>"]
    parts.append("<group xmlns='%s' semantics='BUNDLE'>%s</group>" % (
        NS_JINGLE_GROUPING, "".join(["<content name='%s'/>" % name for name in names])))
    if start_muted[0] or start_muted[1]:
        parts.append("<startmuted xmlns='%s' audio='%s' video='%s'/>" % (
            NS_START_MUTED, _bool(start_muted[0]), _bool(start_muted[1])))
    parts.append("<bridge-session xmlns='%s' id='%s'%s/>" % (
        NS_FOCUS, quote(bridge_session_id), " region='%s'" % quote(region) if region else ""))
    if json:
        parts.append(source_body_json(sources))
    parts.append("</jingle>")
    return "".join(parts)


def _bool(value: bool) -> str:
    return "true" if value else "false"


def write_source_update(action: str, sid: str, body_xml: str) -> Shared:
    """``source-add`` or ``source-remove``; the body is shared by all receivers of one kind (J-712).

    It comes from ``source_body_json`` or ``source_body_xml``.
    """
    return Shared("<jingle xmlns='%s' action='%s' sid='%s'>" % (NS_JINGLE, action, quote(sid)), body_xml, "</jingle>")


def write_session_terminate(sid: str, reason: str, text: str = "") -> str:
    """``session-terminate``; the condition comes first (J-128, J-129)."""
    return "<jingle xmlns='%s' action='session-terminate' sid='%s'><reason><%s/>%s</reason></jingle>" % (
        NS_JINGLE, quote(sid), reason, "<text>%s</text>" % escape(text) if text else "")


def write_transport_info(sid: str, transport: Transport) -> str:
    """A bridge's transport after an ICE restart, for the client: one content (J-864)."""
    return ("<jingle xmlns='%s' action='transport-info' sid='%s'><content creator='initiator' name='audio'>%s"
            "</content></jingle>" % (NS_JINGLE, quote(sid), write_transport(transport, to_client=True)))


register(NS_JINGLE, "jingle", parse_jingle)
