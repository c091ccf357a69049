"""Many conferences at one bridge at once, with the real focus on a real Prosody (B-612)."""

from __future__ import annotations

import time
from typing import Any, Callable, List

from tests.support.bridge import Request
from tests.support.stage import Stage

LIMIT = 10
FOCUS_OPTIONS = ("--reply_timeout=2", "--max_requests_in_flight=%d" % LIMIT)
ROOMS = 30
PACE = 0.08


def one_after_the_other(seconds: float) -> Callable[[Request], float]:
    """A bridge that makes one endpoint at a time."""
    free_at = [0.0]

    def delay(request: Request) -> float:
        now = time.monotonic()
        if request.is_creation:
            free_at[0] = max(now, free_at[0]) + seconds
            return free_at[0] - now
        return 0.0

    return delay


def most_at_once(requests: List[Any]) -> int:
    """How many were without an answer at the same time."""
    changes = sorted([(r.at, 1) for r in requests] + [(r.answered_at, -1) for r in requests])
    most = open_ = 0
    for _, change in changes:
        open_ += change
        most = max(most, open_)
    return most


def test_all_move_to_a_slow_bridge(stage: Stage) -> None:
    """B-612: it would answer the last of them too late; so it is asked for a few at a time, and none fails."""
    first = stage.bridge(sctp=True)
    rooms = [[stage.client(), stage.client()] for _ in range(ROOMS)]
    for clients in rooms:
        stage.enter(stage.room(), *clients)
    for clients in rooms:
        stage.wait_call(*clients)
    slow = stage.bridge(sctp=True, delay=one_after_the_other(PACE))
    stage.wait_log("Added new videobridge: " + slow.jid)
    began = time.monotonic()
    first.leave()
    stage.wait(lambda: all(len(client.sessions) == 2 and client.sessions[1].state == "active"
                           for clients in rooms for client in clients), "all are on the other", stage.log, 30)
    assert time.monotonic() - began > 2 * ROOMS * PACE > 2, "it was too fast to show anything"
    for clients in rooms:
        stage.wait_call(*clients)
    creations = slow.requests_of(kind="create-endpoint")
    assert len(creations) == 2 * ROOMS and most_at_once(creations) <= LIMIT
    first.model.conferences.clear()  # it is gone, nobody has to expire anything there
    assert "timeout" not in stage.log() and "further allocations wait" in stage.log()
