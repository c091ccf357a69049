"""The tick: order, quiet, and that nothing leaves before the turns are done (DESIGN, "The tick")."""
from __future__ import annotations

from typing import Any, List

import gevent
import pytest
from gevent.event import Event

from focus.journal.lanes import LaneRow
from focus.lanes import Gone, Lanes
from focus.requests import Requests
from focus.stanzas.stanza import Iq
from focus.tick import Floor, Inbox, Mailbox, Outbox, Ticker


class Connection:
    name = "client"

    def __init__(self):
        self.did = []

    def send(self, stanzas, session):
        self.did.append(("send", [s.decode() for s in stanzas]))

    def acknowledge(self, count):
        self.did.append(("acknowledge", count))


class Item:
    def __init__(self, connection, text, size=10):
        self.connection, self.text, self.size = connection, text, size


class Owner:
    """Answers each message once, after having given way to others in the middle of its turn."""

    def __init__(self, floor, outbox, connection):
        self.mailbox = Mailbox(floor)
        self.turns = []
        self._outbox, self._connection = outbox, connection
        gevent.spawn(self._run)

    def _run(self):
        while True:
            mail = self.mailbox.take()
            gevent.sleep(0)
            self.turns.append(mail)
            for message in mail:
                self._outbox.add(self._connection, "re " + message)


@pytest.fixture
def world():
    floor, outbox, connection = Floor(), Outbox(), Connection()
    owners = [Owner(floor, outbox, connection) for _ in range(3)]
    gevent.sleep(0)
    commits = []
    ticker = Ticker(Inbox(), floor, outbox, lambda item: owners[int(item.text[0])].mailbox.post(item.text),
                    lambda: commits.append([len(o.turns) for o in owners]),
                    lambda handled, queued: connection.did.append(("keep", (handled, queued))))
    return floor, owners, connection, ticker, commits


def test_one_write_and_one_acknowledgement_after_all_turns(world):
    _, owners, connection, ticker, commits = world
    ticker.tick([Item(connection, text) for text in ("0a", "1a", "0b", "2a", "0c")])
    assert owners[0].turns == [["0a", "0b", "0c"]]
    assert commits == [[1, 1, 1]]
    assert [what for what, _ in connection.did] == ["keep", "send", "acknowledge"], "the journal has it first"
    assert connection.did[0][1][0] == {connection: 5}
    assert sorted(connection.did[1][1]) == ["re 0a", "re 0b", "re 0c", "re 1a", "re 2a"]
    assert connection.did[2][1] == 5


def test_the_last_tick(world):
    """Its output has been handed over when the event is set; what comes later isn't taken any more."""
    _, owners, connection, ticker, _ = world
    ended = Event()
    ticker._inbox.put(Item(connection, "0a"))
    ticker.end(ended)
    greenlet = ticker.start()
    ticker._inbox.put(Item(connection, "0b"))
    greenlet.join(1)
    assert ended.is_set() and greenlet.dead and owners[0].turns == []


def test_one_by_one(world):
    """DESIGN, "Poison": each stanza is a tick, and the one that is to be skipped is not handled."""

    class Careful:
        is_active = True
        begun: List[Any] = []

        def begin(self, stream):
            self.begun.append(stream)
            self.is_active = len(self.begun) < 3
            return len(self.begun) == 2

    _, owners, connection, ticker, commits = world
    connection.stream = "the stream"
    skipped: List[Any] = []
    ticker.be_careful(Careful(), skipped.append)
    ticker._one_by_one([Item(connection, "0" + letter) for letter in "abcd"], ticker._careful)
    assert owners[0].turns == [["0a"], ["0c"], ["0d"]] and [item.text for item in skipped] == ["0b"]
    assert len(commits) == 4 and ticker._careful is None


def test_the_floor_is_empty_after_a_tick(world):
    floor, owners, connection, ticker, _ = world
    for _ in range(5):
        ticker.tick([Item(connection, "1x")])
        assert floor.busy == 0
    assert len(owners[1].turns) == 5


