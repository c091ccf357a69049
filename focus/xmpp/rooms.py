"""Entering a chat room, as lanes: one write, its answers, an outcome (C-4.2, C-418, C-431, C-432).

Presence, the request for the configuration form and the one that shows real JIDs leave in one write; the server
handles them in that order.
"""
from __future__ import annotations

from typing import Any, Callable, Dict, Optional

from focus.lanes import Delivery, Lane
from focus.stanzas.caps import write_caps
from focus.stanzas.disco import focus_caps
from focus.stanzas.forms import SHOW_REAL_JIDS, RoomConfigForm, RoomConfigGet, write_room_owner
from focus.stanzas.muc import (
    STATUS_CREATED,
    STATUS_REAL_JIDS_SHOWN,
    AdminGet,
    AdminItems,
    AdminSet,
    MucItem,
    MucJoin,
    write_admin_get,
    write_admin_set,
    write_muc_join,
)
from focus.stanzas.stanza import write_iq, write_presence
from focus.values.addresses import bare
from focus.values.rooms import JoinOutcome

DISCONNECTED = JoinOutcome(error="disconnected")


def join(lane: Lane, room: str, nick: str, extensions: str = "", password: Optional[str] = None,
         lift: Optional[str] = None) -> JoinOutcome:
    """Enter a room and see that it shows real JIDs.

    Args:
        room: bare JID.
        nick: ours.
        extensions: what our presence says, serialised; our caps if empty.
        password: of the room, if it has one.
        lift: bare JID whose ban ends once we are in (C-431).
    """
    own = "%s/%s" % (room, nick)
    read, set_whois, limit = lane.new_id(), lane.new_id(), lane.new_id()
    lane.watch(own)
    for request in (read, set_whois, limit):  # the last is never sent: its deadline is that of the presence
        lane.expect(request, room)
    lane.write(
        write_presence(own, payload_xml=write_muc_join(MucJoin(password)) + (extensions or write_caps(focus_caps()))),
        write_iq("get", read, room, write_room_owner(RoomConfigGet())),
        write_iq("set", set_whois, room, write_room_owner(SHOW_REAL_JIDS)))
    if lift:
        item = AdminSet((MucItem(jid=lift, affiliation="none"),))
        lane.write(write_iq("set", lane.new_id(), room, write_admin_set(item)))
    got: Dict[str, Any] = {}
    while not {own, read, set_whois} <= got.keys():
        delivery = lane.next()
        failure = _noted(delivery, own, got)
        if failure is not None:
            return failure
        if own not in got and limit in got:
            return JoinOutcome("timeout")
    return _outcome(got[own], got[read], got[set_whois])


def _noted(delivery: Delivery, own: str, got: Dict[str, Any]) -> Optional[JoinOutcome]:
    """Keep what was delivered; an outcome if that ends the exchange."""
    stanza = delivery.stanza
    if delivery.key != own or stanza is None:
        got.setdefault(delivery.key, stanza)
        return None
    if stanza.type == "error":
        error = stanza.error
        return JoinOutcome(error.condition, error.text) if error is not None else JoinOutcome("undefined-condition")
    if stanza.type == "unavailable":
        # Before we were in, it is the echo of an earlier leave (C-815).
        return JoinOutcome("gone", "removed while entering") if own in got else None
    got[own] = stanza
    return None


def _outcome(presence: Any, form: Any, confirmation: Any) -> JoinOutcome:
    status = presence.status_codes
    shown = STATUS_REAL_JIDS_SHOWN in status
    config_error = ""
    fields: Optional[RoomConfigForm] = None
    if form is not None and isinstance(form.payload, RoomConfigForm):
        fields = form.payload
    else:
        config_error = _why(form)
    if confirmation is None or confirmation.type == "error":
        config_error = config_error or _why(confirmation)
    confirmed = confirmation is not None and confirmation.type == "result"
    return JoinOutcome(
        affiliation=presence.affiliation or "none",
        created=STATUS_CREATED in status, whois_anyone=shown or confirmed, was_hidden=not shown,
        config_error=config_error, meeting_id=(fields.meeting_id or "") if fields is not None else "",
        is_breakout=fields is not None and fields.is_breakout)


def _why(iq: Any) -> str:
    """Why a request for or to the room's configuration failed, in words."""
    if iq is None:
        return "no answer to the room's configuration"
    return "the room's configuration: %s" % iq.error.condition if iq.error is not None else "no configuration form"


def read_password(lane: Lane, room: str) -> Optional[str]:
    """The password of a room, which an owner may read without being in it (C-432)."""
    request = lane.new_id()
    lane.expect(request, room)
    lane.write(write_iq("get", request, room, write_room_owner(RoomConfigGet())))
    iq = lane.next().stanza
    return iq.payload.text("muc#roomconfig_roomsecret") if iq is not None and isinstance(
        iq.payload, RoomConfigForm) else None


def free_nick(lane: Lane, room: str, nick: str, own: str) -> Optional[str]:
    """Put out who sits on our nickname in a room that nobody has made yet (C-431).

    Returns the bare JID that is banned now; the ban is to be lifted when we are in. None if that didn't help.
    """
    holder: Optional[str] = None
    for role in ("moderator", "participant", "visitor"):
        items = _ask(lane, "get", room, write_admin_get(AdminGet(role=role)))
        if items is not None and isinstance(items.payload, AdminItems):
            holder = next((item.jid for item in items.payload.items if item.nick == nick and item.jid), None)
        if holder is not None:
            break
    if holder is None or bare(holder) == own:
        return None
    banned = _ask(lane, "set", room, write_admin_set(AdminSet((MucItem(jid=bare(holder), affiliation="outcast"),))))
    return bare(holder) if banned is not None and banned.type != "error" else None


def _ask(lane: Lane, iq_type: str, room: str, payload: str) -> Any:
    request = lane.new_id()
    lane.expect(request, room)
    lane.write(write_iq(iq_type, request, room, payload))
    return lane.next().stanza


LANES: Dict[str, Callable[..., Any]] = {"join": join, "read-password": read_password, "free-nick": free_nick}
