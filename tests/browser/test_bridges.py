"""Calls of real browsers with several bridges with real media: a bridge that dies in mid-call.

The servers are started for each test, as a part of them is killed.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from focus.demo.browser import Browser
from focus.demo.meeting import Meeting
from focus.demo.stack import Stack

WITHIN = 8.0
"""Seconds from the death of a bridge until everybody sees everybody again."""


def log_of(stack: Stack, name: str) -> str:
    return stack.supervisor.log_of(name).read_text(encoding="utf-8", errors="replace")


def call_moved(meeting: Meeting, to: str) -> None:
    """Wait until the video of everybody in the call arrives at this bridge."""
    deadline = time.monotonic() + 60
    while log_of(meeting.stack, to).count('"first_video"') < len(meeting.tabs):
        assert time.monotonic() < deadline, "the call did not move to %s" % to
        time.sleep(0.02)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hangs"])
def test_all_see_each_other_again_after_their_bridge_died(
    tmp_path: Path, browser: Browser, how: signal.Signals
) -> None:
    """B-410: three browsers, two bridges, the one with the call dies or hangs: pictures again in time, no reload.

    One that is killed leaves the brewery at once here; one that hangs is as one that is killed and whose stream the
    server keeps for resumption.
    """
    with Stack(tmp_path / "stack", log_level="FINE", bridges=2) as stack:
        meeting = Meeting(stack, browser, "killed", query={"height": 360, "picture": "canvas"})
        try:
            meeting.join(["Ada", "Bo", "Cleo"])
            meeting.check()
            ids = dict(meeting.ids)
            killed, other = sorted(stack.bridges, key=lambda name: "endpoint_created" not in log_of(stack, name))
            assert "endpoint_created" not in log_of(stack, other)
            os.kill(stack.supervisor.pid_of(killed), how)
            died = time.monotonic()
            call_moved(meeting, other)
            meeting.wait_all()
            seconds = time.monotonic() - died
            print("%.1f s from the death of the bridge until each saw and heard each again" % seconds)
            assert seconds < WITHIN
            # nobody left the room for it
            assert {name: tab.state()["myId"] for name, tab in meeting.tabs.items()} == ids
        except BaseException:
            print(meeting.report())
            raise
        finally:
            meeting.close()
