"""Ctrl-C and SIGTERM while the demo runs: noted at once, obeyed at the next look.

The browser's driver runs greenlets on an event loop; an exception raised by a signal handler would come up in the
middle of them. So the handler only notes the signal, and whatever waits asks `check()` each time it looks.
"""

from __future__ import annotations

import signal
from typing import List

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_received: List[int] = []


class Interrupted(Exception):
    """Someone wants the demo to stop."""


def install() -> None:
    """From now on the two signals are noted instead of ending the process."""
    for number in _SIGNALS:
        signal.signal(number, lambda received, frame: _received.append(received))


def check() -> None:
    """Raise Interrupted if a signal has arrived."""
    if _received:
        raise Interrupted
