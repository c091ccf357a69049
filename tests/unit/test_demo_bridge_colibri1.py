"""The demo bridge takes and refuses what an old bridge does (colibri.md section 7)."""

from __future__ import annotations

import io
import itertools
import random
from collections import Counter
from typing import Any, List, Optional, Tuple

import pytest
from lxml import etree

from focus.demo.bridge.answers import Answers
from focus.demo.bridge.channels import ChannelConference, ChannelTable
from focus.demo.bridge.colibri import Conference, Endpoint, Refused
from focus.demo.bridge.colibri1 import read_conference, write_conference
from focus.demo.bridge.elements import Malformed
from focus.demo.bridge.journal import Journal
from focus.demo.bridge.knobs import BadCommand, Knobs
from focus.demo.bridge.station import FEATURES_OF
from focus.demo.bridge.stats import Statistics
from tests.unit.test_demo_bridge_colibri import RecordingMedia, make_table

COLIBRI = "http://jitsi.org/protocol/colibri"
SSMA = "urn:xmpp:jingle:apps:rtp:ssma:0"
ROOM = "name='standup@muc.meet.example' meeting-id='9d1c' rtcstats-enabled='false'"
OPUS = "<payload-type xmlns='urn:xmpp:jingle:apps:rtp:1' id='111' name='opus' clockrate='48000' channels='2'/>"
VP8 = "<payload-type xmlns='urn:xmpp:jingle:apps:rtp:1' id='100' name='VP8' clockrate='90000'/>"
H264 = "<payload-type xmlns='urn:xmpp:jingle:apps:rtp:1' id='107' name='H264' clockrate='90000'/>"
ICE = "urn:xmpp:jingle:transports:ice-udp:1"
LEVEL = (
    "<rtp-hdrext xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0' id='1' "
    "uri='urn:ietf:params:rtp-hdrext:ssrc-audio-level'/>"
)


