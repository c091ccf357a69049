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
from focus.demo.prosody import USER_DOMAIN
from focus.demo.stack import Stack
from tests.browser.places import log_of, meeting_in, wait
from tests.support.prosody import run_shell

WITHIN = 8.0
"""Seconds from the death of a bridge until everybody sees everybody again."""


def call_moved(meeting: Meeting, to: str, count: int) -> None:
    """Wait until so many videos have arrived at this bridge, since it was started."""
    wait(lambda: log_of(meeting.stack, to).count('"first_video"') >= count, "the call has moved to %s" % to)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hangs"])
def test_all_see_each_other_again_after_their_bridge_died(
    tmp_path: Path, browser: Browser, how: signal.Signals
) -> None:
    """B-410: three browsers, two bridges, the one with the call dies or hangs: pictures again in time, no reload.

    One that is killed leaves the brewery at once here; one that hangs is as one that is killed and whose stream the
    server keeps for resumption.
    """
    with Stack(tmp_path / "stack", log_level="FINE", bridges=2) as stack:
        with meeting_in(stack, browser, "killed") as meeting:
            meeting.join(["Ada", "Bo", "Cleo"])
            meeting.check()
            ids = dict(meeting.ids)
            killed, other = sorted(stack.bridges, key=lambda name: "endpoint_created" not in log_of(stack, name))
            assert "endpoint_created" not in log_of(stack, other)
            os.kill(stack.supervisor.pid_of(killed), how)
            died = time.monotonic()
            call_moved(meeting, other, len(meeting.tabs))
            meeting.wait_all()
            seconds = time.monotonic() - died
            print("%.1f s from the death of the bridge until each saw and heard each again" % seconds)
            assert seconds < WITHIN
            # nobody left the room for it
            assert {name: tab.state()["myId"] for name, tab in meeting.tabs.items()} == ids


def has_call(stack: Stack, bridge: str, room: str) -> bool:
    """Whether somebody of this room was ever on the bridge."""
    return any('"endpoint_created"' in line and '"%s"' % room in line for line in log_of(stack, bridge).splitlines())


def wait_focus(stack: Stack, words: str, times: int = 1) -> None:
    """Wait until the focus has logged something so often."""
    wait(lambda: log_of(stack, "focus").count(words) >= times, "%r in the log of the focus" % words)


def test_a_bridge_that_drains_keeps_its_call(tmp_path: Path, browser: Browser) -> None:
    """B-207, B-806: new conferences go to the other one; who is on it sees nothing, and newcomers join them there."""
    with Stack(tmp_path / "stack", log_level="FINE", bridges=2) as stack:
        with meeting_in(stack, browser, "older", 180) as meeting, meeting_in(stack, browser, "newer", 180) as newer:
            meeting.join(["Ada", "Bo"])
            meeting.check()
            drained, other = sorted(stack.bridges, key=lambda name: not has_call(stack, name, "older"))
            stack.control(drained, "drain on")
            wait_focus(stack, "says: drain=True")
            newer.join(["Cleo", "Dan"])
            newer.check()
            assert has_call(stack, other, "newer") and not has_call(stack, drained, "newer")
            meeting.join(["Eve"])
            assert len(meeting.check()) == 6
            assert not has_call(stack, other, "older")
            assert log_of(stack, "focus").count("Sending session-initiate") == 5


def test_the_brewerys_component_is_restarted_in_a_call(tmp_path: Path, browser: Browser) -> None:
    """B-112, T-38: the brewery is lost to focus and bridge, and made anew: the call goes on, and somebody joins it."""
    shell = 'VirtualHost "%s"\n  modules_enabled = { "admin_shell" }\n' % USER_DOMAIN
    with Stack(tmp_path / "stack", log_level="FINE", server_hosts=shell) as stack:
        with meeting_in(stack, browser, "brewery", 180) as meeting:
            meeting.join(["Ada", "Bo"])
            meeting.check()
            component = stack.prosody.brewery.partition("@")[2]
            run_shell(stack.prosody, "host", "deactivate", component)
            run_shell(stack.prosody, "host", "activate", component)
            wait_focus(stack, "Joined the brewery", 2)
            wait_focus(stack, "The bridge is in the brewery again")
            meeting.check()
            meeting.join(["Cleo"])
            assert len(meeting.check()) == 6
            assert log_of(stack, "focus").count("Sending session-initiate") == 3


def test_a_call_on_two_bridges(tmp_path: Path, browser: Browser) -> None:
    """Browsers on two bridges see and hear each other; so they do after the focus was killed, and after a bridge was.

    R1 to R3, B-715, B-740, DESIGN "Coming back, resumed".
    """
    settings = {"JICOFO_OCTO_ENABLED": "true", "JICOFO_SELECTION_STRATEGY": "split"}
    with Stack(tmp_path / "stack", log_level="FINE", bridges=2, focus_settings=settings) as stack:
        with meeting_in(stack, browser, "two-bridges") as meeting:
            began = time.monotonic()
            meeting.join(["Ada", "Bo", "Cleo"])
            assert len(meeting.check()) == 6
            print("%.1f s until each saw and heard each across two bridges" % (time.monotonic() - began))
            assert all("endpoint_created" in log_of(stack, name) for name in stack.bridges)
            ids = dict(meeting.ids)
            os.kill(stack.supervisor.pid_of("focus"), signal.SIGKILL)
            meeting.join(["Dan"])
            assert len(meeting.check()) == 12
            os.kill(stack.supervisor.pid_of("bridge2"), signal.SIGKILL)
            died = time.monotonic()
            call_moved(meeting, "bridge", 5)  # those of the other bridge came over their link as one
            meeting.wait_all()
            print("%.1f s from the death of a bridge until each saw and heard each" % (time.monotonic() - died))
            assert {name: tab.state()["myId"] for name, tab in meeting.tabs.items() if name in ids} == ids
