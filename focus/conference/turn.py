"""One turn of a conference: what its decisions may touch.

A turn hands the decision modules the state, the time and the few things of the service they need, and gathers what is
to be sent. It does no I/O: output goes to the tick's outbox, timers and requests in flight are rows of the state.
"""
from __future__ import annotations

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Set, Tuple, Union

from focus.conference.state import ConferenceState, Participant, Request
from focus.journal.lanes import LaneRow
from focus.stanzas.stanza import StanzaError, write_error, write_iq, write_result, write_shared_iq
from focus.values.written import Shared, Written

CLIENT = "client"
"""Name of the connection that stands in the rooms."""


class Surroundings(NamedTuple):
    """What a conference is given of the service; the same object for all conferences."""

    config: Any
    codecs: Any
    """``conference.offer.CodecConfig``"""
    bridges: Any
    """``bridge.pool.Bridges``"""
    now: Callable[[], float]
    """Monotonic seconds."""
    new_id: Callable[[], str]
    """An IQ id, unique over all processes of this focus: it carries the epoch."""
    send: Callable[[str, Written], None]
    """``send(connection name, serialised stanza)``: into the tick's outbox."""
    expect: Callable[[str, Request, str, Optional[float]], None]
    """``expect(connection name, request, room, seconds)``: watch for a request's answer and deadline."""
    discover: Callable[[str, Any, str], Any]
    """``discover(room, member info, occupant JID)``: features if known, else None and a FeaturesFound to come."""
    caps: Any
    """Our entity capabilities, a ``stanzas.caps.Caps``."""
    own_jid: Callable[[], str]
    """Full JID of the focus user."""
    connected: Callable[[], bool]
    throttle: Any
    """``bridge.throttle.Throttle``"""
    claim_meeting: Callable[[str, str], bool]
    """``claim_meeting(meeting id, room)``: whether no other room has it (C-426)."""
    tell: Callable[[Any], None]
    """Tell all conferences of a ``bridge.pool.PoolEvent``."""


class Turn:
    """State, time and output of one turn."""

    __slots__ = ("around", "bodies", "dirty_bridges", "elect", "expired", "flush", "given", "log", "now",
                 "output", "requested", "spawn", "state", "watched")

    def __init__(self, state: ConferenceState, around: Surroundings, log: Any) -> None:
        self.state = state
        self.around = around
        self.log = log
        self.now = around.now()
        self.elect = False
        """Whether it has to be seen to that there is an owner."""
        self.expired: Set[str] = set()
        """Timers that ran out with this turn."""
        self.flush: Set[str] = set()
        """Endpoints whose queued source updates are due at the end of the turn."""
        self.dirty_bridges: Set[str] = set()
        """Bridges (JIDs) with something to send."""
        self.spawn: List[LaneRow] = []
        self.output: List[Tuple[str, Written]] = []
        """What leaves if the turn stands: connection name and stanza."""
        self.watched: List[Tuple[Request, Optional[float]]] = []
        """Requests made in this turn, and how many seconds their answers have."""
        self.requested: Dict[str, int] = {}
        """How many of them go to each address."""
        self.given: Dict[str, Optional[StanzaError]] = {}
        """Id of a request that came over the room to the refusal it got, None if it was fulfilled."""
        self.bodies: Dict[Any, Any] = {}
        """Source updates serialised in this turn, shared by receivers."""

    # --- output ----------------------------------------------------------------------------------------------

    def send(self, stanza: Written, connection: str = CLIENT) -> None:
        """Send a serialised stanza, on the connection that stands in the room if no other is named."""
        self.output.append((connection, stanza))

    def result(self, iq: Any, payload: str = "") -> None:
        """Answer a request that came over the room."""
        self.given[iq.id] = None
        self.send(write_result(iq, payload), iq.via)

    def refuse(self, iq: Any, error: StanzaError) -> None:
        """Answer a request that came over the room with an error."""
        self.given[iq.id] = error
        self.send(write_error(iq, error), iq.via)

    def request(self, kind: str, to: str, iq_type: str, payload: Union[str, Shared], endpoint: str = "",
                invite: int = 0, session: str = "", seconds: Optional[float] = None) -> str:
        """Send a request; its answer comes back as an ``Answered``. Returns the id."""
        row = Request(self.around.new_id(), kind, to, endpoint, invite, session, self.now)
        self.state.requests[row.id] = row
        self.watched.append((row, seconds))
        self.requested[to] = self.requested.get(to, 0) + 1
        if isinstance(payload, Shared):
            self.send(write_shared_iq(iq_type, row.id, to, payload))
        else:
            self.send(write_iq(iq_type, row.id, to, payload))
        return row.id

    def lane(self, kind: str, **args: Any) -> LaneRow:
        """Name an exchange; its lane is born from the row when the turn is over."""
        row = LaneRow(self.around.new_id(), kind, args)
        self.state.lanes[row.id] = row
        self.spawn.append(row)
        return row

    def release(self) -> None:
        """The turn stands: let out what it wants to send."""
        for row, seconds in self.watched:
            self.around.expect(CLIENT, row, self.state.room, seconds)
        for connection, stanza in self.output:
            self.around.send(connection, stanza)

    # --- time ------------------------------------------------------------------------------------------------

    def after(self, timer: str, seconds: float) -> None:
        """Set a timer of the conference, replacing one of the same name."""
        self.state.timers[timer] = self.now + seconds
        self.state.touch()

    def sooner(self, timer: str, when: float) -> None:
        """Set a timer unless it is already set to an earlier time (monotonic seconds)."""
        set_to = self.state.timers.get(timer)
        if set_to is None or when < set_to:
            self.state.timers[timer] = when
            self.state.touch()

    def cancel(self, timer: str) -> None:
        """Unset a timer, if it is set."""
        if self.state.timers.pop(timer, None) is not None:
            self.state.touch()

    # --- look-ups --------------------------------------------------------------------------------------------

    def participant_of(self, sid: str, jid: str) -> Optional[Participant]:
        """The participant whose current session has this sid and who is this occupant (J-106)."""
        endpoint = self.state.sids.get(sid)
        participant = self.state.participants.get(endpoint) if endpoint is not None else None
        return participant if participant is not None and participant.jid == jid else None
