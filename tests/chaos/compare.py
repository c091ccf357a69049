"""Compares what each receiver got in two runs, and says in words what differs.

Two runs are equal if every receiver got the same stanzas in the same order, apart from what is random or a matter of
pace: ids, session ids and UUIDs are renamed in the order in which they appear, `<delay/>` is removed, and neighbouring
updates of sources to one receiver count as their sum, since how many changes go into one update depends on how soon
the receiver answers (J-719). An update that tells what was told already is not the same as one that does not.
"""

from __future__ import annotations

import json
import re
from typing import Any, Dict, Iterable, List, Optional, Tuple

from lxml import etree

from tests.chaos.record import Transcripts
from tests.support.media import NOTHING, Sources, read_sources

JINGLE = "{urn:xmpp:jingle:1}jingle"
DELAY = "{urn:xmpp:delay}delay"
JSON_MESSAGE = "{http://jitsi.org/jitmeet}json-message"
UPDATES = ("source-add", "source-remove")
CONTEXT = 3
"""Lines shown before and after a difference."""
SHOWN = 400
"""Characters of a line that are shown."""

_UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")


def differences(expected: Transcripts, seen: Transcripts, so_far: bool = False) -> List[str]:
    """One text for each receiver whose transcripts differ: where, and both transcripts around it.

    so_far: the second run has come to a stop; what is missing at the end of it is no difference.
    """
    found = []
    for receiver in sorted(set(expected) | set(seen)):
        one, other = (lines(transcripts.get(receiver, [])) for transcripts in (expected, seen))
        if so_far:
            one = one[:len(other)]
        if one != other:
            found.append(_described(receiver, one, other))
    return found


def apart(transcripts: Transcripts) -> Transcripts:
    """With several bridges: what each was told of relays apart from the rest, as which comes first is a matter of pace.

    A client's accept and a bridge's answer about a relay come from two sides.
    """
    found: Transcripts = {}
    for receiver, stanzas in transcripts.items():
        for stanza in stanzas:
            of_relay = stanza.find(".//{jitsi:colibri2}relay") is not None
            found.setdefault(receiver + " (relays)" if of_relay else receiver, []).append(stanza)
    return found


def lines(transcript: Iterable[Any]) -> List[str]:
    """A transcript in comparable form: a line for each stanza, and for each sum of neighbouring updates."""
    names = _Names()
    found: List[str] = []
    updates: Optional[_Updates] = None
    for stanza in transcript:
        action, sid = _action(stanza)
        if action in UPDATES:
            if updates is None or updates.sid != sid:
                found += updates.lines() if updates is not None else []
                updates = _Updates(sid, names.of("session", sid))
            updates.add(action, stanza)
            continue
        if updates is not None:
            found += updates.lines()
            updates = None
        found.append(_line(stanza, names))
    return found + (updates.lines() if updates is not None else [])


class _Names:
    """New names for what is random, by the order in which it appears."""

    def __init__(self) -> None:
        self._names: Dict[Tuple[str, str], str] = {}
        self._counts: Dict[str, int] = {}

    def of(self, kind: str, text: str) -> str:
        """The name of one thing."""
        name = self._names.get((kind, text))
        if name is None:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            name = self._names[kind, text] = "%s-%d" % (kind, self._counts[kind])
        return name

    def in_text(self, text: str) -> str:
        """A text with its UUIDs renamed."""
        return _UUID.sub(lambda found: self.of("uuid", found.group()), text)


