"""The service's own duties in a tick: what belongs to no conference."""
from __future__ import annotations

from typing import Any, List

import pytest
from lxml import etree

from focus import service
from focus.conference.state import BridgeSession, Endpoint
from focus.config import load
from focus.journal.lock import Lock
from focus.journal.opening import open_journal
from focus.router import TimersDue
from focus.xmpp.arrivals import Arrived, Connected
from tests.support.harness import Stats


class Wire:
    """A connection that keeps what is sent."""

    def __init__(self, name: str, jid: str, managed: bool) -> None:
        self.name, self.jid, self.managed = name, jid, managed
        self.connected = True
        self.sent: List[Any] = []
        self.dropped = ""
        self.stream = None
        self.queued = 0

    def accepts(self, session: Any) -> bool:
        return True

    def waiting(self) -> List[bytes]:
        return []

    def send(self, stanzas: List[bytes], session: Any) -> None:
        self.sent += [etree.fromstring(b"<s xmlns='jabber:client'>%s</s>" % stanza)[0] for stanza in stanzas]

    def acknowledge(self, handled: int) -> None:
        pass

    def drop(self, why: str) -> None:
        self.dropped = why


@pytest.fixture
def world(monkeypatch):
    client = Wire("client", "focus@auth.meet.example/focus", managed=True)
    component = Wire("component", "focus.meet.example", managed=False)
    monkeypatch.setattr(service, "connections", lambda *_: {"client": client, "component": component})
    config = load(["--domain=meet.example", "--client_proxy=proxy.meet.example"], {"JICOFO_SECRET": "a-secret-of-ours"})
    clock = [100.0]
    built = service.Service(config, now=lambda: clock[0])
    for wire in (client, component):
        built._ticker.tick([Connected(wire, False, wire.jid, 1)])
    return built, client, component, clock


def tick(built, clock, seconds):
    clock[0] += seconds
    built._ticker.tick([TimersDue()])


def answer(built, wire, request):
    element = etree.fromstring("<s xmlns='jabber:client'><iq type='result' id='%s' from='%s'/></s>" % (
        request.get("id"), request.get("to")))[0]
    built._ticker.tick([Arrived(wire, element, 10)])


def pings(wire):
    return [el for el in wire.sent if len(el) and el[0].tag == "{urn:xmpp:ping}ping"]


def server_answers(built, client):
    """Our own server is quick: every ping of a check is answered."""
    answered = 0
    while answered < len(pings(client)):
        answered += 1
        answer(built, client, pings(client)[answered - 1])


def test_the_proxy_hears_of_us_directly(world):
    """C-106, S-731, U-6: whatever the roster holds."""
    _, client, _, _ = world
    to_proxy = [el for el in client.sent if el.get("to") == "proxy.meet.example"]
    assert [el.get("type") for el in to_proxy] == ["subscribed", None]


def test_a_stream_without_management_is_asked_whether_it_lives(world):
    """XEP-0199: and given up when it doesn't answer while our own server does."""
    built, client, component, clock = world
    tick(built, clock, 31)
    assert [el.get("from") for el in pings(component)] == ["focus.meet.example"]
    assert not [el for el in pings(client) if el.get("to") == "meet.example"]
    answer(built, component, pings(component)[0])
    server_answers(built, client)
    for seconds in (31, 15, 1):
        tick(built, clock, seconds)
        assert not component.dropped
        server_answers(built, client)
    assert component.dropped


def test_too_many_foreign_names_end_the_process(world, monkeypatch):
    """DESIGN, idea 4: between two ticks."""
    built, _, _, clock = world
    monkeypatch.setattr(service.LEDGER, "name_bytes", service.NAMES_LIMIT + 1)
    tick(built, clock, 1)
    assert built.status == 1 and built._stopping.is_set()


