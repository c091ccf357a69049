"""The offer as a decision: a participant's features and the configured codecs give the media descriptions.

The result goes both to the bridge and to the participant (J-329, K-901), so it is made once and remembered by
what it depends on.  Sheet: jingle.md sections 2 and 3.2 to 3.4, configuration J section 12.
"""
from __future__ import annotations

from functools import lru_cache
from typing import Iterable, List, NamedTuple, Optional, Tuple

from focus.values.media import HeaderExtension, MediaDescription, PayloadType, RtcpFeedback


class Features(NamedTuple):
    """What a participant's client can do, as far as anything here depends on it."""

    audio: bool = False
    video: bool = False
    sctp: bool = False
    rtx: bool = False
    tcc: bool = False
    remb: bool = False
    red: bool = False
    json_sources: bool = False
    ssrc_rewriting: bool = False
    rtp_mid_demux: bool = False
    audio_mute: bool = False
    """A telephone gateway that can be muted by force."""
    start_muted_metadata: bool = False
    """Reads the start-muted policy from the room's metadata."""
    visitors: bool = False
    audio_translation: bool = False
    assumed: bool = False
    """There was no usable answer to discovery: these are the features assumed then (J-202, J-203)."""


#: Feature var -> flag of :class:`Features` (J section 2.1). Other vars change nothing (J-205).
FEATURE_FLAGS = {
    "urn:xmpp:jingle:apps:rtp:audio": "audio",
    "urn:xmpp:jingle:apps:rtp:video": "video",
    "urn:xmpp:jingle:transports:dtls-sctp:1": "sctp",
    "urn:ietf:rfc:4588": "rtx",
    "http://jitsi.org/tcc": "tcc",
    "http://jitsi.org/remb": "remb",
    "http://jitsi.org/opus-red": "red",
    "http://jitsi.org/json-encoded-sources": "json_sources",
    "http://jitsi.org/ssrc-rewriting-1": "ssrc_rewriting",
    "http://jitsi.org/rtp-mid-demux": "rtp_mid_demux",
    "http://jitsi.org/protocol/audio-mute": "audio_mute",
    "http://jitsi.org/start-muted-room-metadata": "start_muted_metadata",
    "http://jitsi.org/visitors-1": "visitors",
    "http://jitsi.org/protocol/audio-translation": "audio_translation",
}

#: What a client is taken for that doesn't answer, or answers without audio and video (J-202, J-203).
ASSUMED_FEATURES = Features(audio=True, video=True, sctp=True, assumed=True)


def features_from_vars(feature_vars: Optional[Iterable[str]]) -> Features:
    """The features of a ``disco#info`` answer; None stands for no answer or an error.

    An answer without audio and video is treated like none, which ``assumed`` tells the caller to log (J-203).
    """
    if feature_vars is None:
        return ASSUMED_FEATURES
    flags = {FEATURE_FLAGS[var]: True for var in feature_vars if var in FEATURE_FLAGS}
    if not (flags.get("audio") or flags.get("video")):
        return ASSUMED_FEATURES
    return Features(**flags)


class VideoCodec(NamedTuple):
    """One video codec. An id that isn't positive leaves the payload type out (J-328)."""

    pt: int
    rtx_pt: int
    enabled: bool = True
    enable_remb: bool = True


class Extension(NamedTuple):
    """One RTP header extension. An id that isn't positive leaves it out (J-328)."""

    id: int
    enabled: bool = True


class CodecConfig(NamedTuple):
    """The configured codecs and header extensions; the defaults are those of jingle.md section 12."""

    av1: VideoCodec = VideoCodec(41, 42)
    vp8: VideoCodec = VideoCodec(100, 96)
    h264: VideoCodec = VideoCodec(107, 99)
    vp9: VideoCodec = VideoCodec(101, 97)
    opus_enabled: bool = True
    opus_pt: int = 111
    opus_minptime: int = 10
    """Milliseconds; not offered if not positive."""
    opus_use_inband_fec: bool = True
    red_enabled: bool = False
    red_pt: int = 112
    telephone_event_enabled: bool = True
    telephone_event_pt: int = 126
    audio_level: Extension = Extension(1)
    av1_dependency_descriptor: Extension = Extension(11)
    video_layers_allocation: Extension = Extension(12, False)
    tof: Extension = Extension(2, False)
    abs_send_time: Extension = Extension(3)
    rid: Extension = Extension(4, False)
    tcc: Extension = Extension(5)
    video_content_type: Extension = Extension(7, False)
    framemarking: Extension = Extension(9, False)
    mid: Extension = Extension(10)
    extmap_allow_mixed: bool = True


DEFAULT_CODECS = CodecConfig()

#: Field of :class:`CodecConfig` -> URI (J-311, J-325, J-326).
EXTENSION_URIS = {
    "audio_level": "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
    "av1_dependency_descriptor":
        "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
    "video_layers_allocation": "http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00",
    "tof": "urn:ietf:params:rtp-hdrext:toffset",
    "abs_send_time": "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
    "rid": "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
    "tcc": "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    "video_content_type": "http://www.webrtc.org/experiments/rtp-hdrext/video-content-type",
    "framemarking": "http://tools.ietf.org/html/draft-ietf-avtext-framemarking-07",
    "mid": "urn:ietf:params:rtp-hdrext:sdes:mid",
}

_AUDIO_EXTENSIONS = ("audio_level", "mid", "tcc")
_VIDEO_EXTENSIONS = ("av1_dependency_descriptor", "video_layers_allocation", "mid", "tof", "abs_send_time",
                     "framemarking", "video_content_type", "rid", "tcc")

