"""A small XMPP client on asyncio: one stream, STARTTLS verified, SASL, bind; requests and their answers.

It knows nothing of bridges. `Client.connect` brings one stream up; after that every stanza goes to `on_stanza`, except
answers to `Client.ask`. When the stream ends, `closed` is done; whoever made the client makes a new one. RFC 6120; no
stream management, as a bridge that was away has to join its brewery anew anyway. `ComponentClient` is the same as a
component of the server.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import ssl
from typing import Any, Callable, Dict, NamedTuple, Optional

from lxml import etree

from focus.demo.bridge import sasl
from focus.stanzas.xml import quote

NS_STREAM = "http://etherx.jabber.org/streams"
NS_TLS = "urn:ietf:params:xml:ns:xmpp-tls"
NS_SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
NS_BIND = "urn:ietf:params:xml:ns:xmpp-bind"
NS_PING = "urn:xmpp:ping"
NS_COMPONENT = "jabber:component:accept"

STEP_TIMEOUT = 15.0
"""Seconds for each step of the login, and for a ping."""
PING_INTERVAL = 30.0


class LoginFailed(Exception):
    """The stream did not come up; the text says at which step and why."""


class Login(NamedTuple):
    """How to reach the server and who to be. `ca_file` None means the system's certificates."""

    host: str
    port: int
    domain: str
    user: str
    password: str
    resource: str = ""
    ca_file: Optional[str] = None
    use_tls: bool = True
    verify: bool = True


