"""Inviting: from a member in the room to a session-initiate on its way (J-121 to J-124, B-605, C-650 to C-656).

An invitation is a row of the participant (its number), never a stack: choose a bridge, ask it for an endpoint, send
the offer made of its answer. Whatever comes back with another number than the participant's current one is old and
changes nothing (K-134, B-609).
"""
from __future__ import annotations

import secrets
import zlib
from typing import Any, Collection, List, Optional, Tuple, Union

from focus.bridge import replies
from focus.bridge import session as bridge_session
from focus.bridge.choice.rules import Refusal
from focus.conference import placing, publishing, signalling, updates
from focus.conference.budgets import within
from focus.conference.offer import ASSUMED_FEATURES, Features, media_for
from focus.conference.state import (
    ACTIVE,
    ALLOCATING,
    ENDED,
    JOINED,
    JOINING,
    OFFERED,
    WAITING,
    Allocated,
    BridgeSession,
    Member,
    Participant,
)
from focus.conference.turn import Turn
from focus.silence import QUICK, ROUNDS, Next, after_answer, again
from focus.stanzas.jingle import write_session_initiate, write_session_terminate
from focus.stanzas.muc import VISITOR
from focus.stanzas.small import write_ping
from focus.values.addresses import bare

FEATURES_WAIT = 5.0
"""Seconds a member that doesn't answer disco is waited for (C-641)."""
FINAL = ROUNDS + 1
"""The number of the last question to our server before that."""
RETRY_BRIDGE = 5.0
"""Seconds between two tries while there's no bridge (B-831)."""
SAY_AGAIN = 60.0
"""Seconds between two log lines about the same lack of bridges."""
MAX_ATTEMPTS = 5
MAX_REINVITES, REINVITES_WINDOW = 5, 60.0
"""So many lost endpoints of one participant in so many seconds are made good at once."""
RETRY_FIRST, RETRY_LAST = 1.0, 30.0
"""B-641: pauses between failed invitations, doubling, in seconds."""
MAX_INVITATIONS, INVITATIONS_WINDOW = 5, 10.0
"""Invitations of one person to one room within so many seconds; more come later (M-1122)."""
MAX_ENDPOINT_ID = 64
REPLACE_TRANSPORT = "ReplaceTransport"
"""The reinvite_method that keeps sessions and sources (J-816)."""


def consider(turn: Turn) -> None:
    """Invite whoever is in the room, has known features and isn't invited, if there are enough members (C-650)."""
    state = turn.state
    if len(state.members) < max(1, turn.around.config.min_participants):
        return
    turn.cancel("single")
    for member in state.members.values():
        if member.nick in state.participants or not is_invitable(member, turn.around.config.visitors_enabled):
            continue
        if member.features is None:
            turn.sooner("features", member.since + FEATURES_WAIT - again(FEATURES_WAIT))
            continue
        if member.info.real_jid is not None:
            wait = state.invited.spend(bare(member.info.real_jid), turn.now, MAX_INVITATIONS, INVITATIONS_WINDOW)
            if wait:  # one who comes and goes: others needn't wait for it (M-1122)
                turn.log.info("%s came %d times in %d s; it is invited a little later", member.nick, MAX_INVITATIONS,
                              INVITATIONS_WINDOW)
                turn.sooner("invite", turn.now + wait)
                continue
        participant = Participant(member.nick, member.jid)
        state.participants[member.nick] = participant
        begin(turn, participant)


def is_invitable(member: Member, visitors: bool) -> bool:
    """Whether the nickname can be an endpoint id (C-603), and visitors are served if it is one (J-901)."""
    return (len(member.nick.encode("utf-8")) <= MAX_ENDPOINT_ID and member.nick.isprintable()
            and (member.role != VISITOR or visitors))


def features_found(turn: Turn, nick: str, jid: str, features: Optional[Features]) -> None:
    """Discovery of a member's features ended; None: it didn't answer (J-202)."""
    member = turn.state.members.get(nick)
    if member is None or member.jid != jid or member.features is not None:
        return
    member.features = features if features is not None else ASSUMED_FEATURES
    if member.features.assumed:
        turn.log.debug("%s gave no usable features; audio, video and SCTP are assumed", nick)
    consider(turn)


def ask_before_giving_up(turn: Turn, round_: int = 1) -> None:
    """The time for features is nearly over: that counts when our own server answers (``focus.silence``)."""
    if any(member.features is None for member in turn.state.members.values()):
        turn.request("features", turn.around.config.login_domain, "get", write_ping(), invite=round_)


def ask_finally(turn: Turn) -> None:
    """It is over, after a quick answer of our server: one more settles it."""
    ask_before_giving_up(turn, FINAL)


