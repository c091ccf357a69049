"""The tree of meshes: where a bridge is attached, what is behind what, and what a removal leaves (bridge.md 5.6, 7)."""
from __future__ import annotations

import random
from typing import Any, Dict, List

import pytest

from focus.bridge.topology import SINGLE_MESH, VISITOR, Link, Links, Node, attach, behind, parts, reach, repair
from tests.support.split_scene import check_tree


def node(name: str, **more: Any) -> Node:
    """Nodes of visitors have small letters."""
    values: Dict[str, Any] = dict(visitor=name.islower(), region=None, stress=0.0, overloaded=False)
    values.update(more)
    return Node(name, **values)


def nodes(names: str) -> List[Node]:
    return [node(name) for name in names]


def links(text: str) -> Links:
    """``AB0 BC0``: A and B, B and C are linked in mesh 0."""
    found: Links = {}
    for word in text.split():
        add(found, Link(*list(word)))
    return found


def add(to: Links, link: Link) -> None:
    to.setdefault(link.first, {})[link.second] = link.mesh
    to.setdefault(link.second, {})[link.first] = link.mesh


def shown(made: List[Link]) -> str:
    return " ".join("".join(link) for link in made)


STAR = "AB0 AC0 BC0 Av1 vw2 Bx3"
"""A core of three, and visitors' bridges v on A, w on v, x on B."""


@pytest.mark.parametrize("tree, start, expected", [
    ("", "A", ""),
    ("AB0", "A", "B<A"),
    ("AB0 AC0 BC0", "A", "B<A C<A"),                     # one hop, all others (R3)
    ("AB0 Av1", "B", "A<B v<A"),                         # R8
    ("AB0 Av1", "v", "A<v B<A"),
    (STAR, "A", "B<A C<A v<A x<B w<v"),
    (STAR, "w", "v<w A<v B<A C<A x<B"),
    (STAR, "x", "B<x A<B C<B v<A w<v"),
    ("AB0 BC1", "A", "B<A C<B"),                         # B passes it on into the other mesh
    ("AB0 BC0", "A", "B<A"),                             # but not within the mesh
])
def test_walk(tree, start, expected):
    """B-723: from a node all links; from one reached by a mesh only those of other meshes."""
    assert " ".join("%s<%s" % (reached.node, reached.last) for reached in reach(links(tree), start)) == expected


@pytest.mark.parametrize("tree, of, expected", [
    ("AB0 AC0 BC0", "A", {"B": "B", "C": "C"}),
    ("AB0 Av1", "v", {"A": "AB"}),
    ("AB0 Av1", "B", {"A": "Av"}),
    (STAR, "A", {"B": "Bx", "C": "C", "v": "vw"}),
    (STAR, "w", {"v": "vABCx"}),
])
def test_behind(tree, of, expected):
    """B-724, K-513, K-554"""
    assert {name: "".join(found) for name, found in behind(links(tree), of).items()} == expected


@pytest.mark.parametrize("strategy", [SINGLE_MESH, VISITOR])
@pytest.mark.parametrize("there, tree, new, expected", [
    ("", "", "A", ""),                                   # B-541: the first gets no link
    ("A", "", "B", "AB0"),
    ("AB", "AB0", "C", "AC0 BC0"),
    ("v", "", "A", "vA0"),                               # B-543: the first core bridge is linked to the visitors'
    ("vA", "vA0", "B", "vB0 AB0"),                       # whose mesh is 0 then, so it hears the next one too
    ("vwA", "vw1 vA0", "B", "vB0 AB0"),
    ("wA", "wA2", "B", "AB0"),                           # what is in mesh 0 has gone
])
def test_a_bridge_of_participants(strategy, there, tree, new, expected):
    """B-542, B-543"""
    assert shown(attach(strategy, nodes(there), links(tree), node(new), "9")) == expected


