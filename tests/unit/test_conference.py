"""A conference's life: asked for, joined, members, who moderates, the end (conference.md, moderation.md 2.4)."""
from __future__ import annotations

import pytest
from lxml import etree

from focus.conference import messages
from focus.values.rooms import JoinOutcome
from tests.support.harness import CLIENT_FEATURES, JOINED, ROOM, Scene, colibri_error, condition, stanza

FOCUS_NS = "{http://jitsi.org/protocol/focus}"


def answer_of(element):
    return element.find(FOCUS_NS + "conference")


class TestAsking:
    def test_answer_waits_for_the_join_and_says_ready(self):
        """C-221, C-222: everybody who asked while the join ran is answered when it is done, with ready."""
        scene = Scene(join=False).ask("q1").ask("q2", sender="bo@meet.example/b")
        assert not scene.take("conference")
        scene.lane_done(JOINED)
        answers = scene.take("conference")
        assert [a.get("id") for a in answers] == ["q1", "q2"]
        assert [answer_of(a).get("ready") for a in answers] == ["true", "true"]
        assert answers[0].get("to") == "anna@meet.example/x7"
        assert answer_of(answers[0]).get("focusjid") == "focus@auth.meet.example"
        assert answer_of(answers[0]).get("room") == ROOM

    def test_an_existing_room_is_answered_at_once(self):
        """C-223"""
        assert answer_of(Scene().ask().one("conference")).get("ready") == "true"

    def test_who_waited_five_seconds_is_told_to_ask_again(self):
        """C-222, U-123: ready='false', and the join goes on."""
        scene = Scene(join=False).ask().pass_time(5.1)
        assert answer_of(scene.one("conference")).get("ready") == "false"
        scene.ask("q2").lane_done(JOINED)
        assert answer_of(scene.one("conference")).get("ready") == "true"

    def test_a_component_names_itself_in_its_answer(self):
        """C-102"""
        scene = Scene().ask(connection="component")
        assert scene.one("conference").get("from") == "focus.meet.example"
        assert scene.connections[-1] == "component"

    @pytest.mark.parametrize("error, expected", [
        ("registration-required", "internal-server-error"),
        ("forbidden", "internal-server-error"),
        ("not-allowed", "internal-server-error"),
        ("jid-malformed", "jid-malformed"),
        ("not-acceptable", "jid-malformed"),
        ("remote-server-not-found", "item-not-found"),
        ("undefined-condition", "internal-server-error"),
    ])
    def test_a_room_that_refuses_us(self, error, expected):
        """C-430: an answer to everybody who waits, and nothing left behind."""
        scene = Scene(join=False).ask().lane_done(JoinOutcome(error=error))
        assert condition(scene.one("refusal")) == expected
        assert scene.ended

    def test_a_host_the_server_does_not_have(self):
        """U-5: a server without s2s has words of its own for it, and `admins` would help nobody."""
        scene = Scene(join=False).ask().lane_done(JoinOutcome(
            error="not-allowed", text="Communication with remote domains is not enabled"))
        assert condition(scene.one("refusal")) == "item-not-found"

    def test_a_room_that_is_full_is_asked_again(self):
        """C-430: service-unavailable heals by itself, so no error (C-262)."""
        scene = Scene(join=False).ask().lane_done(JoinOutcome(error="service-unavailable"))
        assert answer_of(scene.one("conference")).get("ready") == "false"
        assert scene.ended

    def test_no_answer_of_the_room_is_tried_once_more_and_left(self):
        """C-430"""
        scene = Scene(join=False).ask().lane_done(JoinOutcome(error="timeout"))
        assert scene.lanes and not scene.sent
        scene.lane_done(JoinOutcome(error="timeout"))
        assert scene.one("presence").get("type") == "unavailable"
        assert answer_of(scene.one("conference")).get("ready") == "false"

    def test_a_password_is_read_and_used(self):
        """C-432"""
        scene = Scene(join=False).ask().lane_done(JoinOutcome(error="not-authorized"))
        assert scene.lanes[0].kind == "read-password"
        scene.lane_done("sesame")
        assert scene.lanes[0].args["password"] == "sesame"
        scene.lane_done(JOINED)
        assert answer_of(scene.one("conference")).get("ready") == "true"

    def test_an_impostor_is_put_out(self):
        """C-431"""
        scene = Scene(join=False).ask().lane_done(JoinOutcome(error="conflict"))
        assert scene.lanes[0].kind == "free-nick"
        scene.lane_done(True)
        assert scene.lanes[0].kind == "join"
        scene.lane_done(JoinOutcome(error="conflict"))
        assert condition(scene.one("refusal")) == "conflict"

    def test_hidden_real_jids_end_it(self):
        """M-104, M-108"""
        scene = Scene(join=False).ask().lane_done(JoinOutcome(affiliation="none", whois_anyone=False))
        assert condition(scene.one("refusal")) == "internal-server-error"

    def test_without_ownership_the_call_is_served(self):
        """C-710, M-107, U-10: media first."""
        scene = Scene(join=False).ask().lane_done(JoinOutcome(affiliation="none", whois_anyone=True))
        assert answer_of(scene.one("conference")).get("ready") == "true"
        scene.join("anna0001", "bo000002")
        assert not scene.take("query")
        assert scene.take("conference-modify")


