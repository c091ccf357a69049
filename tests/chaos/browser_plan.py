"""What the participants of a chaos run do, and when the focus is killed: made from a seed, to be repeated with it."""

from __future__ import annotations

import random
from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple

STAYING = ("Ada", "Bo", "Cleo")
#: comes and goes, has no camera, shares a picture now and then
GUEST = "Dan"

SHORTEST, LONGEST = 2.0, 8.0
"""Seconds between two kills."""
QUIET_END = 8.0
"""Seconds after the last step, so that its effect can be seen."""
REST = (2.5, 6.0)
"""Seconds something stays switched off."""
PAUSE = (2.0, 9.0)
"""Seconds between two other steps of a participant."""


class Step(NamedTuple):
    """One thing that a participant does: `at` seconds after the beginning."""

    at: float
    who: str
    action: str


AMID = ("join", "leave", "share", "unshare")
"""Steps in which the focus has a part."""
AMID_WAIT = 3.0
"""Seconds a kill waits for such a step."""


class Kill(NamedTuple):
    """One end of the focus: `pause` seconds after the one before, or in the middle of a burst that begins then.

    after_step: seconds after the next of those steps has begun, instead; None: at that moment, whatever it is.
    """

    pause: float
    in_burst: bool
    after_step: Optional[float]


def kills(seed: int, count: int, burst: bool) -> List[Kill]:
    """The kills, half of them at any moment, half in the middle of somebody's step.

    burst: one of them, not among the first ones or the last ones, is in a burst of joins.
    """
    rng = random.Random("kills %d" % seed)
    chosen = rng.randrange(count // 3, max(count // 3 + 1, 2 * count // 3)) if burst else -1
    made = []
    for number in range(count):
        if number == chosen or rng.random() < 0.5:
            made.append(Kill(rng.uniform(SHORTEST, LONGEST), number == chosen, None))
        else:
            made.append(Kill(rng.uniform(SHORTEST, LONGEST - AMID_WAIT), False, rng.uniform(0.0, 0.1)))
    return made


def duration(planned: Sequence[Kill]) -> float:
    """Seconds that a run with these kills needs."""
    return sum(kill.pause + (0.0 if kill.after_step is None else AMID_WAIT / 2) for kill in planned) + QUIET_END


def steps(seed: int, seconds: float) -> List[Step]:
    """What all do, in order of time. Everybody begins unmuted and not sharing; the guest begins outside."""
    made: List[Step] = []
    for name in STAYING:
        made += _staying(random.Random("%s %d" % (name, seed)), name, seconds - QUIET_END)
    made += _guest(random.Random("%s %d" % (GUEST, seed)), seconds - QUIET_END)
    return sorted(made)


def _staying(rng: random.Random, name: str, end: float) -> Iterator[Step]:
    at = rng.uniform(1.0, PAUSE[1])
    while at < end:
        there, back = rng.choice([("mute audio", "unmute audio"), ("mute video", "unmute video"), ("share", "unshare")])
        until = at + rng.uniform(*REST)
        if until > end:
            return
        yield Step(at, name, there)
        yield Step(until, name, back)
        at = until + rng.uniform(*PAUSE)


def _guest(rng: random.Random, end: float) -> Iterator[Step]:
    """Comes, does this and that, leaves, and at the end of the run is there."""
    at = rng.uniform(0.5, 3.0)
    while at < end:
        yield Step(at, GUEST, "join")
        leaves = at + rng.uniform(10.0, 22.0)
        if leaves > end - 10.0:
            return
        for pair in _pairs_of_guest(rng, at + rng.uniform(3.0, 5.0), leaves - 1.0):
            yield from pair
        yield Step(leaves, GUEST, "leave")
        at = leaves + rng.uniform(1.0, 6.0)


def _pairs_of_guest(rng: random.Random, at: float, end: float) -> Iterator[Tuple[Step, Step]]:
    while True:
        there, back = rng.choice([("share", "unshare"), ("share", "unshare"), ("mute audio", "unmute audio")])
        # what the guest switches on is on for longer than a window
        until = at + (rng.uniform(5.0, 8.0) if there == "share" else rng.uniform(*REST))
        if until > end:
            return
        yield Step(at, GUEST, there), Step(until, GUEST, back)
        at = until + rng.uniform(1.0, 3.0)
