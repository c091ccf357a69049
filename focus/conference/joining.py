"""From a request to the joined room, and back into it after the focus was thrown out (C-2.3, C-4, C-712).

The exchange itself (presence, configuration form, whois, in one write: C-418) is a lane; here is what leads to it and
what its outcome means. Who asks meanwhile waits at most 5 s for the answer and never gets none (C-222, U-123).
"""
from __future__ import annotations

import uuid
from typing import Any, Optional

from focus.conference import ending, members, publishing, roles
from focus.conference.messages import Asked
from focus.conference.state import JOINED, JOINING, NICK, OVER, Asker
from focus.conference.turn import CLIENT, Turn
from focus.stanzas.conference_iq import ConferenceAnswer, write_conference_answer
from focus.stanzas.errors import StanzaError, stanza_error
from focus.stanzas.focus_presence import write_focus_presence
from focus.stanzas.muc import STATUS_AFFILIATION_CHANGED, STATUS_BANNED, STATUS_MEMBERS_ONLY
from focus.stanzas.stanza import write_error, write_result
from focus.values.addresses import bare
from focus.values.rooms import JoinOutcome

ANSWER_WITHIN = 5.0
"""Seconds after which a request that can't be served yet is answered with ready='false' (U-123)."""
MAX_ASKERS = 2000
REJOIN_LAST = 30.0
KICKED_FOR_GOOD = frozenset((STATUS_BANNED, STATUS_AFFILIATION_CHANGED, STATUS_MEMBERS_ONLY))
"""Status codes after which the focus isn't wanted in the room (C-712)."""

_NOT_ADMIN = ("the focus may not enter the room (%s): add its account to `admins` of the MUC component in Prosody's "
              "configuration (U-10)")


# --- requests -------------------------------------------------------------------------------------------------------

def asked(turn: Turn, message: Asked) -> None:
    """A client asks: answer, or let it wait for the join (C-221 to C-223)."""
    state = turn.state
    asker = Asker(message.connection, message.iq, turn.now)
    if state.phase == JOINED:
        if "initial" in state.timers:
            turn.after("initial", turn.around.config.initial_timeout)
        answer(turn, asker, ready=True)
    elif len(state.askers) >= MAX_ASKERS:
        answer(turn, asker, ready=False)
    else:
        state.askers.append(asker)
        turn.sooner("askers", turn.now + ANSWER_WITHIN)


def answer(turn: Turn, asker: Asker, ready: bool) -> None:
    """Answer one request (C-2.4)."""
    state = turn.state
    if ready:
        state.answered_at = turn.now
    payload = write_conference_answer(ConferenceAnswer(
        room=state.room, ready=ready, focusjid=bare(turn.around.own_jid()),
        properties={"authentication": "false", "visitors-supported": "false"}))
    turn.around.send(asker.connection, write_result(asker.request, payload, _sender(asker)))


def _sender(asker: Asker) -> Optional[str]:
    """A component has to say who it is (C-102)."""
    return None if asker.connection == CLIENT else asker.request.to


def answer_all(turn: Turn, ready: bool) -> None:
    """Answer everybody who waits."""
    askers, turn.state.askers = turn.state.askers, []
    turn.cancel("askers")
    for asker in askers:
        answer(turn, asker, ready)


def refuse_all(turn: Turn, error: StanzaError) -> None:
    """Refuse everybody who waits."""
    askers, turn.state.askers = turn.state.askers, []
    turn.cancel("askers")
    for asker in askers:
        turn.around.send(asker.connection, write_error(asker.request, error, _sender(asker)))


def answer_late(turn: Turn) -> None:
    """Some have waited 5 s: they ask again by themselves (C-261)."""
    state = turn.state
    late = [asker for asker in state.askers if turn.now - asker.since >= ANSWER_WITHIN]
    state.askers = [asker for asker in state.askers if turn.now - asker.since < ANSWER_WITHIN]
    for asker in late:
        answer(turn, asker, ready=False)
    if not state.askers and not state.meeting_id and not turn.around.connected():
        ending.end(turn, "there is no connection to the server", leave=False)  # nothing was begun (C-224)
    elif state.askers:
        turn.after("askers", ANSWER_WITHIN - (turn.now - state.askers[0].since))


def refuse_late(turn: Turn, message: Asked) -> None:
    """A request that met the conference in its last turn: the client asks again and gets a new one (C-815)."""
    answer(turn, Asker(message.connection, message.iq, turn.now), ready=False)


# --- the way in -----------------------------------------------------------------------------------------------------

def begin(turn: Turn, password: Optional[str] = None) -> None:
    """Enter the room, for the first time or again; members and sessions stay as they are (C-410, C-712)."""
    state = turn.state
    state.phase = JOINING
    state.present = {}
    turn.cancel("rejoin")
    if not turn.around.connected():
        return  # ConnectionBack begins anew
    turn.lane("join", room=state.room, nick=NICK, password=password,
              extensions=write_focus_presence(publishing.current(state, turn.around.caps)))


def lane_done(turn: Turn, lane_id: str, outcome: Any) -> None:
    """The exchange of a lane ended."""
    row = turn.state.lanes.pop(lane_id, None)
    if row is None or turn.state.phase == OVER:
        return
    if row.kind == "read-password":
        if outcome:
            begin(turn, password=outcome)
        else:
            _fail(turn, stanza_error("internal-server-error", "the room has a password that the focus can't read"))
    elif row.kind == "free-nick":
        if outcome:
            begin(turn)
        else:
            _fail(turn, stanza_error("conflict", "somebody else holds the nickname focus in this room"))
    elif outcome.error is None:
        _joined(turn, outcome)
    else:
        _refused(turn, outcome)


