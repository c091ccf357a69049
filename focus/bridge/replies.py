"""What a bridge's answers do to the conference's session on it, and what the conference has to do about participants.

The judgement itself, from condition and reason to the next step, is in the tables of ``answers``.
"""
from __future__ import annotations

from typing import Any, List, NamedTuple, Optional, Union

from focus.bridge import channels, relay_replies, relays
from focus.bridge import session as sending
from focus.bridge.answers import (
    INCOMPLETE,
    NONSENSE,
    TIMEOUT,
    Failure,
    Mark,
    Step,
    Verdict,
    judge_allocation,
    judge_update,
)
from focus.bridge.bridge import Bridge, PoolEvent
from focus.bridge.dialect import COLIBRI2, is_unknown_element
from focus.conference.state import CREATING, NEW, READY, Allocated, BridgeSession, Endpoint, Request
from focus.conference.turn import Turn
from focus.stanzas.colibri2 import ConferenceModified
from focus.values.transport import Transport

MAX_CLEARS = 3
"""So often a stale conference is cleared away for one session before that counts as a failure (B-645)."""


class Retry(NamedTuple):
    """One participant's allocation failed; it is to be tried once on another bridge (K-471)."""

    endpoint: str
    invite: int
    bridge: str
    why: str


class Reinvite(NamedTuple):
    """These participants have no endpoint any more and need a new invitation (B-820)."""

    endpoints: List[str]
    bridge: str
    why: str


class IceRestarted(NamedTuple):
    """The bridge has new ICE credentials for an endpoint (J-864)."""

    endpoint: str
    invite: int
    transport: Transport


Consequence = Union[Allocated, Retry, Reinvite, IceRestarted]


def answered(turn: Turn, request: Request, iq: Optional[Any]) -> List[Consequence]:
    """Handle the answer to a request to a bridge (kinds allocate, update, ice-restart, expire, expire-conference)."""
    iq = channels.heard(turn, request, iq)
    if request.kind == "expire-conference":
        failure = _failure(iq)
        if failure is not None and failure.reason is None and failure.condition in (TIMEOUT, "item-not-found"):
            # it isn't there, or doesn't hear
            turn.around.bridges.debts.owe(request.to, turn.state.meeting_id, turn.now, request.left)
        _conference_expired(turn, request)
        return []
    session = turn.state.bridges.get(request.to)
    if session is None or session.id != request.session:
        failure = _failure(iq) if request.kind == "allocate" else None
        if failure is not None and is_unknown_element(failure, request.sctp):
            turn.around.bridges.dialects.refused(request.to, request.dialect)  # the next session knows it then
        return []  # of a session already dropped (K-484)
    turn.dirty_bridges.add(session.bridge)
    if request.kind == "expire":
        for endpoint in request.endpoint.split(sending.SEPARATOR):
            session.expiring.pop(endpoint, None)
        session.touch()
        return []
    if request.kind in relays.KINDS:
        failure = _failure(iq)
        verdict = relay_replies.answered(turn, session, request, failure, None if iq is None else iq.payload)
        return [] if verdict is None else _consequences(turn, session, verdict)
    row = session.endpoints.get(request.endpoint)
    if request.kind == "allocate":
        return _allocation_answered(turn, session, row, request, iq)
    if request.kind == "ice-restart":
        return _ice_restart_answered(turn, session, row, request, iq)
    failure = _failure(iq)
    if failure is None or row is None or row.invite != request.invite:
        if row is not None:
            row.repeated = False
        return []
    return _update_failed(turn, session, row, failure)


def _consequences(turn: Turn, session: BridgeSession, verdict: Verdict) -> List[Consequence]:
    _mark(turn, session.bridge, verdict)
    return [drop(turn, session, verdict.why)] if verdict.step is Step.DROP else []


def _failure(iq: Optional[Any]) -> Optional[Failure]:
    """None for a proper answer."""
    if iq is None:
        return Failure(TIMEOUT)
    if iq.type == "error":
        error = iq.error
        return Failure(error.condition, error.colibri_reason, error.text, error.colibri_endpoint)
    return None if isinstance(iq.payload, ConferenceModified) else Failure(NONSENSE)


def _conference_expired(turn: Turn, request: Request) -> None:
    clearing = turn.state.clearing.get(request.to)
    if clearing is None or clearing.request != request.id:
        return
    if clearing.pause:
        clearing.until = turn.now + clearing.pause
        clearing.pause = 0.0
        turn.sooner("bridges", clearing.until)
    else:
        del turn.state.clearing[request.to]
        turn.dirty_bridges.add(request.to)


