"""A TCP relay on the tests' loop: the network between the focus and its server, which can be cut."""

from __future__ import annotations

import socket
import struct
from typing import List, Optional

from tests.support.loop import Loop


class Relay:
    """Carries connections from `port` (of 127.0.0.1) to a target port.

    While `open` is false new ones are closed at once.
    """

    def __init__(self, loop: Loop, target_port: int) -> None:
        self.loop = loop
        self.open = True
        self.accepted = 0
        self._target_port = target_port
        self._ends: List[_End] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        loop.register(self._listener, self)

    def cut(self) -> None:
        """Break all connections at once; what is under way is lost."""
        for end in list(self._ends):
            end.drop(abort=True)

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
        far = socket.create_connection(("127.0.0.1", self._target_port), timeout=5)
        one, other = _End(self, near), _End(self, far)
        one.other, other.other = other, one

    def on_writable(self) -> None:
        """Never asked for."""


class _End:
    """One of the two sockets of a relayed connection."""

    def __init__(self, relay: Relay, sock: socket.socket) -> None:
        self.other: Optional[_End] = None
        self._relay = relay
        self._sock = sock
        self._out = b""
        self._closing = False
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        relay._ends.append(self)
        relay.loop.register(sock, self)

    def on_readable(self) -> None:
        """Carry on what came, or the end of it."""
        other = self.other
        try:
            data = self._sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if other is None:
            return
        if data:
            other._out += data
            other.on_writable()
        else:
            self.drop()
            other._closing = True
            other.on_writable()

    def on_writable(self) -> None:
        """Write what waits."""
        if self not in self._relay._ends:
            return
        try:
            if self._out:
                self._out = self._out[self._sock.send(self._out) :]
        except BlockingIOError:
            pass
        except OSError:
            self.drop()
            return
        if self._out:
            self._relay.loop.want_write(self._sock, self, True)
        elif self._closing:
            self.drop()
        else:
            self._relay.loop.want_write(self._sock, self, False)

    def drop(self, abort: bool = False) -> None:
        """Close; with a reset if asked for."""
        if self not in self._relay._ends:
            return
        self._relay._ends.remove(self)
        self._relay.loop.unregister(self._sock)
        if abort:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()
