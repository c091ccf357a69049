"""Endpoints on a bridge: what is asked when, and what each answer leads to (bridge.md 6, colibri.md 3 and 4)."""
from __future__ import annotations

import pytest
from lxml import etree

from focus.conference import inviting, messages
from tests.support.harness import (
    BRIDGE,
    JOINED,
    ROOM,
    SECOND_BRIDGE,
    Scene,
    Stats,
    colibri_error,
    content,
    endpoint_of,
    source,
    told,
    xml,
)


class TestAllocation:
    def test_everything_waits_for_the_creating_request_only(self):
        """K-132, KT-1: one creation, then all others at once, none waiting for another's answer."""
        scene = Scene().join("anna0001", "bo000002", "carla003", "dan00004")
        create = scene.one("conference-modify")
        assert create[0].get("create") == "true" and create.get("type") == "get"
        assert create[0].get("name") == ROOM and create[0].get("meeting-id") == "meeting-1"
        scene.mail(scene.allocated(create))
        others = scene.take("conference-modify")
        assert [endpoint_of(r).get("id") for r in others] == ["bo000002", "carla003", "dan00004"]
        assert all(r[0].get("create") is None for r in others)

    def test_two_requests_per_participant(self):
        """Item 10: creation and the update after the accept."""
        scene = Scene().join("anna0001", "bo000002")
        requests = 0
        while True:
            got = scene.take("conference-modify")
            if not got:
                break
            requests += len(got)
            scene.mail(*[scene.allocated(r) for r in got])
        scene.mail(scene.accept("anna0001"), scene.accept("bo000002"))
        assert requests + len(scene.take("conference-modify")) == 4

    def test_no_sctp_on_the_bridge(self):
        """K-476: asked again at once without, no session dropped, and nobody asks for it again."""
        scene = Scene().join("anna0001", "bo000002")
        create = scene.one("conference-modify")
        assert b"sctp" in etree.tostring(create)
        scene.mail(scene.answer(create, colibri_error("feature-not-implemented"), type="error"))
        first, second = scene.take("conference-modify")
        assert b"sctp" not in etree.tostring(first) + etree.tostring(second)
        assert first[0].get("create") is None
        scene.mail(scene.allocated(first), scene.allocated(second))
        assert all("name='data'" not in xml(o) and 'name="data"' not in xml(o) for o in scene.take("session-initiate"))

    def test_sctp_that_the_bridge_has_is_offered(self):
        """J-341"""
        scene = Scene().bring_in("anna0001", "bo000002", accept=False)
        scene.join("carla003")
        scene.mail(scene.allocated(scene.one("conference-modify")))
        assert 'name="data"' in xml(scene.one("session-initiate"))

    @pytest.mark.parametrize("error, reason, marked", [
        ("item-not-found", "conference_not_found", False),
        ("item-not-found", "", True),
        ("conflict", "", False),
        ("service-unavailable", "", True),
        ("resource-constraint", "", True),
    ])
    def test_errors_that_drop_the_session(self, error, reason, marked):
        """K-472, K-473: all are re-invited; on another bridge if this one is marked."""
        scene = Scene(bridges=2 if marked else 1).bring_in("anna0001", "bo000002")
        scene.join("carla003")
        request = scene.one("conference-modify")
        scene.mail(scene.answer(request, colibri_error(error, reason), type="error"))
        assert len(scene.take("session-terminate")) == 2
        to = {r.get("to") for r in scene.take("conference-modify") if r.find(".//*[@create='true']") is not None}
        if marked:
            assert to == {SECOND_BRIDGE}
        else:
            assert not to  # it waits for the answer to the expiry (B-645)
            scene.pass_time(2.1)
            assert scene.take("conference-modify")[0].get("to") == BRIDGE

    def test_a_silent_bridge_is_left(self):
        """K-470"""
        scene = Scene(bridges=2).join("anna0001", "bo000002")
        scene.mail(scene.timeout(scene.one("conference-modify")))
        requests = scene.take("conference-modify", to=SECOND_BRIDGE)
        assert len(requests) == 1 and requests[0][0].get("create") == "true"

    def test_a_stale_conference_is_cleared(self):
        """B-645, KT-3: expire, wait for its answer and a little, create again; three times at most."""
        scene = Scene().join("anna0001", "bo000002")
        for _ in range(3):
            create = scene.one("conference-modify")
            scene.mail(scene.answer(create, colibri_error("conflict", "conference_already_exists"), type="error"))
            expire = scene.one("conference-modify")
            assert expire[0].get("expire") == "true"
            scene.mail(scene.answer(expire, "<conference-modified xmlns='jitsi:colibri2'/>"))
            assert not scene.take("conference-modify")
            scene.pass_time(0.11)
        create = scene.one("conference-modify")
        scene.mail(scene.answer(create, colibri_error("conflict", "conference_already_exists"), type="error"))
        assert len(scene.state.drops[BRIDGE]) == 1

    def test_no_endless_circle(self):
        """B-643: after three drops within 30 s the bridge isn't asked for a minute."""
        scene = Scene().join("anna0001", "bo000002")
        asked = 0
        for _ in range(40):
            for request in scene.take("conference-modify"):
                asked += request.find(".//*[@create='true']") is not None
                scene.mail(scene.answer(request, colibri_error("conflict"), type="error"))
            scene.pass_time(1)
        assert 3 <= asked <= 4
        scene.pass_time(40)
        assert scene.take("conference-modify")

    def test_one_retry_elsewhere(self):
        """K-471: bad-request is this participant's trouble; it is tried once more on another bridge if possible."""
        scene = Scene(bridges=2).join("anna0001", "bo000002")
        scene.mail(scene.answer(scene.one("conference-modify"), colibri_error("bad-request"), type="error"))
        scene.pass_time(3)
        created = [r for r in scene.take("conference-modify") if r.find(".//*[@create='true']") is not None]
        assert created and scene.state.participants["anna0001"].attempts == 1

    def test_an_answer_without_transport(self):
        """K-474: as a failure of this participant."""
        scene = Scene().bring_in("anna0001", "bo000002")
        scene.join("carla003")
        request = scene.one("conference-modify")
        scene.mail(scene.answer(request, "<conference-modified xmlns='jitsi:colibri2'><endpoint id='carla003'/>"
                                         "</conference-modified>"))
        assert not scene.take("session-initiate")
        assert endpoint_of(scene.take("conference-modify")[0]).get("expire") == "true"

    def test_nonsense_counts_as_failure(self):
        """K-477"""
        scene = Scene(bridges=2).join("anna0001", "bo000002")
        scene.mail(scene.answer(scene.one("conference-modify"), "<ping xmlns='urn:xmpp:ping'/>"))
        assert scene.take("conference-modify", to=SECOND_BRIDGE)

    def test_who_left_meanwhile_is_expired(self):
        """K-475, J-123: nothing is offered."""
        scene = Scene().bring_in("anna0001", "bo000002")
        scene.join("carla003")
        request = scene.one("conference-modify")
        scene.leave("carla003")
        assert endpoint_of(scene.one("conference-modify")).get("expire") == "true"
        scene.mail(scene.allocated(request))
        assert not scene.sent

    def test_an_old_answer_harms_no_new_session(self):
        """K-134, KT-5: same endpoint id, another invitation."""
        scene = Scene().bring_in("anna0001", "bo000002")
        scene.join("carla003")
        old = scene.one("conference-modify")
        scene.leave("carla003").join("carla003")
        scene.mail(scene.allocated(old))
        assert not scene.take("session-initiate")
        scene.pass_time(2.1)  # the expiry isn't answered
        new = [r for r in scene.take("conference-modify") if endpoint_of(r).get("create")]
        scene.mail(scene.allocated(new[0])).mail(scene.allocated(new[0]))
        assert len(scene.take("session-initiate")) == 1

    def test_the_last_one_takes_the_conference_with_it(self):
        """K-352: expire the conference, not its last endpoint."""
        scene = Scene(min_participants=1).bring_in("anna0001")
        scene.leave("anna0001")
        request = scene.one("conference-modify")
        assert request[0].get("expire") == "true" and not len(request[0])

    def test_leavers_of_one_turn_are_gathered(self):
        """B-611"""
        scene = Scene().bring_in("anna0001", "bo000002", "carla003", "dan00004")
        scene.leave("anna0001", "bo000002")
        assert len(scene.one("conference-modify")[0]) == 2

    def test_no_bridge(self):
        """B-831, B-832, U-16: quiet for the grace, then the presence says so; a bridge ends it."""
        scene = Scene(bridges=0).pass_time(5).join("anna0001", "bo000002")
        scene.pass_time(20)
        assert not any("bridgeNotAvailable" in xml(p) for p in scene.take("presence"))
        scene.pass_time(15)
        assert "bridgeNotAvailable" in xml(scene.one("presence"))
        scene.bridges.heard(BRIDGE, Stats(drain=False, version="2"), None, scene.now)
        scene.mail(messages.BridgeUsable(BRIDGE))
        assert "bridgeNotAvailable" not in xml(scene.one("presence"))
        assert len(scene.take("conference-modify")) == 1

    def test_a_bridge_that_comes_first(self):
        """T-29: those who wait give others a second or two to come as well; each room another time."""
        scene = Scene(bridges=0).join("anna0001", "bo000002")
        for jid, stress in ((BRIDGE, 0.9), (SECOND_BRIDGE, 0.1)):
            event, = scene.bridges.heard(jid, Stats(drain=False, version="2", stress_level=stress), None, scene.now)
            scene.mail(messages.BridgeUsable(event.bridge, event.fresh))
            assert event.fresh and not scene.pass_time(0.5).take("conference-modify")
        assert scene.pass_time(1.5).one("conference-modify").get("to") == SECOND_BRIDGE
        pauses = {inviting.after_a_bridge_came("room%d@x" % number) for number in range(50)}
        assert len(pauses) > 40 and all(1.0 <= pause < 2.0 for pause in pauses)

    def test_a_bridge_goes(self):
        """B-801, J-811: everybody moves, terminated first, in the same room with the same endpoint ids."""
        scene = Scene(bridges=2).bring_in("anna0001", "bo000002")
        scene.bridges.gone(BRIDGE, "gone")
        scene.mail(messages.BridgeLost(BRIDGE, "it left the brewery"))
        assert [etree.QName(t[0].find("{urn:xmpp:jingle:1}reason")[0]).localname
                for t in scene.take("session-terminate")] == ["success", "success"]
        assert scene.one("conference-modify").get("to") == SECOND_BRIDGE

    def test_an_update_without_answer_is_repeated_once(self):
        """K-480"""
        scene = Scene(bridges=2).bring_in("anna0001", "bo000002")
        add = content("video", source("anna0001", "v", 77, 1))
        scene.mail(scene.jingle("anna0001", "source-add", add))
        scene.mail(scene.timeout(scene.one("conference-modify")))
        again = scene.one("conference-modify")
        assert "ssrc=\"77\"" in xml(again)
        scene.mail(scene.timeout(again))
        assert scene.take("conference-modify", to=SECOND_BRIDGE)

    def test_an_endpoint_the_bridge_forgot(self):
        """K-481: only that participant is re-invited."""
        scene = Scene().bring_in("anna0001", "bo000002")
        scene.mail(scene.jingle("anna0001", "source-add", content("video", source("anna0001", "v", 77, 1))))
        update = scene.one("conference-modify")
        scene.mail(scene.answer(update, colibri_error("item-not-found", "unknown_endpoint", "anna0001"), type="error"))
        assert scene.one("session-terminate").get("to") == ROOM + "/anna0001"


