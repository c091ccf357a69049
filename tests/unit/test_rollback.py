"""A turn that fails is undone, and only the message that caused it is skipped (DESIGN, "Poison"; J-510)."""
from __future__ import annotations

import random
from typing import Any, Callable, Dict, List, Tuple

import pytest

from focus.conference import conference as module
from focus.conference import joining, messages
from focus.conference.conference import Conference
from focus.conference.state import Asker, LaneRow
from focus.conference.turn import Turn
from tests.support.harness import BRIDGE, Scene, condition, content, kinds, source
from tests.unit.test_model import World
from tests.unit.test_model_split import VisitorWorld


class Fault(Exception):
    """Ours, in these tests."""


def rows(scene: Scene) -> Dict[Tuple[str, str], Tuple[int, Any]]:
    """Every row of the conference as it is in memory."""
    ledger = scene.conference.ledger
    assert ledger is not None
    return {(change.kind, change.key): (change.order, change.value) for change in ledger.recounted()}


def everything(scene: Scene) -> Any:
    """Rows, their order in the tables, and what is derived of them."""
    state = scene.state
    return (rows(scene), [list(table.items()) for table in state.rows()],
            [list(session.endpoints) for session in state.bridges.values()], dict(state.sids),
            dict(state.sources._ssrc_owner), dict(state.sources._msid_owner))


@pytest.fixture
def scene():
    made = Scene()
    made.bring_in("anna", "bo", "carl")
    assert made.sent == []
    return made


def fails_after(monkeypatch: Any, kind: type, guilty: Callable[[Any], bool],
                more: Callable[[Turn], None] = lambda turn: None) -> List[Any]:
    """Messages of a kind do all their work, and more, and then raise; returns a list of them."""
    failed: List[Any] = []
    original = module.HANDLERS[kind]

    def handle(turn: Turn, message: Any) -> None:
        original(turn, message)
        if guilty(message):
            more(turn)
            failed.append(message)
            raise Fault("on purpose")

    monkeypatch.setitem(module.HANDLERS, kind, handle)
    return failed


def havoc(turn: Turn) -> None:
    """Changes of every kind, in every table, and output."""
    state = turn.state
    state.participants["anna"].phase = "ended"
    state.participants["bo"].restarts = (1.0, 2.0)
    del state.members["bo"]
    state.members["carl"] = state.members.pop("carl")
    session = state.bridges[BRIDGE]
    session.endpoints.pop("anna")
    session.endpoints["bo"].send_sources = True
    session.expired = ("anna", "bo")
    session.expiring["x"] = 5.0
    session.touch()
    state.sources.drop("carl")
    state.log.note("carl", state.sources.get("anna"), state.sources.get("bo"))
    state.askers["99"] = Asker("client", "id", "to", "from", 1.0)
    state.lanes["lane"] = LaneRow("lane", "join", {"room": "x"})
    state.published.properties = {"a": "b"}
    state.present["nobody"] = "<presence/>"
    state.sids.clear()
    state.timers["flush"] = 1.0
    state.touch()
    state.requests.clear()
    state.phase = "joining"
    turn.request("terminate", "room/anna", "set", "<havoc/>")
    turn.send("<message><havoc/></message>")
    turn.lane("join", room="elsewhere")
    turn.dirty_bridges.add(BRIDGE)
    del state.bridges[BRIDGE]


def is_bad(message: Any) -> bool:
    return bool(message.iq.id == "bad")


def source_add(scene: Scene, nick: str, ssrc: int, iq_id: str) -> messages.JingleReceived:
    return scene.jingle(nick, "source-add", content("audio", source(nick, "a", ssrc, ssrc)), iq_id=iq_id)


def test_nothing_of_it_stays(scene, monkeypatch):
    """State, order and indexes are what they were; nothing left but the answer."""
    before, deadlines, wake_at = everything(scene), dict(scene.deadlines), scene.wake_at
    failed = fails_after(monkeypatch, messages.JingleReceived, is_bad, havoc)
    scene.mail(source_add(scene, "anna", 777, "bad"))
    assert len(failed) == 2, "tried once with the others and once alone"
    assert everything(scene) == before
    assert scene.deadlines == deadlines and scene.wake_at == wake_at and scene.lanes == []
    (answer,) = scene.take()
    assert answer.get("id") == "bad" and answer.get("type") == "error"
    assert condition(answer) == "internal-server-error"


