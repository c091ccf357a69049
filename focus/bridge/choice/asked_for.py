"""Bridges that a client asks for with its conference request (B-1003).

What a client says is a wish. It counts only for bridges that the operator has named for that (option
``client_bridges``), so that nobody can send a call's media where he likes or heap calls on one bridge.
"""
from __future__ import annotations

from typing import Collection, List, Mapping, NamedTuple, Optional, Sequence

from focus.bridge.choice.selection import Candidate
from focus.values.addresses import BadAddress, prepare_jid

ANY = "*"
"""In the list of bridges that may be asked for: every bridge that is known."""


class Wish(NamedTuple):
    """A bridge that a conference was asked for."""

    bridge: str
    enforced: bool
    """That one and no other (``enforcedBridge``); else: if no other can be used (``bridge``)."""


def wish(properties: Mapping[str, str], allowed: Collection[str]) -> Optional[Wish]:
    """What a conference's properties ask for, as far as it is allowed."""
    if not allowed:
        return None
    for name in ("enforcedBridge", "bridge"):
        try:
            bridge = prepare_jid(properties.get(name, "").strip())
        except BadAddress:
            continue
        if bridge in allowed or ANY in allowed:
            return Wish(bridge, name == "enforcedBridge")
    return None


def narrowed(candidates: Sequence[Candidate], wanted: Optional[Wish], reserved: Collection[str],
             in_use: Collection[str]) -> List[Candidate]:
    """The candidates that a conference may be put on.

    Args:
        candidates: the whole pool.
        wanted: what the conference was asked for, if that is allowed.
        reserved: bridges that only those get who ask for them.
        in_use: bridges the conference has.
    """
    if wanted is not None and wanted.enforced:
        return [c for c in candidates if c.jid == wanted.bridge]
    free = [c for c in candidates if c.jid not in reserved]
    if wanted is None:
        return free
    if any(c.operational and not c.shutting_down for c in free):
        return [c for c in candidates if c.jid not in reserved or (c.jid == wanted.bridge and c.jid in in_use)]
    return [c for c in candidates if c.jid not in reserved or c.jid == wanted.bridge]
