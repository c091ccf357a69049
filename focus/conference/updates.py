"""Telling participants about each other's sources, at the pace of who listens (J-7, DESIGN "one mailbox").

A receiver's next update waits until it has answered the last one, at most a second, and in a large room for a moment
that grows with the room; all that gathered meanwhile goes out as one. So a single change is told at once, and a burst
costs each receiver a few stanzas instead of one a change. What several receivers hear alike is serialised once (idea 4
of the design) and stamped per receiver.
"""
from __future__ import annotations

from math import ceil
from typing import Dict, Optional, Tuple

from focus.conference.signalling import Difference, difference
from focus.conference.state import ACTIVE, ENDED, JOINED, Participant
from focus.conference.turn import Turn
from focus.stanzas.jingle import source_body_json, source_body_xml, write_source_update
from focus.values.sources import SourceSet

ANSWER_WAIT = 1.0
"""Seconds an update's answer is waited for before the next update goes out all the same."""

SPACING, MAX_SPACING = 0.002, 0.5
"""Seconds between two updates of a receiver: so many for each participant, at most so many."""
GRID = 0.05
"""Shorter spacing is none; from there on updates go out on this grid of seconds, so that receivers share them."""


def changed(turn: Turn, owner: str, before: SourceSet) -> None:
    """An owner's sources changed from ``before`` to what the table has now: queue it for the others (J-711)."""
    state = turn.state
    state.log.note(owner, before, state.sources.get(owner))
    delay = _delay(turn)
    for participant in state.participants.values():
        if participant.phase == ACTIVE and participant.endpoint != owner and not participant.rewriting:
            if delay and not participant.delayed:
                participant.delayed = True
                participant.flush_at = max(participant.flush_at, turn.now + delay)
            turn.flush.add(participant.endpoint)


def _delay(turn: Turn) -> float:
    """Seconds of delay for a conference of this size (J-713)."""
    delays = turn.around.config.source_signaling_delays
    if not delays:
        return 0.0
    size = sum(1 for participant in turn.state.participants.values() if participant.phase != ENDED)
    return max((row for row in delays if row[0] <= size), default=(0, 0.0))[1]


def accepted(turn: Turn, participant: Participant) -> None:
    """The participant is ACTIVE: what queued up meanwhile goes to it at once (J-521)."""
    participant.flush_at = turn.now
    participant.delayed = False
    turn.flush.add(participant.endpoint)


def answered(turn: Turn, endpoint: str, request_id: str) -> None:
    """A receiver answered its update, or didn't in time: the next may go (J-719)."""
    participant = turn.state.participants.get(endpoint)
    if participant is not None and participant.update == request_id:
        participant.update = ""
        participant.confirmed = participant.signalled
        if participant.signalled != turn.state.log.version:
            turn.flush.add(endpoint)


def after_reconnect(turn: Turn) -> None:
    """The stream is new and what was unanswered may be lost: tell it again from what was confirmed."""
    for participant in turn.state.participants.values():
        if participant.update:
            participant.update = ""
            participant.signalled = participant.confirmed
            turn.flush.add(participant.endpoint)


def flush(turn: Turn) -> None:
    """End of a turn: send each receiver that is due what it hasn't heard."""
    state = turn.state
    if state.phase != JOINED:
        turn.flush.clear()  # held back until we are in the room again
        return
    for endpoint in turn.flush:
        participant = state.participants.get(endpoint)
        if participant is None or participant.phase != ACTIVE or participant.rewriting:
            continue
        wait = max(participant.flush_at, participant.update_until if participant.update else 0.0)
        if wait > turn.now:
            turn.sooner("flush", wait)
        else:
            participant.delayed = False
            if participant.signalled != state.log.version:
                _send(turn, participant)
    turn.flush.clear()
    if state.log.changes:
        state.log.trim(participant.confirmed if participant.update else participant.signalled
                       for participant in state.participants.values() if participant.sid and not participant.rewriting)


def flush_delayed(turn: Turn) -> None:
    """A delay of J-713, or the wait for an answer, is over for some receivers."""
    for participant in turn.state.participants.values():
        if participant.signalled != turn.state.log.version:
            turn.flush.add(participant.endpoint)


def _send(turn: Turn, participant: Participant) -> None:
    removal, addition = _bodies(turn, participant)
    turn.log.debug("Telling %s of sources, version %d", participant.endpoint, turn.state.log.version)
    participant.signalled = turn.state.log.version
    last: Optional[str] = None
    for action, body in (("source-remove", removal), ("source-add", addition)):
        if body is not None:
            last = turn.request("sources", participant.jid, "set",
                                write_source_update(action, participant.sid, body), participant.endpoint)
    participant.update = last or ""
    participant.update_until = turn.now + ANSWER_WAIT
    participant.flush_at = _next_at(turn.now, len(turn.state.participants))


def _next_at(now: float, participants: int) -> float:
    """Monotonic seconds of a receiver's next update after one that goes now."""
    spacing = min(MAX_SPACING, SPACING * participants)
    return now if spacing < GRID else ceil((now + spacing) / GRID) * GRID


def _bodies(turn: Turn, participant: Participant) -> Tuple[Optional[str], Optional[str]]:
    """The serialised removal and addition for this receiver, shared with all that hear the same."""
    spans = turn.bodies.get(participant.signalled)
    if spans is None:
        spans = turn.bodies[participant.signalled] = turn.state.log.since(participant.signalled)
    features = participant.features
    audio, video = (features.audio, features.video) if features is not None else (True, True)
    key = (participant.signalled, participant.endpoint if participant.endpoint in spans else "", participant.json,
           audio, video)
    bodies: Optional[Tuple[Optional[str], Optional[str]]] = turn.bodies.get(key)
    if bodies is None:
        news = difference(spans, participant.endpoint, audio, video, turn.around.config.strip_simulcast)
        bodies = turn.bodies[key] = _serialised(news, participant.json)
    return bodies


def _serialised(news: Difference, json: bool) -> Tuple[Optional[str], Optional[str]]:
    write = source_body_json if json else source_body_xml

    def body(sources: Dict[str, SourceSet]) -> Optional[str]:
        return write(sources) if sources else None

    return body(news.removed), body(news.added)
