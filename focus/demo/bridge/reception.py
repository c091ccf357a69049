"""What a bridge knows of one stream it receives: losses, jitter, what to ask for again. RFC 3550 appendix A.

Pure: time is an argument (seconds, any monotonic epoch). Serves the receiver reports (K-1157) and the NACKs toward the
sender (K-1153).
"""

from __future__ import annotations

from typing import Dict, List

from focus.demo.bridge.rtcp import ReportBlock

NACK_INTERVAL = 0.1
"""Seconds between two requests for the same packet."""
NACK_ATTEMPTS = 4
"""How often a packet is asked for before it is given up."""
_MAX_MISSING = 200


class Reception:
    """State of one received SSRC. `clock_rate` is in Hz; `nack` says whether losses are to be asked for again."""

    def __init__(self, ssrc: int, clock_rate: int, nack: bool) -> None:
        self.ssrc = ssrc
        self.received = 0
        self._clock_rate = clock_rate
        self._nack = nack
        self._base = -1
        self._highest = -1
        self._transit = 0.0
        self._jitter = 0.0
        self._expected_before = 0
        self._received_before = 0
        self._sr_middle = 0
        self._sr_time = 0.0
        self._missing: Dict[int, List[float]] = {}

    def arrived(self, sequence: int, timestamp: int, now: float) -> bool:
        """Note one packet: its 16-bit sequence number, its RTP timestamp, when it came. True if others are missing."""
        self.received += 1
        if self._highest < 0:
            self._base = self._highest = 0x10000 + sequence
            self._transit = now * self._clock_rate - timestamp
            return False
        distance = (sequence - self._highest) & 0xFFFF
        if distance == 0:
            return False
        if distance >= 0x8000:
            self._missing.pop(self._highest + distance - 0x10000, None)
            return False
        if distance > 1000:
            self._missing.clear()
        elif self._nack:
            for lost in range(self._highest + 1, self._highest + distance):
                self._missing[lost] = [now, 0]
            for old in sorted(self._missing)[: max(0, len(self._missing) - _MAX_MISSING)]:
                del self._missing[old]
        self._highest += distance
        transit = now * self._clock_rate - timestamp
        change = abs(transit - self._transit)
        self._transit = transit
        if change < self._clock_rate * 5:
            self._jitter += (change - self._jitter) / 16
        return distance > 1 and bool(self._missing)

    def recovered(self, sequence: int) -> None:
        """Note that a lost packet came by retransmission."""
        distance = (sequence - self._highest) & 0xFFFF
        self._missing.pop(self._highest + (distance if distance < 0x8000 else distance - 0x10000), None)

    def sender_report(self, ntp_middle: int, now: float) -> None:
        """Note a sender report of this SSRC: the middle 32 bits of its NTP time, when it came."""
        self._sr_middle, self._sr_time = ntp_middle, now

    def due_nacks(self, now: float) -> List[int]:
        """The sequence numbers to ask for now; packets asked for often enough are forgotten."""
        due = []
        for sequence, state in list(self._missing.items()):
            if state[0] > now:
                continue
            if state[1] >= NACK_ATTEMPTS:
                del self._missing[sequence]
                continue
            state[0] = now + NACK_INTERVAL
            state[1] += 1
            due.append(sequence & 0xFFFF)
        return due

    def report(self, now: float) -> ReportBlock:
        """The report block for the time since the last one. At least one packet must have come."""
        expected = self._highest - self._base + 1
        interval = expected - self._expected_before
        lost = interval - (self.received - self._received_before)
        fraction = min(255, (lost << 8) // interval) if interval > 0 and lost > 0 else 0
        self._expected_before, self._received_before = expected, self.received
        delay = int((now - self._sr_time) * 65536) & 0xFFFFFFFF if self._sr_middle else 0
        highest = (self._highest - 0x10000) & 0xFFFFFFFF
        return ReportBlock(
            self.ssrc, fraction, expected - self.received, highest, int(self._jitter), self._sr_middle, delay
        )
