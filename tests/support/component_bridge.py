"""A synthetic videobridge that is a component of the server (XEP-0114), as bridges were before there was a brewery.

It is the bridge of `bridge.py` with another way to the server: it has no presence; who asks it by service discovery
learns that it is a bridge (K-775), and statistics go out by publish-subscribe, if at all (B-1002).
"""

from __future__ import annotations

import hashlib
import itertools
from typing import Any, Optional

from tests.support.bridge import Bridge
from tests.support.loop import Loop
from tests.support.prosody import USER_DOMAIN, Prosody
from tests.support.wire import Splitter, Stanza, Stream, StreamEnded, escape

FEATURES = (
    "http://jitsi.org/protocol/colibri",
    "http://jabber.org/protocol/disco#info",
    "jabber:iq:version",
    "urn:xmpp:jingle:apps:dtls:0",
    "urn:xmpp:jingle:transports:ice-udp:1",
    "urn:xmpp:jingle:transports:raw-udp:1",
)
PUBSUB = "http://jabber.org/protocol/pubsub"
_numbers = itertools.count(1)


class ComponentLogin:
    """What a component connects with."""

    def __init__(self, prosody: Prosody, domain: str) -> None:
        self.host = prosody.host
        self.port = prosody.component_port
        self.domain = domain
        self.secret = prosody.components[domain]

    def open(self, loop: Loop, on_stanza: Any) -> ComponentStream:
        """Connect; blocks until the server has taken the secret."""
        return ComponentStream(loop, self, on_stanza)  # type: ignore[arg-type]


class ComponentStream(Stream):
    """A stream of a component after its handshake."""

    def _negotiate(self, login: Any) -> None:
        self._splitter = Splitter()
        self._sock.sendall(
            b"<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' to='%s' "
            b"xmlns:stream='http://etherx.jabber.org/streams'>" % login.domain.encode()
        )
        header = b""
        while b" id=" not in header or not header.rstrip().endswith(b">"):
            data = self._sock.recv(65536)
            if not data:
                raise StreamEnded("the server closed the connection: %r" % header)
            header += data
        self._splitter.feed(header)
        identifier = header.split(b" id=", 1)[1][1:].partition(header.split(b" id=", 1)[1][:1])[0]
        token = hashlib.sha1(identifier + login.secret.encode()).hexdigest()
        self._exchange("<handshake>%s</handshake>" % token, b"handshake")
        self.jid = login.domain


class ComponentBridge(Bridge):
    """A bridge at the address of a component.

    features: what it says of itself. Other settings are those of `Bridge`.
    """

    def __init__(self, loop: Loop, prosody: Prosody, domain: str, *, features: Any = FEATURES, node: str = "",
                 pubsub: str = "", **settings: Any) -> None:
        self.features = features
        self.node = node
        self.pubsub = pubsub
        #: item id under which it publishes; its own address, unless a test wants another
        self.item = domain
        self.answers: list = []
        super().__init__(loop, ComponentLogin(prosody, domain), "", nickname=domain, **settings)

    @property
    def jid(self) -> str:
        """Its address for the focus (K-775)."""
        return self.nickname

    def come_back(self) -> None:
        """Connect; again after a stop."""
        self.stream = self._login.open(self.loop, self._on_stanza)
        self.joined = True
        self.publish()

    def serves(self, sender: str) -> bool:
        """Its setting says that the focus's account may ask."""
        return sender.startswith("focus@%s/" % USER_DOMAIN)

    def publish(self, **changes: str) -> None:
        """Publish the statistics, if there is a node for them."""
        self.stats.update(changes)
        if self.stream.closed or not self.node:
            return
        self._beats += 1
        stats = dict(self.stats, current_timestamp="2026-11-24 00:00:%06.3f" % (self._beats % 60))
        self.publish_item("<stats xmlns='http://jitsi.org/protocol/colibri'>%s</stats>" % "".join(
            "<stat name='%s' value='%s'/>" % (name, escape(value)) for name, value in stats.items()))

    def publish_item(self, payload: str, item: Optional[str] = None) -> None:
        """Publish anything."""
        self.stream.send(
            "<iq type='set' from='%s' to='%s' id='p%d'><pubsub xmlns='%s'><publish node='%s'><item id='%s'>%s</item>"
            "</publish></pubsub></iq>"
            % (self.jid, self.pubsub, next(_numbers), PUBSUB, self.node, item or self.item, payload))

    def stop_publishing(self) -> None:
        """Say nothing more of itself."""
        self._timer.cancel()

    def _on_stanza(self, stanza: Stanza) -> None:
        if stanza.name == "iq" and stanza.get("type") in ("result", "error"):
            self.answers.append(stanza)
        super()._on_stanza(stanza)

    def _on_request(self, stanza: Stanza) -> None:
        payload = next(iter(stanza.element), None)
        if payload is not None and payload.tag == "{http://jabber.org/protocol/disco#info}query":
            self._reply(stanza, "result", "<query xmlns='http://jabber.org/protocol/disco#info'><identity "
                        "category='conference' type='mixer'/>%s</query>" % "".join(
                            "<feature var='%s'/>" % feature for feature in self.features))
            return
        super()._on_request(stanza)

    def _reply(self, stanza: Stanza, kind: str, payload: str) -> None:
        if self.stream.closed:
            return
        self.stream.send(
            "<iq type='%s' from='%s' to='%s' id='%s'>%s</iq>"
            % (kind, self.jid, escape(stanza.get("from")), escape(stanza.get("id")), payload))
