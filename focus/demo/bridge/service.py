"""The bridge as a whole: requests from the brewery, the table of conferences, their media, the bridge channels.

`LiveMedia` is what the table's decisions do to real transports; `Bridge` owns everything and runs until `stop`.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
from typing import Any, Dict, List, NamedTuple, Optional, Set, Tuple

from aiortc.rtcdtlstransport import RTCCertificate

from focus.demo.bridge.brewery import NS_HEALTH, Brewery, answer_program_request, write_error, write_result
from focus.demo.bridge.channel import (
    Channel,
    ChannelAddress,
    ChannelServer,
    speaker_message,
)
from focus.demo.bridge.colibri import Conference, Endpoint, Media, Refused, Relay, Table
from focus.demo.bridge.journal import Journal
from focus.demo.bridge.knobs import BadCommand, Knobs
from focus.demo.bridge.request import Malformed, read_request, write_answer
from focus.demo.bridge.room import Peer, Room, RoomEvents
from focus.demo.bridge.speaker import SpeakerChange
from focus.demo.bridge.transport import EndpointTransport, MediaSocket, TransportEvents, random_text
from focus.demo.bridge.xmpp import Login
from focus.stanzas.xml import NS_COLIBRI2, quote
from focus.values.transport import Transport

log = logging.getLogger(__name__)

MODIFY = "{%s}conference-modify" % NS_COLIBRI2
HEALTH = "{%s}healthcheck" % NS_HEALTH
FAST_TICK = 0.1


class BridgeOptions(NamedTuple):
    """Everything a bridge must be told. Addresses are IPv4; intervals are seconds."""

    login: Login
    brewery: str
    nickname: str
    media_addresses: Tuple[str, ...]
    media_port: int = 0
    public_address: Optional[str] = None
    channel_host: str = "127.0.0.1"
    channel_port: int = 0
    channel_url: str = ""
    channel_tls: Optional[ssl.SSLContext] = None
    region: str = ""
    expiry_interval: float = 60.0
    endpoint_timeout: float = 60.0
    relay_id: str = ""


class _Live:
    """The real parts of one endpoint."""

    def __init__(
        self, peer: Peer, transport: EndpointTransport, channel: Channel, own_sockets: List[MediaSocket]
    ) -> None:
        self.peer = peer
        self.transport = transport
        self.channel = channel
        self.own_sockets = own_sockets


class LiveMedia(Media):
    """Carries out what the table decides, with real transports, rooms and channels."""

    def __init__(self, options: BridgeOptions, journal: Journal) -> None:
        self._options = options
        self._journal = journal
        self._certificate = RTCCertificate.generateCertificate()
        self._sockets: List[MediaSocket] = []
        self._rooms: Dict[Conference, Room] = {}
        self._live: Dict[Endpoint, _Live] = {}
        self._channels: Dict[Tuple[str, str], Channel] = {}
        self._closing: Set[asyncio.Task[None]] = set()
        address = ChannelAddress(
            options.channel_host,
            options.channel_port,
            options.channel_url,
            options.nickname,
            options.channel_tls,
        )
        self.server = ChannelServer(
            address, lambda conference, endpoint: self._channels.get((conference, endpoint))
        )

    async def start(self) -> None:
        """Bind the sockets. Raises OSError."""
        for address in self._options.media_addresses:
            port = self._options.media_port or (self._sockets[0].port if self._sockets else 0)
            self._sockets.append(MediaSocket(address, port, self._options.public_address))
        await self.server.start()

    async def stop(self) -> None:
        """End all transports and close the sockets."""
        for live in list(self._live.values()):
            live.channel.close(1001, "endpoint closed")
            self._end(live)
        self._live.clear()
        if self._closing:
            await asyncio.wait(self._closing, timeout=5)
        await self.server.stop()
        for one in self._sockets:
            one.close()

    def create(self, conference: Conference, endpoint: Endpoint, controlling: bool) -> None:
        own_sockets: List[MediaSocket] = []
        if isinstance(endpoint, Relay) and endpoint.unique_port:
            public = self._options.public_address
            own_sockets = [MediaSocket(address, 0, public) for address in self._options.media_addresses]
        room = self._rooms.get(conference)
        if room is None:
            events = RoomEvents(
                lambda who, kind: self._note("first_" + kind, conference, who),
                lambda change: self._speaker_changed(conference, change),
            )
            room = self._rooms[conference] = Room(conference.feedback, events)
        transport = EndpointTransport(
            own_sockets or self._sockets,
            self._certificate,
            controlling,
            self._transport_events(conference, endpoint, room),
        )
        peer = Peer(endpoint, transport)
        channel = Channel(
            random_text(24),
            lambda message: self._message(conference, endpoint, message),
            lambda: self._channel_open(conference, endpoint),
        )
        self._live[endpoint] = _Live(peer, transport, channel, own_sockets)
        room.add(peer)
        if isinstance(endpoint, Relay):
            self._note("relay_created", conference, endpoint.id, mesh=endpoint.mesh_id)
        else:
            self._channels[conference.internal_id, endpoint.id] = channel
            self._note("endpoint_created", conference, endpoint.id, stats_id=endpoint.stats_id)

    def describe(self, conference: Conference, endpoint: Endpoint) -> Transport:
        live = self._live[endpoint]
        if isinstance(endpoint, Relay):
            return live.transport.describe("")
        return live.transport.describe(
            self.server.url_for(conference.internal_id, endpoint.id, live.channel.password)
        )

    def connected(self, conference: Conference, endpoint: Endpoint) -> bool:
        return self._live[endpoint].transport.ice_connected

    def set_transport(self, conference: Conference, endpoint: Endpoint, transport: Transport) -> None:
        self._live[endpoint].transport.set_remote(transport)

    def changed(self, conference: Conference, endpoint: Endpoint) -> None:
        self._rooms[conference].set_sources(self._live[endpoint].peer, _now())

    def close(self, conference: Conference, endpoint: Endpoint) -> None:
        live = self._live.pop(endpoint)
        relay = isinstance(endpoint, Relay)
        if not relay:
            self._channels.pop((conference.internal_id, endpoint.id), None)
        live.channel.close(1001, "endpoint closed")
        self._end(live)
        room = self._rooms[conference]
        room.remove(live.peer, _now())
        if not room.peers:
            del self._rooms[conference]
        self._note("relay_gone" if relay else "endpoint_gone", conference, endpoint.id)

    def tick(self, whole_second: bool) -> None:
        """What is due every tenth of a second, and every second."""
        now = _now()
        for room in self._rooms.values():
            room.ten_times_a_second(now)
            if whole_second:
                room.every_second(now)
        if whole_second:
            for endpoint, live in self._live.items():
                endpoint.last_activity = live.transport.last_activity

    def counts(self) -> Tuple[int, int]:
        """Conferences with endpoints, and endpoints."""
        return len(self._rooms), sum(not isinstance(endpoint, Relay) for endpoint in self._live)

    def _transport_events(self, conference: Conference, endpoint: Endpoint, room: Room) -> TransportEvents:
        def media(handler: Any) -> Any:
            def received(data: bytes) -> None:
                live = self._live.get(endpoint)
                if live is not None:
                    try:
                        handler(live.peer, data, _now())
                    except ValueError:
                        return

            return received

        def dtls_connected(milliseconds: int) -> None:
            self._note("dtls_connected", conference, endpoint.id, ms=milliseconds)
            self._connected(endpoint, room, True)

        def failed(why: str, of_ice: bool) -> None:
            endpoint.ice_failed = endpoint.ice_failed or of_ice
            self._note("transport_failed", conference, endpoint.id, why=why)
            self._connected(endpoint, room, False)

        return TransportEvents(
            media(room.on_rtp),
            media(room.on_rtcp),
            lambda milliseconds: self._note("ice_connected", conference, endpoint.id, ms=milliseconds),
            dtls_connected,
            failed,
        )

    def _connected(self, endpoint: Endpoint, room: Room, connected: bool) -> None:
        live = self._live.get(endpoint)
        if live is not None:
            live.peer.connected = connected
            room.update(_now())

    def _end(self, live: _Live) -> None:
        task = asyncio.get_running_loop().create_task(self._close(live))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close(self, live: _Live) -> None:
        try:
            await live.transport.close()
        finally:
            for one in live.own_sockets:
                one.close()

    def _channel_open(self, conference: Conference, endpoint: Endpoint) -> None:
        if endpoint not in self._live:
            return
        self._note("channel_open", conference, endpoint.id)
        speakers = self._rooms[conference].speakers
        if speakers.dominant is not None:
            self._live[endpoint].channel.send(speaker_message(speakers.dominant, speakers.order[1:]))

    def _speaker_changed(self, conference: Conference, change: SpeakerChange) -> None:
        self._note("dominant_speaker", conference, change.dominant)
        for endpoint in conference.endpoints.values():
            self._live[endpoint].channel.send(speaker_message(change.dominant, change.previous))

    def _message(self, conference: Conference, endpoint: Endpoint, message: Dict[str, Any]) -> None:
        """One message of a client on its bridge channel."""
        kind = message["colibriClass"]
        if endpoint not in self._live:
            return
        if kind in ("ReceiverVideoConstraints", "LastNChangedEvent"):
            self._live[endpoint].peer.constraints.apply(message)
            self._rooms[conference].update(_now())
        elif kind in ("EndpointMessage", "EndpointStats") and not endpoint.visitor:
            receiver = message.get("to") if kind == "EndpointMessage" else ""
            message["from"] = endpoint.id
            for other in conference.endpoints.values():
                if other is not endpoint and receiver in ("", None, other.id):
                    self._live[other].channel.send(message)

    def _note(self, event: str, conference: Conference, endpoint: str, **facts: Any) -> None:
        self._journal.note(event, room=conference.label, endpoint=endpoint, **facts)


class Bridge:
    """A running bridge."""

    def __init__(self, options: BridgeOptions, journal: Journal, knobs: Optional[Knobs] = None) -> None:
        self.knobs = knobs or Knobs()
        self.media = LiveMedia(options, journal)
        self.table = Table(self.media, secrets.randbits)
        self.table.relays_enabled = bool(options.relay_id)
        self.table.endpoint_timeout = options.endpoint_timeout
        self.table.first_activity_timeout = 2 * options.endpoint_timeout
        self._options = options
        self._journal = journal
        self._stopped = asyncio.Event()
        self.brewery = Brewery(
            options.login, options.brewery, options.nickname, journal, self._statistics, self._request
        )

    async def run(self) -> None:
        """Run until `stop`. Raises OSError if a port is taken."""
        await self.media.start()
        self._journal.note("bridge_started", channel=self.media.server.url)
        loop = asyncio.get_running_loop()
        brewery = loop.create_task(self.brewery.run())
        parts: Set[asyncio.Task[Any]] = {
            brewery,
            loop.create_task(self._tick()),
            loop.create_task(self._expire()),
        }
        stopped = loop.create_task(self._stopped.wait())
        try:
            while not stopped.done():
                done, _ = await asyncio.wait(parts | {stopped}, return_when=asyncio.FIRST_COMPLETED)
                for task in done & parts:
                    task.result()
                    parts.discard(task)  # the brewery was left as told; calls go on
        finally:
            self.brewery.leave()
            for task in parts | {stopped}:
                task.cancel()
            await asyncio.wait(parts | {stopped})
            await self.media.stop()

    def stop(self) -> None:
        """End `run`."""
        self._stopped.set()

    def command(self, line: str) -> None:
        """Obey one control line (see knobs). Raises BadCommand."""
        action = self.knobs.command(line)
        if action is None:
            return
        if action[0] == "quit":
            self.stop()
        elif action[0] == "leave":
            self.brewery.leave()
        elif action[0] == "graceful":
            self.table.graceful_shutdown = True
            self.brewery.publish()
        elif action[0] == "forget" and not self._forget(action[1], action[2]):
            raise BadCommand("no such %s: %s" % (action[1], action[2]))

    def _forget(self, kind: str, name: str) -> bool:
        for conference in list(self.table.conferences.values()):
            if kind == "endpoint":
                endpoint = conference.endpoints.get(name)
                if endpoint is not None:
                    self.table.remove(conference, endpoint)
                    return True
            elif name in (conference.meeting_id, conference.label):
                self.table.expire(conference)
                return True
        return False

    async def _tick(self) -> None:
        count = 0
        while True:
            await asyncio.sleep(FAST_TICK)
            count += 1
            self.media.tick(count % 10 == 0)

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(self._options.expiry_interval)
            for line in self.table.expire_idle(_now()):
                self._journal.note("expired", what=line)

    def _statistics(self) -> Dict[str, str]:
        _, endpoints = self.media.counts()
        stats = {
            "conferences": str(len(self.table.conferences)),
            "endpoints": str(endpoints),
            "drain": "true" if self.knobs.drain else "false",
            "graceful_shutdown": "true" if self.table.graceful_shutdown else "false",
            "healthy": "true" if self.knobs.health == "ok" else "false",
        }
        if self._options.region:
            stats["region"] = self._options.region
        if self._options.relay_id:
            stats["relay_id"] = self._options.relay_id
        stats.update(self.knobs.stats)
        return stats

    def _request(self, iq: Any) -> None:
        payload = next(iter(iq), None)
        of_bridges = payload is not None and payload.tag in (MODIFY, HEALTH)
        sender = (iq.get("from") or "").partition("/")[0]
        if payload is None:
            self.brewery.send(write_error(iq, "bad-request", ""))
        elif of_bridges and sender.lower() != self._options.brewery.lower():
            self.brewery.send(write_error(iq, "forbidden", ""))  # K-102
        elif payload.tag == MODIFY:
            self._colibri(iq, payload)
        elif payload.tag == HEALTH:
            if self.knobs.health != "silent":
                failed = self.knobs.health == "fail"
                text = "failing health checks as told"
                self.brewery.send(
                    write_error(iq, "internal-server-error", text) if failed else write_result(iq)
                )
        else:
            self.brewery.send(answer_program_request(iq, payload))

    def _colibri(self, iq: Any, payload: Any) -> None:
        answer = self.answer(iq, payload)
        if self.knobs.take_drop():
            self._journal.note("answer_dropped", id=iq.get("id"))
        elif self.knobs.delay:
            asyncio.get_running_loop().call_later(self.knobs.delay, self.brewery.send, answer)
        else:
            self.brewery.send(answer)

    def answer(self, iq: Any, payload: Any) -> str:
        """Execute one `conference-modify` and write the answer."""
        try:
            request = read_request(payload)
            scripted = self.knobs.take_error(request)
            if scripted is not None:
                raise Refused(scripted.condition, "refused as told", scripted.reason)
            done = self.table.handle(request, _now())
            return write_result(iq, write_answer(done.endpoints, done.feedback))
        except Malformed as error:
            refused = Refused("bad-request", str(error))
        except Refused as error:
            refused = error
        except (LookupError, TypeError, ValueError, AttributeError, OSError, RuntimeError) as error:
            log.exception("a request failed")
            refused = Refused("internal-server-error", str(error))  # K-440
        self._journal.note("refused", id=iq.get("id"), condition=refused.condition, text=refused.text)
        return write_error(iq, refused.condition, refused.text, _detail(refused), _echo(payload))


def _echo(request: Any) -> str:
    """The request with its attributes and without its children, as the reference puts it into its errors (K-402)."""
    attributes = "".join(
        " %s='%s'" % (name, quote(value)) for name, value in request.attrib.items() if "{" not in name
    )
    return "<conference-modify xmlns='%s'%s/>" % (NS_COLIBRI2, attributes)


def _detail(error: Refused) -> str:
    """The Colibri 2 part of an error (K-401, K-421)."""
    detail = ""
    if error.reason:
        detail += "<error xmlns='%s' reason='%s'/>" % (NS_COLIBRI2, quote(error.reason))
    if error.endpoint:
        detail += "<endpoint xmlns='%s' id='%s'/>" % (NS_COLIBRI2, quote(error.endpoint))
    return detail


def _now() -> float:
    return asyncio.get_running_loop().time()