class TestFreshStream:
    """The server gave our stream up: requests in flight go by kind (DESIGN, "Coming back, refused")."""

    def test_creation_in_flight(self):
        """K-340: expire, wait, create."""
        scene = Scene().join("anna0001", "bo000002")
        scene.one("conference-modify")
        scene.mail(messages.ConnectionBack(False))
        expire = scene.one("conference-modify")
        assert expire[0].get("expire") == "true"
        scene.mail(scene.answer(expire, "<conference-modified xmlns='jitsi:colibri2'/>")).pass_time(0.2)
        assert scene.one("conference-modify")[0].get("create") == "true"

    def test_offer_in_flight(self):
        """Terminated, and a new sid; said when we are in the room again."""
        scene = Scene().bring_in("anna0001", "bo000002")
        scene.join("carla003")
        scene.mail(scene.allocated(scene.one("conference-modify")))
        sid = scene.one("session-initiate")[0].get("sid")
        scene.mail(messages.ConnectionBack(False))
        assert not scene.take("session-terminate"), "nobody would take it from one who isn't in the room"
        present = [scene.presence(nick) for nick in ("anna0001", "bo000002", "carla003")]
        scene.mail(*present)
        scene.lane_done(JOINED)
        assert [t[0].get("sid") for t in scene.take("session-terminate")] == [sid]
        assert scene.state.participants["carla003"].sid != sid

    def test_endpoints_are_probed(self):
        """K-330: by their full sources."""
        scene = Scene().bring_in("anna0001", "bo000002")
        scene.state.requests.clear()
        scene.mail(messages.ConnectionBack(False))
        assert sorted(endpoint_of(r).get("id") for r in scene.take("conference-modify")) == ["anna0001", "bo000002"]

    def test_unanswered_updates_are_repeated(self):
        scene = Scene().bring_in("anna0001", "bo000002")
        for participant in scene.state.participants.values():
            participant.update = ""
        scene.mail(scene.jingle("anna0001", "source-add", content("video", source("anna0001", "v", 71, 1))))
        scene.sent.clear()
        scene.mail(messages.ConnectionBack(False))
        assert not scene.take("source-add")  # not before we stand in the room again
        scene.mail(scene.presence("anna0001"), scene.presence("bo000002")).lane_done(JOINED)
        assert 71 in told(scene.one("source-add"))["anna0001"]


def test_others_wait_until_a_new_bridge_has_told_about_sctp():
    """K-476: one conference asks, the rest isn't refused in the same moment; not for longer than 2 s."""
    first, second = Scene(), Scene()
    second.conference._around = second.conference._around._replace(bridges=first.bridges)
    first.join("anna0001", "bo000002")
    second.join("carla003", "dan00004")
    create = first.one("conference-modify")
    assert not second.take("conference-modify")
    first.mail(first.answer(create, colibri_error("feature-not-implemented"), type="error"))
    assert [event.kind for event in first.told] == ["known"]
    second.mail(messages.BridgeKnown(BRIDGE))
    assert b"sctp" not in etree.tostring(second.one("conference-modify"))
    third = Scene()
    third.conference._around = third.conference._around._replace(bridges=Scene().bridges)
    third.conference._around.bridges.get(BRIDGE).sctp_asked_at = third.now
    third.join("anna0001", "bo000002").pass_time(2.1)
    assert b"sctp" in etree.tostring(third.one("conference-modify"))
