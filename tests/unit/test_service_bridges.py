"""What the service asks bridges for the pool's sake: which version of Colibri they speak (K-830)."""
from __future__ import annotations

from typing import Any, List

import pytest
from lxml import etree

from focus import service
from focus.bridge.checking import Place
from focus.bridge.dialect import FEATURE
from focus.config import load
from focus.stanzas.bridge_stats import BridgeStats
from focus.values.channels import Channels, Leftover
from focus.xmpp.arrivals import Arrived, Connected
from tests.unit import test_service

BREWERY = "jvbbrewery@internal.auth.meet.example"
JID = BREWERY + "/jvb1"
STATS = ("<stats xmlns='http://jitsi.org/protocol/colibri'><stat name='stress_level' value='0.1'/>"
         "<stat name='version' value='2.1'/>%s</stats>")
DISCO = "{http://jabber.org/protocol/disco#info}query"


class World:
    """A service whose connection is a list."""

    def __init__(self, monkeypatch: Any, **options: str) -> None:
        self.client = test_service.Wire("client", "focus@auth.meet.example/focus", managed=True)
        monkeypatch.setattr(service, "connections", lambda *_: {"client": self.client})
        self.built = service.Service(load(["--domain=meet.example"] + [
            "--%s=%s" % pair for pair in options.items()], {}), now=lambda: 100.0)
        self.built._ticker.tick([Connected(self.client, False, self.client.jid, 1)])

    def arrive(self, text: str) -> None:
        element = etree.fromstring("<s xmlns='jabber:client'>%s</s>" % text)[0]
        self.built._ticker.tick([Arrived(self.client, element, 10)])

    def publish(self, more: str = "") -> None:
        self.arrive("<presence from='%s'>%s<x xmlns='http://jabber.org/protocol/muc#user'><item/></x></presence>" % (
            JID, STATS % more))

    def asked(self) -> List[Any]:
        """Questions of service discovery to the bridge."""
        return [el for el in self.client.sent if el.get("to") == JID and len(el) and el[0].tag == DISCO]

    def answer(self, request: Any, inside: str, kind: str = "result") -> None:
        self.arrive("<iq type='%s' id='%s' from='%s'>%s</iq>" % (kind, request.get("id"), request.get("to"), inside))


def features(*names: str) -> str:
    return "<query xmlns='http://jabber.org/protocol/disco#info'>%s</query>" % "".join(
        "<feature var='%s'/>" % name for name in names)


@pytest.mark.parametrize("answer, expected", [
    (("result", features(FEATURE, "jabber:iq:version")), 1),
    (("result", features("jabber:iq:version")), 2),
    (("result", ""), 2),
    (("error", "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"), 2),
])
def test_a_bridge_is_asked_once(monkeypatch, answer, expected):
    """K-830 (3), K-115"""
    world = World(monkeypatch)
    world.publish()
    world.publish()
    (request,) = world.asked()
    bridge: Any = world.built.bridges.get(JID)
    bridge.unproven = True
    assert request.get("type") == "get" and world.built.bridges.dialects.awaited_until(JID, 100.0) is not None
    world.answer(request, answer[1], answer[0])
    assert world.built.bridges.dialects.of(JID) == expected
    assert world.built.bridges.dialects.awaited_until(JID, 100.0) is None
    assert bridge.unproven is ("feature" not in answer[1])  # B-411: whoever answers isn't the process that is gone


@pytest.mark.parametrize("options, statistic, expected", [
    (dict(colibri="1"), "", 1),
    (dict(colibri="2"), "", 2),
    (dict(colibri1_bridges="jvb7, jvb1"), "", 1),
    (dict(), "<stat name='colibri2' value='true'/>", 2),
])
def test_a_bridge_that_is_known_is_not_asked(monkeypatch, options, statistic, expected):
    """K-830 (1), (2): the operator's word, the statistic."""
    world = World(monkeypatch, **options)
    world.publish(statistic)
    assert not world.asked() and world.built.bridges.dialects.of(JID) == expected


