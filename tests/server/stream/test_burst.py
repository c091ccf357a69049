"""Bursts through a real Prosody over TLS: every stanza arrives once, in order, in bounded memory (DESIGN, idea 1)."""

from __future__ import annotations

import gc
import time

import gevent

from tests.support.connecting import client, component
from tests.support.connections import resident_bytes, wait_for
from tests.support.proxy import Proxy

COUNT = 20000
LIMIT = 240
BODY = b"<body>" + b"x" * 1900 + b"</body>"


class Sender:
    """Sends numbered stanzas of 2 kB as the ticks would: in batches, not without end."""

    def __init__(self, connection, to):
        self.connection = connection
        self.to = to
        self.sent = 0

    def run(self):
        while self.sent < COUNT:
            if self.connection.queued_bytes > 2000000 or self.connection.unacknowledged > 4000:
                gevent.sleep(0.002)
                continue
            batch = [b"<message type='chat' to='%s' id='%06d'>%s</message>" % (self.to, n, BODY)
                     for n in range(self.sent, min(self.sent + 200, COUNT))]
            self.connection.send(batch)
            self.sent += len(batch)
            gevent.sleep(0)


def burst(prosody, peers, inboxes, ports, during=lambda senders: None):
    """20,000 stanzas of 2 kB each way; returns the seconds it took. All arrive once, in order."""
    ids = inboxes(keep=lambda arrived: int(arrived.element.get("id"))), inboxes(
        keep=lambda arrived: int(arrived.element.get("id")))
    connections = [peers(client(ids[0], prosody, port=ports[0])),
                   peers(client(ids[1], prosody, user="jvb", port=ports[1]))]
    for inbox in ids:
        inbox.wait_connected()
    gc.collect()
    before = most = resident_bytes()
    begin = time.monotonic()
    senders = [Sender(connections[0], connections[1].jid.encode()), Sender(connections[1],
                                                                           connections[0].jid.encode())]
    greenlets = [gevent.spawn(sender.run) for sender in senders]
    disturbance = gevent.spawn(during, ids)
    while not all(len(inbox.arrived) >= COUNT for inbox in ids):
        most = max(most, resident_bytes())
        assert time.monotonic() - begin < LIMIT, [len(inbox.arrived) for inbox in ids]
        gevent.sleep(0.01)
    seconds = time.monotonic() - begin
    gevent.joinall(greenlets + [disturbance], raise_error=True)
    wait_for(lambda: not any(connection.unacknowledged for connection in connections), "all confirmed", 30)
    for inbox in ids:
        assert inbox.arrived == list(range(COUNT))
        assert inbox.most_unprocessed < 6 * 1024 * 1024, "the reader waits for room"
    growth = (most - before) / 1e6
    print("burst: %d stanzas of 2 kB in %.1f s, memory grew by %.1f MB" % (2 * COUNT, seconds, growth))
    assert growth < 60, "memory grew by %.1f MB" % growth
    return ids


def test_burst(prosody, peers, inboxes):
    ids = burst(prosody, peers, inboxes, [prosody.c2s_port] * 2)
    assert not any(inbox.disconnected for inbox in ids)


def test_burst_with_the_connection_cut(mended_prosody, peers, inboxes):
    """The TCP connections break four times in the middle of it; the streams are resumed."""
    with Proxy(mended_prosody.c2s_port) as one, Proxy(mended_prosody.c2s_port) as two:

        def cuts(ids):
            for share, proxy, inbox in ((0.15, one, 0), (0.35, two, 1), (0.55, one, 0), (0.75, two, 1)):
                ids[inbox].wait_arrived(int(share * COUNT), 200)
                proxy.wait_connection()
                proxy.cut()

        ids = burst(mended_prosody, peers, inboxes, [one.port, two.port], cuts)
        for inbox in ids:
            assert len(inbox.disconnected) == 2 and all(lost.will_resume for lost in inbox.disconnected)
            assert [connected.resumed for connected in inbox.connected] == [False, True, True]


def test_burst_of_presences_between_component_and_client(prosody, peers, inboxes):
    """The component's side: no stream management, order and number still hold."""
    inbox, guests = inboxes(keep=lambda a: int(a.element.get("id"))), inboxes(keep=lambda a: int(a.element.get("id")))
    focus = peers(component(inbox, prosody))
    guest = peers(client(guests, prosody, user="jvb"))
    inbox.wait_connected()
    guests.wait_connected()
    for begin in range(0, 5000, 500):
        focus.send([b"<message from='focus.meet.example' to='%s' id='%d'>%s</message>" % (guest.jid.encode(), n, BODY)
                    for n in range(begin, begin + 500)])
        guest.send([b"<message to='focus.meet.example' id='%d'>%s</message>" % (n, BODY)
                    for n in range(begin, begin + 500)])
        gevent.sleep(0)
    assert inbox.wait_arrived(5000, 60) == list(range(5000))
    assert guests.wait_arrived(5000, 60) == list(range(5000))
