"""Sources as XML (XEP-0339 with Jitsi's additions; jingle.md sections 4.2 and 5.1)."""
from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Dict, List, Mapping, Optional, Sequence

from focus.stanzas.xml import NS_JINGLE_RTP, NS_JINGLE_SSMA, NS_JITMEET, Malformed, quote
from focus.values.sources import AUDIO, CAMERA, DESKTOP, FEC_FR, FID, SIM, VIDEO, Source, SourceSet, SsrcGroup

MAX_SOURCES = 200
"""Sources, and also groups, of one request; more is refused before any of it is looked at further."""
MAX_GROUP_MEMBERS = 64
MAX_NAME = 256
MAX_MSID = 1024

SOURCE = "{%s}source" % NS_JINGLE_SSMA
GROUP = "{%s}ssrc-group" % NS_JINGLE_SSMA
OWNER = "{%s}ssrc-info" % NS_JITMEET
# Which namespace the parameter is in depends on the library the peer was built with (J-416).
_PARAMETERS = ("{%s}parameter" % NS_JINGLE_SSMA, "{%s}parameter" % NS_JINGLE_RTP)

_VIDEO_TYPES = {"camera": CAMERA, "desktop": DESKTOP, "desktop_high_fps": DESKTOP}
CLIENT_SEMANTICS = {"SIM": SIM, "FID": FID}
BRIDGE_SEMANTICS = {"SIM": SIM, "FID": FID, "FEC-FR": FEC_FR}
_DECIMAL = re.compile("-?[0-9]{1,19}")
_SSRC_SPACE = 1 << 32


def parse_ssrc(text: Optional[str]) -> int:
    """An SSRC; old peers wrote the upper half as negative numbers (KT-32). The range is checked elsewhere (J-611).

    Raises Malformed if it isn't a decimal number (J-509).
    """
    if text is not None and len(text) <= 10 and text.isascii() and text.isdigit():
        return int(text)
    if text is None or _DECIMAL.fullmatch(text) is None:
        raise Malformed("bad-request", "ssrc is missing or not a decimal number")
    number = int(text)
    return number + _SSRC_SPACE if -(1 << 31) <= number < 0 else number


class SourceReader:
    """Gathers the sources and groups of one request, within bounds."""

    __slots__ = ("sources", "groups", "semantics")

    def __init__(self, semantics: Mapping[str, str] = CLIENT_SEMANTICS) -> None:
        self.sources: List[Source] = []
        self.groups: List[SsrcGroup] = []
        self.semantics = semantics

    def read(self, parent: Any, media: Optional[str], groups: bool = True, name: Optional[str] = None) -> None:
        """The sources (and groups) directly in ``parent``; ``name`` is for sources that have none.

        Raises Malformed (J-509): bad SSRC, media type or semantics, too many or too long.
        """
        for el in parent.iterchildren(SOURCE):
            self.sources.append(_parse_source(el, _known(media), name))
            if len(self.sources) > MAX_SOURCES:
                raise Malformed("bad-request", "more than %d sources in one request" % MAX_SOURCES)
        if not groups:
            return
        for el in parent.iterchildren(GROUP):
            self.groups.append(self._parse_group(el, _known(media)))
            if len(self.groups) > MAX_SOURCES:
                raise Malformed("bad-request", "more than %d ssrc-groups in one request" % MAX_SOURCES)

    def read_channel(self, parent: Any, media: str) -> bool:
        """Those of a Colibri 1 channel, where an empty source or group stands for none (K-708).

        Returns whether it says anything about sources.  Raises Malformed.
        """
        said = False
        for el in parent.iterchildren(SOURCE, GROUP):
            said = True
            if el.tag == SOURCE and el.get("ssrc") is not None:
                self.sources.append(_parse_source(el, _known(media), None))
            elif el.tag == GROUP and len(el):
                self.groups.append(self._parse_group(el, _known(media)))
            if len(self.sources) > MAX_SOURCES or len(self.groups) > MAX_SOURCES:
                raise Malformed("bad-request", "too many sources in a channel")
        return said

    def result(self) -> SourceSet:
        """Everything read so far."""
        return SourceSet(self.sources, self.groups)

    def _parse_group(self, el: Any, media: str) -> SsrcGroup:
        semantics = self.semantics.get((el.get("semantics") or "")[:16].upper())
        if semantics is None:
            raise Malformed("bad-request", "semantics of an ssrc-group is none of " + ", ".join(self.semantics))
        members = [parse_ssrc(member.get("ssrc")) for member in el.iterchildren(SOURCE)]
        if len(members) > MAX_GROUP_MEMBERS:
            raise Malformed("bad-request", "more than %d sources in an ssrc-group" % MAX_GROUP_MEMBERS)
        return SsrcGroup(semantics, media, tuple(members))


