"""A room member's presence: what the focus reads of it and nothing else (C-604, C-606, C-620…C-636).

Clients send the whole presence again on every small change, so this is the most frequent stanza of all: one
pass over the children, and the same value again if nothing changed that counts.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from focus.stanzas import xml
from focus.stanzas.caps import Caps, parse_caps, write_caps
from focus.stanzas.muc import VISITOR, MucItem, MucUser, focus_role, write_muc_user
from focus.stanzas.source_info import SourceState, parse_source_info, write_source_info

if TYPE_CHECKING:
    from focus.stanzas.stanza import Presence

#: Longer texts are cut (characters).
MAX_TEXT = 256
MAX_FEATURES = 100
MAX_CODECS = 20

FEATURE_JIBRI = "http://jitsi.org/protocol/jibri"
FEATURE_JIGASI = "http://jitsi.org/protocol/jigasi"
FEATURE_TRANSCRIBER = "http://jitsi.org/protocol/transcriber"

_SERVICES = frozenset((FEATURE_JIBRI, FEATURE_JIGASI, FEATURE_TRANSCRIBER))


class MemberInfo(NamedTuple):
    """What a member's presence says. Later ones are read on top of the one before: see ``read_member``."""

    role: str = VISITOR
    """OWNER, MODERATOR, PARTICIPANT or VISITOR of ``focus.stanzas.muc`` (C-604)."""
    real_jid: Optional[str] = None
    """The first item's (C-606, C-704); the last one known."""
    connections: int = 0
    """How many items the presence carried: more than one connection stands under this nick (C-704)."""
    sources: Tuple[SourceState, ...] = ()
    audio_muted: bool = True
    video_muted: bool = True
    stats_id: Optional[str] = None
    region: Optional[str] = None
    """The last one known (C-623)."""
    codecs: Optional[Tuple[str, ...]] = None
    """Lower case, ``vp8`` among them; None if not given (C-624)."""
    diarize: bool = False
    features: Tuple[str, ...] = ()
    """Claims of service participants: worth nothing without a trusted domain (C-630, T-13)."""
    caps: Optional[Caps] = None
    status: str = ""
    """Text; ``switch_room`` in the last presence of one who goes to a breakout room (C-812)."""
    robot: bool = False
    """C-631."""
    start_muted: Optional[Tuple[bool, bool]] = None
    """Audio, video for later joiners, set by a moderator's old client (C-632)."""

    @property
    def claims_service(self) -> bool:
        """Whether it says it is a Jibri, a Jigasi or a transcriber; only a trusted domain proves it
        (S-120)."""
        return not _SERVICES.isdisjoint(self.features)


def _trimmed(el: Any) -> Optional[str]:
    return xml.text_of(el, MAX_TEXT).strip() or None


def _true(el: Any) -> bool:
    return xml.text_of(el, 16).strip().lower() == "true"


def _features(el: Any) -> Tuple[str, ...]:
    found: List[str] = []
    for part in xml.elements(el):
        var = part.get("var") if xml.split_tag(part.tag)[1] == "feature" else None
        if var and len(var) <= MAX_TEXT and len(found) < MAX_FEATURES:
            found.append(var)
    return tuple(found)


def _codecs(text: str) -> Tuple[str, ...]:
    names = [name.strip().lower() for name in text.split(",")[:MAX_CODECS]]
    names = [name for name in names if name]
    if "vp8" not in names:
        names.append("vp8")
    return tuple(names)


def _start_muted(el: Any) -> Tuple[bool, bool]:
    return xml.parse_bool(el.get("audio")), xml.parse_bool(el.get("video"))


def _robot(el: Any) -> bool:
    return any(_true(part) for part in xml.elements(el) if xml.split_tag(part.tag)[1] == "robot")