#: The order of the codecs and, after them, of their retransmissions differs (J section 3.3 and J-322).
_CODECS = (("av1", "AV1"), ("vp8", "VP8"), ("h264", "H264"), ("vp9", "VP9"))
_RTX_ORDER = ("av1", "vp8", "vp9", "h264")

_H264_PARAMETERS = (("profile-level-id", "42e01f"), ("level-asymmetry-allowed", "1"), ("packetization-mode", "1"))
_KEYFRAMES_AND_LOSS = (RtcpFeedback("ccm", "fir"), RtcpFeedback("nack"), RtcpFeedback("nack", "pli"))
_REMB = RtcpFeedback("goog-remb")
_TCC = RtcpFeedback("transport-cc")

VIDEO_CLOCKRATE = 90000


def media_for(features: Features, codecs: CodecConfig = DEFAULT_CODECS) -> Tuple[MediaDescription, ...]:
    """The descriptions of ``audio`` and ``video``, whichever the client has, in this order; remembered."""
    return _media(features.audio, features.video, features.rtx, features.tcc, features.remb, features.red, codecs)


def relay_media(codecs: CodecConfig = DEFAULT_CODECS) -> Tuple[MediaDescription, ...]:
    """Everything that is enabled: what two bridges tell each other's conferences (K-512)."""
    return _media(True, True, True, True, False, True, codecs)


@lru_cache(maxsize=256)
def _media(audio: bool, video: bool, rtx: bool, tcc: bool, remb: bool, red: bool,
           codecs: CodecConfig) -> Tuple[MediaDescription, ...]:
    tcc = tcc and codecs.tcc.enabled and codecs.tcc.id > 0
    descriptions = []
    if audio:
        descriptions.append(MediaDescription("audio", _audio_payloads(red, tcc, codecs),
                                             _extensions(_AUDIO_EXTENSIONS, tcc, codecs),
                                             codecs.extmap_allow_mixed, maxptime=60))
    if video:
        descriptions.append(MediaDescription("video", _video_payloads(rtx, tcc, remb, codecs),
                                             _extensions(_VIDEO_EXTENSIONS, tcc, codecs),
                                             codecs.extmap_allow_mixed))
    return tuple(descriptions)


def _audio_payloads(red: bool, tcc: bool, codecs: CodecConfig) -> Tuple[PayloadType, ...]:
    payloads: List[PayloadType] = []
    if codecs.opus_enabled and codecs.opus_pt > 0:
        with_red = red and codecs.red_enabled and codecs.red_pt > 0
        if with_red:
            payloads.append(PayloadType(codecs.red_pt, "red", 48000, 2,
                                        ((None, "%d/%d" % (codecs.opus_pt, codecs.opus_pt)),)))
        parameters: List[Tuple[Optional[str], str]] = []
        if codecs.opus_minptime > 0:
            parameters.append(("minptime", str(codecs.opus_minptime)))
        # Only those who are offered RED go without forward error correction (J-313 R).
        if codecs.opus_use_inband_fec and not with_red:
            parameters.append(("useinbandfec", "1"))
        payloads.append(PayloadType(codecs.opus_pt, "opus", 48000, 2, tuple(parameters), (_TCC,) if tcc else ()))
    if codecs.telephone_event_enabled and codecs.telephone_event_pt > 0:
        payloads.append(PayloadType(codecs.telephone_event_pt, "telephone-event", 8000))
    return tuple(payloads)


def _video_payloads(rtx: bool, tcc: bool, remb: bool, codecs: CodecConfig) -> Tuple[PayloadType, ...]:
    payloads: List[PayloadType] = []
    for key, name in _CODECS:
        codec: VideoCodec = getattr(codecs, key)
        if not codec.enabled or codec.pt <= 0:
            continue
        feedback: Tuple[RtcpFeedback, ...] = _KEYFRAMES_AND_LOSS
        if tcc:
            feedback += (_TCC,)
        elif remb and codec.enable_remb:
            feedback += (_REMB,)
        parameters: Tuple[Tuple[Optional[str], str], ...] = _H264_PARAMETERS if key == "h264" else ()
        payloads.append(PayloadType(codec.pt, name, VIDEO_CLOCKRATE, None, parameters, feedback))
    if rtx:
        for key in _RTX_ORDER:
            codec = getattr(codecs, key)
            if codec.enabled and codec.pt > 0 and codec.rtx_pt > 0:
                payloads.append(PayloadType(codec.rtx_pt, "rtx", VIDEO_CLOCKRATE, None, (("apt", str(codec.pt)),),
                                            () if key == "h264" else _KEYFRAMES_AND_LOSS))
    return tuple(payloads)


def _extensions(names: Iterable[str], tcc: bool, codecs: CodecConfig) -> Tuple[HeaderExtension, ...]:
    extensions = []
    for name in names:
        extension: Extension = getattr(codecs, name)
        if extension.enabled and extension.id > 0 and (tcc or name != "tcc"):
            extensions.append(HeaderExtension(extension.id, EXTENSION_URIS[name]))
    return tuple(extensions)


def capabilities_for(features: Features, rewriting: bool, mid_demux: bool = True,
                     codecs: CodecConfig = DEFAULT_CODECS) -> Tuple[str, ...]:
    """The capabilities of the participant's endpoint on its bridge (K-221).

    ``rewriting`` is the one decision that the offer follows too (J-921, J-925); ``mid_demux`` is the option (J-924).
    """
    if not rewriting:
        return ("source-names",)
    demux = mid_demux and features.rtp_mid_demux and codecs.mid.enabled and codecs.mid.id > 0
    return ("source-names", "ssrc-rewriting", "rtp-mid-demux") if demux else ("source-names", "ssrc-rewriting")
