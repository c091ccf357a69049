"""What the recordings of the pages prove: pure functions over values, tested by test_browser_analysis.py.

Times are milliseconds since the epoch.
"""

from __future__ import annotations

import re
from typing import Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

WINDOW = 3000.0
"""In every window of this length something must arrive."""
LONGEST_BLIND = 2 * WINDOW
"""A busy machine lets a page look later; nobody may rest on that for longer."""
SETTLE = 15000.0
"""Within this time after both sides are ready something must arrive at all."""
SLACK = 15000.0
"""A removal that somebody caused is seen no later than this after it was done."""
FORBIDDEN_EVENTS = ("failed", "focus disconnected", "error", "disconnected", "peer connection failed")
UNSTEADY_EVENTS = ("media interrupted", "peer connection disconnected")
KINDS = ("audio", "video")

Flows = Dict[str, Dict[str, Tuple[int, int]]]


class Sample(NamedTuple):
    """One look at what has arrived: participant id -> kind -> (SSRC, counter)."""

    ms: float
    flows: Flows


class Did(NamedTuple):
    """A step as it was done. `end` is None as long as it has not ended."""

    action: str
    begin: float
    end: Optional[float]
    error: Optional[str] = None


class Event(NamedTuple):
    """What the client library told the page. `id` and `kind` are empty where they make no sense."""

    ms: float
    what: str
    id: str = ""
    kind: str = ""
    reason: str = ""


class Seen(NamedTuple):
    """A stanza that passed. sources: owner -> SSRCs that it tells the page of."""

    ms: float
    direction: str
    what: str
    sender: str = ""
    sources: Mapping[str, Sequence[int]] = {}


class Recording(NamedTuple):
    """All that one page went through. camera: it has one, and shares a picture in its place."""

    name: str
    camera: bool
    samples: Sequence[Sample]
    steps: Sequence[Did]
    events: Sequence[Event]
    stanzas: Sequence[Seen]


class Span(NamedTuple):
    """A time, of one stay in the room (participant id)."""

    id: str
    begin: float
    end: float


class Gap(NamedTuple):
    """A time in which nothing arrived although it should have, or in which the page could not look.

    why: "never", "stopped"; "blind": longer than a window nobody looked, but there was more afterwards than before.
    """

    receiver: str
    sender: str
    kind: str
    begin: float
    end: float
    why: str

    def __str__(self) -> str:
        return "%s of %s at %s: %s for %.1f s" % (
            self.kind, self.sender, self.receiver, self.why, (self.end - self.begin) / 1000)


# Who was there, and who sent


def stays(recording: Recording, end: float) -> List[Span]:
    """When the page was in the room."""
    leaves = [step.begin for step in recording.steps if step.action == "leave"]
    return [Span(event.id, event.ms, min([leave for leave in leaves if leave > event.ms] + [end]))
            for event in recording.events if event.what == "joined"]


def sending(recording: Recording, kind: str, end: float) -> List[Span]:
    """When the page sent sound or a picture, by what it was told to do."""
    found: List[Span] = []
    for stay in stays(recording, end):
        on: Optional[float] = stay.begin if kind == "audio" or recording.camera else None
        for step in recording.steps:
            if not stay.begin <= step.begin < stay.end:
                continue
            switched = _switches(step.action, kind, recording.camera)
            if switched is None:
                continue
            if on is not None:
                found.append(Span(stay.id, on, step.begin))
            on = step.end if switched else None
        if on is not None:
            found.append(Span(stay.id, on, stay.end))
    return [span for span in found if span.end > span.begin]


def _switches(action: str, kind: str, camera: bool) -> Optional[bool]:
    """Whether a step interrupts the sending of a kind, and whether that goes on when the step has ended."""
    if action in ("mute " + kind, "unmute " + kind):
        return action.startswith("un")
    if kind == "video" and action in ("share", "unshare"):
        return action == "share" or camera
    return None


# Gaps


def gaps(recordings: Sequence[Recording], end: float) -> Tuple[List[Gap], List[float]]:
    """Every time in which a pair got nothing; and how long each flow took to begin, in milliseconds."""
    found: List[Gap] = []
    settled: List[float] = []
    for receiver in recordings:
        there = stays(receiver, end)
        for sender in recordings:
            if sender is receiver:
                continue
            for kind in KINDS:
                for span in _common(sending(sender, kind, end), there):
                    more, took = _gaps_in(receiver, sender.name, kind, span)
                    found += more
                    settled += took
    return found, settled


def _common(spans: Iterable[Span], others: Sequence[Span]) -> Iterator[Span]:
    for span in spans:
        for other in others:
            begin, end = max(span.begin, other.begin), min(span.end, other.end)
            if begin < end:
                yield Span(span.id, begin, end)


