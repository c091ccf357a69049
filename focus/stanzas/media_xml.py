"""Media descriptions as XML: the children of an offer's ``description`` and of a bridge's ``media``.

Both carry the same payload types and extensions (K-901); what differs is the frame. Written forms are remembered:
a conference has very few different descriptions.
"""
from __future__ import annotations

from functools import lru_cache
from typing import Any, List, Optional, Tuple

from focus.stanzas.xml import (
    NS_JINGLE_FEEDBACK,
    NS_JINGLE_HEADER_EXTENSIONS,
    NS_JINGLE_RTP,
    Malformed,
    optional_int,
    parse_int,
    quote,
)
from focus.values.media import HeaderExtension, MediaDescription, PayloadType, RtcpFeedback
from focus.values.written import constant

MAX_PAYLOAD_TYPES = 128
MAX_EXTENSIONS = 256
MAX_DETAILS = 32
"""Parameters, and feedback values, of one payload type."""
MAX_TEXT = 512

_PAYLOAD_TYPE = "{%s}payload-type" % NS_JINGLE_RTP
_PARAMETER = "{%s}parameter" % NS_JINGLE_RTP
_FEEDBACK = "{%s}rtcp-fb" % NS_JINGLE_FEEDBACK
_EXTENSION = "{%s}rtp-hdrext" % NS_JINGLE_HEADER_EXTENSIONS
_ALLOW_MIXED = "{%s}extmap-allow-mixed" % NS_JINGLE_HEADER_EXTENSIONS
MEDIA_TYPES = ("audio", "video")


def _write_payload_type(payload: PayloadType, xmlns: str) -> str:
    head = "<payload-type%s id='%d' name='%s' clockrate='%d'" % (xmlns, payload.id, quote(payload.name),
                                                                 payload.clockrate)
    if payload.channels is not None:
        head += " channels='%d'" % payload.channels
    parts = [head, ">"]
    for name, value in payload.parameters:
        parts.append("<parameter%s value='%s'/>" % ("" if name is None else " name='%s'" % quote(name), quote(value)))
    for feedback in payload.feedback:
        parts.append("<rtcp-fb xmlns='%s' type='%s'%s/>" % (
            NS_JINGLE_FEEDBACK, quote(feedback.type),
            "" if feedback.subtype is None else " subtype='%s'" % quote(feedback.subtype)))
    if len(parts) == 2:
        return head + "/>"
    parts.append("</payload-type>")
    return "".join(parts)


def _write_children(description: MediaDescription, payload_xmlns: str) -> str:
    parts = [_write_payload_type(payload, payload_xmlns) for payload in description.payload_types]
    parts += ["<rtp-hdrext xmlns='%s' id='%d' uri='%s'/>" % (NS_JINGLE_HEADER_EXTENSIONS, extension.id,
                                                            quote(extension.uri))
              for extension in description.extensions]
    if description.extmap_allow_mixed:
        parts.append("<extmap-allow-mixed xmlns='%s'/>" % NS_JINGLE_HEADER_EXTENSIONS)
    return "".join(parts)


@lru_cache(maxsize=256)
def open_description(description: MediaDescription) -> str:
    """A Jingle ``<description>`` with all but its sources and its end tag (J section 3.2, J-330, J-331)."""
    maxptime = "" if description.maxptime is None else " maxptime='%d'" % description.maxptime
    return constant("<description xmlns='%s' media='%s'%s>%s<rtcp-mux/>" % (
        NS_JINGLE_RTP, quote(description.media), maxptime, _write_children(description, "")))


@lru_cache(maxsize=256)
def write_media(media: Tuple[MediaDescription, ...]) -> str:
    """The Colibri 2 ``media`` elements (K-240)."""
    xmlns = " xmlns='%s'" % NS_JINGLE_RTP
    return "".join("<media type='%s'>%s</media>" % (quote(one.media), _write_children(one, xmlns)) for one in media)


@lru_cache(maxsize=256)
def write_channel_media(description: MediaDescription) -> str:
    """Payload types and extensions as a Colibri 1 channel has them; it doesn't know ``extmap-allow-mixed`` (K-801)."""
    return constant(_write_children(description._replace(extmap_allow_mixed=False), " xmlns='%s'" % NS_JINGLE_RTP))


def parse_media(el: Any, media: Optional[str], maxptime: Optional[int] = None) -> MediaDescription:
    """A ``description`` or ``media`` element, read as ``media`` ('audio' or 'video').

    Raises Malformed: unknown media type (K-250), a payload type without usable id, name or clock rate (K-244).
    """
    if media not in MEDIA_TYPES:
        raise Malformed("bad-request", "media type is neither audio nor video")
    payloads: List[PayloadType] = []
    for payload in el.iterchildren(_PAYLOAD_TYPE):
        if len(payloads) >= MAX_PAYLOAD_TYPES:
            raise Malformed("bad-request", "too many payload types")
        payloads.append(_parse_payload_type(payload))
    extensions: List[HeaderExtension] = []
    for extension in el.iterchildren(_EXTENSION):
        if len(extensions) >= MAX_EXTENSIONS:
            raise Malformed("bad-request", "too many header extensions")
        extensions.append(HeaderExtension(parse_int(extension.get("id") or "", "id of a header extension", 1, 255),
                                          _bounded(extension.get("uri"), "uri of a header extension")))
    return MediaDescription(media, tuple(payloads), tuple(extensions),
                            next(el.iterchildren(_ALLOW_MIXED), None) is not None, maxptime)


def parse_description(el: Any, media: Optional[str]) -> MediaDescription:
    """A Jingle ``description``, with its ``maxptime``.  Raises Malformed."""
    return parse_media(el, media, optional_int(el.get("maxptime"), 1, 100000))


def _parse_payload_type(el: Any) -> PayloadType:
    parameters: List[Tuple[Optional[str], str]] = []
    for parameter in el.iterchildren(_PARAMETER):
        name = parameter.get("name")
        parameters.append((None if name is None else _bounded(name, "name of a parameter"),
                           _bounded(parameter.get("value") or "", "value of a parameter", empty=True)))
    feedback: List[RtcpFeedback] = []
    for one in el.iterchildren(_FEEDBACK):
        subtype = one.get("subtype")
        feedback.append(RtcpFeedback(_bounded(one.get("type"), "type of rtcp-fb"),
                                     None if subtype is None else _bounded(subtype, "subtype of rtcp-fb")))
    if len(parameters) > MAX_DETAILS or len(feedback) > MAX_DETAILS:
        raise Malformed("bad-request", "too many details of a payload type")
    return PayloadType(parse_int(el.get("id") or "", "id of a payload type", 0, 127),
                       _bounded(el.get("name"), "name of a payload type"),
                       parse_int(el.get("clockrate") or "0", "clock rate of a payload type", 0, 10 ** 9),
                       optional_int(el.get("channels"), 0, 255), tuple(parameters), tuple(feedback))


def _bounded(text: Optional[str], what: str, empty: bool = False) -> str:
    if not text and not empty:
        raise Malformed("bad-request", "%s is missing" % what)
    if len(text or "") > MAX_TEXT:
        raise Malformed("bad-request", "%s is too long" % what)
    return str(text or "")