def tls_context(login: Login) -> ssl.SSLContext:
    """Verifies certificate and name unless that was switched off. Raises OSError for an unreadable CA file."""
    context = ssl.create_default_context(cafile=login.ca_file)
    if not login.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Client(asyncio.Protocol):
    """One XMPP stream."""

    def __init__(self, login: Login, on_stanza: Callable[[Any], None]) -> None:
        self.login = login
        self.jid = ""
        self._from = ""
        """Attribute that every stanza needs to have."""
        self._on_stanza = on_stanza
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[str] = self._loop.create_future()
        self._transport: Optional[asyncio.Transport] = None
        self._arrived: asyncio.Queue[Any] = asyncio.Queue()
        self._pending: Dict[str, asyncio.Future[Any]] = {}
        self._ids = itertools.count(1)
        self._up = False
        self._keeper: Optional[asyncio.Task[None]] = None
        self._root: Any = None
        self._reset()

    async def connect(self) -> str:
        """Connect, encrypt, log in, bind. Returns the full JID. Raises LoginFailed, OSError or asyncio.TimeoutError."""
        await asyncio.wait_for(
            self._loop.create_connection(lambda: self, self.login.host, self.login.port), STEP_TIMEOUT
        )
        try:
            await self._log_in()
        except BaseException:
            self.close()
            raise
        self._up = True
        while not self._arrived.empty():
            self._handle(self._arrived.get_nowait())
        self._keeper = self._loop.create_task(self._keep_alive())
        return self.jid

    async def _log_in(self) -> None:
        features = await self._open()
        if self.login.use_tls:
            features = await self._encrypt(features)
        features = await self._authenticate(features)
        await self._bind(features)

    def send(self, stanza: str) -> None:
        """Send one stanza; lost if the stream is down."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(stanza.encode())

    async def ask(self, kind: str, to: str, payload: str, timeout: float = STEP_TIMEOUT) -> Any:
        """Send an IQ and wait for its answer, result or error. Raises asyncio.TimeoutError or ConnectionError."""
        identifier = "b%d" % next(self._ids)
        future: asyncio.Future[Any] = self._loop.create_future()
        self._pending[identifier] = future
        address = self._from + (" to='%s'" % quote(to) if to else "")
        self.send("<iq type='%s' id='%s'%s>%s</iq>" % (kind, identifier, address, payload))
        try:
            return await asyncio.wait_for(future, timeout)
        finally:
            self._pending.pop(identifier, None)

    def close(self) -> None:
        """End the stream."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"</stream:stream>")
            self._transport.close()

    def abort(self) -> None:
        """Drop the connection without ending the stream."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Optional[Exception]) -> None:
        self._end("connection lost%s" % (": %s" % exc if exc else ""))

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed(data)
            events = list(self._parser.read_events())
        except etree.XMLSyntaxError as error:
            self._end("malformed XML from the server: %s" % error)
            self.abort()
            return
        for event, element in events:
            if event == "start":
                self._depth += 1
                if self._depth == 1:
                    self._root = element
                    self._header(element)
                continue
            self._depth -= 1
            if self._depth == 1:
                self._root.remove(element)
                self._handle(element)
            elif self._depth == 0:
                self._end("the server ended the stream")

    def _header(self, root: Any) -> None:
        """The server has opened its stream."""

    def _handle(self, element: Any) -> None:
        if element.tag == "{%s}error" % NS_STREAM:
            self._end("stream error: %s" % ", ".join(etree.QName(child).localname for child in element))
            return
        identifier = element.get("id")
        future = self._pending.get(identifier) if element.get("type") in ("result", "error") else None
        if future is not None and etree.QName(element).localname == "iq":
            if not future.done():
                future.set_result(element)
        elif self._up:
            self._on_stanza(element)
        else:
            self._arrived.put_nowait(element)

    def _end(self, why: str) -> None:
        self._up = False
        if not self.closed.done():
            self.closed.set_result(why)
        for future in self._pending.values():
            if not future.done():
                future.set_exception(ConnectionError(why))
        self._arrived.put_nowait(None)

    def _reset(self) -> None:
        self._parser: Any = etree.XMLPullParser(events=("start", "end"), resolve_entities=False)
        self._depth = 0
        self._root = None

    async def _open(self) -> Any:
        """Send the stream header and wait for the features."""
        self._reset()
        self.send(
            "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='%s' version='1.0' to='%s'>"
            % (NS_STREAM, quote(self.login.domain))
        )
        return await self._next("stream features", "{%s}features" % NS_STREAM)

    async def _next(self, step: str, *tags: str) -> Any:
        element = await asyncio.wait_for(self._arrived.get(), STEP_TIMEOUT)
        if element is None:
            raise LoginFailed(
                "%s: %s" % (step, self.closed.result() if self.closed.done() else "stream ended")
            )
        if element.tag not in tags:
            detail = ", ".join(etree.QName(child).localname for child in element) or "no detail"
            raise LoginFailed("%s: server sent %s (%s)" % (step, etree.QName(element).localname, detail))
        return element

    async def _encrypt(self, features: Any) -> Any:
        if features.find("{%s}starttls" % NS_TLS) is None:
            raise LoginFailed("the server offers no STARTTLS")
        self.send("<starttls xmlns='%s'/>" % NS_TLS)
        await self._next("STARTTLS", "{%s}proceed" % NS_TLS)
        context = tls_context(self.login)
        plain = self._transport
        if plain is None:
            raise LoginFailed("STARTTLS: connection lost")
        upgraded = await self._loop.start_tls(plain, self, context, server_hostname=self.login.domain)
        self._transport = upgraded
        return await self._open()

    async def _authenticate(self, features: Any) -> Any:
        offered = [item.text or "" for item in features.iter("{%s}mechanism" % NS_SASL)]
        try:
            mechanism = sasl.choose(offered, self.login.user, self.login.password, self.login.use_tls)
            data = base64.b64encode(mechanism.start()).decode()
            self.send("<auth xmlns='%s' mechanism='%s'>%s</auth>" % (NS_SASL, mechanism.name, data))
            while True:
                answer = await self._next("login", "{%s}challenge" % NS_SASL, "{%s}success" % NS_SASL)
                content = sasl.exchange(answer.text or "")
                if answer.tag == "{%s}success" % NS_SASL:
                    mechanism.success(content)
                    return await self._open()
                data = base64.b64encode(mechanism.challenge(content)).decode()
                self.send("<response xmlns='%s'>%s</response>" % (NS_SASL, data))
        except sasl.SaslFailed as error:
            raise LoginFailed("login: %s" % error) from error

    async def _bind(self, features: Any) -> None:
        resource = "<resource>%s</resource>" % quote(self.login.resource) if self.login.resource else ""
        answer = await self.ask("set", "", "<bind xmlns='%s'>%s</bind>" % (NS_BIND, resource))
        jid = answer.findtext("{%s}bind/{%s}jid" % (NS_BIND, NS_BIND))
        if answer.get("type") != "result" or not jid:
            raise LoginFailed("the server refused to bind a resource")
        self.jid = jid

    async def _keep_alive(self) -> None:
        while not self.closed.done():
            await asyncio.wait([self.closed], timeout=PING_INTERVAL)
            if self.closed.done():
                return
            try:
                await self.ask("get", self.login.domain, "<ping xmlns='%s'/>" % NS_PING)
            except asyncio.TimeoutError:
                self._end("no answer to a ping")
                self.abort()
            except ConnectionError:
                return


class ComponentClient(Client):
    """A stream as a component of the server (XEP-0114).

    The domain of the login is its address, the password its secret. Every stanza it sends must have a
    `from`. There is no encryption.
    """

    def __init__(self, login: Login, on_stanza: Callable[[Any], None]) -> None:
        super().__init__(login, on_stanza)
        self._from = " from='%s'" % quote(login.domain)
        self._stream_id: asyncio.Future[str] = self._loop.create_future()

    def _header(self, root: Any) -> None:
        if not self._stream_id.done():
            self._stream_id.set_result(root.get("id") or "")

    async def _log_in(self) -> None:
        self.send(
            "<?xml version='1.0'?><stream:stream xmlns='%s' xmlns:stream='%s' to='%s'>"
            % (NS_COMPONENT, NS_STREAM, quote(self.login.domain))
        )
        await asyncio.wait(
            [self._stream_id, self.closed], timeout=STEP_TIMEOUT, return_when=asyncio.FIRST_COMPLETED
        )
        if not self._stream_id.done():
            raise LoginFailed("stream header: %s" % (self.closed.result() if self.closed.done() else "time-out"))
        digest = hashlib.sha1((self._stream_id.result() + self.login.password).encode()).hexdigest()
        self.send("<handshake>%s</handshake>" % digest)
        await self._next("handshake", "{%s}handshake" % NS_COMPONENT)
        self.jid = self.login.domain
