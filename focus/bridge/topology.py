"""How the bridges of one conference are linked: a tree of meshes, as pure functions (bridge.md 5.6, 7.3 and 7.4).

The nodes of a mesh are all linked with each other, a node may be in several meshes, and there is only one path of
meshes between two nodes (B-540). A bridge passes what it gets over a link on to the links of other meshes only, so a
second path would multiply packets and let them run in circles (B-726). Whatever is added here keeps the tree.
"""
from __future__ import annotations

from math import inf
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

SINGLE_MESH = "SingleMeshTopologyStrategy"
VISITOR = "VisitorTopologyStrategy"

CORE_MESH = "0"

Links = Dict[str, Dict[str, str]]
"""Node to neighbour to the id of their mesh; every link stands under both of its nodes."""


class Node(NamedTuple):
    """A bridge of the conference."""

    name: str
    """Occupant JID."""
    visitor: bool
    """Begun for somebody who only watches; fixed for its life (B-544)."""
    region: Optional[str]
    stress: float
    """Corrected stress (B-301)."""
    overloaded: bool
    """B-302"""


class Link(NamedTuple):
    """A link that is to be made."""

    first: str
    """The node that has been in the conference for longer: the initiator (B-703)."""
    second: str
    mesh: str


class Reached(NamedTuple):
    """A node that another one exchanges media with."""

    node: str
    first: str
    """The neighbour of the other one through which it gets there."""
    last: str
    """Its own neighbour through which it gets back."""
    hops: int


def reach(links: Links, start: str) -> List[Reached]:
    """Every node that what ``start`` sends comes to, and the other way round; nearest first (B-723)."""
    found: List[Reached] = []
    seen = {start}
    queue: List[Tuple[str, str, Optional[str], int]] = [(start, "", None, 0)]
    for node, first, came_by, hops in queue:  # grows while it is walked
        for neighbour, mesh in links.get(node, {}).items():
            if mesh != came_by and neighbour not in seen:
                seen.add(neighbour)
                found.append(Reached(neighbour, first or neighbour, node, hops + 1))
                queue.append((neighbour, first or neighbour, mesh, hops + 1))
    return found


def behind(links: Links, node: str) -> Dict[str, List[str]]:
    """Each neighbour of a node with the nodes that are heard through it, itself first (B-724)."""
    found: Dict[str, List[str]] = {}
    for reached in reach(links, node):
        found.setdefault(reached.first, []).append(reached.node)
    return found


def attach(strategy: str, nodes: Sequence[Node], links: Links, new: Node, free_mesh: str) -> List[Link]:
    """How a new node is linked with those that are there (B-541 to B-543).

    Args:
        strategy: ``SINGLE_MESH`` or ``VISITOR``.
        nodes: the conference's, oldest first, without the new one.
        links: between them.
        new: the node to be linked.
        free_mesh: id of a mesh that isn't used yet.
    """
    if not nodes:
        return []
    if strategy == VISITOR and new.visitor:
        return [Link(best(nodes, links, new.region).name, new.name, free_mesh)]
    mesh = [node for node in nodes if CORE_MESH in links.get(node.name, {}).values()]
    if not mesh:
        mesh = [next((node for node in nodes if not node.visitor), nodes[0])]
    return [Link(node.name, new.name, CORE_MESH) for node in mesh]


def best(nodes: Sequence[Node], links: Links, region: Optional[str]) -> Node:
    """The node to which one in this region is attached by a mesh of its own; no region equals no region (B-543, B-545).

    ``nodes`` are those to choose from, oldest first.
    """
    ordered = sorted(nodes, key=lambda node: (_hops_to_core(nodes, links, node), node.stress))
    for wanted in (lambda node: not node.overloaded and node.region == region, lambda node: not node.overloaded,
                   lambda node: node.region == region):
        found = next((node for node in ordered if wanted(node)), None)
        if found is not None:
            return found
    return nodes[0]


def _hops_to_core(nodes: Sequence[Node], links: Links, node: Node) -> float:
    if not node.visitor:
        return 0
    core = {other.name for other in nodes if not other.visitor}
    return next((reached.hops for reached in reach(links, node.name) if reached.node in core), inf)


def parts(nodes: Sequence[Node], links: Links) -> List[List[Node]]:
    """The nodes in groups of those that hear each other, each in the order given (B-741)."""
    left = list(nodes)
    found: List[List[Node]] = []
    while left:
        names = {left[0].name} | {reached.node for reached in reach(links, left[0].name)}
        found.append([node for node in left if node.name in names])
        left = [node for node in left if node.name not in names]
    return found


def repair(nodes: Sequence[Node], links: Links, free_mesh: int) -> List[Link]:
    """The links that make one tree of what a removal has left: each part is joined to the one with the core (B-741).

    Each link has a mesh of its own; ids are taken from ``free_mesh`` on.
    """
    separate = parts(nodes, links)
    main = next((part for part in separate if not all(node.visitor for node in part)), separate[0] if separate else [])
    made: List[Link] = []
    for part in separate:
        if part is not main:
            node = next((node for node in part if not node.visitor), part[0])
            made.append(Link(best(main, links, node.region).name, node.name, str(free_mesh + len(made))))
    return made
