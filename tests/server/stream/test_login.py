"""Logging in to a real Prosody, with TLS verified; every way to be refused (C-1001 ... C-1003, C-1038, U-2 ... U-9)."""

from __future__ import annotations

import gevent
import pytest

from focus.xmpp import resolve
from focus.xmpp.errors import CertificateRefused, LoginRefused, Patience, StreamError, TlsUnavailable
from tests.support.certificates import TestAuthority
from tests.support.connecting import client, component, ping
from tests.support.connections import wait_for
from tests.support.prosody import PASSWORDS, Prosody

# Login


def test_client_login(prosody, peers, inboxes, logged):
    inbox = inboxes()
    focus = peers(client(inbox, prosody))
    connected = inbox.wait_connected()
    assert connected.jid == focus.jid == "focus@auth.meet.example/focus"
    assert not connected.resumed and focus.connected and focus.failure is None
    line = logged("Registered (resumed=false)")[0].getMessage()
    assert "TLS" in line and "resumable for 600 s" in line
    focus.send([ping("auth.meet.example")])
    assert inbox.wait_arrived()[0].get("id") == "p1"
    wait_for(lambda: focus.unacknowledged == 0, "the server confirms our stanza")


@pytest.mark.parametrize("name, offered", [("SHA-1", "SCRAM-SHA-1"), ("SHA-256", "SCRAM-SHA-256")])
def test_scram_with_the_server_s_hash(name, offered, peers, inboxes):
    with Prosody(extra_global='password_hash = "%s"' % name) as server:
        inbox = inboxes()
        peers(client(inbox, server))
        inbox.wait_connected()
        peers(client(inbox, server, password="wrong-one", resource="second"))
        other = peers(client(inbox, server, user="jvb", password="wrong-one"))
        wait_for(lambda: isinstance(other.failure, LoginRefused), "the refusal")
        assert other.failure.mechanism == offered


def test_plain_over_tls(peers, inboxes):
    with Prosody(extra_global='disable_sasl_mechanisms = { "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "EXTERNAL" }') as server:
        inbox = inboxes()
        peers(client(inbox, server))
        inbox.wait_connected()


def test_without_a_password_login_is_anonymous(prosody, peers, inboxes):
    inbox = inboxes()
    peers(client(inbox, prosody, user="", password="", domain="meet.example"))
    assert inbox.wait_connected().jid.partition("/")[0].endswith("@meet.example")


def test_component_login(prosody, peers, inboxes, logged):
    inbox, guests = inboxes(), inboxes()
    focus = peers(component(inbox, prosody))
    assert inbox.wait_connected().jid == "focus.meet.example"
    guest = peers(client(guests, prosody, user="jvb"))
    guests.wait_connected()
    guest.send([ping("focus.meet.example", "ask")])
    element = inbox.wait_arrived()[0]
    assert (element.get("id"), element.get("from")) == ("ask", guest.jid)
    focus.send([b"<iq type='result' id='ask' from='focus.meet.example' to='%s'/>" % guest.jid.encode()])
    assert guests.wait_arrived()[0].get("type") == "result"
    assert not logged("not encrypted"), "no warning on loopback"


# Refusals, each with the line the operator needs


def test_wrong_password(prosody, peers, inboxes, logged):
    focus = peers(client(inboxes(), prosody, password="wrong-one", password_origin="/etc/jitsi/jicofo/jicofo.ini"))
    wait_for(lambda: focus.failure, "the refusal")
    assert isinstance(focus.failure, LoginRefused) and focus.failure.condition == "not-authorized"
    line = wait_for(lambda: logged("Failed to connect/login:"), "the line")[0].getMessage()
    for word in ("SASLError using SCRAM-SHA-1: not-authorized", "focus@auth.meet.example", str(prosody.c2s_port),
                 "password from /etc/jitsi/jicofo/jicofo.ini", "prosodyctl passwd focus@auth.meet.example"):
        assert word in line
    assert "\n" not in line
    assert wait_for(lambda: logged("XMPP reconnecting in:"), "the pause")


def test_password_put_right_later(peers, inboxes):
    with Prosody() as server:
        server.stop()
        server.set_password("focus", "other")
        server.start()
        inbox = inboxes()
        focus = peers(client(inbox, server, password=PASSWORDS["focus"]))
        wait_for(lambda: focus.failure, "the refusal")
        server.stop()
        server.set_password("focus", PASSWORDS["focus"])
        server.start()
        inbox.wait_connected(timeout=30)


def test_unknown_domain(prosody, peers, inboxes):
    focus = peers(client(inboxes(), prosody, domain="auth.other.example"))
    wait_for(lambda: focus.failure, "the refusal")
    assert isinstance(focus.failure, StreamError) and focus.failure.condition == "host-unknown"
    assert "auth.other.example" in focus.failure.text and "VirtualHost" in focus.failure.text
    assert focus.failure.patience == Patience.REFUSED


@pytest.mark.parametrize("with_other_ca", [False, True])
def test_unknown_certificate(with_other_ca, prosody, peers, inboxes, tmp_path):
    ca_file = str(TestAuthority(tmp_path, "Other CA").ca_file) if with_other_ca else None
    focus = peers(client(inboxes(), prosody, ca_file=ca_file))
    wait_for(lambda: focus.failure, "the refusal")
    assert isinstance(focus.failure, CertificateRefused)
    text = focus.failure.text
    for word in ("PKIX path building failed", "subject CN=meet.example", "issuer CN=", "valid 20",
                 "names meet.example, *.meet.example, auth.meet.example", "SHA-256 fingerprint ", "ca_file",
                 "update-ca-certificates"):
        assert word in text, word
    assert text.partition("fingerprint ")[2][:95].count(":") == 31


