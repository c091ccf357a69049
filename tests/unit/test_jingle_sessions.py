"""What goes beyond one Jingle request: restarts and their limits, delays, clients that answer late, twice or never.

The answers and effects of single requests are in ``test_jingle_actions``.
"""
from __future__ import annotations

import re
from typing import Any, List, Tuple

import pytest
from lxml import etree

from focus.conference import messages
from focus.conference.offer import Features
from tests.support import media
from tests.support.harness import (
    BRIDGE,
    CLIENT_FEATURES,
    CLIENT_TRANSPORT,
    JINGLE,
    ROOM,
    Scene,
    Stats,
    accept_contents,
    colibri_error,
    content,
    source,
    told,
    xml,
)
from tests.support.jingle_answers import (
    ANNA,
    BO,
    CARLA,
    FOCUS_NS,
    GONE,
    LIMIT,
    OK,
    OUT_OF_ORDER,
    WRONG_BRIDGE,
    Shape,
    ask,
    bridge_session,
    shape,
    sid_of,
    to_client,
    to_the_bridge,
)

DAN = "dan00004"
FAILED = "<ice-state xmlns='%s'>failed</ice-state>" % FOCUS_NS


def accept(scene: Scene, nick: str = ANNA, number: int = 7) -> Shape:
    return shape(ask(scene, sid_of(scene, nick), "session-accept", accept_contents(nick, number), nick=nick))


def request_restart(scene: Scene, nick: str = ANNA) -> Shape:
    return shape(ask(scene, sid_of(scene, nick), "session-terminate", "<reason><connectivity-error/></reason>" +
                     bridge_session(scene, "restart='true'", nick), nick=nick))


def lose_bridge(scene: Scene, jid: str = BRIDGE) -> None:
    scene.mail(*[messages.BridgeLost(event.bridge, event.reason) for event in scene.bridges.gone(jid, "gone")])


def has_bridge(scene: Scene, jid: str = BRIDGE) -> None:
    scene.bridges.heard(jid, Stats(stress_level=0.0, drain=False, version="2.3"), None, scene.now)
    scene.mail(messages.BridgeUsable(jid))


def answer_all(scene: Scene) -> None:
    """Whatever a bridge has been asked is answered, until it isn't asked any more; clients are left alone."""
    for _ in range(9):
        requests = scene.take("conference-modify")
        if requests:
            scene.mail(*[scene.proper_answer(request) for request in requests])


