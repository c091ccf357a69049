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
        """Whether there is anything in it for the bridge."""
        return bool(self.get("ufrag") or self.get("pwd") or self.candidates or self.fingerprints)

    def followed_by(self, later: Transport) -> Transport:
        """What both say together.

        A telephone gateway sends its credentials and candidates in a ``transport-info`` and its fingerprint in the
        ``session-accept``, without them (J-561); the fingerprint of an old client's ``transport-info`` has no role and
        doesn't take the place of one with (J-566, KT-6).
        """
        same_ice = not later.ufrag or later.ufrag == self.ufrag
        has_role = any(fingerprint.setup for fingerprint in later.fingerprints)
        return later._replace(
            attributes=later.attributes if later.ufrag else self.attributes,
            rtcp_mux=later.rtcp_mux or self.rtcp_mux,
            fingerprints=later.fingerprints if has_role or not self.fingerprints else self.fingerprints,
            candidates=later.candidates or (self.candidates if same_ice else ()))

    def __repr__(self) -> str:
        return "Transport(ufrag=%r, %d fingerprints, %d candidates, %d web sockets)" % (
            self.ufrag, len(self.fingerprints), len(self.candidates), len(self.web_sockets))
