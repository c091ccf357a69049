"""A conference in trouble: removed while entering, cut off, kicked again and again, asked at the wrong moment."""
from __future__ import annotations

from typing import Any, List

import pytest

from focus.bridge.finding.brewery import Brewery
from focus.bridge.pool import Bridges
from focus.conference import messages
from focus.features import FeatureFinder
from focus.requests import Requests
from focus.stanzas.member import MemberInfo
from focus.stanzas.stanza import Iq
from focus.values.rooms import JoinOutcome
from tests.support.harness import (
    BRIDGE,
    CLIENT_TRANSPORT,
    JOINED,
    ROOM,
    Scene,
    Stats,
    colibri_error,
    condition,
    content,
    source,
    stanza,
)


def ready(element):
    return element.find("{http://jitsi.org/protocol/focus}conference").get("ready")


class TestAskedAtTheWrongMoment:
    def test_in_the_second_after_the_last_one_left(self):
        """C-816, U-118: the page reload of someone who is alone."""
        scene = Scene().join("anna0001")
        scene.leave("anna0001").pass_time(0.5).ask()
        assert ready(scene.one("conference")) == "true"
        scene.pass_time(10)
        assert not scene.ended
        scene.pass_time(6)
        assert scene.ended

    @pytest.mark.parametrize("what", ["<destroy/>", "<status code='301'/>"])
    def test_nobody_is_left_without_an_answer(self, what):
        """C-260, T-1: the room is taken from us while it is being entered."""
        scene = Scene(join=False).ask()
        scene.mail(scene.presence("focus", affiliation="owner"))
        scene.mail(messages.RoomPresence(stanza(
            "<presence type='unavailable' from='%s/focus'><x xmlns='http://jabber.org/protocol/muc#user'>%s"
            "<item affiliation='none' role='none'/></x></presence>" % (ROOM, what))))
        assert scene.ended and ready(scene.one("conference")) == "false"

    def test_while_the_stream_is_down(self):
        """C-224: held up to 5 s, then ready='false'; nothing is left of it."""
        scene = Scene(join=False)
        scene.lanes.clear()
        scene.state.lanes.clear()
        scene.up = False
        scene.ask().pass_time(5.1)
        assert ready(scene.one("conference")) == "false" and scene.ended and not scene.sent

    def test_of_a_joined_room_while_the_stream_is_down(self):
        """U-124: `true` would be a guess; after the resumption it is one no more."""
        scene = Scene().join("anna0001")
        scene.up = False
        scene.ask()
        assert not scene.take("conference")
        scene.up = True
        scene.mail(messages.ConnectionBack(True, 1.0))
        assert ready(scene.one("conference")) == "true"


