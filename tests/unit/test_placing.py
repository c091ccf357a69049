"""Where a conference's participants go: one bridge, a second one beside it, or all to another (B-6.2, B-606)."""
from __future__ import annotations

import logging
from typing import Any, Dict

import pytest

from focus.bridge.choice.rules import Rules
from focus.bridge.pool import Bridges
from focus.conference import messages, placing
from focus.conference.conference import HANDLERS
from focus.conference.turn import Turn
from tests.support.harness import BRIDGE, SECOND_BRIDGE, Scene, Stats, endpoint_of

OCTO: Dict[str, Any] = dict(octo_enabled="true", selection_strategy="region-based")
PEOPLE = ("anna0001", "bo000002")


def placed(scene):
    """Nickname of the bridge to the endpoints on it."""
    return {jid.partition("/")[2]: list(session.endpoints) for jid, session in scene.state.bridges.items()}


def asked(scene, bridge):
    """Endpoints that are asked for on a bridge; '-' for its expired conference."""
    return [endpoint_of(request).get("id") if endpoint_of(request) is not None else "-"
            for request in scene.take("conference-modify", bridge)]


def region(name):
    return "<jitsi_participant_region>%s</jitsi_participant_region>" % name


class TestOneBridge:
    def test_all_move_when_it_cannot_be_used(self):
        """F16, B-606 R: with octo off a newcomer takes the whole conference with it."""
        scene = Scene(bridges=2, selection_strategy="region-based").bring_in(*PEOPLE)
        scene.bridges.failed(BRIDGE, "test", scene.now)
        scene.join("carla003")
        assert placed(scene) == {"jvb2": ["carla003", *PEOPLE]}
        assert asked(scene, BRIDGE) == ["-"]
        assert len(scene.take("session-terminate")) == 2
        assert scene.bridges.counters.participants_moved == 2

    def test_load_does_not_split(self):
        """B-505"""
        scene = Scene(bridges=2, selection_strategy="region-based", max_bridge_participants=1).bring_in(*PEOPLE)
        assert placed(scene) == {"jvb1": list(PEOPLE)}


