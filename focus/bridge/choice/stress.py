"""Load to come and failing ICE: what we count of each bridge ourselves (bridge.md section 3)."""
from __future__ import annotations

from collections import deque
from typing import Deque, List, NamedTuple

RAMPUP_BUCKET = 100
"""Milliseconds of a bucket in which new endpoints are counted (B-303)."""
RESTARTS_BUCKET = 1000
"""The same for restart requests (B-306)."""


class Window:
    """Counts what happened within the last so many seconds, in buckets: few numbers, however much happens.

    A span that is no multiple of the bucket is rounded up (B-303). It has to be the same with every question.

    Args:
        bucket: milliseconds.
    """

    __slots__ = ("_bucket", "_counts", "_total")

    def __init__(self, bucket: int) -> None:
        self._bucket = bucket
        self._counts: Deque[List[int]] = deque()
        self._total = 0

    def add(self, now: float) -> None:
        """It happened once more; ``now`` is monotonic seconds."""
        index = self._index(now)
        if self._counts and self._counts[-1][0] >= index:
            self._counts[-1][1] += 1
        else:
            self._counts.append([index, 1])
        self._total += 1

    def count(self, now: float, span: float) -> int:
        """How often it happened within the last ``span`` seconds."""
        counts = self._counts
        if counts:
            last = self._index(now) - self._buckets(span)
            while counts and counts[0][0] <= last:
                self._total -= counts.popleft()[1]
        return self._total

    def next_change(self, span: float) -> float:
        """Monotonic seconds at which the count falls by itself; infinity if there's nothing to count."""
        if not self._counts:
            return float("inf")
        return (self._counts[0][0] + self._buckets(span)) * self._bucket / 1000

    def _index(self, now: float) -> int:
        return int(now * 1000 + 0.001) // self._bucket  # 24.9 s are 24900 ms

    def _buckets(self, span: float) -> int:
        return -(-int(round(span * 1000)) // self._bucket)


class IceDetection(NamedTuple):
    """When many of a bridge's endpoints want a new session, its ICE is taken to be failing (B-306)."""

    enabled: bool = False
    interval: float = 120.0
    """Seconds in which requests are counted."""
    min_endpoints: int = 30
    threshold: float = 0.1
    """Requests for each endpoint of the bridge."""
    timeout: float = 600.0
    """Seconds for which that holds after the last request with which it was so."""

    def is_failing(self, requests: int, endpoints: int) -> bool:
        """Whether so many requests within the interval are too many for a bridge with so many endpoints."""
        return self.enabled and endpoints >= self.min_endpoints and requests > endpoints * self.threshold


def corrected(reported: float, added: int, each: float, failing_ice: bool, threshold: float) -> float:
    """Corrected stress (B-301).

    Args:
        reported: what the bridge said last.
        added: endpoints we have added of late.
        each: what one of them will add.
        failing_ice: such a bridge counts as overloaded at least.
        threshold: from which on a bridge is overloaded (B-302).
    """
    stress = reported + max(0, added) * each
    return max(stress, threshold + 0.01) if failing_ice else stress
