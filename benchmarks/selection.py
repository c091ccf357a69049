#!/usr/bin/env python3
"""What the choice of a bridge costs in a large pool. Prints one JSON line for each strategy.

    python benchmarks/selection.py
    python benchmarks/selection.py --bridges 100 --choices 20000

Nothing is started: the pool and the choice are the focus's own, in this process. Between two choices what happens to a
pool happens to this one: the participant is counted on its bridge, and a bridge's statistics come. Time is made up,
with a choice every millisecond. See README.md in this folder for what the figures mean.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path
from typing import Any, Dict, List

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.common import Invalid, machine, report, with_unit  # noqa: E402
from focus.bridge.choice.rules import (  # noqa: E402
    INTRA_REGION,
    REGION_BASED,
    SINGLE,
    SPLIT,
    VISITOR,
    InUse,
    Refusal,
    Rules,
    Wish,
)
from focus.bridge.pool import Bridges  # noqa: E402
from focus.stanzas.bridge_stats import BridgeStats  # noqa: E402

REGIONS = ["region-%d" % number for number in range(10)]
GROUPS = {region: frozenset(REGIONS[:5] if region in REGIONS[:5] else REGIONS[5:]) for region in REGIONS}
CONFERENCES = 500
STEP = 0.001
"""Seconds between two choices."""


class Pool:
    """A pool of bridges of which a fifth is overloaded and some are of no use, and conferences on them."""

    def __init__(self, strategy: str, size: int) -> None:
        self._chance = random.Random(1)
        self.bridges = Bridges(rules=Rules(strategy, (REGION_BASED, REGION_BASED), octo=True, max_participants=20,
                                           max_per_interval=10, groups=GROUPS, local_region=REGIONS[0]))
        self.now = 0.0
        self.jids = ["jvbbrewery@internal.auth.meet.example/jvb-%d" % number for number in range(size)]
        for number, jid in enumerate(self.jids):
            self.bridges.heard(jid, BridgeStats(
                stress_level=self._chance.random(), drain=number % 20 == 1, version="2.3.%d" % (number % 50 == 2),
                graceful_shutdown=number % 50 == 3, region=REGIONS[number % len(REGIONS)],
                relay_id="relay-%d" % number), None, self.now)
        for jid in self.jids[5::50]:
            self.bridges.failed(jid, "for the benchmark", self.now)
        usable = [b for b in self.bridges.candidates(self.now) if b.operational and b.version == "2.3.0"]
        most = 1 if strategy == SINGLE else 3
        self._conferences = [self._in_use(usable, most) for _ in range(CONFERENCES)]

    def _in_use(self, usable: List[Any], most: int) -> List[InUse]:
        """A conference on up to ``most`` bridges; one in three has none yet."""
        count = self._chance.choice((0, 1, most))
        return [InUse(b.jid, self._chance.randrange(30), self._chance.random() < 0.3, self._chance.randrange(15))
                for b in self._chance.sample(usable, count)]

    def choose(self) -> float:
        """Processor time of one choice in seconds; what follows from it and what else happens isn't part of it."""
        chance, now = self._chance, self.now
        in_use = chance.choice(self._conferences)
        wish = Wish(chance.choice(REGIONS), chance.random() < 0.3)
        begin_at = time.process_time()
        choice = self.bridges.choose(now, in_use, wish)
        seconds = time.process_time() - begin_at
        if isinstance(choice, Refusal):
            raise Invalid("no bridge was found: %s" % choice.reason)
        self.bridges.placed(choice.bridge.jid, now)
        self.bridges.heard(chance.choice(self.jids), BridgeStats(stress_level=chance.random()), None, now)
        self.now = now + STEP
        return seconds


def measure(strategy: str, size: int, choices: int) -> Dict[str, Any]:
    """Choices in a pool of this size."""
    pool = Pool(strategy, size)
    for _ in range(choices // 10):  # so that everything was read once
        pool.choose()
    times = sorted(pool.choose() for _ in range(choices))
    return {
        "us_per_choice": round(sum(times) / choices * 1e6, 1),
        "us_median": round(times[choices // 2] * 1e6, 1),
        "us_p95": round(times[int(choices * 0.95)] * 1e6, 1),
        "us_max": round(times[-1] * 1e6, 1),
    }


def main() -> int:
    """Measure each strategy."""
    parser = argparse.ArgumentParser(description="What the choice of a bridge costs.")
    parser.add_argument("--bridges", type=int, default=1000)
    parser.add_argument("--choices", type=int, default=5000)
    options = parser.parse_args()
    failed = 0
    for strategy in (SINGLE, REGION_BASED, INTRA_REGION, VISITOR, SPLIT):
        figures = {"benchmark": "selection", "strategy": strategy, "bridges": options.bridges,
                   "choices": options.choices, **machine()}

        def run(strategy: str = strategy) -> Dict[str, Any]:
            return with_unit(lambda: measure(strategy, options.bridges, options.choices))

        failed |= report(figures, run)
    return failed


if __name__ == "__main__":
    sys.exit(main())
