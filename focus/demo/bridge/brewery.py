"""The bridge in its brewery: joins the room, publishes statistics in its presence (B-1101, B-1150)."""

from __future__ import annotations

import asyncio
from typing import Any, Callable, Dict

from focus.demo.bridge.journal import Journal
from focus.demo.bridge.station import PUBLISHING_INTERVAL, Station, conditions
from focus.demo.bridge.xmpp import Client, Login
from focus.stanzas.xml import NS_DATA, NS_MUC, NS_MUC_OWNER, NS_MUC_USER, quote


class Brewery(Station):
    """One bridge in one brewery room."""

    def __init__(
        self,
        login: Login,
        room: str,
        nickname: str,
        journal: Journal,
        statistics: Callable[[], Dict[str, str]],
        on_iq: Callable[[Any], None],
    ) -> None:
        super().__init__(login, journal, statistics, on_iq)
        self.room = room
        self.nickname = nickname
        self._joined = False

    @property
    def occupant(self) -> str:
        """The address of this bridge in the brewery (K-101)."""
        return "%s/%s" % (self.room, self.nickname)

    def refusal(self, sender: str) -> str:
        """Only who is in the brewery may ask (K-102)."""
        return "" if sender.partition("/")[0].lower() == self.room.lower() else "forbidden"

    def publish(self) -> None:
        """Send presence with statistics now."""
        self.send("<presence to='%s'>%s</presence>" % (quote(self.occupant), self._write_stats()))

    def _farewell(self) -> None:
        self.send("<presence type='unavailable' to='%s'/>" % quote(self.occupant))

    async def _stay(self, client: Client) -> None:
        self._joined = False
        self._join()
        while not client.closed.done():
            await asyncio.wait([client.closed], timeout=PUBLISHING_INTERVAL)
            if self._joined:
                self.publish()
            elif not client.closed.done():
                self._join()

    def _join(self) -> None:
        self.send("<presence to='%s'><x xmlns='%s'/></presence>" % (quote(self.occupant), NS_MUC))

    def _presence(self, element: Any) -> None:
        if element.get("from") != self.occupant:
            return
        if element.get("type") == "error":
            self._journal.note(
                "brewery_refused", room=self.room, nickname=self.nickname, why=conditions(element)
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
