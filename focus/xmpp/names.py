"""Names that the XML library will never forget.

lxml keeps every element, attribute and namespace name it has ever seen, for all parsers of a thread and for the life
of the process. Names come from any guest. So each part of the input is looked through before it is parsed: names
longer than `MAX_NAME` are refused, and the bytes of all others are counted, so that the process can end itself
between two ticks before they become a burden (DESIGN, idea 4).

This is done for every byte that arrives, hence the shape: the input is split at its single quotes, and the pieces
outside of the quotes (`<iq type=`, ` id=`, `/><source ssrc=` ...) are looked up. Nearly all of them were seen before.
That is exact as long as single quotes only enclose attribute values, which holds for servers that escape quotes in
text; an attribute value never contains '<', which shows the opposite. Everything else takes the slower, exact way.
"""

from __future__ import annotations

import re
from itertools import compress
from typing import Dict, Iterable, Optional, Set

MAX_NAME = 1024
"""Bytes of the longest name that is parsed."""

NAME_OVERHEAD = 48
"""Bytes the library's dictionary needs for a name besides its characters."""

MAX_KEPT = 20000
"""Entries after which what was seen is forgotten; names are then counted once more, which is the safe side."""

MAX_KEPT_PIECE = 200
"""Bytes of the longest piece worth remembering; longer ones hold text and do not come again."""

_NAMES = re.compile(rb"<([^\s/>!?][^\s/>]*)|\s([^\s<>='\"/]+)\s*=")
_NAMESPACE_AT_END = re.compile(rb"\sxmlns(?::[^\s=]*)?\s*=\s*\Z")
_NAMESPACES = re.compile(rb"\sxmlns(?::[^\s=]*)?\s*=\s*(?:'([^']*)'|\"([^\"]*)\")")
_TAGS = re.compile(rb"<[^\s/>!?][^>'\"]*(?:(?:'[^']*'|\"[^\"]*\")[^>'\"]*)*>")
_VALUES = re.compile(rb"'[^']*'|\"[^\"]*\"")


class NameLedger:
    """Counts the names of all streams of this process."""

    def __init__(self) -> None:
        self.name_bytes = 0
        """Upper bound of the bytes that names hold for ever."""
        self._pieces: Dict[bytes, bool] = {}  # piece outside of quotes -> a namespace follows
        self._names: Set[bytes] = set()
        self._namespaces: Set[bytes] = set()

    def note(self, data: bytes) -> bool:
        """Count the new names of `data`, which must begin and end outside of tags.

        Returns False if a name may be longer than MAX_NAME; `has_long_name` then tells for sure.
        """
        parts = data.split(b"'")
        values = parts[1::2]
        if b'"' in data or b"<" in b"".join(values):
            return self._note_slowly(data)
        outside = parts[::2]
        kinds = list(map(self._pieces.get, outside))
        short = True
        if None in kinds:
            for index, kind in enumerate(kinds):
                if kind is None:
                    kinds[index] = self._learn(outside[index])
                    short = short and kinds[index] is not None
        namespaces = list(compress(values, kinds))
        if not self._namespaces.issuperset(namespaces):
            short = self._note_namespaces(namespaces) and short
        return short

    def _learn(self, piece: bytes) -> Optional[bool]:
        """Note a piece not seen before; None if it has a long name, else whether a namespace follows it."""
        # Without what stands in quotes, a '>' ends a tag; what follows it is text, often the most of a piece.
        tags = b"<".join([part.partition(b">")[0] for part in piece.split(b"<")])
        names = [element or attribute for element, attribute in _NAMES.findall(tags)]
        if not self._note_names(names):
            return None
        is_namespace = _NAMESPACE_AT_END.search(tags) is not None
        if len(piece) <= MAX_KEPT_PIECE:
            if len(self._pieces) >= MAX_KEPT:
                self._pieces.clear()
            self._pieces[piece] = is_namespace
        return is_namespace

    def _note_names(self, names: Iterable[bytes]) -> bool:
        return self._note_all(names, self._names)

    def _note_namespaces(self, namespaces: Iterable[bytes]) -> bool:
        return self._note_all(namespaces, self._namespaces)

    def _note_all(self, names: Iterable[bytes], known: Set[bytes]) -> bool:
        short = True
        for name in names:
            if name in known:
                continue
            if len(name) > MAX_NAME:
                short = False
                continue
            if len(known) >= MAX_KEPT:
                known.clear()
            known.add(name)
            self.name_bytes += len(name) + NAME_OVERHEAD
        return short

    def _note_slowly(self, data: bytes) -> bool:
        short = self._note_names(element or attribute for element, attribute in _NAMES.findall(data))
        return self._note_namespaces(one or two for one, two in _NAMESPACES.findall(data)) and short


def has_long_name(tag: bytes) -> bool:
    """Whether one complete tag, '<' to '>', holds an element, attribute or namespace name longer than MAX_NAME."""
    if len(tag) <= MAX_NAME:
        return False
    if any(len(one or two) > MAX_NAME for one, two in _NAMESPACES.findall(tag)):
        return True
    return any(len(name) > MAX_NAME for name in re.split(rb"[\s=</>]+", _VALUES.sub(b" ", tag)))


LEDGER = NameLedger()
"""The ledger of this process: lxml's dictionary of names is one for all parsers of a thread, so is this."""
