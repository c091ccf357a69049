"""The focus, started with the arguments of bin/jicofo, that notes its memory at each SIGWINCH: a line of JSON with MB.

`memory` is what is in use once the allocator has given back what it can, `names` what the focus counts of names that
the XML library never forgets. The file is named by HOSTILE_NOTES.
"""
from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
if sys.path[0] != ROOT:
    sys.path[0] = ROOT

from benchmarks.watched_focus import memory_in_use  # noqa: E402
from focus.cli import main  # noqa: E402
from focus.xmpp.names import LEDGER  # noqa: E402


def note(*_: Any) -> None:
    """Add a line."""
    with open(os.environ["HOSTILE_NOTES"], "a", encoding="ascii") as notes:
        notes.write(json.dumps({"memory": round(memory_in_use() / 1048576, 2),
                                "names": round(LEDGER.name_bytes / 1048576, 2)}) + "\n")


if __name__ == "__main__":
    signal.signal(signal.SIGWINCH, note)
    sys.exit(main())
