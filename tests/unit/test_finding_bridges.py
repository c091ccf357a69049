"""Bridges that are found by service discovery, named by the operator or asked for (bridge.md B-1001, B-1003,
colibri.md K-775)."""
from __future__ import annotations

from typing import Any

import pytest

from focus.bridge.choice import rules
from focus.bridge.choice.asked_for import Wish, narrowed, wish
from focus.bridge.choice.rules import Candidate, Refusal
from focus.bridge.choice.selection import choose
from focus.bridge.finding.discovery import MAX_ITEMS, Catalogue, component_address, judge
from focus.bridge.finding.discovery import Finding as Found
from focus.config import ConfigError, load
from focus.stanzas.disco import DiscoInfo, DiscoItem
from tests.support.component_bridge import FEATURES
from tests.support.finding import DISCO, PUBSUB, Finding, stats
from tests.support.harness import BRIDGE, JOINED, Scene, Stats

JVB, SECOND = "jitsi-videobridge.meet.example", "jvb2.meet.example"
SHARED = ("--pubsub_address=" + PUBSUB, "--pubsub_stats_node=stats", "--service_rediscovery_interval=0")


# --- discovery: what answers mean ------------------------------------------------------------------------------------

@pytest.mark.parametrize("info, condition, expected", [
    pytest.param(DiscoInfo(features=FEATURES), None, Found.BRIDGE, id="B-1001 all features"),
    pytest.param(DiscoInfo(features=FEATURES + ("urn:x",)), None, Found.BRIDGE, id="B-1001 and more"),
    *[pytest.param(DiscoInfo(features=tuple(f for f in FEATURES if f != missing)), None, Found.OTHER,
                   id="K-775 without " + missing.rpartition("/")[2]) for missing in FEATURES
      if missing not in ("jabber:iq:version", "http://jabber.org/protocol/disco#info")],
    pytest.param(DiscoInfo(features=("urn:x",)), None, Found.OTHER, id="something else"),
    pytest.param(DiscoInfo(features=("http://jabber.org/protocol/disco#info",)), None, Found.ABSENT,
                 id="Prosody for a component with a name that isn't connected"),
    pytest.param(DiscoInfo(), None, Found.ABSENT, id="no features"),
    pytest.param(None, "remote-server-timeout", Found.ABSENT, id="Prosody for one that isn't connected"),
    pytest.param(None, "service-unavailable", Found.ABSENT, id="other servers"),
    pytest.param(None, "resource-constraint", Found.UNCLEAR, id="too busy"),
    pytest.param(None, None, Found.UNCLEAR, id="an empty result"),
    pytest.param("nonsense", None, Found.UNCLEAR, id="nonsense"),
])
def test_what_a_component_is(info, condition, expected):
    assert judge(info, condition) is expected


@pytest.mark.parametrize("text, expected", [
    ("JVB.Meet.Example", "jvb.meet.example"), ("a@meet.example", None), ("jvb.meet.example/r", None), ("jvb", None),
    ("", None), (None, None), ("a..b", None), ("x" * 5000 + ".example", None), ("jvb meet.example", None)])
def test_addresses_of_components(text, expected):
    """B-1002: with a dot in it; nothing a client could have."""
    assert component_address(text) == expected


def test_a_catalogue_holds_what_is_listed():
    """B-1001: others than bridges are asked once; what isn't listed any more is forgotten."""
    catalogue = Catalogue()
    items = [DiscoItem("one.x"), DiscoItem("two.x"), DiscoItem("ONE.x"), DiscoItem("a@three.x")]
    assert catalogue.listed(items, []).ask == ["one.x", "two.x"]
    catalogue.answered("one.x", Found.BRIDGE)
    catalogue.answered("two.x", Found.OTHER)
    catalogue.answered("stranger.x", Found.BRIDGE)
    assert catalogue.listed(items, ["one.x"]) == (["one.x"], [], 0)
    assert catalogue.listed([DiscoItem("two.x")], ["one.x"]) == ([], ["one.x"], 0)
    assert len(catalogue) == 1
    many = [DiscoItem("c%d.x" % number) for number in range(MAX_ITEMS + 7)]
    listing = catalogue.listed(many, [])
    assert len(listing.ask) == len(catalogue) == MAX_ITEMS and listing.skipped == 7


