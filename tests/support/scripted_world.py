"""Everything around one account, in the test's own process: addresses, rooms, and peers without sockets.

A peer (`tests.support.client.Client`, `tests.support.bridge.Bridge`) is given a `Seat` instead of a login. Whatever is
sent anywhere goes through one queue and is handled in order, so that a run depends on nothing but what was sent.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, Iterable, Iterator, List, Optional, Tuple

from lxml import etree

from tests.support.loop import Loop
from tests.support.scripted_rooms import Room
from tests.support.wire import STANZAS, Stanza, escape

_WRAP = "<w xmlns='jabber:client'>%s</w>"

Deliver = Callable[[Any], None]


def parse(xml: str) -> Any:
    """The element of one stanza."""
    return etree.fromstring(_WRAP % xml)[0]


def kind_of(stanza: Any) -> str:
    """iq, presence or message."""
    return etree.QName(stanza).localname


class World:
    """The server's inside.

    domain: the main one; rooms live on conference.<domain>, bridges on internal.auth.<domain>. admins: bare JIDs that
    own every room. on_heard: called with the receiver's address and the stanza, for everything that was sent to a
    room, to the server itself or to a peer, before it is handled.
    """

    def __init__(self, domain: str = "meet.example", admins: Tuple[str, ...] = ("focus", "jvb")) -> None:
        self.domain = domain
        self.user_domain = "auth." + domain
        self.muc = "conference." + domain
        self.brewery = "jvbbrewery@internal." + self.user_domain
        self.admins = tuple("%s@%s" % (user, self.user_domain) for user in admins)
        self.rooms: Dict[str, Room] = {}
        self.on_heard: Optional[Callable[[str, Any], None]] = None
        self.on_quiet: List[Callable[[], None]] = []
        """Called when the queue has run empty."""
        self._addresses: Dict[str, Deliver] = {}
        self._queue: Deque[Callable[[], Any]] = deque()
        self._busy = 0

    # Who is there

    def enter(self, jid: str, deliver: Deliver) -> None:
        """A full JID is there from now on."""
        self._later(lambda: self._addresses.update({jid: deliver}))

    def leave(self, jid: str, why: str, undelivered: Iterable[Any] = ()) -> None:
        """A full JID is gone: what it never got comes back to its senders, then it leaves its rooms."""
        with self.together():
            self._later(lambda: self._addresses.pop(jid, None))
            for stanza in undelivered:
                self._bounce(jid, stanza)
            for room in list(self.rooms.values()):
                nick = room.nick_of(jid)
                if nick is not None:
                    self.route(jid, parse("<presence type='unavailable' to='%s/%s'><status>%s</status></presence>"
                                          % (escape(room.jid), escape(nick), escape(why))))

    def affiliation(self, jid: str) -> str:
        """What a bare JID is in any room from the beginning."""
        return "owner" if jid.partition("/")[0] in self.admins else "none"

    # Sending

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """What is sent meanwhile is handled at the end, and reaches each receiver in one piece."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            if not self._busy:
                self._work()

    def route(self, sender: str, stanza: Any) -> None:
        """A stanza of a full JID (or a room's) goes where it is addressed to."""
        stanza.set("from", sender)
        self._later(lambda: self._handle(sender, stanza))

    def _later(self, call: Callable[[], Any]) -> None:
        with self.together():
            self._queue.append(call)

    def deliver(self, to: str, stanza: Any) -> None:
        """Hand a stanza to a full JID; nothing if nobody is there."""
        deliver = self._addresses.get(to)
        if deliver is not None:
            stanza.set("to", to)
            self.heard(to, stanza)
            deliver(stanza)

    def heard(self, receiver: str, stanza: Any) -> None:
        """Somebody is about to handle a stanza."""
        if self.on_heard is not None:
            self.on_heard(receiver, stanza)

    def _work(self) -> None:
        self._busy += 1
        try:
            while self._queue:
                self._queue.popleft()()
        finally:
            self._busy -= 1
        for call in self.on_quiet:
            call()

    def _handle(self, sender: str, stanza: Any) -> None:
        to = stanza.get("to", "")
        bare = to.partition("/")[0]
        host = bare.rpartition("@")[2]
        if to in self._addresses:
            self.deliver(to, stanza)
        elif "@" in bare and host in (self.muc, self.brewery.rpartition("@")[2]):
            self._room(bare).receive(sender, stanza)
            if not self.rooms[bare].occupants:
                del self.rooms[bare]
        elif not to or host in (self.domain, self.user_domain):
            self.heard(to, stanza)
            self._own(sender, stanza, to)
        else:
            self.refuse(to, stanza, "service-unavailable")

    def _room(self, jid: str) -> Room:
        if jid not in self.rooms:
            self.rooms[jid] = Room(self, jid)
        return self.rooms[jid]

    def _own(self, sender: str, stanza: Any, to: str) -> None:
        """A request to the server itself, or to somebody who isn't there."""
        if "@" not in to and stanza.find("{urn:xmpp:ping}ping") is not None and stanza.get("type") == "get":
            self.answer(to or self.user_domain, stanza)
        else:
            self.refuse(to or self.user_domain, stanza, "service-unavailable")

    # Answering

    def answer(self, by: str, request: Any, payload: str = "", kind: str = "result") -> None:
        """Answer a request to where it came from."""
        answer = parse("<iq type='%s'>%s</iq>" % (kind, payload))
        answer.set("id", request.get("id", ""))
        answer.set("to", request.get("from", ""))
        self.route(by, answer)

    def _bounce(self, jid: str, stanza: Any) -> None:
        """A stanza that its receiver never got: an error of the same kind to its sender, unless it is one."""
        if stanza.get("type") != "error":
            error = "<error type='cancel'><recipient-unavailable xmlns='%s'/></error>" % STANZAS
            bounced = parse("<%s type='error'>%s</%s>" % (kind_of(stanza), error, kind_of(stanza)))
            bounced.set("id", stanza.get("id", ""))
            bounced.set("to", stanza.get("from", ""))
            self.route(jid, bounced)

    def refuse(self, by: str, request: Any, condition: str) -> None:
        """Answer a request with an error; what is no request is dropped."""
        if kind_of(request) == "iq" and request.get("type") in ("get", "set"):
            error = "<error type='cancel'><%s xmlns='%s'/></error>" % (condition, STANZAS)
            self.answer(by, request, error, "error")


