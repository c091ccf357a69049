"""A conference on one bridge: what is asked of the bridge, and when it may leave. ``replies`` has what comes back.

Rules of order (K-132): everything waits for the answer to the request that creates the conference on the bridge; an
endpoint's update waits for its creation; a creation waits for the expiry of the same thing, at most 2 s. All else is
pipelined: nobody waits for another participant's answer. Only expiries are gathered, since a bridge refuses two
endpoints with media, transport or sources in one request (K-321).
"""
from __future__ import annotations

import uuid
from typing import Any, List, Optional

from focus.bridge import channels, relays
from focus.bridge.dialect import COLIBRI1, COLIBRI2
from focus.bridge.throttle import LOOK_AGAIN
from focus.conference.offer import ASSUMED_FEATURES, CodecConfig, capabilities_for, media_for, without_mixing
from focus.conference.state import CREATING, LEAVING, NEW, READY, BridgeSession, Clearing, Endpoint, Participant
from focus.conference.turn import Turn
from focus.stanzas.colibri2 import ConferenceModify, EndpointRequest, write_conference_modify
from focus.values.sources import EMPTY_SOURCES
from focus.values.transport import Transport

EXPIRY_WAIT = 2.0
"""Seconds a creation waits for the answer to an expiry (K-132, B-645)."""
CLEAR_PAUSE = 0.1
SCTP_WAIT = 2.0
"""Seconds others wait until the first allocation on a new bridge has told whether it has SCTP (K-476)."""
SEPARATOR = "\n"
"""Between the ids of endpoints that one request expires; no id that is invited holds it."""
MAX_UNSENT = 16
"""Transports of a client that wait for its endpoint; a client that sends more of them is at fault."""
MAX_DROPS, DROPS_WINDOW, DROPS_BAN = 3, 30.0, 60.0
"""B-643: this many sessions dropped within so many seconds, and the bridge isn't used here for so long."""


# --- what the conference wants --------------------------------------------------------------------------------------

def allocate(turn: Turn, bridge_jid: str, participant: Participant) -> BridgeSession:
    """Put the participant's endpoint on a bridge; the request leaves when its turn has come."""
    state = turn.state
    session = state.bridges.get(bridge_jid)
    if session is None:
        bridge = turn.around.bridges.get(bridge_jid)
        session = BridgeSession(bridge_jid, str(uuid.uuid4()), bridge.region if bridge is not None else None,
                                visitor=state.is_visitor(participant.endpoint))
        state.bridges[bridge_jid] = session
        turn.around.bridges.conference(bridge_jid, +1)
        relays.attach(turn, session)
    old = session_of(turn, participant.endpoint)
    if old is not None:  # released first, never allocated twice (T-18)
        release(turn, old, participant.endpoint, keep_session=old is session)
    session.recent.add(turn.now)
    row = Endpoint(participant.endpoint, participant.invite, visitor=state.is_visitor(participant.endpoint))
    session.endpoints[participant.endpoint] = row
    relays.announce(turn, session, row)
    turn.around.bridges.placed(bridge_jid, turn.now)
    turn.dirty_bridges.add(bridge_jid)
    return session


def update(turn: Turn, endpoint: str, transport: Optional[Transport] = None, sources: bool = False,
           last_n: Optional[int] = None) -> None:
    """Tell the bridge what has become known of an endpoint (B-650)."""
    session = session_of(turn, endpoint)
    if session is None:
        return
    row = session.endpoints[endpoint]
    if transport is not None and transport.says_something:
        row.transport = transport if row.transport is None else row.transport.followed_by(transport)
        if len(row.unsent) < MAX_UNSENT:
            # one without credentials would make the bridge forget those it has
            row.unsent = (*row.unsent, transport if transport.ufrag else row.transport)
    row.send_sources = row.send_sources or sources
    if sources:
        relays.sources_changed(turn, endpoint)
    if last_n is not None:
        row.last_n = last_n
    turn.dirty_bridges.add(session.bridge)


def restart_ice(turn: Turn, endpoint: str) -> bool:
    """Have the bridge make new ICE credentials for an endpoint in place (J-863); False if it can't (Colibri 1)."""
    session = session_of(turn, endpoint)
    if session is None or session.dialect == COLIBRI1:
        return False
    session.endpoints[endpoint].ice_restart = True
    turn.dirty_bridges.add(session.bridge)
    return True


