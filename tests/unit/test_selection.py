"""Which bridge: order, filter and choice as tables (bridge.md section 5)."""
from __future__ import annotations

import random
from typing import Any, Dict, List, Optional

import pytest

from focus.bridge.choice.rules import (
    DESCRIBED,
    INTRA_REGION,
    REGION_BASED,
    SINGLE,
    SPLIT,
    VISITOR,
    Candidate,
    Choice,
    InUse,
    Refusal,
    Rules,
    Wish,
    describe,
    rules_of,
)
from focus.bridge.choice.selection import choose, is_rate_limited, order, usable
from focus.config import load

BREWERY = "brewery@x/"


def bridge(name, stress=0.0, **more):
    values: Dict[str, Any] = dict(
        operational=True, stress=stress, conferences=0, region=None, version="v1", draining=False,
        graceful_shutdown=False, shutting_down=False, relay_id="relay-" + name)
    values.update(more)
    return Candidate(BREWERY + name, **values)


def names(bridges):
    return "".join(b.name for b in bridges)


def used(text: str) -> List[InUse]:
    """``A1:5/4v``: five participants there, four of them new, visitors."""
    found = []
    for part in text.split():
        name, _, count = part.partition(":")
        number, _, recent = count.rstrip("v").partition("/")
        found.append(InUse(BREWERY + name, int(number), count.endswith("v"), int(recent or 0)))
    return found


def chosen(bridges, in_use: str, wish: Wish, rules: Rules, pinned: Optional[str] = None) -> str:
    """The bridge's name, with an exclamation mark if the whole conference moves; ``fail`` for none."""
    choice = choose(order(bridges), used(in_use), wish, rules, pinned)
    if isinstance(choice, Refusal):
        return "fail"
    return choice.bridge.name + ("!" if choice.moves_all else "")


@pytest.mark.parametrize("bridges, expected", [
    ([bridge("a", 0.5), bridge("b", 0.1)], "ba"),
    ([bridge("a", graceful_shutdown=True), bridge("b", 0.9)], "ba"),
    ([bridge("a", operational=False), bridge("b", 2.0, graceful_shutdown=True)], "ba"),
    ([bridge("b"), bridge("a")], "ab"),
    ([bridge("a", conferences=3), bridge("b", conferences=1)], "ba"),
])
def test_order(bridges, expected):
    """B-211, U-24, T-10"""
    assert names(order(bridges)) == expected


@pytest.mark.parametrize("bridges, version, expected", [
    ([], None, "There are no operational bridges."),
    ([bridge("a", operational=False)], None, "There are no operational bridges."),
    ([bridge("a", shutting_down=True)], None, "All operational bridges are SHUTTING_DOWN"),
    ([bridge("a", version="1"), bridge("b", version="2")], "2", "b"),
    ([bridge("a", version="1")], "2", "There are no bridges with the required version: 2"),
    ([bridge("a", draining=True), bridge("b", 0.9)], None, "b"),
    ([bridge("a", draining=True)], None, "a"),
    ([bridge("a", graceful_shutdown=True), bridge("b", draining=True)], None, "a"),
    ([bridge("a", graceful_shutdown=True), bridge("b", 0.9)], None, "b"),
])
def test_filter(bridges, version, expected):
    """B-504"""
    left = usable(order(bridges), version)
    assert (left.reason if isinstance(left, Refusal) else names(left)) == expected


REGIONS = Rules(REGION_BASED, octo=True)
ALONE = REGIONS._replace(octo=False)
MIXED = REGIONS._replace(allow_mixed_versions=True)
OLD_AND_NEW = [bridge("X", 0.9), bridge("Y", 0.1, version="v2")]


