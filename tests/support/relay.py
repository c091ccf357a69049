"""A TCP relay on the tests' loop: the network between the focus and its server, which can be cut, held and slowed.

It works only while the test waits, as all that is on the loop, so a test decides to the byte what has passed.
"""

from __future__ import annotations

import socket
import struct
import time
from collections import deque
from typing import Callable, Deque, List, Optional, Tuple

from tests.support.loop import Loop


class Relay:
    """Carries connections from `port` (of 127.0.0.1), the near side, to a target port, the far side.

    While `open` is false new ones are closed at once. `latency`: seconds that each byte takes in each direction;
    `rate`: bytes per second in each direction, 0 for no limit. `forwarded`: bytes carried to the target, `passed`:
    bytes that came from it, over all connections.
    """

    def __init__(self, loop: Loop, target_port: int) -> None:
        self.loop = loop
        self.open = True
        self.accepted = 0
        self.latency = 0.0
        self.rate = 0.0
        self.forwarded = self.passed = 0
        self.held = False
        #: called with what is about to be carried to the target; true: cut before it is
        self.trap: Optional[Callable[[bytes], bool]] = None
        #: how often a trap or a count has cut the connection
        self.sprung = 0
        self._budget: Optional[int] = None
        self._target_port = target_port
        self._ends: List[_End] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        loop.register(self._listener, self)

    @property
    def connections(self) -> int:
        """Connections whose near side is open."""
        return sum(end.is_near for end in self._ends)

    def cut(self) -> None:
        """Break all connections at once; what is under way is lost."""
        for end in list(self._ends):
            end.drop(abort=True)

    def cut_in_order(self) -> None:
        """Break all connections, but let the target read what was sent to it before it sees the end."""
        for end in list(self._ends):
            if end.is_near:
                end.drop(abort=True)
            else:
                end.finish()

    def cut_after(self, count: int) -> None:
        """Break the connection when so many more bytes have gone to the target, which reads them all."""
        self._budget = count

    def lose_near(self) -> None:
        """Half-open: the near side gets a reset, the far side hears nothing of it."""
        self._lose(near=True)

    def lose_far(self) -> None:
        """Half-open: the far side gets a reset, the near side hears nothing of it and talks to nobody."""
        self._lose(near=False)

    def hold(self) -> None:
        """Let nothing pass; connections stay open."""
        self.held = True

    def release(self) -> None:
        """End `hold`; what was kept goes on in order."""
        self.held = False
        for end in list(self._ends):
            end.on_writable()

    def drop(self) -> None:
        """The loop closes; it drops the ends by itself."""
        self._listener.close()

    def on_readable(self) -> None:
        """A new connection."""
        near, _ = self._listener.accept()
        self.accepted += 1
        if not self.open:
            near.close()
            return
        try:
            far = socket.create_connection(("127.0.0.1", self._target_port), timeout=5)
        except OSError:  # nobody there, as somebody who connects directly would see
            near.close()
            return
        one, other = _End(self, near, is_near=True), _End(self, far, is_near=False)
        one.other, other.other = other, one

    def on_writable(self) -> None:
        """Never asked for."""

    def _lose(self, near: bool) -> None:
        for end in [end for end in self._ends if end.is_near == near]:
            if end.other is not None:
                end.other.other = None
            end.drop(abort=True)

    def carry(self, source: _End, data: bytes) -> None:
        """Take what one end has read to the other."""
        sink = source.other
        if sink is None:
            return
        if not source.is_near:
            self.passed += len(data)
            sink.put(data)
            return
        end_here = self.trap is not None and self.trap(data)
        if end_here:
            data = b""
        elif self._budget is not None:
            data = data[: self._budget]
            self._budget -= len(data)
            end_here = self._budget == 0
        self.forwarded += len(data)
        sink.put(data)
        if end_here:
            self._budget = self.trap = None
            self.sprung += 1
            sink.finish()
            source.drop(abort=True)


class _End:
    """One of the two sockets of a relayed connection, and what is on its way to it."""

    def __init__(self, relay: Relay, sock: socket.socket, is_near: bool) -> None:
        self.other: Optional[_End] = None
        self.is_near = is_near
        self._relay = relay
        self._sock = sock
        self._coming: Deque[Tuple[float, bytes]] = deque()
        self._free_at = 0.0
        self._out = b""
        self._closing = False
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        relay._ends.append(self)
        relay.loop.register(sock, self)

    def on_readable(self) -> None:
        """Carry on what came, or the end of it."""
        try:
            data = self._sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._relay.carry(self, data)
            return
        other = self.other
        self.drop()
        if other is not None:
            other.finish()

    def put(self, data: bytes) -> None:
        """More for this end, to be written when it has arrived."""
        relay, now = self._relay, time.monotonic()
        self._free_at = max(now, self._free_at) + (len(data) / relay.rate if relay.rate else 0.0)
        self._coming.append((self._free_at + relay.latency, data))
        if relay.latency or relay.rate:
            relay.loop.call_at(self._coming[-1][0], self.on_writable)
        else:
            self.on_writable()

    def finish(self) -> None:
        """Close when all is written."""
        self.other = None
        self._closing = True
        self.on_writable()

    def on_writable(self) -> None:
        """Write what has arrived."""
        relay, now = self._relay, time.monotonic()
        if self not in relay._ends or relay.held:
            return
        while self._coming and self._coming[0][0] <= now:
            self._out += self._coming.popleft()[1]
        try:
            if self._out:
                self._out = self._out[self._sock.send(self._out) :]
        except BlockingIOError:
            pass
        except OSError:
            self.drop()
            return
        if self._closing and not self._out and not self._coming:
            self.drop()
        else:
            relay.loop.want_write(self._sock, self, bool(self._out))

    def drop(self, abort: bool = False) -> None:
        """Close; with a reset if asked for."""
        if self not in self._relay._ends:
            return
        self._relay._ends.remove(self)
        self._relay.loop.unregister(self._sock)
        if abort:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()
