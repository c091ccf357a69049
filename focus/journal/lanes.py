"""The row that names an exchange which waits for the network (``focus.lanes``)."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Optional, Tuple

from focus.journal.rows import Row


@dataclass(eq=False)
class LaneRow(Row):
    """A lane is born from it, and reborn in a later process, where it goes through the same steps again without
    writing: what it was given then stands here."""

    id: str
    kind: str
    args: Dict[str, Optional[str]]
    ids: Tuple[str, ...] = ()
    """The request ids it has drawn."""
    writes: int = 0
    """How often it has written."""
    heard: Tuple[Tuple[str, Optional[str]], ...] = ()
    """What it has taken: the key, and the stanza as text (None: its deadline ran out)."""
