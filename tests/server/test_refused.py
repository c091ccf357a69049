"""Coming back when the server may refuse, or refuses, to resume (DESIGN, "Coming back, refused"; C-1033, C-1040 to
C-1042, U-46, pains.md T-4). What clients see in each case:

======================================== =============================================================
the server still resumes                 at most an available presence of the focus
it refuses, and we were in doubt before  available presences; sessions and sources stay; an update whose answer was lost
                                         comes once more
its time for cut streams is over         the focus leaves, so web clients reload; it enters again and serves them
======================================== =============================================================
"""

from __future__ import annotations

import time
from typing import Any, Iterator, List

import pytest

from tests.support import media
from tests.support.client import Client
from tests.support.focus_process import FocusProcess
from tests.support.prosody import Prosody
from tests.support.stage import HIBERNATION, QUEUE, Stage, forgetful_prosody, unavailable_focus, wait_usable


@pytest.fixture(scope="module")
def server() -> Iterator[Prosody]:
    """Keeps a cut stream for a short time and few stanzas."""
    with forgetful_prosody() as prosody:
        yield prosody


@pytest.fixture
def focus(server: Prosody) -> Iterator[FocusProcess]:
    """A focus for each test, since it dies in it."""
    with FocusProcess(server, options=["--server_queue=%d" % QUEUE]) as process:
        wait_usable(process)
        yield process


def in_call(stage: Stage) -> Any:
    stage.bridge()
    room = stage.room()
    clients = [stage.client(), stage.client()]
    stage.call(room, *clients)
    return room, clients


def flood(stage: Stage, room: str, client: Client, count: int) -> None:
    """So many presences reach the focus's session; the sender has seen them all come back."""
    for number in range(count):
        client.send(client.presence(extra="<flood xmlns='urn:test'>%d</flood>" % number))
    last = "<flood xmlns='urn:test'>%d</flood>" % (count - 1)
    client.wait(lambda: any(last.encode() in s.raw.replace(b'"', b"'") for s in client.received[-50:]), 20, "the flood")


def still_in_call(stage: Stage, room: str, clients: Any) -> None:
    """A change of sources arrives, a newcomer joins, sessions are the old ones."""
    extra = media.audio_source(clients[0].endpoint, 4711, index=1)
    assert clients[0].add_sources(extra).get("type") == "result"
    guest = stage.client()
    stage.enter(room, guest)
    stage.wait_call(guest, *clients)
    for client in clients:
        assert len(client.sessions) == 1, client.summary()
        assert not unavailable_focus(client), client.summary()
        client.violations = [text for text in client.violations if "told twice" not in text]


def test_in_doubt_and_resumed(stage: Stage) -> None:
    """Half of the server's time is over: a second session stands in, isn't needed, and goes unnoticed."""
    room, clients = in_call(stage)
    stage.focus.kill()
    stage.loop.run_for(HIBERNATION / 2 + 0.5)  # the outage itself
    stage.focus.start()
    stage.wait_log("The stream was resumed; the second session isn't needed")
    assert "a second session stands in 1 of 1 rooms" in stage.log()
    still_in_call(stage, room, clients)


def test_in_doubt_and_refused(stage: Stage) -> None:
    """More stanzas than the server keeps: it ends the old session, the second one holds the room (C-1041)."""
    room, clients = in_call(stage)
    stage.focus.kill()
    flood(stage, room, clients[1], QUEUE + 20)
    stage.loop.run_for(HIBERNATION / 2 + 0.5)  # the outage itself
    stage.focus.start()
    stage.wait_log("Serving again")
    assert "resumed=false, 1 conferences" in stage.log()
    stage.wait(lambda: "Joined the room" in stage.log() or "Registered (resumed=false) client" in stage.log(), "login")
    still_in_call(stage, room, clients)


def test_requests_while_the_second_session_leaves(stage: Stage) -> None:
    """Whichever session the room gives a request to, it is answered: none leaves the room owing an answer."""
    room, clients = in_call(stage)
    stage.focus.kill()
    flood(stage, room, clients[1], QUEUE + 20)
    stage.loop.run_for(HIBERNATION / 2 + 0.5)  # the outage itself
    answers: List[Any] = []
    asked = 0
    stage.focus.start()
    stage.wait_log("stream resumption refused")  # the session that ended with this took what it was asked with it
    deadline = time.monotonic() + 15
    left_at = None
    while left_at is None or time.monotonic() < left_at + 0.3:
        assert time.monotonic() < deadline, stage.log()
        if asked - len(answers) < 20:  # as much as a room of lively people
            asked += 1
            clients[0].send_iq("set", clients[0].focus, clients[0].jingle("source-add", ""), answers.append)
        stage.loop.run_for(0.002)
        if left_at is None and "the second session has left them" in stage.log():
            left_at = time.monotonic()
    stage.wait(lambda: len(answers) == asked, "answers", lambda: "%d of %d" % (len(answers), asked))
    assert {answer.get("type") for answer in answers} == {"result"}
    still_in_call(stage, room, clients)


def test_the_servers_time_is_over(stage: Stage) -> None:
    """The rooms have seen us leave and web clients reload; we enter again and serve them (C-1033)."""
    room, clients = in_call(stage)
    stage.focus.kill()
    stage.wait(lambda: all(unavailable_focus(client) for client in clients), "seen leaving",
               timeout=HIBERNATION + 10)
    stage.focus.start()
    stage.wait_log("Serving again")
    for client in clients:
        client.leave()
    again = [stage.client(), stage.client()]
    stage.call(room, *again)
    for client in clients:
        client.violations.clear()  # what an ended session was told
