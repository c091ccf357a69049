"""Every point of the code: the focus is killed there, comes back, and nobody has noticed.

For each commit of the scripted call: before it, after it and before the write, in mid-stanza, and after the write and
before the acknowledgement. With CHAOS=all in the environment all of them, otherwise every tenth, beginning with one
that CHAOS_SEED decides (printed; random unless it is given).
"""

from __future__ import annotations

import os
import random
import statistics
import time
from pathlib import Path
from typing import List, NamedTuple, Sequence

import pytest

from tests.chaos.compare import apart, differences
from tests.chaos.nursery import Nursery
from tests.chaos.process import Doom
from tests.chaos.record import Transcripts
from tests.chaos.script import ONE_BRIDGE, TWO_BRIDGES, Outcome, Setting, Stuck, play

SHARES = 10
"""A run of the tests takes one point of so many."""
FAILURES_SHOWN = 3
LATE = 2
"""Commits at the end that may be one or two: how the last messages of a call fall together is chance."""
LOG_SHOWN = 6000
"""Characters from the end of the focus's log that are shown when a point fails."""
ALL = os.environ.get("CHAOS") == "all"
SEED = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))


def points(commits: List[int]) -> List[Doom]:
    """All points of a run; what sends nothing ends neither within a stanza nor after the last."""
    return [Doom(number, point) for number, stanzas in enumerate(commits, 1)
            for point in (("before", "after", "mid", "written") if stanzas else ("before", "after"))]


class Failure(NamedTuple):
    """A point at which somebody has noticed something."""

    where: str
    found: List[str]
    log: str

    def __str__(self) -> str:
        return "\n".join(["=== killed at: " + self.where, *self.found, "--- the end of the focus's log:",
                          self.log[-LOG_SHOWN:]])


class Tally:
    """Runs points one after the other and sums up what they have shown.

    nurseries: what starts the processes; without any each is started as an operator would.
    """

    def __init__(self, unkilled: Outcome, folder: Path, nurseries: Sequence[Nursery] = (),
                 setting: Setting = ONE_BRIDGE) -> None:
        self.failures: List[Failure] = []
        self.outages: List[float] = []
        self.kills = 0
        self._unkilled = unkilled
        self._folder = folder
        self._nurseries = nurseries
        self._setting = setting
        self._expected = self._seen(unkilled.transcripts)
        self._began = time.monotonic()

    def run(self, *dooms: Doom) -> None:
        """One run, with a kill at each point."""
        where = ", then ".join(map(str, dooms))
        folder = self._folder / "-".join("%d%s" % doom for doom in dooms)
        folder.mkdir()
        try:
            outcome = play(folder, *dooms, nurseries=self._nurseries, setting=self._setting)
        except Stuck as stuck:
            found = differences(self._expected, self._seen(stuck.transcripts), so_far=True)
            self.failures.append(Failure(where, stuck.complaints + found + [str(stuck)], stuck.log))
            return
        self.kills += outcome.kills
        self.outages += outcome.outages
        found = outcome.complaints + differences(self._expected, self._seen(outcome.transcripts))
        if not outcome.kills and dooms[0].commit < len(self._unkilled.commits) - LATE:
            found.append("the process has not come to its point")
        if found:
            self.failures.append(Failure(where, found, outcome.log))

    def _seen(self, transcripts: Transcripts) -> Transcripts:
        return apart(transcripts) if self._setting.bridges > 1 else transcripts

    def __str__(self) -> str:
        outages = self.outages or [0.0]
        return "%d kills in %.0f s; from the kill to the next process's first stanza: median %.2f s, longest %.2f s" % (
            self.kills, time.monotonic() - self._began, statistics.median(outages), max(outages))

    def check(self, count: int) -> None:
        """Nothing was noticed at any of so many points."""
        assert not self.failures, "%d of %d points failed (CHAOS_SEED=%d; once more by tests.chaos.once)\n%s" % (
            len(self.failures), count, SEED, "\n\n".join(map(str, self.failures[:FAILURES_SHOWN])))
        assert self.kills


@pytest.mark.parametrize("share", range(SHARES) if ALL else [random.Random(SEED).randrange(SHARES)])
def test_every_point(unkilled, nurseries, tmp_path, capsys, share):
    chosen = points(unkilled.commits)[share::SHARES]
    tally = Tally(unkilled, tmp_path, nurseries)
    for doom in chosen:
        tally.run(doom)
    with capsys.disabled():
        print("\n%d commits, %d points, every %dth from number %d on (CHAOS_SEED=%d): %s" % (
            len(unkilled.commits), len(points(unkilled.commits)), SHARES, share, SEED, tally))
    tally.check(len(chosen))


@pytest.mark.parametrize("share", range(SHARES) if ALL else [random.Random(SEED).randrange(SHARES)])
def test_every_point_with_two_bridges(nurseries, tmp_path, capsys, share):
    """The same call on two bridges that are linked (DESIGN, "Coming back, resumed")."""
    (tmp_path / "unkilled").mkdir()
    unkilled = play(tmp_path / "unkilled", nurseries=nurseries, setting=TWO_BRIDGES)
    assert not unkilled.complaints, unkilled.complaints
    chosen = points(unkilled.commits)[share::SHARES]
    tally = Tally(unkilled, tmp_path, nurseries, TWO_BRIDGES)
    for doom in chosen:
        tally.run(doom)
    with capsys.disabled():
        print("\non two bridges: %d commits, %d points, every %dth from number %d on (CHAOS_SEED=%d): %s" % (
            len(unkilled.commits), len(points(unkilled.commits)), SHARES, share, SEED, tally))
    tally.check(len(chosen))


@pytest.mark.parametrize("again", [Doom(number, point) for number in (1, 2, 3) for point in ("before", "mid")]
                         if ALL else [Doom(1, "mid")])
def test_killed_again_on_the_way_back(unkilled, tmp_path, capsys, again):
    """The second process ends, too, at one of its first commits. These are started as an operator would."""
    chosen = random.Random(SEED).sample(points(unkilled.commits), 6 if ALL else 3)
    tally = Tally(unkilled, tmp_path)
    for doom in chosen:
        tally.run(doom, again)
    with capsys.disabled():
        print("\nkilled again at %s, started anew (CHAOS_SEED=%d): %s" % (again, SEED, tally))
    tally.check(len(chosen))
