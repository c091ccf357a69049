"""The bridges that are kept in order are those that a pool read anew would have (B-211)."""
from __future__ import annotations

import random

import pytest

from focus.bridge.choice.ranking import FEW
from focus.bridge.choice.rules import Rules
from focus.bridge.choice.selection import order
from focus.bridge.choice.stress import IceDetection
from focus.bridge.pool import Bridges
from tests.support.harness import Stats

ICE = IceDetection(True, 3.0, 1, 0.5, 4.0)


def read_anew(bridges: Bridges, now: float):
    return order([bridges._read_candidate(bridge, now)[0] for bridge in bridges.rows.values()])


def something(chance: random.Random, bridges: Bridges, jid: str, now: float) -> None:
    """One of the things that happen to a bridge."""
    what = chance.randrange(14)
    if what == 0:
        bridges.failed(jid, "test", now)
    elif what == 1:
        bridges.conference(jid, chance.choice((-1, 1)))
    elif what == 2:
        bridges.restart_requested(jid, now)
    elif what == 3:
        bridges.gone(jid, "test")
    elif what == 4:
        bridge = bridges.get(jid)
        if bridge is not None:
            bridge.graceful_shutdown = True
    elif what == 5:
        bridges.recovered(now)
    elif what == 8:
        bridges.passed(jid, proves=chance.random() < 0.5)
    elif what == 9:
        bridges.signs.doubt(jid, now + 10)
    elif what == 10:
        bridges.signs.trust(jid)
    elif what == 11:
        bridges.signs.missing([other for other in bridges.rows if chance.random() < 0.8], now)
    elif what == 12:
        bridges.signs.overdue(now)
    elif what < 8:
        bridges.placed(jid, now)
    else:
        bridges.heard(jid, Stats(stress_level=chance.choice((0.1, 0.2, 0.9)), drain=chance.random() < 0.2,
                                 relay_id=chance.choice(("r1", "r2", jid)), version="1",
                                 current_timestamp=str(now)), None, now)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("size, checked", [(5, True), (5, False), (3 * FEW, True)])
def test_it_is_as_if_read_anew(seed, size, checked):
    chance = random.Random(seed)
    bridges = Bridges(reset_after=2.0, rampup=1.0, checked=checked, rules=Rules(octo=True), ice=ICE)
    now = 0.0
    for _ in range(150):
        for _ in range(chance.choice((0, 1, 1, 2, size))):
            something(chance, bridges, "b@x/%d" % chance.randrange(size), now)
        now += chance.choice((0.0, 0.01, 0.3, 1.1))
        found = bridges.candidates(now)
        assert found == read_anew(bridges, now)
        ids = [b.relay_id for b in found if b.relay_id is not None]
        assert len(ids) == len(set(ids))  # B-604


def test_a_table_from_the_journal():
    bridges, earlier = Bridges(), Bridges()
    for jid in ("b@x/1", "b@x/2"):
        earlier.heard(jid, Stats(stress_level=0.1, drain=False), None, 0.0)
    bridges.candidates(0.0)
    dict.update(bridges.rows, earlier.rows)
    assert [b.jid for b in bridges.candidates(0.0)] == ["b@x/1", "b@x/2"]
