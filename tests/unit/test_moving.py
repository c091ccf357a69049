"""Endpoints that leave a bridge: on request, or because it has too much load (bridge.md 8.4 and 8.5)."""
from __future__ import annotations

from typing import Any, Dict, List

import pytest

from focus.bridge.choice.moving import Hosted, pick, pick_whole, share
from focus.bridge.choice.redistribution import Redistribution, Redistributor
from focus.moves import Moved, Moves, NotFound, Rebuilt
from tests.support.harness import BRIDGE, SECOND_BRIDGE, Scene, Stats
from tests.support.split_scene import SplitScene

BREWERY, _, NAME = BRIDGE.partition("/")
OFF = Redistribution()
OCTO: Dict[str, Any] = dict(bridges=2, octo_enabled="true", selection_strategy="region-based")


def hosted(**sizes):
    return [Hosted(room, tuple("%s%d" % (room[0], number) for number in range(size))) for room, size in sizes.items()]


def sizes(parts):
    return {part.room: len(part.endpoints) for part in parts}


@pytest.mark.parametrize("number, expected", [
    (8, dict(big=8)), (12, dict(big=10, medium=2)), (100, dict(big=10, medium=5, small=1)), (1, dict(big=1)), (0, {})])
def test_largest_first(number, expected):
    """B-861, B-866"""
    parts = pick(hosted(small=1, big=10, medium=5, none=0), number)
    assert sizes(parts) == expected
    assert all(part.endpoints[0] == part.room[0] + "0" for part in parts)  # those allocated first


@pytest.mark.parametrize("fraction, expected", [(0.5, 8), (1.0, 16), (0.1, 2), (0.03125, 1), (0.01, 0)])
def test_fractions(fraction, expected):
    """B-862, B-866: halves are rounded up."""
    assert share(hosted(big=10, medium=5, small=1), fraction) == expected


@pytest.mark.parametrize("conferences, number, expected", [
    (dict(big=12, medium=6, small=3, tiny=1), 10, dict(medium=6, small=3, tiny=1)),
    (dict(big=12, medium=11), 10, dict(medium=11)),
    (dict(big=12), 100, {}),
    (dict(big=12, none=0), 100, {}),
    ({}, 10, {}),
])
def test_whole_conferences(conferences, number, expected):
    """B-872 R"""
    assert sizes(pick_whole(hosted(**conferences), number)) == expected


class TestRedistributor:
    def due(self, *rounds):
        """What is due at (time, {bridge: stress})."""
        options = Redistribution(True, interval=60.0, threshold=0.9, timeout=180.0)
        redistributor = Redistributor(options, 0.8, 0.0)
        return ["".join(redistributor.due(now, stress)) for now, stress in rounds]

    def test_first_after_one_interval(self):
        """B-870"""
        loads = dict(a=0.95, b=0.1)
        assert self.due((0.0, loads), (59.9, loads), (60.0, loads)) == ["", "", "a"]

    def test_who_gave_is_left_alone_for_its_time(self):
        """B-870"""
        loads = dict(a=0.95, b=0.1)
        assert self.due(*[(60.0 * n, loads) for n in range(1, 6)]) == ["a", "", "", "a", ""]

    @pytest.mark.parametrize("loads, expected", [
        (dict(a=0.95, b=0.8), ""), (dict(a=0.95, b=0.79), "a"), (dict(a=0.89, b=0.1), ""), (dict(a=0.9, b=0.1), "a"),
        (dict(a=0.95, b=1.5, c=0.0), "ab"), ({}, "")])
    def test_who(self, loads, expected):
        """B-870: only if somebody isn't overloaded."""
        assert self.due((60.0, loads)) == [expected]

    def test_off(self):
        assert Redistributor(Redistribution(), 0.8, 0.0).next_at is None


class Rooms:
    """The conferences of some scenes, by a room of their own."""

    def __init__(self, **scenes: Scene) -> None:
        self._scenes = scenes
        for room, scene in scenes.items():
            scene.state.room = "%s@conference.meet.example" % room

    def __iter__(self):
        return iter([scene.conference for scene in self._scenes.values()])

    def get(self, room):
        scene = self._scenes.get(room.partition("@")[0])
        return None if scene is None else scene.conference

    def settle(self) -> None:
        """Everything that was posted is handled, and answered."""
        for scene in self._scenes.values():
            if len(scene.conference.mailbox):
                scene.mail(*scene.conference.mailbox.take()).settle()


def moves(scene: Scene, redistribution: Redistribution = OFF, **more: Scene) -> Any:
    """Over some conferences; ``settle()`` has them do what was asked for."""
    rooms: Any = Rooms(standup=scene, **more)
    made: Any = Moves(rooms, scene.bridges, BREWERY, redistribution, lambda: scene.now)
    made.settle = rooms.settle
    return made


def placed(scene) -> Dict[str, List[str]]:
    return {jid.partition("/")[2]: list(session.endpoints) for jid, session in scene.state.bridges.items()}


def crowd(scene: Scene, number: int) -> Scene:
    return scene.bring_in(*["guest%03d" % n for n in range(number)])


