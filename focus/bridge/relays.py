"""The links between the bridges of one conference: which there are, who is announced over them, what is asked for them.

A link has two sides, one relay on each of its bridges (B-702), and both are rows under the same number. What has to
change about a link that a bridge may know is never changed: it is expired and another one takes its place. The tree
that the links form is ``topology``'s; what bridges answer is in ``relay_replies``.

Rules of order (T-23, K-132): a side is created when both conferences stand, and after the expiry of an older relay to
the same bridge; its transport and endpoints follow when its creation is confirmed; nothing is sent for it after its
expiry. One relay a request (K-322), source sets always whole (T-31). An endpoint id that is on its way out at a bridge,
as its own or as a relayed one, is created there when that is answered (K-341), at most 2 s later.
"""
from __future__ import annotations

from typing import Dict, List, Optional, Tuple

from focus.bridge import topology
from focus.bridge.topology import Link, Node
from focus.conference.offer import relay_media
from focus.conference.state import (
    CREATING,
    EXPIRING,
    LEAVING,
    NEW,
    READY,
    BridgeSession,
    ConferenceState,
    Endpoint,
    Relay,
    RelayedEndpoint,
)
from focus.conference.turn import Turn
from focus.stanzas.colibri2 import (
    SOURCE_NAMES,
    ConferenceModify,
    EndpointRequest,
    RelayRequest,
    write_conference_modify,
)
from focus.values.sources import EMPTY_SOURCES
from focus.values.transport import Transport

EXPIRY_WAIT = 2.0
"""Seconds a creation waits for the answer to an expiry (K-132, K-341)."""
MAX_TOLD = 50
"""Endpoints in one request: a server takes stanzas of some 250 kB, and a simulcast sender's sources have 2 kB."""
SEPARATOR = "\n"
"""Between the link and the endpoints that a request is about."""

# Kinds of requests.
CREATE = "relay-create"
HAND_OVER = "relay-transport"
TELL = "relay-endpoints"
LEAVE = "relay-leave"
EXPIRE = "relay-expire"
KINDS = frozenset({CREATE, HAND_OVER, TELL, LEAVE, EXPIRE})


# --- what the conference wants --------------------------------------------------------------------------------------

def _relay_id(turn: Turn, bridge_jid: str) -> Optional[str]:
    """The bridge's relay id, unless another bridge of the conference has the same (B-604, T-32)."""
    relay_id: Optional[str] = turn.around.bridges.relay_id(bridge_jid)
    for session in turn.state.bridges.values():
        if relay_id is not None and session.relay_id == relay_id and session.bridge != bridge_jid:
            return None
    return relay_id


def attach(turn: Turn, session: BridgeSession) -> None:
    """The conference has begun to use another bridge: link it with those that are there (B-541)."""
    state = turn.state
    others = [other for other in state.bridges.values() if other is not session]
    for one in (*others, session):  # one that was begun without may have got one since
        one.relay_id = one.relay_id or _relay_id(turn, one.bridge)
    if not others:
        return
    if session.relay_id is None:
        turn.log.error("%s can't be linked with the conference's other bridges: it has no relay id of its own",
                       session.bridge)
        return
    nodes = [_node(turn, other) for other in others if other.relay_id is not None]
    made = topology.attach(turn.around.config.topology_strategy, nodes, links_of(state), _node(turn, session),
                           str(state.meshes + 1))
    if any(link.mesh != topology.CORE_MESH for link in made):
        state.meshes += 1
    for link in made:
        _link(turn, link)
    align(turn)


def detach(turn: Turn, bridge_jid: str) -> None:
    """The conference uses this bridge no more: expire the relays to it (B-740), join what it held together (B-741)."""
    state = turn.state
    for session in state.bridges.values():
        for relay in [relay for relay in session.relays.values() if relay.bridge == bridge_jid and relay.is_wanted]:
            _leave(turn, session, relay)
    nodes = [_node(turn, session) for session in state.bridges.values() if session.relay_id is not None]
    made = topology.repair(nodes, links_of(state), state.meshes + 1)
    state.meshes += len(made)
    for link in made:
        turn.log.info("Without %s, %s is cut off", bridge_jid, link.second)
        _link(turn, link)
    align(turn)


def begin_anew(turn: Turn, session: BridgeSession) -> None:
    """The conference on the bridge is ended and made again: so are its links."""
    old = [relay for relay in session.relays.values() if relay.is_wanted]
    if all(relay.phase == NEW for relay in session.relays.values()):
        return
    session.relays.clear()
    for relay in old:
        other = turn.state.bridges[relay.bridge]
        _leave(turn, other, other.relays[relay.link])
        _link(turn, _as_link(session, relay))
    align(turn)


