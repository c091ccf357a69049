"""The sources that the focus believes in, read from its journal while it serves."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path
from typing import Dict, Set

from focus.conference.state import read_state
from focus.journal.codec import CODEC
from focus.journal.record import Image
from focus.journal.rows import Ledger
from focus.journal.sqlite import SqliteJournal
from tests.chaos.browser_stage import Servers


def focus_sources(servers: Servers, room: str) -> Dict[str, Set[int]]:
    """Endpoint -> SSRCs of the room in the journal; empty if it does not know the room."""
    image = _image(servers.journal)
    for owner in image.owners:
        stored = image.tables(owner)
        if any(key == room for key, _, _ in stored.get("conference", ())):
            state = read_state(Ledger(owner, CODEC), stored)
            return {one: {source.ssrc for source in owned.sources} for one, owned in state.sources.rows.items()}
    return {}


def _image(path: Path) -> Image:
    """What the journal holds at this moment: of a copy, so that nobody who writes has to wait."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        source, target = sqlite3.connect("file:%s?mode=ro" % path, uri=True), sqlite3.connect(copy)
        try:
            source.backup(target)
        finally:
            source.close()
            target.close()
        journal = SqliteJournal(str(copy))
        try:
            return journal.load()
        finally:
            journal.close()
