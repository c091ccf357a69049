"""Jingle that is not in every call: restarts of ICE in place, visitors, gateways, moving within a session.

jingle.md sections 8.3, 9.1, J-562 and J-816.
"""
from __future__ import annotations

from typing import Any, List, Optional

import pytest

from focus.conference import messages
from tests.support.harness import (
    BRIDGE,
    CLIENT_TRANSPORT,
    COLIBRI,
    FOCUS,
    JINGLE,
    ROOM,
    SECOND_BRIDGE,
    Scene,
    Stats,
    accept_contents,
    colibri_error,
    content,
    endpoint_of,
    source,
    told,
)
from tests.support.jingle_answers import (
    ANNA,
    BAD,
    BO,
    CARLA,
    FOCUS_NS,
    FORBIDDEN,
    GONE,
    LIMIT,
    OK,
    OUT_OF_ORDER,
    STALE,
    UNKNOWN,
    UNSUPPORTED,
    WRONG_BRIDGE,
    Shape,
    ask,
    bridge_session,
    is_quiet,
    shape,
    sid_of,
    snapshot,
    to_client,
    to_the_bridge,
)

ICE = "{urn:xmpp:jingle:transports:ice-udp:1}transport"
RESTARTED = (
    "<conference-modified xmlns='jitsi:colibri2'><endpoint id='anna0001'><transport>"
    "<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='n%s' pwd='new'%s><rtcp-mux/>"
    "<fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256' setup='actpass' cryptex='true'>CC</fingerprint>"
    "<candidate foundation='1' component='1' protocol='udp' priority='1' ip='192.0.2.9' port='10000' type='host'/>"
    "</transport></transport></endpoint></conference-modified>")
NO_TRANSPORT = "<conference-modified xmlns='jitsi:colibri2'><endpoint id='anna0001'/></conference-modified>"


def restarted(generation: Optional[int]) -> str:
    """The bridge's answer to a restart in place."""
    return RESTARTED % (generation, "" if generation is None else " ice-generation='%d'" % generation)


def restart_ice(scene: Scene, element: str = "") -> Shape:
    return shape(ask(scene, sid_of(scene), "session-info", element or bridge_session(scene, "ice-restart='true'")))


def lose_bridge(scene: Scene, jid: str) -> None:
    scene.mail(*[messages.BridgeLost(event.bridge, event.reason) for event in scene.bridges.gone(jid, "gone")])


def has_bridge(scene: Scene, jid: str) -> None:
    scene.bridges.heard(jid, Stats(stress_level=0.0, drain=False, version="2.3"), None, scene.now)
    scene.mail(messages.BridgeUsable(jid))


def accept(scene: Scene, nick: str = ANNA, number: int = 7) -> Shape:
    return shape(ask(scene, sid_of(scene, nick), "session-accept", accept_contents(nick, number), nick=nick))


