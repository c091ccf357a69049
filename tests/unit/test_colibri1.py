"""Colibri 2 in the words of Colibri 1 and back, as tables of values (colibri.md 7 and 8); and who speaks which."""
from __future__ import annotations

from typing import Any

import pytest

from focus.bridge.answers import Failure
from focus.bridge.colibri1 import created, expiry, leftover_of, normalised, translate
from focus.bridge.dialect import COLIBRI1, COLIBRI2, FEATURE, Dialects, is_unknown_element
from focus.bridge.pool import Bridges
from focus.conference.offer import Features, media_for
from focus.journal.codec import CODEC
from focus.stanzas.bridge_stats import BridgeStats
from focus.stanzas.colibri1 import Bundle, Channel, ColibriConference, Content, SctpConnection
from focus.stanzas.colibri2 import ConferenceModify, EndpointAnswer, EndpointRequest
from focus.stanzas.errors import ParsedError
from focus.values.channels import Channels, Leftover
from focus.values.sources import EMPTY_SOURCES, Source, SourceSet, SsrcGroup
from focus.values.transport import Transport

MEDIA = media_for(Features(audio=True, video=True))
ADA = Channels("ada", (("audio", "aa01"), ("video", "aa02"), ("data", "aa03")))
BO = Channels("bo", (("audio", "bb01"),), (True, False))
TABLE = {"ada": ADA, "bo": BO}
CLIENT = Transport((("ufrag", "u"), ("pwd", "p")))
SOURCES = SourceSet((Source(1, "audio", "ada-a0", "m", None), Source(2, "video", None, "m", "camera"),
                     Source(3, "video", "ada-v0")), (SsrcGroup("FID", "video", (2, 3)),))


def update(endpoint: str = "ada", **what: Any) -> Any:
    return translate(ConferenceModify("m1", endpoints=(EndpointRequest(endpoint, **what),)), "c1", TABLE)


def channels(conference: ColibriConference) -> Any:
    return {content.name: content.channels for content in conference.contents}


class TestRequests:
    def test_creation(self):
        """K-701, K-703, K-705, K-710"""
        request = EndpointRequest("ada", create=True, stats_id="Ada", media=MEDIA, sctp=True,
                                  capabilities=("source-names", "ssrc-rewriting"), sources=EMPTY_SOURCES)
        conference, (entry,) = translate(ConferenceModify("m1", create=True, name="r@m", rtcstats=False,
                                                          endpoints=(request,)), "", {})
        assert (conference.id, conference.name, conference.meeting_id, conference.rtcstats) == (
            None, "r@m", "m1", False)
        assert [content.name for content in conference.contents] == ["audio", "video", "data"]
        assert channels(conference)["audio"] == (Channel(None, "ada", "ada", True, media=MEDIA[0]),)
        assert conference.content("data").connections == (SctpConnection(None, "ada", "ada", True, port=5000),)
        assert conference.bundles == (Bundle("ada"),) and conference.endpoints[0] == ("ada", "Ada")
        assert entry == Channels("ada", (("audio", ""), ("video", ""), ("data", ""))) and not entry.known

    def test_creation_with_sources_and_a_mute(self):
        """Who moves keeps its sources and its mute; K-722"""
        request = EndpointRequest("ada", create=True, media=MEDIA, sources=SOURCES, force_mute=(True, False),
                                  initial_last_n=4)
        conference, (entry,) = translate(ConferenceModify("m1", endpoints=(request,)), "c1", {})
        audio, video = channels(conference)["audio"][0], channels(conference)["video"][0]
        assert (conference.id, audio.direction, video.direction, video.last_n, audio.last_n) == (
            "c1", "sendonly", None, 4, None)
        assert video.sources.ssrcs() == (2, 3) and audio.sources.ssrcs() == (1,)
        assert entry.muted == (True, False)

    def test_sources(self):
        """K-707, K-723: by kind, each with its name, nothing that a bridge of that time doesn't know."""
        conference, (entry,) = update(sources=SOURCES)
        audio, video = channels(conference)["audio"], channels(conference)["video"]
        mine = SourceSet((Source(1, "audio", "ada-a0", "m"),))
        assert audio == (Channel("aa01", direction="sendrecv", sources=mine),)
        assert [source.name for source in video[0].sources.sources] == ["ada-v0", "ada-v0"]
        assert video[0].sources.groups == SOURCES.groups
        assert {source.video_type for source in video[0].sources.sources} == {None} and entry == ADA
        assert not conference.bundles

    @pytest.mark.parametrize("what, expected", [
        (dict(transport=CLIENT), {}),                                                             # K-725
        (dict(initial_last_n=3), {"video": ("aa02", "sendrecv", 3)}),                             # K-726
        (dict(force_mute=(False, True)), {"audio": ("aa01", "sendrecv", None),
                                          "video": ("aa02", "sendonly", None)}),                  # K-724
        (dict(), {}),
    ])
    def test_updates(self, what, expected):
        """K-720, K-722: by channel, always with the direction."""
        conference, _ = update(**what)
        assert {name: (one.id, one.direction, one.last_n) for name, (one,) in channels(conference).items()} == expected
        assert conference.bundles == ((Bundle("ada", CLIENT),) if "transport" in what else ())

    def test_a_mute_is_remembered(self):
        """K-722: or the next update would lift it."""
        _, (entry,) = update(force_mute=(True, True))
        conference, _ = translate(ConferenceModify("m1", endpoints=(EndpointRequest("ada", sources=SOURCES),)), "c1",
                                  {"ada": entry})
        assert {one.direction for (one,) in channels(conference).values()} == {"sendonly"}
        conference, _ = update("bo", sources=EMPTY_SOURCES)
        assert channels(conference) == {"audio": (Channel("bb01", direction="sendonly", sources=EMPTY_SOURCES),)}

    def test_several_are_expired_at_once(self):
        """K-730; an endpoint without channels has nothing to expire."""
        gone = tuple(EndpointRequest(name, expire=True) for name in ("ada", "bo", "nobody"))
        conference, entries = translate(ConferenceModify("m1", endpoints=gone), "c1", TABLE)
        assert entries == ()
        assert channels(conference)["audio"] == (Channel("aa01", expire=0), Channel("bb01", expire=0))
        assert conference.content("data").connections == (SctpConnection("aa03", "ada", expire=0, port=5000),)

    def test_the_end_of_a_conference(self):
        """K-731: all channels that are known."""
        half = Channels("new", (("audio", "x"), ("video", "")))
        conference = expiry(Leftover("c1", (ADA, half)))
        assert conference.id == "c1" and len(channels(conference)["audio"]) == 2
        assert channels(conference)["video"] == (Channel("aa02", expire=0),)

    def test_an_endpoint_without_channels(self):
        """An update for one that isn't there says nothing."""
        assert update("nobody", sources=SOURCES, transport=CLIENT) == (
            ColibriConference("c1", None, "m1", True), ())


