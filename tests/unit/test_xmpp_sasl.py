"""SASL with sleekxmpp's mechanisms: choice, the exchange against RFC vectors and a server of our own, refusals."""

from __future__ import annotations

import base64
import hashlib
import hmac
import subprocess
import sys

import pytest

from focus.xmpp import library, sasl


@pytest.mark.parametrize("offered, has_password, encrypted, refused, chosen", [
    (["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"], True, True, (), "SCRAM-SHA-512"),
    (["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256"], True, True, (), "SCRAM-SHA-256"),
    (["PLAIN", "SCRAM-SHA-1", "DIGEST-MD5"], True, False, (), "SCRAM-SHA-1"),
    (["PLAIN", "SCRAM-SHA-1"], True, True, ("SCRAM-SHA-1",), "PLAIN"),
    (["PLAIN", "SCRAM-SHA-1"], True, False, ("SCRAM-SHA-1",), None),
    (["PLAIN"], True, True, (), "PLAIN"),
    (["PLAIN"], True, False, (), None),
    (["ANONYMOUS", "PLAIN"], False, True, (), "ANONYMOUS"),
    (["ANONYMOUS"], True, True, (), None),
    (["SCRAM-SHA-1"], False, True, (), None),
    (["EXTERNAL", "GSSAPI", "SCRAM-SHA-1-PLUS"], True, True, (), None),
    ([], True, True, (), None),
])
def test_choice(offered, has_password, encrypted, refused, chosen):
    assert sasl.choose(offered, has_password, encrypted, frozenset(refused)) == chosen


def content(element):
    return base64.b64decode(element.partition(b">")[2].partition(b"<")[0])


class Server:
    """The other side of SCRAM (RFC 5802), written anew."""

    def __init__(self, name, password, iterations=4096):
        self.hash = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}[name]
        self.salt = b"some salt"
        self.iterations = iterations
        self.salted = hashlib.pbkdf2_hmac(self.hash, password.encode(), self.salt, iterations)

    def mac(self, key, text):
        return hmac.new(key, text, self.hash).digest()

    def challenge(self, auth):
        header, _, self.first = content(auth).partition(b",,")
        assert header == b"n"
        self.nonce = self.first.rpartition(b"r=")[2] + b"+server"
        self.second = b"r=%s,s=%s,i=%d" % (self.nonce, base64.b64encode(self.salt), self.iterations)
        return base64.b64encode(self.second).decode()

    def success(self, response):
        """The <success/> data, or None if the proof is wrong."""
        bare, _, proof = content(response).rpartition(b",p=")
        assert bare == b"c=biws,r=" + self.nonce
        text = b",".join((self.first, self.second, bare))
        client_key = self.mac(self.salted, b"Client Key")
        signature = self.mac(hashlib.new(self.hash, client_key).digest(), text)
        expected = bytes(a ^ b for a, b in zip(client_key, signature))
        if base64.b64decode(proof) != expected:
            return None
        return base64.b64encode(b"v=" + base64.b64encode(self.mac(self.mac(self.salted, b"Server Key"), text))).decode()


