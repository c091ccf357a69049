"""SASL for the bridge's login: SCRAM-SHA-256, SCRAM-SHA-1 (RFC 5802, RFC 7677) and PLAIN (RFC 4616). Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Iterable, Tuple


class SaslFailed(Exception):
    """The server's side of the exchange is wrong, or no mechanism is common."""


class Plain:
    """PLAIN: the password itself, so only within TLS."""

    name = "PLAIN"

    def __init__(self, user: str, password: str) -> None:
        self._message = b"\0%s\0%s" % (user.encode(), password.encode())

    def start(self) -> bytes:
        """The initial response."""
        return self._message

    def challenge(self, data: bytes) -> bytes:
        """There are no challenges."""
        raise SaslFailed("challenge in PLAIN")

    def success(self, data: bytes) -> None:
        """Nothing proves the server."""


class Scram:
    """SCRAM without channel binding. `name` is SCRAM-SHA-1 or SCRAM-SHA-256."""

    def __init__(self, name: str, user: str, password: str) -> None:
        self.name = name
        self._hash = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256"}[name]
        self._password = password.encode()
        self._nonce = secrets.token_hex(16)
        self._bare = "n=%s,r=%s" % (user.replace("=", "=3D").replace(",", "=2C"), self._nonce)
        self._signature = b""

    def start(self) -> bytes:
        """The client-first message."""
        return ("n,," + self._bare).encode()

    def challenge(self, data: bytes) -> bytes:
        """Answer the server-first message. Raises SaslFailed."""
        text = data.decode("utf-8", "replace")
        fields = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
        nonce, iterations = fields.get("r", ""), fields.get("i", "")
        if (
            not nonce.startswith(self._nonce)
            or not iterations.isdigit()
            or not 0 < int(iterations) <= 1000000
        ):
            raise SaslFailed("malformed SCRAM challenge")
        salt = base64.b64decode(fields.get("s", ""))
        salted = hashlib.pbkdf2_hmac(self._hash, self._password, salt, int(iterations))
        client_key = self._hmac(salted, b"Client Key")
        final = "c=%s,r=%s" % (base64.b64encode(b"n,,").decode(), nonce)
        signed = ",".join((self._bare, text, final)).encode()
        stored = hashlib.new(self._hash, client_key).digest()
        proof = bytes(a ^ b for a, b in zip(client_key, self._hmac(stored, signed)))
        self._signature = self._hmac(self._hmac(salted, b"Server Key"), signed)
        return ("%s,p=%s" % (final, base64.b64encode(proof).decode())).encode()

    def success(self, data: bytes) -> None:
        """Check the server's signature. Raises SaslFailed if it does not know the password."""
        expected = b"v=" + base64.b64encode(self._signature)
        if not self._signature or not hmac.compare_digest(data, expected):
            raise SaslFailed("the server could not prove that it knows the password")

    def _hmac(self, key: bytes, message: bytes) -> bytes:
        return hmac.new(key, message, self._hash).digest()


def choose(offered: Iterable[str], user: str, password: str, encrypted: bool) -> Scram | Plain:
    """The best mechanism that both sides have. Raises SaslFailed if there is none."""
    names = set(offered)
    for name in ("SCRAM-SHA-256", "SCRAM-SHA-1"):
        if name in names:
            return Scram(name, user, password)
    if "PLAIN" in names and encrypted:
        return Plain(user, password)
    raise SaslFailed("no usable SASL mechanism, offered: %s" % (", ".join(sorted(names)) or "none"))


def exchange(data: str) -> bytes:
    """The bytes of a base64 SASL text; '=' stands for empty. Raises SaslFailed."""
    try:
        return b"" if data.strip() in ("", "=") else base64.b64decode(data, validate=False)
    except ValueError as error:
        raise SaslFailed("malformed base64") from error


def split_user(jid: str) -> Tuple[str, str]:
    """Local part and domain of a bare JID. Raises ValueError without either."""
    user, at, domain = jid.partition("@")
    if not user or not at or not domain or "/" in domain:
        raise ValueError("%r is not a bare JID like jvb@auth.meet.example" % jid)
    return user, domain
