"""What a client wants to receive, as it says on the bridge channel (K-1042). Pure."""

from __future__ import annotations

from typing import Any, Dict, Optional


class ReceiverConstraints:
    """A client's last `ReceiverVideoConstraints`, as far as a bridge that does not choose layers can honour it.

    Only "none" is honoured: lastN 0, and maxHeight 0 for a source (K-1125). Before the first message everything is
    wanted, except with an initial last-n of 0 (K-234).
    """

    def __init__(self) -> None:
        self._last_n: Optional[int] = None
        self._default_height: Optional[int] = None
        self._heights: Dict[str, int] = {}
        self._heard = False

    def apply(self, message: Dict[str, Any]) -> None:
        """Take over one message, ReceiverVideoConstraints or LastNChangedEvent; what is absent stays as it was."""
        last_n = _number(message.get("lastN"))
        if last_n is not None:
            self._last_n = last_n
        if message.get("colibriClass") != "ReceiverVideoConstraints":
            return
        self._heard = True
        default = message.get("defaultConstraints")
        height = _number(default.get("maxHeight")) if isinstance(default, dict) else None
        if height is not None:
            self._default_height = height
        each = message.get("constraints")
        if isinstance(each, dict):
            heights = {
                name: _number(value.get("maxHeight"))
                for name, value in each.items()
                if isinstance(value, dict)
            }
            self._heights = {name: value for name, value in heights.items() if value is not None}

    def wants(self, source: str, owner: str, initial_last_n: int) -> bool:
        """Whether a video source is to be sent to this client; older clients name its owner, an endpoint, instead."""
        last_n = self._last_n
        if last_n is None and not self._heard:
            last_n = initial_last_n
        if last_n == 0:
            return False
        height = self._heights.get(source, self._heights.get(owner, self._default_height))
        return height != 0


def _number(value: Any) -> Optional[int]:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -(1 << 31) <= value < 1 << 31:
        return None
    return int(value)
