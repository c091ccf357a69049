"""Whether bridges are alive and well: whom to ask when, and what follows from answers and from silence (B-4xx).

Pure: it is told the time, what was answered and who was heard, and says whom to ask and what happened. It keeps
nothing that has to outlive the process: after a restart the last sign of life of every bridge is now.

Two rules stand side by side. The ordinary check asks every bridge every ``interval`` and judges by its answer, or by
what it publishes; a bridge that doesn't answer gets no new endpoints, but its conferences stay (B-404, B-405, B-430).
A bridge that carries conferences is asked far more often, and one that is silent in everything is dead: its
conferences leave (B-410).
"""
from __future__ import annotations

import zlib
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from focus.bridge.bridge import BREWERY, COMPLAINTS, Bridge, PoolEvent
from focus.bridge.pool import Bridges
from focus.silence import again

QUESTIONS = 3
"""So many questions are asked of a busy bridge in the time after which its silence means that it is dead."""
PROBE = 3.0
"""Seconds a bridge that is in doubt has to answer (B-825)."""
COMPLAINTS_WINDOW = 30.0
"""When ``COMPLAINTS`` participants asked for new sessions within so many seconds, one unanswered check is enough."""
NOT_THERE = frozenset(("remote-server-timeout", "remote-server-not-found", "item-not-found", "recipient-unavailable"))
"""What a server says in the name of a component that isn't connected (B-1001)."""
LONGEST_WAIT = 2.0
"""Seconds after which a bridge that has begun to carry conferences is noticed."""


class Rules(NamedTuple):
    """How bridges are judged; all times in seconds."""

    interval: float = 10.0
    retry_delay: float = 5.0
    """Until an unanswered check is repeated once; 0: it isn't."""
    reply_timeout: float = 15.0
    silence: float = 5.0
    """A busy bridge that is silent in everything for so long is dead; 0: silence moves nothing (B-405). It is noticed
    within this time after its death; a second less than B-410 has leaves the participants 3 s to be back within 8."""
    majority_wait: float = 6.0
    """So much longer if more than half of the busy ones are silent."""
    use_presence: bool = False
    presence_timeout: float = 45.0

    @property
    def often(self) -> float:
        """Between two questions to a busy bridge, and until one of them counts as unanswered."""
        return self.silence / QUESTIONS if self.silence else self.interval

    @property
    def again(self) -> float:
        """Between the two answers of our server that make a bridge's silence its own."""
        return again(self.silence or PROBE)


class Question(NamedTuple):
    """A health check to be sent."""

    bridge: str
    number: int
    """To be given back with the answer."""


class _Watch:
    """What is known of one bridge's checks."""

    __slots__ = ("asked", "dead_at", "next_at", "number", "often", "refusal", "timeouts", "waiting")

    def __init__(self, next_at: float) -> None:
        self.next_at = next_at
        self.asked: Tuple[float, ...] = ()
        """When questions were asked since the last sign of life; the last few."""
        self.number = 0
        self.waiting = False
        """For the answer to an ordinary check."""
        self.timeouts = 0
        """Ordinary checks in a row without an answer."""
        self.often = False
        self.refusal = ""
        """Condition by which its last check was answered, until it is known that this was no fault of ours."""
        self.dead_at = float("-inf")
        """When it was called dead."""


