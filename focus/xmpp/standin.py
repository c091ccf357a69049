"""Standing in: a second session of our account keeps our place in the rooms while the first may be lost.

Two sessions of one account under one nickname are one occupant (C-1040, tried on Prosody): when the first ends, clients
see an available presence and nobody leaves (C-1041). So when it is in doubt whether the server will resume our stream,
the second session enters first. If the stream is resumed it goes again, unnoticed. If not, it holds the rooms until the
new stream has entered them. Requests that reach it meanwhile are handled once there is a new stream, and answered by
it: Prosody takes the answer only from the session it gave the request to, and only while that stands in the room. So it
leaves when all are answered, and enters once more for a request that was on its way when it left.
"""
from __future__ import annotations

import logging
import secrets
from typing import Any, Callable, Dict, List, Optional, Set

import gevent
from gevent.event import Event

from focus.tick import Inbox
from focus.xmpp.arrivals import Arrived, Connected, Disconnected, Refused
from focus.xmpp.resumption import escape

LOG = logging.getLogger(__name__)
LOGIN_TIME = 5.0
"""Seconds for the second login."""
ENTER_TIME = 5.0
"""Seconds until all rooms have let it in."""
NAME = "stand-in"
MAX_HELD = 10000
_MUC_USER = "{http://jabber.org/protocol/muc#user}"


class StandIn:
    """The second session.

    Args:
        connect: makes a client connection for an inbox, with the resource given.
        rooms: bare JID to the presence that enters it, serialised.
        resource: of the account's first session.
        forward: told the requests that reach it, once they may be handled.
    """

    def __init__(self, connect: Callable[[Inbox, str], Any], rooms: Dict[str, str], resource: str,
                 forward: Callable[[Arrived], None]) -> None:
        self._inbox = Inbox()
        self._forward = forward
        self.client = connect(self._inbox, "%s-%s" % (resource, secrets.token_hex(4)))
        self.client.name = NAME
        self._presences = dict(rooms)
        self._entering = dict(rooms)
        self.rooms: Set[str] = set()
        """Where it stands."""
        self._held: Optional[List[Arrived]] = []
        """Requests that are to be handled later; None: they are handled at once."""
        self.leaving: Dict[str, int] = {}
        """Rooms that haven't confirmed yet that it left, and how often it did."""
        self.unanswered = 0
        """Requests handed on that have no answer yet."""
        self._connected = Event()
        self._settled = Event()
        self._reader = gevent.spawn(self._read)

    @property
    def is_alive(self) -> bool:
        """Whether it is logged in."""
        return bool(self.client.connected)

    def enter(self) -> bool:
        """Log in and enter all rooms; blocks. False if there is no login; rooms that don't let it in are left out."""
        self.client.start()
        if not self._connected.wait(LOGIN_TIME):
            self.close()
            return False
        self.client.send([presence.encode("utf-8") for presence in self._entering.values()])
        if self._entering and not self._settled.wait(ENTER_TIME):
            LOG.warning("%d rooms did not let the stand-in in within %d s", len(self._entering), ENTER_TIME)
        return True

    def _read(self) -> None:
        while True:
            items = self._inbox.take()
            for item in items:
                self._handle(item)
            handled = sum(1 for item in items if getattr(item, "size", 0))
            if handled:
                self.client.acknowledge(handled)
            self._inbox.done(items)

    def _handle(self, item: Any) -> None:
        if isinstance(item, Connected):
            self._connected.set()
        elif isinstance(item, Disconnected):
            self.rooms.clear()  # its places are lost with it
            self.leaving.clear()
        elif isinstance(item, Refused):
            LOG.warning("The stand-in skipped a stanza from %s: %s", item.attrs.get("from"), item.reason)
        else:
            self._stanza(item)

    def _stanza(self, item: Arrived) -> None:
        element = item.element
        kind = str(element.tag).rpartition("}")[2]
        room = element.get("from", "").partition("/")[0]
        if kind == "presence":
            codes = [status.get("code") for status in element.iterfind("%sx/%sstatus" % (_MUC_USER, _MUC_USER))]
            own = "110" in codes
            if room in self.leaving and own and element.get("type") == "unavailable":
                self._left(room)
            if room in self._entering and (own or element.get("type") == "error"):
                del self._entering[room]
                if element.get("type") is None:
                    self.rooms.add(room)
                if not self._entering:
                    self._settled.set()
        elif kind == "iq" and element.get("type") in ("get", "set"):
            if room in self.leaving and room not in self.rooms:
                self.client.send([self._presences[room].encode("utf-8")])
                self.rooms.add(room)
            if self._held is None:
                self._hand_on(item)
            elif len(self._held) < MAX_HELD:
                self._held.append(item)

    def hand_on(self) -> None:
        """There is a new stream: from now on requests are handled, those held first."""
        held, self._held = self._held or [], None
        for item in held:
            self._hand_on(item)

    def _hand_on(self, item: Arrived) -> None:
        self.unanswered += 1
        self._forward(item)

    def leave(self, room: str, nick: str) -> None:
        """The new stream is in the room: go."""
        self.client.send([b"<presence type='unavailable' to='%s'/>" % escape("%s/%s" % (room, nick))])
        self.leaving[room] = self.leaving.get(room, 0) + 1
        self.rooms.discard(room)

    def _left(self, room: str) -> None:
        self.leaving[room] -= 1
        if not self.leaving[room]:
            del self.leaving[room]

    def close(self) -> None:
        """End the session."""
        self.client.stop()
        self._reader.kill(block=False)