class TestIceRestartInPlace:
    def test_it(self) -> None:
        """J-541, J-863, J-864, J-868: result at once, the bridge is asked, its credentials are relayed."""
        scene = Scene().bring_in(ANNA, BO)
        assert restart_ice(scene) == OK
        request = scene.one("conference-modify")
        transport = endpoint_of(request).find("{%s}transport" % COLIBRI)
        assert [(el.get("id"), len(el)) for el in request[0]] == [(ANNA, 1)]
        assert dict(transport.attrib) == {"ice-restart": "true"} and not len(transport) and not scene.sent
        scene.mail(scene.answer(request, restarted(1)))
        relayed = scene.one(to=ROOM + "/" + ANNA)
        assert not scene.sent and dict(relayed[0].attrib) == {"action": "transport-info", "sid": sid_of(scene)}
        (inside,) = relayed[0]
        assert dict(inside.attrib) == {"creator": "initiator", "name": "audio"} and [el.tag for el in inside] == [ICE]
        assert dict(inside[0].attrib) == {"ufrag": "n1", "pwd": "new", "ice-generation": "1"}
        assert [el.tag.rpartition("}")[2] for el in inside[0]] == ["rtcp-mux", "fingerprint", "candidate"]
        assert inside[0][1].get("cryptex") == "true"
        answer = "<content name='audio'>%s</content>" % CLIENT_TRANSPORT.replace("ufrag", "ice-generation='1' ufrag")
        assert shape(ask(scene, sid_of(scene), "transport-info", answer * 2)) == OK
        (sent,) = scene.one("conference-modify").iter(ICE)
        assert sent.get("ice-generation") == "1" and sent.get("ufrag") == "u"

    @pytest.mark.parametrize("enabled, element, expected", [
        ("false", "", UNSUPPORTED),
        ("false", "<bridge-session xmlns='%s' id='x' ice-restart='true'/>" % FOCUS_NS, UNSUPPORTED),
        ("true", "<bridge-session xmlns='%s' id='x' ice-restart='true'/>" % FOCUS_NS, WRONG_BRIDGE),
        ("true", "<bridge-session xmlns='%s' ice-restart='true'/>" % FOCUS_NS, WRONG_BRIDGE),
        ("true", "", OK),
    ])
    def test_answers(self, enabled: str, element: str, expected: Shape) -> None:
        """J-861, J-862: what is refused changes nothing and reaches no bridge."""
        scene = Scene(enable_ice_restart=enabled).bring_in(ANNA, BO)
        before = snapshot(scene)
        assert restart_ice(scene, element) == expected
        assert snapshot(scene) == before and len(scene.take("conference-modify")) == (expected == OK)

    def test_in_other_states(self) -> None:
        """J-503 to J-505: of no, another's, an ended, a stale session."""
        scene = Scene().bring_in(ANNA, BO, CARLA)
        element, old = bridge_session(scene, "ice-restart='true'"), sid_of(scene)
        for sid in ("nosuchsid", sid_of(scene, BO)):
            assert shape(ask(scene, sid, "session-info", element)) == UNKNOWN
        ask(scene, old, "session-terminate", bridge_session(scene, "restart='true'"))
        scene.settle()
        assert shape(ask(scene, old, "session-info", element)) == STALE
        assert restart_ice(scene) == OK, "before the accept too"
        ask(scene, sid_of(scene), "session-terminate")
        assert shape(ask(scene, scene.state.participants[ANNA].refused_sids[-1], "session-info", element)) == GONE

    def test_budget(self) -> None:
        """J-556, J-541: five seconds, five a minute, of its own; a wrong id costs nothing; a refusal ends nothing."""
        scene = Scene().bring_in(ANNA, BO, CARLA)
        wrong = "<bridge-session xmlns='%s' id='x' ice-restart='true'/>" % FOCUS_NS
        assert [restart_ice(scene, element) for element in (wrong, "", "", wrong)] == [
            WRONG_BRIDGE, OK, LIMIT, WRONG_BRIDGE]
        assert scene.state.participants[ANNA].phase == "active"
        found = []
        for pause in (4.9, 0.1, 5.0, 5.0, 5.0, 5.0, 34.9, 0.1):
            scene.pass_time(pause)
            found.append(restart_ice(scene))
        assert found == [LIMIT, OK, OK, OK, OK, LIMIT, LIMIT, OK]

    def test_two_budgets(self) -> None:
        """J-556: a session restart and one in place don't count for each other; both outlast the session."""
        scene = Scene().bring_in(ANNA, BO, CARLA)
        assert restart_ice(scene) == OK
        assert shape(ask(scene, sid_of(scene), "session-terminate", bridge_session(scene, "restart='true'"))) == OK
        scene.settle()
        assert accept(scene, ANNA, 70) == OK
        scene.pass_time(1)
        assert restart_ice(scene) == LIMIT
        scene.pass_time(4)
        assert restart_ice(scene) == OK
        assert shape(ask(scene, sid_of(scene), "session-terminate", bridge_session(scene, "restart='true'"))) == OK

    @pytest.mark.parametrize("answers, relayed", [
        ([1, 2], ["n1", "n2"]), ([2, 1], ["n2"]), ([1, 1], ["n1"]), ([3, 0], ["n3"]), ([None, 1], ["n1"]), ([0], []),
        ([None], []),
    ])
    def test_only_later_generations_are_relayed(self, answers: List[Optional[int]], relayed: List[str]) -> None:
        """J-865, J-866: answers may change places; without a generation there is nothing to say."""
        scene = Scene().bring_in(ANNA, BO)
        requests = []
        for _ in answers:
            assert restart_ice(scene) == OK
            requests.append(scene.one("conference-modify"))
            scene.pass_time(5)
        for request, generation in zip(requests, answers):
            scene.mail(scene.answer(request, restarted(generation)))
        told_of = scene.take("transport-info")
        assert [next(el.iter(ICE)).get("ufrag") for el in told_of] == relayed and is_quiet(scene)

    def test_generations_begin_anew_with_an_allocation(self) -> None:
        """J-865, K-134: and the answer to a restart of before it is nothing any more."""
        scene = Scene().bring_in(ANNA, BO, CARLA)
        assert restart_ice(scene) == OK
        scene.mail(scene.answer(scene.one("conference-modify"), restarted(7)))
        scene.settle().pass_time(5)
        assert restart_ice(scene) == OK
        late = scene.one("conference-modify")
        assert shape(ask(scene, sid_of(scene), "session-terminate", bridge_session(scene, "restart='true'"))) == OK
        scene.settle().mail(scene.answer(late, restarted(8)))
        assert not scene.take("transport-info")
        assert accept(scene, ANNA, 70) == OK
        scene.settle().pass_time(5)
        assert restart_ice(scene) == OK
        scene.mail(scene.answer(scene.one("conference-modify"), restarted(1)))
        assert len(scene.take("transport-info")) == 1

    @pytest.mark.parametrize("payload", [NO_TRANSPORT, "<conference-modified xmlns='jitsi:colibri2'/>"])
    def test_a_bridge_that_refuses(self, payload: str) -> None:
        """J-867, J-812, T-20: that participant gets a new session; the old endpoint is released before."""
        scene = Scene().bring_in(ANNA, BO)
        old = sid_of(scene)
        assert restart_ice(scene) == OK
        scene.mail(scene.answer(scene.one("conference-modify"), payload))
        assert to_client(scene, ANNA) == ["session-terminate success moving"]
        assert len(to_client(scene, BO)) == 1, "its sources are gone"
        assert to_the_bridge(scene) == ["anna0001 expire"]
        scene.settle().pass_time(2.1).settle()
        assert scene.state.participants[ANNA].phase == "offered" and sid_of(scene) != old
        assert scene.state.participants[BO].phase == "active"
        assert accept(scene, ANNA, 70) == OK

    def test_a_bridge_that_is_silent(self) -> None:
        """J-867: nothing is done; the client falls back by itself."""
        scene = Scene().bring_in(ANNA, BO)
        before = snapshot(scene)
        assert restart_ice(scene) == OK
        scene.mail(scene.timeout(scene.one("conference-modify"))).pass_time(60)
        assert snapshot(scene) == before and is_quiet(scene)

    def test_a_client_that_has_left(self) -> None:
        """J-123: nothing is relayed to it, nor to the next one of that name."""
        for comes_back in (False, True):
            scene = Scene().bring_in(ANNA, BO, CARLA)
            assert restart_ice(scene) == OK
            request = scene.one("conference-modify")
            scene.leave(ANNA).settle()
            if comes_back:
                scene.pass_time(2.1).bring_in(ANNA)
            scene.mail(scene.answer(request, restarted(1)))
            assert not scene.take("transport-info")