@pytest.mark.parametrize("name", ["SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_scram(name):
    exchange, server = sasl.Exchange(name, "focus", "pass,w=rd", True), Server(name, "pass,w=rd")
    auth = exchange.auth()
    assert auth.startswith(b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='%s'>" % name.encode())
    exchange.finish(server.success(exchange.response(server.challenge(auth))))


def test_scram_with_a_wrong_password():
    exchange, server = sasl.Exchange("SCRAM-SHA-1", "focus", "wrong", True), Server("SCRAM-SHA-1", "right")
    assert server.success(exchange.response(server.challenge(exchange.auth()))) is None


def test_server_that_does_not_know_the_password_is_not_believed():
    for forged in (base64.b64encode(b"v=" + base64.b64encode(b"x" * 20)).decode(), None, "", "="):
        exchange, server = sasl.Exchange("SCRAM-SHA-1", "focus", "secret", True), Server("SCRAM-SHA-1", "secret")
        exchange.response(server.challenge(exchange.auth()))
        with pytest.raises(sasl.BadChallenge):
            exchange.finish(forged)


def test_success_without_a_challenge_is_not_believed():
    exchange = sasl.Exchange("SCRAM-SHA-1", "focus", "secret", True)
    exchange.auth()
    with pytest.raises(sasl.BadChallenge):
        exchange.finish(None)


@pytest.mark.parametrize("challenge", [
    None, "", "!!", base64.b64encode(b"nonsense").decode(), base64.b64encode(b"r=x,s=eA==,i=4096").decode(),
    base64.b64encode(b"r=%s,s=eA==,i=no").decode(), base64.b64encode(b"m=1,r=%s,s=eA==,i=4096").decode(),
    base64.b64encode(b"r=%s,s=eA==").decode(), base64.b64encode(b"r=%s,s=eA==,i=99999999").decode(),
    base64.b64encode(b"r=%s,s=eA==,i=0").decode(), base64.b64encode(b"r=%s,s=e,i=4096").decode()])
def test_malformed_challenges(challenge):
    exchange = sasl.Exchange("SCRAM-SHA-1", "focus", "secret", True)
    nonce = content(exchange.auth()).rpartition(b"r=")[2]
    if challenge and b"%s" in base64.b64decode(challenge + "==", validate=False):
        challenge = base64.b64encode(base64.b64decode(challenge).replace(b"%s", nonce + b"x")).decode()
    with pytest.raises(sasl.BadChallenge):
        exchange.response(challenge)


def test_nonces_are_long_and_never_the_same():
    nonces = {content(sasl.Exchange("SCRAM-SHA-1", "r=focus", "secret", True).auth()) for _ in range(20)}
    assert len(nonces) == 20
    assert all(nonce.startswith(b"n,,n=r=3Dfocus,r=") and len(nonce) > 45 for nonce in nonces)


def test_plain_and_anonymous():
    assert content(sasl.Exchange("PLAIN", "focus", "gehe\u00admnis", True).auth()) == b"\0focus\0gehemnis", "prepared"
    anonymous = sasl.Exchange("ANONYMOUS", "", "", True)
    assert content(anonymous.auth()) == b""
    anonymous.finish(None)


def test_password_that_can_t_be_prepared():
    with pytest.raises(sasl.BadChallenge) as caught:
        sasl.Exchange("SCRAM-SHA-1", "focus", "bell\x07", True)
    assert "bell" not in str(caught.value)


def run(code):
    return subprocess.run([sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-W",
                           "ignore:invalid escape", "-c", code], check=True, stdout=subprocess.PIPE).stdout.decode()


def test_only_what_we_use_of_sleekxmpp_is_imported():
    modules = run("import sys\nfrom focus.xmpp import library\nlibrary.load('sleekxmpp.util.sasl')\n"
                  "library.load('sleekxmpp.jid')\n"
                  "print(sorted(m for m in sys.modules if m.startswith('sleekxmpp')))")
    assert "sleekxmpp.util.sasl.mechanisms" in modules and "sleekxmpp.jid" in modules
    assert "sleekxmpp.xmlstream" not in modules and "sleekxmpp.plugins" not in modules


def test_the_package_still_gives_everything_when_asked(tmp_path, monkeypatch):
    package = tmp_path / "sleeping"
    package.mkdir()
    (package / "__init__.py").write_text("from sleeping.part import here\nloaded = True\n")
    (package / "part.py").write_text("here = 'part'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(library, "PACKAGE", "sleeping")
    part = library.load("sleeping.part")
    package = sys.modules["sleeping"]
    assert part.here == "part" and "loaded" not in vars(package)
    assert package.loaded and package.here == "part" and package.part is part
    with pytest.raises(AttributeError):
        package.nothing  # noqa: B018


def test_a_missing_library_is_an_import_error(monkeypatch):
    monkeypatch.setattr(library, "PACKAGE", "no_such_package")
    with pytest.raises(ImportError):
        library.load("no_such_package.jid")


def test_library_is_one_for_all():
    assert library.load("sleekxmpp.jid") is library.load("sleekxmpp.jid")