class Seat:
    """What a peer logs in with: a full JID in a world."""

    def __init__(self, world: World, jid: str) -> None:
        self.world = world
        self.jid = jid

    def open(self, loop: Loop, on_stanza: Callable[[Stanza], None]) -> SeatStream:
        """The peer's stream."""
        return SeatStream(self, on_stanza)


class SeatStream:
    """Takes the place of `tests.support.wire.Stream`."""

    def __init__(self, seat: Seat, on_stanza: Callable[[Stanza], None]) -> None:
        self.jid = seat.jid
        self.on_stanza = on_stanza
        self.closed = False
        self.end_reason = ""
        self._world = seat.world
        self._world.enter(self.jid, self._deliver)

    def send(self, xml: str) -> None:
        """Send one stanza."""
        self._world.route(self.jid, parse(xml))

    def close(self, end_stream: bool = True) -> None:
        """The peer is gone."""
        self.drop()

    def drop(self, reason: str = "closed here") -> None:
        """The same."""
        if not self.closed:
            self.closed = True
            self.end_reason = reason
            self._world.leave(self.jid, reason)

    def _deliver(self, stanza: Any) -> None:
        raw = etree.tostring(stanza, encoding="utf-8")
        self.on_stanza(Stanza(kind_of(stanza).encode(), raw, time.monotonic()))
