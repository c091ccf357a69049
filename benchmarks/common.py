"""What the benchmarks share: the unit of cost, statistics, what a failed run is, and the frame of the main program."""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List

from lxml import etree

from tests.support import media
from tests.support.bridge import Request
from tests.support.client import Client
from tests.support.focus_process import FocusProcess
from tests.support.loop import Loop

#: Halves what a burst costs Prosody on Lua 5.4; its default is an incremental collector.
GENERATIONAL = 'gc = { mode = "generational" }'


class Invalid(Exception):
    """The run doesn't count."""


def unit_body() -> bytes:
    """The session-accept of 5 kB of which a unit is made."""
    sources = media.audio_source("abcd1234", 1).plus(media.video_source("abcd1234", 2))
    text = media.accept_contents("abcd1234", sources)
    # Without one codec, which brings the specimen to 5 kB.
    begin, end = text.index("<payload-type id='107'"), text.index("<source", text.index("<payload-type id='107'"))
    return (
        "<iq xmlns='jabber:client' type='set' id='i' to='focus@auth.meet.example/focus'><jingle "
        "xmlns='urn:xmpp:jingle:1' action='session-accept' sid='s'>%s</jingle></iq>" % (text[:begin] + text[end:])
    ).encode()


def unit_ms(rounds: int = 15, repetitions: int = 40) -> float:
    """The cost of one unit: parse and serialise a session-accept of 5 kB with lxml, in ms; the best of several."""
    body = unit_body()
    return min(_round_ms(body, repetitions) for _ in range(rounds))


def _round_ms(body: bytes, repetitions: int) -> float:
    begin_at = time.process_time()
    for _ in range(repetitions):
        etree.tostring(etree.fromstring(body))
    return (time.process_time() - begin_at) * 1000 / repetitions


class UnitDuring:
    """Measures the unit again and again while a loop runs: a shared machine is not as fast all the time."""

    def __init__(self, loop: Loop) -> None:
        self._body = unit_body()
        self._rounds: List[float] = []
        self._timer = loop.call_every(0.5, self._measure)

    def _measure(self) -> None:
        _round_ms(self._body, 5)  # what it needs is in the caches then
        self._rounds.append(_round_ms(self._body, 20))

    def median_ms(self) -> float:
        """The median; ends the measuring."""
        self._timer.cancel()
        return statistics.median(self._rounds or [unit_ms(1)])


def spread(seconds: List[float]) -> Dict[str, float]:
    """Median, 95th percentile and maximum of durations, in ms."""
    ordered = sorted(seconds)
    return {
        "median": round(statistics.median(ordered) * 1000, 1),
        "p95": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))] * 1000, 1),
        "max": round(ordered[-1] * 1000, 1),
    }


def first_conference(loop: Loop, focus: FocusProcess, guest: Client, muc: str) -> float:
    """Seconds from the start of the process until the first conference is answered as ready."""
    deadline = time.monotonic() + 30
    while True:
        answer = guest.ask("first@" + muc, focus.jid, timeout=30)
        if b"ready='true'" in answer.raw or b'ready="true"' in answer.raw:
            break
        if time.monotonic() > deadline or not focus.running:
            raise Invalid("no conference: %r\n%s" % (answer, focus.log()[-3000:]))
        loop.step(0.005)
    guest.close()
    return time.monotonic() - focus.started_at


def settle(loop: Loop, heard: Callable[[], int]) -> None:
    """Until nothing has been heard of the focus for half a second: late work belongs to the run, too."""
    seen = -1
    while True:
        now = heard()
        if now == seen:
            return
        seen = now
        loop.run_for(0.5)


def steal_seconds() -> float:
    """Processor time that the host has kept from this machine until now."""
    with open("/proc/stat", encoding="ascii") as stat:
        return int(stat.readline().split()[8]) / os.sysconf("SC_CLK_TCK")


def refused_sctp(request: Request) -> bool:
    """Whether the bridge refused a request only because it has no SCTP, which is how the focus learns it (K-476)."""
    return "SCTP" in request.error_text


# The main program


def machine() -> Dict[str, Any]:
    """What every line says of where it was measured."""
    return {"cores": len(os.sched_getaffinity(0)), "python": "%d.%d.%d" % sys.version_info[:3]}


def add_options(parser: argparse.ArgumentParser, timeout: float) -> None:
    """The options that all have."""
    parser.add_argument("--bridge-delay", type=float, default=0.05, help="seconds until the bridge answers")
    parser.add_argument("--prosody-gc", choices=("generational", "default"), default="generational")
    parser.add_argument("--repeat", type=int, default=1, help="runs; the figures are those of the median one")
    parser.add_argument("--timeout", type=float, default=timeout, help="seconds after which a run has failed")
    parser.add_argument("--log", type=Path, help="where the focus's log goes")
    parser.add_argument("--profile", type=Path, help="run the focus under cProfile; the figures are then worthless")
    parser.add_argument("--option", action="append", help="a flag for the focus, such as --option=--log_level=FINE")


def with_unit(run: Callable[[], Dict[str, Any]]) -> Dict[str, Any]:
    """One run's figures, with the unit measured before and after it."""
    unit = unit_ms()
    figures = run()
    figures["unit_ms"] = round(min(unit, unit_ms()), 4)
    return figures


def median_run(runs: List[Dict[str, Any]], figure: str) -> Dict[str, Any]:
    """The run that is in the middle by one of its figures, which of several runs is given for all."""
    chosen = dict(sorted(runs, key=lambda run: run[figure])[(len(runs) - 1) // 2])
    if len(runs) > 1:
        chosen[figure + "_of_all_runs"] = [run[figure] for run in runs]
    return chosen


def end_cleanly(*_: Any) -> None:
    """SIGTERM: stop what was started, undisturbed by a second signal."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(143)


def report(figures: Dict[str, Any], measure: Callable[[], Dict[str, Any]]) -> int:
    """Print what is known beforehand with what is measured as one line; 0 if the run counts."""
    signal.signal(signal.SIGTERM, end_cleanly)
    try:
        measured = measure()
    except Invalid as error:
        print(json.dumps(dict(figures, counts=False, problem=str(error).splitlines()[0])))
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(dict(figures, counts=True, **measured)))
    return 0
