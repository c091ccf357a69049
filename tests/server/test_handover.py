"""Two processes and one journal: one serves, the other waits, takes over, or proves itself (DESIGN, "One writer")."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import Any, Callable, Iterator, List

import pytest

from focus.journal.lock import read_holder
from tests.support.focus_process import FocusProcess
from tests.support.prosody import Prosody
from tests.support.stage import Stage, full_prosody, unavailable_focus, wait_usable


@pytest.fixture(scope="module")
def server() -> Iterator[Prosody]:
    """A server of this module's own, with the module that mends resumption."""
    with full_prosody(mended=True) as prosody:
        yield prosody


@pytest.fixture
def focus(server: Prosody) -> Iterator[FocusProcess]:
    """The process that serves at first."""
    with FocusProcess(server, options=["--standby=true"]) as process:
        wait_usable(process)
        yield process


Another = Callable[..., FocusProcess]


@pytest.fixture
def another(server: Prosody, focus: FocusProcess) -> Iterator[Another]:
    """Starts further processes with the same journal."""
    made: List[FocusProcess] = []

    def start(*options: str, **settings: Any) -> FocusProcess:
        process = FocusProcess(server, journal=focus.journal or False, options=list(options), **settings)
        made.append(process)
        process.start()
        return process

    yield start
    for process in made:
        process.stop()
        process.discard()


