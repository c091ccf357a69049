"""What a scripted call over the demo bridge takes: its process, a scripted focus, WebRTC clients made with aiortc.

The focus is a script here: it sends the Colibri 2 requests of colibri.md section 6 and carries transports and sources
between the bridge and the clients, as Jingle would. Needs the extra `demo`.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import copy
import json
import math
import os
import re
import sys
import time
from typing import Any, AsyncContextManager, AsyncIterator, Awaitable, Callable, Dict, List, Optional, Sequence, TypeVar

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError, MediaStreamTrack, VideoStreamTrack
from av import AudioFrame
from lxml import etree
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from focus.demo.bridge.xmpp import Client, Login
from tests.support.prosody import Prosody

C = TypeVar("C")
A = TypeVar("A", bound="Call")
COLIBRI2 = "jitsi:colibri2"
ICE = "urn:xmpp:jingle:transports:ice-udp:1"
SSMA = "urn:xmpp:jingle:apps:rtp:ssma:0"
MEETING = "9d1c2f00-0000-4000-8000-000000000001"
MEDIA = """
<media type='audio'>
  <payload-type xmlns='urn:xmpp:jingle:apps:rtp:1' id='111' name='opus' clockrate='48000' channels='2'/>
  <rtp-hdrext xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0' id='1' uri='urn:ietf:params:rtp-hdrext:ssrc-audio-level'/>
  <rtp-hdrext xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0' id='10' uri='urn:ietf:params:rtp-hdrext:sdes:mid'/>
</media>
<media type='video'>
  <payload-type xmlns='urn:xmpp:jingle:apps:rtp:1' id='100' name='VP8' clockrate='90000'>
    <rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='nack'/>
    <rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='nack' subtype='pli'/>
    <rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='goog-remb'/>
  </payload-type>
  <payload-type xmlns='urn:xmpp:jingle:apps:rtp:1' id='96' name='rtx' clockrate='90000'>
    <parameter name='apt' value='100'/>
  </payload-type>
  <rtp-hdrext xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0' id='10' uri='urn:ietf:params:rtp-hdrext:sdes:mid'/>
</media>"""
OFFER = """v=0
o=- 1 1 IN IP4 0.0.0.0
s=-
t=0 0
a=group:BUNDLE 0 1
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=mid:0
a=sendrecv
a=rtcp-mux
{transport}
a=rtpmap:111 opus/48000/2
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:mid
m=video 9 UDP/TLS/RTP/SAVPF 100 96
c=IN IP4 0.0.0.0
a=mid:1
a=sendrecv
a=rtcp-mux
{transport}
a=rtpmap:100 VP8/90000
a=rtcp-fb:100 nack
a=rtcp-fb:100 nack pli
a=rtcp-fb:100 goog-remb
a=rtpmap:96 rtx/90000
a=fmtp:96 apt=100
a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:mid
"""


async def until(condition: Callable[[], Any], what: str, timeout: float = 15.0) -> Any:
    """Wait until `condition` gives something true; asserts that it does in time."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, "in %.0f s not seen: %s" % (timeout, what)
        await asyncio.sleep(0.01)


async def eventually(condition: Callable[[], Awaitable[bool]], timeout: float = 15.0) -> bool:
    """Whether an asynchronous condition becomes true in time."""
    deadline = time.monotonic() + timeout
    while not await condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.05)
    return True


