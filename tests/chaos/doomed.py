"""The focus, ended by os._exit at a point of its code: python -m tests.chaos.doomed, arguments as for bin/jicofo.

The environment says where: DOOM_COMMIT, the number of a commit that writes something (from 1), and DOOM_POINT:

before   the journal's commit begins
after    it has returned, nothing has been handed to the connection
mid      half of the bytes of the first write that holds a stanza of this commit are in the socket
written  all stanzas of this commit are in the socket, the acknowledgement of its input is not

A process that ends in order writes to the file DOOM_COMMITS how many stanzas each of its commits had (JSON).

What depends on how long a process was gone is not as in the product, so that runs can be compared: presences of a room
and the end of an empty one come without a pause, and who asks for a conference is not told after 5 s to ask again.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any, List, Optional, Sequence

from focus.conference import asking, ending, publishing
from focus.journal.sqlite import SqliteJournal
from focus.xmpp.stream import Connection
from focus.xmpp.wire import Wire

KILLED, IDLE = 9, 10
"""Exit status at the point, and where there is none since the commit had nothing to write: at the next one."""


class Doom:
    """What the process counts, and where it ends."""

    def __init__(self) -> None:
        self._commit = int(os.environ.get("DOOM_COMMIT", "0"))
        self._point = os.environ.get("DOOM_POINT", "")
        self.commits: List[int] = []
        """Number of stanzas of each commit until now."""
        self._fatal: List[bytes] = []
        """Stanzas of the fatal commit that are not in the socket yet."""

    def before(self) -> None:
        """A commit begins."""
        if len(self.commits) == self._commit - 1 and self._point == "before":
            os._exit(KILLED)
        if self.commits and len(self.commits) == self._commit:
            os._exit(IDLE)
        self.commits.append(0)

    def after(self) -> None:
        """It has returned."""
        if len(self.commits) == self._commit and self._point == "after":
            os._exit(KILLED)

    def send(self, stanzas: List[bytes]) -> None:
        """What the last commit holds is handed to the client's connection."""
        if self.commits:
            self.commits[-1] += len(stanzas)
        if len(self.commits) == self._commit:
            self._fatal += stanzas

    def write(self, sock: Any, data: bytes) -> None:
        """The next bytes for the socket."""
        here = [stanza for stanza in self._fatal if stanza in data]
        if not here:
            return
        if self._point == "mid":
            sock.sendall(data[:_middle(data, here)])
            os._exit(KILLED)
        self._fatal = [stanza for stanza in self._fatal if stanza not in here]
        if not self._fatal:
            sock.sendall(data[:max(data.index(stanza) + len(stanza) for stanza in here)])
            os._exit(KILLED)


def _middle(data: bytes, stanzas: List[bytes]) -> int:
    """Half of the data if that is within one of the stanzas, otherwise half of the last of them."""
    half = len(data) // 2
    for stanza in stanzas:
        begin = data.index(stanza)
        if begin < half < begin + len(stanza):
            return half
    return data.index(stanzas[-1]) + len(stanzas[-1]) // 2


def patch(doom: Doom) -> None:
    """Put the points into the program."""
    publishing.MIN_INTERVAL = ending.EMPTY_GRACE = 0.0
    asking.ANSWER_WITHIN = 60.0
    original_write = Wire.write

    def write(wire: Wire, data: bytes) -> None:
        doom.write(wire.sock, data)
        original_write(wire, data)

    original_send = Connection.send

    def send(connection: Connection, stanzas: List[bytes], session: Optional[int] = None) -> None:
        if connection.name == "client":
            doom.send(stanzas)
        original_send(connection, stanzas, session)

    original_commit = SqliteJournal.commit

    def commit(journal: SqliteJournal, *arguments: Any) -> Any:
        doom.before()
        result = original_commit(journal, *arguments)
        doom.after()
        return result

    for owner, function in ((Wire, write), (Connection, send), (SqliteJournal, commit)):
        setattr(owner, function.__name__, function)


def load() -> None:
    """Import everything that a run needs, and nothing that begins anything."""
    importlib.import_module("focus.cli")
    importlib.import_module("focus.service")
    importlib.import_module("focus.xmpp.library").load("sleekxmpp.util.sasl")


def main(arguments: Sequence[str]) -> int:
    """Run the focus."""
    doom = Doom()
    patch(doom)
    from focus.cli import main as run

    try:
        return run(arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    finally:
        with open(os.environ["DOOM_COMMITS"], "w", encoding="ascii") as file:
            json.dump(doom.commits, file)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
