"""An upgrade at noon: from the previous commit's installed package to this one's, and back, in mid-call (U-102)."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

from focus.journal.lock import read_holder
from tests.package.installed import install, previous_commit, source_of
from tests.support.focus_process import FocusProcess
from tests.support.prosody import Prosody
from tests.support.stage import Stage, full_prosody, unavailable_focus


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Dict[str, List[str]]:
    """The commands of the old and of the new version."""
    commit = previous_commit()
    print("the old version is", commit or "this one, installed elsewhere: the history has no earlier one")
    commands = {}
    for name, of in (("old", commit), ("new", None)):
        folder = tmp_path_factory.mktemp(name)
        source = folder / "source"
        source.mkdir()
        commands[name] = install(source_of(of, source), folder / "installed")
    return commands


@pytest.fixture(scope="module")
def server() -> Iterator[Prosody]:
    """A server with the module that mends resumption."""
    with full_prosody(mended=True) as prosody:
        yield prosody


class Supervised:
    """Two processes of whichever version is installed, started again whenever they end, as a supervisor does."""

    def __init__(self, prosody: Prosody, journal: Path, command: List[str]) -> None:
        self.command = command
        self.pair = [FocusProcess(prosody, journal=journal, checked=False, options=["--standby=true"])
                     for _ in range(2)]
        self._running: Dict[FocusProcess, subprocess.Popen[bytes]] = {}

    def watch(self) -> None:
        """Start what has ended."""
        for process in self.pair:
            running = self._running.get(process)
            if running is None or running.poll() is not None:
                with open(process.log_file, "ab") as log:
                    self._running[process] = subprocess.Popen(
                        self.command + process.options, env=process.environment, stdin=subprocess.DEVNULL, stdout=log,
                        stderr=log, cwd=str(process.log_file.parent), start_new_session=True)

    def close(self) -> None:
        for running in self._running.values():
            running.kill()
            running.wait()
        for process in self.pair:
            process.discard()

    def log(self) -> str:
        return "".join(process.log() for process in self.pair)


@pytest.fixture
def supervised(server: Prosody, versions: Dict[str, List[str]], tmp_path: Path) -> Iterator[Supervised]:
    one = Supervised(server, tmp_path / "journal.db", versions["old"])
    yield one
    one.close()


@pytest.fixture
def stage(server: Prosody, supervised: Supervised) -> Iterator[Stage]:
    with Stage(server, supervised.pair[0]) as one:
        yield one


def upgrade(stage: Stage, supervised: Supervised, command: List[str]) -> float:
    """Install the version, run its ``jicofo upgrade``, and return the seconds it took."""
    process = supervised.pair[0]

    def waits() -> Any:
        supervised.watch()
        return read_holder("%s.spare" % process.journal)

    stage.wait(waits, "a spare", supervised.log, 30)
    supervised.command = command
    begun = time.monotonic()
    running = subprocess.Popen([*command, "upgrade", *process.options], env=process.environment,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def ended() -> Any:
        supervised.watch()
        return running.poll() is not None

    stage.wait(ended, "the upgrade", supervised.log, 60)
    said = running.communicate()[0]
    assert running.returncode == 0, said + supervised.log()[-3000:]
    lock = read_holder("%s.lock" % process.journal)
    assert lock is not None and str(Path(command[1]).parents[1]) in lock.version, said
    return time.monotonic() - begun


def test_there_and_back(stage: Stage, supervised: Supervised, versions: Dict[str, List[str]]) -> None:
    """Nobody in the call notices; every login but the first is a resumption."""
    supervised.watch()
    stage.wait(lambda: "Joined the brewery" in supervised.log(), "serving", supervised.log, 30)
    stage.wait(lambda: "Waiting as a spare" in supervised.log(), "a spare", supervised.log)
    stage.bridge()
    room = stage.room()
    staying = [stage.client(), stage.client()]
    stage.call(room, *staying)
    for version in ("new", "old", "new"):
        seconds = upgrade(stage, supervised, versions[version])
        print("to the %s version in %.1f s" % (version, seconds))
        guest = stage.client()
        stage.enter(room, guest)
        stage.wait_call(guest, *staying)
        guest.leave()
        stage.wait(lambda one=guest: all(one.endpoint not in client.remote for client in staying), "seen leaving")
    for client in staying:
        assert len(client.sessions) == 1 and not unavailable_focus(client), client.summary()
        assert not client.violations
    log = supervised.log()
    assert log.count("Registered (resumed=false) client") == 1 and log.count("Registered (resumed=true) client") == 3