def session_of(turn: Turn, endpoint: str) -> Optional[BridgeSession]:
    """The bridge session that has this endpoint."""
    for session in turn.state.bridges.values():
        if endpoint in session.endpoints:
            return session
    return None


def expire(turn: Turn, endpoint: str) -> None:
    """The participant needs its endpoint no more (B-660)."""
    session = session_of(turn, endpoint)
    if session is not None:
        release(turn, session, endpoint)


def release(turn: Turn, session: BridgeSession, endpoint: str, keep_session: bool = False) -> None:
    """Take an endpoint out of a session; the last one takes the session with it (K-352)."""
    row = session.endpoints.pop(endpoint)
    turn.around.bridges.removed(session.bridge)
    if not session.endpoints and not keep_session:
        close(turn, session)
        return
    relays.withdraw(turn, endpoint)
    if row.asked:
        session.expired = (*session.expired, endpoint)
        turn.dirty_bridges.add(session.bridge)


def close(turn: Turn, session: BridgeSession, tell: bool = True) -> List[str]:
    """End the conference on a bridge (B-640); returns the endpoints that were on it.

    ``tell`` is false when the bridge is gone and nobody would hear it.
    """
    endpoints = list(session.endpoints)
    if tell and session.phase != NEW and turn.around.bridges.get(session.bridge) is not None:
        expire_conference(turn, session)
    elif session.phase != NEW:
        left = channels.leftover(session)
        if session.dialect == COLIBRI2 or left is not None:
            turn.around.bridges.debts.owe(session.bridge, turn.state.meeting_id, turn.now, left)
    turn.state.bridges.pop(session.bridge, None)
    turn.around.bridges.removed(session.bridge, len(endpoints))
    turn.around.bridges.conference(session.bridge, -1)
    relays.detach(turn, session.bridge)
    return endpoints


def close_all(turn: Turn) -> None:
    """The conference is over: end it on every bridge (B-662)."""
    for session in list(turn.state.bridges.values()):
        close(turn, session)


def refused_bridges(turn: Turn) -> List[str]:
    """Bridges that failed this conference too often to be asked again now (B-643)."""
    refused: List[str] = []
    if not turn.state.drops:
        return refused
    recent = {bridge: tuple(t for t in times if turn.now - t < DROPS_BAN + DROPS_WINDOW)
              for bridge, times in turn.state.drops.items()}
    turn.state.drops = {bridge: times for bridge, times in recent.items() if times}
    for bridge, times in turn.state.drops.items():
        if (len(times) >= MAX_DROPS and times[-1] - times[-MAX_DROPS] <= DROPS_WINDOW
              and turn.now - times[-1] < DROPS_BAN):
            refused.append(bridge)
    return refused


# --- what leaves ----------------------------------------------------------------------------------------------------

def flush(turn: Turn, bridge_jid: str) -> None:
    """Send all that may leave now to one bridge."""
    session = turn.state.bridges.get(bridge_jid)
    if (session is None or session.phase == CREATING or not turn.around.connected()
            or not turn.around.bridges.signs.is_reachable(bridge_jid)):
        return
    _drop_old_waits(turn, session)
    if bridge_jid in turn.state.clearing:
        turn.sooner("bridges", turn.state.clearing[bridge_jid].until)
        return
    if session.phase == NEW and not _is_dialect_known(turn, session):
        return
    if session.dialect == COLIBRI1:
        channels.forget_expired(session)
    waits = False
    for row in list(session.endpoints.values()):
        if not row.asked:
            if row.id in session.expiring:
                turn.sooner("bridges", session.expiring[row.id])
            elif not (waits or row.id in session.expired or relays.is_leaving(session, row.id)):
                waits = not _may_be_asked(turn, bridge_jid)
                if not waits:
                    _send_creation(turn, session, row)
                if session.phase == CREATING:
                    return
        elif row.created:
            while row.unsent or row.send_sources or row.last_n is not None:
                _send_update(turn, session, row)
            if row.ice_restart:
                row.ice_restart = False
                _modify(turn, session.id, session.bridge, "ice-restart", [EndpointRequest(row.id, ice_restart=True)],
                        row.id, row.invite)
    if session.phase != READY:
        return
    is_held = any(row.created for row in session.endpoints.values()) or relays.any_in(session, READY)
    if is_held and session.expired:
        _send_expiries(turn, session)
    elif (session.expired or relays.any_in(session, LEAVING)) and not is_held and not (
            any(row.asked for row in session.endpoints.values()) or relays.any_in(session, CREATING)):
        _start_anew(turn, session)
        if session.dialect == COLIBRI1:  # the next conference needn't wait for the end of this one
            flush(turn, bridge_jid)
        return
    relays.flush(turn, session, may_expire=is_held)


