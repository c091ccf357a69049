"""RTCP packets that a bridge reads and writes: reports, keyframe requests, NACK, transport-wide feedback, REMB.

Pure functions over bytes. Obeyed: RFC 3550 section 6, RFC 4585 (NACK, PLI), RFC 5104 (FIR), RFC 5506 (reduced
size, K-1159), draft-holmer-rmcat-transport-wide-cc-extensions-01, draft-alvestrand-rmcat-remb-03; what goes where:
K-1150 to K-1158.
"""

from __future__ import annotations

import struct
from typing import Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

SR = 200
RR = 201
RTPFB = 205
PSFB = 206
NACK = 1
TRANSPORT_CC = 15
PLI = 1
FIR = 4
APPLICATION = 15

_DELTA_US = 250
_REFERENCE_US = 64000
_NOT_RECEIVED, _SMALL_DELTA, _LARGE_DELTA = 0, 1, 2
_MAX_STATUSES = 2000
_LONGEST_GAP = 500


class RtcpPacket(NamedTuple):
    """One packet of a compound: its type, its count or format field, and everything after the first 4 bytes."""

    kind: int
    format: int
    body: bytes


class ReportBlock(NamedTuple):
    """One report block of a receiver report (RFC 3550 section 6.4.1)."""

    ssrc: int
    fraction_lost: int
    lost: int
    highest_sequence: int
    jitter: int
    last_sr: int
    delay_since_sr: int


def split_compound(data: bytes) -> Iterator[RtcpPacket]:
    """The packets of one RTCP datagram. Raises ValueError at the first that is cut short or not version 2."""
    at = 0
    while at < len(data):
        if len(data) < at + 4:
            raise ValueError("RTCP packet shorter than its header")
        first, kind, words = struct.unpack_from("!BBH", data, at)
        end = at + 4 + 4 * words
        if first >> 6 != 2 or end > len(data):
            raise ValueError("malformed RTCP packet")
        yield RtcpPacket(kind, first & 0x1F, data[at + 4 : end])
        at = end


