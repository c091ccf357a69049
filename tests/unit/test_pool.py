"""The pool of bridges: what presences say, our own judgement, stress (bridge.md sections 1 to 4.2)."""
from __future__ import annotations

import pytest

from focus.bridge.choice.rules import describe
from focus.bridge.pool import Bridges
from focus.config import load
from tests.support.harness import BRIDGE, Stats

WORDS = dict(stress_level=0.1, drain=False, version="2.3")


def pool(**more):
    bridges = Bridges()
    bridges.heard(BRIDGE, Stats(**dict(WORDS, **more)), ["jvb@auth.meet.example/A"], 0.0)
    return bridges


def candidate(bridges, now=0.0):
    return bridges.candidates(now)[0]


class TestOperational:
    def test_the_table_of_b202(self):
        """B-202 with B-204: checks by presence bring a bridge back by time alone."""
        bridges = pool()
        rows = []
        for now, failure in ((0, False), (10, True), (60, False), (71, False), (7000, True), (7059, False),
                             (7060, False)):
            if failure:
                bridges.failed(BRIDGE, "test", float(now))
            rows.append(candidate(bridges, float(now)).operational)
        assert rows == [True, False, False, True, False, False, True]

    def test_a_failure_says_why(self):
        """U-16"""
        bridges = pool()
        bridges.failed(BRIDGE, "no answer", 5.0)
        assert describe(bridges.candidates(45.0), 45.0) == "jvb1: not operational (since 40 s: no answer)"


class TestStats:
    def test_missing_ones_keep_their_value(self):
        """B-121"""
        bridges = pool(region="eu")
        bridges.heard(BRIDGE, Stats(stress_level=0.5), None, 1.0)
        assert (candidate(bridges).region, candidate(bridges).stress) == ("eu", 0.5)

    def test_graceful_shutdown_is_sticky(self):
        """B-205"""
        bridges = pool(graceful_shutdown=True)
        bridges.heard(BRIDGE, Stats(graceful_shutdown=False), None, 1.0)
        assert candidate(bridges).graceful_shutdown

    def test_shutting_down_is_an_event_once(self):
        """B-206: and none if the first presence says so."""
        bridges = pool()
        assert [e.kind for e in bridges.heard(BRIDGE, Stats(shutting_down=True), None, 1.0)] == ["lost"]
        assert not bridges.heard(BRIDGE, Stats(shutting_down=True), None, 2.0)
        assert [e.kind for e in Bridges().heard(BRIDGE, Stats(shutting_down=True), None, 1.0)] == ["usable"]

    def test_drain(self):
        """B-207: true until known, false for an old bridge that doesn't know the word."""
        empty, old = Bridges(), Bridges()
        empty.heard(BRIDGE, Stats(), None, 0.0)
        old.heard(BRIDGE, Stats(stress_level=0.1), None, 0.0)
        assert candidate(empty).draining and not candidate(old).draining
        bridges = pool()
        bridges.heard(BRIDGE, Stats(drain=True), None, 1.0)
        assert candidate(bridges).draining

    @pytest.mark.parametrize("version, release, full", [("2", None, "2"), ("2", "r1", "2-r1"), (None, "r1", None)])
    def test_full_version(self, version, release, full):
        """B-208"""
        bridges = Bridges()
        bridges.heard(BRIDGE, Stats(version=version, release=release), None, 0.0)
        assert candidate(bridges).version == full

    @pytest.mark.parametrize("change, real_jids", [
        (dict(), ["jvb@auth.meet.example/B"]),
        (dict(), ["jvb@auth.meet.example/A", "jvb@auth.meet.example/B"]),
        (dict(), ["jvb@auth.meet.example/B", "jvb@auth.meet.example/A"])])
    def test_another_process_under_the_same_name(self, change, real_jids):
        """B-210, B-411: removed and added, and not used for a while."""
        bridges = pool(relay_id="r1")
        events = bridges.heard(BRIDGE, Stats(**dict(WORDS, **change)), real_jids, 1.0)
        assert [e.kind for e in events] == ["lost"] and not candidate(bridges, 1.0).operational
        assert not bridges.heard(BRIDGE, Stats(**dict(WORDS, **change)), real_jids, 6.0)

    @pytest.mark.parametrize("change", [dict(version="2.4"), dict(relay_id="r2")])
    def test_new_words(self, change):
        """B-210: removed and added; whoever says so is the process that is asked."""
        bridges = pool(relay_id="r1")
        events = bridges.heard(BRIDGE, Stats(**dict(WORDS, **change)), ["jvb@auth.meet.example/A"], 1.0)
        assert [e.kind for e in events] == ["lost", "usable"] and candidate(bridges, 1.0).operational

    def test_the_old_one_of_two_goes(self):
        """B-411: when the server has given the old connection up, the new process is no newer."""
        bridges = pool()
        assert bridges.heard(BRIDGE, Stats(**WORDS), ["jvb@auth.meet.example/A", "jvb@auth.meet.example/B"], 1.0)
        assert not bridges.heard(BRIDGE, Stats(**WORDS), ["jvb@auth.meet.example/B"], 2.0)

    def test_not_shutting_down_any_more(self):
        """T-5"""
        bridges = pool(shutting_down=True)
        events = bridges.heard(BRIDGE, Stats(**WORDS, shutting_down=False), None, 1.0)
        assert [e.kind for e in events] == ["lost", "usable"]
        assert not candidate(bridges).shutting_down


