"""What a scripted client says and understands about media: its own sources, its answer, the sources of others.

Written from what today's web client puts on the wire (jingle.md sections 4, 10 and 11.2), independently of the
focus's own code, so that both can't share a misunderstanding.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any, Dict, FrozenSet, Iterable, List, NamedTuple, Optional, Tuple

from tests.support.wire import escape, unescape_bytes

RTP = "urn:xmpp:jingle:apps:rtp:1"
SSMA = "urn:xmpp:jingle:apps:rtp:ssma:0"
JITMEET = "http://jitsi.org/jitmeet"

_JSON_MESSAGE = re.compile(rb"<json-message\b[^>]*>([^<]*)</json-message>")


class MediaSource(NamedTuple):
    """One SSRC as a receiver knows it. Two are equal if everything is."""

    ssrc: int
    media: str
    name: Optional[str]
    msid: Optional[str]
    desktop: bool = False


class MediaGroup(NamedTuple):
    """SSRCs that belong together; the order matters."""

    semantics: str
    media: str
    ssrcs: Tuple[int, ...]


class Sources(NamedTuple):
    """All that is known of one owner."""

    sources: FrozenSet[MediaSource]
    groups: FrozenSet[MediaGroup]

    def __bool__(self) -> bool:
        return bool(self.sources or self.groups)

    @lru_cache(maxsize=4096)  # noqa: B019 (many receivers learn the same, and keep one object of it)
    def plus(self, other: Sources) -> Sources:
        """Both together."""
        return Sources(self.sources | other.sources, self.groups | other.groups)

    @lru_cache(maxsize=4096)  # noqa: B019
    def minus(self, other: Sources) -> Sources:
        """What the other doesn't have; sources are removed by SSRC alone (J-641)."""
        gone = {source.ssrc for source in other.sources}
        return Sources(frozenset(s for s in self.sources if s.ssrc not in gone), self.groups - other.groups)

    def stripped(self) -> Sources:
        """Without simulcast, as other participants are told (J-741): the first layer with its RTX, and the rest."""
        dropped = {
            ssrc for group in self.groups if group.semantics == "SIM" for ssrc in group.ssrcs[1:]
        }
        dropped |= {
            group.ssrcs[1] for group in self.groups if group.semantics == "FID" and group.ssrcs[0] in dropped
        }
        return Sources(
            frozenset(source for source in self.sources if source.ssrc not in dropped),
            frozenset(
                group for group in self.groups if group.semantics != "SIM" and group.ssrcs[0] not in dropped
            ),
        )

    def only(self, *, audio: bool = True, video: bool = True) -> Sources:
        """The sources of the media named."""
        kept = {"audio"} if audio else set()
        kept |= {"video"} if video else set()
        return Sources(
            frozenset(source for source in self.sources if source.media in kept),
            frozenset(group for group in self.groups if group.media in kept),
        )


NOTHING = Sources(frozenset(), frozenset())


def audio_source(endpoint: str, ssrc: int, *, index: int = 0, named: bool = True) -> Sources:
    """A microphone."""
    name = "%s-a%d" % (endpoint, index)
    msid = "%s-audio-%d-1 a%x-1" % (endpoint, index, ssrc)
    return Sources(
        frozenset([MediaSource(ssrc, "audio", name if named else None, msid)]),
        frozenset(),
    )


def video_source(
    endpoint: str,
    first_ssrc: int,
    *,
    index: int = 0,
    layers: int = 3,
    rtx: bool = True,
    desktop: bool = False,
    named: bool = True,
) -> Sources:
    """A camera (or screen): `layers` simulcast layers, each with its RTX; SSRCs count up from `first_ssrc`.

    With three layers that is one SIM and three FID groups (J-1115).
    """
    name = "%s-v%d" % (endpoint, index) if named else None
    msid = "%s-video-%d-1 v%x-1" % (endpoint, index, first_ssrc)
    primaries = tuple(range(first_ssrc, first_ssrc + layers))
    ssrcs = primaries + (tuple(range(first_ssrc + layers, first_ssrc + 2 * layers)) if rtx else ())
    groups = [MediaGroup("SIM", "video", primaries)] if layers > 1 else []
    if rtx:
        groups += [MediaGroup("FID", "video", (ssrc, ssrc + layers)) for ssrc in primaries]
    return Sources(
        frozenset(MediaSource(ssrc, "video", name, msid, desktop) for ssrc in ssrcs), frozenset(groups)
    )


