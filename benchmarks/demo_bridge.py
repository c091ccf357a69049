"""How many endpoints the demo bridge carries: synthetic senders with real ICE, DTLS and SRTP, everybody gets everybody.

    python benchmarks/demo_bridge.py [--endpoints 5,10,15,20] [--video-kbit 200] [--seconds 10]

The bridge runs as a process of its own, without XMPP; it is asked over its standard input. Each sender sends 50 audio
packets a second and video of the given rate in packets of 1000 bytes. One endpoint counts what reaches it, the others
don't read (the kernel drops what comes), so that the generator costs little. Prints one JSON line for each number of
endpoints: the bridge's CPU (1.0 is one core), packets a second in and out, the share that reached the counting
endpoint, and the CPU of one forwarded packet in microseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from aiortc.rtcdtlstransport import RTCCertificate
from lxml import etree

from focus.demo.bridge.colibri import Table
from focus.demo.bridge.journal import Journal
from focus.demo.bridge.request import read_request, write_answer
from focus.demo.bridge.rtp import pack_extensions
from focus.demo.bridge.service import BridgeOptions, LiveMedia
from focus.demo.bridge.transport import EndpointTransport, MediaSocket, TransportEvents
from focus.demo.bridge.xmpp import Login
from focus.values.transport import Candidate, Fingerprint, Transport

COLIBRI2 = "jitsi:colibri2"
ICE = "urn:xmpp:jingle:transports:ice-udp:1"
RTP = "urn:xmpp:jingle:apps:rtp:1"
EXTENSIONS = "urn:xmpp:jingle:apps:rtp:rtp-hdrext:0"
MEDIA = (
    "<media type='audio'><payload-type xmlns='{rtp}' id='111' name='opus' clockrate='48000'/>{extensions}</media>"
    "<media type='video'><payload-type xmlns='{rtp}' id='100' name='VP8' clockrate='90000'>"
    "<rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='nack'/>"
    "<rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='transport-cc'/></payload-type>{extensions}</media>"
).format(
    rtp=RTP,
    extensions=(
        "<rtp-hdrext xmlns='{0}' id='1' uri='urn:ietf:params:rtp-hdrext:ssrc-audio-level'/>"
        "<rtp-hdrext xmlns='{0}' id='5' "
        "uri='http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01'/>"
    ).format(EXTENSIONS),
)


async def serve() -> None:
    """The bridge's side: one request a line, one answer a line."""
    login = Login("", 0, "", "", "")
    media = LiveMedia(BridgeOptions(login, "", "bench", ("127.0.0.1",)), Journal(stream=sys.stderr))
    await media.start()
    table = Table(media, secrets.randbits)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def asked() -> None:
        line = sys.stdin.readline()
        if not line:
            ended.set()
            return
        answer = table.handle(read_request(etree.fromstring(line)), loop.time())
        sys.stdout.write(write_answer(answer.endpoints, answer.feedback) + "\n")
        sys.stdout.flush()

    loop.add_reader(sys.stdin.fileno(), asked)
    count = 0
    while not ended.is_set():
        await asyncio.sleep(0.1)
        count += 1
        media.tick(count % 10 == 0)