def _gaps_in(receiver: Recording, sender: str, kind: str, span: Span) -> Tuple[List[Gap], List[float]]:
    """The gaps of one flow in one span; it begins to count when something arrives for the first time."""
    found: List[Gap] = []

    def gap(begin: float, end: float, why: str) -> None:
        found.append(Gap(receiver.name, sender, kind, begin, end, why))

    looks = [sample for sample in receiver.samples if span.begin <= sample.ms <= span.end]
    times = [span.begin] + [sample.ms for sample in looks] + [span.end]
    for before, after in zip(times, times[1:]):
        if after - before >= WINDOW:
            gap(before, after, "blind" if after - before < LONGEST_BLIND else "stopped")
    rises = _rises(looks, span.id, kind)
    if not rises:
        if span.end - span.begin >= SETTLE:
            gap(span.begin, span.end, "never")
        return found, []
    if rises[0] - span.begin >= SETTLE:
        gap(span.begin, rises[0], "never")
    marks = rises + [looks[-1].ms]
    for before, after in zip(marks, marks[1:]):
        # the last look that still saw the old value proves the gap
        last = max(sample.ms for sample in looks if before <= sample.ms and (sample.ms < after or after == marks[-1]))
        if last - before >= WINDOW:
            gap(before, after, "stopped")
    return found, [rises[0] - span.begin]


def _rises(looks: Sequence[Sample], participant: str, kind: str) -> List[float]:
    """The times of the looks that saw more than the look before."""
    found: List[float] = []
    known: Optional[Tuple[int, int]] = None
    for number, sample in enumerate(looks):
        now = sample.flows.get(participant, {}).get(kind)
        if now is None:
            continue
        if known is None:
            risen = number > 0 and now[1] > 0  # it wasn't there at the first look
        else:
            risen = now[1] > known[1] if now[0] == known[0] else now[1] > 0
        if risen:
            found.append(sample.ms)
        known = now
    return found


# What nobody may see


def troubles(recording: Recording, end: float) -> List[str]:
    """What the page should not have gone through, whatever the others did."""
    found = ["%s: step %s: %s" % (recording.name, step.action, step.error) for step in recording.steps if step.error]
    found += ["%s: step %s never ended" % (recording.name, step.action)
              for step in recording.steps if step.end is None and step.error is None]
    spans = stays(recording, end)
    for event in recording.events:
        if event.what in FORBIDDEN_EVENTS and (event.what == "failed" or _during(spans, event.ms)):
            found.append("%s: %s %s" % (recording.name, event.what, event.reason))
    for stanza in recording.stanzas:
        if stanza.direction != "in" or not _during(spans, stanza.ms):
            continue
        if stanza.what in ("session-terminate", "transport-replace"):
            found.append("%s: received %s" % (recording.name, stanza.what))
        if stanza.what == "presence unavailable" and stanza.sender.endswith("/focus"):
            found.append("%s: saw the focus leave" % recording.name)
    offers = [stanza.ms for stanza in recording.stanzas
              if stanza.direction == "in" and stanza.what == "session-initiate"]
    joins = sum(1 for event in recording.events if event.what == "joined")
    if len(offers) > joins:
        found.append("%s: %d offers for %d stays" % (recording.name, len(offers), joins))
    return found


def unsteady(recording: Recording, end: float) -> List[str]:
    """Interruptions that a busy machine can cause, too; to be compared with a run without kills."""
    spans = stays(recording, end)
    return ["%s: %s" % (recording.name, event.what) for event in recording.events
            if event.what in UNSTEADY_EVENTS and _during(spans, event.ms)]


def _during(spans: Sequence[Span], ms: float) -> bool:
    return any(span.begin <= ms < span.end for span in spans)


def removals(recordings: Sequence[Recording], end: float) -> List[str]:
    """Tracks and participants that went at some page although nobody removed them. A step excuses one removal."""
    found: List[str] = []
    owners = {stay.id: recording for recording in recordings for stay in stays(recording, end)}
    for receiver in recordings:
        there = stays(receiver, end)
        used: Set[Tuple[str, str, float]] = set()
        for event in receiver.events:
            if event.what not in ("track removed", "participant left") or not _during(there, event.ms):
                continue
            what = event.kind if event.what == "track removed" else "participant"
            owner = owners.get(event.id)
            causes = [] if owner is None else _causes(owner, what, event)
            free = [cause for cause in causes if (event.id, what, cause) not in used]
            if free:
                used.add((event.id, what, free[0]))
            else:
                found.append("%s: %s %s of %s, which nobody removed" % (
                    receiver.name, event.what, event.kind, owner.name if owner else event.id))
    return found


def _causes(owner: Recording, what: str, event: Event) -> List[float]:
    """When the owner did something that makes this go."""
    return [step.begin for step in owner.steps
            if _removes(step.action, what, owner.camera)
            and step.begin <= event.ms <= (event.ms if step.end is None else step.end) + SLACK]