def default_sources(endpoint: str) -> Sources:
    """One microphone and one simulcast camera; SSRCs are made from the endpoint id (eight hex digits)."""
    base = (int(endpoint, 16) * 2654435761) % 4294960000 + 16
    return audio_source(endpoint, base).plus(video_source(endpoint, base + 1))


# Writing: what a client sends


def source_lines(sources: Sources, media: str) -> str:
    """`<source/>` and `<ssrc-group/>` of one medium as a client writes them (J-412, J-1112)."""
    out = []
    for source in sorted(s for s in sources.sources if s.media == media):
        out.append("<source xmlns='%s' ssrc='%d'" % (SSMA, source.ssrc))
        if source.name is not None:
            out.append(" name='%s'" % escape(source.name))
            if media == "video":
                out.append(" videoType='%s'" % ("desktop" if source.desktop else "camera"))
        out.append(">")
        if source.msid is not None:
            out.append("<parameter name='msid' value='%s'/>" % escape(source.msid))
        out.append("</source>")
    for group in sorted(g for g in sources.groups if g.media == media):
        members = "".join("<source ssrc='%d'/>" % ssrc for ssrc in group.ssrcs)
        out.append("<ssrc-group xmlns='%s' semantics='%s'>%s</ssrc-group>" % (SSMA, group.semantics, members))
    return "".join(out)


def update_contents(sources: Sources) -> str:
    """The contents of a client's source-add or source-remove (J-411)."""
    out = []
    for media in ("audio", "video"):
        lines = source_lines(sources, media)
        if lines:
            out.append(
                "<content name='%s'><description xmlns='%s' media='%s'>%s</description></content>"
                % (media, RTP, media, lines)
            )
    return "".join(out)


_FEEDBACK = (
    "<rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='transport-cc'/>"
    "<rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='ccm' subtype='fir'/>"
    "<rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='nack'/>"
    "<rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='nack' subtype='pli'/>"
)


def _extensions(extensions: Iterable[Tuple[int, str]]) -> str:
    lines = "".join(
        "<rtp-hdrext xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0' id='%d' uri='%s'/>" % extension
        for extension in extensions
    )
    return lines + "<extmap-allow-mixed xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0'/>"


def _video_codecs(codecs: Iterable[Tuple[str, int, int]]) -> str:
    out = []
    for name, number, rtx in codecs:
        out.append(
            "<payload-type id='%d' name='%s' clockrate='90000' channels='1'>%s</payload-type>"
            % (number, name, _FEEDBACK)
        )
        out.append(
            "<payload-type id='%d' name='rtx' clockrate='90000' channels='1'>"
            "<parameter name='apt' value='%d'/></payload-type>" % (rtx, number)
        )
    return "".join(out)


_TRANSPORT_CC = (5, "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01")
_MID = (10, "urn:ietf:params:rtp-hdrext:sdes:mid")

_AUDIO_CODECS = (
    "<payload-type id='111' name='opus' clockrate='48000' channels='2'><parameter name='minptime' value='10'/>"
    "<parameter name='useinbandfec' value='1'/><rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' "
    "type='transport-cc'/></payload-type><payload-type id='126' name='telephone-event' clockrate='8000' channels='1'/>"
)
_AUDIO_EXTENSIONS = _extensions([(1, "urn:ietf:params:rtp-hdrext:ssrc-audio-level"), _TRANSPORT_CC, _MID])
_VIDEO_CODECS = _video_codecs([("AV1", 41, 42), ("VP9", 101, 97), ("VP8", 100, 96), ("H264", 107, 99)])
_VIDEO_EXTENSIONS = _extensions(
    [
        (3, "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"),
        _TRANSPORT_CC,
        _MID,
        (11, "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"),
    ]
)


def client_transport(endpoint: str, *, setup: str = "active", candidates: str = "") -> str:
    """A client's ICE-UDP transport; the credentials are made from the endpoint id."""
    digits = (endpoint.encode().hex() * 8)[:64]
    fingerprint = ":".join(digits[at : at + 2] for at in range(0, 64, 2)).upper()
    role = " setup='%s'" % setup if setup else ""
    return (
        "<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='u%s' pwd='pwd0123456789abcd%s'>"
        "<fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256'%s>%s</fingerprint>%s</transport>"
        % (escape(endpoint), escape(endpoint), role, fingerprint, candidates)
    )