class TestPresence:
    def test_the_first_presence_says_everything(self):
        """C-505, C-502: etherpad, version and properties stand in the join already."""
        extensions = Scene(join=False).lanes[0].args["extensions"]
        assert "etherpad" in extensions and "support-terminate-restart" in extensions and "caps" in extensions

    def test_nothing_is_sent_again_without_a_change(self):
        """C-511"""
        scene = Scene().join("anna0001")
        assert not scene.take("presence")

    def test_bridge_count(self):
        """C-510, B-663"""
        scene = Scene().pass_time(2).join("anna0001", "bo000002")
        assert b"bridge-count" in etree.tostring(scene.one("presence"))

    def test_a_room_that_hid_us_gets_our_presence_again(self):
        """C-121: who was in the room before has not seen our real JID."""
        scene = Scene(join=False)
        scene.mail(scene.presence("early001"))
        scene.lane_done(JOINED._replace(was_hidden=True))
        assert scene.one("presence").get("to") == ROOM + "/focus"


class TestMembers:
    def test_those_who_were_there_before_us_are_members(self):
        """C-412, C-416, C-433"""
        scene = Scene(join=False)
        scene.mail(scene.presence("early001"), scene.presence("early002"), scene.presence("gone0003"))
        scene.mail(scene.presence("gone0003", type="unavailable"))
        scene.lane_done(JOINED)
        assert list(scene.state.members) == ["early001", "early002"]
        assert len(scene.state.participants) == 2

    def test_invited_from_two_on(self):
        """C-650, C-651"""
        scene = Scene().join("anna0001")
        assert not scene.take("conference-modify")
        scene.join("bo000002")
        assert set(scene.state.participants) == {"anna0001", "bo000002"}

    def test_a_silent_client_delays_nobody_else(self):
        """C-641: the others are invited at once, the silent one after 5 s with the default features."""
        scene = Scene().bring_in("anna0001", "bo000002")
        scene.features = None
        scene.join("mute0003")
        assert not scene.take("conference-modify")
        scene.pass_time(5.1)
        slow = scene.one("ping")  # nobody is silent while our own server is behind
        scene.now += 2
        scene.mail(scene.answer(slow))
        assert not scene.take("conference-modify")
        scene.mail(scene.answer(scene.one("ping")))
        assert not scene.take("conference-modify")
        scene.pass_time(1.0)  # nor at once after that
        scene.mail(scene.answer(scene.one("ping")))
        request = scene.one("conference-modify")
        assert request.find(".//{jitsi:colibri2}endpoint").get("id") == "mute0003"

    def test_features_that_come_late_are_used(self):
        """C-640"""
        scene = Scene(features=None).join("anna0001", "bo000002")
        scene.mail(*[messages.FeaturesFound(n, "%s/%s" % (ROOM, n), CLIENT_FEATURES) for n in ("anna0001", "bo000002")])
        assert scene.take("conference-modify")

    def test_nickname_that_can_be_no_endpoint(self):
        """C-603: a member, but not invited."""
        scene = Scene().join("anna0001", "x" * 65)
        assert len(scene.state.members) == 2 and list(scene.state.participants) == ["anna0001"]

    def test_another_client_under_the_same_nickname(self):
        """C-606: leave and join, a new session for the new one."""
        scene = Scene().bring_in("anna0001", "bo000002")
        scene.mail(scene.presence("bo000002", real="carla@meet.example/c"))
        assert scene.state.participants["bo000002"].invite == 3
        assert scene.state.participants["bo000002"].phase != "active"

    def test_one_more_connection_under_the_same_nickname(self):
        """C-704: one member until the last of them goes, in whatever order the server lists them."""
        scene = Scene().bring_in("anna0001", "bo000002")
        two = ("<presence from='%s/bo000002'><x xmlns='http://jabber.org/protocol/muc#user'>"
               "<item jid='bo@meet.example/2' affiliation='none' role='participant'/>"
               "<item jid='bo000002@meet.example/r' affiliation='none' role='participant'/></x></presence>" % ROOM)
        scene.mail(messages.RoomPresence(stanza(two)))
        assert scene.state.participants["bo000002"].phase == "active"
        scene.mail(scene.presence("bo000002"))
        assert scene.state.participants["bo000002"].phase == "active" and not scene.sent

    def test_a_presence_without_item_changes_nothing(self):
        """C-604, T-30"""
        scene = Scene().bring_in("anna0001", "bo000002")
        scene.mail(messages.RoomPresence(stanza("<presence from='%s/anna0001'/>" % ROOM)))
        assert scene.state.members["anna0001"].role == "participant"


