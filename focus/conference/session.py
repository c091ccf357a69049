"""What participants ask for over Jingle, and the answer to each (J-5).

Every request gets exactly one answer, in this turn, never after waiting for the bridge (J-501). What can't be read is
refused before the session is looked up (J-506, J-507); a request from anyone but the session's own occupant is
answered like one for a session that doesn't exist (J-106).
"""
from __future__ import annotations

from typing import Any, Callable, Dict, Optional

from focus.bridge import session as bridge_session
from focus.conference import inviting, publishing, restarting, updates
from focus.conference.state import ACTIVE, ENDED, OFFERED, Answer, Participant
from focus.conference.turn import Turn
from focus.conference.validation import SourceRefused
from focus.stanzas.errors import Malformed, StanzaError, stanza_error
from focus.stanzas.jingle import UNSUPPORTED_ACTIONS
from focus.stanzas.member import FEATURE_JIGASI
from focus.stanzas.xml import NS_JINGLE_ERRORS
from focus.values.addresses import resource
from focus.values.sources import SourceSet

UNKNOWN_SESSION = StanzaError("cancel", "item-not-found", "", (
    "<unknown-session xmlns='%s'/>" % NS_JINGLE_ERRORS,))
OUT_OF_ORDER = StanzaError("wait", "unexpected-request", "the session is accepted already", (
    "<out-of-order xmlns='%s'/>" % NS_JINGLE_ERRORS,))
STALE = stanza_error("item-not-found", "the participant has another session now")
GONE = StanzaError("cancel", "gone", "session ended")
FORBIDDEN = StanzaError("auth", "forbidden", "a visitor may not send")
MAX_ANSWERS = 4
"""Answers remembered of each participant: a client's own resumption repeats what it can't know to be answered."""


def received(turn: Turn, iq: Any) -> None:
    """Answer one Jingle request of an occupant; one that was answered already gets the same answer again."""
    request = iq.payload
    occupant = turn.state.participants.get(resource(iq.from_))
    if occupant is None or occupant.jid != iq.from_ or isinstance(request, Malformed):
        _answer(turn, iq, request)
        return
    for answer in occupant.answers:
        if answer.id == iq.id and answer.sid == request.sid and answer.action == (request.action or ""):
            turn.log.info("%s repeats its %s; it gets the same answer", occupant.endpoint, request.action)
            if answer.error is None:
                turn.result(iq)
            else:
                turn.refuse(iq, answer.error)
            return
    _answer(turn, iq, request)
    answer = Answer(iq.id, request.action or "", request.sid, turn.given.get(iq.id))
    occupant.answers = (*occupant.answers[1 - MAX_ANSWERS:], answer)


def _answer(turn: Turn, iq: Any, request: Any) -> None:
    if isinstance(request, Malformed):
        turn.log.debug("Malformed Jingle request from %s: %s", iq.from_, request.text)
        turn.refuse(iq, request.error)
        return
    handler = HANDLERS.get(request.action)
    if iq.type != "set":
        turn.refuse(iq, stanza_error("feature-not-implemented", "Jingle requests are of type set"))
    elif request.action in UNSUPPORTED_ACTIONS:
        turn.refuse(iq, stanza_error("feature-not-implemented", "%s is not for the focus" % request.action))
    elif handler is None:
        turn.refuse(iq, stanza_error("bad-request", "missing or unknown action"))
    else:
        participant = turn.participant_of(request.sid, iq.from_) or _early_gateway(turn, request, iq.from_)
        if participant is None:
            turn.refuse(iq, _ended_or_unknown(turn, request, iq.from_))
        else:
            handler(turn, participant, iq, request)


def _ended_or_unknown(turn: Turn, request: Any, jid: str) -> StanzaError:
    """`gone` for a session that has ended (J-504); a stale one is unknown but to its accept (J-505)."""
    participant = _of_past_session(turn, request.sid, jid)
    if participant is None:
        return UNKNOWN_SESSION
    accepting = request.action in ("session-accept", "transport-accept")
    return GONE if accepting or participant.phase == ENDED else STALE


def _of_past_session(turn: Turn, sid: str, jid: str) -> Optional[Participant]:
    """The participant whose session this was, and who is this occupant."""
    participant = turn.state.participants.get(resource(jid))
    past = participant is not None and participant.jid == jid and sid in participant.refused_sids
    return participant if past else None


def _early_gateway(turn: Turn, request: Any, jid: str) -> Optional[Participant]:
    """A telephone gateway whose transport, which comes before its accept, names the session before (J-562)."""
    if request.action != "transport-info":
        return None
    participant = _of_past_session(turn, request.sid, jid)
    member = turn.state.members.get(resource(jid))
    is_gateway = member is not None and FEATURE_JIGASI in member.info.features
    return participant if participant is not None and participant.phase == OFFERED and is_gateway else None


def accept(turn: Turn, participant: Participant, iq: Any, request: Any) -> None:
    """session-accept, and the transport-accept of old clients (J-521 to J-530, J-564)."""
    if participant.phase != OFFERED or (participant.accepted and request.action == "session-accept"):
        turn.refuse(iq, OUT_OF_ORDER)  # a healthy session survives a request that comes twice (J-527)
        return
    if request.sources and turn.state.is_visitor(participant.endpoint):
        _end_by_accept(turn, participant, iq, FORBIDDEN)  # J-525
        return
    participant.accepted = True
    participant.phase = ACTIVE  # before the sources: the queued updates go out with this turn (J-111)
    try:
        added = _add(turn, participant, request.sources)
    except SourceRefused as refused:
        _end_by_accept(turn, participant, iq, stanza_error("bad-request", str(refused)))
        return
    participant.attempts = 0
    bridge_session.update(turn, participant.endpoint, transport=request.transport,
                          sources=True, last_n=request.initial_last_n)
    updates.accepted(turn, participant)
    turn.result(iq)
    turn.log.debug("%s accepted with %d sources", participant.endpoint, len(added.sources))


