"""A focus that is killed comes back and nobody in a call notices (DESIGN, "Coming back, resumed"; U-45)."""

from __future__ import annotations

from typing import Iterator, List

import pytest

from tests.support import media
from tests.support.focus_process import FocusProcess
from tests.support.prosody import Prosody
from tests.support.relay import Relay
from tests.support.stage import Stage, answers_to, full_prosody, is_ready, unavailable_focus, wait_usable
from tests.support.wire import Stanza


@pytest.fixture(scope="module")
def server() -> Iterator[Prosody]:
    """A server of this module's own, with the module that mends resumption."""
    with full_prosody(mended=True) as prosody:
        yield prosody


@pytest.fixture
def focus(server: Prosody) -> Iterator[FocusProcess]:
    """A focus for each test, since it dies in it."""
    with FocusProcess(server) as process:
        wait_usable(process)
        yield process


def kill_and_start(focus: FocusProcess) -> None:
    """kill -9, and what a supervisor does then."""
    focus.kill()
    focus.start()


def wait_resumed(stage: Stage, times: int = 1) -> None:
    """The new process has its stream back."""
    stage.wait(lambda: stage.log().count("Registered (resumed=true) client") >= times, "resumed", stage.log)


def test_a_call_goes_on(stage: Stage) -> None:
    bridge = stage.bridge()
    room = stage.room()
    anna, bo = stage.client(), stage.client()
    stage.call(room, anna, bo)
    requests = len(bridge.requests)
    kill_and_start(stage.focus)
    wait_resumed(stage)
    carl = stage.client()
    stage.enter(room, carl)
    stage.wait_call(anna, bo, carl)
    for client in (anna, bo, carl):
        assert len(client.sessions) == 1, client.summary()
        assert not unavailable_focus(client)
    assert len(bridge.requests) > requests
    assert "(resumed=false) client" not in stage.log()


def test_what_was_asked_meanwhile_is_answered(stage: Stage) -> None:
    """Requests, a join, a leave: the server keeps them, and each has its effect once."""
    stage.bridge()
    room = stage.room()
    anna, bo, dora = stage.client(), stage.client(), stage.client()
    stage.call(room, anna, bo, dora)
    stage.focus.kill()
    extra = media.audio_source(anna.endpoint, 4242, index=1)
    answers: List[Stanza] = []
    asked = anna.send_iq("set", anna.focus, anna.jingle("source-add", media.update_contents(extra)), answers.append)
    dora.leave()
    carl = stage.client()
    carl.enter(room, stage.focus.jid)
    stage.focus.start()
    wait_resumed(stage)
    stage.wait(lambda: answers, "the answer to the source-add", anna.summary)
    assert answers[0].get("type") == "result"
    anna.sources = anna.sources.plus(extra)
    carl.wait_joined(20)
    stage.wait_call(anna, bo, carl)
    assert len(answers_to(anna, [asked])) == 1
    for client in (anna, bo):
        assert len(client.sessions) == 1 and not unavailable_focus(client), client.summary()


def test_again_and_again(stage: Stage) -> None:
    """Ten times while people come and go."""
    stage.bridge()
    room = stage.room()
    staying = [stage.client(), stage.client()]
    stage.call(room, *staying)
    for number in range(10):
        guest = stage.client()
        guest.enter(room, stage.focus.jid)
        if number % 2:
            stage.wait(lambda one=guest: one.session, "an offer", guest.summary)
        kill_and_start(stage.focus)
        guest.wait_joined(20)
        stage.wait_call(*staying, guest)
        guest.leave()
    wait_resumed(stage, 10)
    for client in staying:
        assert len(client.sessions) == 1 and not unavailable_focus(client), client.summary()


def test_sigterm_is_as_invisible(stage: Stage) -> None:
    stage.bridge()
    room = stage.room()
    anna, bo = stage.client(), stage.client()
    stage.call(room, anna, bo)
    assert stage.focus.stop() == 0
    stage.focus.start()
    wait_resumed(stage)
    carl = stage.client()
    stage.enter(room, carl)
    stage.wait_call(anna, bo, carl)
    for client in (anna, bo):
        assert len(client.sessions) == 1 and not unavailable_focus(client), client.summary()


def test_who_waits_for_the_room_is_answered(stage: Stage) -> None:
    """Killed while it enters the room: the join goes on where it was, and is not begun twice."""
    stage.bridge()
    room = stage.room()
    anna, bo = stage.client(), stage.client()
    anna.enter(room, stage.focus.jid)
    kill_and_start(stage.focus)
    bo.enter(room, stage.focus.jid)
    for client in (anna, bo):
        client.wait_joined(20)
    stage.wait_call(anna, bo)


def test_who_asked_by_the_component_is_answered(stage: Stage) -> None:
    """C-1038: the component has no resumption; a request that came by it is answered after the reconnect.

    The room can't be entered meanwhile: nothing passes between the focus's user and the server.
    """
    relay = Relay(stage.loop, stage.prosody.c2s_port)
    stage.focus.stop()
    stage.focus.options.append("--client_port=%d" % relay.port)
    stage.focus.start()
    wait_resumed(stage)
    stage.wait(lambda: stage.log().count("Registered (resumed=false) component") == 1, "the component", stage.log)
    relay.hold()
    anna, room = stage.client(), stage.room()
    answers: List[Stanza] = []
    asked = anna.send_iq("set", stage.focus.component_jid, anna.conference_request(room), answers.append)
    stage.wait_log("Conference request for room " + room)
    kill_and_start(stage.focus)
    relay.release()
    stage.wait(lambda: answers, "the answer", stage.log)
    assert is_ready(answers[0]) and len(answers_to(anna, [asked])) == 1
