"""Statistics of bridges by PubSub: the stanzas, who is heard, and what silence means (bridge.md B-1002)."""
from __future__ import annotations

from typing import Any

import pytest

from focus.bridge.finding.reports import MAX_REFUSED, MAX_UNVERIFIED
from focus.stanzas.pubsub import MAX_ITEMS as MAX_PUBLISHED
from focus.stanzas.pubsub import PublishedItem, PubSubEvent, parse_event, write_event
from tests.support.component_bridge import FEATURES
from tests.support.finding import DISCO, OWN, PUBSUB, Finding, stats
from tests.support.harness import stanza

JVB, SECOND = "jitsi-videobridge.meet.example", "jvb2.meet.example"
SHARED = ("--pubsub_address=" + PUBSUB, "--pubsub_stats_node=stats", "--service_rediscovery_interval=0")
MAPPED = ("--pubsub_address=" + PUBSUB, "--pubsub_bridge_nodes=%s:a; %s:b" % (JVB, SECOND),
          "--service_rediscovery_interval=0")


class TestStanzas:
    def test_an_event(self):
        """B-1002: written and read."""
        items = (PublishedItem(JVB, stats=None), PublishedItem("", unavailable=True))
        text = write_event(PubSubEvent("n", items), ("<other xmlns='urn:x'/>", "<service-unavailable xmlns='urn:x'/>"))
        message = stanza("<message from='p'>%s</message>" % text)
        assert message.event == PubSubEvent("n", items) and message.kind == "other"

    def test_statistics(self):
        event: Any = stanza("<message>%s</message>" % write_event(
            PubSubEvent("n", (PublishedItem(JVB),)), (stats(stress_level="0.5", drain="true"),))).event
        assert event.items[0].stats.stress_level == 0.5 and event.items[0].stats.drain is True

    @pytest.mark.parametrize("inside", [
        "", "<event xmlns='http://jabber.org/protocol/pubsub#event'/>",
        "<event xmlns='http://jabber.org/protocol/pubsub#event'><items/></event>",
        "<event xmlns='http://jabber.org/protocol/pubsub#event'><items node='%s'/></event>" % ("n" * 2000),
        "<event xmlns='urn:x'><items node='n'/></event>",
        "<event xmlns='http://jabber.org/protocol/pubsub#event'><purge node='n'/></event>"])
    def test_no_event(self, inside):
        assert stanza("<message from='p'>%s</message>" % inside).event is None

    def test_bounds(self):
        text = write_event(PubSubEvent("n", (PublishedItem("x" * 2000),) * 300), ("",) * 300)
        event: Any = parse_event(stanza("<presence>%s</presence>" % text).element)
        assert len(event.items) == MAX_PUBLISHED and event.items[0].id == ""