# --- discovery: who is asked what, when ------------------------------------------------------------------------------

class TestDiscovery:
    def found(self, *flags: str) -> Finding:
        world = Finding(*flags).connect().list_items(JVB, "conference.meet.example").explain(JVB)
        return world.explain("conference.meet.example", ["http://jabber.org/protocol/muc"])

    def test_found_with_its_version_and_gone(self):
        """B-1001, B-208"""
        world = self.found()
        bridge = world.bridges.get(JVB)
        assert world.pool() == {JVB: "discovered"} and bridge.version == "2.1" and bridge.name == JVB
        assert not bridge.draining and bridge.stress == 0.0
        assert world.events() == [("usable", JVB)]
        world.pass_time(30).list_items("conference.meet.example")
        assert world.pool() == {} and world.events() == [("lost", JVB)] and not world.sent
        assert world.bridges.lost == 1

    def test_only_what_may_be_a_bridge_is_asked_again(self):
        """B-1001: each interval."""
        world = self.found()
        world.pass_time(29.9)
        assert not world.sent
        world.pass_time(0.1).list_items(JVB, "conference.meet.example", SECOND)
        assert sorted(el.get("to") for el in world.take(DISCO % "info")) == [JVB, SECOND]

    @pytest.mark.parametrize("condition, stays", [("remote-server-timeout", False), ("service-unavailable", False),
                                                  ("internal-server-error", True)])
    def test_one_that_is_listed_and_not_there(self, condition, stays):
        """B-1001: a server may list components that aren't connected."""
        world = self.found().pass_time(30).list_items(JVB)
        world.refuse(world.one(DISCO % "info", JVB), condition)
        assert (JVB in world.pool()) == stays
        assert len(world.pass_time(30).list_items(JVB).take(DISCO % "info", JVB)) == 1

    def test_silence_takes_no_bridge_away(self):
        """B-430: whether it is well is for health checks to say; the server's silence says nothing at all."""
        world = self.found().pass_time(30).list_items(JVB)
        assert world.take(DISCO % "info", JVB)
        world.pass_time(100)
        assert world.pool() and world.bridges.candidates(world.now)[0].operational
        world.check()
        assert world.bridges.candidates(world.now)[0].operational

    @pytest.mark.parametrize("answer", ["<query xmlns='urn:x'/>", "", "<query xmlns='%s'>%s</query>" % (
        DISCO % "items", "<item jid='a.b'/>" * 1001)], ids=["nonsense", "nothing", "too much"])
    def test_an_unreadable_list_changes_nothing(self, answer, caplog):
        world = self.found().pass_time(30)
        world.answer(world.one(DISCO % "items"), answer)
        world.pass_time(30)
        world.answer(world.one(DISCO % "items"), answer)
        assert world.pool() == {JVB: "discovered"} and caplog.text.count("gives no list") == 1

    def test_a_forged_answer_isnt_heard(self):
        world = Finding().connect()
        request = world.one(DISCO % "items")
        world.answer(request, "<query xmlns='%s'><item jid='evil.example'/></query>" % (DISCO % "items"),
                     sender="evil@meet.example/x")
        assert not world.sent

    def test_another_version_is_another_process(self):
        """B-210: what it held is gone, so its conferences are told."""
        world = self.found()
        world.events()
        world.pass_time(30).list_items(JVB).explain(JVB, version="2.1")
        assert world.events() == []
        world.pass_time(30).list_items(JVB).explain(JVB, version="2.2")
        assert world.events() == [("lost", JVB), ("usable", JVB)] and world.bridges.get(JVB).version == "2.2"

    def test_only_who_announces_a_version_is_asked_for_it(self):
        """K-114: an IQ that it doesn't know can cost a bridge its stream."""
        world = Finding().connect().list_items(JVB)
        world.explain(JVB, [feature for feature in FEATURES if feature != "jabber:iq:version"])
        assert world.pool() and world.bridges.get(JVB).version is None

    def test_who_answers_health_checks_says_so(self):
        """K-114, B-128: nobody else needs to be asked."""
        world = Finding("--bridge_jids=" + SECOND).connect().list_items(JVB).explain(JVB)
        assert [bridge.checkable for bridge in world.bridges] == [None, False]
        world.pass_time(30).list_items(JVB).explain(JVB, [*FEATURES, "http://jitsi.org/protocol/healthcheck"])
        assert world.restart().bridges.get(JVB).checkable is True

    def test_nobody_is_asked_twice_at_a_time(self):
        world = Finding("--service_rediscovery_interval=1").connect().list_items(JVB)
        world.pass_time(1).list_items(JVB)
        assert len(world.take(DISCO % "info", JVB)) == 1

    @pytest.mark.parametrize("flags, first, later", [
        ((), 1, 1), (("--service_rediscovery_interval=0",), 0, 0), (("--service_rediscovery_interval=-1",), 1, 0),
        (("--brewery_jid=b@internal.auth.meet.example",), 0, 0),
        (("--brewery_jid=b@x.example", "--service_rediscovery_interval=30s"), 1, 1)])
    def test_how_often(self, flags, first, later):
        """B-1001: every interval, never, once; whoever has named a brewery has his bridges there."""
        world = Finding(*flags).connect()
        asked = world.take(DISCO % "items")
        assert len(asked) == first
        for request in asked:
            world.answer(request, "<query xmlns='%s'/>" % (DISCO % "items"))
        world.pass_time(31)
        assert len(world.take(DISCO % "items")) == later

    def test_a_reconnect_asks_anew_and_takes_nothing(self):
        """T-38: losing the connection is not losing the bridges."""
        world = self.found().pass_time(30)
        assert world.take(DISCO % "items")
        world.connect(resumed=True)
        assert world.pool() and not world.sent
        world.pass_time(30)
        world.connect(resumed=True).pass_time(5).list_items(JVB).explain(JVB)
        world.connect().list_items(JVB).explain(JVB)
        assert world.pool() == {JVB: "discovered"}
        world.pass_time(29).connect(resumed=True).pass_time(1).list_items(JVB)

    def test_a_restart_of_the_focus_keeps_them_until_the_server_has_spoken(self):
        """DESIGN, idea 3"""
        later = self.found().restart()
        assert later.pool() == {JVB: "discovered"}
        later.connect()
        assert later.pool() == {JVB: "discovered"} and later.events() == []
        later.list_items("conference.meet.example")
        assert later.pool() == {} and later.events() == [("lost", JVB)]

    @pytest.mark.parametrize("interval", ["30 s", "-1"])
    def test_on_a_resumed_stream_a_restart_asks_nothing_at_once(self, interval):
        """DESIGN, "Coming back, resumed": what is known is enough for now."""
        later = self.found().restart("--service_rediscovery_interval=" + interval).connect(resumed=True).pass_time(29)
        assert later.pool() == {JVB: "discovered"} and not later.sent
        later.pass_time(1).list_items(JVB).explain(JVB)
        assert later.pool() == {JVB: "discovered"} and later.events() == []

    def test_a_restart_sees_that_a_bridge_is_another_process(self):
        """B-210"""
        later = self.found().restart().connect().list_items(JVB).explain(JVB, version="2.2")
        assert later.events() == [("lost", JVB), ("usable", JVB)]

    def test_what_was_left_behind_is_ended(self):
        """B-645: before anything new is asked of it."""
        world = self.found().pass_time(30).list_items()
        world.bridges.debts.owe(JVB, "meeting-1", world.now)
        world.pass_time(30).list_items(JVB).explain(JVB)
        assert world.expired == [(JVB, "meeting-1")]


