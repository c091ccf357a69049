"""The focus, started with the arguments of bin/jicofo, with one thing added: after each commit the journal is read back
from the disk and compared with what is in memory. A difference is logged with a stack, and ends the process.
"""
from __future__ import annotations

import os
import sys
from typing import Any, Dict

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
if sys.path[0] != ROOT:
    sys.path[0] = ROOT

from focus.cli import main  # noqa: E402
from focus.journal.keeper import Keeper  # noqa: E402
from focus.journal.sqlite import SqliteJournal  # noqa: E402


def compare(keeper: Any, handled: Dict[Any, int], queued: Any) -> None:
    """What a later process would read must be what is in memory now."""
    if keeper.journal is None:
        return
    journal = SqliteJournal(keeper.journal.path)
    try:
        image = journal.load()
    finally:
        journal.close()
    known: Dict[Any, Any] = {}
    for ledger in keeper._ledgers():
        for change in ledger.recounted():
            known[change.owner, change.kind, change.key] = (change.order, change.value)
    read = {(owner, kind, key): (stored.order, stored.value)
            for owner, rows in image.owners.items() for (kind, key), stored in rows.items()}
    for name in sorted(set(known) | set(read)):
        if known.get(name) != read.get(name):
            raise AssertionError("the journal has %r, memory %r of %r" % (read.get(name), known.get(name), name))
    for connection in keeper._connections:
        check_stream(connection, handled.get(connection, 0), queued, image.streams.get(connection.name))


def check_stream(connection: Any, handled: int, queued: Any, kept: Any) -> None:
    """The counts, and every stanza that the server hasn't confirmed or that is about to leave."""
    session = connection.stream
    new = [text for (target, number), some in queued.items() if target is connection and connection.accepts(number)
           for text in some]
    if session is None or not session.resumable:
        assert kept is None or not kept.token, "the journal has a stream that is no more"
        return
    waiting = [stanza.decode() for stanza in list(session.sent) + connection.waiting()]
    waiting += ["".join(text) if isinstance(text, tuple) else text for text in new]
    assert kept.token == session.id and kept.handled == session.will_handle(handled), "the counts differ"
    assert kept.stanzas[session.acknowledged - kept.confirmed:] == waiting, "the output differs"


def checked(original: Any) -> Any:
    def commit(self: Any, handled: Dict[Any, int], queued: Any) -> None:
        original(self, handled, queued)
        compare(self, handled, queued)
    return commit


if __name__ == "__main__":
    Keeper.commit = checked(Keeper.commit)  # type: ignore[method-assign]
    sys.exit(main())
