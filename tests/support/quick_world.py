"""The scripted server and its world for hundreds of participants: what a call sends most often is not parsed.

A request or an answer between two occupants of a room is passed on as bytes, with the address in its first tag put
right; everything else goes the way of `scripted_world`. Participants are shown no presence but their own, so that a
room of 500 is entered by all at once in seconds.
"""

from __future__ import annotations

import functools
import re
import time
from typing import Any, Callable, Dict, Iterable, Mapping, Optional, Set, Union

from tests.support.loop import Loop
from tests.support.scripted_rooms import Occupant, Room
from tests.support.scripted_world import Seat, SeatStream, World, kind_of, parse
from tests.support.smacks_server import SmacksServer
from tests.support.smacks_session import ServerSession, serialised
from tests.support.wire import Stanza, escape

_TO = re.compile(rb"""\sto=(?:'([^'&/]*)/([^'&]*)'|"([^"&/]*)/([^"&]*)")""")


class QuickServer(SmacksServer):
    """A `SmacksServer` that keeps nothing of what it receives, before a `QuickWorld`."""

    world: QuickWorld

    def __init__(self, loop: Loop, world: QuickWorld) -> None:
        super().__init__(loop, world, remembers=False)

    def receive(self, session: ServerSession, raw: bytes) -> None:
        """A stanza of the account has come."""
        session.receive(raw)
        self.world.take(session.jid, raw)


class QuickAddress:
    """The scripted server as the focus sees it: without TLS, on its own address, and without a component."""

    host = "127.0.0.1"
    component_port = 5347
    component_secret = ""
    ca_file = ""

    def __init__(self, server: SmacksServer) -> None:
        self.domain = server.world.domain
        self.user_domain = server.world.user_domain
        self.c2s_port = server.port
        self.focus_component = "focus." + server.world.domain
        self.passwords: Mapping[str, str] = {server.user: server.password}


class QuickWorld(World):
    """The server's inside."""

    def __init__(self) -> None:
        super().__init__()
        self.deaf: Set[str] = set()
        """Full JIDs that are shown no presence but their own."""

    def take(self, sender: str, raw: bytes) -> None:
        """A stanza of a full JID, as it was written, goes where it is addressed to."""
        self._later(functools.partial(self._take, sender, raw))

    def _take(self, sender: str, raw: bytes) -> None:
        if not (raw.startswith(b"<iq") and self._pass_on(sender, raw)):
            stanza = parse(raw.decode())
            stanza.set("from", sender)
            self._handle(sender, stanza)

    def _pass_on(self, sender: str, raw: bytes) -> bool:
        """Hand it to an occupant of a room as it is, if there are both the sender and the receiver."""
        found = _TO.search(raw, 3, raw.index(b">"))
        if found is None:
            return False
        jid, nick = (found.group(1), found.group(2)) if found.group(1) is not None else (found.group(3), found.group(4))
        room = self.rooms.get(jid.decode())
        if not isinstance(room, QuickRoom):
            return False
        receiver, own = room.occupants.get(nick.decode()), room.by_jid.get(sender)
        deliver = self._addresses.get(receiver.jid) if receiver is not None else None
        if receiver is None or own is None or deliver is None:
            return False
        stamp = " from='%s/%s' to='%s'" % (escape(room.jid), escape(own.nick), escape(receiver.jid))
        deliver(raw[:found.start()] + stamp.encode() + raw[found.end():])
        return True

    def _room(self, jid: str) -> Room:
        if jid not in self.rooms:
            self.rooms[jid] = QuickRoom(self, jid)
        return self.rooms[jid]


class QuickRoom(Room):
    """One room, in which an occupant is found by its full JID at once."""

    _world: QuickWorld

    def __init__(self, world: QuickWorld, jid: str) -> None:
        super().__init__(world, jid)
        self.by_jid: Dict[str, Occupant] = {}

    def _join(self, sender: str, nick: str, stanza: Any) -> None:
        super()._join(sender, nick, stanza)
        if nick in self.occupants and self.occupants[nick].jid == sender:
            self.by_jid[sender] = self.occupants[nick]

    def _leave(self, occupant: Occupant, *details: Any) -> None:
        super()._leave(occupant, *details)
        self.by_jid.pop(occupant.jid, None)

    def _occupant_of(self, jid: str) -> Optional[Occupant]:
        return self.by_jid.get(jid)

    def _show(self, occupant: Occupant, to: str, codes: Iterable[str] = (), gone: bool = False,
              why: str = "") -> None:
        if to == occupant.jid or to not in self._world.deaf:
            super()._show(occupant, to, codes, gone, why)


class QuickSeat(Seat):
    """What a peer logs in with: a full JID in a world. deaf: it is shown no presence but its own."""

    def __init__(self, world: QuickWorld, jid: str, deaf: bool) -> None:
        super().__init__(world, jid)
        if deaf:
            world.deaf.add(jid)

    def open(self, loop: Loop, on_stanza: Callable[[Stanza], None]) -> QuickStream:
        """The peer's stream."""
        return QuickStream(self, on_stanza)


class QuickStream(SeatStream):
    """Sends what it is given without reading it, and counts what it receives."""

    _world: QuickWorld

    def __init__(self, seat: Seat, on_stanza: Callable[[Stanza], None]) -> None:
        self.bytes_received = 0
        super().__init__(seat, on_stanza)

    def send(self, xml: str) -> None:
        """Send one stanza."""
        self._world.take(self.jid, xml.encode())

    def _deliver(self, stanza: Union[Any, bytes]) -> None:
        raw = serialised(stanza)
        self.bytes_received += len(raw)
        name = b"iq" if isinstance(stanza, bytes) else kind_of(stanza).encode()
        self.on_stanza(Stanza(name, raw, time.monotonic()))
