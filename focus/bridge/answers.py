"""What a bridge's answer means: tables from (condition, reason) to what is done about it (K-4.3, K-4.4, B-6.3).

An error of the bridge itself carries a Colibri 2 reason; one without it may come from the bridge or from the room
service (K-105), and is judged by its condition.
"""
from __future__ import annotations

from enum import Enum
from typing import NamedTuple, Optional, Tuple


class Step(Enum):
    """What follows for the conference."""

    DROP = "drop the session, re-invite all its participants"
    RETRY_ELSEWHERE = "one retry of this participant, on another bridge if there is one"
    WITHOUT_SCTP = "ask again at once without SCTP"
    CLEAR = "expire what is there under this meeting id, then create again"
    FORGET_ENDPOINT = "forget that endpoint, re-invite that participant"
    REPEAT = "send the same request once more"
    RENEW_LINK = "create both sides of the link again"
    LOG = "log only"


class Mark(Enum):
    """What follows for the bridge, for everybody."""

    NONE = "nothing"
    FAILED = "not operational"
    GRACEFUL = "in graceful shutdown"
    NO_SCTP = "has no SCTP"


class Verdict(NamedTuple):
    """Consequence of an answer that is no success."""

    step: Step
    mark: Mark
    why: str
    """For the log."""
    endpoint: Optional[str] = None


TIMEOUT = "timeout"
NONSENSE = "nonsense"
"""A result that is no conference-modified (K-477)."""
INCOMPLETE = "incomplete"
"""A result without transport, or without the SCTP port that was asked for (K-474)."""

_Table = Tuple[Tuple[str, Optional[str], Step, Mark], ...]

# (condition, reason or None for any) -> (step, mark); the first row that fits counts.
_ALLOCATION: _Table = (
    (TIMEOUT, None, Step.DROP, Mark.FAILED),                                       # K-470
    (NONSENSE, None, Step.DROP, Mark.FAILED),                                      # K-477
    (INCOMPLETE, None, Step.RETRY_ELSEWHERE, Mark.NONE),                           # K-474
    ("bad-request", None, Step.RETRY_ELSEWHERE, Mark.NONE),                        # K-471
    ("item-not-found", "conference_not_found", Step.DROP, Mark.NONE),              # K-472
    ("item-not-found", None, Step.DROP, Mark.FAILED),                              # K-472: the bridge left the room
    ("conflict", "conference_already_exists", Step.CLEAR, Mark.NONE),              # K-473, B-645
    ("conflict", None, Step.DROP, Mark.NONE),                                      # K-473
    ("service-unavailable", "graceful_shutdown", Step.DROP, Mark.GRACEFUL),        # B-633
    ("internal-server-error", None, Step.RETRY_ELSEWHERE, Mark.NONE),              # K-441, first time
)

_UPDATE: _Table = (
    (TIMEOUT, None, Step.REPEAT, Mark.NONE),                                       # K-480
    ("item-not-found", "unknown_endpoint", Step.FORGET_ENDPOINT, Mark.NONE),       # K-481
)

# Whatever isn't named: drop the session of the bridge that was asked, and nothing for the bridge (K-483, K-482).
_RELAY_CREATION: _Table = (
    (TIMEOUT, None, Step.DROP, Mark.FAILED),                                       # B-714
    ("item-not-found", "conference_not_found", Step.DROP, Mark.NONE),              # K-482
    ("item-not-found", None, Step.DROP, Mark.FAILED),                              # the bridge left the room
    ("conflict", None, Step.RENEW_LINK, Mark.NONE),                                # K-430: an old one is still there
)

_RELAY_UPDATE: _Table = (
    (TIMEOUT, None, Step.REPEAT, Mark.NONE),                                       # B-655, B-715
    ("bad-request", None, Step.RENEW_LINK, Mark.NONE),                             # K-438: it has no such relay
)


class Failure(NamedTuple):
    """An answer that is no success, as far as the tables look at it."""

    condition: str
    reason: Optional[str] = None
    text: str = ""
    endpoint: Optional[str] = None

    def __str__(self) -> str:
        words = self.condition if self.reason is None else "%s (%s)" % (self.condition, self.reason)
        return "%s: %s" % (words, self.text) if self.text else words


def judge_allocation(failure: Failure, asked_sctp: bool, internal_error_before: bool = False) -> Verdict:
    """What follows from a failed allocation.

    Args:
        failure: the answer.
        asked_sctp: whether the request asked for SCTP, which is then what the bridge refuses (K-476).
        internal_error_before: another endpoint's allocation ended so before: then it is the bridge's fault (K-441).
    """
    if failure.condition == "feature-not-implemented" and asked_sctp:
        return Verdict(Step.WITHOUT_SCTP, Mark.NO_SCTP, str(failure))
    if failure.condition == "internal-server-error" and internal_error_before:
        return Verdict(Step.DROP, Mark.FAILED, str(failure))
    return _look_up(_ALLOCATION, failure, Verdict(Step.DROP, Mark.FAILED, str(failure)))


def judge_update(failure: Failure, repeated: bool) -> Verdict:
    """What follows from the failed update of an endpoint; ``repeated``: its time-out was answered once already."""
    return _judge_repeatable(_UPDATE, failure, repeated)


def judge_relay_creation(failure: Failure, asked_sctp: bool) -> Verdict:
    """What follows when one side of a link couldn't be made; ``asked_sctp``: as of an allocation.

    A bridge without relays says the same as one without SCTP (K-433, K-437), so nothing is noted about the bridge.
    """
    if failure.condition == "feature-not-implemented" and asked_sctp:
        return Verdict(Step.WITHOUT_SCTP, Mark.NONE, str(failure))
    return _look_up(_RELAY_CREATION, failure, Verdict(Step.DROP, Mark.NONE, str(failure)))


def judge_relay_update(failure: Failure, repeated: bool) -> Verdict:
    """What follows when a relay's transport or endpoints weren't taken; ``repeated``: as of an endpoint's update."""
    return _judge_repeatable(_RELAY_UPDATE, failure, repeated)


def _judge_repeatable(table: _Table, failure: Failure, repeated: bool) -> Verdict:
    """Of a request that is sent once more if it isn't answered."""
    if failure.condition == TIMEOUT and repeated:
        return Verdict(Step.DROP, Mark.FAILED, "two requests in a row without an answer")
    return _look_up(table, failure, Verdict(Step.DROP, Mark.NONE, str(failure)))


def _look_up(table: _Table, failure: Failure, otherwise: Verdict) -> Verdict:
    for condition, reason, step, mark in table:
        if condition == failure.condition and reason in (None, failure.reason):
            return Verdict(step, mark, str(failure), failure.endpoint)
    return otherwise
