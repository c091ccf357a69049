"""What both versions of Colibri put on the wire alike: payload types, ICE-UDP transports, plain attributes.

The bridge's own reading and writing; see `request` for why it shares none of it with the focus.
"""

from __future__ import annotations

import re
from typing import Any, Iterable, Iterator, Tuple

from focus.stanzas.xml import (
    NS_COLIBRI,
    NS_JINGLE_DTLS,
    NS_JINGLE_FEEDBACK,
    NS_JINGLE_HEADER_EXTENSIONS,
    NS_JINGLE_ICE,
    NS_JINGLE_RTP,
    escape,
    quote,
)
from focus.values.media import HeaderExtension, PayloadType, RtcpFeedback
from focus.values.transport import Candidate, Fingerprint, Transport


class Malformed(Exception):
    """A request that cannot be parsed (K-113); the text says what is wrong with it."""


def read_payload_type(element: Any) -> PayloadType:
    """One `payload-type` that has a name. Raises Malformed."""
    parameters = tuple(
        (parameter.get("name"), parameter.get("value") or "")
        for parameter in children(element, NS_JINGLE_RTP, "parameter")
    )
    feedback = tuple(
        RtcpFeedback(item.get("type") or "", item.get("subtype"))
        for item in children(element, NS_JINGLE_FEEDBACK, "rtcp-fb")
    )
    channels = read_integer(element, "channels") if element.get("channels") else None
    clock_rate = read_integer(element, "clockrate") if element.get("clockrate") else 90000
    return PayloadType(
        read_integer(element, "id"), element.get("name"), clock_rate, channels, parameters, feedback
    )


def read_extensions(element: Any) -> Tuple[HeaderExtension, ...]:
    """The `rtp-hdrext` children. Raises Malformed."""
    return tuple(
        HeaderExtension(read_integer(extension, "id"), extension.get("uri") or "")
        for extension in children(element, NS_JINGLE_HEADER_EXTENSIONS, "rtp-hdrext")
    )


def read_ice(element: Any) -> Transport:
    """The ICE-UDP `transport` (K-262 to K-266)."""
    fingerprints = tuple(
        Fingerprint((item.text or "").strip(), item.get("hash"), item.get("setup"))
        for item in children(element, NS_JINGLE_DTLS, "fingerprint")
        if item.get("hash") and (item.text or "").strip()
    )
    candidates = tuple(
        Candidate(_attributes(item)) for item in children(element, NS_JINGLE_ICE, "candidate")
    )
    rtcp_mux = next(children(element, NS_JINGLE_ICE, "rtcp-mux"), None) is not None
    return Transport(_attributes(element), rtcp_mux, fingerprints, (), candidates)


def _attributes(element: Any) -> Tuple[Tuple[str, str], ...]:
    return tuple((str(name), str(value)) for name, value in element.attrib.items())


def children(element: Any, namespace: str, name: str) -> Iterator[Any]:
    """The children of that name."""
    return element.iterchildren("{%s}%s" % (namespace, name))


def is_true(element: Any, attribute: str) -> bool:
    """K-112: the word "true" in any case, nothing else."""
    return (element.get(attribute) or "").lower() == "true"


def read_integer(element: Any, attribute: str) -> int:
    """An attribute that must be a whole number. Raises Malformed."""
    text = element.get(attribute) or ""
    if not re.fullmatch(r"-?[0-9]{1,10}", text):
        raise Malformed("%s of %s is not a number" % (attribute, element.tag.rpartition("}")[2]))
    return int(text)


def write_ice(transport: Transport) -> str:
    """The ICE-UDP `transport` element, its children in the order seen (K-291)."""
    parts = ["<transport xmlns='%s'%s>" % (NS_JINGLE_ICE, _written(transport.attributes))]
    if transport.rtcp_mux:
        parts.append("<rtcp-mux/>")
    for fingerprint in transport.fingerprints:
        attributes = (("hash", fingerprint.hash or ""), ("setup", fingerprint.setup or ""))
        parts.append(
            "<fingerprint xmlns='%s'%s>%s</fingerprint>"
            % (NS_JINGLE_DTLS, _written(attributes), escape(fingerprint.value))
        )
    for url in transport.web_sockets:
        parts.append("<web-socket xmlns='%s' url='%s'/>" % (NS_COLIBRI, quote(url)))
    for candidate in transport.candidates:
        parts.append("<candidate%s/>" % _written(candidate.attributes))
    return "".join(parts) + "</transport>"


def _written(attributes: Iterable[Tuple[str, str]]) -> str:
    return "".join(" %s='%s'" % (name, quote(value)) for name, value in attributes)
