"""What the two kinds of connection share: the connect loop, the reader, the writer, the queues.

One greenlet connects, negotiates and then reads; one writes. The reader puts what arrives into the inbox and pauses
while that is full. The writer joins what is queued into large writes. Output is decided by others and only queued
here; with stream management each stanza stays until the server has confirmed it.

Life of a connection: connecting -> established -> lost -> (pause) -> connecting ..., until `stop`. Nothing that a
server does ends it, except a second `conflict` within an hour: then it waits until `reconnect()` is called, because
every login of ours would throw the other process out of its rooms (C-1036, C-1043).
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import deque
from time import monotonic
from typing import Any, Callable, Deque, List, Optional

import gevent
from gevent.event import Event

from focus.xmpp import resumption
from focus.xmpp.arrivals import Arrived, Connected, Disconnected, Inbox, Refused
from focus.xmpp.backoff import Backoff
from focus.xmpp.errors import (
    ConnectionLost,
    InternalError,
    NoAnswer,
    NotWellFormed,
    OutputOverflow,
    Patience,
    ProtocolMismatch,
    ResumptionRefused,
    StreamClosed,
    StreamFailure,
)
from focus.xmpp.parser import STANZA_LIMIT, STREAM_END, StreamParser
from focus.xmpp.resumption import Session, SessionState
from focus.xmpp.wire import STREAM_ERROR, Wire

log = logging.getLogger(__name__)

WRITE_SIZE = 65536
"""Bytes joined into one write."""

TLS_WRITE_SIZE = 16384
"""The same over TLS: one record. A record reaches the server whole or not at all, so a connection that breaks does not
leave it with half a stanza (see `negotiation`, _probe), unless the stanza is longer than that."""

NONZA_SIZE = 100
"""Room for an <a/> and an <r/> in a write."""

READ_TURN = 131072
"""Bytes read before the others get their turn: a socket that is always readable would never yield."""

QUEUE_LIMIT = 64 * 1024 * 1024
"""Bytes of output kept for a server that does not take it."""

CHECK_INTERVAL = 5.0
IDLE = 30.0
"""Seconds of silence after which we ask whether the peer is alive (or send white space)."""

ANSWER_TIME = 20.0
"""Seconds it then has to answer."""

LONE = 0.02
"""Seconds an acknowledgement that nobody asked for waits for stanzas to go along with."""

CLOSE_TIME = 2.0
"""Seconds for the last output when stopping."""


class Connection(ABC):
    """Base of Client and Component: see the module. Subclasses say how to connect and negotiate."""

    name = ""

    def __init__(self, inbox: Inbox, reply_timeout: float = 15.0, stanza_size_limit: int = STANZA_LIMIT,
                 queue_limit: int = QUEUE_LIMIT) -> None:
        self.jid: Optional[str] = None
        self.connected = False
        self.session = 0
        """Number of the present session; raised by each login that resumes nothing."""
        self.disconnects = 0
        """Established connections lost until now."""
        self.failure: Optional[StreamFailure] = None
        """Why we are not connected (the last attempt's); None while connected."""
        self.guard: Optional[Callable[[], None]] = None
        """Called before every attempt; raises StreamFailure if there may be none."""
        self.before_resuming: Optional[Callable[[], None]] = None
        """Called before a stream is to be resumed; may block."""
        self.given_way = False
        """After a second conflict: no attempt is made until `reconnect()`."""
        self.reply_timeout = reply_timeout
        self.stanza_size_limit = stanza_size_limit
        self._inbox = inbox
        self._queue_limit = queue_limit
        self._managed: Optional[Session] = None
        self._queue: Deque[bytes] = deque()
        self._queued = 0
        self._delivered = 0
        self._processed = 0
        self._wake = Event()
        self._drained = Event()
        self._again = Event()
        self._greenlet: Optional[gevent.Greenlet] = None
        self._wire: Optional[Wire] = None
        self._backoff = Backoff()
        self._stopping = False
        self._closing = False
        """The stream is to be closed, which ends its resumption."""
        self._answer_due = False
        self._ask_due = False
        self._asked_at: Optional[float] = None
        self._lone: Optional[Any] = None
        self._received_at = 0.0
        self._written_at = 0.0
        self._reading = False
        self._malformed_at = -1
        self._since = 0.0
        self._settled = Event()
        self._settled.set()

    @property
    def unacknowledged(self) -> int:
        """Stanzas queued or sent that the server has not confirmed (without stream management: not yet written)."""
        return len(self._queue) + (len(self._managed.sent) if self._managed else 0)

    @property
    def queued_bytes(self) -> int:
        """Bytes of stanzas not yet written."""
        return self._queued

    def start(self) -> None:
        """Spawn the connect loop."""
        if self._greenlet is None:
            self._stopping = self._closing = False
            self._warn()
            self._greenlet = gevent.Greenlet(self._run)
            self._greenlet.name = "xmpp %s" % self.name
            self._greenlet.start()

    def stop(self, end_stream: bool = True) -> None:
        """End the connection for good.

        With `end_stream` what is queued is written (for at most 2 s) and the stream closed, which ends its
        resumption; without, the TCP connection is just dropped and the server keeps the session for its time.
        """
        self._stopping = True
        self._closing = end_stream
        wire = self._wire
        if wire is not None and self.connected and end_stream:
            self._drained.clear()
            self._wake.set()
            self._drained.wait(CLOSE_TIME)
        greenlet, self._greenlet = self._greenlet, None
        if greenlet is not None:
            greenlet.kill()
        if end_stream:
            self._forget_session()

    def reconnect(self) -> None:
        """Make the next attempt at once; the only way on after a second conflict."""
        self._again.set()

    @property
    def managed(self) -> bool:
        """Whether stream management is on, which tells by itself whether the peer lives."""
        return self._managed is not None

    def drop(self, why: str) -> None:
        """Give the connection up, whatever TCP says of it, and make a new one."""
        if self._greenlet is not None and self.connected:
            self._greenlet.kill(NoAnswer(why), block=False)

    def send(self, stanzas: List[bytes], session: Optional[int] = None) -> None:
        """Queue stanzas, order kept. Never blocks.

        session: the session they were made for; if that is over, they are dropped. While disconnected they wait for
        resumption; without a session to resume they are dropped.
        """
        if not self.accepts(session):
            log.debug("%s: %d stanzas not sent, their session is over", self.name, len(stanzas))
            return
        self._queue.extend(stanzas)
        self._queued += sum(map(len, stanzas))
        if self._queued + (self._managed.sent_bytes if self._managed else 0) > self._queue_limit:
            self._overflow()
        self._wake.set()

    def acknowledge(self, handled: int) -> None:
        """That many more arrivals (Arrived and Refused, in order) are fully handled."""
        self._processed += handled
        if self._processed == self._delivered:
            self._settled.set()
        if self._managed is not None and self._managed.handle(handled):
            self._answer_due = True
            self._wake_soon()

    def _wake_soon(self) -> None:
        """Write a moment later, unless there are stanzas to go along with: a write of its own costs as much as ten."""
        if self._lone is None:
            self._lone = gevent.get_hub().loop.timer(LONE)
        if not self._lone.active:
            self._lone.start(self._wake.set)

    def accepts(self, session: Optional[int]) -> bool:
        """Whether `send` would take stanzas made for that session."""
        return (session is None or session == self.session) and self._accepts()

    @property
    def stream(self) -> Optional[Session]:
        """The session with stream management, also while it waits to be resumed; None without."""
        return self._managed

    def waiting(self) -> List[bytes]:
        """Stanzas queued and not yet written, in order."""
        return list(self._queue)

    @property
    def queued(self) -> int:
        """Their number."""
        return len(self._queue)

    def session_state(self) -> Optional[SessionState]:
        """What a later process needs to resume this stream; None if it can't be resumed."""
        if self._managed is None or not self._managed.resumable:
            return None
        return self._managed.state(list(self._queue))

    @property
    def _unprocessed(self) -> int:
        return self._delivered - self._processed

    # How to connect: the subclasses' part

    @abstractmethod
    def _open(self) -> Wire:
        """Connect; raises StreamFailure."""

    @abstractmethod
    def _negotiate(self, wire: Wire) -> bool:
        """Log in; sets `jid` and, with stream management, `_managed`. Returns whether a session was resumed."""

    @abstractmethod
    def _warn(self) -> None:
        """Log what the operator must know at each start."""

    def _accepts(self) -> bool:
        """Whether output may be queued now."""
        return self.connected

    def _parser(self, namespace: str) -> StreamParser:
        return StreamParser(self, namespace, self.stanza_size_limit)

    # The connect loop

    def _run(self) -> None:
        while not self._stopping:
            self._again.clear()
            try:
                self._attempt()
            except StreamFailure as failure:
                self._lost(failure)
            except Exception as error:  # our own mistake must not end the connection for good
                log.exception("%s: unexpected error", self.name)
                self._lost(InternalError(type(error).__name__))
            self._pause()

    def _attempt(self) -> None:
        """One connection from its beginning to its end, which is always a StreamFailure."""
        if self.guard is not None:
            self.guard()
        if self._managed is not None:  # resuming says what was handled; what is still in the inbox would come twice
            self._settled.wait()
            if self.before_resuming is not None:
                self.before_resuming()
        wire = self._open()
        self._wire = wire
        writer: Optional[gevent.Greenlet] = None
        timer = gevent.get_hub().loop.timer(CHECK_INTERVAL, CHECK_INTERVAL)
        try:
            resumed = self._negotiate(wire)
            self._established(wire, resumed)
            writer = gevent.spawn(self._write, wire)
            timer.start(self._check)
            self._read(wire)
        finally:
            timer.stop()
            timer.close()
            if writer is not None:
                writer.kill()
            self._wire = None
            wire.close()

    def _established(self, wire: Wire, resumed: bool) -> None:
        if not resumed:
            self.session += 1
        managed = self._managed
        if managed is not None:
            for stanza in reversed(managed.sent):  # to be sent again, before what came later
                self._queue.appendleft(stanza)
            self._queued += managed.sent_bytes
            managed.sent.clear()
            managed.sent_bytes = 0
        self._answer_due = resumed and managed is not None  # the server may have asked meanwhile
        self._ask_due = False
        self._asked_at = None
        self._since = self._received_at = self._written_at = monotonic()
        self.failure = None
        self.connected = True
        log.info("Registered (resumed=%s) %s: %s at %s:%d, %s, %s", "true" if resumed else "false", self.name,
                 self.jid, wire.address.host, wire.address.port, "TLS" if wire.encrypted else "no TLS",
                 _describe(managed))
        self._inbox.put(Connected(self, resumed, str(self.jid), self.session))
        self._wake.set()

    def _lost(self, failure: StreamFailure) -> None:
        if self._stopping:
            return
        self.failure = failure
        if not self.connected:
            if not isinstance(failure, ResumptionRefused):
                log.error("Failed to connect/login: %s: %s", self.name, failure.text)
            else:
                log.warning("%s: %s", self.name, failure.text)
            return
        self.connected = False
        self.disconnects += 1
        self._backoff.lasted(monotonic() - self._since)
        if not self._may_resume(failure):
            self._forget_session()
        log.error("XMPP connection closed on error: %s: %s", self.name, failure.text)
        self._inbox.put(Disconnected(self, failure, self._managed is not None))

    def _pause(self) -> None:
        failure = self.failure
        patience = failure.patience if failure is not None else Patience.NETWORK
        seconds = self._backoff.pause(patience, monotonic())
        if self._stopping or seconds == 0.0:
            return
        if seconds is None:
            self.given_way = True
            log.error("%s: replaced again by another process with our address %s. We give way and stay disconnected; "
                      "stop one of the two, then restart this one or tell it to reconnect", self.name, self.jid)
        else:
            log.info("XMPP reconnecting in: %.1f seconds. (%s)", seconds, self.name)
        self._again.wait(seconds)
        self.given_way = False

    # Reading

    def _read(self, wire: Wire) -> None:
        inbox = self._inbox
        try:
            while wire.pending:
                self._deliver(wire.pending.popleft(), wire)
            turn = 0
            while True:
                inbox.wait_for_room()
                self._reading = True
                items = wire.read()
                self._reading = False
                self._received_at = monotonic()
                for item in items:
                    kind = item.__class__
                    if kind is Arrived or kind is Refused:
                        self._delivered += 1
                        self._settled.clear()
                        inbox.put(item)
                        turn += item.size
                    else:
                        self._nonza(item, wire)
                if turn > READ_TURN:
                    turn = 0
                    gevent.sleep(0)
        except NotWellFormed:
            while wire.pending:
                self._deliver(wire.pending.popleft(), wire)
            raise
        finally:
            self._reading = False

    def _deliver(self, item: Any, wire: Wire) -> None:
        if isinstance(item, (Arrived, Refused)):
            self._delivered += 1
            self._settled.clear()
            self._inbox.put(item)
        else:
            self._nonza(item, wire)

    def _nonza(self, element: Any, wire: Wire) -> None:
        """A top-level element that is not a stanza."""
        if element is STREAM_END:
            raise StreamClosed("the server closed the stream")
        tag = element.tag
        if tag == STREAM_ERROR:
            raise wire.stream_error(element)
        managed = self._managed
        if managed is None:
            log.debug("%s: unexpected <%s/>", self.name, tag)
        elif tag == "{urn:xmpp:sm:3}a":
            self._asked_at = None
            try:
                managed.confirm(int(element.get("h", "")))
            except ValueError:
                raise ProtocolMismatch("the server's acknowledgement has no number") from None
            if managed.sent:
                self._wake_soon()
        elif tag == "{urn:xmpp:sm:3}r":
            self._answer_due = True
            self._wake.set()
        else:
            log.debug("%s: unexpected <%s/>", self.name, tag)

    # Writing

    def _write(self, wire: Wire) -> None:
        limit = TLS_WRITE_SIZE if wire.encrypted else WRITE_SIZE
        written = 0
        try:
            while True:
                self._wake.wait()
                self._wake.clear()
                while True:
                    batch = self._batch(limit)
                    if not batch:
                        break
                    wire.write(batch)
                    self._written_at = monotonic()
                    written += len(batch)
                    if written > WRITE_SIZE:
                        written = 0
                        gevent.sleep(0)
                if self._closing:
                    wire.write(b"</stream:stream>")
                    self._drained.set()
                    return
        except ConnectionLost as failure:
            # The reader sees the end of the connection too, but only once it has read everything before it.
            self._drained.set()
            if self._greenlet is not None and self._reading:
                self._greenlet.kill(failure, block=False)

    def _batch(self, limit: int) -> bytes:
        """The next bytes to write: whole stanzas, up to `limit` bytes or one stanza; they count as sent."""
        queue, managed = self._queue, self._managed
        parts: List[bytes] = []
        size = 0
        limit -= NONZA_SIZE
        while queue:
            stanza = queue[0]
            if size and size + len(stanza) > limit:
                break
            queue.popleft()
            parts.append(stanza)
            size += len(stanza)
            if managed is not None:
                managed.sent.append(stanza)
        self._queued -= size
        if managed is not None:
            managed.sent_bytes += size
            if self._answer_due:  # after the stanzas, though what they answer is in the journal already
                parts.append(managed.answer())
            if self._asked_at is None and (managed.sent or self._ask_due):
                self._asked_at = monotonic()
                parts.append(resumption.REQUEST)
        elif self._ask_due:
            parts.append(b" ")
        self._ask_due = self._answer_due = False
        return b"".join(parts)

    # Watching

    def _check(self) -> None:
        """Every few seconds, in the hub (must not block): is the peer alive?"""
        now = monotonic()
        if not self._reading:
            return
        silent = now - self._received_at
        if self._asked_at is not None:
            if now - self._asked_at > ANSWER_TIME and silent > ANSWER_TIME and self._greenlet is not None:
                failure = NoAnswer("the server has not answered for %.0f seconds" % silent)
                self._greenlet.kill(failure, block=False)
        elif silent > IDLE or (self._managed is None and now - self._written_at > IDLE):
            if self._managed is not None or now - self._written_at > IDLE:
                self._ask_due = True
                self._wake.set()

    # Sessions

    def _may_resume(self, failure: StreamFailure) -> bool:
        """Whether the session may live on at the server after this end of the connection."""
        if self._managed is None or not self._managed.resumable:
            return False
        if isinstance(failure, (NotWellFormed, InternalError)):  # it would be replayed: once more, then not again
            again = self._malformed_at == self._delivered
            self._malformed_at = self._delivered
            return not again
        return isinstance(failure, (ConnectionLost, NoAnswer)) and not isinstance(failure, StreamClosed)

    def _forget_session(self) -> None:
        """Nothing is resumed any more; what waited for it is dropped."""
        self._managed = None
        self._drop_queue()

    def _drop_queue(self) -> None:
        self._queue.clear()
        self._queued = 0

    def _overflow(self) -> None:
        failure = OutputOverflow("more than %d MB of output wait for the server; the session is given up"
                                 % (self._queue_limit // 1048576))
        log.error("%s: %s", self.name, failure.text)
        self._forget_session()
        if self.connected and self._greenlet is not None:
            self._greenlet.kill(failure, block=False)


def _describe(managed: Optional[Session]) -> str:
    if managed is None:
        return "no stream management"
    if not managed.resumable:
        return "stream management without resumption"
    seconds = "" if managed.max_seconds is None else " for %d s" % managed.max_seconds
    return "stream management, resumable%s" % seconds