class TestStress:
    @pytest.mark.parametrize("reported, each, added, expected", [
        (0.2, 0.01, 0, 0.2), (0.2, 0.01, 10, 0.3), (0.0, 0.05, 4, 0.2)])
    def test_recently_added(self, reported, each, added, expected):
        """B-301"""
        bridges = pool(stress_level=reported, average_participant_stress=each)
        for _ in range(added):
            bridges.placed(BRIDGE, 5.0)
        assert candidate(bridges, 24.9).stress == pytest.approx(expected)
        assert candidate(bridges, 25.0).stress == pytest.approx(reported)

    def test_a_report_does_not_take_them_back(self):
        """B-304, T-9: it is older than they are."""
        bridges = pool(stress_level=0.2)
        for _ in range(10):
            bridges.placed(BRIDGE, 5.0)
        bridges.heard(BRIDGE, Stats(stress_level=0.25), None, 6.0)
        assert candidate(bridges, 6.0).stress == pytest.approx(0.35)

    def test_counts(self):
        """B-305: never below zero."""
        bridges = pool()
        bridges.removed(BRIDGE)
        bridges.placed(BRIDGE, 0.0)
        bridges.conference(BRIDGE, +1)
        assert bridges.get(BRIDGE).endpoints == 1 and candidate(bridges).conferences == 1


class TestOptions:
    @pytest.mark.parametrize("option, probe", [
        ("failure_reset_threshold=3s", lambda b: (b.failed(BRIDGE, "x", 0.0), b.passed(BRIDGE),
                                                  candidate(b, 3.0).operational)[2]),
        ("health_checks_enabled=false", lambda b: (b.failed(BRIDGE, "x", 0.0), candidate(b, 60.0).operational)[1]),
        ("health_checks_silence=2s", lambda b: (b.signs.doubt(BRIDGE, 1.0), BRIDGE in b.signs.doubts)[1]),
        ("participant_rampup_interval=3s", lambda b: (b.placed(BRIDGE, 0.0), candidate(b, 3.0).stress == 0.0)[1]),
        ("average_participant_stress=0.5", lambda b: (b.placed(BRIDGE, 0.0), candidate(b, 0.0).stress == 0.5)[1]),
        ("stress_threshold=0.02", lambda b: ([b.placed(BRIDGE, 0.0) for _ in range(2)],
                                             b.is_overloaded(b.get(BRIDGE), 0.0))[1]),
    ])
    def test_each_does_something(self, option, probe):
        """B-909 to B-912"""
        for flags, expected in (([], False), (["--" + option], True)):
            bridges = Bridges.configured(load(["--domain=meet.example", *flags], {}))
            bridges.heard(BRIDGE, Stats(drain=False, version="1"), None, 0.0)
            assert probe(bridges) is expected


class TestMembership:
    def test_comes_and_goes(self):
        """B-105, B-107, B-110"""
        bridges = pool()
        assert [e.kind for e in bridges.gone(BRIDGE, "left")] == ["lost"]
        assert bridges.lost == 1 and not bridges.gone(BRIDGE, "left") and not len(bridges)

    def test_announced_departure_is_not_counted(self):
        """B-110"""
        bridges = pool(graceful_shutdown=True)
        bridges.gone(BRIDGE, "left")
        assert bridges.lost == 0

    def test_after_entering_anew(self):
        """B-112: only those that are missing are gone."""
        bridges = pool()
        bridges.signs.missing([BRIDGE], 10.0)
        assert bridges.signs.is_reachable(BRIDGE) and not bridges.signs.overdue(100.0)
        bridges.signs.missing([], 100.0)
        assert not bridges.signs.is_reachable(BRIDGE) and not candidate(bridges, 100.0).operational
        assert not bridges.signs.overdue(114.9)
        assert bridges.signs.overdue(115.0) == [BRIDGE]

    def test_back_after_us(self):
        """B-112, T-38: a bridge that comes back to the brewery a little later has lost nothing."""
        bridges = pool()
        bridges.signs.missing([], 100.0)
        assert [e.kind for e in bridges.heard(BRIDGE, Stats(**WORDS), ["jvb@auth.meet.example/A"], 103.0)] == ["usable"]
        assert not bridges.signs.overdue(200.0) and bridges.signs.is_reachable(BRIDGE)

    def test_leaks_nothing(self):
        bridges = Bridges()
        for round_number in range(300):
            bridges.heard(BRIDGE, Stats(**WORDS), ["jvb@a/%d" % round_number], float(round_number))
            bridges.gone(BRIDGE, "left")
        assert not len(bridges)
