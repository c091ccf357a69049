"""The scripted server that can send the focus anything, and keeps the books of what is asked and answered."""

from __future__ import annotations

from typing import Any, Callable, List, Optional, Sequence, Set

from lxml import etree

from focus.xmpp.names import NameLedger
from tests.hostile.answers import Answers
from tests.hostile.cast import Asked
from tests.hostile.damage import Seen, seen
from tests.support.loop import Loop
from tests.support.scripted_world import World, kind_of, parse
from tests.support.smacks_server import SmacksServer
from tests.support.smacks_session import ServerSession
from tests.support.wire import STANZAS

QUEUE = 100000
"""Stanzas kept for the focus; more than are ever under way."""
NOTICES_AN_END = 3.0
"""Seconds after which a stream in which the focus reads nothing more is cut by the server."""


class HostileServer(SmacksServer):
    """A server with a back door.

    answers: the books. on_request: called with each request of the focus, as an element.
    """

    def __init__(self, loop: Loop, world: World) -> None:
        super().__init__(loop, world, queue_limit=QUEUE, remembers=False)
        self.answers = Answers()
        self.on_request: Optional[Callable[[Asked, Any], None]] = None
        self.cuts = 0
        """How often a connection has ended without the end of its stream."""
        self.gone: Set[str] = set()
        """Who was told that its session has ended."""
        self.names = NameLedger()
        """Counts the names the focus has seen as the focus does."""
        self.on_cut = self._count_cut

    def _count_cut(self) -> None:
        self.cuts += 1

    # What the world sends and gets

    def deliver(self, session: ServerSession, stanza: Any) -> None:
        """A stanza of the world for the focus."""
        if not isinstance(stanza, bytes):
            what = seen(stanza)
            if what is not None and what.is_request:
                self.answers.asked((what.sender, what.id), injected=False)
        super().deliver(session, stanza)

    def receive(self, session: ServerSession, raw: bytes) -> None:
        """A stanza of the focus: answers to nobody end here."""
        session.receive(raw)
        try:
            stanza = parse(raw.decode())
        except etree.XMLSyntaxError as error:
            raise AssertionError("the focus has written %r: %s" % (raw, error)) from None
        if kind_of(stanza) == "iq":
            kind = stanza.get("type")
            if kind in ("result", "error"):
                condition = _condition(stanza)
                if condition == "gone":
                    self.gone.add(stanza.get("to", ""))
                if self.answers.answered((stanza.get("to", ""), stanza.get("id", "")), condition):
                    return
            elif self.on_request is not None:
                self.on_request(Asked(stanza.get("id", ""), stanza.get("to", "")), stanza)
        self.world.route(session.jid, stanza)

    # The back door

    def inject(self, raws: Sequence[bytes], what: Sequence[Optional[Seen]]) -> None:
        """Stanzas that nobody in the world has sent."""
        session = self.session
        for raw, each in zip(raws, what):
            if each is not None and each.is_request:
                self.answers.asked((each.sender, each.id), injected=True)
            session.number(raw)
        data = b"".join(raws)
        self.names.note(data)
        if self.connection is not None and self.connection.session is session:
            self.connection.pass_on(data)

    def spoil(self, raw: bytes) -> None:
        """Bytes of which nothing is counted: they break the stream."""
        if self.connection is not None:
            self.connection.write_raw(raw)
            self.connection.on_writable()

    @property
    def unread(self) -> int:
        """Stanzas that the focus has not acknowledged."""
        return self.session.sent - self.session.acknowledged

    def ended_sessions(self) -> List[str]:
        """Why sessions before the present one are over."""
        return [session.ended for session in self.sessions[:-1]]


def _condition(stanza: Any) -> str:
    if stanza.get("type") != "error":
        return ""
    for child in stanza.iterfind("{jabber:client}error/*"):
        namespace, _, name = str(child.tag)[1:].rpartition("}")
        if namespace == STANZAS and name != "text":
            return name
    return "undefined-condition"
