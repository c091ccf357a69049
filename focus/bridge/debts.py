"""Conferences that were left behind on bridges that couldn't be told: they are ended there when the bridge is back."""
from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional

from focus.journal.rows import Row, Rows
from focus.values.channels import Leftover

MAX_OWED = 1000
OWED_FOR = 600.0
"""Seconds after which a bridge has forgotten by itself what nobody uses (K-350, K-351)."""


@dataclass(eq=False)
class Owed(Row):
    """A conference left behind on a bridge that couldn't be told: it is expired there when the bridge is back."""

    bridge: str
    meeting_id: str
    since: float
    left: Optional[Leftover] = None
    """Colibri 1: the channels by which it is expired there."""


class Debts:
    """What is owed to bridges; old debts are forgotten."""

    def __init__(self) -> None:
        self.rows: Rows[Owed] = Rows("owed", Owed)

    def owe(self, jid: str, meeting_id: str, now: float, left: Optional[Leftover] = None) -> None:
        """The conference couldn't be ended on the bridge; ``left`` is what Colibri 1 ends it by."""
        self.forget_old(now)
        if len(self.rows) < MAX_OWED:
            key = meeting_id if left is None else "%s %s" % (meeting_id, left.conference)
            self.rows["%s %s" % (key, jid)] = Owed(jid, meeting_id, now, left)

    def forget_old(self, now: float) -> None:
        """The bridges have forgotten too."""
        for key in [key for key, row in self.rows.items() if now - row.since > OWED_FOR]:
            del self.rows[key]

    def back(self, jid: str, now: float) -> List[Owed]:
        """The bridge is there again: the conferences to be ended on it, which are then forgotten."""
        found = [(key, row) for key, row in self.rows.items() if row.bridge == jid]
        for key, _ in found:
            del self.rows[key]
        return [row for _, row in found if now - row.since <= OWED_FOR]
