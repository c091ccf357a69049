#!/usr/bin/env python3
"""What the loss of a bridge costs: a room of P participants whose bridge goes, and another one. Prints one JSON line.

    python benchmarks/reinvite.py --participants 100

Server, focus and participants are those of join.py. See README.md in this folder for what the figures mean.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.common import Invalid, add_options, machine, median_run, report, spread, with_unit  # noqa: E402
from benchmarks.join import Run  # noqa: E402
from tests.support.bridge import Bridge  # noqa: E402
from tests.support.focus_process import account_login  # noqa: E402

COST = "focus_cpu_ms_per_participant"
"""What runs are ordered by."""


class Reinvite(Run):
    """Everybody joins as in join.py; then the bridge goes."""

    def _go_on(self) -> None:
        self._second_bridge()
        self._lose_the_bridge()
        self._check_moved()

    def _second_bridge(self) -> None:
        """It comes when the call stands, so that nobody is on it."""
        self.other = Bridge(self.loop, account_login(self.prosody, "jvb", tls=False), self.prosody.brewery,
                            nickname="jvb2", delay=self.arguments.bridge_delay, sctp=self.arguments.sctp)
        self.loop.wait(lambda: self.other.jid in self.focus.log(), 10, "the second bridge is known")
        self._settle()

    def _lose_the_bridge(self) -> None:
        cpu, prosody_cpu, _ = self._cpu()
        for room in self.rooms:
            room.complete_at.clear()
        lost_at = time.monotonic()
        if self.arguments.silent:
            self.bridge.vanish()
        else:
            self.bridge.leave()
        self.loop.wait(lambda: all(self._is_in_second(client) for client in self.clients), self.arguments.timeout,
                       self._what_is_missing)
        self.loop.wait(lambda: all(room.knows_all(client) for room in self.rooms for client in room.clients),
                       self.arguments.timeout, self._what_is_missing)
        total = time.monotonic() - lost_at
        self._settle()
        after, prosody_after, _ = self._cpu()
        number = len(self.clients)
        self.figures = {
            "focus_cpu_ms_per_participant": round((after - cpu) * 1000 / number, 3),
            "prosody_cpu_ms_per_participant": round((prosody_after - prosody_cpu) * 1000 / number, 2),
            "loss_to_offer_ms": spread([client.sessions[1].offered_at - lost_at for client in self.clients]),
            "loss_to_accept_ms": spread([client.sessions[1].accepted_at - lost_at for client in self.clients]),
            "total_s": round(total, 3),
            "bridge_requests_per_participant": round(len(self.other.requests) / number, 2),
            "rss_after_mb": round(self.focus.rss_mb(), 1),
        }

    @staticmethod
    def _is_in_second(client: Any) -> bool:
        return len(client.sessions) == 2 and client.sessions[1].state == "active"

    def _check_moved(self) -> None:
        """One more session each, on the other bridge, and nothing that a correct focus doesn't do."""
        problems: List[str] = ["bridge: " + text for text in self.other.violations]
        for client in self.clients:
            problems += ["%s: %s" % (client.endpoint, text) for text in client.violations]
            if len(client.sessions) != 2 or self.other.endpoint(client.endpoint) is None:
                problems.append("%s has %d sessions" % (client.endpoint, len(client.sessions)))
        if problems:
            raise Invalid("\n".join(problems[:10]))


def parse(arguments: Optional[List[str]] = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rooms", type=int, default=1)
    parser.add_argument("--participants", type=int, default=100, help="in each room")
    parser.add_argument("--sctp", action="store_true", help="the bridges have data channels")
    parser.add_argument("--silent", action="store_true", help="the bridge doesn't leave, it falls silent")
    add_options(parser, timeout=120.0)
    return parser.parse_args(arguments)


def measure(arguments: argparse.Namespace) -> Dict[str, Any]:
    """The figures of all runs."""
    runs = []
    for _ in range(arguments.repeat):
        run = with_unit(lambda: Reinvite(arguments).go())
        run["units_per_participant"] = round(run[COST] / run["unit_ms"], 1)
        runs.append(run)
    return median_run(runs, COST)


def main() -> int:
    """Runs the benchmark; 0 if the run counts."""
    arguments = parse()
    return report({"rooms": arguments.rooms, "participants": arguments.participants, "silent": arguments.silent,
                   "bridge_delay_s": arguments.bridge_delay, "prosody_gc": arguments.prosody_gc, **machine()},
                  lambda: measure(arguments))


if __name__ == "__main__":
    sys.exit(main())
