"""The server's side of SCRAM-SHA-1 (RFC 5802), without channel binding, for scripted servers."""

from __future__ import annotations

import base64
import hashlib
import hmac


class ScramServer:
    """One login. nonce: ours, at the end of the client's."""

    SALT = b"salt of a scripted server"
    ITERATIONS = 16

    def __init__(self, password: str, nonce: str) -> None:
        self._password = password.encode()
        self._nonce = nonce
        self._bare = ""
        self._first = ""

    def challenge(self, first: str) -> str:
        """Our first message, for the client's in base64; in base64, too."""
        self._bare = base64.b64decode(first).decode().partition(",,")[2]
        nonce = _fields(self._bare)["r"] + self._nonce
        self._first = "r=%s,s=%s,i=%d" % (nonce, base64.b64encode(self.SALT).decode(), self.ITERATIONS)
        return base64.b64encode(self._first.encode()).decode()

    def success(self, final: str) -> str:
        """What ends the exchange, for the client's last message; empty if it doesn't know the password."""
        text = base64.b64decode(final).decode()
        without_proof, _, proof = text.rpartition(",p=")
        salted = hashlib.pbkdf2_hmac("sha1", self._password, self.SALT, self.ITERATIONS)
        message = ",".join((self._bare, self._first, without_proof)).encode()
        client_key = hmac.new(salted, b"Client Key", "sha1").digest()
        signature = hmac.new(hashlib.sha1(client_key).digest(), message, "sha1").digest()
        expected = bytes(a ^ b for a, b in zip(client_key, signature))
        if not hmac.compare_digest(expected, base64.b64decode(proof)):
            return ""
        server_key = hmac.new(salted, b"Server Key", "sha1").digest()
        verifier = base64.b64encode(hmac.new(server_key, message, "sha1").digest()).decode()
        return base64.b64encode(("v=" + verifier).encode()).decode()


def _fields(text: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in text.split(",") if "=" in part)
