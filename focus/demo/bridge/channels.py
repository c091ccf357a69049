"""Conferences made of channels: what a Colibri 1 request does to them (colibri.md section 7).

Pure, like `colibri`, whose endpoints and `Media` it uses: an endpoint here comes into being with its first channel and
goes with its last one (K-705, K-730), and its channels together say what it sends and takes. A refused request is not
rolled back. There is no SCTP and no Octo (K-746), nothing is mixed.

Bridges changed in the years of Colibri 1; `form` says which years are played:

    early   answers tell of all bundles and endpoints (K-711), an unknown channel is a bad-request (K-744), payload
            types of an update replace the former ones (K-803), bundles may be named freely, and the focus is told
            which SSRCs have come (K-774)
    late    an unknown channel is item-not-found, a bundle must have the name of its endpoint, payload types gather, a
            transport in a channel is refused (K-727)
    last    late, and sources must have names (K-707)
"""

from __future__ import annotations

from typing import Callable, Dict, Iterable, List, Optional, Tuple

from focus.demo.bridge.colibri import Conference, Endpoint, Media, Refused
from focus.demo.bridge.colibri1 import (
    ChannelAnswer,
    ChannelRequest,
    ChannelsAnswer,
    ChannelsRequest,
    ContentRequest,
)
from focus.demo.bridge.request import EndpointRequest, is_room_name
from focus.values.media import HeaderExtension, PayloadType
from focus.values.sources import Source, SourceSet, SsrcGroup

FORMS = ("early", "late", "last")
CONTENTS = ("audio", "video", "data")
EXPIRE = 60
"""Seconds without traffic after which a channel goes, unless its request says otherwise (K-705)."""
CONFERENCE_TIMEOUT = 60.0
"""Seconds after which a conference without channels goes (K-731)."""


class RtpChannel:
    """One channel: what an endpoint sends and takes of one content. `expire` is seconds without traffic."""

    def __init__(self, identifier: str, content: str, endpoint: ChannelEndpoint, expire: int, now: float) -> None:
        self.id = identifier
        self.content = content
        self.endpoint = endpoint
        self.expire = expire
        self.created_at = now
        self.direction = "sendrecv"
        self.last_n: Optional[int] = None
        self.payload_types: Dict[int, PayloadType] = {}
        self.extensions: Dict[int, HeaderExtension] = {}
        self.sources: Tuple[Source, ...] = ()
        self.groups: Tuple[SsrcGroup, ...] = ()

    def idle(self, now: float) -> bool:
        """Whether nothing has come for its endpoint for too long (K-732)."""
        return now - max(self.created_at, self.endpoint.last_activity or 0.0) > self.expire


class ChannelEndpoint(Endpoint):
    """One endpoint, which is what its channels make of it. They share one transport, named `bundle`."""

    def __init__(self, identifier: str, bundle: str, stats_id: str, now: float) -> None:
        super().__init__(EndpointRequest(identifier, stats_id=stats_id or None), now)
        self.bundle = bundle
        self.channels: List[RtpChannel] = []

    def refresh(self) -> None:
        """Take over what the channels say."""
        self.payload_types, self.extensions = {}, {"audio": {}, "video": {}}
        taken: List[str] = []
        for channel in self.channels:
            self.payload_types.update(channel.payload_types)
            self.extensions[channel.content].update(channel.extensions)
            if channel.direction in ("sendrecv", "sendonly"):
                taken.append(channel.content)
        self.kinds = tuple(
            kind
            for kind in ("audio", "video")
            if kind in taken and taken.count(kind) == sum(one.content == kind for one in self.channels)
        )
        self.sources = SourceSet(
            [source for channel in self.channels for source in channel.sources],
            [group for channel in self.channels for group in channel.groups],
        )
        deaf = {channel.content for channel in self.channels if channel.direction in ("sendonly", "inactive")}
        self.muted = ("audio" in deaf, "video" in deaf)


class ChannelConference(Conference):
    """One conference; its `internal_id` is the id that the focus gets (K-701)."""

    def __init__(self, request: ChannelsRequest, identifier: str, feedback: Tuple[int, int], now: float) -> None:
        super().__init__(request.meeting_id or identifier, request.name, identifier, feedback, now)
        self.channels: Dict[str, RtpChannel] = {}
        self.of_endpoint: Dict[str, ChannelEndpoint] = {}
        self.used_at = now
        self.focus = ""
        """Who asked last."""

    def at_bundle(self, bundle: str) -> Optional[ChannelEndpoint]:
        """The endpoint that has this bundle."""
        return next((one for one in self.of_endpoint.values() if one.bundle == bundle), None)


