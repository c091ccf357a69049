"""How much a bridge is asked at once (B-612): the queue at each bridge, and the conference that waits in it."""
from __future__ import annotations

from typing import Any, Dict, List, Tuple

import pytest

from focus.bridge.throttle import LOOK_AGAIN, Throttle
from focus.conference import messages
from focus.requests import Requests
from focus.stanzas.stanza import Iq
from tests.support.harness import BRIDGE, SECOND_BRIDGE, Scene

ONE, TWO = "brewery@c/one", "brewery@c/two"


def waiting(throttle: Throttle, bridge: str) -> int:
    """How many conferences wait for a bridge."""
    return len(throttle._waiting.get(bridge, ()))


class Crowd:
    """Conferences with nothing but a number of endpoints that each still needs."""

    def __init__(self, limit: int, **needs: int) -> None:
        self.now = 0.0
        self.needs = needs
        self.in_flight: Dict[str, int] = {}
        self.asked: List[str] = []
        self.called: List[Tuple[str, str]] = []
        self.throttle = Throttle(limit, lambda to: self.in_flight.get(to, 0), lambda: self.now, self._wake)
        for room in needs:
            self.turn(room)

    def _wake(self, room: str, bridge: str) -> bool:
        if room in self.needs:
            self.called.append((room, bridge))
        return room in self.needs

    def turn(self, room: str, bridge: str = ONE) -> None:
        """What a conference does when it is woken."""
        more = 0
        self.throttle.come(bridge, room)
        while self.needs[room]:
            if not self.throttle.has_room(bridge, more):
                self.throttle.wait(bridge, room)
                break
            self.needs[room] -= 1
            more += 1
            self.asked.append(room)
        self.throttle.call(bridge, more)
        self.in_flight[bridge] = self.in_flight.get(bridge, 0) + more

    def answer(self, bridge: str = ONE) -> None:
        self.in_flight[bridge] -= 1
        self.throttle.call(bridge)
        self.hear()

    def hear(self) -> None:
        while self.called:
            self.turn(*self.called.pop(0))


class TestQueue:
    def test_never_more_than_the_limit(self):
        """B-612: and all have their turn."""
        crowd = Crowd(5, a=40, b=1, c=13)
        assert crowd.in_flight[ONE] == 5
        while crowd.in_flight[ONE]:
            assert crowd.in_flight[ONE] <= 5
            crowd.answer()
        assert crowd.needs == {"a": 0, "b": 0, "c": 0}
        assert not (crowd.throttle._waiting or crowd.throttle._called)

    def test_one_after_the_other(self):
        """A large conference doesn't keep the small ones waiting."""
        crowd = Crowd(5, a=40, b=2, c=2)
        for _ in range(6):
            crowd.answer()
        assert crowd.asked[5:] == ["a", "b", "c", "a", "b", "c"]

    def test_no_limit(self):
        crowd = Crowd(0, a=500)
        assert crowd.in_flight[ONE] == 500

    def test_a_turn_not_taken_goes_on(self):
        """The conference needs no endpoint any more, or is gone."""
        crowd = Crowd(1, a=2, b=1, c=1, d=1)
        crowd.needs["a"] = 0
        del crowd.needs["b"]
        crowd.answer()
        assert crowd.asked == ["a", "c"] and waiting(crowd.throttle, ONE) == 1

    def test_a_conference_ends_when_its_turn_has_come(self):
        crowd = Crowd(1, a=1, b=1, c=1)
        crowd.in_flight[ONE] -= 1
        crowd.throttle.call(ONE)
        assert crowd.called == [("b", ONE)]
        crowd.throttle.forget("b")
        assert crowd.called == [("b", ONE), ("c", ONE)]
        crowd.throttle.forget("c")
        crowd.throttle.wait(TWO, "d")
        crowd.throttle.forget("d")
        assert not (crowd.throttle._waiting or crowd.throttle._called)

    def test_bridges_apart(self):
        crowd = Crowd(1, a=2)
        assert crowd.throttle.has_room(TWO, 0) and not crowd.throttle.has_room(ONE, 0)

    def test_a_new_stream(self):
        """Answers won't come: nobody waits for them."""
        crowd = Crowd(1, a=2, b=1)
        crowd.in_flight.clear()
        crowd.throttle.begin_anew()
        assert crowd.throttle.has_room(ONE, 0) and not waiting(crowd.throttle, ONE)

    def test_said_once_a_minute(self, caplog):
        caplog.set_level("INFO")
        crowd = Crowd(1, a=3, b=3)
        crowd.answer()
        assert caplog.text.count("brewery@c/one has 1 requests to answer") == 1
        crowd.now = 61.0
        crowd.answer()
        assert caplog.text.count("requests to answer") == 2


