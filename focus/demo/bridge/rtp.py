"""RTP packets as a forwarding bridge sees them: headers, header extensions, retransmission packets, keyframes.

Pure functions over bytes; no socket, no clock. The bridge never looks at the media itself, with one exception: it
must know when a keyframe passes (K-1151). Obeyed here: RFC 3550 section 5.1 (header), RFC 8285 (header
extensions), RFC 4588 (retransmission), RFC 5761 (telling RTCP from RTP), K-1101 and K-1140 to K-1142.
"""

from __future__ import annotations

import struct
from typing import Dict, FrozenSet, List, NamedTuple, Optional, Sequence, Tuple

AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
VIDEO_ORIENTATION = "urn:3gpp:video-orientation"
DEPENDENCY_DESCRIPTOR = (
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
)
TRANSPORT_CC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"

KEPT_EXTENSIONS = (AUDIO_LEVEL, VIDEO_ORIENTATION, DEPENDENCY_DESCRIPTOR)
"""What survives forwarding (K-907, K-1141); everything else names something of the sender's own leg."""

ONE_BYTE_PROFILE = 0xBEDE
TWO_BYTE_PROFILE = 0x1000

_FIXED = struct.Struct("!BBHLL")


class RtpPacket(NamedTuple):
    """The parts of one RTP packet. `data` is the whole packet, `payload_at` the offset of its payload in it."""

    data: bytes
    marker: bool
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    csrc_end: int
    extensions: Tuple[Tuple[int, bytes], ...]
    payload_at: int

    @property
    def payload(self) -> bytes:
        """The payload without the padding that the P bit announces; empty for a padding-only packet."""
        end = len(self.data)
        if self.data[0] & 0x20:
            end -= self.data[-1]
        return self.data[self.payload_at : max(end, self.payload_at)]

    def extension(self, identifier: Optional[int]) -> Optional[bytes]:
        """The value of the header extension with that id, or None."""
        for found, value in self.extensions:
            if found == identifier:
                return value
        return None


def is_rtcp(data: bytes) -> bool:
    """True if a datagram whose first byte is 128..191 is RTCP, not RTP (RFC 5761, K-1101)."""
    return len(data) >= 2 and 192 <= data[1] <= 223


def parse_rtp(data: bytes) -> RtpPacket:
    """Read one RTP packet. Raises ValueError if it is not one or its header runs past its end."""
    if len(data) < 12:
        raise ValueError("RTP packet shorter than its fixed header")
    first, second, sequence, timestamp, ssrc = _FIXED.unpack_from(data)
    if first >> 6 != 2:
        raise ValueError("not RTP version 2")
    at = csrc_end = 12 + 4 * (first & 0x0F)
    extensions: Tuple[Tuple[int, bytes], ...] = ()
    if first & 0x10:
        if len(data) < at + 4:
            raise ValueError("RTP packet ends within its header")
        profile, words = struct.unpack_from("!HH", data, at)
        at += 4
        end = at + 4 * words
        if len(data) < end:
            raise ValueError("RTP packet ends within its header extensions")
        if profile == ONE_BYTE_PROFILE:
            extensions = _one_byte_extensions(data, at, end)
        elif profile & 0xFFF0 == TWO_BYTE_PROFILE:
            extensions = _two_byte_extensions(data, at, end)
        at = end
    if len(data) < at or (first & 0x20 and (data[-1] == 0 or data[-1] > len(data) - at)):
        raise ValueError("RTP packet with a bad length or padding")
    return RtpPacket(
        data, bool(second & 0x80), second & 0x7F, sequence, timestamp, ssrc, csrc_end, extensions, at
    )


def _one_byte_extensions(data: bytes, at: int, end: int) -> Tuple[Tuple[int, bytes], ...]:
    found = []
    while at < end:
        byte = data[at]
        at += 1
        if byte == 0:
            continue
        if byte >> 4 == 15:
            break
        length = (byte & 0x0F) + 1
        if at + length > end:
            raise ValueError("RTP header extension runs past its block")
        found.append((byte >> 4, data[at : at + length]))
        at += length
    return tuple(found)


def _two_byte_extensions(data: bytes, at: int, end: int) -> Tuple[Tuple[int, bytes], ...]:
    found = []
    while at < end:
        if data[at] == 0:
            at += 1
            continue
        if at + 2 > end or at + 2 + data[at + 1] > end:
            raise ValueError("RTP header extension runs past its block")
        length = data[at + 1]
        found.append((data[at], data[at + 2 : at + 2 + length]))
        at += 2 + length
    return tuple(found)


