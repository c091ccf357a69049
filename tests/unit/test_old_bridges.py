"""Calls on a bridge that speaks Colibri 1: channels on the wire, as any other for the conference (colibri.md 7, 8)."""
from __future__ import annotations

from typing import Any, List, Optional
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from focus.conference import conference as module
from focus.conference import messages
from focus.conference.offer import Features
from focus.conference.state import BridgeSession
from focus.journal.codec import CODEC
from focus.values.channels import Channels
from tests.support.bridge1 import SHUTDOWN, OldBridgeModel
from tests.support.generation_room import discovered
from tests.support.generations import GENERATIONS, Generation
from tests.support.harness import (
    BRIDGE,
    CLIENT_FEATURES,
    COLIBRI_ERROR,
    ROOM,
    SECOND_BRIDGE,
    Scene,
    Stats,
    accept_contents,
    content,
    kinds,
    source,
    xml,
)
from tests.wire.mutation import mutate, mutations

OLD = dict(stress_level=0.0, drain=False, version="2.1")
REWRITING = CLIENT_FEATURES._replace(ssrc_rewriting=True, rtp_mid_demux=True)


class OldScene(Scene):
    """A scene whose first bridge speaks Colibri 1, as the operator says if nothing else tells."""

    def __init__(self, bridges: int = 1, features: Optional[Features] = CLIENT_FEATURES, early: bool = False,
                 sctp: bool = True, said: bool = True, **options: Any) -> None:
        self.model = OldBridgeModel(sctp=sctp, early=early)
        super().__init__(bridges, features, **options)
        if said:
            self.bridges.dialects._colibri1 = frozenset(("jvb1",))

    def proper_answer(self, request: Any) -> messages.Answered:
        """The model's answer to what is for the old bridge, a healthy peer's to all else."""
        if is_channels(request):
            kind, payload = self.model.answer(request[0])
            return self.answer(request, payload, type=kind)
        assert not (request.get("to") == BRIDGE and "conference-modify" in kinds(request)), xml(request)
        return super().proper_answer(request)

    def check(self) -> None:
        """At the end: nothing was asked that such a bridge doesn't know, and nothing is left there."""
        assert self.model.violations == []
        assert self.model.leaks() == []

    def endpoint(self, nick: str, media: str = "video") -> Any:
        """The live channel of a participant."""
        for conference in self.model.conferences.values():
            channel = conference.channel(media, nick)
            if channel is not None:
                return channel
        return None


def old(*arguments: Any, **options: Any) -> Any:
    """A scene with an old bridge."""
    return OldScene(*arguments, **options)


def is_channels(request: Any) -> bool:
    return len(request) > 0 and request[0].tag == "{http://jitsi.org/protocol/colibri}conference"


def refused(scene: Scene, request: Any, condition: str, text: str = "", extra: str = "") -> messages.Answered:
    """A Colibri 1 error; its text as the old library wrote it."""
    words = "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>%s</text>" % text if text else ""
    return scene.answer(request, COLIBRI_ERROR % (condition, words + extra), type="error")