# --- named by the operator -------------------------------------------------------------------------------------------

class TestNamed:
    def test_it_is_there_whatever_the_server_lists(self):
        """B-1003"""
        world = Finding("--bridge_jids=%s, JVB2.meet.example" % JVB).connect().list_items(JVB)
        world.explain(JVB).pass_time(30).list_items()
        assert world.pool() == {JVB: "named", SECOND: "named"}
        assert [c.operational and not c.draining for c in world.bridges.candidates(world.now)] == [True, True]
        world.pass_time(30).list_items(JVB)
        world.refuse(world.one(DISCO % "info", JVB), "remote-server-timeout")
        assert world.pool() == {JVB: "named", SECOND: "named"}

    @pytest.mark.parametrize("before, after, expected", [
        (("--bridge_jids=" + JVB,), (), {JVB: "discovered"}),
        (("--bridge_jids=" + JVB,), ("--service_rediscovery_interval=0",), {}),
        ((), ("--service_rediscovery_interval=0",), {}),
        ((), ("--bridge_jids=" + JVB, "--service_rediscovery_interval=0"), {JVB: "named"}),
        (("--client_bridges=" + SECOND,), (), {JVB: "discovered"}),
    ])
    def test_other_options_after_a_restart(self, before, after, expected):
        """The journal is of an earlier configuration; what it allowed and this one doesn't goes, and calls are told."""
        world = Finding(*before).connect().list_items(JVB).explain(JVB)
        later = world.restart(*after).connect()
        assert later.pool() == expected
        assert [event for event in later.events() if event[0] == "lost"] == [
            ("lost", jid) for jid in world.pool() if jid not in expected]


