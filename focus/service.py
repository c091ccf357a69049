"""What runs: the parts built from a configuration and a journal, started in order, stopped in the reverse one."""
from __future__ import annotations

import logging
import secrets
import signal
import time
from typing import Any, Callable, Dict, List, Optional, Tuple, Union

import gevent
from gevent.event import Event

from focus import __version__, log
from focus.bridge.checking import Checker, Place, health_rules
from focus.bridge.choice.redistribution import redistribution_of
from focus.bridge.colibri1 import expiry
from focus.bridge.debts import Owed
from focus.bridge.finding.brewery import Brewery
from focus.bridge.finding.components import Components
from focus.bridge.finding.reports import Reports
from focus.bridge.pool import Bridges
from focus.bridge.throttle import Throttle
from focus.caution import Caution
from focus.clock import Clock
from focus.conference.state import NICK, Request
from focus.conference.turn import Surroundings
from focus.connections import connections, make_client
from focus.continuity import Continuity
from focus.features import FeatureFinder
from focus.handover import PROOF_AFTER, is_succeeded
from focus.journal.codec import CODEC
from focus.journal.keeper import Keeper
from focus.journal.lanes import LaneRow
from focus.journal.opening import Opened, open_journal
from focus.journal.record import Image
from focus.journal.rows import Change, Ledger, Rows, Unreadable
from focus.lanes import Lanes
from focus.life import CALLS_ENDED, FAULT, HELD, identity, take_turn
from focus.moves import Moves
from focus.registry import GONE, LANE_FAULT, SERVICE, Conferences
from focus.requests import Requests
from focus.router import CLIENT, Parts, Router, TimersDue
from focus.silence import QUICK
from focus.stanzas.caps import write_caps
from focus.stanzas.colibri1 import write_conference
from focus.stanzas.colibri2 import ConferenceModify, write_conference_modify
from focus.stanzas.disco import DiscoInfo, DiscoInfoRequest, focus_caps, write_disco_info_request
from focus.stanzas.small import write_health_check, write_ping
from focus.stanzas.stanza import write_iq, write_presence
from focus.tick import Floor, Inbox, Outbox, Ticker
from focus.values.written import Written
from focus.xmpp.arrivals import Connected, Disconnected
from focus.xmpp.errors import JournalTaken
from focus.xmpp.names import LEDGER
from focus.xmpp.rooms import LANES
from focus.xmpp.standin import NAME as STAND_IN

LOG = logging.getLogger(__name__)
NAMES_LIMIT = 64 * 1024 * 1024
"""Bytes of XML names outside our vocabulary at which the process ends between two ticks (DESIGN, idea 4)."""
PING_INTERVAL = 30.0
"""Seconds between two pings over a connection without stream management (XEP-0199, C-1038)."""
STOP_WITHIN = 3.0
"""Seconds a stop may take to end the conferences."""


class Ids:
    """IQ ids, unique over all processes of the focus: an epoch that each raises, random bits, and a number (DESIGN,
    "Coming back")."""

    def __init__(self, epoch: int) -> None:
        self._epoch = "%x%s" % (epoch, secrets.token_hex(3))
        self._number = 0

    def __call__(self) -> str:
        self._number += 1
        return "%s-%x" % (self._epoch, self._number)


