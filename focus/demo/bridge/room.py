"""The media of one conference: which packet goes to whom, and the RTCP that this takes (colibri.md section 11).

No socket and no clock: a `Peer` has something to send on, time is an argument (seconds, monotonic). So that a packet is
changed once and not per receiver, everything of the sender's own leg is removed from it (mid, rid, transport-wide
number, send time; K-1140) and nothing is put in its place; receivers then have no bandwidth estimation of their own, as
the bridge does not choose layers anyway. Simulcast: only the first, lowest layer (K-1131). Retransmissions end here: a
sender's RTX packet is unpacked, a receiver's NACK is answered from a cache on RTX of our own numbering (K-1152).
"""

from __future__ import annotations

import secrets
from typing import Callable, Dict, FrozenSet, List, NamedTuple, Optional, Protocol, Tuple

from focus.demo.bridge import rtcp, rtp
from focus.demo.bridge.colibri import Endpoint, Relay
from focus.demo.bridge.constraints import ReceiverConstraints
from focus.demo.bridge.reception import Reception
from focus.demo.bridge.speaker import SpeakerChange, Speakers
from focus.values.media import PayloadType
from focus.values.sources import FID, SIM

KEYFRAME_INTERVAL = 0.3
"""Seconds between two keyframe requests for one source (K-1150)."""
KEYFRAME_REPEAT = 1.5
"""Seconds after which a request is repeated if no keyframe has passed (K-1151)."""
KEYFRAME_ATTEMPTS = 8
REMB_BITRATE = 2000000
"""bit/s granted to senders that were offered REMB and not transport-cc (K-1154)."""


class Sender(Protocol):
    """What a peer is sent media on."""

    def send_rtp(self, data: bytes) -> None: ...

    def send_rtcp(self, data: bytes) -> None: ...


class RoomEvents(NamedTuple):
    """What a room reports: the first packet of a kind from an endpoint, and a new dominant speaker."""

    first_media: Callable[[str, str], None]
    speaker: Callable[[SpeakerChange], None]


class Peer:
    """One endpoint, or a relay to another bridge, as the room sees it."""

    def __init__(self, endpoint: Endpoint, sender: Sender) -> None:
        self.endpoint = endpoint
        self.sender = sender
        self.connected = False
        self.constraints = ReceiverConstraints()
        self.arrivals = rtcp.ArrivalLog()
        self.seen_kinds: List[str] = []
        self.known_owners: List[Endpoint] = []
        self.keep: Dict[str, FrozenSet[int]] = {}
        self.level_id: Optional[int] = None
        self.transport_ids: Dict[str, Optional[int]] = {}
        self.transport_cc = self.remb = False
        self.original_type: Dict[int, int] = {}
        self.rtx_type: Dict[int, int] = {}
        self.rtx_sequence: Dict[int, int] = {}
        self.fir_sequence = 0
        self.learn()

    def learn(self) -> None:
        """Take over payload types and extensions from the endpoint's description (K-904 to K-907)."""
        feedback = {item.type for known in self.endpoint.payload_types.values() for item in known.feedback}
        if self.mesh_id is not None:
            feedback.clear()  # no bandwidth estimation between bridges (K-512)
        self.transport_cc, self.remb = "transport-cc" in feedback, "goog-remb" in feedback
        for kind, extensions in self.endpoint.extensions.items():
            uris = {extension.uri: identifier for identifier, extension in extensions.items()}
            self.keep[kind] = frozenset(uris[uri] for uri in rtp.KEPT_EXTENSIONS if uri in uris)
            self.transport_ids[kind] = uris.get(rtp.TRANSPORT_CC)
            if kind == "audio":
                self.level_id = uris.get(rtp.AUDIO_LEVEL)
        for identifier, known in self.endpoint.payload_types.items():
            if known.name.lower() == "rtx":
                original = dict(known.parameters).get("apt") or ""
                if original.isdigit():
                    self.original_type[identifier] = int(original)
                    self.rtx_type[int(original)] = identifier

    @property
    def mesh_id(self) -> Optional[str]:
        """The mesh of a relay, None for an endpoint."""
        return self.endpoint.mesh_id if isinstance(self.endpoint, Relay) else None

    @property
    def owners(self) -> List[Endpoint]:
        """The endpoints whose media comes from here: the endpoint itself, or those behind the relay."""
        return list(self.endpoint.relayed.values()) if isinstance(self.endpoint, Relay) else [self.endpoint]

    def next_rtx(self, ssrc: int) -> int:
        """The next sequence number on a retransmission SSRC of this leg."""
        number = self.rtx_sequence.get(ssrc)
        self.rtx_sequence[ssrc] = number = (secrets.randbits(15) if number is None else number + 1) & 0xFFFF
        return number