class BridgeProcess:
    """`python -m focus.demo.bridge` and what it has told."""

    def __init__(self, prosody: Prosody) -> None:
        self._prosody = prosody
        self.events: List[Dict[str, Any]] = []
        self.process: Optional[asyncio.subprocess.Process] = None

    async def start(self, *flags: str, password: str = "", wait_for: str = "brewery_joined") -> None:
        """Start it; returns when it has told `wait_for`. More flags win over the ordinary ones."""
        prosody = self._prosody
        options = {
            "user": "jvb@" + prosody.user_domain,
            "host": prosody.host,
            "port": str(prosody.c2s_port),
            "ca-file": prosody.ca_file,
            "nickname": "jvb1",
            "address": "127.0.0.1",
        }
        fixed = ["--%s=%s" % item for item in options.items()] + ["--json", "--stdin"]
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "focus.demo.bridge",
            *fixed,
            *flags,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=dict(os.environ, FOCUS_BRIDGE_PASSWORD=password or prosody.passwords["jvb"]),
        )
        self._reader = asyncio.get_running_loop().create_task(self._read())
        await until(lambda: self.seen(wait_for), wait_for)

    async def _read(self) -> None:
        assert self.process is not None and self.process.stdout is not None
        async for line in self.process.stdout:
            self.events.append(json.loads(line))

    def seen(self, event: str, **facts: Any) -> List[Dict[str, Any]]:
        """The events of that name with these facts."""
        wanted = dict(facts, event=event)
        return [item for item in self.events if all(item.get(key) == value for key, value in wanted.items())]

    async def control(self, line: str) -> None:
        """Give a control line; returns when it was obeyed."""
        assert self.process is not None and self.process.stdin is not None
        before = len(self.seen("control", line=line))
        self.process.stdin.write(line.encode() + b"\n")
        await until(lambda: len(self.seen("control", line=line)) > before, line)

    async def stop(self) -> int:
        """End it as supervisord would; gives the exit status."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.terminate()
        status = await asyncio.wait_for(self.process.wait(), 10)
        await self._reader
        return status


class ScriptedFocus:
    """The focus account in the brewery, asking one request at a time."""

    def __init__(self, prosody: Prosody) -> None:
        login = Login(
            prosody.host,
            prosody.c2s_port,
            prosody.user_domain,
            "focus",
            prosody.passwords["focus"],
            "focus",
            prosody.ca_file,
        )
        self.client = Client(login, self._stanza)
        self.brewery = prosody.brewery
        self.bridge = "jvb1"
        self.stats: List[Dict[str, str]] = []

    @property
    def address(self) -> str:
        """Where requests go."""
        return self.brewery + "/" + self.bridge

    def at(self, bridge: str) -> ScriptedFocus:
        """The same focus, asking another bridge of the brewery."""
        other = copy.copy(self)
        other.bridge = bridge
        return other

    async def start(self) -> None:
        await self.client.connect()
        self.client.send(
            "<presence to='%s/focus'><x xmlns='http://jabber.org/protocol/muc'/></presence>" % self.brewery
        )
        await until(lambda: self.stats, "statistics of the bridge")

    def _stanza(self, element: Any) -> None:
        if element.get("from") == self.brewery + "/jvb1" and element.get("type") is None:
            stats = {item.get("name"): item.get("value") for item in element.iter("{*}stat")}
            if stats:
                self.stats.append(stats)

    async def iq(self, payload: str, kind: str = "get", timeout: float = 10.0) -> Any:
        """Ask the bridge; gives the whole answer, result or error."""
        return await self.client.ask(kind, self.address, payload, timeout)

    async def modify(self, inner: str = "", attributes: str = "", timeout: float = 10.0) -> Any:
        """Ask for a change of the conference; gives the whole answer."""
        start = "<conference-modify xmlns='%s' meeting-id='%s' %s>" % (COLIBRI2, MEETING, attributes)
        return await self.iq(start + inner + "</conference-modify>", timeout=timeout)


class Tone(AudioStreamTrack):
    """A loud 440 Hz tone, 20 ms a frame."""

    async def recv(self) -> AudioFrame:
        frame = await super().recv()
        assert isinstance(frame, AudioFrame) and frame.pts is not None
        first = frame.pts
        turn = 2 * math.pi * 440 / frame.sample_rate
        samples = (int(20000 * math.sin(turn * (first + index))) for index in range(frame.samples))
        frame.planes[0].update(array.array("h", samples).tobytes())
        return frame


class Participant:
    """A WebRTC client that takes the bridge's transport as its peer's."""

    def __init__(self, name: str, focus: ScriptedFocus, speaks: bool) -> None:
        self.name = name
        self.focus = focus
        self.frames: Dict[str, int] = {"audio": 0, "video": 0}
        self.loudest = 0
        self.web_socket = ""
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._audio = Tone() if speaks else AudioStreamTrack()
        self._tasks: List[asyncio.Task[None]] = []
        self.connection.on("track", self._on_track)

    def _on_track(self, track: MediaStreamTrack) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(self._play(track)))

    async def _play(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                frame = await track.recv()
                self.frames[track.kind] += 1
                if isinstance(frame, AudioFrame):
                    self.loudest = max(self.loudest, *array.array("h", bytes(frame.planes[0])))
        except MediaStreamError:
            return

    async def join(self, first: bool = False, setup: Optional[str] = None) -> None:
        """Allocate on the bridge, negotiate, send transport and sources. `setup` overrides the DTLS role."""
        creating = (
            "<endpoint id='%s' create='true' stats-id='%s'><capability name='source-names'/>%s"
            "<transport ice-controlling='true'/><sources/></endpoint>" % (self.name, self.name.title(), MEDIA)
        )
        answer = await self.focus.modify(
            creating, "create='true' name='room@conference.meet.example'" if first else ""
        )
        assert answer.get("type") == "result", etree.tostring(answer)
        await self.accept(answer.find(".//{%s}transport" % ICE), setup)

    async def accept(self, transport: Any, setup: Optional[str] = None) -> None:
        self.web_socket = transport.find("{http://jitsi.org/protocol/colibri}web-socket").get("url")
        fingerprint = transport.find("{urn:xmpp:jingle:apps:dtls:0}fingerprint")
        lines = [
            "a=ice-ufrag:" + transport.get("ufrag"),
            "a=ice-pwd:" + transport.get("pwd"),
            "a=fingerprint:%s %s" % (fingerprint.get("hash"), fingerprint.text),
            "a=setup:" + ({"passive": "active"}.get(setup or "", fingerprint.get("setup"))),
        ]
        for candidate in transport.iter("{%s}candidate" % ICE):
            fields = [
                candidate.get(key)
                for key in ("foundation", "component", "protocol", "priority", "ip", "port")
            ]
            lines.append("a=candidate:%s typ host" % " ".join(fields))
        offer = OFFER.format(transport="\n".join(lines)).replace("\n", "\r\n")
        self.connection.addTrack(self._audio)
        self.connection.addTrack(VideoStreamTrack())
        await self.connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await self.connection.setLocalDescription(await self.connection.createAnswer())
        answer = await self.tell(self.update(self.connection.localDescription.sdp))
        assert answer.get("type") == "result", etree.tostring(answer)

    async def tell(self, update: str) -> Any:
        """Have the focus pass an update on to the bridge; gives the whole answer."""
        return await self.focus.modify(update)

    def update(self, sdp: str, sources: Sequence[str] = ("audio", "video")) -> str:
        """The update after session-accept (colibri.md 6.3)."""
        described = "".join(
            "<media-source type='%s' id='%s-%s0'>%s</media-source>" % (kind, self.name, kind[0], written)
            for kind, written in own_sources(sdp).items()
            if kind in sources
        )
        return "<endpoint id='%s'><transport>%s</transport><sources>%s</sources></endpoint>" % (
            self.name,
            own_transport(sdp),
            described,
        )

    async def received(self, kind: str) -> int:
        """RTP packets of that kind received until now."""
        receiver = next(one for one in self.connection.getReceivers() if one.track.kind == kind)
        stats = (await receiver.getStats()).values()
        return sum(item.packetsReceived for item in stats if item.type == "inbound-rtp")

    async def reported(self) -> bool:
        """Whether it got a receiver report about the video that it sends."""
        sender = next(one for one in self.connection.getSenders() if one.track and one.track.kind == "video")
        return any(item.type == "remote-inbound-rtp" for item in (await sender.getStats()).values())

    async def leave(self) -> None:
        await self.connection.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)


def own_transport(sdp: str) -> str:
    """A client's transport, of its local description."""

    def value(name: str) -> str:
        found = re.search(r"a=%s:(\S+)" % name, sdp)
        assert found is not None, name
        return found.group(1)

    digest = re.search(r"a=fingerprint:sha-256 (\S+)", sdp)
    assert digest is not None
    return (
        "<transport xmlns='%s' ufrag='%s' pwd='%s'><rtcp-mux/><fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' "
        "hash='sha-256' setup='%s'>%s</fingerprint></transport>"
        % (ICE, value("ice-ufrag"), value("ice-pwd"), value("setup"), digest.group(1))
    )


