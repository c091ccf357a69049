"""What several unit tests need."""
from __future__ import annotations

import sqlite3
from typing import Any, Iterator, List

import pytest


@pytest.fixture
def databases_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Databases that a test leaves open, as a killed process would, are closed at its end (3.13 warns of them)."""
    opened: List[sqlite3.Connection] = []
    connect = sqlite3.connect

    def tracked(*arguments: Any, **settings: Any) -> sqlite3.Connection:
        opened.append(connect(*arguments, **settings))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", tracked)
    yield
    for database in opened:
        database.close()
