"""Two demo bridges share a conference over a relay: real ICE, DTLS and SRTP between the two processes."""

from __future__ import annotations

import re
import time
from typing import Any, Dict, Iterator, List

import pytest
from lxml import etree

from tests.support.demo_bridge import (
    COLIBRI2,
    ICE,
    MEDIA,
    BridgeProcess,
    Participant,
    ScriptedFocus,
    condition,
    eventually,
    messages,
    play,
    until,
)
from tests.support.prosody import Prosody

pytestmark = pytest.mark.usefixtures("loopback_only")


@pytest.fixture(scope="module")
def prosody() -> Iterator[Prosody]:
    with Prosody() as running:
        yield running


class SharedCall:
    """Two bridges with the relay ids relay1 and relay2, a focus, and participants on both."""

    def __init__(self, prosody: Prosody) -> None:
        self.bridges = {"jvb1": BridgeProcess(prosody), "jvb2": BridgeProcess(prosody)}
        self.focus = ScriptedFocus(prosody)
        self.participants: Dict[str, Participant] = {}
        self.bridge_of: Dict[str, str] = {}

    async def __aenter__(self) -> SharedCall:
        for number, (name, bridge) in enumerate(self.bridges.items(), 1):
            await bridge.start("--nickname=" + name, "--relay-id=relay%d" % number, "--region=r%d" % number)
        await self.focus.start()
        return self

    async def __aexit__(self, *exception: object) -> None:
        for participant in self.participants.values():
            await participant.leave()
        self.focus.client.close()
        for bridge in self.bridges.values():
            await bridge.stop()

    async def join(self, name: str, bridge: str, speaks: bool = False) -> Participant:
        participant = self.participants[name] = Participant(name, self.focus.at(bridge), speaks)
        first = bridge not in self.bridge_of.values()
        self.bridge_of[name] = bridge
        await participant.join(first=first)
        return participant

    def sources(self, name: str) -> str:
        """The `sources` of a participant as its own bridge was told them."""
        update = self.participants[name].update(self.participants[name].connection.localDescription.sdp)
        found = re.search("<sources>.*</sources>", update, re.DOTALL)
        assert found is not None
        return found.group(0)

    def relayed(self, bridge: str) -> str:
        """The relayed endpoints that another bridge is told of `bridge` (K-513, K-514)."""
        return "".join(
            "<endpoint id='%s' create='true' stats-id='%s'><capability name='source-names'/>%s</endpoint>"
            % (name, name.title(), self.sources(name))
            for name, of in self.bridge_of.items()
            if of == bridge
        )

    async def connect(self) -> List[Any]:
        """Create both sides of the relay and carry the transports across (K-511 to K-530); gives the answers."""
        sides = (
            ("jvb1", "relay2", "jvb2", "use-unique-port='true' ice-controlling='true'"),
            ("jvb2", "relay1", "jvb1", ""),
        )
        answers = []
        for bridge, relay, behind, transport in sides:
            answers.append(
                await self.focus.at(bridge).modify(
                    "<relay id='%s' mesh-id='0' create='true'>%s<transport %s/><endpoints>%s</endpoints></relay>"
                    % (relay, MEDIA, transport, self.relayed(behind))
                )
            )
        for (bridge, relay, _, _), answer, setup in zip(sides, reversed(answers), ("active", "passive")):
            ice = answer.find(".//{%s}transport" % ICE)
            assert ice is not None, etree.tostring(answer)
            fingerprint = ice.find("{urn:xmpp:jingle:apps:dtls:0}fingerprint")
            assert fingerprint.get("setup") == "actpass"  # B-1154
            fingerprint.set("setup", setup)
            done = await self.focus.at(bridge).modify(
                "<relay id='%s'><transport>%s</transport></relay>" % (relay, etree.tostring(ice).decode())
            )
            assert done.find(".//{%s}relay" % COLIBRI2).get("id") == relay
        return answers


def packets(participant: Participant, kind: str) -> int:
    """RTP packets of that kind from all senders; aiortc's statistics know only the last sender of a receiver."""
    receiver: Any = next(one for one in participant.connection.getReceivers() if one.track.kind == kind)
    return sum(stream.packets_received for stream in receiver._RTCRtpReceiver__remote_streams.values())