class HearingMedia(RecordingMedia):
    """Also writes down last-n, and has heard what it was told it had."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: Tuple[int, ...] = ()

    def limit(self, conference: Conference, endpoint: Endpoint, last_n: int) -> None:
        self.told.append(("limit", endpoint.id, last_n))

    def received(self, conference: Conference, endpoint: Endpoint, kind: str) -> Tuple[int, ...]:
        return self.heard if kind == "audio" else ()


def channels_table(form: str = "late", media: Optional[RecordingMedia] = None) -> ChannelTable:
    counter = itertools.count(16)
    return ChannelTable(media or HearingMedia(), lambda bits: next(counter), form)


def ask(table: ChannelTable, inner: str = "", attributes: str = ROOM, now: float = 0.0) -> Any:
    """Execute one request; gives the lxml element of the answer. Raises Refused or Malformed."""
    text = "<conference xmlns='%s' %s>%s</conference>" % (COLIBRI, attributes, inner)
    return etree.fromstring(write_conference(table.handle(read_conference(etree.fromstring(text)), now)))


def creating(endpoint: str, audio: str = "", video: str = "") -> str:
    """The first request for an endpoint (K-710), with more attributes of its channels."""
    address = "endpoint='%s' initiator='true' channel-bundle-id='%s'" % (endpoint, endpoint)
    return (
        "<content name='audio'><channel %s %s>%s%s</channel></content>"
        "<content name='video'><channel %s %s last-n='20'>%s</channel></content>"
        "<channel-bundle id='%s'/><endpoint id='%s' stats-id='%s-x1y'/>"
        % (address, audio, OPUS, LEVEL, address, video, VP8, endpoint, endpoint, endpoint.title())
    )


class Old:
    """One conference on an old bridge with the endpoints ada and bo, and the ids of their channels."""

    def __init__(self, form: str = "late") -> None:
        self.media = HearingMedia()
        self.table = channels_table(form, self.media)
        first = ask(self.table, creating("ada"))
        self.id = first.get("id")
        second = self.ask(creating("bo"))
        self.ada = tuple(channel.get("id") for channel in first.iter("{*}channel"))
        self.bo = tuple(channel.get("id") for channel in second.iter("{*}channel"))

    def ask(self, inner: str, now: float = 0.0) -> Any:
        return ask(self.table, inner, "id='%s'" % self.id, now)

    @property
    def conference(self) -> ChannelConference:
        return self.table.conferences[self.id]

    def update(
        self, channel: str, inner: str = "", attributes: str = "", content: str = "video", now: float = 0.0
    ) -> Any:
        text = "<content name='%s'><channel id='%s' %s>%s</channel></content>" % (content, channel, attributes, inner)
        return self.ask(text, now)


def sources(*ssrcs: int, name: str = "ada-v0") -> str:
    return "".join("<source xmlns='%s' ssrc='%d' name='%s'/>" % (SSMA, ssrc, name) for ssrc in ssrcs)


def group(semantics: str, *ssrcs: int) -> str:
    members = "".join("<source ssrc='%d'/>" % ssrc for ssrc in ssrcs)
    return "<ssrc-group xmlns='%s' semantics='%s'>%s</ssrc-group>" % (SSMA, semantics, members)


def test_a_conference_begins_with_its_first_endpoint() -> None:
    """K-701, K-710 to K-712: a new id, the channels of this request, the bridge's SSRCs, one transport."""
    media = HearingMedia()
    table = channels_table("late", media)
    answer = ask(table, creating("ada"))
    assert answer.get("id") in table.conferences
    assert int(answer.get("id"), 16)
    feedback = []
    for content, name in zip(answer.iterfind("{%s}content" % COLIBRI), ("audio", "video")):
        assert content.get("name") == name
        (channel,) = content
        assert int(channel.get("id"), 16)
        last_n = {"last-n": "20"} if name == "video" else {}
        assert {key: value for key, value in channel.attrib.items() if key != "id"} == {
            "endpoint": "ada", "initiator": "true", "channel-bundle-id": "ada",
            "rtp-level-relay-type": "translator", **last_n,
        }  # fmt: skip
        (source,) = channel
        assert source.tag == "{%s}source" % SSMA
        feedback.append(source.get("ssrc"))
    assert len(set(feedback)) == 2
    (bundle,) = answer.iterfind("{%s}channel-bundle" % COLIBRI)
    assert bundle.get("id") == "ada"
    (transport,) = bundle
    assert transport.tag == "{urn:xmpp:jingle:transports:ice-udp:1}transport"
    assert transport.find("{*}fingerprint").get("setup") == "actpass"
    assert transport.find("{*}web-socket") is not None
    assert answer.find("{%s}endpoint" % COLIBRI) is None
    assert ("create", "ada", True) in media.told
    endpoint = table.conferences[answer.get("id")].endpoints["ada"]
    assert (endpoint.stats_id, endpoint.kinds, endpoint.muted) == ("Ada-x1y", ("audio", "video"), (False, False))


def test_the_second_endpoint_comes_into_the_same_conference() -> None:
    """K-701, K-711: only its own channels and bundle are answered, with the same feedback sources."""
    table = channels_table()
    first = ask(table, creating("ada"))
    second = ask(table, creating("bo"), "id='%s'" % first.get("id"))
    assert second.get("id") == first.get("id")
    assert {channel.get("endpoint") for channel in second.iter("{*}channel")} == {"bo"}
    assert [bundle.get("id") for bundle in second.iter("{*}channel-bundle")] == ["bo"]
    ssrcs = [[source.get("ssrc") for source in answer.iter("{%s}source" % SSMA)] for answer in (first, second)]
    assert ssrcs[0] == ssrcs[1]
    assert len(table.conferences) == 1
    assert ask(table, creating("ada")).get("id") != first.get("id")  # no id: another conference
    assert len(table.conferences) == 2


