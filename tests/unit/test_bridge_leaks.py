"""Bridges that come and go all day, in every way there is, with conferences on them: nothing of them stays."""
from __future__ import annotations

import gc
import logging
from collections import Counter
from typing import Any, Callable, Dict, Iterator, List, Tuple

import pytest

from focus.bridge.bridge import PoolEvent
from focus.bridge.debts import OWED_FOR
from focus.bridge.pool import Bridges
from focus.bridge.signs import ABSENT_FOR
from focus.conference import messages
from tests.support.finding import DISCO, PUBSUB, SERVER, Finding, stats
from tests.support.harness import JOINED, Scene

OPTIONS = ("--pubsub_address=" + PUBSUB, "--pubsub_stats_node=stats", "--service_rediscovery_interval=30")
OTHER = "conference.meet.example"


class Day:
    """Finders and two conferences around one pool."""

    def __init__(self) -> None:
        self.bridges: Any = Bridges()
        self.scenes = [Scene(bridges=0, pool=self.bridges), Scene(bridges=0, pool=self.bridges)]
        self.world = Finding(*OPTIONS, bridges=self.bridges, tell=self._tell)
        self.world.connect().subscribe().list_items(OTHER).explain(OTHER, ["http://jabber.org/protocol/muc"])
        self.world.joins[-1](JOINED)
        for number, scene in enumerate(self.scenes):
            scene.bring_in("anna%04d" % number, "bo%06d" % number, accept=False)
        self.number = 0

    def _tell(self, event: PoolEvent) -> None:
        for scene in self.scenes:
            if event.kind == "lost":
                scene.mail(messages.BridgeLost(event.bridge, event.reason))
            elif event.kind == "usable":
                scene.mail(messages.BridgeUsable(event.bridge))

    def settle(self, seconds: float = 0.0) -> None:
        """The bridges and clients answer, time passes."""
        for scene in self.scenes:
            scene.settle()
            waiting = [nick for nick, one in scene.state.participants.items() if one.phase == "offered"]
            scene.mail(*[scene.accept(nick, number + 1) for number, nick in enumerate(waiting)])
            scene.settle()
        if seconds:
            self.world.pass_time(seconds, step=seconds)
            for scene in self.scenes:
                scene.pass_time(seconds)
                scene.settle()
        self.tidy()

    def tidy(self) -> None:
        """What only the test keeps."""
        for scene in self.scenes:
            scene.told.clear()
            scene.connections.clear()
            scene.deadlines.clear()
        del self.world.joins[:-1]
        self.world.expired.clear()
        for request in self.world.take(DISCO % "items", SERVER):
            self.world.answer(request, "<query xmlns='%s'><item jid='%s'/></query>" % (DISCO % "items", OTHER))
        self.world.sent.clear()
        self.world.commit()

    def on(self, jid: str) -> None:
        """Both conferences are on the bridge."""
        assert [list(scene.state.bridges) for scene in self.scenes] == [[jid], [jid]]
        assert (self.bridges.get(jid).endpoints, self.bridges.get(jid).conferences) == (4, 2)

    def items(self, *addresses: str) -> None:
        """The server lists these."""
        self.world.components.due_at = self.world.now
        self.world.components.due(self.world.now)
        self.world.list_items(OTHER, *addresses)


def brewery(day: Day, name: str, how: Callable[[Day, str], None]) -> None:
    day.world.stand(name)
    day.settle()
    day.on("jvbbrewery@internal.auth.meet.example/" + name)
    how(day, name)


def leaves(day: Day, name: str) -> None:
    day.world.stand(name, type="unavailable")


def announces(day: Day, name: str) -> None:
    day.world.stand(name, payload=stats(graceful_shutdown="true"))
    day.world.stand(name, payload=stats(shutting_down="true"))
    day.world.stand(name, type="unavailable")


def restarts(day: Day, name: str) -> None:
    day.world.stand(name, payload=stats(version="2.2"))
    day.settle()
    day.world.stand(name, type="unavailable")


def fails(day: Day, name: str) -> None:
    jid = "jvbbrewery@internal.auth.meet.example/" + name
    day.bridges.failed(jid, "test", day.world.now)
    day.world.stand(name, payload=stats(healthy="false"))
    day.world.check()
    day.world.stand(name, type="unavailable")


def is_missing_after_reconnect(day: Day, name: str) -> None:
    day.world.connect()
    day.world.joins[-1](JOINED)
    day.world.subscribe()
    day.world.now += ABSENT_FOR
    day.world.brewery.check_absent()


def discovered(day: Day, name: str) -> None:
    jid = name + ".meet.example"
    day.items(jid)
    day.world.explain(jid)
    day.settle()
    day.on(jid)
    day.items()


def disconnected(day: Day, name: str) -> None:
    jid = name + ".meet.example"
    day.items(jid)
    day.world.explain(jid)
    day.settle()
    day.items(jid)
    day.world.refuse(day.world.one(DISCO % "info", jid), "service-unavailable")
    day.items()


def published(day: Day, name: str) -> None:
    jid = name + ".meet.example"
    day.world.publish(jid).explain(jid)
    day.settle()
    day.on(jid)
    day.world.publish(jid, "<service-unavailable xmlns='urn:x'/>")


def published_and_silent(day: Day, name: str) -> None:
    jid = name + ".meet.example"
    day.world.publish(jid).explain(jid)
    for _ in range(4):
        day.settle(8.0)
        day.world.publish("steady.meet.example")
        day.world.take(DISCO % "info")


def refused(day: Day, name: str) -> None:
    jid = name + ".meet.example"
    day.world.publish(jid).explain(jid, ["urn:x"])


WAYS: Dict[str, Callable[[Day, str], None]] = {
    **{way.__name__: (lambda day, name, way=way: brewery(day, name, way))  # type: ignore[misc]
       for way in (leaves, announces, restarts, fails, is_missing_after_reconnect)},
    "discovered": discovered, "disconnected": disconnected, "published": published,
    "published and silent": published_and_silent, "refused": refused}


def census(day: Day) -> Tuple[Counter, List[int]]:
    """Objects by type, and the sizes of the tables."""
    day.settle(OWED_FOR + 100.0)
    day.world.check()
    day.settle(100.0)
    gc.collect()
    counted = Counter(type(one).__name__ for one in gc.get_objects())
    world = day.world
    tables: List[Any] = [day.bridges.rows, day.bridges.debts.rows, world.reports.rows, world.reports._unverified,
                         world.brewery._standing.present, world.brewery.lanes, world.components._versions,
                         world.components._asked, *(scene.state.drops for scene in day.scenes),
                         *(scene.state.bridges for scene in day.scenes),
                         *(scene.state.clearing for scene in day.scenes)]
    return counted, [len(table) for table in tables]


@pytest.fixture
def no_log() -> Iterator[None]:
    """The test runner would keep every line."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.usefixtures("no_log")
def test_nothing_stays(way):
    """B-107, B-212, B-941, U-47: pool, debts, findings, marks of conferences and of the journal."""
    day = Day()

    def many(count: int) -> None:
        for _ in range(count):
            day.number += 1
            WAYS[way](day, "jvb%d" % day.number)
            day.settle(70.0)
            assert len(day.bridges) == 0

    many(20)
    before, sizes = census(day)
    journal = len(day.world.journal)
    assert sizes == [0] * len(sizes)
    many(100)
    after, sizes = census(day)
    assert sizes == [0] * len(sizes) and len(day.world.journal) == journal
    grown = {name: after[name] - before[name] for name in after if after[name] - before[name] > 20}
    assert not grown
