"""Into the room, and back into it after the focus was thrown out (C-4, C-7.2).

The exchange itself (presence, configuration form, whois, in one write: C-418) is a lane; here is what leads to it and
what its outcome means.
"""
from __future__ import annotations

import uuid
from typing import Any, Optional

from focus.conference import asking, ending, inviting, members, publishing, roles, updates
from focus.conference.state import JOINED, JOINING, NICK, OVER
from focus.conference.turn import Turn
from focus.stanzas.errors import StanzaError, stanza_error
from focus.stanzas.focus_presence import write_focus_presence
from focus.stanzas.muc import STATUS_AFFILIATION_CHANGED, STATUS_BANNED, STATUS_MEMBERS_ONLY
from focus.stanzas.stanza import read_stanza
from focus.values.addresses import bare
from focus.values.rooms import JoinOutcome

REJOIN_LAST = 30.0
KICKS_APART = 60.0
"""Seconds in the room after which a removal counts as the first of its series again (C-712)."""
KICKED_FOR_GOOD = frozenset((STATUS_BANNED, STATUS_AFFILIATION_CHANGED, STATUS_MEMBERS_ONLY))
"""Status codes after which the focus isn't wanted in the room (C-712)."""

_NOT_ADMIN = ("the focus may not enter the room (%s): add its account to `admins` of the MUC component in Prosody's "
              "configuration (U-10)")


def begin(turn: Turn, password: Optional[str] = None, lift: Optional[str] = None) -> None:
    """Enter the room, for the first time or again; members and sessions stay as they are (C-410, C-712).

    Args:
        password: of the room (C-432).
        lift: bare JID of an impostor that we banned and whose ban ends with our entry (C-431).
    """
    state = turn.state
    state.phase = JOINING
    state.present.clear()
    state.seen_inside = state.thrown_out = False
    turn.cancel("rejoin")
    if not turn.around.connected():
        return  # ConnectionBack begins anew
    state.published.sent = publishing.current(state, turn.around.caps)
    turn.lane("join", room=state.room, nick=NICK, password=password, lift=lift,
              extensions=write_focus_presence(state.published.sent))


def lane_done(turn: Turn, lane_id: str, outcome: Any) -> None:
    """The exchange of a lane ended."""
    row = turn.state.lanes.pop(lane_id, None)
    if row is None or turn.state.phase == OVER:
        return
    if row.kind == "join" or isinstance(outcome, JoinOutcome):
        if outcome.error is None and not turn.state.thrown_out:
            _joined(turn, outcome)
        else:
            _refused(turn, outcome if outcome.error is not None else JoinOutcome("gone", "removed while entering"))
    elif row.kind == "read-password":
        if outcome:
            begin(turn, password=outcome)
        else:
            _give_up(turn, stanza_error("internal-server-error", "the room has a password that the focus can't read"))
    elif outcome:
        begin(turn, lift=outcome)
    else:
        _give_up(turn, stanza_error("conflict", "somebody else holds the nickname focus in this room"))


def _joined(turn: Turn, outcome: JoinOutcome) -> None:
    state, config = turn.state, turn.around.config
    state.is_owner = outcome.affiliation == "owner"
    if not (outcome.whois_anyone or state.is_owner):
        _give_up(turn, stanza_error("internal-server-error",
                                    "the focus isn't owner of the room and real JIDs are hidden (U-10)"))
        return
    if not state.is_owner or outcome.config_error:
        turn.log.error("Focus must be an owner! It isn't in %s (%s); the call goes on without role changes. Add %s "
                       "to `admins` of the MUC component in Prosody's configuration. (U-10)", state.room,
                       outcome.config_error or outcome.affiliation, bare(turn.around.own_jid()))
    _take_meeting_id(turn, outcome)
    state.is_breakout = outcome.is_breakout
    state.phase = JOINED
    state.join_attempt = 0
    state.joined_at = state.published.sent_at = turn.now
    if outcome.was_hidden and state.present and state.published.sent is not None:
        publishing.send(turn, state.published.sent)  # who was there before sees our real JID with this one (C-121)
    asking.answer_all(turn, ready=True)
    present = {nick: read_stanza(text) for nick, text in state.present.items()}
    state.present.clear()
    members.reconcile(turn, present)
    if not state.members:
        turn.after("initial", config.initial_timeout)  # counts from here (C-807)
    else:
        inviting.terminate_owed(turn)
        inviting.consider(turn)
        inviting.retry_waiting(turn)
        inviting.offer_held(turn)
        ending.check(turn)
    updates.flush_delayed(turn)  # what was held back while we weren't in the room
    roles.elect(turn)


def _take_meeting_id(turn: Turn, outcome: JoinOutcome) -> None:
    """The room's meeting id, or one of our own; it never changes while the conference lives (C-423, C-427)."""
    state = turn.state
    outcome = outcome._replace(meeting_id=outcome.meeting_id.strip())
    if outcome.meeting_id and not turn.around.claim_meeting(outcome.meeting_id, state.room):
        turn.log.warning("Meeting id %s belongs to another room already; towards bridges this one gets its own",
                         outcome.meeting_id)
        outcome = outcome._replace(meeting_id="")  # C-426
    if not state.meeting_id:
        state.meeting_id = outcome.meeting_id or str(uuid.uuid4())
        turn.log.info("Joined the room, meeting id %s", state.meeting_id)
    elif outcome.meeting_id and outcome.meeting_id != state.meeting_id:
        turn.log.info("The room was made anew with meeting id %s", outcome.meeting_id)
        ending.leave_bridges(turn)  # C-1037
        state.meeting_id = outcome.meeting_id


