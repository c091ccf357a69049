"""One TCP or TLS connection and the parser of the stream on it. Blocking style; used by one reader at a time."""

from __future__ import annotations

import ssl
from collections import deque
from time import monotonic
from typing import Any, Callable, Deque, List, Optional

import gevent

from focus.xmpp.arrivals import Arrived, Refused
from focus.xmpp.errors import (
    ConnectionLost,
    NoAnswer,
    ProtocolMismatch,
    StreamClosed,
    StreamFailure,
    describe_os_error,
    printable,
)
from focus.xmpp.parser import STREAM_END, STREAMS, Item, StreamParser
from focus.xmpp.resolve import Address

READ_SIZE = 65536
TLS_READ_SIZE = 16384
"""A TLS record holds no more."""

STREAM_ERROR = "{%s}error" % STREAMS
_ERRORS = "{urn:ietf:params:xml:ns:xmpp-streams}"

ExplainError = Callable[[str, str], StreamFailure]
"""Makes the failure for the condition and the text of a <stream:error/>."""


class Wire:
    """A connected socket.

    make_parser: a parser for each stream that begins on it; explain: see ExplainError;
    timeout: seconds for each answer of the server during negotiation.
    """

    def __init__(self, sock: Any, address: Address, make_parser: Callable[[], StreamParser], explain: ExplainError,
                 timeout: float) -> None:
        self.sock = sock
        self.address = address
        self.encrypted = False
        self.timeout = timeout
        self.pending: Deque[Item] = deque()
        """Elements parsed and not yet taken."""
        self.passed = 0
        self.slowest = 0.0
        """Seconds of the longest wait for an answer until now."""
        self._make_parser = make_parser
        self._explain = explain
        self._parser = make_parser()

    def restart(self) -> None:
        """A new stream begins. What was left of the old one is dropped (nothing unencrypted outlives STARTTLS)."""
        self.pending.clear()
        self._parser = self._make_parser()

    def write(self, data: bytes) -> None:
        """Write all of `data`. Raises ConnectionLost."""
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise ConnectionLost("connection to the server lost while writing: %s"
                                 % describe_os_error(error)) from None

    def read(self) -> List[Item]:
        """Wait for bytes and parse them. Raises ConnectionLost or NotWellFormed (then what came before is in
        `pending`)."""
        try:
            data = self.sock.recv(TLS_READ_SIZE if self.encrypted else READ_SIZE)
        except ssl.SSLError as error:
            raise ConnectionLost("connection to the server lost: TLS: %s" % (error.reason or error)) from None
        except OSError as error:
            raise ConnectionLost("connection to the server lost: %s" % describe_os_error(error)) from None
        if not data:
            raise ConnectionLost("the server closed the connection")
        parser = self._parser
        items = parser.feed(data)
        if parser.failure is not None:
            self.pending.extend(items)
            raise parser.failure
        return items

    def header(self) -> Any:
        """Wait for the server's stream header; returns its attributes. Raises as `next`."""
        with self.patience():
            while not self._parser.header:
                self.pending.extend(self.read())
        return self._parser.header

    def next(self, wanted: Optional[Callable[[Arrived], bool]] = None, timeout: Optional[float] = None) -> Any:
        """Wait for the next top-level element that is not a stanza, or for the stanza that is wanted.

        Other stanzas that come before it stay in `pending`, in order; `passed` is their number. Raises StreamFailure:
        the connection or the stream ended, or nothing came in time.
        """
        before: List[Item] = []
        begin = monotonic()
        with self.patience(timeout):
            while True:
                while self.pending:
                    item = self.pending.popleft()
                    is_stanza = isinstance(item, (Arrived, Refused))
                    if is_stanza and not (wanted and isinstance(item, Arrived) and wanted(item)):
                        before.append(item)
                        continue
                    if not is_stanza:
                        self.check(item)
                    self.pending.extendleft(reversed(before))
                    self.passed = len(before)
                    self.slowest = max(self.slowest, monotonic() - begin)
                    return item
                self.pending.extend(self.read())

    def expect(self, *tags: str) -> Any:
        """Wait for an element with one of these tags. Raises ProtocolMismatch if another comes, else as `next`."""
        element = self.next()
        if element.tag not in tags:
            raise ProtocolMismatch("the server sent <%s/> where %s was due" % (
                _local(element.tag), " or ".join("<%s/>" % _local(tag) for tag in tags)))
        return element

    def check(self, item: Any) -> None:
        """Raise the failure that a stream's end or a <stream:error/> means."""
        if item is STREAM_END:
            raise StreamClosed("the server closed the stream")
        if item.tag == STREAM_ERROR:
            raise self.stream_error(item)

    def stream_error(self, element: Any) -> StreamFailure:
        """The failure for a <stream:error/> element."""
        condition, text = "undefined-condition", ""
        for child in element:
            tag = str(child.tag)
            if tag == _ERRORS + "text":
                text = printable(child.text)
            elif tag.startswith(_ERRORS):
                condition = tag[len(_ERRORS):]
        return self._explain(condition, text)

    def close(self) -> None:
        """Close the socket; nothing is said to the peer."""
        self.sock.close()

    def patience(self, timeout: Optional[float] = None) -> Any:
        """A context in which the server has `timeout` seconds to answer; then NoAnswer is raised."""
        seconds = timeout or self.timeout
        failure = NoAnswer("%s:%d did not answer within %.1f s" % (self.address.host, self.address.port, seconds))
        return gevent.Timeout(seconds, failure)


def _local(tag: str) -> str:
    return str(tag).rpartition("}")[2]


