"""What came of entering a chat room."""
from __future__ import annotations

from typing import NamedTuple, Optional


class JoinOutcome(NamedTuple):
    """The end of a join exchange (C-4.2): ``error`` None means that we are in the room."""

    error: Optional[str] = None
    """Condition of the refusal, or ``timeout``, or ``disconnected``."""
    text: str = ""
    affiliation: str = "none"
    """Ours, as our own presence says."""
    created: bool = False
    """We made the room (status 201)."""
    whois_anyone: bool = False
    """The room shows real JIDs to everybody (C-121)."""
    was_hidden: bool = False
    """It did not at the moment of our join, so occupants that were there have seen us without one."""
    config_error: str = ""
    """Why the configuration couldn't be read or set, empty if it could."""
    meeting_id: str = ""
    is_breakout: bool = False