def _removes(action: str, what: str, camera: bool) -> bool:
    if action == "leave":
        return True
    return what == "video" and (action == "unshare" or (action == "share" and camera))


def amid(recordings: Sequence[Recording], times: Sequence[float]) -> int:
    """How many of these times fell into somebody's step."""
    steps = [step for recording in recordings for step in recording.steps]
    return sum(1 for ms in times if any(step.begin <= ms < (step.end or step.begin) for step in steps))


# Agreement afterwards


_SSRC = re.compile(r"^a=ssrc:(\d+) ", re.MULTILINE)


def described(sdp: str) -> Set[int]:
    """The SSRCs of a description, without those of media that are switched off."""
    sections = re.split(r"^(?=m=)", sdp.replace("\r\n", "\n"), flags=re.MULTILINE)
    active = [section for section in sections if not re.search(r"^a=(inactive|recvonly)$", section, re.MULTILINE)]
    return {int(found) for section in active for found in _SSRC.findall(section)}


def told(stanzas: Sequence[Seen]) -> Set[int]:
    """The SSRCs that a page knows by what the focus has told it since the last offer, and by who has left."""
    known: Dict[str, Set[int]] = {}
    for stanza in stanzas:
        if stanza.direction != "in":
            continue
        if stanza.what == "session-initiate":
            known = {}
        if stanza.what in ("session-initiate", "source-add"):
            for owner, ssrcs in stanza.sources.items():
                known.setdefault(owner, set()).update(ssrcs)
        elif stanza.what == "source-remove":
            for owner, ssrcs in stanza.sources.items():
                known.setdefault(owner, set()).difference_update(ssrcs)
        elif stanza.what == "presence unavailable":
            known.pop(stanza.sender.rpartition("/")[2], None)
    return set().union(*known.values())


class Described(NamedTuple):
    """The SSRCs in the two descriptions of a page, and those it was told of."""

    local: Set[int]
    remote: Set[int]
    told: Set[int]


def disagreements(
    bridge: Mapping[str, Set[int]], pages: Mapping[str, Described], focus: Mapping[str, Set[int]]
) -> List[str]:
    """Where the three differ.

    bridge: endpoint -> SSRCs, its own under "". pages: by participant id. focus: endpoint -> SSRCs.
    """
    found: List[str] = []
    own = bridge.get("", set())
    endpoints = {one: ssrcs for one, ssrcs in bridge.items() if one}
    if set(endpoints) != set(pages):
        found.append("the bridge has %s, in the room are %s" % (sorted(endpoints), sorted(pages)))
    found += ["focus and bridge differ for %s: %s" % (one, _difference(focus.get(one, set()), ssrcs))
              for one, ssrcs in endpoints.items() if focus.get(one, set()) != ssrcs]
    found += ["only the focus has %s" % one for one in sorted(set(focus) - set(endpoints))]
    for one, page in pages.items():
        mine = endpoints.get(one, set())
        if page.local != mine:
            found.append("%s itself and the bridge differ: %s" % (one, _difference(page.local, mine)))
        others: Set[int] = set().union(*(ssrcs for other, ssrcs in endpoints.items() if other != one))
        for how, known in (("was told", page.told - own), ("has", page.remote - own)):
            if known != others:
                found.append("what %s %s of the others and the bridge differ: %s" % (
                    one, how, _difference(known, others)))
    return found


def _difference(first: Set[int], second: Set[int]) -> str:
    return "only the first has %s, only the second %s" % (sorted(first - second), sorted(second - first))


# The focus's log


class Logins(NamedTuple):
    """How often the focus's client logged in anew, and how often it resumed its stream."""

    fresh: int
    resumed: int


def logins(log: str) -> Logins:
    """Counted from the whole log of a run."""
    return Logins(log.count("Registered (resumed=false) client"), log.count("Registered (resumed=true) client"))


def serving_again(log: str) -> List[float]:
    """The seconds each process that came back needed until it served again, as it says itself."""
    return [float(found) for found in re.findall(r"Serving again\D*([\d.]*\d)", log)]


# Figures


class Spread(NamedTuple):
    """A distribution."""

    number: int
    least: float
    median: float
    p95: float
    most: float

    def __str__(self) -> str:
        if not self.number:
            return "none"
        return "n=%d min %.2f median %.2f p95 %.2f max %.2f" % self


def spread(values: Iterable[float]) -> Spread:
    """Minimum, median, 95th percentile and maximum of the values; zeros without any."""
    order = sorted(values)
    if not order:
        return Spread(0, 0.0, 0.0, 0.0, 0.0)

    def at(share: float) -> float:
        return order[min(len(order) - 1, int(share * len(order)))]

    return Spread(len(order), order[0], at(0.5), at(0.95), order[-1])