class TestEntering:
    def test_begun_without_a_stream_it_is_entered_when_the_stream_is_back(self):
        """C-224, C-711: also when the stream was resumed."""
        scene = Scene().bring_in("anna0001", "bo000002")
        scene.up = False
        scene.mail(scene.presence("focus", type="unavailable", role="none", codes="307"))
        assert not scene.lanes
        scene.up = True
        scene.mail(messages.ConnectionBack(True, 1.0))
        assert scene.lanes[0].kind == "join"

    def test_removed_between_presence_and_configuration(self):
        """C-711, U-124: we don't believe to be inside."""
        scene = Scene(join=False).ask()
        scene.mail(scene.presence("focus", affiliation="owner", role="moderator"))
        scene.mail(scene.presence("focus", type="unavailable", role="none", affiliation="owner", codes="307"))
        scene.lane_done(JOINED)
        assert not scene.take("conference")
        scene.pass_time(1.1)
        assert scene.lanes[0].kind == "join"

    def test_the_echo_of_an_earlier_leave_is_no_removal(self):
        """C-815"""
        scene = Scene(join=False).ask()
        scene.mail(scene.presence("focus", type="unavailable", role="none"))
        scene.lane_done(JOINED)
        assert ready(scene.one("conference")) == "true"

    @pytest.mark.parametrize("error, lane", [("not-authorized", "read-password"), ("conflict", "free-nick")])
    def test_the_way_back_knows_passwords_and_impostors(self, error, lane):
        """C-712, C-431, C-432"""
        scene = Scene().bring_in("anna0001", "bo000002")
        scene.mail(scene.presence("focus", type="unavailable", role="none", codes="307"))
        scene.lane_done(JoinOutcome(error=error))
        assert scene.lanes[0].kind == lane
        scene.lane_done(None)
        assert not scene.ended and "rejoin" in scene.state.timers

    def test_not_wanted_any_more(self):
        """C-711: members of a room that refuses us could not even leave."""
        scene = Scene().bring_in("anna0001", "bo000002")
        scene.mail(scene.presence("focus", type="unavailable", role="none", codes="307"))
        scene.lane_done(JoinOutcome(error="forbidden"))
        assert scene.ended

    def test_kicked_again_and_again(self):
        """C-712: at once, then with growing pauses."""
        scene = Scene().bring_in("anna0001", "bo000002")
        pauses = []
        for _ in range(5):
            scene.mail(scene.presence("focus", type="unavailable", role="none", codes="307"))
            began = scene.now
            while not scene.lanes:
                scene.pass_time(0.5)
            pauses.append(scene.now - began)
            scene.mail(scene.presence("anna0001"), scene.presence("bo000002"))
            scene.mail(scene.presence("focus", affiliation="owner"))
            scene.lane_done(JOINED)
        assert pauses[0] == 0 and pauses == sorted(pauses) and pauses[-1] >= 4
        assert len(scene.state.participants) == 2

    def test_a_room_made_anew(self):
        """C-1037: all are invited again, on a conference of the new meeting id."""
        scene = Scene().bring_in("anna0001", "bo000002")
        scene.mail(messages.ConnectionBack(False))
        scene.mail(scene.presence("anna0001"), scene.presence("bo000002"))
        scene.lane_done(JOINED._replace(meeting_id="meeting-2")).pass_time(2.1)
        created = [r for r in scene.take("conference-modify") if r[0].get("create")]
        assert [r[0].get("meeting-id") for r in created] == ["meeting-2"]

    def test_an_allocation_that_comes_while_we_are_outside(self):
        """J-123: the offer waits for our return, and nothing is asked twice."""
        scene = Scene().bring_in("anna0001", "bo000002")
        scene.join("carla003")
        create = scene.one("conference-modify")
        scene.mail(scene.presence("focus", type="unavailable", role="none", codes="307"), scene.allocated(create))
        assert not scene.take("session-initiate")
        scene.mail(*[scene.presence(nick) for nick in ("anna0001", "bo000002", "carla003")]).lane_done(JOINED)
        assert scene.one("session-initiate").get("to") == ROOM + "/carla003"
        assert not scene.take("conference-modify")

    def test_alone_after_the_way_back(self):
        """C-705, C-802"""
        scene = Scene().bring_in("anna0001", "bo000002")
        scene.mail(scene.presence("focus", type="unavailable", role="none", codes="307"))
        scene.mail(scene.presence("anna0001")).lane_done(JOINED)
        scene.sent.clear()
        scene.pass_time(20.1)
        assert scene.one("session-terminate").get("to") == ROOM + "/anna0001"

    def test_a_meeting_id_of_another_room(self):
        """C-426: not used towards bridges."""
        scene = Scene(join=False)
        scene.conference._around = scene.conference._around._replace(claim_meeting=lambda *_: False)
        scene.lane_done(JOINED)
        assert scene.state.meeting_id not in ("", "meeting-1")


class TestCutOff:
    def test_no_timer_runs_without_a_stream(self):
        """C-1034: a client that was told to come comes while we can't see it."""
        scene = Scene().ask()
        scene.up = False
        scene.mail()
        scene.pass_time(100)
        assert not scene.ended
        scene.up = True
        scene.mail(messages.ConnectionBack(True, 100.0)).pass_time(14)
        assert not scene.ended
        scene.pass_time(3)
        assert scene.ended

    def test_what_is_due_leaves_time_for_the_replay(self):
        scene = Scene().ask()
        scene.pass_time(14.9)
        scene.up = False
        scene.mail()
        scene.now += 1
        scene.up = True
        scene.mail(messages.ConnectionBack(True, 1.0)).join("anna0001").pass_time(30)
        assert not scene.ended


class TestOwnerAgain:
    def test_the_only_one_is_asked_for_once_more(self):
        """M-213: after the minute."""
        scene = Scene().join("anna0001")
        scene.mail(scene.answer(scene.one("query"), colibri_error("not-allowed"), type="error"))
        scene.pass_time(50)
        assert not scene.take("query")
        scene.pass_time(12)
        scene.mail(scene.answer(scene.one("query"), colibri_error("not-allowed"), type="error"))
        scene.pass_time(300)
        assert not scene.take("query")