def accept_contents(endpoint: str, sources: Sources) -> str:
    """Everything inside a client's session-accept (J-1111 to J-1115); some 5 kB with the default sources."""
    transport = client_transport(endpoint)
    parts = ["<group xmlns='urn:xmpp:jingle:apps:grouping:0' semantics='BUNDLE'>"]
    parts += ["<content name='audio'/><content name='video'/><content name='data'/></group>"]
    for media, codecs, extensions in (
        ("audio", _AUDIO_CODECS, _AUDIO_EXTENSIONS),
        ("video", _VIDEO_CODECS, _VIDEO_EXTENSIONS),
    ):
        parts.append(
            "<content creator='responder' name='%s' senders='both'><description xmlns='%s' media='%s'>%s%s<rtcp-mux/>%s"
            "</description>%s</content>"
            % (media, RTP, media, codecs, source_lines(sources, media), extensions, transport)
        )
    return "".join(parts)


# Reading: what the focus says about others


def read_sources(raw: bytes, element: Any) -> Dict[str, Sources]:
    """owner -> sources of a session-initiate, source-add or source-remove.

    raw: the stanza. element: a function without arguments that gives it as an element, called only for XML sources.
    Raises ValueError for what a web client would drop as a whole.
    """
    found = _JSON_MESSAGE.findall(raw)
    if len(found) > 1:
        raise ValueError("more than one json-message (J-406)")
    if found:
        return _read_json(found[0])
    if b"urn:xmpp:jingle:apps:rtp:ssma:0" in raw:
        return _read_xml(element())
    return {}


@lru_cache(maxsize=64)
def _read_json(escaped: bytes) -> Dict[str, Sources]:
    """What many receivers get is read once, so nobody may change it."""
    out = {}
    for owner, entry in json.loads(unescape_bytes(escaped))["sources"].items():
        if len(entry) > 4:
            raise ValueError("%d entries for %s (J-402)" % (len(entry), owner))
        video, video_groups, audio, audio_groups = entry + [[]] * (4 - len(entry))
        out[owner] = _same(Sources(
            frozenset([_json_source(s, "video") for s in video] + [_json_source(s, "audio") for s in audio]),
            frozenset(
                [_json_group(g, "video") for g in video_groups] + [_json_group(g, "audio") for g in audio_groups]
            ),
        ))
    return out


@lru_cache(maxsize=4096)
def _same(sources: Sources) -> Sources:
    """One object for what is equal: in a large room everybody knows the same of everybody."""
    return sources


def _json_source(entry: Dict[str, Any], media: str) -> MediaSource:
    return MediaSource(entry["s"], media, entry.get("n"), entry.get("m"), bool(entry.get("v")))


def _json_group(entry: List[Any], media: str) -> MediaGroup:
    return MediaGroup({"f": "FID", "s": "SIM"}[entry[0]], media, tuple(entry[1:]))


def _read_xml(iq: Any) -> Dict[str, Sources]:
    sources: Dict[str, List[MediaSource]] = {}
    groups: Dict[str, List[MediaGroup]] = {}
    owners: Dict[int, str] = {}
    for description in iq.iter("{%s}description" % RTP):
        media = description.get("media")
        for source in description.iterfind("{%s}source" % SSMA):
            info = source.find("{%s}ssrc-info" % JITMEET)
            if info is None:
                raise ValueError("source without ssrc-info (J-413)")
            ssrc = int(source.get("ssrc"))
            owner = owners[ssrc] = info.get("owner")
            msid = next((p.get("value") for p in source if p.get("name") == "msid"), None)
            sources.setdefault(owner, []).append(
                MediaSource(ssrc, media, source.get("name"), msid, source.get("videoType") == "desktop")
            )
        for group in description.iterfind("{%s}ssrc-group" % SSMA):
            ssrcs = tuple(int(member.get("ssrc")) for member in group)
            groups.setdefault(owners.get(ssrcs[0], ""), []).append(
                MediaGroup(group.get("semantics"), media, ssrcs)
            )
    return {
        owner: Sources(frozenset(sources.get(owner, ())), frozenset(groups.get(owner, ())))
        for owner in set(sources) | set(groups)
    }