def command(focus: FocusProcess, *words: str) -> subprocess.CompletedProcess[str]:
    """``jicofo WORDS`` with the configuration of this process."""
    return subprocess.run([*focus.command, *words, *focus.options], env=focus.environment, timeout=120,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def waits(stage: Stage, spare: FocusProcess) -> None:
    stage.wait(lambda: "Waiting as a spare" in spare.log(), "a spare", spare.log)


def serves(stage: Stage, process: FocusProcess) -> None:
    stage.wait(lambda: "Serving again" in process.log(), "serving", process.log)


def in_call(stage: Stage, focus: FocusProcess) -> Any:
    stage.bridge()
    room = stage.room()
    clients = [stage.client(), stage.client()]
    stage.call(room, *clients)
    return room, clients


def still_in_call(stage: Stage, room: str, clients: Any) -> None:
    """A newcomer joins the call, and nobody has noticed anything."""
    guest = stage.client()
    stage.enter(room, guest)
    stage.wait_call(guest, *clients)
    for client in clients:
        assert len(client.sessions) == 1 and not unavailable_focus(client), client.summary()
    guest.leave()


def test_a_second_one_ends_with_a_status_of_its_own(another: Another, stage: Stage) -> None:
    second = another()
    stage.wait(lambda: not second.running, "the second ends", second.log)
    assert second.stop() == 3
    assert "Another process serves with the journal" in second.log()
    assert "pid %d" % stage.focus.pid in second.log()
    assert stage.focus.running


def test_a_spare_takes_over(another: Another, stage: Stage) -> None:
    room, clients = in_call(stage, stage.focus)
    spare = another("--standby=true")
    waits(stage, spare)
    stage.focus.kill()
    serves(stage, spare)
    assert "Registered (resumed=true) client" in spare.log()
    still_in_call(stage, room, clients)


def test_two_fight_for_the_journal(another: Another, stage: Stage) -> None:
    """Exactly one serves at any time, whoever is killed and started: every login but the first is a resumption."""
    room, clients = in_call(stage, stage.focus)
    spare = another("--standby=true")
    waits(stage, spare)
    pair = [stage.focus, spare]
    for number in range(6):
        serving, waiting = pair
        begin = len(waiting.log())
        os.kill(serving.pid, signal.SIGKILL if number % 2 else signal.SIGTERM)
        stage.wait(lambda one=waiting, at=begin: "Serving again" in one.log()[at:], "taken over", waiting.log)
        lock = read_holder("%s.lock" % waiting.journal)
        assert lock is not None and lock.pid == waiting.pid
        serving.stop()
        begin = len(serving.log())
        serving.start()
        stage.wait(lambda one=serving, at=begin: "Waiting as a spare" in one.log()[at:], "a spare", serving.log)
        pair.reverse()
    log = stage.focus.log() + spare.log()
    assert log.count("Registered (resumed=false) client") == 1 and log.count("Registered (resumed=true) client") == 6
    still_in_call(stage, room, clients)


def test_whose_journal_was_taken_ends(another: Another, stage: Stage, server: Prosody) -> None:
    """Somebody removed the lock file and started another focus: the first one touches nothing any more."""
    os.unlink("%s.lock" % stage.focus.journal)
    second = another()
    stage.wait(lambda: "Registered (resumed" in second.log(), "the second serves", second.log)
    stage.wait(lambda: not stage.focus.running, "the first ends", stage.focus.log)
    assert stage.focus.stop() == 3
    assert "Another process has taken the journal" in stage.focus.log()


def test_stop_leaves_the_calls(another: Another, stage: Stage) -> None:
    room, clients = in_call(stage, stage.focus)
    done = command(stage.focus, "stop")
    assert done.returncode == 0 and "Its calls go on when a focus is started again" in done.stdout, done.stdout
    assert stage.focus.stop() == 0
    stage.focus.start()
    stage.wait_log("Serving again")
    still_in_call(stage, room, clients)


def test_stop_and_end_the_calls(another: Another, stage: Stage) -> None:
    """The last goodbye: bridges expire, rooms see the focus leave, a spare ends too, and nothing comes back."""
    room, clients = in_call(stage, stage.focus)
    spare = another("--standby=true")
    waits(stage, spare)
    done = command(stage.focus, "stop", "--end-calls")
    assert done.returncode == 0 and "All calls are ended" in done.stdout, done.stdout
    assert stage.focus.stop() == 5
    stage.wait(lambda: not spare.running, "the spare ends", spare.log)
    assert spare.stop() == 5
    stage.wait(lambda: not stage.bridges[0].leaks(), "nothing left on the bridge", stage.bridges[0].leaks)
    for client in clients:
        client.wait(lambda one=client: unavailable_focus(one), 10, "seen leaving")
    stage.focus.start()
    stage.wait_log("Going on with 0 conferences")
    stage.wait(lambda: stage.log().count("Registered (resumed=false) client") == 1, "a fresh login", stage.log)


def test_upgrade(another: Another, stage: Stage) -> None:
    """The spare is the new version: it takes over, proves itself, and the old process ends."""
    room, clients = in_call(stage, stage.focus)
    spare = another("--standby=true")
    waits(stage, spare)
    done = command(stage.focus, "upgrade")
    assert done.returncode == 0 and "serves (pid %d)" % spare.pid in done.stdout, done.stdout
    stage.wait(lambda: not stage.focus.running, "the old one ends", stage.focus.log)
    assert stage.focus.stop() == 0
    still_in_call(stage, room, clients)


def test_upgrade_to_a_version_that_does_not_work(another: Another, stage: Stage) -> None:
    """The new one dies before it has proved itself: the old one takes the calls back."""
    room, clients = in_call(stage, stage.focus)
    spare = another("--standby=true", "--host=192.0.2.1")  # nobody is there, so it never serves
    waits(stage, spare)
    os.kill(stage.focus.pid, signal.SIGUSR1)
    stage.wait(lambda: "Starting Jicofo" in spare.log(), "the new one tries", spare.log)
    spare.kill()
    stage.wait_log("Nobody has proved to serve in our place")
    stage.wait_log("Serving again")
    still_in_call(stage, room, clients)


def test_upgrade_without_a_spare(another: Another, stage: Stage) -> None:
    done = command(stage.focus, "upgrade")
    assert done.returncode == 1 and "no spare waits to take over" in done.stdout, done.stdout
    assert stage.focus.running
