"""What we count of each bridge ourselves: endpoints to come, restart requests (bridge.md section 3)."""
from __future__ import annotations

import pytest

from focus.bridge.choice.stress import RAMPUP_BUCKET, RESTARTS_BUCKET, IceDetection, Window, corrected


@pytest.mark.parametrize("reported, each, added, failing, expected, overloaded", [
    (0.30, 0.01, 0, False, 0.30, False),
    (0.30, 0.01, 50, False, 0.80, True),
    (0.79, 0.05, 1, False, 0.84, True),
    (0.0, 0.01, 10, False, 0.10, False),
    (0.20, 0.01, 0, True, 0.81, True),
    (0.95, 0.01, 0, True, 0.95, True),
    (1.40, 0.01, 10, False, 1.50, True),
])
def test_the_table_of_section_3(reported, each, added, failing, expected, overloaded):
    """B-301, B-302"""
    stress = corrected(reported, added, each, failing, 0.8)
    assert stress == pytest.approx(expected) and (stress >= 0.8) == overloaded


class TestWindow:
    @pytest.mark.parametrize("bucket, span, counted_until", [
        (RAMPUP_BUCKET, 20.0, 20.0), (RAMPUP_BUCKET, 20.05, 20.1), (RAMPUP_BUCKET, 0.01, 0.1),
        (RESTARTS_BUCKET, 120.0, 120.0), (RESTARTS_BUCKET, 1.5, 2.0)])
    def test_spans_are_rounded_up(self, bucket, span, counted_until):
        """B-303: the reference made no bridge at all of such a span."""
        window = Window(bucket)
        window.add(0.0)
        assert window.next_change(span) == counted_until
        assert window.count(counted_until - 0.001, span) == 1
        assert window.count(counted_until, span) == 0

    def test_each_counts_on_its_own(self):
        window = Window(RAMPUP_BUCKET)
        for at in (0.0, 0.05, 1.0, 1.0, 7.3):
            window.add(at)
        assert [window.count(at, 2.0) for at in (7.3, 7.4, 9.2, 9.3)] == [1, 1, 1, 0]
        assert window.next_change(2.0) == float("inf")

    def test_however_much_happens(self):
        """It holds a bucket for each tenth of a second, not an entry for each event."""
        window = Window(RAMPUP_BUCKET)
        for number in range(100000):
            window.add(number / 1.1e6)
        assert len(window._counts) == 1 and window.count(0.0999, 20.0) == 100000


@pytest.mark.parametrize("requests, endpoints, failing", [
    (4, 30, True), (3, 30, False), (4, 29, False), (11, 100, True), (10, 100, False)])
def test_failing_ice(requests, endpoints, failing):
    """B-306"""
    assert IceDetection(enabled=True).is_failing(requests, endpoints) == failing
    assert not IceDetection().is_failing(requests, endpoints)
