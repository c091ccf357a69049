"""What happened when a meeting began, laid out in milliseconds from the pages, the focus's log and the bridge's.

All clocks are this machine's, so the entries of different programs can be put in one order.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple


class Entry(NamedTuple):
    """One moment. `ms` is since the epoch."""

    ms: float
    who: str
    what: str


WIRE: Tuple[Tuple[str, str, str], ...] = (
    ("out", "iq set conference", "asks for the conference"),
    ("in", "iq result conference", "conference is ready"),
    ("in", "session-initiate", "receives the offer (session-initiate)"),
    ("out", "session-accept", "accepts (session-accept)"),
    ("in", "source-add", "learns the other's sources (source-add)"),
)
"""(direction, what of the page's wire) -> words."""

EVENTS: Tuple[Tuple[str, str], ...] = (
    ("joined", "is in the room"),
    ("ICE connected", "ICE connected"),
    ("bridge channel open", "bridge channel open"),
    ("first frame", "first frame of the other decoded"),
)
"""Event of the page -> words."""

FOCUS_LINES: Tuple[Tuple[str, str], ...] = (
    ("Joined the room", "is in the room"),
    ("Sending session-initiate to: ", "sends the offer to %s"),
)
"""Words of the focus's log -> ours; `%s` is replaced by the name of the participant that follows."""

BRIDGE_EVENTS: Tuple[Tuple[str, str], ...] = (
    ("endpoint_created", "allocated an endpoint for %s"),
    ("dtls_connected", "DTLS with %s"),
)
"""Event of the bridge's log -> words."""

_LOG_TIME = re.compile(r"Jicofo (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\.(\d{3}) ")


def of_page(name: str, wire: Iterable[Dict[str, Any]], events: Iterable[Dict[str, Any]]) -> Iterator[Entry]:
    """The entries of one tab: what its page saw on the wire, and what the client library told it."""
    for stanza in wire:
        for direction, what, words in WIRE:
            if (stanza["direction"], stanza["what"]) == (direction, what):
                yield Entry(stanza["ms"], name, words)
    for event in events:
        for what, words in EVENTS:
            if event["what"] == what:
                yield Entry(event["ms"], name, words)


def of_focus(log: Path, room: str, names: Dict[str, str]) -> Iterator[Entry]:
    """The entries of the focus's log that are about the room. `names`: participant id -> name."""
    for line in _lines(log):
        stamp = _LOG_TIME.match(line)
        if stamp is None or room not in line:
            continue
        for begin, words in FOCUS_LINES:
            _, found, rest = line.partition(begin)
            if found:
                whom = rest.split()[0].strip(",.") if "%s" in words and rest.split() else ""
                seconds = time.mktime(time.strptime(stamp.group(1), "%Y-%m-%d %H:%M:%S"))
                yield Entry(seconds * 1000 + int(stamp.group(2)), "focus", _with(words, names.get(whom, whom)))


def of_bridge(log: Path, room: str, names: Dict[str, str]) -> Iterator[Entry]:
    """The entries of the bridge's log (JSON lines) that are about the room."""
    for line in _lines(log):
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if not isinstance(event, dict) or room not in str(event.get("room", "")):
            continue
        for what, words in BRIDGE_EVENTS:
            if event.get("event") == what:
                endpoint = str(event.get("endpoint", ""))
                yield Entry(float(event["t"]), "bridge", _with(words, names.get(endpoint, endpoint)))


def firsts(entries: Iterable[Entry]) -> List[Entry]:
    """In order of time; of what someone did several times, the first."""
    seen = set()
    kept = []
    for entry in sorted(entries):
        if (entry.who, entry.what) not in seen:
            seen.add((entry.who, entry.what))
            kept.append(entry)
    return kept


def written(entries: Sequence[Entry], zero: Optional[float] = None) -> List[str]:
    """Lines for a person: milliseconds since `zero` (the first entry), who, what."""
    if not entries:
        return []
    begin = entries[0].ms if zero is None else zero
    width = max(len(entry.who) for entry in entries)
    return ["%7.0f ms  %-*s  %s" % (entry.ms - begin, width, entry.who, entry.what) for entry in entries]


def missing(entries: Sequence[Entry], names: Sequence[str]) -> List[str]:
    """Steps of a call that are not among the entries, as 'name: step'."""
    had = {(entry.who, entry.what) for entry in entries}
    steps = [words for _, _, words in WIRE[:4]] + [words for event, words in EVENTS if event != "bridge channel open"]
    wanted = [(name, step) for name in names for step in steps]
    return ["%s: %s" % pair for pair in wanted if pair not in had]


def _with(words: str, name: str) -> str:
    return words % name if "%s" in words else words


def _lines(log: Path) -> Iterator[str]:
    if log.exists():
        with open(log, encoding="utf-8", errors="replace") as file:
            yield from file