def _may_be_asked(turn: Turn, bridge_jid: str) -> bool:
    """Whether the bridge hasn't too much to answer; if it has, the conference is told when that is over (B-612)."""
    throttle = turn.around.throttle
    if throttle.has_room(bridge_jid, turn.requested.get(bridge_jid, 0)):
        return True
    throttle.wait(bridge_jid, turn.state.room)
    turn.around.bridges.counters.throttled += 1
    turn.sooner("bridges", turn.now + LOOK_AGAIN)
    return False


def _is_dialect_known(turn: Turn, session: BridgeSession) -> bool:
    """Which version the conference will be held in on this bridge; a new bridge is waited for till it has told."""
    until = turn.around.bridges.dialects.awaited_until(session.bridge, turn.now)
    if until is not None:
        turn.sooner("bridges", until)
        return False
    session.dialect = turn.around.bridges.dialects.of(session.bridge)
    return True


def _start_anew(turn: Turn, session: BridgeSession) -> None:
    """Nothing of this session is left on the bridge but what is to be expired: the conference ends with it (K-352).

    Those that wait get a new one under a new session id, so that answers of the old one are known.
    """
    session.phase = NEW
    session.id = str(uuid.uuid4())
    session.expired = ()
    session.expiring = {}
    relays.begin_anew(turn, session)
    expire_conference(turn, session)


def begin_again(turn: Turn, session: BridgeSession) -> None:
    """The bridge didn't know what it was asked, so nothing of this session is on it: all is asked for anew."""
    session.phase = NEW
    session.id = str(uuid.uuid4())
    session.expired = ()
    session.expiring = {}
    for row in session.endpoints.values():
        row.asked = False
    relays.begin_anew(turn, session)
    let_others_ask(turn, session.bridge)


def _drop_old_waits(turn: Turn, session: BridgeSession) -> None:
    clearing = turn.state.clearing.get(session.bridge)
    if clearing is not None and clearing.until <= turn.now:
        del turn.state.clearing[session.bridge]
    if any(until <= turn.now for until in session.expiring.values()):
        session.expiring = {e: until for e, until in session.expiring.items() if until > turn.now}
    relays.drop_old_waits(turn, session)


def _modify(turn: Turn, session_id: str, bridge: str, kind: str, endpoints: List[EndpointRequest],
            endpoint: str = "", invite: int = 0, sctp: bool = False, **attributes: Any) -> str:
    modify = ConferenceModify(turn.state.meeting_id, endpoints=tuple(endpoints), **attributes)
    session = turn.state.bridges.get(bridge)
    if session is not None and session.dialect == COLIBRI1:
        modify = modify._replace(name=turn.state.room, rtcstats=_wants_rtcstats(turn))
        request = channels.send(turn, session, kind, modify, endpoint, invite)
    else:
        request = turn.request(kind, bridge, "get", write_conference_modify(modify), endpoint=endpoint, invite=invite,
                               session=session_id)
    turn.state.requests[request].sctp = sctp
    return request


def _wants_rtcstats(turn: Turn) -> bool:
    return turn.state.properties.get("rtcstatsEnabled", "").strip().lower() in ("", "true")


def _send_creation(turn: Turn, session: BridgeSession, row: Endpoint) -> None:
    state = turn.state
    participant = state.participants.get(row.id)
    bridge = turn.around.bridges.get(session.bridge)
    if participant is None:
        return
    row.sctp = (turn.around.config.sctp_enabled and participant.features is not None and participant.features.sctp
                and not (bridge is not None and bridge.sctp is False))
    if row.sctp and bridge is not None and bridge.sctp is None:
        if turn.now < bridge.sctp_asked_at + SCTP_WAIT:
            turn.sooner("bridges", bridge.sctp_asked_at + SCTP_WAIT)
            return
        bridge.sctp_asked_at = turn.now
    member = state.members.get(row.id)
    codecs = codecs_on(turn, session)
    if session.dialect == COLIBRI1:
        participant.rewriting = False
    capabilities = capabilities_for(participant.features or ASSUMED_FEATURES, participant.rewriting,
                                    turn.around.config.use_rtp_mid_demux, codecs)
    request = EndpointRequest(row.id, create=True, stats_id=member.info.stats_id if member is not None else None,
                              muc_role="visitor" if state.is_visitor(row.id) else None,
                              media=media_for(participant.features or ASSUMED_FEATURES, codecs),
                              sctp=row.sctp, capabilities=capabilities,
                              sources=state.sources.get(row.id) or EMPTY_SOURCES)
    if session.phase == NEW:
        _modify(turn, session.id, session.bridge, "allocate", [request], row.id, row.invite, row.sctp, create=True,
                name=state.room, rtcstats=_wants_rtcstats(turn))
        session.phase = CREATING
    else:
        _modify(turn, session.id, session.bridge, "allocate", [request], row.id, row.invite, row.sctp)
    row.asked = True