class _Updates:
    """The sum of neighbouring updates of one session: per owner what came and what went."""

    def __init__(self, sid: str, name: str) -> None:
        self.sid = sid
        self._name = name
        self._added: Dict[str, Sources] = {}
        self._removed: Dict[str, Sources] = {}
        self._twice: List[str] = []

    def add(self, action: str, stanza: Any) -> None:
        """Add one update."""
        raw = etree.tostring(stanza, encoding="utf-8")
        here, there = (self._added, self._removed) if action == "source-add" else (self._removed, self._added)
        for owner, told in read_sources(raw, lambda: stanza).items():
            known, against = here.get(owner, NOTHING), there.get(owner, NOTHING)
            if known.sources & told.sources or known.groups & told.groups:
                self._twice.append("%s of %s twice" % (action, owner))
            there[owner] = _without(against, told)
            here[owner] = known.plus(_without(told, against))

    def lines(self) -> List[str]:
        """The line for it; none if nothing is left of it."""
        parts = list(self._twice)
        for sign, sums in (("-", self._removed), ("+", self._added)):
            parts += ["%s%s %s %s" % (sign, owner, sorted(sums[owner].sources), sorted(sums[owner].groups))
                      for owner in sorted(sums) if sums[owner]]
        return ["sources for %s: %s" % (self._name, "; ".join(parts))] if parts else []


def _without(one: Sources, other: Sources) -> Sources:
    return Sources(one.sources - other.sources, one.groups - other.groups)


def _action(stanza: Any) -> Tuple[str, str]:
    """Action and session id of a Jingle request, or two empty strings."""
    jingle = stanza.find(JINGLE)
    return (jingle.get("action", ""), jingle.get("sid", "")) if jingle is not None else ("", "")


def _line(stanza: Any, names: _Names) -> str:
    return _written(stanza, names, top=True)


def _written(element: Any, names: _Names, top: bool = False) -> str:
    """An element with its attributes in order, what is random renamed, and without `<delay/>`."""
    tag = str(element.tag)
    attributes = {key: names.in_text(value) for key, value in element.attrib.items()}
    if top and attributes.get("type") in ("get", "set"):
        attributes["id"] = names.of("id", element.get("id", ""))  # that of an answer is the asker's
    if tag == JINGLE:
        attributes["sid"] = names.of("session", element.get("sid", ""))
    text = names.in_text((element.text or "").strip())
    if tag == JSON_MESSAGE:
        text = _sorted_json(text)
    children = "".join(_written(child, names) for child in element if child.tag != DELAY)
    head = "".join(" %s='%s'" % pair for pair in sorted(attributes.items()))
    return "<%s%s>%s%s</>" % (tag.rpartition("}")[2] if top else tag, head, text, children)


def _sorted_json(text: str) -> str:
    """JSON in which lists of sources and groups stand in one order, as their order means nothing."""
    def ordered(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: ordered(inner) for key, inner in sorted(value.items())}
        if isinstance(value, list):
            inner = [ordered(one) for one in value]
            return sorted(inner, key=json.dumps) if inner and all(isinstance(one, dict) for one in inner) else inner
        return value

    return json.dumps(ordered(json.loads(text)), sort_keys=True)


def _described(receiver: str, expected: List[str], seen: List[str]) -> str:
    """Where two lists of lines part, and what stands there."""
    at = next((index for index, pair in enumerate(zip(expected, seen)) if pair[0] != pair[1]),
              min(len(expected), len(seen)))
    out = ["%s: from line %d of %d (%d) on it got something else" % (receiver, at + 1, len(expected), len(seen))]
    begin, end = max(0, at - CONTEXT), at + CONTEXT + 1
    for title, some in (("without a kill", expected), ("with the kill", seen)):
        out.append("  %s:" % title)
        out += ["  %s %3d %s" % (">" if begin + index == at else " ", begin + index + 1, shown(line))
                for index, line in enumerate(some[begin:end])]
        if at >= len(some):
            out.append("  > the end")
    if at < min(len(expected), len(seen)):
        out.append("  first differing text: %s | %s" % _parting(expected[at], seen[at]))
    return "\n".join(out)


def _parting(one: str, other: str) -> Tuple[str, str]:
    """Both lines from a little before the first character that differs."""
    at = next((index for index, pair in enumerate(zip(one, other)) if pair[0] != pair[1]), min(len(one), len(other)))
    begin = max(0, at - 40)
    return "…" + one[begin:at + 120], "…" + other[begin:at + 120]


def shown(line: str) -> str:
    """A line, cut to what fits."""
    return line if len(line) <= SHOWN else line[:SHOWN] + "…"
