"""Bridges of the time before autumn 2022, with the real focus on a real Prosody (colibri.md 7 and 8)."""

from __future__ import annotations

from typing import Any, Iterator, List

import pytest

from tests.support import media
from tests.support.bridge1 import OldBridge
from tests.support.focus_process import FocusProcess
from tests.support.prosody import Prosody
from tests.support.stage import Stage, full_prosody, wait_usable


@pytest.fixture(scope="module")
def server() -> Iterator[Prosody]:
    """A server of this module's own, with the module that mends resumption."""
    with full_prosody(mended=True) as prosody:
        yield prosody


@pytest.fixture
def focus(server: Prosody) -> Iterator[FocusProcess]:
    """A focus for each test, with nothing said about its bridges."""
    with FocusProcess(server, options=("--health_checks_interval=0.5",)) as process:
        wait_usable(process)
        yield process


def on_bridge(bridge: Any) -> Any:
    """Endpoints that have channels on it."""
    return {endpoint for conference in bridge.old.conferences.values() for endpoint in conference.endpoints}


@pytest.mark.parametrize("early", [False, True], ids=["2021", "early"])
def test_a_call(stage: Stage, early: bool) -> None:
    """K-830 (3): it announces what it speaks and is asked in nothing else; K-710, K-723, K-730, K-731."""
    bridge = stage.bridge(OldBridge, sctp=True, early=early)
    clients, room = [stage.client() for _ in range(3)], stage.room()
    stage.call(room, *clients)
    assert on_bridge(bridge) == {client.endpoint for client in clients}
    extra = media.audio_source(clients[0].endpoint, 4242, index=1)
    assert clients[0].add_sources(extra).get("type") == "result"
    stage.wait_call(*clients)
    conference = next(iter(bridge.old.conferences.values()))
    stage.wait(lambda: 4242 in conference.channel("audio", clients[0].endpoint).ssrcs, "the bridge knows the source")
    clients[2].leave()
    stage.wait(lambda: on_bridge(bridge) == {client.endpoint for client in clients[:2]}, "its channels are expired")
    assert not bridge.refused and bridge.old.created == 1
    stage.wait_log("speaks Colibri 1 (service discovery)")


def test_a_bridge_that_tells_nothing(stage: Stage) -> None:
    """K-830 (4): one request in Colibri 2 for all time, then everything in Colibri 1."""
    bridge = stage.bridge(OldBridge, sctp=True, answers_disco=False)
    stage.wait_log("Added new videobridge: " + bridge.jid)
    clients = [stage.client() for _ in range(2)]
    stage.call(stage.room(), *clients)
    more = [stage.client() for _ in range(2)]
    stage.call(stage.room(), *more)
    assert len(bridge.refused) == 1 and bridge.old.created == 2
    assert all(len(client.sessions) == 1 for client in clients + more)


def test_the_focus_is_killed_in_a_call(stage: Stage) -> None:
    """The table of channels is in the journal; nobody notices, and the bridge has the one conference."""
    bridge = stage.bridge(OldBridge, sctp=True)
    clients, room = [stage.client() for _ in range(2)], stage.room()
    stage.call(room, *clients)
    for _ in range(3):
        stage.focus.kill()
        stage.focus.start()
        late = stage.client()
        stage.enter(room, late)
        stage.wait_call(*clients, late)
        late.leave()
        stage.wait(lambda: len(on_bridge(bridge)) == 2, "its channels are expired")
    assert all(len(client.sessions) == 1 for client in clients) and bridge.old.created == 1
    assert not bridge.refused


def test_an_old_and_a_new_bridge(stage: Stage) -> None:
    """K-833: a call is on one of them; when that goes, the call goes to the other, which speaks another version."""
    old = stage.bridge(OldBridge, sctp=True)
    stage.wait_log("Added new videobridge: " + old.jid)
    new = stage.bridge(stats={"stress_level": "0.5"}, sctp=True)
    stage.wait_log("Added new videobridge: " + new.jid)
    clients, room = [stage.client() for _ in range(2)], stage.room()
    stage.call(room, *clients)
    assert len(on_bridge(old)) == 2 and not new.requests
    old.publish(shutting_down="true")
    for client in clients:
        stage.wait(lambda one=client: len(one.sessions) == 2 and one.sessions[1].state == "active", "it has moved",
                   client.summary)
    stage.wait_call(*clients)
    assert not on_bridge(old) and all(new.endpoint(client.endpoint) is not None for client in clients)


def test_what_was_left_on_a_bridge_that_was_away(stage: Stage) -> None:
    """K-731: its channels are expired when it is back, by their ids."""
    old = stage.bridge(OldBridge, sctp=True)
    stage.wait_log("Added new videobridge: " + old.jid)
    new = stage.bridge(stats={"stress_level": "0.5"}, sctp=True)
    stage.wait_log("Added new videobridge: " + new.jid)
    clients = [stage.client() for _ in range(2)]
    stage.call(stage.room(), *clients)
    assert len(on_bridge(old)) == 2
    old.stream.send("<presence type='unavailable' to='%s'/>" % old.jid)
    stage.wait(lambda: all(new.endpoint(client.endpoint) is not None for client in clients), "the call has moved")
    assert len(on_bridge(old)) == 2
    old.stream.send("<presence to='%s'><x xmlns='http://jabber.org/protocol/muc'/></presence>" % old.jid)
    old.publish()
    stage.wait(lambda: not on_bridge(old), "nothing is left on it", old.leaks)


def test_it_tells_of_the_streams_it_receives(stage: Stage) -> None:
    """K-774: answered with an empty result, and nothing comes of it."""
    bridge = stage.bridge(OldBridge, sctp=True)
    answers: List[Any] = []
    original = bridge.stream.on_stanza
    bridge.stream.on_stanza = lambda one: answers.append(one) if one.get("id") == "told" else original(one)
    bridge.stream.send(
        "<iq type='set' id='told' to='%s/focus'><conference xmlns='http://jitsi.org/protocol/colibri' id='c1'><content "
        "name='audio'><channel id='a'><ssrc>17</ssrc></channel></content></conference></iq>" % bridge.brewery)
    stage.wait(lambda: answers, "an answer")
    assert answers[0].get("type") == "result" and len(answers[0].element) == 0