@pytest.mark.parametrize("bridges, in_use, rules, pinned, expected", [
    pytest.param([bridge("X", 0.5), bridge("Y", 0.1)], "", REGIONS, None, "Y", id="F1"),
    pytest.param([bridge("X", 0.5), bridge("Y", 0.1, operational=False)], "", REGIONS, None, "X", id="F2"),
    pytest.param([bridge("X", shutting_down=True), bridge("Y", operational=False)], "", REGIONS, None, "fail", id="F3"),
    pytest.param([bridge("X", draining=True), bridge("Y", 0.7)], "", REGIONS, None, "Y", id="F4"),
    pytest.param([bridge("X", 0.3, draining=True), bridge("Y", 0.1, draining=True)], "", REGIONS, None, "Y", id="F5"),
    pytest.param([bridge("X", graceful_shutdown=True), bridge("Y", 0.9)], "", REGIONS, None, "Y", id="F6"),
    pytest.param([bridge("X", draining=True), bridge("Y", graceful_shutdown=True)], "", REGIONS, None, "Y", id="F7"),
    pytest.param([bridge("X", 0.1, draining=True), bridge("Y", 0.2)], "X:3", REGIONS, None, "Y", id="F8"),
    pytest.param([bridge("X", 0.1, draining=True), bridge("Y", 0.2)], "X:3", ALONE, None, "X", id="F9"),
    pytest.param(OLD_AND_NEW, "X:3", REGIONS, None, "X", id="F10"),
    pytest.param(OLD_AND_NEW, "", REGIONS, "v1", "X", id="F11"),
    pytest.param(OLD_AND_NEW, "", REGIONS, "v3", "fail", id="F12"),
    pytest.param(OLD_AND_NEW, "X:3", REGIONS, "v2", "fail", id="F13"),
    pytest.param(OLD_AND_NEW, "X:3", MIXED, None, "Y", id="F14"),
    pytest.param([bridge("X", 0.1, relay_id=None), bridge("Y")], "X:3", REGIONS, None, "X", id="F15"),
    pytest.param([bridge("X", operational=False), bridge("Y")], "X:3", ALONE, None, "Y!", id="F16, B-606 R"),
    pytest.param(OLD_AND_NEW, "X:3", MIXED, "v2", "fail", id="B-503 also with mixed versions"),
    pytest.param([bridge("X", version=None), bridge("Y", version="v2")], "X:3", REGIONS, "v2", "Y",
                 id="B-503 a bridge without a version"),
    pytest.param([bridge("X", operational=False), bridge("Y")], "X:3", REGIONS, None, "Y", id="T-12 a second session"),
    pytest.param([bridge("X", operational=False), bridge("Y")], "X:3", REGIONS._replace(strategy=SINGLE), None, "Y!",
                 id="T-12 with single all move: it couldn't choose between two later"),
    pytest.param([bridge("X", operational=False), bridge("Y", relay_id=None)], "X:3", REGIONS, None, "Y!",
                 id="B-606 no relay id, so all move"),
    pytest.param([bridge("X", 0.9), bridge("Y", relay_id=None)], "X:3", REGIONS, None, "X",
                 id="B-606 not worth moving all"),
    pytest.param([bridge("X", 0.5, draining=True), bridge("Y", relay_id=None)], "X:3", REGIONS, None, "X",
                 id="B-606 the conference's own although it drains"),
    pytest.param([bridge("Y")], "X:3", ALONE, None, "Y!", id="B-505 R: a bridge that is gone is not used"),
    pytest.param([bridge("X", shutting_down=True), bridge("Y")], "X:3", ALONE, None, "Y!",
                 id="B-505 R: one that shuts down is not used"),
    pytest.param([bridge("X", shutting_down=True), bridge("Y", version="v2"), bridge("Z", 0.5, version="v10")], "X:3",
                 REGIONS, None, "Z!", id="T-14 R: to the newest version"),
    pytest.param([bridge("X", shutting_down=True), bridge("Y", version="v2")], "X:3", REGIONS, "v1", "fail",
                 id="T-14: a pin holds"),
    pytest.param([bridge("X", operational=False), bridge("Y", version="v2"), bridge("Z", 0.5)], "X:3", REGIONS, None,
                 "Z", id="U-23: beside a failed bridge its own version is preferred"),
    pytest.param([bridge("X", operational=False), bridge("Y", version="v2")], "X:3", REGIONS, None, "Y!",
                 id="U-23: beside a failed bridge no other version, so all move"),
])
def test_examples_of_the_filter(bridges, in_use, rules, pinned, expected):
    """B-503 to B-506 with the table 5.4, T-14, B-606"""
    assert chosen(bridges, in_use, Wish(), rules, pinned) == expected


PLACES = {"A": "ap-south", "C": "eu-central", "W": "eu-west", "U": "us-east", "V": "us-west"}
LEVELS = {"1": 0.0, "2": 0.3, "3": 0.9}
TWO_GROUPS = {region: frozenset(group) for group in (("us-east", "us-west"), ("eu-central", "eu-west"))
              for region in group}
