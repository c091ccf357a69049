"""Members of the room, as their presences tell (C-6, C-7)."""
from __future__ import annotations

from typing import Any, Dict

from focus.bridge import session as bridge_session
from focus.conference import ending, inviting, roles
from focus.conference.state import JOINED, Member
from focus.conference.turn import Turn
from focus.stanzas.member import read_member
from focus.stanzas.muc import MODERATOR, OWNER, STATUS_KICKED, VISITOR
from focus.stanzas.stanza import read_stanza, write_stanza
from focus.values.addresses import resource

MAX_MEMBERS = 5000
PRESENCES_RATE, PRESENCES_BURST = 20.0, 40.0
"""Presences of one member that are looked at: a second in the long run, and at once (M-1114)."""


def presence(turn: Turn, stanza: Any) -> None:
    """A presence of an occupant that isn't us."""
    nick = resource(stanza.from_)
    if turn.state.phase != JOINED:
        _note(turn, nick, stanza)
    elif stanza.type == "unavailable":
        if nick in turn.state.members:
            _left_by(turn, nick, stanza)
    elif stanza.type == "" and nick:
        if nick in turn.state.members:
            _heard(turn, turn.state.members[nick], stanza)
        else:
            _joined(turn, nick, stanza)


def _note(turn: Turn, nick: str, stanza: Any) -> None:
    """While we are on the way in, occupants are noted for later (C-412)."""
    if stanza.type == "unavailable":
        turn.state.present.pop(nick, None)
    elif stanza.type == "" and nick and len(turn.state.present) < MAX_MEMBERS:
        turn.state.present[nick] = write_stanza(stanza)


def _joined(turn: Turn, nick: str, stanza: Any) -> None:
    state = turn.state
    if len(state.members) >= MAX_MEMBERS:
        turn.log.warning("Ignoring member %s: the room has %d already", nick, MAX_MEMBERS)
        return
    state.joins += 1
    member = Member(nick, stanza.from_, read_member(stanza), state.joins, turn.now)
    state.members[nick] = member
    turn.cancel("initial")
    turn.cancel("empty")
    state.answered_at = float("-inf")
    turn.log.info("Member joined: %s stats-id=%s region=%s", nick, member.info.stats_id, member.info.region)
    turn.elect = turn.elect or state.owner is None
    _hear_policy(turn, member)
    if inviting.is_invitable(member, turn.around.config.visitors_enabled):
        features = turn.around.discover(state.room, member.info, stanza.from_)
        if features is not None:
            member.features = features
    else:
        turn.log.warning("Member %s isn't invited: its nickname can't be an endpoint id, or it is a visitor and "
                         "visitors_enabled is off", nick)
    inviting.consider(turn)


def _heard(turn: Turn, member: Member, stanza: Any) -> None:
    """One more presence of a member: looked at now, or if it sends too many the newest a moment later (M-1114)."""
    wait = member.heard.spend(turn.now, PRESENCES_RATE, PRESENCES_BURST)
    if wait:
        turn.state.present[member.nick] = write_stanza(stanza)
        turn.sooner("presences", turn.now + wait)
    else:
        turn.state.present.pop(member.nick, None)
        _changed(turn, member, stanza)


def hear_late(turn: Turn) -> None:
    """Some who sent too many presences are looked at again."""
    if turn.state.phase != JOINED:
        return  # noted while we enter; handled when we are in
    for nick, text in list(turn.state.present.items()):
        member = turn.state.members.get(nick)
        if member is None:
            del turn.state.present[nick]
        else:
            _heard(turn, member, read_stanza(text))


def _changed(turn: Turn, member: Member, stanza: Any) -> None:
    info = read_member(stanza, member.info)
    was, old_jid = member.role, member.info.real_jid
    if info.connections > 1 and old_jid is not None:
        info = info._replace(real_jid=old_jid)  # one more connection of the same one; servers list them in any order
    if info == member.info:
        return
    if old_jid is not None and info.real_jid is not None and info.real_jid != old_jid:
        left(turn, member.nick, "replaced by another client", check_end=False, seen=False)  # C-606
        _joined(turn, member.nick, stanza)
        return
    if was == VISITOR and info.role != VISITOR:
        if member.nick in turn.state.participants:
            inviting.terminate(turn, turn.state.participants[member.nick], "success", "moving")
        left(turn, member.nick, "became a participant", check_end=False)  # C-605
        _joined(turn, member.nick, stanza)
        return
    if info.role == VISITOR and was != VISITOR:
        info = info._replace(role=was)
    member.info = info
    _hear_policy(turn, member)
    if info.role != was:
        roles.changed(turn, member, was)


def _hear_policy(turn: Turn, member: Member) -> None:
    """A moderator's old client says who starts muted from now on (C-632)."""
    if member.info.start_muted is not None and member.role in (OWNER, MODERATOR):
        turn.state.start_muted = member.info.start_muted


def _left_by(turn: Turn, nick: str, stanza: Any) -> None:
    kicked = STATUS_KICKED in stanza.status_codes
    turn.log.info("Member %s: %s", "kicked" if kicked else "left", nick)
    switching = stanza.status == "switch_room"
    left(turn, nick, "", check_end=False)
    if not turn.state.members and switching:
        turn.after("initial", turn.around.config.initial_timeout)  # it went to a breakout room (C-812)
    else:
        ending.check(turn)


def left(turn: Turn, nick: str, why: str, check_end: bool = True, seen: bool = True) -> None:
    """A member has left: no stanza tells anybody, its endpoint is expired (C-701, J-125).

    ``seen`` is false if the others saw nobody leave: then they are told that its sources are gone (J-716).
    """
    state = turn.state
    state.members.pop(nick, None)
    state.present.pop(nick, None)
    if why:
        turn.log.info("Member left: %s (%s)", nick, why)
    participant = state.participants.pop(nick, None)
    if participant is not None:
        inviting.end_session(turn, participant, left=seen)
        bridge_session.expire(turn, nick)
    roles.left(turn, nick)
    if check_end:
        ending.check(turn)


def reconcile(turn: Turn, present: Dict[str, Any]) -> None:
    """We are in the room (again): who isn't there any more has left, the others are as they say (C-416, C-712)."""
    for nick in [nick for nick in turn.state.members if nick not in present]:
        left(turn, nick, "not in the room any more", check_end=False)
    for stanza in present.values():
        presence(turn, stanza)
