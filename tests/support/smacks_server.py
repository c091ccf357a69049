"""A scripted XMPP server for one account, in the test's own process: login, XEP-0198, and a world behind it.

It counts, keeps, replays and refuses as Prosody 0.12 does (tests/server/stream/test_smacks_server.py runs the same
scripts on both), and tells its test what it has received and what has been acknowledged. Nothing in it is random: what
it sends depends on nothing but what it was sent.
"""

from __future__ import annotations

import itertools
import re
import socket
from typing import Any, Callable, List, Optional

from tests.support.loop import Loop
from tests.support.scram import ScramServer
from tests.support.scripted_world import World, parse
from tests.support.smacks_session import ServerSession, serialised
from tests.support.wire import STANZAS, STREAM, Splitter, escape, unescape_bytes

SM = "urn:xmpp:sm:3"
_HEADER = re.compile(rb"<stream:stream\b[^>]*>")
_ATTRIBUTE = r"\b%s=(?:'([^']*)'|\"([^\"]*)\")"
_SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
_BIND = "urn:ietf:params:xml:ns:xmpp-bind"


class SmacksServer:
    """Listens on `port` of 127.0.0.1, without TLS.

    user, password: the account, on the world's account domain. queue_limit: stanzas kept for a cut stream; one more
    and it can't be resumed. mended: a stream that broke within a stanza can be resumed, as with our module for
    Prosody; otherwise it is resumed and never read again. remembers: sessions keep all that they receive.
    """

    def __init__(
        self,
        loop: Loop,
        world: World,
        *,
        user: str = "focus",
        password: str = "focus-password",
        queue_limit: int = 500,
        hibernation: int = 600,
        mended: bool = True,
        remembers: bool = True,
    ) -> None:
        self.loop = loop
        self.world = world
        self.user = user
        self.password = password
        self.queue_limit = queue_limit
        self.hibernation = hibernation
        self.mended = mended
        self.remembers = remembers
        self.on_cut: Optional[Callable[[], None]] = None
        """Called when the account's connection has ended without the end of its stream."""
        self.sessions: List[ServerSession] = []
        """Every session there was, the last one at the end."""
        self.connection: Optional[_Connection] = None
        """The account's connection, once it is in a session."""
        self._tokens = itertools.count(1)
        self._connections: List[_Connection] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        loop.register(self._listener, self)
        world.on_quiet.append(self.flush)

    @property
    def session(self) -> ServerSession:
        """The last session."""
        return self.sessions[-1]

    @property
    def account(self) -> str:
        """The account's bare JID."""
        return "%s@%s" % (self.user, self.world.user_domain)

    def flush(self) -> None:
        """Write what has gathered."""
        for connection in list(self._connections):
            connection.on_writable()

    def cut(self) -> None:
        """Break the connection, what is under way is lost."""
        if self.connection is not None:
            self.connection.drop()

    def drop(self) -> None:
        """The loop closes."""
        self._listener.close()

    def on_readable(self) -> None:
        """A new connection."""
        sock, _ = self._listener.accept()
        self._connections.append(_Connection(self, sock))

    def on_writable(self) -> None:
        """Never asked for."""

    # Sessions

    def find(self, token: str) -> Optional[ServerSession]:
        """The living session that can be resumed with a token."""
        return next((one for one in self.sessions if token and one.token == token and not one.ended), None)

    def begin(self, jid: str) -> ServerSession:
        """A session of this resource; another one of the same ends (the server's default on a conflict)."""
        for old in self.sessions:
            if old.jid == jid and not old.ended:
                self.end(old, "Replaced by new connection")
                self.cut()
        session = ServerSession(jid, self.queue_limit, self.remembers)
        self.sessions.append(session)
        self.world.enter(jid, lambda stanza: self.deliver(session, stanza))
        return session

    def new_token(self) -> str:
        """What resumes a session."""
        return "token-%d" % next(self._tokens)

    def end(self, session: ServerSession, why: str) -> None:
        """A session is over: it leaves its rooms, and what it never got comes back to its senders."""
        session.ended = why
        self.world.leave(session.jid, why, session.undelivered())

    def receive(self, session: ServerSession, raw: bytes) -> None:
        """A stanza of the account has come."""
        session.receive(raw)
        self.world.route(session.jid, parse(raw.decode()))

    def deliver(self, session: ServerSession, stanza: Any) -> None:
        """A stanza for the account: an element, or bytes."""
        session.number(stanza)
        connection = self.connection
        if connection is not None and connection.session is session:
            connection.pass_on(stanza)

    def ended(self, connection: _Connection) -> None:
        """A connection is closed."""
        self._connections.remove(connection)
        session = connection.session
        if self.connection is not connection or session is None:
            return
        self.connection = None
        if session.ended:
            return
        if session.token:
            session.unread = connection.splitter
            if self.on_cut is not None:
                self.on_cut()
        else:
            self.end(session, "connection closed")


