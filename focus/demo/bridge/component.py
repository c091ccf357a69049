"""The bridge as a component of the server, as bridges were until 2020 (B-1001, XEP-0114).

Whoever looks for it finds it by service discovery. It has no presence; its statistics go to a node of a PubSub service
(B-1002), straight to a focus (K-773), or nowhere.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from typing import Any, Callable, Dict, NamedTuple, Optional

from focus.demo.bridge.journal import Journal
from focus.demo.bridge.station import PUBLISHING_INTERVAL, Station
from focus.demo.bridge.xmpp import Client, ComponentClient, Login
from focus.stanzas.xml import quote

NS_PUBSUB = "http://jabber.org/protocol/pubsub"


class Node(NamedTuple):
    """A PubSub node."""

    service: str
    name: str


class Component(Station):
    """One bridge as a component, whose address is the domain of its login.

    node: where the statistics go; the id of the item is the address, as a node may be shared.
    reader: who is sent the statistics, or "".
    authorized: who may ask, as a pattern for the whole sender; None lets everybody (K-748).
    """

    client_class = ComponentClient

    def __init__(
        self,
        login: Login,
        node: Optional[Node],
        reader: str,
        authorized: Optional[re.Pattern[str]],
        journal: Journal,
        statistics: Callable[[], Dict[str, str]],
        on_iq: Callable[[Any], None],
    ) -> None:
        super().__init__(login, journal, statistics, on_iq)
        self.address = login.domain
        self._node = node
        self._reader = reader
        self._authorized = authorized
        self._ids = itertools.count(1)

    def refusal(self, sender: str) -> str:
        """K-748."""
        fine = self._authorized is None or self._authorized.fullmatch(sender) is not None
        return "" if fine else "not-authorized"

    def publish(self) -> None:
        """Publish one item with the statistics, and send them."""
        if self._reader:
            self._ask(self._reader, self._write_stats())
        if self._node is not None:
            item = "<item id='%s'>%s</item>" % (quote(self.address), self._write_stats())
            self._ask_node("<publish node='%s'>%s</publish>" % (quote(self._node.name), item))

    async def _stay(self, client: Client) -> None:
        self._journal.note("component_connected", address=self.address)
        if self._node is not None:
            self._ask_node("<create node='%s'/>" % quote(self._node.name))
        while not client.closed.done():
            self.publish()
            await asyncio.wait([client.closed], timeout=PUBLISHING_INTERVAL)

    def _ask_node(self, payload: str) -> None:
        if self._node is not None:
            self._ask(self._node.service, "<pubsub xmlns='%s'>%s</pubsub>" % (NS_PUBSUB, payload))

    def _ask(self, to: str, payload: str) -> None:
        address = (next(self._ids), quote(self.address), quote(to))
        self.send("<iq type='set' id='stats%d' from='%s' to='%s'>" % address + payload + "</iq>")
