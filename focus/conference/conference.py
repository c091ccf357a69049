"""A conference: one greenlet, one mailbox, one state.

The greenlet takes all mail that has gathered, handles it as one turn, and settles: what the turn decided is sent once,
in a fixed order, however many messages caused it. It never waits for the network; what must wait is a lane, named by
a row of the state.
"""
from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional

from gevent import Greenlet

from focus.bridge import relays, replies
from focus.bridge import session as bridge_session
from focus.conference import (
    asking,
    ending,
    inviting,
    joining,
    members,
    messages,
    moving,
    publishing,
    restarting,
    roles,
    session,
    updates,
)
from focus.conference.state import JOINED, JOINING, NICK, OVER, WAITING, ConferenceState
from focus.conference.turn import CLIENT, Surroundings, Turn
from focus.journal.lanes import LaneRow
from focus.journal.rows import Ledger
from focus.stanzas.errors import stanza_error
from focus.stanzas.stanza import write_error
from focus.tick import Mailbox
from focus.values.addresses import resource

REPLAY = 2.0
"""Seconds that timers leave after a reconnect for what the server has kept for us (DESIGN, "Coming back")."""


class Conference:
    """The owner of one conference's state.

    Args:
        state: as begun anew, or as read from a journal.
        around: what it is given of the service.
        mailbox: where the router posts.
        log: carries the room in every line.
        start_lane: brings a lane to life from its row.
        on_timer: told the time (monotonic seconds) of the earliest timer after each turn, or None.
        on_end: told when it is over.
        ledger: of its rows.
    """

    def __init__(self, state: ConferenceState, around: Surroundings, mailbox: Mailbox, log: Any,
                 start_lane: Callable[[Conference, LaneRow], None],
                 on_timer: Callable[[Conference, Optional[float]], None],
                 on_end: Callable[[Conference], None], ledger: Ledger) -> None:
        self.state = state
        self.mailbox = mailbox
        self._around = around
        self.log = log
        self._start_lane = start_lane
        self._on_timer = on_timer
        self._on_end = on_end
        self.ledger = ledger
        """Its rows in the journal."""
        if not ledger.roots:
            state.keep_in(ledger)

    @property
    def is_over(self) -> bool:
        """Whether it has ended; nothing may be posted any more."""
        return self.state.phase == OVER

    def start(self) -> Greenlet:
        """Run the greenlet."""
        return Greenlet.spawn(self.run)

    def run(self) -> None:
        """Turn after turn until the conference is over."""
        try:
            while not self.is_over:
                self.turn(self.mailbox.take())
        finally:  # also after a fault of ours: the tick must not wait for a greenlet that has ended
            self.mailbox.close()
            self._on_end(self)

    def turn(self, mail: List[Any]) -> None:
        """Handle messages as one turn and settle.

        If that fails the state is put back to what it was, and the messages are handled one by one: only the one that
        fails again is skipped.
        """
        if not self._attempt(mail):
            for message in mail:
                if not self._attempt([message]):
                    self._skip(message)
        self._on_timer(self, None if self.is_over else self.next_timer())

    def _attempt(self, mail: List[Any]) -> bool:
        turn = Turn(self.state, self._around, self.log)
        self.ledger.collect()  # what lanes have noted since the last turn stays, whatever becomes of this one
        try:
            self._handle_all(turn, mail)
        except Exception:
            self.log.exception("A turn of the conference failed; it goes on without what caused it")
            placed = self.state.placed()
            self.ledger.roll_back()
            self.state.index()
            self._around.bridges.recount(placed, self.state.placed())
            return False
        self.ledger.collect()
        turn.release()
        for row in turn.spawn:
            if row.id in self.state.lanes:
                self._start_lane(self, row)
        return True

    def _handle_all(self, turn: Turn, mail: List[Any]) -> None:
        for message in mail:
            if self.is_over:
                self._too_late(turn, message)
            else:
                HANDLERS[type(message)](turn, message)
        for part in SETTLE:
            if not self.is_over:
                part(turn)

    def _skip(self, message: Any) -> None:
        """The message makes us fail: its sender gets an answer and the conference goes on (J-510)."""
        if not isinstance(message, (messages.Asked, messages.JingleReceived)):
            return
        connection = message.connection if isinstance(message, messages.Asked) else message.iq.via
        sender = message.iq.to if isinstance(message, messages.Asked) and connection != CLIENT else None
        self._around.send(connection, write_error(message.iq, stanza_error("internal-server-error"), sender))

    def next_timer(self) -> Optional[float]:
        """Without a stream only the answers that a client waits for have a time; the rest is put off (C-1034)."""
        if self._around.connected():
            return min(self.state.timers.values(), default=None)
        return self.state.timers.get("askers")

    def _too_late(self, turn: Turn, message: Any) -> None:
        """Mail that came in the same turn after the end (C-815)."""
        if isinstance(message, messages.Asked):
            asking.refuse_late(turn, message)
        elif isinstance(message, messages.JingleReceived):
            turn.refuse(message.iq, session.UNKNOWN_SESSION)


