"""The call itself: offer, acceptance, sources among participants (jingle.md)."""
from __future__ import annotations

import pytest
from lxml import etree

from focus.conference.offer import ASSUMED_FEATURES
from tests.support.harness import (
    CLIENT_FEATURES,
    CLIENT_TRANSPORT,
    COLIBRI,
    ROOM,
    Scene,
    accept_contents,
    colibri_error,
    condition,
    content,
    endpoint_of,
    source,
    told,
    xml,
)

UNKNOWN_SID = "nosuchsid"


class TestOffer:
    def test_its_sources(self):
        """J-361, J-363: all others' and the bridge's, not its own."""
        scene = Scene().bring_in("anna0001", "bo000002")
        scene.join("carla003")
        scene.mail(scene.allocated(scene.one("conference-modify")))
        offer = scene.one("session-initiate")
        assert set(told(offer)) == {"anna0001", "bo000002", "jvb"}
        assert offer[0].get("initiator") == "focus@auth.meet.example/focus"

    def test_rewriting_clients_hear_of_the_bridge_only(self):
        """J-362, J-721, J-921"""
        scene = Scene(features=CLIENT_FEATURES._replace(ssrc_rewriting=True)).join("anna0001", "bo000002")
        first = scene.one("conference-modify")
        assert [c.get("name") for c in first.iter("{%s}capability" % COLIBRI)] == ["source-names", "ssrc-rewriting"]
        scene.mail(scene.allocated(first))
        assert set(told(scene.one("session-initiate"))) == {"jvb"}

    def test_a_client_without_json(self):
        """J-401, J-411, J-202"""
        scene = Scene(features=ASSUMED_FEATURES).bring_in("anna0001", "bo000002")
        scene.join("carla003")
        scene.mail(scene.allocated(scene.one("conference-modify")))
        offer = xml(scene.one("session-initiate"))
        assert "json-message" not in offer and "owner=\"anna0001\"" in offer and "owner=\"jvb\"" in offer

    def test_refused_by_the_client(self):
        """J-373"""
        scene = Scene().join("anna0001", "bo000002")
        scene.mail(scene.allocated(scene.one("conference-modify")))
        offer = scene.one("session-initiate")
        scene.mail(scene.answer(offer, colibri_error("bad-request"), type="error"))
        assert "general-error" in xml(scene.one("session-terminate"))
        assert scene.state.participants["anna0001"].phase == "ended"

    def test_unanswered_is_success(self):
        """J-372"""
        scene = Scene().join("anna0001", "bo000002")
        scene.mail(scene.allocated(scene.one("conference-modify")))
        scene.mail(scene.timeout(scene.one("session-initiate")))
        scene.mail(scene.accept("anna0001"))
        assert scene.take("result")

    def test_start_muted_beyond_the_limit(self):
        """C-655, J-305: of the creating request."""
        scene = Scene(properties={"startAudioMuted": "1"}).join("anna0001", "bo000002")
        scene.mail(scene.allocated(scene.one("conference-modify")))
        assert 'audio="true"' in xml(scene.one("session-initiate"))