# --- asked for by a client -------------------------------------------------------------------------------------------

def bridge(jid: str, operational: bool = True, shutting_down: bool = False) -> Candidate:
    return Candidate(jid, operational, 0.0, 0, None, None, False, False, shutting_down, "")


@pytest.mark.parametrize("properties, allowed, expected", [
    ({}, (JVB,), None),
    ({"bridge": JVB}, (), None),
    ({"bridge": JVB}, (SECOND,), None),
    ({"bridge": JVB}, (JVB,), Wish(JVB, False)),
    ({"bridge": " %s " % JVB.upper()}, (JVB,), Wish(JVB, False)),
    ({"enforcedBridge": JVB, "bridge": SECOND}, (JVB, SECOND), Wish(JVB, True)),
    ({"enforcedBridge": "evil.example", "bridge": SECOND}, (JVB, SECOND), Wish(SECOND, False)),
    ({"enforcedBridge": BRIDGE}, ("*",), Wish(BRIDGE, True)),
    ({"enforcedBridge": "@"}, ("*",), None),
    ({"enforcedBridge": "x" * 100000}, ("*",), None),
])
def test_what_a_client_may_wish(properties, allowed, expected):
    """B-1003, C-1120: nothing that the operator hasn't allowed."""
    assert wish(properties, allowed) == expected


@pytest.mark.parametrize("wanted, others, in_use, expected", [
    pytest.param(None, {}, (), [SECOND], id="reserved ones are for who asks"),
    pytest.param(Wish(JVB, True), {}, (), [JVB], id="enforced: that one and no other"),
    pytest.param(Wish("gone.example", True), {}, (), [], id="enforced and not there: none"),
    pytest.param(Wish(JVB, False), {}, (), [SECOND], id="another can be used"),
    pytest.param(Wish(JVB, False), {"operational": False}, (), [JVB, SECOND], id="no other is operational"),
    pytest.param(Wish(JVB, False), {"shutting_down": True}, (), [JVB, SECOND], id="the other is going"),
    pytest.param(Wish(JVB, False), {}, (JVB,), [JVB, SECOND], id="the conference is on it"),
    pytest.param(Wish(SECOND, False), {}, (), [SECOND], id="it is known anyway"),
])
def test_who_is_left(wanted, others, in_use, expected):
    """B-1003"""
    left = narrowed([bridge(JVB), bridge(SECOND, **others)], wanted, [JVB], in_use)
    assert [candidate.jid for candidate in left] == expected


