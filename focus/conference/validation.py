"""The table of a conference's sources and the rules for changing it (jingle.md section 6).

A change is accepted whole or refused whole: every check is done before anything is stored, and a refusal names
the SSRC, msid, name or limit that caused it.
"""
from __future__ import annotations

from typing import Dict, ItemsView, Iterable, List, Mapping, Optional, Set, Tuple

from focus.journal.rows import Rows
from focus.values.sources import EMPTY_SOURCES, FID, Source, SourceSet, SsrcGroup, default_name

SSRC_LIMIT = 1 << 32
DEFAULT_MAX_SSRCS = 20


class SourceRefused(Exception):
    """A change that breaks a rule; nothing was changed. ``text`` is for the answer (``bad-request``) and the log."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class SourceTable:
    """Owner (endpoint id) -> :class:`SourceSet`, with indexes from SSRC and msid to their owner.

    ``rows`` is the whole state: a table made from it is equal. ``max_groups`` None means the same as
    ``max_ssrcs`` (J-616). With ``check_names`` a source name must begin with its owner's id and a hyphen (J-423).
    """

    __slots__ = ("rows", "max_ssrcs", "max_groups", "check_names", "_ssrc_owner", "_msid_owner")

    def __init__(self, sources: Optional[Mapping[str, SourceSet]] = None, max_ssrcs: int = DEFAULT_MAX_SSRCS,
                 max_groups: Optional[int] = None, check_names: bool = True) -> None:
        self.rows: Rows[SourceSet] = Rows("sources", SourceSet)
        self.max_ssrcs = max_ssrcs
        self.max_groups = max_ssrcs if max_groups is None else max_groups
        self.check_names = check_names
        self._ssrc_owner: Dict[int, str] = {}
        self._msid_owner: Dict[str, str] = {}
        for owner, owned in (sources or {}).items():
            self._store(owner, owned)

    def get(self, owner: str) -> SourceSet:
        """All sources of an owner; empty for one that has none."""
        return self.rows.get(owner, EMPTY_SOURCES)

    def items(self) -> ItemsView[str, SourceSet]:
        """(owner, sources) of those that have any."""
        return self.rows.items()

    def __len__(self) -> int:
        return len(self.rows)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SourceTable):
            return NotImplemented
        return self.rows == other.rows

    __hash__ = None  # type: ignore[assignment]

    def owner_of(self, ssrc: int) -> Optional[str]:
        """Who sends this SSRC, or None."""
        return self._ssrc_owner.get(ssrc)

    def add(self, owner: str, new: SourceSet) -> SourceSet:
        """Accept the sources of a ``session-accept`` or ``source-add``.

        Returns what was added: names filled in (J-422), known and empty groups left out (J-623).  Raises
        SourceRefused, in the order of J-611 to J-620.
        """
        old = self.get(owner)
        sources = self._new_sources(owner, old, new)
        groups = self._new_groups(owner, old, sources, new)
        if not sources and not groups:
            return EMPTY_SOURCES
        accepted = SourceSet(sources, groups)
        result = old + accepted
        check_set(result)
        self._store(owner, result)
        return accepted

    def remove(self, owner: str, unwanted: SourceSet) -> SourceSet:
        """Remove sources, matched by SSRC alone (J-641), and the groups named or broken by it (J-642, J-643).

        Returns the stored sources and groups that went (J-645).  Raises SourceRefused.
        """
        old = self.get(owner)
        ssrcs: Set[int] = set()
        for source in unwanted.sources:
            if self._ssrc_owner.get(source.ssrc) != owner:
                raise SourceRefused("ssrc %d is not yours" % source.ssrc)
            ssrcs.add(source.ssrc)
        for group in unwanted.groups:
            if group not in old.group_set:
                raise SourceRefused("no such group: %s" % _group_text(group))
        gone = unwanted.group_set
        removed = SourceSet((s for s in old.sources if s.ssrc in ssrcs),
                            (g for g in old.groups if g in gone or not ssrcs.isdisjoint(g.ssrcs)))
        if not removed:
            return EMPTY_SOURCES
        rest = old - removed
        check_set(rest)
        self._forget(owner)
        if rest:
            self._store(owner, rest)
        return removed

    def drop(self, owner: str) -> SourceSet:
        """Remove all an owner has; returns it."""
        owned = self.get(owner)
        self._forget(owner)
        return owned

    def _new_sources(self, owner: str, old: SourceSet, new: SourceSet) -> Tuple[Source, ...]:
        """J-611 to J-614, J-422, J-423, J-625 for each source in turn."""
        accepted: List[Source] = []
        seen: Set[int] = set()
        prefix = owner + "-"
        for source in new.sources:
            ssrc = source.ssrc
            if not 0 < ssrc < SSRC_LIMIT:
                raise SourceRefused("ssrc %d is out of range" % ssrc)
            if ssrc in self._ssrc_owner or ssrc in seen:
                raise SourceRefused("ssrc %d is in use" % ssrc)
            if source.msid and self._msid_owner.get(source.msid, owner) != owner:
                raise SourceRefused("msid %s is in use" % _shown(source.msid))
            if len(old.sources) + len(accepted) >= self.max_ssrcs:
                raise SourceRefused("more than %d sources" % self.max_ssrcs)
            if not source.name:
                source = source._replace(name=default_name(owner, source.media))
            elif self.check_names and not source.name.startswith(prefix):
                raise SourceRefused("source name %s does not begin with %s" % (_shown(source.name), _shown(prefix)))
            seen.add(ssrc)
            accepted.append(source)
        return tuple(accepted)

    def _new_groups(self, owner: str, old: SourceSet, sources: Tuple[Source, ...],
                    new: SourceSet) -> Tuple[SsrcGroup, ...]:
        """J-615 to J-617 and J-623."""
        if not new.groups:
            return ()
        media = {source.ssrc: source.media for source in old.sources}
        media.update((source.ssrc, source.media) for source in sources)
        accepted: List[SsrcGroup] = []
        for group in new.groups:
            if not group.ssrcs or group in old.group_set or group in accepted:
                continue
            for ssrc in group.ssrcs:
                if media.get(ssrc) != group.media:
                    raise SourceRefused("group names ssrc %d, which is no %s source of yours" % (ssrc, group.media))
            if len(old.groups) + len(accepted) >= self.max_groups:
                raise SourceRefused("more than %d groups" % self.max_groups)
            _check_pair(group)
            accepted.append(group)
        return tuple(accepted)

    def index(self) -> None:
        """Make the indexes anew from the rows."""
        self._ssrc_owner.clear()
        self._msid_owner.clear()
        for owner, owned in self.rows.items():
            self._index(owner, owned)

    def _store(self, owner: str, owned: SourceSet) -> None:
        if not owned:
            return
        self.rows[owner] = owned
        self._index(owner, owned)

    def _index(self, owner: str, owned: SourceSet) -> None:
        for source in owned.sources:
            self._ssrc_owner[source.ssrc] = owner
            if source.msid:
                self._msid_owner[source.msid] = owner

    def _forget(self, owner: str) -> None:
        """Frees the SSRCs and msids of an owner (J-646)."""
        for source in self.rows.pop(owner, EMPTY_SOURCES).sources:
            self._ssrc_owner.pop(source.ssrc, None)
            if source.msid:
                self._msid_owner.pop(source.msid, None)


def check_set(owned: SourceSet) -> None:
    """J-617 to J-620 for all an owner would have.  Raises SourceRefused."""
    msids = {source.ssrc: source.msid for source in owned.sources}
    for group in owned.groups:
        _check_pair(group)
        first = msids.get(group.ssrcs[0])
        for ssrc in group.ssrcs:
            msid = msids.get(ssrc)
            if not msid:
                raise SourceRefused("ssrc %d is in a group and has no msid" % ssrc)
            if msid != first:
                raise SourceRefused("group %s has different msids" % _group_text(group))
    leaders = _leaders(owned.groups)
    taken: Dict[Tuple[str, str], int] = {}
    for source in owned.sources:
        if source.msid:
            leader = leaders.get(source.ssrc, source.ssrc)
            other = taken.setdefault((source.media, source.msid), leader)
            if other != leader:
                raise SourceRefused("msid %s belongs to unrelated sources, ssrc %d and ssrc %d"
                                    % (_shown(source.msid), other, source.ssrc))


def _check_pair(group: SsrcGroup) -> None:
    if group.semantics == FID and len(group.ssrcs) != 2:
        raise SourceRefused("group %s needs exactly 2 sources" % _group_text(group))


def _leaders(groups: Iterable[SsrcGroup]) -> Dict[int, int]:
    """SSRC -> one SSRC that stands for all it is grouped with, directly or over others (J-621)."""
    leader: Dict[int, int] = {}
    members: Dict[int, List[int]] = {}
    for group in groups:
        chosen = leader.get(group.ssrcs[0], group.ssrcs[0])
        joined = members.setdefault(chosen, [chosen])
        leader[chosen] = chosen
        for ssrc in group.ssrcs:
            other = leader.get(ssrc, ssrc)
            if other != chosen:
                moved = members.pop(other, [other])
                joined.extend(moved)
                for one in moved:
                    leader[one] = chosen
    return leader


def _group_text(group: SsrcGroup) -> str:
    return "%s %s" % (group.semantics, " ".join(str(ssrc) for ssrc in group.ssrcs))


def _shown(text: str) -> str:
    """A peer's text for an error: short, whatever it is."""
    return repr(text if len(text) <= 80 else text[:77] + "...")