class TestACall:
    @pytest.mark.parametrize("early", [False, True])
    def test_from_join_to_end(self, early):
        """K-701, K-702, K-710 to K-714, K-721, K-730, K-731: what the sheet's example does, and nothing is left."""
        scene = old(early=early).join("anna0001", "bo000002", "carla003")
        create = scene.one("conference")
        assert create.get("type") == "set" and create[0].get("id") is None
        assert create[0].get("name") == ROOM and create[0].get("meeting-id") == "meeting-1"
        assert not scene.take("conference")  # the others wait for the id
        scene.mail(scene.proper_answer(create))
        others = scene.take("conference")
        assert {r[0].get("id") for r in others} == set(scene.model.conferences) and len(others) == 2
        offer = scene.one("session-initiate")
        assert "jvb-a0" in xml(offer)
        assert "411312308" in xml(offer) and "3929652146" in xml(offer) and "rtcp-mux" in xml(offer)
        scene.mail(*[scene.proper_answer(r) for r in others], scene.answer(offer)).settle()
        scene.mail(*[scene.accept(nick, n) for n, nick in enumerate(("anna0001", "bo000002", "carla003"), 1)])
        updates = scene.take("conference")
        assert len(updates) == 3 and updates[0].find(".//{*}channel[@direction='sendrecv']") is not None
        scene.sent += updates
        scene.settle()
        conference = next(iter(scene.model.conferences.values()))
        assert scene.endpoint("bo000002").ssrcs == (2000001,)
        assert scene.endpoint("bo000002", "audio").names == ("bo000002-a0",)
        assert conference.transports["anna0001"][0].setup == "active"
        assert conference.labels["anna0001"] == "S-anna0001"
        scene.leave("carla003")
        scene.settle()
        assert conference.endpoints == {"anna0001", "bo000002"} and scene.model.created == 1
        scene.leave("anna0001", "bo000002").settle()
        scene.check()

    def test_sources_change(self):
        """K-708, K-722, K-723: the full list of each kind, empty markers for none, the direction every time."""
        scene = old().bring_in("anna0001", "bo000002")
        more = content("video", source("anna0001", "v", 77, 1) + source("anna0001", "v", 78, 1) + (
            "<ssrc-group xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' semantics='FID'><source ssrc='77'/><source ssrc='78'/>"
            "</ssrc-group>"))
        scene.mail(scene.jingle("anna0001", "source-add", more)).settle()
        assert scene.endpoint("anna0001").ssrcs == (1000001, 77, 78)
        assert scene.endpoint("anna0001").groups == (("FID", (77, 78)),)
        scene.mail(scene.jingle("anna0001", "source-remove", more)).settle()
        assert scene.endpoint("anna0001").ssrcs == (1000001,) and scene.endpoint("anna0001").groups == ()
        scene.mail(scene.jingle("anna0001", "source-remove", accept_contents("anna0001", 1))).settle()
        assert scene.endpoint("anna0001").ssrcs == () == scene.endpoint("anna0001", "audio").ssrcs
        scene.leave("anna0001", "bo000002").settle().check()

    def test_transport_and_last_n(self):
        """K-725, K-726: a transport alone goes with the bundle and touches no channel."""
        scene = old().bring_in("anna0001", "bo000002")
        scene.mail(scene.jingle("bo000002", "transport-info", content(
            "audio", "", "<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='u' pwd='p'><candidate id='1'/>"
                         "</transport>")))
        request = scene.one("conference")
        assert request.find(".//{*}channel") is None and request.find(".//{*}candidate") is not None
        scene.sent.append(request)
        scene.settle()
        scene.join("carla003").settle()
        last_n = "<initial-last-n xmlns='jitsi:colibri2' value='3'/>"
        video = content("video", source("carla003", "v", 55)).replace("</content>", last_n + "</content>")
        scene.mail(scene.jingle("carla003", "session-accept", video)).settle()
        assert scene.endpoint("carla003").last_n == 3
        assert scene.endpoint("carla003", "audio").last_n is None
        scene.leave("anna0001", "bo000002", "carla003").settle().check()

    def test_what_it_cannot_do_is_not_asked_of_it(self):
        """Section 8: no rewriting, no mid, no mixed headers; the client is told of the others' sources."""
        scene = old(features=REWRITING).bring_in("anna0001", "bo000002").join("carla003")
        request = scene.one("conference")
        scene.mail(scene.proper_answer(request))
        offer = xml(scene.one("session-initiate"))
        for text in ("extmap-allow-mixed", "sdes:mid"):
            assert text not in offer and text not in xml(request)
        assert '"s":1000001' in offer.replace("&quot;", '"')
        assert not scene.state.participants["carla003"].rewriting
        other = Scene(features=REWRITING).bring_in("anna0001", "bo000002", accept=False).join("carla003")
        assert "sdes:mid" in xml(other.one("conference-modify"))

    def test_a_visitor_sends_nothing(self):
        """K-1123: there is no word for visitors, so the bridge takes nothing from their channels."""
        scene = old(visitors_enabled="true").bring_in("anna0001", "bo000002")
        scene.mail(scene.presence("vera0004", role="visitor")).settle()
        assert {scene.endpoint("vera0004", media).direction for media in ("audio", "video")} == {"sendonly"}
        scene.mail(scene.jingle("vera0004", "session-accept", content("audio", ""))).settle()
        assert scene.endpoint("vera0004").direction == "sendonly"
        assert scene.model.violations == []

    def test_ice_restart_gets_a_new_session(self):
        """Section 8: there is no form for it; the participant is invited again, once, within its budget."""
        scene = old().bring_in("anna0001", "bo000002")
        sid = scene.state.participants["anna0001"].sid
        restart = "<bridge-session xmlns='http://jitsi.org/protocol/focus' id='%s' ice-restart='true'/>" % (
            scene.state.participants["anna0001"].bridge_session)
        scene.mail(scene.jingle("anna0001", "session-info", restart))
        assert scene.one("session-terminate").get("to") == ROOM + "/anna0001"
        scene.settle()
        participant = scene.state.participants["anna0001"]
        assert participant.sid not in ("", sid) and scene.endpoint("anna0001") is not None
        assert scene.state.participants["bo000002"].phase == "active"
        scene.leave("anna0001", "bo000002").settle().check()


