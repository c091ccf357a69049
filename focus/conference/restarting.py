"""What participants ask for when their media has failed: restarts in place and by a new session, within limits (J-8).

Each participant has two budgets, one for new sessions and one for restarts in place (J-556). They belong to the
participant and outlast its sessions.
"""
from __future__ import annotations

from typing import Any, Optional, Tuple

from focus.bridge import session as bridge_session
from focus.bridge.replies import IceRestarted
from focus.conference import inviting
from focus.conference.budgets import within
from focus.conference.state import ACTIVE, JOINED, OFFERED, Participant
from focus.conference.turn import Turn
from focus.stanzas.errors import StanzaError, stanza_error
from focus.stanzas.jingle import write_transport_info

OTHER_BRIDGE_SESSION = stanza_error("item-not-found", "this is not the participant's bridge session")
TOO_MANY = stanza_error("resource-constraint", "too many restarts")


def session_allowed(turn: Turn, participant: Participant) -> bool:
    """Whether the participant may have a new session now; one that is granted is counted."""
    times = _spend(turn, participant.restarts)
    participant.restarts = times or participant.restarts
    return times is not None


def counted(turn: Turn, participant: Participant) -> None:
    """A new session was granted because media failed: that counts against the bridge that hosts it now (B-851).

    If that is silent too, it isn't used until it has answered (B-825).
    """
    session = bridge_session.session_of(turn, participant.endpoint)
    if session is not None:
        turn.around.bridges.restart_requested(session.bridge, turn.now)
        turn.around.bridges.signs.doubt(session.bridge, turn.now)


def _spend(turn: Turn, spent: Tuple[float, ...]) -> Optional[Tuple[float, ...]]:
    """The budget with one more request in it; None if that is one too many."""
    config = turn.around.config
    recent = within(spent, turn.now, config.restart_interval)
    if len(recent) >= config.restart_max_requests or (
            recent and turn.now - recent[-1] < config.restart_min_interval):
        return None
    return (*recent, turn.now)


def in_place(turn: Turn, participant: Participant, bridge_session_id: Optional[str]) -> Optional[StanzaError]:
    """Ask the bridge for new ICE credentials (J-861 to J-863); the refusal if that can't be.

    The id is looked at before the budget, so that a wrong one costs nothing (J-541 R).
    """
    if not turn.around.config.enable_ice_restart:
        return stanza_error("feature-not-implemented", "restarts of ICE in place are switched off")
    if bridge_session_id != participant.bridge_session or bridge_session.session_of(turn, participant.endpoint) is None:
        return OTHER_BRIDGE_SESSION
    times = _spend(turn, participant.ice_restarts)
    if times is None:
        turn.log.warning("Rate limiting ICE restart request. (%s)", participant.endpoint)
        return TOO_MANY
    participant.ice_restarts = times
    turn.log.info("%s asks for a restart of ICE in place", participant.endpoint)
    if not bridge_session.restart_ice(turn, participant.endpoint):
        turn.log.info("%s gets a new session: its bridge can't restart ICE in place", participant.endpoint)
        bridge_session.expire(turn, participant.endpoint)
        inviting.reinvite(turn, [participant.endpoint])
    return None


def relay(turn: Turn, restarted: IceRestarted) -> None:
    """The bridge has new credentials: tell the client, unless it knows later ones (J-864, J-865).

    A client that can't be told now falls back to a new session by itself (J-867).
    """
    participant = turn.state.participants.get(restarted.endpoint)
    generation = restarted.transport.ice_generation or 0
    if (participant is None or participant.invite != restarted.invite or participant.phase not in (OFFERED, ACTIVE)
            or turn.state.phase != JOINED or generation <= participant.ice_generation):
        return
    participant.ice_generation = generation
    turn.log.info("Telling %s of restart %d of ICE", participant.endpoint, generation)
    turn.request("transport", participant.jid, "set", write_transport_info(participant.sid, restarted.transport),
                 participant.endpoint)


def ice_failed(turn: Turn, participant: Participant, bridge_session_id: Optional[str]) -> None:
    """An old client's report that ICE failed: a new session, if it is about the present one (J-542, J-543)."""
    if bridge_session_id != participant.bridge_session or not session_allowed(turn, participant):
        return  # a client that floods gets no more than one that asks politely (J-556)
    turn.log.warning("%s reports that ICE failed", participant.endpoint)
    counted(turn, participant)
    bridge_session.expire(turn, participant.endpoint)
    inviting.reinvite(turn, [participant.endpoint], moved=False)


def answered(turn: Turn, endpoint: str, iq: Any) -> None:
    """A client's answer to the new transport: an error is worth a line, it falls back by itself."""
    if iq is not None and iq.type == "error":
        turn.log.warning("%s refused the new transport: %s %s", endpoint, iq.error.condition, iq.error.text)
