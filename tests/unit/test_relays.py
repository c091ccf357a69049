"""Several bridges in one call: what each is asked, in which order, and what their answers lead to (bridge.md 7)."""
from __future__ import annotations

import json
import pathlib
from typing import Any, List

import pytest
from lxml import etree

from focus.conference import messages
from focus.stanzas.colibri2 import parse_conference_modify
from tests.support.harness import content, source
from tests.support.split_scene import SplitScene, jid, trace

CAPTURE = pathlib.Path(__file__).parents[1] / "fixtures" / "captures" / "relays-2026.jsonl"
COLIBRI = "{jitsi:colibri2}"


@pytest.fixture
def split():
    """Makes scenes."""
    return SplitScene


def steps(scene: SplitScene) -> List[List[str]]:
    """Requests round by round, each round answered by the bridges before the next."""
    found = []
    while scene.requests():
        found.append(scene.traces())
        scene.answer_bridges()
    return found


class TestRequests:
    """R1 to R6 of the sheet's table, the endpoints' own requests included."""

    def test_two_bridges(self, split):
        """R1, R2; B-710, K-510: a side is asked for when both conferences stand; each answer goes to the other."""
        scene = split()
        scene.join("p1-a")
        assert steps(scene) == [["A: create conf, create p1-a"]]
        scene.join("p2-b")
        assert steps(scene) == [
            ["B: create conf, create p2-b"],
            ["A: relay B: create mesh 0 {p2-b}", "B: relay A: create mesh 0 {p1-a}"],
            ["A: relay B: transport", "B: relay A: transport"]]
        scene.settle().check_bridges()

    def test_one_more_on_the_first(self, split):
        """R3, B-720"""
        scene = split().bring_in("p1-a", "p2-b")
        scene.join("p3-a")
        assert steps(scene) == [["A: create p3-a", "B: relay A: create p3-a"]]
        scene.check_bridges()

    def test_a_source_more(self, split):
        """R4, B-721, T-31: the whole set goes to both."""
        scene = split().bring_in("p1-a", "p2-b", "p3-a")
        scene.mail(scene.jingle("p1-a", "source-add", content("audio", source("p1-a", "a", 4711, 1))))
        own, relayed = scene.requests()
        assert [trace(own), trace(relayed)] == ["A: sources of p1-a", "B: relay A: sources of p1-a"]
        assert sources_in(own) == sources_in(relayed) == sorted(scene.state.sources.get("p1-a").ssrcs())
        assert len(sources_in(relayed)) == 3

    def test_all_sources_gone(self, split):
        """B-721: an empty element clears."""
        scene = split().bring_in("p1-a", "p2-b")
        owned = scene.state.sources.get("p1-a")
        scene.mail(scene.jingle("p1-a", "source-remove", "".join(
            content(one.media, source("p1-a", one.media[0], one.ssrc)) for one in owned.sources)))
        (request,) = [el for el in scene.requests() if el.get("to") == jid("B")]
        sources = request.find(".//%ssources" % COLIBRI)
        assert sources is not None and len(sources) == 0

    def test_one_of_two_leaves(self, split):
        """R5, B-660, B-722"""
        scene = split().bring_in("p1-a", "p2-b", "p3-a")
        scene.leave("p1-a")
        assert steps(scene) == [["A: expire p1-a", "B: relay A: expire p1-a"]]
        scene.settle().check_bridges()

    def test_the_last_of_a_bridge_leaves(self, split):
        """R6, B-661, B-722, B-740: the relay goes, its endpoints aren't expired singly."""
        scene = split().bring_in("p3-a", "p2-b")
        scene.leave("p2-b")
        assert steps(scene) == [["B: expire conf", "A: relay B: expire"]]
        assert not scene.state.bridges[jid("A")].relays
        scene.settle().check_bridges()

    def test_three_bridges_one_mesh(self, split):
        """B-542, B-710: the newcomer is linked with each, in the order in which they came."""
        scene = split("ABC").bring_in("p1-a", "p2-b")
        scene.join("p3-c")
        assert steps(scene)[1:] == [
            ["A: relay C: create mesh 0 {p3-c}", "B: relay C: create mesh 0 {p3-c}",
             "C: relay A: create mesh 0 {p1-a}", "C: relay B: create mesh 0 {p2-b}"],
            ["A: relay C: transport", "B: relay C: transport", "C: relay A: transport", "C: relay B: transport"]]
        scene.settle().check_bridges()
        scene.leave("p1-a")
        assert steps(scene) == [["A: expire conf", "B: relay A: expire", "C: relay A: expire"]]
        scene.settle().check_bridges()

    def test_nobody_waits_for_another_participant(self, split):
        """K-132, T-23: the link waits for the conference's creation, not for the allocations that are under way."""
        scene = split().bring_in("p1-a", "p2-b")
        scene.leave("p2-b").settle()
        scene.join("p2-b", "p3-b")
        scene.answer_bridges("B")
        assert scene.traces() == ["A: relay B: create mesh 0 {p2-b p3-b}", "B: create p3-b",
                                  "B: relay A: create mesh 0 {p1-a}"]

    def test_who_comes_while_the_link_is_made(self, split):
        """K-555, T-23: an endpoint that came after the relay's request waits for its answer."""
        scene = split().bring_in("p1-a")
        scene.join("p2-b")
        scene.answer_bridges()
        scene.join("p3-b")
        assert scene.traces() == ["A: relay B: create mesh 0 {p2-b}", "B: relay A: create mesh 0 {p1-a}",
                                  "B: create p3-b"]
        scene.answer_bridges("A")
        assert scene.traces()[-1] == "A: relay B: create p3-b"
        scene.settle().check_bridges()

    def test_an_answer_waits_for_the_other_side(self, split):
        """K-532, B-713: a transport isn't handed to a side whose creation isn't confirmed; each goes by itself."""
        scene = split().bring_in("p1-a")
        scene.join("p2-b").answer_bridges()
        scene.answer_bridges("A")
        assert scene.traces() == ["B: relay A: create mesh 0 {p1-a}"]
        scene.answer_bridges("B")
        assert scene.traces() == ["A: relay B: transport", "B: relay A: transport"]

    def test_many_endpoints(self, split):
        """A request holds 50 endpoints: a server takes stanzas of some 250 kB."""
        scene = split()
        nicks = ["n%02d-a" % number for number in range(60)]
        scene.bring_in(*nicks)
        scene.join("p2-b").answer_bridges()
        create = scene.take("conference-modify", to=jid("B"))[0]
        assert len(create.findall(".//%sendpoint" % COLIBRI)) == 50
        scene.mail(scene.proper_answer(create))
        (rest,) = [el for el in scene.requests() if el.get("to") == jid("B")]
        assert len(rest.findall(".//%sendpoint" % COLIBRI)) == 10
        scene.settle().check_bridges()


