"""The router: hands everything that arrives to whom it concerns, in order.

It runs in the ticker and decides only by addresses and kinds; what a stanza means for a call is the conference's
business. Every request gets an answer here or there, whatever it is (C-252, S-105).
"""
from __future__ import annotations

import logging
import time
from typing import Any, Callable, Dict, NamedTuple, Union

from focus import __version__
from focus.bridge.finding.brewery import Brewery
from focus.bridge.finding.reports import Reports
from focus.conference import messages
from focus.conference.session import UNKNOWN_SESSION
from focus.connections import CLIENT, COMPONENT
from focus.features import FeatureFinder
from focus.lanes import Lanes
from focus.limits import Seldom
from focus.registry import Conferences
from focus.requests import Requests
from focus.stanzas import small
from focus.stanzas.bridge_stats import BridgeStats
from focus.stanzas.colibri1 import ColibriConference
from focus.stanzas.conference_iq import ConferenceRequest
from focus.stanzas.disco import (
    DiscoInfoRequest,
    DiscoItemsRequest,
    answer_disco_info,
    answer_disco_items,
    write_disco_info,
    write_disco_items,
)
from focus.stanzas.errors import Malformed, StanzaError, stanza_error
from focus.stanzas.jingle import JingleRequest
from focus.stanzas.stanza import (
    Iq,
    Message,
    Presence,
    Unknown,
    bare_presence,
    parse_stanza,
    write_error,
    write_presence,
    write_result,
)
from focus.values.addresses import bare, domain
from focus.xmpp.arrivals import Arrived, Connected, Disconnected, Refused
from focus.xmpp.standin import NAME as STAND_IN

LOG = logging.getLogger(__name__)


class TimersDue(NamedTuple):
    """The clock's greenlet says that some deadline or timer may have come."""


class Parts(NamedTuple):
    """What the router hands things to."""

    config: Any
    requests: Requests
    lanes: Lanes
    features: FeatureFinder
    conferences: Conferences
    brewery: Brewery
    send: Callable[[str, str], None]
    on_connection: Callable[[Union[Connected, Disconnected]], None]
    on_timers: Callable[[], None]
    on_answer: Callable[[Iq], None]
    """Told every answer, before who waits for it is."""
    reports: Reports


