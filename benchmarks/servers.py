"""The focus that is measured, and what it is connected to: a real Prosody, or a sink in the benchmark's own process."""

from __future__ import annotations

import json
import os
import signal
import tempfile
from pathlib import Path
from typing import Any, Dict, Optional, Protocol

from benchmarks.common import GENERATIONAL
from tests.support.focus_process import FocusProcess, Server, account_login, guest_login
from tests.support.loop import Loop
from tests.support.prosody import Prosody
from tests.support.quick_world import QuickAddress, QuickSeat, QuickServer, QuickWorld
from tests.support.wire import Opener


class Place(Protocol):
    """Where a run takes place. Use as a context manager."""

    server: Server
    muc: str
    brewery: str
    has_component: bool
    """Whether the focus is an external component, too."""

    def __enter__(self) -> Place: ...

    def __exit__(self, *exception: object) -> None: ...

    def participant(self, name: str) -> Opener:
        """What a participant logs in with."""

    def bridge(self) -> Opener:
        """What the bridge logs in with."""

    def cpu_seconds(self) -> float:
        """Processor time that a server of its own has used."""


class RealServer:
    """A private Prosody; participants use no TLS, which is its and the measuring process's work only."""

    has_component = True

    def __init__(self, gc: str) -> None:
        self._prosody = Prosody(require_tls=False, extra_global=GENERATIONAL if gc == "generational" else "")
        self.server: Server = self._prosody
        self.muc, self.brewery = self._prosody.muc, self._prosody.brewery

    def __enter__(self) -> RealServer:
        self._prosody.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._prosody.stop(clean=True)

    def participant(self, name: str) -> Opener:
        """What a participant logs in with."""
        return guest_login(self._prosody, tls=False)

    def bridge(self) -> Opener:
        """What the bridge logs in with."""
        return account_login(self._prosody, "jvb", tls=False)

    def cpu_seconds(self) -> float:
        """Prosody's processor time."""
        return self._prosody.cpu_seconds()


class Sink:
    """Login, stream management and rooms in the benchmark's own process."""

    has_component = False

    def __init__(self, loop: Loop) -> None:
        self.world = QuickWorld()
        self.server: Server = QuickAddress(QuickServer(loop, self.world))
        self.muc, self.brewery = self.world.muc, self.world.brewery

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *exception: object) -> None:
        """The loop closes its socket."""

    def participant(self, name: str) -> Opener:
        """What a participant logs in with."""
        return QuickSeat(self.world, "%s@%s/c" % (name, self.world.domain), deaf=True)

    def bridge(self) -> Opener:
        """What the bridge logs in with."""
        return QuickSeat(self.world, "jvb@%s/b" % self.world.user_domain, deaf=False)

    def cpu_seconds(self) -> float:
        """Nothing: the sink's is the benchmark's own."""
        return 0.0


class WatchedFocus(FocusProcess):
    """The focus, whose journal's figures can be asked for; see watched_focus.py, which it runs."""

    def __init__(self, place: Place, *, profile: Optional[Path], **settings: Any) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="notes-")
        self._notes = Path(self._folder.name) / "notes"
        self._noted = 0
        environment = {"WATCH_NOTES": str(self._notes)}
        if profile is not None:
            environment["WATCH_PROFILE"] = str(profile.absolute())
        super().__init__(place.server, component=place.has_component, environment=environment, checked=False,
                         program=Path(__file__).with_name("watched_focus.py"), **settings)

    def __enter__(self) -> WatchedFocus:
        self.start()
        return self

    def discard(self) -> None:
        """Remove what is its own."""
        super().discard()
        self._folder.cleanup()

    def note(self, loop: Loop) -> Dict[str, int]:
        """What it has done until now: commits and bytes of the journal, ticks; from the second note on memory in use.

        With the second note a profile ends.
        """
        self._noted += 1
        os.kill(self.pid, signal.SIGWINCH)
        line = loop.wait(self._new_line, 10, "a note of the focus")
        noted: Dict[str, int] = json.loads(line)
        return noted

    def _new_line(self) -> str:
        lines = self._notes.read_text(encoding="ascii").splitlines(True) if self._notes.exists() else []
        complete = len(lines) == self._noted and lines[-1].endswith("\n")
        return lines[-1] if complete else ""
