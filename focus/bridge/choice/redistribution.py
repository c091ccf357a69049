"""When a bridge has too much load although it gets nothing new: endpoints are moved away from it (bridge.md 8.5)."""
from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional


class Redistribution(NamedTuple):
    """What the operator wants."""

    enabled: bool = False
    interval: float = 60.0
    """Seconds between two looks at the bridges."""
    threshold: float = 0.9
    """Stress from which on a bridge has to give something away."""
    timeout: float = 180.0
    """Seconds for which a bridge that gave something away is left alone."""
    endpoints: int = 10
    """How many it gives away."""


def redistribution_of(config: Any) -> Redistribution:
    """As a ``focus.config.Config`` has it."""
    return Redistribution(config.load_redistribution_enabled, config.load_redistribution_interval,
                          config.load_redistribution_stress_threshold, config.load_redistribution_timeout,
                          config.load_redistribution_endpoints)


class Redistributor:
    """Says which bridges have to give something away.

    Args:
        options: the operator's.
        overloaded_from: stress from which on a bridge counts as overloaded (B-302).
        now: monotonic seconds.
    """

    def __init__(self, options: Redistribution, overloaded_from: float, now: float) -> None:
        self._options = options
        self._overloaded_from = overloaded_from
        self._resting: Dict[str, float] = {}
        self.next_at: Optional[float] = now + options.interval if options.enabled else None
        """Monotonic seconds of the next look, the first after one interval; None: never."""

    def due(self, now: float, stress: Mapping[str, float]) -> List[str]:
        """The bridges that give something away now (B-870).

        Args:
            now: monotonic seconds.
            stress: of every bridge by its JID, of those that aren't operational too.
        """
        if self.next_at is None or now < self.next_at:
            return []
        self.next_at = now + self._options.interval
        self._resting = {jid: at for jid, at in self._resting.items() if now - at < self._options.timeout}
        if not any(value < self._overloaded_from for value in stress.values()):
            return []
        found = [jid for jid, value in stress.items()
                 if value >= self._options.threshold and jid not in self._resting]
        self._resting.update(dict.fromkeys(found, now))
        return found
