"""Packets of the demo bridge: header extensions, retransmission, keyframes, RTCP, feedback, speaker, forwarding."""

from __future__ import annotations

import struct
from typing import Any, Dict, List, Optional, Sequence, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focus.demo.bridge import rtcp, rtp
from focus.demo.bridge.colibri import Endpoint
from focus.demo.bridge.reception import NACK_ATTEMPTS, NACK_INTERVAL, Reception
from focus.demo.bridge.request import EndpointRequest
from focus.demo.bridge.room import KEYFRAME_INTERVAL, KEYFRAME_REPEAT, Peer, Room, RoomEvents
from focus.demo.bridge.speaker import Speakers
from focus.values.media import HeaderExtension, MediaDescription, PayloadType, RtcpFeedback
from focus.values.sources import Source, SourceSet, SsrcGroup

LEVEL, TCC, MID, TIME, DESCRIPTOR = 1, 5, 10, 3, 11
OPUS, VP8, RTX = 111, 100, 96
FEEDBACK = (9001, 9002)
VP8_KEY, VP8_DELTA = b"\x10\x00xyz", b"\x10\x01xyz"


def make_packet(
    ssrc: int = 1,
    sequence: int = 1,
    payload: bytes = b"media",
    payload_type: int = VP8,
    extensions: Sequence[Tuple[int, bytes]] = (),
    csrcs: Sequence[int] = (),
    padding: int = 0,
    timestamp: int = 3000,
    marker: bool = True,
) -> bytes:
    block = rtp.pack_extensions(extensions)
    first = 0x80 | (0x10 if block else 0) | (0x20 if padding else 0) | len(csrcs)
    header = struct.pack(
        "!BBHLL", first, (0x80 if marker else 0) | payload_type, sequence & 0xFFFF, timestamp, ssrc
    )
    body = payload + (b"\0" * (padding - 1) + bytes((padding,)) if padding else b"")
    return header + b"".join(struct.pack("!L", csrc) for csrc in csrcs) + block + body


def test_extensions_of_the_senders_leg_are_removed() -> None:
    """K-1140, K-1141: the audio level stays, mid, transport-cc and send time go; the payload is untouched."""
    data = make_packet(
        extensions=[(LEVEL, b"\x85"), (MID, b"0"), (TCC, b"\x12\x34"), (TIME, b"abc")],
        csrcs=[7, 8],
        payload=b"voice",
    )
    packet = rtp.parse_rtp(data)
    assert rtp.audio_level(packet, LEVEL) == 5
    assert rtp.transport_sequence(packet, TCC) == 0x1234
    kept = rtp.parse_rtp(rtp.keep_extensions(packet, frozenset({LEVEL, DESCRIPTOR})))
    assert kept.extensions == ((LEVEL, b"\x85"),)
    assert kept.payload == b"voice"
    assert kept[1:6] == packet[1:6]
    assert kept.data[12:20] == data[12:20]


def test_a_packet_without_anything_to_keep_has_no_extension_block() -> None:
    packet = rtp.parse_rtp(make_packet(extensions=[(MID, b"0")]))
    assert rtp.keep_extensions(packet, frozenset({LEVEL})) == make_packet()
    unchanged = rtp.parse_rtp(make_packet(extensions=[(LEVEL, b"\x01")]))
    assert rtp.keep_extensions(unchanged, frozenset({LEVEL})) is unchanged.data


@given(
    st.lists(st.tuples(st.integers(1, 255), st.binary(min_size=0, max_size=40)), max_size=6),
    st.integers(0, 15),
)
def test_extensions_survive_packing(extensions: List[Tuple[int, bytes]], csrc_count: int) -> None:
    """Both forms of RFC 8285, whichever fits."""
    data = make_packet(extensions=extensions, csrcs=list(range(csrc_count)), padding=3)
    packet = rtp.parse_rtp(data)
    assert packet.extensions == tuple(extensions)
    assert packet.payload == b"media"
    keep = frozenset(identifier for identifier, _ in extensions[::2])
    kept = rtp.parse_rtp(rtp.keep_extensions(packet, keep))
    assert kept.extensions == tuple(item for item in extensions if item[0] in keep)
    assert kept.payload == b"media"


