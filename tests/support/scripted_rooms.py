"""Chat rooms (XEP-0045) of the scripted world, as far as a call needs them: who is in, what they say, who owns it.

The order of what a room sends is Prosody's: a newcomer hears of the others first, then everybody hears of it, itself
last and with the subject; a change of affiliation is broadcast before it is answered. Real JIDs are shown to all.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Dict, Iterable, Optional, Tuple

from lxml import etree

from tests.support.wire import escape

if TYPE_CHECKING:
    from tests.support.scripted_world import World

MUC = "http://jabber.org/protocol/muc"
_ROLES = {"owner": "moderator", "admin": "moderator", "member": "participant", "none": "participant"}
_FORM = (
    "<query xmlns='%s#owner'><x xmlns='jabber:x:data' type='form'><field var='FORM_TYPE' type='hidden'>"
    "<value>%s#roomconfig</value></field><field var='muc#roomconfig_whois' type='list-single'><value>%s</value></field>"
    "<field var='muc#roominfo_meetingId' type='text-single'><value>%s</value></field></x></query>"
)


class Occupant:
    """Somebody in a room, with the presence last sent."""

    def __init__(self, nick: str, jid: str, presence: Any) -> None:
        self.nick = nick
        self.jid = jid
        self.presence = presence


class Room:
    """One room. It is made by who enters first, and gone when the last one leaves."""

    def __init__(self, world: World, jid: str) -> None:
        self.jid = jid
        self.occupants: Dict[str, Occupant] = {}
        self.affiliations: Dict[str, str] = {}
        self.whois = "anyone"
        self._world = world

    # What happens to it

    def receive(self, sender: str, stanza: Any) -> None:
        """A stanza to the room or to one of its occupants."""
        nick = stanza.get("to", "").partition("/")[2]
        kind = etree.QName(stanza).localname
        own = self._occupant_of(sender)
        if kind == "presence":
            self._world.heard(self.jid, stanza)
            self._presence(sender, nick, own, stanza)
        elif kind == "iq" and nick:
            self._to_occupant(own, nick, stanza)
        elif kind == "iq" and stanza.get("type") in ("get", "set"):
            self._world.heard(self.jid, stanza)
            self._request(sender, stanza)

    def nick_of(self, jid: str) -> Optional[str]:
        """The nickname under which a full JID is here."""
        occupant = self._occupant_of(jid)
        return occupant.nick if occupant is not None else None

    def affiliation(self, jid: str) -> str:
        """What a JID is here."""
        bare = jid.partition("/")[0]
        return self.affiliations.get(bare, self._world.affiliation(bare))

    # Presences

    def _presence(self, sender: str, nick: str, own: Optional[Occupant], stanza: Any) -> None:
        if own is not None and stanza.get("type") == "unavailable":
            self._leave(own, stanza.findtext("{jabber:client}status") or "")
        elif own is not None and stanza.get("type") == "error":
            self._leave(own, "Kicked: recipient unavailable", ("333",))
        elif stanza.get("type") is None and own is not None:
            own.presence = stanza
            self._broadcast(own)
        elif stanza.get("type") is None and nick:
            self._join(sender, nick, stanza)

    def _join(self, sender: str, nick: str, stanza: Any) -> None:
        if nick in self.occupants:
            error = "<error type='cancel'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
            self._send("%s/%s" % (self.jid, nick), sender, "<presence type='error'>%s</presence>" % error)
            return
        created = not self.occupants
        for other in self.occupants.values():
            self._show(other, sender)
        own = self.occupants[nick] = Occupant(nick, sender, stanza)
        self._broadcast(own, ("201", "100") if created else ("100",))
        self._send(self.jid, sender, "<message type='groupchat'><subject/></message>")

    def _leave(self, occupant: Occupant, why: str, codes: Tuple[str, ...] = ()) -> None:
        del self.occupants[occupant.nick]
        for receiver in [*self.occupants.values(), occupant]:
            self._show(occupant, receiver.jid, codes + (("110",) if receiver is occupant else ()), True, why)

    def _broadcast(self, occupant: Occupant, own_codes: Iterable[str] = ()) -> None:
        for receiver in self.occupants.values():
            if receiver is not occupant:
                self._show(occupant, receiver.jid)
        self._show(occupant, occupant.jid, [*own_codes, "110"])

    def _show(self, occupant: Occupant, to: str, codes: Iterable[str] = (), gone: bool = False,
              why: str = "") -> None:
        """Tell one of what an occupant says and is."""
        affiliation = self.affiliation(occupant.jid)
        item = "<item jid='%s' affiliation='%s' role='%s'/>" % (
            escape(occupant.jid), affiliation, "none" if gone else _ROLES[affiliation])
        status = "".join("<status code='%s'/>" % code for code in codes)
        presence = etree.fromstring("<presence xmlns='jabber:client'>%s<x xmlns='%s#user'>%s%s</x></presence>" % (
            "<status>%s</status>" % escape(why) if why else "", MUC, item, status))
        if gone:
            presence.set("type", "unavailable")
        else:
            said = [child for child in occupant.presence if child.tag != "{%s}x" % MUC]
            for at, child in enumerate(said):
                presence.insert(at, copy.deepcopy(child))
        presence.set("to", to)
        self._world.route("%s/%s" % (self.jid, occupant.nick), presence)

    # Requests

    def _to_occupant(self, own: Optional[Occupant], nick: str, stanza: Any) -> None:
        to = self.occupants.get(nick)
        if own is None:
            self._world.refuse(stanza.get("to"), stanza, "not-acceptable")
        elif to is None:
            self._world.heard(stanza.get("to"), stanza)
            self._world.refuse(stanza.get("to"), stanza, "item-not-found")
        else:
            stanza.set("from", "%s/%s" % (self.jid, own.nick))
            self._world.deliver(to.jid, stanza)

    def _request(self, sender: str, stanza: Any) -> None:
        payload = next(iter(stanza), None)
        name = payload.tag if payload is not None else ""
        if name in ("{%s#owner}query" % MUC, "{%s#admin}query" % MUC) and self.affiliation(sender) != "owner":
            self._world.refuse(self.jid, stanza, "forbidden")
        elif name == "{%s#owner}query" % MUC:
            self._configuration(stanza)
        elif name == "{%s#admin}query" % MUC and stanza.get("type") == "set":
            self._grant(stanza, payload)
        elif name == "{urn:xmpp:ping}ping":
            self._world.answer(self.jid, stanza)
        else:
            self._world.refuse(self.jid, stanza, "service-unavailable")

    def _configuration(self, stanza: Any) -> None:
        form = ""
        if stanza.get("type") == "get":
            form = _FORM % (MUC, MUC, self.whois, "meeting-of-" + self.jid.partition("@")[0])
        self._world.answer(self.jid, stanza, form)

    def _grant(self, stanza: Any, payload: Any) -> None:
        for item in payload:
            bare = item.get("jid", "")
            self.affiliations[bare] = item.get("affiliation", "none")
            for occupant in list(self.occupants.values()):
                if occupant.jid.partition("/")[0] == bare:
                    self._broadcast(occupant)
        self._world.answer(self.jid, stanza)

    # Helpers

    def _occupant_of(self, jid: str) -> Optional[Occupant]:
        return next((one for one in self.occupants.values() if one.jid == jid), None)

    def _send(self, sender: str, to: str, xml: str) -> None:
        stanza = etree.fromstring(xml.replace(" ", " xmlns='jabber:client' ", 1))
        stanza.set("to", to)
        self._world.route(sender, stanza)
