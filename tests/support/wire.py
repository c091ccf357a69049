"""The tests' own XMPP stream: independent of the focus's code, and cheap enough for hundreds in one process.

Incoming bytes are cut into top-level stanzas without building trees; a stanza becomes an element only if somebody
looks at it. That is enough for a server we know (Prosody escapes `<` and `>` everywhere and writes no comments,
CDATA or processing instructions), and it is what keeps the synthetic clients from dominating a measurement.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import socket
import ssl
import time
from typing import Any, Callable, Dict, List, Optional, Protocol, Tuple
from xml.sax.saxutils import quoteattr, unescape

from lxml import etree

from tests.support.loop import Loop

CLIENT = "jabber:client"
STREAM = "http://etherx.jabber.org/streams"
STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"

_ENTITIES = {"&apos;": "'", "&quot;": '"'}
_START = re.compile(rb"<([A-Za-z][\w:.-]*)")
_ATTRIBUTE = re.compile(rb"""\s([\w:.-]+)\s*=\s*(?:'([^']*)'|"([^"]*)")""")
_WRAP = b"<w xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>%s</w>"
_PARSER = etree.XMLParser(huge_tree=True, resolve_entities=False)


class StreamEnded(Exception):
    """The server closed the stream or refused the login; the text holds what it said."""


class Splitter:
    """Cuts a stream into its top-level elements, as (name, raw bytes)."""

    def __init__(self) -> None:
        self._buffer = b""
        self._searched = 0
        self.ended = False

    @property
    def unfinished(self) -> bool:
        """Whether the beginning of an element has come, and not its end."""
        return bool(self._buffer.strip())

    def feed(self, data: bytes) -> List[Tuple[bytes, bytes]]:
        """The elements completed by `data`. `</stream:stream>` sets `ended`."""
        buffer = self._buffer + data if self._buffer else data
        out = []
        begin = 0
        while True:
            found = _START.search(buffer, begin)
            if b"</stream:stream" in buffer[begin : found.start() if found else None]:
                self.ended = True
            if not found:
                break
            name = found.group(1)
            if name == b"stream:stream":  # the header stays open for the whole stream
                end = buffer.find(b">", found.end()) + 1
            else:
                end = self._end(buffer, name, found.end())
            if not end:
                break
            if name != b"stream:stream":
                out.append((name, buffer[found.start() : end]))
            begin, self._searched = end, 0
        self._buffer = buffer[begin:]
        if begin:
            self._searched = 0
        return out

    def _end(self, buffer: bytes, name: bytes, after_name: int) -> int:
        """Index behind the element, or 0 while it is incomplete."""
        tag_end = buffer.find(b">", after_name)
        if tag_end < 0:
            return 0
        if buffer[tag_end - 1 : tag_end] == b"/":
            return tag_end + 1
        closing = b"</" + name + b">"
        at = buffer.find(closing, max(tag_end, self._searched))
        if at < 0:
            self._searched = max(tag_end, len(buffer) - len(closing))
            return 0
        if buffer.find(b"<" + name, tag_end, at) < 0:
            return at + len(closing)
        return self._nested_end(buffer, name, tag_end)

    @staticmethod
    def _nested_end(buffer: bytes, name: bytes, tag_end: int) -> int:
        depth = 1
        pattern = re.compile(rb"<(/?)" + re.escape(name) + rb"(?=[\s/>])[^>]*?(/?)>")
        for found in pattern.finditer(buffer, tag_end):
            if found.group(1):
                depth -= 1
            elif not found.group(2):
                depth += 1
            if not depth:
                return found.end()
        return 0


class Stanza:
    """One received element: raw bytes, the time it was read, and an element on demand."""

    __slots__ = ("name", "raw", "at", "_attributes", "_element")

    def __init__(self, name: bytes, raw: bytes, at: float) -> None:
        self.name = name.decode()
        self.raw = raw
        self.at = at
        self._attributes: Optional[Dict[str, str]] = None
        self._element: Any = None

    @property
    def attributes(self) -> Dict[str, str]:
        """Attributes of the start tag, unescaped."""
        if self._attributes is None:
            start = self.raw[: self.raw.index(b">")]
            self._attributes = {
                key.decode(): unescape((one or two).decode(), _ENTITIES)
                for key, one, two in _ATTRIBUTE.findall(start)
            }
        return self._attributes

    def get(self, name: str, default: str = "") -> str:
        """An attribute of the start tag."""
        return self.attributes.get(name, default)

    @property
    def element(self) -> Any:
        """The stanza as an lxml element (in jabber:client), parsed at the first look."""
        if self._element is None:
            self._element = etree.fromstring(_WRAP % self.raw, _PARSER)[0]
        return self._element

    def find(self, path: str) -> Any:
        """First match of an ElementPath with `{namespace}name` steps, or None."""
        return self.element.find(path)

    @property
    def error(self) -> Tuple[str, str, str]:
        """(type, condition, text) of an error stanza; three empty strings if it has no error."""
        error = self.element.find("{%s}error" % CLIENT)
        if error is None:
            return "", "", ""
        condition, text = "", ""
        for child in error:
            name = etree.QName(child)
            if name.localname == "text":
                text = child.text or ""
            elif name.namespace == STANZAS and not condition:
                condition = name.localname
        return error.get("type", ""), condition, text

    def __repr__(self) -> str:
        return self.raw.decode("utf-8", "replace")


