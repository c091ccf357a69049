"""The demo bridge as the XMPP component that bridges were until 2020, on a real Prosody (B-1001, B-1002)."""

from __future__ import annotations

import asyncio
import functools
from typing import Any, Iterator, List

import pytest

from tests.support.channel_call import COLIBRI, ChannelCall, ChannelFocus
from tests.support.demo_bridge import BridgeProcess, condition, play, until
from tests.support.prosody import DOMAIN, Prosody

pytestmark = pytest.mark.usefixtures("loopback_only")
ADDRESS = "jitsi-videobridge." + DOMAIN
SECRET = "bridge-secret"
PUBSUB = "pubsub." + DOMAIN
FEATURES = {
    COLIBRI,
    "urn:xmpp:jingle:apps:dtls:0",
    "urn:xmpp:jingle:transports:ice-udp:1",
    "urn:xmpp:jingle:transports:raw-udp:1",
}
DISCO = "<query xmlns='http://jabber.org/protocol/disco#%s'/>"
HEALTH = "<healthcheck xmlns='http://jitsi.org/protocol/healthcheck'/>"
SUBSCRIBE = "<pubsub xmlns='http://jabber.org/protocol/pubsub'><subscribe node='%s' jid='%s'/></pubsub>"


@pytest.fixture(scope="module")
def prosody() -> Iterator[Prosody]:
    pubsub = 'Component "%s" "pubsub"\n  admins = { "%s" }\n' % (PUBSUB, ADDRESS)
    with Prosody(components={ADDRESS: SECRET}, extra_hosts=pubsub) as running:
        yield running


class DiscoveringFocus(ChannelFocus):
    """A focus that finds its bridge by service discovery and needs no brewery."""

    def __init__(self, prosody: Prosody) -> None:
        super().__init__(prosody)
        self.received: List[Any] = []

    @property
    def address(self) -> str:
        return ADDRESS

    async def start(self) -> None:
        await self.client.connect()

    def _stanza(self, element: Any) -> None:
        self.received.append(element)


class ComponentCall(ChannelCall):
    def __init__(self, prosody: Prosody, *flags: str) -> None:
        port = "--port=%d" % prosody.component_port
        super().__init__(prosody, "--component=" + ADDRESS, port, *flags)
        self.focus: DiscoveringFocus = DiscoveringFocus(prosody)

    async def start_bridge(self) -> None:
        await self.bridge.start(*self.flags, password=SECRET, wait_for="component_connected")


def test_a_component_is_found_and_carries_a_call(prosody: Prosody) -> None:
    """B-1001: among the server's items, with the four features and a version; then media both ways, and a new start."""

    async def scenario(call: ComponentCall) -> None:
        focus = call.focus
        items = await focus.client.ask("get", DOMAIN, DISCO % "items")
        assert ADDRESS in [item.get("jid") for item in items.iter("{*}item")]
        info = await focus.iq(DISCO % "info")
        assert FEATURES <= {feature.get("var") for feature in info.iter("{*}feature")}
        assert (await focus.iq("<query xmlns='jabber:iq:version'/>")).findtext(".//{*}version")
        assert (await focus.iq(HEALTH)).get("type") == "result"
        ada, bo = await call.join("ada"), await call.join("bo")
        await until(lambda: ada.frames["video"] > 5 and ada.frames["audio"] > 20, "Bo's media at Ada")
        await until(lambda: bo.frames["video"] > 5 and bo.frames["audio"] > 20, "Ada's media at Bo")
        assert not call.bridge.seen("iq_refused")

    play(lambda: ComponentCall(prosody), scenario)