class TestAccept:
    def test_what_follows(self):
        """J-521: result, the bridge's update, source-add to the others."""
        scene = Scene().bring_in("anna0001", "bo000002", accept=False)
        scene.mail(scene.accept("anna0001", 7)).mail(scene.accept("bo000002", 8))
        assert len(scene.take("result")) == 2
        updates = scene.take("conference-modify")
        assert [endpoint_of(u).get("id") for u in updates] == ["anna0001", "bo000002"]
        assert "setup=\"active\"" in xml(updates[0]) and "ssrc=\"7000000\"" in xml(updates[0])
        adds = {a.get("to"): told(a) for a in scene.take("source-add")}
        assert adds == {ROOM + "/anna0001": {"bo000002": {8000000, 8000001}},
                        ROOM + "/bo000002": {"anna0001": {7000000, 7000001}}}

    def test_nothing_is_sent_to_who_has_not_accepted(self):
        """J-717, T-26: it gathers, and goes out as one with the accept."""
        scene = Scene().bring_in("anna0001", "bo000002", "carla003", accept=False)
        scene.mail(scene.accept("anna0001", 1)).mail(scene.accept("bo000002", 2))
        assert not scene.take("source-add", to=ROOM + "/carla003")
        scene.mail(scene.accept("carla003", 3))
        assert told(scene.one("source-add", to=ROOM + "/carla003")) == {
            "anna0001": {1000000, 1000001}, "bo000002": {2000000, 2000001}}

    def test_the_same_request_again(self):
        """DESIGN, "The tick": a client whose stream broke repeats what it can't know to be answered."""
        scene = Scene().bring_in("anna0001", "bo000002")
        add = content("audio", source("anna0001", "a", 4711, 1))
        for _ in range(2):
            scene.mail(scene.jingle("anna0001", "source-add", add, iq_id="again"))
            assert scene.one("result").get("id") == "again" and not scene.take("refusal")
        assert len(scene.take("source-add")) == 1, "it has its effect once"
        scene.mail(scene.jingle("anna0001", "source-add", add, iq_id="another"))
        assert condition(scene.one("refusal")) == "bad-request"

    def test_twice(self):
        """J-527, T-27: a healthy session survives it."""
        scene = Scene().bring_in("anna0001", "bo000002")
        scene.mail(scene.accept("anna0001"))
        refusal = scene.one("refusal")
        assert condition(refusal) == "unexpected-request" and "out-of-order" in xml(refusal)
        assert scene.state.participants["anna0001"].phase == "active"

    def test_bad_sources_end_the_session(self):
        """J-526"""
        scene = Scene().bring_in("anna0001", "bo000002", accept=False)
        scene.mail(scene.accept("anna0001", 1))
        scene.mail(scene.jingle("bo000002", "session-accept", accept_contents("bo000002", 1)))
        assert condition(scene.one("refusal")) == "bad-request"
        assert scene.state.participants["bo000002"].phase == "ended"
        scene.mail(scene.jingle("bo000002", "source-add", sid=scene.state.participants["bo000002"].refused_sids[-1]))
        assert condition(scene.one("refusal")) == "gone"

    def test_without_sources(self):
        """J-523"""
        scene = Scene().bring_in("anna0001", "bo000002", accept=False)
        scene.mail(scene.jingle("anna0001", "session-accept", content("audio", "", CLIENT_TRANSPORT)))
        assert scene.take("result")

    def test_initial_last_n(self):
        """J-528"""
        scene = Scene().bring_in("anna0001", "bo000002", accept=False)
        last_n = "<content name='video'><initial-last-n xmlns='jitsi:colibri2' value='3'/></content>"
        scene.mail(scene.jingle("anna0001", "session-accept", content("audio", "", CLIENT_TRANSPORT) + last_n))
        assert scene.one("conference-modify").find(".//{%s}initial-last-n" % COLIBRI).get("value") == "3"