def server_answered(turn: Turn, asked_at: float, round_: int) -> None:
    """Two quick answers of our server: who hasn't answered by now is silent. A slow one: it is behind, so once more."""
    is_late = turn.now - asked_at > QUICK
    following = after_answer(is_late, round_ - 1 + is_late, round_ == FINAL)
    if following is Next.AT_ONCE:
        ask_before_giving_up(turn, round_ + 1)
    elif following is Next.LATER:
        turn.sooner("features-end", turn.now + again(FEATURES_WAIT))
    else:
        give_up_silent(turn)


def give_up_silent(turn: Turn) -> None:
    """Who hasn't answered is taken for a client with the default set (C-641)."""
    for member in list(turn.state.members.values()):
        if member.features is None and turn.now - member.since >= FEATURES_WAIT:
            turn.log.info("%s does not answer service discovery; audio, video and SCTP are assumed", member.nick)
            member.features = ASSUMED_FEATURES
    consider(turn)


def begin(turn: Turn, participant: Participant, without: Collection[str] = ()) -> None:
    """A new invitation: take a bridge, none of those in ``without``, and ask it for an endpoint."""
    state, config = turn.state, turn.around.config
    member = state.members.get(participant.endpoint)
    if member is None:
        return
    state.invites += 1
    participant.invite = state.invites
    participant.phase = WAITING
    participant.held = None
    participant.features = member.features or ASSUMED_FEATURES
    participant.json = config.use_json_encoded_sources and participant.features.json_sources
    participant.rewriting = config.use_ssrc_rewriting and participant.features.ssrc_rewriting
    choice = placing.choose(turn, participant, without)
    if isinstance(choice, Refusal):
        _no_bridge(turn, participant, choice)
        return
    if state.no_bridge_since is not None:
        state.no_bridge_since = None
        publishing.bridge_available(turn, True)
    chosen = choice.bridge
    if chosen.jid not in state.bridges:
        turn.log.info("Selected %s bridge %s with stress %.3f for %s", "another" if state.bridges else "initial",
                      chosen.jid, chosen.stress, participant.endpoint)
    moved = placing.leave_others(turn, choice) if choice.moves_all else []
    participant.phase = ALLOCATING
    bridge_session.allocate(turn, chosen.jid, participant)
    reinvite(turn, [endpoint for endpoint in moved if endpoint != participant.endpoint])


def _no_bridge(turn: Turn, participant: Participant, refusal: Refusal) -> None:
    """Nobody to allocate on: stay, and try again by itself (B-831, B-832, U-16)."""
    state = turn.state
    if state.no_bridge_since is None:
        state.no_bridge_since = turn.now
    if turn.now >= state.no_bridge_said + SAY_AGAIN:
        state.no_bridge_said = turn.now
        turn.log.warning("%s Can not invite participant, no bridge available. Failed to select bridge for "
                         "participantProperties=%s in %s: %s. Is a bridge connected to Prosody and in that room? It is "
                         "tried again by itself. (U-16, U-17)", refusal.reason, participant.endpoint,
                         turn.around.config.brewery_jid or "no brewery", refusal.bridges)
    turn.sooner("retry", turn.now + RETRY_BRIDGE)
    grace_end = state.no_bridge_since + turn.around.config.no_bridge_grace
    if turn.now >= grace_end:
        if not any(p.phase in (OFFERED, ACTIVE) for p in state.participants.values()):
            publishing.bridge_available(turn, False)
    else:
        turn.sooner("retry", grace_end)


def after_a_bridge_came(room: str) -> float:
    """Seconds to wait for others to come: from 1 to 2, another for each room (T-29).

    Otherwise the first bridge of a pool that comes back gets all that wait, before the second has said a word.
    """
    return 1.0 + (zlib.crc32(room.encode("utf-8")) & 0xfff) / 4096.0


def retry_waiting(turn: Turn) -> None:
    """Begin again with all that have no endpoint (B-831)."""
    for participant in list(turn.state.participants.values()):
        if participant.phase != WAITING:
            continue
        if participant.retry_at > turn.now:
            turn.sooner("retry", participant.retry_at)
        else:
            begin(turn, participant)


def follow(turn: Turn, consequence: Union[Allocated, replies.Retry, replies.Reinvite]) -> None:
    """Do what a bridge's answer asks of the conference."""
    if isinstance(consequence, Allocated):
        offer(turn, consequence)
    elif isinstance(consequence, replies.Reinvite):
        reinvite(turn, [endpoint for endpoint in consequence.endpoints if _within_bounds(turn, endpoint)])
    else:
        participant = turn.state.participants.get(consequence.endpoint)
        if participant is not None and participant.invite == consequence.invite:
            participant.excluded = consequence.bridge
            try_again(turn, participant, consequence.why)


