"""Calls of real browsers over a bridge that speaks Colibri 1, with real media (colibri.md sections 7 and 8).

The servers are started for each test, as the bridge is another one.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Sequence

import pytest

from focus.demo.browser import Browser
from focus.demo.meeting import Meeting
from focus.demo.stack import Stack
from tests.browser.places import log_of, meeting_in, wait


def told(stack: Stack, event: str, bridge: str = "bridge", **facts: str) -> List[Dict[str, Any]]:
    """What a bridge has written down of that name with these facts, until now."""
    lines = log_of(stack, bridge).splitlines()
    wanted = dict(facts, event=event)
    events = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
    return [one for one in events if all(one.get(key) == value for key, value in wanted.items())]


def allocated(stack: Stack, bridge: str = "bridge") -> int:
    """Endpoints made for good in Colibri 1, whose first request asks for SCTP and leaves an endpoint behind (K-476)."""
    return len(told(stack, "endpoint_created", bridge)) - len(told(stack, "refused", bridge))


@contextlib.contextmanager
def meeting_over(
    browser: Browser, directory: Path, options: Mapping[str, Sequence[str]], **settings: str
) -> Iterator[Meeting]:
    """A room on servers with these bridges; a failure prints every page's wire and every log."""
    with Stack(
        directory, log_level="FINE", bridges=len(options), bridge_options=options, focus_settings=settings
    ) as stack:
        with meeting_in(stack, browser, "old") as meeting:
            yield meeting


@pytest.mark.parametrize("form", ["early", "late", "last"])
def test_browsers_see_and_hear_each_other_over_an_old_bridge(tmp_path: Path, browser: Browser, form: str) -> None:
    """K-830, K-701 to K-731: three join, one leaves and comes back; all on one conference made of channels."""
    options = {"bridge": ["--colibri=1", "--control=form " + form]}
    with meeting_over(browser, tmp_path / "stack", options) as meeting:
        meeting.join(["Ada", "Bo"])
        assert len(meeting.check()) == 2
        meeting.join(["Cleo"])
        assert len(meeting.check()) == 6
        left = meeting.ids["Bo"]
        meeting.leave("Bo")
        meeting.rejoin("Bo")
        assert len(meeting.check()) == 6
        assert len(told(meeting.stack, "channel_conference")) == 1
        assert allocated(meeting.stack) == 4
        assert len(told(meeting.stack, "endpoint_gone", endpoint=left)) == 1  # K-730
        refused = [one["text"] for one in told(meeting.stack, "refused")]
        assert refused in ([], ["SCTP support is not configured"]), "no more than the first guess"
        assert not told(meeting.stack, "unknown_iq"), "it could cost a bridge its stream (K-114)"
        assert not told(meeting.stack, "iq_refused"), "the bridge's own requests are answered (K-774)"
        for name, tab in meeting.tabs.items():
            assert tab.state()["myId"] == meeting.ids[name]


def test_a_killed_focus_knows_the_channels_again(tmp_path: Path, browser: Browser) -> None:
    """K-713: the ids of conference and channels are in the journal, and nobody is invited anew."""
    with meeting_over(browser, tmp_path / "stack", {"bridge": ["--colibri=1"]}) as meeting:
        stack = meeting.stack
        meeting.join(["Ada", "Bo"])
        meeting.check()
        before = stack.supervisor.pid_of("focus")
        os.kill(before, signal.SIGKILL)
        wait(lambda: stack.supervisor.pid_of("focus") not in (before, 0), "the focus started again")
        meeting.join(["Cleo"])
        assert len(meeting.check()) == 6
        left = meeting.ids["Bo"]
        meeting.leave("Bo")
        wait(lambda: told(stack, "endpoint_gone", endpoint=left), "who left is gone from the bridge")
        assert len(told(stack, "channel_conference")) == 1
        assert allocated(stack) == 3


@pytest.mark.parametrize("first, second", [("new", "old"), ("old", "new")])
def test_a_call_moves_between_a_new_bridge_and_an_old_one(
    tmp_path: Path, browser: Browser, first: str, second: str
) -> None:
    """K-833: a conference has one version at a time; its bridge dies, the other carries on in the other version."""
    settings = {"JICOFO_HEALTH_CHECKS_PRESENCE_TIMEOUT": "12 s", "JICOFO_HEALTH_CHECKS_INTERVAL": "1 s"}
    speaks = {"new": "--colibri=2", "old": "--colibri=1"}
    options = {"bridge": [speaks[first]], "bridge2": [speaks[second], "--control=stat drain true"]}
    with meeting_over(browser, tmp_path / "stack", options, **settings) as meeting:
        stack = meeting.stack
        meeting.join(["Ada", "Bo", "Cleo"])
        meeting.check()
        ids = dict(meeting.ids)
        assert not told(stack, "endpoint_created", "bridge2")
        os.kill(stack.supervisor.pid_of("bridge"), signal.SIGKILL)
        wait(lambda: len(told(stack, "first_video", "bridge2")) >= 3, "the call on the other bridge")
        assert len(meeting.check()) == 6
        made = {"bridge": first == "old", "bridge2": second == "old"}
        assert {name: len(told(stack, "channel_conference", name)) for name in made} == made
        assert {name: tab.state()["myId"] for name, tab in meeting.tabs.items()} == ids


