"""Which endpoints leave a bridge when some are to: pure choices over what is on it (bridge.md 8.4)."""
from __future__ import annotations

from typing import List, NamedTuple, Sequence, Tuple


class Hosted(NamedTuple):
    """What a conference has on the bridge in question."""

    room: str
    endpoints: Tuple[str, ...]
    """In the order of their allocation."""


def pick(hosted: Sequence[Hosted], number: int) -> List[Hosted]:
    """So many endpoints: the largest conferences first, within one those allocated first (B-861)."""
    picked: List[Hosted] = []
    for part in sorted(hosted, key=lambda part: -len(part.endpoints)):
        if number <= 0:
            break
        endpoints = part.endpoints[:number]
        if endpoints:
            picked.append(Hosted(part.room, endpoints))
        number -= len(endpoints)
    return picked


def pick_whole(hosted: Sequence[Hosted], number: int) -> List[Hosted]:
    """Whole conferences with so many endpoints together, where parts of one would come straight back (B-872 R).

    The largest that fit go first; if none fits, the smallest goes. One that is alone on its bridge stays: it would take
    the load along.
    """
    by_size = sorted((part for part in hosted if part.endpoints), key=lambda part: -len(part.endpoints))
    if len(by_size) < 2 or number <= 0:
        return []
    picked: List[Hosted] = []
    for part in by_size:
        if len(part.endpoints) <= number:
            picked.append(part)
            number -= len(part.endpoints)
    return picked or by_size[-1:]


def share(hosted: Sequence[Hosted], fraction: float) -> int:
    """How many endpoints a fraction of those on the bridge is, halves rounded up (B-862)."""
    return int(fraction * sum(len(part.endpoints) for part in hosted) + 0.5)