@given(st.binary(max_size=60))
def test_whatever_comes_is_a_packet_or_a_value_error(data: bytes) -> None:
    try:
        packet = rtp.parse_rtp(data)
        rtp.keep_extensions(packet, frozenset({LEVEL}))
        rtp.unwrap_rtx(packet, VP8, 1)
        for codec in ("vp8", "vp9", "h264", "av1", "opus"):
            rtp.is_keyframe(codec, packet.payload)
    except ValueError:
        pass
    try:
        for part in rtcp.split_compound(data):
            rtcp.keyframe_targets(part)
            rtcp.read_nack(part)
    except ValueError:
        pass


def test_retransmission_round_trip() -> None:
    """RFC 4588: the original comes out as it went in, with the header extensions that it had."""
    original = make_packet(ssrc=1, sequence=65535, extensions=[(LEVEL, b"\x01")], payload=b"picture")
    wrapped = rtp.parse_rtp(rtp.wrap_rtx(original, RTX, 70000, 2))
    assert (wrapped.ssrc, wrapped.payload_type, wrapped.sequence) == (2, RTX, 70000 & 0xFFFF)
    assert wrapped.payload == b"\xff\xffpicture"
    assert rtp.unwrap_rtx(wrapped, VP8, 1) == original
    probe = rtp.parse_rtp(make_packet(ssrc=2, payload=b"", padding=200, payload_type=RTX))
    assert rtp.unwrap_rtx(probe, VP8, 1) is None


@pytest.mark.parametrize(
    "codec, payload, key",
    [
        ("vp8", VP8_KEY, True),
        ("vp8", VP8_DELTA, False),
        ("vp8", b"\x00\x00xyz", False),
        ("vp8", b"\x90\xe0\x81\x23\x05\x06\x00key", True),
        ("vp8", b"\x90\xe0\x11\x05\x06\x01delta", False),
        ("vp8", b"\x90", False),
        ("vp9", b"\x08x", True),
        ("vp9", b"\x48x", False),
        ("h264", b"\x67sps", True),
        ("h264", b"\x65idr", True),
        ("h264", b"\x41x", False),
        ("h264", b"\x78\x00\x10\x67", True),
        ("h264", b"\x7c\x85x", True),
        ("h264", b"\x7c\x05x", False),
        ("av1", b"\x18x", True),
        ("av1", b"\x10x", False),
        ("opus", b"\x00x", False),
        ("vp8", b"", False),
    ],
)
def test_keyframes(codec: str, payload: bytes, key: bool) -> None:
    assert rtp.is_keyframe(codec, payload) is key


def test_packet_cache_forgets_the_oldest() -> None:
    cache = rtp.PacketCache(3)
    for sequence in range(5):
        cache.add(sequence, b"%d" % sequence)
    assert [cache.get(sequence) for sequence in range(5)] == [None, None, b"2", b"3", b"4"]


def test_rtcp_is_told_from_rtp() -> None:
    """K-1101, RFC 5761: a marker bit with payload type 111 is not RTCP."""
    assert rtp.is_rtcp(rtcp.write_pli(1, 2))
    assert not rtp.is_rtcp(make_packet(payload_type=OPUS))


@given(st.sets(st.integers(0, 65535), max_size=40))
def test_nack_round_trip(missing: Any) -> None:
    data = rtcp.write_nack(7, 8, sorted(missing))
    (packet,) = rtcp.split_compound(data)
    ssrc, read = rtcp.read_nack(packet)
    assert ssrc == 8
    assert sorted(read) == sorted(missing)


def test_keyframe_requests_name_their_targets() -> None:
    compound = rtcp.write_pli(7, 8) + rtcp.write_fir(7, 9, 300)
    assert [rtcp.keyframe_targets(packet) for packet in rtcp.split_compound(compound)] == [[8], [9]]


