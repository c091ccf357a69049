"""One run by hand: python -m tests.chaos.once 17:after [1:mid …] kills the first process after commit 17, and so on.

Prints what differs from a run without a kill, and the log; exit status 1 if anything does.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import List, Sequence

from tests.chaos.compare import differences
from tests.chaos.process import Doom
from tests.chaos.script import Stuck, play


def main(arguments: Sequence[str]) -> int:
    """Both runs."""
    dooms = [Doom(int(commit), point) for commit, _, point in (argument.partition(":") for argument in arguments)]
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        found: List[str] = []
        try:
            unkilled = play(Path(one))
            print("stanzas of the commits: %s" % unkilled.commits)
            outcome = play(Path(other), *dooms)
            found = outcome.complaints + differences(unkilled.transcripts, outcome.transcripts)
            log = outcome.log
            print("%d kills, back after %s s" % (outcome.kills, ["%.2f" % seconds for seconds in outcome.outages]))
        except Stuck as stuck:
            found, log = stuck.complaints + [str(stuck)], stuck.log
    print(log)
    print("\n".join(found) or "nobody has noticed anything")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
