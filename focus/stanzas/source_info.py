"""``SourceInfo``: the JSON in a member's presence that says which of its sources are muted (C-620, C-633).

It is written by strangers (T-15): whatever is wrong with it, it is ignored as a whole, and the state before
stands.
"""
from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any, Dict, NamedTuple, NoReturn, Optional, Tuple

#: Bounds: characters of the text, sources in it.
MAX_TEXT = 65536
MAX_SOURCES = 100

_SURROGATE = re.compile("[\ud800-\udfff]")


class SourceState(NamedTuple):
    """What a member says of one of its sources."""

    name: str
    media: Optional[str] = None
    """'audio', 'video', or None if neither the text nor the name tells."""
    muted: bool = True
    video_type: Optional[str] = None
    """'camera', 'desktop' or None."""


def _refuse(constant: str) -> NoReturn:
    raise ValueError("%s is no JSON" % constant)


# Numbers have no place in it, and turning a long one into an int takes time that grows with its square.
_decoder = json.JSONDecoder(parse_int=float, parse_constant=_refuse)


def parse_source_info(text: str) -> Optional[Tuple[SourceState, ...]]:
    """The sources in the order written; None if the text must be ignored."""
    if len(text) > MAX_TEXT:
        return None
    return _cached(text) if len(text) <= 1024 else _parse(text)


def _parse(text: str) -> Optional[Tuple[SourceState, ...]]:
    try:
        parsed = _decoder.decode(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(parsed, dict) or len(parsed) > MAX_SOURCES:
        return None
    states = []
    for name, value in parsed.items():
        if not isinstance(value, dict) or _SURROGATE.search(name):
            return None
        video_type = value.get("videoType")
        if video_type is not None and not isinstance(video_type, str):
            return None
        states.append(SourceState(name, _media(name, value.get("mediaType")), value.get("muted") is not False,
                                  video_type if video_type in ("camera", "desktop") else None))
    return tuple(states)


# A room's presences repeat: each change of anything else sends the same text again (C-636).
_cached = lru_cache(maxsize=2048)(_parse)


def _media(name: str, media: Any) -> Optional[str]:
    if media == "audio" or media == "video":
        return str(media)
    letter = name.partition("-")[2][:1]
    return {"a": "audio", "v": "video"}.get(letter)


def write_source_info(states: Tuple[SourceState, ...]) -> str:
    """The JSON text a client publishes."""
    value: Dict[str, Dict[str, Any]] = {}
    for state in states:
        entry: Dict[str, Any] = {"muted": state.muted}
        if state.video_type is not None:
            entry["videoType"] = state.video_type
        if state.media is not None:
            entry["mediaType"] = state.media
        value[state.name] = entry
    return json.dumps(value, separators=(",", ":"))
