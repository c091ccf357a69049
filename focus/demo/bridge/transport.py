"""One endpoint's transport: ICE (aioice), DTLS and SRTP (aiortc), on one UDP port for all endpoints (K-1101 to K-1108).

A datagram is told apart by its first byte (RFC 7983). A STUN request finds its endpoint by the bridge's ufrag in its
USERNAME, and from then on its source address belongs to that endpoint (K-1104). aioice does the checks of both sides,
also those that come before the client's credentials (K-1103), role conflicts and consent; aiortc does the handshake.
Media takes a short way past their queues: a packet goes from the socket through SRTP to its handler in one call.

The two libraries are used below their public surface here and only here: `aioice.Connection` opens a socket for each
connection, which a bridge does not want, and `RTCDtlsTransport` insists on an `RTCIceTransport`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import secrets
import socket
import string
import struct
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

import pylibsrtp
from aioice import Candidate as IceCandidate
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import Connection, StunProtocol
from aiortc.rtcdtlstransport import (
    SRTP_AES128_CM_SHA1_80,
    RTCCertificate,
    RTCDtlsParameters,
    RTCDtlsTransport,
    State,
)
from cryptography.hazmat.primitives import hashes

from focus.demo.bridge.rtp import is_rtcp
from focus.values.transport import Candidate, Fingerprint, Transport

Address = Tuple[str, int]
log = logging.getLogger(__name__)

_BATCH = 64
_RECEIVE_BUFFER = 4 << 20
_SO_RCVBUFFORCE = 33
_MAX_HANDSHAKE_QUEUE = 64
_LETTERS = string.ascii_lowercase + string.digits
_DIGESTS = {
    "sha-1": hashes.SHA1(),
    "sha-256": hashes.SHA256(),
    "sha-384": hashes.SHA384(),
    "sha-512": hashes.SHA512(),
}


def random_text(length: int) -> str:
    """Random lower case letters and digits, for credentials."""
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


class MediaSocket:
    """One bound UDP socket that all endpoints share. `announced` is the address that goes into candidates.

    Raises OSError if the address cannot be bound. Port 0 takes any.
    """

    def __init__(self, address: str, port: int, announced: Optional[str] = None) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        _enlarge_receive_buffer(self._socket)
        self._socket.bind((address, port))
        self.port: int = self._socket.getsockname()[1]
        self.announced = announced or address
        self.discarded = 0
        self._by_ufrag: Dict[str, StunProtocol] = {}
        self._by_address: Dict[Address, StunProtocol] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._readable)

    def close(self) -> None:
        """Stop receiving and close the socket."""
        self.pause()
        self._socket.close()

    def pause(self) -> None:
        """Stop receiving; what comes is dropped by the kernel."""
        self._loop.remove_reader(self._socket.fileno())

    def attach(self, connection: Connection) -> StunProtocol:
        """Give a connection its own view of this socket, and its host candidate."""
        protocol = StunProtocol(connection)
        protocol.connection_made(_SharedTransport(self, protocol))  # type: ignore[arg-type]
        protocol.local_candidate = IceCandidate(
            foundation=candidate_foundation("host", "udp", self.announced),
            component=1,
            transport="udp",
            priority=candidate_priority(1, "host"),
            host=self.announced,
            port=self.port,
            type="host",
        )
        self._by_ufrag[connection.local_username] = protocol
        return protocol

    def detach(self, protocol: StunProtocol) -> None:
        """Forget a connection and every address that belonged to it."""
        self._by_ufrag = {key: known for key, known in self._by_ufrag.items() if known is not protocol}
        self._by_address = {key: known for key, known in self._by_address.items() if known is not protocol}

    def send(self, data: bytes, address: Address) -> None:
        """Send one datagram; what the kernel does not take is lost, as on a network."""
        try:
            self._socket.sendto(data, address)
        except OSError:
            self.discarded += 1

    def _readable(self) -> None:
        receive = self._socket.recvfrom
        for _ in range(_BATCH):
            try:
                data, address = receive(2048)
            except BlockingIOError:
                return
            except OSError:
                continue
            if data:
                self._dispatch(data, address)

    def _dispatch(self, data: bytes, address: Address) -> None:
        if data[0] < 4:
            protocol = self._stun_receiver(data, address)
            if protocol is not None:
                protocol.datagram_received(data, address)
            return
        protocol = self._by_address.get(address)
        if protocol is not None:
            protocol.receiver.data_received(data, 1)
        else:
            self.discarded += 1

    def _stun_receiver(self, data: bytes, address: Address) -> Optional[StunProtocol]:
        ufrag = _local_ufrag(data)
        if ufrag is not None:
            protocol = self._by_ufrag.get(ufrag)
            if protocol is not None:
                self._by_address[address] = protocol
            return protocol
        transaction = data[8:20]
        for protocol in self._by_ufrag.values():
            if transaction in protocol.transactions:
                self._by_address.setdefault(address, protocol)
                return protocol
        return None


def _enlarge_receive_buffer(udp: socket.socket) -> None:
    """Room for bursts; beyond the system's limit only with the right to (Linux: SO_RCVBUFFORCE)."""
    try:
        udp.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
    except OSError:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)


