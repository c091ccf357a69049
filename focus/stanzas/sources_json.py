"""Sources as JSON inside ``json-message`` (jingle.md section 4.1).

Names and msids come from other users: the text is made by a JSON encoder and then escaped for XML (J-407). What is
written for one owner is remembered, because every receiver gets it.
"""
from __future__ import annotations

from functools import lru_cache
from json import JSONEncoder, loads
from typing import Any, Dict, List, Mapping

from focus.stanzas.xml import NS_JITMEET, Malformed, escape
from focus.values.sources import AUDIO, CAMERA, DESKTOP, FID, SIM, VIDEO, Source, SourceSet, SsrcGroup

JSON_MESSAGE = "{%s}json-message" % NS_JITMEET

_encode = JSONEncoder(ensure_ascii=True, check_circular=False, separators=(",", ":")).encode
_LETTERS = {FID: "f", SIM: "s"}
_SEMANTICS = {letter: semantics for semantics, letter in _LETTERS.items()}


def source_body_json(sources: Mapping[str, SourceSet]) -> str:
    """The one ``json-message`` element of a request (J-402, J-406)."""
    return "<json-message xmlns='%s'>{\"sources\":{%s}}</json-message>" % (
        NS_JITMEET, ",".join([_written(owner, owned) for owner, owned in sources.items()]))


@lru_cache(maxsize=2048)
def _written(owner: str, sources: SourceSet) -> str:
    """``"owner":[…]``, escaped for XML."""
    video, audio = sources.of(VIDEO), sources.of(AUDIO)
    columns: List[Any] = [[_source(s) for s in video.sources],
                          [_group(g) for g in video.groups if g.semantics in _LETTERS],
                          [_source(s) for s in audio.sources]]
    if audio.groups:
        columns.append([_group(g) for g in audio.groups if g.semantics in _LETTERS])
    return escape("%s:%s" % (_encode(owner), _encode(columns)))


def _source(source: Source) -> Dict[str, Any]:
    entry: Dict[str, Any] = {"s": source.ssrc}
    if source.name is not None:
        entry["n"] = source.name
    if source.msid is not None:
        entry["m"] = source.msid
    if source.video_type == DESKTOP:
        entry["v"] = "d"
    return entry


def _group(group: SsrcGroup) -> List[Any]:
    return [_LETTERS[group.semantics], *group.ssrcs]


def parse_json_sources(text: str) -> Dict[str, SourceSet]:
    """The ``sources`` of a ``json-message``, by owner; video without ``v`` is a camera (J-403).

    Raises Malformed.
    """
    try:
        message = loads(text)
    except (ValueError, RecursionError):
        raise Malformed("bad-request", "json-message is not JSON") from None
    sources = message.get("sources") if isinstance(message, dict) else None
    if not isinstance(sources, dict):
        raise Malformed("bad-request", "json-message has no sources")
    return {owner: _parse_owned(columns) for owner, columns in sources.items()}


def _parse_owned(columns: Any) -> SourceSet:
    if not isinstance(columns, list) or len(columns) > 4 or not all(isinstance(column, list) for column in columns):
        raise Malformed("bad-request", "sources of an owner are not up to four arrays")
    columns = columns + [[]] * (4 - len(columns))
    return SourceSet([_parse_source(entry, VIDEO) for entry in columns[0]]
                     + [_parse_source(entry, AUDIO) for entry in columns[2]],
                     [_parse_group(entry, VIDEO) for entry in columns[1]]
                     + [_parse_group(entry, AUDIO) for entry in columns[3]])


def _parse_source(entry: Any, media: str) -> Source:
    if not isinstance(entry, dict):
        raise Malformed("bad-request", "a source is not an object")
    name, msid = entry.get("n"), entry.get("m")
    for text in (name, msid):
        if text is not None and not isinstance(text, str):
            raise Malformed("bad-request", "name or msid of a source is not a text")
    video_type = None
    if media == VIDEO:
        video_type = DESKTOP if entry.get("v") else CAMERA
    return Source(_ssrc(entry.get("s")), media, name, msid, video_type)


def _parse_group(entry: Any, media: str) -> SsrcGroup:
    if not isinstance(entry, list) or not entry or not isinstance(entry[0], str) or entry[0] not in _SEMANTICS:
        raise Malformed("bad-request", "a group is not an array that begins with f or s")
    return SsrcGroup(_SEMANTICS[entry[0]], media, tuple(_ssrc(ssrc) for ssrc in entry[1:]))


def _ssrc(number: Any) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 1 << 32:
        raise Malformed("bad-request", "ssrc is not a number of 32 bits")
    return number