class TestRestart:
    def test_one(self) -> None:
        """J-554, J-103, J-814, section 1.4: no session-terminate; a new sid, the same bridge session, new sources."""
        scene = Scene().bring_in(ANNA, BO, CARLA)
        old, bridge = sid_of(scene), scene.state.participants[ANNA].bridge_session
        assert request_restart(scene) == OK
        gone = to_client(scene, BO, answers=True)
        assert len(gone) == 1 and gone[0].startswith("source-remove anna:")
        answer_all(scene)
        offer = scene.one(to=ROOM + "/" + ANNA)
        assert offer[0].get("action") == "session-initiate" and offer[0].get("sid") == sid_of(scene) != old
        assert offer.find(".//{%s}bridge-session" % FOCUS_NS).get("id") == bridge
        assert set(told(offer)) == {BO, CARLA, "jvb"}
        scene.settle()
        assert accept(scene, ANNA, 70) == OK
        assert to_client(scene, BO) == ["source-add anna:70000000,70000001"]

    @pytest.mark.parametrize("pauses, expected", [
        ([0.0], [LIMIT]),
        ([4.99], [LIMIT]),
        ([5.0], [OK]),
        ([5.0] * 4, [OK] * 4),
        ([5.0] * 5, [OK] * 4 + [LIMIT]),
        ([5.0] * 4 + [39.99], [OK] * 4 + [LIMIT]),
        ([5.0] * 4 + [40.0], [OK] * 5),
        ([5.0] * 4 + [40.0, 5.0], [OK] * 6),
        ([15.0] * 12, [OK] * 12),
    ])
    def test_budget(self, pauses: List[float], expected: List[Shape]) -> None:
        """J-556: five in a sliding minute, five seconds between two; it outlasts the sessions."""
        scene = Scene().bring_in(ANNA, BO, CARLA)
        assert request_restart(scene) == OK
        found = []
        for pause in pauses:
            scene.settle().pass_time(pause)
            found.append(request_restart(scene))
        assert found == expected

    @pytest.mark.parametrize("wrong", ["", "id='x' restart='true'"])
    def test_only_accepted_requests_count(self, wrong: str) -> None:
        """J-556, J-552: a wrong id, or no restart wished: nothing of the budget is used up."""
        scene = Scene().bring_in(ANNA, BO, CARLA)
        assert request_restart(scene) == OK
        scene.settle()
        for _ in range(3):
            scene.pass_time(1.5)
            element = "<bridge-session xmlns='%s' %s/>" % (FOCUS_NS, wrong)
            assert shape(ask(scene, sid_of(scene), "session-terminate", element)) == WRONG_BRIDGE
        scene.pass_time(0.5)
        assert request_restart(scene) == OK

    def test_everybody_has_a_budget(self) -> None:
        """J-556: of one's own; and a new one after a rejoin."""
        scene = Scene().bring_in(ANNA, BO, CARLA)
        for nick in (ANNA, BO):
            assert request_restart(scene, nick) == OK
            scene.settle()
        scene.leave(ANNA).settle()
        scene.pass_time(2.1).bring_in(ANNA)
        assert request_restart(scene) == OK

    def test_a_refused_one_leaves_nothing(self) -> None:
        """J-555, T-22: sources, endpoint and session are gone, no new offer comes; a rejoin heals it."""
        scene = Scene().bring_in(ANNA, BO, CARLA)
        assert request_restart(scene) == OK
        scene.settle().mail(scene.accept(ANNA, 70)).settle()
        assert request_restart(scene) == LIMIT
        assert to_client(scene, BO) == ["source-remove anna:70000000,70000001"]
        assert to_the_bridge(scene) == ["anna0001 expire"]
        scene.pass_time(120)
        assert not scene.take("session-initiate") and not scene.state.sources.get(ANNA)
        scene.settle().leave(ANNA).settle().join(ANNA)
        answer_all(scene)
        assert scene.take("session-initiate")

    def test_one_who_ended_it_gets_no_new_one(self) -> None:
        """J-553: nor when a bridge goes and comes; it does when it joins again."""
        scene = Scene().bring_in(ANNA, BO, CARLA)
        assert shape(ask(scene, sid_of(scene), "session-terminate", bridge_session(scene))) == OK
        scene.settle().pass_time(60)
        lose_bridge(scene)
        has_bridge(scene)
        answer_all(scene)
        assert {offer.get("to") for offer in scene.take("session-initiate")} == {ROOM + "/" + BO, ROOM + "/" + CARLA}
        scene.settle().leave(ANNA).settle().join(ANNA)
        answer_all(scene)
        assert scene.one("session-initiate").get("to") == ROOM + "/" + ANNA

    def test_reports_of_failed_ice_are_limited_too(self) -> None:
        """J-542, J-556: always answered; no more new sessions than by asking for them, and those count together."""
        scene = Scene().bring_in(ANNA, BO, CARLA)
        moved = []
        for pause in (0.0, 1.0, 4.0, 5.0, 5.0, 5.0, 5.0):
            scene.pass_time(pause)
            old = sid_of(scene)
            assert shape(ask(scene, old, "session-info", FAILED + bridge_session(scene))) == OK
            scene.settle()
            moved.append(sid_of(scene) != old)
        assert moved == [True, False, True, True, True, True, False]


