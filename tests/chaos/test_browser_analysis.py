"""The analysis of a chaos run must find what it is there to find: shown with made-up recordings."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

import pytest

from tests.chaos import browser_plan as plan
from tests.chaos.browser_analysis import (
    Described,
    Did,
    Event,
    Flows,
    Gap,
    Logins,
    Recording,
    Sample,
    Seen,
    amid,
    described,
    disagreements,
    gaps,
    logins,
    removals,
    sending,
    serving_again,
    spread,
    stays,
    told,
    troubles,
    unsteady,
)
from tests.chaos.browser_killer import Ended
from tests.chaos.browser_machine import Load
from tests.chaos.browser_outcome import Outcome

END = 40000.0
Still = Dict[Tuple[str, str], Tuple[float, float]]


def page(
    name: str, others: List[str], *, still: Optional[Still] = None, steps: Optional[List[Did]] = None,
    events: Optional[List[Event]] = None, stanzas: Optional[List[Seen]] = None, camera: bool = True,
    unseen: Tuple[float, float] = (0, 0), joined: float = 0.0
) -> Recording:
    """A page that is in the room from `joined` on and looks each second; everything of all others rises.

    still: (participant, kind) -> the time in which nothing rises. unseen: the time in which the page doesn't look.
    """
    samples = []
    counters = {(other, kind): 0 for other in others for kind in ("audio", "video")}
    for ms in range(int(joined) + 500, int(END), 1000):
        flows: Flows = {}
        for (other, kind), counter in counters.items():
            begin, end = (still or {}).get((other, kind), (0, 0))
            if not begin <= ms < end:
                counters[other, kind] = counter + 10
            flows.setdefault(other, {})[kind] = (len(other), counters[other, kind])
        if not unseen[0] <= ms < unseen[1]:
            samples.append(Sample(float(ms), flows))
    here = [Event(joined, "joined", name)]
    offer = [Seen(joined + 100, "in", "session-initiate", "room@muc/focus")]
    return Recording(name, camera, samples, steps or [], here + (events or []), offer + (stanzas or []))


def found(*recordings: Recording) -> List[Gap]:
    return gaps(recordings, END)[0]


# Gaps


def test_no_gap_where_everything_rises() -> None:
    flat, settled = gaps([page("a", ["b"]), page("b", ["a"])], END)
    assert flat == []
    assert settled == [1500.0] * 4


@pytest.mark.parametrize("kind", ["audio", "video"])
def test_a_flow_that_stops_is_a_gap(kind: str) -> None:
    assert found(page("a", ["b"], still={("b", kind): (20000, 25000)}), page("b", ["a"])) == [
        Gap("a", "b", kind, 19500.0, 25500.0, "stopped")]


def test_a_flow_that_never_comes_back_is_a_gap() -> None:
    (gap,) = found(page("a", ["b"], still={("b", "audio"): (30000, END)}), page("b", ["a"]))
    assert (gap.receiver, gap.kind, gap.why, gap.begin) == ("a", "audio", "stopped", 29500.0)


@pytest.mark.parametrize("seconds, number", [(1, 0), (2, 0), (3, 1), (4, 1)])
def test_only_a_whole_window_without_anything_is_a_gap(seconds: int, number: int) -> None:
    still: Still = {("b", "video"): (20000, 20000 + 1000 * seconds)}
    assert len(found(page("a", ["b"], still=still), page("b", ["a"]))) == number


def test_a_flow_that_never_begins_is_a_gap() -> None:
    (gap,) = found(page("a", ["b"], still={("b", "video"): (0, END)}), page("b", ["a"]))
    assert (gap.kind, gap.why) == ("video", "never")


def test_a_flow_that_begins_too_late_is_a_gap() -> None:
    (gap,) = found(page("a", ["b"], still={("b", "video"): (0, 20000)}), page("b", ["a"]))
    assert (gap.begin, gap.end, gap.why) == (0.0, 20500.0, "never")


def test_participants_who_are_not_known_at_all_are_gaps() -> None:
    assert sorted((gap.kind, gap.why) for gap in found(page("a", []), page("b", ["a"]))) == [
        ("audio", "never"), ("video", "never")]


def test_a_page_that_does_not_look_proves_nothing() -> None:
    (one, other) = found(page("a", ["b"], unseen=(20000, 24000)), page("b", ["a"]))
    assert {one.why, other.why} == {"blind"}
    # beyond some time that is as bad as nothing that arrives
    (one, other) = found(page("a", ["b"], unseen=(20000, 26000)), page("b", ["a"]))
    assert {one.why, other.why} == {"stopped"}


def test_who_is_muted_sends_nothing() -> None:
    steps = [Did("mute audio", 19000, 19100), Did("unmute audio", 26000, 26100)]
    still: Still = {("b", "audio"): (19000, 26500)}
    assert found(page("a", ["b"], still=still), page("b", ["a"], steps=steps)) == []
    assert len(found(page("a", ["b"], still={("b", "audio"): (19000, 32000)}), page("b", ["a"], steps=steps))) == 0
    # beyond what a flow may take to begin
    assert len(found(page("a", ["b"], still={("b", "audio"): (19000, END)}),
                     page("b", ["a"], steps=[steps[0], Did("unmute audio", 22000, 22100)]))) == 1


def test_what_is_muted_excuses_nothing_else() -> None:
    steps = [Did("mute audio", 19000, 19100), Did("unmute audio", 26000, 26100)]
    (gap,) = found(page("a", ["b"], still={("b", "video"): (19000, 26500)}), page("b", ["a"], steps=steps))
    assert gap.kind == "video"


def test_when_a_camera_is_exchanged_for_a_picture_both_count() -> None:
    steps = [Did("share", 10000, 11000), Did("unshare", 20000, 22000)]
    spans = sending(page("b", [], steps=steps), "video", END)
    assert [(span.begin, span.end) for span in spans] == [(0, 10000), (11000, 20000), (22000, END)]
    assert [(span.begin, span.end) for span in sending(page("b", [], steps=steps, camera=False), "video", END)] == [
        (11000, 20000)]
    (gap,) = found(page("a", ["b"], still={("b", "video"): (14000, 19000)}), page("b", ["a"], steps=steps))
    assert gap.why == "stopped"


def test_nothing_is_expected_of_who_has_left_nor_before_it_comes() -> None:
    gone = page("b", ["a"], steps=[Did("leave", 20000, 20100)])
    still: Still = {("b", "audio"): (20000, END), ("b", "video"): (20000, END)}
    assert found(page("a", ["b"], still=still), gone) == []
    late: Still = {("c", kind): (0, 30000) for kind in ("audio", "video")}
    assert found(page("a", ["c"], still=late), page("c", ["a"], joined=29000)) == []


def test_each_coming_is_a_stay_of_its_own() -> None:
    steps = [Did("leave", 10000, 10100), Did("join", 12000, 13000), Did("leave", 30000, 30100)]
    spans = stays(page("first", [], steps=steps, events=[Event(13000, "joined", "second")]), END)
    assert spans == [("first", 0.0, 10000), ("second", 13000, 30000)]


# What nobody may see


def test_a_quiet_call_is_no_trouble() -> None:
    assert troubles(page("a", ["b"]), END) == []
    assert unsteady(page("a", ["b"]), END) == []


@pytest.mark.parametrize("what", ["failed", "focus disconnected", "disconnected", "error", "peer connection failed"])
def test_forbidden_events_are_trouble(what: str) -> None:
    (line,) = troubles(page("a", [], events=[Event(9000, what, reason="why")]), END)
    assert what in line and "why" in line


@pytest.mark.parametrize("stanza", [
    Seen(9000, "in", "session-terminate", "room@muc/focus"),
    Seen(9000, "in", "transport-replace", "room@muc/focus"),
    Seen(9000, "in", "presence unavailable", "room@muc/focus"),
    Seen(9000, "in", "session-initiate", "room@muc/focus"),
])
def test_forbidden_stanzas_are_trouble(stanza: Seen) -> None:
    assert len(troubles(page("a", [], stanzas=[stanza]), END)) == 1


def test_what_others_say_and_what_follows_the_own_leave_is_no_trouble() -> None:
    stanzas = [Seen(9000, "in", "presence unavailable", "room@muc/b"), Seen(9000, "out", "session-terminate", ""),
               Seen(20050, "in", "presence unavailable", "room@muc/focus")]
    events = [Event(20050, "disconnected")]
    assert troubles(page("a", [], steps=[Did("leave", 20000, 20100)], stanzas=stanzas, events=events), END) == []


def test_steps_that_fail_or_never_end_are_trouble() -> None:
    steps = [Did("share", 9000, 9500, "source-remove was not answered"), Did("mute audio", 10000, None)]
    assert len(troubles(page("a", [], steps=steps), END)) == 2


def test_interruptions_are_counted_apart() -> None:
    one = page("a", [], events=[Event(9000, "media interrupted")])
    assert troubles(one, END) == []
    assert len(unsteady(one, END)) == 1


# Removals


@pytest.mark.parametrize("event", [
    Event(9000, "track removed", "b", "audio"),
    Event(9000, "track removed", "b", "video"),
    Event(9000, "participant left", "b"),
    Event(9000, "participant left", "unknown"),
])
def test_what_nobody_removed_is_found(event: Event) -> None:
    assert len(removals([page("a", ["b"], events=[event]), page("b", ["a"])], END)) == 1


def test_who_leaves_takes_the_tracks_along() -> None:
    events = [Event(9100, "track removed", "b", "audio"), Event(9110, "track removed", "b", "video"),
              Event(9120, "participant left", "b")]
    leaving = page("b", ["a"], steps=[Did("leave", 9000, 9500)])
    assert removals([page("a", ["b"], events=events), leaving], END) == []
    # before it left, nobody may have seen it leave; and only once
    assert len(removals([page("a", ["b"], events=[Event(8900, "participant left", "b")]), leaving], END)) == 1
    assert len(removals([page("a", ["b"], events=events + events[-1:]), leaving], END)) == 1


def test_a_step_excuses_one_removal_and_only_of_its_kind() -> None:
    sharing = page("b", ["a"], steps=[Did("share", 9000, 9500)])
    once = [Event(9100, "track removed", "b", "video")]
    assert removals([page("a", ["b"], events=once), sharing], END) == []
    assert len(removals([page("a", ["b"], events=once * 2), sharing], END)) == 1
    assert len(removals([page("a", ["b"], events=[Event(9100, "track removed", "b", "audio")]), sharing], END)) == 1
    assert len(removals([page("a", ["b"], events=[Event(39000, "track removed", "b", "video")]), sharing], END)) == 1


def test_sharing_without_a_camera_removes_nothing() -> None:
    once = [Event(9100, "track removed", "b", "video")]
    sharing = page("b", ["a"], steps=[Did("share", 9000, 9500)], camera=False)
    assert len(removals([page("a", ["b"], events=once), sharing], END)) == 1


def test_who_leaves_itself_sees_all_others_go() -> None:
    events = [Event(9100, "participant left", "b")]
    assert removals([page("a", ["b"], steps=[Did("leave", 9000, 9500)], events=events), page("b", ["a"])], END) == []


def test_times_within_a_step() -> None:
    pages = [page("a", [], steps=[Did("share", 9000, 9500), Did("unshare", 12000, None)])]
    assert amid(pages, [8999, 9000, 9499, 9500, 12100]) == 2


# Agreement

SDP = """v=0
m=audio 9 UDP/TLS/RTP/SAVPF 111
a=sendrecv
a=ssrc:11 cname:x
a=ssrc:11 msid:x y
m=video 9 UDP/TLS/RTP/SAVPF 100
a=sendonly
a=ssrc-group:FID 12 13
a=ssrc:12 cname:x
a=ssrc:13 cname:x
m=video 9 UDP/TLS/RTP/SAVPF 100
a=inactive
a=ssrc:14 cname:x
m=video 9 UDP/TLS/RTP/SAVPF 100
a=recvonly
a=ssrc:15 cname:x
""".replace("\n", "\r\n")

BRIDGE = {"": {1, 2}, "a": {11, 12}, "b": {21, 22}}
PAGES = {"a": Described({11, 12}, {1, 2, 21, 22}, {1, 2, 21, 22}), "b": Described({21, 22}, {1, 11, 12}, {11, 12})}
FOCUS = {"a": {11, 12}, "b": {21, 22}}


def test_the_sources_of_a_description() -> None:
    assert described(SDP) == {11, 12, 13}


def test_what_a_page_was_told() -> None:
    focus = "room@muc/focus"
    stanzas = [
        Seen(1, "in", "session-initiate", focus, {"jvb": [9]}),
        Seen(2, "in", "session-initiate", focus, {"jvb": [1], "a": [11, 12]}),
        Seen(3, "in", "source-add", focus, {"b": [21, 22], "c": [31]}),
        Seen(4, "in", "source-remove", focus, {"b": [22]}),
        Seen(5, "in", "presence unavailable", "room@muc/c"),
        Seen(6, "out", "source-add", "", {"me": [41]}),
    ]
    assert told(stanzas) == {1, 11, 12, 21}
    assert told([]) == set()


def test_agreement() -> None:
    assert disagreements(BRIDGE, PAGES, FOCUS) == []


@pytest.mark.parametrize("bridge, pages, focus", [
    (dict(BRIDGE, b={21}), PAGES, FOCUS),
    (dict(BRIDGE, c={31}), PAGES, FOCUS),
    (BRIDGE, dict(PAGES, a=Described({11}, {21, 22}, {21, 22})), FOCUS),
    (BRIDGE, dict(PAGES, a=Described({11, 12}, {21}, {21, 22})), FOCUS),
    (BRIDGE, dict(PAGES, a=Described({11, 12}, {21, 22, 99}, {21, 22})), FOCUS),
    (BRIDGE, dict(PAGES, a=Described({11, 12}, {21, 22}, {21})), FOCUS),
    (BRIDGE, dict(PAGES, a=Described({11, 12}, {21, 22}, {21, 22, 99})), FOCUS),
    (BRIDGE, {"a": PAGES["a"]}, FOCUS),
    (BRIDGE, PAGES, dict(FOCUS, a={11})),
    (BRIDGE, PAGES, dict(FOCUS, c={31})),
    (BRIDGE, PAGES, {"a": {11, 12}}),
])
def test_every_difference_is_found(bridge: dict, pages: dict, focus: dict) -> None:
    assert disagreements(bridge, pages, focus)


# Log and figures


def test_logins_are_counted() -> None:
    log = ("Registered (resumed=false) client: x\nRegistered (resumed=false) component: y\n"
           "Registered (resumed=true) client: x\nRegistered (resumed=true) client: x\n")
    assert logins(log) == Logins(1, 2)


def test_the_time_a_process_tells() -> None:
    assert serving_again("Serving again after 0.75 s\nother\nServing again 1.5 s after\n") == [0.75, 1.5]


def test_a_distribution() -> None:
    assert spread(number / 100 for number in range(1, 101)) == (100, 0.01, 0.51, 0.96, 1.0)
    assert str(spread([])) == "none"


def outcome(**changes: Any) -> Outcome:
    made = Outcome("kill", 1, 2, [Ended(9000, False, True, 0.1, 0.4, 0.5), Ended(12000, False, True, 0.1, 0.6, 0.7)],
                   30.0, [], [], [], [], [], [0.3, 0.4], Logins(1, 2), [], 5, Load(50.0, 0.0, 1.0, 1.0))
    return made._replace(**changes)


GAP = Gap("a", "b", "audio", 1000.0, 5000.0, "stopped")


def test_a_good_run() -> None:
    assert outcome().complaints(outcome(mode="", ends=[], logins=Logins(1, 0))) == []
    assert outcome(mode="", ends=[], logins=Logins(1, 0)).complaints(None) == []
    assert outcome(gaps=[GAP]).complaints(outcome(gaps=[GAP])) == []
    assert outcome(gaps=[GAP._replace(why="blind")]).complaints(outcome()) == []
    assert "n=2 min 0.40 median 0.60" in outcome().text()


@pytest.mark.parametrize("changes", [
    dict(logins=Logins(2, 1)),
    dict(logins=Logins(0, 2)),
    dict(logins=Logins(1, 0)),
    dict(troubles=["something"]),
    dict(gaps=[GAP]),
    dict(unsteady=["a: media interrupted"]),
    dict(planned=3),
    dict(ends=[Ended(9000, False, True, 0.1, 0.4, 0.5), Ended(12000, False, True, 0.1, None, None)]),
    dict(ends=[Ended(9000, False, True, 0.1, 0.4, 0.5), Ended(12000, False, True, 0.1, 3.0, 3.0)]),
    dict(ends=[Ended(9000, False, True, 0.1, 1.1, 1.2), Ended(12000, False, True, 0.1, 1.2, 1.3)]),
])
def test_a_run_fails_for(changes: Dict[str, Any]) -> None:
    assert outcome(**changes).complaints(outcome(mode="", ends=[], logins=Logins(1, 0)))


def test_an_end_that_the_next_one_hit_has_no_time_of_its_own() -> None:
    assert outcome(ends=[Ended(9000, False, True, 0.1, 5.0, 5.0, hit=True),
                         Ended(12000, False, True, 0.1, 0.4, 0.5)]).complaints(None) == []


# The plan


@pytest.mark.parametrize("seed", range(20))
def test_a_plan_can_be_carried_out(seed: int) -> None:
    """Nobody does what makes no sense, and the same seed gives the same plan."""
    kills = plan.kills(seed, 10, True)
    made = plan.steps(seed, plan.duration(kills))
    assert made == plan.steps(seed, plan.duration(kills))
    assert kills == plan.kills(seed, 10, True)
    assert [kill.in_burst for kill in kills].count(True) == 1
    assert all(plan.SHORTEST <= kill.pause <= plan.LONGEST for kill in kills)
    assert {kill.after_step is None for kill in plan.kills(seed, 30, True)} == {True, False}
    for name in plan.STAYING + (plan.GUEST,):
        off = {"join"} if name == plan.GUEST else set()
        for step in (step for step in made if step.who == name):
            if step.action == "leave":
                assert off == set()
                off = {"join"}
                continue
            back = step.action.replace("un", "", 1) if step.action.startswith("un") else ""
            if back or step.action == "join":
                assert (back or "join") in off, step
                off.remove(back or "join")
            else:
                assert off == set(), step
                off.add(step.action)
    actions = {step.action for seed in range(5) for step in plan.steps(seed, 300)}
    assert actions == {"join", "leave", "share", "unshare", "mute audio", "unmute audio", "mute video", "unmute video"}
