"""When a conference ends, and what is left behind then: nothing (C-8)."""
from __future__ import annotations

from focus.bridge import session as bridge_session
from focus.conference import asking, inviting
from focus.conference.state import JOINED, NICK, OVER
from focus.conference.turn import Turn
from focus.stanzas.stanza import write_presence
from focus.stanzas.xml import escape

EMPTY_GRACE = 1.0
"""Seconds an empty room is kept for somebody who comes right back (U-118)."""
IDLE = "Idle session timeout"


def check(turn: Turn) -> None:
    """After a leave: alone, or empty (C-705, C-802, C-810, C-816)."""
    state, config = turn.state, turn.around.config
    if state.phase != JOINED:
        return
    if not state.members:
        protected = state.answered_at + config.initial_timeout - turn.now
        if protected > 0:  # somebody was told to come and isn't here yet (C-816)
            turn.after("initial", config.initial_timeout)
        else:
            turn.after("empty", EMPTY_GRACE)
    elif len(state.participants) == 1 and len(state.members) < max(2, config.min_participants):
        turn.after("single", config.single_participant_timeout)


def single_timeout(turn: Turn) -> None:
    """One has been alone for long: its session ends, it stays in the room (C-802, J-126)."""
    state = turn.state
    if len(state.participants) != 1 or len(state.members) >= max(2, turn.around.config.min_participants):
        return
    for participant in list(state.participants.values()):
        turn.log.info("Timing out single participant: %s", participant.endpoint)
        inviting.terminate(turn, participant, "expired", IDLE)
        inviting.end_session(turn, participant, left=True)
        bridge_session.expire(turn, participant.endpoint)
        del state.participants[participant.endpoint]


def leave_bridges(turn: Turn) -> None:
    """Everything on the bridges is void: participants go with it."""
    for participant in list(turn.state.participants.values()):
        inviting.end_session(turn, participant, left=True)
    turn.state.participants.clear()
    bridge_session.close_all(turn)


def end(turn: Turn, reason: str, leave: bool = True) -> None:
    """The conference is over, in the order of C-820; nobody gets a session-terminate (C-821)."""
    state = turn.state
    if state.phase == OVER:
        return
    asking.answer_all(turn, ready=False)  # nobody is left without an answer (C-260)
    bridge_session.close_all(turn)
    if leave:
        turn.send(write_presence("%s/%s" % (state.room, NICK), type="unavailable",
                                 payload_xml="<status>%s</status>" % escape(reason)))
    state.phase = OVER
    state.timers = {}
    state.participants.clear()
    state.sids.clear()
    state.members.clear()
    state.lanes.clear()
    turn.log.info("Stopped. (%s)", reason)
