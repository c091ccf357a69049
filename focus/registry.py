"""The conferences there are, by room; how one is begun, found, woken and forgotten.

Everything here runs in the ticker or in a turn; look-up and creation are one step (C-401).
"""
from __future__ import annotations

import heapq
import itertools
import logging
import uuid
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

from focus.bridge.bridge import PoolEvent
from focus.bridge.choice.pins import Pins
from focus.conference import joining, messages
from focus.conference.conference import Conference
from focus.conference.inviting import is_invitable
from focus.conference.state import JOINED, NICK, ConferenceState, Published, read_state
from focus.conference.turn import Surroundings, Turn
from focus.conference.validation import SourceTable
from focus.journal.codec import CODEC
from focus.journal.lanes import LaneRow
from focus.journal.record import Image
from focus.journal.rows import Change, Ledger, Unreadable
from focus.limits import Allowed, CreationLimit
from focus.stanzas.conference_iq import ConferenceAnswer, write_conference_answer
from focus.stanzas.errors import stanza_error
from focus.stanzas.focus_presence import SUPPORT_TERMINATE_RESTART, write_focus_presence
from focus.stanzas.muc import MucJoin, write_muc_join
from focus.stanzas.stanza import write_error, write_presence, write_result
from focus.tick import Floor, Mailbox
from focus.values.addresses import bare, domain, local, real_sender
from focus.values.rooms import JoinOutcome

LOG = logging.getLogger(__name__)
SERVICE = 0
"""Owner, in the journal, of the rows that belong to no conference."""
GONE = JoinOutcome(error="disconnected")
LANE_FAULT = JoinOutcome(error="internal-server-error", text="a fault of the focus")