def neighbour(other: Scene, number: int, **options: Any) -> Scene:
    """Another conference, on the first bridge of the same pool."""
    scene = Scene(**options)
    scene.conference._around = scene.conference._around._replace(bridges=other.bridges)
    other.bridges.heard(SECOND_BRIDGE, Stats(drain=True), None, other.now)
    crowd(scene, number)
    other.bridges.heard(SECOND_BRIDGE, Stats(drain=False), None, other.now)
    return scene


def drain(scene: Scene) -> None:
    scene.bridges.heard(BRIDGE, Stats(drain=True), None, scene.now)


class TestMoves:
    def test_those_allocated_first_go(self):
        """B-861, B-864: and come back if nothing speaks against it."""
        scene = crowd(Scene(**OCTO), 4)
        drain(scene)
        made = moves(scene)
        assert made.move_endpoints(NAME, 3) == Moved(3, 1)
        made.settle()
        assert placed(scene) == {"jvb1": ["guest003"], "jvb2": ["guest000", "guest001", "guest002"]}
        assert all(p.phase == "active" or p.phase == "offered" for p in scene.state.participants.values())
        assert scene.bridges.counters.participants_moved == 3

    def test_they_may_come_back(self):
        """B-864, T-35"""
        scene = crowd(Scene(**OCTO), 4)
        made = moves(scene)
        assert made.move_endpoints(BRIDGE, 2) == Moved(2, 1)
        made.settle()
        assert placed(scene) == {"jvb1": ["guest002", "guest003", "guest000", "guest001"]}

    def test_a_conference_of_its_own(self):
        """B-861: of the conference that is named; sizes decide otherwise."""
        big = crowd(Scene(**OCTO), 5)
        small = neighbour(big, 2, **OCTO)
        drain(big)
        made = moves(big, small=small)
        assert made.move_endpoints(NAME, 6) == Moved(6, 2)
        made.settle()
        assert (len(placed(big)["jvb2"]), placed(small)) == (5, {"jvb1": ["guest001"], "jvb2": ["guest000"]})
        assert made.move_endpoints(NAME, 6, conference="small@conference.meet.example") == Moved(1, 1)
        assert made.move_fraction(NAME, 1.0) == Moved(1, 1)

    def test_one(self):
        """B-860: with the guard, and without anything to do."""
        scene = crowd(Scene(**OCTO), 2)
        drain(scene)
        made, room = moves(scene), scene.state.room
        assert made.move_endpoint(room, "guest001", bridge="jvb2") == Moved(0, 0)
        assert made.move_endpoint(room, "nobody") == Moved(0, 0)
        assert made.move_endpoint(room, "guest001", bridge=NAME) == Moved(1, 1)
        made.settle()
        assert placed(scene) == {"jvb1": ["guest000"], "jvb2": ["guest001"]}

    def test_of_a_failed_bridge(self):
        """B-865 R"""
        scene = crowd(Scene(**OCTO), 2)
        scene.bridges.failed(BRIDGE, "test", scene.now)
        made = moves(scene)
        assert made.move_endpoints(NAME, 1) == Moved(1, 1)
        made.settle()
        assert placed(scene) == {"jvb1": ["guest001"], "jvb2": ["guest000"]}

    def test_excluded(self):
        """B-867: although the bridge is as good as the other."""
        scene = crowd(Scene(**OCTO), 3)
        made = moves(scene)
        assert made.move_endpoints(NAME, 2, exclude=True) == Moved(2, 1)
        made.settle()
        assert placed(scene) == {"jvb1": ["guest002"], "jvb2": ["guest000", "guest001"]}

    def test_excluded_with_one_bridge_a_conference(self):
        """B-867, B-606: who is left behind comes along."""
        scene = crowd(Scene(bridges=2), 3)
        made = moves(scene)
        made.move_endpoints(NAME, 1, exclude=True)
        made.settle()
        assert placed(scene) == {"jvb2": ["guest000", "guest001", "guest002"]}
        assert scene.bridges.counters.participants_moved == 3

    def test_excluded_and_no_other(self):
        """B-867: nobody is moved, whoever finds that out."""
        scene = crowd(Scene(bridges=2, octo_enabled="true", selection_strategy="region-based"), 2)
        scene.bridges.heard(SECOND_BRIDGE, Stats(shutting_down=True), None, scene.now)
        made = moves(scene)
        assert made.move_endpoints(NAME, 1, exclude=True) == Moved(0, 0)
        scene = crowd(Scene(**OCTO), 2)
        scene.state.pinned_version = "2.3"
        scene.bridges.gone(SECOND_BRIDGE, "left")
        scene.bridges.heard(SECOND_BRIDGE, Stats(version="9", drain=False, stress_level=0.0), None, scene.now)
        made = moves(scene)
        made.move_endpoints(NAME, 1, exclude=True)
        made.settle()
        assert placed(scene) == {"jvb1": ["guest000", "guest001"]}

    def test_who_left_meanwhile(self):
        """The message comes a turn later."""
        scene = crowd(Scene(**OCTO), 3)
        made = moves(scene)
        made.move_endpoints(NAME, 2, exclude=True)
        scene.leave("guest000")
        made.settle()
        assert placed(scene) == {"jvb1": ["guest002"], "jvb2": ["guest001"]}

    def test_unknown_names_and_numbers(self):
        """B-863 R"""
        made = moves(crowd(Scene(**OCTO), 2))
        for wrong in (lambda: made.move_endpoints("jvb9"), lambda: made.move_endpoints(NAME, 1, "no@x.y"),
                      lambda: made.move_fraction("jvb9"), lambda: made.move_endpoint("no@x.y", "guest000"),
                      lambda: made.move_endpoint("standup@conference.meet.example", "guest000", "jvb9")):
            with pytest.raises(NotFound):
                wrong()
        for wrong in (lambda: made.move_endpoints(NAME, 0), lambda: made.move_fraction(NAME, 0.0),
                      lambda: made.move_fraction(NAME, 1.01), lambda: made.move_fraction(NAME, float("nan"))):
            with pytest.raises(ValueError):
                wrong()


