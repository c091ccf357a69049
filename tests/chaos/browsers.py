"""A meeting of real browsers that goes on while the focus is ended again and again.

`run()` does one run and returns what came of it; the control run is the same without the ends. By hand:

    python -m tests.chaos.browsers --mode kill --count 10 --seed 1
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Set, Tuple

from focus.demo.browser import Browser
from tests.chaos import browser_analysis as analysis
from tests.chaos import browser_plan as plan
from tests.chaos.browser_analysis import Described, Gap
from tests.chaos.browser_killer import MODES, Killer
from tests.chaos.browser_machine import Load, Watch
from tests.chaos.browser_outcome import SHOWN, Outcome
from tests.chaos.browser_pages import Page
from tests.chaos.browser_sources import focus_sources
from tests.chaos.browser_stage import Servers
from tests.support.stage import log_lines

ROOM = "chaos"
FLAGS = ("--use-fake-device-for-media-stream=fps=10",)
"""Pictures enough for every window, and the machine has something left for the servers."""
LOOK = 50.0
"""Milliseconds between two looks at what is due."""
TAKE = 3.0
"""Seconds between two looks at what the pages have written down."""
PATIENCE = 60.0
"""Seconds until all are in the room and sound and pictures flow, and for the last steps to end."""
AGREE = 15.0
"""Seconds until all agree on the sources after the last step."""


class Failed(AssertionError):
    """The run could not be carried out."""


class Run:
    """One run in progress."""

    def __init__(self, servers: Servers, browser: Browser, mode: str, count: int, seed: int, burst: bool) -> None:
        self.servers = servers
        self.mode = mode
        self.seed = seed
        self.kills = plan.kills(seed, count, burst)
        self.steps = plan.steps(seed, plan.duration(self.kills))
        self.room = "%s@%s" % (ROOM, servers.prosody.muc)
        self.killer = Killer(servers, self.room, self.kills, mode, seed)
        self.pages = {name: Page(browser, servers, ROOM, name, camera=True) for name in plan.STAYING}
        self.pages[plan.GUEST] = Page(browser, servers, ROOM, plan.GUEST, camera=False)
        self.troubles: List[str] = []
        self._taken = 0.0

    def carry_out(self) -> Outcome:
        """Everything, from the first join to the agreement at the end."""
        self.killer.start()
        try:
            self._begin()
            watch, begin = Watch(), time.monotonic()
            self.killer.begin()
            self._act(begin)
            self._until(self.killer.done.is_set, "the killer is done", PATIENCE + plan.duration(self.kills))
            self._until(lambda: all(page.idle for page in self.pages.values()), "the last steps are done", PATIENCE)
            seconds = time.monotonic() - begin
            load = watch.stop()
            self._agree()
            return self._outcome(seconds, load)
        finally:
            self.killer.stop()

    def _begin(self) -> None:
        """All who stay come in, and get sound and pictures from each other."""
        for name in plan.STAYING:
            self.pages[name].perform("join")

        def flowing() -> bool:
            recordings = [page.recording() for page in self.pages.values()]
            _, settled = analysis.gaps(recordings, time.time() * 1000)
            return len(settled) == len(plan.STAYING) * (len(plan.STAYING) - 1) * len(analysis.KINDS)

        self._until(self.killer.prepared.is_set, "the scripted clients are there", PATIENCE)
        self._until(flowing, "all who stay see and hear each other", PATIENCE, 0.5)

    def _act(self, begin: float) -> None:
        for step in self.steps:
            self._until_time(begin + step.at)
            self.pages[step.who].perform(step.action)
            self.killer.stepped(step.action)
        self._until_time(begin + plan.duration(self.kills))

    def _until_time(self, due: float) -> None:
        self._until(lambda: time.monotonic() >= due, "time passes", PATIENCE)

    def _until(self, condition: Callable[[], bool], what: str, seconds: float, every: float = TAKE) -> None:
        """Let the browsers work until it is so; what they write down is taken meanwhile. Raises Failed."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() >= self._taken + every:
                self._take()
            if time.monotonic() > deadline:
                raise Failed("not within %.0f s: %s" % (seconds, what))
            self.pages[plan.STAYING[0]].tab.page.wait_for_timeout(LOOK)

    def _take(self) -> None:
        self._taken = time.monotonic()
        self.servers.check()
        if self.killer.error is not None:
            raise Failed("the killer: %r" % self.killer.error) from self.killer.error
        for page in self.pages.values():
            page.take()
            if page.phase == "failed":
                raise Failed("%s: the meeting failed: %s" % (page.name, page.failure))

    def _agree(self) -> None:
        """Focus, bridge and browsers have the same sources, at the latest after a while."""
        found: List[str] = ["never compared"]

        def agreed() -> bool:
            found[:] = analysis.disagreements(*self._all_sources())
            return not found

        try:
            self._until(agreed, "agreement", AGREE)
        except Failed:
            self.troubles += found
        self._take()

    def _all_sources(self) -> Tuple[Dict[str, Set[int]], Dict[str, Described], Dict[str, Set[int]]]:
        pages = {page.id: page.described() for page in self.pages.values() if page.phase == "joined"}
        return (self.servers.bridge_sources(ROOM),
                {one: found or Described(set(), set(), set()) for one, found in pages.items()},
                focus_sources(self.servers, self.room))

    def _outcome(self, seconds: float, load: Load) -> Outcome:
        now = time.time() * 1000
        recordings = [page.recording() for page in self.pages.values()]
        gaps, settled = analysis.gaps(recordings, now)
        troubles = self.troubles + self.killer.troubles + analysis.removals(recordings, now)
        for recording in recordings:
            troubles += analysis.troubles(recording, now)
        for page in self.pages.values():
            troubles += ["%s: %s" % (page.name, message.splitlines()[0]) for message in page.complaints()]
        log = self.servers.focus.log()
        troubles += ["the focus's log: %s" % line for line in sorted(set(log_lines(log, "SEVERE")))]
        troubles += ["the focus's log: %s" % line for line in log.splitlines() if line.lstrip().startswith("Traceback")]
        return Outcome(
            self.mode, self.seed, len(self.kills), self.killer.ends, seconds, troubles, gaps,
            ["%s, %s" % (gap, self._before(gap)) for gap in gaps],
            [line for recording in recordings for line in analysis.unsteady(recording, now)],
            [took / 1000 for took in settled], analysis.serving_again(log), analysis.logins(log),
            recordings, len(self.steps), load)

    def _before(self, gap: Gap) -> str:
        earlier = [end.ms for end in self.killer.ends if end.ms <= gap.begin + analysis.WINDOW]
        return "%.1f s after a kill" % ((gap.begin - earlier[-1]) / 1000) if earlier else "before any kill"


