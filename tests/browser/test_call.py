"""Calls of real browsers with the real client library, through our focus and a bridge with real media.

Every wait is for a condition with a deadline; figures are the browser's own counters.
"""

from __future__ import annotations

from typing import Any, Dict, List

import pytest

from focus.demo import timeline
from focus.demo.browser import Flow, Tab
from focus.demo.meeting import Meeting
from tests.browser.conftest import MeetingMaker

State = Dict[str, Any]


@pytest.mark.parametrize("simulcast", [0, 1])
def test_two_tabs_see_and_hear_each_other(meeting_of: MeetingMaker, simulcast: int) -> None:
    meeting = meeting_of("Ada", "Bo", simulcast=simulcast)
    for seen in meeting.check():
        assert seen.width >= 160 and seen.height >= 90, seen
    entries = meeting.timeline()
    assert timeline.missing(entries, ["Ada", "Bo"]) == [], "\n".join(timeline.written(entries))
    assert [state["bridgeChannel"] for state in states(meeting)] == [True, True]


def test_three_tabs_see_and_hear_each_other(meeting_of: MeetingMaker) -> None:
    meeting = meeting_of("Ada", "Bo", "Cleo", simulcast=1)
    assert len(meeting.check()) == 6
    for state in states(meeting):
        assert len(state["participants"]) == 2


def test_one_leaves_and_comes_back(meeting_of: MeetingMaker) -> None:
    meeting = meeting_of("Ada", "Bo", "Cleo")
    meeting.check()
    gone = meeting.ids["Bo"]
    meeting.leave("Bo")
    for name in ("Ada", "Cleo"):
        meeting.tabs[name].wait("Bo has left", lambda state: gone not in state["participants"])
    # the others go on while Bo is away
    assert len(meeting.check()) == 2

    back = meeting.rejoin("Bo")
    assert back != gone
    assert len(meeting.check()) == 6


def test_the_last_two_leave_and_a_new_call_begins_in_the_room(meeting_of: MeetingMaker) -> None:
    meeting = meeting_of("Ada", "Bo")
    meeting.check()
    meeting.leave("Ada")
    meeting.leave("Bo")
    meeting.rejoin("Ada")
    meeting.rejoin("Bo")
    assert len(meeting.check()) == 2


def test_a_tab_mutes_and_unmutes(meeting_of: MeetingMaker) -> None:
    meeting = meeting_of("Ada", "Bo", "Cleo")
    meeting.check()
    ada, others = meeting.tabs["Ada"], [meeting.tabs["Bo"], meeting.tabs["Cleo"]]
    sender = meeting.ids["Ada"]
    for kind in ("audio", "video"):
        ada.call("demo.setMuted('%s', true)" % kind)
        for tab in others:
            wait_muted(tab, sender, kind, True)
    for tab in others:
        wait_silent(tab, sender)
    for kind in ("audio", "video"):
        ada.call("demo.setMuted('%s', false)" % kind)
        for tab in others:
            wait_muted(tab, sender, kind, False)
    assert len(meeting.check()) == 6


def test_one_who_joins_without_a_camera_shares_a_picture(meeting_of: MeetingMaker) -> None:
    """The shared picture is a second source beside the microphone's, added and removed by requests of its own."""
    meeting = meeting_of("Ada")
    meeting.join(["Bo"], video=0)
    ada, bo = meeting.tabs["Ada"], meeting.tabs["Bo"]
    sender = meeting.ids["Bo"]
    ada.wait_flow(sender, "sound", lambda flow: flow.heard)
    assert kinds(ada.state(), sender) == ["audio"]

    bo.call("demo.share()")
    ada.wait("Bo's picture is known", lambda state: kinds(state, sender) == ["audio", "video"])
    ada.wait_flow(sender, "moving pictures", lambda flow: flow.seen)

    bo.call("demo.unshare()")
    ada.wait("Bo's picture is gone", lambda state: kinds(state, sender) == ["audio"])
    assert requests(bo) == ["session-accept", "source-add", "source-remove"]
    assert received(ada)[-2:] == ["source-add", "source-remove"]
    # nothing else was disturbed
    ada.wait_flow(sender, "sound", lambda flow: flow.heard)
    bo.wait_flow(meeting.ids["Ada"], "sound and pictures", lambda flow: flow.heard and flow.seen)


def test_a_camera_is_exchanged_for_a_shared_picture_and_back(meeting_of: MeetingMaker) -> None:
    """The client of 2022 sends one video source at a time: source-remove and source-add, twice."""
    meeting = meeting_of("Ada", "Bo")
    meeting.check()
    ada, bo = meeting.tabs["Ada"], meeting.tabs["Bo"]
    sender = meeting.ids["Bo"]
    bo.call("demo.share()")
    ada.wait_flow(sender, "the shared picture", lambda flow: flow.seen)
    bo.call("demo.unshare()")
    ada.wait_flow(sender, "the camera", lambda flow: flow.seen and flow.heard)
    assert requests(bo) == ["session-accept", "source-remove", "source-add", "source-remove", "source-add"]
    bo.wait_flow(meeting.ids["Ada"], "sound and pictures", lambda flow: flow.heard and flow.seen)


def states(meeting: Meeting) -> List[State]:
    return [tab.state() for tab in meeting.tabs.values()]


def wait_muted(tab: Tab, participant: str, kind: str, wanted: bool) -> None:
    """Wait until the tab knows the participant's track as muted, or as not muted."""

    def condition(state: State) -> bool:
        track = state["participants"].get(participant, {}).get("tracks", {}).get(kind)
        return track is not None and track["muted"] is wanted

    tab.wait("%s of %s is %s" % (kind, participant, "muted" if wanted else "not muted"), condition)


def kinds(state: State, participant: str) -> List[str]:
    return sorted(state["participants"].get(participant, {}).get("tracks", {}))


def wait_silent(tab: Tab, participant: str) -> None:
    """Wait until the muted camera sends no more pictures: two looks, a while apart, with the same count."""
    counts: List[int] = []

    def still(state: State) -> bool:
        counts.append(Flow.between({"figures": {}}, state, participant).frames)
        return len(counts) > 10 and counts[-1] == counts[-10]

    tab.wait("no more pictures from %s" % participant, still)


def requests(tab: Tab) -> List[str]:
    """The Jingle requests the tab sent about its sources, in order."""
    wanted = ("session-accept", "source-add", "source-remove")
    return [stanza["what"] for stanza in tab.wire() if stanza["direction"] == "out" and stanza["what"] in wanted]


def received(tab: Tab) -> List[str]:
    """The source updates the tab received, in order."""
    wanted = ("source-add", "source-remove")
    return [stanza["what"] for stanza in tab.wire() if stanza["direction"] == "in" and stanza["what"] in wanted]