REGION = Rules(REGION_BASED, octo=True, max_participants=10)
GROUPS = REGION._replace(groups=TWO_GROUPS)
LOCAL = GROUPS._replace(local_region="us-east")
SLOW = REGION._replace(max_per_interval=5)


def located(name, stress=None):
    return bridge(name, LEVELS[name[1]] if stress is None else stress, region=PLACES[name[0]])


def world(without=""):
    return [located(place + level) for place in PLACES if place not in without for level in LEVELS]


def only(*names):
    return [located(name) for name in names]


WEST = bridge("W", 0.95, region="eu-west")
XY = [bridge("X", 0.1), bridge("Y", 0.2)]
VISITORS = Rules(VISITOR, (REGION_BASED, REGION_BASED), octo=True)


@pytest.mark.parametrize("rules, bridges, region, in_use, expected", [
    pytest.param(REGION, world(), None, "", "A1", id="1"),
    pytest.param(REGION, world(), "ap-south", "", "A1", id="2"),
    pytest.param(REGION, world(), "ap-south", "A2:1", "A2", id="3"),
    pytest.param(REGION, world(), "ap-south", "A2:10", "A1", id="4"),
    pytest.param(REGION, world(), "ap-south", "A1:10", "A2", id="5"),
    pytest.param(REGION, world(), "ap-south", "A1:2 A2:1", "A1", id="6"),
    pytest.param(REGION, world(), None, "A1:2 W2:1 W3:1", "A1", id="7"),
    pytest.param(REGION, world(), "eu-west", "A1:2 W2:1 W3:1", "W2", id="8"),
    pytest.param(REGION, world(), "eu-central", "A1:2 W2:1 W3:1", "C1", id="9"),
    pytest.param(REGION, world(), "eu-central", "A1:2 W2:1 W3:1 C1:10", "C2", id="10"),
    pytest.param(LOCAL, world(), "eu-central", "A1:2 W2:1 W3:1 C1:10", "W2", id="11"),
    pytest.param(LOCAL, world(), "us-east", "A1:2 W2:1 W3:1 C1:10", "U1", id="12"),
    pytest.param(GROUPS, world("W"), "eu-west", "", "C1", id="13"),
    pytest.param(GROUPS, world("W"), "eu-west", "U1:1", "C1", id="14"),
    pytest.param(LOCAL, world(), "us-west", "", "U1", id="15"),
    pytest.param(REGION._replace(local_region="us-east"), world(), "mars", "", "U1", id="16"),
    pytest.param(REGION, world(), "mars", "A2:1", "A2", id="17"),
    pytest.param(REGION, [*only("A3"), WEST], "ap-south", "W:3", "W", id="18"),
    pytest.param(REGION, [*only("A3"), WEST], "ap-south", "W:10", "A3", id="19"),
    pytest.param(REGION, XY, None, "X:10", "Y", id="20, B-527 R"),
    pytest.param(REGION, only("A1"), "ap-south", "A1:10", "A1", id="21"),
    pytest.param(REGION, only("A3", "W1"), "ap-south", "A3:2", "W1", id="22"),
    pytest.param(SLOW, world(), "ap-south", "A1:5/5", "A2", id="23"),
    pytest.param(SLOW, world(), "ap-south", "A1:5/4", "A1", id="23a"),
    pytest.param(SLOW, only("A1", "A2"), "ap-south", "A1:6/5 A2:5/5", "A1", id="23b"),
    pytest.param(REGION._replace(strategy=SINGLE), only("A3", "C1"), "ap-south", "", "A3", id="24, T-15"),
    pytest.param(REGION._replace(strategy=SINGLE), world(), "ap-south", "C2:3", "C2", id="25"),
    pytest.param(REGION._replace(strategy=SINGLE), world(), "ap-south", "C2:3 A1:1", "fail", id="26"),
    pytest.param(REGION._replace(strategy=SPLIT), [bridge("X", 0.1), bridge("Y", 0.5)], None, "X:1", "Y", id="27"),
    pytest.param(REGION._replace(strategy=SPLIT), [bridge("X"), bridge("Y")], None, "X:2 Y:1", "Y", id="28"),
    pytest.param(REGION._replace(strategy=INTRA_REGION), world(), "ap-south", "C2:1", "C2", id="29"),
    pytest.param(REGION._replace(strategy=INTRA_REGION), world(), "ap-south", "C2:10", "C1", id="30"),
    pytest.param(REGION._replace(strategy=INTRA_REGION), only("C3", "A1"), "ap-south", "C3:4", "C3", id="31"),
    pytest.param(REGION._replace(strategy=INTRA_REGION), XY, "ap-south", "Y:4", "Y", id="B-523 R: without a region"),
    pytest.param(REGION._replace(strategy=INTRA_REGION), world(), "ap-south", "", "A1", id="B-523: the first"),
    pytest.param(REGION._replace(strategy=INTRA_REGION), only("A3", "C2"), "ap-south", "", "C2",
                 id="B-523: the first, region loaded"),
    pytest.param(REGION._replace(local_region="us-east"), only("A1", "C2"), "eu-west", "C2:1", "C2",
                 id="T-16: a local region without bridges"),
    pytest.param(REGION._replace(local_region="us-east"), world(), None, "", "U1", id="B-521: no region, so local"),
    pytest.param(REGION._replace(max_participants=0), only("A1", "A2"), "ap-south", "A2:500", "A2",
                 id="B-510: no limit"),
    pytest.param(REGION._replace(max_per_interval=0), only("A1", "A2"), "ap-south", "A2:5/500", "A2",
                 id="B-511: no limit"),
    pytest.param(REGION._replace(stress_threshold=0.3), only("A2", "C1"), "ap-south", "", "C1",
                 id="B-302: equality counts"),
    pytest.param(REGION._replace(strategy=SINGLE, octo=False), only("A1", "C1"), "ap-south", "C1:1", "C1", id="B-505"),
])
def test_examples_of_the_strategies(rules, bridges, region, in_use, expected):
    """B-520 to B-527 with the table 5.5; B-529: no region in the presence is no region"""
    assert chosen(bridges, in_use, Wish(region), rules) == expected