def test_an_enforced_bridge_that_fails_leaves_nobody():
    """B-1003"""
    left = narrowed([bridge(JVB, False), bridge(SECOND)], Wish(JVB, True), (), ())
    assert isinstance(choose(left, (), rules.Wish(), rules.Rules()), Refusal)


@pytest.mark.parametrize("properties, options, expected", [
    ({}, {}, BRIDGE), ({"enforcedBridge": JVB}, {}, BRIDGE), ({"enforcedBridge": JVB}, {"client_bridges": JVB}, JVB),
    ({"bridge": JVB}, {"client_bridges": JVB}, BRIDGE)])
def test_a_conference_obeys(properties, options, expected):
    """B-1003: the request that creates the conference says so."""
    scene = Scene(properties=properties, **options)
    scene.bridges.found(JVB, "asked", scene.now)
    scene.join("anna0001", "bo000002")
    assert scene.one("conference-modify").get("to") == expected


def test_what_is_asked_for_and_found_too_serves_everybody():
    """B-1003: a detected bridge."""
    world = Finding("--client_bridges=%s, %s" % (JVB, SECOND)).connect()
    assert world.bridges.reserved() == [JVB, SECOND]
    world.list_items(JVB).explain(JVB)
    assert world.bridges.reserved() == [SECOND]
    world.pass_time(30).list_items()
    assert world.bridges.reserved() == [SECOND, JVB]
    assert [c.operational for c in world.bridges.candidates(world.now) if c.jid == JVB] == [False]


# --- the pool --------------------------------------------------------------------------------------------------------

def test_the_brewery_judges_its_own():
    """B-112, B-430: presence is nothing a component has."""
    world = Finding("--bridge_jids=" + JVB).connect()
    world.stand("jvb1")
    world.joins[-1](JOINED)
    world.pass_time(3600)
    world.check()
    assert {c.jid: c.operational for c in world.bridges.candidates(world.now)} == {BRIDGE: False, JVB: True}
    world.connect()
    world.joins[-1](JOINED)
    world.pass_time(15).brewery.check_absent()
    assert world.pool() == {JVB: "named"}


def test_there_may_be_no_brewery():
    """B-101: then nobody enters one, and what stood in one is gone."""
    world = Finding("--bridge_jids=" + JVB).connect().stand("jvb1")
    assert len(world.joins) == 1
    later = world.restart("--brewery_jid=none")
    later.connect().connect(resumed=True)
    assert later.pool() == {JVB: "discovered"} and later.joins == [] and ("lost", BRIDGE) in later.events()
    later.bridges.failed(JVB, "test", later.now)
    later.pass_time(61).check()
    assert later.events() == [("usable", JVB)]


@pytest.mark.parametrize("flags, expected", [
    ((), ("jvbbrewery@internal.auth.meet.example", 30.0)),
    (("--brewery_jid=B@internal.meet.example",), ("b@internal.meet.example", 0.0)),
    (("--brewery_jid=none",), ("", 30.0)),
    (("--brewery_jid=none", "--service_rediscovery_interval=-1"), ("", -1.0)),
    (("--brewery_jid=none", "--service_rediscovery_interval=0", "--bridge_jids=" + JVB), ("", 0.0)),
])
def test_where_bridges_are_looked_for(flags, expected):
    """B-101, B-1001: who names a brewery has his bridges there."""
    config = load(["--domain=meet.example", *flags], {})
    assert (config.brewery_jid, config.service_rediscovery_interval) == expected


@pytest.mark.parametrize("flags, complaint", [
    (("--brewery_jid=none", "--service_rediscovery_interval=0"), "no other way to find bridges"),
    (("--pubsub_stats_node=x",), "pubsub_address: not set, but nodes are given"),
    (("--pubsub_address=p.x", "--pubsub_bridge_nodes=a.x"), "where an address and a node should be"),
    (("--pubsub_address=p.x", "--pubsub_bridge_nodes=a.x:n;b.x:n"), "has the node n twice"),
    (("--bridge_jids=a@b.x",), "has an '@'"),
    (("--client_bridges=a@@b",), "client_bridges"),
    (("--service_rediscovery_interval=-2",), "service_rediscovery_interval"),
    (("--service_rediscovery_interval=10ms",), "too short"),
    (("--bridge_jids=" + ",".join("a%d.x" % number for number in range(101)),), "more than 100"),
])
def test_options_that_cant_be(flags, complaint):
    with pytest.raises(ConfigError, match=complaint):
        load(["--domain=meet.example", *flags], {})