class TestOrder:
    def test_who_leaves_before_its_channels_are_known(self):
        """K-475: expired when the answer has told their ids, also if it was the last one of its session."""
        scene = old().bring_in("anna0001", "bo000002").join("carla003")
        create = scene.one("conference")
        scene.leave("carla003")
        assert not scene.take("conference")
        scene.mail(scene.proper_answer(create))
        expire = scene.one("conference")
        assert expire.find(".//{*}sctpconnection").get("expire") == "0"
        scene.sent.append(expire)
        scene.settle()
        assert next(iter(scene.model.conferences.values())).endpoints == {"anna0001", "bo000002"}
        scene.leave("anna0001", "bo000002").settle().check()

    def test_all_leave_while_the_conference_is_made(self):
        scene = old().join("anna0001", "bo000002")
        create = scene.one("conference")
        scene.leave("anna0001", "bo000002")
        scene.mail(scene.proper_answer(create)).settle()
        assert scene.model.created == 1
        scene.check()

    def test_who_comes_back_waits_for_its_expiry(self):
        """K-132: the same id is asked for again only when its old channels have gone."""
        scene = old().bring_in("anna0001", "bo000002", "carla003").leave("carla003")
        expire = scene.one("conference")
        scene.join("carla003")
        assert not scene.take("conference")
        scene.mail(scene.proper_answer(expire))
        create = scene.one("conference")
        assert create.find(".//{*}channel").get("endpoint") == "carla003"
        scene.sent.append(create)
        scene.settle()
        assert scene.endpoint("carla003") is not None
        scene.leave("anna0001", "bo000002", "carla003").settle().check()

    def test_a_late_answer_to_an_expiry(self):
        """The new channels of one who came back stay in the table."""
        scene = old().bring_in("anna0001", "bo000002", "carla003").leave("carla003")
        expire = scene.one("conference")
        late = scene.proper_answer(expire)
        scene.join("carla003").pass_time(2.1).settle()
        before = scene.state.bridges[BRIDGE].channels["carla003"]
        scene.mail(late)
        assert before.known and scene.state.bridges[BRIDGE].channels["carla003"] == before
        scene.leave("anna0001", "bo000002", "carla003").settle().check()

    def test_the_next_conference_waits_for_nothing(self):
        """K-701: everybody is replaced in one turn; the new conference has a new id."""
        scene = old().bring_in("anna0001", "bo000002")
        scene.mail(*[scene.presence(nick, type="unavailable", role="none") for nick in ("anna0001", "bo000002")],
                   *[scene.presence(nick) for nick in ("carla003", "dan00004")])
        requests = scene.take("conference")
        assert [r.find(".//{*}channel").get("expire") for r in requests] == ["0", None]
        assert requests[1][0].get("id") is None
        scene.sent += requests
        scene.settle()
        assert scene.model.created == 2
        scene.leave("carla003", "dan00004").settle().check()


