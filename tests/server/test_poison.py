"""A stanza that makes the process crash (DESIGN, "Poison"): after a few crashes it is skipped, and the calls go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Iterator, List

import pytest

from tests.support import media
from tests.support.focus_process import FocusProcess
from tests.support.prosody import Prosody
from tests.support.stage import Stage, answers_to, full_prosody, unavailable_focus, wait_usable
from tests.support.wire import Stanza

POISONED = Path(__file__).parents[1] / "support" / "poisoned_focus.py"
MOST_CRASHES = 5


@pytest.fixture(scope="module")
def server() -> Iterator[Prosody]:
    """A server of this module's own, with the module that mends resumption."""
    with full_prosody(mended=True) as prosody:
        yield prosody


@pytest.fixture
def focus(server: Prosody) -> Iterator[FocusProcess]:
    """A focus that crashes at a word."""
    with FocusProcess(server, program=POISONED) as process:
        wait_usable(process)
        yield process


def supervised(stage: Stage, condition: Any, what: str) -> int:
    """Start the focus again whenever it has ended, until the condition is true; returns how often it has crashed."""
    crashes = 0

    def looked() -> Any:
        nonlocal crashes
        if not stage.focus.running:
            assert stage.focus.stop() == 9, stage.log()[-2000:]
            crashes += 1
            assert crashes <= MOST_CRASHES, stage.log()[-4000:]
            stage.focus.start()
        return condition()

    stage.wait(looked, what, stage.log, 60)
    return crashes


def test_a_request_is_refused_and_nothing_else_is_lost(stage: Stage) -> None:
    stage.bridge()
    room, other = stage.room(), stage.room()
    anna, bo, carl, dora = [stage.client() for _ in range(4)]
    stage.call(room, anna, bo)
    stage.call(other, carl, dora)
    answers: List[Stanza] = []
    extra = media.audio_source(carl.endpoint, 4242, index=1)
    before = carl.send_iq("set", carl.focus, carl.jingle("source-add", media.update_contents(extra)))
    poison = anna.send_iq("set", anna.focus, anna.jingle("session-info", "<poison xmlns='urn:test' a='poison'/>"),
                          answers.append)
    after = dora.send_iq("set", dora.focus, dora.jingle("session-info", "<x xmlns='urn:test'/>"))
    crashes = supervised(stage, lambda: answers and answers_to(dora, [after]) and answers_to(carl, [before]), "answers")
    assert 2 <= crashes
    assert answers[0].get("type") == "error" and b"internal-server-error" in answers[0].raw
    assert len(answers_to(anna, [poison])) == 1
    assert [a.get("type") for a in answers_to(carl, [before])] == ["result"]
    carl.sources = carl.sources.plus(extra)
    guest = stage.client()
    stage.enter(other, guest)
    stage.wait_call(carl, dora, guest)
    for client in (anna, bo, carl, dora):
        assert len(client.sessions) == 1 and not unavailable_focus(client), client.summary()
    assert "the process has crashed at it again and again" in stage.log()


def test_a_presence_is_dropped_silently(stage: Stage) -> None:
    stage.bridge()
    room = stage.room()
    anna, bo = stage.client(), stage.client()
    stage.call(room, anna, bo)
    anna.send(anna.presence(extra="<x xmlns='urn:test' a='poison'/>"))
    stage.wait(lambda: not stage.focus.running, "the first crash")
    supervised(stage, lambda: "the process has crashed at it" in stage.log(), "skipped")
    anna.send(anna.presence())
    guest = stage.client()
    guest.enter(room, stage.focus.jid)
    supervised(stage, lambda: guest.session is not None and guest.session.state == "active", "a newcomer's session")
    stage.wait_call(bo, anna, guest)
    for client in (anna, bo):
        assert len(client.sessions) == 1 and not unavailable_focus(client), client.summary()