# --- the kinds of mail ----------------------------------------------------------------------------------------------

def _presence(turn: Turn, message: messages.RoomPresence) -> None:
    if resource(message.presence.from_) == NICK:
        joining.own_presence(turn, message.presence)
    else:
        members.presence(turn, message.presence)


def _jingle(turn: Turn, message: messages.JingleReceived) -> None:
    session.received(turn, message.iq)


def _answered(turn: Turn, message: messages.Answered) -> None:
    """An answer to a request of ours; one that isn't in flight is dropped (K-484)."""
    request = turn.state.requests.pop(message.id, None)
    if request is None:
        return
    if request.kind == "sources":
        updates.answered(turn, request.endpoint, request.id)
    elif request.kind == "initiate":
        inviting.initiate_answered(turn, request.endpoint, request.session, message.iq)
    elif request.kind == "replace":
        inviting.replace_answered(turn, request.endpoint, request.session, message.iq)
    elif request.kind == "grant":
        roles.grant_answered(turn, request.endpoint, message.iq)
    elif request.kind == "features":
        inviting.server_answered(turn, request.at, request.invite)
    elif request.kind == "transport":
        restarting.answered(turn, request.endpoint, message.iq)
    elif request.kind != "terminate":
        for consequence in replies.answered(turn, request, message.iq):
            if isinstance(consequence, replies.IceRestarted):
                restarting.relay(turn, consequence)
            else:
                inviting.follow(turn, consequence)


def _features(turn: Turn, message: messages.FeaturesFound) -> None:
    inviting.features_found(turn, message.nick, message.jid, message.features)


def _lane_done(turn: Turn, message: messages.LaneDone) -> None:
    joining.lane_done(turn, message.id, message.outcome)


def _bridge_usable(turn: Turn, message: messages.BridgeUsable) -> None:
    if any(p.phase == WAITING for p in turn.state.participants.values()):
        if message.fresh:
            turn.sooner("retry", turn.now + inviting.after_a_bridge_came(turn.state.room))
        else:
            inviting.retry_waiting(turn)


def _bridge_known(turn: Turn, message: messages.BridgeKnown) -> None:
    turn.dirty_bridges.add(message.bridge)


def _bridge_free(turn: Turn, message: messages.BridgeFree) -> None:
    throttle, bridge = turn.around.throttle, message.bridge
    throttle.come(bridge, turn.state.room)
    moving.give_up_waiting(turn, bridge)
    bridge_session.flush(turn, bridge)
    throttle.call(bridge, turn.requested.get(bridge, 0))


def _rebuild_links(turn: Turn, message: messages.RebuildLinks) -> None:
    relays.rebuild(turn, message.bridge, message.other)


def _bridge_lost(turn: Turn, message: messages.BridgeLost) -> None:
    inviting.bridge_gone(turn, message.bridge, message.reason)


