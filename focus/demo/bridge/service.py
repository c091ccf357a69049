"""The bridge as a whole: requests from the brewery, the table of conferences, their media, the bridge channels.

`LiveMedia` is what the table's decisions do to real transports; `Bridge` owns everything and runs until `stop`.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import ssl
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Pattern, Set, Tuple

from aiortc.rtcdtlstransport import RTCCertificate

from focus.demo.bridge.answers import CONFERENCE, MODIFY, Answers
from focus.demo.bridge.brewery import Brewery
from focus.demo.bridge.channel import (
    Channel,
    ChannelAddress,
    ChannelServer,
    speaker_message,
)
from focus.demo.bridge.channels import ChannelConference, ChannelTable
from focus.demo.bridge.colibri import Conference, Endpoint, Media, Relay, Table
from focus.demo.bridge.colibri1 import write_conference
from focus.demo.bridge.component import Component, Node
from focus.demo.bridge.journal import Journal
from focus.demo.bridge.knobs import BadCommand, Knobs
from focus.demo.bridge.room import Peer, Room, RoomEvents
from focus.demo.bridge.speaker import SpeakerChange
from focus.demo.bridge.station import (
    FEATURES_OF,
    NS_HEALTH,
    Station,
    answer_program_request,
    write_error,
    write_result,
)
from focus.demo.bridge.stats import Statistics
from focus.demo.bridge.transport import EndpointTransport, MediaSocket, TransportEvents, random_text
from focus.demo.bridge.xmpp import Login
from focus.stanzas.xml import quote
from focus.values.transport import Transport

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
    colibri: str = "2"
    """Which version it speaks: 1, 2 or both."""
    component: bool = False
    """Be a component of the server, the domain of the login, instead of standing in the brewery."""
    node: Optional[Node] = None
    reader: str = ""
    authorized: Optional[Pattern[str]] = None
    """As a component: where statistics go, who is sent them, and who may ask."""


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
        self.on_first_media: Callable[[Conference, str, str], None] = lambda conference, endpoint, kind: None
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
                lambda who, kind: self._first_media(conference, who, kind),
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

    def limit(self, conference: Conference, endpoint: Endpoint, last_n: int) -> None:
        self._live[endpoint].peer.constraints.apply({"colibriClass": "LastNChangedEvent", "lastN": last_n})
        self._rooms[conference].update(_now())

    def received(self, conference: Conference, endpoint: Endpoint, kind: str) -> Tuple[int, ...]:
        return self._rooms[conference].received(self._live[endpoint].peer, kind)

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

    def _first_media(self, conference: Conference, endpoint: str, kind: str) -> None:
        self._note("first_" + kind, conference, endpoint)
        self.on_first_media(conference, endpoint, kind)

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
        self.channels = ChannelTable(self.media, secrets.randbits)
        self.channels.default_expire = int(options.endpoint_timeout)
        self._options = options
        self._journal = journal
        self._stopped = asyncio.Event()
        self._answers = Answers(options.colibri, self.table, self.channels, self.knobs, journal)
        fixed = {"region": options.region, "relay_id": options.relay_id}
        self._statistics = Statistics(
            options.colibri,
            self.table,
            self.channels,
            self.knobs,
            lambda: self.media.counts()[1],
            {name: value for name, value in fixed.items() if value},
        )
        self.media.on_first_media = self._tell_received
        self._ids = itertools.count(1)
        self.station = self._make_station()

    def _make_station(self) -> Station:
        options, publish = self._options, self._statistics.now
        if options.component:
            return Component(
                options.login,
                options.node,
                options.reader,
                options.authorized,
                self._journal,
                publish,
                self._request,
            )
        return Brewery(
            options.login, options.brewery, options.nickname, self._journal, publish, self._request
        )

    async def run(self) -> None:
        """Run until `stop`. Raises OSError if a port is taken."""
        await self.media.start()
        self._journal.note("bridge_started", channel=self.media.server.url)
        loop = asyncio.get_running_loop()
        parts: Set[asyncio.Task[Any]] = {
            loop.create_task(self.station.run()),
            loop.create_task(self._tick()),
            loop.create_task(self._expire()),
        }
        stopped = loop.create_task(self._stopped.wait())
        try:
            while not stopped.done():
                done, _ = await asyncio.wait(parts | {stopped}, return_when=asyncio.FIRST_COMPLETED)
                for task in done & parts:
                    task.result()
                    parts.discard(task)  # the station was left as told; calls go on
        finally:
            self.station.leave()
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
            self.station.leave()
        elif action[0] == "graceful":
            self.table.graceful_shutdown = self.channels.graceful_shutdown = True
            self.station.publish()
        elif action[0] == "form":
            self.channels.form = action[1]
        elif action[0] == "forget" and not self._forget(action[1], action[2]):
            raise BadCommand("no such %s: %s" % (action[1], action[2]))

    def _forget(self, kind: str, name: str) -> bool:
        """Lose an endpoint, or the conferences, of that name; False if there is none."""
        found = False
        for conference in list(self.table.conferences.values()):
            if kind == "endpoint" and name in conference.endpoints:
                self.table.remove(conference, conference.endpoints[name])
                found = True
            elif kind == "conference" and name in (conference.meeting_id, conference.label):
                self.table.expire(conference)
                found = True
        for old in list(self.channels.conferences.values()):
            if kind == "endpoint" and name in old.of_endpoint:
                self.channels.remove(old, old.of_endpoint[name])
                found = True
            elif kind == "conference" and name in (old.internal_id, old.meeting_id, old.label):
                self.channels.expire(old)
                found = True
        return found

    def _tell_received(self, conference: Conference, endpoint: str, kind: str) -> None:
        """K-774."""
        if not isinstance(conference, ChannelConference) or not conference.focus:
            return
        told = self.channels.received(conference, endpoint, kind)
        if told is not None:
            address = " from='%s'" % quote(self._options.login.domain) if self._options.component else ""
            self.station.send(
                "<iq type='set' id='received%d' to='%s'%s>%s</iq>"
                % (next(self._ids), quote(conference.focus), address, write_conference(told))
            )

    async def _tick(self) -> None:
        count = 0
        while True:
            await asyncio.sleep(FAST_TICK)
            count += 1
            self.media.tick(count % 10 == 0)

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(self._options.expiry_interval)
            for line in self.table.expire_idle(_now()) + self.channels.expire_idle(_now()):
                self._journal.note("expired", what=line)

    def _request(self, iq: Any) -> None:
        payload = next(iter(iq), None)
        of_bridges = payload is not None and payload.tag in (MODIFY, CONFERENCE, HEALTH)
        refusal = self.station.refusal(iq.get("from") or "") if of_bridges else ""
        if payload is None:
            self.station.send(write_error(iq, "bad-request", ""))
        elif refusal:
            self.station.send(write_error(iq, refusal, ""))
        elif self._answers.knows(payload):
            self._colibri(iq, payload)
        elif payload.tag == HEALTH:
            if self.knobs.health != "silent":
                failed = self.knobs.health == "fail"
                text = "failing health checks as told"
                self.station.send(
                    write_error(iq, "internal-server-error", text) if failed else write_result(iq)
                )
        else:
            self.station.send(self._of_the_program(iq, payload))

    def _of_the_program(self, iq: Any, payload: Any) -> str:
        answer = answer_program_request(iq, payload, FEATURES_OF[self._options.colibri])
        if answer is None:
            self._journal.note("unknown_iq", element=str(payload.tag), by=iq.get("from"))
            answer = write_error(iq, "service-unavailable", "")  # B-1151
        return answer

    def _colibri(self, iq: Any, payload: Any) -> None:
        answer = self._answers.answer(iq, payload, _now())
        if self.knobs.take_drop():
            self._journal.note("answer_dropped", id=iq.get("id"))
        elif self.knobs.delay:
            asyncio.get_running_loop().call_later(self.knobs.delay, self.station.send, answer)
        else:
            self.station.send(answer)


def _now() -> float:
    return asyncio.get_running_loop().time()