class Sender:
    """One synthetic endpoint with its own socket."""

    def __init__(self, number: int, bridge: subprocess.Popen[str], certificate: RTCCertificate) -> None:
        self.number = number
        self.name = "%08x" % number
        self.received = 0
        self.socket = MediaSocket("127.0.0.1", 0)
        self.connected = asyncio.Event()
        self._bridge = bridge
        self._sequence = [0, 0, 0]
        events = TransportEvents(
            self._count, lambda data: None, lambda ms: None, self._up, lambda why, of_ice: None
        )
        self.transport = EndpointTransport([self.socket], certificate, False, events)

    def _count(self, data: bytes) -> None:
        self.received += 1

    def _up(self, milliseconds: int) -> None:
        self.connected.set()

    async def join(self) -> None:
        """Allocate, connect; gives up after 20 s."""
        inner = (
            "<endpoint id='%s' create='true'><capability name='source-names'/>%s"
            "<transport ice-controlling='true'/></endpoint>" % (self.name, MEDIA)
        )
        answer = self._ask(inner, " create='true'" if self.number == 1 else "")
        theirs = answer.find(".//{%s}transport" % ICE)
        digest = theirs.find("{urn:xmpp:jingle:apps:dtls:0}fingerprint")
        own = self.transport.describe("")
        self.transport.set_remote(
            Transport(
                tuple(theirs.attrib.items()),
                True,
                (Fingerprint(digest.text, "sha-256", "passive"),),
                (),
                tuple(Candidate(tuple(item.attrib.items())) for item in theirs.iter("{%s}candidate" % ICE)),
            )
        )
        source = (
            "<media-source type='%s' id='%s-%s0'><source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='%d'/>"
            "</media-source>"
        )
        sources = "".join(
            source % (kind, self.name, kind[0], self.ssrc(index))
            for index, kind in enumerate(("audio", "video"))
        )
        self._ask(
            "<endpoint id='%s'><transport><transport xmlns='%s' ufrag='%s' pwd='%s'><fingerprint "
            "xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256' setup='active'>%s</fingerprint></transport></transport>"
            "<sources>%s</sources></endpoint>"
            % (self.name, ICE, own.ufrag, own.pwd, own.fingerprints[0].value, sources)
        )
        await asyncio.wait_for(self.connected.wait(), 20)

    def ssrc(self, index: int) -> int:
        return self.number * 10 + index

    def send(self, index: int, size: int, tick: int) -> None:
        """One packet: audio (index 0) or video (1)."""
        self._sequence[index] = (self._sequence[index] + 1) & 0xFFFF
        self._sequence[2] = (self._sequence[2] + 1) & 0xFFFF
        extensions = pack_extensions([(1, b"\x20"), (5, struct.pack("!H", self._sequence[2]))])
        header = struct.pack(
            "!BBHLL", 0x90, (111, 100)[index], self._sequence[index], tick * 960, self.ssrc(index)
        )
        self.transport.send_rtp(header + extensions + b"\x10\x01" + bytes(size))

    def _ask(self, inner: str, attributes: str = "") -> Any:
        if self._bridge.stdin is None or self._bridge.stdout is None:
            raise RuntimeError("the bridge has no pipes")
        self._bridge.stdin.write(
            "<conference-modify xmlns='%s' meeting-id='m'%s>%s</conference-modify>\n"
            % (COLIBRI2, attributes, inner)
        )
        self._bridge.stdin.flush()
        return etree.fromstring(self._bridge.stdout.readline())


def cpu_seconds(pid: int) -> float:
    with open("/proc/%d/stat" % pid, encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(count: int, video_kbit: int, seconds: float) -> Dict[str, Any]:
    """One run with `count` endpoints."""
    bridge = subprocess.Popen(
        [sys.executable, __file__, "--serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    certificate = RTCCertificate.generateCertificate()
    senders: List[Sender] = []
    try:
        for number in range(1, count + 1):
            senders.append(Sender(number, bridge, certificate))
            await senders[-1].join()
        for sender in senders[1:]:
            sender.socket.pause()
        loop = asyncio.get_running_loop()
        video = video_kbit * 1000 / 8 / 1000 / 50
        sent = [0, 0]
        due = 0.0
        cpu, received, begin = cpu_seconds(bridge.pid), senders[0].received, loop.time()
        tick = 0
        while loop.time() < begin + seconds:
            due += video
            packets = int(due)
            due -= packets
            for sender in senders:
                sender.send(0, 100, tick)
                for _ in range(packets):
                    sender.send(1, 980, tick)
            sent[0] += count
            sent[1] += count * packets
            tick += 1
            await asyncio.sleep(max(0.0, begin + tick * 0.02 - loop.time()))
        took = loop.time() - begin
        await asyncio.sleep(0.3)
        used = cpu_seconds(bridge.pid) - cpu
        reached = (senders[0].received - received) / (sum(sent) * (count - 1) / count)
        return {
            "endpoints": count,
            "video_kbit": video_kbit,
            "bridge_cpu": round(used / took, 3),
            "packets_in": round(sum(sent) / took),
            "packets_out": round(sum(sent) * (count - 1) / took),
            "reached": round(reached, 4),
            "us_per_forward": round(used / (sum(sent) * (count - 1) * reached) * 1e6, 1),
        }
    finally:
        for sender in senders:
            sender.socket.close()
        bridge.kill()
        bridge.wait()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--endpoints", default="5,10,15,20", help="numbers of endpoints, separated by commas")
    parser.add_argument("--video-kbit", type=int, default=200, help="video of each sender in kbit/s")
    parser.add_argument("--seconds", type=float, default=10, help="length of each run")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve())
        return
    for count in arguments.endpoints.split(","):
        print(
            json.dumps(asyncio.run(measure(int(count), arguments.video_kbit, arguments.seconds))), flush=True
        )


if __name__ == "__main__":
    main()
