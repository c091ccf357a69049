"""A session on a bridge that speaks Colibri 1: its table of channels, kept in step with requests and answers.

``session`` and ``replies`` know endpoints only; they come here with a request on its way out and with an answer before
anybody looks at it.
"""
from __future__ import annotations

from typing import Any, Optional

from focus.bridge import colibri1
from focus.bridge.dialect import COLIBRI1
from focus.conference.state import BridgeSession, Request
from focus.conference.turn import Turn
from focus.stanzas.colibri1 import ColibriConference, write_conference
from focus.stanzas.colibri2 import ConferenceModified, ConferenceModify
from focus.stanzas.stanza import Iq
from focus.values.channels import Leftover


def send(turn: Turn, session: BridgeSession, kind: str, modify: ConferenceModify, endpoint: str, invite: int) -> str:
    """Send a request in Colibri 1; returns its id."""
    written = colibri1.translate(modify, session.conference, session.channels)
    left = None
    if kind == "expire":
        left = Leftover(session.conference, tuple([session.channels[e.id] for e in modify.endpoints
                                                   if e.id in session.channels]))
    for entry in written.entries:
        session.channels[entry.endpoint] = entry
    request = turn.request(kind, session.bridge, "set", write_conference(written.conference), endpoint=endpoint,
                           invite=invite, session=session.id)
    turn.state.requests[request].left = left
    turn.state.requests[request].dialect = COLIBRI1
    return request


def leftover(session: BridgeSession) -> Optional[Leftover]:
    """All channels that the bridge has for this session, or None."""
    known = tuple([entry for entry in session.channels.values() if any(id_ for _, id_ in entry.ids)])
    return Leftover(session.conference, known) if session.conference and known else None


def expire_all(turn: Turn, session: BridgeSession) -> None:
    """End the conference on the bridge as far as that can be done; the next one there has an id of its own (K-701)."""
    left = leftover(session)
    if left is not None:
        expire_left(turn, session.bridge, left)
    session.conference = ""
    session.channels.clear()


def expire_left(turn: Turn, bridge: str, left: Leftover) -> None:
    """Expire channels that nobody of this conference uses any more."""
    request = turn.request("expire-conference", bridge, "set", write_conference(colibri1.expiry(left)))
    turn.state.requests[request].left = left
    turn.state.requests[request].dialect = COLIBRI1


def forget_lost(session: BridgeSession) -> None:
    """The answers that would have told these channels' ids won't come; the bridge drops what nobody uses (K-732)."""
    for entry in [entry for entry in session.channels.values() if not entry.known]:
        del session.channels[entry.endpoint]


def forget_expired(session: BridgeSession) -> None:
    """Of endpoints that are to be expired, those that have nothing on the bridge need no request."""
    if any(endpoint not in session.channels for endpoint in session.expired):
        session.expired = tuple([endpoint for endpoint in session.expired if endpoint in session.channels])


def is_expirable(session: BridgeSession, endpoint: str) -> bool:
    """Whether the ids of its channels are known; before that there is nothing to expire them by."""
    entry = session.channels.get(endpoint)
    return entry is None or entry.known


def heard(turn: Turn, request: Request, iq: Optional[Any]) -> Optional[Any]:
    """The answer as a bridge of today would have given it; the table has what it tells."""
    session = turn.state.bridges.get(request.to)
    if session is None or session.id != request.session:
        _clean_up(turn, request, iq)
        return iq
    if request.dialect != COLIBRI1:
        return iq
    asked = session.channels.get(request.endpoint)
    answer = iq.payload if iq is not None and iq.type == "result" else None
    if request.kind == "expire":
        _expired(session, request)
    if request.kind == "allocate" and asked is not None and not asked.known:
        if isinstance(answer, ColibriConference) and (answer.id or session.conference):
            session.conference = session.conference or answer.id or ""
            modified, entry = colibri1.created(answer, asked)
            if entry.ids:
                session.channels[asked.endpoint] = entry
            else:
                del session.channels[asked.endpoint]
            return _as_answer(iq, modified)
        del session.channels[asked.endpoint]
        answer = None
    if iq is None:
        return None
    if iq.type == "error":
        return Iq(iq.type, iq.id, iq.to, iq.from_, error=colibri1.normalised(iq.error, request.endpoint))
    done = isinstance(answer, ColibriConference) or (iq.payload is None and request.kind != "allocate")
    return _as_answer(iq, ConferenceModified() if done else None)


def _as_answer(iq: Any, modified: Optional[ConferenceModified]) -> Iq:
    return Iq(iq.type, iq.id, iq.to, iq.from_, modified)


def _expired(session: BridgeSession, request: Request) -> None:
    """Whatever the answer is: an endpoint that came back meanwhile has other channels, which stay."""
    for entry in request.left.channels if request.left is not None else ():
        if session.channels.get(entry.endpoint) == entry:
            del session.channels[entry.endpoint]


def _clean_up(turn: Turn, request: Request, iq: Optional[Any]) -> None:
    """A creation was answered after its session had gone: the channels are of no use (K-475)."""
    if request.kind == "allocate" and iq is not None and isinstance(iq.payload, ColibriConference):
        left = colibri1.leftover_of(iq.payload, request.endpoint)
        if left is not None:
            expire_left(turn, request.to, left)