class Login:
    """How a stream logs in.

    user: account name, or empty for SASL ANONYMOUS. mechanism: force one; default: the best the server offers.
    ca_file: if given and the server offers it, STARTTLS with that authority, verified for `domain`.
    """

    def __init__(
        self,
        host: str,
        port: int,
        domain: str,
        *,
        user: str = "",
        password: str = "",
        resource: str = "",
        mechanism: str = "",
        ca_file: Optional[str] = None,
    ) -> None:
        self.host = host
        self.port = port
        self.domain = domain
        self.user = user
        self.password = password
        self.resource = resource
        self.mechanism = mechanism
        self.ca_file = ca_file
        self._context: Optional[ssl.SSLContext] = None

    def context(self) -> ssl.SSLContext:
        """The TLS context, built once and shared by all streams of this login."""
        if self._context is None:
            self._context = ssl.create_default_context(cafile=self.ca_file)
        return self._context

    def open(self, loop: Loop, on_stanza: Callable[[Stanza], None]) -> Stream:
        """Log in; blocks until the stream is bound."""
        return Stream(loop, self, on_stanza)


class Opener(Protocol):
    """What a peer logs in with: a `Login`, or a seat in a scripted world."""

    def open(self, loop: Loop, on_stanza: Callable[[Stanza], None]) -> Any:
        """The peer's stream: a `Stream` or what behaves like one."""