def renew(turn: Turn, session: BridgeSession, relay: Relay, refused_sctp: bool = False, counts: bool = True) -> None:
    """Make a link again, both sides, since they have to fit: without SCTP if the session's bridge refused that.

    ``counts``: it was necessary, which a link mustn't be too often.
    """
    other = turn.state.bridges[relay.bridge]
    opposite = other.relays[relay.link]
    if refused_sctp:
        del session.relays[relay.link]  # a refused one isn't there
    else:
        _leave(turn, session, relay)
    _leave(turn, other, opposite)
    new = _link(turn, _as_link(session, relay))
    for side, before in ((session, relay), (other, opposite)):
        row = side.relays[new]
        row.sctp = False if refused_sctp or relay.sctp is False else None
        row.refused_sctp = before.refused_sctp or (refused_sctp and side is session)
        row.renewals = relay.renewals + (0 if refused_sctp or not counts else 1)
    align(turn)


def rebuild(turn: Turn, bridge_jid: str, other: Optional[str]) -> None:
    """Make a bridge's links again as the operator wants it: all, or the one to another bridge (K-539)."""
    session = turn.state.bridges.get(bridge_jid)
    for relay in [] if session is None else wanted_links(session, other):
        turn.log.info("Rebuilding the link between %s and %s, as requested", bridge_jid, relay.bridge)
        renew(turn, turn.state.bridges[bridge_jid], relay, counts=False)


def wanted_links(session: BridgeSession, other: Optional[str] = None) -> List[Relay]:
    """The session's side of the links that aren't on their way out: all, or the one to another bridge."""
    return [relay for relay in session.relays.values() if relay.is_wanted and other in (None, relay.bridge)]


def announce(turn: Turn, session: BridgeSession, endpoint: Endpoint) -> None:
    """An endpoint is being made: the other bridges have to know of it, unless it only receives (B-720)."""
    if endpoint.visitor or not session.relays:
        return
    for reached in topology.reach(links_of(turn.state), session.bridge):
        relay = _towards(turn.state.bridges[reached.node], reached.last)
        if endpoint.id not in relay.endpoints:
            relay.endpoints[endpoint.id] = RelayedEndpoint(endpoint.id)
            turn.dirty_bridges.add(reached.node)


def withdraw(turn: Turn, endpoint: str) -> None:
    """An endpoint is gone, and its bridge stays: the others have to forget it (B-722)."""
    for session in turn.state.bridges.values():
        for relay in session.relays.values():
            if endpoint in relay.endpoints and relay.is_wanted:
                _forget(turn, session, relay, endpoint)


def sources_changed(turn: Turn, endpoint: str) -> None:
    """The other bridges have to be told the endpoint's sources, all of them (B-721)."""
    for session in turn.state.bridges.values():
        for relay in session.relays.values():
            relayed = relay.endpoints.get(endpoint)
            if relayed is not None and relayed.asked and relay.is_wanted:
                relayed.send_sources = True
                turn.dirty_bridges.add(session.bridge)


def align(turn: Turn) -> None:
    """After a change of the links: every bridge is to know what is behind each of its relays (B-724, B-725)."""
    state = turn.state
    links = links_of(state)
    for session in state.bridges.values():
        if not session.relays:
            continue
        behind = topology.behind(links, session.bridge)
        for relay in session.relays.values():
            if relay.is_wanted:
                _align(turn, session, relay, {
                    endpoint.id: None for name in behind.get(relay.bridge, ())
                    for endpoint in state.bridges[name].endpoints.values() if not endpoint.visitor})


def _align(turn: Turn, session: BridgeSession, relay: Relay, wanted: Dict[str, None]) -> None:
    for endpoint in [endpoint for endpoint in relay.endpoints if endpoint not in wanted]:
        _forget(turn, session, relay, endpoint)
    for endpoint in wanted:
        if endpoint not in relay.endpoints:
            relay.endpoints[endpoint] = RelayedEndpoint(endpoint)
            turn.dirty_bridges.add(session.bridge)


def _forget(turn: Turn, session: BridgeSession, relay: Relay, endpoint: str) -> None:
    if relay.endpoints.pop(endpoint).asked:
        relay.expired = (*relay.expired, endpoint)
        turn.dirty_bridges.add(session.bridge)


def _link(turn: Turn, link: Link) -> str:
    """Rows for both sides; returns the link's number."""
    state = turn.state
    state.links += 1
    number = str(state.links)
    for here, there, initiator in ((link.first, link.second, True), (link.second, link.first, False)):
        relay_id = state.bridges[there].relay_id or ""
        state.bridges[here].relays[number] = Relay(number, there, relay_id, link.mesh, initiator)
        turn.dirty_bridges.add(here)
    turn.log.info("Linking %s with %s in mesh %s", link.second, link.first, link.mesh)
    return number


