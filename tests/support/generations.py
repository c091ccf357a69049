"""Client generations as one table: what each announces, what it must be offered, how it answers.

Sheet: jingle.md sections 2, 3, 9, 10, 13. Nothing here is taken from the code under test. The words of the table are
SDP's; a payload type is written ``id name/clockrate[/channels] parameters [feedback]``.
"""
from __future__ import annotations

from typing import Any, Dict, NamedTuple, Optional, Tuple

from tests.support.features import FEATURES_2022, FEATURES_2026
from tests.support.generation_answers import (
    AUDIO_ONLY,
    CAMERA_AND_SCREEN,
    CAPTURED_2022,
    CAPTURED_2026,
    FIREFOX,
    GATEWAY,
    NOTHING,
    OLD_FORM,
    SIMULCAST_WITHOUT_RTX,
    TODAY,
    Answer,
)

Lines = Tuple[str, ...]

#: The same id means the same extension in audio and video (J-311, J-325, J-327).
EXTENSIONS = {
    1: "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
    3: "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
    5: "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    10: "urn:ietf:params:rtp-hdrext:sdes:mid",
    11: "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
}


class Media(NamedTuple):
    """One description: payload types and ids of header extensions, both in order."""

    payload_types: Lines
    extensions: Tuple[int, ...]


def with_feedback(codecs: Lines, feedback: str) -> Lines:
    """The codecs, each with the same feedback."""
    return tuple("%s [%s]" % (codec, feedback) for codec in codecs)


OPUS = "111 opus/48000/2 minptime=10 useinbandfec=1"
TONES = "126 telephone-event/8000"
AUDIO_TCC = Media((OPUS + " [transport-cc]", TONES), (1, 10, 5))
AUDIO_PLAIN = Media((OPUS, TONES), (1, 10))
AUDIO_RED = Media(("112 red/48000/2 111/111", "111 opus/48000/2 minptime=10 [transport-cc]", TONES), (1, 10, 5))

CODECS = ("41 AV1/90000", "100 VP8/90000",
          "107 H264/90000 profile-level-id=42e01f level-asymmetry-allowed=1 packetization-mode=1", "101 VP9/90000")
PLAIN = "ccm fir, nack, nack pli"
RTX = (*with_feedback(("42 rtx/90000 apt=41", "96 rtx/90000 apt=100", "97 rtx/90000 apt=101"), PLAIN),
       "99 rtx/90000 apt=107")
VIDEO_TCC = Media(with_feedback(CODECS, PLAIN + ", transport-cc") + RTX, (11, 10, 3, 5))
VIDEO_TCC_NO_RTX = Media(with_feedback(CODECS, PLAIN + ", transport-cc"), (11, 10, 3, 5))
VIDEO_REMB = Media(with_feedback(CODECS, PLAIN + ", goog-remb") + RTX, (11, 10, 3))
VIDEO_NO_ESTIMATION = Media(with_feedback(CODECS, PLAIN) + RTX, (11, 10, 3))
VIDEO_BARE = Media(with_feedback(CODECS, PLAIN), (11, 10, 3))

NAMES = ("source-names",)
REWRITING = ("source-names", "ssrc-rewriting")
MID_DEMUX = ("source-names", "ssrc-rewriting", "rtp-mid-demux")


class Generation(NamedTuple):
    """One kind of client."""

    name: str
    who: str
    announces: Optional[Lines]
    """Feature vars of its ``disco#info`` answer; None: it never answers."""
    audio: Optional[Media]
    video: Optional[Media]
    data: bool
    """A data channel is allocated and offered."""
    form: str
    """How it is told of sources: ``json`` or ``xml``."""
    hears: str
    """Of whom it is told: ``all``, or ``bridge`` if the bridge itself tells it the rest."""
    capabilities: Lines
    answer: Answer
    differs: Lines = ()
    """Groups of differences from the captured offer, named in the table of the test."""
    options: Dict[str, Any] = {}
    """The focus's configuration."""
    in_presence: str = ""
    role: str = "participant"


def without(features: Lines, *left_out: str) -> Lines:
    """What a client announces that lacks some of it."""
    assert set(left_out) <= set(features)
    return tuple(feature for feature in features if feature not in left_out)


AUDIO, VIDEO = "urn:xmpp:jingle:apps:rtp:audio", "urn:xmpp:jingle:apps:rtp:video"
SCTP, RTX_VAR = "urn:xmpp:jingle:transports:dtls-sctp:1", "urn:ietf:rfc:4588"
TCC, REMB, RED = "http://jitsi.org/tcc", "http://jitsi.org/remb", "http://jitsi.org/opus-red"
JSON = "http://jitsi.org/json-encoded-sources"
JIBRI = "<features><feature var='http://jitsi.org/protocol/jibri'/></features>"
JIGASI = "<features><feature var='http://jitsi.org/protocol/jigasi'/></features>"

