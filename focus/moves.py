"""Moving endpoints from one bridge to others: on request of the operator, and when a bridge has too much load.

The operator's request to make links between bridges again is here too. Runs in the ticker, between turns. It only says
who has to go; the conference itself moves them in its next turn.
"""
from __future__ import annotations

import logging
from typing import Any, Callable, List, NamedTuple, Optional

from focus.bridge import relays
from focus.bridge.choice.moving import Hosted, pick, pick_whole, share
from focus.bridge.choice.redistribution import Redistribution, Redistributor
from focus.bridge.choice.rules import SINGLE
from focus.bridge.pool import Bridges
from focus.conference import messages
from focus.registry import Conferences
from focus.values.addresses import bare

LOG = logging.getLogger(__name__)


class Moved(NamedTuple):
    """What was asked for."""

    endpoints: int
    conferences: int


class Rebuilt(NamedTuple):
    """What was asked for."""

    links: int
    conferences: int


class NotFound(LookupError):
    """There is no such bridge or conference; the text says which (B-863)."""


class Moves:
    """Says which endpoints have to leave a bridge.

    Args:
        conferences: all.
        bridges: the pool.
        brewery: bare JID of the room where bridges stand, for those that are named by their nickname.
        redistribution: when load is moved away by itself.
        now: monotonic seconds.
    """

    def __init__(self, conferences: Conferences, bridges: Bridges, brewery: str, redistribution: Redistribution,
                 now: Callable[[], float]) -> None:
        self._conferences = conferences
        self._bridges = bridges
        self._brewery = brewery
        self._number = redistribution.endpoints
        self._now = now
        self._redistributor = Redistributor(redistribution, bridges.rules.stress_threshold, now())

    # --- on request ------------------------------------------------------------------------------------------

    def move_endpoints(self, bridge: str, number: int = 1, conference: Optional[str] = None,
                       exclude: bool = False) -> Moved:
        """Move so many endpoints away from a bridge, those of the largest conferences first (B-861).

        Args:
            bridge: full occupant JID, or nickname in the brewery.
            number: how many, 1 or more.
            conference: only those of this room (bare JID).
            exclude: the bridge isn't chosen again for them; if there's no other, they stay (B-867).

        Raises:
            NotFound: there is no such bridge or conference.
            ValueError: the number is none.
        """
        if number < 1:
            raise ValueError("numEndpoints has to be 1 or more")
        jid = self._find_bridge(bridge)
        hosted = self._hosted(jid)
        if conference is not None:
            self._find_conference(conference)
            hosted = [part for part in hosted if part.room == bare(conference)]
        return self._move(jid, pick(hosted, number), exclude, "as requested")

    def move_fraction(self, bridge: str, fraction: float = 0.1, exclude: bool = False) -> Moved:
        """Move a part of a bridge's endpoints away (B-862); as ``move_endpoints``, the fraction above 0 and up to 1."""
        if not 0 < fraction <= 1:
            raise ValueError("fraction has to be above 0 and no more than 1")
        jid = self._find_bridge(bridge)
        hosted = self._hosted(jid)
        return self._move(jid, pick(hosted, share(hosted, fraction)), exclude, "as requested")

    def move_endpoint(self, conference: str, endpoint: str, bridge: Optional[str] = None,
                      exclude: bool = False) -> Moved:
        """Move one endpoint, if it is on that bridge (B-860); as ``move_endpoints``."""
        only = self._find_bridge(bridge) if bridge is not None else None
        state = self._find_conference(conference).state
        for session in state.bridges.values():
            if endpoint in session.endpoints and only in (None, session.bridge):
                return self._move(session.bridge, [Hosted(state.room, (endpoint,))], exclude, "as requested")
        return Moved(0, 0)

    def rebuild_links(self, bridge: str, other: Optional[str] = None, conference: Optional[str] = None) -> Rebuilt:
        """Make the links between bridges again: bridges don't say when one of them fails (K-539).

        Args:
            bridge: full occupant JID, or nickname in the brewery.
            other: only the links to this bridge.
            conference: only those of this room (bare JID).

        Raises:
            NotFound: there is no such bridge or conference.
        """
        jid, to = self._find_bridge(bridge), None if other is None else self._find_bridge(other)
        if conference is not None:
            self._find_conference(conference)
        links = conferences = 0
        for part in self._conferences:
            session = part.state.bridges.get(jid)
            if session is None or part.is_over or (conference is not None and part.state.room != bare(conference)):
                continue
            found = len(relays.wanted_links(session, to))
            if found:
                links, conferences = links + found, conferences + 1
                part.mailbox.post(messages.RebuildLinks(jid, to))
        return Rebuilt(links, conferences)

    # --- by itself -------------------------------------------------------------------------------------------

    @property
    def next_at(self) -> Optional[float]:
        """Monotonic seconds at which ``redistribute`` has something to look at."""
        return self._redistributor.next_at

    def redistribute(self, connected: bool) -> None:
        """Move endpoints away from bridges with too much load, if it is time for that (B-870)."""
        if self.next_at is None or self._now() < self.next_at:
            return
        now = self._now()
        stress = {bridge.jid: self._bridges.stress(bridge, now) for bridge in self._bridges} if connected else {}
        for jid in self._redistributor.due(now, stress):
            hosted = self._hosted(jid)
            whole = self._keeps_together(jid)
            picked = pick_whole(hosted, self._number) if whole else pick(hosted, self._number)
            moved = self._move(jid, picked, whole, "its bridge has too much load")
            self._bridges.moved_away(jid, moved.endpoints)
            LOG.info("Redistributing load: moving %d endpoints of %d conferences away from %s (stress %.2f%s)",
                     moved.endpoints, moved.conferences, jid, stress[jid], ", whole conferences only" if whole else "")

    def _keeps_together(self, bridge: str) -> bool:
        """Whether a conference can't have another bridge beside this one: only all of it can leave (B-872 R)."""
        rules = self._bridges.rules
        return not rules.octo or rules.strategy == SINGLE or self._bridges.relay_id(bridge) is None

    # --- both ------------------------------------------------------------------------------------------------

    def _hosted(self, bridge: str) -> List[Hosted]:
        """What is on a bridge, whether that works or not (B-865 R)."""
        return [Hosted(conference.state.room, tuple(conference.state.bridges[bridge].endpoints))
                for conference in self._conferences
                if not conference.is_over and bridge in conference.state.bridges]

    def _move(self, bridge: str, parts: List[Hosted], exclude: bool, reason: str) -> Moved:
        if exclude and not any(b.operational and not b.shutting_down
                               for b in self._bridges.candidates(self._now(), without=(bridge,))):
            return Moved(0, 0)
        for part in parts:
            conference = self._conferences.get(part.room)
            if conference is not None:
                conference.mailbox.post(messages.MoveEndpoints(bridge, part.endpoints, exclude, reason))
        return Moved(sum(len(part.endpoints) for part in parts), len(parts))

    def _find_bridge(self, name: str) -> str:
        for jid in (name, "%s/%s" % (self._brewery, name)):
            if self._bridges.get(jid) is not None:
                return jid
        raise NotFound("Bridge not found")

    def _find_conference(self, room: str) -> Any:
        conference = self._conferences.get(bare(room))
        if conference is None or conference.is_over:
            raise NotFound("Conference not found")
        return conference