def test_a_closed_mailbox_takes_nothing():
    floor = Floor()
    mailbox = Mailbox(floor)
    mailbox.post("a")
    mailbox.close()
    mailbox.post("b")
    assert floor.busy == 0 and len(mailbox) == 0


def test_readers_pause_while_too_much_is_unprocessed():
    inbox = Inbox(limit=100)
    inbox.put(Item(None, "a", 101))
    waiting = gevent.spawn(inbox.wait_for_room)
    gevent.sleep(0)
    assert not waiting.ready()
    inbox.done(inbox.take())
    waiting.join(timeout=1)
    assert waiting.ready()


class TestRequests:
    def setup_method(self):
        self.now = 0.0
        self.sent: List[str] = []
        self.got: List[Any] = []
        self.requests = Requests(lambda: self.now, lambda _, stanza: self.sent.append(stanza),
                                 lambda: "ping%d" % len(self.sent), "auth.meet.example", 15.0)
        self.requests.connected(resumed=False)

    def deliver(self, request_id, iq):
        self.got.append((request_id, iq))

    def answer(self, request_id, from_="a@b/c"):
        return self.requests.answered("client", Iq("result", request_id, "", from_))

    def test_only_whom_we_asked_can_answer(self):
        self.requests.expect("client", "r1", "a@b/c", self.deliver)
        assert not self.answer("r1", "evil@b/c")
        assert not self.requests.answered("component", Iq("result", "r1", "", "a@b/c"))
        assert self.answer("r1") and len(self.got) == 1
        assert not self.answer("r1")

    def wait(self, until):
        """Let time pass until something is due; it has to be then."""
        self.now = until
        assert self.requests.next_deadline() == until
        self.requests.due(until)

    def test_a_deadline_waits_for_our_own_server(self):
        """DESIGN, "Deadlines": the answer that is already on its way comes first."""
        for name in ("r1", "r2"):
            self.requests.expect("client", name, "a@b/c", self.deliver)
        self.wait(14.0)
        assert len(self.sent) == 1 and "urn:xmpp:ping" in self.sent[0] and not self.got
        assert self.answer("ping0", "auth.meet.example") and not self.got
        self.wait(15.0)
        assert len(self.sent) == 2 and not self.got
        assert self.answer("r1")
        assert self.answer("ping1", "auth.meet.example")
        assert [(i, iq is None) for i, iq in self.got] == [("r1", False), ("r2", True)]

    def test_a_server_that_is_behind_makes_nobody_silent(self):
        """It serves connections in turn: its slow answer says nothing about what it hasn't read yet."""
        self.requests.expect("client", "r1", "a@b/c", self.deliver)
        self.wait(14.0)
        self.now = 17.0
        self.answer("ping0", "auth.meet.example")
        assert not self.got and len(self.sent) == 2
        self.now = 17.5
        self.answer("ping1", "auth.meet.example")
        self.wait(18.5)
        self.answer("ping2", "auth.meet.example")
        assert self.got == [("r1", None)]

    def test_a_pause_just_before_the_end(self):
        """U-47: the server was stuck and answers quickly again, but the peer has had no time yet."""
        self.requests.expect("client", "r1", "a@b/c", self.deliver)
        self.wait(14.0)
        self.answer("ping0", "auth.meet.example")
        self.wait(15.0)
        self.now = 17.0
        self.answer("ping1", "auth.meet.example")
        assert not self.got and len(self.sent) == 3
        self.answer("ping2", "auth.meet.example")
        assert not self.got
        self.wait(18.0)
        self.answer("ping3", "auth.meet.example")
        assert self.got == [("r1", None)]

    def test_a_server_that_is_always_behind(self):
        """That is how far it is: silence counts then. Who becomes due meanwhile has part in the pings of others."""
        self.requests.expect("client", "r1", "a@b/c", self.deliver)
        self.requests.expect("client", "r2", "a@b/c", self.deliver, 17.5)
        self.wait(14.0)
        for number in range(5):
            self.now += 2
            self.requests.due(self.now)
            self.answer("ping%d" % number, "auth.meet.example")
            assert len(self.got) == (number >= 2) + (number >= 4)
        assert self.got == [("r1", None), ("r2", None)] and len(self.sent) == 5

    def test_one_ping_serves_all(self):
        self.requests.expect("client", "r1", "a@b/c", self.deliver, 1.0)
        self.requests.expect("client", "r2", "a@b/c", self.deliver, 2.0)
        self.now = 3.0
        self.requests.due(self.now)
        self.requests.due(self.now)
        assert len(self.sent) == 1

    def test_no_deadline_without_a_stream(self):
        self.requests.expect("client", "r1", "a@b/c", self.deliver, 1.0)
        self.requests.disconnected()
        self.now = 100.0
        self.requests.due(self.now)
        assert not self.sent and self.requests.next_deadline() is None
        self.requests.connected(resumed=True)
        assert self.requests.next_deadline() == 114.75

    def test_a_new_stream_brings_no_old_answers(self):
        self.requests.expect("client", "r1", "a@b/c", self.deliver)
        self.requests.connected(resumed=False)
        assert not self.answer("r1") and len(self.requests) == 0