class TestSources:
    def test_added_and_removed(self):
        """J-531, J-533, J-535: the bridge gets the whole set, the others the difference."""
        scene = Scene().bring_in("anna0001", "bo000002")
        desktop = content("video", source("anna0001", "v", 77, 1))
        for action in ("source-add", "source-remove"):
            scene.state.participants["bo000002"].update = ""
            scene.mail(scene.jingle("anna0001", action, desktop))
            assert scene.one("result").get("to") == ROOM + "/anna0001"
            assert told(scene.one(action)) == {"anna0001": {77}}
            assert (b'ssrc="77"' in etree.tostring(scene.one("conference-modify"))) == (action == "source-add")

    def test_paced_by_the_receiver(self):
        """DESIGN idea 1: what gathers while an update is unanswered goes out as one."""
        scene = Scene().bring_in("anna0001", "bo000002", "carla003")
        for participant in scene.state.participants.values():
            participant.update = ""
        scene.mail(scene.jingle("anna0001", "source-add", content("video", source("anna0001", "v", 71, 1))))
        first = scene.one("source-add", to=ROOM + "/bo000002")
        scene.mail(scene.jingle("anna0001", "source-add", content("video", source("anna0001", "v", 72, 2))))
        scene.mail(scene.jingle("carla003", "source-add", content("video", source("carla003", "v", 73, 1))))
        assert not scene.take("source-add", to=ROOM + "/bo000002")
        scene.mail(scene.answer(first))
        assert told(scene.one("source-add", to=ROOM + "/bo000002")) == {"anna0001": {72}, "carla003": {73}}

    def test_a_silent_receiver_gets_the_next_all_the_same(self):
        """J-719"""
        scene = Scene().bring_in("anna0001", "bo000002")
        scene.state.participants["bo000002"].update = ""
        scene.mail(scene.jingle("anna0001", "source-add", content("video", source("anna0001", "v", 71, 1))))
        scene.one("source-add")
        scene.mail(scene.jingle("anna0001", "source-add", content("video", source("anna0001", "v", 72, 2))))
        scene.pass_time(0.9)
        assert not scene.take("source-add")
        scene.pass_time(0.2)
        assert told(scene.one("source-add")) == {"anna0001": {72}}

    def test_add_and_remove_cancel_out(self):
        """J-715"""
        scene = Scene().bring_in("anna0001", "bo000002")
        add = content("video", source("anna0001", "v", 71, 1))
        scene.mail(scene.jingle("anna0001", "source-add", add), scene.jingle("anna0001", "source-remove", add))
        assert not scene.take("source-add") and not scene.take("source-remove")

    def test_replaced_means_remove_then_add(self):
        """J-716, T-14"""
        scene = Scene().bring_in("anna0001", "bo000002")
        scene.state.participants["bo000002"].update = ""
        scene.mail(scene.jingle("anna0001", "source-remove", content("video", source("anna0001", "v", int(
            next(s.ssrc for s in scene.state.sources.get("anna0001").sources if s.media == "video"))))),
            scene.jingle("anna0001", "source-add", content("video", source("anna0001", "v", 99))))
        sent = [el[0].get("action") for el in scene.take(to=ROOM + "/bo000002")]
        assert sent == ["source-remove", "source-add"]

    def test_delayed_in_a_large_room(self):
        """J-713, J-714"""
        scene = Scene(source_signaling_delays="2: 500 ms").bring_in("anna0001", "bo000002").pass_time(1)
        scene.sent.clear()
        scene.state.participants["bo000002"].update = ""
        scene.mail(scene.jingle("anna0001", "source-add", content("video", source("anna0001", "v", 71, 1))))
        assert not scene.take("source-add")
        scene.pass_time(0.3)
        scene.mail(scene.jingle("anna0001", "source-add", content("video", source("anna0001", "v", 72, 2))))
        assert not scene.take("source-add")
        scene.pass_time(0.3)
        assert told(scene.one("source-add")) == {"anna0001": {71, 72}}

    def test_a_refused_change_changes_nothing(self):
        """J-612, J-534"""
        scene = Scene().bring_in("anna0001", "bo000002")
        before = scene.state.sources.get("bo000002")
        theirs = next(iter(scene.state.sources.get("anna0001").sources)).ssrc
        bad = content("video", source("bo000002", "v", 500, 1)) + content("audio", source("bo000002", "a", theirs, 1))
        scene.mail(scene.jingle("bo000002", "source-add", bad))
        assert condition(scene.one("refusal")) == "bad-request"
        assert scene.state.sources.get("bo000002") == before and not scene.sent

    def test_a_leaver_is_not_announced(self):
        """C-701, J-125, J-722: and if the nickname comes back with the same sources they are told."""
        scene = Scene().bring_in("anna0001", "bo000002", "carla003")
        for participant in scene.state.participants.values():
            participant.update = ""
        scene.leave("carla003")
        assert not scene.take("source-remove")
        scene.pass_time(2.1)  # the answer to the expiry of the endpoint is waited for no longer
        scene.bring_in("carla003", accept=False)
        scene.mail(scene.accept("carla003", 3))
        assert told(scene.one("source-add", to=ROOM + "/anna0001")) == {"carla003": {3000000, 3000001}}

    def test_sender_limit(self):
        """J-651: resource-constraint, nothing stored; the requester isn't counted."""
        scene = Scene(max_video_senders=1)
        scene.bring_in("anna0001", "bo000002")
        unmuted = "{&quot;anna0001-v0&quot;:{&quot;muted&quot;:false}}"
        scene.mail(scene.presence("anna0001", extra="<SourceInfo>%s</SourceInfo>" % unmuted))
        scene.sent.clear()
        scene.mail(scene.jingle("bo000002", "source-add", content("video", source("bo000002", "v", 5, 1))))
        assert condition(scene.one("refusal")) == "resource-constraint"
        scene.mail(scene.jingle("anna0001", "source-add", content("video", source("anna0001", "v", 6, 1))))
        assert scene.take("result")


