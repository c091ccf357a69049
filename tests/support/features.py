"""What clients announce in service discovery, and the hash of it (XEP-0115)."""

from __future__ import annotations

import base64
import hashlib
from typing import Iterable, Tuple

#: What the web client of August 2026 announces (captured), without an identity (C-640).
FEATURES_2026: Tuple[str, ...] = (
    "http://jabber.org/protocol/caps",
    "http://jitsi.org/json-encoded-sources",
    "http://jitsi.org/receive-multiple-video-streams",
    "http://jitsi.org/remb",
    "http://jitsi.org/source-name",
    "http://jitsi.org/start-muted-room-metadata",
    "http://jitsi.org/tcc",
    "http://jitsi.org/visitors-1",
    "urn:ietf:rfc:4588",
    "urn:xmpp:jingle:1",
    "urn:xmpp:jingle:apps:dtls:0",
    "urn:xmpp:jingle:apps:rtp:1",
    "urn:xmpp:jingle:apps:rtp:audio",
    "urn:xmpp:jingle:apps:rtp:video",
    "urn:xmpp:jingle:transports:dtls-sctp:1",
    "urn:xmpp:jingle:transports:ice-udp:1",
    "urn:xmpp:rayo:client:1",
)
#: What the web client of early 2022 announces (captured).
FEATURES_2022: Tuple[str, ...] = (
    "http://jabber.org/protocol/caps",
    "http://jitsi.org/json-encoded-sources",
    "http://jitsi.org/remb",
    "http://jitsi.org/tcc",
    "urn:ietf:rfc:4588",
    "urn:ietf:rfc:5761",
    "urn:ietf:rfc:5888",
    "urn:xmpp:jingle:1",
    "urn:xmpp:jingle:apps:dtls:0",
    "urn:xmpp:jingle:apps:rtp:1",
    "urn:xmpp:jingle:apps:rtp:audio",
    "urn:xmpp:jingle:apps:rtp:video",
    "urn:xmpp:jingle:transports:dtls-sctp:1",
    "urn:xmpp:jingle:transports:ice-udp:1",
    "urn:xmpp:rayo:client:1",
)
#: A client that is told of sources in XML and has no data channel (Jigasi and old peers).
FEATURES_XML: Tuple[str, ...] = tuple(
    feature
    for feature in FEATURES_2022
    if feature not in ("http://jitsi.org/json-encoded-sources", "urn:xmpp:jingle:transports:dtls-sctp:1")
)


def caps_version(features: Iterable[str]) -> str:
    """Verification string of a client without identity (XEP-0115 5.1)."""
    text = "".join(feature + "<" for feature in sorted(features))
    return base64.b64encode(hashlib.sha1(text.encode()).digest()).decode()
