"""A conference on several bridges, each of them strict, without a network.

The choice is by region, and a participant's region is the name of its bridge.
"""
from __future__ import annotations

from typing import Any, Dict, List

from focus.conference import messages
from tests.support.bridge_model import COLIBRI2, BridgeModel, Conference
from tests.support.bridge_model import Refusal as Refused
from tests.support.harness import Scene, Stats, kinds

_NS = "{%s}" % COLIBRI2


class SplitScene(Scene):
    """Bridges are called A, B, C, …; a participant whose id ends in ``-a`` is put on A.

    ``sctp`` names the bridges with data channels; ``known``: the focus knows that already. Options as of a Scene.
    """

    def __init__(self, names: str = "AB", sctp: str = "", known: bool = True, **options: Any) -> None:
        self.names = names
        self.models = {name: BridgeModel(sctp=name in sctp, nickname=name, relays=True) for name in names}
        self.place: Dict[str, str] = {}
        """Participant to bridge, if not the one in its id."""
        options.setdefault("min_participants", 1)
        super().__init__(bridges=0, octo_enabled="true", selection_strategy="region-based", **options)
        for name in names:
            self.announce(name)
            if known:
                self.bridges.rows[jid(name)].sctp = name in sctp

    def announce(self, name: str, **more: Any) -> None:
        """The bridge publishes its statistics."""
        stats: Dict[str, Any] = dict(stress_level=0.0, drain=False, version="2.3", relay_id="relay-" + name,
                                     region=name)
        stats.update(more)
        self.bridges.heard(jid(name), Stats(**stats), None, self.now)

    def join(self, *nicks: str) -> SplitScene:
        self.mail(*[self.presence_of(nick) for nick in nicks])
        return self

    def presence_of(self, nick: str, role: str = "participant") -> messages.RoomPresence:
        """A presence that names the region of its bridge."""
        region = self.place.get(nick, nick[-1].upper())
        return self.presence(nick, role=role, extra="<stats-id>S-%s</stats-id><jitsi_participant_region>%s"
                             "</jitsi_participant_region>" % (nick, region))

    def proper_answer(self, request: Any) -> messages.Answered:
        name = (request.get("to") or "").rpartition("/")[2]
        if "conference-modify" not in kinds(request):
            return super().proper_answer(request)
        model = self.models[name]
        try:
            return self.answer(request, model.execute(model.receive(request[0]), request[0]))
        except Refused as refusal:
            return self.answer(request, refusal.write(), type="error")

    def requests(self) -> List[Any]:
        """Requests to bridges that haven't been looked at."""
        return [el for el in self.sent if "conference-modify" in kinds(el)]

    def traces(self) -> List[str]:
        """They in short; see ``trace``."""
        return [trace(el) for el in self.requests()]

    def answer_bridges(self, *names: str) -> SplitScene:
        """The bridges answer what they were asked, and only that; clients and room don't."""
        due = [el for el in self.requests() if not names or el.get("to").rpartition("/")[2] in names]
        self.sent = [el for el in self.sent if el not in due]
        answers = [self.proper_answer(el) for el in due]
        if answers:
            self.mail(*answers)
        return self

    def check_bridges(self) -> None:
        """No bridge had anything to refuse, and each knows exactly what is behind each of its relays."""
        for name, model in self.models.items():
            assert not model.violations, model.violations
            conference = model.conferences.get("meeting-1")
            assert (conference is not None) == (jid(name) in self.state.bridges)
        check_links({"relay-" + name: model.conferences["meeting-1"] for name, model in self.models.items()
                     if model.conferences})


def jid(name: str) -> str:
    return "jvbbrewery@internal.auth.meet.example/" + name


def check_links(conferences: Dict[str, Conference]) -> None:
    """When all is quiet: a tree that covers all bridges, sides that fit, and everybody known everywhere once.

    ``conferences``: one call's, by relay id of their bridges.
    """
    edges = set()
    for name, conference in conferences.items():
        for other, relay in conference.relays.items():
            there = conferences[other].relays[name]
            edges.add((frozenset((name, other)), relay.mesh))
            assert relay.mesh == there.mesh
            assert relay.unique_port == relay.controlling != there.controlling == there.unique_port
            assert relay.remote_ufrag == there.ufrag and {relay.remote_setup, there.remote_setup} == {
                "active", "passive"}
            assert (relay.remote_setup == "active") == relay.controlling
            assert {relay.sctp_role, there.sctp_role} in ({None}, {"client", "server"})
            assert relay.opens_web_socket == (relay.controlling and relay.sctp_role is None)
    check_tree(set(conferences), edges)
    home = {endpoint.id: (name, endpoint) for name, conference in conferences.items()
            for endpoint in conference.endpoints.values() if not endpoint.visitor}
    for name, conference in conferences.items():
        known: List[str] = [e for relay in conference.relays.values() for e in relay.relayed]
        assert sorted(known) == sorted(e for e, (at, _) in home.items() if at != name), name
        for relay in conference.relays.values():
            for identifier, sources in relay.relayed.items():
                assert sources == (home[identifier][1].sources or [])


def check_tree(nodes: Any, edges: Any) -> None:
    """Meshes are complete, and between two nodes there is one path of them (B-540)."""
    meshes: Dict[str, set] = {}
    for pair, mesh in edges:
        meshes.setdefault(mesh, set()).update(pair)
    for mesh, members in meshes.items():
        assert sum(1 for _, of in edges if of == mesh) == len(members) * (len(members) - 1) // 2, "mesh " + mesh
    assert sum(len(members) - 1 for members in meshes.values()) == len(nodes) - 1 or len(nodes) < 2
    found, queue = set(), list(nodes)[:1]
    while queue:
        node = queue.pop()
        found.add(node)
        queue += [other for pair, _ in edges if node in pair for other in pair - found - {node}]
    assert found == set(nodes), "bridges that don't hear each other"


def trace(el: Any) -> str:
    """A request in a few words, in the manner of the sheet's table: ``A: relay B: create p3``."""
    request = el[0]
    words: List[str] = []
    if request.get("create") == "true":
        words.append("create conf")
    if request.get("expire") == "true":
        words.append("expire conf")
    words += [_endpoint(endpoint) for endpoint in request.findall(_NS + "endpoint")]
    for relay in request.findall(_NS + "relay"):
        about = [_endpoint(endpoint) for endpoint in relay.findall("%sendpoints/%sendpoint" % (_NS, _NS))]
        if relay.get("create") == "true":
            about = ["create mesh %s {%s}" % (relay.get("mesh-id"), " ".join(a.split()[-1] for a in about))]
        elif relay.get("expire") == "true":
            about = ["expire"]
        elif relay.find(_NS + "transport") is not None:
            about.insert(0, "transport")
        words.append("relay %s: %s" % (relay.get("id").rpartition("-")[2], ", ".join(about)))
    return "%s: %s" % (el.get("to").rpartition("/")[2], ", ".join(words))


def _endpoint(endpoint: Any) -> str:
    for word in ("create", "expire"):
        if endpoint.get(word) == "true":
            return "%s %s" % (word, endpoint.get("id"))
    parts = [name for name in ("transport", "sources") if endpoint.find(_NS + name) is not None]
    return "%s of %s" % ("+".join(parts), endpoint.get("id"))


__all__ = ["SplitScene", "check_links", "check_tree", "jid", "trace"]