class Stream:
    """A logged-in, bound XMPP stream on a `Loop`. Login blocks; afterwards nothing does.

    on_stanza: called for each received stanza, in order. sent and received bytes are counted.
    """

    def __init__(self, loop: Loop, login: Login, on_stanza: Callable[[Stanza], None]) -> None:
        self.loop = loop
        self.on_stanza = on_stanza
        self.jid = ""
        self.closed = False
        self.end_reason = ""
        self.bytes_sent = 0
        self.bytes_received = 0
        self._out: List[bytes] = []
        self._splitter = Splitter()
        self._waiting: List[Tuple[bytes, bytes]] = []
        self._sock: socket.socket = socket.create_connection((login.host, login.port), timeout=20)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._negotiate(login)
        except BaseException:
            self._sock.close()
            raise
        self._sock.setblocking(False)
        loop.register(self._sock, self)
        for name, raw in self._waiting:
            self._deliver(name, raw)
        self._waiting = []

    # After the login

    def send(self, xml: str) -> None:
        """Send text as it is."""
        self.send_bytes(xml.encode("utf-8"))

    def send_bytes(self, data: bytes) -> None:
        """Send bytes as they are; what the socket does not take at once follows in order."""
        if self.closed:
            raise StreamEnded("the stream of %s has ended: %s" % (self.jid, self.end_reason))
        self._out.append(data)
        if len(self._out) == 1:
            self.on_writable()
            if self._out and not self.closed:
                self.loop.want_write(self._sock, self, True)

    def close(self, end_stream: bool = True) -> None:
        """End the stream politely, or (`end_stream=False`) only drop the connection."""
        if self.closed:
            return
        if end_stream:
            try:
                self.send("</stream:stream>")
            except OSError:
                pass
        self.drop()

    def drop(self, reason: str = "closed here") -> None:
        """Close the socket; nothing more is read."""
        if not self.closed:
            self.closed = True
            self.end_reason = reason
            self.loop.unregister(self._sock)
            self._sock.close()

    def on_readable(self) -> None:
        """Take everything the socket has and deliver the stanzas in it."""
        while not self.closed:
            try:
                data = self._sock.recv(262144)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError as error:
                self.drop(str(error))
                return
            if not data:
                self.drop("the server closed the connection")
                return
            self.bytes_received += len(data)
            for name, raw in self._splitter.feed(data):
                self._deliver(name, raw)
            if self._splitter.ended:
                self.drop(self.end_reason or "the server ended the stream")
            if len(data) < 16384 and not isinstance(self._sock, ssl.SSLSocket):
                return

    def on_writable(self) -> None:
        """Write as much of the queue as the socket takes."""
        try:
            while self._out:
                if len(self._out) > 1:
                    self._out = [b"".join(self._out)]
                sent = self._sock.send(self._out[0])
                self.bytes_sent += sent
                if sent < len(self._out[0]):
                    self._out[0] = self._out[0][sent:]
                else:
                    self._out.clear()
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError as error:
            self.drop(str(error))
            return
        self.loop.want_write(self._sock, self, False)

    def _deliver(self, name: bytes, raw: bytes) -> None:
        if name == b"stream:error":
            self.end_reason = raw.decode("utf-8", "replace")
        self.on_stanza(Stanza(name, raw, time.monotonic()))

    # The login, blocking

    def _negotiate(self, login: Login) -> None:
        features = self._open(login.domain)
        if login.ca_file and b"urn:ietf:params:xml:ns:xmpp-tls" in features:
            self._exchange("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", b"proceed")
            self._sock = login.context().wrap_socket(self._sock, server_hostname=login.domain)
            features = self._open(login.domain)
        self._authenticate(login, re.findall(rb"<mechanism>([^<]+)<", features))
        self._open(login.domain)
        resource = "<resource>%s</resource>" % login.resource if login.resource else ""
        answer = self._exchange(
            "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>%s</bind></iq>" % resource, b"iq"
        )
        found = re.search(rb"<jid>([^<]+)</jid>", answer)
        if not found:
            raise StreamEnded(answer.decode())
        self.jid = unescape(found.group(1).decode(), _ENTITIES)

    def _open(self, domain: str) -> bytes:
        self._splitter = Splitter()
        return self._exchange(
            "<?xml version='1.0'?><stream:stream xmlns='jabber:client' version='1.0' to=%s "
            "xmlns:stream='http://etherx.jabber.org/streams'>" % quoteattr(domain),
            b"stream:features",
        )

    def _exchange(self, xml: str, expected: bytes) -> bytes:
        self._sock.sendall(xml.encode())
        while True:
            for at, (name, raw) in enumerate(self._waiting):
                if name == expected:
                    del self._waiting[at]
                    return raw
                if name in (b"failure", b"stream:error"):
                    raise StreamEnded(raw.decode("utf-8", "replace"))
            data = self._sock.recv(65536)
            if not data:
                raise StreamEnded("the server closed the connection during the login")
            self._waiting += self._splitter.feed(data)

    def _authenticate(self, login: Login, offered: List[bytes]) -> None:
        mechanism = login.mechanism.encode()
        if not mechanism:
            wishes = [b"SCRAM-SHA-256", b"SCRAM-SHA-1", b"PLAIN"] if login.user else [b"ANONYMOUS"]
            mechanism = next((wish for wish in wishes if wish in offered), b"")
        if not mechanism:
            raise StreamEnded("no usable mechanism among %s" % offered)
        if mechanism.startswith(b"SCRAM-"):
            self._scram(login, mechanism.decode())
            return
        initial = "" if mechanism == b"ANONYMOUS" else _base64("\0%s\0%s" % (login.user, login.password))
        self._exchange(_auth(mechanism.decode(), initial), b"success")

    def _scram(self, login: Login, mechanism: str) -> None:
        algorithm = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256"}[mechanism]
        bare = "n=%s,r=%s" % (login.user, base64.b64encode(os.urandom(18)).decode())
        first = _payload(self._exchange(_auth(mechanism, _base64("n,," + bare)), b"challenge"))
        parts = dict(part.split("=", 1) for part in first.split(","))
        salted = hashlib.pbkdf2_hmac(
            algorithm, login.password.encode(), base64.b64decode(parts["s"]), int(parts["i"])
        )
        without_proof = "c=biws,r=" + parts["r"]
        message = ",".join([bare, first, without_proof]).encode()
        client_key = hmac.new(salted, b"Client Key", algorithm).digest()
        signature = hmac.new(hashlib.new(algorithm, client_key).digest(), message, algorithm).digest()
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(client_key, signature))).decode()
        server_key = hmac.new(salted, b"Server Key", algorithm).digest()
        final = _payload(
            self._exchange(
                "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>%s</response>"
                % _base64("%s,p=%s" % (without_proof, proof)),
                b"success",
            )
        )
        expected = base64.b64encode(hmac.new(server_key, message, algorithm).digest()).decode()
        if final != "v=" + expected:
            raise StreamEnded("the server does not know the password")


def escape(text: str) -> str:
    """Text for content or an attribute in either kind of quotes."""
    return (
        text.replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
        .replace("'", "&apos;")
        .replace('"', "&quot;")
    )


def unescape_bytes(text: bytes) -> str:
    """Content between two tags as text."""
    return unescape(text.decode("utf-8"), _ENTITIES)


def _auth(mechanism: str, initial: str) -> str:
    return "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='%s'>%s</auth>" % (mechanism, initial)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _payload(raw: bytes) -> str:
    found = re.search(rb">([^<]*)<", raw)
    return base64.b64decode(found.group(1)).decode() if found else ""