def _local_ufrag(data: bytes) -> Optional[str]:
    """The receiver's part of USERNAME in a STUN request; None for anything else (RFC 8489 sections 5 and 14.3)."""
    if len(data) < 20 or data[:2] != b"\0\1":
        return None
    at = 20
    while at + 4 <= len(data):
        kind, length = struct.unpack_from("!HH", data, at)
        if kind == 0x0006:
            return data[at + 4 : at + 4 + length].partition(b":")[0].decode("ascii", "replace")
        at += 4 + length + (-length % 4)
    return None


class _SharedTransport:
    """What a `StunProtocol` takes for its own socket."""

    def __init__(self, owner: MediaSocket, protocol: StunProtocol) -> None:
        self._owner = owner
        self._protocol = protocol

    def sendto(self, data: bytes, address: Address) -> None:
        self._owner.send(data, address)

    def close(self) -> None:
        self._owner.detach(self._protocol)
        self._protocol.connection_lost(None)


class _Ice(Connection):
    """An ICE connection on shared sockets, which hands media over without a queue."""

    def __init__(
        self, controlling: bool, sockets: Sequence[MediaSocket], on_media: Callable[[bytes], None]
    ) -> None:
        super().__init__(
            ice_controlling=controlling,
            use_ipv6=False,
            local_username=random_text(8),
            local_password=random_text(26),
        )
        self._on_media = on_media
        self.last_check: Optional[float] = None
        for one in sockets:
            protocol = one.attach(self)
            self._protocols.append(protocol)
            self._local_candidates.append(protocol.local_candidate)
        self._local_candidates_start = self._local_candidates_end = True

    def data_received(self, data: bytes, component: int) -> None:
        if 127 < data[0] < 192:
            self._on_media(data)
        elif self._queue.qsize() < _MAX_HANDSHAKE_QUEUE:
            super().data_received(data, component)

    def request_received(self, message: Any, addr: Address, protocol: StunProtocol) -> None:
        self.last_check = asyncio.get_running_loop().time()
        super().request_received(message, addr, protocol)

    @property
    def ended(self) -> bool:
        """Whether the connection is closed, as it is after the loss of consent."""
        return self._closing

    def send_now(self, data: bytes) -> None:
        """Send on the nominated pair, at once."""
        pair = self._nominated.get(1)
        if pair is not None:
            pair.protocol.transport.sendto(data, pair.remote_addr)


class _IceForDtls:
    """The part of an `RTCIceTransport` that `RTCDtlsTransport` uses."""

    def __init__(self, ice: _Ice) -> None:
        self._recv = ice.recv
        self._send = ice.send
        self._ice = ice

    @property
    def role(self) -> str:
        return "controlling" if self._ice.ice_controlling else "controlled"


