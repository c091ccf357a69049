"""Which bridge: order, filter and choice as tables (bridge.md section 5)."""
from __future__ import annotations

from typing import Any, Dict

import pytest

from focus.bridge.selection import Candidate, Refusal, choose, order, usable


def bridge(name, **more):
    values: Dict[str, Any] = dict(operational=True, stress=0.0, conferences=0, region=None, version="1", draining=False,
                  graceful_shutdown=False, shutting_down=False, why_not="")
    values.update(more)
    return Candidate("brewery@x/" + name, **values)


def names(bridges):
    return "".join(b.jid[-1] for b in bridges)


@pytest.mark.parametrize("bridges, expected", [
    ([bridge("a", stress=0.5), bridge("b", stress=0.1)], "ba"),
    ([bridge("a", graceful_shutdown=True), bridge("b", stress=0.9)], "ba"),
    ([bridge("a", operational=False), bridge("b", graceful_shutdown=True, stress=2.0)], "ba"),
    ([bridge("b"), bridge("a")], "ab"),
    ([bridge("a", conferences=3), bridge("b", conferences=1)], "ba"),
])
def test_order(bridges, expected):
    """B-211, U-24"""
    assert names(order(bridges)) == expected


@pytest.mark.parametrize("bridges, version, expected", [
    ([], None, "There are no operational bridges."),
    ([bridge("a", operational=False)], None, "There are no operational bridges."),
    ([bridge("a", shutting_down=True)], None, "All operational bridges are SHUTTING_DOWN"),
    ([bridge("a", version="1"), bridge("b", version="2")], "2", "b"),
    ([bridge("a", version="1")], "2", "There are no bridges with the required version: 2"),
    ([bridge("a", draining=True), bridge("b", stress=0.9)], None, "b"),
    ([bridge("a", draining=True)], None, "a"),
    ([bridge("a", graceful_shutdown=True), bridge("b", draining=True)], None, "a"),
    ([bridge("a", graceful_shutdown=True), bridge("b", stress=0.9)], None, "b"),
])
def test_filter(bridges, version, expected):
    """B-504"""
    left = usable(bridges, version)
    assert (left.reason if isinstance(left, Refusal) else names(left)) == expected


@pytest.mark.parametrize("bridges, in_use, region, expected", [
    ([bridge("a", stress=0.5), bridge("b", stress=0.1)], [], None, "b"),
    ([bridge("a", stress=0.5, region="eu"), bridge("b", stress=0.1, region="us")], [], "eu", "a"),
    ([bridge("a", stress=0.5), bridge("b", stress=0.1)], ["brewery@x/a"], None, "a"),
    ([bridge("a", draining=True), bridge("b")], ["brewery@x/a"], None, "a"),
    ([bridge("a", operational=False), bridge("b")], ["brewery@x/a"], None, "b"),
    ([bridge("b")], ["brewery@x/a"], None, "b"),
])
def test_choice(bridges, in_use, region, expected):
    """B-520, B-505: a conference stays where it is as long as that bridge works."""
    chosen = choose(bridges, in_use, region)
    assert isinstance(chosen, Candidate) and chosen.jid[-1] == expected


def test_the_log_line_lists_the_pool():
    """U-16"""
    refusal = choose([bridge("a", operational=False, why_not="since 40 s: no answer")], [], None)
    assert isinstance(refusal, Refusal) and refusal.bridges == "a: not operational (since 40 s: no answer)"
    nothing = choose([], [], None)
    assert isinstance(nothing, Refusal) and nothing.bridges == "no bridge is in the brewery"