class Service:
    """The focus as a process.

    Args:
        config: a ``focus.config.Config``.
        now: monotonic seconds.
        opened: the journal; None: none is kept.
    """

    def __init__(self, config: Any, now: Callable[[], float] = time.monotonic,
                 opened: Optional[Opened] = None) -> None:
        self._config = config
        self._opened = opened
        image = opened.image if opened is not None else Image()
        self._inbox = Inbox()
        self._floor = Floor()
        self._outbox = Outbox()
        self._connections: Dict[str, Any] = connections(config, self._inbox, image)
        offset = opened.offset if opened is not None else 0.0
        self._connections[CLIENT].guard = self._guard
        self._now = now = now if not offset else lambda: time.monotonic() + offset
        self._stopping = Event()
        self._ticker_failed = False
        self._end_calls = False
        self.handing_over = False
        self.status = 0
        self._build(image)
        self._restore(image)

    def _build(self, image: Image) -> None:
        config, now = self._config, self._now
        ids = Ids(self._opened.epoch if self._opened is not None else 0)
        self._new_id = ids
        self.requests = Requests(now, self._send, ids, config.login_domain, config.reply_timeout,
                                 lambda to: self.throttle.call(to))
        self._lanes = Lanes(self._floor, self.requests, self._send, ids, LANES)
        rules = health_rules(config)
        self.bridges = Bridges.configured(config)
        self.conferences = Conferences(config, self._floor, self._lanes.start, log.context)
        self.throttle = Throttle(config.max_requests_in_flight, self.requests.in_flight, now,
                                 self.conferences.bridge_free)
        self.moves = Moves(self.conferences, self.bridges, config.brewery_jid, redistribution_of(config), now)
        self._features = FeatureFinder(self.requests, self._send, ids, self.conferences.features_found)
        self.brewery = Brewery(config.brewery_jid, self.bridges, now, self._enter_brewery,
                               self.conferences.bridge_event, ids, self._expire_conference, self._discover_bridge)
        self.checker = Checker(self.bridges, rules, now, self._ask_health, self._ask_place,
                               self.brewery.lost, self.conferences.bridge_event)
        self.components = Components(config, self.bridges, self.requests, self._send, ids, now,
                                     self.conferences.bridge_event, self._expire_conference, self._discover_bridge,
                                     published=config.pubsub_address is not None)
        self.reports = Reports(config, self.bridges, self.components, self.requests, self._send, ids, now,
                               self._own_jid, self.conferences.bridge_event)
        self.conferences.around = Surroundings(
            config=config, codecs=config.codec, bridges=self.bridges, now=now, new_id=ids, send=self._send,
            expect=self._expect, discover=self._features.discover, caps=focus_caps(), own_jid=self._own_jid,
            connected=self._is_connected, throttle=self.throttle, claim_meeting=self.conferences.claim_meeting,
            tell=self.conferences.bridge_event)
        router = Router(Parts(config, self.requests, self._lanes, self._features, self.conferences, self.brewery,
                              self._send, self._on_connection, self._on_timers, self._heard_answer, self.reports))
        client = self._connections[CLIENT]
        self._continuity = Continuity(client, lambda inbox, resource: make_client(config, inbox, resource),
                                      config.resource, config.server_queue, self.conferences.presences,
                                      self.conferences.is_settled, self._inbox, now)
        client.before_resuming = self._continuity.before_resuming
        self._ledger = Ledger(SERVICE, CODEC)
        self.keeper = self._make_keeper()
        self._ticker = Ticker(self._inbox, self._floor, self._outbox, router.dispatch, self._on_commit,
                              self.keeper.commit)
        caution = Caution(self.keeper.journal, image, now)
        if caution.is_active:
            self._ticker.be_careful(caution, router.skip)
        self._clock = Clock(now, lambda: self._inbox.put(TimersDue()))
        self._next_ping = now() + PING_INTERVAL
        self._up = False
        self._served = False
        self._began_at = time.monotonic()
        self._prove_at: Optional[float] = None
        self._sessions: Dict[str, int] = {}
        self._room_answers: Optional[bool] = None
        """Whether the brewery lets our pings of ourselves through; None: not tried."""

    # --- the journal -----------------------------------------------------------------------------------------

    def _make_keeper(self) -> Keeper:
        opened = self._opened
        connections = list(self._connections.values())

        def ledgers() -> List[Ledger]:
            return [self._ledger, *self.conferences.ledgers()]

        if opened is None:
            return Keeper(None, connections, self._take_changes, ledgers, self._now, time.time, None)
        return Keeper(opened.journal, connections, self._take_changes, ledgers, self._now, time.time, opened.place,
                      opened.failure, opened.lock.mark, opened.notes)

    def _take_changes(self) -> Tuple[List[Change], List[int]]:
        changes, ended = self.conferences.take_changes()
        return self._ledger.take() + changes, ended

    def _tables(self) -> List[Rows[Any]]:
        """The tables that belong to no conference."""
        return [self.bridges.rows, self.bridges.debts.rows, self.conferences.pins.rows, self._features.known,
                self._features.asking, self.brewery.standings, self.brewery.lanes, self.reports.rows,
                self._continuity.paces]

    def _restore(self, image: Image) -> None:
        """Bring back what an earlier process knew; rooms whose conference can't be read begin anew."""
        stored = image.tables(SERVICE)
        for table in self._tables():
            if table.kind in stored:
                table.clear()
                try:
                    table.load(self._ledger, "", stored[table.kind])
                except Unreadable as error:
                    LOG.error("What the journal says of %s can't be read (%s); it is found out anew", table.kind, error)
                    table.clear()
        self._ledger.add(*self._tables())
        self._lost_rooms = self.conferences.restore(image)
        self._features.restore(self.conferences.unknown_features())
        self.brewery.restore()
        self._continuity.restore()
        self._came_back = image.at is not None
        if image.at is not None and self._opened is not None:
            self._continuity.down_since = image.at
            self._continuity.rebooted = self._opened.rebooted
            self._continuity.damaged = bool(image.damage)
            LOG.info("Going on with %d conferences after %.1f s", len(self.conferences), self._now() - image.at)

    def _guard(self) -> None:
        """Before every login: whether it is still our turn (DESIGN, "One writer"). Raises JournalTaken."""
        if self._opened is None or self._opened.is_ours(self.keeper.journal):
            return
        LOG.critical("Another process has taken the journal %s over; this one ends and touches nothing",
                     self._opened.place.path)
        self.status = HELD
        self._ticker_failed = True  # nothing more may leave
        self._stopping.set()
        raise JournalTaken("another process serves with our journal")

    # --- what the parts are given ----------------------------------------------------------------------------

    def _send(self, connection: str, stanza: Written) -> None:
        target = self._continuity.answering() if connection == STAND_IN else self._connections.get(connection)
        if target is not None:
            self._outbox.add(target, stanza, self._sessions.get(connection))

    def _expect(self, connection: str, request: Request, room: str, seconds: Optional[float]) -> None:
        self.requests.expect(connection, request.id, request.to, self.conferences.expect_for(room), seconds)

    def _enter_brewery(self, row: LaneRow, done: Callable[[Any], None]) -> None:
        self._lanes.start(row, done, GONE, LANE_FAULT)

    def _own_jid(self) -> str:
        return self._connections[CLIENT].jid or self._config.user_jid or ""

    def _is_connected(self) -> bool:
        return self._up

    # --- what happens in a tick ------------------------------------------------------------------------------

    def _on_connection(self, event: Union[Connected, Disconnected, _Stopping]) -> None:
        if isinstance(event, _Stopping):
            if event.ends_calls:
                self.conferences.stop("the focus is stopping")
            self._ticker.end(event.stopped)
            return
        if isinstance(event, Connected):
            self._sessions[event.connection.name] = event.session  # what was decided before is not for this one
        if event.connection is not self._connections[CLIENT]:
            return  # a component has no state: its requests are answered after it is back
        if isinstance(event, Disconnected):
            self._up = False
            self._prove_at = None
            self._continuity.down_since = self._now()
            self.requests.disconnected()
            if not event.will_resume:
                self._lanes.disconnected()
                self._features.disconnected()
            return
        self._up = True
        self.requests.connected(event.resumed)
        if not event.resumed:
            self.throttle.begin_anew()
            self._lanes.disconnected()
            self._features.disconnected()
            self._greet()
        self.checker.connected()
        self.brewery.connected(event.resumed)
        self.components.connected(event.resumed)
        self.reports.connected(event.resumed)
        self.conferences.connected(event.resumed, self._now() - self._continuity.down_since)
        self._continuity.connected(event.resumed)
        if self._came_back and not self._served:
            LOG.info("Serving again %.3f s after the start: resumed=%s, %d conferences",
                     time.monotonic() - self._began_at, "true" if event.resumed else "false", len(self.conferences))
            for room in self._lost_rooms:
                self.conferences.begin_anew(room)
        self._served = True
        self._prove_at = self._now() + PROOF_AFTER

    def _greet(self) -> None:
        """After a fresh login: the presence that makes us reachable, the proxy included (C-106, C-1004)."""
        caps = write_caps(focus_caps())
        self._send(CLIENT, write_presence(None, payload_xml=caps))
        if self._config.client_proxy:  # told directly too, so that nothing depends on what the roster holds (U-6)
            self._send(CLIENT, write_presence(self._config.client_proxy, type="subscribed"))
            self._send(CLIENT, write_presence(self._config.client_proxy, payload_xml=caps))

    def _heard_answer(self, iq: Any) -> None:
        self.bridges.signs.answered(iq, self._now())
        if isinstance(iq.payload, DiscoInfo) and iq.from_ in self.bridges.rows:  # perhaps an earlier process has asked
            self.brewery.discovered(iq.from_, iq.payload.features)

    def _on_timers(self) -> None:
        now = self._now()
        if self._up and now >= self.checker.due:
            self.checker.tick()
        if self.brewery.retry_at is not None and self.brewery.retry_at <= now and self._up:
            self.brewery.enter()
        absent_until = self.brewery.absent_until
        if absent_until is not None and absent_until <= now and self._up:
            self.brewery.check_absent()
        if self._up:
            self.components.due(now)
            self.reports.due(now)
        if self._prove_at is not None and now >= self._prove_at:
            self._prove_at = None
            self.keeper.prove()
        if now >= self._next_ping:
            self._next_ping = now + PING_INTERVAL
            self._ping()
        self.requests.due(now)
        self.moves.redistribute(self._up)
        self.conferences.wake(now)

    def _ping(self) -> None:
        """A stream without management tells nothing of itself: ask over it, and give it up if nobody answers."""
        for name, connection in self._connections.items():
            if connection.connected and not connection.managed:
                request = self._new_id()
                sender = None if name == CLIENT else connection.jid
                self.requests.expect(name, request, self._config.domain, self._pinged(connection))
                self._send(name, write_iq("get", request, self._config.domain, write_ping(), sender))

    def _ask_place(self, answered: Callable[[Place], None]) -> None:
        """Ping ourselves over the brewery: whether we are in it, and whether our server isn't behind (XEP-0410).

        While we aren't, the server itself is asked, for the bridges elsewhere; so it is if the room has never answered.
        """
        inside = self.brewery.inside and self._room_answers is not False
        to = "%s/%s" % (self.brewery.room, NICK) if inside else self._config.login_domain
        request, sent = self._new_id(), self._now()

        def deliver(_: str, iq: Optional[Any]) -> None:
            if inside:
                self._room_answers = bool(self._room_answers) or iq is not None
            if iq is None or self._now() - sent > QUICK:
                answered(Place.SLOW)
            else:
                answered(Place.INSIDE if iq.type == "result" or not inside else Place.OUTSIDE)

        self.requests.expect(CLIENT, request, to, deliver)
        self._send(CLIENT, write_iq("get", request, to, write_ping()))

    def _ask_health(self, bridge: str, seconds: float, answered: Callable[[Optional[Any]], None]) -> None:
        """Send a bridge a health check (B-403); tell the answer, None if there is none in so many seconds."""
        request = self._new_id()
        self.requests.expect(CLIENT, request, bridge, lambda _, iq: answered(iq), seconds)
        self._send(CLIENT, write_iq("get", request, bridge, write_health_check()))

    def _expire_conference(self, bridge: str, owed: Owed) -> None:
        """End a conference that was left behind on a bridge; whatever it answers is fine."""
        if owed.left is None:
            payload = write_conference_modify(ConferenceModify(owed.meeting_id, expire=True))
        else:
            payload = write_conference(expiry(owed.left))
        self._send(CLIENT, write_iq("get" if owed.left is None else "set", self._new_id(), bridge, payload))

    def _discover_bridge(self, bridge: str) -> None:
        """Ask a bridge what it speaks, in a way that every bridge knows (K-115, K-830)."""
        def answered(_: str, iq: Any) -> None:
            if iq is None or not isinstance(iq.payload, DiscoInfo):
                self.brewery.discovered(bridge, None)

        request = self._new_id()
        self.requests.expect(CLIENT, request, bridge, answered)
        self._send(CLIENT, write_iq("get", request, bridge, write_disco_info_request(DiscoInfoRequest(None))))

    @staticmethod
    def _pinged(connection: Any) -> Callable[[str, Any], None]:
        def answered(_: str, iq: Any) -> None:
            if iq is None:
                connection.drop("the server does not answer a ping")

        return answered

    def _on_commit(self) -> None:
        if LEDGER.name_bytes > NAMES_LIMIT and not self._stopping.is_set():
            LOG.error("Strangers have sent %d MB of new XML names, which are never freed: the process ends and the "
                      "supervisor starts the next", LEDGER.name_bytes >> 20)
            self.status = FAULT
            self._stopping.set()
        self._continuity.settle(self.keeper.received)
        times: List[Optional[float]] = [self.requests.next_deadline(), self.conferences.next_wake(),
                                        self.checker.due if self._up else None,
                                        self._next_ping, self._prove_at, self._continuity.wake_at,
                                        self.moves.next_at,
                                        *((self.brewery.retry_at, self.brewery.absent_until, self.components.due_at,
                                           self.reports.due_at) if self._up else ())]
        self._clock.set(min(t for t in times if t is not None))

    # --- life ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start everything; connections are made in the background and for ever."""
        LOG.info("Starting Jicofo. (version %s, domain %s)", __version__, self._config.domain)
        ticker = self._ticker.start()
        ticker.link_exception(self._ticker_died)
        self._clock.start()
        self._inbox.put(TimersDue())  # the first tick sets the clock
        for connection in self._connections.values():
            connection.start()

    def _ticker_died(self, greenlet: Any) -> None:
        LOG.critical("The ticker died (%r); nothing works without it, the process ends", greenlet.exception)
        self.status = FAULT
        self._ticker_failed = True
        self._stopping.set()

    def stop(self) -> None:
        """Ask for the end; may be called from a signal handler."""
        self._stopping.set()

    def end_calls(self) -> None:
        """Ask for the end of all calls, and of the process."""
        LOG.info("All calls are to be ended")
        self._end_calls = True
        self.status = CALLS_ENDED
        self._stopping.set()

    def hand_over(self) -> None:
        """Ask for the end, to come back if nobody else proves that it serves."""
        if self.keeper.journal is None:
            LOG.error("There is no journal now, so nothing can be handed over")
            return
        LOG.info("Handing over to the spare")
        self.handing_over = True
        self._stopping.set()

    def run(self) -> int:
        """Run until told to stop; returns the exit status."""
        self.start()
        for number in (signal.SIGTERM, signal.SIGINT):
            gevent.signal_handler(number, self.stop)
        gevent.signal_handler(signal.SIGUSR1, self.hand_over)
        gevent.signal_handler(signal.SIGUSR2, self.end_calls)
        gevent.signal_handler(signal.SIGHUP, log.reopen)
        self._stopping.wait()
        if not self._ticker_failed:
            self._wind_up()
        for connection in self._connections.values():
            connection.stop(end_stream=self._ends_calls)
        if self._ends_calls:
            self.keeper.end(time.time())
        if self.keeper.commits:
            LOG.info("The journal took %d commits, %d bytes", self.keeper.commits, self.keeper.bytes)
        LOG.info("Jicofo has been stopped, exiting with exit code %d", self.status)
        return self.status

    @property
    def _ends_calls(self) -> bool:
        """Whether the calls end with this process: somebody wants it so, or nobody could go on with them."""
        return self._end_calls or self.keeper.journal is None

    def _wind_up(self) -> None:
        """End between two ticks. If nobody can go on, bridges expire the calls and rooms see us leave (C-820)."""
        with gevent.Timeout(STOP_WITHIN, False):
            stopped = Event()
            self._inbox.put(_Stopping(self._ends_calls, stopped))
            stopped.wait()
            while self._ends_calls and self._up and self._connections[CLIENT].queued_bytes:
                gevent.sleep(0.02)


class _Stopping:
    """An inbox item: the last tick, which ends the conferences if nobody can go on with them."""

    def __init__(self, ends_calls: bool, stopped: Event) -> None:
        self.ends_calls = ends_calls
        self.stopped = stopped


def run(config: Any) -> int:
    """Run the focus until a signal ends it; returns the exit status."""
    turn = take_turn(config)
    if turn is None:
        return Service(config).run()
    while True:
        opened = open_journal(config.journal_file, turn.lock, gevent.get_hub().threadpool.spawn)
        if opened.calls_ended_since(turn.waited_since):
            LOG.info("All calls were ended on purpose while this process waited as a spare; it ends too")
            return CALLS_ENDED
        service = Service(config, opened=opened)
        status = service.run()
        turn.lock.release()  # before the journal is closed, which waits for the disk
        if service.keeper.journal is not None:
            service.keeper.journal.close()
        ended = Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            gevent.signal_handler(number, ended.set)
        if not service.handing_over or is_succeeded(config.journal_file, turn.lock, opened.epoch, ended.wait):
            return status
        LOG.error("Nobody has proved to serve in our place: this process goes on")
        turn.lock.sign(identity())
