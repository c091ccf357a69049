"""ICE-UDP transports as XML, passed on with everything they hold (J-351 to J-356, K-262, K-291)."""
from __future__ import annotations

from typing import Any, List, Optional, Sequence, Tuple

from focus.stanzas.xml import (
    NS_COLIBRI,
    NS_JINGLE_DTLS,
    NS_JINGLE_ICE,
    NS_JINGLE_SCTP,
    Malformed,
    escape,
    optional_int,
    quote,
)
from focus.values.transport import Attributes, Candidate, Fingerprint, Transport

MAX_ATTRIBUTES = 32
MAX_ATTRIBUTE_NAME = 64
MAX_TEXT = 2048
MAX_CANDIDATES = 100
MAX_FINGERPRINTS = 16
MAX_WEB_SOCKETS = 16
SCTP_STREAMS = 1024

TRANSPORT = "{%s}transport" % NS_JINGLE_ICE
_CANDIDATE = "{%s}candidate" % NS_JINGLE_ICE
_RTCP_MUX = "{%s}rtcp-mux" % NS_JINGLE_ICE
_FINGERPRINT = "{%s}fingerprint" % NS_JINGLE_DTLS
_WEB_SOCKET = "{%s}web-socket" % NS_COLIBRI
_SCTPMAP = "{%s}sctpmap" % NS_JINGLE_SCTP


def open_transport(transport: Transport, to_client: bool) -> str:
    """A ``<transport>`` without its end tag, so that a content may add to it.

    Toward clients a fingerprint's absent ``required`` and ``cryptex`` are written as ``false`` (J-352); toward
    bridges only what the client sent is.
    """
    parts = ["<transport xmlns='%s'" % NS_JINGLE_ICE]
    parts += [" %s='%s'" % (name, quote(value)) for name, value in transport.attributes]
    parts.append("><rtcp-mux/>" if transport.rtcp_mux else ">")
    parts += [_write_fingerprint(fingerprint, to_client) for fingerprint in transport.fingerprints]
    parts += ["<web-socket xmlns='%s' url='%s'/>" % (NS_COLIBRI, quote(url)) for url in transport.web_sockets]
    for candidate in transport.candidates:
        parts.append("<candidate")
        parts += [" %s='%s'" % (name, quote(value)) for name, value in candidate.attributes]
        parts.append("/>")
    return "".join(parts)


def write_transport(transport: Transport, to_client: bool = False) -> str:
    """A complete ``<transport>``."""
    return open_transport(transport, to_client) + "</transport>"


def write_sctpmap(port: int) -> str:
    """What the transport of the content ``data`` has in addition (J-341)."""
    return "<sctpmap xmlns='%s' number='%d' protocol='webrtc-datachannel' streams='%d'/>" % (
        NS_JINGLE_SCTP, port, SCTP_STREAMS)


def _write_fingerprint(fingerprint: Fingerprint, to_client: bool) -> str:
    parts = ["<fingerprint xmlns='%s'" % NS_JINGLE_DTLS]
    if fingerprint.hash is not None:
        parts.append(" hash='%s'" % quote(fingerprint.hash))
    if fingerprint.setup is not None:
        parts.append(" setup='%s'" % quote(fingerprint.setup))
    required, cryptex = fingerprint.required, fingerprint.cryptex
    if to_client:
        required, cryptex = required or "false", cryptex or "false"
    if required is not None:
        parts.append(" required='%s'" % quote(required))
    if cryptex is not None:
        parts.append(" cryptex='%s'" % quote(cryptex))
    parts.append(">%s</fingerprint>" % escape(fingerprint.value))
    return "".join(parts)


def parse_transport(el: Any) -> Transport:
    """An ICE-UDP ``<transport>``.  Raises Malformed if it goes beyond the bounds of this module."""
    fingerprints: List[Fingerprint] = []
    web_sockets: List[str] = []
    candidates: List[Candidate] = []
    rtcp_mux = False
    for child in el.iterchildren(_CANDIDATE, _FINGERPRINT, _WEB_SOCKET, _RTCP_MUX):
        tag = child.tag
        if tag == _CANDIDATE:
            candidates.append(Candidate(_attributes(child)))
        elif tag == _FINGERPRINT:
            fingerprints.append(_parse_fingerprint(child))
        elif tag == _WEB_SOCKET:
            url = child.get("url")
            if url:
                web_sockets.append(_bounded(url))
        else:
            rtcp_mux = True
    if len(candidates) > MAX_CANDIDATES or len(fingerprints) > MAX_FINGERPRINTS or len(web_sockets) > MAX_WEB_SOCKETS:
        raise Malformed("bad-request", "too many parts of a transport")
    return Transport(_attributes(el), rtcp_mux, tuple(fingerprints), tuple(web_sockets), tuple(candidates))


def parse_sctp_port(el: Any) -> Optional[int]:
    """The port in the ``sctpmap`` of a transport, or None."""
    sctpmap = next(el.iterchildren(_SCTPMAP), None)
    return None if sctpmap is None else optional_int(sctpmap.get("number"), 1, 65535)


def _parse_fingerprint(el: Any) -> Fingerprint:
    get = el.get
    values = [None if value is None else _bounded(value)
              for value in (get("hash"), get("setup"), get("required"), get("cryptex"))]
    return Fingerprint(_bounded((el.text or "").strip()), *values)


def _attributes(el: Any) -> Attributes:
    """All attributes in their order. Those in a namespace can't be written without a prefix and are left out."""
    items = el.items()
    if len(items) > MAX_ATTRIBUTES:
        raise Malformed("bad-request", "too many attributes in a transport")
    for name, value in items:
        if len(value) > MAX_TEXT or len(name) > MAX_ATTRIBUTE_NAME or name[0] == "{":
            return _unusual_attributes(items)
    return tuple(items)


def _unusual_attributes(items: Sequence[Tuple[str, str]]) -> Attributes:
    kept = []
    for name, value in items:
        if name[0] == "{":
            continue
        if len(name) > MAX_ATTRIBUTE_NAME:
            raise Malformed("bad-request", "attribute name in a transport is too long")
        kept.append((name, _bounded(value)))
    return tuple(kept)


def _bounded(text: str) -> str:
    if len(text) > MAX_TEXT:
        raise Malformed("bad-request", "value in a transport is too long")
    return text