def test_early_bridges_tell_of_all_bundles_and_endpoints() -> None:
    """K-711, and bundles and endpoints of other names (K-705)."""
    old = Old("early")
    answer = old.update(old.ada[0], content="audio")
    assert [bundle.get("id") for bundle in answer.iter("{*}channel-bundle")] == ["ada", "bo"]
    found = [(one.get("id"), one.get("stats-id")) for one in answer.iterfind("{%s}endpoint" % COLIBRI)]
    assert found == [("ada", "Ada-x1y"), ("bo", "Bo-x1y")]
    old.ask("<content name='audio'><channel endpoint='cleo' channel-bundle-id='b7'/></content>")
    old.ask("<content name='audio'><channel channel-bundle-id='dan'/></content>")
    old.ask("<channel-bundle id='b7'><transport xmlns='%s' ufrag='uc'/></channel-bundle>" % ICE)
    assert ("transport", "cleo", "uc") in old.media.told
    assert list(old.conference.of_endpoint) == ["ada", "bo", "cleo", "dan"]


def test_what_a_channel_has_received_is_told() -> None:
    """K-711: `ssrc` elements beside the feedback source."""
    old = Old()
    old.media.heard = (1001, 4294967295)
    answer = old.update(old.ada[0], content="audio")
    assert [one.text for one in answer.iter("{%s}ssrc" % COLIBRI)] == ["1001", "4294967295"]


def test_the_update_after_the_accept() -> None:
    """K-721: sources, groups, the client's transport; K-275: negative SSRCs (KT-32)."""
    old = Old()
    transport = (
        "<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='ua' pwd='p'>"
        "<fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256' setup='active'>AA</fingerprint></transport>"
    )
    answer = old.ask(
        "<content name='audio'><channel id='%s' direction='sendrecv'>%s%s</channel></content>"
        "<content name='video'><channel id='%s' direction='sendrecv'>%s%s%s</channel></content>"
        "<channel-bundle id='ada'>%s</channel-bundle>"
        % (old.ada[0], OPUS, sources(-1), old.ada[1], VP8, sources(2001, 2002), group("fid", 2001, 2002), transport)
    )
    endpoint = old.conference.endpoints["ada"]
    assert endpoint.sources.ssrcs() == (4294967295, 2001, 2002)
    assert [(one.semantics, one.ssrcs) for one in endpoint.sources.groups] == [("FID", (2001, 2002))]
    assert {source.name for source in endpoint.sources.sources} == {"ada-v0"}
    assert ("transport", "ada", "ua") in old.media.told
    assert [bundle.get("id") for bundle in answer.iter("{*}channel-bundle")] == ["ada"]


def test_sources_are_replaced_and_only_an_empty_one_clears_them() -> None:
    """K-708, K-723, KT-28."""
    old = Old()
    endpoint = old.conference.endpoints["ada"]
    old.update(old.ada[1], sources(1, 2) + group("FID", 1, 2))
    old.update(old.ada[0], sources(7), content="audio")
    old.update(old.ada[1])
    assert endpoint.sources.ssrcs() == (7, 1, 2)
    old.update(old.ada[1], sources(3))
    assert endpoint.sources.ssrcs() == (7, 3)
    assert len(endpoint.sources.groups) == 1
    old.update(old.ada[1], "<source xmlns='%s'/><ssrc-group xmlns='%s' semantics='SIM'/>" % (SSMA, SSMA))
    assert endpoint.sources.ssrcs() == (7,)
    assert not endpoint.sources.groups


