"""How clients answer an offer, and what must come of it.

The captured ones name their capture; the others are written in the form the sheet gives (jingle.md sections 5.3, 5.7,
10, 11.2). ``told`` is what others hear of the sources, simulcast stripped; ``bridge`` what the bridge is told of them,
whole. A source is written ``media name ssrc msid [type]``, a group ``semantics ssrcs``.
"""
from __future__ import annotations

from typing import NamedTuple, Optional, Tuple

Lines = Tuple[str, ...]

ICE = "urn:xmpp:jingle:transports:ice-udp:1"
SSMA = "urn:xmpp:jingle:apps:rtp:ssma:0"


class Answer(NamedTuple):
    """One participant's answer."""

    nick: str
    captured: str = ""
    """The call it was captured in."""
    requests: Tuple[Tuple[str, str], ...] = ()
    """(action, what is in it), in order, if it isn't captured."""
    told: Lines = ()
    bridge: Lines = ()
    transports: Lines = ()
    """Of each transport the bridge gets: ufrag, role of the fingerprint, number of candidates."""
    last_n: Optional[int] = None


def transport(nick: str, inside: str = "") -> str:
    return ("<transport xmlns='%s' ufrag='U%s' pwd='pwd-of-%s'><fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' "
            "hash='sha-256' setup='active'>AA:BB:CC</fingerprint>%s</transport>" % (ICE, nick, nick, inside))


def description(media: str, inside: str) -> str:
    """Payload types, sources, groups and the rest in the order of LJM (J-1114)."""
    codec = ("<payload-type id='111' name='opus' clockrate='48000' channels='2'><parameter name='minptime' "
             "value='10'/></payload-type>" if media == "audio" else
             "<payload-type id='100' name='VP8' clockrate='90000' channels='1'/>")
    return ("<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='%s'>%s%s<rtcp-mux/><rtp-hdrext "
            "xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0' id='10' uri='urn:ietf:params:rtp-hdrext:sdes:mid'/>"
            "<extmap-allow-mixed xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0'/></description>" % (
                media, codec, inside))


def source(ssrc: int, name: str, msid: str, kind: str = "") -> str:
    """A source of today's LJM (J-1112)."""
    return "<source xmlns='%s' ssrc='%d' name='%s'%s><parameter name='msid' value='%s'/></source>" % (
        SSMA, ssrc, name, " videoType='%s'" % kind if kind else "", msid)


def old_source(ssrc: int, msid: str) -> str:
    """A source of the time before names, with all of SDP's attributes (J-415, J-1006)."""
    stream, track = msid.split()
    return "<source xmlns='%s' ssrc='%d'>%s</source>" % (SSMA, ssrc, "".join(
        "<parameter name='%s' value='%s'/>" % pair for pair in (
            ("cname", "c7"), ("label", track), ("msid", msid), ("mslabel", stream))))


def group(semantics: str, *ssrcs: int) -> str:
    return "<ssrc-group xmlns='%s' semantics='%s'>%s</ssrc-group>" % (SSMA, semantics, "".join(
        "<source ssrc='%d'/>" % ssrc for ssrc in ssrcs))


def accept(nick: str, audio: str, video: Optional[str], last_n: str = "") -> Tuple[str, str]:
    """A ``session-accept`` of today's LJM: the group lists contents that weren't offered too (J-1114)."""
    contents = [("audio", audio, ""), ("video", video, last_n)]
    return "session-accept", (
        "<group xmlns='urn:xmpp:jingle:apps:grouping:0' semantics='BUNDLE'><content name='audio'/>"
        "<content name='video'/><content name='data'/></group>" + "".join(
            "<content creator='responder' name='%s' senders='both'>%s%s%s</content>" % (
                media, description(media, inside), transport(nick), extra)
            for media, inside, extra in contents if inside is not None))


CAPTURED_2026 = Answer(
    "8fc54621", "call-2026",
    told=("audio 8fc54621-a0 2036984784 8fc54621-audio-0-1 29fe6ce6-5a8b-4d34-8a70-9bfe9e4fbdf2-1",
          "video 8fc54621-v0 213170686 8fc54621-video-0-1 9d0e188b-89e0-4135-b585-ebf0d34c39bd-1 camera",
          "video 8fc54621-v0 1453566537 8fc54621-video-0-1 9d0e188b-89e0-4135-b585-ebf0d34c39bd-1 camera",
          "FID 213170686 1453566537"),
    bridge=("audio 8fc54621-a0: 2036984784",
            "video 8fc54621-v0: 213170686 1453566537 2422951747 3364896709 2250702613 3533023983; "
            "FID 213170686 1453566537; SIM 213170686 2422951747 3364896709; FID 2422951747 2250702613; "
            "FID 3364896709 3533023983"),
    transports=("X6gW active 0",))

