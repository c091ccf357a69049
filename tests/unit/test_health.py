"""Health checks, silence and doubt: rules over a clock of the test's own (bridge.md section 4, B-825)."""
from __future__ import annotations

from typing import Any, Dict, List, Set

import pytest

from focus.bridge.checking import Checker, Place
from focus.bridge.health import Rules
from focus.bridge.pool import Bridges
from focus.bridge.signs import doubt_after
from focus.stanzas.errors import ParsedError
from focus.stanzas.stanza import Iq
from tests.support.harness import Stats

JIDS = ["jvbbrewery@internal.auth.meet.example/jvb%d" % number for number in range(1, 6)]
ONE, TWO, THREE, FOUR, FIVE = JIDS


class World:
    """Some bridges, a server and the checks between them; bridges answer after ``latency`` unless they are silent."""

    def __init__(self, count=1, busy=(), checked=True, **rules) -> None:
        self.now = 0.0
        self.rules = Rules(**rules) if checked else None
        self.bridges = Bridges(checked=checked, doubtful_after=doubt_after(self.rules.silence if self.rules else 0.0))
        self.silent: Set[str] = set()
        self.publishing: Set[str] = set()
        self.errors: Dict[str, str] = {}
        self.asked: List[Any] = []
        self.told: List[Any] = []
        self.server = True
        self.pings = 0
        self._later: List[Any] = []
        self.lost = 0
        self.inside = True
        self.checker = Checker(self.bridges, self.rules, lambda: self.now, self._ask, self._ping, self._outside,
                               lambda event: self.told.append((round(self.now, 1), event.kind, event.bridge)))
        self.health: Any = self.checker._health
        for jid in JIDS[:count]:
            self.come(jid)
        for jid in busy:
            self.bridges.conference(jid, +1)

    def come(self, jid, real="x"):
        for event in self.bridges.heard(jid, Stats(stress_level=0.1, drain=False, version="2"), [jid + real], self.now):
            self.told.append((round(self.now, 1), event.kind, event.bridge))

    def _ask(self, jid, seconds, answered):
        self.asked.append((round(self.now, 1), jid))
        if jid in self.silent:
            self._later.append((self.now + seconds, lambda: answered(None)))
        else:
            error = self.errors.get(jid)
            iq = Iq("error" if error else "result", "h", "", jid, error=ParsedError("cancel", error) if error else None)
            self._later.append((self.now + 0.05, lambda: self._answer(iq, answered)))

    def _answer(self, iq, answered):
        self.bridges.signs.answered(iq, self.now)
        answered(iq)

    def _ping(self, answered):
        self.pings += 1
        place = Place.SLOW if not self.server else Place.INSIDE if self.inside else Place.OUTSIDE
        self._later.append((self.now + (0.01 if self.server else 15.0), lambda: answered(place)))

    def _outside(self):
        self.lost += 1

    def run(self, seconds):
        """Let time pass in steps of 50 ms, with each bridge's statistics every 5 s if it publishes."""
        end = self.now + seconds
        while self.now < end - 1e-9:
            self.now = round(self.now + 0.05, 3)
            due = [call for at, call in self._later if at <= self.now]
            self._later = [(at, call) for at, call in self._later if at > self.now]
            for call in due:
                call()
            if round(self.now * 20) % 100 == 0:
                for jid in self.publishing:
                    self.bridges.heard(jid, Stats(current_timestamp=str(self.now)), None, self.now)
            if self.now >= self.checker.due:
                self.checker.tick()
        return self

    def events(self, kind="lost"):
        return [(at, jid) for at, what, jid in self.told if what == kind]

    def row(self, jid=ONE) -> Any:
        return self.bridges.get(jid)

    def operational(self, jid=ONE):
        return self.bridges.is_operational(self.row(jid), self.now)


