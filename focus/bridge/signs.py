"""Signs of life of the bridges: who was heard when, who is doubted, and who hasn't come back to the brewery yet.

Nothing of it outlives the process: after a restart the last sign of life of every bridge is now (DESIGN, "Coming
back").
"""
from __future__ import annotations

from typing import Any, Callable, Collection, Dict, List, Mapping, Tuple

from focus.bridge.bridge import BREWERY, Bridge

ABSENT_FOR = 15.0
"""Seconds bridges have to come back to a brewery that was lost to all."""
_NOT_ITS_OWN = frozenset(("item-not-found", "recipient-unavailable", "remote-server-not-found", "remote-server-timeout",
                          "not-acceptable", "gone"))
"""Conditions by which the room or a server says that the bridge isn't there, or we aren't (K-105)."""


def doubt_after(silence: float) -> float:
    """Seconds of silence after which a bridge is doubtful when a participant has lost its media on it (B-825).

    Args:
        silence: seconds after which a silent one is dead; 0 if it never is.
    """
    return silence / 2 or 10.0


class Signs:
    """What was heard of the bridges of a pool.

    Args:
        rows: the pool's table, by address.
        changed: told the address of a bridge that may be chosen otherwise now.
        checked: whether there are health checks; without them nobody is doubted.
        doubtful_after: seconds, see ``doubt_after``.
    """

    def __init__(self, rows: Mapping[str, Bridge], changed: Callable[[str], None], checked: bool,
                 doubtful_after: float) -> None:
        self._rows = rows
        self._changed = changed
        self._checked = checked
        self._doubtful_after = doubtful_after
        self._heard: Dict[str, float] = {}
        self._answered: Dict[str, float] = {}
        self.doubts: Dict[str, float] = {}
        """Bridges that are not used until they have answered a question, and since when."""
        self.absent: Dict[str, float] = {}
        """Bridges that weren't in the brewery when we came back to it, and since when."""
        self.inside = True
        """Whether we stand in the brewery: from outside no bridge in it can be asked."""
        self.probe_wanted = False
        """Some bridge is to be asked at once."""

    def forget(self, jid: str) -> None:
        """The bridge is gone."""
        for known in (self._heard, self._answered, self.doubts, self.absent):
            known.pop(jid, None)

    # --- who was heard ---------------------------------------------------------------------------------------

    def heard(self, jid: str, now: float) -> None:
        """The bridge has said something new."""
        self._heard[jid] = now

    def heard_again(self, now: float) -> None:
        """We were deaf: every bridge's last sign of life is now."""
        for bridge in self._rows.values():
            bridge.seen_at = now
            self._heard[bridge.jid] = now

    def answered(self, iq: Any, now: float) -> None:
        """An answer to any request came; from a bridge itself it is a sign of life (B-410)."""
        if iq.from_ in self._rows and (iq.type == "result" or iq.error.colibri_reason is not None
                                       or iq.error.condition not in _NOT_ITS_OWN):
            self._heard[iq.from_] = self._answered[iq.from_] = now

    def heard_at(self, bridge: Bridge) -> float:
        """When anything was heard of the bridge last, in monotonic seconds."""
        return self._heard.get(bridge.jid, bridge.seen_at)

    def answered_at(self, bridge: Bridge) -> float:
        """When it answered a request last."""
        return self._answered.get(bridge.jid, float("-inf"))

    # --- who is doubted --------------------------------------------------------------------------------------

    def doubt(self, jid: str, now: float) -> None:
        """A participant lost its media on the bridge. If that is silent, it isn't used until it answers (B-825)."""
        bridge = self._rows.get(jid)
        if (bridge is not None and self._checked and bridge.checkable is not False and jid not in self.doubts
                and now - self.heard_at(bridge) >= self._doubtful_after):
            self.doubts[jid] = now
            self.probe_wanted = True
            self._changed(jid)

    def trust(self, jid: str) -> None:
        """It isn't in doubt any more."""
        self.doubts.pop(jid, None)
        self._changed(jid)

    # --- who is in the brewery -------------------------------------------------------------------------------

    def missing(self, present: Collection[str], now: float) -> None:
        """The brewery was entered anew: those that aren't there get ``ABSENT_FOR`` to come back too (B-112, T-38)."""
        there = set(present)
        for jid in self._rows:
            self._changed(jid)
        self.absent = {jid: self.absent.get(jid, now) for jid, bridge in self._rows.items()
                       if bridge.origin == BREWERY and jid not in there}

    def overdue(self, now: float) -> List[str]:
        """Those that didn't come back."""
        return [jid for jid, since in self.absent.items() if now - since >= ABSENT_FOR]

    def is_reachable(self, jid: str) -> bool:
        """Whether a request would get to the bridge."""
        bridge = self._rows.get(jid)
        return (self.inside and jid not in self.absent) or (bridge is not None and bridge.origin != BREWERY)

    # --- what that means for a choice ------------------------------------------------------------------------

    def keep_out(self, jid: str) -> bool:
        """Whether the bridge may not be used now."""
        return jid in self.doubts or jid in self.absent

    def reason(self, jid: str) -> Tuple[str, float]:
        """Why it may not, and since when in monotonic seconds."""
        if jid in self.absent:
            return "it hasn't come back to the brewery yet", self.absent[jid]
        return "a participant lost its media on it, and it was silent", self.doubts[jid]
