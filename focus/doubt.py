"""Whether the server will still resume our stream, judged before it is tried (DESIGN, "Coming back, refused").

The server keeps a cut stream for a time (``max``) and up to a number of stanzas; beyond either it ends the session, and
every room sees us leave. Asking doesn't hurt, but being refused does, so the doubt comes first.
"""
from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Deque, NamedTuple, Optional, Tuple

from focus.journal.rows import Row

LONG = 10.0
"""Seconds after which nobody knows what has gathered meanwhile."""
SPAN = 60.0
"""Seconds over which the rate of stanzas is taken."""
STEP = 10.0
"""Seconds between two notes of it."""


@dataclass(eq=False)
class Pace(Row):
    """How many stanzas a second the server sends us, as noted last."""

    rate: float = 0.0


class PaceMeter:
    """Takes the rate from a count that only rises."""

    def __init__(self) -> None:
        self._counts: Deque[Tuple[float, int]] = deque()
        self.next_at = 0.0
        """Monotonic seconds at which the next note is due."""

    def note(self, count: int, now: float) -> float:
        """The stanzas a second within the last minute."""
        self.next_at = now + STEP
        self._counts.append((now, count))
        while now - self._counts[0][0] > SPAN:
            self._counts.popleft()
        began, first = self._counts[0]
        return (count - first) / max(STEP, now - began)


class Outage(NamedTuple):
    """What is known when the stream is to be resumed."""

    seconds: float
    """Without a connection."""
    rate: float
    """Stanzas a second that the server sent before."""
    unconfirmed: int
    """Stanzas of ours that the server hasn't confirmed."""
    kept_for: Optional[int]
    """Seconds the server keeps a cut stream; None if it didn't say."""
    queue: int
    """Stanzas the server keeps for it."""
    rebooted: bool = False
    """Our host was started anew meanwhile."""
    damaged: bool = False
    """The journal says less than has left."""


def doubt(outage: Outage) -> str:
    """Why the server may refuse to resume; empty if there is no doubt."""
    waiting = outage.seconds * outage.rate + outage.unconfirmed
    if outage.rebooted:
        return "this host was started anew"
    if outage.damaged:
        return "the journal has lost its end"
    if outage.kept_for is not None and outage.seconds > outage.kept_for / 2:
        return "%d s without a connection, and the server keeps a stream for %d s" % (outage.seconds, outage.kept_for)
    if waiting > outage.queue / 2:
        return "about %d stanzas wait, and the server keeps %d" % (waiting, outage.queue)
    if outage.seconds > LONG:
        return "%d s without a connection" % outage.seconds
    return ""