def _leave(turn: Turn, session: BridgeSession, relay: Relay) -> None:
    """The relay is to go; of one that wasn't asked for nobody knows."""
    if relay.phase == NEW:
        del session.relays[relay.link]
    else:
        relay.phase = LEAVING
        turn.dirty_bridges.add(session.bridge)


def after_reconnect(turn: Turn) -> None:
    """Answers to what was in flight won't come (DESIGN, "Coming back, refused").

    A link of which one side may or may not stand is made again. Of one that stands everything is repeated, which
    changes nothing at a bridge that has it (3.4 of the sheet); one that hasn't says so.
    """
    unknown: List[Tuple[BridgeSession, Relay]] = []
    for session in turn.state.bridges.values():
        for relay in session.relays.values():
            if relay.phase == EXPIRING:
                relay.phase = LEAVING
            elif relay.phase == CREATING:
                unknown.append((session, relay))
            elif relay.phase == READY:
                _tell_again(relay)
    for session, relay in unknown:
        if relay.is_wanted:  # the other side may have been in the same state
            renew(turn, session, relay)


def _tell_again(relay: Relay) -> None:
    relay.handed_over = False
    relay.silent_at = 0.0
    relay.expired += tuple(endpoint for endpoint in relay.expiring if endpoint not in relay.expired)
    relay.expiring = {}
    for endpoint in relay.endpoints.values():
        if endpoint.created:
            endpoint.send_sources = True
        else:
            endpoint.asked = False


# --- look-ups -------------------------------------------------------------------------------------------------------

def links_of(state: ConferenceState) -> topology.Links:
    """The links as the topology sees them."""
    return {session.bridge: {relay.bridge: relay.mesh for relay in session.relays.values() if relay.is_wanted}
            for session in state.bridges.values()}


def neighbours(session: BridgeSession) -> List[str]:
    """Bridges at the other ends of its links."""
    return [relay.bridge for relay in session.relays.values() if relay.is_wanted]


def is_leaving(session: BridgeSession, endpoint: str) -> bool:
    """Whether the bridge may still know the endpoint as a relayed one (K-341)."""
    return any(endpoint in relay.expired or endpoint in relay.expiring
               or (not relay.is_wanted and endpoint in relay.endpoints and relay.endpoints[endpoint].asked)
               for relay in session.relays.values())


def any_in(session: BridgeSession, phase: str) -> bool:
    """Whether one of its relays is in this phase."""
    return any(relay.phase == phase for relay in session.relays.values())


def _towards(session: BridgeSession, bridge_jid: str) -> Relay:
    return next(relay for relay in session.relays.values() if relay.bridge == bridge_jid and relay.is_wanted)


def _as_link(session: BridgeSession, relay: Relay) -> Link:
    """The link as it would be made again."""
    if relay.initiator:
        return Link(session.bridge, relay.bridge, relay.mesh)
    return Link(relay.bridge, session.bridge, relay.mesh)


def _node(turn: Turn, session: BridgeSession) -> Node:
    bridge = turn.around.bridges.get(session.bridge)
    if bridge is None:
        return Node(session.bridge, session.visitor, session.region, 0.0, False)
    return Node(session.bridge, session.visitor, session.region, turn.around.bridges.stress(bridge, turn.now),
                turn.around.bridges.is_overloaded(bridge, turn.now))


# --- what leaves ----------------------------------------------------------------------------------------------------

def flush(turn: Turn, session: BridgeSession, may_expire: bool) -> None:
    """Send all about the relays that may leave now to a bridge on which the conference stands.

    ``may_expire`` is false while the conference there would end with its last relay (K-352).
    """
    for relay in session.relays.values():
        if relay.phase == LEAVING and may_expire:
            relay.phase = EXPIRING
            relay.until = turn.now + EXPIRY_WAIT
            _modify(turn, session, EXPIRE, relay.link, RelayRequest(relay.relay_id, expire=True))
        elif relay.phase == READY and relay.expired:
            _send_expiries(turn, session, relay)
        for until in (*relay.expiring.values(), *((relay.until,) if relay.phase == EXPIRING else ())):
            turn.sooner("bridges", until)
    for relay in session.relays.values():
        if relay.phase == NEW:
            _send_creation(turn, session, relay)
        elif relay.phase == READY:
            if relay.transport is not None and not relay.handed_over:
                relay.handed_over = True
                _modify(turn, session, HAND_OVER, relay.link, RelayRequest(
                    relay.relay_id, transport=for_side(relay.transport, relay.initiator, bool(relay.sctp))))
            _send_endpoints(turn, session, relay)


def drop_old_waits(turn: Turn, session: BridgeSession) -> None:
    """Expiries that were waited for long enough."""
    for relay in list(session.relays.values()):
        if relay.phase == EXPIRING and relay.until <= turn.now:
            del session.relays[relay.link]
        elif any(until <= turn.now for until in relay.expiring.values()):
            relay.expiring = {endpoint: until for endpoint, until in relay.expiring.items() if until > turn.now}


