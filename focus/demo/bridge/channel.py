"""The bridge channel: one WebSocket per endpoint, JSON messages (colibri.md section 10).

Addresses are /colibri-ws/<server id>/<conference id>/<endpoint id>?pwd=<password> (K-1010, K-1011). Understood:
ClientHello, ReceiverVideoConstraints, LastNChangedEvent, EndpointMessage, EndpointStats; sent: ServerHello,
DominantSpeakerEndpointChangeEvent. `ForwardedSources` is never sent, which clients take for
"everything is forwarded" (K-1125). Unknown classes and what is no JSON object is dropped (K-1030).
"""

from __future__ import annotations

import asyncio
import hmac
import http
import json
import logging
import ssl
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Set
from urllib.parse import quote, unquote

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

log = logging.getLogger(__name__)

PING_INTERVAL = 15
IDLE_TIMEOUT = 60
MAX_MESSAGE = 256 * 1024
MAX_QUEUED = 1000


class Channel:
    """The bridge channel of one endpoint: at most one socket at a time, sending without waiting."""

    def __init__(
        self, password: str, on_message: Callable[[Dict[str, Any]], None], on_open: Callable[[], None]
    ) -> None:
        self.password = password
        self.on_message = on_message
        self.on_open = on_open
        self._socket: Optional[ServerConnection] = None
        self._queue: asyncio.Queue[str] = asyncio.Queue(MAX_QUEUED)
        self._tasks: Set[asyncio.Task[None]] = set()

    @property
    def open(self) -> bool:
        """Whether a client is connected."""
        return self._socket is not None

    def send(self, message: Dict[str, Any]) -> None:
        """Send one message if a client is connected; a client that does not read loses what is too much."""
        if self._socket is not None and not self._queue.full():
            self._queue.put_nowait(json.dumps(message))

    def close(self, code: int, reason: str) -> None:
        """Close the socket, if there is one (K-1013)."""
        socket, self._socket = self._socket, None
        if socket is not None:
            task = asyncio.get_running_loop().create_task(socket.close(code, reason))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def run(self, socket: ServerConnection) -> None:
        """Serve one socket until it is closed; it replaces the one before."""
        self.close(1000, "replaced")
        self._socket = socket
        self._queue = asyncio.Queue(MAX_QUEUED)
        writer = asyncio.get_running_loop().create_task(self._write(socket, self._queue))
        self.send({"colibriClass": "ServerHello"})
        self.on_open()
        try:
            async for text in socket:
                self._read(text)
        except ConnectionClosed as closed:
            log.debug("channel closed: %s", closed)
        finally:
            if self._socket is socket:
                self._socket = None
            writer.cancel()

    async def _write(self, socket: ServerConnection, queue: asyncio.Queue[str]) -> None:
        try:
            while True:
                await socket.send(await queue.get())
        except ConnectionClosed:
            return

    def _read(self, text: Any) -> None:
        try:
            message = json.loads(text) if isinstance(text, str) else None
        except ValueError:
            message = None
        if not isinstance(message, dict) or not isinstance(message.get("colibriClass"), str):
            log.debug("message on the bridge channel not understood")
            return
        if message["colibriClass"] == "ClientHello":
            self.send({"colibriClass": "ServerHello"})
            return
        self.on_message(message)


class ChannelAddress(NamedTuple):
    """Where the bridge channel listens and what clients are told. `url` is like wss://meet.example:9090."""

    host: str
    port: int
    url: str
    server_id: str
    tls: Optional[ssl.SSLContext]


class ChannelServer:
    """The WebSocket server for all endpoints. `find` gives the channel of (conference id, endpoint id), or None."""

    def __init__(self, address: ChannelAddress, find: Callable[[str, str], Optional[Channel]]) -> None:
        self._address = address
        self._find = find
        self._server: Optional[Server] = None
        self.url = address.url

    async def start(self) -> None:
        """Begin to listen. Raises OSError if the port is taken. An empty `url` is made from the port."""
        address = self._address
        self._server = await serve(
            self._serve,
            address.host,
            address.port,
            ssl=address.tls,
            process_request=self._check,
            ping_interval=PING_INTERVAL,
            ping_timeout=IDLE_TIMEOUT,
            max_size=MAX_MESSAGE,
        )
        if not self.url:
            port = next(iter(self._server.sockets)).getsockname()[1]
            self.url = "%s://%s:%d" % ("wss" if address.tls else "ws", address.host, port)

    async def stop(self) -> None:
        """Close all sockets and stop listening."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def url_for(self, conference: str, endpoint: str, password: str) -> str:
        """The address of one endpoint's channel."""
        parts = (self.url, quote(self._address.server_id), conference, quote(endpoint, safe=""), password)
        return "%s/colibri-ws/%s/%s/%s?pwd=%s" % parts

    def _channel(self, path: str) -> Optional[Channel]:
        """The channel that a request path names, with the right password. Raises LookupError for a wrong shape."""
        plain, _, query = path.partition("?")
        parts = plain.split("/")
        if len(parts) != 5 or parts[1] != "colibri-ws" or unquote(parts[2]) != self._address.server_id:
            raise LookupError(plain)
        channel = self._find(parts[3], unquote(parts[4]))
        password = query[len("pwd=") :] if query.startswith("pwd=") else ""
        if channel is None or not hmac.compare_digest(channel.password.encode(), password.encode()):
            return None
        return channel

    def _check(self, connection: ServerConnection, request: Any) -> Any:
        """K-1011: refuse before the handshake."""
        try:
            if self._channel(request.path) is None:
                return connection.respond(
                    http.HTTPStatus.FORBIDDEN, "Invalid conference, endpoint, or password\n"
                )
        except LookupError:
            return connection.respond(http.HTTPStatus.NOT_FOUND, "Not found\n")
        return None

    async def _serve(self, connection: ServerConnection) -> None:
        request = connection.request
        try:
            channel = None if request is None else self._channel(request.path)
        except LookupError:
            channel = None
        if channel is None:
            await connection.close(1001, "endpoint closed")
            return
        await channel.run(connection)


def speaker_message(dominant: str, previous: List[str]) -> Dict[str, Any]:
    """K-1044."""
    return {
        "colibriClass": "DominantSpeakerEndpointChangeEvent",
        "dominantSpeakerEndpoint": dominant,
        "previousSpeakers": previous,
        "silence": False,
    }