class _Dtls(RTCDtlsTransport):
    """DTLS with the one SRTP profile that suffices (K-1107) and one matching fingerprint of several (K-263)."""

    def __init__(self, ice: _Ice, certificate: RTCCertificate) -> None:
        super().__init__(_IceForDtls(ice), [certificate])  # type: ignore[arg-type]
        self._srtp_profiles = [SRTP_AES128_CM_SHA1_80]
        self.accepted: Sequence[Fingerprint] = ()

    def _validate_peer_identity(self, remoteParameters: RTCDtlsParameters) -> None:
        certificate: Any = self._ssl.get_peer_certificate(as_cryptography=True) if self._ssl else None
        for fingerprint in self.accepted:
            digest = _DIGESTS.get((fingerprint.hash or "").lower())
            if digest is not None and certificate is not None:
                if certificate.fingerprint(digest).hex() == fingerprint.value.replace(":", "").lower():
                    return
        self._set_state(State.FAILED)

    def unprotect(self, data: bytes, rtcp: bool) -> Optional[bytes]:
        """Decrypt one packet; None before the handshake is over or if it is no good."""
        srtp: Optional[pylibsrtp.Session] = self._rx_srtp
        if srtp is None:
            return None
        try:
            return srtp.unprotect_rtcp(data) if rtcp else srtp.unprotect(data)
        except pylibsrtp.Error:
            return None

    def protect(self, data: bytes, rtcp: bool) -> Optional[bytes]:
        """Encrypt one packet; None before the handshake is over or if SRTP refuses it (too old an index)."""
        if self._state != State.CONNECTED:
            return None
        try:
            return self._tx_srtp.protect_rtcp(data) if rtcp else self._tx_srtp.protect(data)
        except (pylibsrtp.Error, ValueError):
            return None


class TransportEvents(NamedTuple):
    """What an endpoint's transport reports. Milliseconds are counted from its creation."""

    rtp: Callable[[bytes], None]
    rtcp: Callable[[bytes], None]
    ice_connected: Callable[[int], None]
    dtls_connected: Callable[[int], None]
    failed: Callable[[str, bool], None]
    """Why there is no media (any more), and whether that is ICE's failure (K-350)."""