class _Connection:
    """One socket: what is said on it, step by step."""

    def __init__(self, server: SmacksServer, sock: socket.socket) -> None:
        self.session: Optional[ServerSession] = None
        self.splitter = Splitter()
        self._server = server
        self._sock = sock
        self._header: Optional[bytes] = b""
        """What has come of a stream header; None once one has been read."""
        self._user = ""
        self._scram: Optional[ScramServer] = None
        self._out = b""
        self._asked = False
        self._asked_at = -1
        self._closing = False
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server.loop.register(sock, self)

    # The socket

    def on_readable(self) -> None:
        """Handle what came."""
        while True:
            try:
                data = self._sock.recv(262144)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                self.drop()
                return
            with self._server.world.together():
                self._read(data)
            if self not in self._server._connections:
                return
        self.on_writable()

    def on_writable(self) -> None:
        """Write what waits; with the last of it the connection ends, if it is to."""
        try:
            while self._out:
                self._out = self._out[self._sock.send(self._out):]
        except BlockingIOError:
            pass
        except OSError:
            self._out = b""  # the end of the connection is read, too
        if self._closing and not self._out:
            self.drop()
        elif self in self._server._connections:
            self._server.loop.want_write(self._sock, self, bool(self._out))

    def drop(self) -> None:
        """Close the socket."""
        if self in self._server._connections:
            self._server.loop.unregister(self._sock)
            self._sock.close()
            self._server.ended(self)

    def write(self, xml: str) -> None:
        """Queue text."""
        self._out += xml.encode()

    def pass_on(self, stanza: Any) -> None:
        """A stanza for the client; and a question whether it came, if none is open."""
        self._out += serialised(stanza)
        self._ask()

    def write_raw(self, data: bytes) -> None:
        """Bytes that nobody counts."""
        self._out += data

    def _ask(self) -> None:
        session = self.session
        if session is not None and session.managed and not self._asked and self._asked_at != session.sent:
            if session.sent > session.acknowledged:
                self._asked, self._asked_at = True, session.sent
                self.write("<r xmlns='%s'/>" % SM)

    # What comes

    def _read(self, data: bytes) -> None:
        if self._header is not None:
            self._header += data
            found = _HEADER.search(self._header)
            if found is None:
                return
            data = self._header[found.end():]
            self._header = None
            self._open()
        for name, raw in self.splitter.feed(data):
            if not self._closing:
                self._element(name.decode(), raw)
        if self.splitter.ended and not self._closing:
            if self.session is not None and not self.session.ended:
                self._server.end(self.session, "Disconnected: closed")
            self.write("</stream:stream>")
            self._closing = True

    def _open(self) -> None:
        self.write("<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='%s' version='1.0' "
                   "from='%s' id='stream'>" % (STREAM, self._server.world.user_domain))
        if self._user:
            features = "<bind xmlns='%s'/><sm xmlns='%s'><optional/></sm>" % (_BIND, SM)
        else:
            features = "<mechanisms xmlns='%s'><mechanism>SCRAM-SHA-1</mechanism></mechanisms>" % _SASL
        self.write("<stream:features>%s</stream:features>" % features)

    def _element(self, name: str, raw: bytes) -> None:
        if self.session is not None and name in ("iq", "presence", "message"):
            self._server.receive(self.session, raw)
        elif name in _STEPS:
            _STEPS[name](self, raw)
        else:
            raise AssertionError("a client must not send this here: %r" % raw)

    # The login

    def _auth(self, raw: bytes) -> None:
        assert _attribute(raw, "mechanism") == "SCRAM-SHA-1", raw
        self._scram = ScramServer(self._server.password, "scripted")
        self.write("<challenge xmlns='%s'>%s</challenge>" % (_SASL, self._scram.challenge(_text(raw))))

    def _response(self, raw: bytes) -> None:
        assert self._scram is not None
        success = self._scram.success(_text(raw))
        if success:
            self.write("<success xmlns='%s'>%s</success>" % (_SASL, success))
            self._user = self._server.user
            self._header = b""
        else:
            self.write("<failure xmlns='%s'><not-authorized/></failure>" % _SASL)

    def _bind(self, raw: bytes) -> None:
        iq = parse(raw.decode())
        jid = "%s/%s" % (self._server.account, iq.findtext("{%s}bind/{%s}resource" % (_BIND, _BIND)))
        self.session = self._server.begin(jid)
        self._server.connection = self
        self.write("<iq type='result' id='%s'><bind xmlns='%s'><jid>%s</jid></bind></iq>"
                   % (escape(iq.get("id")), _BIND, escape(jid)))

    # Stream management

    def _enable(self, raw: bytes) -> None:
        session = self.session
        assert session is not None and not session.managed
        session.managed = True
        session.token = self._server.new_token()
        self.write("<enabled xmlns='%s' id='%s' resume='true' max='%d'/>"
                   % (SM, session.token, self._server.hibernation))

    def _resume(self, raw: bytes) -> None:
        session = self._server.find(_attribute(raw, "previd"))
        if session is None:
            self.write("<failed xmlns='%s'><item-not-found xmlns='%s'/></failed>" % (SM, STANZAS))
            return
        old, self._server.connection = self._server.connection, None
        if old is not None:
            old.drop()
        if not session.acknowledge(int(_attribute(raw, "h"))):
            self._refuse(session, "a wrong h")
            return
        if session.overflown:
            self._refuse(session, "Disconnected: Too many unacked stanzas remaining, session can't be resumed")
            return
        self.session = session
        self._server.connection = self
        self.write("<resumed xmlns='%s' h='%d' previd='%s'/>" % (SM, session.h, session.token))
        self._out += b"".join(session.replay())
        self._asked, self._asked_at = True, session.sent
        self.write("<r xmlns='%s'/>" % SM)
        if not self._server.mended and session.unread is not None:
            self.splitter = session.unread

    def _refuse(self, session: ServerSession, why: str) -> None:
        """Not a word, the end of the connection and of the session."""
        self._server.end(session, why)
        self._closing = True

    def _request(self, raw: bytes) -> None:
        session = self.session
        if session is not None:
            self.write("<a xmlns='%s' h='%d'/>" % (SM, session.h))

    def _answer(self, raw: bytes) -> None:
        session = self.session
        if session is None:
            return
        self._asked = False
        if session.acknowledge(int(_attribute(raw, "h"))):
            self._ask()
        else:
            self._server.end(session, "a wrong h")
            self._closing = True


_STEPS = {"auth": _Connection._auth, "response": _Connection._response, "iq": _Connection._bind,
          "enable": _Connection._enable, "resume": _Connection._resume, "r": _Connection._request,
          "a": _Connection._answer}


def _attribute(raw: bytes, name: str) -> str:
    found = re.search((_ATTRIBUTE % name).encode(), raw)
    assert found is not None, "no %s in %r" % (name, raw)
    return unescape_bytes(found.group(1) if found.group(1) is not None else found.group(2))


def _text(raw: bytes) -> str:
    found = re.search(rb">([^<]*)<", raw)
    return found.group(1).decode() if found is not None else ""