def _allocation_answered(turn: Turn, session: BridgeSession, row: Optional[Endpoint], request: Request,
                         iq: Optional[Any]) -> List[Consequence]:
    current = row is not None and row.invite == request.invite
    asked_sctp = request.sctp
    failure = _failure(iq)
    answer = None
    if failure is None and iq is not None:
        modified = iq.payload
        if modified.feedback:
            session.feedback = modified.feedback
        answer = next((e for e in modified.endpoints if e.id == request.endpoint), None)
        if session.phase == CREATING:
            _stands(turn, session)
        if current and (answer is None or answer.transport is None or (asked_sctp and answer.sctp_port is None)):
            failure = Failure(INCOMPLETE, text="the answer lacks the transport or the SCTP port")
    if failure is not None:
        if is_unknown_element(failure, asked_sctp) and _is_other_dialect(turn, session, failure):
            sending.begin_again(turn, session)
            if len(turn.state.bridges) > 1:  # it can't be one of several (K-833)
                return [drop(turn, session, "it speaks another version than the conference's other bridges")]
            return []
        return _allocation_failed(turn, session, row if current else None, request, failure, asked_sctp)
    turn.around.bridges.dialects.answered(session.bridge, session.dialect)
    if row is None or not current or answer is None:
        return []  # it left meanwhile; its expiry has been sent (K-475)
    row.created = True
    session.internal_error_of = ""
    bridge = turn.around.bridges.get(session.bridge)
    if asked_sctp and bridge is not None:
        _sctp_known(turn, bridge, True)
    return [Allocated(row.id, row.invite, answer.transport, answer.sctp_port if asked_sctp else None, session.bridge)]


def _stands(turn: Turn, session: BridgeSession) -> None:
    """The conference is on the bridge: its side of the links may be made, and the others' (K-510)."""
    session.phase = READY
    turn.dirty_bridges.update(relays.neighbours(session))


def _is_other_dialect(turn: Turn, session: BridgeSession, failure: Failure) -> bool:
    """The bridge doesn't know what it was asked; whether it is to be asked in the other version of Colibri (K-830)."""
    dialects = turn.around.bridges.dialects
    if dialects.refused(session.bridge, session.dialect):
        turn.log.warning("%s doesn't know Colibri %d (%s)", session.bridge, session.dialect, failure)
        return True
    if not session.conference:  # it refused both: what the first request may have left is expired in this one
        session.dialect = dialects.of(session.bridge)
    return False


def _allocation_failed(turn: Turn, session: BridgeSession, row: Optional[Endpoint], request: Request,
                       failure: Failure, asked_sctp: bool) -> List[Consequence]:
    again = session.internal_error_of not in ("", request.endpoint)
    verdict = judge_allocation(failure, asked_sctp, again)
    sending.let_others_ask(turn, session.bridge)
    turn.log.warning("Allocation of %s on %s failed: %s -> %s", request.endpoint, session.bridge, verdict.why,
                     verdict.step.value)
    _say_who_is_at_fault(turn, session.bridge, request, failure)
    was_creating = session.phase == CREATING
    _mark(turn, session.bridge, verdict)
    if failure.condition == "internal-server-error":
        session.internal_error_of = request.endpoint
    if verdict.step is Step.WITHOUT_SCTP:
        if session.dialect == COLIBRI2 or session.conference:
            _stands(turn, session)  # although its first endpoint was refused (K-311)
        else:
            session.phase = NEW
        if row is not None:
            row.asked = False
        return []
    if verdict.step is Step.CLEAR and was_creating and session.clears < MAX_CLEARS:
        session.clears += 1
        session.phase = NEW
        session.expired = ()
        sending.expire_conference(turn, session, sending.CLEAR_PAUSE)
        for endpoint in session.endpoints.values():
            endpoint.asked = False
        return []
    if verdict.step is Step.RETRY_ELSEWHERE:
        return _give_up_endpoint(turn, session, row, request, failure, was_creating)
    return [drop(turn, session, verdict.why)]


def _say_who_is_at_fault(turn: Turn, bridge_jid: str, request: Request, failure: Failure) -> None:
    """A bridge doesn't answer what it can't read (K-113): then it isn't the bridge that has to be mended (KT-14)."""
    bridges = turn.around.bridges
    bridge = bridges.get(bridge_jid)
    if failure.condition == TIMEOUT and bridge is not None and bridges.signs.answered_at(bridge) > request.at:
        turn.log.warning("%s has answered other requests meanwhile; if this happens again, see its log for a request "
                         "that it couldn't parse, which would be our mistake", bridge_jid)


