"""The bridges there are, with what they last said of themselves (bridge.md sections 1 to 4.2, 10).

One object for all conferences. It is fed statistics, findings and the time and answers questions; it sends nothing.
"""
from __future__ import annotations

import logging
from typing import Any, Collection, Dict, List, Optional, Sequence, Set, Tuple, Union

from focus.bridge.bridge import ASKED, BREWERY, COMPLAINTS, WEIGHT, Bridge, PoolEvent
from focus.bridge.choice.ranking import Ranking
from focus.bridge.choice.rules import Candidate, Choice, InUse, Refusal, Rules, Wish, rules_of
from focus.bridge.choice.selection import choose, is_rate_limited
from focus.bridge.choice.stress import IceDetection, corrected
from focus.bridge.counters import Counters
from focus.bridge.debts import Debts
from focus.bridge.dialect import Dialects
from focus.bridge.signs import Signs, doubt_after
from focus.journal.rows import Rows

LOG = logging.getLogger(__name__)

RESTARTED = "it was restarted under the same name"
MAX_WARNINGS = 1000


class Bridges:
    """The table of bridges.

    Args:
        reset_after: seconds a failure lasts at least (B-202).
        rampup: seconds for which an endpoint we placed counts as load to come (B-301).
        average_stress: what one endpoint adds if the bridge doesn't say.
        checked: whether there are health checks; without, time alone brings a bridge back (B-204).
        doubtful_after: seconds, see ``signs.doubt_after``.
        rules: for all choices.
        ice: when a bridge's ICE is taken to be failing.
        colibri: the operator's word on the version of Colibri of all bridges: ``auto``, ``1`` or ``2``.
        colibri1_bridges: names of those that speak Colibri 1.
    """

    def __init__(self, reset_after: float = 60.0, rampup: float = 20.0, average_stress: float = 0.01,
                 checked: bool = False, doubtful_after: float = 10.0, rules: Rules = Rules(),  # noqa: B008 a value
                 ice: IceDetection = IceDetection(), colibri: str = "auto",  # noqa: B008 a value
                 colibri1_bridges: Collection[str] = ()) -> None:
        self.rows: Rows[Bridge] = Rows("pool", Bridge)
        self.dialects = Dialects(self.rows, colibri, colibri1_bridges, self.changed)
        self.debts = Debts()
        self.signs = Signs(self.rows, self.changed, checked, doubtful_after)
        self._reset_after = reset_after
        self._rampup = rampup
        self._average_stress = average_stress
        self._checked = checked
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
        """The bridge, if it is known; whoever changes it does so at once, or calls ``changed``."""
        self.changed(jid)
        return self.rows.get(jid)

    def of(self, *origins: str) -> List[Bridge]:
        """The bridges that came to be known in one of these ways."""
        return [bridge for bridge in self.rows.values() if bridge.origin in origins]

    def reserved(self) -> List[str]:
        """Addresses of the bridges that only those get who ask for them (B-1003)."""
        return [bridge.jid for bridge in self.rows.values() if bridge.origin == ASKED]

    def changed(self, jid: str) -> None:
        """A bridge was changed, or will be before the next choice: it is looked at again then."""
        self._ranking.changed(jid)

    # --- what bridges say, and who finds them ----------------------------------------------------------------

    def found(self, jid: str, origin: str, now: float) -> List[PoolEvent]:
        """A bridge of which nothing is known but its address (B-1001, B-1003): it is used without further ado."""
        bridge = self.get(jid)
        if bridge is not None:
            self._weigh(bridge, origin)
            return []
        self.rows[jid] = Bridge(jid, now, now, self._average_stress, draining=False, origin=origin, reported=False)
        self.changed(jid)
        return [PoolEvent("usable", jid, "it was found", fresh=True)]

    @staticmethod
    def _weigh(bridge: Bridge, origin: str) -> None:
        if WEIGHT.get(origin, 0) > WEIGHT.get(bridge.origin, 0):
            bridge.origin = origin

    def heard(self, jid: str, stats: Any, real_jids: Optional[Sequence[str]], now: float,
              origin: str = BREWERY) -> List[PoolEvent]:
        """Statistics of a bridge (B-105, B-106, B-1002); missing ones keep their value (B-121).

        Args:
            jid: its address.
            stats: a ``stanzas.bridge_stats.BridgeStats``.
            real_jids: those the brewery shows of the occupant, oldest first; None if it hides them.
            now: monotonic seconds.
            origin: how they came.
        """
        bridge = self.get(jid)
        events: List[PoolEvent] = []
        if bridge is not None:
            self._weigh(bridge, origin)
            origin = bridge.origin
        another = bridge is not None and self._is_another(bridge, real_jids)
        if another or (bridge is not None and self._restarted(bridge, stats)):
            events += self.gone(jid, RESTARTED)
            bridge = None
        fresh = bridge is None
        if bridge is None:
            bridge = self.rows[jid] = Bridge(jid, now, now, self._average_stress, origin=origin)
            self.changed(jid)
        if another:
            self._distrust(bridge, now)
        was_usable = not fresh and self.is_operational(bridge, now) and not bridge.draining
        was_shutting_down = bridge.shutting_down
        self._note(bridge, stats, real_jids, fresh, now)
        if bridge.shutting_down and not was_shutting_down and not fresh:
            events.append(PoolEvent("lost", jid, "it is shutting down"))
        elif self.is_operational(bridge, now) and (fresh or (not was_usable and not bridge.draining)):
            events.append(PoolEvent("usable", jid, "it is there" if fresh else "it can be used again", fresh))
        return events

    def _note(self, bridge: Bridge, stats: Any, real_jids: Optional[Sequence[str]], fresh: bool, now: float) -> None:
        """Take over what was heard of it."""
        self.signs.absent.pop(bridge.jid, None)
        changed = self._read(bridge, stats, fresh)
        bridge.reported = True
        self.dialects.heard(bridge, stats.colibri2)
        if real_jids:
            bridge.real_jid = "\n".join(real_jids)
        if stats.current_timestamp is None or stats.current_timestamp != bridge.stamp or fresh:
            bridge.seen_at = now
            if bridge.silent:
                bridge.silent = False
                bridge.failed_at = None
        if fresh or (changed if stats.current_timestamp is None else stats.current_timestamp != bridge.stamp):
            self.signs.heard(bridge.jid, now)
        bridge.stamp = stats.current_timestamp

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
        return bridge.reported and (
            (stats.version is not None and bridge.version is not None and stats.version != bridge.version)
            or (stats.relay_id is not None and bridge.relay_id is not None and stats.relay_id != bridge.relay_id)
            or (bridge.shutting_down and stats.shutting_down is False))

    def _distrust(self, bridge: Bridge, now: float) -> None:
        """Requests to its address may still go to the process that is gone."""
        bridge.failed_why = "it was restarted and has not answered a health check yet"
        if self._is_checked(bridge):
            bridge.unproven = self.signs.probe_wanted = True
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
        """The bridge is not there any more (B-107)."""
        bridge = self.rows.pop(jid, None)
        self.signs.forget(jid)
        if bridge is None:
            return []
        self.changed(jid)
        self._forget_relay_id(bridge)
        if not (expected or bridge.graceful_shutdown or bridge.shutting_down):
            self.counters.lost_bridges += 1
        return [PoolEvent("lost", jid, reason)]

    # --- our own judgement -----------------------------------------------------------------------------------

    def passed(self, jid: str, proves: bool = False, counts: bool = True) -> List[PoolEvent]:
        """A check was passed (B-203).

        Args:
            jid: of the bridge.
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

    def vanished(self, jid: str, why: str) -> List[PoolEvent]:
        """The server says that a component isn't there: what it held is gone, and whatever answers next is another."""
        bridge = self.get(jid)
        if bridge is None or bridge.unproven:
            return []
        bridge.unproven = True
        bridge.failed_why = why
        return [PoolEvent("lost", jid, why)]

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
            bridge.failures += bridge.failed_at is None
            bridge.failed_at = now
            bridge.failed_why = why
            bridge.passed = False

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
        bridge.complained_at = (*bridge.complained_at, now)[-COMPLAINTS:]
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
        if bridge.unproven or self.signs.keep_out(bridge.jid):
            return False
        return bridge.failed_at is None or (now >= bridge.failed_at + self._reset_after
                                            and (bridge.passed or not self._is_checked(bridge)))

    def _is_checked(self, bridge: Bridge) -> bool:
        return self._checked and bridge.checkable is not False

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
        if self.signs.keep_out(bridge.jid):
            return self.signs.reason(bridge.jid)
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