class TestOwner:
    def test_the_first_becomes_owner(self):
        """M-221, M-227: before and independent of any invitation."""
        scene = Scene().join("anna0001")
        item = scene.one("query").find(".//{http://jabber.org/protocol/muc#admin}item")
        assert item.attrib == {"affiliation": "owner", "jid": "anna0001@meet.example"}

    def test_the_next_in_line_follows(self):
        """M-222: the one who joined first of those who are left."""
        scene = Scene().join("anna0001")
        grant = scene.one("query")
        scene.mail(scene.answer(grant), scene.presence("anna0001", role="moderator", affiliation="owner"))
        scene.join("bo000002", "carla003").sent.clear()
        scene.leave("anna0001")
        assert "bo000002@meet.example" in etree.tostring(scene.one("query")).decode()

    def test_an_owner_that_is_there_is_remembered(self):
        """M-221 (2): nothing is granted."""
        scene = Scene()
        scene.mail(scene.presence("anna0001", role="moderator", affiliation="owner"))
        scene.join("bo000002")
        assert not scene.take("query")

    def test_after_a_refusal_the_next_is_tried(self):
        """M-213"""
        scene = Scene().join("anna0001", "bo000002")
        scene.mail(scene.answer(scene.one("query"), colibri_error("not-acceptable"), type="error"))
        scene.pass_time(2.1)
        assert "bo000002@" in etree.tostring(scene.one("query")).decode()

    def test_a_demoted_owner_is_not_elected_again(self):
        """M-225"""
        scene = Scene().join("anna0001")
        scene.mail(scene.presence("anna0001", role="moderator", affiliation="owner")).sent.clear()
        scene.mail(scene.presence("anna0001"))
        assert not scene.take("query")
        scene.pass_time(61).join("bo000002")
        assert "bo000002@" in etree.tostring(scene.one("query")).decode()

    def test_services_never_moderate(self):
        """M-224: also when they only claim to be one."""
        scene = Scene()
        scene.mail(scene.presence("rec00001", extra="<features><feature var='http://jitsi.org/protocol/jibri'/></features>"))
        assert not scene.take("query")

    def test_switched_off(self):
        """M-206"""
        assert not Scene(enable_auto_owner="false").join("anna0001").take("query")


