"""Rooms that are held to a version of bridges (B-507)."""
from __future__ import annotations

import pytest

from focus.bridge.choice import pins as module
from focus.bridge.choice.pins import Pinned, Pins

ROOM, OTHER = "standup@conference.meet.example", "other@conference.meet.example"


def test_a_pin_holds_for_its_minutes():
    pins = Pins()
    pins.pin(ROOM, "2.3", 2, 100.0)
    assert [pins.version_of(ROOM, now) for now in (100.0, 219.9)] == ["2.3", "2.3"]
    assert pins.version_of(OTHER, 100.0) is None
    assert pins.list(160.0) == [Pinned(ROOM, "2.3", 1.0)]
    assert pins.version_of(ROOM, 220.0) is None and not pins.rows


def test_expired_ones_are_removed_without_being_asked_for():
    pins = Pins()
    pins.pin(ROOM, "2.3", 1, 0.0)
    pins.pin(OTHER, "2.4", 1, 60.0)
    assert list(pins.rows) == [OTHER] and pins.list(120.0) == []


def test_a_new_pin_replaces_the_old_one():
    pins = Pins()
    pins.pin(ROOM, "2.3", 1, 0.0)
    pins.pin(ROOM, "2.4", 5, 0.0)
    assert pins.list(0.0) == [Pinned(ROOM, "2.4", 5.0)]
    assert pins.unpin(ROOM) and not pins.unpin(ROOM) and not pins.list(0.0)


@pytest.mark.parametrize("room, version, minutes", [
    (ROOM, "2.3", 0), (ROOM, "2.3", -1), (ROOM, "2.3", 10 ** 9), (ROOM, "", 1), ("", "2.3", 1)])
def test_what_is_no_pin(room, version, minutes):
    pins = Pins()
    with pytest.raises(ValueError):
        pins.pin(room, version, minutes, 0.0)
    assert not pins.rows


def test_they_do_not_grow_without_bound(monkeypatch):
    monkeypatch.setattr(module, "MAX_PINS", 1)
    pins = Pins()
    pins.pin(ROOM, "2.3", 1, 0.0)
    with pytest.raises(ValueError):
        pins.pin(OTHER, "2.3", 1, 0.0)
    pins.pin(ROOM, "2.4", 1, 0.0)