class TestRestart:
    def test_another_process_goes_on(self):
        """The table is in the journal: sources, leaving and the end work as before."""
        scene = old().bring_in("anna0001", "bo000002").restart()
        session = scene.state.bridges[BRIDGE]
        assert session.dialect == 1 and session.conference in scene.model.conferences
        assert [entry.endpoint for entry in session.channels.values()] == ["anna0001", "bo000002"]
        scene.mail(scene.jingle("bo000002", "source-add", content("audio", source("bo000002", "a", 88, 1)))).settle()
        assert scene.endpoint("bo000002", "audio").ssrcs == (2000000, 88)
        scene.join("carla003").settle()
        assert scene.model.created == 1
        scene.leave("bo000002", "carla003").settle()
        scene.restart().leave("anna0001").settle().check()

    def test_an_answer_for_the_next_process(self):
        """What was asked before the restart is answered after it."""
        scene = old().join("anna0001", "bo000002")
        create = scene.one("conference")
        scene.restart().mail(scene.proper_answer(create)).settle()
        assert scene.state.participants["bo000002"].phase == "offered"
        scene.leave("anna0001", "bo000002").settle().check()

    def test_an_older_journal(self):
        """Rows of a version that knew Colibri 2 only."""
        scene: Any = Scene().bring_in("anna0001", "bo000002")
        for (kind, key), (order, value) in list(scene.journal.items()):
            if kind == "bridge":
                fields = CODEC._shape(type(scene.state.bridges[BRIDGE]).__mro__[2])
                scene.journal[kind, key] = (order, older(value, len(fields.names) - 2))
        assert scene.restored().bridges[BRIDGE].dialect == 2

    def test_a_turn_that_fails_is_undone(self, monkeypatch):
        """The table comes back with the session (DESIGN, "Poison")."""
        scene = old().bring_in("anna0001", "bo000002")
        before = dict(scene.state.bridges[BRIDGE].channels)
        settle = module.SETTLE

        def fail(turn):
            raise RuntimeError("on purpose")

        monkeypatch.setattr(module, "SETTLE", (*settle, fail))
        scene.leave("anna0001", "bo000002")
        monkeypatch.setattr(module, "SETTLE", settle)
        assert not scene.take("conference")
        session = scene.state.bridges[BRIDGE]
        assert dict(session.channels) == before and session.conference in scene.model.conferences
        scene.leave("anna0001", "bo000002").settle().check()

    def test_after_a_stream_that_could_not_be_resumed(self):
        """DESIGN, "Coming back, refused": what was being made is made again, the rest is probed."""
        scene = old().bring_in("anna0001", "bo000002").join("carla003")
        scene.take("conference")
        scene.leave("bo000002")
        scene.take("conference")
        scene.mail(messages.ConnectionBack(False, 1.0))
        requests = scene.take("conference")
        assert [r.find(".//{*}channel").get("endpoint") for r in requests] == [None, "carla003", None]
        assert requests[0].find(".//{*}source[@ssrc='1000001']") is not None
        scene.sent += requests
        scene.settle()
        assert next(iter(scene.model.conferences.values())).endpoints == {"anna0001", "carla003"}


def older(value: bytes, count: int) -> bytes:
    import msgspec

    return msgspec.msgpack.encode(msgspec.msgpack.decode(value)[:count])