def test_remb() -> None:
    """18 bits of mantissa, 6 of exponent; the SSRCs that it is about."""
    (packet,) = rtcp.split_compound(rtcp.write_remb(7, 2000000, [1, 2]))
    assert (packet.kind, packet.format) == (rtcp.PSFB, rtcp.APPLICATION)
    assert struct.unpack_from("!LL4s", packet.body) == (7, 0, b"REMB")
    count, rest, *ssrcs = struct.unpack("!BxxxLL", packet.body[12:13] + b"\0\0\0" + packet.body[16:])
    (word,) = struct.unpack_from("!L", packet.body, 12)
    assert (count, [rest] + ssrcs) == (2, [1, 2])
    assert 0.99 * 2000000 < (word & 0x3FFFF) << (word >> 18 & 0x3F) <= 2000000


def test_reports() -> None:
    """At most 31 blocks in each; losses are a signed 24-bit number; a forwarded sender report has no blocks."""
    blocks = [rtcp.ReportBlock(ssrc, 10, -3, 70000, 5, 6, 7) for ssrc in range(40)]
    reports = [next(rtcp.split_compound(data)) for data in rtcp.write_receiver_reports(1, blocks)]
    assert [(report.kind, report.format) for report in reports] == [(rtcp.RR, 31), (rtcp.RR, 9)]
    block = struct.unpack_from("!LLLLLL", reports[1].body, 4)
    assert block == (31, 10 << 24 | 0xFFFFFD, 70000, 5, 6, 7)
    sender_report = rtcp.write_packet(rtcp.SR, 1, struct.pack("!LQLLL", 5, 6, 7, 8, 9) + b"\0" * 24)
    (packet,) = rtcp.split_compound(sender_report)
    assert rtcp.sender_report_times(packet) == (5, 0)
    assert rtcp.strip_sender_report(packet) == rtcp.write_packet(
        rtcp.SR, 0, struct.pack("!LQLLL", 5, 6, 7, 8, 9)
    )


def read_transport_cc(data: bytes) -> Tuple[int, Dict[int, Optional[int]]]:
    """An independent reading of the draft: feedback count, and arrival in microseconds of each packet (None: lost)."""
    first, kind, words = struct.unpack_from("!BBH", data)
    assert (first & 0x1F, kind, 4 + 4 * words) == (15, 205, len(data))
    end = len(data) - (data[-1] if first & 0x20 else 0)
    base, count = struct.unpack_from("!HH", data, 12)
    word = struct.unpack_from("!L", data, 16)[0]
    symbols: List[int] = []
    at = 20
    while len(symbols) < count:
        (chunk,) = struct.unpack_from("!H", data, at)
        at += 2
        if chunk >> 15 == 0:
            symbols += [chunk >> 13 & 3] * (chunk & 0x1FFF)
        elif chunk >> 14 == 2:
            symbols += [chunk >> bit & 1 for bit in range(13, -1, -1)]
        else:
            symbols += [chunk >> bit & 3 for bit in range(12, -1, -2)]
    assert not any(symbols[count:])
    clock = (word >> 8) * 64000
    found: Dict[int, Optional[int]] = {}
    for index, symbol in enumerate(symbols[:count]):
        sequence = (base + index) & 0xFFFF
        found[sequence] = None
        if symbol:
            clock += (data[at] if symbol == 1 else struct.unpack_from("!h", data, at)[0]) * 250
            at += symbol
            found[sequence] = clock
    assert at == end
    return word & 0xFF, found


@given(
    st.integers(0, 65535),
    st.integers(0, 1 << 40),
    st.lists(st.tuples(st.integers(-2000, 400000), st.booleans()), min_size=1, max_size=300),
)
def test_transport_wide_feedback(first: int, start: int, steps: List[Tuple[int, bool]]) -> None:
    """K-1154: read back, every packet that came is reported within 250 us of its arrival, every other one as lost."""
    log = rtcp.ArrivalLog()
    start += 10000000
    arrivals: Dict[int, int] = {}
    clock = start
    for offset, (step, came) in enumerate(steps):
        clock = max(start, clock + step)
        if came or offset == 0:
            arrivals[(first + offset) & 0xFFFF] = clock
            log.add((first + offset) & 0xFFFF, clock)
    reported: Dict[int, Optional[int]] = {}
    for packet in log.feedback(1, 2):
        reported.update(read_transport_cc(packet)[1])
    assert {sequence for sequence, arrival in reported.items() if arrival is not None} == set(arrivals)
    epoch = min(arrivals.values()) // 64000 // (1 << 24) * (1 << 24) * 64000
    for sequence, arrival in arrivals.items():
        found = reported[sequence]
        assert found is not None
        assert (arrival - epoch - found) % ((1 << 24) * 64000) < 250
    assert log.feedback(1, 2) == []