class Health:
    """Checks of all bridges of a pool.

    Args:
        rules: see there.
        bridges: the pool; its marks are set, and what conferences have to hear is returned.
    """

    def __init__(self, rules: Rules, bridges: Bridges) -> None:
        self.rules = rules
        self._bridges = bridges
        self._signs = bridges.signs
        self._watches: Dict[str, _Watch] = {}
        self.marked: Dict[str, str] = {}
        """Bridges that were found failing, and why; whoever says so empties it."""

    # --- asking ----------------------------------------------------------------------------------------------

    def tick(self, now: float) -> List[Question]:
        """Whom to ask now."""
        for jid in [jid for jid in self._watches if jid not in self._bridges.rows]:
            del self._watches[jid]
        return [self._ask(bridge.jid, watch, now) for bridge, watch in self._pairs(now) if self._is_due(
                bridge, watch, now)]

    def _pairs(self, now: float) -> List[Tuple[Bridge, _Watch]]:
        pairs = []
        for bridge in self._bridges.rows.values():
            watch = self._watches.get(bridge.jid)
            if watch is None:
                watch = self._watches[bridge.jid] = _Watch(now + self.rules.interval * _offset(bridge.jid))
            pairs.append((bridge, watch))
        return pairs

    def _is_due(self, bridge: Bridge, watch: _Watch, now: float) -> bool:
        often = self._is_asked_often(bridge)
        if often and not watch.often:
            watch.next_at = now
        watch.often = often
        if not often and (watch.waiting or self._is_judged_by_presence(bridge)):
            return False
        return watch.next_at <= now and bridge.checkable is not False and self._signs.is_reachable(bridge.jid)

    def _is_judged_by_presence(self, bridge: Bridge) -> bool:
        return self.rules.use_presence and bridge.origin == BREWERY

    def _is_asked_often(self, bridge: Bridge) -> bool:
        return ((bool(self.rules.silence) and bridge.conferences > 0) or bridge.unproven
                or bridge.jid in self._signs.doubts)

    def _ask(self, jid: str, watch: _Watch, now: float) -> Question:
        watch.number += 1
        watch.waiting = True
        watch.asked = (*watch.asked[-7:], now)
        watch.next_at = now + (min(self.rules.often, self.rules.interval) if watch.often else self.rules.interval)
        return Question(jid, watch.number)

    def due(self, now: float) -> float:
        """When ``tick`` and ``suspects`` are to be called next, in seconds of the same clock."""
        rules = self.rules
        when = now + (min(LONGEST_WAIT, rules.interval) if rules.silence else rules.interval)
        for bridge in self._bridges.rows.values():
            watch = self._watches.get(bridge.jid)
            if watch is None or bridge.checkable is False or not self._signs.is_reachable(bridge.jid):
                continue
            if watch.often or not (watch.waiting or self._is_judged_by_presence(bridge)):
                when = min(when, watch.next_at)
            suspect_at = self._silent_at(bridge, watch) - rules.again
            when = min(when, suspect_at if suspect_at > now else when)
        for since in self._signs.doubts.values():
            suspect_at = since + PROBE - rules.again
            when = min(when, suspect_at if suspect_at > now else when)
        return max(when, now)

    # --- what comes back -------------------------------------------------------------------------------------

    def answered(self, question: Question, iq: Optional[Any], now: float) -> List[PoolEvent]:
        """The answer to a question, None when there is none: the table of B-404, with the R of B-408.

        Returns what conferences have to hear.
        """
        watch = self._watches.get(question.bridge)
        bridge = self._bridges.get(question.bridge)
        if watch is None or bridge is None:
            return []  # it is gone
        if question.number == watch.number:
            watch.waiting = False
        if iq is None:
            self._unanswered(bridge, watch, now)
            return []
        watch.timeouts = 0
        if not watch.often:
            watch.next_at = now + self.rules.interval
        if iq.type == "result":
            return self._bridges.passed(bridge.jid, proves=True, counts=not self._is_judged_by_presence(bridge))
        if iq.error.condition != "internal-server-error":
            watch.refusal = iq.error.condition  # perhaps the room's, which doesn't know us any more (K-105)
            return []
        if self._is_judged_by_presence(bridge):
            return []
        return self._failed(bridge, "its health check was answered %s: %s" % (iq.error.condition, iq.error.text), now)

    def _mark(self, jid: str, why: str, now: float) -> None:
        self._bridges.failed(jid, why, now)
        self.marked[jid] = why

    def _failed(self, bridge: Bridge, why: str, now: float) -> List[PoolEvent]:
        self._mark(bridge.jid, why, now)
        return [PoolEvent("lost", bridge.jid, why)]

    def _unanswered(self, bridge: Bridge, watch: _Watch, now: float) -> None:
        """B-404: asked once more after a while, then called not operational; its conferences stay.

        It isn't asked once more if participants complain as well (B-825).
        """
        lately = self._signs.answered_at(bridge) > now - self.rules.reply_timeout
        if lately or self._is_judged_by_presence(bridge):
            return
        watch.timeouts += 1
        complaints = [at for at in bridge.complained_at if now - at < COMPLAINTS_WINDOW]
        if self.rules.retry_delay and watch.timeouts == 1 and len(complaints) < COMPLAINTS:
            pause = self.rules.retry_delay
        else:
            self._mark(bridge.jid, "it doesn't answer health checks", now)
            pause = self.rules.interval
        if not watch.often:
            watch.next_at = now + pause

    # --- silence ---------------------------------------------------------------------------------------------

    def suspects(self, now: float) -> bool:
        """Whether some bridge seems dead, or will in a moment: see ``judge``."""
        soon = now + self.rules.again
        return (self.refused() or bool(self._silent(soon))
                or any(soon - since >= PROBE for since in self._signs.doubts.values()))

    def refused(self) -> bool:
        """Whether a refusal waits to be judged."""
        return any(watch.refusal for watch in self._watches.values())

    def _silent(self, now: float) -> List[Bridge]:
        """Busy bridges of which nothing was heard for too long, answers to two questions included (B-410)."""
        found = []
        for bridge in self._bridges.rows.values():
            watch = self._watches.get(bridge.jid)
            if watch is not None and self._silent_at(bridge, watch) <= now and self._signs.is_reachable(bridge.jid):
                found.append(bridge)
        return found

    def _silent_at(self, bridge: Bridge, watch: _Watch) -> float:
        """When it will have been silent for too long if nothing is heard of it; infinite if that isn't in sight."""
        rules, heard = self.rules, self._signs.heard_at(bridge)
        unanswered = [at for at in watch.asked if at > heard]
        if not rules.silence or not bridge.conferences or watch.dead_at >= heard or len(unanswered) < 2:
            return float("inf")
        return max(heard + rules.silence, unanswered[1] + rules.often)

    def judge(self, now: float) -> List[PoolEvent]:
        """Our own server has answered quickly, ``again`` seconds ago and now, so who is silent is dead (B-410, U-47).

        When more than half of the busy bridges, and more than one, are silent together, the fault may be elsewhere:
        then each has ``majority_wait`` longer.
        """
        silent = self._silent(now)
        busy = sum(1 for bridge in self._bridges.rows.values() if bridge.conferences)
        limit = self.rules.silence
        if len(silent) > 1 and 2 * len(silent) > busy:
            limit += self.rules.majority_wait
        events = []
        for bridge in silent:
            quiet = now - self._signs.heard_at(bridge)
            if quiet >= limit:
                self._watches[bridge.jid].dead_at = now
                why = "nothing was heard of it for %.1f s, two questions included" % quiet
                events += self._failed(bridge, why, now)
        for jid, since in list(self._signs.doubts.items()):
            if now - since >= PROBE:
                self._signs.trust(jid)
                self._mark(jid, "no answer for %d s when a participant asked for a restart" % PROBE, now)
        return events

    def judge_refusals(self, now: float) -> List[PoolEvent]:
        """B-404, B-408, U-21: whatever the error is, it gets nothing new; one condition moves its conferences.

        We are in the brewery, so it wasn't the room that refused.
        """
        events = []
        for jid, watch in self._watches.items():
            refusal, watch.refusal = watch.refusal, ""
            bridge = self._bridges.get(jid)
            if bridge is None or not refusal or self._is_judged_by_presence(bridge):
                continue
            why = "its health check was answered %s" % refusal
            if bridge.origin != BREWERY and refusal in NOT_THERE:
                vanished = self._bridges.vanished(jid, why)
                if vanished:
                    self.marked[jid] = why
                events += vanished
                continue
            events += self._failed(bridge, why, now)
            if refusal != "service-unavailable":
                events.pop()
        return events

    def excuse(self) -> None:
        """It was our server that was slow, or we who had lost our place: nobody is judged."""
        for watch in self._watches.values():
            watch.refusal = ""

    def settle_doubts(self) -> List[PoolEvent]:
        """Bridges in doubt that were heard since are trusted again (B-825)."""
        events = []
        for jid, since in list(self._signs.doubts.items()):
            bridge = self._bridges.get(jid)
            if bridge is None or self._signs.heard_at(bridge) > since:
                self._signs.trust(jid)
                events.append(PoolEvent("usable", jid, "it has answered"))
        return events

    # --- what they publish -----------------------------------------------------------------------------------

    def _is_overdue(self, bridge: Bridge, now: float) -> bool:
        return self._is_judged_by_presence(bridge) and now - bridge.seen_at > self.rules.presence_timeout

    def overdue(self, now: float) -> bool:
        """Whether some bridge has published nothing for too long: see ``check_presences``."""
        return any(self._is_overdue(bridge, now) for bridge in self._bridges.rows.values())

    def check_presences(self, now: float) -> List[PoolEvent]:
        """Health by presence (B-430), every ``interval``; our own server has answered if one is overdue."""
        events: List[PoolEvent] = []
        for bridge in self._bridges.rows.values():
            if not self._is_judged_by_presence(bridge):
                continue
            if self._is_overdue(bridge, now):
                self._mark(bridge.jid, "no new statistics for %d s" % (now - bridge.seen_at), now)
            elif not bridge.healthy:
                self._mark(bridge.jid, "it says it isn't healthy", now)
                events.append(PoolEvent("lost", bridge.jid, "it says it isn't healthy"))
            else:
                events += self._bridges.passed(bridge.jid)
        return events


def _offset(jid: str) -> float:
    """Spreads the checks of many bridges over the interval (B-407)."""
    return (zlib.crc32(jid.encode("utf-8")) & 0xffff) / 65536.0