class TestPubSub:
    def shared(self, *flags: str) -> Finding:
        world = Finding(*SHARED, *flags).connect().subscribe().publish(JVB, stats(stress_level="0.7", version="2.1"))
        return world.explain(JVB)

    def test_a_shared_node_finds_bridges(self):
        """B-1002 (b): the item's id is the bridge, which says that it is one."""
        world = self.shared()
        bridge = world.bridges.get(JVB)
        assert (bridge.origin, bridge.stress, bridge.version, bridge.draining) == ("published", 0.7, "2.1", False)
        assert not world.take("jabber:iq:version")
        world.publish(JVB, stats(stress_level="0.2", drain="true"))
        assert (bridge.stress, bridge.version, bridge.draining) == (0.2, "2.1", True)

    def test_a_node_per_bridge(self):
        """B-1002 (a): the operator says whose it is, so nobody is asked; the item's id means nothing."""
        world = Finding(*MAPPED).connect().subscribe()
        world.publish("whatever", node="a").publish(SECOND, node="unknown").publish(JVB, node="stats")
        assert world.pool() == {JVB: "published"} and not world.sent

    def test_subscriptions(self):
        """B-1002: as the full address, and again after each login and each refusal."""
        world = Finding(*MAPPED).connect()
        asked = world.take("http://jabber.org/protocol/pubsub", PUBSUB)
        assert [(el.get("type"), el[0][0].get("node"), el[0][0].get("jid")) for el in asked] == [
            ("set", "a", OWN), ("set", "b", OWN)]
        world.answer(asked[0])
        world.refuse(asked[1], "item-not-found")
        world.pass_time(15)
        assert [el[0][0].get("node") for el in world.take("http://jabber.org/protocol/pubsub")] == ["b"]
        world.connect()
        assert len(world.take("http://jabber.org/protocol/pubsub")) == 2

    def test_a_resumed_stream_has_its_subscriptions(self):
        world = self.shared().connect(resumed=True)
        assert not world.take("http://jabber.org/protocol/pubsub")
        later = world.restart(*SHARED).connect(resumed=True)
        assert not later.sent and later.pool() == {JVB: "published"}
        nobody = Finding(*SHARED).connect().restart(*SHARED).connect(resumed=True)
        assert len(nobody.take("http://jabber.org/protocol/pubsub")) == 1

    def test_silence_beside_others_is_offline(self):
        """B-1002: no item for 15 s, checked every half of it."""
        world = self.shared().publish(SECOND).explain(SECOND)
        world.events()
        for _ in range(3):
            world.pass_time(5).publish(SECOND)
        assert world.pool() == {JVB: "published", SECOND: "published"}
        for _ in range(2):
            world.pass_time(5).publish(SECOND)
        assert world.pool() == {SECOND: "published"} and world.events() == [("lost", JVB)]
        world.publish(JVB).explain(JVB)
        assert JVB in world.pool()

    def test_nobody_is_judged_by_an_outage(self):
        """T-38, DESIGN, "Coming back": the last sign of life is now."""
        world = self.shared().publish(SECOND).explain(SECOND)
        world.now += 100.0
        world.connect(resumed=True).pass_time(5).publish(SECOND).pass_time(5).publish(SECOND)
        assert world.pool() == {JVB: "published", SECOND: "published"}

    def test_when_nobody_is_heard_the_subscription_is_in_doubt_first(self):
        """B-1002, U-47: renewed, and only then 15 s more."""
        world = self.shared().pass_time(23)
        assert len(world.take("http://jabber.org/protocol/pubsub")) == 1 and world.pool()
        world.pass_time(60)
        assert world.pool(), "the service is silent, so nobody is judged"
        world.subscribe().pass_time(14)
        assert world.pool()
        world.pass_time(10)
        assert world.pool() == {} and len(world.reports.rows) == 0

    def test_what_stands_still_is_no_sign_of_life(self):
        """B-411"""
        world = self.shared().publish(JVB, stats(current_timestamp="1")).publish(SECOND).explain(SECOND)
        for _ in range(5):
            world.pass_time(5).publish(JVB, stats(current_timestamp="1")).publish(SECOND)
        assert world.pool() == {SECOND: "published"}

    def test_it_says_that_it_goes(self):
        """B-1002: offline at once."""
        world = self.shared().publish(JVB, "<service-unavailable xmlns='urn:x'/>")
        assert world.pool() == {} and world.events() == [("usable", JVB), ("lost", JVB)]

    def test_one_that_is_known_otherwise_stays(self):
        """B-1002, B-202: it isn't operational, until it is heard again or its time is over."""
        world = Finding(*SHARED, "--bridge_jids=" + JVB).connect().subscribe().publish(JVB)
        world.publish(JVB, "<service-unavailable xmlns='urn:x'/>")
        assert world.pool() == {JVB: "named"} and not world.bridges.candidates(world.now)[0].operational
        assert world.events()[-1] == ("lost", JVB)
        world.publish(JVB)
        assert world.bridges.candidates(world.now)[0].operational

    @pytest.mark.parametrize("answer, expected", [
        ("", None), ("features", None), ("remote-server-timeout", "lost"), ("feature-not-implemented", None),
        ("silence", "lost")])
    def test_one_that_is_known_otherwise_is_asked_before_its_silence_counts(self, answer, expected):
        """B-1002: a call isn't moved for want of figures."""
        world = Finding(*SHARED, "--bridge_jids=" + JVB).connect().subscribe().publish(JVB).publish(SECOND)
        world.explain(SECOND).pass_time(8).publish(SECOND).pass_time(8).publish(SECOND).pass_time(7)
        world.events()
        if answer == "silence":
            world.take(DISCO % "info", JVB)
            world.pass_time(16)
        elif "-" in answer:
            world.refuse(world.one(DISCO % "info", JVB), answer)
        else:
            world.explain(JVB, [answer] if answer else FEATURES)
        assert [event for event in world.events() if event[1] == JVB] == ([(expected, JVB)] if expected else [])
        assert world.pool()[JVB] == "named"
        bridge = world.bridges.get(JVB)
        assert world.bridges.is_operational(bridge, world.now) == (expected is None)
        world.publish(JVB, stats(stress_level="0.4"))
        assert bridge.reported and world.bridges.is_operational(bridge, world.now)

    def test_one_that_is_heard_while_it_is_asked_is_there(self):
        """B-1002: whatever becomes of the question."""
        world = Finding(*SHARED, "--bridge_jids=" + JVB).connect().subscribe().publish(JVB).publish(SECOND)
        world.explain(SECOND).pass_time(8).publish(SECOND).pass_time(8).publish(SECOND).pass_time(7)
        world.publish(JVB)
        world.refuse(world.one(DISCO % "info", JVB), "remote-server-timeout")
        assert world.bridges.candidates(world.now)[0].operational

    @pytest.mark.parametrize("sender, type, more", [
        ("evil@meet.example/x", "headline", ""), (PUBSUB + "/x", "headline", ""), ("", "headline", ""),
        ("pubsub.evil.example", "normal", ""), (PUBSUB, "error", ""),
        (PUBSUB, "headline", "<delay xmlns='urn:xmpp:delay' stamp='2020-01-01T00:00:00Z'/>")])
    def test_who_isnt_heard(self, sender, type, more):
        """B-1002: everybody may send us messages; a kept one is as old as it likes."""
        world = self.shared()
        world.publish(JVB, "<service-unavailable xmlns='urn:x'/>", sender=sender, type=type, more=more)
        world.publish(SECOND, sender=sender, type=type, more=more)
        assert world.pool() == {JVB: "published"} and not world.sent

    def test_strangers(self, caplog):
        """B-1002: who publishes decides nothing: the address has to be of this domain, and a bridge."""
        world = Finding(*SHARED).connect().subscribe()
        world.publish("jvb.evil.example").publish("a@meet.example").publish("nodot").publish(PUBSUB)
        world.explain(PUBSUB, ["http://jabber.org/protocol/pubsub"])
        world.publish(PUBSUB).publish("jvb.evil.example")
        assert world.pool() == {} and not world.sent and len(world.reports.rows) == 0
        assert caplog.text.count("jvb.evil.example are published") == 1
        world.pass_time(60).publish(PUBSUB)
        assert len(world.take(DISCO % "info", PUBSUB)) == 1

    def test_many_strangers(self, caplog):
        """The number of those that are asked, remembered as refused, and complained of is bounded."""
        world = Finding(*SHARED).connect().subscribe()
        for number in range(1000):
            world.publish("jvb%d.meet.example" % number)
        assert len(world.take(DISCO % "info")) == MAX_UNVERIFIED
        world.pass_time(16)
        for number in range(1000):
            world.publish("jvb%d.evil.example" % number)
        assert len(world.reports._refused) == MAX_REFUSED and len(world.reports._unverified) == 0
        assert len(caplog.records) == MAX_REFUSED

    def test_other_options_after_a_restart(self):
        later = self.shared().restart("--service_rediscovery_interval=0").connect()
        assert later.pool() == {} and len(later.reports.rows) == 0 and later.events() == [("lost", JVB)]