class TestTransports:
    def test_each_goes_to_the_bridge_as_it_came(self):
        """J-566, KT-6: the role in the accept isn't lost to what an old client sends right after it."""
        scene = Scene().bring_in("anna0001", "bo000002", accept=False)
        without_role = CLIENT_TRANSPORT.replace(" setup='active'", "").replace("ufrag='u'", "ufrag='v'")
        scene.mail(scene.accept("anna0001"),
                   scene.jingle("anna0001", "transport-info", "<content name='0'>%s</content>" % without_role))
        first, second = scene.take("conference-modify")
        fingerprint = ".//{urn:xmpp:jingle:apps:dtls:0}fingerprint"
        assert first.find(fingerprint).get("setup") == "active" and second.find(fingerprint).get("setup") is None
        scene.mail(scene.timeout(second))
        assert scene.one("conference-modify").find(fingerprint).get("setup") == "active"


class TestUnreadRequests:
    @pytest.mark.parametrize("answers", [True, False])
    def test_the_log_says_whose_fault_it_may_be(self, caplog, answers):
        """K-113, KT-14: a bridge that answers others, but not this, may not have been able to read it."""
        scene = Scene().join("anna0001", "bo000002")
        request = scene.one("conference-modify")
        if answers:
            scene.bridges.signs.answered(Iq("result", "h1", "", BRIDGE), scene.now + 1)
        scene.now += 15
        scene.mail(scene.timeout(request))
        assert ("which would be our mistake" in caplog.text) is answers


class TestSenderLimits:
    def test_are_published(self):
        """C-510, M-563: reached at once, over after two seconds."""
        scene = Scene(max_video_senders=1).bring_in("anna0001", "bo000002").pass_time(5)
        unmuted = "<SourceInfo>{&quot;anna0001-v0&quot;:{&quot;muted&quot;:false}}</SourceInfo>"
        scene.mail(scene.presence("anna0001", extra=unmuted))
        assert scene.state.published.properties["video-limit-reached"] == "true"
        assert scene.take("presence")
        scene.mail(scene.presence("anna0001", extra="<SourceInfo>{}</SourceInfo>")).pass_time(1.9)
        assert scene.state.published.properties["video-limit-reached"] == "true"
        scene.pass_time(0.2)
        assert scene.state.published.properties["video-limit-reached"] == "false"

    def test_claims_without_a_source_count_for_nothing(self):
        """M-1116"""
        scene = Scene(max_video_senders=1).bring_in("anna0001", "bo000002", accept=False)
        unmuted = "<SourceInfo>{&quot;anna0001-v0&quot;:{&quot;muted&quot;:false}}</SourceInfo>"
        scene.mail(scene.presence("anna0001", extra=unmuted))
        scene.mail(scene.accept("bo000002"))
        scene.sent.clear()
        scene.mail(scene.jingle("bo000002", "source-add", content("video", source("bo000002", "v", 5, 1))))
        assert scene.take("result")


class Network:
    """What the finder and the brewery are given: nothing but lists."""

    def __init__(self):
        self.now = 0.0
        self.sent: List[str] = []
        self.found: List[Any] = []
        self.requests = Requests(lambda: self.now, lambda _, text: self.sent.append(text), self.new_id, "s", 15.0)
        self.requests.connected(resumed=False)
        self.finder = FeatureFinder(self.requests, lambda _, text: self.sent.append(text), self.new_id,
                                    lambda *found: self.found.append(found))
        self.ids = 0

    def new_id(self):
        self.ids += 1
        return "i%d" % self.ids

    def pass_time(self, seconds):
        """Our own server answers each ping at once."""
        until = self.now + seconds
        due = self.requests.next_deadline()
        while due is not None and due <= until:
            self.now = max(self.now, due)
            self.requests.due(self.now)
            self.requests.answered("client", Iq("result", "i%d" % self.ids, "", "s"))
            due = self.requests.next_deadline()
        self.now = until


def info(ver="v1"):
    from focus.stanzas.caps import Caps
    return MemberInfo(caps=Caps("node", ver, "sha-1"))


