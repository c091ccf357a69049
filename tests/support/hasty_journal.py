"""The focus, started with the arguments of bin/jicofo, which tries a journal again soon after it has failed."""

from __future__ import annotations

import sys
from pathlib import Path

AGAIN = 1.0
"""Seconds."""

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])  # not the folder of this file: its names are short ones
    from focus import cli
    from focus.journal import keeper

    assert keeper.TRY_AGAIN > AGAIN
    keeper.TRY_AGAIN = AGAIN
    sys.exit(cli.main())