def _within_bounds(turn: Turn, endpoint: str) -> bool:
    """Whether a participant that lost its endpoint is invited at once; one that does so again and again waits."""
    participant = turn.state.participants.get(endpoint)
    if participant is None:
        return False
    recent = within(participant.reinvites, turn.now, REINVITES_WINDOW)
    participant.reinvites = (*recent, turn.now)
    if len(participant.reinvites) <= MAX_REINVITES:
        return True
    terminate(turn, participant, "success", "moving")
    end_session(turn, participant)
    participant.phase = WAITING
    participant.retry_at = turn.now + RETRY_LAST
    turn.sooner("retry", participant.retry_at)
    return False


def try_again(turn: Turn, participant: Participant, why: str) -> None:
    """An invitation failed: again with growing pauses while the member is in the room (B-641)."""
    participant.attempts += 1
    participant.phase = WAITING
    if participant.attempts > MAX_ATTEMPTS:
        turn.log.error("Giving up on inviting %s after %d attempts; it is without media until it rejoins: %s",
                        participant.endpoint, MAX_ATTEMPTS, why)
        terminate(turn, participant, "general-error", "no bridge could be had")  # if it was to keep its session
        end_session(turn, participant)
        participant.phase = ENDED
        return
    pause = 0.0 if participant.attempts == 1 else min(RETRY_LAST, RETRY_FIRST * 2 ** (participant.attempts - 2))
    turn.log.warning("Inviting %s failed, next attempt in %d s: %s", participant.endpoint, pause, why)
    participant.retry_at = turn.now + pause
    turn.sooner("retry", participant.retry_at)


def offer(turn: Turn, allocated: Allocated) -> None:
    """The bridge has an endpoint for the participant: send the offer (J-3, J-365)."""
    state, config = turn.state, turn.around.config
    participant = state.participants.get(allocated.endpoint)
    if (participant is None or participant.invite != allocated.invite or participant.phase != ALLOCATING
            or allocated.bridge not in state.bridges):
        return
    participant.held = None
    if state.phase != JOINED:  # nobody would take the offer of one who isn't in the room
        participant.held = allocated
        return
    features = participant.features or ASSUMED_FEATURES
    sources = {}
    if not participant.rewriting:
        sources = signalling.offered(state.sources.items(), participant.endpoint, features.audio, features.video,
                                     config.strip_simulcast)
    participant.excluded = None
    participant.signalled = participant.confirmed = state.log.version
    participant.update = ""
    participant.ice_generation = 0
    session = state.bridges[allocated.bridge]
    feedback = session.feedback.only(audio=features.audio, video=features.video)
    if feedback:
        sources = dict(sources, jvb=feedback)
    kind, action = "initiate", "session-initiate"
    if participant.sid:
        kind, action = "replace", "transport-replace"  # J-816
    participant.sid = participant.sid or new_sid()
    participant.bridge_session = session.id
    participant.phase = OFFERED
    state.sids[participant.sid] = participant.endpoint
    payload = write_session_initiate(
        participant.sid, turn.around.own_jid(), media_for(features, bridge_session.codecs_on(turn, session)),
        allocated.transport,
        allocated.sctp_port, sources, session.id, session.region, json=participant.json,
        start_muted=_start_muted(turn, participant), action=action)
    turn.log.info("Sending %s to: %s", action, participant.endpoint)
    turn.request(kind, participant.jid, "set", payload, participant.endpoint, participant.invite,
                 participant.sid)


def terminate_owed(turn: Turn) -> None:
    """We are in the room again: say what couldn't be said."""
    for participant in turn.state.participants.values():
        if not participant.owed:
            continue
        owed, participant.owed = participant.owed, ()
        for sid, reason, text in owed:
            turn.request("terminate", participant.jid, "set", write_session_terminate(sid, reason, text),
                         participant.endpoint)


def offer_held(turn: Turn) -> None:
    """We are in the room again: send the offers that had to wait for that."""
    for participant in list(turn.state.participants.values()):
        if participant.held is not None:
            offer(turn, participant.held)


def _start_muted(turn: Turn, participant: Participant) -> Tuple[bool, bool]:
    """Whether a newcomer starts muted (audio, video): a moderator wants it, or there are many already.

    C-655, J-305, M-550 to M-554: nobody who has been in the call is muted by its next offer.
    """
    state, config = turn.state, turn.around.config
    if participant.refused_sids:
        return False, False
    count = len(state.participants)
    audio, video = state.start_muted
    return (audio or count > min(config.max_audio_senders, _limit(state.properties.get("startAudioMuted"))),
            video or count > min(config.max_video_senders, _limit(state.properties.get("startVideoMuted"))))