def sources_in(request: Any) -> List[int]:
    found = request.findall(".//%smedia-source/{urn:xmpp:jingle:apps:rtp:ssma:0}source" % COLIBRI)
    return sorted(int(one.get("ssrc")) for one in found)


class TestMoving:
    """K-341: a bridge never knows an endpoint twice."""

    def test_to_the_other_bridge(self, split):
        scene = split().bring_in("p1-a", "p2-b", "p3-a")
        scene.mail(scene.presence("p3-a", type="unavailable", role="none"))
        scene.place["p3-a"] = "B"
        scene.join("p3-a")
        assert scene.traces() == ["A: expire p3-a", "B: relay A: expire p3-a"]
        scene.answer_bridges("B")
        assert scene.traces() == ["A: expire p3-a", "B: create p3-a"]
        scene.answer_bridges("A")
        assert scene.traces() == ["B: create p3-a", "A: relay B: create p3-a"]
        scene.settle().check_bridges()

    def test_without_an_answer(self, split):
        """The expiry's answer is waited for 2 s."""
        scene = split().bring_in("p1-a", "p2-b", "p3-a")
        scene.mail(scene.presence("p3-a", type="unavailable", role="none"))
        scene.place["p3-a"] = "B"
        scene.join("p3-a")
        for request in scene.take("conference-modify"):
            scene.proper_answer(request)  # done, but the answers are lost
        scene.pass_time(1.9)
        assert not scene.requests()
        scene.pass_time(0.2)
        assert scene.traces() == ["A: relay B: create p3-a", "B: create p3-a"]
        scene.settle().check_bridges()

    def test_all_of_a_bridge(self, split):
        """B-801, B-740: the bridge goes; its participants come to the other, whose relay is expired first."""
        scene = split().bring_in("p1-a", "p2-b")
        scene.bridges.gone(jid("B"), "it left")
        scene.mail(messages.BridgeLost(jid("B"), "it left"))
        assert scene.traces() == ["A: relay B: expire"]
        del scene.models["B"]
        scene.answer_bridges()
        assert scene.traces() == ["A: create p2-b"]
        scene.settle().check_bridges()

    def test_a_relay_that_holds_the_conference(self, split):
        """K-352: while nothing else is confirmed there its expiry waits, else the conference would end with it."""
        scene = split().bring_in("p1-a", "p2-b")
        scene.join("p3-a")
        create = scene.take("conference-modify", to=jid("A"))
        scene.settle()
        scene.leave("p1-a").settle()
        scene.leave("p2-b").answer_bridges("B")
        assert not scene.requests()
        scene.mail(scene.proper_answer(create[0]))
        assert scene.traces() == ["A: relay B: expire"]
        scene.settle().check_bridges()

    def test_there_and_back_again(self, split):
        """A bridge that is used anew before the expiry of the old link is answered waits for that."""
        scene = split().bring_in("p1-a", "p2-b")
        scene.leave("p2-b")
        scene.join("p2-b")
        assert scene.traces() == ["B: expire conf", "A: relay B: expire"]
        scene.answer_bridges("B").answer_bridges("B")
        assert scene.traces() == ["A: relay B: expire", "B: relay A: create mesh 0 {p1-a}"]
        scene.settle().check_bridges()


