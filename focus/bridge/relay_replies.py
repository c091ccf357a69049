"""What a bridge's answers about relays do to the links; the judgement itself is in the tables of ``answers``."""
from __future__ import annotations

from typing import Any, List, Optional

from focus.bridge import relays
from focus.bridge.answers import INCOMPLETE, Failure, Mark, Step, Verdict, judge_relay_creation, judge_relay_update
from focus.conference.state import EXPIRING, READY, BridgeSession, Relay, Request
from focus.conference.turn import Turn

MAX_RENEWALS = 3
"""So often a link is made again for what a bridge refuses of it, before that counts as the bridge's failure."""


def answered(turn: Turn, session: BridgeSession, request: Request, failure: Optional[Failure],
             modified: Any) -> Optional[Verdict]:
    """Handle the answer to a request about a relay.

    Args:
        turn: at work.
        session: of the bridge that was asked.
        request: one of ``relays.KINDS``.
        failure: None for a proper answer.
        modified: that answer, a ``ConferenceModified``.

    Returns: what is left to be done about the session and the bridge, None for nothing.
    """
    link, *endpoints = request.endpoint.split(relays.SEPARATOR)
    relay = session.relays.get(link)
    if relay is None:
        return None  # made again meanwhile (K-534)
    if request.kind in (relays.EXPIRE, relays.LEAVE):
        if failure is not None:
            turn.log.info("Expiry at %s of %s: %s", session.bridge, relay.relay_id, failure)
        if request.kind == relays.LEAVE:
            relay.expiring = {endpoint: until for endpoint, until in relay.expiring.items()
                              if endpoint not in endpoints}
        elif relay.phase == EXPIRING:
            del session.relays[link]
        return None
    if not relay.is_wanted:
        return None
    if request.kind == relays.CREATE:
        return _creation_answered(turn, session, relay, request, failure, modified, endpoints)
    if failure is None:
        relay.silent_at = 0.0
        _confirmed(relay, endpoints)
        return None
    return _update_failed(turn, session, relay, request, failure, endpoints)


def _confirmed(relay: Relay, endpoints: List[str]) -> None:
    for name in endpoints:
        endpoint = relay.endpoints.get(name)
        if endpoint is not None and endpoint.asked:
            endpoint.created = True


def _creation_answered(turn: Turn, session: BridgeSession, relay: Relay, request: Request, failure: Optional[Failure],
                       modified: Any, endpoints: List[str]) -> Optional[Verdict]:
    answer = None
    if failure is None:
        answer = next((one for one in modified.relays if one.id == relay.relay_id), None)  # K-298
        if answer is None or answer.transport is None or not answer.transport.says_something:
            failure = Failure(INCOMPLETE, text="the answer lacks the relay or its transport")
    if failure is not None or answer is None:
        return _failed(turn, session, relay, judge_relay_creation(failure or Failure(INCOMPLETE), request.sctp))
    relay.phase = READY
    _confirmed(relay, endpoints)
    opposite = turn.state.bridges[relay.bridge].relays[relay.link]
    opposite.transport = answer.transport
    turn.dirty_bridges.add(relay.bridge)
    bridge = turn.around.bridges.get(session.bridge)
    if relay.refused_sctp and bridge is not None and bridge.sctp is None:
        return Verdict(Step.LOG, Mark.NO_SCTP, "its relays work without SCTP")
    return None


def _update_failed(turn: Turn, session: BridgeSession, relay: Relay, request: Request, failure: Failure,
                   endpoints: List[str]) -> Optional[Verdict]:
    verdict = judge_relay_update(failure, 0.0 < relay.silent_at <= request.at)
    if verdict.step is not Step.REPEAT:
        return _failed(turn, session, relay, verdict)
    turn.log.warning("%s does not answer about its relay to %s: %s", session.bridge, relay.bridge, verdict.step.value)
    relay.silent_at = relay.silent_at or turn.now  # those that were made before belong to the same silence
    if request.kind == relays.HAND_OVER:
        relay.handed_over = False
    for name in endpoints:
        endpoint = relay.endpoints.get(name)
        if endpoint is not None and endpoint.created:
            endpoint.send_sources = True
        elif endpoint is not None:
            endpoint.asked = False  # creating it again changes nothing (3.4)
    return None


def _failed(turn: Turn, session: BridgeSession, relay: Relay, verdict: Verdict) -> Optional[Verdict]:
    if verdict.step is Step.RENEW_LINK and relay.renewals >= MAX_RENEWALS:
        verdict = verdict._replace(step=Step.DROP)
    turn.log.warning("Relay on %s to %s: %s -> %s", session.bridge, relay.bridge, verdict.why, verdict.step.value)
    if verdict.step is Step.DROP:
        return verdict
    relays.renew(turn, session, relay, refused_sctp=verdict.step is Step.WITHOUT_SCTP)
    return None
