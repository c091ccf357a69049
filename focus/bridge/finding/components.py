"""Bridges that are components of the server: those the operator names, and those found by service discovery (B-1001,
B-1003, K-775).

Runs in the ticker: it is told answers and the time, and never waits. What the answers mean is decided in
``discovery``. A bridge that was found stays in the pool until the server is heard to say otherwise, so a restart of
the focus takes no bridge from a call.
"""
from __future__ import annotations

import logging
from typing import Any, Callable, Dict, List, Optional

from focus.bridge.bridge import ASKED, DISCOVERED, NAMED, PUBLISHED, PoolEvent
from focus.bridge.debts import Owed
from focus.bridge.finding.discovery import Catalogue, Finding, component_address, judge
from focus.bridge.pool import RESTARTED, Bridges
from focus.requests import Requests
from focus.stanzas import xml
from focus.stanzas.disco import (
    DiscoInfo,
    DiscoInfoRequest,
    DiscoItems,
    DiscoItemsRequest,
    write_disco_info_request,
    write_disco_items_request,
)
from focus.stanzas.small import Version, VersionRequest, write_version
from focus.stanzas.stanza import write_iq

LOG = logging.getLogger(__name__)
CLIENT = "client"
RETRY = 30.0
"""Seconds until the server is asked again if it is to be asked once only and gave no list."""
MAX_VERSION = 256
Known = Callable[[Optional[Finding]], None]


