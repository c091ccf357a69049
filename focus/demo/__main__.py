"""`python -m focus.demo`: a whole meeting on this machine, checked, and open for a person to join."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import List, NoReturn, Optional, Sequence

from playwright.sync_api import Error as PlaywrightError

from focus.demo import interrupts, timeline
from focus.demo.browser import Browser, Waited
from focus.demo.meeting import NAMES, Meeting
from focus.demo.stack import CHECKOUT, Stack
from focus.demo.supervise import PartFailed

DESCRIPTION = """\
Starts Prosody, a small bridge, the focus and a web page under a supervisord of its own, opens a meeting with browsers
that have fake cameras, checks that each sees and hears the others, and waits for people until Ctrl-C.
Everything it writes is in one folder; nothing is left running.
"""
DIRECTORY = CHECKOUT / "run" / "demo"
WATCH = 300.0
"""Milliseconds between two looks at the programs while people may join."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m focus.demo", description=DESCRIPTION)
    made.add_argument("--exit", action="store_true", help="stop after the check; exit status 0 if it was well")
    made.add_argument("--room", default="demo", help="name of the room (demo)")
    made.add_argument("--port", type=int, default=0, help="port of the page on localhost (any free one)")
    made.add_argument("--participants", type=int, default=2, choices=range(2, len(NAMES) + 1), help="browsers (2)")
    made.add_argument("--directory", type=Path, default=DIRECTORY, help="where everything is written (%(default)s)")
    made.add_argument("--log-level", default="INFO", choices=("INFO", "FINE", "FINER"), help="of the focus (INFO)")
    return made


def main(arguments: Optional[List[str]] = None) -> int:
    """Run the demo. Exit status 0, or 1 if something failed; then one line says what, and where its log is."""
    options = parser().parse_args(arguments)
    interrupts.install()
    begin = time.monotonic()
    stack = Stack(options.directory, options.port, options.log_level, _say_started)
    try:
        with stack:
            status = _hold(stack, options)
    except PartFailed as error:
        say("FAILED: %s" % error)
        status = 1
    except interrupts.Interrupted:
        status = 0
    say("Everything is stopped. It took %.1f s." % (time.monotonic() - begin))
    return status


def _hold(stack: Stack, options: argparse.Namespace) -> int:
    say("Logs: %s" % " ".join(str(log) for log in stack.logs().values()))
    with Browser() as browser:
        meeting = Meeting(stack, browser, options.room, query={"height": 360})
        try:
            _check(meeting, NAMES[: options.participants])
        except (Waited, PlaywrightError) as error:
            report = stack.directory / "report.txt"
            report.write_text(meeting.report(), encoding="utf-8")
            say("FAILED: %s (report: %s)" % (str(error).splitlines()[0][:500], report))
            return 1
        screenshot = stack.directory / "screenshot.png"
        meeting.tabs[NAMES[0]].screenshot(screenshot)
        say("Screenshot: %s" % screenshot)
        say("Join from a browser on this machine: %s" % stack.url(options.room, name="Guest"))
        if not options.exit:
            _wait(stack, meeting)
    return 0


def _check(meeting: Meeting, names: Sequence[str]) -> None:
    meeting.join(names)
    for seen in meeting.check():
        flow = seen.flow
        say("%s sees %s (%d frames decoded, %d×%d) and hears %s (%d bytes, energy %.4f)"
            % (seen.who, seen.whom, flow.frames, seen.width, seen.height, seen.whom, flow.audio_bytes, flow.energy))
    entries = meeting.timeline()
    say("What happened, in milliseconds since the first request:")
    for line in timeline.written(entries):
        say(line)
    left_out = timeline.missing(entries, names)
    if left_out:
        raise Waited("the call works, but these steps were not seen: %s" % "; ".join(left_out))


def _wait(stack: Stack, meeting: Meeting) -> NoReturn:
    say("Press Ctrl-C to stop everything.")
    page = meeting.tabs[NAMES[0]].page
    while True:
        interrupts.check()
        page.wait_for_timeout(WATCH)
        stack.supervisor.check()


def _say_started(name: str, seconds: float) -> None:
    say("%-8s ready after %.1f s" % (name, seconds))


def say(line: str) -> None:
    """Print at once, also into a pipe; when its reader has left, stop like Ctrl-C does."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise interrupts.Interrupted from None


if __name__ == "__main__":
    sys.exit(main())
