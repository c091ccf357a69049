"""Endpoints that have to leave a bridge because somebody wants it so, not because anything failed (B-864, B-867)."""
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
