"""What is offered of one media type: payload types, header extensions, feedback.

The same objects describe the offer to a participant and the endpoint on its bridge (J-329, K-901).
"""
from __future__ import annotations

from typing import Any, NamedTuple, Optional, Tuple


class RtcpFeedback(NamedTuple):
    """One ``a=rtcp-fb`` value (XEP-0293), for example ``nack`` or ``ccm`` ``fir``."""

    type: str
    subtype: Optional[str] = None


class PayloadType(NamedTuple):
    """One RTP payload type (XEP-0167). ``parameters`` are (name, value); RED's has no name."""

    id: int
    name: str
    clockrate: int
    channels: Optional[int] = None
    parameters: Tuple[Tuple[Optional[str], str], ...] = ()
    feedback: Tuple[RtcpFeedback, ...] = ()


class HeaderExtension(NamedTuple):
    """One RTP header extension (XEP-0294)."""

    id: int
    uri: str


class _Fields(NamedTuple):
    media: str
    payload_types: Tuple[PayloadType, ...] = ()
    extensions: Tuple[HeaderExtension, ...] = ()
    extmap_allow_mixed: bool = False
    maxptime: Optional[int] = None


class MediaDescription(_Fields):
    """Everything about one media type (``audio`` or ``video``); ``maxptime`` is in ms and only in offers.

    Its hash is computed once: written fragments are remembered by it.
    """

    _hash: Optional[int] = None

    def __hash__(self) -> int:
        known = self._hash
        if known is None:
            known = self._hash = tuple.__hash__(self)
        return known

    def __reduce__(self) -> Tuple[Any, ...]:
        # A remembered hash means nothing in another process, where texts hash differently.
        return (MediaDescription, tuple(self))
