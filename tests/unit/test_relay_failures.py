"""Links between bridges that go wrong: answers that are errors or don't come, restarts and reconnects (bridge.md 7)."""
from __future__ import annotations

from typing import Any

import pytest
from lxml import etree

from focus.conference import messages
from tests.support.harness import JOINED, colibri_error, content, source
from tests.support.split_scene import SplitScene, jid, trace


@pytest.fixture
def split():
    """Makes scenes."""
    return SplitScene


class TestFailures:
    def linking(self, split):
        """The two requests that make a link are out."""
        scene = split().bring_in("p1-a")
        scene.join("p2-b").answer_bridges()
        return scene, scene.one("conference-modify", to=jid("A")), scene.one("conference-modify", to=jid("B"))

    def test_no_answer(self, split):
        """B-714 R, T-25: the bridge asked isn't operational any more, its participants move, the other's stay."""
        scene, first, second = self.linking(split)
        scene.mail(scene.proper_answer(first), scene.timeout(second))
        assert not scene.bridges.is_operational(scene.bridges.get(jid("B")), scene.now)
        assert list(scene.state.bridges) == [jid("A")]
        assert "p1-a" in scene.state.bridges[jid("A")].endpoints
        scene.settle()
        assert set(scene.state.bridges[jid("A")].endpoints) == {"p1-a", "p2-b"}
        assert not scene.models["A"].violations

    @pytest.mark.parametrize("error, reason", [
        ("feature-not-implemented", ""), ("internal-server-error", ""), ("item-not-found", "conference_not_found"),
        ("service-unavailable", "")])
    def test_refused(self, split, error, reason):
        """B-714, K-483, K-437, K-440: the session of the bridge asked goes, and the bridge isn't marked."""
        scene, first, second = self.linking(split)
        scene.mail(scene.proper_answer(second), scene.answer(first, colibri_error(error, reason), type="error"))
        assert scene.bridges.is_operational(scene.bridges.get(jid("A")), scene.now)
        assert len(scene.state.drops[jid("A")]) == 1

    def test_no_endless_circle(self, split):
        """B-701 R, B-643, KT-25: a bridge without relays isn't asked for ever."""
        scene = split()
        scene.models["B"].relays = False
        scene.bring_in("p1-a", "p2-b")
        for _ in range(20):
            scene.pass_time(1).settle()
        assert len(scene.state.drops[jid("B")]) == 3
        assert list(scene.state.bridges) == [jid("A")] and len(scene.state.bridges[jid("A")].endpoints) == 2

    @pytest.mark.parametrize("payload", [
        "", "<relay id='relay-B'/>", "<relay id='relay-X'><transport><transport ufrag='u' pwd='p' "
        "xmlns='urn:xmpp:jingle:transports:ice-udp:1'/></transport></relay>",
        "<relay id='relay-B'><transport/></relay>"], ids=["empty", "no transport", "another relay", "no ICE"])
    def test_incomplete(self, split, payload):
        """B-714, K-298"""
        scene, first, second = self.linking(split)
        modified = "<conference-modified xmlns='jitsi:colibri2'>%s</conference-modified>" % payload
        scene.mail(scene.answer(first, modified))
        assert len(scene.state.drops[jid("A")]) == 1

    @pytest.mark.parametrize("has_it", ["A", "B", ""])
    def test_sctp_refused(self, split, has_it):
        """K-476, B-714 R: the link is made again without, both sides; no session is dropped, nobody re-invited."""
        scene = split(sctp=has_it, known=False, sctp_enabled="false", octo_sctp_datachannels="true")
        scene.bring_in("p1-a", "p2-b")
        scene.check_bridges()
        assert not scene.state.drops
        relay = scene.models["A"].conferences["meeting-1"].relays["relay-B"]
        assert relay.sctp_role is None and relay.opens_web_socket
        for name in "AB":
            if name not in has_it:
                assert scene.bridges.get(jid(name)).sctp is not True

    def test_known_to_have_no_sctp(self, split):
        """K-538: it isn't even asked."""
        scene = split(sctp="A").bring_in("p1-a")
        scene.join("p2-b").answer_bridges()
        assert len(scene.requests()) == 2 and all(b"sctp" not in etree.tostring(el) for el in scene.requests())

    def test_an_old_relay_in_the_way(self, split):
        """K-430: expired, and the link is made again."""
        scene, first, second = self.linking(split)
        scene.mail(scene.proper_answer(second), scene.answer(first, colibri_error("conflict"), type="error"))
        assert scene.traces() == ["A: relay B: expire", "B: relay A: expire"]
        scene.settle().check_bridges()
        assert not scene.state.drops

    def test_always_in_the_way(self, split):
        """The circle is bounded: then it is the bridge's failure."""
        scene, *pending = self.linking(split)
        creations = 0
        while jid("A") not in scene.state.drops and creations < 10:
            for request in pending:
                if trace(request).startswith("A: relay B: create mesh"):
                    creations += 1
                    scene.mail(scene.answer(request, colibri_error("conflict"), type="error"))
                else:
                    scene.mail(scene.proper_answer(request))
            pending = scene.take("conference-modify")
        assert creations == 4 and len(scene.state.drops[jid("A")]) == 1


