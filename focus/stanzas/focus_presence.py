"""What the focus publishes in a room: always its whole state (C-501…C-521). No priority, no show, no nick
(C-504)."""
from __future__ import annotations

from typing import Any, Dict, Mapping, NamedTuple, Optional, Tuple

from focus.stanzas import xml
from focus.stanzas.caps import Caps, parse_caps, write_caps
from focus.stanzas.muc import MucJoin, write_muc_join

#: Keys of the conference properties (C-510).
SUPPORT_TERMINATE_RESTART = "support-terminate-restart"
BRIDGE_COUNT = "bridge-count"
AUDIO_LIMIT_REACHED = "audio-limit-reached"
VIDEO_LIMIT_REACHED = "video-limit-reached"

_NOT_AVAILABLE = "<bridgeNotAvailable xmlns='%s'/>" % xml.NS_FOCUS


class FocusPresence(NamedTuple):
    """The focus's state in one room."""

    caps: Optional[Caps] = None
    etherpad: Optional[str] = None
    """Name of the shared document; the client makes the address of it."""
    version: Optional[str] = None
    """Of the focus."""
    properties: Mapping[str, str] = {}
    """The conference properties; clients take a missing key as unset (T-6)."""
    bridge_not_available: bool = False
    extensions: Tuple[str, ...] = ()
    """Further elements, written: the state of recordings and the like (C-503). Not read back."""


def write_focus_presence(state: FocusPresence, join: Optional[MucJoin] = None) -> str:
    """The children of the presence. ``join`` only in the one that joins the room (C-417)."""
    parts = []
    if join is not None:
        parts.append(write_muc_join(join))
    if state.caps is not None:
        parts.append(write_caps(state.caps))
    if state.etherpad is not None:
        parts.append(xml.element("etherpad", None, xml.escape(state.etherpad), xml.NS_ETHERPAD))
    if state.version is not None:
        version = xml.element("component", {"name": "focus"}, xml.escape(state.version))
        parts.append(xml.element("versions", None, version, xml.NS_JITMEET))
    if state.properties:
        properties = "".join(xml.element("property", {"key": key, "value": value})
                             for key, value in state.properties.items())
        parts.append(xml.element("conference-properties", None, properties, xml.NS_FOCUS))
    if state.bridge_not_available:
        parts.append(_NOT_AVAILABLE)
    parts.extend(state.extensions)
    return "".join(parts)


def parse_focus_presence(presence: Any) -> FocusPresence:
    """What a client reads of the focus's presence element. Versions of others than the focus are dropped."""
    c = xml.child(presence, "{%s}c" % xml.NS_CAPS)
    return FocusPresence(
        parse_caps(c) if c is not None else None,
        xml.child_text(presence, "{%s}etherpad" % xml.NS_ETHERPAD),
        _parse_version(presence),
        _parse_properties(presence),
        xml.child(presence, "{%s}bridgeNotAvailable" % xml.NS_FOCUS) is not None)


def _parse_version(presence: Any) -> Optional[str]:
    versions = xml.child(presence, "{%s}versions" % xml.NS_JITMEET)
    for part in xml.elements(versions, "{%s}component" % xml.NS_JITMEET) if versions is not None else ():
        if part.get("name") == "focus":
            return xml.text_of(part, 1024)
    return None


def _parse_properties(presence: Any) -> Dict[str, str]:
    properties = xml.child(presence, "{%s}conference-properties" % xml.NS_FOCUS)
    if properties is None:
        return {}
    return {part.get("key", ""): part.get("value", "")
            for part in xml.elements(properties, "{%s}property" % xml.NS_FOCUS)}
