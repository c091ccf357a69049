"""Pauses between attempts, the order of SRV records, the texts of failures, what is queued for whom."""

from __future__ import annotations

import logging

import gevent.socket
import pytest

from focus.xmpp import errors, negotiation, resolve
from focus.xmpp.backoff import Backoff
from focus.xmpp.client import Client
from focus.xmpp.component import Component
from focus.xmpp.errors import Patience
from focus.xmpp.resolve import Address, SrvRecord
from focus.xmpp.resumption import Session, SessionState


def pauses(patience, count, chance=0.5):
    backoff = Backoff(lambda: chance)
    return [backoff.pause(patience, 0) for _ in range(count)]


def test_pauses_double_to_their_limit():
    assert pauses(Patience.NETWORK, 7) == [0.5, 1, 2, 4, 8, 10, 10]
    assert pauses(Patience.REFUSED, 9) == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
    assert pauses(Patience.NONE, 2) == [0, 0]


def test_pauses_have_jitter():
    assert pauses(Patience.NETWORK, 1, 0)[0] < pauses(Patience.NETWORK, 1, 1)[0]


def test_a_login_that_lasted_starts_anew():
    backoff = Backoff(lambda: 0.5)
    for _ in range(5):
        backoff.pause(Patience.NETWORK, 0)
    backoff.lasted(1)
    assert backoff.pause(Patience.NETWORK, 0) == 10
    backoff.lasted(60)
    assert backoff.pause(Patience.NETWORK, 0) == 0.5


def test_second_conflict_within_an_hour_gives_way():
    backoff = Backoff()
    assert backoff.pause(Patience.CONFLICT, 0) == 30
    assert backoff.pause(Patience.CONFLICT, 100) is None
    assert backoff.pause(Patience.CONFLICT, 5000) == 30


def test_srv_order():
    records = [SrvRecord(20, 0, "last", 5222), SrvRecord(10, 5, "a", 5222), SrvRecord(10, 95, "b", 5223)]
    assert [a.host for a in resolve.order_records(records, lambda low, high: low)] == ["a", "b", "last"]
    assert [a.host for a in resolve.order_records(records, lambda low, high: high)] == ["b", "a", "last"]
    assert [a.host for a in resolve.order_records([SrvRecord(0, 0, "x", 1), SrvRecord(0, 0, "y", 1)])] in (
        ["x", "y"], ["y", "x"])


def test_srv_lookup(monkeypatch):
    import dns.exception
    import dns.rdtypes.IN.SRV
    import dns.resolver

    def answer(name, kind):
        if name == "_xmpp-client._tcp.none.example":
            raise dns.resolver.NXDOMAIN
        target = "." if "nothing" in name else "xmpp.meet.example."
        return [dns.rdtypes.IN.SRV.SRV(1, 33, 0, 0, 5299, dns.name.from_text(target))]

    monkeypatch.setattr(dns.resolver, "resolve", answer)
    assert resolve.look_up("meet.example", 5222) == [Address("xmpp.meet.example", 5299)]
    assert resolve.look_up("none.example", 5222) == [Address("none.example", 5222)]
    assert resolve.look_up("nothing.example", 5222) == [Address("nothing.example", 5222)]


def test_connect_tries_all_addresses():
    with pytest.raises(errors.ConnectFailed, match="no connection to 127.0.0.1:1: Connection refused"):
        resolve.connect([Address("name.invalid", 5222), Address("127.0.0.1", 1)])
    with pytest.raises(errors.ConnectFailed, match="no connection to name.invalid:5222: "):
        resolve.connect([Address("name.invalid", 5222)])


@pytest.mark.parametrize("condition", ["conflict", "host-unknown", "system-shutdown", "policy-violation",
                                       "not-authorized", "invalid-namespace", "never-heard-of"])
def test_every_stream_error_is_one_line_with_its_condition(condition):
    for failure in (errors.client_stream_error(condition, "Said\nso", "focus@a.example/focus", "a.example"),
                    errors.component_stream_error(condition, "Said so", "focus.a.example", "[::1]:5347", "FILE")):
        assert failure.condition == condition and failure.text.startswith("stream error " + condition)
        assert "%" not in failure.text


def test_what_a_server_writes_stays_on_the_line():
    assert errors.printable(" a\nERROR forged\t b ") == "a ERROR forged b"
    assert len(errors.printable("x" * 1000)) == 300
    assert errors.printable(None) == ""


@pytest.mark.parametrize("failure, patience", [
    (errors.LoginRefused("not-authorized", "PLAIN", "a@b", "c:1"), Patience.REFUSED),
    (errors.ConnectFailed("a", 1, OSError(111, "Connection refused")), Patience.NETWORK),
    (errors.client_stream_error("conflict", "", "a@b/c", "b"), Patience.CONFLICT),
    (errors.component_stream_error("conflict", "", "a.b", "c:1", ""), Patience.REFUSED),
    (errors.client_stream_error("system-shutdown", "", "a@b/c", "b"), Patience.NETWORK),
    (errors.client_stream_error("host-unknown", "", "a@b/c", "b"), Patience.REFUSED),
    (errors.TlsUnavailable("a:1"), Patience.REFUSED),
    (errors.ResumptionRefused("x"), Patience.NONE),
])
def test_patience(failure, patience):
    assert failure.patience == patience