def own_sources(sdp: str, name: str = "") -> Dict[str, str]:
    """Kind -> what a client sends of it, `source` and `ssrc-group`; `name` with %s for the letter of the kind."""
    written = {}
    for section in sdp.split("m=")[1:]:
        kind = section.partition(" ")[0]
        ssrcs = list(dict.fromkeys(re.findall(r"a=ssrc:(\d+)", section)))
        named = " name='%s'" % (name % kind[0]) if name else ""
        written[kind] = "".join("<source xmlns='%s' ssrc='%s'%s/>" % (SSMA, ssrc, named) for ssrc in ssrcs)
        if len(ssrcs) == 2:
            members = "".join("<source ssrc='%s'/>" % ssrc for ssrc in ssrcs)
            written[kind] += "<ssrc-group xmlns='%s' semantics='FID'>%s</ssrc-group>" % (SSMA, members)
    return written


class Call:
    """Bridge, focus and participants of one test."""

    flags: Sequence[str] = ()
    """More options of the bridge."""

    def __init__(self, prosody: Prosody) -> None:
        self.bridge = BridgeProcess(prosody)
        self.focus = ScriptedFocus(prosody)
        self.participants: List[Participant] = []

    async def __aenter__(self: A) -> A:
        await self.start_bridge()
        await self.focus.start()
        return self

    async def __aexit__(self, *exception: object) -> None:
        for participant in self.participants:
            await participant.leave()
        self.focus.client.close()
        await self.bridge.stop()

    async def start_bridge(self) -> None:
        """Start it; returns when it can be asked."""
        await self.bridge.start(*self.flags)

    def participant(self, name: str, speaks: bool) -> Participant:
        """Somebody who has not joined yet."""
        return Participant(name, self.focus, speaks)

    async def join(self, name: str, speaks: bool = False, setup: Optional[str] = None) -> Participant:
        participant = self.participant(name, speaks)
        self.participants.append(participant)
        await participant.join(first=len(self.participants) == 1, setup=setup)
        return participant


