"""The hostile run by hand: python -m tests.hostile.run --count 1000000 [--seed S] [--target scripted|prosody|both].

Prints the seed, what has gone wrong, and one line of JSON with the figures; exit status 1 if anything has gone wrong.
The same seed makes the same templates and the same choices; session ids and the time answers take are the focus's.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from typing import List, Optional, Sequence

from tests.hostile import crowd, scripted
from tests.hostile.templates import Pool
from tests.hostile.verdict import Result, shown

PROSODY_SHARE = 0.1
"""Of the stanzas of a run against both."""


def play(count: int, seed: int, target: str = "both", minutes: float = 25.0, checked: bool = False) -> List[Result]:
    """A run against one target or both."""
    deadline = time.monotonic() + minutes * 60
    pool = Pool(seed, scripted.pool_size(count))
    real = {"scripted": 0, "prosody": count, "both": int(count * PROSODY_SHARE)}[target]
    results = []
    if real:
        results.append(crowd.run(real, seed, minutes * (1 if real == count else 0.4), pool, checked))
        count = max(0, count - results[0].figures["stanzas"])
    if count and target != "prosody":
        results.append(scripted.run(count, seed, (deadline - time.monotonic()) / 60, pool, checked))
    return results


def summary(seed: int, results: Sequence[Result]) -> str:
    """One line."""
    figures = {result.target: result.figures for result in results}
    return json.dumps({"seed": seed, "stanzas": sum(result.figures["stanzas"] for result in results),
                       "complaints": sum(len(result.complaints) for result in results), **figures})


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.run", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("--count", type=int, default=1000000, help="stanzas (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="default: a random one")
    parser.add_argument("--target", choices=("scripted", "prosody", "both"), default="both")
    parser.add_argument("--minutes", type=float, default=25.0, help="it ends then at the latest (default: %(default)s)")
    parser.add_argument("--checked", action="store_true", help="compare journal and memory after each commit (slow)")
    given = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(10 ** 6) if given.seed is None else given.seed
    print("seed: %d" % seed, flush=True)
    results = play(given.count, seed, given.target, given.minutes, given.checked)
    complaints = [text for result in results for text in result.complaints]
    sent = sum(result.figures["stanzas"] for result in results)
    if sent < given.count and not complaints:
        complaints.append("only %d of %d stanzas in %g minutes" % (sent, given.count, given.minutes))
    if complaints:
        print(shown(complaints))
    print(summary(seed, results))
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