@pytest.mark.parametrize(
    "direction, muted, taken",
    [
        ("sendrecv", False, True),
        ("sendonly", True, True),
        ("recvonly", False, False),
        ("inactive", True, False),
        (None, False, True),
    ],
)
def test_direction(direction: Optional[str], muted: bool, taken: bool) -> None:
    """K-705, K-722, K-724: seen from the bridge; an update without it lifts a mute (KT-28)."""
    old = Old()
    endpoint = old.conference.endpoints["ada"]
    old.update(old.ada[0], content="audio", attributes="direction='sendonly'")
    assert endpoint.muted == (True, False)
    answer = old.update(old.ada[0], content="audio", attributes="direction='%s'" % direction if direction else "")
    assert endpoint.muted == (muted, False)
    assert (endpoint.takes("audio"), endpoint.takes("video")) == (taken, True)
    wanted = None if direction == "sendrecv" else direction
    assert next(answer.iter("{*}channel")).get("direction") == wanted


def test_last_n_is_the_last_word() -> None:
    """K-726: at creation and later, on the video channel; answered."""
    old = Old()
    answer = old.update(old.ada[1], attributes="last-n='0'")
    assert next(answer.iter("{*}channel")).get("last-n") == "0"
    assert [told for told in old.media.told if told[:2] == ("limit", "ada")] == [
        ("limit", "ada", 20), ("limit", "ada", 0),
    ]  # fmt: skip
    assert next(old.update(old.ada[1]).iter("{*}channel")).get("last-n") == "0"


@pytest.mark.parametrize("form, left", [("early", [107]), ("late", [100, 107]), ("last", [100, 107])])
def test_payload_types_of_an_update(form: str, left: List[int]) -> None:
    """K-803: they gather on late bridges and replace on early ones."""
    old = Old(form)
    old.update(old.ada[1], H264)
    old.update(old.ada[1])
    endpoint = old.conference.endpoints["ada"]
    assert sorted(endpoint.payload_types) == sorted([111] + left)
    assert list(endpoint.extensions["audio"]) == [1]


def test_an_endpoint_goes_with_its_last_channel() -> None:
    """K-730, K-731: the answer is without it, an unknown one is fine, and the empty conference stays a minute."""
    old = Old()
    answer = old.update(old.bo[0], content="audio", attributes="expire='0'", now=10)
    assert not list(answer.iter("{*}channel"))
    assert old.conference.endpoints["bo"].kinds == ("video",)
    assert ("close", "bo") not in old.media.told
    gone = "<content name='data'><sctpconnection id='x' endpoint='bo' expire='0'/></content>"
    old.ask("<content name='video'><channel id='%s' expire='0'/></content>%s" % (old.bo[1], gone), now=10)
    assert old.media.told[-1] == ("close", "bo")
    old.update(old.bo[1], attributes="expire='0'", now=10)
    for channel, content in zip(old.ada, ("audio", "video")):
        old.update(channel, content=content, attributes="expire='0'", now=10)
    assert not old.conference.endpoints
    old.table.expire_idle(70)
    assert old.table.conferences
    old.table.expire_idle(70.1)
    with pytest.raises(Refused, match="Conference not found for ID: %s" % old.id):
        old.ask("")


