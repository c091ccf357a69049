"""Which of a server's components are bridges, as far as it follows from what was answered (B-1001, K-775).

Nothing here asks anybody anything; ``components`` does.
"""
from __future__ import annotations

from enum import Enum
from typing import Any, Dict, Iterable, List, NamedTuple, Optional

from focus.stanzas import xml
from focus.stanzas.disco import DiscoInfo
from focus.values.addresses import BadAddress, prepare_jid

BRIDGE_FEATURES = frozenset((
    "http://jitsi.org/protocol/colibri", "urn:xmpp:jingle:apps:dtls:0", "urn:xmpp:jingle:transports:ice-udp:1",
    "urn:xmpp:jingle:transports:raw-udp:1"))
"""Who has all of them is a bridge."""
_NOTHING = frozenset((xml.NS_DISCO_INFO,))
MAX_ITEMS = 100
"""Components of one server that are looked at."""
ABSENT = frozenset(("service-unavailable", "item-not-found", "remote-server-not-found", "remote-server-timeout",
                    "recipient-unavailable", "gone"))
"""What is answered in the name of a component that isn't connected."""


class Finding(Enum):
    """What an answer to disco#info says of a component."""

    BRIDGE = "it is a bridge"
    OTHER = "it is something else, and stays that"
    ABSENT = "it isn't there"
    UNCLEAR = "it may still turn out to be a bridge"


class Listing(NamedTuple):
    """What follows from a list of components."""

    ask: List[str]
    """To be asked what they are, bridges too: whether they still are."""
    gone: List[str]
    """Bridges that aren't listed any more."""
    skipped: int
    """Components beyond what is looked at."""


def component_address(text: Optional[str]) -> Optional[str]:
    """The address of a component as servers write it; None if it can't be one: it has neither ``@`` nor ``/``."""
    if not text or "@" in text or "/" in text or "." not in text:
        return None
    try:
        return prepare_jid(text)
    except BadAddress:
        return None


def judge(info: Any, condition: Optional[str]) -> Finding:
    """What a component is.

    Args:
        info: the payload of its answer; anything but a DiscoInfo is nonsense.
        condition: of the error it answered instead, None if there was none.
    """
    if condition is not None:
        return Finding.ABSENT if condition in ABSENT else Finding.UNCLEAR
    if not isinstance(info, DiscoInfo):
        return Finding.UNCLEAR
    if BRIDGE_FEATURES.issubset(info.features):
        return Finding.BRIDGE
    # Prosody answers so for a component that has a name and isn't connected.
    return Finding.ABSENT if _NOTHING.issuperset(info.features) else Finding.OTHER


class Catalogue:
    """The components of a server, by what they were found to be. It holds what is listed and nothing more."""

    def __init__(self) -> None:
        self._findings: Dict[str, Optional[Finding]] = {}

    def __len__(self) -> int:
        return len(self._findings)

    def listed(self, items: Iterable[Any], bridges: Iterable[str]) -> Listing:
        """The server has these components.

        Args:
            items: as it answered, with an attribute ``jid``.
            bridges: those found before, by this process or an earlier one.
        """
        addresses: Dict[str, None] = {}
        skipped = 0
        for item in items:
            address = component_address(item.jid)
            if address is None or address in addresses:
                continue
            if len(addresses) < MAX_ITEMS:
                addresses[address] = None
            else:
                skipped += 1
        self._findings = {address: self._findings.get(address) for address in addresses}
        ask = [address for address, finding in self._findings.items() if finding is not Finding.OTHER]
        return Listing(ask, [bridge for bridge in bridges if bridge not in addresses], skipped)

    def answered(self, address: str, finding: Finding) -> None:
        """A component was asked what it is."""
        if address in self._findings:
            self._findings[address] = finding