class TestDiscovery:
    def test_one_question_serves_all(self):
        """C-643"""
        from focus.stanzas.caps import Caps, compute_ver
        from focus.stanzas.disco import DiscoInfo
        answer = DiscoInfo(None, (), ("urn:xmpp:jingle:apps:rtp:audio", "urn:xmpp:jingle:apps:rtp:video"))
        caps = MemberInfo(caps=Caps("node", compute_ver(answer) or "", "sha-1"))
        network = Network()
        for nick in "abc":
            assert network.finder.discover("r@c", caps, "r@c/" + nick) is None
        assert len(network.sent) == 1
        network.requests.answered("client", Iq("result", "i1", "", "r@c/a", answer))
        assert [nick for _, nick, _, features in network.found if features.video] == ["a", "b", "c"]
        known = network.finder.discover("r@c", caps, "r@c/d")
        assert known is not None and known.video

    def test_a_silent_one_spoils_nothing_for_the_next(self):
        """C-641: the next of the same version is asked after a second; the silent one's late answer counts for it."""
        network = Network()
        network.finder.discover("r@c", info(), "r@c/a")
        network.finder.discover("r@c", info(), "r@c/b")
        network.pass_time(1.1)
        asked = [text for text in network.sent if "disco#info" in text]
        assert len(asked) == 2 and "r@c/b" in asked[1]
        from focus.stanzas.disco import DiscoInfo
        network.requests.answered("client", Iq("result", "i1", "", "r@c/a", DiscoInfo(
            None, (), ("urn:xmpp:jingle:apps:rtp:audio",))))
        assert network.found[0][1] == "a" and network.found[0][3].audio

    def test_an_answer_that_proves_nothing_stays_with_its_member(self):
        """C-640"""
        from focus.stanzas.disco import DiscoInfo
        network = Network()
        network.finder.discover("r@c", info(), "r@c/a")
        network.finder.discover("r@c", info(), "r@c/b")
        network.requests.answered("client", Iq("result", "i1", "", "r@c/a", DiscoInfo(None, (), ("urn:x",))))
        assert len(network.finder) == 0 and [found[1] for found in network.found] == ["a"]
        assert len([text for text in network.sent if "disco#info" in text]) == 2


class TestBrewery:
    def brewery(self):
        self.now = 0.0
        self.joins: List[Any] = []
        self.told: List[Any] = []
        self.expired: List[str] = []
        self.bridges = Bridges()
        self.bridges.heard(BRIDGE, Stats(stress_level=0.1, drain=False), None, 0.0)
        brewery = Brewery("jvbbrewery@internal.auth.meet.example", self.bridges, lambda: self.now,
                          lambda row, done: self.joins.append(done), self.told.append,
                          lambda: "lane%d" % len(self.joins), lambda bridge, owed: self.expired.append(owed.meeting_id),
                          lambda bridge: None)
        brewery.connected(resumed=False)
        return brewery

    def test_a_resumed_stream_does_not_enter_twice(self):
        """S-114"""
        brewery = self.brewery()
        brewery.connected(resumed=True)
        assert len(self.joins) == 1

    def test_only_the_newest_attempt_counts(self):
        brewery = self.brewery()
        brewery.connected(resumed=False)
        self.joins[0](JOINED)
        assert not brewery.inside
        self.joins[1](JOINED)
        assert brewery.inside and not [event for event in self.told if event.kind == "lost"]
        self.now = brewery.absent_until
        brewery.check_absent()
        assert [event.kind for event in self.told][-1:] == ["lost"]

    def test_nobody_is_judged_by_an_outage(self):
        """DESIGN, "Coming back": a bridge's last sign of life is now."""
        brewery = self.brewery()
        self.now = 100.0
        brewery._standing.present = (BRIDGE,)
        self.joins[-1](JOINED)
        assert [self.bridges.signs.heard_at(bridge) for bridge in self.bridges] == [100.0]

    @pytest.mark.parametrize("present", [True, False])
    def test_what_is_owed_after_an_absence(self, present):
        """B-107, K-350, T-38: a conference that ended while nobody was in the brewery is expired when both are back."""
        brewery = self.brewery()
        self.bridges.debts.owe(BRIDGE, "m1", self.now)
        brewery._standing.present = (BRIDGE,) * present
        self.joins[-1](JOINED)
        assert self.expired == ["m1"] * present
        if not present:
            brewery.presence(stanza(
                "<presence from='%s'><stats xmlns='http://jitsi.org/protocol/colibri'><stat name='stress_level' "
                "value='0.1'/></stats><x xmlns='http://jabber.org/protocol/muc#user'><item/></x></presence>" % BRIDGE))
            assert self.expired == ["m1"] and ("known", BRIDGE) in [event[:2] for event in self.told]

    def test_a_refused_entry_is_tried_again(self, caplog):
        """S-111, U-18"""
        brewery = self.brewery()
        self.joins[0](JoinOutcome(error="not-allowed"))
        assert "Failed to create room: jvbbrewery@" in caplog.text
        assert brewery.retry_at == 15.0


def test_a_limit_needs_no_answer_twice():
    """J-510: what a turn has said before it failed is withdrawn: one answer is sent."""
    from focus.conference import session
    scene = Scene().bring_in("anna0001", "bo000002")

    def answers_and_fails(turn, participant, iq, request):
        turn.result(iq)
        raise ValueError("ours")

    original = session.HANDLERS["source-add"]
    session.HANDLERS["source-add"] = answers_and_fails
    try:
        scene.mail(scene.jingle("anna0001", "source-add"))
    finally:
        session.HANDLERS["source-add"] = original
    assert condition(scene.one("refusal")) == "internal-server-error" and not scene.take("result")
