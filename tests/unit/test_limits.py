"""Limits on what strangers can make us do and say."""
from __future__ import annotations

from focus.limits import Allowed, CreationLimit, Seldom


def test_creation_limit() -> None:
    """C-226: so many a minute, then `later`, beyond ten times `no`; a minute later as before; others aren't touched."""
    limit = CreationLimit(per_sender=2, total=100)
    answers = [limit.ask("mallory@meet.example", 0.0) for _ in range(21)]
    assert answers == [Allowed.YES] * 2 + [Allowed.LATER] * 17 + [Allowed.NO] * 2
    assert limit.ask("anna@meet.example", 1.0) is Allowed.YES
    assert limit.ask("mallory@meet.example", 61.0) is Allowed.YES


def test_creation_limit_of_all() -> None:
    """C-226: many senders together are limited too, with `later` only."""
    limit = CreationLimit(per_sender=10, total=5)
    assert [limit.ask("guest%d@meet.example" % n, 0.0) for n in range(7)] == [Allowed.YES] * 5 + [Allowed.LATER] * 2


def test_seldom() -> None:
    """M-1107: the same thing once a minute; what strangers invent doesn't pile up."""
    seldom = Seldom()
    assert [seldom.ask("a", t) for t in (0.0, 1.0, 59.0, 60.0, 61.0)] == [True, False, False, True, False]
    for number in range(5000):
        seldom.ask(number, 70.0)
    assert len(seldom._told) <= Seldom.MOST