def for_side(transport: Transport, initiator: bool, sctp: bool) -> Transport:
    """What one bridge said of its side, as the other one has to hear it (B-703, B-704, B-712).

    ``initiator`` is the receiver's role. It hears that the other one is active, so it waits for DTLS, and is the one
    that opens the web socket.
    """
    setup = "active" if initiator else "passive"
    return transport._replace(
        fingerprints=tuple([fingerprint._replace(setup=setup) for fingerprint in transport.fingerprints]),
        web_sockets=transport.web_sockets if initiator and not sctp else ())


def _send_creation(turn: Turn, session: BridgeSession, relay: Relay) -> None:
    other = turn.state.bridges[relay.bridge]
    if other.phase != READY or any(not old.is_wanted and old.relay_id == relay.relay_id
                                   for old in session.relays.values()):
        return
    if relay.sctp is None:
        relay.sctp = other.relays[relay.link].sctp = _may_have_sctp(turn, session, other)
    told = [endpoint.id for endpoint in _due(turn, session, relay)[:MAX_TOLD]]
    for endpoint in told:
        relay.endpoints[endpoint].asked = True
    relay.phase = CREATING
    role = ("client" if relay.initiator else "server") if relay.sctp else None
    request = _modify(turn, session, CREATE, SEPARATOR.join([relay.link, *told]), RelayRequest(
        relay.relay_id, create=True, mesh_id=relay.mesh, media=relay_media(turn.around.codecs),
        use_unique_port=relay.initiator, ice_controlling=relay.initiator, sctp_role=role,
        endpoints=tuple([_described(turn, endpoint, create=True) for endpoint in told])))
    turn.state.requests[request].sctp = bool(relay.sctp)


def _may_have_sctp(turn: Turn, *sessions: BridgeSession) -> bool:
    """Whether a link may have a channel by SCTP: it is wanted, and no bridge is known to have none (K-538)."""
    bridges = [turn.around.bridges.get(session.bridge) for session in sessions]
    return (bool(turn.around.config.octo_sctp_datachannels)
            and not any(bridge is not None and bridge.sctp is False for bridge in bridges))


def _due(turn: Turn, session: BridgeSession, relay: Relay) -> List[RelayedEndpoint]:
    """Endpoints that the bridge may be told of now: newcomers, and changed sources of those that it knows."""
    found: List[RelayedEndpoint] = []
    for endpoint in [one for one in relay.endpoints.values() if one.send_sources or not one.asked]:
        if endpoint.asked:
            if endpoint.created:
                found.append(endpoint)
        elif endpoint.id in session.expiring:
            turn.sooner("bridges", session.expiring[endpoint.id])
        elif endpoint.id not in session.expired and not is_leaving(session, endpoint.id):
            found.append(endpoint)
    return found


def _send_endpoints(turn: Turn, session: BridgeSession, relay: Relay) -> None:
    """Tell the bridge of endpoints behind a relay that it has (K-550, K-551)."""
    due = _due(turn, session, relay)
    for first in range(0, len(due), MAX_TOLD):
        some = due[first:first + MAX_TOLD]
        described = tuple([_described(turn, endpoint.id, create=not endpoint.asked) for endpoint in some])
        for endpoint in some:
            endpoint.asked = True
            endpoint.send_sources = False
        _modify(turn, session, TELL, SEPARATOR.join([relay.link, *(endpoint.id for endpoint in some)]),
                RelayRequest(relay.relay_id, endpoints=described))


def _described(turn: Turn, endpoint: str, create: bool) -> EndpointRequest:
    sources = turn.state.sources.get(endpoint) or EMPTY_SOURCES
    if not create:
        return EndpointRequest(endpoint, sources=sources)
    member = turn.state.members.get(endpoint)
    return EndpointRequest(endpoint, create=True, stats_id=member.info.stats_id if member is not None else None,
                           capabilities=(SOURCE_NAMES,), sources=sources)


def _send_expiries(turn: Turn, session: BridgeSession, relay: Relay) -> None:
    expired, relay.expired = relay.expired, ()
    relay.expiring = dict(relay.expiring, **dict.fromkeys(expired, turn.now + EXPIRY_WAIT))
    _modify(turn, session, LEAVE, SEPARATOR.join([relay.link, *expired]), RelayRequest(
        relay.relay_id, endpoints=tuple([EndpointRequest(endpoint, expire=True) for endpoint in expired])))


def _modify(turn: Turn, session: BridgeSession, kind: str, about: str, relay: RelayRequest) -> str:
    payload = write_conference_modify(ConferenceModify(turn.state.meeting_id, relays=(relay,)))
    return turn.request(kind, session.bridge, "get", payload, endpoint=about, session=session.id)