class TestOrdinaryChecks:
    def test_every_interval(self):
        """B-402, B-407: the first within one interval, then an interval after each answer."""
        world = World(5).run(60)
        for jid in JIDS:
            times = [at for at, asked in world.asked if asked == jid]
            assert times[0] <= 10.1 and len(times) >= 5
            assert all(9.9 <= later - earlier <= 10.2 for earlier, later in zip(times, times[1:]))
        assert len({at for at, _ in world.asked[:5]}) > 2, "the checks of many bridges spread"

    @pytest.mark.parametrize("condition, lost", [
        ("internal-server-error", True), ("service-unavailable", True), ("item-not-found", False),
        ("recipient-unavailable", False), ("remote-server-timeout", False), ("forbidden", False)])
    def test_errors(self, condition, lost):
        """B-404, B-408, U-21: the first two move conferences, all of them take the bridge out of use."""
        world = World()
        world.errors[ONE] = condition
        world.run(11)
        assert bool(world.events()) == lost and not world.operational()

    def test_us_outside(self):
        """K-105: that we aren't in the brewery says nothing of the bridge, whatever the room answers."""
        for condition in ("not-acceptable", "item-not-found", "service-unavailable"):
            world = World(busy=[ONE])
            world.errors[ONE] = condition
            world.inside = False
            assert world.run(11).operational() and world.lost and not world.events()

    def test_no_answer(self):
        """B-404, B-406: asked again after the delay; only then out of use, and nobody is moved."""
        world = World()
        world.silent.add(ONE)
        world.run(10.1)
        first = world.asked[0][0]
        world.run(first + 15 + 5 + 14.5 - world.now)
        assert [at for at, _ in world.asked] == [first, pytest.approx(first + 20, abs=0.3)] and world.operational()
        world.run(1.5)
        assert not world.operational() and not world.events()

    @pytest.mark.parametrize("complaints, before, asked", [(2, 0, 1), (2, 40, 2), (1, 0, 2)])
    def test_no_second_question_when_participants_complain(self, complaints, before, asked):
        """B-825: without the rule of silence this is what a call on a dead bridge waits for."""
        world = World(silence=0.0, busy=[ONE])
        world.silent.add(ONE)
        world.run(10.1)
        for _ in range(complaints):
            world.bridges.restart_requested(ONE, world.now + 10 - before)
        world.run(world.asked[0][0] + 15.5 - world.now)
        assert world.operational() is (asked == 2)
        world.run(4.7)
        assert len(world.asked) == asked

    def test_no_second_question(self):
        """B-404: with a delay of 0 the first one decides."""
        world = World(retry_delay=0.0)
        world.silent.add(ONE)
        world.run(10.1)
        world.run(world.asked[0][0] + 15.5 - world.now)
        assert len(world.asked) == 1 and not world.operational()

    def test_it_comes_back(self):
        """B-202, T-6: after a minute without a failure, and a passed check."""
        world = World()
        world.errors[ONE] = "internal-server-error"
        world.run(11)
        failed_at = world.row(ONE).failed_at
        world.errors.clear()
        world.run(failed_at + 59 - world.now)
        assert not world.operational()
        world.run(12)
        assert world.operational() and [jid for _, jid in world.events("usable")][1:] == [ONE]

    def test_time_alone_brings_nothing_back(self):
        """B-202: a check has to be passed since."""
        world = World()
        world.silent.add(ONE)
        world.bridges.failed(ONE, "an allocation timed out", 0.0)
        assert not world.run(300).operational()

    def test_without_checks_time_is_enough(self):
        """B-204, T-7"""
        world = World(checked=False)
        world.bridges.failed(ONE, "an allocation timed out", 0.0)
        assert not world.run(59).operational() and world.run(12).operational() and not world.asked

    def test_gone_meanwhile(self):
        """B-404: the answer is ignored."""
        world = World()
        world.silent.add(ONE)
        world.run(10.1)
        world.bridges.gone(ONE, "it left")
        world.run(40)
        assert len(world.asked) == 1 and not len(world.bridges)

    def test_hundreds_come_and_go(self):
        """Nothing is kept of them."""
        world = World(0)
        for number in range(300):
            jid = "jvbbrewery@internal.auth.meet.example/n%d" % number
            world.come(jid)
            world.bridges.signs.doubt(jid, world.now + 20)
            world.run(0.1)
            world.bridges.gone(jid, "it left")
        world.run(15)
        signs = world.bridges.signs
        kept = (signs._heard, signs._answered, signs.doubts, world.health._watches, world.checker._failing,
                world.bridges.rows)
        assert [len(table) for table in kept] == [0] * 6


class TestPresence:
    def test_silence_and_health(self):
        """B-430, B-431: no questions; the timeout takes the bridge out of use, `healthy` moves conferences too."""
        world = World(2, use_presence=True, silence=0.0)
        world.publishing.add(TWO)
        world.run(56)
        assert not world.asked and not world.operational(ONE) and world.operational(TWO) and not world.events()
        world.row(TWO).healthy = False
        world.run(11)
        assert [jid for _, jid in world.events()] == [TWO] and not world.operational(TWO)

    def test_not_while_the_server_is_silent(self):
        """U-47"""
        world = World(use_presence=True, silence=0.0)
        world.server = False
        assert world.run(60).operational()

    def test_questions_of_busy_ones(self):
        """B-410: silence counts with either kind of checks."""
        world = World(busy=[ONE], use_presence=True)
        world.silent.add(ONE)
        assert world.run(9).events()