class TestBridgeSessions:
    def test_one_id_for_all_on_a_bridge(self) -> None:
        """J-303, J-304, J-105: the same for all; another one when the bridge is used again; no region, no attribute."""
        scene = Scene(bridges=0)
        scene.bridges.heard(BRIDGE, Stats(stress_level=0.0, drain=False, version="2.3", region="eu1"), None, scene.now)
        scene.join(ANNA, BO)
        answer_all(scene)
        offers = scene.take("session-initiate")
        assert len(offers) == 2 == len({offer[0].get("sid") for offer in offers})
        assert all(re.fullmatch("[0-9a-v]{1,13}", offer[0].get("sid")) for offer in offers)
        first = [next(offer.iter("{%s}bridge-session" % FOCUS_NS)) for offer in offers]
        ids = {el.get("id") for el in first}
        assert len(ids) == 1 and [el.get("region") for el in first] == ["eu1", "eu1"]
        lose_bridge(scene)
        has_bridge(scene)
        answer_all(scene)
        second = [next(offer.iter("{%s}bridge-session" % FOCUS_NS)) for offer in scene.take("session-initiate")]
        assert len(second) == 2 and len({el.get("id") for el in second}) == 1
        assert second[0].get("id") not in ids and "region" not in second[0].attrib

    def test_the_last_one_told_counts(self) -> None:
        """T-21, J-552: not the one before a move, and not that which a participant on its way is going to get."""
        scene = Scene().bring_in(ANNA, BO)
        old = bridge_session(scene, "restart='true'")
        lose_bridge(scene)
        has_bridge(scene)
        scene.settle()
        assert shape(ask(scene, sid_of(scene), "session-terminate", old)) == WRONG_BRIDGE
        assert shape(ask(scene, sid_of(scene), "session-info", FAILED + old)) == OK
        assert not scene.take("session-terminate")
        assert request_restart(scene) == OK

    def test_all_are_told_to_go_before_anybody_is_told_of_sources(self) -> None:
        """J-811, J-813, J-128, T-25: who is moved hears one thing, and nothing of the others who are moved too."""
        scene = Scene().bring_in(ANNA, BO, CARLA)
        lose_bridge(scene)
        for nick in (ANNA, BO, CARLA):
            assert to_client(scene, nick) == ["session-terminate success moving"]
        has_bridge(scene)
        answer_all(scene)
        for offer in scene.take("session-initiate"):
            assert set(told(offer)) == {"jvb"}


class TestLateAndTwice:
    def offered(self) -> Tuple[Scene, Any]:
        """Anna's offer is on its way, bo is in."""
        scene = Scene().bring_in(BO, CARLA)
        scene.join(ANNA)
        answer_all(scene)
        return scene, scene.one("session-initiate")

    def test_fast_clients(self) -> None:
        """J-107: transport and accept come before the result of the offer; that changes nothing any more."""
        scene, offer = self.offered()
        transport = "<content name='0'>%s</content>" % CLIENT_TRANSPORT
        assert shape(ask(scene, sid_of(scene), "transport-info", transport)) == OK
        assert accept(scene) == OK
        scene.mail(scene.answer(offer)).settle()
        assert scene.state.participants[ANNA].phase == "active"

    def test_an_answer_counts_once(self) -> None:
        """J-371, K-484: an error after the result, or after nothing had come for long, is nothing any more."""
        for first in ("result", None):
            scene, offer = self.offered()
            scene.mail(scene.answer(offer) if first else scene.timeout(offer))
            scene.mail(scene.answer(offer, colibri_error("service-unavailable"), "error"))
            assert not scene.take("session-terminate") and scene.state.participants[ANNA].phase == "offered"
            assert accept(scene) == OK

    def test_no_answer_ever(self) -> None:
        """J-112, J-372: neither to the offer nor an accept: it waits as long as it likes, others don't."""
        scene, offer = self.offered()
        scene.mail(scene.timeout(offer)).pass_time(3600)
        assert scene.state.participants[ANNA].phase == "offered" and not scene.take(to=ROOM + "/" + ANNA)
        scene.sent.clear()
        new = content("video", source(BO, "v", 41, 1))
        assert shape(ask(scene, sid_of(scene, BO), "source-add", new, nick=BO)) == OK
        assert to_client(scene, CARLA) == ["source-add bo00:41"] and not to_client(scene, ANNA)
        assert accept(scene) == OK
        assert to_client(scene, ANNA) == ["source-add bo00:41"]

    def test_a_refusal_of_an_old_offer_harms_no_new_one(self) -> None:
        """J-373, K-134: the participant has another session meanwhile, or is another one."""
        for rejoins in (False, True):
            scene, offer = self.offered()
            if rejoins:
                scene.leave(ANNA).settle().pass_time(2.1).bring_in(ANNA, accept=False)
            else:
                lose_bridge(scene)
                has_bridge(scene)
            scene.settle().mail(scene.answer(offer, colibri_error("item-not-found"), "error"))
            assert scene.state.participants[ANNA].phase == "offered" and not scene.take("session-terminate")

    def test_a_refused_offer(self) -> None:
        """J-373, J-128: terminated, its sources and endpoint gone, no retry; a rejoin heals it."""
        scene, offer = self.offered()
        ask(scene, sid_of(scene), "source-add", content("video", source(ANNA, "v", 41, 1)))
        scene.settle().mail(scene.answer(offer, colibri_error("not-acceptable"), "error"))
        assert to_client(scene, ANNA) == ["session-terminate general-error jingle session failed"]
        assert to_client(scene, BO) == ["source-remove anna:41"] and to_the_bridge(scene) == ["anna0001 expire"]
        scene.settle().pass_time(300)
        assert not scene.take("session-initiate") and ANNA in scene.state.members
        scene.settle().leave(ANNA).settle().join(ANNA)
        answer_all(scene)
        assert scene.take("session-initiate")

    def test_two_accepts_in_one_turn(self) -> None:
        """J-527, J-109, T-27: the first counts, whatever the second says; both are answered, in order."""
        scene, _ = self.offered()
        scene.mail(scene.jingle(ANNA, "session-accept", accept_contents(ANNA, 7), iq_id="one"),
                   scene.jingle(ANNA, "session-accept", accept_contents(ANNA, 8), iq_id="two"))
        answers = [el for el in scene.sent if el.get("id") in ("one", "two")]
        assert [(el.get("id"), shape(el)) for el in answers] == [("one", OK), ("two", OUT_OF_ORDER)]
        scene.sent = [el for el in scene.sent if el not in answers]
        assert to_client(scene, BO) == ["source-add anna:7000000,7000001"]

    def test_an_accept_that_crosses_the_end(self) -> None:
        """J-115, J-504: it was ended for a move while the accept was on its way; the new offer isn't touched by it."""
        scene, _ = self.offered()
        old = sid_of(scene)
        lose_bridge(scene)
        assert shape(ask(scene, old, "session-accept", accept_contents(ANNA, 7))) == GONE
        assert not scene.state.sources.get(ANNA)
        has_bridge(scene)
        scene.settle()
        assert shape(ask(scene, old, "session-accept", accept_contents(ANNA, 7))) == GONE
        assert accept(scene) == OK


