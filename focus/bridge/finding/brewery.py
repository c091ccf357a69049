"""The brewery: the room where bridges stand and publish their load (bridge.md 1.1, S-110 to S-115).

Keeps us in the room, for ever, and the pool in step with who is there. Runs in the ticker: it is told presences and
the ends of its own joins, and never waits.
"""
from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Callable, Collection, List, Optional, Tuple

from focus.bridge.bridge import BREWERY, Bridge, PoolEvent
from focus.bridge.debts import Owed
from focus.bridge.pool import RESTARTED, Bridges
from focus.bridge.signs import ABSENT_FOR
from focus.conference.state import NICK
from focus.journal.lanes import LaneRow
from focus.journal.rows import Row, Rows
from focus.values.addresses import resource
from focus.values.rooms import JoinOutcome

LOG = logging.getLogger(__name__)
RETRY = 15.0
"""Seconds between two attempts to enter (S-111)."""


@dataclass(eq=False)
class Standing(Row):
    """Whether we are in the brewery, and who else."""

    inside: bool = False
    entering: int = 0
    """Number of the running attempt to enter, 0 if none."""
    attempts: int = 0
    present: Tuple[str, ...] = ()
    """Occupants seen since we began to enter."""
    retry_at: Optional[float] = None


class Brewery:
    """Our place in the brewery.

    Args:
        room: its bare JID; empty if there is no brewery.
        bridges: the pool to keep.
        now: monotonic seconds.
        join: ``join(row, done)``: start the lane that enters the room.
        new_id: makes ids.
        expire: ends on a bridge a conference that is owed to it.
        discover: asks a bridge for its features by service discovery; ``discovered`` gets the answer.
        tell: told what conferences have to hear.
    """

    def __init__(self, room: str, bridges: Bridges, now: Callable[[], float],
                 join: Callable[[LaneRow, Callable[[JoinOutcome], None]], None],
                 tell: Callable[[PoolEvent], None], new_id: Callable[[], str],
                 expire: Callable[[str, Owed], None], discover: Callable[[str], None]) -> None:
        self.room = room
        self._bridges = bridges
        self._now = now
        self._join = join
        self._tell = tell
        self._new_id = new_id
        self._expire = expire
        self._discover = discover
        self.standings: Rows[Standing] = Rows("brewery", Standing)
        self.standings[room] = Standing()
        self.lanes: Rows[LaneRow] = Rows("brewery lane", LaneRow)
        self.error = ""
        """Why we aren't inside, for health and log."""

    @property
    def _standing(self) -> Standing:
        return self.standings[self.room]

    @property
    def inside(self) -> bool:
        """Whether we stand in the room."""
        return self._standing.inside

    @property
    def retry_at(self) -> Optional[float]:
        """Monotonic seconds of the next attempt after one that failed."""
        return self._standing.retry_at

    def restore(self) -> None:
        """After the rows were read: wait again for what an earlier process waited for."""
        if self.room not in self.standings:  # the journal is of another brewery
            self.standings.clear()
            self.lanes.clear()
            self.standings[self.room] = Standing()
        for row in self.lanes.values():
            self._run(row, self._standing.entering)
        self._bridges.signs.inside = self.inside
        if self.inside:
            self._bridges.signs.missing(self._standing.present, self._now())

    def enter(self) -> None:
        """Go into the room, again if need be; the pool is kept meanwhile (B-112)."""
        standing = self._standing
        standing.inside = self._bridges.signs.inside = False
        standing.retry_at = None
        standing.present = ()
        standing.attempts += 1
        standing.entering = standing.attempts
        row = LaneRow(self._new_id(), "join", {"room": self.room, "nick": NICK})
        self.lanes[row.id] = row
        self._run(row, standing.entering)

    def _run(self, row: LaneRow, number: int) -> None:
        self._join(row, lambda outcome: self._entered(row.id, number, outcome))

    def connected(self, resumed: bool) -> None:
        """The stream is up."""
        if not self.room:
            self._bridges.signs.missing((), self._now())
            self.check_absent(at_once=True)
        elif not resumed or not (self.inside or self._standing.entering):
            self.enter()

    def _entered(self, lane: str, number: int, outcome: JoinOutcome) -> None:
        self.lanes.pop(lane, None)
        standing = self._standing
        if number != standing.entering:
            return
        standing.entering = 0
        if outcome.error == "disconnected":
            return
        if outcome.error is not None:
            self.error = "Failed to join the room %s: %s %s" % (self.room, outcome.error, outcome.text)
            LOG.error("Failed to create room: %s (%s %s): bridges can't be found. Prosody needs this MUC component "
                      "with the focus account in its `admins`. Next attempt in %d s. (U-18)", self.room, outcome.error,
                      outcome.text, RETRY)
            standing.retry_at = self._now() + RETRY
            return
        standing.inside = self._bridges.signs.inside = True
        self.error = ""
        self._bridges.signs.heard_again(self._now())
        self._bridges.signs.missing(standing.present, self._now())
        there = len(self._bridges.of(BREWERY)) - len(self._bridges.signs.absent)
        LOG.info("Joined the brewery %s: %d bridges", self.room, there)
        for jid in standing.present:
            if self._bridges.get(jid) is not None:
                self._settle_debts(jid)
        self._publish([PoolEvent("known", bridge.jid, "we are in the brewery again") for bridge in self._bridges])

    def lost(self) -> None:
        """The room doesn't know us any more, and nobody has told us: its component was restarted, for instance."""
        if self.inside:
            LOG.warning("The brewery %s has lost the focus; it goes back in", self.room)
            self.enter()

    def check_absent(self, at_once: bool = False) -> None:
        """To be called at ``absent_until``; ``at_once``: nobody will come back, as there is no brewery any more."""
        for jid in self._bridges.signs.overdue(self._now() + at_once * ABSENT_FOR):
            LOG.warning("Lost a bridge: %s", jid)
            self._publish(self._bridges.gone(jid, "it isn't in the brewery any more"))

    @property
    def absent_until(self) -> Optional[float]:
        """Monotonic seconds at which a bridge that hasn't come back is given up."""
        absent = self._bridges.signs.absent
        return min(absent.values()) + ABSENT_FOR if absent and self.inside else None

    def presence(self, stanza: Any) -> None:
        """A presence from the room."""
        nick = resource(stanza.from_)
        if nick == NICK:
            if stanza.type == "unavailable" and self.inside:
                LOG.warning("The focus was removed from the brewery %s; it goes back in", self.room)
                self.enter()
        elif stanza.type == "unavailable":
            self._standing.present = tuple(jid for jid in self._standing.present if jid != stanza.from_)
            if self._bridges.get(stanza.from_) is not None:
                bridge = self._bridges.get(stanza.from_)
                announced = bridge is not None and (bridge.graceful_shutdown or bridge.shutting_down)
                LOG.log(logging.INFO if announced else logging.WARNING, "%s %s",
                        "Removing JVB:" if announced else "Lost a bridge:", stanza.from_)
                self._publish(self._bridges.gone(stanza.from_, "it left the brewery"))
        elif stanza.type == "" and nick:
            self._available(stanza)

    def _available(self, stanza: Any) -> None:
        if stanza.from_ not in self._standing.present:
            self._standing.present += (stanza.from_,)
        stats = stanza.stats
        if stats is None:
            return
        fresh = self._bridges.get(stanza.from_) is None
        real_jids = [item.jid for item in stanza.muc.items if item.jid is not None]
        before = _announced(self._bridges.get(stanza.from_))
        was_absent = stanza.from_ in self._bridges.signs.absent
        events = self._bridges.heard(stanza.from_, stats, real_jids, self._now())
        restarted = bool(events) and events[0].reason == RESTARTED
        if restarted:
            self._say_restarted(stanza.from_)
        if fresh or restarted or was_absent:
            self._settle_debts(stanza.from_)
        if fresh or restarted:
            LOG.info("Added new videobridge: %s version=%s region=%s relay-id=%s", stanza.from_, stats.version,
                     stats.region, stats.relay_id)
        elif _announced(self._bridges.get(stanza.from_)) != before:
            LOG.info("%s says: drain=%s graceful_shutdown=%s shutting_down=%s", stanza.from_, stats.drain,
                     stats.graceful_shutdown, stats.shutting_down)
        if was_absent:
            LOG.info("The bridge is in the brewery again: %s", stanza.from_)
            events.append(PoolEvent("known", stanza.from_, "it is in the brewery again"))
        if self._bridges.dialects.asks(stanza.from_, self._now()):
            self._discover(stanza.from_)
        self._publish(events)

    def _settle_debts(self, jid: str) -> None:
        """Before anything new is asked of it."""
        for owed in self._bridges.debts.back(jid, self._now()):
            self._expire(jid, owed)

    def _say_restarted(self, jid: str) -> None:
        bridge = self._bridges.get(jid)
        if bridge is None or not bridge.unproven:
            LOG.warning("The bridge %s was restarted under the same name; its conferences move", jid)
            return
        LOG.warning("The bridge %s was restarted under the same name; its conferences move. It is used again when it "
                    "answers a health check: the server may keep its old connection for minutes "
                    "(smacks_hibernation_time in Prosody). A nickname that changes with each start spares that.", jid)

    def discovered(self, bridge: str, features: Optional[Collection[str]]) -> None:
        """A bridge's answer to service discovery, None if there was none; conferences may have waited (K-830).

        Whoever answers is the process that stands in the brewery (B-411).
        """
        if features is not None:
            self._publish(self._bridges.passed(bridge, proves=True, counts=False))
        self._bridges.dialects.discovered(bridge, features)
        self._publish([PoolEvent("known", bridge, "what it speaks is known, or can't be known")])

    def _publish(self, events: List[PoolEvent]) -> None:
        for event in events:
            self._tell(event)


def _announced(bridge: Optional[Bridge]) -> Optional[Tuple[bool, bool, bool]]:
    """What a bridge has said of its end."""
    return (bridge.draining, bridge.graceful_shutdown, bridge.shutting_down) if bridge is not None else None
