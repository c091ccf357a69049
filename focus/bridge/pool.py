"""The bridges that stand in the brewery, with what they last said of themselves (bridge.md sections 1 to 4.2).

One object for all conferences. It is fed presences and the time and answers questions; it sends nothing.
"""
from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Deque, Dict, List, NamedTuple, Optional, Sequence

from focus.bridge.selection import Candidate
from focus.journal.rows import Row, Rows


class PoolEvent(NamedTuple):
    """Something conferences have to hear.

    ``kind`` is ``usable`` (B-811, B-831), ``lost`` (B-801, B-803, B-804), or ``known``: what it can do is known now,
    and requests that waited for that may leave.
    """

    kind: str
    bridge: str
    reason: str


@dataclass(eq=False)
class Bridge(Row):
    """One bridge, keyed by its occupant JID (B-103, B-201)."""

    jid: str
    added_at: float
    seen_at: float
    average_stress: float
    stress: float = 0.0
    graceful_shutdown: bool = False
    shutting_down: bool = False
    draining: bool = True
    version: Optional[str] = None
    release: Optional[str] = None
    region: Optional[str] = None
    relay_id: Optional[str] = None
    healthy: bool = True
    stamp: Optional[str] = None
    real_jid: Optional[str] = None
    sctp: Optional[bool] = None
    """Whether it has data channels (K-476); None until an allocation has told."""
    sctp_asked_at: float = float("-inf")
    failed_at: Optional[float] = None
    failed_why: str = ""
    unproven: bool = False
    """Another process has come under its name: it isn't used before it has answered a health check (B-411)."""
    passed: bool = False
    """It has passed a check since it failed (B-202)."""
    endpoints: int = field(default=0, metadata={"journal": False})
    """Of our conferences; counted again from them after a restart."""
    conferences: int = field(default=0, metadata={"journal": False})
    recent: Deque[float] = field(default_factory=deque, metadata={"journal": False})
    """When endpoints were placed lately; their load shows in the statistics within seconds, so this isn't kept."""

    @property
    def name(self) -> str:
        """Its nickname, under which people know it (B-104)."""
        return self.jid.partition("/")[2]

    @property
    def full_version(self) -> Optional[str]:
        """Version with release (B-208)."""
        if self.version is None or self.release is None:
            return self.version
        return "%s-%s" % (self.version, self.release)


@dataclass(eq=False)
class Owed(Row):
    """A conference left behind on a bridge that couldn't be told: it is expired there when the bridge is back."""

    bridge: str
    meeting_id: str
    since: float


ABSENT_FOR = 15.0
"""Seconds bridges have to come back to a brewery that was lost to all."""
RESTARTED = "it was restarted under the same name"
_NOT_ITS_OWN = frozenset(("item-not-found", "recipient-unavailable", "remote-server-not-found", "remote-server-timeout",
                          "not-acceptable", "gone"))
"""Conditions by which the room or a server says that the bridge isn't there, or we aren't (K-105)."""
MAX_OWED = 1000
OWED_FOR = 600.0
"""Seconds after which a bridge has forgotten by itself what nobody uses (K-350, K-351)."""