class TestVisitors:
    def scene(self, accepts: bool = False, **options: Any) -> Scene:
        """Anna is a visitor, bo and carla are in a call."""
        scene = Scene(visitors_enabled="true", **options).bring_in(BO, CARLA)
        scene.mail(scene.presence(ANNA, role="visitor")).settle()
        if accepts:
            assert shape(ask(scene, sid_of(scene), "session-accept", content("audio", "", CLIENT_TRANSPORT))) == OK
            scene.settle()
        return scene

    def test_only_if_they_are_enabled(self) -> None:
        """J-901"""
        scene = Scene().bring_in(BO, CARLA)
        scene.mail(scene.presence(ANNA, role="visitor"))
        assert not scene.take("conference-modify") and ANNA not in scene.state.participants

    def test_a_normal_offer(self) -> None:
        """J-902, J-301, J-361: `senders` both ways, everybody's sources; the bridge is told its role."""
        scene = Scene(visitors_enabled="true").bring_in(BO, CARLA)
        scene.mail(scene.presence(ANNA, role="visitor"))
        request = scene.one("conference-modify")
        assert endpoint_of(request).get("muc-role") == "visitor"
        scene.mail(scene.allocated(request))
        offer = scene.one("session-initiate")
        contents = offer[0].findall("{%s}content" % JINGLE)
        assert [(el.get("name"), el.get("senders")) for el in contents] == [
            ("audio", "both"), ("video", "both"), ("data", "both")]
        assert set(told(offer)) == {BO, CARLA, "jvb"}

    @pytest.mark.parametrize("role", ["none", "participant"])
    def test_participants_have_no_role(self, role: str) -> None:
        """J-901: without a role in the room one is a visitor too."""
        scene = Scene(visitors_enabled="true").bring_in(BO, CARLA)
        scene.mail(scene.presence(ANNA, role=role))
        assert endpoint_of(scene.one("conference-modify")).get("muc-role") == (
            "visitor" if role == "none" else None)

    @pytest.mark.parametrize("action", ["session-accept", "transport-accept"])
    def test_an_accept_with_sources(self, action: str) -> None:
        """J-525, J-903, J-111: forbidden, and the session is over; nothing is stored or told."""
        scene = self.scene()
        old, before = sid_of(scene), dict(scene.state.sources.rows)
        assert shape(ask(scene, old, action, accept_contents(ANNA, 7))) == FORBIDDEN
        assert scene.state.participants[ANNA].phase == "ended" and dict(scene.state.sources.rows) == before
        assert to_the_bridge(scene) == ["anna0001 expire"] and not to_client(scene, BO)
        assert shape(ask(scene, old, "session-info")) == GONE

    def test_an_accept_without(self) -> None:
        """J-903, J-523, 7.3: it hears of everything."""
        scene = self.scene()
        assert shape(ask(scene, sid_of(scene), "session-accept", content("audio", "", CLIENT_TRANSPORT))) == OK
        assert to_the_bridge(scene) == ["anna0001 transport sources"]
        new = content("video", source(BO, "v", 41, 1))
        assert shape(ask(scene, sid_of(scene, BO), "source-add", new, nick=BO)) == OK
        assert to_client(scene, ANNA) == ["source-add bo00:41"]

    @pytest.mark.parametrize("accepts", [False, True], ids=["offered", "active"])
    @pytest.mark.parametrize("action, inside, expected", [
        ("source-add", content("video", source(ANNA, "v", 41)), FORBIDDEN),
        ("addsource", content("video", source(ANNA, "v", 41)), FORBIDDEN),
        ("source-add", "", FORBIDDEN),
        ("source-remove", "", OK),
        ("source-remove", content("video", source(ANNA, "v", 41)), BAD),
        ("session-info", "", OK),
    ])
    def test_requests(self, accepts: bool, action: str, inside: str, expected: Shape) -> None:
        """J-531, J-533, J-903"""
        scene = self.scene(accepts)
        before = snapshot(scene)
        assert shape(ask(scene, sid_of(scene), action, inside)) == expected
        assert snapshot(scene) == before and not scene.sent

    def test_they_count_for_delays(self) -> None:
        """J-713, J-904"""
        scene = self.scene(accepts=True, source_signaling_delays="3: 500 ms").pass_time(5).settle()
        new = content("video", source(BO, "v", 41, 1))
        assert shape(ask(scene, sid_of(scene, BO), "source-add", new, nick=BO)) == OK
        assert not to_client(scene, CARLA)
        scene.pass_time(0.6)
        assert to_client(scene, CARLA) == to_client(scene, ANNA) == ["source-add bo00:41"]

    def test_one_that_becomes_a_participant(self) -> None:
        """C-605, T-9: leave and join to us, but its client has seen neither: it is told that its session is over."""
        scene = self.scene(accepts=True)
        old = sid_of(scene)
        scene.mail(scene.presence(ANNA))
        scene.mail(*[scene.proper_answer(request) for request in scene.take("conference-modify")])
        scene.mail(*[scene.proper_answer(request) for request in scene.take("conference-modify")])
        first, second = scene.take(to=ROOM + "/" + ANNA)
        assert (first[0].get("action"), first[0].get("sid")) == ("session-terminate", old)
        assert second[0].get("action") == "session-initiate"
        assert accept(scene) == OK