class TestRequests:
    """What is in flight is what has no answer, whichever way it ends."""

    @pytest.mark.parametrize("end", ["answer", "timeout", "forgotten", "new stream", "resumed"])
    def test_counted(self, end):
        now, sent = [0.0], []
        fewer: List[str] = []

        def send(_: str, stanza: Any) -> None:
            sent.append(stanza)

        requests = Requests(lambda: now[0], send, lambda: "p%d" % len(sent), "server", 15.0, fewer.append)
        requests.connected(resumed=False)
        for number in range(3):
            requests.expect("client", "r%d" % number, ONE, lambda *_: None)
        assert requests.in_flight(ONE) == 3 and requests.in_flight(TWO) == 0
        if end == "answer":
            assert not requests.answered("client", Iq("result", "r0", "", TWO))
            requests.answered("client", Iq("result", "r0", "", ONE))
            requests.answered("client", Iq("result", "r0", "", ONE))
        elif end == "forgotten":
            requests.forget("r0")
            requests.forget("r0")
        elif end == "timeout":
            for at in (14.0, 15.0):
                now[0] = at
                requests.due(at)
                requests.answered("client", Iq("result", "p%d" % (len(sent) - 1), "", "server"))
        else:
            requests.disconnected()
            requests.connected(resumed=end == "resumed")
        left = {"answer": 2, "timeout": 0, "forgotten": 2, "new stream": 0, "resumed": 3}[end]
        assert requests.in_flight(ONE) == left == len(requests)
        assert fewer == [ONE] * {"answer": 1, "timeout": 3, "forgotten": 1}.get(end, 0)


class TestConference:
    def scene(self) -> Scene:
        return Scene(max_requests_in_flight="3")

    def test_waits_for_its_turn(self):
        """B-612: what is in the same turn counts too; nothing but allocations waits."""
        scene = self.scene()
        scene.in_flight = 2
        scene.join("anna0001", "bo000002", "cy000003")
        request = scene.one("conference-modify")
        assert request[0].get("create") == "true"
        scene.in_flight = 3
        scene.mail(scene.proper_answer(request))
        assert len(scene.take("session-initiate")) == 1 and not scene.take("conference-modify")
        assert waiting(scene.throttle, BRIDGE) == 1 and scene.bridges.counters.throttled == 1
        scene.in_flight = 1
        scene.throttle.call(BRIDGE)
        assert scene.called == [BRIDGE]
        scene.mail(messages.BridgeFree(BRIDGE))
        assert len(scene.take("conference-modify")) == 2 and not waiting(scene.throttle, BRIDGE)

    def test_looks_for_itself(self):
        """Should its turn be forgotten it goes on a moment later all the same."""
        scene = self.scene()
        scene.in_flight = 3
        scene.join("anna0001", "bo000002")
        assert not scene.take("conference-modify")
        scene.in_flight = 0
        scene.pass_time(LOOK_AGAIN)
        assert len(scene.take("conference-modify")) == 1

    @pytest.mark.parametrize("bridges", [1, 2])
    def test_the_bridge_fails_meanwhile(self, bridges):
        """Who waited needn't find out for itself: another bridge, or none as long as there is none."""
        scene = Scene(max_requests_in_flight="3", bridges=bridges)
        scene.in_flight = 3
        scene.join("anna0001", "bo000002", "cy000003")
        assert list(scene.state.bridges) == [BRIDGE]
        scene.bridges.failed(BRIDGE, "timeout", scene.now)
        scene.in_flight = 0
        scene.throttle.call(BRIDGE)
        scene.mail(messages.BridgeFree(BRIDGE))
        assert [el.get("to") for el in scene.take("conference-modify")] == [SECOND_BRIDGE] * (bridges - 1)
        assert list(scene.state.bridges) == [SECOND_BRIDGE] * (bridges - 1)
        assert {p.phase for p in scene.state.participants.values()} == {"waiting" if bridges == 1 else "allocating"}

    def test_those_that_leave_meanwhile(self):
        scene = self.scene()
        scene.in_flight = 3
        scene.join("anna0001", "bo000002", "cy000003")
        scene.in_flight = 0
        scene.leave("anna0001", "bo000002", "cy000003").mail(messages.BridgeFree(BRIDGE))
        assert not scene.take("conference-modify")
        assert not scene.state.bridges and not waiting(scene.throttle, BRIDGE)

    def test_a_later_process(self):
        """Whoever waits has nothing on the bridge, and gets it from the next process."""
        scene = self.scene()
        scene.in_flight = 3
        scene.join("anna0001", "bo000002")
        scene.in_flight = 0
        scene.throttle.begin_anew()
        scene.restart().pass_time(LOOK_AGAIN + 0.1)
        assert len(scene.take("conference-modify")) == 1