class Bridges:
    """The table of bridges.

    Args:
        reset_after: seconds a failure lasts at least (B-202).
        rampup: seconds for which an endpoint we placed counts as load to come (B-301).
        average_stress: what one endpoint adds if the bridge doesn't say.
        checked: whether there are health checks; without, time alone brings a bridge back (B-204).
        doubt_after: seconds of silence after which a participant's wish for a restart makes a bridge doubtful (B-825).
    """

    def __init__(self, reset_after: float = 60.0, rampup: float = 20.0, average_stress: float = 0.01,
                 checked: bool = False, doubt_after: float = 10.0) -> None:
        self.rows: Rows[Bridge] = Rows("pool", Bridge)
        self.owed: Rows[Owed] = Rows("owed", Owed)
        self._reset_after = reset_after
        self._rampup = rampup
        self._average_stress = average_stress
        self._checked = checked
        self._doubt_after = doubt_after
        self._heard: Dict[str, float] = {}
        self._answered: Dict[str, float] = {}
        self.doubts: Dict[str, float] = {}
        """Bridges that are not used until they have answered a question, and since when."""
        self.probe_wanted = False
        """Some bridge is to be asked at once."""
        self.absent: Dict[str, float] = {}
        """Bridges that weren't in the brewery when we came back to it, and since when."""
        self.inside = True
        """Whether we stand in the brewery: from outside no bridge in it can be asked."""
        self.lost = 0
        """Bridges that went without having announced it (B-110)."""

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Any:
        return iter(self.rows.values())

    def get(self, jid: str) -> Optional[Bridge]:
        """The bridge, if it is in the brewery."""
        return self.rows.get(jid)

    # --- what the brewery says -------------------------------------------------------------------------------

    def heard(self, jid: str, stats: Any, real_jids: Optional[Sequence[str]], now: float) -> List[PoolEvent]:
        """A presence with statistics (B-105, B-106); missing ones keep their value (B-121).

        Args:
            jid: its occupant JID.
            stats: a ``stanzas.bridge_stats.BridgeStats``.
            real_jids: those the room shows of the occupant, oldest first; None if it hides them.
            now: monotonic seconds.
        """
        bridge = self.rows.get(jid)
        events: List[PoolEvent] = []
        restarted = bridge is not None and self._restarted(bridge, stats, real_jids)
        if restarted:
            events += self.gone(jid, RESTARTED)
            bridge = None
        fresh = bridge is None
        if bridge is None:
            bridge = self.rows[jid] = Bridge(jid, now, now, self._average_stress)
        if restarted:
            self._distrust(bridge, now)
        was_usable = not fresh and self.is_operational(bridge, now) and not bridge.draining
        was_shutting_down = bridge.shutting_down
        self.absent.pop(jid, None)
        changed = self._read(bridge, stats, fresh)
        if real_jids:
            bridge.real_jid = "\n".join(real_jids)
        if stats.current_timestamp is None or stats.current_timestamp != bridge.stamp or fresh:
            bridge.seen_at = now
        if fresh or (changed if stats.current_timestamp is None else stats.current_timestamp != bridge.stamp):
            self._heard[jid] = now
        bridge.stamp = stats.current_timestamp
        if bridge.shutting_down and not was_shutting_down and not fresh:
            events.append(PoolEvent("lost", jid, "it is shutting down"))
        elif self.is_operational(bridge, now) and (fresh or (not was_usable and not bridge.draining)):
            events.append(PoolEvent("usable", jid, "it is in the brewery" if fresh else "it can be used again"))
        return events

    def _restarted(self, bridge: Bridge, stats: Any, real_jids: Optional[Sequence[str]]) -> bool:
        """Whether this is another process under the same nickname (B-210, B-411, T-5).

        While the server keeps the old one's stream, the occupant has two real JIDs, the old one first.
        """
        known = (bridge.real_jid or "").split("\n")
        return ((bridge.real_jid is not None and any(jid not in known for jid in real_jids or ()))
                or (stats.version is not None and bridge.version is not None and stats.version != bridge.version)
                or (stats.relay_id is not None and bridge.relay_id is not None
                    and stats.relay_id != bridge.relay_id)
                or (bridge.shutting_down and stats.shutting_down is False))

    def _distrust(self, bridge: Bridge, now: float) -> None:
        """Requests to its address may still go to the process that is gone."""
        bridge.failed_why = "it was restarted and has not answered a health check yet"
        if self._checked:
            bridge.unproven = self.probe_wanted = True
        else:
            bridge.failed_at = now

    @staticmethod
    def _read(bridge: Bridge, stats: Any, fresh: bool) -> bool:
        """Take the statistics over; whether one of them is another than before."""
        changed = False
        for stat, name in (("stress_level", "stress"), ("average_participant_stress", "average_stress"),
                           ("version", "version"), ("release", "release"), ("region", "region"),
                           ("relay_id", "relay_id"), ("healthy", "healthy"), ("drain", "draining")):
            value = getattr(stats, stat)
            if value is not None and value != getattr(bridge, name):
                setattr(bridge, name, value)
                changed = True
        if fresh and stats.drain is None and (stats.stress_level is not None or stats.version is not None):
            bridge.draining = False  # an old bridge that doesn't know the word (B-207)
        bridge.graceful_shutdown = bridge.graceful_shutdown or bool(stats.graceful_shutdown)
        bridge.shutting_down = bridge.shutting_down or bool(stats.shutting_down)
        return changed

    def gone(self, jid: str, reason: str, expected: bool = False) -> List[PoolEvent]:
        """The bridge left the brewery (B-107)."""
        bridge = self.rows.pop(jid, None)
        for known in (self._heard, self._answered, self.doubts, self.absent):
            known.pop(jid, None)
        if bridge is None:
            return []
        if not (expected or bridge.graceful_shutdown or bridge.shutting_down):
            self.lost += 1
        return [PoolEvent("lost", jid, reason)]

    def only(self, jids: Any, now: float) -> None:
        """The brewery was entered anew: those that aren't there get ``ABSENT_FOR`` to come back too (B-112, T-38)."""
        present = set(jids)
        self.absent = {jid: self.absent.get(jid, now) for jid in self.rows if jid not in present}

    def overdue(self, now: float) -> List[PoolEvent]:
        """Those that didn't come back are gone."""
        events: List[PoolEvent] = []
        for jid in [jid for jid, since in self.absent.items() if now - since >= ABSENT_FOR]:
            events += self.gone(jid, "it isn't in the brewery any more")
        return events

    def is_reachable(self, jid: str) -> bool:
        """Whether a request would get to the bridge."""
        return self.inside and jid not in self.absent

    # --- signs of life ---------------------------------------------------------------------------------------

    def heard_again(self, now: float) -> None:
        """We were deaf: every bridge's last sign of life is now (DESIGN, "Coming back")."""
        for bridge in self.rows.values():
            bridge.seen_at = now
            self._heard[bridge.jid] = now

    def answered(self, iq: Any, now: float) -> None:
        """An answer to any request came; from a bridge itself it is a sign of life (B-410)."""
        if iq.from_ in self.rows and (iq.type == "result" or iq.error.colibri_reason is not None
                                      or iq.error.condition not in _NOT_ITS_OWN):
            self._heard[iq.from_] = self._answered[iq.from_] = now

    def heard_at(self, bridge: Bridge) -> float:
        """When anything was heard of the bridge last, in monotonic seconds."""
        return self._heard.get(bridge.jid, bridge.seen_at)

    def answered_at(self, bridge: Bridge) -> float:
        """When it answered a request last."""
        return self._answered.get(bridge.jid, float("-inf"))

    def doubt(self, jid: str, now: float) -> None:
        """A participant lost its media on the bridge. If that is silent, it isn't used until it answers (B-825)."""
        bridge = self.rows.get(jid)
        if (bridge is not None and self._checked and jid not in self.doubts
                and now - self.heard_at(bridge) >= self._doubt_after):
            self.doubts[jid] = now
            self.probe_wanted = True

    def trust(self, jid: str) -> None:
        """It isn't in doubt any more."""
        self.doubts.pop(jid, None)

    # --- our own judgement -----------------------------------------------------------------------------------

    def passed(self, jid: str, now: float, proves: bool = False, counts: bool = True) -> List[PoolEvent]:
        """A check was passed (B-203).

        Args:
            jid: of the bridge.
            now: monotonic seconds.
            proves: it has answered a question, so whoever answers is the process that stands in the brewery.
            counts: whether a failure of before may end by it.
        """
        bridge = self.rows.get(jid)
        if bridge is None:
            return []
        if counts and bridge.failed_at is not None and not bridge.passed:
            bridge.passed = True
        if not (proves and bridge.unproven):
            return []
        bridge.unproven = False
        bridge.failed_at = None
        return [PoolEvent("usable", jid, "it has answered")]

    def recovered(self, now: float) -> List[PoolEvent]:
        """Bridges whose failure has ended by now (B-202)."""
        events = []
        for bridge in self.rows.values():
            if bridge.failed_at is not None and self.is_operational(bridge, now):
                bridge.failed_at = None
                events.append(PoolEvent("usable", bridge.jid, "it can be used again"))
        return events

    # --- what conferences find out ---------------------------------------------------------------------------

    def failed(self, jid: str, why: str, now: float) -> None:
        """Mark a bridge not operational; each failure starts the time anew (B-202)."""
        bridge = self.rows.get(jid)
        if bridge is not None:
            bridge.failed_at = now
            bridge.failed_why = why
            bridge.passed = False

    def owe(self, jid: str, meeting_id: str, now: float) -> None:
        """The conference couldn't be ended on the bridge."""
        for key in [key for key, row in self.owed.items() if now - row.since > OWED_FOR]:
            del self.owed[key]
        if len(self.owed) < MAX_OWED:
            self.owed["%s %s" % (meeting_id, jid)] = Owed(jid, meeting_id, now)

    def back(self, jid: str, now: float) -> List[str]:
        """The bridge is there again: meeting ids of the conferences to be ended on it, which are then forgotten."""
        found = [(key, row) for key, row in self.owed.items() if row.bridge == jid]
        for key, _ in found:
            del self.owed[key]
        return [row.meeting_id for _, row in found if now - row.since <= OWED_FOR]

    def placed(self, jid: str, now: float) -> None:
        """An endpoint is being put on the bridge (B-303, B-305)."""
        bridge = self.rows.get(jid)
        if bridge is not None:
            bridge.endpoints += 1
            bridge.recent.append(now)

    def counted(self, jid: str) -> None:
        """An endpoint of ours is on the bridge already."""
        bridge = self.rows.get(jid)
        if bridge is not None:
            bridge.endpoints += 1

    def recount(self, undone: Dict[str, int], counted: Dict[str, int]) -> None:
        """A conference's endpoints by bridge are not as they were in a turn that was undone, but as before it."""
        for jid in {**undone, **counted}:
            self.conference(jid, (jid in counted) - (jid in undone))
            self.removed(jid, undone.get(jid, 0) - counted.get(jid, 0))

    def removed(self, jid: str, count: int = 1) -> None:
        """Endpoints of ours left the bridge."""
        bridge = self.rows.get(jid)
        if bridge is not None:
            bridge.endpoints = max(0, bridge.endpoints - count)

    def conference(self, jid: str, change: int) -> None:
        """A conference began (+1) or ceased (-1) to use the bridge."""
        bridge = self.rows.get(jid)
        if bridge is not None:
            bridge.conferences = max(0, bridge.conferences + change)

    # --- what selection asks ---------------------------------------------------------------------------------

    def is_operational(self, bridge: Bridge, now: float) -> bool:
        """Our own judgement (B-202): after a failure both time and a passed check bring it back; B-204, time alone if
        there are no checks."""
        if bridge.unproven or bridge.jid in self.doubts or bridge.jid in self.absent:
            return False
        return bridge.failed_at is None or (now - bridge.failed_at >= self._reset_after
                                            and (bridge.passed or not self._checked))

    def stress(self, bridge: Bridge, now: float) -> float:
        """Corrected stress (B-301)."""
        recent = bridge.recent
        while recent and now - recent[0] >= self._rampup:
            recent.popleft()
        return bridge.stress + len(recent) * bridge.average_stress

    def candidates(self, now: float, refused: Any = ()) -> List[Candidate]:
        """All bridges for a choice; those in ``refused`` count as not operational for this conference (B-643)."""
        return [Candidate(b.jid, self.is_operational(b, now) and b.jid not in refused, self.stress(b, now),
                          b.conferences, b.region, b.full_version, b.draining, b.graceful_shutdown,
                          b.shutting_down, self._why_not(b, now, refused)) for b in self.rows.values()]

    def _why_not(self, bridge: Bridge, now: float, refused: Any) -> str:
        if bridge.jid in refused:
            return "it failed this conference too often within a minute"
        if bridge.unproven:
            return bridge.failed_why
        if bridge.jid in self.absent:
            return "it hasn't come back to the brewery yet"
        if bridge.jid in self.doubts:
            return "a participant lost its media on it, and it has been silent"
        if bridge.failed_at is not None:
            return "since %d s: %s" % (now - bridge.failed_at, bridge.failed_why)
        return ""
