"""Features and the media of the offer (jingle.md sections 2, 3.2, 3.3; colibri.md section 9)."""
from __future__ import annotations

import pickle

import pytest

from focus.conference.offer import (
    ASSUMED_FEATURES,
    DEFAULT_CODECS,
    FEATURE_FLAGS,
    CodecConfig,
    Extension,
    Features,
    VideoCodec,
    capabilities_for,
    features_from_vars,
    media_for,
    relay_media,
)
from focus.values.media import HeaderExtension, RtcpFeedback

AUDIO = "urn:xmpp:jingle:apps:rtp:audio"
VIDEO = "urn:xmpp:jingle:apps:rtp:video"
FULL = Features(audio=True, video=True, sctp=True, rtx=True, tcc=True, remb=True, json_sources=True)
TCC = RtcpFeedback("transport-cc")
REMB = RtcpFeedback("goog-remb")
TCC_URI = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"

DISCOVERED = [
    ("J-202 no answer", None, ASSUMED_FEATURES),
    ("J-203 empty answer", [], ASSUMED_FEATURES),
    ("J-203 neither audio nor video", ["http://jitsi.org/tcc"], ASSUMED_FEATURES),
    ("audio only", [AUDIO], Features(audio=True)),
    ("video only", [VIDEO], Features(video=True)),
    ("J-205 unknown vars", [AUDIO, "urn:example:x", "http://jitsi.org/source-name"], Features(audio=True)),
    ("old rewriting var is not recognised, J-921", [AUDIO, "http://jitsi.org/ssrc-rewriting"], Features(audio=True)),
    ("web client", [AUDIO, VIDEO, "urn:xmpp:jingle:transports:dtls-sctp:1", "urn:ietf:rfc:4588",
                    "http://jitsi.org/tcc", "http://jitsi.org/remb", "http://jitsi.org/json-encoded-sources"], FULL),
]


@pytest.mark.parametrize("feature_vars, expected", [row[1:] for row in DISCOVERED], ids=[row[0] for row in DISCOVERED])
def test_features(feature_vars, expected):
    assert features_from_vars(feature_vars) == expected


def test_every_flag_of_the_table_exists():
    assert set(FEATURE_FLAGS.values()) <= set(Features._fields)
    for var, flag in FEATURE_FLAGS.items():
        assert getattr(features_from_vars([AUDIO, var]), flag) is True


def test_assumed_features():
    assert ASSUMED_FEATURES == Features(audio=True, video=True, sctp=True, assumed=True)


def ids(description) -> list:
    return [(payload.id, payload.name) for payload in description.payload_types]


def test_audio():
    audio = media_for(FULL)[0]
    assert (audio.media, audio.maxptime, audio.extmap_allow_mixed) == ("audio", 60, True)
    assert ids(audio) == [(111, "opus"), (126, "telephone-event")]
    opus, events = audio.payload_types
    assert (opus.clockrate, opus.channels, opus.feedback) == (48000, 2, (TCC,))  # J-312
    assert opus.parameters == (("minptime", "10"), ("useinbandfec", "1"))
    assert (events.clockrate, events.channels, events.parameters, events.feedback) == (8000, None, (), ())
    assert [extension.id for extension in audio.extensions] == [1, 10, 5]  # J-311


def test_video():
    video = media_for(FULL)[1]
    assert (video.media, video.maxptime) == ("video", None)
    assert ids(video) == [(41, "AV1"), (100, "VP8"), (107, "H264"), (101, "VP9"),
                          (42, "rtx"), (96, "rtx"), (97, "rtx"), (99, "rtx")]  # J-322, J-323
    by_id = {payload.id: payload for payload in video.payload_types}
    common = (RtcpFeedback("ccm", "fir"), RtcpFeedback("nack"), RtcpFeedback("nack", "pli"))
    for number in (41, 100, 107, 101):
        assert by_id[number].feedback == common + (TCC,)  # J-321
    for number, of in ((42, "41"), (96, "100"), (97, "101"), (99, "107")):
        assert by_id[number].parameters == (("apt", of),)
        assert by_id[number].feedback == (() if number == 99 else common)
    assert by_id[107].parameters == (("profile-level-id", "42e01f"), ("level-asymmetry-allowed", "1"),
                                     ("packetization-mode", "1"))  # J-324
    assert all(payload.clockrate == 90000 for payload in video.payload_types)
    assert [extension.id for extension in video.extensions] == [11, 10, 3, 5]  # J-325


FEEDBACK = [
    # features, codecs, feedback beyond the common, tcc extension (J-321)
    (dict(tcc=True, remb=True), DEFAULT_CODECS, [TCC], True),
    (dict(remb=True), DEFAULT_CODECS, [REMB], False),
    (dict(), DEFAULT_CODECS, [], False),
    (dict(tcc=True, remb=True), DEFAULT_CODECS._replace(tcc=Extension(5, False)), [REMB], False),
    (dict(tcc=True, remb=True), DEFAULT_CODECS._replace(tcc=Extension(0)), [REMB], False),
    (dict(remb=True), DEFAULT_CODECS._replace(vp8=VideoCodec(100, 96, True, enable_remb=False)), [], False),
]


