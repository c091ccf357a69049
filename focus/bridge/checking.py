"""Asking the bridges how they are, and telling conferences what came of it. The rules are in ``health``.

Runs in the ticker, like the brewery: it is woken, sends, and is told answers; it never waits.
"""
from __future__ import annotations

import logging
from enum import Enum
from typing import Any, Callable, List, Optional, Set

from focus.bridge.bridge import PoolEvent
from focus.bridge.health import Health, Question, Rules
from focus.bridge.pool import Bridges
from focus.silence import QUICK

LOG = logging.getLogger(__name__)


class Place(Enum):
    """What came of asking for our own occupant in the brewery (XEP-0410)."""

    INSIDE = "we are in it"
    OUTSIDE = "it doesn't know us"
    SLOW = "our server is behind, or silent"


def health_rules(config: Any) -> Optional[Rules]:
    """The rules of a ``focus.config.Config``; None: there are no checks."""
    if not config.health_checks_enabled:
        return None
    return Rules(config.health_checks_interval, config.health_checks_retry_delay, config.reply_timeout,
                 config.health_checks_silence, config.health_checks_majority_wait,
                 config.health_checks_use_presence, config.health_checks_presence_timeout)


class Checker:
    """Keeps the checks of all bridges going.

    Args:
        bridges: the pool.
        rules: None: there are no checks.
        now: monotonic seconds.
        ask: ``ask(bridge, seconds, answered)``: send it a health check; ``answered`` is told the answer, or None.
        ask_place: asks the brewery whether we are in it, and tells what it said.
        lost: told that we aren't.
        tell: told what conferences have to hear.
    """

    def __init__(self, bridges: Bridges, rules: Optional[Rules], now: Callable[[], float],
                 ask: Callable[[str, float, Callable[[Optional[Any]], None]], None],
                 ask_place: Callable[[Callable[[Place], None]], None], lost: Callable[[], None],
                 tell: Callable[[PoolEvent], None]) -> None:
        self._bridges = bridges
        self._health = Health(rules, bridges) if rules is not None else None
        self._now = now
        self._ask = ask
        self._ask_place = ask_place
        self._lost = lost
        self._tell = tell
        self._due = float("-inf")
        self._presences_at = float("-inf")
        self._asking_place = False
        self._first_at: Optional[float] = None
        """Monotonic seconds of the first of two answers that say that our place is fine; None: none has come."""
        self._failing: Set[str] = set()

    @property
    def due(self) -> float:
        """Monotonic seconds at which ``tick`` is to be called."""
        if self._bridges.signs.probe_wanted:
            return float("-inf")
        by_presence = (self._health is not None and self._health.rules.use_presence and not self._asking_place
                       and self._first_at is None)
        return min(self._due, self._presences_at) if by_presence else self._due

    def connected(self) -> None:
        """The stream is up; nobody is judged by what we couldn't hear (DESIGN, "Coming back")."""
        self._bridges.signs.heard_again(self._now())
        self._asking_place = False
        self._first_at = None
        if self._health is not None:
            self._health.excuse()

    def tick(self) -> None:
        """The time has come: ask, and judge."""
        now = self._now()
        self._bridges.signs.probe_wanted = False
        self._bridges.debts.forget_old(now)
        self._publish(self._bridges.recovered(now))
        health = self._health
        if health is None:
            self._due = now + Rules().interval
            return
        self._publish(health.settle_doubts())
        for question in health.tick(now):
            self._ask(question.bridge, health.rules.reply_timeout, self._answer_to(health, question))
        self._suspect(health, now)
        self._note_failures(health)
        self._due = health.due(now) if self._asking_place else min(health.due(now), self._second_at(health))

    def _suspect(self, health: Health, now: float) -> None:
        """Ask for our place twice before a bridge is called silent; once before it is judged by a refusal."""
        if not (health.suspects(now) or (now >= self._presences_at and health.overdue(now))):
            self._first_at = None
            self._check_presences(health, now)
        elif not self._asking_place and (health.refused() or self._first_at is None or now >= self._second_at(health)):
            self._asking_place = True
            self._ask_place(self._place_known)  # streams are ordered: what the server has of them comes before that

    def _second_at(self, health: Health) -> float:
        return float("inf") if self._first_at is None else self._first_at + health.rules.again

    def _answer_to(self, health: Health, question: Question) -> Callable[[Optional[Any]], None]:
        def answered(iq: Optional[Any]) -> None:
            self._publish(health.answered(question, iq, self._now()) + health.settle_doubts())
            self._note_failures(health)
            if health.suspects(self._now()):
                self._due = self._now()

        return answered

    def _place_known(self, place: Place) -> None:
        """Nobody is called silent while our own server is, nor at once after that (U-47), nor while we are outside."""
        self._asking_place = False
        health, now = self._health, self._now()
        if health is None:
            return
        if place is not Place.INSIDE:
            self._first_at = None
            self._bridges.signs.heard_again(now)
            health.excuse()
            if place is Place.OUTSIDE:
                self._lost()
            return
        self._publish(health.judge_refusals(now))
        second_at = self._second_at(health)
        if second_at <= now <= second_at + 2 * QUICK:
            self._publish(health.judge(now))
            self._check_presences(health, now)
        if self._first_at is None or second_at <= now:  # this answer is the first of the next two
            self._first_at = now
            self._due = min(self._due, self._second_at(health))
        self._note_failures(health)

    def _check_presences(self, health: Health, now: float) -> None:
        if health.rules.use_presence and now >= self._presences_at:
            self._presences_at = now + health.rules.interval
            self._publish(health.check_presences(now))

    def _note_failures(self, health: Health) -> None:
        """One line for each bridge that has begun to fail its checks."""
        rows = self._bridges.rows
        self._failing = {jid for jid in self._failing if jid in rows and rows[jid].failed_at is not None}
        for jid, why in health.marked.items():
            if jid not in self._failing:
                LOG.warning("Health check failed for: %s: %s", jid, why)
        self._failing.update(health.marked)
        health.marked.clear()

    def _publish(self, events: List[PoolEvent]) -> None:
        for event in events:
            if event.kind == "usable":
                LOG.info("The bridge can be used again: %s: %s", event.bridge, event.reason)
            self._tell(event)