def test_the_last_one_and_a_rejoin() -> None:
    """J-126: the one left is told after 20 s, and nobody of sources; with the next one both are invited anew."""
    scene = Scene().bring_in(ANNA, BO)
    old = sid_of(scene)
    scene.leave(BO).settle().pass_time(19.9)
    assert not scene.take("session-terminate")
    scene.pass_time(0.2)
    assert to_client(scene, ANNA) == ["session-terminate expired Idle session timeout"]
    assert scene.one("conference-modify")[0].get("expire") == "true"
    assert not scene.state.sources and not scene.state.bridges
    scene.settle().pass_time(3).join(BO)
    answer_all(scene)
    offers = {offer.get("to"): offer for offer in scene.take("session-initiate")}
    assert set(offers) == {ROOM + "/" + ANNA, ROOM + "/" + BO} and offers[ROOM + "/" + ANNA][0].get("sid") != old
    assert all(set(told(offer)) == {"jvb"} for offer in offers.values())
    for nick, number in ((ANNA, 7), (BO, 8)):
        assert accept(scene, nick, number) == OK


class TestDelays:
    def change(self, scene: Scene, ssrc: int, action: str = "source-add", nick: str = BO, index: int = 1) -> None:
        inside = content("video", source(nick, "v", ssrc, index))
        assert shape(ask(scene, sid_of(scene, nick), action, inside, nick=nick)) == OK

    @pytest.mark.parametrize("others, delay", [(1, 0.0), (2, 0.1), (3, 0.1), (4, 0.4), (6, 0.4)])
    def test_by_size(self, others: int, delay: float) -> None:
        """J-713: the value of the largest key that isn't more than the number of participants; no key, no delay."""
        scene = Scene(source_signaling_delays="3: 100 ms, 5: 400 ms")
        scene.bring_in(ANNA, BO, *["c%07d" % n for n in range(others - 1)]).pass_time(5).settle()
        self.change(scene, 41)
        if delay:
            assert not to_client(scene, ANNA)
            scene.pass_time(delay - 0.01)
            assert not to_client(scene, ANNA)
            scene.pass_time(0.02)
        assert to_client(scene, ANNA) == ["source-add bo00:41"]

    def test_who_has_ended_its_session_is_no_participant(self) -> None:
        """J-553, J-713: it isn't counted any more."""
        scene = Scene(source_signaling_delays="3: 500 ms").bring_in(ANNA, BO, CARLA).pass_time(5).settle()
        assert shape(ask(scene, sid_of(scene, CARLA), "session-terminate", "", nick=CARLA)) == OK
        scene.settle().pass_time(5).settle()
        self.change(scene, 41)
        assert to_client(scene, ANNA) == ["source-add bo00:41"]

    def calm(self) -> Scene:
        return Scene(source_signaling_delays="2: 500 ms").bring_in(ANNA, BO).pass_time(5).settle()

    def test_what_comes_and_goes_within_it(self) -> None:
        """J-715: nothing is sent at all."""
        scene = self.calm()
        self.change(scene, 41)
        scene.pass_time(0.2)
        self.change(scene, 41, "source-remove")
        scene.pass_time(5)
        assert not to_client(scene, ANNA)

    def test_what_is_replaced_within_it(self) -> None:
        """J-716, T-14: one removal, then one addition, however often it was replaced."""
        scene = self.calm()
        self.change(scene, 41)
        scene.pass_time(0.6)
        assert to_client(scene, ANNA) == ["source-add bo00:41"]
        scene.pass_time(2)
        for old, new in ((41, 42), (42, 43)):
            self.change(scene, old, "source-remove")
            self.change(scene, new)
        scene.pass_time(0.6)
        assert to_client(scene, ANNA) == ["source-remove bo00:41", "source-add bo00:43"]

    @pytest.mark.parametrize("wake_first", [True, False])
    def test_no_change_puts_it_off(self, wake_first: bool) -> None:
        """J-714: not even one that is handled in the turn in which the update is due, or a little late."""
        scene = self.calm()
        self.change(scene, 41)
        scene.now += 0.52
        change = scene.jingle(BO, "source-add", content("video", source(BO, "v", 42, 2)))
        scene.mail(*([messages.Wake(), change] if wake_first else [change, messages.Wake()]))
        scene.take("result")
        assert to_client(scene, ANNA) == ["source-add bo00:41,42"]

    def test_an_accept_waits_for_none(self) -> None:
        """J-521, J-717: what gathered goes with it at once, as one."""
        scene = Scene(source_signaling_delays="2: 500 ms").bring_in(BO, CARLA).pass_time(5).settle()
        scene.join(ANNA)
        answer_all(scene)
        scene.settle()
        self.change(scene, 41)
        self.change(scene, 43, nick=CARLA)
        assert accept(scene) == OK
        assert to_client(scene, ANNA) == ["source-add bo00:41 carl:43"]