class TestRedistribution:
    OPTIONS = Redistribution(True, endpoints=2)

    def hot(self, scene: Scene) -> None:
        scene.bridges.heard(BRIDGE, Stats(stress_level=0.95), None, scene.now)

    def test_endpoints_go(self):
        """B-870: to a bridge that isn't overloaded, and are counted."""
        scene = crowd(Scene(**OCTO), 5)
        made = moves(scene, self.OPTIONS)
        self.hot(scene)
        made.redistribute(True)
        assert not scene.bridges.counters.redistributed  # not yet
        scene.now += 60.0
        made.redistribute(True)
        made.settle()
        assert placed(scene) == {"jvb1": ["guest002", "guest003", "guest004"], "jvb2": ["guest000", "guest001"]}
        assert (scene.bridges.counters.redistributed, scene.bridges.rows[BRIDGE].endpoints_moved) == (2, 2)

    def test_whole_conferences_where_parts_come_back(self):
        """B-872 R: and not to the bridge they come from, which would be their region's (T-15)."""
        big = crowd(Scene(bridges=2), 4)
        small = neighbour(big, 2, bridges=2)
        assert list(placed(small)) == ["jvb1"]
        made = moves(big, self.OPTIONS, small=small)
        big.bridges.heard(BRIDGE, Stats(region="eu"), None, big.now)
        self.hot(big)
        big.now = small.now = big.now + 60.0
        made.redistribute(True)
        made.settle()
        assert placed(big) == {"jvb1": ["guest%03d" % n for n in range(4)]}
        assert placed(small) == {"jvb2": ["guest000", "guest001"]}

    def test_not_without_a_connection(self):
        scene = crowd(Scene(**OCTO), 5)
        made = moves(scene, self.OPTIONS)
        self.hot(scene)
        scene.now += 60.0
        made.redistribute(False)
        assert made.next_at == scene.now + 60.0 and not scene.bridges.counters.redistributed


class TestRebuildLinks:
    """K-539: bridges don't say that a link between them has failed; the operator can have it made again."""

    def linked(self) -> SplitScene:
        scene = SplitScene("ABC")
        scene.bring_in("p1-a", "p2-b", "p3-c")
        scene.check_bridges()
        return scene

    @pytest.mark.parametrize("other, count", [(None, 2), ("B", 1)])
    def test_expired_and_made_again(self, other, count):
        """Both sides expire before either is created; nobody is invited again, and all are known to each as before."""
        scene = self.linked()
        made, links = moves(scene), {link for session in scene.state.bridges.values() for link in session.relays}
        scene.sent.clear()
        assert made.rebuild_links("A", other) == Rebuilt(count, 1)
        scene.mail(*scene.conference.mailbox.take())
        expiries = scene.requests()
        assert len(expiries) == 2 * count and all(el[0][0].get("expire") == "true" for el in expiries)
        scene.settle()
        scene.check_bridges()
        after = {link for session in scene.state.bridges.values() for link in session.relays}
        assert len(links - after) == count and len(after) == 3
        assert all(p.invite <= 3 for p in scene.state.participants.values())

    def test_again_and_again(self):
        """What the operator wants isn't counted among the failures of a link."""
        scene = self.linked()
        made = moves(scene)
        for _ in range(10):
            made.rebuild_links("A", "B")
            made.settle()
        scene.check_bridges()
        assert not scene.state.drops

    def test_where_there_is_nothing(self):
        scene = self.linked()
        made = moves(scene)
        assert made.rebuild_links("A", "A") == Rebuilt(0, 0)
        assert made.rebuild_links("A", conference=scene.state.room) == Rebuilt(2, 1)
        for wrong in (("nobody", None, None), ("A", "nobody", None), ("A", None, "nowhere@conference.meet.example")):
            with pytest.raises(NotFound):
                made.rebuild_links(*wrong)
        scene.announce("D")
        assert made.rebuild_links("D") == Rebuilt(0, 0)