def test_feedback_goes_on_where_it_ended() -> None:
    """Losses between two reports are reported, a late packet on its own, and the count goes up."""
    log = rtcp.ArrivalLog()
    for sequence in (65534, 65535):
        log.add(sequence, 1000000)
    first = [read_transport_cc(packet) for packet in log.feedback(1, 2)]
    for sequence in (3, 0):
        log.add(sequence, 1100000)
    second = [read_transport_cc(packet) for packet in log.feedback(1, 2)]
    log.add(1, 1200000)
    log.add(4, 1200000)
    third = [read_transport_cc(packet) for packet in log.feedback(1, 2)]
    assert [(count, list(found)) for count, found in first + second + third] == [
        (0, [65534, 65535]),
        (1, [0, 1, 2, 3]),
        (2, [1]),
        (3, [4]),
    ]
    assert second[0][1][1] is None
    log.add(40000, 1300000)
    assert [list(found) for _, found in map(read_transport_cc, log.feedback(1, 2))] == [[40000]]


def test_long_gaps_within_one_report() -> None:
    log = rtcp.ArrivalLog()
    for sequence, arrival in ((1, 0), (2, 20000000), (6000, 20000100)):
        log.add(sequence, arrival)
    reported: Dict[int, Optional[int]] = {}
    for packet in log.feedback(1, 2):
        reported.update(read_transport_cc(packet)[1])
    assert [sequence for sequence, arrival in reported.items() if arrival is not None] == [1, 2, 6000]


def test_losses_are_asked_for_again_a_few_times() -> None:
    """K-1153: at once, then every tenth of a second, until it comes or is given up."""
    reception = Reception(1, 90000, nack=True)
    reception.arrived(65534, 0, 0.0)
    reception.arrived(1, 0, 0.0)
    assert reception.due_nacks(0.0) == [65535, 0]
    assert reception.due_nacks(NACK_INTERVAL / 2) == []
    reception.recovered(65535)
    asked = [reception.due_nacks(NACK_INTERVAL * round_) for round_ in range(1, NACK_ATTEMPTS + 2)]
    assert asked == [[0]] * (NACK_ATTEMPTS - 1) + [[], []]


def test_receiver_report() -> None:
    """K-1157, RFC 3550 A.3: losses, extended highest sequence number, delay since the last sender report."""
    reception = Reception(1, 48000, nack=False)
    for index in range(10):
        reception.arrived((65530 + index) & 0xFFFF, index * 960, index * 0.02)
    reception.sender_report(0x12345678, 0.25)
    first = reception.report(0.75)
    assert (first.fraction_lost, first.lost, first.highest_sequence) == (0, 0, 65539)
    assert (first.last_sr, first.delay_since_sr, first.jitter) == (0x12345678, 32768, 0)
    for index in (11, 13):
        reception.arrived((65530 + index) & 0xFFFF, index * 960, index * 0.02)
    second = reception.report(1.7)
    assert (second.fraction_lost, second.lost, second.highest_sequence) == (128, 2, 65543)
    assert reception.due_nacks(1.7) == []


def test_the_loudest_speaks_and_silence_changes_nothing() -> None:
    """K-1160: a second of speech makes a speaker, a louder one must exceed the present one clearly."""
    speakers = Speakers()

    def talk(begin: float, end: float, **levels: int) -> List[Tuple[str, List[str]]]:
        changes = []
        for step in range(int((end - begin) * 50)):
            now = begin + step * 0.02
            for who, level in levels.items():
                speakers.heard(who, level, now)
            change = speakers.decide(now)
            if change is not None:
                changes.append((change.dominant, change.previous))
        return changes

    assert talk(0, 2, ada=127, bo=127) == []
    assert talk(2, 5, ada=40, bo=127) == [("ada", [])]
    assert talk(5, 8, ada=40, bo=38) == []
    assert talk(8, 12, ada=127, bo=40) == [("bo", ["ada"])]
    assert talk(12, 15, ada=127, bo=127) == []
    speakers.left("bo")
    assert speakers.dominant == "ada"