class TestTwoBridges:
    def test_the_others_stay(self):
        """B-510, B-606: a second session beside the first."""
        scene = Scene(bridges=2, max_bridge_participants=2, **OCTO).bring_in(*PEOPLE, "carla003")
        assert placed(scene) == {"jvb1": list(PEOPLE), "jvb2": ["carla003"]}
        assert all(p.phase == "active" for p in scene.state.participants.values())

    def test_beside_a_failed_one(self):
        """T-12: who is there stays until something of its own fails."""
        scene = Scene(bridges=2, **OCTO).bring_in(*PEOPLE)
        scene.bridges.failed(BRIDGE, "test", scene.now)
        scene.join("carla003")
        assert placed(scene) == {"jvb1": list(PEOPLE), "jvb2": ["carla003"]}
        assert not scene.take("session-terminate")

    def test_to_the_newest_version(self):
        """T-14 R, U-23: no bridge of the version is left, so all move; nobody is refused."""
        scene = Scene(bridges=1, **OCTO).bring_in(*PEOPLE)
        scene.bridges.heard(SECOND_BRIDGE, Stats(stress_level=0.5, drain=False, version="2.4", relay_id="r2"), None,
                            scene.now)
        scene.join("carla003").settle()
        assert placed(scene) == {"jvb1": [*PEOPLE, "carla003"]}
        scene.bridges.heard(BRIDGE, Stats(shutting_down=True), None, scene.now)
        scene.join("dan00004")
        assert placed(scene) == {"jvb2": ["dan00004", *PEOPLE, "carla003"]}
        assert scene.bridges.counters.participants_moved == 3

    def test_mixed_versions(self):
        """F14, B-923"""
        scene = Scene(bridges=1, octo_allow_mixed_versions="true", max_bridge_participants=2, **OCTO).bring_in(*PEOPLE)
        scene.bridges.heard(SECOND_BRIDGE, Stats(stress_level=0.5, drain=False, version="2.4", relay_id="r2"), None,
                            scene.now)
        scene.join("carla003")
        assert placed(scene) == {"jvb1": list(PEOPLE), "jvb2": ["carla003"]}

    def test_region_of_the_presence(self):
        """B-529"""
        scene = Scene(bridges=2, **OCTO)
        scene.bridges.heard(SECOND_BRIDGE, Stats(region="eu"), None, scene.now)
        scene.bridges.heard(BRIDGE, Stats(region="us"), None, scene.now)
        scene.mail(scene.presence("anna0001", extra=region("us")), scene.presence("bo000002", extra=region("eu")))
        assert placed(scene) == {"jvb1": ["anna0001"], "jvb2": ["bo000002"]}

    def test_participants_per_interval(self):
        """B-502, B-511, B-528: counted for a minute, whoever has left meanwhile."""
        scene = Scene(bridges=2, max_bridge_participants_per_interval=2, **OCTO).bring_in(*PEOPLE)
        scene.leave("bo000002").settle()
        scene.join("carla003").settle()
        assert placed(scene) == {"jvb1": ["anna0001"], "jvb2": ["carla003"]}
        assert scene.bridges.counters.rate_limited == 1
        scene.leave("carla003").settle()
        scene.pass_time(60.1)
        scene.join("dan00004").settle()
        assert placed(scene) == {"jvb1": ["anna0001", "dan00004"]}

    def test_an_endpoint_is_never_on_two(self):
        """T-18: released on the one before it is asked for on the other."""
        scene = Scene(bridges=2, **OCTO).bring_in(*PEOPLE)
        turn = Turn(scene.state, scene.around, logging.getLogger())
        placing.bridge_session.allocate(turn, SECOND_BRIDGE, scene.state.participants["anna0001"])
        assert placed(scene) == {"jvb1": ["bo000002"], "jvb2": ["anna0001"]}


    def test_after_a_restart(self):
        """What the journal doesn't hold is made anew: how many came of late."""
        scene = Scene(bridges=2, max_bridge_participants_per_interval=2, **OCTO).bring_in(*PEOPLE).restart()
        scene.join("carla003").settle()
        assert placed(scene) == {"jvb1": [*PEOPLE, "carla003"]}

    def test_a_turn_that_fails_moves_nobody(self, monkeypatch):
        """B-305, J-510: who was moved in it is where it was, and so are the counts of both bridges."""
        scene = Scene(bridges=2, **OCTO).bring_in(*PEOPLE)
        before = {b.jid: (b.endpoints, b.conferences) for b in scene.bridges}
        original, seen = HANDLERS[messages.MoveEndpoints], []

        def move(turn, message):
            original(turn, message)
            seen.append(placed(scene))
            raise KeyError("on purpose")

        monkeypatch.setitem(HANDLERS, messages.MoveEndpoints, move)
        scene.mail(messages.MoveEndpoints(BRIDGE, ("anna0001",), True, "test"))
        assert seen[0] == {"jvb1": ["bo000002"], "jvb2": ["anna0001"]}
        assert placed(scene) == {"jvb1": list(PEOPLE)} and not scene.sent
        assert {b.jid: (b.endpoints, b.conferences) for b in scene.bridges} == before


class TestVisitors:
    def test_apart(self):
        """B-524, T-17"""
        scene = Scene(bridges=2, octo_enabled="true", visitors_enabled="true", selection_strategy="visitor",
                      participant_selection_strategy="region-based", visitor_selection_strategy="region-based")
        scene.mail(scene.presence("anna0001"), scene.presence("vic00001", role="visitor"), scene.presence("bo000002"))
        assert placed(scene) == {"jvb1": ["anna0001", "bo000002"], "jvb2": ["vic00001"]}
        turn = Turn(scene.state, scene.around, logging.getLogger())
        assert [(use.participants, use.visitors, use.recent) for use in placing.in_use(turn)] == [
            (2, False, 2), (1, True, 1)]