def test_silence_expires_channels() -> None:
    """K-732: each after its own time without traffic, traffic of any kind counts for all of an endpoint."""
    old = Old()
    old.update(old.bo[0], content="audio", attributes="expire='200'")
    old.conference.endpoints["ada"].last_activity = 40
    assert len(old.table.expire_idle(61)) == 1
    assert old.conference.endpoints["bo"].kinds == ("audio",)
    assert set(old.conference.endpoints) == {"ada", "bo"}
    old.table.expire_idle(101)
    assert set(old.conference.endpoints) == {"bo"}
    assert old.media.told[-1] == ("close", "ada")
    old.table.expire_idle(201)
    assert not old.conference.endpoints
    old.table.expire_idle(261.1)
    assert not old.table.conferences


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("form", ["early", "late"])
def test_channels_and_media_stay_in_step(seed: int, form: str) -> None:
    """Whatever is asked in whatever order: an endpoint has media exactly while it has a channel."""
    chance = random.Random(seed)
    media = HearingMedia()
    table = channels_table(form, media)
    ids = [ask(table, creating("ada")).get("id")]
    now = 0.0
    for _ in range(60):
        now += chance.choice((0, 1, 40))
        known = [channel for one in table.conferences.values() for channel in one.channels] + ["ff"]
        content, name = chance.choice(("audio", "video", "data")), chance.choice(("ada", "bo", "cleo"))
        inner = chance.choice((
            "<content name='%s'><channel endpoint='%s'/></content>" % (content, name),
            "<content name='%s'><channel id='%s' direction='%s' expire='%d'/></content>"
            % (content, chance.choice(known), chance.choice(("sendonly", "recvonly")), chance.choice((0, 0, 9, -1))),
            creating(name),
        ))  # fmt: skip
        try:
            answer = ask(table, inner, chance.choice((ROOM, *("id='%s'" % one for one in ids))), now)
            ids.append(answer.get("id"))
        except Refused:
            pass
        table.expire_idle(now)
        alive = []
        for conference in table.conferences.values():
            alive += list(conference.endpoints)
            of_endpoints = [channel for one in conference.of_endpoint.values() for channel in one.channels]
            assert sorted(channel.id for channel in of_endpoints) == sorted(conference.channels)
            assert all(one.channels for one in conference.of_endpoint.values())
            assert conference.of_endpoint == conference.endpoints
        created = [told[1] for told in media.told if told[0] == "create"]
        closed = [told[1] for told in media.told if told[0] == "close"]
        assert Counter(created) - Counter(closed) == Counter(alive)
    assert closed
    table.expire_idle(now + 1000)
    table.expire_idle(now + 2000)
    assert not table.conferences


A_CHANNEL = "<content name='audio'><channel %s/></content>"


@pytest.mark.parametrize(
    "form, inner, condition, text",
    [
        ("late", A_CHANNEL % "expire='0'", "bad-request", "Channel expire request for empty ID"),
        ("late", A_CHANNEL % "channel-bundle-id='x'", "bad-request", "Channel creation requested without endpoint ID"),
        ("early", A_CHANNEL % "", "bad-request", "Channel creation requested without endpoint ID"),
        ("late", A_CHANNEL % "endpoint='x' channel-bundle-id='y'", "bad-request",
         "Endpoint ID does not match channel bundle ID"),
        ("late", A_CHANNEL % "endpoint='x' expire='-1'", "bad-request", "Invalid 'expire' value: -1"),
        ("late", A_CHANNEL % "id='ff'", "item-not-found", "Error finding channel ff"),
        ("last", A_CHANNEL % "id='ff'", "item-not-found", "Error finding channel ff"),
        ("early", A_CHANNEL % "id='ff'", "bad-request", "No RTP channel found for ID: ff"),
        ("late", "<content name='data'><sctpconnection id='ff'/></content>", "bad-request",
         "No SCTP connection found for ID: ff"),
        ("late", "<content name='data'><sctpconnection/></content>", "bad-request",
         "No endpoint ID specified for the new SCTP connection"),
        ("late", "<content name='data'><sctpconnection endpoint='ada' port='5000'/></content>",
         "feature-not-implemented", "SCTP support is not configured"),
        ("late", A_CHANNEL % "type='octo'", "feature-not-implemented", "Octo not supported."),
        ("late", "<content name='screen'/>", "internal-server-error", "Failed to create new content screen"),
        ("late", A_CHANNEL % "endpoint='x' rtp-level-relay-type='mixer'", "feature-not-implemented", "Mixing"),
        ("last", "<content name='audio'><channel endpoint='x'><source xmlns='%s' ssrc='1'/></channel></content>" % SSMA,
         "bad-request", "The name attribute is required"),
        ("late", "<content name='audio'><channel endpoint='x'>"
         "<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1'/></channel></content>", "bad-request", "transport"),
    ],
)  # fmt: skip
def test_refusals(form: str, inner: str, condition: str, text: str) -> None:
    """K-743 to K-747, K-705, K-707, K-727, in the form of the bridge's years."""
    old = Old(form)
    with pytest.raises(Refused) as refused:
        old.ask(inner)
    assert refused.value.condition == condition
    assert refused.value.text.startswith(text) or text in ("Mixing", "transport") and text in refused.value.text
    assert set(old.conference.endpoints) == {"ada", "bo"}