def _end_by_accept(turn: Turn, participant: Participant, iq: Any, error: StanzaError) -> None:
    turn.log.warning("Rejecting session-accept of %s: %s", participant.endpoint, error.text)
    turn.refuse(iq, error)
    inviting.end_for_good(turn, participant)


def source_add(turn: Turn, participant: Participant, iq: Any, request: Any) -> None:
    """source-add (J-531, J-532): all or nothing, the bridge gets the whole set."""
    if turn.state.is_visitor(participant.endpoint):
        turn.refuse(iq, FORBIDDEN)
        return
    if request.sources:
        limit = _sender_limit(turn, participant, request.sources)
        if limit is not None:
            turn.refuse(iq, limit)
            return
        try:
            _add(turn, participant, request.sources)
        except SourceRefused as refused:
            turn.log.warning("Rejecting source-add: of %s: %s", participant.endpoint, refused)
            turn.refuse(iq, stanza_error("bad-request", str(refused)))
            return
        bridge_session.update(turn, participant.endpoint, sources=True)
    turn.result(iq)


def source_remove(turn: Turn, participant: Participant, iq: Any, request: Any) -> None:
    """source-remove (J-533)."""
    if request.sources:
        before = turn.state.sources.get(participant.endpoint)
        try:
            turn.state.sources.remove(participant.endpoint, request.sources)
        except SourceRefused as refused:
            turn.log.warning("Rejecting source-remove: of %s: %s", participant.endpoint, refused)
            turn.refuse(iq, stanza_error("bad-request", str(refused)))
            return
        updates.changed(turn, participant.endpoint, before)
        bridge_session.update(turn, participant.endpoint, sources=True)
    turn.result(iq)


def _add(turn: Turn, participant: Participant, sources: SourceSet) -> SourceSet:
    before = turn.state.sources.get(participant.endpoint)
    added = turn.state.sources.add(participant.endpoint, sources)
    if added:
        updates.changed(turn, participant.endpoint, before)
    return added


def _sender_limit(turn: Turn, participant: Participant, sources: SourceSet) -> Optional[StanzaError]:
    """The refusal when too many send already (J-651; the requester isn't counted)."""
    config = turn.around.config
    for media, limit in (("audio", config.max_audio_senders), ("video", config.max_video_senders)):
        if any(source.media == media for source in sources.sources) and limit < len(turn.state.members):
            if publishing.senders(turn, media, without=participant.endpoint) >= limit:
                return stanza_error("resource-constraint", "%d %s senders are the limit" % (limit, media))
    return None


def session_info(turn: Turn, participant: Participant, iq: Any, request: Any) -> None:
    """session-info: a restart in place, or an old client's report that ICE failed; else ignored (J-541 to J-544)."""
    bridge = request.bridge_session
    if bridge is not None and bridge.ice_restart:
        refusal = restarting.in_place(turn, participant, bridge.id)
        if refusal is not None:
            turn.refuse(iq, refusal)
            return
    turn.result(iq)
    if request.ice_state == "failed" and bridge is not None:
        restarting.ice_failed(turn, participant, bridge.id)


def session_terminate(turn: Turn, participant: Participant, iq: Any, request: Any) -> None:
    """session-terminate: the client leaves the call or wants a new session (J-551 to J-557)."""
    bridge = request.bridge_session
    restart = bridge is not None and bridge.restart
    turn.log.info("Received session-terminate, bsId=%s restartRequested=%s from %s: %s %s",
                  bridge.id if bridge is not None else None, restart, participant.endpoint, request.reason,
                  request.reason_text)
    if bridge is not None and bridge.id != participant.bridge_session:
        turn.refuse(iq, restarting.OTHER_BRIDGE_SESSION)
        return
    allowed = restart and restarting.session_allowed(turn, participant)
    if allowed:
        restarting.counted(turn, participant)
    inviting.end_for_good(turn, participant)
    if not restart:
        turn.result(iq)
    elif allowed:
        turn.result(iq)
        inviting.begin(turn, participant)
    else:
        turn.log.warning("Rate limiting restart request. (%s)", participant.endpoint)
        turn.refuse(iq, restarting.TOO_MANY)


def transport_info(turn: Turn, participant: Participant, iq: Any, request: Any) -> None:
    """transport-info goes to the bridge as it is, also before the accept (J-561 to J-566)."""
    if request.transport is None:
        turn.refuse(iq, stanza_error("bad-request", "no ICE-UDP transport"))
        return
    bridge_session.update(turn, participant.endpoint, transport=request.transport)
    turn.result(iq)


def transport_reject(turn: Turn, participant: Participant, iq: Any, request: Any) -> None:
    """transport-reject of old clients: noted (J-564)."""
    turn.log.info("%s rejected a transport: %s", participant.endpoint, request.reason)
    turn.result(iq)


HANDLERS: Dict[Optional[str], Callable[[Turn, Participant, Any, Any], None]] = {
    "session-accept": accept,
    "transport-accept": accept,
    "session-info": session_info,
    "session-terminate": session_terminate,
    "transport-info": transport_info,
    "transport-reject": transport_reject,
    "source-add": source_add,
    "source-remove": source_remove,
}
__all__ = ["OFFERED", "received"]
