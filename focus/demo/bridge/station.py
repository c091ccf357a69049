"""A bridge's place on an XMPP server: it logs in, comes back after every loss, publishes statistics, gets requests.

`brewery` and `component` are the two kinds of place. Also here: what concerns the program and not the media, which is
version, ping, disco and the unknown (B-1151, K-114 to K-116).
"""

from __future__ import annotations

import asyncio
import os
import random
from abc import ABC, abstractmethod
from typing import Any, Callable, Dict, Optional, Tuple

from lxml import etree

from focus import __version__
from focus.demo.bridge.journal import Journal
from focus.demo.bridge.xmpp import Client, Login, LoginFailed
from focus.stanzas.xml import NS_COLIBRI, NS_DISCO_INFO, escape, quote

NS_STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"
NS_HEALTH = "http://jitsi.org/protocol/healthcheck"
NS_VERSION = "jabber:iq:version"
NS_PING = "urn:xmpp:ping"
PUBLISHING_INTERVAL = 5.0
"""Seconds between two reports (B-1150)."""
FEATURES = (
    NS_DISCO_INFO,
    NS_HEALTH,
    "urn:xmpp:jingle:apps:dtls:0",
    "urn:xmpp:jingle:transports:ice-udp:1",
    NS_VERSION,
    NS_PING,
)
FEATURES_OF = {
    "1": FEATURES + (NS_COLIBRI, "urn:xmpp:jingle:transports:raw-udp:1"),
    "2": FEATURES,
    "both": FEATURES + (NS_COLIBRI,),
}
"""What a bridge announces, by the version of Colibri that it speaks (K-115, K-775, K-830)."""
ERROR_TYPES = {
    "bad-request": "modify",
    "forbidden": "auth",
    "resource-constraint": "wait",
    "not-acceptable": "modify",
    "remote-server-timeout": "wait",
}


class Station(ABC):
    """One bridge at one server. `statistics` gives what to publish; `on_iq` gets requests."""

    client_class = Client

    def __init__(
        self,
        login: Login,
        journal: Journal,
        statistics: Callable[[], Dict[str, str]],
        on_iq: Callable[[Any], None],
    ) -> None:
        self._login = login
        self._journal = journal
        self._statistics = statistics
        self._on_iq = on_iq
        self._client: Optional[Client] = None
        self._leaving = asyncio.Event()

    async def run(self) -> None:
        """Be there until `leave`; reconnects for ever, a little later each time."""
        pause = 1.0
        while not self._leaving.is_set():
            client = self._client = self.client_class(self._login, self._stanza)
            try:
                jid = await client.connect()
                self._journal.note("xmpp_connected", jid=jid)
                pause = 1.0
                await self._stay(client)
                why = client.closed.result()
            except (LoginFailed, OSError, asyncio.TimeoutError) as error:
                why = "%s" % (error or "time-out")
            finally:
                client.close()
            if self._leaving.is_set():
                break
            self._journal.note("xmpp_lost", why=why, server="%s:%d" % (self._login.host, self._login.port))
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))
            pause = min(pause * 2, 10.0)

    def send(self, stanza: str) -> None:
        """Send one stanza, if the stream is up."""
        if self._client is not None:
            self._client.send(stanza)

    def leave(self) -> None:
        """Leave the server for good."""
        self._leaving.set()
        if self._client is not None:
            self._farewell()
            self._client.close()

    @abstractmethod
    def refusal(self, sender: str) -> str:
        """The condition with which a request about calls from this address is refused, or ""."""

    @abstractmethod
    def publish(self) -> None:
        """Publish the statistics now."""

    @abstractmethod
    async def _stay(self, client: Client) -> None:
        """Do what is to be done while the stream is up."""

    def _farewell(self) -> None:  # noqa: B027 nothing is fine
        """What is said before the stream is closed."""

    def _write_stats(self) -> str:
        stats = "".join(
            "<stat name='%s' value='%s'/>" % (quote(name), quote(value))
            for name, value in self._statistics().items()
        )
        return "<stats xmlns='%s'>%s</stats>" % (NS_COLIBRI, stats)

    def _stanza(self, element: Any) -> None:
        name, kind = etree.QName(element).localname, element.get("type")
        if name == "presence":
            self._presence(element)
        elif name == "iq" and kind in ("get", "set"):
            self._on_iq(element)
        elif name == "iq" and kind == "error":
            self._journal.note("iq_refused", id=element.get("id"), by=element.get("from"), why=conditions(element))

    def _presence(self, element: Any) -> None:  # noqa: B027 nothing is fine
        """Presence of somebody."""


def conditions(stanza: Any) -> str:
    """The conditions of an error stanza."""
    return ", ".join(etree.QName(child).localname for child in stanza.iter("{%s}*" % NS_STANZAS))


def write_result(request: Any, payload: str = "") -> str:
    """The positive answer to an IQ (K-103)."""
    return "<iq type='result'%s>%s</iq>" % (_address(request), payload)


def write_error(request: Any, condition: str, text: str, extra: str = "", echo: str = "") -> str:
    """An error answer; `extra` stands in the error element after the text (K-401), `echo` after it (K-402)."""
    words = "<text xmlns='%s' xml:lang='en'>%s</text>" % (NS_STANZAS, escape(text)) if text else ""
    return "<iq type='error'%s><error type='%s'><%s xmlns='%s'/>%s%s</error>%s</iq>" % (
        _address(request),
        ERROR_TYPES.get(condition, "cancel"),
        condition,
        NS_STANZAS,
        words,
        extra,
        echo,
    )


def _address(request: Any) -> str:
    """Where an answer goes; `from` is what a server insists on where a component speaks, and allows elsewhere."""
    names = (("id", "id"), ("to", "from"), ("from", "to"))
    return "".join(" %s='%s'" % (own, quote(request.get(theirs) or "")) for own, theirs in names if request.get(theirs))


def answer_program_request(request: Any, payload: Any, features: Tuple[str, ...]) -> Optional[str]:
    """Answer what is asked of the program: version, ping, disco. None for anything else."""
    tag = payload.tag
    if tag == "{%s}ping" % NS_PING:
        return write_result(request)
    if tag == "{%s}query" % NS_VERSION:
        inner = "<name>focus demo bridge</name><version>%s</version><os>%s</os>" % (
            __version__,
            escape(os.uname().sysname),
        )
        return write_result(request, "<query xmlns='%s'>%s</query>" % (NS_VERSION, inner))
    if tag == "{%s}query" % NS_DISCO_INFO:
        inner = "<identity category='client' type='bot' name='focus demo bridge'/>"
        inner += "".join("<feature var='%s'/>" % feature for feature in features)
        return write_result(request, "<query xmlns='%s'>%s</query>" % (NS_DISCO_INFO, inner))
    return None