def _limit(text: Optional[str]) -> int:
    """A participant count from a request's property; unparsable and negative mean unset (C-202, M-553)."""
    try:
        value = int(text) if text is not None and len(text) < 10 else -1
    except ValueError:
        value = -1
    return value if value >= 0 else 2 ** 31


def new_sid() -> str:
    """A Jingle session id (J-105)."""
    value = secrets.randbits(64)
    digits = ""
    while value:
        digits = "0123456789abcdefghijklmnopqrstuv"[value & 31] + digits
        value >>= 5
    return digits or "0"


def initiate_answered(turn: Turn, endpoint: str, sid: str, iq: Optional[Any]) -> None:
    """The answer to a session-initiate; none counts as success (J-371 to J-373)."""
    if iq is not None and iq.type == "error":
        _refused(turn, endpoint, sid, "it refused the session-initiate: %s %s" % (iq.error.condition, iq.error.text))


def replace_answered(turn: Turn, endpoint: str, sid: str, iq: Optional[Any]) -> None:
    """The answer to a transport-replace; here none is a refusal too (J-816)."""
    if iq is None:
        _refused(turn, endpoint, sid, "it does not answer the transport-replace")
    elif iq.type == "error":
        _refused(turn, endpoint, sid, "it refused the transport-replace: %s %s" % (iq.error.condition, iq.error.text))


def _refused(turn: Turn, endpoint: str, sid: str, why: str) -> None:
    participant = turn.state.participants.get(endpoint)
    if participant is None or participant.sid != sid:
        return
    turn.log.warning("Terminating %s, reason: general-error, %s", endpoint, why)
    terminate(turn, participant, "general-error", "jingle session failed")
    end_for_good(turn, participant)


def terminate(turn: Turn, participant: Participant, reason: str, text: str) -> None:
    """Tell the client that its session is over (J-128), if it has one: now, or when we are in the room again."""
    if participant.sid and turn.state.phase == JOINING:
        participant.owed = (*participant.owed, (participant.sid, reason, text))
    elif participant.sid:
        turn.request("terminate", participant.jid, "set", write_session_terminate(participant.sid, reason, text),
                     participant.endpoint)


def end_session(turn: Turn, participant: Participant, left: bool = False) -> None:
    """Forget the participant's Jingle session and its sources; the others are told unless it left (J-722)."""
    state = turn.state
    if participant.sid:
        state.sids.pop(participant.sid, None)
        participant.refused_sids = (*participant.refused_sids[-3:], participant.sid)
        participant.sid = ""
    participant.update = ""
    participant.accepted = False
    dropped = state.sources.drop(participant.endpoint)
    if left:
        state.log.forget(participant.endpoint)
    elif dropped:
        updates.changed(turn, participant.endpoint, dropped)


def end_for_good(turn: Turn, participant: Participant) -> None:
    """The session is over, its endpoint goes, and there is no new one unless something begins it (J-553)."""
    end_session(turn, participant)
    bridge_session.expire(turn, participant.endpoint)
    participant.phase = ENDED


def reinvite(turn: Turn, endpoints: List[str], moved: bool = True, without: Collection[str] = ()) -> None:
    """These participants lost their endpoint: new invitations for all, none waiting for another (J-811, B-820).

    Args:
        turn: this turn.
        endpoints: who.
        moved: whether that counts as moving (B-824).
        without: bridges that aren't to be chosen now.
    """
    participants = [turn.state.participants[e] for e in endpoints if e in turn.state.participants]
    if moved:
        turn.around.bridges.counters.participants_moved += len(participants)
    for participant in participants:  # all are terminated first (J-813)
        if not (participant.accepted and turn.around.config.reinvite_method == REPLACE_TRANSPORT):
            terminate(turn, participant, "success", "moving")
            end_session(turn, participant)
        participant.phase = WAITING
    for participant in participants:
        begin(turn, participant, without)


def after_reconnect(turn: Turn) -> None:
    """The stream is new: offers that were on their way are made anew (DESIGN, "Coming back, refused")."""
    lost = [row.endpoint for row in turn.state.requests.values() if row.kind in ("initiate", "replace")]
    turn.state.requests.clear()
    bridge_session.after_reconnect(turn)
    for endpoint in lost:
        bridge_session.expire(turn, endpoint)
    reinvite(turn, lost, moved=False)


def bridge_gone(turn: Turn, bridge: str, reason: str) -> None:
    """A bridge left or must not be used any more: its participants move (B-801, B-803, B-804)."""
    session: Optional[BridgeSession] = turn.state.bridges.get(bridge)
    if session is not None:
        endpoints = bridge_session.close(turn, session, tell=turn.around.bridges.get(bridge) is not None)
        turn.log.warning("Leaving bridge %s with %d participants: %s", bridge, len(endpoints), reason)
        reinvite(turn, endpoints)