class TestFailingIce:
    OPTIONS: Dict[str, Any] = dict(
        bridges=2, ice_failure_detection_enabled="true", ice_failure_detection_min_endpoints="2",
        ice_failure_detection_threshold="0.4", ice_failure_detection_timeout="1 min", **OCTO)

    def restart(self, scene, nick):
        participant = scene.state.participants[nick]
        return scene.jingle(nick, "session-terminate", "<reason><connectivity-error/></reason><bridge-session "
                            "xmlns='http://jitsi.org/protocol/focus' id='%s' restart='true'/>" %
                            participant.bridge_session)

    def test_restarts_make_a_bridge_overloaded(self):
        """B-306, B-851: for its time; the next ones go elsewhere."""
        scene = Scene(**self.OPTIONS).bring_in(*PEOPLE)
        scene.mail(self.restart(scene, "anna0001")).settle()
        assert placed(scene) == {"jvb1": ["bo000002"], "jvb2": ["anna0001"]}
        bridge = scene.bridges.rows[BRIDGE]
        assert (bridge.restart_requests, scene.bridges.is_overloaded(bridge, scene.now)) == (1, True)
        scene.now += 60.0
        assert not scene.bridges.is_overloaded(bridge, scene.now)
        assert scene.bridges.counters.participants_moved == 0  # B-824

    def test_old_clients_report_counts(self):
        """B-851"""
        scene = Scene(**self.OPTIONS).bring_in(*PEOPLE)
        scene.mail(scene.jingle("anna0001", "session-info", "<ice-state xmlns='http://jitsi.org/protocol/focus'>failed"
                                "</ice-state><bridge-session xmlns='http://jitsi.org/protocol/focus' id='%s'/>" %
                                scene.state.participants["anna0001"].bridge_session))
        assert scene.bridges.rows[BRIDGE].restart_requests == 1
        assert scene.bridges.counters.participants_moved == 0

    @pytest.mark.parametrize("current, allowed", [("another", 5), (None, 0)])
    def test_refused_ones_do_not(self, current, allowed):
        """B-851: neither with a wrong id nor beyond the limit."""
        scene = Scene(restart_max_requests=allowed, **self.OPTIONS).bring_in(*PEOPLE)
        request = self.restart(scene, "bo000002")
        if current is not None:
            scene.state.participants["bo000002"].bridge_session = current
        scene.mail(request)
        assert len(scene.take("refusal")) == 1 and scene.bridges.rows[BRIDGE].restart_requests == 0


class TestWarnings:
    def pool(self, octo, *relay_ids):
        bridges = Bridges(rules=Rules(octo=octo))
        for number, relay_id in enumerate(relay_ids):
            bridges.heard("b@x/%d" % number, Stats(version="1", relay_id=relay_id), None, 0.0)
        for _ in range(3):
            bridges.candidates(0.0)
            for number, _ in enumerate(relay_ids):
                bridges.changed("b@x/%d" % number)
        return bridges

    def test_without_relay_ids(self, caplog):
        """T-34: once."""
        self.pool(False, None)
        assert not caplog.records
        self.pool(True, None, None)
        assert len(caplog.records) == 1 and "videobridge.relay.enabled" in caplog.text

    def test_one_id_twice(self, caplog):
        """B-604 R, T-32: the second counts as having none, until the first is gone."""
        bridges = self.pool(True, "r", "r", "s")
        assert len(caplog.records) == 1 and "same relay id r" in caplog.text
        assert [bridges.relay_id("b@x/%d" % number) for number in range(4)] == ["r", None, "s", None]
        bridges.gone("b@x/0", "left")
        assert [b.relay_id for b in bridges.candidates(0.0)] == ["r", "s"]


def test_a_conference_in_a_journal_keeps_its_pin():
    """B-507"""
    scene = Scene()
    scene.state.pinned_version = "2.3"
    scene.join("anna0001")
    assert scene.restored().pinned_version == "2.3"


def test_a_pinned_version_nobody_has():
    """F12, B-507: no bridge, and the line says why."""
    scene = Scene(bridges=2)
    scene.state.pinned_version = "9"
    scene.join(*PEOPLE)
    assert not placed(scene) and not scene.take("conference-modify")
    scene.bridges.heard(BRIDGE, Stats(version="9", stress_level=0.0, drain=False), None, scene.now)
    scene.mail(messages.BridgeUsable(BRIDGE))
    assert list(placed(scene)) == ["jvb1"]