class Conferences:
    """All conferences of the process.

    Args:
        around: what every conference is given.
        start_lane: ``start_lane(row, done, lost, fault)``.
        context: makes a logger that carries the fields given.
    """

    def __init__(self, config: Any, floor: Floor, start_lane: Callable[..., None],
                 context: Callable[..., Any]) -> None:
        self._config = config
        self._floor = floor
        self._start_lane = start_lane
        self._context = context
        self.around: Surroundings
        self._by_room: Dict[str, Conference] = {}
        self._last_number = 0
        self._changed: Dict[Ledger, None] = {}
        """Ledgers with changes that the journal hasn't yet."""
        self.ended: List[int] = []
        """Numbers of conferences that are over and still in the journal."""
        self._meetings: Dict[str, str] = {}
        self.pins = Pins()
        """Rooms that are held to a version of bridges."""
        self._limit = CreationLimit()
        self._wakes: List[Tuple[float, int, Conference]] = []
        self._wake_at: Dict[Conference, float] = {}
        self._sequence = itertools.count()
        self.created = 0

    def __len__(self) -> int:
        return len(self._by_room)

    def __iter__(self) -> Iterator[Conference]:
        return iter(list(self._by_room.values()))

    def get(self, room: str) -> Optional[Conference]:
        """The conference of a room, by its bare JID."""
        return self._by_room.get(room)

    # --- requests --------------------------------------------------------------------------------------------

    def is_ours(self, room: str) -> bool:
        """Whether the room's domain belongs to us (C-214, C-215, and U-95 without a configured one)."""
        if room == self._config.brewery_jid:
            return False
        host, config = domain(room), self._config
        muc = config.conference_muc
        first, _, rest = muc.partition(".")
        if host == muc:
            return True
        if host.startswith(first + ".") and host.endswith("." + rest) and host.count(".") == muc.count(".") + 1:
            return True  # a tenant's: one label after the first
        if config.conference_muc_configured or not host.endswith("." + config.domain):
            return False
        return (host not in (config.user_domain, domain(config.brewery_jid)) and not host.startswith("lobby.")
                and not host.endswith("." + config.user_domain))

    def ask(self, room: str, asked: messages.Asked) -> None:
        """A client asks for this room, which is ours: the conference answers, a new one if need be (C-220)."""
        conference = self._by_room.get(room)
        if conference is None:
            sender = _behind_proxy(real_sender(asked.iq.from_, self._config.client_proxy))
            allowed = self._limit.ask(sender, self.around.now())
            if allowed is not Allowed.YES:
                self._put_off(room, asked, allowed)
                return
            conference = self._create(room, asked.properties)
        conference.mailbox.post(asked)

    def _put_off(self, room: str, asked: messages.Asked, allowed: Allowed) -> None:
        sender = None if asked.connection == "client" else asked.iq.to
        if allowed is Allowed.NO:
            answer = write_error(asked.iq, stanza_error("resource-constraint", "too many new conferences"), sender)
        else:
            answer = write_result(asked.iq, write_conference_answer(ConferenceAnswer(
                room=room, ready=False, focusjid=bare(self.around.own_jid()),
                properties={"authentication": "false", "visitors-supported": "false"})), sender)
        self.around.send(asked.connection, answer)

    # --- life ------------------------------------------------------------------------------------------------

    def _create(self, room: str, properties: Dict[str, str]) -> Conference:
        config = self._config
        etherpad = uuid.uuid4().hex if config.shared_document_use_random_name else local(room)
        self._last_number += 1
        state = ConferenceState(
            room=room, number=self._last_number, created_at=self.around.now(), properties=properties,
            published=Published(etherpad, {SUPPORT_TERMINATE_RESTART: "true"}),
            sources=SourceTable(max_ssrcs=config.max_ssrcs_per_user, max_groups=config.max_ssrc_groups_per_user,
                                check_names=config.check_source_names),
            pinned_version=self.pins.version_of(room, self.around.now()))
        conference = self._begin(state, Ledger(state.number, CODEC, self._woken))
        if state.pinned_version is not None:
            conference.log.info("The conference is pinned to bridges of version %s", state.pinned_version)
        begin = Turn(state, self.around, conference.log)
        joining.begin(begin)
        self.created += 1
        begin.release()
        for row in begin.spawn:
            self._lane(conference, row)
        return conference

    def begin_anew(self, room: str) -> None:
        """Begin with a room in which we stand and of which we know nothing: its people are invited again."""
        if room not in self._by_room:
            self._create(room, {})

    def _begin(self, state: ConferenceState, ledger: Ledger) -> Conference:
        conference = Conference(state, self.around, Mailbox(self._floor), self._context(room=state.room), self._lane,
                                self._set_wake, self._ended, ledger)
        self._by_room[state.room] = conference
        conference.start()
        return conference

    def _lane(self, conference: Conference, row: LaneRow) -> None:
        mailbox = conference.mailbox
        self._start_lane(row, lambda outcome: mailbox.post(messages.LaneDone(row.id, outcome)), GONE, LANE_FAULT)

    # --- the journal -----------------------------------------------------------------------------------------

    def restore(self, image: Image) -> List[str]:
        """Bring back the conferences of an earlier process; returns the rooms of those that can't be read."""
        lost = []
        for owner in sorted(owner for owner in image.owners if owner != SERVICE):
            self._last_number = max(self._last_number, owner)
            ledger = Ledger(owner, CODEC, self._woken)
            stored = image.tables(owner)
            try:
                state = read_state(ledger, stored)
            except Unreadable as error:
                room = next((key for key, _, _ in stored.get("conference", ())), "")
                LOG.error("The conference %s can't be read from the journal (%s); it begins anew, the others go on",
                          room or "number %d" % owner, error)
                lost.append(room)
                self.ended.append(owner)
                continue
            self._bring_back(state, ledger)
        return [room for room in lost if room]

    def _bring_back(self, state: ConferenceState, ledger: Ledger) -> None:
        config = self._config
        state.sources.max_ssrcs, state.sources.max_groups = config.max_ssrcs_per_user, config.max_ssrc_groups_per_user
        state.sources.check_names = config.check_source_names
        conference = self._begin(state, ledger)
        if state.meeting_id:
            self._meetings.setdefault(state.meeting_id, state.room)
        for session in state.bridges.values():
            self.around.bridges.conference(session.bridge, +1)
            for _ in session.endpoints:
                self.around.bridges.counted(session.bridge)
        for request in state.requests.values():
            self.around.expect("client", request, state.room, None)
        for row in state.lanes.values():
            self._lane(conference, row)
        self._set_wake(conference, conference.next_timer())

    def presences(self) -> Dict[str, str]:
        """The rooms where we stand, with the presence that enters each as it is now."""
        return {room: write_presence("%s/%s" % (room, NICK), payload_xml=write_muc_join(MucJoin()) +
                                     write_focus_presence(conference.state.published.sent))
                for room, conference in self._by_room.items()
                if conference.state.phase == JOINED and conference.state.published.sent is not None}

    def is_settled(self, room: str) -> bool:
        """Whether we are in the room, or nothing holds us there any more."""
        conference = self._by_room.get(room)
        return conference is None or conference.state.phase == JOINED

    def unknown_features(self) -> Iterator[Tuple[str, Any, str]]:
        """(room, member info, occupant JID) of the members whose features are being asked for."""
        for conference in self._by_room.values():
            for member in conference.state.members.values():
                if member.features is None and is_invitable(member, self._config.visitors_enabled):
                    yield conference.state.room, member.info, member.jid

    def _woken(self, ledger: Ledger) -> None:
        self._changed[ledger] = None

    def take_changes(self) -> Tuple[List[Change], List[int]]:
        """For the journal: the rows that changed since the last time, and the conferences that are over."""
        changes: List[Change] = []
        ended, self.ended = self.ended, []
        for ledger in self._changed:
            if ledger.owner not in ended:
                changes += ledger.take()
        self._changed.clear()
        return changes, ended

    def ledgers(self) -> List[Ledger]:
        """Of all conferences."""
        return [conference.ledger for conference in self._by_room.values()]

    def claim_meeting(self, meeting_id: str, room: str) -> bool:
        """Whether the meeting id is this room's; the first room that says so has it while it lives (C-401, C-426)."""
        return self._meetings.setdefault(meeting_id, room) == room

    def expect_for(self, room: str) -> Callable[[str, Optional[Any]], None]:
        """Where an answer to a request of this room's conference goes."""
        mailbox = self._by_room[room].mailbox

        def deliver(request_id: str, iq: Optional[Any]) -> None:
            mailbox.post(messages.Answered(request_id, iq))

        return deliver

    def _ended(self, conference: Conference) -> None:
        room = conference.state.room
        self.ended.append(conference.state.number)
        self._wake_at.pop(conference, None)
        if self._by_room.get(room) is conference:
            del self._by_room[room]
            self.around.throttle.forget(room)
            for meeting_id in [m for m, owner in self._meetings.items() if owner == room]:
                del self._meetings[meeting_id]

    # --- what concerns many ----------------------------------------------------------------------------------

    def bridge_event(self, event: PoolEvent) -> None:
        """A bridge came, went or can be used again."""
        message: Any = {"usable": messages.BridgeUsable(event.bridge, event.fresh),
                        "known": messages.BridgeKnown(event.bridge),
                        "lost": messages.BridgeLost(event.bridge, event.reason)}[event.kind]
        for conference in self._by_room.values():
            if event.kind == "usable" or event.bridge in conference.state.bridges:
                conference.mailbox.post(message)

    def bridge_free(self, room: str, bridge: str) -> bool:
        """A conference's turn to ask a bridge has come; whether it is there to hear it."""
        conference = self._by_room.get(room)
        if conference is None:
            return False
        conference.mailbox.post(messages.BridgeFree(bridge))
        return True

    def features_found(self, room: str, nick: str, jid: str, features: Optional[Any]) -> None:
        """Discovery of a member ended."""
        conference = self._by_room.get(room)
        if conference is not None:
            conference.mailbox.post(messages.FeaturesFound(nick, jid, features))

    def connected(self, resumed: bool, outage: float) -> None:
        """The stream is up again, after so many seconds."""
        for conference in self._by_room.values():
            conference.mailbox.post(messages.ConnectionBack(resumed, outage))

    def stop(self, reason: str) -> None:
        """End all conferences."""
        for conference in self:
            conference.mailbox.post(messages.Stop(reason))

    # --- timers ----------------------------------------------------------------------------------------------

    def _set_wake(self, conference: Conference, when: Optional[float]) -> None:
        if when is None:
            self._wake_at.pop(conference, None)
        elif self._wake_at.get(conference) != when:
            self._wake_at[conference] = when
            heapq.heappush(self._wakes, (when, next(self._sequence), conference))

    def next_wake(self) -> Optional[float]:
        """Monotonic seconds of the earliest timer of any conference."""
        wakes = self._wakes
        while wakes and self._wake_at.get(wakes[0][2]) != wakes[0][0]:
            heapq.heappop(wakes)
        return wakes[0][0] if wakes else None

    def wake(self, now: float) -> None:
        """Wake the conferences with a timer that is due."""
        while True:
            when = self.next_wake()
            if when is None or when > now:
                return
            conference = heapq.heappop(self._wakes)[2]
            self._wake_at.pop(conference, None)
            conference.mailbox.post(messages.Wake())


def _behind_proxy(sender: str) -> str:
    """Whose conferences are counted: also without a configured client proxy, who is behind one (gives no right)."""
    inner = sender.partition("/")[2]
    return bare(inner) if not local(sender) and "@" in inner else bare(sender)