class ChannelTable:
    """All Colibri 1 conferences of one bridge.

    media: what is done with real media. random_bits(n): an unsigned random number of n bits.
    """

    def __init__(self, media: Media, random_bits: Callable[[int], int], form: str = "late") -> None:
        self.conferences: Dict[str, ChannelConference] = {}
        self.form = form
        self.graceful_shutdown = False
        self.default_expire = EXPIRE
        self._media = media
        self._random_bits = random_bits

    def handle(self, request: ChannelsRequest, now: float) -> ChannelsAnswer:
        """Execute one request. Raises Refused; what was done before the refusal stays."""
        conference = self._find(request, now)
        conference.used_at = now
        contents = []
        bundles = [bundle.id for bundle in request.bundles]
        for content in request.contents:
            if content.name not in CONTENTS:
                raise Refused("internal-server-error", "Failed to create new content %s" % content.name)
            answers = []
            for channel in content.channels:
                changed = self._channel(conference, content, channel, request, now)
                if changed is not None:
                    answers.append(self._describe(conference, changed))
                    if channel.bundle:
                        bundles.append(changed.endpoint.bundle)
            for connection in content.connections:
                _refuse_sctp(connection)
            contents.append((content.name, tuple(answers)))
        for bundle in request.bundles:
            endpoint = conference.at_bundle(bundle.id)
            if endpoint is not None and bundle.transport is not None:
                self._media.set_transport(conference, endpoint, bundle.transport)
        for identifier, stats_id in request.stats_ids:
            if identifier in conference.of_endpoint:
                conference.of_endpoint[identifier].stats_id = stats_id or None
        return self._answer(conference, tuple(contents), bundles)

    def received(self, conference: ChannelConference, identifier: str, kind: str) -> Optional[ChannelsAnswer]:
        """What an early bridge tells its focus by itself: the SSRCs that come on an endpoint's channels (K-774)."""
        endpoint = conference.of_endpoint.get(identifier)
        if self.form != "early" or endpoint is None:
            return None
        told = [self._describe(conference, channel) for channel in endpoint.channels if channel.content == kind]
        return ChannelsAnswer(conference.internal_id, ((kind, tuple(told)),))

    def expire(self, conference: ChannelConference) -> None:
        """Remove a conference with all its channels."""
        for channel in list(conference.channels.values()):
            self._remove(conference, channel)
        self.conferences.pop(conference.internal_id, None)

    def remove(self, conference: ChannelConference, endpoint: ChannelEndpoint) -> None:
        """Remove one endpoint with its channels; the conference stays."""
        for channel in list(endpoint.channels):
            self._remove(conference, channel)

    def expire_idle(self, now: float) -> List[str]:
        """What the bridge removes on its own (K-731, K-732), telling nobody. Returns log lines."""
        gone = []
        for conference in list(self.conferences.values()):
            in_use = bool(conference.channels)
            for channel in list(conference.channels.values()):
                if channel.idle(now):
                    gone.append("channel %s of %s: no activity" % (channel.id, conference.label))
                    self._remove(conference, channel)
            if in_use:
                conference.used_at = now
            elif now - conference.used_at > CONFERENCE_TIMEOUT:
                gone.append("conference %s: empty" % conference.label)
                self.expire(conference)
        return gone

    def _find(self, request: ChannelsRequest, now: float) -> ChannelConference:
        if request.id:
            known = self.conferences.get(request.id)
            if known is None:
                raise Refused("bad-request", "Conference not found for ID: %s" % request.id)
            return known
        if self.graceful_shutdown:
            raise Refused("service-unavailable", "", "graceful_shutdown")
        if request.name is not None and not is_room_name(request.name):
            raise Refused("bad-request", "Invalid conference name (not a JID)")
        feedback = (self._random_bits(32) or 1, self._random_bits(32) or 2)
        made = ChannelConference(request, "%016x" % self._random_bits(64), feedback, now)
        self.conferences[made.internal_id] = made
        return made

    def _channel(
        self,
        conference: ChannelConference,
        content: ContentRequest,
        request: ChannelRequest,
        whole: ChannelsRequest,
        now: float,
    ) -> Optional[RtpChannel]:
        """Create, change or expire one channel; None if it is gone (K-730)."""
        self._check(content, request)
        known = conference.channels.get(request.id)
        if known is not None and known.content != content.name:
            known = None
        if request.expire == 0:
            if not request.id:
                raise Refused("bad-request", "Channel expire request for empty ID")
            if known is not None:
                self._remove(conference, known)
            return None
        if known is None:
            if request.id:
                if self.form == "early":
                    raise Refused("bad-request", "No RTP channel found for ID: %s" % request.id)
                raise Refused("item-not-found", "Error finding channel %s" % request.id)
            known = self._create(conference, content, request, whole, now)
        self._update(conference, known, request)
        return known

    def _check(self, content: ContentRequest, request: ChannelRequest) -> None:
        """What is refused whatever the conference knows."""
        if request.octo:
            raise Refused("feature-not-implemented", "Octo not supported.")
        if content.name == "data":
            raise Refused("internal-server-error", "Failed to create an RTP channel in the content data")
        if request.expire is not None and request.expire < 0:
            raise Refused("bad-request", "Invalid 'expire' value: %d" % request.expire)
        if request.relay_type == "mixer":
            raise Refused("feature-not-implemented", "Mixing is not supported.")
        if request.has_transport and self.form != "early":
            raise Refused("bad-request", "A transport in a channel is not supported.")
        if self.form == "last" and any(source.name is None for source in request.sources or ()):
            raise Refused("bad-request", "The name attribute is required for a source.")

    def _create(
        self,
        conference: ChannelConference,
        content: ContentRequest,
        request: ChannelRequest,
        whole: ChannelsRequest,
        now: float,
    ) -> RtpChannel:
        early = self.form == "early"
        identifier = request.endpoint or (request.bundle if early else "")
        if not identifier:
            raise Refused("bad-request", "Channel creation requested without endpoint ID")
        if request.bundle and request.bundle != identifier and not early:
            raise Refused("bad-request", "Endpoint ID does not match channel bundle ID")
        endpoint = conference.of_endpoint.get(identifier)
        if endpoint is None:
            stats_id = dict(whole.stats_ids).get(identifier, "")
            endpoint = ChannelEndpoint(identifier, request.bundle or identifier, stats_id, now)
            conference.of_endpoint[identifier] = conference.endpoints[identifier] = endpoint
            self._media.create(conference, endpoint, request.controlling)
        channel = RtpChannel(
            "%x" % self._random_bits(64), content.name, endpoint, self.default_expire, now
        )
        conference.channels[channel.id] = channel
        endpoint.channels.append(channel)
        return channel

    def _update(self, conference: ChannelConference, channel: RtpChannel, request: ChannelRequest) -> None:
        channel.direction = request.direction  # absent means sendrecv (K-722)
        if request.expire is not None:
            channel.expire = request.expire
        if self.form == "early" and request.payload_types:
            channel.payload_types.clear()
        channel.payload_types.update({one.id: one for one in request.payload_types})
        channel.extensions.update({one.id: one for one in request.extensions})
        if request.sources is not None:
            channel.sources = request.sources
        if request.groups is not None:
            channel.groups = request.groups
        channel.endpoint.refresh()
        self._media.changed(conference, channel.endpoint)
        if request.last_n is not None and channel.content == "video":
            channel.last_n = request.last_n
            self._media.limit(conference, channel.endpoint, request.last_n)

    def _remove(self, conference: ChannelConference, channel: RtpChannel) -> None:
        del conference.channels[channel.id]
        endpoint = channel.endpoint
        endpoint.channels.remove(channel)
        if endpoint.channels:
            endpoint.refresh()
            self._media.changed(conference, endpoint)
            return
        del conference.of_endpoint[endpoint.id], conference.endpoints[endpoint.id]
        self._media.close(conference, endpoint)

    def _describe(self, conference: ChannelConference, channel: RtpChannel) -> ChannelAnswer:
        return ChannelAnswer(
            channel.id,
            channel.endpoint.id,
            channel.endpoint.bundle,
            channel.direction,
            channel.last_n,
            conference.feedback[0 if channel.content == "audio" else 1],
            self._media.received(conference, channel.endpoint, channel.content),
        )

    def _answer(
        self,
        conference: ChannelConference,
        contents: Tuple[Tuple[str, Tuple[ChannelAnswer, ...]], ...],
        mentioned: Iterable[str],
    ) -> ChannelsAnswer:
        early = self.form == "early"
        endpoints = [one for one in conference.of_endpoint.values() if early or one.bundle in mentioned]
        return ChannelsAnswer(
            conference.internal_id,
            contents,
            tuple((one.bundle, self._media.describe(conference, one)) for one in endpoints),
            tuple((one.id, one.stats_id or "") for one in endpoints) if early else (),
            self.graceful_shutdown,
        )


def _refuse_sctp(request: ChannelRequest) -> None:
    """This bridge has no SCTP, so there is nothing to find, and expiring what is not there is fine (K-745, K-746)."""
    if request.expire == 0:
        return
    if request.id:
        raise Refused("bad-request", "No SCTP connection found for ID: %s" % request.id)
    if not request.endpoint:
        raise Refused("bad-request", "No endpoint ID specified for the new SCTP connection")
    raise Refused("feature-not-implemented", "SCTP support is not configured")