class EndpointTransport:
    """ICE, DTLS and SRTP of one endpoint. `controlling` is the ICE role that was asked for (K-260)."""

    def __init__(
        self,
        sockets: Sequence[MediaSocket],
        certificate: RTCCertificate,
        controlling: bool,
        events: TransportEvents,
    ) -> None:
        self._certificate = certificate
        self._events = events
        self._loop = asyncio.get_running_loop()
        self._created = self._loop.time()
        self._ice = _Ice(controlling, sockets, self._received)
        self._dtls = _Dtls(self._ice, certificate)
        self._fingerprints: Tuple[Fingerprint, ...] = ()
        self._role: Optional[str] = None
        self._decided = asyncio.Event()
        self._run: Optional[asyncio.Task[None]] = None
        self._tasks: Set[asyncio.Task[Any]] = set()
        self._closed = False
        self._last_media: Optional[float] = None
        self.ice_connected = False
        self.connected = False

    @property
    def last_activity(self) -> Optional[float]:
        """Loop time of the last media or ICE check, None if there was none yet (K-350)."""
        known = [time for time in (self._last_media, self._ice.last_check) if time is not None]
        return max(known) if known else None

    def describe(self, web_socket: str) -> Transport:
        """The bridge's own description, as it is announced (K-291 to K-294); relays have no `web_socket`."""
        candidates = []
        for candidate in self._ice.local_candidates:
            attributes = (
                ("component", "1"),
                ("foundation", candidate.foundation),
                ("generation", "0"),
                ("id", random_text(12)),
                ("ip", candidate.host),
                ("network", "0"),
                ("port", str(candidate.port)),
                ("priority", str(candidate.priority)),
                ("protocol", "udp"),
                ("type", "host"),
            )
            candidates.append(Candidate(attributes))
        own = next(item for item in self._certificate.getFingerprints() if item.algorithm == "sha-256")
        setup = {"server": "passive", "client": "active"}.get(self._role or "", "actpass")
        return Transport(
            (("ufrag", self._ice.local_username), ("pwd", self._ice.local_password)),
            True,
            (Fingerprint(own.value, "sha-256", setup),),
            (web_socket,) if web_socket else (),
            tuple(candidates),
        )

    def set_remote(self, transport: Transport) -> None:
        """Take over what the client says of itself (K-262 to K-266). Without effect once ICE is established."""
        if transport.fingerprints:
            self._fingerprints = transport.fingerprints
            setup = (transport.fingerprints[0].setup or "").lower()
            role = {"active": "server", "passive": "client"}.get(setup)
            if role is not None and self._role is None:
                self._role = role
            if self._role is None:
                log.warning("DTLS role not decided: setup is %r", setup)
            else:
                self._decided.set()
        if self.ice_connected or self._closed:
            return
        for candidate in transport.candidates:
            self._add_candidate(candidate)
        if transport.ufrag and transport.pwd and self._run is None:
            self._ice.remote_username = transport.ufrag
            self._ice.remote_password = transport.pwd
            self._run = self._loop.create_task(self._connect())

    def send_rtp(self, data: bytes) -> None:
        """Encrypt and send one RTP packet; nothing happens before the transport is connected."""
        protected = self._dtls.protect(data, False)
        if protected is not None:
            self._ice.send_now(protected)

    def send_rtcp(self, data: bytes) -> None:
        """Encrypt and send one RTCP compound; nothing happens before the transport is connected."""
        protected = self._dtls.protect(data, True)
        if protected is not None:
            self._ice.send_now(protected)

    async def close(self) -> None:
        """End everything; the socket stays with the others."""
        self._closed = True
        self.connected = False
        if self._run is not None:
            self._run.cancel()
            await asyncio.wait([self._run])
        await self._dtls.stop()
        await self._ice.close()

    def _add_candidate(self, candidate: Candidate) -> None:
        """K-266: UDP, generation 0, an address and not a name."""
        if (candidate.get("protocol") or "").lower() != "udp" or (candidate.get("generation") or "0") != "0":
            return
        try:
            address = str(ipaddress.IPv4Address(candidate.get("ip") or ""))
            remote = IceCandidate(
                foundation=candidate.get("foundation") or "1",
                component=1,
                transport="udp",
                priority=int(candidate.get("priority") or "1"),
                host=address,
                port=int(candidate.get("port") or ""),
                type=candidate.get("type") or "host",
            )
        except ValueError:
            return
        task = self._loop.create_task(self._ice.add_remote_candidate(remote))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self) -> None:
        try:
            await self._ice.connect()
        except ConnectionError as error:
            if not self._closed:
                self._events.failed("ICE: %s" % error, True)
            return
        self.ice_connected = True
        self._events.ice_connected(self._age())
        await self._decided.wait()
        self._dtls.accepted = self._fingerprints
        self._dtls._set_role(self._role or "server")
        await self._dtls.start(RTCDtlsParameters(fingerprints=self._certificate.getFingerprints()))
        if self._dtls.state != "connected":
            if not self._closed:
                self._events.failed("DTLS handshake failed", False)
            return
        self.connected = True
        self._events.dtls_connected(self._age())
        self._dtls.on("statechange", self._dtls_changed)

    def _dtls_changed(self) -> None:
        if self._dtls.state != "connected" and self.connected:
            self.connected = False
            if not self._closed:
                self._events.failed(
                    "ICE consent lost" if self._ice.ended else "closed by the client", self._ice.ended
                )

    def _received(self, data: bytes) -> None:
        rtcp = is_rtcp(data)
        plain = self._dtls.unprotect(data, rtcp)
        if plain is None:
            return
        self._last_media = self._loop.time()
        if rtcp:
            self._events.rtcp(plain)
        else:
            self._events.rtp(plain)

    def _age(self) -> int:
        return int((self._loop.time() - self._created) * 1000)


def local_addresses() -> List[str]:
    """The first IPv4 address of this host that is not the loopback, or the loopback if there is no other."""
    import ifaddr

    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            if isinstance(ip.ip, str) and not ip.ip.startswith("127."):
                return [ip.ip]
    return ["127.0.0.1"]