class TestOtherRequests:
    def test_another_occupant_with_a_known_sid(self):
        """J-106"""
        scene = Scene().bring_in("anna0001", "bo000002")
        sid = scene.state.participants["anna0001"].sid
        scene.mail(scene.jingle("bo000002", "source-add", content("video", source("anna0001", "v", 5, 1)), sid=sid))
        refusal = scene.one("refusal")
        assert condition(refusal) == "item-not-found" and "unknown-session" in xml(refusal)

    @pytest.mark.parametrize("action, type, expected", [
        ("source-add", "set", "item-not-found"), ("dance", "set", "bad-request"), ("", "set", "bad-request"),
        ("content-modify", "set", "feature-not-implemented"), ("session-initiate", "set", "feature-not-implemented"),
        ("transport-replace", "set", "feature-not-implemented"), ("session-info", "get", "feature-not-implemented"),
    ])
    def test_refusals_before_the_session_is_looked_up(self, action, type, expected):
        """J-503, J-506, J-507, J-508"""
        scene = Scene().bring_in("anna0001", "bo000002")
        scene.mail(scene.jingle("anna0001", action, sid=UNKNOWN_SID, type=type))
        assert condition(scene.one("refusal")) == expected

    def test_malformed(self):
        """J-509"""
        scene = Scene().bring_in("anna0001", "bo000002")
        scene.mail(scene.jingle("anna0001", "source-add", content(
            "video", "<source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='many'/>")))
        assert condition(scene.one("refusal")) == "bad-request"

    def test_transport_info(self):
        """J-561, J-566: to the bridge, also before the accept, whatever its content is called."""
        scene = Scene().bring_in("anna0001", "bo000002", accept=False)
        scene.mail(scene.jingle("anna0001", "transport-info", "<content name='0' creator='responder'>%s</content>"
                                % CLIENT_TRANSPORT))
        assert scene.take("result")
        update = scene.one("conference-modify")
        assert "ufrag=\"u\"" in xml(update) and update.find(".//{%s}sources" % COLIBRI) is None
        scene.mail(scene.jingle("anna0001", "transport-info", "<content name='0'/>"))
        assert condition(scene.one("refusal")) == "bad-request"

    @pytest.mark.parametrize("bridge, expected, phase", [
        ("", None, "ended"), ("id='other' restart='true'", "item-not-found", "active"),
        ("id='%s' restart='false'", None, "ended"), ("id='%s' restart='true'", None, "allocating"),
    ])
    def test_session_terminate(self, bridge, expected, phase):
        """J-552, J-553, J-554"""
        scene = Scene().bring_in("anna0001", "bo000002", "carla003")
        anna = scene.state.participants["anna0001"]
        if bridge:
            bridge = "<bridge-session xmlns='http://jitsi.org/protocol/focus' %s/>" % bridge.replace(
                "%s", anna.bridge_session)
        scene.mail(scene.jingle("anna0001", "session-terminate", "<reason><success/></reason>" + bridge))
        if expected is not None:
            assert condition(scene.one("refusal")) == expected
        else:
            assert scene.take("result")
        assert anna.phase == phase

    def test_restart_limit(self):
        """J-555, J-556, T-22: everything is released all the same."""
        scene = Scene().bring_in("anna0001", "bo000002", "carla003")
        for accepted in (True, False):
            anna = scene.state.participants["anna0001"]
            scene.mail(scene.jingle("anna0001", "session-terminate", "<reason><connectivity-error/></reason>"
                                    "<bridge-session xmlns='http://jitsi.org/protocol/focus' id='%s' restart='true'/>"
                                    % anna.bridge_session))
            scene.mail(*[scene.proper_answer(r) for r in scene.take("conference-modify")
                         if endpoint_of(r).get("expire")])
            if accepted:
                assert scene.take("result")
                scene.mail(scene.allocated(scene.one("conference-modify")))
                scene.mail(scene.accept("anna0001"))
                scene.sent.clear()
            else:
                assert condition(scene.one("refusal")) == "resource-constraint"
        assert anna.phase == "ended" and not scene.state.sources.get("anna0001")

    def test_old_clients_report_failed_ice(self):
        """J-542, J-543"""
        scene = Scene().bring_in("anna0001", "bo000002")
        anna = scene.state.participants["anna0001"]
        scene.mail(scene.jingle("anna0001", "session-info", "<ice-state xmlns='http://jitsi.org/protocol/focus'>FAILED"
                                "</ice-state><bridge-session xmlns='http://jitsi.org/protocol/focus' id='%s'/>"
                                % anna.bridge_session))
        assert scene.take("result") and scene.take("session-terminate") and anna.phase == "allocating"

    def test_session_info_of_other_kinds(self):
        """J-544"""
        scene = Scene().bring_in("anna0001", "bo000002")
        scene.mail(scene.jingle("anna0001", "session-info", "<ringing xmlns='urn:xmpp:jingle:apps:rtp:info:1'/>"))
        assert scene.take("result")

    def test_a_fault_of_ours_is_answered(self, monkeypatch):
        """J-510: and the conference goes on."""
        from focus.conference import session
        scene = Scene().bring_in("anna0001", "bo000002")
        monkeypatch.setitem(session.HANDLERS, "source-add", lambda *_: 1 / 0)
        scene.mail(scene.jingle("anna0001", "source-add"), scene.jingle("bo000002", "session-info"))
        assert condition(scene.one("refusal")) == "internal-server-error"
        assert scene.take("result")