class Router:
    """Dispatches inbox items; see ``Parts`` for whom it knows."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._started = time.monotonic()
        self._seldom = Seldom()

    def dispatch(self, item: Any) -> None:
        """One item of the inbox. A fault of ours is logged and answered, and the tick goes on."""
        try:
            if type(item) is Arrived:
                self._stanza(item)
            elif type(item) is TimersDue:
                self._parts.on_timers()
            elif isinstance(item, Refused):
                self._refused(item)
            else:
                self._parts.on_connection(item)
        except Exception:  # the last line of defence: one stanza must not stop the process
            LOG.exception("Handling what arrived failed; it is skipped")
            if type(item) is Arrived:
                self._apologise(item)

    def skip(self, item: Any) -> None:
        """A stanza that has ended processes before this one: nobody looks at it (DESIGN, "Poison")."""
        attributes = item.element.attrib if type(item) is Arrived else item.attrs
        LOG.error("Skipped a stanza from %s: the process has crashed at it again and again", attributes.get("from"))
        if type(item) is Arrived:
            self._apologise(item)

    def _apologise(self, item: Arrived) -> None:
        element = item.element
        if str(element.tag).endswith("}iq") and element.get("type") in ("get", "set"):
            iq = Iq(element.get("type"), element.get("id", ""), element.get("to", ""), element.get("from", ""))
            self._refuse(item.connection.name, iq, stanza_error("internal-server-error"))

    def _stanza(self, item: Arrived) -> None:
        stanza = parse_stanza(item.element)
        name = item.connection.name
        if isinstance(stanza, Iq):
            if stanza.type in ("get", "set"):
                self._request(name, stanza)
            elif stanza.type in ("result", "error"):
                if name == CLIENT:
                    self._parts.on_answer(stanza)
                self._parts.requests.answered(name, stanza)
        elif isinstance(stanza, Presence):
            if name == CLIENT:
                self._presence(stanza)
        elif isinstance(stanza, Message) and stanza.type == "error":
            LOG.debug("A message of ours came back from %s", stanza.from_)
        elif isinstance(stanza, Message) and stanza.event is not None and name == CLIENT:
            self._parts.reports.message(stanza)

    # --- requests --------------------------------------------------------------------------------------------

    def _request(self, connection: str, iq: Iq) -> None:
        payload = iq.payload
        if isinstance(payload, Malformed):
            self._refuse(connection, iq, payload.error)
        elif isinstance(payload, ConferenceRequest):
            self._conference_request(connection, iq, payload)
        elif isinstance(payload, JingleRequest):
            self._jingle(connection, iq)
        elif isinstance(payload, BridgeStats) and self._parts.reports.sent(iq.from_, payload):
            self._answer(connection, iq, "")
        else:
            handler = _SIMPLE.get(type(payload))
            if handler is None:
                known = not isinstance(payload, Unknown)
                self._refuse(connection, iq, stanza_error(
                    "feature-not-implemented" if known else "service-unavailable",  # C-249, C-251; C-252
                    "the focus doesn't do this" if known else "the focus doesn't know this request"))
                return
            try:
                self._answer(connection, iq, handler(self, connection, payload))
            except Malformed as malformed:
                self._refuse(connection, iq, malformed.error)

    def _jingle(self, connection: str, iq: Iq) -> None:
        conference = self._parts.conferences.get(bare(iq.from_))
        if connection not in (CLIENT, STAND_IN) or conference is None:
            self._refuse(connection, iq, UNKNOWN_SESSION)
        else:
            iq.via = connection
            conference.mailbox.post(messages.JingleReceived(iq))

    def _conference_request(self, connection: str, iq: Iq, request: ConferenceRequest) -> None:
        """C-220: valid and ours, else refused at once; what heals in seconds is never an error (C-262)."""
        conferences = self._parts.conferences
        if iq.type != "set":
            self._refuse(connection, iq, stanza_error("feature-not-implemented", "ask with type set"))
            return
        LOG.log(logging.INFO if self._seldom.ask((request.room, iq.from_), time.monotonic()) else logging.DEBUG,
                "Conference request for room %s, from %s, token=%s", request.room, iq.from_,
                "true" if request.token else "false")  # who asks all the time doesn't fill the log (M-1107)
        if not conferences.is_ours(request.room):
            self._refuse(connection, iq, stanza_error(
                "not-allowed", "rooms of %s are not served here, only those of %s (U-5)" % (
                    domain(request.room), self._parts.config.conference_muc)))
            return
        conferences.ask(request.room, messages.Asked(connection, iq, dict(request.properties)))

    def _answer(self, connection: str, iq: Iq, payload: str) -> None:
        self._parts.send(connection, write_result(iq, payload, iq.to if connection == COMPONENT else None))

    def _refuse(self, connection: str, iq: Iq, error: StanzaError) -> None:
        self._parts.send(connection, write_error(iq, error, iq.to if connection == COMPONENT else None))

    def _disco_info(self, connection: str, payload: DiscoInfoRequest) -> str:
        return write_disco_info(answer_disco_info(payload, component=connection == COMPONENT))

    def _disco_items(self, connection: str, payload: DiscoItemsRequest) -> str:
        return write_disco_items(answer_disco_items(payload))

    def _ping(self, connection: str, payload: small.Ping) -> str:
        return ""

    def _version(self, connection: str, payload: small.VersionRequest) -> str:
        return small.write_version(small.Version("Jicofo", __version__))

    def _channels(self, connection: str, payload: ColibriConference) -> str:
        """Bridges of the years before 2018 tell which streams they receive: nothing depends on it (K-774)."""
        return ""

    def _last(self, connection: str, payload: small.LastActivityRequest) -> str:
        return small.write_last_activity(small.LastActivity(int(time.monotonic() - self._started)))

    # --- presences -------------------------------------------------------------------------------------------

    def _presence(self, stanza: Presence) -> None:
        if stanza.type == "subscribe":
            self._subscription(stanza)
            return
        self._parts.lanes.presence(stanza)
        room = bare(stanza.from_)
        if room == self._parts.brewery.room:
            self._parts.brewery.presence(stanza)
            return
        conference = self._parts.conferences.get(room)
        if conference is not None:
            conference.mailbox.post(messages.RoomPresence(stanza))

    def _subscription(self, stanza: Presence) -> None:
        """The client proxy wants to know when we are there; nobody else needs to (C-106, C-1006)."""
        proxy = self._parts.config.client_proxy
        if not proxy and "@" not in stanza.from_:  # the answer is left to who configures it
            LOG.warning("%s asks to see our presence: if it is Prosody's client_proxy, set client_proxy to it (U-6)",
                        stanza.from_)
            return
        answer = "subscribed" if stanza.from_ == proxy else "unsubscribed"
        self._parts.send(CLIENT, write_presence(bare(stanza.from_), type=answer))

    # --- what the stream would not keep ----------------------------------------------------------------------

    def _refused(self, item: Refused) -> None:
        """A stanza beyond our bounds was skipped: a request gets its answer, an answer counts as nonsense."""
        attributes = item.attrs
        LOG.warning("Skipped a stanza from %s: %s", attributes.get("from"), item.reason)
        if item.kind == "presence" and attributes.get("type") == "unavailable" and item.connection.name == CLIENT:
            self._presence(bare_presence(attributes.get("from", ""), attributes.get("to", ""), "unavailable"))
        if item.kind != "iq":
            return
        iq_type = attributes.get("type", "")
        iq = Iq(iq_type, attributes.get("id", ""), attributes.get("to", ""), attributes.get("from", ""))
        if iq_type in ("get", "set"):
            self._refuse(item.connection.name, iq, stanza_error("bad-request", "the stanza is beyond our bounds"))
        elif iq_type in ("result", "error"):
            iq.type = "result"
            self._parts.requests.answered(item.connection.name, iq)


_SIMPLE: Dict[type, Callable[..., str]] = {
    DiscoInfoRequest: Router._disco_info,
    DiscoItemsRequest: Router._disco_items,
    small.Ping: Router._ping,
    small.VersionRequest: Router._version,
    small.LastActivityRequest: Router._last,
    ColibriConference: Router._channels,
}