# --- refusals (the table of C-430) ----------------------------------------------------------------------------------

def _refused(turn: Turn, outcome: JoinOutcome) -> None:
    state = turn.state
    error = outcome.error or ""
    if error == "not-allowed" and "remote" in outcome.text.lower():
        error = "remote-server-not-found"  # a server without s2s says it like this (U-5)
    turn.log.warning("Failed to join the room %s: %s %s", state.room, error, outcome.text)
    if error == "disconnected":
        return  # begun anew when the connection is back
    state.join_attempt += 1
    first = state.join_attempt <= 1
    if error == "conflict" and first:
        turn.lane("free-nick", room=state.room, nick=NICK, own=bare(turn.around.own_jid()))
    elif error == "not-authorized" and first:
        turn.lane("read-password", room=state.room)
    elif error in ("registration-required", "forbidden", "not-allowed"):
        turn.log.error(_NOT_ADMIN, error)
        _fail(turn, stanza_error("internal-server-error", _NOT_ADMIN % error))
    elif state.members:
        _rejoin_later(turn)
    elif error == "timeout" and first:
        begin(turn)
    elif error in ("item-not-found", "gone") and first:
        turn.after("rejoin", 1.0)
    else:
        _fail(turn, _answer_to(error))


def _answer_to(error: str) -> Optional[StanzaError]:
    """What clients are told when the room can't be entered; None: to ask again, since it heals (C-262)."""
    if error in ("timeout", "service-unavailable"):
        return None
    if error in ("jid-malformed", "not-acceptable"):
        return stanza_error("jid-malformed", "the server refuses the room's name")
    if error == "remote-server-not-found":
        return stanza_error("item-not-found", "the server doesn't know the room's domain")
    if error == "conflict":
        return stanza_error("conflict", "somebody else holds the nickname focus in this room")
    return stanza_error("internal-server-error", "the focus can't enter the room: %s" % error)


def _give_up(turn: Turn, error: StanzaError) -> None:
    """A way in has failed: with people in the room it is tried again later, otherwise the conference ends."""
    if turn.state.members:
        _rejoin_later(turn)
    else:
        _fail(turn, error)


def _fail(turn: Turn, error: Optional[StanzaError]) -> None:
    """Give up on the conference; None: who waits is told to ask again (C-245)."""
    if error is not None:
        asking.refuse_all(turn, error)
    ending.end(turn, "the room can't be entered")


def _rejoin_later(turn: Turn) -> None:
    """Again after 1, 2, 4 … 30 s: the calls in the room go on (C-712)."""
    state = turn.state
    state.phase = JOINING
    turn.after("rejoin", min(REJOIN_LAST, 2.0 ** min(max(0, state.join_attempt - 1), 5)))


# --- our standing in the room ---------------------------------------------------------------------------------------

def own_presence(turn: Turn, stanza: Any) -> None:
    """A presence of our own occupant (C-710 to C-716)."""
    state = turn.state
    if stanza.type == "":
        state.seen_inside = True
        if state.phase == JOINED and stanza.affiliation is not None:
            _own_role(turn, stanza.affiliation)
    if stanza.type == "error" and state.phase == JOINED:
        turn.log.warning("The room doesn't take our presence (%s): it has lost us, and the focus goes back in",
                         stanza.error.condition if stanza.error is not None else "no reason given")
        _go_back(turn)
    if stanza.type != "unavailable" or state.phase == OVER:
        return
    if state.phase == JOINING and not state.seen_inside and not stanza.destroyed:
        return  # the echo of an earlier conference's leave (C-815)
    if stanza.destroyed:
        turn.log.info("The room was destroyed: %s", stanza.destroy_reason or "no reason given")
        ending.end(turn, "the room was destroyed", leave=False)
    elif KICKED_FOR_GOOD.intersection(stanza.status_codes):
        turn.log.warning("The focus is banned from the room or may not be in it; the conference ends")
        ending.end(turn, "the focus was banned", leave=False)
    elif state.phase == JOINING:
        state.thrown_out = True  # the lane's outcome comes to an empty place (C-711)
    else:
        turn.log.warning("The focus was removed from the room (%s); it goes back in",
                         ", ".join(str(code) for code in stanza.status_codes) or "no reason given")
        _go_back(turn)


def _go_back(turn: Turn) -> None:
    """At once the first time, with growing pauses if somebody throws us out again and again (C-712)."""
    state = turn.state
    if turn.now - state.joined_at >= KICKS_APART:
        state.kicks = 0
    state.kicks += 1
    if state.kicks == 1:
        begin(turn)
    else:
        state.phase = JOINING
        state.join_attempt = state.kicks - 1
        _rejoin_later(turn)


def _own_role(turn: Turn, affiliation: str) -> None:
    """Our own affiliation, as the room shows it with every presence of ours (M-103)."""
    owner = affiliation == "owner"
    if owner != turn.state.is_owner:
        turn.state.is_owner = owner
        if owner:
            roles.elect(turn)
        else:
            turn.log.error("Local role has no owner rights, can not manage roles. The focus was made %s in the "
                           "room; the call goes on. (U-10)", affiliation)