class NoInbox:
    def put(self, item):
        raise AssertionError(item)

    def wait_for_room(self):
        raise AssertionError("nobody reads")


def test_before_the_first_login_nothing_is_queued():
    client = Client(NoInbox(), user="focus", domain="a.example", password="x")
    client.send([b"<presence/>"])
    assert client.unacknowledged == 0 and client.queued_bytes == 0 and client.session_state() is None


@pytest.mark.parametrize("host, warns", [("localhost", False), ("127.0.0.1", False), ("::1", False), ("[::1]", False),
                                         ("xmpp.meet.example", True), ("10.0.0.1", True)])
def test_component_to_another_host_warns_at_start(host, warns, caplog):
    caplog.set_level(logging.WARNING)
    Component(NoInbox(), domain="focus.a.example", secret="x", host=host)._warn()
    assert ("not encrypted" in caplog.text) is warns


class Peer:
    """The server's end of a wire, as a script."""

    HEADER = (b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' "
              b"id='x'><stream:features><sm xmlns='urn:xmpp:sm:3'/></stream:features>")

    def __init__(self, monkeypatch):
        ours, self.sock = gevent.socket.socketpair()
        self.client = Client(NoInbox(), user="focus", domain="a.example", password="x", reply_timeout=2.0)
        self.wire = self.client._wire_for(ours, Address("a.example", 5222))
        self.say(self.HEADER)
        self.features = negotiation.open_stream(self.wire, "a.example")

    def say(self, data):
        self.sock.sendall(data)


@pytest.fixture
def peer(monkeypatch):
    made = Peer(monkeypatch)
    yield made
    made.wire.close()
    made.sock.close()


def test_stanzas_before_enabled_are_kept_and_not_counted(peer):
    peer.say(b"<iq type='result' id='other'/><iq type='result' id='bind'>"
             b"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>focus@a.example/focus</jid></bind></iq>"
             b"<message id='1'/>")
    assert negotiation.bind(peer.wire, peer.features, peer.client.account) == "focus@a.example/focus"
    peer.say(b"<message id='2'/><enabled xmlns='urn:xmpp:sm:3' id='token' resume='true' max='77'/><message id='3'/>")
    session = negotiation.enable(peer.wire, peer.features, "focus@a.example/focus", 2)
    assert session is not None
    assert (session.id, session.max_seconds, session.resumable) == ("token", 77, True)
    assert [item.element.get("id") for item in peer.wire.pending] == ["other", "1", "2", "3"]
    assert session.handle(2 + 3) == 0, "two of an earlier session, three before <enabled/>"
    assert session.handle(1) == 1


@pytest.mark.parametrize("answer, resumed", [
    (b"<resumed xmlns='urn:xmpp:sm:3' previd='t' h='1'/><message id='1'/><a xmlns='urn:xmpp:sm:3' h='1'/>", True),
    (b"<resumed xmlns='urn:xmpp:sm:3' previd='t' h='1'/><r xmlns='urn:xmpp:sm:3'/><a xmlns='urn:xmpp:sm:3' h='2'/>",
     True),
    (b"<failed xmlns='urn:xmpp:sm:3'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>", False),
    (b"</stream:stream>", None),
    (b"<resumed xmlns='urn:xmpp:sm:3' previd='t' h='9'/>", None),
    (b"<resumed xmlns='urn:xmpp:sm:3' previd='t'/>", None),
    (b"<resumed xmlns='urn:xmpp:sm:3' previd='t' h='1'/>", None),
    (b"<stream:error><internal-server-error xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>", None),
])
def test_resuming(peer, answer, resumed):
    session = Session.restore(SessionState("t", "focus@a.example/focus", 600, 5, 0, [b"<m1/>", b"<m2/>"]))
    peer.say(answer)
    if resumed is None:
        with pytest.raises(errors.ResumptionRefused):
            negotiation.resume(peer.wire, peer.features, session)
    else:
        assert negotiation.resume(peer.wire, peer.features, session) is resumed
    if resumed:
        written = peer.sock.recv(1000)
        assert written.endswith(b"<resume xmlns='urn:xmpp:sm:3' h='5' previd='t'/><r xmlns='urn:xmpp:sm:3'/>")
        assert len(session.sent) < 2


def test_bind_refused_says_why(peer):
    peer.say(b"<iq type='error' id='bind'><error type='cancel'><conflict "
             b"xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>")
    with pytest.raises(errors.BindRefused, match="resource focus: conflict"):
        negotiation.bind(peer.wire, peer.features, peer.client.account)


def test_a_server_that_talks_something_else(peer):
    peer.say(b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
    with pytest.raises(errors.ProtocolMismatch, match="sent <success/> where <proceed/> was due"):
        negotiation.start_tls(peer.wire)


def test_nothing_that_came_unencrypted_is_left_after_starttls(peer):
    peer.say(b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><message id='injected'/>")
    negotiation.start_tls(peer.wire)
    peer.say(Peer.HEADER)
    negotiation.open_stream(peer.wire, "a.example")
    assert not peer.wire.pending
