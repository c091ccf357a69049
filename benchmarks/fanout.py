#!/usr/bin/env python3
"""What a change of sources costs in a large room: P join at once, then they change sources. Prints one JSON line.

    python benchmarks/fanout.py --participants 50
    python benchmarks/fanout.py --participants 500 --server sink --rate 10

The focus is started as an operator would (shipped defaults), against a real Prosody (TLS verified) or against a sink:
a scripted server in this process. The participants and the bridge are synthetic, and live in this process. See
README.md in this folder for what the figures mean.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.common import (  # noqa: E402
    Invalid,
    UnitDuring,
    add_options,
    first_conference,
    machine,
    median_run,
    refused_sctp,
    report,
    settle,
    spread,
    steal_seconds,
    with_unit,
)
from benchmarks.crowd import Changes, Crowd, Participant  # noqa: E402
from benchmarks.servers import Place, RealServer, Sink, WatchedFocus  # noqa: E402
from tests.support.bridge import Bridge  # noqa: E402
from tests.support.client import Client  # noqa: E402
from tests.support.loop import Loop, WaitTimeout  # noqa: E402

COST = "focus_cpu_us_per_change_receiver"
"""What runs are ordered by."""


class Moment(NamedTuple):
    """What is counted, at one moment."""

    at: float
    focus_cpu: float
    server_cpu: float
    own_cpu: float
    stolen: float
    updates: int
    bridge_requests: int


class Run:
    """One run of the benchmark: server, bridge, focus, participants; then the figures."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.figures: Dict[str, Any] = {}

    def go(self) -> Dict[str, Any]:
        """Returns the figures. Raises Invalid if the run doesn't count."""
        arguments = self.arguments
        with Loop() as self.loop:
            self.place: Place = Sink(self.loop) if arguments.server == "sink" else RealServer(arguments.prosody_gc)
            with self.place:
                self.bridge = Bridge(self.loop, self.place.bridge(), self.place.brewery, delay=arguments.bridge_delay)
                with WatchedFocus(
                    self.place, log_file=arguments.log, profile=arguments.profile, options=arguments.option or [],
                    journal=arguments.journal == "on",
                ) as self.focus:
                    try:
                        self._connect()
                        self._join()
                        self._change()
                        self._leave()
                    except (WaitTimeout, AssertionError) as error:
                        raise Invalid("%s\n--- end of the focus's log\n%s" % (
                            error, self.focus.log()[-3000:])) from None
        return self.figures

    def _connect(self) -> None:
        guest = Client(self.loop, self.place.participant("guest"))
        first_conference(self.loop, self.focus, guest, self.place.muc)
        self.loop.wait(lambda: "focus" in self.bridge.occupants, 10, "the focus in the brewery")
        participants = []
        for number in range(1, self.arguments.participants + 1):
            login = self.place.participant("guest%d" % number)
            participants.append(Participant(self.loop, login, number, self.arguments.answer_delay))
        self.crowd = Crowd("room@" + self.place.muc, participants)
        self.loop.run_for(1.0)  # let the processes come to rest before the clock starts
        self.figures["rss_before_mb"] = round(self.focus.rss_mb(), 1)

    def _join(self) -> None:
        before = self._now()
        for one in self.crowd.participants:
            one.enter(self.crowd.room, self.focus.jid)
        self._wait(lambda: self.crowd.is_complete, self.arguments.timeout, self._what_is_missing)
        seconds = time.monotonic() - before.at
        self._settle()
        after = self._now()
        self._check([])
        joins = len(self.crowd.participants)
        self.figures.update(
            join_s=round(seconds, 3),
            focus_cpu_ms_per_join=round((after.focus_cpu - before.focus_cpu) * 1000 / joins, 3),
            own_cpu_ms_per_join=round((after.own_cpu - before.own_cpu) * 1000 / joins, 2),
            rss_joined_mb=round(self.focus.rss_mb(), 1),
        )

    def _change(self) -> None:
        """The changes, until everybody knows all of them."""
        arguments = self.arguments
        noted = self.focus.note(self.loop)
        unit = UnitDuring(self.loop)
        before = self._now()
        changes = Changes(self.loop, self.crowd, arguments.rate, arguments.seconds, arguments.seed)
        self._wait(lambda: changes.refused or changes.are_done, arguments.seconds + arguments.timeout,
                   self._what_is_missing)
        done_at = time.monotonic()
        self._settle()
        after = self._now()
        rss = self.focus.rss_mb()
        unit_ms = unit.median_ms()
        now = self.focus.note(self.loop)
        self._check(changes.refused)
        self._change_figures(changes, before, after, done_at)
        self.figures.update(
            unit_during_ms=round(unit_ms, 4),
            units_per_change_receiver=round(self.figures[COST] / 1000 / unit_ms, 4),
            ticks_per_change=round((now["ticks"] - noted["ticks"]) / changes.made, 2),
            journal_commits_per_change=round((now["commits"] - noted["commits"]) / changes.made, 2),
            journal_bytes_per_change=(now["bytes"] - noted["bytes"]) // changes.made,
            rss_changed_mb=round(rss, 1),
            memory_mb=round(now["memory"] / (1 << 20), 1),
        )

    def _change_figures(self, changes: Changes, before: Moment, after: Moment, done_at: float) -> None:
        made, receivers = changes.made, len(self.crowd.participants) - 1
        cpu = after.focus_cpu - before.focus_cpu
        updates = after.updates - before.updates
        seconds = done_at - before.at
        self.figures.update({
            "changes": made,
            "changes_not_made": changes.not_made,
            "changes_overtaken": changes.overtaken,
            "changes_per_s": round(made / seconds, 2),
            "receivers": receivers,
            COST: round(cpu * 1e6 / (made * receivers), 2),
            "focus_cpu_ms_per_change": round(cpu * 1000 / made, 3),
            "focus_cpu_us_per_update": round(cpu * 1e6 / updates, 1),
            "focus_cores": round(cpu / seconds, 3),
            "server_cores": round((after.server_cpu - before.server_cpu) / seconds, 3),
            "own_cores": round((after.own_cpu - before.own_cpu) / seconds, 3),
            "steal_percent": round((after.stolen - before.stolen) * 100 / (seconds * machine()["cores"]), 2),
            "updates_per_change": round(updates / made, 2),
            "changes_per_update": round(made * receivers / updates, 3),
            "bridge_requests_per_change": round((after.bridge_requests - before.bridge_requests) / made, 3),
            "change_answer_ms": spread(changes.answered),
            "change_to_last_receiver_ms": spread(changes.known) if changes.known else None,
        })

    def _leave(self) -> None:
        """Everybody leaves; the bridge must be left empty."""
        for one in self.crowd.participants:
            one.leave()
        self._wait(lambda: not self.bridge.leaks(), self.arguments.timeout,
                   lambda: "leaks: %s" % self.bridge.leaks()[:5])
        self._settle()
        self.figures["rss_end_mb"] = round(self.focus.rss_mb(), 1)

    def _check(self, problems: List[str]) -> None:
        """The run counts only if everybody has exactly all others' sources and nobody did anything wrong."""
        problems = problems + ["bridge: " + text for text in self.bridge.violations] + self.crowd.problems()
        problems += ["bridge refused: %r" % r for r in self.bridge.requests if r.error and not refused_sctp(r)]
        if problems:
            raise Invalid("\n".join(problems[:10]))
        self.figures["told_in_xml"] = sum(one.told_in_xml for one in self.crowd.participants)

    def _now(self) -> Moment:
        return Moment(time.monotonic(), self.focus.cpu_seconds(), self.place.cpu_seconds(), time.process_time(),
                      steal_seconds(), sum(one.updates_received for one in self.crowd.participants),
                      len(self.bridge.requests))

    def _wait(self, condition: Callable[[], object], seconds: float, what: Callable[[], str]) -> None:
        """Work until the condition is true, or the focus is gone."""
        self.loop.wait(lambda: condition() or not self.focus.running, seconds, what)
        if not self.focus.running:
            raise WaitTimeout("the focus has ended")

    def _settle(self) -> None:
        settle(self.loop, lambda: len(self.bridge.requests) + sum(
            one.stream.bytes_received for one in self.crowd.participants))

    def _what_is_missing(self) -> str:
        return "%s\nbridge violations: %s" % (self.crowd.summary(), self.bridge.violations[:3])


def parse(arguments: Optional[List[str]] = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--participants", type=int, default=50)
    parser.add_argument("--server", choices=("prosody", "sink"), default="prosody")
    parser.add_argument("--rate", type=float, default=50.0, help="changes a second, by all together")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long they change their sources")
    parser.add_argument("--answer-delay", type=float, default=0.0, help="seconds until a participant answers an update")
    parser.add_argument("--seed", type=int, default=1, help="of the order in which they change")
    parser.add_argument("--journal", choices=("on", "off"), default="on")
    add_options(parser, timeout=180.0)
    given = parser.parse_args(arguments)
    if given.participants < 2 or given.rate <= 0 or given.seconds <= 0:
        parser.error("there must be two participants, and something must happen")
    return given


def main() -> int:
    """Runs the benchmark; 0 if the run counts."""
    arguments = parse()
    asked = {name: getattr(arguments, name) for name in ("participants", "server", "rate", "seconds", "journal")}
    return report(
        {**asked, "answer_delay_s": arguments.answer_delay, "bridge_delay_s": arguments.bridge_delay, **machine()},
        lambda: median_run([with_unit(Run(arguments).go) for _ in range(arguments.repeat)], COST))


if __name__ == "__main__":
    sys.exit(main())
