"""A call on several bridges, with the real focus on a real Prosody and strict synthetic bridges (bridge.md 7)."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List

import pytest

from tests.support import media
from tests.support.bridge import Bridge
from tests.support.client import Client
from tests.support.focus_process import FocusProcess
from tests.support.prosody import Prosody
from tests.support.split_scene import check_links
from tests.support.stage import HIBERNATION, QUEUE, Stage, forgetful_prosody, unavailable_focus, wait_usable

OPTIONS = ("--octo_enabled=true", "--selection_strategy=split", "--reply_timeout=3", "--server_queue=%d" % QUEUE)


@pytest.fixture(scope="module")
def server() -> Iterator[Prosody]:
    """A server of this module's own, that resumes streams, and keeps few stanzas for a short time."""
    with forgetful_prosody() as prosody:
        yield prosody


@pytest.fixture
def focus(server: Prosody) -> Iterator[FocusProcess]:
    """A focus for each test, since it dies in some."""
    with FocusProcess(server, options=OPTIONS) as process:
        wait_usable(process)
        yield process


def bridges(stage: Stage, count: int = 2, **settings: Any) -> List[Bridge]:
    """So many with relays, known to the focus."""
    made = [stage.bridge(relays=True, **settings) for _ in range(count)]
    for bridge in made:
        stage.wait_log("Added new videobridge: " + bridge.jid)
    return made


def problem(used: List[Bridge]) -> str:
    """What is wrong with the links of the only call, or nothing."""
    conferences: Dict[str, Any] = {}
    for bridge in used:
        for conference in bridge.model.conferences.values():
            conferences[bridge.stats["relay_id"]] = conference
    if len(conferences) != len(used):
        return "the call is on %s" % sorted(conferences)
    try:
        check_links(conferences)
    except (AssertionError, KeyError) as error:
        return "%r: %s" % (error, {name: (c.endpoints, c.relays) for name, c in conferences.items()})
    return ""


def wait_linked(stage: Stage, *used: Bridge) -> None:
    """Wait until the call is on these bridges, linked as it should be, everybody known to each."""
    stage.wait(lambda: not problem(list(used)), "linked", lambda: problem(list(used)))


def in_call(stage: Stage, count: int) -> Any:
    clients, room = [stage.client() for _ in range(count)], stage.room()
    stage.call(room, *clients)
    return room, clients


def goes_on(stage: Stage, clients: List[Client], *used: Bridge) -> None:
    """A change of sources comes to every bridge; nobody had a second session, or saw the focus leave."""
    extra = media.audio_source(clients[0].endpoint, 4711, index=1)
    assert clients[0].add_sources(extra).get("type") == "result"
    wait_linked(stage, *used)
    stage.wait(lambda: all(4711 in known(bridge, clients[0]) for bridge in used), "the source is known to all")
    for client in clients:
        assert len(client.sessions) == 1, client.summary()
        assert not unavailable_focus(client), client.summary()
        client.violations = [text for text in client.violations if "told twice" not in text]


def known(bridge: Bridge, client: Client) -> List[int]:
    """SSRCs that a bridge knows of a client, whether that is on it or on another."""
    conference = next(iter(bridge.model.conferences.values()))
    own = conference.endpoints.get(client.endpoint)
    lists = (own.sources or []) if own is not None else [
        one for relay in conference.relays.values() for one in relay.relayed.get(client.endpoint, [])]
    return [ssrc for one in lists for ssrc in one.ssrcs]


def test_three_bridges(stage: Stage) -> None:
    """B-701 to B-742 in one call: they come, change sources, go, and the last of a bridge goes."""
    used = bridges(stage, 3)
    room, clients = in_call(stage, 5)
    wait_linked(stage, *used)
    goes_on(stage, clients, *used)
    on = {bridge: [client for client in clients if bridge.endpoint(client.endpoint)] for bridge in used}
    assert sorted(map(len, on.values())) == [1, 2, 2]
    for some in on.values():
        for client in some[1:]:
            client.leave()
    wait_linked(stage, *used)
    on[used[0]][0].leave()
    wait_linked(stage, *used[1:])


def test_data_channels_on_one_of_two(stage: Stage) -> None:
    """K-476: the link is made with web sockets, and nobody has to move for it."""
    used = [*bridges(stage, 1, sctp=True), *bridges(stage, 1)]
    _, clients = in_call(stage, 2)
    wait_linked(stage, *used)
    goes_on(stage, clients, *used)


def test_killed_while_a_link_is_made(stage: Stage) -> None:
    """DESIGN, "Coming back, resumed": the answers come to the next process."""
    used = bridges(stage)
    for bridge in used:
        bridge.script("create-relay", "hold", times=1)
    _, clients = in_call(stage, 2)
    stage.wait(lambda: all(bridge.held for bridge in used), "asked for a relay")
    stage.focus.kill()
    for bridge in used:
        bridge.release()
    stage.focus.start()
    wait_linked(stage, *used)
    goes_on(stage, clients, *used)
    for bridge in used:
        assert len(bridge.requests_of(kind="create-relay")) == 1
    assert "(resumed=false) client" not in stage.log()


@pytest.mark.parametrize("when", ["made", "being made"])
def test_resumption_refused(stage: Stage, when: str) -> None:
    """DESIGN, "Coming back, refused": what was lost is made again; what stands stays, and nobody moves."""
    used = bridges(stage)
    if when == "being made":
        for bridge in used:
            bridge.script("create-relay", "drop-answer", times=1)
    room, clients = in_call(stage, 2)
    if when == "made":
        wait_linked(stage, *used)
    else:
        stage.wait(lambda: all(bridge.requests_of(kind="create-relay") for bridge in used), "asked for a relay")
    stage.focus.kill()
    for number in range(QUEUE + 20):  # more than the server keeps
        clients[1].send(clients[1].presence(extra="<flood xmlns='urn:test'>%d</flood>" % number))
    stage.loop.run_for(HIBERNATION / 2 + 0.5)  # the outage itself
    stage.focus.start()
    stage.wait_log("Serving again", 20)
    assert "resumed=false, 1 conferences" in stage.log()
    wait_linked(stage, *used)
    goes_on(stage, clients, *used)


@pytest.mark.parametrize("kind", ["create-relay", "update-relay"])
def test_a_bridge_that_is_silent_about_relays(stage: Stage, kind: str) -> None:
    """B-714 R, B-655: its participants move to the other, the other's stay where they are."""
    good, silent = bridges(stage)
    silent.script(kind, "drop", times=5)
    clients, room = [stage.client(), stage.client()], stage.room()
    stage.enter(room, *clients)
    stage.wait(lambda: any(len(client.sessions) == 2 and client.sessions[1].state == "active" for client in clients),
               "one in a second session", stage.log, timeout=25)
    assert set(next(iter(good.model.conferences.values())).endpoints) == {client.endpoint for client in clients}
    assert sorted(len(client.sessions) for client in clients) == [1, 2]
    stage.wait(lambda: not silent.model.conferences, "nothing is left on the silent one")
