"""A TCP proxy whose connections can be cut, held and slowed: the network between two real peers (gevent)."""

from __future__ import annotations

import struct
from typing import Any, Callable, List, Tuple

import gevent
from gevent import socket
from gevent.event import Event
from gevent.server import StreamServer


class Proxy:
    """Forwards connections on `port` (of 127.0.0.1) to a target.

    `passed` counts the bytes that came from the target, `forwarded` those that went to it; `cut()` breaks all
    connections, `hold()` lets nothing pass until `release()`, with `accepts` False new connections are closed at once.
    """

    def __init__(self, target_port: int) -> None:
        self._target = ("127.0.0.1", target_port)
        self._server = StreamServer(("127.0.0.1", 0), self._handle)
        self._pairs: List[Tuple[Any, Any]] = []
        self._open = Event()
        self._open.set()
        self.accepts = True
        self.passed = 0
        self.forwarded = 0
        self.port = 0

    def __enter__(self) -> Proxy:
        self._server.start()
        self.port = self._server.server_port
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.stop()
        self._open.set()
        self.cut()

    @property
    def connections(self) -> int:
        """Connections open at this moment."""
        return len(self._pairs)

    def wait_connection(self, timeout: float = 30.0) -> None:
        """Wait until a connection passes through."""
        with gevent.Timeout(timeout):
            while not self._pairs:
                gevent.sleep(0.005)

    def cut(self) -> None:
        """Break all connections at once with a reset; what is under way is lost."""
        for pair in list(self._pairs):
            for sock in pair:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()

    def cut_far_end_in_order(self) -> None:
        """Break all connections, but let the target read what is under way before it sees the end."""
        for near, far in list(self._pairs):
            far.shutdown(socket.SHUT_WR)
            near.close()

    def hold(self) -> None:
        """Let nothing pass; connections stay open."""
        self._open.clear()

    def release(self) -> None:
        """End `hold`."""
        self._open.set()

    def _handle(self, near: Any, _: Any) -> None:
        if not self.accepts:
            return
        far = socket.create_connection(self._target)
        pair = (near, far)
        self._pairs.append(pair)
        pumps = [gevent.spawn(self._pump, near, far, self._count_forwarded),
                 gevent.spawn(self._pump, far, near, self._count_passed)]
        gevent.joinall(pumps, count=1)
        gevent.killall(pumps)
        self._pairs.remove(pair)
        for sock in pair:
            sock.close()

    def _count_forwarded(self, size: int) -> None:
        self.forwarded += size

    def _count_passed(self, size: int) -> None:
        self.passed += size

    def _pump(self, source: Any, sink: Any, count: Callable[[int], None]) -> None:
        try:
            while True:
                data = source.recv(65536)
                self._open.wait()
                if not data:
                    return
                sink.sendall(data)
                count(len(data))
        except OSError:
            return