@pytest.mark.parametrize("property, place", [
    ("org.jitsi.jicofo.SERVICE_REDISCOVERY_INTERVAL", "[bridge] service_rediscovery_interval"),
    ("org.jitsi.focus.BRIDGE_PUBSUB_MAPPING", "[pubsub] bridge_nodes"),
    ("org.jitsi.focus.pubsub.ADDRESS", "[pubsub] address"),
    ("org.jitsi.focus.pubsub.RETRY_INTERVAL", "[pubsub] retry_interval"),
    ("org.jitsi.jicofo.STATS_PUBSUB_NODE", "[pubsub] stats_node"),
    ("org.jitsi.jicofo.MAX_STATS_REPORT_AGE", "[pubsub] max_stats_report_age")])
def test_old_names(tmp_path, property, place):
    """B-1013, operation.md section 3"""
    ini = tmp_path / "old.ini"
    ini.write_text("[jicofo]\n%s = x\n" % property)
    config = load(["--domain=meet.example", "--config=%s" % ini], {})
    assert any(place in warning for warning in config.warnings)


def test_what_is_given_is_shown():
    """The list of options in force reads as the ini does."""
    config = load(["--domain=meet.example", "--pubsub_address=p.x", "--pubsub_bridge_nodes=A.x:n;b.x:m",
                   "--bridge_jids=b.x a.x", "--client_bridges=a.x, *", "--brewery_jid=none"], {})
    assert [config.shown(name) for name in ("pubsub_bridge_nodes", "bridge_jids", "client_bridges", "brewery_jid")] == [
        "a.x:n; b.x:m", "b.x, a.x", "a.x, *", "none"]


def test_statistics_after_finding_are_no_restart():
    """B-210: the version asked for and the version published needn't be the same words."""
    world = Finding(*SHARED, "--service_rediscovery_interval=30").connect().subscribe().list_items(JVB).explain(JVB)
    world.events()
    world.publish(JVB, stats(version="JVB 2.1"))
    assert world.events() == [] and world.bridges.get(JVB).version == "JVB 2.1"
    world.pass_time(30).list_items(JVB).explain(JVB)
    assert world.events() == [] and world.bridges.get(JVB).version == "JVB 2.1"
    world.publish(JVB, stats(version="JVB 2.2"))
    assert world.events() == [("lost", JVB), ("usable", JVB)] and world.bridges.get(JVB).origin == "discovered"


def test_one_that_was_shutting_down_and_isnt_any_more_is_another():
    """T-5, B-206: nobody saw it go; what it held is gone."""
    world = Finding().stand("jvb1", payload=stats(shutting_down="true"))
    world.stand("jvb1", payload=stats(stress_level="0.2"))
    assert world.bridges.get(BRIDGE).shutting_down
    world.events()
    world.stand("jvb1", payload=stats(shutting_down="false", version="2.1"))
    assert world.events() == [("lost", BRIDGE), ("usable", BRIDGE)] and not world.bridges.get(BRIDGE).shutting_down


def test_failures_are_counted_once():
    """B-943"""
    scene: Any = Scene()
    for now in (10.0, 20.0):
        scene.bridges.failed(BRIDGE, "no answer", scene.now + now)
    assert scene.bridges.get(BRIDGE).failures == 1
    scene.bridges.recovered(scene.now + 100.0)
    scene.bridges.heard(BRIDGE, Stats(current_timestamp="x"), None, scene.now + 100.0)
    scene.bridges.failed(BRIDGE, "no answer", scene.now + 200.0)
    assert scene.bridges.get(BRIDGE).failures == 2