def play(make: Callable[[], AsyncContextManager[C]], scenario: Callable[[C], Awaitable[None]],
         timeout: float = 60.0) -> None:
    """Run a scenario of a call, which is made in the loop it runs in, and end whatever the call has started."""

    async def main() -> None:
        async with make() as started:
            await scenario(started)

    asyncio.run(asyncio.wait_for(main(), timeout))


async def no_growth(participant: Participant, kind: str) -> int:
    """Wait until no frame of that kind has come for half a second; gives the count then."""
    seen, since = participant.frames[kind], time.monotonic()

    def settled() -> bool:
        nonlocal seen, since
        if participant.frames[kind] != seen:
            seen, since = participant.frames[kind], time.monotonic()
        return time.monotonic() - since > 0.5

    await until(settled, "no more " + kind)
    return seen


@contextlib.asynccontextmanager
async def messages(url: str, received: List[Dict[str, Any]]) -> AsyncIterator[Any]:
    """Connect a bridge channel; what comes is appended to `received`."""
    async with connect(url) as socket:

        async def read() -> None:
            try:
                async for text in socket:
                    received.append(json.loads(text))
            except ConnectionClosed:
                return

        task = asyncio.get_running_loop().create_task(read())
        try:
            yield socket
        finally:
            await socket.close()
            await task


def condition(answer: Any) -> str:
    """The condition of an error answer."""
    assert answer.get("type") == "error", etree.tostring(answer)
    error = next(child for child in answer if etree.QName(child).localname == "error")
    return str(etree.QName(error[0]).localname)
