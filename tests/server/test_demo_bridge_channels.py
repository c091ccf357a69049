"""The demo bridge as an old one: Colibri 1 on a real Prosody, two WebRTC clients (aiortc) with media both ways."""

from __future__ import annotations

import json
from typing import Any, Dict, Iterator, List

import pytest

from tests.support.channel_call import COLIBRI, ChannelCall, ChannelParticipant
from tests.support.demo_bridge import COLIBRI2, MEETING, condition, eventually, messages, no_growth, play, until
from tests.support.prosody import Prosody

pytestmark = pytest.mark.usefixtures("loopback_only")
MODIFY = "<conference-modify xmlns='%s' meeting-id='%s' create='true'/>" % (COLIBRI2, MEETING)
DISCO = "<query xmlns='http://jabber.org/protocol/disco#info'/>"


@pytest.fixture(scope="module")
def prosody() -> Iterator[Prosody]:
    with Prosody() as running:
        yield running


async def media_of(sender: str, receiver: ChannelParticipant) -> None:
    await until(lambda: receiver.frames["video"] > 5 and receiver.frames["audio"] > 20, "media of %s" % sender)


def test_two_participants_see_and_hear_each_other_until_their_channels_expire(prosody: Prosody) -> None:
    """K-710 to K-730: audio and video both ways, the bridge channel of the bundle, last-n, expiry of one endpoint."""

    async def scenario(call: ChannelCall) -> None:
        ada = await call.join("ada", speaks=True)
        bo = await call.join("bo", setup="passive")
        await media_of("Ada", bo)
        await media_of("Bo", ada)
        await until(lambda: bo.loudest > 10000, "Ada's tone at Bo")
        (made,) = call.bridge.seen("channel_conference")
        assert made["id"] == call.focus.conference
        assert await eventually(ada.reported), "no receiver report from the bridge"
        told: List[Dict[str, Any]] = []
        async with messages(ada.web_socket, told) as socket:
            await until(lambda: {"colibriClass": "ServerHello"} in told, "hello")
            await until(lambda: [one for one in told if one.get("dominantSpeakerEndpoint") == "ada"], "the speaker")
            await socket.send(json.dumps({"colibriClass": "LastNChangedEvent", "lastN": 0}))
            await no_growth(ada, "video")
            answer = await call.focus.ask(ada.channel("video", "direction='sendrecv' last-n='5'"))
            (channel,) = answer.iter("{%s}channel" % COLIBRI)
            assert channel.get("last-n") == "5"  # K-726
            assert [one.text for one in channel.iter("{%s}ssrc" % COLIBRI)]  # K-711: what has come from Ada
            before = await ada.received("video")

            async def again() -> bool:
                return await ada.received("video") > before + 20

            assert await eventually(again), "no video after last-n was raised"
        answer = await call.focus.ask(bo.channel("audio", "expire='0'") + bo.channel("video", "expire='0'"))
        assert answer.get("type") == "result" and not list(answer.iter("{%s}channel" % COLIBRI))
        await until(lambda: call.bridge.seen("endpoint_gone", endpoint="bo"), "Bo gone")
        await no_growth(ada, "video")
        assert not call.bridge.seen("refused")

    play(lambda: ChannelCall(prosody), scenario)


def test_direction_mutes_one_kind_at_once(prosody: Prosody) -> None:
    """K-722, K-724: sendonly stops the kind, the other goes on, an update without one brings it back (KT-28)."""

    async def scenario(call: ChannelCall) -> None:
        ada = await call.join("ada", speaks=True)
        bo = await call.join("bo")
        await media_of("Ada", bo)
        answer = await call.focus.ask(ada.channel("video", "direction='sendonly'"))
        assert [one.get("direction") for one in answer.iter("{%s}channel" % COLIBRI)] == ["sendonly"]
        quiet = await no_growth(bo, "video")
        audio, own = bo.frames["audio"], ada.frames["video"]
        await until(lambda: bo.frames["audio"] > audio + 20, "audio goes on")
        assert bo.frames["video"] <= quiet + 1
        assert ada.frames["video"] > own, "who is muted still sees the others"
        before = await bo.received("video")
        await call.focus.ask(ada.channel("video"))

        async def again() -> bool:
            return await bo.received("video") > before + 20

        assert await eventually(again), "no video after the mute was lifted"
        await call.focus.ask(bo.channel("audio", "direction='recvonly'"))
        await no_growth(bo, "audio")

    play(lambda: ChannelCall(prosody), scenario)


def test_an_old_bridge_is_known_by_what_it_says(prosody: Prosody) -> None:
    """K-830, K-775, K-742, B-1012: features, statistics, refusals of its library; a silent channel; knobs."""

    async def scenario(call: ChannelCall) -> None:
        focus, bridge = call.focus, call.bridge
        newer = {"drain", "shutting_down", "healthy", "average_participant_stress", "colibri2"}
        assert not newer & set(focus.stats[0])
        assert {"stress_level", "graceful_shutdown", "version"} <= set(focus.stats[0])
        features = {one.get("var") for one in (await focus.iq(DISCO)).iter("{*}feature")}
        assert {COLIBRI, "http://jitsi.org/protocol/healthcheck"} <= features
        assert not bridge.seen("unknown_iq")
        refused = await focus.iq(MODIFY)
        assert bridge.seen("unknown_iq", element="{%s}conference-modify" % COLIBRI2)
        assert condition(refused) == "service-unavailable"
        assert refused.find(".//{%s}error" % COLIBRI2) is None and refused.find(".//{*}text") is None
        assert (await focus.iq("<healthcheck xmlns='http://jitsi.org/protocol/healthcheck'/>")).get("type") == "result"
        creating = "<content name='audio'><channel endpoint='ada' expire='1'/></content>"
        await focus.ask(creating)
        await until(lambda: bridge.seen("endpoint_gone", endpoint="ada"), "the silent channel expired")  # K-732
        await bridge.control("form early")
        unknown = "<content name='audio'><channel id='ff'/></content>"
        assert condition(await focus.ask(unknown)) == "bad-request"
        await bridge.control("form late")
        assert condition(await focus.ask(unknown)) == "item-not-found"
        await bridge.control("forget conference " + focus.conference)
        gone = await focus.ask(creating)
        assert condition(gone) == "bad-request"
        assert gone.findtext(".//{*}text") == "Conference not found for ID: " + focus.conference
        await bridge.control("graceful")
        focus.conference = ""
        shut = await focus.ask(creating)
        assert condition(shut) == "service-unavailable"
        assert shut.find(".//{%s}graceful-shutdown" % COLIBRI) is not None

    play(lambda: ChannelCall(prosody, "--expiry-interval=1"), scenario)


def test_a_bridge_of_2022_speaks_both(prosody: Prosody) -> None:
    """K-830: `colibri2` in the statistics, the feature of Colibri 1, and an answer in either."""

    async def scenario(call: ChannelCall) -> None:
        focus = call.focus
        assert (focus.stats[0]["colibri2"], focus.stats[0]["drain"]) == ("true", "false")
        features = {one.get("var") for one in (await focus.iq(DISCO)).iter("{*}feature")}
        assert COLIBRI in features
        assert (await focus.iq(MODIFY)).get("type") == "result"
        assert (await focus.ask("<content name='audio'><channel endpoint='ada'/></content>")).get("type") == "result"

    play(lambda: ChannelCall(prosody, "--colibri=both"), scenario)