class TestVisitors:
    def scene(self, split):
        """p1 on A, p2 on B, v1 on V."""
        scene = split("ABV", topology_strategy="Visitor", visitors_enabled="true")
        scene.bring_in("p1-a", "p2-b")
        scene.mail(scene.presence_of("v1-v", role="visitor"))
        return scene

    def test_a_visitor_bridge(self, split):
        """R7, B-543: a mesh of its own with one bridge; nobody hears of the visitor."""
        scene = self.scene(split)
        assert steps(scene) == [
            ["V: create conf, create v1-v"],
            ["A: relay V: create mesh 1 {}", "V: relay A: create mesh 1 {p1-a p2-b}"],
            ["A: relay V: transport", "V: relay A: transport"]]
        scene.settle().check_bridges()

    def test_sources_reach_it(self, split):
        """R8, K-554: told about the relay that leads there."""
        scene = self.scene(split).settle()
        scene.mail(scene.jingle("p2-b", "source-add", content("audio", source("p2-b", "a", 4711, 1))))
        assert scene.traces() == ["A: relay B: sources of p2-b", "B: sources of p2-b", "V: relay A: sources of p2-b"]

    def test_who_is_two_hops_away_hears_of_a_new_bridge(self, split):
        """B-725 R: and forgets what was on it when it goes."""
        scene = split("ABCV", topology_strategy="VisitorTopologyStrategy", visitors_enabled="true")
        scene.bring_in("p1-a", "p2-b")
        scene.mail(scene.presence_of("v1-v", role="visitor")).settle()
        scene.join("p3-c")
        assert "V: relay A: create p3-c" in [one for step in steps(scene) for one in step]
        scene.settle().check_bridges()
        scene.leave("p3-c")
        assert sorted(scene.traces()) == ["A: relay C: expire", "B: relay C: expire", "C: expire conf",
                                          "V: relay A: expire p3-c"]
        scene.settle().check_bridges()

    def test_a_connecting_bridge_goes(self, split):
        """B-741 R: what it held together is joined anew, in a new mesh, and told of everybody."""
        scene = self.scene(split).settle()
        scene.leave("p1-a")
        assert steps(scene) == [
            ["A: expire conf", "B: relay A: expire", "B: relay V: create mesh 2 {}", "V: relay A: expire",
             "V: relay B: create mesh 2 {}"],
            ["B: relay V: transport", "V: relay B: transport", "V: relay B: create p2-b"]]
        scene.settle().check_bridges()


