"""Which bridge a participant of this conference gets: what the choice is told, what follows for the other bridges."""
from __future__ import annotations

from typing import Collection, List, Union

from focus.bridge import session as bridge_session
from focus.bridge.choice import asked_for
from focus.bridge.choice.rules import Choice, InUse, Refusal, Wish
from focus.conference.state import BridgeSession, Participant
from focus.conference.turn import Turn


def in_use(turn: Turn) -> List[InUse]:
    """The conference's bridges, oldest first (B-502)."""
    return [_in_use(turn, session) for session in turn.state.bridges.values()]


def _in_use(turn: Turn, session: BridgeSession) -> InUse:
    first = next(iter(session.endpoints), None)
    return InUse(session.bridge, len(session.endpoints), first is not None and turn.state.is_visitor(first),
                 session.recent.count(turn.now, turn.around.bridges.rules.interval))


def choose(turn: Turn, participant: Participant, without: Collection[str] = ()) -> Union[Choice, Refusal]:
    """A bridge for the participant.

    Args:
        turn: this turn.
        participant: who is in the room.
        without: bridges that aren't to be chosen.
    """
    state, bridges = turn.state, turn.around.bridges
    member = state.members[participant.endpoint]
    refused = bridge_session.refused_bridges(turn)
    if participant.excluded is not None and not state.bridges and not without:
        without = (participant.excluded,)  # one that refused this participant, if there is another (K-471)
        if not any(b.operational for b in bridges.candidates(turn.now, refused, without)):
            without = ()
    reserved = bridges.reserved()
    if reserved or turn.around.config.client_bridges:
        candidates = bridges.candidates(turn.now, refused)
        asked = asked_for.wish(state.properties, turn.around.config.client_bridges)
        left = {b.jid for b in asked_for.narrowed(candidates, asked, reserved, state.bridges)}
        without = (*without, *(b.jid for b in candidates if b.jid not in left))
    wish = Wish(member.info.region or None, state.is_visitor(participant.endpoint))
    return bridges.choose(turn.now, in_use(turn), wish, state.pinned_version, refused, without)


def leave_others(turn: Turn, choice: Choice) -> List[str]:
    """The whole conference moves to the chosen bridge (B-606, T-14): end it on all others; returns who was on them."""
    moved: List[str] = []
    for session in list(turn.state.bridges.values()):
        if session.bridge != choice.bridge.jid:
            turn.log.warning("Leaving bridge %s with %d participants: the conference goes on at %s, which can't be "
                             "used beside it", session.bridge, len(session.endpoints), choice.bridge.jid)
            moved += bridge_session.close(turn, session)
    return moved