COMPONENT = "jitsi-videobridge.meet.example"
PUBSUB = {"JICOFO_PUBSUB_ADDRESS": "pubsub.meet.example", "JICOFO_PUBSUB_STATS_NODE": "bridges"}


@pytest.mark.parametrize(
    "settings",
    [
        {"JICOFO_SERVICE_REDISCOVERY_INTERVAL": "1 s"},
        PUBSUB,
        dict(PUBSUB, JICOFO_SERVICE_REDISCOVERY_INTERVAL="1 s"),
        {"JICOFO_BRIDGE_JIDS": COMPONENT},
    ],
    ids=["discovered", "published", "both", "named"],
)
def test_a_bridge_that_is_a_component_is_found_and_used(
    tmp_path: Path, browser: Browser, settings: Dict[str, str]
) -> None:
    """B-1001 to B-1003, K-773: found in each way that there was before breweries, the call in Colibri 1."""
    told_to = "--stats-to=focus@auth.meet.example/focus"
    options = {"bridge": ["--colibri=1", "--component=" + COMPONENT, "--pubsub-node=bridges", told_to]}
    with meeting_over(browser, tmp_path / "stack", options, **settings) as meeting:
        meeting.join(["Ada", "Bo"])
        assert len(meeting.check()) == 2
        assert len(told(meeting.stack, "channel_conference")) == 1


@pytest.mark.parametrize(
    "options, settings",
    [([], {}), (["--component=" + COMPONENT], {"JICOFO_SERVICE_REDISCOVERY_INTERVAL": "1 s"})],
    ids=["brewery", "component"],
)
def test_the_only_bridge_dies_and_is_started_again(
    tmp_path: Path, browser: Browser, options: List[str], settings: Dict[str, str]
) -> None:
    """B-1133, K-741, K-749: the new process knows no conference; the call goes on there without a reload.

    The one in the brewery comes back under another name, the component under its address.
    """
    with meeting_over(browser, tmp_path / "stack", {"bridge": ["--colibri=1", *options]}, **settings) as meeting:
        stack = meeting.stack
        meeting.join(["Ada", "Bo"])
        meeting.check()
        ids = dict(meeting.ids)
        os.kill(stack.supervisor.pid_of("bridge"), signal.SIGKILL)
        wait(lambda: len(told(stack, "channel_conference")) == 2, "a conference on the bridge that was started again")
        wait(lambda: len(told(stack, "first_video")) >= 4, "pictures there")
        assert len(meeting.check()) == 2
        assert {name: tab.state()["myId"] for name, tab in meeting.tabs.items()} == ids


def test_a_conference_that_the_bridge_forgot_is_made_anew(tmp_path: Path, browser: Browser) -> None:
    """K-741, K-749: the next request tells it, by its text alone; everybody gets a new session and nobody leaves."""
    with meeting_over(browser, tmp_path / "stack", {"bridge": ["--colibri=1"]}) as meeting:
        stack = meeting.stack
        meeting.join(["Ada", "Bo"])
        meeting.check()
        ids = dict(meeting.ids)
        stack.control("bridge", "forget conference old")
        wait(lambda: told(stack, "control"), "the bridge has forgotten")
        meeting.join(["Cleo"])
        assert len(meeting.check()) == 6
        assert [one["text"].partition(":")[0] for one in told(stack, "refused")][-1] == "Conference not found for ID"
        assert len(told(stack, "channel_conference")) == 2
        for name, identity in ids.items():
            assert meeting.tabs[name].state()["myId"] == identity


def test_an_old_bridge_in_graceful_shutdown_keeps_its_calls_and_gets_no_new_ones(
    tmp_path: Path, browser: Browser
) -> None:
    """K-742, B-205: who joins the old call comes to the old bridge, a new call goes to the other."""
    options: Mapping[str, Sequence[str]] = {"bridge": ["--colibri=1"], "bridge2": ["--colibri=1"]}
    with meeting_over(browser, tmp_path / "stack", options) as meeting:
        stack = meeting.stack
        meeting.join(["Ada", "Bo"])
        meeting.check()
        first, other = sorted(stack.bridges, key=lambda name: not told(stack, "channel_conference", name))
        stack.control(first, "graceful")
        wait(lambda: told(stack, "control", first), "the bridge shuts down")
        meeting.join(["Cleo"])
        assert len(meeting.check()) == 6
        assert not told(stack, "channel_conference", other)
        second = Meeting(stack, browser, "new", query={"height": 360, "picture": "canvas"})
        try:
            second.join(["Dan", "Eve"])
            assert len(second.check()) == 2
        finally:
            second.close()
        assert len(told(stack, "channel_conference", other)) == 1


def test_a_bridge_that_speaks_both_is_asked_in_colibri_2(tmp_path: Path, browser: Browser) -> None:
    """K-830: `colibri2` in the statistics comes before the feature of Colibri 1."""
    with meeting_over(browser, tmp_path / "stack", {"bridge": ["--colibri=both"]}) as meeting:
        meeting.join(["Ada", "Bo"])
        assert len(meeting.check()) == 2
        assert len(told(meeting.stack, "endpoint_created")) == 2
        assert not told(meeting.stack, "channel_conference")