def test_rewriting_is_decided_once() -> None:
    """J-721, J-923, J-925, J-362: its own sources are told to others, nothing to it; switched off, it is as others."""
    rewriting = CLIENT_FEATURES._replace(ssrc_rewriting=True)
    for switch, hears in (("true", []), ("false", ["source-add bo00:8000000,8000001"])):
        scene = Scene(features=rewriting, use_ssrc_rewriting=switch).join(ANNA, BO)
        answer_all(scene)
        scene.settle()
        for nick, number in ((ANNA, 7), (BO, 8)):
            assert accept(scene, nick, number) == OK
            assert "ssrc=\"%d000000\"" % number in xml(scene.one("conference-modify"))
        assert to_client(scene, ANNA) == hears


def test_a_client_without_video() -> None:
    """J-302, J-341, J-731, T-8: one content, one name in the group, and no video source, not even the bridge's."""
    scene = Scene(features=Features(audio=True, json_sources=True)).bring_in(BO, CARLA)
    scene.mail(scene.jingle(BO, "source-add", content("video", source(BO, "v", 41, 1)))).settle()
    scene.join(ANNA)
    answer_all(scene)
    offer = scene.one("session-initiate")
    assert [el.get("name") for el in offer[0].findall("{%s}content" % JINGLE)] == ["audio"]
    assert [el.get("name") for el in offer.find(".//{urn:xmpp:jingle:apps:grouping:0}group")] == ["audio"]
    others = media.read_sources(etree.tostring(offer), lambda: offer)
    assert set(others) == {BO, CARLA, "jvb"}
    assert {one.media for sources in others.values() for one in sources.sources} == {"audio"}