class TestSilence:
    @pytest.mark.parametrize("after", [round(0.1 * step, 1) for step in range(1, 52, 3)])
    def test_noticed_in_time(self, after):
        """B-410: within 6 s, whenever it dies between questions and statistics."""
        world = World(2, busy=[ONE, TWO])
        world.publishing.update([ONE, TWO])
        world.run(20 + after)
        died = world.now
        world.silent.add(ONE)
        world.publishing.discard(ONE)
        world.run(10)
        (at, jid), = world.events()
        assert jid == ONE and 3.2 <= at - died <= 5.2 and not world.operational(ONE)

    def test_two_questions(self):
        """B-410: a bridge nobody has asked isn't silent."""
        world = World(busy=[ONE])
        world.silent.add(ONE)
        world.run(9)
        (at, _), = world.events()
        assert world.asked[1][0] <= at - 1.6

    @pytest.mark.parametrize("life", ["statistics", "answer", "error"])
    def test_anything_is_life(self, life):
        """B-410: statistics that change, an answer to another request, an error of its own."""
        world = World(busy=[ONE])
        world.silent.add(ONE)
        for _ in range(10):
            world.run(4)
            if life == "statistics":
                world.bridges.heard(ONE, Stats(current_timestamp=str(world.now)), None, world.now)
            else:
                world.bridges.signs.answered(Iq("result" if life == "answer" else "error", "c", "", ONE, error=None if
                                          life == "answer" else ParsedError("cancel", "conflict", "")), world.now)
        assert not world.events()

    def test_frozen_statistics_are_none(self):
        """B-411: those of a dead process come at the rhythm of the new one."""
        world = World(busy=[ONE])
        world.bridges.heard(ONE, Stats(current_timestamp="10:00"), None, world.now)
        world.silent.add(ONE)
        for _ in range(8):
            world.run(1)
            world.bridges.heard(ONE, Stats(current_timestamp="10:00"), None, world.now)
        assert world.events()

    def test_the_room_is_not_the_bridge(self):
        """K-105: that it isn't there any more is no sign of its life."""
        world = World(busy=[ONE])
        world.silent.add(ONE)
        for _ in range(8):
            world.run(1)
            error = ParsedError("cancel", "item-not-found")
            world.bridges.signs.answered(Iq("error", "c", "", ONE, error=error), world.now)
        assert world.events()

    def test_not_while_the_server_is_slow(self):
        """B-410, U-47: the fault is nearer to us."""
        world = World(busy=[ONE])
        world.silent.add(ONE)
        world.server = False
        assert not world.run(14).events() and world.pings == 1
        world.run(3)
        world.server = True
        world.run(13)
        assert world.events()

    @pytest.mark.parametrize("presence", [False, True])
    def test_nothing_is_due_while_the_server_is_asked(self, presence):
        """The ticker isn't woken again and again meanwhile."""
        world = World(busy=[ONE], use_presence=presence, presence_timeout=4.0)
        world.silent.add(ONE)
        ping = world.checker._ask_place
        waiting: List[Any] = []
        world.checker._ask_place = waiting.append
        for _ in range(2):
            while not waiting:
                world.run(0.05)
            for _ in range(8):
                world.checker.tick()
                assert world.checker.due > world.now
                world.run(0.1)
            waiting.pop()(Place.INSIDE)
        world.checker._ask_place = ping
        assert world.run(3).events()

    @pytest.mark.parametrize("pause", [3.0, 3.6, 4.1, 4.7, 5.0, 5.3, 5.9, 6.6, 7.2, 8.8, 12.0])
    def test_a_pause_of_the_server(self, pause):
        """B-410, U-47: bridges are asked, and answer, after it; whatever it answers itself, nobody is moved."""
        world = World(2, busy=[ONE, TWO]).run(20)
        world.silent.update([ONE, TWO])
        ping, pinged = world.checker._ask_place, []
        ends = world.now + pause
        world.checker._ask_place = lambda answered: pinged.append((world.now, answered))
        world.run(pause)
        world.checker._ask_place = ping
        for asked, answered in pinged:
            answered(Place.SLOW if ends - asked > 1.0 else Place.INSIDE)
        world.run(0.2)
        world.silent.clear()
        assert pinged
        world.run(20)
        assert not world.events() and world.operational(ONE) and world.operational(TWO)

    @pytest.mark.parametrize("count, silent, seconds", [
        (3, 1, 5), (3, 2, 11), (5, 2, 5), (5, 3, 11), (1, 1, 5), (2, 1, 5), (2, 2, 11)])
    def test_many_together(self, count, silent, seconds):
        """B-410, U-47: more than half of them, and more than one: 6 s more."""
        world = World(count, busy=JIDS[:count]).run(20)
        died = world.now
        world.silent.update(JIDS[:silent])
        world.run(20)
        assert sorted(jid for _, jid in world.events()) == JIDS[:silent]
        assert all(seconds - 2.5 <= at - died <= seconds + 0.3 for at, _ in world.events())

    def test_idle_ones_are_not_asked_often(self):
        """B-410: only bridges that carry conferences."""
        world = World(2, busy=[ONE]).run(60)
        assert 34 <= len([jid for _, jid in world.asked if jid == ONE]) <= 37
        assert len([jid for _, jid in world.asked if jid == TWO]) <= 7

    def test_switched_off(self):
        """B-405, B-410: with 0 nobody is moved by silence, and busy ones are asked like others."""
        world = World(2, busy=[ONE], silence=0.0)
        world.silent.add(ONE)
        world.run(50)
        assert not world.events() and not world.operational(ONE) and len(world.asked) < 12

    def test_once(self):
        """B-434: while it stays silent it isn't told again and again."""
        world = World(2, busy=[ONE])
        world.silent.add(ONE)
        assert len(world.run(60).events()) == 1

    def test_answers_statistics_but_no_requests(self):
        """B-404: alive, but nothing new is put on it."""
        world = World(busy=[ONE])
        world.publishing.add(ONE)
        world.silent.add(ONE)
        world.run(50)
        assert not world.events() and not world.operational()


