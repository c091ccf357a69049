"""The bridge in its brewery: joins the room, publishes statistics, comes back after every loss (B-1101, B-1150).

Also answers what concerns the program and not the media: health, version, ping, disco (B-1151, K-114 to K-116).
"""

from __future__ import annotations

import asyncio
import datetime
import os
import random
import time
from typing import Any, Callable, Dict, Optional

from lxml import etree

from focus import __version__
from focus.demo.bridge.journal import Journal
from focus.demo.bridge.xmpp import Client, Login, LoginFailed
from focus.stanzas.xml import (
    NS_COLIBRI,
    NS_DATA,
    NS_DISCO_INFO,
    NS_MUC,
    NS_MUC_OWNER,
    NS_MUC_USER,
    escape,
    quote,
)

NS_STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"
NS_HEALTH = "http://jitsi.org/protocol/healthcheck"
NS_VERSION = "jabber:iq:version"
NS_PING = "urn:xmpp:ping"
PRESENCE_INTERVAL = 5.0
"""Seconds between two presences with statistics (B-1150)."""
STRESS_INTERVAL = 10.0
"""Seconds over which the load is measured (B-1121)."""
LOAD_THRESHOLD = 0.9
FEATURES = (
    NS_DISCO_INFO,
    NS_HEALTH,
    "urn:xmpp:jingle:apps:dtls:0",
    "urn:xmpp:jingle:transports:ice-udp:1",
    NS_VERSION,
    NS_PING,
)
ERROR_TYPES = {
    "bad-request": "modify",
    "forbidden": "auth",
    "resource-constraint": "wait",
    "not-acceptable": "modify",
    "remote-server-timeout": "wait",
}


class Brewery:
    """One bridge in one brewery room. `statistics` gives what to publish besides the load; `on_iq` gets requests."""

    def __init__(
        self,
        login: Login,
        room: str,
        nickname: str,
        journal: Journal,
        statistics: Callable[[], Dict[str, str]],
        on_iq: Callable[[Any], None],
    ) -> None:
        self.room = room
        self.nickname = nickname
        self._login = login
        self._journal = journal
        self._statistics = statistics
        self._on_iq = on_iq
        self._client: Optional[Client] = None
        self._joined = False
        self._leaving = asyncio.Event()
        self._stress = 0.0
        self._measured = (time.monotonic(), time.process_time())

    @property
    def occupant(self) -> str:
        """The address of this bridge in the brewery (K-101)."""
        return "%s/%s" % (self.room, self.nickname)

    async def run(self) -> None:
        """Be in the brewery until `leave`; reconnects for ever, a little later each time."""
        pause = 1.0
        while not self._leaving.is_set():
            self._joined = False
            client = self._client = Client(self._login, self._stanza)
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
        """Leave the room and the server for good."""
        self._leaving.set()
        if self._client is not None:
            self._client.send("<presence type='unavailable' to='%s'/>" % quote(self.occupant))
            self._client.close()

    def publish(self) -> None:
        """Send presence with statistics now."""
        stats = "".join(
            "<stat name='%s' value='%s'/>" % (quote(name), quote(value))
            for name, value in self._published().items()
        )
        self.send(
            "<presence to='%s'><stats xmlns='%s'>%s</stats></presence>"
            % (quote(self.occupant), NS_COLIBRI, stats)
        )

    async def _stay(self, client: Client) -> None:
        self._join()
        while not client.closed.done():
            await asyncio.wait([client.closed], timeout=PRESENCE_INTERVAL)
            if self._joined:
                self.publish()
            elif not client.closed.done():
                self._join()

    def _join(self) -> None:
        self.send("<presence to='%s'><x xmlns='%s'/></presence>" % (quote(self.occupant), NS_MUC))

    def _stanza(self, element: Any) -> None:
        name = etree.QName(element).localname
        if name == "presence":
            self._presence(element)
        elif name == "iq" and element.get("type") in ("get", "set"):
            self._on_iq(element)

    def _presence(self, element: Any) -> None:
        if element.get("from") != self.occupant:
            return
        if element.get("type") == "error":
            conditions = [etree.QName(child).localname for child in element.iter("{%s}*" % NS_STANZAS)]
            self._journal.note(
                "brewery_refused", room=self.room, nickname=self.nickname, why=", ".join(conditions)
            )
            self._joined = False
            return
        codes = {status.get("code") for status in element.iter("{%s}status" % NS_MUC_USER)}
        if element.get("type") == "unavailable":
            if "110" in codes:
                self._journal.note("brewery_left", room=self.room, codes=sorted(codes - {None}))
                self._joined = False
            return
        if "110" in codes and not self._joined:
            self._joined = True
            if "201" in codes:
                self._configure()
            self._journal.note("brewery_joined", room=self.room, nickname=self.nickname)
            self.publish()

    def _configure(self) -> None:
        """Whoever creates the brewery makes real addresses visible (B-1101)."""
        fields = (
            "<field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field>"
            "<field var='muc#roomconfig_whois'><value>anyone</value></field>"
        )
        form = "<query xmlns='%s'><x xmlns='%s' type='submit'>%s</x></query>" % (
            NS_MUC_OWNER,
            NS_DATA,
            fields,
        )
        self.send("<iq type='set' id='whois' to='%s'>%s</iq>" % (quote(self.room), form))

    def _published(self) -> Dict[str, str]:
        wall, used = time.monotonic(), time.process_time()
        if wall - self._measured[0] >= STRESS_INTERVAL:
            self._stress = (used - self._measured[1]) / (wall - self._measured[0]) / LOAD_THRESHOLD
            self._measured = (wall, used)
        now = datetime.datetime.now(datetime.timezone.utc)
        stats = {
            "stress_level": "%.3f" % self._stress,
            "average_participant_stress": "0.01",
            "version": __version__,
            "healthy": "true",
            "drain": "false",
            "graceful_shutdown": "false",
            "shutting_down": "false",
            "current_timestamp": now.strftime("%Y-%m-%d %H:%M:%S.") + "%03d" % (now.microsecond // 1000),
        }
        stats.update(self._statistics())
        return stats


def write_result(request: Any, payload: str = "") -> str:
    """The positive answer to an IQ (K-103)."""
    return "<iq type='result' id='%s' to='%s'>%s</iq>" % (
        quote(request.get("id") or ""),
        quote(request.get("from") or ""),
        payload,
    )


def write_error(request: Any, condition: str, text: str, extra: str = "", echo: str = "") -> str:
    """An error answer; `extra` stands in the error element after the text (K-401), `echo` after it (K-402)."""
    words = "<text xmlns='%s' xml:lang='en'>%s</text>" % (NS_STANZAS, escape(text)) if text else ""
    return "<iq type='error' id='%s' to='%s'><error type='%s'><%s xmlns='%s'/>%s%s</error>%s</iq>" % (
        quote(request.get("id") or ""),
        quote(request.get("from") or ""),
        ERROR_TYPES.get(condition, "cancel"),
        condition,
        NS_STANZAS,
        words,
        extra,
        echo,
    )


def answer_program_request(request: Any, payload: Any) -> str:
    """Answer what is asked of the program: version, ping, disco; anything else is unknown (B-1151)."""
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
        inner += "".join("<feature var='%s'/>" % feature for feature in FEATURES)
        return write_result(request, "<query xmlns='%s'>%s</query>" % (NS_DISCO_INFO, inner))
    return write_error(request, "service-unavailable", "")