def _connection_back(turn: Turn, message: messages.ConnectionBack) -> None:
    """Resumed, nothing was lost; otherwise the room has seen us go and we enter it again (C-1033)."""
    state = turn.state
    state.timers = {name: when if name == "askers" else max(when + message.outage, turn.now + REPLAY)
                    for name, when in state.timers.items()}
    state.answered_at += message.outage
    if message.resumed:
        turn.dirty_bridges.update(state.bridges)
        if state.phase == JOINED:
            asking.answer_all(turn, ready=True)
        elif not state.lanes and "rejoin" not in state.timers:
            joining.begin(turn)  # it was to begin while there was no stream
        return
    state.lanes.clear()
    state.phase = JOINING
    state.join_attempt = state.kicks = 0
    roles.after_reconnect(turn)
    updates.after_reconnect(turn)
    inviting.after_reconnect(turn)
    joining.begin(turn)


def _stop(turn: Turn, message: messages.Stop) -> None:
    ending.end(turn, message.reason)


def _wake(turn: Turn, message: messages.Wake) -> None:
    for name in [name for name, due in turn.state.timers.items() if due <= turn.now]:
        if name != "askers" and not turn.around.connected():
            continue
        if name in turn.state.timers:
            turn.cancel(name)
            turn.expired.add(name)
            TIMERS[name](turn)


def _nobody_came(turn: Turn) -> None:
    if turn.state.phase == JOINED and not turn.state.members:
        ending.end(turn, "nobody came")


def _answer_late(turn: Turn) -> None:
    asking.answer_late(turn)
    state = turn.state
    if not state.askers and not state.meeting_id and not turn.around.connected():
        # nothing was begun that anybody waits for (C-224); a join that was written is undone after the reconnect
        ending.end(turn, "there is no connection to the server", leave=bool(state.lanes))


def _bridges_due(turn: Turn) -> None:
    turn.dirty_bridges.update(turn.state.bridges)
    for bridge in [b for b, clearing in turn.state.clearing.items() if clearing.until <= turn.now]:
        del turn.state.clearing[bridge]


HANDLERS: Dict[type, Callable[[Turn, Any], None]] = {
    messages.Asked: asking.asked,
    messages.RoomPresence: _presence,
    messages.JingleReceived: _jingle,
    messages.Answered: _answered,
    messages.LaneDone: _lane_done,
    messages.FeaturesFound: _features,
    messages.Wake: _wake,
    messages.BridgeUsable: _bridge_usable,
    messages.BridgeKnown: _bridge_known,
    messages.BridgeFree: _bridge_free,
    messages.BridgeLost: _bridge_lost,
    messages.MoveEndpoints: moving.move,
    messages.RebuildLinks: _rebuild_links,
    messages.ConnectionBack: _connection_back,
    messages.Stop: _stop,
}

TIMERS: Dict[str, Callable[[Turn], None]] = {
    "askers": _answer_late,
    "bridges": _bridges_due,
    "empty": _nobody_came,
    "features": inviting.ask_before_giving_up,
    "features-end": inviting.ask_finally,
    "flush": updates.flush_delayed,
    "initial": _nobody_came,
    "invite": inviting.consider,
    "limit-audio": lambda turn: None,  # settling looks at it
    "limit-video": lambda turn: None,
    "owner": roles.elect,
    "presence": lambda turn: None,  # settling sends it
    "presences": members.hear_late,
    "rejoin": joining.begin,
    "retry": inviting.retry_waiting,
    "single": ending.single_timeout,
}


def _settle_owner(turn: Turn) -> None:
    if turn.elect:
        roles.elect(turn)


def _settle_bridges(turn: Turn) -> None:
    while turn.dirty_bridges:
        bridge = min(turn.dirty_bridges)
        turn.dirty_bridges.discard(bridge)
        bridge_session.flush(turn, bridge)  # one that has to begin anew concerns those it is linked with


SETTLE = (_settle_owner, _settle_bridges, updates.flush, publishing.flush)
"""The end of a turn: what it changed leaves, each thing once and in this order.

Who moderates is decided once, whoever came and went. Bridges next, since nothing a client does waits for what it is
told here; then what receivers have to hear of each other's sources; then our presence.
"""