def _send_update(turn: Turn, session: BridgeSession, row: Endpoint) -> None:
    member = turn.state.members.get(row.id)
    request = EndpointRequest(row.id, stats_id=member.info.stats_id if member is not None else None,
                              transport=row.unsent[0] if row.unsent else None,
                              sources=(turn.state.sources.get(row.id) or EMPTY_SOURCES) if row.send_sources else None,
                              initial_last_n=row.last_n)
    row.unsent = row.unsent[1:]
    row.send_sources = False
    row.last_n = None
    _modify(turn, session.id, session.bridge, "update", [request], row.id, row.invite)


def _send_expiries(turn: Turn, session: BridgeSession) -> None:
    expired = session.expired
    session.expired = tuple([e for e in expired if not channels.is_expirable(session, e)])
    expired = tuple([e for e in expired if e not in session.expired])
    if not expired:
        return
    session.expiring = dict(session.expiring, **dict.fromkeys(expired, turn.now + EXPIRY_WAIT))
    turn.sooner("bridges", turn.now + EXPIRY_WAIT)
    _modify(turn, session.id, session.bridge, "expire",
            [EndpointRequest(endpoint, expire=True) for endpoint in expired], SEPARATOR.join(expired))


def codecs_on(turn: Turn, session: BridgeSession) -> CodecConfig:
    """The configured codecs, without what the session's bridge can't handle; for its endpoint and the offer alike."""
    return without_mixing(turn.around.codecs) if session.dialect == COLIBRI1 else turn.around.codecs


def expire_conference(turn: Turn, session: BridgeSession, pause: float = 0.0) -> None:
    """End whatever stands on the bridge under our meeting id; the next creation waits for the answer (B-645).

    With Colibri 1 the channels we know are expired, and nothing waits for that (K-731).
    """
    if session.dialect == COLIBRI1:
        channels.expire_all(turn, session)
        return
    bridge = session.bridge
    request = _modify(turn, "", bridge, "expire-conference", [], expire=True)
    turn.state.clearing[bridge] = Clearing(bridge, request, turn.now + EXPIRY_WAIT, pause)
    turn.sooner("bridges", turn.now + EXPIRY_WAIT)


def after_reconnect(turn: Turn) -> None:
    """The stream is new and answers to what was in flight won't come; by kind (DESIGN, "Coming back, refused").

    What may or may not have been created is expired and created again (K-340); every other endpoint is probed by its
    full sources (K-330).
    """
    turn.state.clearing.clear()
    for session in turn.state.bridges.values():
        session.expired += tuple(endpoint for endpoint in session.expiring if endpoint not in session.expired)
        session.expiring = {}
        channels.forget_lost(session)
        let_others_ask(turn, session.bridge)
        if session.phase == CREATING:
            session.phase = NEW
            session.expired = ()
            expire_conference(turn, session, CLEAR_PAUSE)
        for row in session.endpoints.values():
            if row.created:
                row.send_sources = True
                row.unsent = (row.transport,) if row.transport is not None else ()
            elif row.asked:
                row.asked = False
                if session.phase == READY:
                    session.expired = (*session.expired, row.id)
    relays.after_reconnect(turn)
    turn.dirty_bridges.update(turn.state.bridges)


def let_others_ask(turn: Turn, bridge_jid: str) -> None:
    """Whoever asked for SCTP got no answer to that: the next may ask."""
    bridge = turn.around.bridges.get(bridge_jid)
    if bridge is not None and bridge.sctp is None:
        bridge.sctp_asked_at = float("-inf")
