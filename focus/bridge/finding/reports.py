"""Statistics of bridges that are components: by PubSub, a node per bridge or one for all with the bridge's address as
item id (B-1002), or sent by the bridge itself (K-773).

Runs in the ticker: it is told events and the time, and never waits. Only what the configured service sends counts, and
an address that nobody has named is a bridge only if it belongs to the main domain and says so itself.
"""
from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Callable, Dict, Optional, Tuple

from focus.bridge.bridge import BREWERY, PUBLISHED, PoolEvent
from focus.bridge.finding.components import Components
from focus.bridge.finding.discovery import Finding, component_address
from focus.bridge.pool import Bridges
from focus.journal.rows import Row, Rows
from focus.requests import Requests
from focus.stanzas.bridge_stats import BridgeStats
from focus.stanzas.pubsub import PublishedItem, write_subscribe
from focus.stanzas.stanza import write_iq

LOG = logging.getLogger(__name__)
CLIENT = "client"
MAX_REPORTS = 1000
"""Bridges that may publish."""
MAX_UNVERIFIED = 20
"""Addresses that are being asked whether they are bridges."""
MAX_REFUSED, REFUSED_FOR = 100, 60.0
"""Addresses that are no bridges, and seconds until one is asked again."""


@dataclass(eq=False)
class Report(Row):
    """The last sign of life that a bridge gave by PubSub, keyed by its address."""

    node: str
    at: float


class Node:
    """A node, and whether we are subscribed to it."""

    def __init__(self) -> None:
        self.request = ""
        """Id of the subscription in flight."""
        self.subscribed = False
        self.failed = ""
        """Why it couldn't be subscribed to last time; said once."""