def _joined(turn: Turn, outcome: JoinOutcome) -> None:
    state, config = turn.state, turn.around.config
    state.is_owner = outcome.affiliation == "owner"
    state.whois_anyone = outcome.whois_anyone
    if not (state.whois_anyone or state.is_owner):
        _fail(turn, stanza_error("internal-server-error",
                                 "the focus isn't owner of the room and real JIDs are hidden (U-10)"))
        return
    if not state.is_owner or outcome.config_error:
        turn.log.error("Focus must be an owner! It isn't in %s (%s); the call goes on without role changes. Add %s "
                        "to `admins` of the MUC component in Prosody's configuration.", state.room,
                        outcome.config_error or outcome.affiliation, bare(turn.around.own_jid()))
    first = not state.meeting_id
    _take_meeting_id(turn, outcome)
    state.is_breakout = outcome.is_breakout
    state.phase = JOINED
    state.join_attempt = 0
    published = state.published
    published.sent, published.sent_at = publishing.current(state, turn.around.caps), turn.now
    if outcome.was_hidden and state.present:
        publishing.send(turn, published.sent)  # who was there before sees our real JID with this one (C-121)
    if first:
        turn.log.info("Joined the room, meeting id %s", state.meeting_id)
    answer_all(turn, ready=True)
    present, state.present = state.present, {}
    members.reconcile(turn, present)
    if not state.members:
        turn.after("initial", config.initial_timeout)  # counts from here (C-807)
    roles.elect(turn)


def _take_meeting_id(turn: Turn, outcome: JoinOutcome) -> None:
    """The room's meeting id, or one of our own; it never changes while the conference lives (C-423, C-427)."""
    state = turn.state
    if not state.meeting_id:
        state.meeting_id = outcome.meeting_id or str(uuid.uuid4())
    elif outcome.meeting_id and outcome.meeting_id != state.meeting_id:
        turn.log.info("The room was made anew with meeting id %s", outcome.meeting_id)
        ending.leave_bridges(turn)
        state.meeting_id = outcome.meeting_id


# --- refusals (the table of C-430) ----------------------------------------------------------------------------------

def _refused(turn: Turn, outcome: JoinOutcome) -> None:
    state = turn.state
    error = outcome.error
    turn.log.warning("Failed to join the room %s: %s %s", state.room, error, outcome.text)
    if error == "disconnected":
        return  # begun anew when the connection is back
    if state.members:
        _rejoin_later(turn)
        return
    state.join_attempt += 1
    if error == "timeout":
        if state.join_attempt <= 1:
            begin(turn)
        else:
            _fail(turn, None)
    elif error in ("item-not-found", "gone") and state.join_attempt <= 1:
        turn.after("rejoin", 1.0)
    elif error == "conflict" and state.join_attempt <= 1:
        turn.lane("free-nick", room=state.room, nick=NICK)
    elif error == "not-authorized" and state.join_attempt <= 1:
        turn.lane("read-password", room=state.room)
    elif error in ("registration-required", "forbidden", "not-allowed"):
        turn.log.error(_NOT_ADMIN, error)
        _fail(turn, stanza_error("internal-server-error", _NOT_ADMIN % error))
    elif error == "service-unavailable":
        _fail(turn, None)
    elif error in ("jid-malformed", "not-acceptable"):
        _fail(turn, stanza_error("jid-malformed", "the server refuses the room's name"))
    elif error == "remote-server-not-found":
        _fail(turn, stanza_error("item-not-found", "the server doesn't know the room's domain"))
    elif error == "conflict":
        _fail(turn, stanza_error("conflict", "somebody else holds the nickname focus in this room"))
    else:
        _fail(turn, stanza_error("internal-server-error", "the focus can't enter the room: %s" % error))


def _fail(turn: Turn, error: Optional[StanzaError]) -> None:
    """Give up on the conference; None: who waits is told to ask again (C-245)."""
    if error is None:
        answer_all(turn, ready=False)
    else:
        refuse_all(turn, error)
    ending.end(turn, "the room can't be entered")


def _rejoin_later(turn: Turn) -> None:
    """Again after 1, 2, 4 … 30 s: the calls in the room go on (C-712)."""
    turn.after("rejoin", min(REJOIN_LAST, 2.0 ** min(turn.state.join_attempt, 5)))
    turn.state.join_attempt += 1


# --- our standing in the room --------------------------------------------------------------------------------------

def own_presence(turn: Turn, stanza: Any) -> None:
    """A presence of our own occupant (C-710 to C-716)."""
    state = turn.state
    if stanza.type == "" and state.phase == JOINED and stanza.affiliation is not None:
        _own_role(turn, stanza.affiliation)
    if stanza.type != "unavailable" or state.phase == OVER:
        return
    if stanza.destroyed:
        turn.log.info("The room was destroyed: %s", stanza.destroy_reason or "no reason given")
        ending.end(turn, "the room was destroyed", leave=False)
    elif KICKED_FOR_GOOD.intersection(stanza.status_codes):
        turn.log.warning("The focus is banned from the room or may not be in it; the conference ends")
        ending.end(turn, "the focus was banned", leave=False)
    elif state.phase == JOINED:
        turn.log.warning("The focus was removed from the room (%s); it goes back in",
                         ", ".join(str(code) for code in stanza.status_codes) or "no reason given")
        begin(turn)


def _own_role(turn: Turn, affiliation: str) -> None:
    """Our own affiliation, as the room shows it with every presence of ours (M-103)."""
    owner = affiliation == "owner"
    if owner != turn.state.is_owner:
        turn.state.is_owner = owner
        if owner:
            roles.elect(turn)
        else:
            turn.log.error("Local role has no owner rights, can not manage roles. The focus was made %s in the "
                           "room; the call goes on.", affiliation)