#: Gateways of the time before 2021 asked for these by name (J-1302); today's focus takes them for granted.
TAKEN_FOR_GRANTED = ("urn:xmpp:jingle:1", "urn:xmpp:jingle:apps:rtp:1", "urn:xmpp:jingle:transports:ice-udp:1",
                     "urn:xmpp:jingle:apps:dtls:0", "urn:ietf:rfc:5761", "urn:ietf:rfc:5888")
VISITORS = {"visitors_enabled": "true"}
FEATURES_REWRITING = (*FEATURES_2026, "http://jitsi.org/ssrc-rewriting-1")

GENERATIONS = (
    Generation("web-2026", "the newest web client, captured",
               FEATURES_2026, AUDIO_TCC, VIDEO_TCC, True, "json", "all", NAMES, CAPTURED_2026),
    Generation("web-2026-rewriting", "the same where the deployment has SSRC rewriting on (J-921)",
               FEATURES_REWRITING, AUDIO_TCC, VIDEO_TCC, True, "json", "bridge", REWRITING, TODAY),
    Generation("web-2026-mid-demux", "the same in a new Chromium: mid demux, nothing of it in Jingle (J-924)",
               (*FEATURES_REWRITING, "http://jitsi.org/rtp-mid-demux"),
               AUDIO_TCC, VIDEO_TCC, True, "json", "bridge", MID_DEMUX, CAMERA_AND_SCREEN),
    Generation("web-2026-rewriting-old-var", "a var of a test version that nobody recognises (J-921)",
               (*FEATURES_2026, "http://jitsi.org/ssrc-rewriting"),
               AUDIO_TCC, VIDEO_TCC, True, "json", "all", NAMES, TODAY),
    Generation("web-2026-red", "the newest with RED, where the focus offers that (J-313)",
               (*FEATURES_2026, RED), AUDIO_RED, VIDEO_TCC, True, "json", "all", NAMES, TODAY,
               differs=("RED",), options={"codec_audio_opus_red_enabled": "true"}),
    Generation("web-2026-no-red", "the newest without it there: keeps Opus's error correction (J-313 R)",
               FEATURES_2026, AUDIO_TCC, VIDEO_TCC, True, "json", "all", NAMES, TODAY,
               options={"codec_audio_opus_red_enabled": "true"}),
    Generation("firefox-114", "Firefox before 115: no transport-cc",
               without(FEATURES_2026, TCC), AUDIO_PLAIN, VIDEO_REMB, True, "json", "all", NAMES, FIREFOX,
               differs=("no TCC", "REMB")),
    Generation("web-no-estimation", "a deployment with enableTcc and enableRemb off",
               without(FEATURES_2026, TCC, REMB), AUDIO_PLAIN, VIDEO_NO_ESTIMATION, True, "json", "all", NAMES, TODAY,
               differs=("no TCC",)),
    Generation("web-no-rtx", "a deployment with disableRtx, or a browser without it",
               without(FEATURES_2026, RTX_VAR), AUDIO_TCC, VIDEO_TCC_NO_RTX, True, "json", "all", NAMES,
               SIMULCAST_WITHOUT_RTX, differs=("no RTX",)),
    Generation("web-no-sctp", "a client without data channels: opens the web socket",
               without(FEATURES_2026, SCTP), AUDIO_TCC, VIDEO_TCC, False, "json", "all", NAMES, TODAY),
    Generation("jibri", "a recorder: a browser with the newest client that only receives",
               FEATURES_2026, AUDIO_TCC, VIDEO_TCC, True, "json", "all", NAMES, NOTHING, in_presence=JIBRI),
    Generation("web-2022", "the web client of early 2022, captured: sources without name and video type, trickles",
               FEATURES_2022, AUDIO_TCC, VIDEO_TCC, True, "json", "all", NAMES, CAPTURED_2022),
    Generation("web-2020", "before 2021: no JSON (J-1302); its data channel is kept (J-343)",
               without(FEATURES_2022, JSON), AUDIO_TCC, VIDEO_TCC, True, "xml", "all", NAMES, OLD_FORM,
               differs=("XML",)),
    Generation("jigasi", "telephone gateway: audio, XML, no data channel; credentials only in transport-info (J-561)",
               (*TAKEN_FOR_GRANTED, AUDIO, "http://jitsi.org/protocol/jigasi", "urn:xmpp:jingle:dtmf:0",
                "http://jitsi.org/protocol/audio-mute"),
               AUDIO_PLAIN, None, False, "xml", "all", NAMES, GATEWAY, differs=("XML", "no TCC", "no video"),
               in_presence=JIGASI),
    Generation("jigasi-video", "a gateway that has video calls switched on",
               (*TAKEN_FOR_GRANTED, AUDIO, VIDEO), AUDIO_PLAIN, VIDEO_BARE, False, "xml", "all", NAMES, GATEWAY,
               differs=("XML", "no TCC", "no RTX"), in_presence=JIGASI),
    Generation("audio-only", "any client that announces no video",
               without(FEATURES_2026, VIDEO), AUDIO_TCC, None, True, "json", "all", NAMES, AUDIO_ONLY,
               differs=("no video",)),
    Generation("video-only", "any client that announces no audio: a wall of screens",
               without(FEATURES_2026, AUDIO), None, VIDEO_TCC, True, "json", "all", NAMES, NOTHING,
               differs=("no audio",)),
    Generation("silent", "never answers service discovery (J-202): audio, video and a data channel, nothing else",
               None, AUDIO_PLAIN, VIDEO_BARE, True, "xml", "all", NAMES, OLD_FORM,
               differs=("XML", "no TCC", "no RTX")),
    Generation("unknown", "announces nothing that is known (J-203): treated like a silent one",
               ("urn:example:video", TCC, JSON), AUDIO_PLAIN, VIDEO_BARE, True, "xml", "all", NAMES, OLD_FORM,
               differs=("XML", "no TCC", "no RTX")),
    Generation("visitor", "a web client that the room lets watch only: an ordinary offer (J-902)",
               FEATURES_2026, AUDIO_TCC, VIDEO_TCC, True, "json", "all", NAMES, NOTHING, role="visitor",
               options=VISITORS),
    Generation("visitor-rewriting", "one of very many of them: the bridge tells it of the sources (J-906)",
               FEATURES_REWRITING, AUDIO_TCC, VIDEO_TCC, True, "json", "bridge", REWRITING, NOTHING, role="visitor",
               options=VISITORS),
)
BY_NAME = {generation.name: generation for generation in GENERATIONS}