class TestFailures:
    """Section 7.5, K-749, B-1011."""

    @pytest.mark.parametrize("error, marked", [
        (("bad-request", "Conference not found for ID: b7"), False),                   # K-741
        (("internal-server-error", "Failed to create new content audio"), False),      # K-747, first time
        (("not-authorized",), True),                                                   # K-748
        (("item-not-found", "Recipient not in room"), True),                           # the bridge has gone
        (("resource-constraint",), True),
    ])
    def test_an_allocation_refused(self, error, marked):
        scene = old(bridges=2).bring_in("anna0001", "bo000002").join("carla003")
        scene.mail(refused(scene, scene.one("conference"), *error))
        assert (scene.bridges.get(BRIDGE).failed_at is not None) == marked
        scene.settle().pass_time(3).settle()
        assert {p.phase for p in scene.state.participants.values()} <= {"offered", "active"}
        assert not (marked and "carla003" in {e for c in scene.model.conferences.values() for e in c.endpoints})
        assert scene.model.violations == []

    def test_conference_unknown_restarts_all(self):
        """K-741, K-749: only the text tells; the bridge isn't blamed, the next request creates."""
        scene = old().bring_in("anna0001", "bo000002").join("carla003")
        scene.model.conferences.clear()
        scene.settle()
        assert scene.model.created == 2 and scene.bridges.get(BRIDGE).failed_at is None
        assert next(iter(scene.model.conferences.values())).endpoints == {"anna0001", "bo000002", "carla003"}
        scene.leave("anna0001", "bo000002", "carla003").settle().check()

    def test_an_update_for_a_conference_that_has_gone(self):
        scene = old().bring_in("anna0001", "bo000002")
        scene.model.conferences.clear()
        scene.mail(scene.jingle("anna0001", "source-add", content("audio", source("anna0001", "a", 88, 1)))).settle()
        assert scene.model.created == 2 and {p.phase for p in scene.state.participants.values()} == {"offered"}

    @pytest.mark.parametrize("early", [False, True])
    @pytest.mark.parametrize("lost", ["audio", "video"])
    def test_a_channel_that_has_gone(self, early, lost):
        """K-744, K-481: that participant alone is invited again, and what it still has is expired."""
        scene = old(early=early).bring_in("anna0001", "bo000002")
        scene.model.forget_channel(lost, "anna0001")
        scene.mail(scene.jingle("anna0001", "source-add", content("audio", source("anna0001", "a", 88, 1)))).settle()
        assert scene.state.participants["anna0001"].phase == "offered"
        assert scene.state.participants["bo000002"].phase == "active"
        assert scene.endpoint("anna0001", lost) is not None
        scene.leave("anna0001", "bo000002").settle().check()

    def test_graceful_shutdown(self):
        """K-742: the child tells; the bridge gets no new conferences, nobody calls it broken."""
        scene = old(bridges=2).join("anna0001", "bo000002")
        scene.mail(refused(scene, scene.one("conference"), "service-unavailable", extra=SHUTDOWN))
        bridge = scene.bridges.get(BRIDGE)
        assert bridge.graceful_shutdown and bridge.failed_at is None
        assert scene.one("conference-modify").get("to") == SECOND_BRIDGE

    def test_no_sctp(self):
        """K-746, K-476: asked again without; nothing stands there yet, so that creates the conference."""
        scene = old(sctp=False).join("anna0001", "bo000002").settle()
        assert scene.model.created == 2  # the first one is empty and goes by itself (K-731)
        assert scene.bridges.get(BRIDGE).sctp is False
        assert {p.phase for p in scene.state.participants.values()} == {"offered"}
        assert scene.model.violations == []

    @pytest.mark.parametrize("broken", ["no transport", "no channel id", "no conference id", "nothing"])
    def test_an_answer_that_cannot_be_used(self, broken):
        """K-474, K-477"""
        scene = old(bridges=2).join("anna0001", "bo000002")
        create = scene.one("conference")
        payload = scene.model.answer(create[0])[1]
        root: Any = etree.fromstring(payload)
        if broken == "no transport":
            root.find(".//{*}channel-bundle/{*}transport").getparent().clear()
        elif broken == "no channel id":
            del root.find(".//{*}channel").attrib["id"]
        elif broken == "no conference id":
            del root.attrib["id"]
        scene.mail(scene.answer(create, "" if broken == "nothing" else etree.tostring(root).decode()))
        scene.settle().pass_time(3).settle()
        assert {p.phase for p in scene.state.participants.values()} == {"offered"}
        # a channel whose id was never told can't be expired
        assert scene.model.violations == ["a second audio channel of anna0001"] * (broken == "no channel id")

    def test_no_answer(self):
        """K-470, K-749"""
        scene = old(bridges=2).join("anna0001", "bo000002")
        scene.mail(scene.timeout(scene.one("conference")))
        assert scene.one("conference-modify").get("to") == SECOND_BRIDGE

    def test_an_update_without_an_answer_is_repeated_once(self):
        """K-480"""
        scene = old().bring_in("anna0001", "bo000002")
        scene.mail(scene.jingle("anna0001", "source-add", content("audio", source("anna0001", "a", 88, 1))))
        scene.mail(scene.timeout(scene.one("conference")))
        again = scene.one("conference")
        assert again.find(".//{*}channel-bundle/{*}transport") is not None
        scene.mail(scene.timeout(again))
        assert scene.bridges.get(BRIDGE).failed_at is not None

    def test_what_could_not_be_expired_is_owed(self):
        """K-731: by its channels, when the bridge is back."""
        scene = old(bridges=2).bring_in("anna0001", "bo000002")
        ids = set(scene.model.conferences)
        scene.bridges.gone(BRIDGE, "it left")
        scene.mail(messages.BridgeLost(BRIDGE, "it left"))
        owed = scene.bridges.debts.back(BRIDGE, scene.now)
        assert [row.left.conference for row in owed] == list(ids)
        assert [entry.endpoint for entry in owed[0].left.channels] == ["anna0001", "bo000002"]


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=150)
@given(mutations, st.booleans(), st.booleans())
def test_damaged_answers(changes, first, restarted):
    """Whatever a bridge answers to a creation: no turn fails, and what others have isn't touched (M-11)."""
    original = module.Conference._attempt

    def attempt(conference, mail):
        assert original(conference, mail), "a turn failed"
        return True

    with mock.patch.object(module.Conference, "_attempt", attempt):
        take_damaged(changes, first, restarted)


