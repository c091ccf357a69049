"""Our presence in the room: the whole state in each, sent only when it changed (C-501 to C-521)."""
from __future__ import annotations

from focus import __version__
from focus.conference.state import JOINED, NICK, ConferenceState
from focus.conference.turn import Turn
from focus.stanzas.caps import Caps
from focus.stanzas.focus_presence import FocusPresence, write_focus_presence
from focus.stanzas.stanza import write_presence

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
    if bridges != "0" or "bridge-count" in published.properties:
        published.properties["bridge-count"] = bridges  # B-663
    now = current(state, turn.around.caps)
    if now == published.sent:
        turn.cancel("presence")
    elif turn.now - published.sent_at < MIN_INTERVAL:
        turn.sooner("presence", published.sent_at + MIN_INTERVAL)
    else:
        send(turn, now)


def send(turn: Turn, presence: FocusPresence) -> None:
    """Send our presence now."""
    published = turn.state.published
    published.sent = presence
    published.sent_at = turn.now
    turn.cancel("presence")
    turn.send(write_presence("%s/%s" % (turn.state.room, NICK), payload_xml=write_focus_presence(presence)))