class Ear:
    """What a peer was sent."""

    def __init__(self) -> None:
        self.rtp: List[rtp.RtpPacket] = []
        self.rtcp: List[bytes] = []

    def send_rtp(self, data: bytes) -> None:
        self.rtp.append(rtp.parse_rtp(data))

    def send_rtcp(self, data: bytes) -> None:
        self.rtcp.append(data)

    def take(self) -> List[rtp.RtpPacket]:
        taken, self.rtp = self.rtp, []
        return taken

    def requests(self) -> List[int]:
        """The SSRCs that keyframes were asked of since the last call."""
        taken, self.rtcp = self.rtcp, []
        return [
            ssrc
            for data in taken
            for part in rtcp.split_compound(data)
            for ssrc in rtcp.keyframe_targets(part)
        ]


class Meeting:
    """A room with peers that are only ears."""

    def __init__(self) -> None:
        self.first: List[Tuple[str, str]] = []
        self.room = Room(
            FEEDBACK, RoomEvents(lambda who, kind: self.first.append((who, kind)), lambda change: None)
        )

    def join(
        self, name: str, sources: SourceSet, visitor: bool = False, now: float = 0.0
    ) -> Tuple[Peer, Ear]:
        endpoint = Endpoint(EndpointRequest(name, create=True, visitor=visitor), now)
        feedback = (RtcpFeedback("nack"), RtcpFeedback("nack", "pli"), RtcpFeedback("transport-cc"))
        extensions = (
            HeaderExtension(LEVEL, rtp.AUDIO_LEVEL),
            HeaderExtension(TCC, rtp.TRANSPORT_CC),
            HeaderExtension(MID, "urn:ietf:params:rtp-hdrext:sdes:mid"),
        )
        endpoint.learn(MediaDescription("audio", (PayloadType(OPUS, "opus", 48000, 2),), extensions))
        camera_types = (
            PayloadType(VP8, "VP8", 90000, None, (), feedback),
            PayloadType(RTX, "rtx", 90000, None, (("apt", "100"),)),
        )
        endpoint.learn(MediaDescription("video", camera_types, extensions))
        endpoint.sources = sources
        ear = Ear()
        peer = Peer(endpoint, ear)
        peer.connected = True
        self.room.add(peer)
        self.room.set_sources(peer, now)
        return peer, ear


def camera(base: int, name: str) -> SourceSet:
    """One audio source and a simulcast camera with RTX: audio base, layers base+1.., RTX base+11.."""
    layers = [base + 1, base + 2, base + 3]
    video = [Source(ssrc, "video", name + "-v0") for ssrc in layers + [ssrc + 10 for ssrc in layers]]
    groups = [SsrcGroup("SIM", "video", tuple(layers))]
    groups += [SsrcGroup("FID", "video", (ssrc, ssrc + 10)) for ssrc in layers]
    return SourceSet([Source(base, "audio", name + "-a0")] + video, groups)


def test_forwarding_goes_to_all_others_and_only_announced_sources() -> None:
    """K-1120 to K-1122, K-1131: never back, the lowest layer only, unknown SSRCs dropped, one first packet a kind."""
    meeting = Meeting()
    ada, ada_ear = meeting.join("ada", camera(100, "ada"))
    _, bo_ear = meeting.join("bo", camera(200, "bo"))
    _, cy_ear = meeting.join("cy", SourceSet())
    for ssrc in (101, 102, 103, 999, 201):
        meeting.room.on_rtp(ada, make_packet(ssrc=ssrc, extensions=[(MID, b"1"), (TCC, b"\0\1")]), 1.0)
    meeting.room.on_rtp(
        ada, make_packet(ssrc=100, payload_type=OPUS, extensions=[(LEVEL, b"\x20"), (MID, b"0")]), 1.0
    )
    for ear in (bo_ear, cy_ear):
        assert [(packet.ssrc, packet.extensions) for packet in ear.take()] == [
            (101, ()),
            (100, ((LEVEL, b"\x20"),)),
        ]
    assert ada_ear.rtp == []
    assert meeting.first == [("ada", "video"), ("ada", "audio")]


