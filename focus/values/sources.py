"""Media sources (SSRCs) and their groups as values with algebra.

Nothing here knows XML, the network or the clock. A :class:`SourceSet` is what one endpoint sends; a plain
``dict`` from owner (endpoint id, or ``jvb``) to :class:`SourceSet` is what a receiver should know.  Sheet ids:
J-421 (what a source is), J-731 (filter by feature), J-741/J-742 (simulcast is stripped before a difference is taken).
"""
from __future__ import annotations

from typing import Any, FrozenSet, Iterable, NamedTuple, Optional, Tuple

AUDIO = "audio"
VIDEO = "video"
CAMERA = "camera"
DESKTOP = "desktop"
SIM = "SIM"
FID = "FID"
FEC_FR = "FEC-FR"

#: Owner id of the sources that the bridge itself sends (J-363).
BRIDGE_OWNER = "jvb"


class Source(NamedTuple):
    """One RTP stream. All fields take part in equality (J-421); removal matches by ``ssrc`` alone (J-641)."""

    ssrc: int
    media: str
    name: Optional[str] = None
    msid: Optional[str] = None
    video_type: Optional[str] = None


class SsrcGroup(NamedTuple):
    """Related streams (RFC 5576): ``SIM`` lists layers from low to high, ``FID`` is (primary, retransmission)."""

    semantics: str
    media: str
    ssrcs: Tuple[int, ...]


class SourceSet:
    """The sources and groups of one endpoint: immutable, hashable, compared without regard to order.

    ``+`` is the union (the left operand's order first), ``-`` the difference by whole values. Derived sets
    are remembered, because every receiver of a conference asks for the same ones.
    """

    __slots__ = ("sources", "groups", "_source_set", "_group_set", "_hash", "_stripped", "_audio", "_video")

    sources: Tuple[Source, ...]
    groups: Tuple[SsrcGroup, ...]
    _source_set: Optional[FrozenSet[Source]]
    _group_set: Optional[FrozenSet[SsrcGroup]]
    _hash: Optional[int]
    _stripped: Optional[SourceSet]

    def __init__(self, sources: Iterable[Source] = (), groups: Iterable[SsrcGroup] = ()) -> None:
        put = object.__setattr__
        put(self, "sources", tuple(sources))
        put(self, "groups", tuple(groups))
        for name in ("_source_set", "_group_set", "_hash", "_stripped", "_audio", "_video"):
            put(self, name, None)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a SourceSet does not change")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("a SourceSet does not change")

    def __reduce__(self) -> Tuple[Any, ...]:
        return (SourceSet, (self.sources, self.groups))

    def __repr__(self) -> str:
        return "SourceSet(%r, %r)" % (self.sources, self.groups)

    def __bool__(self) -> bool:
        return bool(self.sources or self.groups)

    def __len__(self) -> int:
        """Number of sources; groups are not counted."""
        return len(self.sources)

    def _remember(self, name: str, value: Any) -> Any:
        object.__setattr__(self, name, value)
        return value

    @property
    def source_set(self) -> FrozenSet[Source]:
        """The sources without their order."""
        known = self._source_set
        return known if known is not None else self._remember("_source_set", frozenset(self.sources))

    @property
    def group_set(self) -> FrozenSet[SsrcGroup]:
        """The groups without their order."""
        known = self._group_set
        return known if known is not None else self._remember("_group_set", frozenset(self.groups))

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, SourceSet):
            return NotImplemented
        return self.source_set == other.source_set and self.group_set == other.group_set

    def __hash__(self) -> int:
        known = self._hash
        return known if known is not None else self._remember("_hash", hash((self.source_set, self.group_set)))

    def __add__(self, other: SourceSet) -> SourceSet:
        if not other:
            return self
        if not self:
            return other
        mine, my_groups = self.source_set, self.group_set
        return SourceSet(self.sources + tuple(s for s in other.sources if s not in mine),
                         self.groups + tuple(g for g in other.groups if g not in my_groups))

    def __sub__(self, other: SourceSet) -> SourceSet:
        if self is other:
            return EMPTY_SOURCES
        if not other or not self:
            return self
        theirs, their_groups = other.source_set, other.group_set
        sources = tuple(s for s in self.sources if s not in theirs)
        groups = tuple(g for g in self.groups if g not in their_groups)
        if len(sources) == len(self.sources) and len(groups) == len(self.groups):
            return self
        return SourceSet(sources, groups) if sources or groups else EMPTY_SOURCES

    def of(self, media: str) -> SourceSet:
        """The part of one media type, ``audio`` or ``video``."""
        slot = "_audio" if media == AUDIO else "_video"
        known = getattr(self, slot)
        if known is None:
            sources = tuple(s for s in self.sources if s.media == media)
            groups = tuple(g for g in self.groups if g.media == media)
            if len(sources) == len(self.sources) and len(groups) == len(self.groups):
                known = self
            else:
                known = SourceSet(sources, groups) if sources or groups else EMPTY_SOURCES
            self._remember(slot, known)
        return known

    def only(self, audio: bool, video: bool) -> SourceSet:
        """What a receiver with these features may be told (J-731)."""
        if audio and video:
            return self
        if audio:
            return self.of(AUDIO)
        return self.of(VIDEO) if video else EMPTY_SOURCES

    def strip_simulcast(self) -> SourceSet:
        """Without SIM groups, their members but the first, and what belongs to dropped members (J-741)."""
        known = self._stripped
        return known if known is not None else self._remember("_stripped", _strip_simulcast(self))

    def ssrcs(self) -> Tuple[int, ...]:
        """The SSRCs in the owner's order."""
        return tuple(s.ssrc for s in self.sources)


EMPTY_SOURCES = SourceSet()


def _strip_simulcast(full: SourceSet) -> SourceSet:
    dropped = {ssrc for g in full.groups if g.semantics == SIM for ssrc in g.ssrcs[1:]}
    if not dropped:
        if not any(g.semantics == SIM for g in full.groups):
            return full
        return SourceSet(full.sources, (g for g in full.groups if g.semantics != SIM))
    groups = []
    gone = set(dropped)
    for group in full.groups:
        if group.semantics == SIM:
            continue
        if group.ssrcs and group.ssrcs[0] in dropped:
            gone.update(group.ssrcs)
        else:
            groups.append(group)
    return SourceSet((s for s in full.sources if s.ssrc not in gone),
                     (g for g in groups if gone.isdisjoint(g.ssrcs)))


def default_name(owner: str, media: str) -> str:
    """The name of a source whose owner gave none (J-422)."""
    return "%s-%s0" % (owner, "a" if media == AUDIO else "v")
