"""The focus, started with the arguments of bin/jicofo, that says at each SIGWINCH what its journal has taken so far.

A line of JSON is added to the file named by WATCH_NOTES. From the second signal on it also says how much memory is in
use: what is free is given back first, since much of what a burst of joins has taken would still count otherwise. With
WATCH_PROFILE, cProfile's data of what happened between the first and the second signal is written to that file.
"""
from __future__ import annotations

import cProfile
import ctypes
import gc
import json
import os
import signal
import sys
from typing import Any, Dict, Optional

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if sys.path[0] != ROOT:
    sys.path[0] = ROOT

from focus.cli import main  # noqa: E402
from focus.journal.keeper import Keeper  # noqa: E402
from focus.tick import Ticker  # noqa: E402


class Watch:
    """What is noted."""

    def __init__(self, notes: str, profile: str) -> None:
        self._notes = notes
        self._profile = profile
        self._profiler: Optional[cProfile.Profile] = None
        self._count = 0
        self._parts: Dict[str, Any] = {}
        for part in (Keeper, Ticker):
            self._remember(part)
        if profile:
            self._profiler = cProfile.Profile()
            self._profiler.enable()
        signal.signal(signal.SIGWINCH, self._note)

    def _remember(self, part: Any) -> None:
        """Know the one object there is of a class."""
        make = part.__init__

        def remembered(one: Any, *arguments: Any, **settings: Any) -> None:
            make(one, *arguments, **settings)
            self._parts[part.__name__] = one

        part.__init__ = remembered

    def _note(self, *_: Any) -> None:
        self._count += 1
        if self._profiler is not None and self._count == 1:
            self._profiler.clear()
        if self._profiler is not None and self._count == 2:
            self._profiler.dump_stats(self._profile)
        keeper, ticker = self._parts["Keeper"], self._parts["Ticker"]
        note = {"commits": keeper.commits, "bytes": keeper.bytes, "ticks": ticker.ticks}
        if self._count > 1:
            note["memory"] = memory_in_use()
        with open(self._notes, "a", encoding="ascii") as notes:
            notes.write(json.dumps(note) + "\n")


def memory_in_use() -> int:
    """Resident bytes when the allocator has given back what it can."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except AttributeError:
        pass  # not the GNU C library
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    Watch(os.environ["WATCH_NOTES"], os.environ.get("WATCH_PROFILE", ""))
    sys.exit(main())
