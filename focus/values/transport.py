"""ICE-UDP transport descriptions as they travel between bridge and participant (XEP-0176, J-351, K-291).

The focus carries transports, it never makes one up. So attributes are kept as (name, value) pairs in their
order, also those this program does not know.
"""
from __future__ import annotations

from typing import NamedTuple, Optional, Tuple

Attributes = Tuple[Tuple[str, str], ...]


class Fingerprint(NamedTuple):
    """A DTLS certificate fingerprint (XEP-0320). ``None`` means that the attribute was absent (J-352)."""

    value: str
    hash: Optional[str] = None
    setup: Optional[str] = None
    required: Optional[str] = None
    cryptex: Optional[str] = None


class Candidate(NamedTuple):
    """One ICE candidate with all its attributes."""

    attributes: Attributes

    def get(self, name: str) -> Optional[str]:
        """The value of an attribute, or None."""
        for key, value in self.attributes:
            if key == name:
                return value
        return None


class Transport(NamedTuple):
    """One ICE-UDP transport. ``attributes`` holds ``ufrag``, ``pwd``, ``ice-generation`` and what else there was.

    ``web_sockets`` are the URLs of the bridge channel; they are secrets of their endpoint, keep them out of logs.
    """

    attributes: Attributes = ()
    rtcp_mux: bool = False
    fingerprints: Tuple[Fingerprint, ...] = ()
    web_sockets: Tuple[str, ...] = ()
    candidates: Tuple[Candidate, ...] = ()

    def get(self, name: str) -> Optional[str]:
        """The value of an attribute of the transport itself, or None."""
        for key, value in self.attributes:
            if key == name:
                return value
        return None

    @property
    def ufrag(self) -> Optional[str]:
        return self.get("ufrag")

    @property
    def pwd(self) -> Optional[str]:
        return self.get("pwd")

    @property
    def ice_generation(self) -> Optional[int]:
        """The number of the ICE restart this belongs to (J-864), None if absent or not a number."""
        text = self.get("ice-generation")
        if text is None or len(text) > 10 or not (text.isascii() and text.isdigit()):
            return None
        return int(text)

    @property
    def says_something(self) -> bool:
        """Whether it can tell the bridge where the peer is: credentials or candidates.

        Some telephone gateways send their credentials in a ``transport-info`` and then an empty transport in
        their ``session-accept``; passing that one on would make the bridge forget them.
        """
        return bool(self.get("ufrag") or self.get("pwd") or self.candidates)

    def __repr__(self) -> str:
        return "Transport(ufrag=%r, %d fingerprints, %d candidates, %d web sockets)" % (
            self.ufrag, len(self.fingerprints), len(self.candidates), len(self.web_sockets))