def take_damaged(changes: Any, first: bool, restarted: bool) -> None:
    scene = old().join("anna0001", "bo000002") if first else old().bring_in("anna0001", "bo000002").join("carla003")
    create = scene.one("conference")
    before = dict(scene.state.bridges[BRIDGE].channels)
    damaged = mutate(etree.fromstring(scene.model.answer(create[0])[1]), changes)
    scene.mail(scene.answer(create, etree.tostring(damaged).decode()))
    if restarted:
        scene.restart()
    session = scene.state.bridges.get(BRIDGE)
    if session is not None and session.id == scene.state.participants["anna0001"].bridge_session:
        assert {nick: session.channels[nick] for nick in before if before[nick].known} == {
            nick: entry for nick, entry in before.items() if entry.known}
    scene.pass_time(3).leave("anna0001", "bo000002", "carla003").pass_time(3)


class TestWhichDialect:
    def test_one_fallback(self):
        """K-830 (4): one request in Colibri 2, refused; everything after it is in Colibri 1, for others too."""
        scene = old(said=False).join("anna0001", "bo000002")
        request = scene.one("conference-modify")
        scene.mail(refused(scene, request, "service-unavailable"))
        assert not scene.take("conference-modify")
        scene.settle()
        assert {p.phase for p in scene.state.participants.values()} == {"offered"}
        assert scene.bridges.get(BRIDGE).failed_at is None and scene.bridges.get(BRIDGE).dialect == 1
        other = old(said=False)
        other.conference._around = other.conference._around._replace(bridges=scene.bridges)
        other.join("dan00004", "eve00005")
        assert other.one("conference") is not None
        scene.leave("anna0001", "bo000002").settle().check()

    def test_a_refusal_with_sctp_is_taken_for_sctp_first(self):
        """K-476 before K-830: feature-not-implemented may mean either."""
        scene = old(said=False).join("anna0001", "bo000002")
        scene.mail(refused(scene, scene.one("conference-modify"), "feature-not-implemented"))
        requests = scene.take("conference-modify")
        assert len(requests) == 2 and all("sctp" not in xml(request) for request in requests)
        scene.mail(*[refused(scene, request, "feature-not-implemented") for request in requests])
        assert not scene.take("conference-modify") and scene.bridges.get(BRIDGE).sctp is None
        assert scene.one("conference").find(".//{*}sctpconnection") is not None

    @pytest.mark.parametrize("said", ["graceful", "reason", "discovery", "statistic", "operator"])
    def test_no_fallback(self, said):
        """K-830: not if the bridge means something else, nor if what it speaks is known."""
        options = {"colibri": "2"} if said == "operator" else {}
        scene = old(bridges=2, said=False, **options)
        if said == "operator":
            scene.bridges.dialects._version = 2
        if said == "discovery":
            scene.bridges.dialects.discovered(BRIDGE, ["jabber:iq:version"])
        if said == "statistic":
            scene.bridges.heard(BRIDGE, Stats(colibri2=True, **OLD), None, scene.now)
        scene.join("anna0001", "bo000002")
        request = scene.one("conference-modify")
        detail = "<error xmlns='jitsi:colibri2'/>" if said == "reason" else ""
        scene.mail(refused(scene, request, "service-unavailable",
                           "In graceful shutdown" if said == "graceful" else "", detail))
        assert not [r for r in scene.take("conference") if is_channels(r)]
        assert scene.bridges.dialects.of(BRIDGE) == 2

    def test_neither(self):
        """A bridge that refuses both is broken or starting: it is left, and spoken to in Colibri 2 from then on."""
        scene = old(bridges=2, said=False).join("anna0001", "bo000002")
        scene.mail(refused(scene, scene.one("conference-modify"), "service-unavailable"))
        scene.mail(refused(scene, scene.one("conference"), "service-unavailable"))
        assert scene.bridges.get(BRIDGE).failed_at is not None and scene.bridges.dialects.of(BRIDGE) == 2
        expiry, create = scene.take("conference-modify")
        assert (expiry.get("to"), create.get("to")) == (BRIDGE, SECOND_BRIDGE)  # what the first one left there, if any

    def test_it_cannot_be_one_of_several(self):
        """K-833: one that turns out to be old beside others is left without a word in either version."""
        scene = old(said=False).join("anna0001", "bo000002")
        request = scene.one("conference-modify")
        scene.state.bridges[SECOND_BRIDGE] = BridgeSession(SECOND_BRIDGE, "another", None)
        scene.mail(refused(scene, request, "service-unavailable"))
        assert BRIDGE in scene.state.drops and not [
            el for el in scene.take("conference-modify") if "expire" in el[0].keys()]

    def test_a_mixed_pool(self):
        """K-833: a conference is on one bridge and in one version; who moves gets what the next one can."""
        scene = old(bridges=2, features=REWRITING).bring_in("anna0001", "bo000002")
        assert set(scene.state.bridges) == {BRIDGE} and scene.bridges.dialects.relay_id(BRIDGE) is None
        scene.mail(messages.BridgeLost(BRIDGE, "it is shutting down"))
        scene.bridges.gone(BRIDGE, "it is shutting down")
        scene.settle()
        assert set(scene.state.bridges) == {SECOND_BRIDGE} and scene.state.bridges[SECOND_BRIDGE].dialect == 2
        assert scene.state.participants["anna0001"].rewriting
        scene.join("carla003")
        assert {el.get("to") for el in scene.take("conference-modify")} == {SECOND_BRIDGE}
        scene.check()

    def test_conferences_wait_for_discovery(self):
        """K-830 (3), K-114: nothing leaves before the bridge has told, and not for longer than 2 s."""
        for features, expected in ((["http://jitsi.org/protocol/colibri"], "conference"), ([], "conference-modify"),
                                   (None, "conference-modify")):
            scene = old(said=False)
            assert scene.bridges.dialects.asks(BRIDGE, scene.now)
            assert not scene.bridges.dialects.asks(BRIDGE, scene.now)
            scene.join("anna0001", "bo000002")
            assert not scene.take("conference") + scene.take("conference-modify")
            scene.bridges.dialects.discovered(BRIDGE, features)
            scene.mail(messages.BridgeKnown(BRIDGE))
            assert scene.one(expected).get("to") == BRIDGE
        scene = old(said=False)
        assert scene.bridges.dialects.asks(BRIDGE, scene.now)
        scene.join("anna0001", "bo000002").pass_time(2.1)
        assert scene.one("conference-modify").get("to") == BRIDGE