def run(directory: Path, mode: str, count: int, seed: int, burst: bool = True, log_level: str = "INFO") -> Outcome:
    """One run with servers and a browser of its own. mode: see browser_killer.MODES; "" ends nothing.

    The folder keeps the logs and what the pages recorded.
    """
    with Servers(directory, log_level) as servers, Browser(flags=FLAGS) as browser:
        running = Run(servers, browser, mode, count, seed, burst)
        with _reported(directory, running):
            outcome = running.carry_out()
    kept = {"recordings": outcome.recordings, "ends": [asdict(end) for end in outcome.ends]}
    (directory / "recordings.json").write_text(json.dumps(kept), encoding="utf-8")
    return outcome


@contextlib.contextmanager
def _reported(directory: Path, running: Run) -> Iterator[None]:
    """If it fails, what every page went through is written down."""
    try:
        yield
    except BaseException:
        lines = ["%s" % (end,) for end in running.killer.ends] + running.killer.troubles
        lines += [page.tab.report() for page in running.pages.values()]
        (directory / "report.txt").write_text("\n".join(lines), encoding="utf-8")
        print("logs and report: %s" % directory, flush=True)
        raise


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """One run by hand, with its control run unless `--no-control`. Exit status 1 if there are complaints."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.browsers", description=__doc__)
    parser.add_argument("--mode", choices=("control",) + MODES, default="kill")
    parser.add_argument("--count", type=int, default=10, help="ends of the focus (10)")
    parser.add_argument("--seed", type=int, default=random.randrange(10000), help="any")
    parser.add_argument("--directory", type=Path, default=None, help="for logs; default: a temporary one")
    parser.add_argument("--no-control", action="store_true", help="only the run itself")
    parser.add_argument("--no-burst", action="store_true", help="without the hundred joins")
    parser.add_argument("--log-level", default="INFO")
    options = parser.parse_args(arguments)
    directory = options.directory or Path(tempfile.mkdtemp(prefix="chaos-"))
    print("logs: %s" % directory, flush=True)
    common = dict(count=options.count, seed=options.seed, burst=not options.no_burst, log_level=options.log_level)
    control: Optional[Outcome] = None
    if options.mode == "control" or not options.no_control:
        control = run(directory / "control", "", **common)
        print(control.text(), flush=True)
        complaints = control.complaints(None)
    if options.mode != "control":
        outcome = run(directory / options.mode, options.mode, **common)
        print(outcome.text(), flush=True)
        complaints = outcome.complaints(control)
    print("\n".join(["FAILED"] + complaints[:SHOWN]) if complaints else "all is well")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