class Stream:
    """One announced SSRC. It comes from `peer`; a relayed one belongs to another endpoint, its `owner`."""

    def __init__(self, ssrc: int, peer: Peer, owner: Endpoint, kind: str, name: str) -> None:
        self.ssrc = ssrc
        self.peer = peer
        self.owner = owner
        self.kind = kind
        self.name = name
        self.primary: Optional[Stream] = None
        self.rtx_ssrc: Optional[int] = None
        self.forwarded = True
        self.targets: Tuple[Peer, ...] = ()
        self.cache = rtp.PacketCache()
        self.reception: Optional[Reception] = None
        self.codec = ""
        self.payload_type: Optional[PayloadType] = None
        self.keyframe_due: Optional[float] = None
        self.keyframe_attempts = 0
        self.keyframe_asked = -KEYFRAME_INTERVAL


class Room:
    """All media of one conference. `feedback` are the SSRCs that the bridge's own RTCP comes from (K-296)."""

    def __init__(self, feedback: Tuple[int, int], events: RoomEvents) -> None:
        self.peers: Dict[Endpoint, Peer] = {}
        self.speakers = Speakers()
        self._streams: Dict[int, Stream] = {}
        self._own_ssrc = feedback[1]
        self._events = events

    def add(self, peer: Peer) -> None:
        """A new endpoint. It is sent media once it is `connected` and `update` was called."""
        self.peers[peer.endpoint] = peer

    def remove(self, peer: Peer, now: float) -> None:
        """An endpoint is gone, with its sources."""
        self.peers.pop(peer.endpoint, None)
        for ssrc in [ssrc for ssrc, stream in self._streams.items() if stream.peer is peer]:
            del self._streams[ssrc]
        for owner in peer.owners:
            self.speakers.left(owner.id)
        self.update(now)

    def set_sources(self, peer: Peer, now: float) -> None:
        """Take over the full list of sources of an endpoint, or of all behind a relay (K-274).

        An SSRC moves to who announced it last (K-275).
        """
        peer.learn()
        owners = peer.owners
        for owner in peer.known_owners:
            if owner not in owners:
                self.speakers.left(owner.id)
        peer.known_owners = owners
        announced = {
            source.ssrc: (owner, source) for owner in owners for source in owner.sources.sources
        }
        for ssrc in [
            ssrc for ssrc, known in self._streams.items() if known.peer is peer and ssrc not in announced
        ]:
            del self._streams[ssrc]
        for ssrc, (owner, source) in announced.items():
            known = self._streams.get(ssrc)
            if known is None or known.owner is not owner or known.kind != source.media:
                known = self._streams[ssrc] = Stream(ssrc, peer, owner, source.media, source.name or "")
            known.name, known.primary, known.rtx_ssrc, known.forwarded = source.name or "", None, None, True
        for group in [group for owner in owners for group in owner.sources.groups]:
            members = [self._streams[ssrc] for ssrc in group.ssrcs if ssrc in announced]
            if group.semantics == FID and len(members) == 2:
                members[0].rtx_ssrc = members[1].ssrc
                members[1].primary = members[0]
            elif group.semantics == SIM:
                for layer in members[1:]:
                    layer.forwarded = False
        self.update(now)

    def received(self, peer: Peer, kind: str) -> Tuple[int, ...]:
        """The SSRCs of this kind that packets of this peer have come from."""
        return tuple(
            ssrc
            for ssrc, stream in self._streams.items()
            if stream.peer is peer and stream.kind == kind and stream.reception is not None
        )

    def update(self, now: float) -> None:
        """Decide again what goes to whom, and ask for keyframes where somebody is new (K-1151)."""
        for stream in self._streams.values():
            targets = tuple(peer for peer in self.peers.values() if self._wants(peer, stream))
            if stream.kind == "video" and any(peer not in stream.targets for peer in targets):
                self.ask_keyframe(stream, now)
            stream.targets = targets

    def _wants(self, peer: Peer, stream: Stream) -> bool:
        owner = stream.owner
        if peer.mesh_id is not None and peer.mesh_id == stream.peer.mesh_id:
            return False  # the other bridges of a mesh have it from where it comes (B-726)
        if not peer.connected or peer is stream.peer or stream.primary is not None or not stream.forwarded:
            return False
        if (
            owner.visitor
            or owner.muted[0 if stream.kind == "audio" else 1]
            or not peer.endpoint.takes(stream.kind)
        ):
            return False
        return stream.kind == "audio" or peer.constraints.wants(
            stream.name, owner.id, peer.endpoint.initial_last_n
        )

    def on_rtp(self, peer: Peer, data: bytes, now: float) -> None:
        """One decrypted RTP packet from an endpoint. Raises ValueError if it is malformed."""
        packet = rtp.parse_rtp(data)
        stream = self._streams.get(packet.ssrc)
        kind = "video" if stream is None else stream.kind
        if peer.transport_cc:
            number = rtp.transport_sequence(packet, peer.transport_ids.get(kind))
            if number is not None:
                peer.arrivals.add(number, int(now * 1000000))
        if stream is None or stream.peer is not peer:
            return
        self._received(stream, packet, now)
        if stream.primary is not None:
            original = peer.original_type.get(packet.payload_type)
            inner = None if original is None else rtp.unwrap_rtx(packet, original, stream.primary.ssrc)
            if inner is None:
                return
            packet, stream = rtp.parse_rtp(inner), stream.primary
            if stream.reception is not None:
                stream.reception.recovered(packet.sequence)
            if packet.sequence in stream.cache:
                return
        self._forward(stream, packet, now)

    def _received(self, stream: Stream, packet: rtp.RtpPacket, now: float) -> None:
        if (
            stream.reception is None
            or stream.payload_type is None
            or stream.payload_type.id != packet.payload_type
        ):
            known = stream.peer.endpoint.payload_types.get(packet.payload_type)
            if known is not None:
                stream.payload_type, stream.codec = known, known.name.lower()
            if stream.reception is None:
                nack = stream.primary is None and known is not None and ("nack", None) in known.feedback
                stream.reception = Reception(stream.ssrc, known.clockrate if known else 90000, nack)
        if stream.reception.arrived(packet.sequence, packet.timestamp, now) and stream.targets:
            self._ask_again(stream, stream.reception, now)
        if stream.kind not in stream.peer.seen_kinds:
            stream.peer.seen_kinds.append(stream.kind)
            self._events.first_media(stream.peer.endpoint.id, stream.kind)

    def _forward(self, stream: Stream, packet: rtp.RtpPacket, now: float) -> None:
        peer = stream.peer
        if stream.kind == "audio":
            level = rtp.audio_level(packet, peer.level_id)
            if level is not None and not stream.owner.muted[0] and not stream.owner.visitor:
                self.speakers.heard(stream.owner.id, level, now)
        if not stream.targets:
            return
        data = rtp.keep_extensions(packet, peer.keep.get(stream.kind, frozenset()))
        if stream.kind == "video":
            stream.cache.add(packet.sequence, data)
            if stream.keyframe_due is not None and rtp.is_keyframe(stream.codec, packet.payload):
                stream.keyframe_due = None
        for target in stream.targets:
            target.sender.send_rtp(data)

    def on_rtcp(self, peer: Peer, data: bytes, now: float) -> None:
        """One decrypted RTCP compound from an endpoint. Raises ValueError if it is malformed."""
        for packet in rtcp.split_compound(data):
            if packet.kind == rtcp.SR and not peer.endpoint.visitor:
                self._sender_report(peer, packet, now)
            elif packet.kind == rtcp.PSFB:
                for ssrc in rtcp.keyframe_targets(packet):
                    stream = self._streams.get(ssrc)
                    if stream is not None and peer in stream.targets:
                        self.ask_keyframe(stream, now)
            elif packet.kind == rtcp.RTPFB and packet.format == rtcp.NACK:
                self._retransmit(peer, *rtcp.read_nack(packet))

    def _sender_report(self, peer: Peer, packet: rtcp.RtcpPacket, now: float) -> None:
        ssrc, middle = rtcp.sender_report_times(packet)
        stream = self._streams.get(ssrc)
        if stream is None or stream.peer is not peer:
            return
        if stream.reception is not None:
            stream.reception.sender_report(middle, now)
        if stream.targets:
            report = rtcp.strip_sender_report(packet)
            for target in stream.targets:
                target.sender.send_rtcp(report)

    def _retransmit(self, peer: Peer, ssrc: int, missing: List[int]) -> None:
        stream = self._streams.get(ssrc)
        if stream is None or peer not in stream.targets:
            return
        for sequence in missing:
            data = stream.cache.get(sequence)
            if data is None:
                continue
            rtx_type = peer.rtx_type.get(data[1] & 0x7F)
            if rtx_type is not None and stream.rtx_ssrc is not None:
                data = rtp.wrap_rtx(data, rtx_type, peer.next_rtx(stream.rtx_ssrc), stream.rtx_ssrc)
            peer.sender.send_rtp(data)

    def _ask_again(self, stream: Stream, reception: Reception, now: float) -> None:
        lost = reception.due_nacks(now)
        if lost:
            stream.peer.sender.send_rtcp(rtcp.write_nack(self._own_ssrc, stream.ssrc, lost))

    def ask_keyframe(self, stream: Stream, now: float) -> None:
        """Ask the owner of a video stream for a keyframe; repeated until one passes, a few times."""
        stream.keyframe_attempts = 0
        stream.keyframe_due = max(now, stream.keyframe_asked + KEYFRAME_INTERVAL)
        self._send_due_keyframe_request(stream, now)

    def _send_due_keyframe_request(self, stream: Stream, now: float) -> None:
        if stream.keyframe_due is None or now < stream.keyframe_due or not stream.peer.connected:
            return
        stream.keyframe_asked = now
        stream.keyframe_attempts += 1
        stream.keyframe_due = None if stream.keyframe_attempts >= KEYFRAME_ATTEMPTS else now + KEYFRAME_REPEAT
        feedback = stream.payload_type.feedback if stream.payload_type else ()
        if ("ccm", "fir") in feedback and ("nack", "pli") not in feedback:
            stream.peer.fir_sequence += 1
            request = rtcp.write_fir(self._own_ssrc, stream.ssrc, stream.peer.fir_sequence)
        else:
            request = rtcp.write_pli(self._own_ssrc, stream.ssrc)
        stream.peer.sender.send_rtcp(request)

    def ten_times_a_second(self, now: float) -> None:
        """Transport-wide feedback, NACKs and keyframe requests that are due; the speaker."""
        for stream in self._streams.values():
            self._send_due_keyframe_request(stream, now)
            if stream.reception is not None and stream.targets:
                self._ask_again(stream, stream.reception, now)
        for peer in self.peers.values():
            media = next((ssrc for ssrc, stream in self._streams.items() if stream.peer is peer), 0)
            for feedback in peer.arrivals.feedback(self._own_ssrc, media):
                peer.sender.send_rtcp(feedback)
        change = self.speakers.decide(now)
        if change is not None:
            self._events.speaker(change)

    def every_second(self, now: float) -> None:
        """Receiver reports to every sender (K-1157), and REMB where that was offered."""
        for peer in self.peers.values():
            streams = [stream for stream in self._streams.values() if stream.peer is peer]
            receptions = [stream.reception for stream in streams if stream.reception is not None]
            for report in rtcp.write_receiver_reports(
                self._own_ssrc, [one.report(now) for one in receptions]
            ):
                peer.sender.send_rtcp(report)
            video = [
                stream.ssrc for stream in streams if stream.kind == "video" and stream.reception is not None
            ]
            if peer.remb and not peer.transport_cc and video:
                peer.sender.send_rtcp(rtcp.write_remb(self._own_ssrc, REMB_BITRATE, video[:255]))