#: The default names stand in for those it doesn't give (J-422); its transport-info goes on as it is (J-566).
CAPTURED_2022 = Answer(
    "d734450a", "call-2022",
    told=("audio d734450a-a0 787228959 d734450a-audio-1 4b150eb1-42b2-447b-90bb-2910dfe04b8e-1",
          "video d734450a-v0 2746121681 d734450a-video-1 ca83ffe3-39cb-4bb2-a7b5-a91e25edea88-1",
          "video d734450a-v0 2497956659 d734450a-video-1 ca83ffe3-39cb-4bb2-a7b5-a91e25edea88-1",
          "FID 2746121681 2497956659"),
    bridge=("audio d734450a-a0: 787228959",
            "video d734450a-v0: 2746121681 2497956659 1554370212 304716212 1463626670 1722247884; "
            "FID 2746121681 2497956659; SIM 2746121681 1554370212 304716212; FID 1554370212 1463626670; "
            "FID 304716212 1722247884"),
    transports=("CY3J active 0", "CY3J none 4"))

#: One camera in SVC mode (J-1115).
TODAY = Answer(
    "70da4001",
    requests=(accept("70da4001", source(3310000001, "70da4001-a0", "70da4001-audio-0-1 ta-1"),
                     source(3310000002, "70da4001-v0", "70da4001-video-0-1 tv-1", "camera")
                     + source(3310000003, "70da4001-v0", "70da4001-video-0-1 tv-1", "camera")
                     + group("FID", 3310000002, 3310000003)),),
    told=("audio 70da4001-a0 3310000001 70da4001-audio-0-1 ta-1",
          "video 70da4001-v0 3310000002 70da4001-video-0-1 tv-1 camera",
          "video 70da4001-v0 3310000003 70da4001-video-0-1 tv-1 camera", "FID 3310000002 3310000003"),
    bridge=("audio 70da4001-a0: 3310000001", "video 70da4001-v0: 3310000002 3310000003; FID 3310000002 3310000003"),
    transports=("U70da4001 active 0",))

#: A microphone, a camera and a shared screen.
CAMERA_AND_SCREEN = Answer(
    "5c4ee001",
    requests=(accept("5c4ee001", source(3320000001, "5c4ee001-a0", "5c4ee001-audio-0-1 ta-1"),
                     source(3320000002, "5c4ee001-v0", "5c4ee001-video-0-1 tv-1", "camera")
                     + source(3320000003, "5c4ee001-v0", "5c4ee001-video-0-1 tv-1", "camera")
                     + group("FID", 3320000002, 3320000003)
                     + source(3320000004, "5c4ee001-v1", "5c4ee001-video-1-1 ts-1", "desktop")
                     + source(3320000005, "5c4ee001-v1", "5c4ee001-video-1-1 ts-1", "desktop")
                     + group("FID", 3320000004, 3320000005)),),
    told=("audio 5c4ee001-a0 3320000001 5c4ee001-audio-0-1 ta-1",
          "video 5c4ee001-v0 3320000002 5c4ee001-video-0-1 tv-1 camera",
          "video 5c4ee001-v0 3320000003 5c4ee001-video-0-1 tv-1 camera",
          "video 5c4ee001-v1 3320000004 5c4ee001-video-1-1 ts-1 desktop",
          "video 5c4ee001-v1 3320000005 5c4ee001-video-1-1 ts-1 desktop",
          "FID 3320000002 3320000003", "FID 3320000004 3320000005"),
    bridge=("audio 5c4ee001-a0: 3320000001", "video 5c4ee001-v0: 3320000002 3320000003; FID 3320000002 3320000003",
            "video 5c4ee001-v1: 3320000004 3320000005; FID 3320000004 3320000005"),
    transports=("U5c4ee001 active 0",))

#: Firefox names the streams it receives in its answer too; LJM leaves them out (J-1112), what is left is its own.
FIREFOX = Answer(
    "f12ef0c5",
    requests=(accept("f12ef0c5", source(3330000001, "f12ef0c5-a0", "f12ef0c5-audio-0-1 {ta}-1"),
                     source(3330000002, "f12ef0c5-v0", "f12ef0c5-video-0-1 {tv}-1", "camera")
                     + source(3330000003, "f12ef0c5-v0", "f12ef0c5-video-0-1 {tv}-1", "camera")
                     + group("FID", 3330000002, 3330000003)),),
    told=("audio f12ef0c5-a0 3330000001 f12ef0c5-audio-0-1 {ta}-1",
          "video f12ef0c5-v0 3330000002 f12ef0c5-video-0-1 {tv}-1 camera",
          "video f12ef0c5-v0 3330000003 f12ef0c5-video-0-1 {tv}-1 camera", "FID 3330000002 3330000003"),
    bridge=("audio f12ef0c5-a0: 3330000001", "video f12ef0c5-v0: 3330000002 3330000003; FID 3330000002 3330000003"),
    transports=("Uf12ef0c5 active 0",))

SIMULCAST_WITHOUT_RTX = Answer(
    "04070001",
    requests=(accept("04070001", source(3340000001, "04070001-a0", "04070001-audio-0-1 ta-1"),
                     "".join(source(3340000002 + layer, "04070001-v0", "04070001-video-0-1 tv-1", "camera")
                             for layer in range(3)) + group("SIM", 3340000002, 3340000003, 3340000004)),),
    told=("audio 04070001-a0 3340000001 04070001-audio-0-1 ta-1",
          "video 04070001-v0 3340000002 04070001-video-0-1 tv-1 camera"),
    bridge=("audio 04070001-a0: 3340000001",
            "video 04070001-v0: 3340000002 3340000003 3340000004; SIM 3340000002 3340000003 3340000004"),
    transports=("U04070001 active 0",))