@pytest.mark.parametrize("feature, accepts, expected", [
    ("http://jitsi.org/protocol/jigasi", False, OK), ("http://jitsi.org/protocol/jigasi", True, STALE),
    ("http://jitsi.org/protocol/jibri", False, STALE), ("", False, STALE),
])
def test_a_stale_transport(feature: str, accepts: bool, expected: Shape) -> None:
    """J-562: it would break the new allocation; only a gateway whose session is pending sends nothing else."""
    scene = Scene().bring_in(BO, CARLA)
    features = "<features>%s</features>" % ("<feature var='%s'/>" % feature if feature else "")
    scene.mail(scene.presence(ANNA, extra=features))
    scene.settle()
    old = sid_of(scene)
    lose_bridge(scene, BRIDGE)
    has_bridge(scene, BRIDGE)
    scene.settle()
    if accepts:
        assert accept(scene) == OK
        scene.settle()
    assert shape(ask(scene, old, "transport-info", "<content name='0'>%s</content>" % CLIENT_TRANSPORT)) == expected
    assert to_the_bridge(scene) == ["anna0001 transport"] * (expected == OK)


class TestReplaceTransport:
    """J-816: the session stays when its bridge goes."""

    def moving(self) -> Scene:
        """Two bridges, and the one in use has gone."""
        scene = Scene(bridges=2, reinvite_method="ReplaceTransport").bring_in(ANNA, BO)
        lose_bridge(scene, BRIDGE)
        return scene

    def replaced(self) -> Scene:
        """The new bridge has answered; what the clients got is there to be looked at."""
        scene = self.moving()
        for _ in range(2):
            scene.mail(*[scene.proper_answer(request) for request in scene.take("conference-modify")])
        return scene

    def test_it(self) -> None:
        """J-816, J-103: a full offer in the old session; no source is removed, nobody is terminated."""
        scene = self.moving()
        assert not to_client(scene, ANNA) and not to_client(scene, BO)
        old, sources = sid_of(scene), dict(scene.state.sources.rows)
        for _ in range(2):
            scene.mail(*[scene.proper_answer(request) for request in scene.take("conference-modify", SECOND_BRIDGE)])
        (offer,) = scene.take(to=ROOM + "/" + ANNA)
        assert dict(offer[0].attrib) == {"action": "transport-replace", "sid": old, "initiator": FOCUS}
        assert [el.tag.rpartition("}")[2] for el in offer[0]] == [
            "content", "content", "content", "group", "bridge-session", "json-message"]
        assert set(told(offer)) == {BO, "jvb"} and dict(scene.state.sources.rows) == sources
        assert offer[0][4].get("id") == scene.state.participants[ANNA].bridge_session

    def test_the_new_bridge_knows_its_sources(self) -> None:
        """J-535: they were never removed, so they are told with the endpoint."""
        scene = self.moving()
        request = scene.take("conference-modify", SECOND_BRIDGE)[0]
        owner = endpoint_of(request).get("id")
        expected = sorted(str(s.ssrc) for s in scene.state.sources.get(owner).sources)
        assert sorted({s.get("ssrc") for s in request.iter("{urn:xmpp:jingle:apps:rtp:ssma:0}source")}) == expected

    def test_transport_accept(self) -> None:
        """J-564, J-1308: it has the client's new transport; the session is as before."""
        scene = self.replaced()
        transport = content("audio", "", CLIENT_TRANSPORT)
        scene.settle()
        assert shape(ask(scene, sid_of(scene), "transport-accept", transport)) == OK
        assert to_the_bridge(scene) == ["anna0001 transport sources"]
        assert scene.state.participants[ANNA].phase == "active"
        assert shape(ask(scene, sid_of(scene), "transport-accept", transport)) == OUT_OF_ORDER

    @pytest.mark.parametrize("silent", [True, False])
    def test_no_result(self, silent: bool) -> None:
        """J-816, J-373: no reply is as bad as an error."""
        scene = self.replaced()
        (offer,) = scene.take(to=ROOM + "/" + ANNA)
        scene.settle().mail(scene.timeout(offer) if silent else scene.answer(
            offer, colibri_error("service-unavailable"), "error"))
        assert to_client(scene, ANNA) == ["session-terminate general-error jingle session failed"]
        assert to_the_bridge(scene) == ["anna0001 expire"] and not scene.state.sources.get(ANNA)
        assert scene.state.participants[ANNA].phase == "ended"

    def test_a_repeated_accept_harms_nothing(self) -> None:
        """T-27, J-527: the session was accepted long ago."""
        scene = self.replaced().settle()
        sources = dict(scene.state.sources.rows)
        contents = content("audio", source(ANNA, "a", min(scene.state.sources.get(ANNA).ssrcs())))
        assert shape(ask(scene, sid_of(scene), "session-accept", contents)) == OUT_OF_ORDER
        assert dict(scene.state.sources.rows) == sources and sid_of(scene)

    def test_who_has_no_session_is_offered_one(self) -> None:
        """J-816"""
        scene = Scene(bridges=2, reinvite_method="ReplaceTransport").bring_in(ANNA, BO)
        scene.join(CARLA)
        lose_bridge(scene, BRIDGE)
        for _ in range(2):
            scene.mail(*[scene.proper_answer(request) for request in scene.take("conference-modify")])
        (offer,) = scene.take(to=ROOM + "/" + CARLA)
        assert offer[0].get("action") == "session-initiate"

    def test_an_accept_that_comes_while_it_moves(self) -> None:
        """J-107, J-111: an offer that has just been accepted isn't held against the client."""
        scene = Scene(bridges=2, reinvite_method="ReplaceTransport").bring_in(ANNA, BO, accept=False)
        sid = sid_of(scene)
        lose_bridge(scene, BRIDGE)
        told_to_go = "session-terminate success moving" in to_client(scene, ANNA)
        answer = shape(ask(scene, sid, "session-accept", accept_contents(ANNA, 7)))
        assert answer == (GONE if told_to_go else OK)

    def test_the_second_bridge_goes_too(self) -> None:
        """J-816, T-9: before it has answered. No new session begins beside one that wasn't ended."""
        scene = self.moving()
        old = sid_of(scene)
        has_bridge(scene, BRIDGE)
        lose_bridge(scene, SECOND_BRIDGE)
        for _ in range(3):
            scene.mail(*[scene.proper_answer(request) for request in scene.take("conference-modify", BRIDGE)])
        offers = [(el[0].get("action"), el[0].get("sid")) for el in scene.take(to=ROOM + "/" + ANNA)]
        assert offers[0] in (("transport-replace", old), ("session-terminate", old))
        assert offers[-1][0] in ("transport-replace", "session-initiate")
