"""Stanzas on their way out."""
from __future__ import annotations

from typing import Dict, List, NamedTuple, Union


class Shared(NamedTuple):
    """A stanza whose body many receivers get: written once, kept once, stamped for each."""

    head: str
    body: str
    tail: str


Written = Union[str, Shared]

MAX_CONSTANTS = 64
CONSTANTS: Dict[str, List[str]] = {}
"""Texts that stand in many stanzas, by their beginning: whoever keeps stanzas may keep such a text once."""
BEGINNING = 64


def constant(text: str) -> str:
    """Note a text as one that stands in many stanzas; returns it."""
    if sum(map(len, CONSTANTS.values())) >= MAX_CONSTANTS:
        CONSTANTS.clear()
    known = CONSTANTS.setdefault(text[:BEGINNING], [])
    if len(text) > BEGINNING and text not in known:
        known.append(text)
    return text


def text_of(stanza: Written) -> str:
    """The stanza as one string."""
    return stanza if isinstance(stanza, str) else stanza.head + stanza.body + stanza.tail