ASKED = Channels("ada", (("audio", ""), ("video", ""), ("data", "")))
TWO = SourceSet((Source(411, "audio"), Source(9, "audio")))
AUDIO = Content("audio", (Channel("aa01", "ada", "ada", sources=TWO),))
VIDEO = Content("video", (Channel("aa02", "ada", "ada", sources=SourceSet((Source(392, "video"),))),))
DATA = Content("data", (), (SctpConnection("aa03", "ada", "ada"),))
BUNDLES = (Bundle("bo", Transport((("ufrag", "other"),))), Bundle("ada", CLIENT))


class TestAnswers:
    def test_creation(self):
        """K-711 to K-714: ids, the first source of each kind under its name, rtcp-mux, the port everybody uses."""
        modified, entry = created(ColibriConference("c1", contents=(AUDIO, VIDEO, DATA), bundles=BUNDLES), ASKED)
        assert modified.endpoints == (EndpointAnswer("ada", CLIENT._replace(rtcp_mux=True), 5000),)
        assert modified.feedback == SourceSet((
            Source(411, "audio", "jvb-a0", "mixedmslabel mixedlabelaudio0"),
            Source(392, "video", "jvb-v0", "mixedmslabel mixedlabelvideo0")))
        assert entry == ADA and entry.id("video") == "aa02" and entry.id("other") is None

    @pytest.mark.parametrize("contents, bundles, ids", [
        ((AUDIO, VIDEO), BUNDLES, ["aa01", "aa02"]),                                    # no SCTP connection
        ((AUDIO, VIDEO, DATA), BUNDLES[:1], ["aa01", "aa02", "aa03"]),                  # another's bundle only
        ((AUDIO, VIDEO, DATA), (Bundle("ada"),), ["aa01", "aa02", "aa03"]),             # no transport in it
        ((AUDIO, Content("video", (Channel("x", "bo"),)), DATA), BUNDLES, ["aa01", "aa03"]),
        ((AUDIO, Content("video", (Channel(None, "ada"),)), DATA), BUNDLES, ["aa01", "aa03"]),
        ((), (), []),
    ])
    def test_incomplete(self, contents, bundles, ids):
        """K-474: no transport, so it is not used; what there is can be expired. Nobody gets another's channel."""
        modified, entry = created(ColibriConference("c1", contents=contents, bundles=bundles), ASKED)
        assert modified.endpoints[0].transport is None and [id_ for _, id_ in entry.ids] == ids

    def test_channels_without_a_name(self):
        """An answer has the channels of its request only, and a request creates one endpoint."""
        content = Content("audio", (Channel("zz", "bo"), Channel("aa01")))
        _, entry = created(ColibriConference("c1", contents=(content,)), ASKED)
        assert entry.ids == (("audio", "aa01"),)

    def test_feedback_out_of_range(self):
        bad = Content("audio", (Channel("aa01", "ada", sources=SourceSet((Source(2 ** 32, "audio"),))),))
        modified, _ = created(ColibriConference("c1", contents=(bad,)), ASKED)
        assert not modified.feedback

    def test_nobody_waits_for_it_any_more(self):
        """K-475"""
        answer = ColibriConference("c1", contents=(AUDIO, DATA), bundles=BUNDLES)
        assert leftover_of(answer, "ada") == Leftover("c1", (Channels("ada", (("audio", "aa01"), ("data", "aa03"))),))
        assert leftover_of(answer, "bo") is None and leftover_of(answer._replace(id=None), "ada") is None

    @pytest.mark.parametrize("condition, text, application, expected", [
        ("bad-request", "Conference not found for ID: b7", (), ("item-not-found", "conference_not_found", None)),
        ("bad-request", " conference NOT found", (), ("item-not-found", "conference_not_found", None)),
        ("item-not-found", "Error finding channel x", (), ("item-not-found", "unknown_endpoint", "ada")),     # K-744
        ("bad-request", "No RTP channel found for ID: x", (), ("item-not-found", "unknown_endpoint", "ada")),
        ("bad-request", "No SCTP connection found for ID: x", (), ("item-not-found", "unknown_endpoint", "ada")),
        ("bad-request", "Endpoint ID does not match channel bundle ID", (), ("bad-request", None, None)),     # K-743
        ("bad-request", "", (), ("bad-request", None, None)),
        ("item-not-found", "Recipient not in room", (), ("item-not-found", None, None)),                      # K-105
        ("service-unavailable", "", (("http://jitsi.org/protocol/colibri", "graceful-shutdown"),),
         ("service-unavailable", "graceful_shutdown", None)),                                                 # K-742
        ("service-unavailable", "", (), ("service-unavailable", None, None)),
        ("feature-not-implemented", "SCTP support is not configured", (), ("feature-not-implemented", None, None)),
        ("internal-server-error", "Failed to create new content", (), ("internal-server-error", None, None)),  # K-747
        ("not-authorized", "", (), ("not-authorized", None, None)),                                           # K-748
    ])
    def test_errors(self, condition, text, application, expected):
        """7.5"""
        error = normalised(ParsedError("cancel", condition, text, application=application), "ada")
        assert (error.condition, error.colibri_reason, error.colibri_endpoint) == expected
        assert error.text == text


