"""Answering the clients that ask for the conference (C-2.3, C-2.4).

Who asks while the room is being entered waits at most 5 s for the answer, and never gets none (C-222, C-260, U-123).
"""
from __future__ import annotations

from typing import List, Optional

from focus.conference.messages import Asked
from focus.conference.state import JOINED, Asker
from focus.conference.turn import CLIENT, Turn
from focus.stanzas.conference_iq import ConferenceAnswer, write_conference_answer
from focus.stanzas.errors import StanzaError
from focus.stanzas.stanza import write_error, write_result
from focus.values.addresses import bare

ANSWER_WITHIN = 5.0
"""Seconds after which a request that can't be served yet is answered with ready='false' (U-123)."""
MAX_ASKERS = 2000


def asked(turn: Turn, message: Asked) -> None:
    """A client asks: answer, or let it wait for the join (C-221 to C-224)."""
    state = turn.state
    iq = message.iq
    asker = Asker(message.connection, iq.id, iq.to, iq.from_, turn.now)
    if state.phase == JOINED and turn.around.connected():
        if not state.members:  # also when the last one has just gone: who asks is waited for (C-816, C-801)
            turn.cancel("empty")
            turn.after("initial", turn.around.config.initial_timeout)
        answer(turn, asker, ready=True)
    elif len(state.askers) >= MAX_ASKERS:
        answer(turn, asker, ready=False)
    else:
        state.asked += 1
        state.askers[str(state.asked)] = asker
        turn.sooner("askers", turn.now + ANSWER_WITHIN)


def answer(turn: Turn, asker: Asker, ready: bool) -> None:
    """Answer one request (C-2.4)."""
    state = turn.state
    if ready:
        state.answered_at = turn.now
    payload = write_conference_answer(ConferenceAnswer(
        room=state.room, ready=ready, focusjid=bare(turn.around.own_jid()),
        properties={"authentication": "false", "visitors-supported": "false"}))
    turn.send(write_result(asker, payload, _sender(asker)), asker.connection)


def _sender(asker: Asker) -> Optional[str]:
    """A component has to say who it is (C-102)."""
    return None if asker.connection == CLIENT else asker.to


def answer_all(turn: Turn, ready: bool) -> None:
    """Answer everybody who waits."""
    for asker in _all(turn):
        answer(turn, asker, ready)


def refuse_all(turn: Turn, error: StanzaError) -> None:
    """Refuse everybody who waits."""
    for asker in _all(turn):
        turn.send(write_error(asker, error, _sender(asker)), asker.connection)


def _all(turn: Turn) -> List[Asker]:
    """Everybody who waits, and nobody waits any more."""
    askers = list(turn.state.askers.values())
    turn.state.askers.clear()
    turn.cancel("askers")
    return askers


def answer_late(turn: Turn) -> None:
    """Who has waited 5 s is told to ask again, which clients do by themselves (C-261)."""
    state = turn.state
    for key in [key for key, asker in state.askers.items() if turn.now - asker.since >= ANSWER_WITHIN]:
        answer(turn, state.askers.pop(key), ready=False)
    if state.askers:
        first = next(iter(state.askers.values()))
        turn.after("askers", ANSWER_WITHIN - (turn.now - first.since))


def refuse_late(turn: Turn, message: Asked) -> None:
    """A request that met the conference in its last turn: the client asks again and gets a new one (C-815)."""
    iq = message.iq
    answer(turn, Asker(message.connection, iq.id, iq.to, iq.from_, turn.now), ready=False)
