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

class Chosen(NamedTuple):
    """What of a client's features counts for its media, the configuration taken into account."""

    rtx: bool
    tcc: bool
    remb: bool
    red: bool


# Features -> offer. A row is offered if the client has what it needs ("" is nothing) and the configuration has it on
# with a positive id (J-328). The rows stand in the order of the offer.

_KEYFRAMES_AND_LOSS = (RtcpFeedback("ccm", "fir"), RtcpFeedback("nack"), RtcpFeedback("nack", "pli"))
_REMB = RtcpFeedback("goog-remb")
_TCC = RtcpFeedback("transport-cc")
_H264_PARAMETERS = (("profile-level-id", "42e01f"), ("level-asymmetry-allowed", "1"), ("packetization-mode", "1"))

_AUDIO_CODECS = (
    # option            name               needs  clock  channels
    ("red",             "red",             "red", 48000, 2),
    ("opus",            "opus",            "",    48000, 2),
    ("telephone_event", "telephone-event", "",    8000,  None),
)
_VIDEO_CODECS = (
    # option name    needs  parameters        feedback beside the estimation's
    ("av1",  "AV1",  "",    (),               _KEYFRAMES_AND_LOSS),
    ("vp8",  "VP8",  "",    (),               _KEYFRAMES_AND_LOSS),
    ("h264", "H264", "",    _H264_PARAMETERS, _KEYFRAMES_AND_LOSS),
    ("vp9",  "VP9",  "",    (),               _KEYFRAMES_AND_LOSS),
    ("av1",  "rtx",  "rtx", (),               _KEYFRAMES_AND_LOSS),
    ("vp8",  "rtx",  "rtx", (),               _KEYFRAMES_AND_LOSS),
    ("vp9",  "rtx",  "rtx", (),               _KEYFRAMES_AND_LOSS),
    ("h264", "rtx",  "rtx", (),               ()),
)
_BOTH = "audio video"
_EXTENSIONS = (
    # option                     needs  offered with  URI (J-311, J-325, J-326)
    ("audio_level",               "",    "audio",     "urn:ietf:params:rtp-hdrext:ssrc-audio-level"),
    ("av1_dependency_descriptor", "",    "video",
     "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"),
    ("video_layers_allocation",   "",    "video",
     "http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00"),
    ("mid",                       "",    _BOTH,       "urn:ietf:params:rtp-hdrext:sdes:mid"),
    ("tof",                       "",    "video",     "urn:ietf:params:rtp-hdrext:toffset"),
    ("abs_send_time",             "",    "video",     "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"),
    ("framemarking",              "",    "video",     "http://tools.ietf.org/html/draft-ietf-avtext-framemarking-07"),
    ("video_content_type",        "",    "video",
     "http://www.webrtc.org/experiments/rtp-hdrext/video-content-type"),
    ("rid",                       "",    "video",     "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"),
    ("tcc",                       "tcc", _BOTH,
     "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"),
)

VIDEO_CLOCKRATE = 90000


@lru_cache(maxsize=16)
def without_mixing(codecs: CodecConfig) -> CodecConfig:
    """What can be offered where the bridge is of the time of Colibri 1 (section 8 of colibri.md).

    It can't say whether headers of both forms may be mixed; and media lines are told apart by SSRC only, since a bridge
    that passes on the sender's ``mid`` would put the packets on the receiver's wrong line (K-1140).
    """
    return codecs._replace(extmap_allow_mixed=False, mid=codecs.mid._replace(enabled=False))


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
    chosen = Chosen(rtx, tcc, remb and not tcc,
                    red and codecs.red_enabled and codecs.red_pt > 0 and codecs.opus_enabled and codecs.opus_pt > 0)
    descriptions = []
    if audio:
        descriptions.append(MediaDescription("audio", _audio_payloads(chosen, codecs),
                                             _extensions("audio", chosen, codecs),
                                             codecs.extmap_allow_mixed, maxptime=60))
    if video:
        descriptions.append(MediaDescription("video", _video_payloads(chosen, codecs),
                                             _extensions("video", chosen, codecs), codecs.extmap_allow_mixed))
    return tuple(descriptions)


def _has(chosen: Chosen, needs: str) -> bool:
    return not needs or getattr(chosen, needs)


def _audio_payloads(chosen: Chosen, codecs: CodecConfig) -> Tuple[PayloadType, ...]:
    payloads: List[PayloadType] = []
    for option, name, needs, clockrate, channels in _AUDIO_CODECS:
        pt = getattr(codecs, option + "_pt")
        if getattr(codecs, option + "_enabled") and pt > 0 and _has(chosen, needs):
            payloads.append(PayloadType(pt, name, clockrate, channels, _audio_parameters(option, chosen, codecs),
                                        (_TCC,) if chosen.tcc and option == "opus" else ()))
    return tuple(payloads)


def _audio_parameters(option: str, chosen: Chosen, codecs: CodecConfig) -> Tuple[Tuple[Optional[str], str], ...]:
    parameters: List[Tuple[Optional[str], str]] = []
    if option == "red":
        parameters.append((None, "%d/%d" % (codecs.opus_pt, codecs.opus_pt)))
    if option == "opus" and codecs.opus_minptime > 0:
        parameters.append(("minptime", str(codecs.opus_minptime)))
    # Only those who are offered RED go without forward error correction (J-313 R).
    if option == "opus" and codecs.opus_use_inband_fec and not chosen.red:
        parameters.append(("useinbandfec", "1"))
    return tuple(parameters)


def _video_payloads(chosen: Chosen, codecs: CodecConfig) -> Tuple[PayloadType, ...]:
    payloads: List[PayloadType] = []
    for option, name, needs, own_parameters, own_feedback in _VIDEO_CODECS:
        codec: VideoCodec = getattr(codecs, option)
        parameters: Tuple[Tuple[Optional[str], str], ...] = own_parameters
        feedback: Tuple[RtcpFeedback, ...] = own_feedback
        pt = codec.rtx_pt if name == "rtx" else codec.pt
        if not codec.enabled or codec.pt <= 0 or pt <= 0 or not _has(chosen, needs):
            continue
        if name == "rtx":
            parameters = (("apt", str(codec.pt)),)
        elif chosen.tcc:
            feedback += (_TCC,)
        elif chosen.remb and codec.enable_remb:
            feedback += (_REMB,)
        payloads.append(PayloadType(pt, name, VIDEO_CLOCKRATE, None, parameters, feedback))
    return tuple(payloads)


def _extensions(media: str, chosen: Chosen, codecs: CodecConfig) -> Tuple[HeaderExtension, ...]:
    extensions = []
    for option, needs, offered_with, uri in _EXTENSIONS:
        extension: Extension = getattr(codecs, option)
        if media in offered_with and extension.enabled and extension.id > 0 and _has(chosen, needs):
            extensions.append(HeaderExtension(extension.id, uri))
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