@pytest.mark.parametrize("bridges, in_use, region, expected", [
    ([bridge("X", 0.1, conferences=5), bridge("Y", 0.7, conferences=4)], "", None, "Y"),
    ([bridge("X", 0.1, conferences=5), bridge("Y", 0.8, conferences=4)], "", None, "X"),
    ([bridge("X", 0.2, conferences=4), bridge("Y", 0.1, conferences=4)], "", None, "Y"),
    ([bridge("X", 0.1, conferences=5, region="r"), bridge("Y", conferences=4)], "", "r", "X"),
    ([bridge("X", 0.1, conferences=5), bridge("Y", conferences=4)], "X:1", None, "X"),
])
@pytest.mark.parametrize("strategy", [SINGLE, REGION_BASED])
def test_new_conferences_are_spread(strategy, bridges, in_use, region, expected):
    """U-24: by number, unless a bridge is overloaded; one that runs stays."""
    assert chosen(bridges, in_use, Wish(region), Rules(strategy, octo=True, spread=True)) == expected


@pytest.mark.parametrize("bridges, is_visitor, in_use, expected", [
    pytest.param([bridge("X", 0.1), bridge("Y", 0.3)], True, "X:4", "Y", id="32"),
    pytest.param([bridge("X", 0.1), bridge("Y", 0.3)], True, "X:4 Y:2v", "Y", id="33"),
    pytest.param([bridge("X", 0.1), bridge("Y", 0.3)], False, "X:4 Y:2v", "X", id="34"),
    pytest.param([bridge("X", 0.1)], True, "X:4", "X", id="35"),
    pytest.param([bridge("X", 0.1), bridge("Y", 0.3)], False, "X:4v Y:2", "Y", id="the oldest has visitors"),
    pytest.param([bridge("X", 0.1, draining=True), bridge("Y", 0.3), bridge("Z", 0.5)], True, "X:4 Y:2v", "Y",
                 id="another drains"),
])
def test_examples_of_the_visitor_strategy(bridges, is_visitor, in_use, expected):
    """B-524"""
    assert chosen(bridges, in_use, Wish(None, is_visitor), VISITORS) == expected


def test_each_class_has_its_own_strategy():
    """B-524"""
    rules = VISITORS._replace(inner=(SINGLE, SPLIT))
    assert chosen(XY, "X:4", Wish(None, False), rules) == "X"
    assert chosen([*XY, bridge("Z", 0.5)], "X:4 Y:1v", Wish(None, True), rules) == "Z"


