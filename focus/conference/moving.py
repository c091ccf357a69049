"""Endpoints that leave a bridge although nothing of theirs has failed: somebody wants it so (B-864, B-867), or they
waited for it and see others fail (B-612)."""
from __future__ import annotations

from focus.bridge import session as bridge_session
from focus.bridge.choice.rules import Refusal
from focus.conference import inviting, messages, placing
from focus.conference.turn import Turn


def move(turn: Turn, message: messages.MoveEndpoints) -> None:
    """Release endpoints and invite their participants again; those that aren't on the bridge any more stay.

    Unless it is excluded the same bridge may be chosen again. If without it there is none, nobody is moved (B-867).
    """
    state = turn.state
    session = state.bridges.get(message.bridge)
    if session is None:
        return
    endpoints = [e for e in message.endpoints
                 if e in session.endpoints and e in state.participants and e in state.members]
    if not endpoints:
        return
    without = (message.bridge,) if message.exclude else ()
    if message.exclude:
        elsewhere = placing.choose(turn, state.participants[endpoints[0]], without)
        if isinstance(elsewhere, Refusal):
            turn.log.warning("Not moving %d participants from %s, there is no other bridge for them: %s",
                             len(endpoints), message.bridge, elsewhere.reason)
            return
    turn.log.info("Moving %d of %d participants from %s: %s", len(endpoints), len(session.endpoints), message.bridge,
                  message.reason)
    for endpoint in endpoints:
        bridge_session.release(turn, session, endpoint)
    inviting.reinvite(turn, endpoints, without=without)


def give_up_waiting(turn: Turn, bridge_jid: str) -> None:
    """Those for whom a bridge wasn't asked yet needn't be its next ones to fail, if it has failed meanwhile (B-612)."""
    session, bridge = turn.state.bridges.get(bridge_jid), turn.around.bridges.get(bridge_jid)
    if session is None or (bridge is not None and turn.around.bridges.is_operational(bridge, turn.now)):
        return
    endpoints = [row.id for row in session.endpoints.values() if not row.asked]
    for endpoint in endpoints:
        bridge_session.release(turn, session, endpoint)
    inviting.reinvite(turn, endpoints)
