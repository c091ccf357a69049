"""All that finds bridges, without a network: the brewery, service discovery, PubSub; with a clock of the test's own.

What is asked is kept, parsed, until the test answers it; what is answered is given as XML, so the door is part of
every test.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, List, Optional

from lxml import etree

from focus.bridge.bridge import PoolEvent
from focus.bridge.debts import Owed
from focus.bridge.finding.brewery import Brewery
from focus.bridge.finding.components import Components
from focus.bridge.finding.reports import Reports
from focus.bridge.health import Health, Rules
from focus.bridge.pool import Bridges
from focus.config import load
from focus.journal.codec import CODEC
from focus.journal.rows import Change, Ledger
from focus.requests import Requests
from focus.values.rooms import JoinOutcome
from tests.support.component_bridge import FEATURES
from tests.support.harness import stanza

SERVER = "meet.example"
PUBSUB = "pubsub.meet.example"
BREWERY = "jvbbrewery@internal.auth.meet.example"
OWN = "focus@auth.meet.example/focus"
DISCO = "http://jabber.org/protocol/disco#%s"


def stats(**values: str) -> str:
    """A `<stats/>` element; with no values the least a bridge says."""
    values = values or {"stress_level": "0.1", "version": "2.1"}
    return "<stats xmlns='http://jitsi.org/protocol/colibri'>%s</stats>" % "".join(
        "<stat name='%s' value='%s'/>" % pair for pair in values.items())


class Finding:
    """The finders around one pool.

    flags: options as on the command line. bridges: the pool; a new one if not given. tell: told the pool's events.
    """

    def __init__(self, *flags: str, bridges: Optional[Bridges] = None,
                 tell: Optional[Callable[[PoolEvent], None]] = None) -> None:
        self.config = load(["--domain=" + SERVER, *flags], {})
        self.now = 1000.0
        self.sent: List[Any] = []
        self.told: List[PoolEvent] = []
        self.expired: List[Any] = []
        self.discovered: List[str] = []
        """Bridges that were asked what they speak."""
        self.joins: List[Callable[[JoinOutcome], None]] = []
        self.server_is_quick = True
        self._ids = 0
        self.bridges: Any = Bridges() if bridges is None else bridges
        tell = self.told.append if tell is None else tell
        self._tell = tell
        self.requests = Requests(lambda: self.now, lambda _, text: self._send(text), self.new_id, "auth." + SERVER,
                                 self.config.reply_timeout)
        self.brewery = Brewery(self.config.brewery_jid and BREWERY, self.bridges, lambda: self.now,
                               lambda row, done: self.joins.append(done),
                               tell, self.new_id, self._expire, self.discovered.append)
        self.components = Components(self.config, self.bridges, self.requests, lambda _, text: self._send(text),
                                     self.new_id, lambda: self.now, tell, self._expire, self.discovered.append,
                                     self.config.pubsub_address is not None)
        self.reports = Reports(self.config, self.bridges, self.components, self.requests,
                               lambda _, text: self._send(text), self.new_id, lambda: self.now, lambda: OWN, tell)
        self.journal: Dict[Any, Change] = {}
        self.ledger = Ledger(0, CODEC)
        self.ledger.add(self.bridges.rows, self.bridges.debts.rows, self.brewery.standings, self.brewery.lanes,
                        self.reports.rows)

    def new_id(self) -> str:
        self._ids += 1
        return "i%d" % self._ids

    def _send(self, text: Any) -> None:
        element = etree.fromstring("<s xmlns='jabber:client'>%s</s>" % text)[0]
        if len(element) and element[0].tag == "{urn:xmpp:ping}ping":
            self.answer(element)
        else:
            self.sent.append(element)

    def _expire(self, bridge: str, owed: Owed) -> None:
        self.expired.append((bridge, owed.meeting_id))

    def check(self) -> None:
        """What the checks by presence do at each interval."""
        self.bridges.debts.forget_old(self.now)
        health = Health(Rules(use_presence=True), self.bridges)
        for event in [*self.bridges.recovered(self.now), *health.check_presences(self.now)]:
            self._tell(event)

    def commit(self) -> None:
        """What a journal would be given now."""
        for change in self.ledger.take():
            if change.value is None:
                self.journal.pop((change.kind, change.key), None)
            else:
                self.journal[change.kind, change.key] = change

    def restart(self, *flags: str) -> Finding:
        """A later process, with these options, that has read what this one knew."""
        self.commit()
        later = Finding(*flags)
        later.now = self.now
        stored: Dict[str, List[Any]] = {}
        for (kind, key), change in self.journal.items():
            stored.setdefault(kind, []).append((key, change.order, change.value))
        for table in (later.bridges.rows, later.reports.rows):
            table.load(later.ledger, "", stored.get(table.kind, ()))
        return later

    # --- what happens ----------------------------------------------------------------------------------------

    def connect(self, resumed: bool = False) -> Finding:
        """The stream is up."""
        self.requests.connected(resumed)
        self.brewery.connected(resumed)
        self.components.connected(resumed)
        self.reports.connected(resumed)
        return self

    def pass_time(self, seconds: float, step: float = 1.0) -> Finding:
        """Time passes; the server is quick."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + step)
            self.requests.due(self.now)
            self.components.due(self.now)
            self.reports.due(self.now)
        return self

    def answer(self, request: Any, payload: str = "", type: str = "result", sender: str = "") -> None:
        """The answer to a request of ours."""
        self.requests.answered("client", stanza("<iq type='%s' id='%s' from='%s'>%s</iq>" % (
            type, request.get("id"), sender or request.get("to"), payload)))

    def refuse(self, request: Any, condition: str) -> None:
        """An error as the answer."""
        self.answer(request, "<error type='cancel'><%s xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>" % (
            condition), "error")

    def take(self, namespace: str, to: str = "") -> List[Any]:
        """The requests of that namespace that wait for an answer, removing them."""
        found = [el for el in self.sent if len(el) and etree.QName(el[0]).namespace == namespace
                 and to in ("", el.get("to"))]
        self.sent = [el for el in self.sent if el not in found]
        return found

    def one(self, namespace: str, to: str = "") -> Any:
        """The only one of its kind."""
        found = self.take(namespace, to)
        assert len(found) == 1, [etree.tostring(el) for el in found or self.sent]
        return found[0]

    def list_items(self, *addresses: str) -> Finding:
        """The server is asked for its components and has these."""
        self.answer(self.one(DISCO % "items", SERVER), "<query xmlns='%s'>%s</query>" % (
            DISCO % "items", "".join("<item jid='%s'/>" % address for address in addresses)))
        return self

    def explain(self, address: str, features: Iterable[str] = FEATURES, version: str = "2.1") -> Finding:
        """A component is asked what it is, and says so; its version too, if it is asked for that."""
        self.answer(self.one(DISCO % "info", address), "<query xmlns='%s'>%s</query>" % (
            DISCO % "info", "".join("<feature var='%s'/>" % feature for feature in features)))
        for request in self.take("jabber:iq:version", address):
            self.answer(request, "<query xmlns='jabber:iq:version'><version>%s</version></query>" % version)
        return self

    def subscribe(self) -> Finding:
        """The PubSub service grants every subscription that is asked for."""
        for request in self.take("http://jabber.org/protocol/pubsub", PUBSUB):
            self.answer(request)
        return self

    def publish(self, item: str, payload: str = "", node: str = "stats", sender: str = PUBSUB, more: str = "",
                type: str = "headline") -> Finding:
        """A message with one published item."""
        message = stanza("<message type='%s' from='%s'><event xmlns='http://jabber.org/protocol/pubsub#event'><items "
                         "node='%s'><item id='%s'>%s</item></items></event>%s</message>" % (
                             type, sender, node, item, payload or stats(), more))
        if message.event is not None:
            self.reports.message(message)
        return self

    def stand(self, nick: str, type: str = "", payload: str = "") -> Finding:
        """A presence of an occupant of the brewery."""
        self.brewery.presence(stanza("<presence from='%s/%s'%s>%s</presence>" % (
            BREWERY, nick, " type='%s'" % type if type else "", payload or stats())))
        return self

    # --- looking at it ---------------------------------------------------------------------------------------

    def pool(self) -> Dict[str, str]:
        """Address to origin of the bridges there are."""
        return {bridge.jid: bridge.origin for bridge in self.bridges}

    def events(self) -> List[Any]:
        """(kind, bridge) of what conferences were told since the last look."""
        told, self.told[:] = [(event.kind, event.bridge) for event in self.told], []
        return told