AUDIO_ONLY = Answer(
    "a0d10001",
    requests=(accept("a0d10001", source(3350000001, "a0d10001-a0", "a0d10001-audio-0-1 ta-1"), None),),
    told=("audio a0d10001-a0 3350000001 a0d10001-audio-0-1 ta-1",), bridge=("audio a0d10001-a0: 3350000001",),
    transports=("Ua0d10001 active 0",))

#: No sources: normal (J-523); and it wants few videos to begin with (J-528).
NOTHING = Answer(
    "00000001",
    requests=(accept("00000001", "", "", "<initial-last-n xmlns='jitsi:colibri2' value='3'/>"),),
    transports=("U00000001 active 0",), last_n=3)

#: No names, no types, all of SDP's attributes, sources of both media in one stream (J-415, J-422, J-1006).
OLD_FORM = Answer(
    "01df0001",
    requests=(("session-accept", "".join(
        "<content creator='responder' name='%s' senders='both'>%s%s</content>" % (
            media, description(media, inside), transport("01df0001", candidate)) for media, inside, candidate in (
                ("audio", old_source(3360000001, "01df0001-stream 01df0001-a"),
                 "<candidate foundation='1' component='1' protocol='udp' priority='1' ip='192.0.2.7' port='9' id='c' "
                 "type='host' generation='0' network='0'/>"),
                ("video", old_source(3360000002, "01df0001-stream 01df0001-v")
                 + old_source(3360000003, "01df0001-stream 01df0001-v")
                 + group("FID", 3360000002, 3360000003), ""))),),),
    told=("audio 01df0001-a0 3360000001 01df0001-stream 01df0001-a",
          "video 01df0001-v0 3360000002 01df0001-stream 01df0001-v",
          "video 01df0001-v0 3360000003 01df0001-stream 01df0001-v", "FID 3360000002 3360000003"),
    bridge=("audio 01df0001-a0: 3360000001", "video 01df0001-v0: 3360000002 3360000003; FID 3360000002 3360000003"),
    transports=("U01df0001 active 1",))


def gateway(nick: str, ssrc: int) -> Answer:
    """Jigasi (J-561): rings, sends its credentials and candidates without fingerprint, then accepts.

    The transport of its accept has the fingerprint and nothing else. What the bridge must know of both together is
    said in a test of its own.
    """
    candidates = "".join(
        "<candidate foundation='%d' component='1' protocol='udp' priority='%d' ip='192.0.2.8' port='10%d' id='%d' "
        "type='host' generation='0' network='0'/>" % (number, number, number, number) for number in (1, 2))
    return Answer(
        nick,
        requests=(
            ("session-info", "<ringing xmlns='urn:xmpp:jingle:apps:rtp:info:1'/>"),
            ("transport-info", "<content creator='initiator' name='audio'><transport xmlns='%s' ufrag='U%s' "
                               "pwd='pwd-of-%s'>%s</transport></content>" % (ICE, nick, nick, candidates)),
            ("session-accept", "<content creator='initiator' name='audio' senders='both'>%s<transport xmlns='%s'>"
                               "<fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256' setup='active'>"
                               "99:88</fingerprint></transport></content>" % (
                                   description("audio", old_source(ssrc, "%s-s %s-t" % (nick, nick))), ICE)),
        ),
        told=("audio %s-a0 %d %s-s %s-t" % (nick, ssrc, nick, nick),), bridge=("audio %s-a0: %d" % (nick, ssrc),))


GATEWAY = gateway("09a7e001", 3370000001)

#: Those who are in the room when another comes: of the newest client, of early 2022, and a gateway.
RESIDENT_2026 = Answer(
    "9a6566d8", "call-2026",
    told=("audio 9a6566d8-a0 438226232 9a6566d8-audio-0-1 33683682-9822-4e6d-a41b-1c22542c518f-1",
          "video 9a6566d8-v0 2653357089 9a6566d8-video-0-1 646a880f-b150-4b52-b630-bad4aa909830-1 camera",
          "video 9a6566d8-v0 3574663287 9a6566d8-video-0-1 646a880f-b150-4b52-b630-bad4aa909830-1 camera",
          "FID 2653357089 3574663287"))
RESIDENT_2022 = Answer(
    "14858e73", "call-2022",
    told=("audio 14858e73-a0 2131109862 14858e73-audio-1 de43d655-ba00-425f-a62e-8a13768e3630-1",
          "video 14858e73-v0 823223965 14858e73-video-1 7d0ed362-c58d-4f98-bf44-2d329e4f39a8-1",
          "video 14858e73-v0 1835810009 14858e73-video-1 7d0ed362-c58d-4f98-bf44-2d329e4f39a8-1",
          "FID 823223965 1835810009"))
RESIDENT_GATEWAY = gateway("09a7e002", 3370000002)