def test_an_unknown_proxy_is_neither_accepted_nor_refused(world, caplog):
    """C-1006: what it asks is left to who configures it."""
    built, client, _, _ = world
    sent = len(client.sent)
    for sender, expected in (("other.meet.example", "unsubscribed"), ("proxy.meet.example", "subscribed")):
        element = etree.fromstring("<s xmlns='jabber:client'><presence type='subscribe' from='%s'/></s>" % sender)[0]
        built._ticker.tick([Arrived(client, element, 10)])
        assert client.sent[-1].get("type") == expected
    assert len(client.sent) == sent + 2


def test_load_is_moved_away_in_time(monkeypatch):
    """B-870: the clock is set for it, and the conferences hear of it."""
    client = Wire("client", "focus@auth.meet.example/focus", managed=True)
    monkeypatch.setattr(service, "connections", lambda *_: {"client": client})
    clock = [100.0]
    options = ["--domain=meet.example", "--load_redistribution_enabled=true", "--health_checks_enabled=false",
               "--load_redistribution_interval=40s"]
    built = service.Service(load(options, {}), now=lambda: clock[0])
    built._ticker.tick([Connected(client, False, client.jid, 1)])
    hot, cold = (built.brewery.room + "/" + name for name in ("hot", "cold"))
    for jid, stress in ((hot, 0.95), (cold, 0.1)):
        built.bridges.heard(jid, Stats(stress_level=stress, drain=False, version="1"), None, clock[0])
    for room in ("one@conference.meet.example", "two@conference.meet.example"):
        built.conferences.begin_anew(room)
        conference = built.conferences.get(room)
        assert conference is not None
        session = conference.state.bridges[hot] = BridgeSession(hot, "s", None)
        session.endpoints["anna0001"] = Endpoint("anna0001", 1)
    tick(built, clock, 39)
    assert built.bridges.counters.redistributed == 0
    tick(built, clock, 1)
    assert built.bridges.counters.redistributed == built.bridges.rows[hot].endpoints_moved == 2
    assert built.moves.next_at == clock[0] + 40


@pytest.mark.parametrize("sender, kind, expected", [
    ("jvb1.meet.example", "set", "result"), ("jvb1.meet.example", "get", "error"),
    ("jvb1.meet.example/x", "set", "error"), ("anna@meet.example/x", "set", "error"),
    ("jvbbrewery@internal.auth.meet.example/jvb1", "set", "error"), ("", "set", "error")])
def test_a_bridge_may_send_its_statistics(world, sender, kind, expected):
    """K-773: one that is known as a component, and nobody else."""
    built, client, _, _ = world
    built.bridges.found("jvb1.meet.example", "discovered", 100.0)
    built.bridges.heard("jvbbrewery@internal.auth.meet.example/jvb1", Stats(stress_level=0.1), None, 100.0)
    element = etree.fromstring(
        "<s xmlns='jabber:client'><iq type='%s' id='s1' from='%s'><stats xmlns='http://jitsi.org/protocol/colibri'>"
        "<stat name='stress_level' value='0.8'/></stats></iq></s>" % (kind, sender))[0]
    built._ticker.tick([Arrived(client, element, 10)])
    assert client.sent[-1].get("id") == "s1" and client.sent[-1].get("type") == expected
    assert [bridge.stress for bridge in built.bridges] == [0.8 if expected == "result" else 0.0, 0.1]


def test_what_is_published_reaches_the_pool(monkeypatch):
    """B-1002: from the stream to the pool, and only by the stream of our user."""
    client, component = (Wire(name, jid, True) for name, jid in (
        ("client", "focus@auth.meet.example/focus"), ("component", "focus.meet.example")))
    monkeypatch.setattr(service, "connections", lambda *_: {"client": client, "component": component})
    config = load(["--domain=meet.example", "--pubsub_address=pubsub.meet.example",
                   "--pubsub_bridge_nodes=jvb1.meet.example:n"], {"JICOFO_SECRET": "a-secret-of-ours"})
    built = service.Service(config, now=lambda: 100.0)
    for wire in (client, component):
        built._ticker.tick([Connected(wire, False, wire.jid, 1)])
    assert any(el.get("to") == "pubsub.meet.example" for el in client.sent)
    element = etree.fromstring(
        "<s xmlns='jabber:client'><message from='pubsub.meet.example'><event "
        "xmlns='http://jabber.org/protocol/pubsub#event'><items node='n'><item><stats "
        "xmlns='http://jitsi.org/protocol/colibri'><stat name='stress_level' value='0.8'/></stats></item></items>"
        "</event></message></s>")[0]
    built._ticker.tick([Arrived(component, element, 10)])
    assert len(built.bridges) == 0
    built._ticker.tick([Arrived(client, element, 10)])
    assert [(bridge.jid, bridge.stress) for bridge in built.bridges] == [("jvb1.meet.example", 0.8)]