class TestRoles:
    @pytest.mark.parametrize("sctp", ["", "AB"], ids=["web socket", "SCTP"])
    def test_sides_fit(self, split, sctp):
        """B-703, B-704, K-520, T-30: who was there first is active, controlling, and opens the channel."""
        scene = split(sctp=sctp).bring_in("p1-a", "p2-b")
        scene.check_bridges()
        first = scene.models["A"].conferences["meeting-1"].relays["relay-B"]
        second = scene.models["B"].conferences["meeting-1"].relays["relay-A"]
        assert first.controlling and not second.controlling
        assert (first.sctp_role, second.sctp_role) == (("client", "server") if sctp else (None, None))
        assert first.opens_web_socket == (not sctp) and not second.opens_web_socket

    def test_as_seen(self, split):
        """B-711, B-712, K-511, K-512, K-530: our requests for a link are the captured ones."""
        seen = captured()
        scene = split().bring_in("p1-a", accept=False)
        scene.join("p2-b").answer_bridges()
        ours = {el.get("to")[-1]: parse_conference_modify(el[0]).relays[0] for el in scene.requests()}
        for name, theirs in (("A", seen[0]), ("B", seen[1])):
            mine: Any = ours[name]
            assert mine._replace(id="", endpoints=(), media=()) == theirs._replace(id="", endpoints=(), media=())
            assert without_h264(mine.media) == without_h264(theirs.media)
            (endpoint,), (their_endpoint,) = mine.endpoints, theirs.endpoints
            assert endpoint._replace(id="", stats_id="") == their_endpoint._replace(id="", stats_id="")
        scene.answer_bridges()
        handed = {el.get("to")[-1]: parse_conference_modify(el[0]).relays[0] for el in scene.requests()}
        for name, theirs in (("B", seen[2]), ("A", seen[3])):
            mine = handed[name]
            assert mine._replace(id="", transport=None) == theirs._replace(id="", transport=None)
            assert [f.setup for f in mine.transport.fingerprints] == [f.setup for f in theirs.transport.fingerprints]
            assert bool(mine.transport.web_sockets) == bool(theirs.transport.web_sockets)


def without_h264(media: Any) -> List[Any]:
    """The reference writes all parameters of H.264 as one (J-324)."""
    return [one._replace(payload_types=[payload for payload in one.payload_types if payload.name != "H264"])
            for one in media]


def captured() -> List[Any]:
    """The reference's creations at the first and the second bridge, and the transports for the second and the first."""
    found = []
    for line in CAPTURE.read_text(encoding="utf-8").splitlines()[1:]:
        entry = json.loads(line)
        if entry["who"] == "focus" and entry["dir"] == "sends" and "<relay" in entry["xml"]:
            request = parse_conference_modify(etree.fromstring(entry["xml"])[0])
            if request.relays[0].create or request.relays[0].transport is not None:
                found.append(request.relays[0])
    assert len(found) == 4
    return found


class TestRelayIds:
    @pytest.mark.parametrize("second", ["relay-A", None])
    def test_of_the_second(self, split, second):
        """B-604 R, B-606, T-32: one without an id of its own isn't used beside another."""
        scene = split()
        scene.bridges.rows[jid("B")].relay_id = second
        scene.bring_in("p1-a", "p2-b")
        assert list(scene.state.bridges) == [jid("A")]
        assert set(scene.state.bridges[jid("A")].endpoints) == {"p1-a", "p2-b"}

    def test_of_the_first(self, split):
        """B-505: a conference whose bridge has none stays on it."""
        scene = split()
        scene.bridges.rows[jid("A")].relay_id = None
        scene.bring_in("p1-a", "p2-b")
        assert list(scene.state.bridges) == [jid("A")]

    def test_the_first_can_not_be_used(self, split):
        """B-606 R: then all move."""
        scene = split()
        scene.bridges.rows[jid("A")].relay_id = None
        scene.bring_in("p1-a")
        scene.bridges.failed(jid("A"), "silent", scene.now)
        scene.join("p2-b").settle()
        assert list(scene.state.bridges) == [jid("B")]
        assert set(scene.state.bridges[jid("B")].endpoints) == {"p1-a", "p2-b"}

    def test_it_is_kept(self, split):
        """B-601, B-210: what counts is the id at the beginning."""
        scene = split().bring_in("p1-a")
        scene.bridges.rows[jid("A")].relay_id = "another"
        scene.join("p2-b")
        assert "B: relay A: create mesh 0 {p1-a}" in [one for step in steps(scene) for one in step]


def test_bridge_count(split):
    """B-663: every change of the number of bridges is in the focus's presence."""
    scene = split("ABC")
    for nick, expected in (("p1-a", "1"), ("p2-b", "2"), ("p3-c", "3")):
        scene.pass_time(2).join(nick)
        assert count_said(scene) == expected
        scene.settle()
    for nick, expected in (("p2-b", "2"), ("p3-c", "1")):
        scene.pass_time(2).leave(nick)
        assert count_said(scene) == expected
        scene.settle()


def count_said(scene: Any) -> str:
    presence = scene.take("presence")[-1]
    return next(el.get("value") for el in presence.iter("{*}property") if el.get("key") == "bridge-count")