async def grow(participant: Participant, kind: str, what: str) -> None:
    """Wait until that participant gets packets of this kind."""
    before = packets(participant, kind)
    await until(lambda: packets(participant, kind) > before + 10, what)


async def fall_silent(participant: Participant) -> None:
    """Wait until no packet has come for half a second."""
    seen, since = -1, time.monotonic()

    def settled() -> bool:
        nonlocal seen, since
        count = packets(participant, "audio") + packets(participant, "video")
        if count != seen:
            seen, since = count, time.monotonic()
        return time.monotonic() - since > 0.5

    await until(settled, "no more media at " + participant.name)


def test_media_crosses_a_relay_both_ways_until_it_is_expired(prosody: Prosody) -> None:
    """K-510 to K-553, B-726, B-1154: three endpoints on two bridges, one leaves, the relay is expired."""

    async def scenario(call: SharedCall) -> None:
        ada = await call.join("ada", "jvb1", speaks=True)
        bo = await call.join("bo", "jvb2")
        assert call.focus.stats[-1]["relay_id"] == "relay1"
        assert call.focus.stats[-1]["region"] == "r1"
        at_bo: List[Dict[str, Any]] = []
        async with messages(bo.web_socket, at_bo):
            await call.connect()
            await until(lambda: bo.frames["video"] > 5 and bo.frames["audio"] > 20, "Ada's media at Bo")
            await until(lambda: ada.frames["video"] > 5 and ada.frames["audio"] > 20, "Bo's media at Ada")
            await until(lambda: bo.loudest > 10000, "Ada's tone at Bo")
            await until(
                lambda: any(message.get("dominantSpeakerEndpoint") == "ada" for message in at_bo),
                "Ada as dominant speaker on the other bridge",
            )
        assert await eventually(ada.reported)
        cy = await call.join("cy", "jvb2")
        await grow(cy, "video", "video at Cy")
        await call.focus.modify(
            "<relay id='relay2'><endpoints><endpoint id='cy' create='true'>%s</endpoint></endpoints></relay>"
            % call.sources("cy")
        )
        await call.focus.at("jvb2").modify("<endpoint id='bo' expire='true'/>")
        await call.focus.modify(
            "<relay id='relay2'><endpoints><endpoint id='bo' expire='true'/></endpoints></relay>"
        )
        for kind in ("audio", "video"):
            await grow(ada, kind, "Cy's %s at Ada" % kind)
            await grow(cy, kind, "Ada's %s at Cy" % kind)
        for bridge, relay in (("jvb1", "relay2"), ("jvb2", "relay1")):
            gone = await call.focus.at(bridge).modify("<relay id='%s' expire='true'/>" % relay)
            assert gone.find(".//{%s}relay" % COLIBRI2).get("expire") == "true"
            assert call.bridges[bridge].seen("relay_gone", endpoint=relay)
        await fall_silent(ada)
        await fall_silent(cy)

    play(lambda: SharedCall(prosody), scenario, 90)


def test_what_is_refused_of_a_relay(prosody: Prosody) -> None:
    """K-331, K-430, K-431, K-433, K-438, K-341, B-1104, B-1105."""

    async def scenario(call: SharedCall) -> None:
        await call.join("ada", "jvb1")
        await call.join("bo", "jvb2")
        await call.connect()
        modify = call.focus.modify
        again = "<relay id='relay2' create='true'><transport/></relay>"
        assert condition(await modify(again)) == "conflict"
        assert condition(await modify("<relay id='relay3' create='true'/>")) == "bad-request"
        sctp = "<relay id='relay3' create='true'><transport><sctp role='client'/></transport></relay>"
        assert condition(await modify(sctp)) == "feature-not-implemented"
        assert condition(await modify("<relay id='relay3'><transport/></relay>")) == "bad-request"
        assert (await modify("<relay id='relay3' expire='true'/>")).get("type") == "result"
        local = (
            "<endpoint id='bo' create='true'><capability name='source-names'/><transport/><sources/></endpoint>"
        )
        assert condition(await modify(local)) == "internal-server-error"

    play(lambda: SharedCall(prosody), scenario, 90)