# Readers of the children by name, of those in the stanza's own namespace and of those in others.
_PLAIN: Dict[str, Callable[[Any], Any]] = {
    "SourceInfo": lambda el: parse_source_info(xml.text_of(el, 65537)),
    "audiomuted": _true,
    "videomuted": _true,
    "stats-id": _trimmed,
    "jitsi_participant_region": _trimmed,
    "jitsi_participant_codecList": lambda el: _codecs(xml.text_of(el, 1024)),
    "jitsi_participant_codecType": lambda el: _codecs(xml.text_of(el, 1024).partition(",")[0]),
    "jitsi_participant_diarize": _true,
    "features": _features,
    "status": lambda el: xml.text_of(el, MAX_TEXT),
}
_READERS: Dict[str, Tuple[str, Callable[[Any], Any]]] = {
    "{%s}c" % xml.NS_CAPS: ("caps", parse_caps),
    "{%s}userinfo" % xml.NS_USERINFO: ("robot", _robot),
    "{%s}startmuted" % xml.NS_START_MUTED: ("start_muted", _start_muted),
}
for _name, _reader in _PLAIN.items():
    for _namespace in (xml.NS_CLIENT, xml.NS_COMPONENT):
        _READERS["{%s}%s" % (_namespace, _name)] = (_name, _reader)
    _READERS[_name] = (_name, _reader)


def read_member(presence: Presence, previous: Optional[MemberInfo] = None) -> MemberInfo:
    """Reads a member's presence; ``previous`` is the value of its last one.

    From before stand: role and real JID if there is no item (T-30), the real JID if the item has none, the
    region if there is none (C-623), source states if the new ones can't be read (C-633). The first child of a
    name counts. If nothing of it all has changed, ``previous`` itself comes back (C-636).
    """
    muc = presence.muc
    found: Dict[str, Any] = {}
    for part in xml.elements(presence.element):
        reader = _READERS.get(part.tag)
        if reader is not None and reader[0] not in found:
            found[reader[0]] = reader[1](part)
    before = previous or MemberInfo()
    role, real_jid, connections = before.role, before.real_jid, before.connections
    if muc.items:
        item = muc.items[0]
        role = focus_role(item.affiliation, item.role)
        real_jid, connections = item.jid or real_jid, len(muc.items)
    sources, audio_muted, video_muted = _mute_state(found, before)
    get = found.get
    now = MemberInfo(
        role, real_jid, connections, sources, audio_muted, video_muted, get("stats-id"),
        get("jitsi_participant_region") or before.region,
        get("jitsi_participant_codecList") or get("jitsi_participant_codecType"),
        get("jitsi_participant_diarize", False), get("features", ()), get("caps"),
        get("status", ""), get("robot", False), get("start_muted"))
    return previous if now == previous and previous is not None else now


def _mute_state(found: Dict[str, Any], before: MemberInfo) -> Tuple[Tuple[SourceState, ...], bool, bool]:
    """Sources, audio muted, video muted (C-621, C-633, C-634)."""
    if "SourceInfo" not in found:
        return (), found.get("audiomuted", True), found.get("videomuted", True)
    sources = found["SourceInfo"]
    if sources is None:
        return before.sources, before.audio_muted, before.video_muted
    unmuted = {source.media for source in sources if not source.muted}
    return sources, "audio" not in unmuted, "video" not in unmuted


def write_member(member: MemberInfo, affiliation: str = "none", muc_role: str = "participant") -> str:
    """The children of a member's presence, the room's part included, as a room sends it on.

    ``member.role`` isn't written: rooms say affiliation and role.
    """
    parts = []
    if member.caps is not None:
        parts.append(write_caps(member.caps))
    if member.sources:
        parts.append("<SourceInfo>%s</SourceInfo>" % xml.escape(write_source_info(member.sources)))
    else:
        parts.append("<audiomuted>%s</audiomuted>" % str(member.audio_muted).lower())
        parts.append("<videomuted>%s</videomuted>" % str(member.video_muted).lower())
    codecs = ",".join(member.codecs or ())
    for name, text in (("stats-id", member.stats_id), ("jitsi_participant_region", member.region),
                       ("jitsi_participant_codecList", codecs), ("status", member.status)):
        if text:
            parts.append("<%s>%s</%s>" % (name, xml.escape(text), name))
    if member.diarize:
        parts.append("<jitsi_participant_diarize>true</jitsi_participant_diarize>")
    if member.features:
        features = "".join("<feature var='%s'/>" % xml.quote(var) for var in member.features)
        parts.append("<features>%s</features>" % features)
    if member.robot:
        parts.append(xml.element("userinfo", None, "<robot>true</robot>", xml.NS_USERINFO))
    if member.start_muted is not None:
        audio, video = member.start_muted
        parts.append(xml.element("startmuted", {"audio": audio, "video": video}, xmlns=xml.NS_START_MUTED))
    if member.connections:
        item = MucItem(member.real_jid, affiliation, muc_role)
        parts.append(write_muc_user(MucUser((item,) * member.connections)))
    return "".join(parts)
