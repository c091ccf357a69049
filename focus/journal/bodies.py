"""Stanzas taken apart for the journal: what many of them have in common is kept once.

A source update goes to a whole room with the same body; offers and allocations consist mostly of the same descriptions
of media. Both are found without looking for them: the first come apart (``Shared``), the second are noted by who
writes them (``constant``).
"""
from __future__ import annotations

from typing import Dict, Iterator, List, Tuple, Union

from focus.journal.record import Parts
from focus.values.written import CONSTANTS, Written

WORTH = 256
"""Characters from which on a body is worth a number."""


class Bodies:
    """The bodies that the journal has, by text."""

    def __init__(self) -> None:
        self._numbers: Dict[str, int] = {}
        self._fresh: Dict[int, str] = {}
        self._next = 0

    def parts(self, stanzas: List[Written]) -> List[Parts]:
        """The stanzas as the journal keeps them."""
        return [self._apart(stanza) if isinstance(stanza, str) else self._joined(*stanza) for stanza in stanzas]

    def _joined(self, head: str, body: str, tail: str) -> Parts:
        if len(body) < WORTH:
            return head + body + tail
        return [head, self._number(body), tail]

    def _apart(self, text: str) -> Parts:
        """The text with every constant in it taken out."""
        if len(text) < WORTH:
            return text
        parts: List[Union[str, int]] = []
        begin = 0
        for at, found in sorted(_constants_in(text)):
            if at >= begin:
                parts += (text[begin:at], self._number(found))
                begin = at + len(found)
        if not parts:
            return text
        parts.append(text[begin:])
        return parts

    def _number(self, body: str) -> int:
        number = self._numbers.get(body)
        if number is None:
            number = self._numbers[body] = self._next
            self._fresh[number] = body
            self._next += 1
        return number

    def take(self) -> Dict[int, str]:
        """Those that are new since the last time."""
        fresh, self._fresh = self._fresh, {}
        return fresh

    def forget(self) -> None:
        """Earlier records go: every body has to be written again before it is named."""
        self._numbers.clear()
        self._fresh.clear()


def _constants_in(text: str) -> Iterator[Tuple[int, str]]:
    """Where constants stand in the text."""
    for beginning, texts in CONSTANTS.items():
        at = text.find(beginning)
        while at >= 0:
            for found in texts:
                if text.startswith(found, at):
                    yield at, found
                    break
            at = text.find(beginning, at + 1)