class TestLaterFailures:
    def handed_over(self, split):
        """The transports are on their way."""
        scene = split().bring_in("p1-a")
        scene.join("p2-b").answer_bridges().answer_bridges()
        return scene, scene.one("conference-modify", to=jid("A")), scene.one("conference-modify", to=jid("B"))

    def test_no_answer_to_a_transport(self, split):
        """B-655, B-715, K-480: once more; then the bridge counts as failed."""
        scene, first, second = self.handed_over(split)
        scene.mail(scene.proper_answer(first))
        scene.pass_time(15).mail(scene.timeout(second))
        again = scene.one("conference-modify")
        assert trace(again) == "B: relay A: transport"
        assert etree.tostring(again[0]) == etree.tostring(second[0])
        scene.pass_time(15).mail(scene.timeout(again))
        assert not scene.bridges.is_operational(scene.bridges.get(jid("B")), scene.now)
        scene.settle()
        assert set(scene.state.bridges[jid("A")].endpoints) == {"p1-a", "p2-b"}

    def test_answered_the_second_time(self, split):
        """The next silence begins to count anew."""
        scene, first, second = self.handed_over(split)
        scene.mail(scene.proper_answer(first), scene.timeout(second)).settle()
        scene.pass_time(1).join("p3-a").answer_bridges("A")
        scene.mail(scene.timeout(scene.one("conference-modify", to=jid("B"))))
        assert "B: relay A: create p3-a" in scene.traces() and not scene.state.drops
        scene.settle().check_bridges()

    @pytest.mark.parametrize("answered", [True, False])
    def test_several_unanswered_at_once(self, split, answered):
        """Requests of the same silence count as one; that ends it or not."""
        scene = split().bring_in("p1-a", "p2-b")
        scene.join("p3-a").pass_time(1).join("p4-a")
        lost = scene.take("conference-modify", to=jid("B"))
        assert len(lost) == 2
        scene.pass_time(14).mail(scene.timeout(lost[0])).pass_time(1).mail(scene.timeout(lost[1]))
        assert not scene.state.drops
        if answered:
            scene.settle().check_bridges()
        else:
            scene.pass_time(14).mail(scene.timeout(scene.take("conference-modify", to=jid("B"))[0]))
            assert len(scene.state.drops[jid("B")]) == 1

    def test_no_answer_to_sources(self, split):
        """B-655: the complete set once more."""
        scene = split().bring_in("p1-a", "p2-b")
        scene.mail(scene.jingle("p1-a", "source-add", content("audio", source("p1-a", "a", 4711, 1))))
        lost = scene.one("conference-modify", to=jid("B"))
        scene.mail(scene.timeout(lost))
        again = scene.one("conference-modify", to=jid("B"))
        assert etree.tostring(again[0]) == etree.tostring(lost[0])

    def test_the_relay_is_not_there(self, split):
        """K-438: the link is made again, both sides; no participant moves."""
        scene, first, second = self.handed_over(split)
        scene.mail(scene.proper_answer(first))
        del scene.models["B"].conferences["meeting-1"].relays["relay-A"]
        scene.mail(scene.answer(second, colibri_error("bad-request"), type="error"))
        assert scene.traces() == ["A: relay B: expire", "B: relay A: expire"]
        scene.settle().check_bridges()
        assert not scene.state.drops

    def test_another_error(self, split):
        """B-652, K-482: the session goes, the bridge isn't marked (B-653)."""
        scene, first, second = self.handed_over(split)
        scene.mail(scene.answer(second, colibri_error("item-not-found", "conference_not_found"), type="error"))
        assert len(scene.state.drops[jid("B")]) == 1
        assert scene.bridges.is_operational(scene.bridges.get(jid("B")), scene.now)

    def test_errors_to_an_expiry(self, split):
        """B-653, K-482: logged only."""
        scene = split().bring_in("p1-a", "p2-b", "p3-a")
        scene.leave("p3-a")
        scene.mail(*[scene.answer(el, colibri_error("item-not-found"), type="error")
                     for el in scene.take("conference-modify", to=jid("B"))])
        scene.settle()
        scene.leave("p2-b")
        expiry = scene.one("conference-modify", to=jid("A"))
        scene.mail(scene.answer(expiry, colibri_error("bad-request"), type="error"))
        assert not scene.state.drops and not scene.state.bridges[jid("A")].relays

    def test_an_answer_for_a_link_that_was_made_again(self, split):
        """K-534, K-484: dropped."""
        scene = split().bring_in("p1-a")
        scene.join("p2-b").answer_bridges()
        old = scene.one("conference-modify", to=jid("A"))
        answer = scene.proper_answer(old)
        scene.leave("p2-b")
        scene.mail(answer)
        scene.settle().check_bridges()
        scene.join("p2-b").settle().check_bridges()

    def test_an_endpoint_that_its_bridge_lost(self, split):
        """B-654: the others forget it too."""
        scene = split().bring_in("p1-a", "p2-b", "p3-a")
        scene.models["A"].forget("meeting-1", "p3-a")
        scene.mail(scene.jingle("p3-a", "source-add", content("audio", source("p3-a", "a", 4711, 1)))).settle()
        scene.check_bridges()


