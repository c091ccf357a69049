"""What endpoints have on a bridge that speaks Colibri 1: channels, whose ids the bridge chooses (K-713)."""
from __future__ import annotations

from typing import NamedTuple, Optional, Tuple


class Channels(NamedTuple):
    """One endpoint's channels; updates and expiry are addressed by them."""

    endpoint: str
    ids: Tuple[Tuple[str, str], ...]
    """(content, id): ``audio``, ``video``, ``data``; the id is empty while the creation isn't answered."""
    muted: Tuple[bool, bool] = (False, False)
    """(audio, video): the bridge takes nothing of these from the endpoint; every update repeats it (K-722)."""

    @property
    def known(self) -> bool:
        """Whether the bridge has told all ids."""
        return all(id_ for _, id_ in self.ids)

    def id(self, content: str) -> Optional[str]:
        """The channel's id, None if there is none in that content."""
        for name, id_ in self.ids:
            if name == content:
                return id_ or None
        return None


class Leftover(NamedTuple):
    """Channels that are to be expired; there is no other way to end a conference (K-731)."""

    conference: str
    """The id that the bridge gave it (K-701)."""
    channels: Tuple[Channels, ...]
