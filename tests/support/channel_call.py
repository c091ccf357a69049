"""A scripted call over the demo bridge in Colibri 1: the same clients, a focus that asks for channels (K-710 to K-730).

Needs the extra `demo`.
"""

from __future__ import annotations

import re
from typing import Any, Dict, Optional, Sequence, cast

from lxml import etree

from tests.support.demo_bridge import ICE, MEDIA, Call, Participant, ScriptedFocus, own_sources, own_transport
from tests.support.prosody import Prosody

COLIBRI = "http://jitsi.org/protocol/colibri"
DESCRIBED: Dict[str, str] = dict(re.findall(r"<media type='(\w+)'>(.*?)</media>", MEDIA, re.DOTALL))
"""Kind -> payload types and header extensions."""


class ChannelFocus(ScriptedFocus):
    """A focus that speaks Colibri 1. The id of the conference comes with the first answer (K-701)."""

    conference = ""

    async def ask(self, inner: str = "", timeout: float = 10.0) -> Any:
        """Ask for something in the conference, or for a new one; gives the whole answer."""
        identity = " id='%s'" % self.conference if self.conference else ""
        answer = await self.iq(
            "<conference xmlns='%s'%s name='room@conference.meet.example' rtcstats-enabled='false'>%s</conference>"
            % (COLIBRI, identity, inner),
            "set",
            timeout,
        )
        if answer.get("type") == "result" and not self.conference:
            self.conference = answer[0].get("id")
        return answer


class ChannelParticipant(Participant):
    """A client with a channel for audio and one for video."""

    def __init__(self, name: str, focus: ChannelFocus, speaks: bool) -> None:
        super().__init__(name, focus, speaks)
        self.old_focus = focus
        self.channels: Dict[str, str] = {}
        """Content -> id of the channel."""

    async def join(self, first: bool = False, setup: Optional[str] = None) -> None:
        address = "endpoint='%s' initiator='true' channel-bundle-id='%s'" % (self.name, self.name)
        contents = "".join(
            "<content name='%s'><channel %s>%s</channel></content>" % (kind, address, described)
            for kind, described in DESCRIBED.items()
        )
        bundle = "<channel-bundle id='%s'/><endpoint id='%s' stats-id='Label'/>" % (self.name, self.name)
        answer = await self.old_focus.ask(contents + bundle)
        assert answer.get("type") == "result", etree.tostring(answer)
        for content in answer[0].iterfind("{%s}content" % COLIBRI):
            self.channels[content.get("name")] = content[0].get("id")
        await self.accept(answer.find(".//{%s}transport" % ICE), setup)

    def update(self, sdp: str, sources: Sequence[str] = ("audio", "video")) -> str:
        """K-721."""
        written = own_sources(sdp, self.name + "-%s0")
        contents = "".join(
            self.channel(kind, "direction='sendrecv'", DESCRIBED[kind] + (written[kind] if kind in sources else ""))
            for kind in ("audio", "video")
        )
        return contents + "<channel-bundle id='%s'>%s</channel-bundle>" % (self.name, own_transport(sdp))

    async def tell(self, update: str) -> Any:
        return await self.old_focus.ask(update)

    def channel(self, kind: str, attributes: str = "", inner: str = "") -> str:
        """The content with this client's channel in it."""
        return "<content name='%s'><channel id='%s' %s>%s</channel></content>" % (
            kind,
            self.channels[kind],
            attributes,
            inner,
        )


class ChannelCall(Call):
    """Bridge, focus and participants of one test, all in Colibri 1."""

    def __init__(self, prosody: Prosody, *flags: str) -> None:
        super().__init__(prosody)
        self.flags = ("--colibri=1",) + flags
        self.focus: ChannelFocus = ChannelFocus(prosody)

    def participant(self, name: str, speaks: bool) -> ChannelParticipant:
        return ChannelParticipant(name, self.focus, speaks)

    async def join(self, name: str, speaks: bool = False, setup: Optional[str] = None) -> ChannelParticipant:
        return cast(ChannelParticipant, await super().join(name, speaks, setup))
