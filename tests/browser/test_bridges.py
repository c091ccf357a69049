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
from tests.support.prosody import run_shell

WITHIN = 8.0
"""Seconds from the death of a bridge until everybody sees everybody again."""


def log_of(stack: Stack, name: str) -> str:
    return stack.supervisor.log_of(name).read_text(encoding="utf-8", errors="replace")


def call_moved(meeting: Meeting, to: str, count: int) -> None:
    """Wait until so many videos have arrived at this bridge, since it was started."""
    deadline = time.monotonic() + 60
    while log_of(meeting.stack, to).count('"first_video"') < count:
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
            call_moved(meeting, other, len(meeting.tabs))
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


def has_call(stack: Stack, bridge: str, room: str) -> bool:
    """Whether somebody of this room was ever on the bridge."""
    return any('"endpoint_created"' in line and '"%s"' % room in line for line in log_of(stack, bridge).splitlines())


def wait_focus(stack: Stack, words: str, times: int = 1) -> None:
    """Wait until the focus has logged something so often."""
    deadline = time.monotonic() + 60
    while log_of(stack, "focus").count(words) < times:
        assert time.monotonic() < deadline, "the focus has not said %r" % words
        time.sleep(0.02)


def test_a_bridge_that_drains_keeps_its_call(tmp_path: Path, browser: Browser) -> None:
    """B-207, B-806: new conferences go to the other one; who is on it sees nothing, and newcomers join them there."""
    with Stack(tmp_path / "stack", log_level="FINE", bridges=2) as stack:
        meeting = Meeting(stack, browser, "older", query={"height": 180, "picture": "canvas"})
        newer = Meeting(stack, browser, "newer", query={"height": 180, "picture": "canvas"})
        try:
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
        except BaseException:
            print(meeting.report())
            raise
        finally:
            meeting.close()
            newer.close()


def test_the_brewerys_component_is_restarted_in_a_call(tmp_path: Path, browser: Browser) -> None:
    """B-112, T-38: the brewery is lost to focus and bridge, and made anew: the call goes on, and somebody joins it."""
    shell = 'VirtualHost "%s"\n  modules_enabled = { "admin_shell" }\n' % USER_DOMAIN
    with Stack(tmp_path / "stack", log_level="FINE", server_hosts=shell) as stack:
        meeting = Meeting(stack, browser, "brewery", query={"height": 180, "picture": "canvas"})
        try:
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
        except BaseException:
            print(meeting.report())
            raise
        finally:
            meeting.close()


def test_a_call_on_two_bridges(tmp_path: Path, browser: Browser) -> None:
    """Browsers on two bridges see and hear each other; so they do after the focus was killed, and after a bridge was.

    R1 to R3, B-715, B-740, DESIGN "Coming back, resumed".
    """
    settings = {"JICOFO_OCTO_ENABLED": "true", "JICOFO_SELECTION_STRATEGY": "split"}
    with Stack(tmp_path / "stack", log_level="FINE", bridges=2, focus_settings=settings) as stack:
        meeting = Meeting(stack, browser, "two-bridges", query={"height": 360, "picture": "canvas"})
        try:
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
        except BaseException:
            print(meeting.report())
            raise
        finally:
            meeting.close()