class Components:
    """The pool's bridges that are components.

    Args:
        config: ``bridge_jids``, ``client_bridges``, ``service_rediscovery_interval``, ``domain``.
        bridges: the pool to keep.
        send: ``send(connection name, stanza)``.
        now: monotonic seconds.
        tell: told what conferences have to hear.
        expire: ends on a bridge a conference that is owed to it.
        discover: asks a bridge what it speaks (K-830).
        published: whether bridges may come to be known by PubSub.
    """

    def __init__(self, config: Any, bridges: Bridges, requests: Requests, send: Callable[[str, str], None],
                 new_id: Callable[[], str], now: Callable[[], float], tell: Callable[[PoolEvent], None],
                 expire: Callable[[str, Owed], None], discover: Callable[[str], None],
                 published: bool = False) -> None:
        self._bridges = bridges
        self._requests = requests
        self._send = send
        self._new_id = new_id
        self._now = now
        self._tell = tell
        self._expire = expire
        self._discover = discover
        self._published = published
        self._server: str = config.domain
        self._interval: float = config.service_rediscovery_interval
        self._named: List[str] = list(config.bridge_jids)
        self._to_ask: List[str] = [address for address in map(component_address, config.client_bridges)
                                   if address is not None]
        self._catalogue = Catalogue()
        self._versions: Dict[str, str] = {}
        """What bridges answered to jabber:iq:version."""
        self._asked: Dict[str, str] = {}
        """Address to the id of the request in flight that asks what it is."""
        self._list_request = ""
        self._began = False
        self._said = ""
        """The last complaint about the server's list, said once."""
        self.due_at: Optional[float] = None
        """Monotonic seconds at which the server is asked again."""

    # --- time ------------------------------------------------------------------------------------------------

    def connected(self, resumed: bool) -> None:
        """The stream is up. On one that goes on nothing is asked at once: what was found stands in the pool."""
        began, self._began = self._began, True
        if not began:
            self._settle()
        if began and resumed:
            return
        self._asked.clear()
        self._list_request = ""
        if self._interval:
            self.due_at = self._now() + (self._pause if resumed else 0.0)
            self.due(self._now())

    def due(self, now: float) -> None:
        """To be called when ``due_at`` has come."""
        if self.due_at is None or now < self.due_at:
            return
        self.due_at = now + self._pause
        if not self._list_request:
            self._list_request = self._ask(self._server, write_disco_items_request(DiscoItemsRequest()), self._listed)

    @property
    def _pause(self) -> float:
        return self._interval if self._interval > 0 else RETRY

    def _settle(self) -> None:
        """The pool of an earlier process becomes what this one's options say."""
        allowed = {NAMED: set(self._named), ASKED: set(self._to_ask)}
        for bridge in self._bridges.of(NAMED, ASKED, DISCOVERED, PUBLISHED):
            if bridge.jid in self._named:
                bridge.origin = NAMED
            elif bridge.origin == NAMED and self._interval:
                bridge.origin = DISCOVERED  # until the server has said whether it is
            elif (bridge.jid not in allowed.get(bridge.origin, (bridge.jid,))
                  or (bridge.origin == DISCOVERED and not self._interval)
                  or (bridge.origin == PUBLISHED and not self._published)):
                self.lose(bridge.jid, "the options don't let it be known any more")
        for jid in self._named:
            self.add(jid, NAMED)
        for jid in self._to_ask:
            self.add(jid, ASKED)

    # --- the pool --------------------------------------------------------------------------------------------

    def add(self, jid: str, origin: str) -> None:
        """A bridge was found."""
        known = self._bridges.get(jid)
        was = known.origin if known is not None else ""
        events = self._bridges.found(jid, origin, self._now())
        bridge = self._bridges.get(jid)
        if events:
            for owed in self._bridges.debts.back(jid, self._now()):
                self._expire(jid, owed)  # before anything new is asked of it
        if origin != DISCOVERED and self._bridges.dialects.asks(jid, self._now()):
            self._discover(jid)
        if bridge is not None and bridge.origin != was:
            LOG.info("Added new videobridge: %s (%s)", jid, bridge.origin)
        self._publish(events)

    def lose(self, jid: str, reason: str) -> None:
        """A bridge is gone; one that the operator has named to be asked for stays, without being used."""
        now = self._now()
        bridge = self._bridges.get(jid)
        if bridge is None:
            return
        announced = bridge.graceful_shutdown or bridge.shutting_down
        LOG.log(logging.INFO if announced else logging.WARNING, "%s %s: %s (known for %d s, failed %d times)",
                "Removing JVB:" if announced else "Lost a bridge:", jid, reason, now - bridge.added_at, bridge.failures)
        self._versions.pop(jid, None)
        events = self._bridges.gone(jid, reason)
        if jid in self._to_ask:
            self._bridges.found(jid, ASKED, now)
            self._bridges.failed(jid, reason, now)
        self._publish(events)

    def _publish(self, events: List[PoolEvent]) -> None:
        for event in events:
            self._tell(event)

    # --- asking ----------------------------------------------------------------------------------------------

    def _ask(self, to: str, payload: str, deliver: Callable[[str, Optional[Any]], None]) -> str:
        request = self._new_id()
        self._requests.expect(CLIENT, request, to, deliver)
        self._send(CLIENT, write_iq("get", request, to, payload))
        return request

    def _listed(self, request: str, iq: Optional[Any]) -> None:
        """The server's list of items; without one nothing changes."""
        self._list_request = ""
        if iq is None or not isinstance(iq.payload, DiscoItems):
            self._complain("the server gives no list of its components (%s)" % (
                "no answer" if iq is None else iq.error.condition if iq.error else "it can't be read"))
            return
        if self._interval < 0:
            self.due_at = None
        found = self._catalogue.listed(iq.payload.items, [bridge.jid for bridge in self._bridges.of(DISCOVERED)])
        self._complain("the server lists %d components more than are looked at" % found.skipped
                       if found.skipped else "")
        for jid in found.gone:
            self.lose(jid, "the server doesn't list it any more")
        for jid in found.ask:
            if jid not in self._asked:
                self._asked[jid] = self._ask(jid, write_disco_info_request(DiscoInfoRequest()), self._explained(jid))

    def _complain(self, what: str) -> None:
        if what and what != self._said:
            LOG.warning("Looking for bridges among the components of %s: %s", self._server, what)
        self._said = what

    def _explained(self, jid: str) -> Callable[[str, Optional[Any]], None]:
        def answered(request: str, iq: Optional[Any]) -> None:
            self._asked.pop(jid, None)
            if iq is None:
                return  # whether a silent bridge is well is for health checks to say
            finding = judge(iq.payload, iq.error.condition if iq.error is not None else None)
            self._catalogue.answered(jid, finding)
            bridge = self._bridges.get(jid)
            if finding is Finding.BRIDGE:
                self.add(jid, DISCOVERED)
                self._bridges.rows[jid].checkable = xml.NS_HEALTH in iq.payload.features
                self._bridges.dialects.discovered(jid, iq.payload.features)
                self._ask_version(jid, iq.payload)
            elif bridge is not None and bridge.origin == DISCOVERED and finding is not Finding.UNCLEAR:
                self.lose(jid, finding.value)
        return answered

    def _ask_version(self, jid: str, info: DiscoInfo) -> None:
        """Its version, if it announces that it can be asked (K-114)."""
        if xml.NS_VERSION in info.features:
            self._ask(jid, write_version(VersionRequest()), lambda _, iq: self._versioned(jid, iq))

    def _versioned(self, jid: str, iq: Optional[Any]) -> None:
        bridge = self._bridges.get(jid)
        version = iq.payload.version if iq is not None and isinstance(iq.payload, Version) else ""
        if bridge is None or not version:
            return
        before, version = self._versions.get(jid), version[:MAX_VERSION]
        if before is None and not bridge.reported:
            before = bridge.version
        if before is not None and before != version:  # another process under the same address (B-210)
            self.lose(jid, RESTARTED)
            self.add(jid, DISCOVERED)
            bridge = self._bridges.get(jid)
        self._versions[jid] = version
        if bridge is not None and not bridge.reported:  # what it publishes itself is what others are compared with
            bridge.version = version

    def verify(self, jid: str, known: Known) -> None:
        """Ask an address what it is, and tell ``known``: None if it doesn't answer."""
        def answered(_: str, iq: Optional[Any]) -> None:
            known(None if iq is None else judge(iq.payload, iq.error.condition if iq.error is not None else None))

        self._ask(jid, write_disco_info_request(DiscoInfoRequest()), answered)