RTP = "urn:xmpp:jingle:apps:rtp:1"
HEADER_EXTENSIONS = "urn:xmpp:jingle:apps:rtp:rtp-hdrext:0"
ICE = "urn:xmpp:jingle:transports:ice-udp:1"
SSMA = "urn:xmpp:jingle:apps:rtp:ssma:0"
INHERITED = False
DECLARED = True

#: All elements an offer may hold, by path below ``jingle``: namespace, and whether the element says it itself. Web
#: clients select by the attribute ``xmlns`` (T-5). Children stand in the order of this table (section 3.1).
OFFER_ELEMENTS: Dict[str, Tuple[str, bool]] = {
    "content": ("urn:xmpp:jingle:1", INHERITED),
    "content/description": (RTP, DECLARED),
    "content/description/payload-type": (RTP, INHERITED),
    "content/description/payload-type/parameter": (RTP, INHERITED),
    "content/description/payload-type/rtcp-fb": ("urn:xmpp:jingle:apps:rtp:rtcp-fb:0", DECLARED),
    "content/description/rtp-hdrext": (HEADER_EXTENSIONS, DECLARED),
    "content/description/extmap-allow-mixed": (HEADER_EXTENSIONS, DECLARED),
    "content/description/rtcp-mux": (RTP, INHERITED),
    "content/description/source": (SSMA, DECLARED),
    "content/description/source/ssrc-info": ("http://jitsi.org/jitmeet", DECLARED),
    "content/description/source/parameter": (SSMA, INHERITED),
    "content/description/ssrc-group": (SSMA, DECLARED),
    "content/description/ssrc-group/source": (SSMA, DECLARED),
    "content/transport": (ICE, DECLARED),
    "content/transport/rtcp-mux": (ICE, INHERITED),
    "content/transport/fingerprint": ("urn:xmpp:jingle:apps:dtls:0", DECLARED),
    "content/transport/web-socket": ("http://jitsi.org/protocol/colibri", DECLARED),
    "content/transport/candidate": (ICE, INHERITED),
    "content/transport/sctpmap": ("urn:xmpp:jingle:transports:dtls-sctp:1", DECLARED),
    "group": ("urn:xmpp:jingle:apps:grouping:0", DECLARED),
    "group/content": ("urn:xmpp:jingle:apps:grouping:0", INHERITED),
    "startmuted": ("http://jitsi.org/jitmeet/start-muted", DECLARED),
    "bridge-session": ("http://jitsi.org/protocol/focus", DECLARED),
    "json-message": ("http://jitsi.org/jitmeet", DECLARED),
}