def pack_extensions(extensions: Sequence[Tuple[int, bytes]]) -> bytes:
    """The extension block (profile, length, elements) of an RTP header; b'' for none. One-byte form if it fits."""
    if not extensions:
        return b""
    if all(1 <= identifier <= 14 and 1 <= len(value) <= 16 for identifier, value in extensions):
        profile = ONE_BYTE_PROFILE
        body = b"".join(
            bytes(((identifier << 4) | (len(value) - 1),)) + value for identifier, value in extensions
        )
    else:
        profile = TWO_BYTE_PROFILE
        body = b"".join(bytes((identifier, len(value))) + value for identifier, value in extensions)
    body += b"\0" * (-len(body) % 4)
    return struct.pack("!HH", profile, len(body) // 4) + body


def keep_extensions(packet: RtpPacket, keep: FrozenSet[int]) -> bytes:
    """The packet with only the header extensions whose id is in `keep`: what every receiver gets (K-1140)."""
    data = packet.data
    if not data[0] & 0x10:
        return data
    kept = [extension for extension in packet.extensions if extension[0] in keep]
    if len(kept) == len(packet.extensions) and kept:
        return data
    block = pack_extensions(kept)
    first = data[0] if block else data[0] & ~0x10
    return bytes((first,)) + data[1 : packet.csrc_end] + block + data[packet.payload_at :]


def audio_level(packet: RtpPacket, identifier: Optional[int]) -> Optional[int]:
    """The level of an audio packet in -dBov, 0 (loudest) to 127 (silence), or None if it carries none (RFC 6464)."""
    value = packet.extension(identifier)
    return value[0] & 0x7F if value else None


def transport_sequence(packet: RtpPacket, identifier: Optional[int]) -> Optional[int]:
    """The transport-wide sequence number (16 bit) of a packet, or None."""
    value = packet.extension(identifier)
    return struct.unpack("!H", value)[0] if value is not None and len(value) == 2 else None


def wrap_rtx(data: bytes, payload_type: int, sequence: int, ssrc: int) -> bytes:
    """Make the retransmission packet of the RTP packet `data` (RFC 4588 section 4)."""
    packet = parse_rtp(data)
    second = (0x80 if packet.marker else 0) | payload_type
    header = struct.pack("!BBHLL", data[0] & ~0x20, second, sequence & 0xFFFF, packet.timestamp, ssrc)
    middle = data[12 : packet.payload_at]
    return header + middle + struct.pack("!H", packet.sequence) + packet.payload


def unwrap_rtx(packet: RtpPacket, payload_type: int, ssrc: int) -> Optional[bytes]:
    """The original packet inside a retransmission packet, or None if it is padding that only probes the path."""
    payload = packet.payload
    if len(payload) <= 2:
        return None
    second = (0x80 if packet.marker else 0) | payload_type
    (sequence,) = struct.unpack_from("!H", payload)
    header = struct.pack("!BBHLL", packet.data[0] & ~0x20, second, sequence, packet.timestamp, ssrc)
    return header + packet.data[12 : packet.payload_at] + payload[2:]


def is_keyframe(codec: str, payload: bytes) -> bool:
    """True if this payload begins a keyframe. `codec` is a name of the offer in lower case; unknown ones: False."""
    reader = _KEYFRAME_READERS.get(codec)
    return bool(payload) and reader is not None and reader(payload)


def _vp8_keyframe(payload: bytes) -> bool:
    """RFC 7741: first packet of partition 0, and the inverse key frame flag of the frame header is 0."""
    if not payload[0] & 0x10 or payload[0] & 0x07:
        return False
    at = 1
    if payload[0] & 0x80:
        flags = payload[1] if len(payload) > 1 else 0
        at = 2
        if flags & 0x80:
            at += 2 if len(payload) > at and payload[at] & 0x80 else 1
        if flags & 0x40:
            at += 1
        if flags & 0x30:
            at += 1
    return len(payload) > at and not payload[at] & 0x01


def _vp9_keyframe(payload: bytes) -> bool:
    """RFC 9628: the beginning (B) of a frame that is not inter-predicted (P)."""
    return not payload[0] & 0x40 and bool(payload[0] & 0x08)


def _h264_keyframe(payload: bytes) -> bool:
    """RFC 6184: a sequence parameter set or an IDR slice, alone, in a STAP-A, or as the start of an FU-A."""
    kind = payload[0] & 0x1F
    if kind == 24 and len(payload) > 3:
        kind = payload[3] & 0x1F
    elif kind == 28 and len(payload) > 1:
        kind = payload[1] & 0x1F if payload[1] & 0x80 else 0
    return kind in (5, 7)


def _av1_keyframe(payload: bytes) -> bool:
    """AV1 RTP specification 4.4: the N bit says that a new coded video sequence begins."""
    return bool(payload[0] & 0x08)


_KEYFRAME_READERS = {"vp8": _vp8_keyframe, "vp9": _vp9_keyframe, "h264": _h264_keyframe, "av1": _av1_keyframe}


class PacketCache:
    """The last `size` packets of one stream, to answer NACKs from (K-1152)."""

    def __init__(self, size: int = 512) -> None:
        self._size = size
        self._packets: Dict[int, bytes] = {}
        self._order: List[int] = [-1] * size
        self._next = 0

    def __contains__(self, sequence: int) -> bool:
        return sequence in self._packets

    def add(self, sequence: int, data: bytes) -> None:
        """Keep one packet, forgetting the oldest beyond the size."""
        oldest = self._order[self._next]
        if oldest >= 0:
            self._packets.pop(oldest, None)
        self._order[self._next] = sequence
        self._next = (self._next + 1) % self._size
        self._packets[sequence] = data

    def get(self, sequence: int) -> Optional[bytes]:
        """The packet with this sequence number, or None if it is too old or never came."""
        return self._packets.get(sequence)
