"""The bridges that stand in the brewery, with what they last said of themselves (bridge.md sections 1 to 4.2).

One object for all conferences. It is fed presences and the time and answers questions; it sends nothing.
"""
from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any, Collection, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple, Union

from focus.bridge.counters import Counters
from focus.bridge.dialect import Dialects
from focus.bridge.ranking import Ranking
from focus.bridge.rules import Candidate, Choice, InUse, Refusal, Rules, Wish, rules_of
from focus.bridge.selection import choose, is_rate_limited
from focus.bridge.stress import RAMPUP_BUCKET, RESTARTS_BUCKET, IceDetection, Window, corrected
from focus.journal.rows import Row, Rows
from focus.values.channels import Leftover

LOG = logging.getLogger(__name__)


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
    dialect_asked_at: float = field(default=float("-inf"), metadata={"journal": False})
    dialect_awaited: bool = field(default=False, metadata={"journal": False})
    """It has been asked, and conferences wait for its answer."""
    endpoints: int = field(default=0, metadata={"journal": False})
    """Of our conferences; counted again from them after a restart."""
    conferences: int = field(default=0, metadata={"journal": False})
    recent: Window = field(default_factory=lambda: Window(RAMPUP_BUCKET), metadata={"journal": False})
    """Endpoints we put on it (B-303)."""
    restarts: Window = field(default_factory=lambda: Window(RESTARTS_BUCKET), metadata={"journal": False})
    """Restart requests of endpoints on it (B-306)."""
    restart_requests: int = field(default=0, metadata={"journal": False})
    """All of them (B-851)."""
    endpoints_moved: int = field(default=0, metadata={"journal": False})
    """Moved away by load redistribution."""
    failing_ice_until: float = float("-inf")
    """Monotonic seconds until which its ICE is taken to be failing (B-306)."""
    dialect: int = 0
    """Version of Colibri it speaks, as far as that is known; ``Dialects.of`` tells which to use."""
    dialect_from: str = ""
    """How that is known."""

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
    left: Optional[Leftover] = None
    """Colibri 1: the channels by which it is expired there."""


ABSENT_FOR = 15.0
"""Seconds bridges have to come back to a brewery that was lost to all."""
RESTARTED = "it was restarted under the same name"
_NOT_ITS_OWN = frozenset(("item-not-found", "recipient-unavailable", "remote-server-not-found", "remote-server-timeout",
                          "not-acceptable", "gone"))
"""Conditions by which the room or a server says that the bridge isn't there, or we aren't (K-105)."""
MAX_WARNINGS = 1000
MAX_OWED = 1000
OWED_FOR = 600.0
"""Seconds after which a bridge has forgotten by itself what nobody uses (K-350, K-351)."""


def doubt_after(silence: float) -> float:
    """Seconds of silence after which a bridge is doubtful when a participant has lost its media on it (B-825).

    Args:
        silence: seconds after which a silent one is dead; 0 if it never is.
    """
    return silence / 2 or 10.0


