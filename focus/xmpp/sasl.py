"""Login (RFC 6120 6): which mechanism, and the exchange. The mechanisms themselves are sleekxmpp's."""

from __future__ import annotations

import hashlib
import os
from base64 import b64decode, b64encode
from typing import Any, Dict, FrozenSet, Iterable, Optional

from focus.xmpp import library
from focus.xmpp.errors import printable

MECHANISMS = ("SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN")
"""Best first. ANONYMOUS is used only when there is no password."""

MAX_ITERATIONS = 1000000
"""A server may ask for this many hash rounds; more would hold everything up."""

NAMESPACE = "urn:ietf:params:xml:ns:xmpp-sasl"


class BadChallenge(Exception):
    """The exchange can't go on: what a server must not say, or a name or password that can't be sent."""


def choose(offered: Iterable[str], has_password: bool, encrypted: bool,
           refused: FrozenSet[str] = frozenset()) -> Optional[str]:
    """The mechanism to use, or None. PLAIN only over TLS; names in `refused` were tried in vain."""
    usable = set(offered) - refused
    if not has_password:
        return "ANONYMOUS" if "ANONYMOUS" in usable else None
    for name in MECHANISMS:
        if name in usable and (encrypted or name != "PLAIN"):
            return name
    return None


def mechanism(name: str, user: str, password: str, encrypted: bool) -> Any:
    """One exchange with the mechanism; its `process(challenge)` gives the next answer, both as bytes.

    Raises BadChallenge if name or password can't be prepared (RFC 4013).
    """
    sasl = library.load("sleekxmpp.util.sasl")
    try:
        credentials = {"username": _prepare(sasl, user), "password": _prepare(sasl, password),
                       "authzid": b"", "channel_binding": b""}
    except UnicodeError:
        raise BadChallenge("the user name or the password contains characters that no login may have") from None
    security = {"encrypted": encrypted, "encrypted_plain": True, "unencrypted_plain": False, "unencrypted_scram": True}
    if name == "ANONYMOUS":
        return sasl.client.MECHANISMS[name](name, {}, {})
    if name == "PLAIN":
        return sasl.client.MECHANISMS[name](name, credentials, security)
    return _scram(sasl)(name, credentials, security)


def _prepare(sasl: Any, text: str) -> bytes:
    prepared = sasl.client.saslprep(text)
    return prepared if isinstance(prepared, bytes) else str(prepared).encode("utf-8")


def _scram(sasl: Any) -> Any:
    class Scram(sasl.mechanisms.SCRAM):
        """sleekxmpp's SCRAM with a nonce nobody can guess and the hash rounds done in C (two hundred times faster)."""

        def Hi(self, text: bytes, salt: bytes, iterations: int) -> bytes:
            if not 0 < iterations <= MAX_ITERATIONS:
                raise BadChallenge("the server asks for %d hash rounds" % iterations)
            return hashlib.pbkdf2_hmac(self.hash().name, text, salt, iterations)

        def process_1(self, challenge: bytes) -> bytes:
            super().process_1(challenge)
            self.cnonce = b64encode(os.urandom(24))
            first = self.client_first_message_bare.rpartition(b"r=")[0] + b"r=" + self.cnonce
            self.client_first_message_bare: bytes = first
            self.client_first_message: bytes = self.gs2_header + first
            return self.client_first_message

    return Scram


class Exchange:
    """A login in progress. The caller sends what the methods return.

    Methods raise BadChallenge for what a server must not say.
    """

    def __init__(self, name: str, user: str, password: str, encrypted: bool) -> None:
        self.name = name
        self._mechanism = mechanism(name, user, password, encrypted)
        self._proved = not name.startswith("SCRAM")

    def auth(self) -> bytes:
        """The <auth/> element."""
        first = b"" if self.name == "ANONYMOUS" else self._mechanism.process()
        return b"<auth xmlns='%s' mechanism='%s'>%s</auth>" % (
            NAMESPACE.encode(), self.name.encode(), b64encode(first) if first else b"")

    def response(self, challenge: Optional[str]) -> bytes:
        """The <response/> to a <challenge/>."""
        answer = self._process(challenge)
        return b"<response xmlns='%s'>%s</response>" % (NAMESPACE.encode(), b64encode(answer))

    def finish(self, additional: Optional[str]) -> None:
        """Check a <success/>: with SCRAM the server must have proved that it knows the password, too."""
        if additional and additional.strip() not in ("", "="):
            self._process(additional)
        if not self._proved:
            raise BadChallenge("the server did not prove that it knows the password")

    def _process(self, challenge: Optional[str]) -> bytes:
        client = library.load("sleekxmpp.util.sasl.client")
        if not self.name.startswith("SCRAM"):
            return b""
        try:
            data = b64decode((challenge or "").strip(), validate=True)
            final = self._mechanism.step == 2
            answer: bytes = self._mechanism.process(data)
            self._proved = self._proved or final
            return answer
        except client.SASLMutualAuthFailed:
            raise BadChallenge("the server does not know the password (its signature is wrong)") from None
        except (client.SASLCancelled, client.SASLFailed, ValueError, KeyError, IndexError, TypeError):
            raise BadChallenge("the server's challenge is malformed") from None


def failure_condition(element: Any) -> Dict[str, str]:
    """Condition and text of a <failure/> element."""
    found = {"condition": "not-authorized", "text": ""}
    for child in element:
        name = str(child.tag).rpartition("}")[2]
        if name == "text":
            found["text"] = printable(child.text)
        else:
            found["condition"] = name
    return found


