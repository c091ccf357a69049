"""The second session leaves a room only when it owes no answer there: Prosody takes none from outside the room."""
from __future__ import annotations

from typing import Any, Dict, List

import gevent
import pytest
from lxml import etree

from focus.continuity import LINGER, Continuity
from focus.tick import Inbox
from focus.xmpp.arrivals import Arrived, Connected
from focus.xmpp.standin import StandIn

ROOM = "standup@conference.meet.example"
MUC_USER = "http://jabber.org/protocol/muc#user"
OWN = "<presence xmlns='jabber:client' from='%s/focus'%%s><x xmlns='%s'><status code='110'/></x></presence>" % (
    ROOM, MUC_USER)
REQUEST = ("<iq xmlns='jabber:client' type='set' id='r%d' from='" + ROOM +
           "/abcd1234'><jingle xmlns='urn:xmpp:jingle:1'/></iq>")


class Connection:
    """A client connection that keeps what is sent on it."""

    name = ""
    connected = True
    stopped = False

    def __init__(self, inbox: Inbox) -> None:
        self.inbox = inbox
        self.sent: List[str] = []

    def start(self) -> None:
        """Logged in at once, and the room lets it in."""
        self.inbox.put(Connected(self, False, "focus@auth.meet.example/focus-2", 1))
        self.says(OWN % "")

    def says(self, xml: str) -> None:
        """The server sends a stanza on it."""
        self.inbox.put(Arrived(self, etree.fromstring(xml), len(xml)))
        gevent.sleep(0)
        gevent.sleep(0)

    def send(self, stanzas: List[bytes], session: Any = None) -> None:
        """Keep it."""
        self.sent += [stanza.decode() for stanza in stanzas]

    def acknowledge(self, count: int) -> None:
        """Not counted here."""

    def stop(self) -> None:
        """The session is ended."""
        self.stopped = True


class Around:
    """A service with one room; what is forwarded gathers in its inbox."""

    def __init__(self) -> None:
        self.now = 100.0
        self.inbox = Inbox()
        self.opened: List[Connection] = []
        self.settled = True
        rooms: Dict[str, str] = {ROOM: "<presence to='%s/focus'/>" % ROOM}
        self.continuity = Continuity(None, self._connect, "focus", 500, lambda: rooms, lambda room: self.settled,
                                     self.inbox, lambda: self.now)
        stand_in = StandIn(self._connect, rooms, "focus", self.continuity._forward)
        assert stand_in.enter()
        self.continuity._stand_in = stand_in
        self.continuity.restore()
        self.connection = self.opened[0]
        self.connection.sent.clear()

    def _connect(self, inbox: Inbox, resource: str) -> Connection:
        self.opened.append(Connection(inbox))
        return self.opened[-1]

    def tick(self) -> None:
        """One tick: what came is answered; as in the service, it is settled before the answers leave."""
        answers = []
        for item in self.inbox.take_now():
            assert self.continuity.answering() is self.connection
            answers.append("<iq type='result' id='%s'/>" % item.element.get("id"))
        self.continuity.settle(0)
        self.connection.send([answer.encode() for answer in answers])


@pytest.fixture
def around() -> Around:
    return Around()


LEAVE = "<presence type='unavailable' to='%s/focus'/>" % ROOM
ENTER = "<presence to='%s/focus'/>" % ROOM


def test_leaves_after_the_answer(around: Around) -> None:
    """What it was asked before is answered first, in a tick of its own."""
    around.connection.says(REQUEST % 1)
    around.continuity.connected(resumed=False)
    around.continuity.settle(0)  # a tick that hasn't got the request yet
    assert around.connection.sent == []
    around.tick()
    assert around.connection.sent == ["<iq type='result' id='r1'/>"]
    wake = around.continuity.wake_at
    assert wake is not None and wake <= around.now, "it leaves with the next tick, which must not wait for mail"
    around.tick()
    assert around.connection.sent == ["<iq type='result' id='r1'/>", LEAVE]
    around.connection.says(OWN % " type='unavailable'")
    around.tick()
    assert around.connection.stopped


def test_enters_again_for_a_late_request(around: Around) -> None:
    """A request that was under way when it left: in again, answer, out again; both goodbyes are awaited."""
    around.continuity.connected(resumed=False)
    around.tick()
    assert around.connection.sent == [LEAVE]
    around.connection.says(REQUEST % 2)
    around.tick()
    assert around.connection.sent == [LEAVE, ENTER, "<iq type='result' id='r2'/>"]
    around.tick()
    assert around.connection.sent[-1] == LEAVE
    around.connection.says(OWN % " type='unavailable'")
    around.tick()
    assert not around.connection.stopped
    around.connection.says(OWN % " type='unavailable'")
    around.tick()
    assert around.connection.stopped


def test_does_not_stay_for_ever(around: Around) -> None:
    """A request that nobody answers keeps it for half a minute only."""
    around.connection.says(REQUEST % 3)
    around.continuity.connected(resumed=False)
    around.continuity.settle(0)
    assert not around.connection.stopped
    around.now += LINGER
    around.continuity.settle(0)
    assert around.connection.stopped
