"""The mute IQ (M-501): a moderator asks the focus for it, the focus tells the member."""
from __future__ import annotations

from typing import Any, NamedTuple, Optional

from focus.stanzas import xml
from focus.stanzas.errors import Malformed
from focus.stanzas.registry import register

_NAMESPACES = {
    "audio": xml.NS_JITMEET_AUDIO,
    "video": xml.NS_JITMEET_VIDEO,
    "desktop": xml.NS_JITMEET_DESKTOP,
}
_WORDS = {"true": True, "1": True, "false": False, "0": False}
_MEDIA = {namespace: media for media, namespace in _NAMESPACES.items()}


class Mute(NamedTuple):
    """Whose media, and who wants it."""

    media: str
    """'audio', 'video' or 'desktop'."""
    muted: bool
    jid: Optional[str] = None
    """The occupant to mute; a request without it is refused (M-510)."""
    actor: Optional[str] = None
    """The occupant who wanted it; only towards the one who is muted."""


def parse_mute(el: Any, iq_type: str) -> Mute:
    """Raises Malformed: bad-request for a text that says neither (M-502, M-5101), feature-not-implemented for
    a get."""
    if iq_type == "get":
        raise Malformed("feature-not-implemented", "muting is asked for by set")
    muted = _WORDS.get(xml.text_of(el, 64).strip().lower())
    if muted is None:
        raise Malformed("bad-request", "the mute says neither true nor false")
    return Mute(_MEDIA[xml.split_tag(el.tag)[0]], muted, el.get("jid") or None, el.get("actor") or None)


def write_mute(mute: Mute) -> str:
    """The payload (MT-22: clients need exactly ``true``)."""
    return xml.element("mute", {"jid": mute.jid, "actor": mute.actor}, "true" if mute.muted else "false",
                       _NAMESPACES[mute.media])


for _namespace in _MEDIA:
    register(_namespace, "mute", parse_mute)