@pytest.mark.parametrize("generation", GENERATIONS, ids=lambda one: one.name)
def test_every_generation_of_clients(generation: Generation):
    """Section 8 for each: an endpoint and an offer of what such a bridge can do, and it hears of all others."""
    scene = old(min_participants="1", **generation.options).bring_in("anna0001", "bo000002")
    scene.features = discovered(generation.announces) if generation.announces is not None else None
    scene.mail(scene.presence("new00001", role=generation.role, extra=generation.in_presence))
    if generation.announces is None:
        scene.give_up_silent()
    request = scene.one("conference")
    names: List[str] = [one.get("name") for one in request[0].findall("{*}content")]
    assert names == [name for name, there in (("audio", generation.audio), ("video", generation.video),
                                              ("data", generation.data)) if there]
    scene.mail(scene.proper_answer(request))
    offer = scene.one("session-initiate")
    text = xml(offer).replace("&quot;", '"')
    assert ("1000000" in text) == (generation.audio is not None)
    assert ("1000001" in text) == (generation.video is not None)
    assert "extmap-allow-mixed" not in text and "sdes:mid" not in text
    assert isinstance(scene.state.bridges[BRIDGE].channels["new00001"], Channels)
    scene.sent.append(offer)
    scene.settle().leave("anna0001", "bo000002", "new00001").settle().check()