class TestRestored:
    """A later process with the same journal (DESIGN, "Coming back, resumed")."""

    def start(self, monkeypatch, tmp_path):
        client = Wire("client", "focus@auth.meet.example/focus", managed=True)
        monkeypatch.setattr(service, "connections", lambda *_: {"client": client})
        lock = Lock(str(tmp_path / "journal.db"))
        assert lock.try_take()
        opened = open_journal(str(tmp_path / "journal.db"), lock, lambda function: function())
        built = service.Service(load(["--domain=meet.example"], {}), now=lambda: 100.0, opened=opened)
        return built, client, lock

    def end(self, built, lock):
        built.keeper.journal.close()
        lock.close()

    def test_the_brewery_is_entered_once(self, monkeypatch, tmp_path):
        """S-111: the join goes on with what has come already; nothing is asked again."""
        built, client, lock = self.start(monkeypatch, tmp_path)
        built._ticker.tick([Connected(client, False, client.jid, 1)])
        asked = [el for el in client.sent if el.get("to", "").startswith("jvbbrewery@")]
        assert len(asked) == 3 and not built.brewery.inside
        answer(built, client, asked[1])
        self.end(built, lock)
        built, client, lock = self.start(monkeypatch, tmp_path)
        built._ticker.tick([Connected(client, True, client.jid, 0)])
        assert not [el for el in client.sent if el.get("to", "").startswith("jvbbrewery@")]
        answer(built, client, asked[2])
        own = etree.fromstring(
            "<s xmlns='jabber:client'><presence from='%s'><x xmlns='http://jabber.org/protocol/muc#user'><item "
            "affiliation='owner' role='moderator'/><status code='110'/></x></presence></s>" % asked[0].get("to"))[0]
        built._ticker.tick([Arrived(client, own, 10)])
        assert built.brewery.inside and not built.brewery.lanes
        self.end(built, lock)

    def test_pins_hold_on(self, monkeypatch, tmp_path):
        """B-507: the next conference of the room is held to the version, also of a later process."""
        built, _, lock = self.start(monkeypatch, tmp_path)
        built.conferences.pins.pin("standup@conference.meet.example", "2.3", 5, 100.0)
        tick(built, [100.0], 0.0)
        self.end(built, lock)
        built, _, lock = self.start(monkeypatch, tmp_path)
        for room, version in (("standup", "2.3"), ("other", None)):
            built.conferences.begin_anew(room + "@conference.meet.example")
            conference = built.conferences.get(room + "@conference.meet.example")
            assert conference is not None and conference.state.pinned_version == version
        self.end(built, lock)

    def test_bridges_are_known(self, monkeypatch, tmp_path):
        built, _, lock = self.start(monkeypatch, tmp_path)
        built.bridges.heard("jvbbrewery@x/jvb1", Stats(stress_level=0.5, version="2.3", drain=False), "jvb@x/1", 90.0)
        built.bridges.failed("jvbbrewery@x/jvb1", "it said so", 95.0)
        tick(built, [100.0], 0.0)
        self.end(built, lock)
        built, _, lock = self.start(monkeypatch, tmp_path)
        bridge = built.bridges.get("jvbbrewery@x/jvb1")
        assert (bridge.stress, bridge.version, bridge.failed_why) == (0.5, "2.3", "it said so")
        self.end(built, lock)