def test_nothing_is_rolled_back() -> None:
    """The channels that came before a refused SCTP connection stay, and so does the conference without a known id."""
    table = channels_table()
    with pytest.raises(Refused, match="SCTP"):
        ask(table, creating("ada") + "<content name='data'><sctpconnection endpoint='ada' port='5000'/></content>")
    (conference,) = table.conferences.values()
    assert set(conference.endpoints) == {"ada"}
    table.expire_idle(60.1)
    assert not conference.endpoints
    table.expire_idle(120.2)
    assert not table.conferences


def test_a_channel_is_found_only_in_its_own_content() -> None:
    """K-720: addressed by content and id."""
    old = Old()
    with pytest.raises(Refused, match="Error finding channel"):
        old.update(old.ada[0], content="video", attributes="direction='sendonly'")
    old.update(old.ada[0], content="video", attributes="expire='0'")
    assert old.conference.endpoints["ada"].kinds == ("audio", "video")


@pytest.mark.parametrize(
    "inner",
    [
        "<content/>",
        "<content name='audio'><channel endpoint='x' direction='both'/></content>",
        "<content name='audio'><channel endpoint='x' expire='soon'/></content>",
        "<content name='video'><channel endpoint='x' last-n='all'/></content>",
        "<content name='audio'><channel endpoint='x' rtp-level-relay-type='Translator'/></content>",
        "<content name='audio'><channel endpoint='x'><source xmlns='%s' ssrc='one'/></channel></content>" % SSMA,
        "<content name='audio'><channel endpoint='x'><ssrc-group xmlns='%s' semantics='FID'><source/></ssrc-group>"
        "</channel></content>" % SSMA,
        "<content name='audio'><channel endpoint='x'><payload-type xmlns='urn:xmpp:jingle:apps:rtp:1' id='1'/>"
        "</channel></content>",
        "<channel-bundle/>",
        "<endpoint stats-id='x'/>",
    ],
)
def test_what_cannot_be_parsed_is_named(inner: str) -> None:
    """It is refused before anything is done."""
    table = channels_table()
    with pytest.raises(Malformed):
        ask(table, inner)
    assert not table.conferences


IQ = "<iq xmlns='jabber:client' type='set' id='g1' from='brewery@x/focus' to='jvb@x/1'>%s</iq>"


class Spoken:
    """A bridge that speaks what it is told to, without a network."""

    def __init__(self, speaks: str) -> None:
        self.speaks = speaks
        self.table, self.channels, self.knobs = make_table(), channels_table(), Knobs()
        self.answers = Answers(speaks, self.table, self.channels, self.knobs, Journal(stream=io.StringIO()))

    def ask(self, payload: str) -> Any:
        """The answer, or None for what the bridge doesn't know."""
        iq = etree.fromstring(IQ % payload)
        return etree.fromstring(self.answers.answer(iq, iq[0], 0.0)) if self.answers.knows(iq[0]) else None

    def stats(self) -> Any:
        """What it publishes; with three endpoints, in the north."""
        fixed = {"region": "north"}
        return Statistics(self.speaks, self.table, self.channels, self.knobs, lambda: 3, fixed).now()


MODIFY = "<conference-modify xmlns='jitsi:colibri2' meeting-id='m' create='true'/>"
CONFERENCE = "<conference xmlns='%s' %s>%s</conference>" % (COLIBRI, ROOM, creating("ada"))


