#!/usr/bin/env python3
"""What joining costs: R rooms of P participants, all joining at once, on a real Prosody. Prints one JSON line.

    python benchmarks/join.py --rooms 50 --participants 4

The focus is started as an operator would (bin/jicofo, shipped defaults, TLS verified). The participants and the bridge
are synthetic, and live in this process. See README.md in this folder for what the figures mean.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Tuple

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.common import (  # noqa: E402
    GENERATIONAL,
    Invalid,
    add_options,
    first_conference,
    machine,
    median_run,
    refused_sctp,
    report,
    settle,
    spread,
    with_unit,
)
from tests.support.bridge import Bridge  # noqa: E402
from tests.support.client import Client  # noqa: E402
from tests.support.focus_process import FocusProcess, account_login, guest_login  # noqa: E402
from tests.support.loop import Loop, WaitTimeout  # noqa: E402
from tests.support.prosody import Prosody  # noqa: E402

LOGGED = re.compile(r"Jicofo \S+ (\d\d:\d\d:[\d.]+) FINE: .*\[room=(\S+?)\] .*: (?:\S+ (?=accepted with))?"
                    r"(accepted with|Telling )")
"""What the focus logs at level FINE about an accept it read and an update it writes."""


COST = "focus_cpu_ms_per_join"
"""What runs are ordered by."""


class Room:
    """One room of the run, and what its participants have seen."""

    def __init__(self, jid: str, clients: List[Client]) -> None:
        self.jid = jid
        self.clients = clients
        self.expected = {client.endpoint: client.sources.stripped() for client in clients}
        self.complete_at: Dict[str, float] = {}
        for client in clients:
            client.on_remote = self._on_remote

    def _on_remote(self, client: Client, _: Iterable[str]) -> None:
        """Counts a client as complete while it knows exactly the sources of all others."""
        if self.knows_all(client):
            self.complete_at.setdefault(client.endpoint, time.monotonic())
        else:
            self.complete_at.pop(client.endpoint, None)

    def knows_all(self, client: Client) -> bool:
        """Whether a client knows the sources of all others, and nothing else but the bridge's."""
        if len(client.remote) != len(self.clients) or "jvb" not in client.remote:
            return False
        return all(
            client.remote.get(endpoint) == sources
            for endpoint, sources in self.expected.items()
            if endpoint != client.endpoint
        )

    @property
    def complete(self) -> bool:
        return len(self.complete_at) == len(self.clients)