def test_unreadable_ca_file(prosody, peers, inboxes):
    focus = peers(client(inboxes(), prosody, ca_file="/nowhere/ca.pem"))
    wait_for(lambda: focus.failure, "the refusal")
    assert "ca_file /nowhere/ca.pem can't be used: No such file" in focus.failure.text


def test_the_server_s_own_certificate_as_ca_file(prosody, peers, inboxes):
    certificate = next(path for path in prosody.directory.rglob("meet.example.crt"))
    inbox = inboxes()
    peers(client(inbox, prosody, ca_file=str(certificate)))
    inbox.wait_connected()


def test_certificate_for_another_name(peers, inboxes):
    with Prosody(certificate_names=["public.example"]) as server:
        focus = peers(client(inboxes(), server))
        wait_for(lambda: focus.failure, "the refusal")
        assert isinstance(focus.failure, CertificateRefused)
        for word in ("Hostname verification of certificate failed. Certificate does not authenticate auth.meet.example",
                     "Tried for: auth.meet.example, 127.0.0.1", "names public.example"):
            assert word in focus.failure.text


@pytest.mark.parametrize("names, host", [(["auth.meet.example"], "127.0.0.1"), (["*.meet.example"], "127.0.0.1"),
                                         (["localhost"], "localhost"), (["127.0.0.1"], "127.0.0.1")])
def test_certificate_for_domain_or_host(names, host, peers, inboxes):
    with Prosody(certificate_names=names) as server:
        inbox = inboxes()
        peers(client(inbox, server, host=host))
        inbox.wait_connected()


def test_verification_switched_off(peers, inboxes, logged):
    with Prosody(certificate_names=["public.example"]) as server:
        inbox = inboxes()
        peers(client(inbox, server, ca_file=None, disable_certificate_verification=True))
        inbox.wait_connected()
        assert [r.levelname for r in logged("Disabling TLS certificate verification!")] == ["WARNING"]


def test_server_without_tls_on_our_own_machine(peers, inboxes, logged):
    with Prosody(offer_tls=False) as server:
        inbox = inboxes()
        peers(client(inbox, server))
        inbox.wait_connected()
        assert "is not encrypted" in logged("not encrypted")[0].getMessage()


def test_server_without_tls_elsewhere(peers, inboxes, monkeypatch):
    monkeypatch.setattr("focus.xmpp.negotiation.is_own_host", lambda sock: False)
    with Prosody(offer_tls=False) as server:
        focus = peers(client(inboxes(), server))
        wait_for(lambda: focus.failure, "the refusal")
        assert isinstance(focus.failure, TlsUnavailable) and "STARTTLS" in focus.failure.text


def test_wrong_component_secret(prosody, peers, inboxes):
    focus = peers(component(inboxes(), prosody, secret="wrong-one", secret_origin="JICOFO_SECRET"))
    wait_for(lambda: focus.failure, "the refusal")
    where = "127.0.0.1:%d" % prosody.component_port
    for word in ("not-authorized, host:127.0.0.1, port:%d" % prosody.component_port,
                 "Given token does not match calculated token",
                 "component secret for focus.meet.example not accepted by " + where,
                 "Prosody's component_secret and our secret (from JICOFO_SECRET) differ"):
        assert word in focus.failure.text
    assert focus.failure.condition == "not-authorized"


def test_unknown_component(prosody, peers, inboxes):
    focus = peers(component(inboxes(), prosody, domain="other.meet.example"))
    wait_for(lambda: focus.failure, "the refusal")
    for word in ("host-unknown, host:127.0.0.1, port:%d" % prosody.component_port,
                 "does not match any configured external components", 'Component "other.meet.example"',
                 "client_proxy"):
        assert word in focus.failure.text


def test_second_component_of_the_name(prosody, peers, inboxes):
    first, second = inboxes(), inboxes()
    peers(component(first, prosody))
    first.wait_connected()
    other = peers(component(second, prosody))
    wait_for(lambda: other.failure, "the refusal")
    assert other.failure.condition == "conflict" and "already connected" in other.failure.text
    assert other.failure.patience == Patience.REFUSED
    assert not first.disconnected


def test_ports_mixed_up(prosody, peers, inboxes):
    """A client at the component port, a component at the client port, XMPP at the HTTP port."""
    made = [client(inboxes(), prosody, port=prosody.component_port),
            component(inboxes(), prosody, port=prosody.c2s_port),
            client(inboxes(), prosody, port=prosody.http_port, reply_timeout=1.0)]
    for connection in made:
        peers(connection)
    wait_for(lambda: all(connection.failure for connection in made), "the refusals")
    assert all(connection.failure.text for connection in made)



def test_is_own_host():
    """Loopback, and an address of ours."""
    server = gevent.socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(1)
    sock, address = resolve.connect([resolve.Address("127.0.0.1", server.getsockname()[1])])
    assert resolve.is_own_host(sock)
    sock.close()
    server.close()
