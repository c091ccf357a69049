"""What a conference knows: one plain object made of rows.

Nothing here does anything. Each class is a row keyed by its entity, so that the journal writes exactly the rows that
changed (``focus.journal.rows``: a list or dict inside a row is replaced, or ``touch()`` called); only ``turn`` and the
modules that decide (``asking``, ``members``, ``inviting``, ``session``, …) change them, and only inside the
conference's own greenlet.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple

from focus.bridge.choice.stress import RAMPUP_BUCKET, Window
from focus.conference.budgets import Bucket, Invitations
from focus.conference.offer import Features
from focus.conference.signalling import SourceLog
from focus.conference.validation import SourceTable
from focus.journal.lanes import LaneRow
from focus.journal.rows import Ledger, Row, Rows, Unreadable
from focus.stanzas.errors import StanzaError
from focus.stanzas.focus_presence import FocusPresence
from focus.stanzas.member import MemberInfo
from focus.stanzas.muc import VISITOR
from focus.values.channels import Channels, Leftover
from focus.values.sources import EMPTY_SOURCES, SourceSet
from focus.values.transport import Transport

DERIVED = {"journal": False}
"""Metadata of fields that are made anew from others."""


@dataclass(eq=False)
class Asker(Row):
    """A client whose conference request waits for the answer (C-222), keyed by a number."""

    connection: str
    id: str
    """Of its request."""
    to: str
    from_: str
    since: float
    """Monotonic seconds."""


@dataclass(eq=False)
class Member(Row):
    """An occupant of the room, keyed by nickname (C-601)."""

    nick: str
    jid: str
    """Occupant JID."""
    info: MemberInfo
    """What its last presence said."""
    order: int
    """Rises with every join: who came first (M-222)."""
    since: float = 0.0
    """Monotonic seconds of its join."""
    features: Optional[Features] = None
    """None until discovered (C-640) or given up (C-641)."""
    granted_at: float = float("-inf")
    """Monotonic seconds of our last ownership grant (M-213: one a minute)."""
    refusals: int = 0
    """Grants to it that the room refused."""
    renounced: bool = False
    """Was owner by our grant and is not any more (M-225): not elected again."""
    heard: Bucket = field(default_factory=Bucket, metadata=DERIVED)
    """Its presences that were looked at (M-1114)."""

    @property
    def role(self) -> str:
        """``owner``, ``moderator``, ``participant`` or ``visitor`` (C-604)."""
        return str(self.info.role)

    def is_sending(self, media: str) -> bool:
        """Whether its presence says that it sends unmuted ``audio`` or ``video`` (C-634)."""
        return not (self.info.audio_muted if media == "audio" else self.info.video_muted)


NICK = "focus"
"""Our nickname in every room, whatever the account is called (C-122)."""

# Phases of a participant's way to media, in order.
WAITING = "waiting"        # no bridge or endpoint yet; a retry is set
ALLOCATING = "allocating"  # a bridge was asked
OFFERED = "offered"        # session-initiate sent: Jingle PENDING (J-1.2)
ACTIVE = "active"          # accepted
ENDED = "ended"            # the session ended by the client or by its fault; no new one until it rejoins


class Answer(NamedTuple):
    """What a request of a participant was answered: one that comes again gets the same (its client's stream broke)."""

    id: str
    action: str
    sid: str
    error: Optional[StanzaError] = None


class Allocated(NamedTuple):
    """A participant has an endpoint: it can be sent its offer."""

    endpoint: str
    invite: int
    transport: Transport
    sctp_port: Optional[int]
    bridge: str


@dataclass(eq=False)
class Participant(Row):
    """A member that is or shall be in the call, keyed by endpoint id = nickname (C-603)."""

    endpoint: str
    jid: str
    phase: str = WAITING
    invite: int = 0
    """Number of the current invitation; answers that belong to an older one are dropped (K-134)."""
    sid: str = ""
    bridge_session: str = ""
    """Id last told to the client in an offer (J-303)."""
    features: Optional[Features] = None
    json: bool = True
    rewriting: bool = False
    signalled: int = 0
    """Version of the source log this client has been told (J-711)."""
    confirmed: int = 0
    """The version it was told by the last update it answered."""
    update: str = ""
    """Id of the source update it has not answered, empty if none."""
    update_until: float = 0.0
    """Monotonic seconds at which its answer is waited for no longer."""
    flush_at: float = 0.0
    """Monotonic seconds before which no update is sent (J-713)."""
    refused_sids: Tuple[str, ...] = ()
    """Ended sessions of this participant, for J-504; the last few."""
    restarts: Tuple[float, ...] = ()
    """Monotonic times of accepted restart requests (J-556)."""
    attempts: int = 0
    """Failed invitations in a row (B-641)."""
    held: Optional[Allocated] = None
    """What the bridge answered while we weren't in the room: the offer follows when we are."""
    retry_at: float = 0.0
    """Monotonic seconds before which no invitation is begun (B-641)."""
    reinvites: Tuple[float, ...] = ()
    """Monotonic times at which its endpoint was lost by itself: the loop is bounded."""
    excluded: Optional[str] = None
    """Bridge that refused this participant's request and isn't asked for it again (K-471)."""
    answers: Tuple[Answer, ...] = ()
    """The last few given to it."""
    owed: Tuple[Tuple[str, str, str], ...] = ()
    """Sessions that ended while we weren't in the room: sid, reason, text of what it has to be told."""
    ice_restarts: Tuple[float, ...] = ()
    """Monotonic times of accepted requests to restart ICE in place (J-556)."""
    ice_generation: int = 0
    """The last restart in place that the client was told of (J-865)."""
    accepted: bool = False
    """Its present session was accepted, whatever has become of its bridge since (J-816)."""
    delayed: bool = False
    """Its next update has its time already (J-714)."""


@dataclass(eq=False)
class Endpoint(Row):
    """A participant's endpoint on a bridge, as far as it is known to us."""

    id: str
    invite: int
    created: bool = False
    """The bridge has confirmed it."""
    asked: bool = False
    """The creating request left."""
    sctp: bool = False
    transport: Optional[Transport] = None
    """All that the client said of its transport: what is sent again if need be."""
    unsent: Tuple[Transport, ...] = ()
    """What the client said of its transport and the bridge hasn't heard, each as it came (J-566)."""
    send_sources: bool = False
    """The full source set is to be sent with the next update."""
    last_n: Optional[int] = None
    repeated: bool = False
    """An update's time-out was answered by a repetition already (K-480)."""
    ice_restart: bool = False
    """New ICE credentials are to be asked for (J-863)."""
    visitor: bool = False
    """It only receives, and other bridges aren't told of it (B-720)."""


# Phases of a conference on one bridge, and of a relay in it.
NEW = "new"            # nothing sent yet
CREATING = "creating"  # the creating request is out, everything else waits for its answer (K-132)
READY = "ready"
LEAVING = "leaving"    # a relay that is to be expired
EXPIRING = "expiring"  # a relay whose expiry is out


@dataclass(eq=False)
class RelayedEndpoint(Row):
    """An endpoint of another bridge, as far as this one was told of it through a relay (K-514)."""

    id: str
    asked: bool = False
    """The creating request left."""
    created: bool = False
    """The bridge has confirmed it."""
    send_sources: bool = False
    """The full source set is to be sent."""


@dataclass(eq=False)
class Relay(Row):
    """One side of the link to another bridge of the conference, keyed by the link's number (B-702)."""

    link: str
    """The same on both sides; a link that is made again has a new one."""
    bridge: str
    """JID of the other bridge."""
    relay_id: str
    """Of the other bridge (K-124)."""
    mesh: str
    initiator: bool
    """This side's bridge was in the conference first (B-703)."""
    phase: str = NEW
    sctp: Optional[bool] = None
    """Whether the bridges' channel is SCTP; None until one of the sides is asked for."""
    refused_sctp: bool = False
    """This side's bridge was asked for SCTP and refused (K-476)."""
    transport: Optional[Transport] = None
    """What the other bridge said of its side."""
    handed_over: bool = False
    """This bridge was told that (B-712)."""
    silent_at: float = 0.0
    """Monotonic seconds of a time-out that was answered by a repetition, 0 if none (B-655)."""
    renewals: int = 0
    """How often the link was made again because a bridge refused something about it."""
    expired: Tuple[str, ...] = ()
    """Relayed endpoints to be expired with the next request."""
    expiring: Dict[str, float] = field(default_factory=dict)
    """Those whose expiry is under way, with the time (monotonic seconds) at which it is no longer waited for."""
    until: float = 0.0
    """Monotonic seconds at which the relay's own expiry is no longer waited for."""
    endpoints: Rows[RelayedEndpoint] = field(default_factory=lambda: Rows("relayed", RelayedEndpoint),
                                             metadata=DERIVED)
    """What is behind it, visitors left out."""

    def tables(self) -> Iterable[Rows[Any]]:
        """Its relayed endpoints go with it."""
        return (self.endpoints,)

    @property
    def is_wanted(self) -> bool:
        """Whether it isn't on its way out."""
        return self.phase not in (LEAVING, EXPIRING)


@dataclass(eq=False)
class BridgeSession(Row):
    """This conference on one bridge, keyed by the bridge's occupant JID (B-601)."""

    bridge: str
    id: str
    """Random UUID, the ``bridge-session`` of the offers; never sent to the bridge (B-602)."""
    region: Optional[str]
    phase: str = NEW
    feedback: SourceSet = EMPTY_SOURCES
    """The bridge's own sources (J-363)."""
    endpoints: Rows[Endpoint] = field(default_factory=lambda: Rows("endpoint", Endpoint), metadata=DERIVED)
    expired: Tuple[str, ...] = ()
    """Endpoints to be expired with the next request."""
    expiring: Dict[str, float] = field(default_factory=dict)
    """Endpoints whose expiry is under way, with the time (monotonic seconds) at which it is no longer waited for."""
    clears: int = 0
    """How often a conference of an earlier focus was cleared away for this session (B-645)."""
    internal_error_of: str = ""
    """Endpoint whose allocation ended in an internal-server-error: a second one's is the bridge's fault (K-441)."""
    relay_id: Optional[str] = None
    """As the bridge announced it at the beginning; later changes don't count (B-601)."""
    visitor: bool = False
    """Begun for a visitor; fixed for its life (B-544)."""
    relays: Rows[Relay] = field(default_factory=lambda: Rows("relay", Relay), metadata=DERIVED)
    dialect: int = 2
    """Version of Colibri it is held in, from its creating request on (K-830)."""
    conference: str = ""
    """Colibri 1: the bridge's id of the conference, empty until it has told it (K-701)."""
    channels: Rows[Channels] = field(default_factory=lambda: Rows("channels", Channels), metadata=DERIVED)
    """Colibri 1: what endpoints have on the bridge, those included that are to be expired (K-713, K-802)."""
    recent: Window = field(default_factory=lambda: Window(RAMPUP_BUCKET), metadata=DERIVED)
    """Endpoints that were added to it (B-502)."""

    def tables(self) -> Iterable[Rows[Any]]:
        """Its endpoints, relays and channels go with it."""
        return (self.endpoints, self.relays, self.channels)


@dataclass(eq=False)
class Clearing(Row):
    """An expired conference on a bridge whose answer is awaited before the next creation there (B-645)."""

    bridge: str
    request: str
    """Id of the expiry whose answer is awaited."""
    until: float
    """Monotonic seconds at which the creation may go on without the answer."""
    pause: float = 0.0
    """Seconds to wait on after the answer: a bridge answers just before it removes the conference (B-645)."""


@dataclass(eq=False)
class Request(Row):
    """A request in flight, keyed by its id; what its answer means is decided by ``kind``."""

    id: str
    kind: str
    to: str
    endpoint: str = ""
    invite: int = 0
    session: str = ""
    """Bridge session id, Jingle sid or lane the answer belongs to: guards against late ones (K-480)."""
    at: float = 0.0
    """Monotonic seconds at which it was made."""
    sctp: bool = False
    """It asked a bridge for SCTP, which is then what was refused (K-476)."""
    left: Optional[Leftover] = None
    """Colibri 1: the channels that it expires."""
    dialect: int = 2
    """Version of Colibri of a request to a bridge."""


@dataclass(eq=False)
class Published(Row):
    """Our presence in the room: the whole state, sent whole (C-501)."""

    etherpad: str
    properties: Dict[str, str]
    bridge_not_available: bool = False
    sent: Optional[FocusPresence] = None
    """The presence last sent; None before the join."""
    sent_at: float = float("-inf")


# Phases of the conference.
JOINING = "joining"
JOINED = "joined"
OVER = "over"


@dataclass(eq=False)
class ConferenceState(Row):
    """All that is known about one conference, keyed by its room JID (C-401)."""

    room: str
    number: int
    """Its own over all conferences of all processes; in the journal its rows are kept under it."""
    created_at: float
    properties: Dict[str, str]
    """Of the creating request (C-203)."""
    published: Published = field(default_factory=lambda: Published("", {}), metadata=DERIVED)
    phase: str = JOINING
    meeting_id: str = ""
    is_owner: bool = False
    is_breakout: bool = False
    join_attempt: int = 0
    """Failed attempts in a row."""
    joined_at: float = float("-inf")
    kicks: int = 0
    """Removals of the focus in a row."""
    seen_inside: bool = False
    """While entering: our own presence was seen, so that a later ``unavailable`` is not an old one."""
    thrown_out: bool = False
    """While entering: we were removed again."""
    asked: int = 0
    """Counts the clients that had to wait."""
    answered_at: float = float("-inf")
    """When a request was last answered ``ready`` to somebody who has not been seen to join since (C-816)."""
    joins: int = 0
    invites: int = 0
    """Counts invitations, so that no two of this conference have the same number."""
    drops: Dict[str, Tuple[float, ...]] = field(default_factory=dict)
    """Per bridge, times at which its session was dropped for an error (B-643)."""
    timers: Dict[str, float] = field(default_factory=dict)
    owner: Optional[str] = None
    """Nickname of the remembered owner (M-220)."""
    no_bridge_since: Optional[float] = None
    no_bridge_said: float = float("-inf")
    start_muted: Tuple[bool, bool] = (False, False)
    """Audio, video: the moderators' wish for those who join later (C-632)."""
    pinned_version: Optional[str] = None
    """Full version of the bridges it is held to (B-507)."""
    links: int = 0
    """Counts the links between its bridges."""
    meshes: int = 0
    """Counts the meshes beside the core's (B-543)."""

    # Tables.
    present: Rows[str] = field(default_factory=lambda: Rows("present", str), metadata=DERIVED)
    """Presences to be handled later, as text by nickname: of occupants seen during a (re)join, when it is complete
    (C-412); of members that send too many, the newest (M-1114)."""
    askers: Rows[Asker] = field(default_factory=lambda: Rows("asker", Asker), metadata=DERIVED)
    members: Rows[Member] = field(default_factory=lambda: Rows("member", Member), metadata=DERIVED)
    participants: Rows[Participant] = field(default_factory=lambda: Rows("participant", Participant), metadata=DERIVED)
    bridges: Rows[BridgeSession] = field(default_factory=lambda: Rows("bridge", BridgeSession), metadata=DERIVED)
    clearing: Rows[Clearing] = field(default_factory=lambda: Rows("clearing", Clearing), metadata=DERIVED)
    requests: Rows[Request] = field(default_factory=lambda: Rows("request", Request), metadata=DERIVED)
    lanes: Rows[LaneRow] = field(default_factory=lambda: Rows("lane", LaneRow), metadata=DERIVED)
    sources: SourceTable = field(default_factory=SourceTable, metadata=DERIVED)
    log: SourceLog = field(default_factory=SourceLog, metadata=DERIVED)

    # Made from the tables.
    invited: Invitations = field(default_factory=Invitations, metadata=DERIVED)
    """Who was invited how often (M-1122)."""
    sids: Dict[str, str] = field(default_factory=dict, metadata=DERIVED)
    """Jingle sid to endpoint id, current sessions only."""

    def rows(self) -> Tuple[Rows[Any], ...]:
        """All tables of many rows."""
        return (self.present, self.askers, self.members, self.participants, self.bridges, self.clearing,
                self.requests, self.lanes, self.sources.rows, self.log.changes)

    def keep_in(self, ledger: Ledger) -> None:
        """From now on every change is noted."""
        for kind, row in (("conference", self), ("published", self.published), ("log", self.log)):
            table: Rows[Any] = Rows(kind, type(row))
            table[self.room] = row
            ledger.add(table)
        ledger.add(*self.rows())

    def is_visitor(self, endpoint: str) -> bool:
        """Whether the member with this nickname may only receive (J-901)."""
        member = self.members.get(endpoint)
        return member is not None and member.role == VISITOR

    def placed(self) -> Dict[str, int]:
        """Bridge to the number of endpoints on it."""
        return {bridge: len(session.endpoints) for bridge, session in self.bridges.items()}

    def index(self) -> None:
        """Make anew what is made from the tables: after they were read, or put back."""
        self.sids = {row.sid: row.endpoint for row in self.participants.values() if row.sid}
        self.sources.index()


def read_state(ledger: Ledger, stored: Dict[str, List[Tuple[str, int, bytes]]]) -> ConferenceState:
    """The state of a conference from its rows in the journal.

    Args:
        ledger: of this conference; it notes the changes from now on.
        stored: kind to (key, order, value).

    Raises:
        Unreadable: some row can't be read, or is missing.
    """
    def single(kind: str, of: type) -> Any:
        table: Rows[Any] = Rows(kind, of)
        table.load(ledger, "", stored.get(kind, ()))
        ledger.roots.append(table)
        if len(table) != 1:
            raise Unreadable("%d rows of kind %s" % (len(table), kind))
        return next(iter(table.values()))

    state: ConferenceState = single("conference", ConferenceState)
    for name, value in (("published", single("published", Published)), ("log", single("log", SourceLog))):
        object.__setattr__(state, name, value)
    for table in state.rows():
        table.load(ledger, "", stored.get(table.kind, ()))
        ledger.roots.append(table)
    owned = {kind: _by_owner(stored.get(kind, ())) for kind in ("endpoint", "relay", "channels", "relayed")}
    for session in state.bridges.values():
        for table in session.tables():
            table.load(ledger, session.bridge + "\n", owned[table.kind].get(session.bridge, ()))
        for key, relay in session.relays.items():
            owner = "%s\n%s" % (session.bridge, key)
            relay.endpoints.load(ledger, owner + "\n", owned["relayed"].get(owner, ()))
    state.index()
    return state


def _by_owner(stored: Iterable[Tuple[str, int, bytes]]) -> Dict[str, List[Tuple[str, int, bytes]]]:
    """Rows of tables that belong to other rows: the owner's key to the rows as one table has them."""
    found: Dict[str, List[Tuple[str, int, bytes]]] = {}
    for key, order, value in stored:
        owner, _, own = key.rpartition("\n")
        found.setdefault(owner, []).append((own, order, value))
    return found