JID = "jvbbrewery@internal.auth.meet.example/jvb1"


def pool(version: str = "auto", names: Any = (), **stats: Any) -> Bridges:
    bridges = Bridges(colibri=version, colibri1_bridges=names)
    bridges.heard(JID, BridgeStats(stress_level=0.1, relay_id="r1", **stats), None, 0.0)
    return bridges


class TestDialects:
    @pytest.mark.parametrize("version, names, statistic, features, expected", [
        ("auto", (), None, [FEATURE], COLIBRI1),
        ("auto", (), None, [], COLIBRI2),                       # K-831: today's says nothing
        ("auto", (), None, None, COLIBRI2),
        ("auto", (), True, [FEATURE], COLIBRI2),                # it speaks both
        ("auto", (), False, [FEATURE], COLIBRI1),
        ("1", (), True, [], COLIBRI1),
        ("2", (), None, [FEATURE], COLIBRI2),
        ("2", ("jvb1",), True, [], COLIBRI1),
        ("auto", (JID,), None, [], COLIBRI1),
        ("auto", ("jvb2",), None, [], COLIBRI2),
    ])
    def test_the_order_of_evidence(self, version, names, statistic, features, expected):
        """K-830, K-831"""
        bridges = pool(version, names, colibri2=statistic)
        dialects = bridges.dialects
        asked = dialects.asks(JID, 1.0)
        assert asked == (version == "auto" and not statistic and JID not in names)
        assert (dialects.awaited_until(JID, 1.5) == 3.0) == asked
        assert not asked or dialects.relay_id(JID) is None
        dialects.discovered(JID, features)
        assert dialects.awaited_until(JID, 1.5) is None
        assert dialects.of(JID) == expected
        assert dialects.relay_id(JID) == ("r1" if expected == COLIBRI2 else None)  # K-833

    def test_it_is_forgotten_when_the_bridge_leaves(self):
        """K-830: another one may come under the name."""
        bridges = pool()
        bridges.dialects.discovered(JID, [FEATURE])
        bridges.gone(JID, "it left")
        assert bridges.dialects.of(JID) == COLIBRI2 and not bridges.dialects.asks(JID, 0.0)
        assert bridges.dialects.relay_id(JID) is None and bridges.dialects.awaited_until(JID, 0.0) is None
        bridges.dialects.discovered(JID, [FEATURE])
        bridges.dialects.answered(JID, COLIBRI1)
        assert not bridges.dialects.refused(JID, COLIBRI2)
        bridges.heard(JID, BridgeStats(stress_level=0.1), None, 0.0)
        assert bridges.dialects.of(JID) == COLIBRI2 and bridges.dialects.asks(JID, 0.0)

    def test_a_silent_one_is_asked_again(self):
        """The question may have gone to a dead session of its name; conferences wait for the first answer only."""
        dialects = pool().dialects
        assert [now for now in range(30) if dialects.asks(JID, float(now))] == [0, 10, 20]
        assert dialects.awaited_until(JID, 20.5) is None
        dialects.discovered(JID, [FEATURE])
        assert dialects.of(JID) == COLIBRI1 and not dialects.asks(JID, 100.0)

    def test_a_restarted_bridge_may_be_a_newer_one(self):
        """B-210: a new version under the old name."""
        bridges = pool()
        bridges.heard(JID, BridgeStats(stress_level=0.1, version="2.1"), None, 0.0)
        bridges.dialects.discovered(JID, [FEATURE])
        bridges.heard(JID, BridgeStats(stress_level=0.1, version="2.3"), None, 0.0)
        assert bridges.dialects.of(JID) == COLIBRI2

    def test_one_fallback(self):
        """K-830 (4)"""
        dialects = pool().dialects
        assert dialects.refused(JID, COLIBRI2) and dialects.of(JID) == COLIBRI1
        assert dialects.refused(JID, COLIBRI2)  # another conference had asked in Colibri 2 as well
        dialects.answered(JID, COLIBRI1)
        assert not dialects.refused(JID, COLIBRI1)
        assert dialects.of(JID) == COLIBRI1

    def test_a_statistic_after_the_fallback(self):
        """A bridge that was starting when it was asked."""
        bridges = pool()
        assert bridges.dialects.refused(JID, COLIBRI2)
        bridges.heard(JID, BridgeStats(colibri2=True), None, 1.0)
        assert bridges.dialects.of(JID) == COLIBRI2 and not bridges.dialects.refused(JID, COLIBRI2)

    def test_it_is_in_the_journal(self):
        """How it came to be known too, and that it is being asked: its answer counts for the next process."""
        bridges = pool()
        assert bridges.dialects.asks(JID, 1.0)
        row = CODEC.decode(type(bridges.get(JID)), CODEC.encode(bridges.get(JID)))
        assert Dialects({JID: row}).awaited_until(JID, 2.0) == 3.0
        assert not Dialects({JID: row}).asks(JID, 2.0) and Dialects({JID: row}).asks(JID, 11.0)
        bridges.dialects.discovered(JID, [FEATURE])
        row = CODEC.decode(type(bridges.get(JID)), CODEC.encode(bridges.get(JID)))
        assert Dialects({JID: row}).of(JID) == COLIBRI1 and not Dialects({JID: row}).asks(JID, 2.0)

    @pytest.mark.parametrize("failure, sctp, expected", [
        (Failure("service-unavailable"), True, True),
        (Failure("service-unavailable", None, "In Graceful shutdown"), False, False),
        (Failure("service-unavailable", "graceful_shutdown"), False, False),
        (Failure("feature-not-implemented"), False, True),
        (Failure("feature-not-implemented"), True, False),                              # K-476 first
        (Failure("feature-not-implemented", "feature_not_implemented"), False, False),
        (Failure("bad-request"), False, False),
        (Failure("timeout"), False, False),
    ])
    def test_what_counts_as_not_knowing(self, failure, sctp, expected):
        """K-830"""
        assert is_unknown_element(failure, sctp) == expected
