"""supervisord as the demo uses it: order, readiness, failures in one line, and nothing left afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Callable, Iterator, List

import pytest

from focus.demo.stack import Stack
from focus.demo.supervise import PartFailed, Program, Supervisor
from tests.support.connections import wait_for

SLEEPER = [sys.executable, "-c", "import os, time; print(os.environ['WORD'], flush=True); time.sleep(600)"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with everything in its name that a configuration file could stumble over."""
    made = tmp_path / 'a "b" 100%s'
    made.mkdir()
    return made


@pytest.fixture
def supervisors() -> Iterator[List[Supervisor]]:
    made: List[Supervisor] = []
    yield made
    for supervisor in made:
        supervisor.stop()


def says(supervisor: List[Supervisor], name: str, word: str) -> Callable[[], bool]:
    def ready() -> bool:
        log = supervisor[0].log_of(name)
        return log.exists() and word in log.read_text(encoding="utf-8")

    return ready


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_programs_start_in_order_and_all_end(folder: Path, supervisors: List[Supervisor]) -> None:
    word = "it's 100% \\ \"quoted\", yes"
    programs = [
        Program(name, SLEEPER, {"WORD": word.replace('"', "'")}, says(supervisors, name, "it's 100%"), 20)
        for name in ("first", "second")
    ]
    supervisor = Supervisor(folder, programs)
    supervisors.append(supervisor)
    started: List[str] = []
    supervisor.start(lambda name, seconds: started.append(name))
    assert started == ["first", "second"]
    supervisor.check()
    pids = [supervisor.pid_of(name) for name in started]
    assert os.stat(folder / "supervisord.conf").st_mode & 0o077 == 0

    supervisor.restart("second")
    assert supervisor.pid_of("second") != pids[1]
    pids.append(supervisor.pid_of("second"))
    supervisor.stop()
    assert not any(alive(pid) for pid in pids)
    assert not any(file.name.endswith(".sock") for file in folder.iterdir())
    with pytest.raises(PartFailed, match="supervisord is not running"):
        supervisor.check()


def test_a_program_that_ends_at_once_is_named_with_its_last_words(folder: Path, supervisors: List[Supervisor]) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('no such door: 5222')"]
    supervisor = Supervisor(folder, [Program("porter", command, {}, lambda: False, 20)])
    supervisors.append(supervisor)
    with pytest.raises(PartFailed) as failed:
        supervisor.start()
    text = str(failed.value)
    assert text.startswith("porter did not start: ") and "\n" not in text
    assert "last line: no such door: 5222 (log: %s)" % (folder / "porter.log") in text


def test_a_program_that_is_not_there_and_one_that_never_gets_ready(
    folder: Path, supervisors: List[Supervisor]
) -> None:
    missing = Supervisor(folder, [Program("ghost", ["/nowhere/ghost"], {}, lambda: False, 20)])
    supervisors.append(missing)
    with pytest.raises(PartFailed, match="ghost did not start"):
        missing.start()
    missing.stop()
    slow = Supervisor(folder, [Program("slow", SLEEPER, {"WORD": "x"}, lambda: False, 0.5)])
    supervisors.append(slow)
    with pytest.raises(PartFailed, match="slow was not ready within 0.5 s"):
        slow.start()


def test_a_program_that_stops_later_is_noticed(folder: Path, supervisors: List[Supervisor]) -> None:
    supervisor = Supervisor(
        folder, [Program("one", [sys.executable, "-c", "import time; time.sleep(1.5)"], {}, lambda: True, 20)]
    )
    supervisors.append(supervisor)
    supervisor.start()

    def stopped() -> bool:
        try:
            supervisor.check()
        except PartFailed as failed:
            return str(failed).startswith("one stopped: ")
        return False

    wait_for(stopped, "its end is noticed")


def test_nothing_is_left_when_the_parent_is_killed(folder: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from focus.demo.supervise import Program, Supervisor\n"
        "child = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
        "s = Supervisor(Path(sys.argv[1]), [Program('child', child, {}, lambda: True, 20)])\n"
        "s.start(); print(s.pid_of('child'), flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        child = int(parent.stdout.readline())
    assert alive(child)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_for(lambda: not alive(child), "the child ends with its parent")


def test_a_folder_is_used_by_one_run_at_a_time(tmp_path: Path) -> None:
    first = Stack(tmp_path / "run")
    with first:
        with pytest.raises(PartFailed, match="in use by another run"):
            Stack(tmp_path / "run").start()
        first.supervisor.check()
    # and a folder that is not ours is never emptied
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter").touch()
    with pytest.raises(PartFailed, match="is not empty and not from an earlier run"):
        Stack(tmp_path / "mine").start()
    assert (tmp_path / "mine" / "letter").exists()