class Run:
    """One run of the benchmark: server, bridge, focus, participants; then the figures."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.rooms: List[Room] = []
        self.clients: List[Client] = []
        self.figures: Dict[str, Any] = {}

    def go(self, journal: bool = True) -> Dict[str, Any]:
        """Returns the figures. Raises Invalid if the run doesn't count."""
        arguments = self.arguments
        gc = GENERATIONAL if arguments.prosody_gc == "generational" else ""
        with Prosody(require_tls=False, extra_global=gc) as prosody, Loop() as loop:
            self.loop, self.prosody = loop, prosody
            self.bridge = Bridge(
                loop,
                account_login(prosody, "jvb", tls=False),
                prosody.brewery,
                delay=arguments.bridge_delay,
                sctp=arguments.sctp,
            )
            self.guest = Client(loop, guest_login(prosody, tls=False))
            with FocusProcess(
                prosody, log_file=arguments.log, profile=arguments.profile, options=arguments.option or [],
                journal=journal, checked=False
            ) as self.focus:
                try:
                    self._first_conference()
                    self._connect()
                    self._join()
                    self._check()
                    self._go_on()
                    self.focus.stop()
                    self._journal_figures()
                except (WaitTimeout, AssertionError) as error:
                    raise Invalid("%s\n--- end of the focus's log\n%s" % (error, self.focus.log()[-3000:])) from None
        return self.figures

    def _go_on(self) -> None:
        """What follows when all have joined."""
        self._prove_pipelining()
        self._leave()

    def _first_conference(self) -> None:
        """Start to the first conference that is answered as ready."""
        seconds = first_conference(self.loop, self.focus, self.guest, self.prosody.muc)
        self.figures["start_to_first_conference_s"] = round(seconds, 3)
        self.loop.wait(lambda: "focus" in self.bridge.occupants, 10, "the focus in the brewery")

    def _connect(self) -> None:
        login = guest_login(self.prosody, tls=False)
        rooms, participants = self.arguments.rooms, self.arguments.participants
        for number in range(rooms):
            clients = []
            for index in range(participants):
                endpoint = "%04x%04x" % (number + 1, index + 1)
                client = Client(self.loop, login, endpoint=endpoint, record=False, track=False)
                client.prepare()
                clients.append(client)
            self.rooms.append(Room("room%d@%s" % (number, self.prosody.muc), clients))
        self.clients = [room.clients[index] for index in range(participants) for room in self.rooms]
        self.loop.run_for(1.0)  # let the processes come to rest before the clock starts
        self.figures["rss_before_mb"] = round(self.focus.rss_mb(), 1)

    def _join(self) -> None:
        room_of = {id(client): room.jid for room in self.rooms for client in room.clients}
        focus_cpu, prosody_cpu, own_cpu = self._cpu()
        self.began_at = time.monotonic()
        for client in self.clients:
            client.enter(room_of[id(client)], self.focus.jid)
        incomplete = list(self.rooms)

        def all_complete() -> bool:
            while incomplete and incomplete[-1].complete:
                incomplete.pop()
            return not incomplete and all(room.complete for room in self.rooms)

        self.loop.wait(all_complete, self.arguments.timeout, self._what_is_missing)
        ended_at = time.monotonic()
        self._settle()
        joins = len(self.clients)
        focus_after, prosody_after, own_after = self._cpu()
        self.figures.update(
            focus_cpu_ms_per_join=round((focus_after - focus_cpu) * 1000 / joins, 3),
            prosody_cpu_ms_per_join=round((prosody_after - prosody_cpu) * 1000 / joins, 2),
            own_cpu_ms_per_join=round((own_after - own_cpu) * 1000 / joins, 2),
            total_s=round(ended_at - self.began_at, 3),
            rss_after_mb=round(self.focus.rss_mb(), 1),
        )

    def _settle(self) -> None:
        settle(self.loop, lambda: len(self.bridge.requests) + sum(c.stream.bytes_received for c in self.clients))

    def _cpu(self) -> Any:
        return self.focus.cpu_seconds(), self.prosody.cpu_seconds(), time.process_time()

    def _what_is_missing(self) -> str:
        out = []
        for room in self.rooms:
            missing = [client for client in room.clients if not room.knows_all(client)]
            if missing:
                out.append("%s: %d of %d incomplete" % (room.jid, len(missing), len(room.clients)))
                out += [client.summary() for client in missing[:2]]
        return "\n".join(out[:12] + ["bridge violations: %s" % self.bridge.violations[:3]])

    def _check(self) -> None:
        """The run counts only if every client has exactly all others' sources and nobody did anything wrong."""
        problems = ["bridge: " + text for text in self.bridge.violations]
        for room in self.rooms:
            for client in room.clients:
                problems += ["%s: %s" % (client.endpoint, text) for text in client.violations]
                if not room.knows_all(client):
                    problems.append("%s does not know exactly all others" % client.endpoint)
                if client.session is None or client.session.state != "active" or len(client.sessions) != 1:
                    problems.append("%s has %d sessions" % (client.endpoint, len(client.sessions)))
        problems += ["bridge refused: %r" % r for r in self.bridge.requests if r.error and not refused_sctp(r)]
        if problems:
            raise Invalid("\n".join(problems[:10]))
        self._time_figures()
        self._focus_figures()
        self._bridge_figures()

    def _time_figures(self) -> None:
        answered, offered, everywhere, updates, handled = [], [], [], [], []
        arrivals = {
            endpoint: request.at
            for request in self.bridge.requests
            if "sources" in request.kinds
            for endpoint in request.endpoints
        }
        for room in self.rooms:
            for client in room.clients:
                session = client.sessions[-1]
                answered.append(client.answered_at - client.asked_at)
                offered.append(session.offered_at - client.joined_at)
                others = [other for other in room.clients if other is not client]
                known = [other.remote_since[client.endpoint] for other in others]
                everywhere.append(max(known) - session.accepted_at)
            last = max(room.clients, key=lambda client: client.sessions[-1].accepted_at)
            last_update = max(client.last_update_at for client in room.clients)
            updates.append(last_update - last.sessions[-1].accepted_at)
            handled.append(last_update - arrivals.get(last.endpoint, last.sessions[-1].accepted_at))
        self.figures.update(
            conference_iq_ms=spread(answered),
            join_to_initiate_ms=spread(offered),
            accept_to_everywhere_ms=spread(everywhere),
            last_accept_sent_to_last_update_received_s=round(max(updates), 3),
            last_accept_at_bridge_to_last_update_received_s=round(max(handled), 3),
            not_ready_answers=sum(client.not_ready for client in self.clients),
            told_in_xml=sum(client.told_in_xml for client in self.clients),
            updates_received_per_join=round(
                sum(client.updates_received for client in self.clients) / len(self.clients), 2
            ),
        )

    def _focus_figures(self) -> None:
        """From the focus's own log, if it was told to log that much: last accept read to last update written."""
        times: Dict[Tuple[str, str], float] = {}
        for line in self.focus.log().splitlines():
            found = LOGGED.match(line)
            if found:
                clock = sum(float(part) * unit for part, unit in zip(found.group(1).split(":"), (3600, 60, 1)))
                times[found.group(2), found.group(3).split()[0]] = clock
        spans = [times[room, "Telling"] - at for (room, what), at in times.items()
                 if what == "accepted" and (room, "Telling") in times and not room.startswith("first@")]
        if spans:
            self.figures["last_accept_read_to_last_update_written_s"] = round(max(spans), 3)

    def _bridge_figures(self) -> None:
        requests = [r for r in self.bridge.requests if not r.kinds & {"expire-endpoint", "expire-conference"}]
        joins = len(self.clients)
        self.figures.update(
            bridge_requests=len(requests),
            bridge_requests_per_join=round(len(requests) / joins, 3),
            bridge_requests_over_2_per_join=len(requests) - 2 * joins,
            bridge_sctp_refusals=sum(map(refused_sctp, requests)),
            bridge_in_flight_max=max(request.in_flight_before + 1 for request in requests),
        )

    def _journal_figures(self) -> None:
        """What the focus says at its end: commits and bytes from its start on, the leaving and the proof included."""
        said = re.search(r"The journal took (\d+) commits, (\d+) bytes", self.focus.log())
        if said is not None:
            joins = len(self.clients)
            self.figures.update(journal_commits_per_join=round(int(said.group(1)) / joins, 2),
                                journal_bytes_per_join=int(said.group(2)) // joins)

    def _prove_pipelining(self) -> None:
        """Counts requests that wait for the answer to another participant's request, in one more room.

        Two are in the call already (the request that creates the conference may be waited for, K-132). Then others
        join at once, and the bridge keeps back its answer for one of them: the requests for all the rest must come
        all the same.
        """
        login = guest_login(self.prosody, tls=False)
        clients = [Client(self.loop, login, endpoint="ffff%04x" % index, record=False) for index in range(8)]
        room = Room("proof@" + self.prosody.muc, clients)
        first, held, rest = clients[:2], clients[2], clients[3:]
        begin = len(self.bridge.requests)

        def enter(some: List[Client]) -> None:
            for client in some:
                client.enter(room.jid, self.focus.jid)

        enter(first)
        self.loop.wait(lambda: all(client.session for client in first), 30, "the first two offers")
        self.bridge.script("create-endpoint", "hold", endpoint_id=held.endpoint)
        enter([held])
        self.loop.wait(lambda: self.bridge.held, 30, "a creation held back")
        enter(rest)
        wanted = {client.endpoint for client in rest}

        def missing() -> int:
            requests = [request for request in self.bridge.requests[begin:] if not request.error]
            created = {one for request in requests if request.is_creation for one in request.endpoints}
            updated = {one for request in requests if "sources" in request.kinds for one in request.endpoints}
            return len(wanted - created) + len(wanted - updated)

        try:
            self.loop.wait(lambda: not missing(), 10)
        except WaitTimeout:
            pass
        self.figures["bridge_requests_waiting"] = missing()
        self.bridge.release()
        self.loop.wait(lambda: room.complete, 30, lambda: "proof room: " + held.summary())
        for client in clients:
            client.leave()

    def _leave(self) -> None:
        """Everybody leaves; the bridge must be left empty."""
        before = self.focus.cpu_seconds()
        for client in self.clients:
            client.leave()
        self.loop.wait(
            lambda: not self.bridge.leaks(), 30, lambda: "leaks: %s" % self.bridge.leaks()[:5]
        )
        self._settle()
        self.figures["focus_cpu_ms_per_leave"] = round(
            (self.focus.cpu_seconds() - before) * 1000 / len(self.clients), 3
        )
        self.figures["rss_end_mb"] = round(self.focus.rss_mb(), 1)


def one_run(arguments: argparse.Namespace, journal: bool) -> Dict[str, Any]:
    """One run's figures."""
    run = with_unit(lambda: Run(arguments).go(journal))
    run["units_per_join"] = round(run[COST] / run["unit_ms"], 1)
    return run


def parse(arguments: Optional[List[str]] = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rooms", type=int, default=50)
    parser.add_argument("--participants", type=int, default=4, help="in each room")
    parser.add_argument("--sctp", action="store_true", help="the bridge has data channels")
    parser.add_argument("--journal", choices=("on", "off", "both"), default="on",
                        help="both: runs with and without one alternate, --repeat times each")
    add_options(parser, timeout=120.0)
    return parser.parse_args(arguments)


def measure(arguments: argparse.Namespace) -> Dict[str, Any]:
    """The figures of all runs."""
    runs: List[Dict[str, Any]] = []
    without: List[Dict[str, Any]] = []
    for _ in range(arguments.repeat):
        if arguments.journal == "both":
            without.append(one_run(arguments, False))
        runs.append(one_run(arguments, arguments.journal != "off"))
    figures = median_run(runs, COST)
    if without:
        ratios = [run[COST] / bare[COST] for run, bare in zip(runs, without)]
        figures.update(focus_cpu_ms_per_join_without_journal=[run[COST] for run in without],
                       journal_cpu_ratios=[round(ratio, 3) for ratio in ratios],
                       journal_cpu_ratio_median=round(statistics.median(ratios), 3))
    return figures


def main() -> int:
    """Runs the benchmark; 0 if the run counts."""
    arguments = parse()
    return report({
        "rooms": arguments.rooms,
        "participants": arguments.participants,
        "joins": arguments.rooms * arguments.participants,
        "bridge_delay_s": arguments.bridge_delay,
        "prosody_gc": arguments.prosody_gc,
        **machine(),
    }, lambda: measure(arguments))


if __name__ == "__main__":
    sys.exit(main())
