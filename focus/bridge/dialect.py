"""Which version of Colibri a bridge speaks (K-830 to K-833, B-1006).

Evidence, the first that there is: the operator's word; the statistic ``colibri2``; the bridge's answer to service
discovery, which every bridge gives: those until November 2022 announce Colibri 1, today's announce neither. Without any
of it Colibri 2 is tried, and if the bridge doesn't know the element, Colibri 1 once.
"""
from __future__ import annotations

import logging
from typing import Any, Callable, Collection, Iterable, Mapping, Optional

from focus.bridge.answers import Failure

LOG = logging.getLogger(__name__)
COLIBRI1, COLIBRI2 = 1, 2
FEATURE = "http://jitsi.org/protocol/colibri"
"""Announced by bridges that speak Colibri 1, also by those that speak both (K-830)."""
WAIT = 2.0
"""Seconds for which conferences wait for the bridge's answer to service discovery."""
ASK_AGAIN = 10.0
"""Seconds between two questions to one that doesn't answer: the first may have gone to a dead session of its name."""

# Where the knowledge of a bridge's version is from, as kept in its row.
UNKNOWN = ""
STATISTIC = "its statistic"
DISCOVERY = "service discovery"
ANSWER = "its answer"
FALLBACK = "it refused Colibri 2"
NEITHER = "it refused both"


class Dialects:
    """What each bridge speaks.

    Args:
        rows: the pool's bridges, by occupant JID.
        version: the operator's word for all bridges: ``auto``, ``1`` or ``2``.
        colibri1: names (nicknames in the brewery, or whole addresses) of bridges that speak Colibri 1, in spite of
            ``version``.
        changed: told the address of a bridge that may be chosen otherwise now.
    """

    def __init__(self, rows: Mapping[str, Any], version: str = "auto", colibri1: Collection[str] = (),
                 changed: Callable[[str], None] = lambda jid: None) -> None:
        self._rows = rows
        self._changed = changed
        self._version = {"1": COLIBRI1, "2": COLIBRI2}.get(version)
        self._colibri1 = frozenset(colibri1)

    def _ordered(self, jid: str) -> Optional[int]:
        """What the operator says of this bridge."""
        named = jid in self._colibri1 or jid.partition("/")[2] in self._colibri1
        return COLIBRI1 if named else self._version

    def of(self, jid: str) -> int:
        """The version to speak with this bridge now: ``COLIBRI1`` or ``COLIBRI2``."""
        ordered = self._ordered(jid)
        if ordered is not None:
            return ordered
        bridge = self._rows.get(jid)
        return COLIBRI1 if bridge is not None and bridge.dialect == COLIBRI1 else COLIBRI2

    def relay_id(self, jid: str) -> Optional[str]:
        """The bridge's relay id; None if it can't have other bridges beside it, as with Colibri 1 (K-833).

        Nor can one that has been asked what it speaks and hasn't answered yet.
        """
        bridge = self._rows.get(jid)
        if bridge is None or self.of(jid) == COLIBRI1:
            return None
        if bridge.dialect_awaited and bridge.dialect_from == UNKNOWN and self._ordered(jid) is None:
            return None
        return bridge.relay_id or None

    # --- evidence --------------------------------------------------------------------------------------------

    def heard(self, bridge: Any, colibri2: Optional[bool]) -> None:
        """The statistic; a bridge that speaks both is spoken to in Colibri 2."""
        if colibri2 and bridge.dialect_from != STATISTIC:
            self._learn(bridge, COLIBRI2, STATISTIC)

    def asks(self, jid: str, now: float) -> bool:
        """Whether service discovery of the bridge has to tell; the caller asks it then."""
        bridge = self._rows.get(jid)
        if (bridge is None or self._ordered(jid) is not None or bridge.dialect_from != UNKNOWN
                or now < bridge.dialect_asked_at + ASK_AGAIN):
            return False
        bridge.dialect_awaited = bridge.dialect_asked_at == float("-inf")  # nobody waits for one that was silent
        bridge.dialect_asked_at = now
        self._changed(jid)
        return True

    def awaited_until(self, jid: str, now: float) -> Optional[float]:
        """Monotonic seconds until which the bridge's answer is waited for; None if there is nothing to wait for."""
        bridge = self._rows.get(jid)
        if (bridge is None or not bridge.dialect_awaited or self._ordered(jid) is not None
                or bridge.dialect_from != UNKNOWN or now >= bridge.dialect_asked_at + WAIT):
            return None
        return float(bridge.dialect_asked_at + WAIT)

    def discovered(self, jid: str, features: Optional[Iterable[str]]) -> None:
        """The answer to service discovery; None: none that could be used."""
        bridge = self._rows.get(jid)
        if bridge is None:
            return
        bridge.dialect_awaited = False
        self._changed(jid)
        if features is not None and bridge.dialect_from in (UNKNOWN, FALLBACK):
            self._learn(bridge, COLIBRI1 if FEATURE in features else COLIBRI2, DISCOVERY)

    def answered(self, jid: str, dialect: int) -> None:
        """The bridge did what it was asked in this version."""
        bridge = self._rows.get(jid)
        if bridge is not None and bridge.dialect_from in (UNKNOWN, FALLBACK):
            self._learn(bridge, dialect, ANSWER)

    def refused(self, jid: str, dialect: int) -> bool:
        """The bridge doesn't know the request's element.

        Returns whether it is to be asked in the other version: once, and only while nothing tells what it speaks.
        """
        bridge = self._rows.get(jid)
        if bridge is None or self._ordered(jid) is not None:
            return False
        if dialect == COLIBRI2 and bridge.dialect_from == UNKNOWN:
            self._learn(bridge, COLIBRI1, FALLBACK)
            bridge.sctp = None  # if it said that it has none, it meant the element
        elif dialect == COLIBRI1 and bridge.dialect_from == FALLBACK:
            self._learn(bridge, COLIBRI2, NEITHER)
            return False
        return self.of(jid) != dialect

    def _learn(self, bridge: Any, dialect: int, source: str) -> None:
        if dialect == COLIBRI1:
            LOG.info("%s speaks Colibri 1 (%s): calls on it have this one bridge, and no SSRC rewriting", bridge.jid,
                     source)
        elif bridge.dialect == COLIBRI1:
            LOG.info("%s speaks Colibri 2 (%s)", bridge.jid, source)
        bridge.dialect, bridge.dialect_from = dialect, source
        self._changed(bridge.jid)


def is_unknown_element(failure: Failure, asked_sctp: bool) -> bool:
    """Whether the bridge says that it doesn't know the request as such (K-830).

    A refusal of SCTP looks the same: then it is asked without SCTP first (K-476).
    """
    if failure.reason is not None or "graceful" in failure.text.lower():
        return False
    return failure.condition == "service-unavailable" or (
        failure.condition == "feature-not-implemented" and not asked_sctp)
