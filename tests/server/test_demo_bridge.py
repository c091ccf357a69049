"""The demo bridge as a process, on a real Prosody, with two WebRTC clients (aiortc) that see and hear each other."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from typing import Any, Dict, Iterator, List

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.support.demo_bridge import (
    COLIBRI2,
    MEETING,
    BridgeProcess,
    Call,
    Participant,
    condition,
    eventually,
    messages,
    no_growth,
    play,
    until,
)
from tests.support.prosody import Prosody

pytestmark = pytest.mark.usefixtures("loopback_only")


@pytest.fixture(scope="module")
def prosody() -> Iterator[Prosody]:
    with Prosody() as running:
        yield running


def test_two_participants_see_and_hear_each_other(prosody: Prosody) -> None:
    """The main thing: audio and video both ways, a late third, one leaves, the timeline is told (K-11xx)."""

    async def scenario(call: Call) -> None:
        ada = await call.join("ada", speaks=True)
        bo = await call.join("bo", setup="passive")
        await until(lambda: bo.frames["video"] > 5 and bo.frames["audio"] > 20, "Ada's media at Bo")
        await until(lambda: ada.frames["video"] > 5 and ada.frames["audio"] > 20, "Bo's media at Ada")
        await until(lambda: bo.loudest > 10000, "Ada's tone at Bo")
        await until(lambda: call.bridge.seen("dominant_speaker", endpoint="ada"), "Ada as dominant speaker")
        for name in ("ada", "bo"):
            for event in (
                "endpoint_created",
                "ice_connected",
                "dtls_connected",
                "first_audio",
                "first_video",
            ):
                assert len(call.bridge.seen(event, endpoint=name, room="room")) == 1, (event, name)
        times = [item["t"] for item in call.bridge.events]
        assert times == sorted(times)
        assert await eventually(ada.reported), "no receiver report from the bridge"
        answer = await call.focus.modify("<endpoint id='bo' expire='true'/>")
        assert answer.find(".//{%s}endpoint" % COLIBRI2).get("expire") == "true"
        await until(lambda: call.bridge.seen("endpoint_gone", endpoint="bo"), "Bo gone")
        before = dict(bo.frames)
        await bo.leave()
        assert bo.frames["video"] <= before["video"] + 3

    play(lambda: Call(prosody), scenario)


def test_force_mute_stops_a_kind_at_once(prosody: Prosody) -> None:
    """K-233, K-1123: the muted kind stops, the other goes on, and unmuting brings it back."""

    async def scenario(call: Call) -> None:
        await call.join("ada", speaks=True)
        bo = await call.join("bo")
        await until(lambda: bo.frames["video"] > 5 and bo.frames["audio"] > 5, "Ada's media at Bo")
        await call.focus.modify("<endpoint id='ada'><force-mute video='true'/></endpoint>")
        quiet = await no_growth(bo, "video")
        audio = bo.frames["audio"]
        await until(lambda: bo.frames["audio"] > audio + 20, "audio goes on")
        assert bo.frames["video"] <= quiet + 1
        before = await bo.received("video")
        await call.focus.modify("<endpoint id='ada'><force-mute/></endpoint>")

        async def again() -> bool:
            return (
                await bo.received("video") > before + 20
            )  # packets: aiortc shows no frame for 17 s after a gap

        assert await eventually(again), "no video after the mute was lifted"

    play(lambda: Call(prosody), scenario)


def test_a_wrong_fingerprint_gets_no_media(prosody: Prosody) -> None:
    """K-1106: ICE comes up, the handshake is refused, the endpoint is failed."""

    async def scenario(call: Call) -> None:
        ada = Participant("ada", call.focus, False)
        call.participants.append(ada)
        original = ada.update
        ada.update = lambda sdp, sources=("audio", "video"): re.sub(  # type: ignore[method-assign]
            r">([0-9A-F]{2}):",
            lambda match: ">%02X:" % (int(match.group(1), 16) ^ 1),
            original(sdp, sources),
            count=1,
        )
        await ada.join(first=True)
        await until(lambda: call.bridge.seen("transport_failed", endpoint="ada"), "refused handshake")
        assert call.bridge.seen("ice_connected", endpoint="ada")
        assert not call.bridge.seen("dtls_connected", endpoint="ada")

    play(lambda: Call(prosody), scenario)


def test_bridge_channel(prosody: Prosody) -> None:
    """K-1011, K-1013, K-1040 to K-1050: password, hello, messages with their sender, replacement, end."""

    async def scenario(call: Call) -> None:
        ada, bo = await call.join("ada"), await call.join("bo")
        for url, status in ((ada.web_socket + "x", 403), (ada.web_socket.replace("/jvb1/", "/jvb2/"), 404)):
            with pytest.raises(InvalidStatus) as refused:
                async with connect(url):
                    raise AssertionError("let in with a wrong address")
            assert refused.value.response.status_code == status
        at_ada: List[Dict[str, Any]] = []
        at_bo: List[Dict[str, Any]] = []
        async with messages(ada.web_socket, at_ada) as ada_socket:
            async with messages(bo.web_socket, at_bo) as bo_socket:
                await until(lambda: {"colibriClass": "ServerHello"} in at_ada, "hello")
                await ada_socket.send("nonsense")
                await ada_socket.send(
                    json.dumps({"colibriClass": "EndpointMessage", "to": "bo", "msgPayload": {"a": 1}})
                )
                await bo_socket.send(json.dumps({"colibriClass": "EndpointStats", "jvbRTT": 5}))
                wanted = {
                    "colibriClass": "EndpointMessage",
                    "to": "bo",
                    "msgPayload": {"a": 1},
                    "from": "ada",
                }
                await until(lambda: wanted in at_bo, "message to Bo")
                await until(
                    lambda: {"colibriClass": "EndpointStats", "jvbRTT": 5, "from": "bo"} in at_ada,
                    "statistics",
                )
                await call.focus.modify("<endpoint id='bo' expire='true'/>")
                await until(lambda: bo_socket.close_code == 1001, "Bo's channel closed")
            async with connect(ada.web_socket) as second:
                await until(lambda: ada_socket.close_code == 1000, "replaced")
                assert json.loads(await second.recv())["colibriClass"] == "ServerHello"

    play(lambda: Call(prosody), scenario)


def test_requests_of_the_program_and_knobs(prosody: Prosody) -> None:
    """B-1150, B-1151, K-1163: statistics, health, version, ping, the unknown, and what tests can make it do."""

    async def scenario(call: Call) -> None:
        focus, bridge = call.focus, call.bridge
        first = focus.stats[0]
        assert (first["drain"], first["healthy"], first["graceful_shutdown"]) == ("false", "true", "false")
        assert {"stress_level", "version", "current_timestamp"} <= set(first)
        health = "<healthcheck xmlns='http://jitsi.org/protocol/healthcheck'/>"
        assert (await focus.iq(health)).get("type") == "result"
        assert (await focus.iq("<ping xmlns='urn:xmpp:ping'/>")).get("type") == "result"
        version = await focus.iq("<query xmlns='jabber:iq:version'/>")
        assert version.findtext(".//{jabber:iq:version}name")
        assert condition(await focus.iq("<query xmlns='urn:example:unknown'/>")) == "service-unavailable"
        await bridge.control("health fail")
        assert condition(await focus.iq(health)) == "internal-server-error"
        await bridge.control("health silent")
        with pytest.raises(asyncio.TimeoutError):
            await focus.iq(health, timeout=0.5)
        await bridge.control("error create-conference service-unavailable graceful_shutdown")
        refused = await focus.modify(attributes="create='true'")
        assert condition(refused) == "service-unavailable"
        assert refused.find(".//{%s}error" % COLIBRI2).get("reason") == "graceful_shutdown"
        assert refused[1].get("meeting-id") == MEETING  # K-402
        assert (await focus.modify(attributes="create='true'")).get("type") == "result"
        await bridge.control("drop 1")
        with pytest.raises(asyncio.TimeoutError):
            await focus.modify(attributes="create='true'", timeout=0.5)
        await bridge.control("forget conference " + MEETING)
        assert condition(await focus.modify()) == "item-not-found"
        await bridge.control("delay 0.4")
        begin = time.monotonic()
        await focus.modify()
        assert time.monotonic() - begin >= 0.4
        await bridge.control("graceful")
        await until(
            lambda: focus.stats[-1]["graceful_shutdown"] == "true", "graceful shutdown in the statistics"
        )
        malformed = await focus.iq("<conference-modify xmlns='%s'/>" % COLIBRI2)
        assert condition(malformed) == "bad-request"

    play(lambda: Call(prosody), scenario)


def test_the_bridge_comes_back_after_its_server_was_away(prosody: Prosody) -> None:
    """B-1101: reconnects and joins again; and a stop ends it with status 0."""

    async def main() -> None:
        bridge = BridgeProcess(prosody)
        await bridge.start()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, prosody.stop)
        await until(lambda: bridge.seen("xmpp_lost"), "loss noticed")
        await loop.run_in_executor(None, prosody.start)
        await until(lambda: len(bridge.seen("brewery_joined")) == 2, "back in the brewery", 30)
        assert await bridge.stop() == 0

    asyncio.run(asyncio.wait_for(main(), 60))


@pytest.mark.parametrize(
    "flags, password, why",
    [
        (["--ca-file="], "", "certificate verify failed"),
        ([], "wrong", "not-authorized"),
        (["--user=nobody@auth.meet.example"], "", "not-authorized"),
    ],
)
def test_a_login_that_fails_is_told_and_tried_again(
    prosody: Prosody, flags: List[str], password: str, why: str
) -> None:
    """The server's certificate is verified, a wrong password is named as such, and it goes on trying."""

    async def main() -> None:
        bridge = BridgeProcess(prosody)
        await bridge.start(*flags, password=password, wait_for="xmpp_lost")
        await until(lambda: len(bridge.seen("xmpp_lost")) >= 2, "second attempt")
        assert all(why in item["why"] for item in bridge.seen("xmpp_lost")), bridge.events
        assert not bridge.seen("xmpp_connected")
        assert await bridge.stop() == 0

    asyncio.run(asyncio.wait_for(main(), 60))


@pytest.mark.parametrize(
    "flags, named",
    [
        (["--user", "nobody"], "user"),
        (["--port", "x"], "port"),
        (["--tls", "maybe"], "tls"),
        (["--control", "dance"], "dance"),
        (["--colibri", "3"], "colibri"),
        (["--component", "bridge.meet.example"], "component"),
        (["--pubsub-node", "bridges"], "pubsub_node"),
        (["--component=b.x", "--colibri=1", "--authorized-source=("], "authorized_source"),
    ],
)
def test_wrong_options_are_named(flags: List[str], named: str) -> None:
    async def main() -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "focus.demo.bridge",
            *flags,
            stderr=asyncio.subprocess.PIPE,
            env=dict(os.environ, FOCUS_BRIDGE_PASSWORD="secret"),
        )
        _, errors = await process.communicate()
        assert process.returncode == 2
        assert named in errors.decode()
        assert "secret" not in errors.decode()

    asyncio.run(asyncio.wait_for(main(), 30))