def test_statistics_go_to_a_node(prosody: Prosody) -> None:
    """B-1002: the item's id is the bridge's address, its payload the same stats as in presence, in the old words."""

    async def scenario(call: ComponentCall) -> None:
        focus = call.focus

        async def subscribed() -> bool:
            answer = await focus.client.ask("set", PUBSUB, SUBSCRIBE % ("bridges", focus.client.jid))
            return bool(answer.get("type") == "result")

        assert await subscribed(), "the node is there as soon as the bridge is"
        stats = "{%s}stats" % COLIBRI
        (item, *_) = await until(
            lambda: [item for one in focus.received for item in one.iter("{*}item") if item.find(stats) is not None],
            "a report on the node",
        )
        assert item.get("id") == ADDRESS
        told = {one.get("name"): one.get("value") for one in item.iter("{%s}stat" % COLIBRI)}
        assert (told["endpoints"], told["graceful_shutdown"]) == ("0", "false") and "drain" not in told

    play(lambda: ComponentCall(prosody, "--pubsub-node=bridges"), scenario)


def test_statistics_are_sent_to_a_focus(prosody: Prosody) -> None:
    """K-773: the same by an IQ to the focus."""

    async def scenario(call: ComponentCall) -> None:
        focus = call.focus
        first, *_ = await until(
            lambda: [one for one in focus.received if one.get("from") == ADDRESS and one.get("type") == "set"],
            "statistics",
        )
        assert first[0].tag == "{%s}stats" % COLIBRI
        assert {"conferences", "stress_level"} <= {one.get("name") for one in first[0]}

    play(lambda: ComponentCall(prosody, "--stats-to=focus@%s/focus" % prosody.user_domain), scenario)


@pytest.mark.parametrize("pattern, fine", [(r"focus@auth\.meet\.example/.*", True), ("focus@auth", False)])
def test_a_component_asks_who_asks(prosody: Prosody, pattern: str, fine: bool) -> None:
    """K-748, K-770: the pattern is for the whole sender; others get not-authorized, for health checks too."""

    async def scenario(call: ComponentCall) -> None:
        creating = "<content name='audio'><channel endpoint='ada'/></content>"
        for answer in (await call.focus.ask(creating), await call.focus.iq(HEALTH)):
            assert answer.get("type") == "result" if fine else condition(answer) == "not-authorized"
        version = await call.focus.iq("<query xmlns='jabber:iq:version'/>")
        assert version.get("type") == "result"

    play(lambda: ComponentCall(prosody, "--authorized-source=" + pattern), scenario)


def test_an_early_bridge_tells_which_ssrcs_have_come(prosody: Prosody) -> None:
    """K-774: a `conference` of type set to whoever asked, with the channel and the SSRCs; a refusal is noted."""

    async def scenario(call: ComponentCall) -> None:
        focus = call.focus
        ada = await call.join("ada")

        def told(kind: str) -> List[Any]:
            return [
                channel
                for iq in focus.received
                if iq.get("type") == "set" and iq[0].get("id") == focus.conference
                for content in iq[0]
                if content.get("name") == kind
                for channel in content
            ]

        for kind in ("audio", "video"):
            (channel,) = await until(functools.partial(told, kind), "SSRCs of %s" % kind)
            assert channel.get("id") == ada.channels[kind]
            assert len(channel.findall("{%s}ssrc" % COLIBRI)) == 1
        refusal = "<iq type='error' id='received1' to='%s'><error type='cancel'><bad-request xmlns='%s'/></error></iq>"
        focus.client.send(refusal % (ADDRESS, "urn:ietf:params:xml:ns:xmpp-stanzas"))
        await until(lambda: call.bridge.seen("iq_refused", id="received1", why="bad-request"), "the refusal noted")

    play(lambda: ComponentCall(prosody, "--control=form early"), scenario)


def test_a_wrong_secret_is_told(prosody: Prosody) -> None:
    async def main() -> None:
        bridge = BridgeProcess(prosody)
        call = ComponentCall(prosody)
        await bridge.start(*call.flags, password="wrong", wait_for="xmpp_lost")
        assert "not-authorized" in bridge.seen("xmpp_lost")[0]["why"]
        assert not bridge.seen("component_connected")
        assert await bridge.stop() == 0

    asyncio.run(asyncio.wait_for(main(), 30))