def test_it_goes_on(scene, monkeypatch):
    """After the failure everything works as if it had never been."""
    failed = fails_after(monkeypatch, messages.JingleReceived, is_bad, havoc)
    scene.mail(source_add(scene, "anna", 777, "bad")).take()
    scene.mail(source_add(scene, "anna", 777, "good"))
    assert "result" in kinds(scene.one(to=scene.state.members["anna"].jid))
    assert scene.state.sources.owner_of(777) == "anna"
    assert {update.get("to") for update in scene.take("source-add")} == {
        scene.state.members[nick].jid for nick in ("bo", "carl")}
    scene.settle().bring_in("dora")
    assert scene.state.participants["dora"].phase == "active" and len(failed) == 2


def test_the_others_of_the_same_turn(scene, monkeypatch):
    """A join and a request before it, a leave and a request after it: each has its effect, once."""
    failed = fails_after(monkeypatch, messages.JingleReceived, is_bad, havoc)
    scene.mail(scene.presence("dora"), source_add(scene, "anna", 701, "one"), source_add(scene, "bo", 702, "bad"),
               scene.presence("carl", type="unavailable", role="none"), source_add(scene, "anna", 703, "two"))
    assert len(failed) == 2
    assert list(scene.state.members) == ["anna", "bo", "dora"] and "carl" not in scene.state.participants
    owners = [scene.state.sources.owner_of(ssrc) for ssrc in (701, 702, 703)]
    assert owners == ["anna", None, "anna"]
    answers = {el.get("id"): el.get("type") for el in scene.sent if el.get("type") in ("result", "error")}
    assert answers == {"one": "result", "two": "result", "bad": "error"}
    told = [el for el in scene.sent if "havoc" in str(kinds(el))]
    assert told == []
    scene.settle()
    assert {nick: p.phase for nick, p in scene.state.participants.items()} == {
        "anna": "active", "bo": "active", "dora": "offered"}


@pytest.mark.parametrize("place", [0, 1, 2])
def test_wherever_it_stands(scene, monkeypatch, place):
    fails_after(monkeypatch, messages.JingleReceived, is_bad, havoc)
    mail = [source_add(scene, "anna", 701, "one"), source_add(scene, "anna", 702, "two")]
    mail.insert(place, source_add(scene, "bo", 703, "bad"))
    scene.mail(*mail)
    assert [scene.state.sources.owner_of(ssrc) for ssrc in (701, 702, 703)] == ["anna", "anna", None]
    answers = [(el.get("id"), el.get("type")) for el in scene.sent if el.get("type") in ("result", "error")]
    assert sorted(answers) == [("bad", "error"), ("one", "result"), ("two", "result")]


def test_two_that_fail(scene, monkeypatch):
    failed = fails_after(monkeypatch, messages.JingleReceived, lambda m: m.iq.id.startswith("bad"), havoc)
    scene.mail(source_add(scene, "bo", 703, "bad1"), source_add(scene, "anna", 701, "good"),
               source_add(scene, "carl", 704, "bad2"))
    assert [message.iq.id for message in failed] == ["bad1", "bad1", "bad2"]
    answers = {el.get("id"): el.get("type") for el in scene.sent if el.get("type") in ("result", "error")}
    assert answers == {"bad1": "error", "bad2": "error", "good": "result"}


@pytest.mark.parametrize("kind, make", [
    (messages.RoomPresence, lambda scene: scene.presence("anna", type="unavailable", role="none")),
    (messages.RoomPresence, lambda scene: scene.presence("erik")),
    (messages.BridgeLost, lambda scene: messages.BridgeLost(BRIDGE, "gone")),
    (messages.Stop, lambda scene: messages.Stop("on purpose")),
    (messages.ConnectionBack, lambda scene: messages.ConnectionBack(False, 3.0)),
    (messages.Wake, lambda scene: messages.Wake()),
])
def test_what_nobody_is_answered(scene, monkeypatch, kind, make):
    """A presence, a bridge, the end, a reconnect: skipped without a word (never an error to a room)."""
    before = everything(scene)
    fails_after(monkeypatch, kind, lambda message: True)
    scene.mail(make(scene))
    assert everything(scene) == before and scene.sent == [] and scene.lanes == [] and not scene.ended


def test_an_asker_is_answered(monkeypatch):
    """The first request, whose conference isn't even joined, by whichever connection it came."""
    for connection, sender in (("client", None), ("component", "focus.meet.example")):
        scene = Scene(join=False)
        with monkeypatch.context() as patch:
            fails_after(patch, messages.Asked, lambda message: True)
            scene.ask(connection=connection)
        answer = scene.one("refusal")
        assert scene.connections[-1] == connection and answer.get("from") == sender
        assert condition(answer) == "internal-server-error" and not scene.state.askers