def test_mutes_visitors_and_the_not_connected() -> None:
    """K-1123, K-232, K-1120."""
    meeting = Meeting()
    ada, _ = meeting.join("ada", camera(100, "ada"))
    bo, bo_ear = meeting.join("bo", SourceSet())
    guest, _ = meeting.join("guest", camera(300, "guest"), visitor=True)
    meeting.room.on_rtp(guest, make_packet(ssrc=301), 1.0)
    assert bo_ear.take() == []
    ada.endpoint.muted = (True, False)
    meeting.room.set_sources(ada, 1.0)
    meeting.room.on_rtp(ada, make_packet(ssrc=100, payload_type=OPUS), 1.0)
    meeting.room.on_rtp(ada, make_packet(ssrc=101), 1.0)
    assert [packet.ssrc for packet in bo_ear.take()] == [101]
    bo.connected = False
    meeting.room.update(1.0)
    meeting.room.on_rtp(ada, make_packet(ssrc=101, sequence=2), 1.0)
    assert bo_ear.take() == []


def test_sources_that_left_the_list_are_not_forwarded() -> None:
    """K-274, KT-8, and K-275: an announced SSRC moves to its last owner."""
    meeting = Meeting()
    ada, ada_ear = meeting.join("ada", camera(100, "ada"))
    bo, bo_ear = meeting.join("bo", SourceSet())
    ada.endpoint.sources = SourceSet([Source(100, "audio", "ada-a0")])
    meeting.room.set_sources(ada, 1.0)
    meeting.room.on_rtp(ada, make_packet(ssrc=101), 1.0)
    assert bo_ear.take() == []
    bo.endpoint.sources = SourceSet([Source(100, "audio", "bo-a0")])
    meeting.room.set_sources(bo, 1.0)
    meeting.room.on_rtp(ada, make_packet(ssrc=100, payload_type=OPUS), 1.0)
    meeting.room.on_rtp(bo, make_packet(ssrc=100, payload_type=OPUS), 1.0)
    assert bo_ear.take() == []
    assert [packet.ssrc for packet in ada_ear.take()] == [100]
    meeting.room.remove(bo, 1.0)
    meeting.room.on_rtp(bo, make_packet(ssrc=100, payload_type=OPUS), 1.0)
    assert ada_ear.take() == []


def test_keyframe_requests_are_routed_limited_and_repeated() -> None:
    """K-1150, K-1151: asked when somebody is new, again after a while, not once a keyframe has passed."""
    meeting = Meeting()
    ada, ada_ear = meeting.join("ada", camera(100, "ada"))
    bo, _ = meeting.join("bo", SourceSet(), now=10.0)
    assert ada_ear.requests() == [101]
    for _ in range(5):
        meeting.room.on_rtcp(bo, rtcp.write_pli(1, 101) + rtcp.write_fir(1, 103, 1), 10.1)
    assert ada_ear.requests() == []
    meeting.room.ten_times_a_second(10.0 + KEYFRAME_INTERVAL)
    assert ada_ear.requests() == [101]
    meeting.room.on_rtp(ada, make_packet(ssrc=101, payload=VP8_DELTA), 10.4)
    meeting.room.ten_times_a_second(10.0 + KEYFRAME_INTERVAL + KEYFRAME_REPEAT)
    assert ada_ear.requests() == [101]
    meeting.room.on_rtp(ada, make_packet(ssrc=101, sequence=2, payload=VP8_KEY), 12.0)
    meeting.room.ten_times_a_second(20.0)
    assert ada_ear.requests() == []


def test_a_source_wanted_again_begins_with_a_keyframe() -> None:
    """K-1125, K-1151: maxHeight 0 stops a video, and its return asks for a keyframe."""
    meeting = Meeting()
    ada, ada_ear = meeting.join("ada", camera(100, "ada"))
    bo, bo_ear = meeting.join("bo", SourceSet())
    ada_ear.requests()
    for height, expected in ((0, 0), (720, 1)):
        constraint = {
            "colibriClass": "ReceiverVideoConstraints",
            "constraints": {"ada-v0": {"maxHeight": height}},
        }
        bo.constraints.apply(constraint)
        meeting.room.update(5.0 + expected)
        meeting.room.on_rtp(ada, make_packet(ssrc=101, sequence=expected), 6.5)
        assert len(bo_ear.take()) == expected
        assert len(ada_ear.requests()) == expected


