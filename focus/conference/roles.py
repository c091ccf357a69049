"""Who moderates: the automatic owner (M-220 to M-229).

The first member becomes owner; when the last owner has gone, the one who joined next after it. What counts as owner
is what a member's presence says, never our own request; rights are never revoked by us (M-216).
"""
from __future__ import annotations

from typing import Any, Iterable, Optional

from focus.conference.state import Member
from focus.conference.turn import Turn
from focus.stanzas.member import FEATURE_JIBRI, FEATURE_JIGASI, FEATURE_TRANSCRIBER
from focus.stanzas.muc import OWNER, VISITOR, AdminItem, AdminSet, write_admin_set
from focus.values.addresses import bare

GRANT_WAIT = 15.0
"""Seconds a grant in flight counts as an owner in office (M-225)."""
GRANT_PAUSE = 60.0
"""Seconds in which a member is granted ownership once (M-213)."""
NEXT_AFTER_ERROR = 2.0
"""Seconds after a refused grant until the next candidate is tried (M-213)."""
SERVICES = frozenset((FEATURE_JIBRI, FEATURE_JIGASI, FEATURE_TRANSCRIBER))


def elect(turn: Turn) -> None:
    """See that there is an owner: remember one that is there, or grant it to the one who came first (M-221)."""
    state = turn.state
    if not turn.around.config.enable_auto_owner or state.is_breakout or not state.is_owner:
        return
    owner = state.members.get(state.owner) if state.owner is not None else None
    if owner is not None and (owner.role == OWNER or turn.now - owner.granted_at < GRANT_WAIT):
        return
    if owner is not None and owner.role != OWNER and not _grant_pending(turn, owner):
        owner.renounced = True  # was in office and is not any more, or never got there (M-225)
    state.owner = None
    for member in state.members.values():
        if member.role == OWNER and not _is_service(member):
            state.owner = member.nick
            return
    chosen = _next(state.members.values(), turn.now)
    if chosen is not None:
        _grant(turn, chosen)
        return
    again = [m.granted_at + GRANT_PAUSE for m in state.members.values() if m.refusals == 1 and not m.renounced]
    if again:
        turn.sooner("owner", min(again))  # the same one once more, after the minute (M-213)


def _grant_pending(turn: Turn, member: Member) -> bool:
    return any(row.kind == "grant" and row.endpoint == member.nick for row in turn.state.requests.values())


def _next(members: Iterable[Member], now: float) -> Optional[Member]:
    """The member that joined first, of those that may be owner (M-222, M-224)."""
    for member in members:
        if (member.role != VISITOR and not _is_service(member)
                and member.info.real_jid is not None and not member.renounced
                and now - member.granted_at >= GRANT_PAUSE and member.refusals < 2):
            return member
    return None


def _is_service(member: Member) -> bool:
    """Whether it is, or claims to be, a recorder, gateway or transcriber (M-224)."""
    return member.info.robot or not SERVICES.isdisjoint(member.info.features)


def _grant(turn: Turn, member: Member) -> None:
    """Ask the room to make the member owner (M-210)."""
    turn.state.owner = member.nick
    member.granted_at = turn.now
    grant = write_admin_set(AdminSet((AdminItem(jid=bare(member.info.real_jid or ""), affiliation="owner"),)))
    turn.request("grant", turn.state.room, "set", grant, endpoint=member.nick)
    turn.log.info("Granting owner to %s", member.nick)


def grant_answered(turn: Turn, nick: str, iq: Optional[Any]) -> None:
    """An answer to a grant; success is seen in the member's presence (M-211, M-213)."""
    if iq is not None and iq.type != "error":
        return
    state = turn.state
    why = "no answer" if iq is None else "%s %s" % (iq.error.condition, iq.error.text)
    turn.log.warning("Granting owner to %s failed: %s. Is the focus account in the `admins` of the MUC component?",
                     nick, why)
    member = state.members.get(nick)
    if member is not None:
        member.refusals += 1
    if state.owner == nick:
        if member is not None and member.role == OWNER:
            return
        state.owner = None
        if iq is None:
            elect(turn)
        else:
            turn.after("owner", NEXT_AFTER_ERROR)


def after_reconnect(turn: Turn) -> None:
    """The stream is new: a grant that was in flight may not have been carried out, so it counts for nothing."""
    for row in turn.state.requests.values():
        member = turn.state.members.get(row.endpoint) if row.kind == "grant" else None
        if member is not None:
            member.granted_at = float("-inf")
    turn.state.owner = None


def changed(turn: Turn, member: Member, was: str) -> None:
    """A member's role changed by its presence (M-225)."""
    if was == OWNER and member.role != OWNER:
        member.renounced = True
        if turn.state.owner == member.nick:
            turn.state.owner = None
        turn.elect = True
    elif turn.state.owner is None:
        turn.elect = True


def left(turn: Turn, nick: str) -> None:
    """A member left; if it was the owner the next takes over (M-220)."""
    if turn.state.owner == nick:
        turn.state.owner = None
    for member in turn.state.members.values():
        if turn.state.owner is None and member.renounced:
            member.renounced = False  # anybody may be elected again after a leave (M-225)
    turn.elect = True