def test_a_lane_whose_end_fails(monkeypatch):
    """The join came to its end and the turn about it failed: the lane's row is still there, so it isn't forgotten."""
    scene = Scene(join=False)
    before = rows(scene)
    (lane,) = scene.lanes
    fails_after(monkeypatch, messages.LaneDone, lambda message: True)
    scene.mail(messages.LaneDone(lane.id, joining.JoinOutcome(error="forbidden")))
    assert rows(scene) == before and lane.id in scene.state.lanes


def test_settling_fails(scene, monkeypatch):
    """No message is guilty by itself: each is skipped that can't be settled, and the state stays as it was."""
    before = everything(scene)

    def fault(turn: Turn) -> None:
        havoc(turn)
        raise Fault("while settling")

    with monkeypatch.context() as patch:
        patch.setattr(module, "SETTLE", (*module.SETTLE, fault))
        scene.mail(source_add(scene, "anna", 701, "one"), scene.presence("dora"))
        assert everything(scene) == before
        assert [(el.get("id"), condition(el)) for el in scene.take()] == [("one", "internal-server-error")]
    scene.bring_in("dora")
    assert scene.state.participants["dora"].phase == "active"


def test_it_is_logged(scene, monkeypatch, caplog):
    fails_after(monkeypatch, messages.JingleReceived, is_bad)
    scene.mail(source_add(scene, "anna", 777, "bad"))
    assert caplog.text.count("A turn of the conference failed") == 2 and "on purpose" in caplog.text


def test_after_a_restart_too(scene, monkeypatch):
    """The rows of an earlier process are put back as well."""
    scene.restart()
    before = everything(scene)
    fails_after(monkeypatch, messages.JingleReceived, is_bad, havoc)
    scene.mail(source_add(scene, "anna", 777, "bad"))
    assert everything(scene) == before


def test_the_load_of_the_bridges(scene, monkeypatch):
    """What the failed turn has placed on a bridge isn't there."""
    def counts() -> List[Tuple[int, int]]:
        return [(bridge.endpoints, bridge.conferences) for bridge in scene.bridges]

    before = counts()
    fails_after(monkeypatch, messages.RoomPresence, lambda message: True)
    scene.join("dora")
    assert "dora" not in scene.state.members and counts() == before


# --- under load -----------------------------------------------------------------------------------------------------

class Failing:
    """One turn in ten, if it has more than one message, does all its work and then raises: it is done one by one."""

    def __init__(self) -> None:
        self.rng = random.Random(0)
        self.active = True
        self.failures = 0

    def may_fail(self, mail: List[Any]) -> None:
        if self.active and len(mail) > 1 and self.rng.random() < 0.1:
            self.failures += 1
            raise Fault("on purpose")


@pytest.fixture
def failing(monkeypatch):
    made = Failing()
    original, attempt = Conference._handle_all, Conference._attempt

    def handle_all(self: Any, turn: Turn, mail: List[Any]) -> None:
        original(self, turn, mail)
        made.may_fail(mail)

    def checked(self: Any, mail: List[Any]) -> bool:
        stood = attempt(self, mail)
        assert stood or len(mail) > 1, "a turn over one message failed"
        return stood

    monkeypatch.setattr(Conference, "_handle_all", handle_all)
    monkeypatch.setattr(Conference, "_attempt", checked)
    return made


def count_again(scene: Scene) -> None:
    """See `test_the_load_of_the_bridges`: the pool's counts are made from the conference, as after a restart."""
    for bridge in scene.bridges:
        session = scene.state.bridges.get(bridge.jid)
        bridge.conferences = int(session is not None)
        bridge.endpoints = len(session.endpoints) if session is not None else 0


@pytest.mark.parametrize("kind", [World, VisitorWorld], ids=["one bridge", "several bridges"])
@pytest.mark.parametrize("stormy", [False, True], ids=["calm", "stormy"])
@pytest.mark.parametrize("seed", range(12))
def test_random_events(seed, stormy, kind, failing):
    """The rules of the model hold although turns fail and are handled message by message."""
    failing.rng.seed(seed)
    world = kind(seed, stormy)
    if not world.go_on():
        return
    assert failing.failures
    failing.active = False
    count_again(world.scene)
    world.finish()