def test_single_mesh_makes_no_difference():
    """B-542: visitors' bridges are in the mesh as well; a tree of another strategy (it was changed) stays a tree."""
    assert shown(attach(SINGLE_MESH, nodes("AB"), links("AB0"), node("v"), "9")) == "Av0 Bv0"
    assert shown(attach(SINGLE_MESH, nodes("ABv"), links("AB0 Av1"), node("C"), "9")) == "AC0 BC0"


@pytest.mark.parametrize("there, tree, region, expected", [
    # not overloaded and in the region, nearest to the core and then least loaded first
    ([node("A", region="x"), node("B", region="y")], "AB0", "y", "B"),
    ([node("A", region="x", stress=0.2), node("B", region="x", stress=0.1)], "AB0", "x", "B"),
    ([node("A", region="y"), node("v", region="x")], "Av1", "x", "v"),
    ([node("A", region="x", stress=0.5), node("v", region="x")], "Av1", "x", "A"),
    # not overloaded
    ([node("A", region="x", overloaded=True), node("B", region="y")], "AB0", "x", "B"),
    ([node("A", region="y", stress=0.3), node("B", region="y", stress=0.2)], "AB0", "x", "B"),
    # in the region
    ([node("A", overloaded=True, region="y"), node("B", overloaded=True, region="x")], "AB0", "x", "B"),
    # the oldest
    ([node("A", overloaded=True, stress=9), node("B", overloaded=True, stress=1)], "AB0", "x", "A"),
    # no region equals no region (B-545)
    ([node("A", region="x"), node("B", stress=0.5)], "AB0", None, "B"),
    # nobody in the core
    ([node("v", stress=0.5), node("w", stress=0.1)], "vw1", "x", "w"),
])
def test_a_bridge_of_visitors(there, tree, region, expected):
    """B-543, B-545: one link in a mesh of its own."""
    assert attach(VISITOR, there, links(tree), node("z", region=region), "7") == [Link(expected, "z", "7")]


@pytest.mark.parametrize("left, tree, expected", [
    ("ABC", "AB0 AC0 BC0", "ABC"),
    ("BCvw", "BC0 vw2", "BC vw"),                        # STAR without A and x
    ("vwx", "vw2", "vw x"),
    ("", "", ""),
])
def test_parts(left, tree, expected):
    """B-741"""
    assert " ".join("".join(one.name for one in part) for part in parts(nodes(left), links(tree))) == expected


@pytest.mark.parametrize("left, tree, expected", [
    ("ABC", "AB0 AC0 BC0", ""),                          # B-742
    ("BCvw", "BC0 vw2", "Bv5"),
    ("vwBC", "vw2 BC0", "Bv5"),                          # the part with the core stays, whatever its age
    ("vwx", "", "vw5 vx6"),                              # no core: the first
    ("vAB", "AB0", "Av5"),
    ("A", "", ""),
    ("", "", ""),
])
def test_repair(left, tree, expected):
    """B-741 R: the parts are joined, each in a new mesh."""
    assert shown(repair(nodes(left), links(tree), 5)) == expected


def test_it_stays_a_tree():
    """B-540, B-726, T-33: whatever comes, goes and changes, in any order."""
    rng = random.Random(1)
    for _ in range(200):
        there: List[Node] = []
        tree: Links = {}
        mesh = 0
        for name in "ABCvDwExFyGz":
            strategy = rng.choice((SINGLE_MESH, VISITOR, VISITOR))
            new = node(name, region=rng.choice("xy"), stress=rng.random(), overloaded=rng.random() < 0.3)
            mesh += 1
            for link in attach(strategy, there, tree, new, str(mesh)):
                add(tree, link)
            there.append(new)
            if rng.random() < 0.4 and there:
                gone = there.pop(rng.randrange(len(there))).name
                tree.pop(gone, None)
                for others in tree.values():
                    others.pop(gone, None)
                made = repair(there, tree, mesh + 1)
                mesh += len(made)
                for link in made:
                    add(tree, link)
            check_tree({one.name for one in there}, {
                (frozenset((first, second)), of) for first, others in tree.items() for second, of in others.items()})