class TestLanes:
    def setup_method(self):
        self.floor = Floor()
        self.out: List[str] = []
        self.done: List[Any] = []
        requests = Requests(lambda: 0.0, lambda *_: None, lambda: "x", "s", 15.0)
        requests.connected(resumed=False)
        self.requests = requests
        self.lanes = Lanes(self.floor, requests, lambda _, s: self.out.append(s), lambda: "id%d" % len(self.out),
                           {"ask": self.ask, "fail": self.fail, "twice": self.twice})

    @staticmethod
    def ask(lane, to):
        request = lane.new_id()
        lane.expect(request, to)
        lane.write("<iq/>")
        return lane.next().stanza.id

    @staticmethod
    def twice(lane, to):
        ids = []
        for stanza in ("<one/>", "<two/>"):
            request = lane.new_id()
            lane.expect(request, to)
            lane.write(stanza)
            ids.append(lane.next().stanza.id)
        return ids

    @staticmethod
    def fail(lane):
        raise ValueError("ours")

    def start(self, kind, **args):
        self.lanes.start(LaneRow("l1", kind, args), self.done.append, "lost", "fault")
        self.floor.wait_quiet()

    def test_waits_without_holding_up_the_tick(self):
        self.start("ask", to="a@b/c")
        assert self.out == ["<iq/>"] and not self.done
        self.requests.answered("client", Iq("result", "id0", "", "a@b/c"))
        self.floor.wait_quiet()
        assert self.done == ["id0"] and self.floor.busy == 0

    def test_a_lost_connection_ends_it(self):
        self.start("ask", to="a@b/c")
        self.lanes.disconnected()
        self.floor.wait_quiet()
        assert self.done == ["lost"] and self.floor.busy == 0
        assert Gone.__doc__

    def test_reborn_it_writes_nothing_again(self):
        """DESIGN, "Coming back, resumed": the same ids, the same answers, and on from there."""
        row = LaneRow("l1", "twice", {"to": "a@b/c"})
        self.lanes.start(row, self.done.append, "lost", "fault")
        self.floor.wait_quiet()
        self.requests.answered("client", Iq("result", "id0", "", "a@b/c"))
        self.floor.wait_quiet()
        assert self.out == ["<one/>", "<two/>"] and row.ids == ("id0", "id1") and row.writes == 2
        kept = (row.ids, row.writes, row.heard)
        self.setup_method()
        again = LaneRow("l1", "twice", {"to": "a@b/c"}, *kept)
        self.lanes.start(again, self.done.append, "lost", "fault")
        self.floor.wait_quiet()
        assert not self.out and not self.done and len(self.requests) == 1
        self.requests.answered("client", Iq("result", "id1", "", "a@b/c"))
        self.floor.wait_quiet()
        assert self.done == [["id0", "id1"]] and not self.out

    def test_a_fault_of_ours_ends_it_too(self):
        self.start("fail")
        assert self.done == ["fault"] and self.floor.busy == 0
