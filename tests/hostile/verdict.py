"""What a run may not show: tracebacks, errors in the log, a new process, memory that grows; and the figures it has."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Tuple
from typing import Counter as CounterOf

#: What the focus may log as SEVERE in such a run, and why.
EXPECTED = (
    ("XMPP connection closed on error: client: the server's XML can't be read", "the stream was made ill-formed"),
    ("XMPP connection closed on error: client: the server closed the connection", "the server has cut it"),
    ("XMPP connection closed on error: client: connection to the server lost", "the server has cut it"),
    ("Giving up on inviting", "a bridge that lies, or an attacker that never answers"),
    ("Local role has no owner rights", "a room says that the focus isn't owner any more"),
    ("Focus must be an owner!", "a room says so at the join"),
    ("the focus may not enter the room", "a room refuses the focus"),
    ("Granting owner", "a room refuses it"),
)
LIMIT, LONG = 5.0, 100000
"""MB that the last quarter of a run may add, if it has so many stanzas."""
SHORT_LIMIT = 20.0
"""The same for a shorter one, in which caches are still being filled."""
_SEVERE = re.compile(r"^Jicofo \S+ \S+ SEVERE: (.*(?:\n    .*)*)$", re.MULTILINE)
SHOWN = 20


class LogReader:
    """Reads what has been added to a log, and keeps what shouldn't be in it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._at = 0
        self.bytes = 0
        self.complaints: List[str] = []
        self.expected: CounterOf[str] = Counter()

    def look(self) -> None:
        """Read on."""
        with open(self._file, "rb") as log:
            log.seek(self._at)
            data = log.read()
        data = data[:data.rfind(b"\n") + 1]
        self._at += len(data)
        self.bytes = self._at
        text = data.decode("utf-8", "replace")
        for found in _SEVERE.finditer(text):
            known = next((begin for begin, _ in EXPECTED if begin in found.group(1)), None)
            if known is not None:
                self.expected[known] += 1
            else:
                self._complain(found.group())
        if "Traceback" in text and not self.complaints:
            at = text.index("Traceback")
            self._complain(text[max(0, at - 500):at + 3000])

    def _complain(self, text: str) -> None:
        if len(self.complaints) < SHOWN:
            self.complaints.append("in the log: " + text[:6000])


class Sample(NamedTuple):
    """Taken after each batch."""

    stanzas: int
    rss_mb: float
    name_mb: float


class Memory:
    """Whether memory levels off."""

    def __init__(self) -> None:
        self.samples: List[Sample] = []

    def note(self, stanzas: int, rss_mb: float, name_bytes: int) -> None:
        """One more sample."""
        self.samples.append(Sample(stanzas, rss_mb, name_bytes / 1048576))

    def at(self, share: float) -> Tuple[float, float]:
        """Memory and names, in MB, when that share of the run was done: the median of a few samples around."""
        end = max(1, int(len(self.samples) * share))
        if not self.samples:
            return 0.0, 0.0
        few = self.samples[max(0, end - max(1, len(self.samples) // 20)):end]
        return statistics.median(s.rss_mb for s in few), statistics.median(s.name_mb for s in few)

    @property
    def quarters(self) -> List[float]:
        """MB at the begin, after each quarter, and at the end."""
        begin = [round(one.rss_mb, 1) for one in self.samples[:1]]
        return begin + [round(self.at(share)[0], 1) for share in (0.25, 0.5, 0.75, 1)]

    @property
    def growth(self) -> float:
        """MB of the last quarter beyond the bytes of names."""
        (before, names_before), (after, names_after) = self.at(0.75), self.at(1)
        return after - before - (names_after - names_before)

    def complaints(self) -> List[str]:
        """If it doesn't level off."""
        if self.growth < (LIMIT if self.samples[-1].stanzas >= LONG else SHORT_LIMIT):
            return []
        return ["the last quarter has added %.1f MB: %s" % (self.growth, self.quarters)]


class Result(NamedTuple):
    """What came out of one target."""

    target: str
    figures: Dict[str, Any]
    complaints: List[str]


def shown(whole: List[str]) -> str:
    """The complaints as one text."""
    return "\n".join("- " + text for text in whole[:SHOWN])