def test_lost_packets_come_from_the_cache_on_rtx() -> None:
    """K-1152: on the RTX SSRC that the receiver knows, numbered by the bridge without gaps."""
    meeting = Meeting()
    ada, ada_ear = meeting.join("ada", camera(100, "ada"))
    bo, bo_ear = meeting.join("bo", SourceSet())
    for sequence in (1, 2, 3):
        meeting.room.on_rtp(ada, make_packet(ssrc=101, sequence=sequence, payload=b"%d" % sequence), 1.0)
    sent = bo_ear.take()
    meeting.room.on_rtcp(bo, rtcp.write_nack(1, 101, [1, 3, 77]), 1.1)
    resent = bo_ear.take()
    assert [(packet.ssrc, packet.payload_type) for packet in resent] == [(111, RTX)] * 2
    assert (resent[1].sequence - resent[0].sequence) & 0xFFFF == 1
    assert [rtp.unwrap_rtx(packet, VP8, 101) for packet in resent] == [sent[0].data, sent[2].data]
    assert ada_ear.rtp == []


def test_what_the_sender_repeats_is_forwarded_once_as_the_original() -> None:
    """The sender's RTX ends at the bridge; a gap is asked for, padding that only probes goes nowhere."""
    meeting = Meeting()
    ada, ada_ear = meeting.join("ada", camera(100, "ada"))
    _, bo_ear = meeting.join("bo", SourceSet())
    lost = make_packet(ssrc=101, sequence=2, payload=b"lost")
    ada_ear.requests()
    meeting.room.on_rtp(ada, make_packet(ssrc=101, sequence=1), 1.0)
    meeting.room.on_rtp(ada, make_packet(ssrc=101, sequence=3), 1.0)
    parts = [part for data in ada_ear.rtcp for part in rtcp.split_compound(data)]
    nacks = [rtcp.read_nack(part) for part in parts if part.kind == rtcp.RTPFB and part.format == rtcp.NACK]
    assert nacks == [(101, [2])]
    bo_ear.take()
    for _ in range(2):
        meeting.room.on_rtp(ada, rtp.wrap_rtx(lost, RTX, 50, 111), 1.1)
    meeting.room.on_rtp(
        ada, make_packet(ssrc=111, payload=b"", padding=100, payload_type=RTX, sequence=51), 1.1
    )
    assert [packet.data for packet in bo_ear.take()] == [lost]


def test_reports_and_transport_wide_feedback_to_senders() -> None:
    """K-1154, K-1156, K-1157: sender reports go on without blocks, feedback is ours and goes to senders only."""
    meeting = Meeting()
    ada, ada_ear = meeting.join("ada", camera(100, "ada"))
    _, bo_ear = meeting.join("bo", SourceSet())
    ada_ear.requests()
    for number in range(4):
        packet = make_packet(ssrc=102, sequence=number, extensions=[(TCC, struct.pack("!H", number))])
        meeting.room.on_rtp(ada, packet, 1.0 + number / 100)
    sender_report = rtcp.write_packet(rtcp.SR, 1, struct.pack("!LQLLL", 101, 6, 7, 8, 9) + b"\0" * 24)
    meeting.room.on_rtcp(ada, sender_report + rtcp.write_packet(rtcp.RR, 0, b"\0\0\0\1"), 1.1)
    assert bo_ear.rtcp == [rtcp.write_packet(rtcp.SR, 0, struct.pack("!LQLLL", 101, 6, 7, 8, 9))]
    meeting.room.ten_times_a_second(1.2)
    (feedback,) = ada_ear.rtcp
    assert list(read_transport_cc(feedback)[1]) == [0, 1, 2, 3]
    ada_ear.rtcp.clear()
    meeting.room.every_second(2.0)
    ((kind, count, body),) = rtcp.split_compound(ada_ear.rtcp[0])
    assert (kind, count) == (rtcp.RR, 1)
    assert struct.unpack_from("!LL", body) == (FEEDBACK[1], 102)
    assert len(bo_ear.rtcp) == 1