def write_packet(kind: int, count: int, body: bytes) -> bytes:
    """One RTCP packet; `body` is everything after its 4 bytes of header, a multiple of 4 bytes long."""
    return struct.pack("!BBH", 0x80 | count, kind, len(body) // 4) + body


def strip_sender_report(packet: RtcpPacket) -> bytes:
    """A sender report without report blocks, as it is forwarded (K-1156). Raises ValueError if it is cut short."""
    if packet.kind != SR or len(packet.body) < 24:
        raise ValueError("sender report cut short")
    return write_packet(SR, 0, packet.body[:24])


def sender_report_times(packet: RtcpPacket) -> Tuple[int, int]:
    """SSRC and middle 32 bits of the NTP time of a sender report (for LSR). Raises ValueError if cut short."""
    if len(packet.body) < 24:
        raise ValueError("sender report cut short")
    ssrc, high, low = struct.unpack_from("!LLL", packet.body)
    return ssrc, ((high & 0xFFFF) << 16) | (low >> 16)


def write_receiver_reports(sender: int, blocks: Sequence[ReportBlock]) -> List[bytes]:
    """Receiver reports for all `blocks`, at most 31 in each (K-1157)."""
    reports = []
    for start in range(0, len(blocks), 31):
        part = blocks[start : start + 31]
        body = struct.pack("!L", sender)
        for block in part:
            lost = max(-0x800000, min(block.lost, 0x7FFFFF)) & 0xFFFFFF
            body += struct.pack(
                "!LLLLLL",
                block.ssrc,
                (block.fraction_lost << 24) | lost,
                block.highest_sequence,
                block.jitter,
                block.last_sr,
                block.delay_since_sr,
            )
        reports.append(write_packet(RR, len(part), body))
    return reports


def write_pli(sender: int, media: int) -> bytes:
    """A picture loss indication: "send a keyframe of SSRC `media`" (RFC 4585 section 6.3.1)."""
    return write_packet(PSFB, PLI, struct.pack("!LL", sender, media))


def write_fir(sender: int, media: int, sequence: int) -> bytes:
    """A full intra request (RFC 5104 section 4.3.1); `sequence` counts the requests, modulo 256."""
    return write_packet(PSFB, FIR, struct.pack("!LLLB3x", sender, 0, media, sequence & 0xFF))


def keyframe_targets(packet: RtcpPacket) -> List[int]:
    """The SSRCs that a PLI or FIR asks a keyframe of; [] for anything else or a packet cut short."""
    body = packet.body
    if packet.kind != PSFB or len(body) < 8:
        return []
    if packet.format == PLI:
        return [struct.unpack_from("!L", body, 4)[0]]
    if packet.format == FIR:
        return [struct.unpack_from("!L", body, at)[0] for at in range(8, len(body) - 7, 8)]
    return []


def write_nack(sender: int, media: int, missing: Iterable[int]) -> bytes:
    """A generic NACK of the given sequence numbers, packed by PID and bit mask (RFC 4585 section 6.2.1)."""
    fields: List[Tuple[int, int]] = []
    for sequence in missing:
        if fields:
            distance = (sequence - fields[-1][0]) & 0xFFFF
            if 1 <= distance <= 16:
                fields[-1] = (fields[-1][0], fields[-1][1] | 1 << (distance - 1))
                continue
        fields.append((sequence & 0xFFFF, 0))
    return write_packet(
        RTPFB, NACK, struct.pack("!LL", sender, media) + b"".join(struct.pack("!HH", *f) for f in fields)
    )


def read_nack(packet: RtcpPacket) -> Tuple[int, List[int]]:
    """Media SSRC and sequence numbers of a generic NACK. Raises ValueError for anything else."""
    body = packet.body
    if packet.kind != RTPFB or packet.format != NACK or len(body) < 8:
        raise ValueError("not a generic NACK")
    missing = []
    for at in range(8, len(body) - 3, 4):
        pid, mask = struct.unpack_from("!HH", body, at)
        missing.append(pid)
        missing.extend((pid + bit + 1) & 0xFFFF for bit in range(16) if mask >> bit & 1)
    return struct.unpack_from("!L", body, 4)[0], missing


def write_remb(sender: int, bitrate: int, ssrcs: Sequence[int]) -> bytes:
    """A receiver estimated maximum bitrate in bit/s for the given SSRCs (at most 255)."""
    exponent = max(0, bitrate.bit_length() - 18)
    head = b"REMB" + struct.pack("!L", (len(ssrcs) << 24) | (exponent << 18) | (bitrate >> exponent))
    body = struct.pack("!LL", sender, 0) + head + b"".join(struct.pack("!L", ssrc) for ssrc in ssrcs)
    return write_packet(PSFB, APPLICATION, body)


def write_transport_cc(
    sender: int, media: int, count: int, base: int, arrivals: Sequence[Optional[int]]
) -> Tuple[bytes, int]:
    """One transport-wide feedback packet (K-1154).

    `arrivals` are the arrival times in microseconds of the packets base, base+1, …, None for one that did not come; at
    least one of the first 2000 must have come. `count` is the feedback packet count (modulo 256). Returns the packet
    and how many of `arrivals` it covers: fewer than given if there are too many or if a gap in time does not fit into
    a delta (about 8 s).
    """
    reference = next(arrival for arrival in arrivals if arrival is not None) // _REFERENCE_US
    clock = reference * _REFERENCE_US // _DELTA_US
    symbols: List[int] = []
    deltas = b""
    for arrival in arrivals[:_MAX_STATUSES]:
        if arrival is None:
            symbols.append(_NOT_RECEIVED)
            continue
        ticks = arrival // _DELTA_US
        delta = ticks - clock
        if 0 <= delta <= 0xFF:
            symbols.append(_SMALL_DELTA)
            deltas += struct.pack("!B", delta)
        elif -0x8000 <= delta <= 0x7FFF:
            symbols.append(_LARGE_DELTA)
            deltas += struct.pack("!h", delta)
        else:
            break
        clock = ticks
    while symbols[-1] == _NOT_RECEIVED:
        symbols.pop()
    head = struct.pack(
        "!LLHHL", sender, media, base & 0xFFFF, len(symbols), (reference & 0xFFFFFF) << 8 | count & 0xFF
    )
    body = head + _status_chunks(symbols) + deltas
    padding = -len(body) % 4
    if padding:
        body += b"\0" * (padding - 1) + bytes((padding,))
    packet = write_packet(RTPFB, TRANSPORT_CC, body)
    if padding:
        packet = bytes((packet[0] | 0x20,)) + packet[1:]
    return packet, len(symbols)


def _status_chunks(symbols: Sequence[int]) -> bytes:
    """Packet status chunks: run length where 7 or more are equal, else vectors of seven 2-bit symbols."""
    chunks = b""
    at = 0
    while at < len(symbols):
        run = 1
        while at + run < len(symbols) and symbols[at + run] == symbols[at] and run < 0x1FFF:
            run += 1
        if run >= 7 or at + run == len(symbols):
            chunks += struct.pack("!H", symbols[at] << 13 | run)
            at += run
        else:
            vector = list(symbols[at : at + 7])
            vector += [_NOT_RECEIVED] * (7 - len(vector))
            word = 0xC000
            for index, symbol in enumerate(vector):
                word |= symbol << (12 - 2 * index)
            chunks += struct.pack("!H", word)
            at += 7
    return chunks


class ArrivalLog:
    """Arrivals on one leg, by transport-wide sequence number, until the next feedback reports them (K-1154)."""

    def __init__(self) -> None:
        self._arrivals: Dict[int, int] = {}
        self._highest = -1
        self._next_base = -1
        self._count = 0

    def add(self, sequence: int, arrival_us: int) -> None:
        """Note that the packet with this 16-bit sequence number came at `arrival_us` (microseconds, any epoch)."""
        if self._highest < 0:
            self._highest = 0x10000 + sequence
            extended = self._highest
        else:
            distance = (sequence - self._highest) & 0xFFFF
            extended = self._highest + (distance if distance < 0x8000 else distance - 0x10000)
            self._highest = max(self._highest, extended)
        self._arrivals.setdefault(extended, arrival_us)

    def feedback(self, sender: int, media: int) -> List[bytes]:
        """The feedback packets for all arrivals since the last call; late ones are reported on their own."""
        packets: List[bytes] = []
        for first, last in self._runs():
            arrivals = [self._arrivals.get(sequence) for sequence in range(first, last + 1)]
            at = 0
            while at < len(arrivals):
                came = next(index for index in range(at, len(arrivals)) if arrivals[index] is not None)
                at = max(at, came - _LONGEST_GAP)
                packet, covered = write_transport_cc(sender, media, self._count, first + at, arrivals[at:])
                packets.append(packet)
                self._count += 1
                at += covered
        if self._arrivals:
            self._next_base = self._highest + 1
        self._arrivals.clear()
        return packets

    def _runs(self) -> List[Tuple[int, int]]:
        """(first, last) of what to report: each late stretch, then everything from the last report's end on."""
        runs: List[Tuple[int, int]] = []
        fresh = []
        for sequence in sorted(self._arrivals):
            if sequence >= self._next_base:
                fresh.append(sequence)
            elif runs and runs[-1][1] == sequence - 1:
                runs[-1] = (runs[-1][0], sequence)
            else:
                runs.append((sequence, sequence))
        if fresh:
            known = 0 <= self._next_base and fresh[0] - self._next_base <= _LONGEST_GAP
            runs.append((self._next_base if known else fresh[0], fresh[-1]))
        return runs