def test_what_is_owed_is_expired_in_its_own_version(monkeypatch):
    """K-731: before anything new is asked of the bridge."""
    world = World(monkeypatch)
    left = Leftover("c1", (Channels("anna", (("audio", "aa01"), ("data", "aa03"))),))
    world.built.bridges.debts.owe(JID, "m1", 99.0)
    world.built.bridges.debts.owe(JID, "m1", 99.0, left)
    before = len(world.client.sent)
    world.publish()
    new, old = [el for el in world.client.sent[before:] if el.get("to") == JID][:2]
    assert (new.get("type"), new[0].get("meeting-id"), new[0].get("expire")) == ("get", "m1", "true")
    assert (old.get("type"), old[0].get("id")) == ("set", "c1")
    assert [(el.get("id"), el.get("expire")) for el in old[0].iter("{*}channel", "{*}sctpconnection")] == [
        ("aa01", "0"), ("aa03", "0")]
    assert not world.built.bridges.debts.rows


def test_a_bridge_tells_of_the_streams_it_receives(monkeypatch):
    """K-774: an empty result, whoever asks."""
    world = World(monkeypatch)
    world.arrive("<iq type='set' id='told' from='%s'><conference xmlns='http://jitsi.org/protocol/colibri' id='c'>"
                 "<content name='audio'><channel id='a'><ssrc>17</ssrc></channel></content></conference></iq>" % JID)
    answer = world.client.sent[-1]
    assert (answer.get("type"), answer.get("id"), len(answer)) == ("result", "told", 0)


def test_the_next_process_knows_it(monkeypatch, tmp_path):
    """It is in the journal, with the conferences that are owed."""
    restored = test_service.TestRestored()
    built, _, lock = restored.start(monkeypatch, tmp_path)
    built.bridges.heard(JID, BridgeStats(stress_level=0.5), "jvb@x/1", 90.0)
    built.bridges.dialects.discovered(JID, [FEATURE])
    left = Leftover("c1", (Channels("anna", (("audio", "aa01"),)),))
    built.bridges.debts.owe(JID, "m1", 99.0, left)
    built._ticker.tick([])
    restored.end(built, lock)
    built, _, lock = restored.start(monkeypatch, tmp_path)
    assert built.bridges.dialects.of(JID) == 1 and not built.bridges.dialects.asks(JID, 100.0)
    assert [row.left for row in built.bridges.debts.back(JID, 100.0)] == [left]
    restored.end(built, lock)


def test_an_answer_to_an_earlier_process(monkeypatch, tmp_path):
    """K-830, DESIGN "Coming back, resumed": it is among what the server has kept, and conferences wait for it."""
    restored = test_service.TestRestored()
    built, _, lock = restored.start(monkeypatch, tmp_path)
    built.bridges.heard(JID, BridgeStats(stress_level=0.5), None, 90.0)
    assert built.bridges.dialects.asks(JID, 99.0)
    built._ticker.tick([])
    restored.end(built, lock)
    built, client, lock = restored.start(monkeypatch, tmp_path)
    assert built.bridges.dialects.awaited_until(JID, 99.0) == 101.0
    element = etree.fromstring("<s xmlns='jabber:client'><iq type='result' id='of-another' from='%s'>%s</iq></s>" % (
        JID, features(FEATURE)))[0]
    built._ticker.tick([Arrived(client, element, 10)])
    assert built.bridges.dialects.awaited_until(JID, 99.0) is None and built.bridges.dialects.of(JID) == 1
    restored.end(built, lock)


@pytest.mark.parametrize("answers, expected", [
    ([None, "result"], [(BREWERY + "/focus", Place.SLOW), ("auth.meet.example", Place.INSIDE)]),
    (["result", None, "result"], [(BREWERY + "/focus", Place.INSIDE), (BREWERY + "/focus", Place.SLOW),
                                  (BREWERY + "/focus", Place.INSIDE)]),
    (["error", "error"], [(BREWERY + "/focus", Place.OUTSIDE)] * 2)],
    ids=["it never answers: the server is asked", "it was slow once", "we aren't in it"])
def test_asking_for_our_place(monkeypatch, answers, expected):
    """XEP-0410, B-410: a room that lets no ping of ourselves through must not keep a dead bridge alive."""
    world = World(monkeypatch)
    world.built.brewery._standing.inside = True
    found: List[Any] = []
    for answer in answers:
        world.built._ask_place(lambda place: found.append((world.client.sent[-1].get("to"), place)))
        world.built._ticker.tick([])
        request = world.client.sent[-1]
        if answer is None:
            world.built.requests._pending.pop(request.get("id")).deliver(request.get("id"), None)
        else:
            error = ("<error type='cancel'><not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
                     if answer == "error" else "")
            world.answer(request, error, answer)
    assert found == expected