@pytest.mark.parametrize("strategy", [SINGLE, SPLIT, REGION_BASED, INTRA_REGION, VISITOR])
@pytest.mark.parametrize("octo", [False, True])
def test_whoever_can_be_served_is_served(strategy, octo):
    """U-23, B-527: by a bridge that works; and no two are used beside each other that can't be."""
    chance = random.Random(1)
    for _ in range(500):
        one_choice(chance, strategy, octo)


def one_choice(chance, strategy, octo):
    pool = [bridge(name, chance.choice((0.0, 0.5, 0.9, 1.5)), operational=chance.random() < 0.7,
                   draining=chance.random() < 0.3, graceful_shutdown=chance.random() < 0.2,
                   shutting_down=chance.random() < 0.2, version=chance.choice(("v1", "v2", None)),
                   region=chance.choice(("r", "s", None)), relay_id=chance.choice((None, "relay-" + name, "x" + name)))
            for name in "ABCDE"[:chance.randrange(6)]]
    many = 1 if strategy == SINGLE or not octo else 3
    in_use = [InUse(BREWERY + name, chance.randrange(90), chance.random() < 0.5, chance.randrange(9))
              for name in chance.sample("ABCDEF", chance.randrange(many + 1))]
    rules = Rules(strategy, (REGION_BASED, SINGLE), octo, max_per_interval=5, local_region=chance.choice((None, "r")))
    choice = choose(order(pool), in_use, Wish(chance.choice((None, "r", "s")), chance.random() < 0.5), rules)
    if not any(b.operational and not b.shutting_down for b in pool):
        assert isinstance(choice, Refusal)
        return
    assert isinstance(choice, Choice), (pool, in_use)
    assert choice.bridge.operational and not choice.bridge.shutting_down
    current = {use.jid for use in in_use}
    if current and choice.bridge.jid not in current and not choice.moves_all:
        beside = [b for b in pool if b.jid in current]
        assert octo and all(b.relay_id is not None for b in [choice.bridge, *beside])
        assert all(b.version in (None, choice.bridge.version) for b in beside)


@pytest.mark.parametrize("in_use, limit, expected", [
    ("A1:9/5", 5, True), ("A1:9/4 A2:2/1", 5, False), ("A1:9/5", 0, False)])
def test_rate_limit(in_use, limit, expected):
    """B-511, B-528"""
    assert is_rate_limited(used(in_use), Rules(max_per_interval=limit)) == expected


def test_the_log_line_lists_the_pool():
    """U-16"""
    failed = bridge("a", operational=False, failure="no answer", failed_at=5.0)
    refusal = choose([failed], [], Wish(), Rules())
    assert isinstance(refusal, Refusal) and refusal._replace(at=45.0).bridges == (
        "a: not operational (since 40 s: no answer)")
    nothing = choose([], [], Wish(), Rules())
    assert isinstance(nothing, Refusal) and nothing.bridges == "no bridge is known"
    assert describe([bridge("b", 0.5, draining=True)]) == "b: stress 0.50, version v1, draining"
    assert describe([bridge("b")] * (DESCRIBED + 3)).endswith("; and 3 more")


def test_versions_of_strangers():
    """T-14: whatever stands in a version, it has a place in the order."""
    odd = ["", "²", "v" + "9" * 400, "2.3-g1", "2.3", "-", "2.10"]
    bridges = [bridge("X", shutting_down=True)] + [bridge(str(n), version=v) for n, v in enumerate(odd)]
    choice = choose(order(bridges), used("X:1"), Wish(), Rules())
    assert isinstance(choice, Choice) and choice.moves_all


def test_the_rules_are_the_options():
    """B-903 to B-914, B-922, B-923"""
    flags = ["--domain=meet.example", "--selection_strategy=visitor", "--participant_selection_strategy=region-based",
             "--visitor_selection_strategy=single", "--max_bridge_participants=7",
             "--max_bridge_participants_per_interval=8", "--max_bridge_participants_interval=9s",
             "--stress_threshold=0.5", "--region_groups=[a b] [c]", "--local_region=a", "--octo_enabled=true",
             "--octo_allow_mixed_versions=true", "--spread_conferences=true"]
    ab = frozenset("ab")
    assert rules_of(load(flags, {})) == Rules(VISITOR, (REGION_BASED, SINGLE), True, True, 0.5, 7, 8, 9.0,
                                              {"a": ab, "b": ab, "c": frozenset("c")}, "a", True)
    assert rules_of(load(flags[:1], {})) == Rules()