class TestEnd:
    def test_nobody_comes(self):
        """C-801"""
        scene = Scene().pass_time(14.9)
        assert not scene.ended
        scene.ask().pass_time(14.9)
        assert not scene.ended
        scene.pass_time(0.2)
        assert scene.one("presence").get("type") == "unavailable" and scene.ended

    def test_empty_room(self):
        """C-810, C-820, C-821: bridges first, then the room; nobody gets a session-terminate."""
        scene = Scene().bring_in("anna0001", "bo000002")
        scene.leave("anna0001", "bo000002").pass_time(1.1)
        assert scene.ended
        assert not scene.take("session-terminate")
        request, presence = scene.take("conference-modify")[-1], scene.one("presence")
        assert request[0].get("expire") == "true" and presence.get("type") == "unavailable"

    def test_an_answered_asker_is_waited_for(self):
        """C-816"""
        scene = Scene().join("anna0001").ask()
        scene.leave("anna0001").pass_time(5)
        assert not scene.ended
        scene.join("bo000002").pass_time(30)
        assert not scene.ended

    def test_alone(self):
        """C-802, J-126: after 20 s the session ends with `expired`, the member stays."""
        scene = Scene().bring_in("anna0001", "bo000002")
        scene.leave("bo000002").pass_time(20.1)
        terminate = scene.one("session-terminate")
        reason = terminate[0].find("{urn:xmpp:jingle:1}reason")
        assert reason[0].tag.endswith("expired") and reason[1].text == "Idle session timeout"
        assert scene.state.members and not scene.state.participants and not scene.ended
        assert scene.take("conference-modify")[-1][0].get("expire") == "true"

    def test_a_third_makes_it_a_call_again(self):
        """C-808: all members are invited anew."""
        scene = Scene().bring_in("anna0001", "bo000002")
        scene.leave("bo000002").pass_time(23).bring_in("carla003")
        assert {p.phase for p in scene.state.participants.values()} == {"offered", "active"}

    def test_a_rejoin_in_time_keeps_the_session(self):
        """C-802: stopped by a join."""
        scene = Scene().bring_in("anna0001", "bo000002")
        scene.leave("bo000002").pass_time(10).join("carla003").pass_time(11)
        assert not scene.take("session-terminate")

    def test_to_a_breakout_room(self):
        """C-812: the initial time-out runs instead."""
        scene = Scene().join("anna0001")
        scene.mail(scene.presence("anna0001", type="unavailable", extra="<status>switch_room</status>"))
        scene.pass_time(10)
        assert not scene.ended
        scene.pass_time(6)
        assert scene.ended

    def test_room_destroyed(self):
        """C-713, T-28: at once, nothing is sent to the room."""
        scene = Scene().bring_in("anna0001", "bo000002")
        scene.mail(messages.RoomPresence(stanza(
            "<presence type='unavailable' from='%s/focus'><x xmlns='http://jabber.org/protocol/muc#user'><destroy>"
            "<reason>over</reason></destroy><item affiliation='none' role='none'/></x></presence>" % ROOM)))
        assert scene.ended and not scene.take("presence")
        assert scene.one("conference-modify")[0].get("expire") == "true"

    def test_a_request_in_the_last_turn_is_asked_again(self):
        """C-815"""
        scene = Scene()
        scene.now += 15
        iq = stanza("<iq type='set' id='late' from='a@b/c'><conference xmlns='http://jitsi.org/protocol/focus' "
                    "room='%s'/></iq>" % ROOM)
        scene.mail(messages.Wake(), messages.Asked("client", iq, {}))
        assert scene.ended and answer_of(scene.one("conference")).get("ready") == "false"


class TestRemoved:
    def test_a_kick_brings_it_back(self):
        """C-711, C-712: members, bridges and sessions stay; who has gone meanwhile has left."""
        scene = Scene().bring_in("anna0001", "bo000002", "carla003")
        scene.mail(scene.presence("focus", type="unavailable", role="none", affiliation="owner", codes="307 110"))
        assert scene.lanes[0].kind == "join"
        scene.mail(scene.presence("anna0001"), scene.presence("bo000002"))
        scene.lane_done(JOINED)
        assert set(scene.state.participants) == {"anna0001", "bo000002"}
        assert not scene.take("session-terminate") and not scene.take("session-initiate")

    def test_a_failed_way_back_is_tried_again(self):
        """C-712: with growing pauses, and the members are kept."""
        scene = Scene().bring_in("anna0001", "bo000002")
        scene.mail(scene.presence("focus", type="unavailable", role="none", codes="333"))
        scene.lane_done(JoinOutcome(error="service-unavailable"))
        assert not scene.lanes
        scene.pass_time(1.1)
        assert scene.lanes[0].kind == "join"

    def test_a_ban_ends_it(self):
        scene = Scene().bring_in("anna0001", "bo000002")
        scene.mail(scene.presence("focus", type="unavailable", role="none", affiliation="outcast", codes="301 110"))
        assert scene.ended

    def test_after_a_fresh_login_it_stands_in_the_room_again(self):
        """C-1033"""
        scene = Scene().bring_in("anna0001", "bo000002")
        scene.mail(messages.ConnectionBack(False))
        scene.mail(scene.presence("anna0001"), scene.presence("bo000002"))
        scene.lane_done(JOINED)
        assert not scene.take("session-terminate")
        scene.mail(messages.ConnectionBack(True))
        assert not scene.lanes
