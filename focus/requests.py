"""Requests in flight: who waits for which answer, and when it's too late.

An answer counts only if it comes from whom we asked, on the stream we asked on. A deadline that is due runs out only
after a ping to our own server, sent then on the same stream, has been answered: streams are ordered, so an answer
that the server already had comes first, and a burst that we are behind with isn't taken for a silent peer (DESIGN,
"Deadlines").
"""
from __future__ import annotations

import heapq
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from focus.stanzas.small import write_ping
from focus.stanzas.stanza import write_iq

QUICK = 1.0
"""Seconds within which our own server answers a ping if it isn't behind; before that nobody is called silent."""

ROUNDS = 3
"""Late answers after which that is how far the server is, not how busy."""

Deliver = Callable[[str, Optional[Any]], None]
"""Told the id and the answer, or None when the deadline ran out."""


class Pending(NamedTuple):
    """One request whose answer is awaited."""

    connection: str
    to: str
    deliver: Deliver


class Requests:
    """The table of requests in flight, over all connections.

    Args:
        now: monotonic seconds.
        send: ``send(connection name, stanza)`` into the outbox.
        new_id: makes IQ ids.
        server: the server's own address, which is pinged.
        default: seconds a request has if its sender doesn't say (C-803).
    """

    def __init__(self, now: Callable[[], float], send: Callable[[str, str], None], new_id: Callable[[], str],
                 server: str, default: float) -> None:
        self._now = now
        self._send = send
        self._new_id = new_id
        self._server = server
        self._default = default
        self._pending: Dict[str, Pending] = {}
        self._deadlines: List[Tuple[float, str]] = []
        self._suspects: List[str] = []
        self._check = ""
        """Id of the ping whose answer settles the suspects; one serves all that are due."""
        self._check_sent = 0.0
        self._rounds = 0
        """Pings in a row that were answered late."""
        self._connected = False

    def __len__(self) -> int:
        return len(self._pending)

    def expect(self, connection: str, request_id: str, to: str, deliver: Deliver,
               seconds: Optional[float] = None) -> None:
        """An answer from ``to`` is awaited for so many seconds (the default if None)."""
        self._pending[request_id] = Pending(connection, to, deliver)
        heapq.heappush(self._deadlines, (self._now() + (self._default if seconds is None else seconds), request_id))

    def forget(self, request_id: str) -> None:
        """Nobody waits for it any more."""
        self._pending.pop(request_id, None)

    def answered(self, connection: str, iq: Any) -> bool:
        """Hand a result or error to who waits for it; False if nobody does."""
        if self._check and iq.id == self._check and connection == "client" and _same(self._server, iq.from_):
            self._check = ""
            if self._now() - self._check_sent > QUICK and self._rounds < ROUNDS:
                self._ask_server()  # it is behind: an answer may wait in a connection it hasn't come to yet
            else:
                self._rounds = 0
                self._time_out()
            return True
        pending = self._pending.get(iq.id)
        if pending is None or pending.connection != connection or not _same(pending.to, iq.from_):
            return False
        del self._pending[iq.id]
        pending.deliver(iq.id, iq)
        return True

    def next_deadline(self) -> Optional[float]:
        """Monotonic seconds of the earliest deadline, or None."""
        deadlines = self._deadlines
        while deadlines and deadlines[0][1] not in self._pending:
            heapq.heappop(deadlines)
        if self._check or not self._connected:
            return None
        return deadlines[0][0] if deadlines else None

    def due(self, now: float) -> None:
        """Deadlines may have come: ask our own server before anybody is called silent."""
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
        self._rounds += 1
        self._check_sent = self._now()
        self._send("client", write_iq("get", self._check, self._server, write_ping()))

    def _time_out(self) -> None:
        suspects, self._suspects = self._suspects, []
        for request_id in suspects:
            pending = self._pending.pop(request_id, None)
            if pending is not None:
                pending.deliver(request_id, None)

    def disconnected(self) -> None:
        """No deadline runs while there is no stream."""
        self._connected = False

    def connected(self, resumed: bool) -> None:
        """The stream is there: deadlines start anew. Without resumption no answer will come to what was asked."""
        self._connected = True
        self._check = ""
        self._rounds = 0
        self._suspects = []
        if not resumed:
            self._pending.clear()
        due = self._now() + self._default
        self._deadlines = [(due, request_id) for request_id in self._pending]


def _same(to: str, from_: str) -> bool:
    """Whether an answer's sender is whom we asked; servers may leave out their own address."""
    return from_ == to or (not from_ and "@" not in to)