def _give_up_endpoint(turn: Turn, session: BridgeSession, row: Optional[Endpoint], request: Request,
                      failure: Failure, was_creating: bool) -> List[Consequence]:
    """Only this participant failed; what the request may have left on the bridge is expired (K-471, B-642)."""
    if was_creating:
        session.phase = NEW
        session.expired = ()
        sending.expire_conference(turn, session, sending.CLEAR_PAUSE)
        if row is not None:
            row.asked = False
    if row is None:
        return []
    sending.release(turn, session, row.id)
    return [Retry(row.id, row.invite, session.bridge, str(failure))]


def _update_failed(turn: Turn, session: BridgeSession, row: Endpoint, failure: Failure) -> List[Consequence]:
    verdict = judge_update(failure, row.repeated)
    turn.log.warning("Update of %s on %s failed: %s -> %s", row.id, session.bridge, verdict.why, verdict.step.value)
    _mark(turn, session.bridge, verdict)
    if verdict.step is Step.REPEAT:
        row.repeated = True
        row.send_sources = True
        row.unsent = (row.transport,) if row.transport is not None else ()
        return []
    if verdict.step is Step.FORGET_ENDPOINT:
        gone = verdict.endpoint or row.id
        if session.endpoints.pop(gone, None) is None:
            return []
        if gone in session.channels:
            session.expired = (*session.expired, gone)  # only one of its channels may be gone (K-744)
        turn.around.bridges.removed(session.bridge)
        if session.endpoints:
            relays.withdraw(turn, gone)  # B-654
        else:
            sending.close(turn, session)
        return [Reinvite([gone], session.bridge, verdict.why)]
    return [drop(turn, session, verdict.why)]


def _ice_restart_answered(turn: Turn, session: BridgeSession, row: Optional[Endpoint], request: Request,
                          iq: Optional[Any]) -> List[Consequence]:
    """New credentials, or none needed (J-866), or the bridge can't do it: then that participant gets a new session.

    Without an answer nothing is done: the client falls back by itself (J-867).
    """
    failure = _failure(iq)
    if row is None or row.invite != request.invite or (failure is not None and failure.condition == TIMEOUT):
        return []
    answer = None if failure is not None or iq is None else iq.payload.endpoint(row.id)
    if answer is None or answer.transport is None:
        why = "it was refused a restart of ICE in place" + (" (%s)" % (failure,) if failure is not None else "")
        turn.log.warning("%s on %s: %s", row.id, session.bridge, why)
        sending.release(turn, session, row.id)
        return [Reinvite([row.id], session.bridge, why)]
    if answer.transport.ice_generation is None:
        turn.log.debug("%s keeps its ICE agent", row.id)
        return []
    return [IceRestarted(row.id, row.invite, answer.transport)]


def drop(turn: Turn, session: BridgeSession, why: str, tell: bool = True) -> Reinvite:
    """The session has failed: forget it; everybody on it needs a new invitation (B-640, B-820)."""
    drops = turn.state.drops
    turn.around.bridges.counters.bridges_removed += 1
    turn.state.drops = dict(drops, **{session.bridge: (*drops.get(session.bridge, ()), turn.now)})
    endpoints = sending.close(turn, session, tell=tell and turn.around.bridges.get(session.bridge) is not None)
    turn.log.warning("Removing the session on %s with %d participants: %s", session.bridge, len(endpoints), why)
    return Reinvite(endpoints, session.bridge, why)


def _sctp_known(turn: Turn, bridge: Bridge, has_sctp: bool) -> None:
    """The first answer of a bridge tells; who waited for it goes on."""
    if bridge.sctp != has_sctp:
        bridge.sctp = has_sctp
        turn.around.tell(PoolEvent("known", bridge.jid, "it has SCTP" if has_sctp else "it has no SCTP"))


def _mark(turn: Turn, bridge_jid: str, verdict: Verdict) -> None:
    bridge = turn.around.bridges.get(bridge_jid)
    if bridge is None:
        return
    if verdict.mark is Mark.FAILED:
        turn.around.bridges.failed(bridge_jid, verdict.why, turn.now)
    elif verdict.mark is Mark.GRACEFUL:
        bridge.graceful_shutdown = True
    elif verdict.mark is Mark.NO_SCTP:
        _sctp_known(turn, bridge, False)
        turn.log.info("%s has no SCTP; endpoints on it get a web socket for their bridge channel.", bridge_jid)