class Bridges:
    """The table of bridges.

    Args:
        reset_after: seconds a failure lasts at least (B-202).
        rampup: seconds for which an endpoint we placed counts as load to come (B-301).
        average_stress: what one endpoint adds if the bridge doesn't say.
        checked: whether there are health checks; without, time alone brings a bridge back (B-204).
        doubt_after: seconds of silence after which a participant's wish for a restart makes a bridge doubtful (B-825).
        rules: for all choices.
        ice: when a bridge's ICE is taken to be failing.
        colibri: the operator's word on the version of Colibri of all bridges: ``auto``, ``1`` or ``2``.
        colibri1_bridges: names of those that speak Colibri 1.
    """

    def __init__(self, reset_after: float = 60.0, rampup: float = 20.0, average_stress: float = 0.01,
                 checked: bool = False, doubt_after: float = 10.0, rules: Rules = Rules(),  # noqa: B008 a value
                 ice: IceDetection = IceDetection(), colibri: str = "auto",  # noqa: B008 a value
                 colibri1_bridges: Collection[str] = ()) -> None:
        self.rows: Rows[Bridge] = Rows("pool", Bridge)
        self.dialects = Dialects(self.rows, colibri, colibri1_bridges, self.changed)
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
        self.rules = rules
        self._ice = ice
        self.counters = Counters()
        self._ranking = Ranking(self.rows, self._read_candidate)
        self._relay_ids: Dict[str, str] = {}
        """Relay id to the bridge that had it first (B-604)."""
        self._warned: Set[str] = set()
        """Relay ids that were had twice, and the empty text for a bridge without one: each is said once."""

    @classmethod
    def configured(cls, config: Any) -> Bridges:
        """As a ``focus.config.Config`` wants it."""
        return cls(config.failure_reset_threshold, config.participant_rampup_interval,
                   config.average_participant_stress, config.health_checks_enabled,
                   doubt_after(config.health_checks_silence), rules_of(config),
                   IceDetection(config.ice_failure_detection_enabled, config.ice_failure_detection_interval,
                                config.ice_failure_detection_min_endpoints, config.ice_failure_detection_threshold,
                                config.ice_failure_detection_timeout), config.colibri, config.colibri1_bridges)

    @property
    def lost(self) -> int:
        """Bridges that went without having announced it (B-110)."""
        return self.counters.lost_bridges

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Any:
        for bridge in list(self.rows.values()):
            self.changed(bridge.jid)
            yield bridge

    def get(self, jid: str) -> Optional[Bridge]:
        """The bridge, if it is in the brewery; whoever changes it does so at once, or calls ``changed``."""
        self.changed(jid)
        return self.rows.get(jid)

    def changed(self, jid: str) -> None:
        """A bridge was changed, or will be before the next choice: it is looked at again then."""
        self._ranking.changed(jid)

    # --- what the brewery says -------------------------------------------------------------------------------

    def heard(self, jid: str, stats: Any, real_jids: Optional[Sequence[str]], now: float) -> List[PoolEvent]:
        """A presence with statistics (B-105, B-106); missing ones keep their value (B-121).

        Args:
            jid: its occupant JID.
            stats: a ``stanzas.bridge_stats.BridgeStats``.
            real_jids: those the room shows of the occupant, oldest first; None if it hides them.
            now: monotonic seconds.
        """
        bridge = self.get(jid)
        events: List[PoolEvent] = []
        another = bridge is not None and self._is_another(bridge, real_jids)
        if another or (bridge is not None and self._restarted(bridge, stats)):
            events += self.gone(jid, RESTARTED)
            bridge = None
        fresh = bridge is None
        if bridge is None:
            bridge = self.rows[jid] = Bridge(jid, now, now, self._average_stress)
            self.changed(jid)
        if another:
            self._distrust(bridge, now)
        was_usable = not fresh and self.is_operational(bridge, now) and not bridge.draining
        was_shutting_down = bridge.shutting_down
        self.absent.pop(jid, None)
        changed = self._read(bridge, stats, fresh)
        self.dialects.heard(bridge, stats.colibri2)
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

    @staticmethod
    def _is_another(bridge: Bridge, real_jids: Optional[Sequence[str]]) -> bool:
        """Whether another session has come under the nickname (B-411).

        While the server keeps the old one's stream, the occupant has two real JIDs, the old one first.
        """
        known = (bridge.real_jid or "").split("\n")
        return bridge.real_jid is not None and any(jid not in known for jid in real_jids or ())

    @staticmethod
    def _restarted(bridge: Bridge, stats: Any) -> bool:
        """Whether these are the words of another process than before (B-210, T-5)."""
        return ((stats.version is not None and bridge.version is not None and stats.version != bridge.version)
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
        self.changed(jid)
        self._forget_relay_id(bridge)
        if not (expected or bridge.graceful_shutdown or bridge.shutting_down):
            self.counters.lost_bridges += 1
        return [PoolEvent("lost", jid, reason)]

    def only(self, jids: Any, now: float) -> None:
        """The brewery was entered anew: those that aren't there get ``ABSENT_FOR`` to come back too (B-112, T-38)."""
        present = set(jids)
        for jid in self.rows:
            self.changed(jid)
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
            self.changed(jid)
            self.doubts[jid] = now
            self.probe_wanted = True

    def trust(self, jid: str) -> None:
        """It isn't in doubt any more."""
        self.doubts.pop(jid, None)
        self.changed(jid)

    # --- our own judgement -----------------------------------------------------------------------------------

    def passed(self, jid: str, now: float, proves: bool = False, counts: bool = True) -> List[PoolEvent]:
        """A check was passed (B-203).

        Args:
            jid: of the bridge.
            now: monotonic seconds.
            proves: it has answered a question, so whoever answers is the process that stands in the brewery.
            counts: whether a failure of before may end by it.
        """
        bridge = self.get(jid)
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
                self.changed(bridge.jid)
                bridge.failed_at = None
                events.append(PoolEvent("usable", bridge.jid, "it can be used again"))
        return events

    # --- what conferences find out ---------------------------------------------------------------------------

    def failed(self, jid: str, why: str, now: float) -> None:
        """Mark a bridge not operational; each failure starts the time anew (B-202)."""
        bridge = self.get(jid)
        if bridge is not None:
            bridge.failed_at = now
            bridge.failed_why = why
            bridge.passed = False

    def owe(self, jid: str, meeting_id: str, now: float, left: Optional[Leftover] = None) -> None:
        """The conference couldn't be ended on the bridge; ``left`` is what Colibri 1 ends it by."""
        for key in [key for key, row in self.owed.items() if now - row.since > OWED_FOR]:
            del self.owed[key]
        if len(self.owed) < MAX_OWED:
            key = meeting_id if left is None else "%s %s" % (meeting_id, left.conference)
            self.owed["%s %s" % (key, jid)] = Owed(jid, meeting_id, now, left)

    def back(self, jid: str, now: float) -> List[Owed]:
        """The bridge is there again: the conferences to be ended on it, which are then forgotten."""
        found = [(key, row) for key, row in self.owed.items() if row.bridge == jid]
        for key, _ in found:
            del self.owed[key]
        return [row for _, row in found if now - row.since <= OWED_FOR]

    def placed(self, jid: str, now: float) -> None:
        """An endpoint is being put on the bridge (B-303, B-305)."""
        bridge = self.get(jid)
        if bridge is not None:
            bridge.endpoints += 1
            bridge.recent.add(now)

    def counted(self, jid: str) -> None:
        """An endpoint of ours is on the bridge already."""
        bridge = self.get(jid)
        if bridge is not None:
            bridge.endpoints += 1

    def recount(self, undone: Dict[str, int], counted: Dict[str, int]) -> None:
        """A conference's endpoints by bridge are not as they were in a turn that was undone, but as before it."""
        for jid in {**undone, **counted}:
            self.conference(jid, (jid in counted) - (jid in undone))
            self.removed(jid, undone.get(jid, 0) - counted.get(jid, 0))

    def removed(self, jid: str, count: int = 1) -> None:
        """Endpoints of ours left the bridge."""
        bridge = self.get(jid)
        if bridge is not None:
            bridge.endpoints = max(0, bridge.endpoints - count)

    def conference(self, jid: str, change: int) -> None:
        """A conference began (+1) or ceased (-1) to use the bridge."""
        bridge = self.get(jid)
        if bridge is not None:
            bridge.conferences = max(0, bridge.conferences + change)

    def moved_away(self, jid: str, count: int) -> None:
        """Endpoints are moved away from the bridge because it has too much load (B-870)."""
        self.counters.redistributed += count
        bridge = self.get(jid)
        if bridge is not None:
            bridge.endpoints_moved += count

    def restart_requested(self, jid: str, now: float) -> None:
        """An endpoint of the bridge was granted a new session (B-851)."""
        bridge = self.get(jid)
        if bridge is None:
            return
        bridge.restart_requests += 1
        bridge.restarts.add(now)
        requests = bridge.restarts.count(now, self._ice.interval)
        if self._ice.is_failing(requests, bridge.endpoints):
            if not self.is_failing_ice(bridge, now):
                LOG.warning("ICE is failing on %s: its %d endpoints asked for %d restarts within %d s; it counts as "
                            "overloaded. (B-306)", jid, bridge.endpoints, requests, self._ice.interval)
            bridge.failing_ice_until = now + self._ice.timeout

    # --- what selection asks ---------------------------------------------------------------------------------

    def is_operational(self, bridge: Bridge, now: float) -> bool:
        """Our own judgement (B-202): after a failure both time and a passed check bring it back; B-204, time alone if
        there are no checks."""
        if bridge.unproven or bridge.jid in self.doubts or bridge.jid in self.absent:
            return False
        return bridge.failed_at is None or (now >= bridge.failed_at + self._reset_after
                                            and (bridge.passed or not self._checked))

    def is_failing_ice(self, bridge: Bridge, now: float) -> bool:
        """Whether many of its endpoints had to restart of late (B-306)."""
        return now < bridge.failing_ice_until

    def stress(self, bridge: Bridge, now: float) -> float:
        """Corrected stress (B-301)."""
        return corrected(bridge.stress, bridge.recent.count(now, self._rampup), bridge.average_stress,
                         self.is_failing_ice(bridge, now), self.rules.stress_threshold)

    def is_overloaded(self, bridge: Bridge, now: float) -> bool:
        """B-302"""
        return self.stress(bridge, now) >= self.rules.stress_threshold

    def recent_restarts(self, bridge: Bridge, now: float) -> int:
        """Restart requests within the interval of the detection of failing ICE."""
        return bridge.restarts.count(now, self._ice.interval)

    def relay_id(self, jid: str) -> Optional[str]:
        """The bridge's relay id; None if it has none, or another bridge had the same first (B-604)."""
        bridge = self.rows.get(jid)
        return None if bridge is None else self._relay_id(bridge)

    def candidates(self, now: float, refused: Collection[str] = (), without: Collection[str] = ()) -> List[Candidate]:
        """All bridges for a choice, best first.

        Args:
            now: monotonic seconds.
            refused: these count as not operational for this conference (B-643).
            without: these are left out.
        """
        found = self._ranking.at(now)
        if without:
            found = [b for b in found if b.jid not in without]
        if refused:
            found = [b if b.jid not in refused else b._replace(
                operational=False, failure="it failed this conference too often within a minute", failed_at=None)
                for b in found]
        return found

    def choose(self, now: float, in_use: Sequence[InUse], wish: Wish, pinned: Optional[str] = None,
               refused: Collection[str] = (), without: Collection[str] = ()) -> Union[Choice, Refusal]:
        """One bridge for a participant; ``selection.choose`` among the bridges as they are now."""
        if is_rate_limited(in_use, self.rules):
            self.counters.rate_limited += 1
        chosen = choose(self.candidates(now, refused, without), in_use, wish, self.rules, pinned)
        return chosen._replace(at=now) if isinstance(chosen, Refusal) else chosen

    def _read_candidate(self, bridge: Bridge, now: float) -> Tuple[Candidate, float]:
        operational = self.is_operational(bridge, now)
        stress = self.stress(bridge, now)
        until = bridge.recent.next_change(self._rampup)
        if bridge.failed_at is not None and now < bridge.failed_at + self._reset_after:
            until = min(until, bridge.failed_at + self._reset_after)
        if self.is_failing_ice(bridge, now):
            until = min(until, bridge.failing_ice_until)
        return Candidate(bridge.jid, operational, stress, bridge.conferences, bridge.region, bridge.full_version,
                         bridge.draining, bridge.graceful_shutdown, bridge.shutting_down, self._relay_id(bridge),
                         *self._failure(bridge)), until

    def _failure(self, bridge: Bridge) -> Tuple[str, Optional[float]]:
        """Why it isn't operational, if it isn't, and since when."""
        if bridge.jid in self.absent:
            return "it hasn't come back to the brewery yet", self.absent[bridge.jid]
        if bridge.jid in self.doubts:
            return "a participant lost its media on it, and it was silent", self.doubts[bridge.jid]
        return bridge.failed_why, bridge.failed_at

    def _relay_id(self, bridge: Bridge) -> Optional[str]:
        relay_id = self.dialects.relay_id(bridge.jid)
        if relay_id is None:
            if bridge.relay_id is None and bridge.version is not None and self._warns_of(""):
                LOG.warning("octo_enabled is on and the bridge %s has no relay id: a conference on it stays there, "
                            "however loaded it is. Switch relays on in the bridge (videobridge.relay.enabled). (T-34)",
                            bridge.jid)
            return None
        first = self.rows.get(self._relay_ids.get(relay_id, ""))
        if first is None or first.relay_id != relay_id:
            self._relay_ids[relay_id] = bridge.jid
            return relay_id
        if first.jid == bridge.jid:
            return relay_id
        if self._warns_of(relay_id):
            LOG.warning("The bridges %s and %s have the same relay id %s: the second one is used as if it had none. "
                        "Give each its own (videobridge.relay.relay-id). (B-604)", first.jid, bridge.jid, relay_id)
        return None

    def _warns_of(self, relay_id: str) -> bool:
        """Whether something is to be said about the id, which is then done."""
        if not self.rules.octo or relay_id in self._warned or len(self._warned) >= MAX_WARNINGS:
            return False
        self._warned.add(relay_id)
        return True

    def _forget_relay_id(self, bridge: Bridge) -> None:
        """Its id is free for another bridge, which is then looked at again."""
        if self._relay_ids.get(bridge.relay_id or "") != bridge.jid:
            return
        del self._relay_ids[bridge.relay_id or ""]
        for other in self.rows.values():
            if other.relay_id == bridge.relay_id:
                self.changed(other.jid)
