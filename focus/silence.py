"""When a peer's silence is its own (DESIGN, "Deadlines"; U-47).

Nobody is called silent before our own server has answered two pings quickly: one ``again`` seconds before, so that the
peer had that time with a server that works, and one at the end, since streams are ordered and what the server had of
the peer's comes before its answer. A server that was stuck until just before the end answers the last one quickly too.
"""
from __future__ import annotations

from enum import Enum

QUICK = 1.0
"""Seconds within which our own server answers a ping if it isn't behind."""

ROUNDS = 3
"""Late answers after which that is how far the server is, not how busy."""

LONGEST_AGAIN = 1.0


class Next(Enum):
    """What follows from our server's answer to a ping."""

    AT_ONCE = "it is behind: ask again at once"
    LATER = "ask once more, ``again`` seconds later"
    SILENT = "who hasn't answered by now is silent"


def after_answer(is_late: bool, late: int, final: bool) -> Next:
    """What follows.

    Args:
        is_late: the answer took longer than ``QUICK``.
        late: late answers so far, this one included.
        final: the one before it was quick, and ``again`` seconds ago.
    """
    if late >= ROUNDS:
        return Next.SILENT
    if is_late:
        return Next.AT_ONCE
    return Next.SILENT if final else Next.LATER


def again(seconds: float) -> float:
    """How many seconds lie between the two pings, of the ``seconds`` that a peer may be silent."""
    return min(LONGEST_AGAIN, seconds / 4)