@pytest.mark.parametrize("speaks, first, second", [("1", True, False), ("2", False, True), ("both", True, True)])
def test_a_bridge_knows_only_what_it_speaks(speaks: str, first: bool, second: bool) -> None:
    """K-830: and says so in its features and statistics."""
    bridge = Spoken(speaks)
    answers = [bridge.ask(CONFERENCE), bridge.ask(MODIFY)]
    assert [answer is not None and answer.get("type") == "result" for answer in answers] == [first, second]
    assert (COLIBRI in FEATURES_OF[speaks]) is first
    assert bridge.stats().get("colibri2") == ("true" if speaks == "both" else None)
    assert bridge.stats()["conferences"] == str(first + second)


def test_graceful_shutdown_has_its_own_child() -> None:
    """K-742: new conferences only; answers of the old ones say it too; and a scripted refusal is written alike."""
    bridge = Spoken("1")
    answer = bridge.ask(CONFERENCE)
    bridge.channels.graceful_shutdown = True
    refused = bridge.ask(CONFERENCE)
    error = next(child for child in refused if etree.QName(child).localname == "error")
    assert [etree.QName(child).localname for child in error] == ["service-unavailable", "graceful-shutdown"]
    assert error[1].tag == "{%s}graceful-shutdown" % COLIBRI
    more = bridge.ask("<conference xmlns='%s' id='%s'>%s</conference>" % (COLIBRI, answer[0].get("id"), creating("bo")))
    assert more[0][-1].tag == "{%s}graceful-shutdown" % COLIBRI
    bridge.channels.graceful_shutdown = False
    bridge.knobs.command("error create-conference service-unavailable graceful_shutdown")
    assert [child.tag for child in bridge.ask(CONFERENCE)[-1]] == [child.tag for child in error[:1]] + [
        "{urn:ietf:params:xml:ns:xmpp-stanzas}text", error[1].tag,
    ]  # fmt: skip
    assert bridge.ask(CONFERENCE).get("type") == "result"


def test_errors_have_nothing_of_colibri_2() -> None:
    """K-741: only the text tells what it is; no echo of the request, no reason."""
    refused = Spoken("both").ask("<conference xmlns='%s' id='abc'/>" % COLIBRI)
    (error,) = refused
    assert [child.text for child in error] == [None, "Conference not found for ID: abc"]
    assert etree.QName(error[0]).localname == "bad-request"
    assert b"colibri" not in etree.tostring(refused)


@pytest.mark.parametrize(
    "inner, kind",
    [
        ("", "update"),
        (creating("bo"), "create-endpoint"),
        (A_CHANNEL % "id='a' expire='0'", "expire"),
        (A_CHANNEL % "id='a' expire='0'" + A_CHANNEL % "id='b'", "update"),
    ],
)
def test_kinds_for_scripted_errors(inner: str, kind: str) -> None:
    """K-1163: the control line `error` means the same of both versions."""
    text = "<conference xmlns='%s' %%s>%s</conference>" % (COLIBRI, inner)
    assert read_conference(etree.fromstring(text % "id='a'")).kind == kind
    assert read_conference(etree.fromstring(text % "")).kind == "create-conference"


def test_statistics_of_the_generations() -> None:
    """B-1004, B-1012: what old bridges don't say; the early ones count videos instead of stress."""
    newer = {"drain", "shutting_down", "healthy", "average_participant_stress"}
    assert newer <= set(Spoken("2").stats()) & set(Spoken("both").stats())
    old = Spoken("1")
    old.ask(CONFERENCE)
    stats = old.stats()
    assert not newer & set(stats)
    assert (stats["region"], stats["endpoints"], stats["graceful_shutdown"]) == ("north", "3", "false")
    assert float(stats["stress_level"]) >= 0
    old.channels.form = "early"
    early = old.stats()
    assert "stress_level" not in early
    assert (early["videochannels"], early["videostreams"]) == ("1", "0")
    old.knobs.command("stat healthy false")
    assert old.stats()["healthy"] == "false"


def test_the_form_is_a_control_line() -> None:
    assert Knobs().command("form early") == ["form", "early"]
    with pytest.raises(BadCommand):
        Knobs().command("form middle")
