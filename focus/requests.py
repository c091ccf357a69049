"""Requests in flight: who waits for which answer, and when it's too late.

An answer counts only if it comes from whom we asked, on the stream we asked on. A deadline runs out only after two
pings to our own server, on the same stream, have been answered quickly, one a moment before the deadline and one at
it, so that neither a burst that the server or we are behind with nor a pause of it is taken for a silent peer (see
``focus.silence``).
"""
from __future__ import annotations

import heapq
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from focus.silence import QUICK, Next, after_answer, again
from focus.stanzas.small import write_ping
from focus.stanzas.stanza import write_iq

Deliver = Callable[[str, Optional[Any]], None]
"""Told the id and the answer, or None when the deadline ran out."""


class Pending(NamedTuple):
    """One request whose answer is awaited."""

    connection: str
    to: str
    deliver: Deliver
    again: float
    """Seconds before its deadline at which the first ping is due."""
    final: bool = False
    """The first ping was answered quickly: the next quick answer ends it."""
    late: int = 0
    """Late answers so far."""


class Requests:
    """The table of requests in flight, over all connections.

    Args:
        now: monotonic seconds.
        send: ``send(connection name, stanza)`` into the outbox.
        new_id: makes IQ ids.
        server: the server's own address, which is pinged.
        default: seconds a request has if its sender doesn't say (C-803).
        fewer: told an address that has one request less to answer.
    """

    def __init__(self, now: Callable[[], float], send: Callable[[str, str], None], new_id: Callable[[], str],
                 server: str, default: float, fewer: Callable[[str], None] = lambda to: None) -> None:
        self._now = now
        self._send = send
        self._new_id = new_id
        self._server = server
        self._default = default
        self._fewer = fewer
        self._in_flight: Dict[str, int] = {}
        self._pending: Dict[str, Pending] = {}
        self._deadlines: List[Tuple[float, str]] = []
        self._suspects: List[str] = []
        self._check = ""
        """Id of the ping whose answer settles the suspects; one serves all that are due."""
        self._check_sent = 0.0
        self._connected = False

    def __len__(self) -> int:
        return len(self._pending)

    def expect(self, connection: str, request_id: str, to: str, deliver: Deliver,
               seconds: Optional[float] = None) -> None:
        """An answer from ``to`` is awaited for so many seconds (the default if None)."""
        seconds = self._default if seconds is None else seconds
        self._in_flight[to] = self._in_flight.get(to, 0) + 1
        self._pending[request_id] = pending = Pending(connection, to, deliver, again(seconds))
        heapq.heappush(self._deadlines, (self._now() + seconds - pending.again, request_id))

    def in_flight(self, to: str) -> int:
        """How many requests to an address have no answer yet."""
        return self._in_flight.get(to, 0)

    def forget(self, request_id: str) -> None:
        """Nobody waits for it any more."""
        if request_id in self._pending:
            self._fewer(self._done(request_id).to)

    def _done(self, request_id: str) -> Pending:
        pending = self._pending.pop(request_id)
        left = self._in_flight[pending.to] - 1
        if left:
            self._in_flight[pending.to] = left
        else:
            del self._in_flight[pending.to]
        return pending

    def answered(self, connection: str, iq: Any) -> bool:
        """Hand a result or error to who waits for it; False if nobody does."""
        if self._check and iq.id == self._check and connection == "client" and _same(self._server, iq.from_):
            self._check = ""
            self._server_answered()
            return True
        pending = self._pending.get(iq.id)
        if pending is None or pending.connection != connection or not _same(pending.to, iq.from_):
            return False
        self._done(iq.id)
        pending.deliver(iq.id, iq)
        self._fewer(pending.to)
        return True

    def next_deadline(self) -> Optional[float]:
        """Monotonic seconds at which `due` has something to do, or None."""
        deadlines = self._deadlines
        while deadlines and deadlines[0][1] not in self._pending:
            heapq.heappop(deadlines)
        if self._check or not self._connected:
            return None
        return deadlines[0][0] if deadlines else None

    def due(self, now: float) -> None:
        """Deadlines may be near: ask our own server before anybody is called silent."""
        if self._check or not self._connected:
            return
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] <= now:
            request_id = heapq.heappop(deadlines)[1]
            if request_id in self._pending:
                self._suspects.append(request_id)
        if self._suspects:
            self._ask_server()

    def _ask_server(self) -> None:
        self._check = self._new_id()
        self._check_sent = self._now()
        self._send("client", write_iq("get", self._check, self._server, write_ping()))

    def _server_answered(self) -> None:
        now = self._now()
        is_late = now - self._check_sent > QUICK  # an answer may wait in a connection it hasn't come to yet
        suspects, self._suspects = self._suspects, []
        for request_id in suspects:
            pending = self._pending.get(request_id)
            if pending is None:
                continue
            late = pending.late + is_late
            following = after_answer(is_late, late, pending.final)
            if following is Next.AT_ONCE:
                self._pending[request_id] = pending._replace(late=late, final=False)
                self._suspects.append(request_id)
            elif following is Next.LATER:
                self._pending[request_id] = pending._replace(final=True)
                heapq.heappush(self._deadlines, (now + pending.again, request_id))
            else:
                self._done(request_id)
                pending.deliver(request_id, None)
                self._fewer(pending.to)
        if self._suspects:
            self.due(now)  # those that are due by now have part in the next ping

    def disconnected(self) -> None:
        """No deadline runs while there is no stream."""
        self._connected = False

    def connected(self, resumed: bool) -> None:
        """The stream is there: deadlines start anew. Without resumption no answer will come to what was asked."""
        self._connected = True
        self._check = ""
        self._suspects = []
        if not resumed:
            self._pending.clear()
            self._in_flight.clear()
        for request_id, pending in self._pending.items():
            self._pending[request_id] = pending._replace(final=False, late=0)
        self._deadlines = [(self._now() + self._default - pending.again, request_id)
                           for request_id, pending in self._pending.items()]
        heapq.heapify(self._deadlines)


def _same(to: str, from_: str) -> bool:
    """Whether an answer's sender is whom we asked; servers may leave out their own address."""
    return from_ == to or (not from_ and "@" not in to)