@pytest.mark.parametrize("flags, codecs, extra, has_extension", FEEDBACK)
def test_bandwidth_feedback(flags, codecs, extra, has_extension):
    video = media_for(Features(video=True, **flags), codecs)[0]
    vp8 = next(payload for payload in video.payload_types if payload.name == "VP8")
    assert list(vp8.feedback[3:]) == extra
    assert (TCC_URI in [extension.uri for extension in video.extensions]) == has_extension


def test_red():
    """RED stands before Opus; only those who are offered it lose useinbandfec (J-313 R)."""
    codecs = DEFAULT_CODECS._replace(red_enabled=True)
    with_red = media_for(Features(audio=True, red=True), codecs)[0]
    assert ids(with_red) == [(112, "red"), (111, "opus"), (126, "telephone-event")]
    assert with_red.payload_types[0].parameters == ((None, "111/111"),)
    assert with_red.payload_types[0].feedback == ()
    assert with_red.payload_types[1].parameters == (("minptime", "10"),)
    without = media_for(Features(audio=True), codecs)[0]
    assert without == media_for(Features(audio=True, red=True), DEFAULT_CODECS)[0]
    assert ("useinbandfec", "1") in without.payload_types[0].parameters


SKIPPED = [
    ("codec off", DEFAULT_CODECS._replace(vp9=VideoCodec(101, 97, enabled=False)), {101, 97}),
    ("codec without id", DEFAULT_CODECS._replace(av1=VideoCodec(0, 42)), {41, 42}),
    ("no retransmission id", DEFAULT_CODECS._replace(h264=VideoCodec(107, -1)), {99}),
]


@pytest.mark.parametrize("codecs, absent", [row[1:] for row in SKIPPED], ids=[row[0] for row in SKIPPED])
def test_skipped_payload_types(codecs, absent):
    """J-328."""
    every = {payload.id for payload in media_for(FULL)[1].payload_types}
    assert {payload.id for payload in media_for(FULL, codecs)[1].payload_types} == every - absent


def test_optional_extensions():
    """J-326, with changed ids."""
    codecs = DEFAULT_CODECS._replace(
        video_layers_allocation=Extension(12), tof=Extension(2), framemarking=Extension(9), rid=Extension(4),
        video_content_type=Extension(7), mid=Extension(13), audio_level=Extension(1, False), extmap_allow_mixed=False)
    audio, video = media_for(FULL, codecs)
    assert HeaderExtension(13, "urn:ietf:params:rtp-hdrext:sdes:mid") in audio.extensions
    assert {extension.id for extension in video.extensions} == {11, 12, 13, 2, 3, 9, 7, 4, 5}
    assert {extension.id for extension in audio.extensions} == {13, 5}
    assert not audio.extmap_allow_mixed and not video.extmap_allow_mixed
    shared = {extension.id: extension.uri for extension in audio.extensions}
    assert all(shared.get(extension.id, extension.uri) == extension.uri for extension in video.extensions)  # J-327


def test_contents_follow_the_features():
    assert [one.media for one in media_for(Features(audio=True))] == ["audio"]
    assert [one.media for one in media_for(Features(video=True))] == ["video"]
    assert "rtx" not in [payload.name for payload in media_for(ASSUMED_FEATURES)[1].payload_types]


def test_nothing_of_audio():
    codecs = DEFAULT_CODECS._replace(opus_enabled=False, red_enabled=True, telephone_event_enabled=False)
    assert media_for(Features(audio=True, red=True), codecs)[0].payload_types == ()
    plain = DEFAULT_CODECS._replace(opus_minptime=0, opus_use_inband_fec=False)
    assert media_for(Features(audio=True), plain)[0].payload_types[0].parameters == ()


def test_same_object_for_bridge_and_client():
    """K-901: and features that don't matter for media make no further copies."""
    assert media_for(FULL) is media_for(FULL._replace(json_sources=False, visitors=True), CodecConfig())


def test_the_remembered_hash_stays_in_its_process():
    audio = media_for(FULL)[0]
    assert hash(audio) == hash(tuple(audio)) and "_hash" in vars(audio)
    copied = pickle.loads(pickle.dumps(audio))
    assert copied == audio and "_hash" not in vars(copied)


def test_relay_media():
    """K-512."""
    audio, video = relay_media(DEFAULT_CODECS._replace(red_enabled=True))
    assert "red" in [payload.name for payload in audio.payload_types]
    assert len(video.payload_types) == 8 and TCC in video.payload_types[0].feedback


CAPABILITIES = [
    (False, dict(rtp_mid_demux=True), True, DEFAULT_CODECS, ("source-names",)),
    (True, dict(), True, DEFAULT_CODECS, ("source-names", "ssrc-rewriting")),
    (True, dict(rtp_mid_demux=True), True, DEFAULT_CODECS, ("source-names", "ssrc-rewriting", "rtp-mid-demux")),
    (True, dict(rtp_mid_demux=True), False, DEFAULT_CODECS, ("source-names", "ssrc-rewriting")),
    (True, dict(rtp_mid_demux=True), True, DEFAULT_CODECS._replace(mid=Extension(10, False)),
     ("source-names", "ssrc-rewriting")),
]


@pytest.mark.parametrize("rewriting, flags, option, codecs, expected", CAPABILITIES)
def test_capabilities(rewriting, flags, option, codecs, expected):
    """K-221, J-921, J-924."""
    assert capabilities_for(Features(audio=True, **flags), rewriting, option, codecs) == expected
