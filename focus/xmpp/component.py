"""A connection as an external component (XEP-0114). No TLS, no stream management, no resumption (C-1038)."""

from __future__ import annotations

import hashlib
import ipaddress
import logging
from typing import Iterable

from focus.xmpp import resolve
from focus.xmpp.arrivals import Inbox
from focus.xmpp.errors import ProtocolMismatch, StreamFailure, component_stream_error
from focus.xmpp.parser import COMPONENT, STANZA_LIMIT, STREAMS
from focus.xmpp.resolve import Address
from focus.xmpp.resumption import escape
from focus.xmpp.stream import QUEUE_LIMIT, Connection
from focus.xmpp.wire import Wire

log = logging.getLogger(__name__)


class Component(Connection):
    """A component connection.

    domain: the component's address (subdomain.domain); secret: shared with the server;
    secret_origin: the file or variable the secret came from, for the log.
    waiting: stanzas of an earlier process that are to be sent first.
    """

    name = "component"

    def __init__(self, inbox: Inbox, *, domain: str, secret: str, host: str = "localhost", port: int = 5347,
                 secret_origin: str = "", reply_timeout: float = 15.0, stanza_size_limit: int = STANZA_LIMIT,
                 queue_limit: int = QUEUE_LIMIT, waiting: Iterable[bytes] = ()) -> None:
        super().__init__(inbox, reply_timeout, stanza_size_limit, queue_limit)
        self._queue.extend(waiting)
        self._queued = sum(map(len, self._queue))
        self.domain = domain
        self.address = Address(host, port)
        self._secret = secret
        self._secret_origin = secret_origin

    def _warn(self) -> None:
        if not _is_loopback(self.address.host):
            log.warning("The component connection to %s:%d is not encrypted and leaves this machine: everybody on "
                        "the way can read it", *self.address)

    def _accepts(self) -> bool:
        return self._greenlet is not None  # answers to requests may wait for the reconnect

    def _open(self) -> Wire:
        sock, address = resolve.connect([self.address])
        return Wire(sock, address, lambda: self._parser(COMPONENT), self._explain, self.reply_timeout)

    def _explain(self, condition: str, text: str) -> StreamFailure:
        return component_stream_error(condition, text, self.domain, "%s:%d" % self.address, self._secret_origin)

    def _negotiate(self, wire: Wire) -> bool:
        wire.write(b"<?xml version='1.0'?><stream:stream xmlns='%s' xmlns:stream='%s' to='%s'>"
                   % (COMPONENT.encode(), STREAMS.encode(), escape(self.domain)))
        header = wire.header()
        stream_id = header.get("id", "")
        if not stream_id:
            wire.next()  # a server that refuses sends a header without id, then the error
            raise ProtocolMismatch("the server's stream has no id")
        token = hashlib.sha1((stream_id + self._secret).encode("utf-8")).hexdigest()
        wire.write(b"<handshake>%s</handshake>" % token.encode("ascii"))
        wire.expect("{%s}handshake" % COMPONENT)
        self.jid = self.domain
        return False


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
