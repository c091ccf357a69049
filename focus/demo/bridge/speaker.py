"""Who speaks: the loudest by audio level, averaged over about a second, with hysteresis (K-1160). Pure."""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional

_DECAY_SECONDS = 1.0
_SPEECH = 30.0
"""Loudness (127 + level in dBov) below which an endpoint counts as silent."""
_MARGIN = 6.0
"""dB by which a challenger must exceed the dominant speaker, who is still speaking."""
_DWELL_SECONDS = 2.0
"""How long a new dominant speaker stays one at least."""
_MAX_PREVIOUS = 10


class SpeakerChange(NamedTuple):
    """The new dominant speaker, and those before, newest first, without the new one (K-1044)."""

    dominant: str
    previous: List[str]


class _Level:
    __slots__ = ("loudness", "at")

    def __init__(self, now: float) -> None:
        self.loudness = 0.0
        self.at = now

    def decayed(self, now: float) -> float:
        age = now - self.at
        return 0.0 if age >= 2 * _DECAY_SECONDS else self.loudness * max(0.0, 1 - max(0.0, age - 0.1))


class Speakers:
    """The speakers of one conference. Time is an argument (seconds, any monotonic epoch)."""

    def __init__(self) -> None:
        self.order: List[str] = []
        self._levels: Dict[str, _Level] = {}
        self._changed_at = 0.0

    @property
    def dominant(self) -> Optional[str]:
        """The endpoint that speaks, or spoke last; None before anybody has spoken."""
        return self.order[0] if self.order else None

    def heard(self, endpoint: str, level: int, now: float) -> None:
        """Note one audio packet: its level is 0 (loudest) to 127 (silence), in -dBov."""
        state = self._levels.get(endpoint)
        if state is None:
            state = self._levels[endpoint] = _Level(now)
        weight = min(1.0, max(0.0, now - state.at) / _DECAY_SECONDS + 0.005)
        state.loudness += (127 - level - state.loudness) * weight
        state.at = now

    def left(self, endpoint: str) -> None:
        """Forget an endpoint."""
        self._levels.pop(endpoint, None)
        if endpoint in self.order:
            self.order.remove(endpoint)

    def decide(self, now: float) -> Optional[SpeakerChange]:
        """The change of the dominant speaker that is due now, or None."""
        loudest, best = None, _SPEECH
        for endpoint, state in self._levels.items():
            loudness = state.decayed(now)
            if loudness > best:
                loudest, best = endpoint, loudness
        if loudest is None or loudest == self.dominant:
            return None
        if self.dominant is not None and now < self._changed_at + _DWELL_SECONDS:
            return None
        current = self._levels.get(self.dominant) if self.dominant else None
        if current is not None and current.decayed(now) > _SPEECH and best < current.decayed(now) + _MARGIN:
            return None
        if loudest in self.order:
            self.order.remove(loudest)
        self.order.insert(0, loudest)
        self._changed_at = now
        del self.order[_MAX_PREVIOUS + 1 :]
        return SpeakerChange(loudest, self.order[1:])