class Reports:
    """The subscriptions and what comes by them.

    Args:
        config: the options of section ``pubsub``, and ``domain``.
        bridges: the pool to keep.
        components: knows and asks components.
        send: ``send(connection name, stanza)``.
        now: monotonic seconds.
        own_jid: our full address.
        tell: told what conferences have to hear.
    """

    def __init__(self, config: Any, bridges: Bridges, components: Components, requests: Requests,
                 send: Callable[[str, str], None], new_id: Callable[[], str], now: Callable[[], float],
                 own_jid: Callable[[], str], tell: Callable[[PoolEvent], None]) -> None:
        self._bridges = bridges
        self._components = components
        self._requests = requests
        self._send = send
        self._new_id = new_id
        self._now = now
        self._own_jid = own_jid
        self._tell = tell
        self._service: str = config.pubsub_address or ""
        self._domain: str = config.domain
        self._shared: Optional[str] = config.pubsub_stats_node
        self._bridge_of: Dict[str, str] = {node: jid for jid, node in config.pubsub_bridge_nodes}
        self._max_age: float = config.max_stats_report_age
        self._retry: float = config.pubsub_retry_interval
        names = [*self._bridge_of, *([self._shared] if self._shared else [])] if self._service else []
        self.nodes: Dict[str, Node] = {name: Node() for name in names}
        self.rows: Rows[Report] = Rows("report", Report)
        self._unverified: Dict[str, Tuple[str, BridgeStats]] = {}
        """Address to node and newest statistics."""
        self._refused: Dict[str, float] = {}
        """Address to the time from which it may be asked again."""
        self._event_at = float("-inf")
        """Monotonic seconds of the service's last event."""
        self._renewed_at = float("-inf")
        """Monotonic seconds at which the service last confirmed a subscription."""
        self._subscribe_at: Optional[float] = None
        self._check_at: Optional[float] = None

    @property
    def due_at(self) -> Optional[float]:
        """Monotonic seconds at which ``due`` has something to do."""
        times = [time for time in (self._subscribe_at, self._check_at) if time is not None]
        return min(times) if times else None

    # --- subscriptions ---------------------------------------------------------------------------------------

    def connected(self, resumed: bool) -> None:
        """The stream is up; nobody is judged by what we couldn't hear."""
        now = self._now()
        if not self.nodes:
            self.rows.clear()  # the journal is of another configuration
            return
        for row in self.rows.values():
            row.at = now
        for bridge in self._bridges.of(PUBLISHED):
            if bridge.jid not in self.rows:
                self.rows[bridge.jid] = Report("", now)
        self._event_at = now
        self._check_at = now + self._max_age / 2
        if not resumed:
            self._unverified.clear()
            for node in self.nodes.values():
                node.request, node.subscribed = "", False
        for name, node in self.nodes.items():  # a stream that goes on has the subscriptions by which we have heard
            node.subscribed = node.subscribed or (resumed and any(row.node == name for row in self.rows.values()))
        self._subscribe_at = now
        self.due(now)

    def due(self, now: float) -> None:
        """To be called when ``due_at`` has come."""
        if self._subscribe_at is not None and now >= self._subscribe_at:
            self._subscribe_at = None
            for name, node in self.nodes.items():
                if not node.subscribed and not node.request:
                    self._subscribe(name, node)
        if self._check_at is not None and now >= self._check_at:
            self._check_at = now + self._max_age / 2
            self._check(now)

    def _subscribe(self, name: str, node: Node) -> None:
        node.request = self._new_id()
        self._requests.expect(CLIENT, node.request, self._service,
                              lambda request, iq: self._subscribed(name, node, request, iq))
        self._send(CLIENT, write_iq("set", node.request, self._service, write_subscribe(name, self._own_jid())))

    def _subscribed(self, name: str, node: Node, request: str, iq: Optional[Any]) -> None:
        if request != node.request:
            return
        node.request = ""
        if iq is not None and iq.error is None:
            if not node.subscribed:
                LOG.info("Subscribed to the bridges' statistics: node %s of %s", name, self._service)
            node.subscribed, node.failed = True, ""
            self._renewed_at = self._now()
            return
        why = "it does not answer" if iq is None else "%s %s" % (iq.error.condition, iq.error.text)
        if why != node.failed:
            LOG.warning("Subscribing to the node %s of %s failed: %s. Statistics of bridges are missing meanwhile; it "
                        "is tried again every %d s", name, self._service, why, self._retry)
        node.subscribed, node.failed = False, why
        self._subscribe_at = self._now() + self._retry

    # --- events ----------------------------------------------------------------------------------------------

    def message(self, message: Any) -> None:
        """A message with something published: whoever else sends such is not listened to."""
        event = message.event
        if message.from_ != self._service or event.node not in self.nodes:
            LOG.debug("Published by %s, who isn't asked", message.from_)
            return
        if event.delayed:
            return  # as old as it likes; the next one comes within seconds
        self._event_at = self._now()
        for item in event.items:
            jid = self._bridge_of.get(event.node) or component_address(item.id)
            if jid is not None:
                self._item(event.node, jid, item)

    def sent(self, jid: str, stats: BridgeStats) -> bool:
        """Statistics that somebody sends by itself (K-773); whether that is a bridge we know as a component."""
        bridge = self._bridges.get(jid)
        if bridge is None or bridge.origin == BREWERY:
            return False
        for event in self._bridges.heard(jid, stats, None, self._now(), bridge.origin):
            self._tell(event)
        return True

    def _item(self, node: str, jid: str, item: PublishedItem) -> None:
        if item.unavailable:
            if jid in self.rows:
                self._offline(jid, "it says that it is not available")
        elif item.stats is None:
            return
        elif self._bridges.get(jid) is not None or node in self._bridge_of:
            self._reported(node, jid, item.stats)
        else:
            self._verify(node, jid, item.stats)

    def _reported(self, node: str, jid: str, stats: BridgeStats) -> None:
        now = self._now()
        if jid not in self.rows and len(self.rows) >= MAX_REPORTS:
            return
        self._components.add(jid, PUBLISHED)
        for event in self._bridges.heard(jid, stats, None, now, PUBLISHED):
            self._tell(event)
        bridge = self._bridges.get(jid)
        if bridge is None or bridge.seen_at != now:
            return  # it repeats what it said before, which is no sign of life (B-411)
        row = self.rows.get(jid)
        if row is None:
            self.rows[jid] = Report(node, now)
        else:
            row.at = now

    def _verify(self, node: str, jid: str, stats: BridgeStats) -> None:
        """Somebody published under an address that we don't know: it has to be a bridge of this domain."""
        now = self._now()
        if jid in self._unverified:
            self._unverified[jid] = node, stats
        elif self._refused.get(jid, now) > now:
            return
        elif not jid.endswith("." + self._domain):
            self._refuse(jid, "it doesn't belong to %s; name it in bridge_jids if it is one of yours" % self._domain)
        elif len(self._unverified) < MAX_UNVERIFIED:
            self._unverified[jid] = node, stats
            self._components.verify(jid, lambda finding: self._verified(jid, finding is Finding.BRIDGE))

    def _verified(self, jid: str, is_bridge: bool) -> None:
        waiting = self._unverified.pop(jid, None)
        if waiting is None:
            return
        if is_bridge:
            self._reported(waiting[0], jid, waiting[1])
        else:
            self._refuse(jid, "it doesn't say that it is a bridge")

    def _refuse(self, jid: str, why: str) -> None:
        now = self._now()
        self._refused = {known: until for known, until in self._refused.items() if until > now}
        if len(self._refused) < MAX_REFUSED:
            self._refused[jid] = now + REFUSED_FOR
            LOG.warning("Statistics of %s are published, but %s", jid, why)

    # --- silence ---------------------------------------------------------------------------------------------

    def _check(self, now: float) -> None:
        """Who has published nothing new for too long is offline; if nobody has, the subscription is in doubt first."""
        for jid in [jid for jid in self.rows if self._bridges.get(jid) is None]:
            del self.rows[jid]
        silent = [jid for jid, row in self.rows.items() if now - row.at > self._max_age]
        if not silent:
            return
        if now - self._event_at > self._max_age:
            asked_since = self._renewed_at > self._event_at
            if not asked_since or any(not node.subscribed for node in self.nodes.values()):
                for name, node in self.nodes.items():
                    if not node.request:
                        self._subscribe(name, node)
                return
            if now - self._renewed_at <= self._max_age:
                return
        for jid in silent:
            self._silent(jid, "it has published nothing new for %d s" % (now - self.rows[jid].at))

    def _silent(self, jid: str, why: str) -> None:
        """Who is known by its statistics only is offline. Any other is asked first: a call isn't moved for want of
        figures."""
        bridge = self._bridges.get(jid)
        if bridge is None or bridge.origin == PUBLISHED:
            self._offline(jid, why)
            return
        del self.rows[jid]
        self._components.verify(jid, lambda finding: self._asked(jid, why, finding))

    def _asked(self, jid: str, why: str, finding: Optional[Finding]) -> None:
        bridge = self._bridges.get(jid)
        if bridge is None or jid in self.rows:
            return
        if finding in (None, Finding.ABSENT):
            self._offline(jid, "%s, and it isn't there" % why)
        else:
            LOG.warning("Bridge %s is used without statistics: %s, but it is there", jid, why)
            bridge.reported = False

    def _offline(self, jid: str, why: str) -> None:
        """A bridge isn't there. One that is known otherwise stays and may come back by its health."""
        self.rows.pop(jid, None)
        bridge = self._bridges.get(jid)
        if bridge is None:
            return
        if bridge.origin == PUBLISHED:
            self._components.lose(jid, why)
            return
        LOG.warning("Bridge %s is offline: %s", jid, why)
        self._bridges.failed(jid, why, self._now())
        bridge.silent = True
        self._tell(PoolEvent("lost", jid, why))
