"""Our presence in the room: the whole state in each, sent only when it changed (C-501 to C-521)."""
from __future__ import annotations

from focus import __version__
from focus.conference.state import ACTIVE, JOINED, NICK, ConferenceState, Published
from focus.conference.turn import Turn
from focus.stanzas.caps import Caps
from focus.stanzas.focus_presence import (
    AUDIO_LIMIT_REACHED,
    BRIDGE_COUNT,
    VIDEO_LIMIT_REACHED,
    FocusPresence,
    write_focus_presence,
)
from focus.stanzas.stanza import write_presence

LIMIT_OVER = 2.0
"""Seconds below a limit of senders until that is said (M-563)."""
MIN_INTERVAL = 1.0
"""Seconds between two presences of a room (C-511); what must not wait goes at once."""


def current(state: ConferenceState, caps: Caps) -> FocusPresence:
    """What our presence has to say now."""
    published = state.published
    return FocusPresence(caps, published.etherpad, __version__, dict(published.properties),
                         published.bridge_not_available)


def bridge_available(turn: Turn, available: bool) -> None:
    """Add or remove ``bridgeNotAvailable`` (C-520, C-521)."""
    if turn.state.published.bridge_not_available != (not available):
        turn.state.published.bridge_not_available = not available
        turn.state.published.sent_at = float("-inf")  # this doesn't wait


def flush(turn: Turn) -> None:
    """End of a turn: send the presence if it changed, at most one a second and room (C-511)."""
    state = turn.state
    published = state.published
    if state.phase != JOINED or not turn.around.connected():
        return
    bridges = str(sum(1 for session in state.bridges.values() if session.endpoints))
    if bridges != "0" or BRIDGE_COUNT in published.properties or not len(turn.around.bridges):
        _say(published, BRIDGE_COUNT, bridges)  # B-663, and 0 while there is none at all (U-16)
    _sender_limits(turn)
    now = current(state, turn.around.caps)
    if now == published.sent:
        turn.cancel("presence")
    elif turn.now - published.sent_at < MIN_INTERVAL:
        turn.sooner("presence", published.sent_at + MIN_INTERVAL)
    else:
        send(turn, now)


def _say(published: Published, key: str, value: str) -> None:
    if published.properties.get(key) != value:
        published.properties = dict(published.properties, **{key: value})


def _sender_limits(turn: Turn) -> None:
    """``audio-limit-reached`` and ``video-limit-reached``: true at once, false after 2 s below (C-510, M-563)."""
    state, config = turn.state, turn.around.config
    for media, limit, key in (("audio", config.max_audio_senders, AUDIO_LIMIT_REACHED),
                              ("video", config.max_video_senders, VIDEO_LIMIT_REACHED)):
        if len(state.members) < limit and key not in state.published.properties:
            continue
        timer = "limit-" + media
        if senders(turn, media) >= limit:
            turn.cancel(timer)
            if state.published.properties.get(key) != "true":
                _say(state.published, key, "true")
                state.published.sent_at = float("-inf")  # this doesn't wait
        elif state.published.properties.get(key) == "true":
            if timer in turn.expired:
                _say(state.published, key, "false")
            else:
                turn.sooner(timer, turn.now + LIMIT_OVER)


def senders(turn: Turn, media: str, without: str = "") -> int:
    """Participants that say they send this media and have an accepted source of it (C-625, M-1116)."""
    state = turn.state
    return sum(1 for nick, participant in state.participants.items()
               if nick != without and participant.phase == ACTIVE and nick in state.members
               and state.members[nick].is_sending(media)
               and any(source.media == media for source in state.sources.get(nick).sources))


def send(turn: Turn, presence: FocusPresence) -> None:
    """Send our presence now."""
    published = turn.state.published
    published.sent = presence
    published.sent_at = turn.now
    turn.cancel("presence")
    turn.send(write_presence("%s/%s" % (turn.state.room, NICK), payload_xml=write_focus_presence(presence)))