class TestRestarted:
    def test_used_after_an_answer(self):
        """B-411: at once when it answers, not before."""
        world = World()
        world.silent.add(ONE)
        world.run(5)
        world.bridges.heard(ONE, Stats(stress_level=0.1, drain=False, version="2"), [ONE + "x", ONE + "y"], world.now)
        assert not world.operational()
        world.run(300)
        assert not world.operational()
        world.silent.clear()
        world.run(3)
        assert world.operational()


class TestDoubt:
    def test_an_answer_ends_it(self):
        """B-825: asked at once, not chosen meanwhile."""
        world = World(silence=0.0, interval=3600.0)
        world.run(11)
        world.bridges.signs.doubt(ONE, world.now)
        assert not world.operational() and not world.asked
        world.run(0.1)
        assert len(world.asked) == 1
        world.run(0.1)
        assert world.operational() and [jid for at, jid in world.events("usable") if at] == [ONE]

    def test_silence_proves_it(self):
        """B-825: 3 s."""
        world = World(silence=0.0, interval=3600.0)
        world.silent.add(ONE)
        world.run(11)
        world.bridges.signs.doubt(ONE, world.now)
        world.run(3.2)
        assert world.row(ONE).failed_at is not None and not world.bridges.signs.doubts

    def test_not_of_one_that_was_heard(self):
        """B-825: whoever was heard lately isn't doubted."""
        world = World(busy=[ONE]).run(30)
        world.bridges.signs.doubt(ONE, world.now)
        assert world.operational()


@pytest.mark.parametrize("condition", ["remote-server-timeout", "item-not-found"])
def test_a_component_that_is_not_connected(condition):
    """B-1001: its calls leave at once, it is asked on, and used again as soon as it answers: as another process."""
    world = World(0)
    world.bridges.found("jvb.meet.example", "named", 0.0)
    world.bridges.conference("jvb.meet.example", +1)
    world.run(3)
    world.errors["jvb.meet.example"] = condition
    world.run(3)
    assert [jid for _, jid in world.events()] == ["jvb.meet.example"] and not world.operational("jvb.meet.example")
    world.bridges.conference("jvb.meet.example", -1)
    world.run(20)
    assert len(world.events()) == 1 and not world.operational("jvb.meet.example")
    world.errors.clear()
    world.run(2.5)
    assert world.operational("jvb.meet.example") and world.events("usable")[-1][1] == "jvb.meet.example"