class TestComingBack:
    def link_in_flight(self, split, answered):
        """A link of which one side's request, or both, are unanswered, though done."""
        scene = split().bring_in("p1-a")
        scene.join("p2-b").answer_bridges()
        for request in scene.take("conference-modify"):
            answer = scene.proper_answer(request)
            if request.get("to")[-1] in answered:
                scene.mail(answer)
        return scene

    @pytest.mark.parametrize("answered", ["", "A", "B"])
    def test_refused(self, split, answered):
        """DESIGN, K-340: what may or may not be there is expired and made again."""
        scene = self.link_in_flight(split, answered)
        scene.take()
        refused(scene).settle()
        scene.check_bridges()
        assert not scene.state.drops and not scene.take("session-terminate")

    @pytest.mark.parametrize("lost", ["transport", "endpoints", "sources", "expiry", "relay"])
    def test_requests_are_repeated(self, split, lost):
        """K-534, 3.4: transport, relayed endpoints, sources and expiries that may not have come."""
        scene = split().bring_in("p1-a", "p2-b", "p3-a")
        if lost == "endpoints":
            scene.join("p4-a").take("conference-modify", to=jid("B"))
        elif lost == "sources":
            scene.mail(scene.jingle("p1-a", "source-add", content("audio", source("p1-a", "a", 4711, 1))))
            scene.take("conference-modify", to=jid("B"))
        elif lost == "expiry":
            scene.leave("p3-a").take("conference-modify", to=jid("B"))
        elif lost == "relay":
            scene.leave("p2-b").take("conference-modify", to=jid("A"))
        else:
            scene.models["B"].conferences["meeting-1"].relays["relay-A"].remote_ufrag = ""
        scene.settle()
        links = [list(session.relays) for session in scene.state.bridges.values()]
        refused(scene).settle()
        scene.check_bridges()
        assert not scene.state.drops
        expected = [[]] if lost == "relay" else links
        assert [list(session.relays) for session in scene.state.bridges.values()] == expected

    @pytest.mark.parametrize("round_", range(4))
    def test_another_process_goes_on(self, split, round_):
        """Killed between any two answers, resumed: the rows are all it needs."""
        scene = split().bring_in("p1-a")
        scene.join("p2-b")
        for _ in range(round_):
            scene.answer_bridges()
        scene.restart()
        scene.settle().check_bridges()
        scene.join("p3-a").restart()
        scene.settle().check_bridges()

    def test_rows_come_back(self, split):
        """Relays and what is behind them, in the journal and out of it."""
        scene = split("ABC").bring_in("p1-a", "p2-b", "p3-c")
        stored = scene.restored()
        for name, session in scene.state.bridges.items():
            again = stored.bridges[name]
            assert list(again.relays) == list(session.relays)
            for link, relay in session.relays.items():
                assert vars_of(again.relays[link]) == vars_of(relay)
                assert list(again.relays[link].endpoints) == list(relay.endpoints)


def refused(scene: SplitScene) -> SplitScene:
    """A new stream; all who were in the room still are."""
    members = list(scene.state.members)
    scene.mail(messages.ConnectionBack(False, 3.0))
    scene.mail(*[scene.presence_of(nick) for nick in members]).lane_done(JOINED)
    return scene


def vars_of(row: Any) -> Any:
    return {name: value for name, value in vars(row).items() if name[0] != "_" and name != "endpoints"}