def _known(media: Optional[str]) -> str:
    if media == AUDIO or media == VIDEO:
        return media
    raise Malformed("bad-request", "sources of a media type other than audio and video")


def _parse_source(el: Any, media: str, name: Optional[str]) -> Source:
    name = el.get("name") or name
    msid = None
    for parameter in el:  # faster than asking for the two tags
        if parameter.get("name") == "msid" and parameter.tag in _PARAMETERS:
            msid = parameter.get("value") or None
            break
    video_type = None
    if media == VIDEO:
        text = el.get("videoType")
        if text is not None:
            video_type = _VIDEO_TYPES.get(text[:32].lower())
    if (name is not None and len(name) > MAX_NAME) or (msid is not None and len(msid) > MAX_MSID):
        raise Malformed("bad-request", "name or msid of a source is too long")
    return Source(parse_ssrc(el.get("ssrc")), media, name, msid, video_type)


def parse_owners(parent: Any, media: Optional[str], into: Dict[str, SourceReader]) -> None:
    """Sources as a client receives them: each names its owner (J-413). A group goes with its first source's owner.

    Raises Malformed.
    """
    owner_of: Dict[int, str] = {}
    for el in parent.iterchildren(SOURCE):
        info = next(el.iterchildren(OWNER), None)
        owner = info.get("owner") if info is not None else None
        if not owner:
            raise Malformed("bad-request", "source without owner")
        source = _parse_source(el, _known(media), None)
        owner_of[source.ssrc] = owner
        into.setdefault(owner, SourceReader()).sources.append(source)
    for el in parent.iterchildren(GROUP):
        members = [member.get("ssrc") for member in el.iterchildren(SOURCE)]
        owner = owner_of.get(parse_ssrc(members[0]), "") if members else ""
        if owner:
            reader = into[owner]
            reader.groups.append(reader._parse_group(el, _known(media)))


def _write_source(source: Source, inner: str) -> str:
    parts = ["<source xmlns='%s' ssrc='%d'" % (NS_JINGLE_SSMA, source.ssrc)]
    if source.name is not None:
        parts.append(" name='%s'" % quote(source.name))
    if source.video_type is not None:
        parts.append(" videoType='%s'" % source.video_type)
    parts.append(">%s</source>" % inner if inner else "/>")
    return "".join(parts)


def write_groups(groups: Sequence[SsrcGroup]) -> str:
    """``ssrc-group`` elements; their members carry nothing but ``ssrc`` (J-412, K-272)."""
    return "".join("<ssrc-group xmlns='%s' semantics='%s'>%s</ssrc-group>" % (
        NS_JINGLE_SSMA, group.semantics,
        "".join(["<source xmlns='%s' ssrc='%d'/>" % (NS_JINGLE_SSMA, ssrc) for ssrc in group.ssrcs]))
        for group in groups)


def write_plain_sources(sources: Sequence[Source]) -> str:
    """``source`` elements for a bridge: no msid, no owner (K-271)."""
    return "".join([_write_source(source, "") for source in sources])


def _write_msid(msid: Optional[str]) -> str:
    return "" if msid is None else "<parameter name='msid' value='%s'/>" % quote(msid)


def write_own_sources(sources: SourceSet) -> str:
    """Sources and groups as their owner writes them in its requests: no owner, all sources before all groups."""
    return "".join([_write_source(s, _write_msid(s.msid)) for s in sources.sources]) + write_groups(sources.groups)


@lru_cache(maxsize=1024)
def _written_sources(owner: str, sources: SourceSet) -> str:
    info = "<ssrc-info xmlns='%s' owner='%s'/>" % (NS_JITMEET, quote(owner))
    return "".join([_write_source(source, info + _write_msid(source.msid)) for source in sources.sources])


@lru_cache(maxsize=1024)
def _written_groups(sources: SourceSet) -> str:
    return write_groups(sources.groups)


def write_sources(sources: Mapping[str, SourceSet], media: str) -> str:
    """All owners' sources of one media type for a client, then all their groups (J-412, J-417)."""
    parts = [(owner, owned.of(media)) for owner, owned in sources.items()]
    return ("".join([_written_sources(owner, part) for owner, part in parts if part.sources])
            + "".join([_written_groups(part) for _, part in parts if part.groups]))


def source_body_xml(sources: Mapping[str, SourceSet]) -> str:
    """The contents of a ``source-add`` or ``source-remove`` (J-411)."""
    body = ""
    for media in (AUDIO, VIDEO):
        written = write_sources(sources, media)
        if written:
            body += "<content name='%s'><description xmlns='%s' media='%s'>%s</description></content>" % (
                media, NS_JINGLE_RTP, media, written)
    return body
