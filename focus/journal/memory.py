"""A journal that lives as long as the process: the twin of the one on disk, for tests and for comparison."""
from __future__ import annotations

import copy
from typing import Dict, Optional

from focus.journal.record import Image, Record


class MemoryJournal:
    """Keeps the image itself."""

    def __init__(self) -> None:
        self._image = Image()
        self._notes: Dict[str, str] = {}
        self.commits = 0

    def load(self) -> Image:
        """What it holds; the caller's own copy."""
        return copy.deepcopy(self._image)

    def commit(self, record: Record, fold: bool = False) -> int:
        """Add a record."""
        self._image.apply(record)
        self.commits += 1
        self._image.last = self.commits
        return 0

    @property
    def is_there(self) -> bool:
        """It is not for later processes."""
        return True

    @property
    def last(self) -> int:
        """Number of the last record."""
        return self.commits

    @property
    def wants_fold(self) -> bool:
        """There is nothing to fold."""
        return False

    def note(self, key: str, value: str) -> None:
        """Keep a text."""
        self._notes[key] = value

    def noted(self, key: str) -> Optional[str]:
        """A text that was kept."""
        return self._notes.get(key)

    def close(self) -> None:
        """Nothing is held."""
