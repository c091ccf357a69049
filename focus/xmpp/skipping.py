"""An exact scanner of tags over raw bytes, for stanzas that must not reach the XML parser.

It is used only when a stanza exceeds a bound, so it is written to be obvious, not fast. It knows tags, quoted
values, comments, CDATA sections and processing instructions, and nothing of what they mean.
"""

from __future__ import annotations

import re
from typing import Dict, Iterator, NamedTuple, Optional, Tuple

from lxml import etree

from focus.xmpp.names import has_long_name

_TOKEN = re.compile(
    rb"<(?:!\[CDATA\[.*?\]\]>|!--.*?-->|\?.*?\?>|[^!?][^>'\"]*(?:(?:'[^']*'|\"[^\"]*\")[^>'\"]*)*>)", re.DOTALL)
_TAG_STOP = re.compile(rb"['\">]")
_NAME = re.compile(rb"<([^\s/>]{1,64})")
_ADDRESSING = re.compile(rb"\s((?:type|id|from|to)\s*=\s*(?:'[^'<]{0,4096}'|\"[^\"<]{0,4096}\"))")


class Position(NamedTuple):
    """A place in the stream. depth: open elements of the current stanza; begin: offset of its start tag."""

    depth: int
    begin: int


def locate_open_stanza(kept: bytes) -> Position:
    """Find the stanza that is open at the end of `kept`, which begins outside of tags, at an unknown depth.

    The stanza's beginning lies in `kept`, so the level of the root is reached: it is the lowest there is, and the
    last place where it is reached is where the open stanza begins.
    """
    depth = lowest = begin = 0
    for start, end, step in _tags(kept):
        if step > 0 and depth <= lowest:
            lowest, begin = depth, start
        depth += step
        if depth < lowest:
            lowest, begin = depth, end
    return Position(depth - lowest, begin)


def long_name_position(data: bytes, position: Position) -> Optional[int]:
    """Offset in `data` where the first stanza with a too long name begins (0 if it was open before); else None.

    position: where in the stream `data` begins.
    """
    depth = position.depth
    begin = 0
    for start, end, step in _tags(data):
        if depth == 0:
            begin = start
        if has_long_name(data[start:end]):
            return begin
        depth += step
    return None


def start_tag(data: bytes) -> Tuple[str, Dict[str, str]]:
    """Kind and addressing (type, id, from, to) of the stanza that `data` begins with, maybe an unfinished tag."""
    name = _NAME.match(data)
    if name is None:
        return "", {}
    whole = _TOKEN.match(data)
    tag = data[:whole.end()] if whole else data
    found: Dict[bytes, bytes] = {}
    for attribute in _ADDRESSING.findall(tag):
        found.setdefault(attribute.partition(b"=")[0].strip(), attribute)
    try:
        element = etree.fromstring(b"<x " + b" ".join(found.values()) + b"/>")
    except etree.XMLSyntaxError:
        return name.group(1).decode("utf-8", "replace"), {}
    return name.group(1).decode("utf-8", "replace"), {str(name): str(value) for name, value in element.attrib.items()}


def _tags(data: bytes) -> Iterator[Tuple[int, int, int]]:
    """Start, end and change of depth of each complete tag."""
    for token in _TOKEN.finditer(data):
        start, end = token.span()
        if data.startswith(b"</", start):
            yield start, end, -1
        elif data[start + 1:start + 2] in (b"!", b"?") or data.endswith(b"/>", start, end):
            yield start, end, 0
        else:
            yield start, end, 1


class StanzaSkipper:
    """Reads a stanza to its end, in parts cut anywhere.

    depth: elements open where it begins; 0: the stanza's start tag comes next.
    """

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._state = self._text
        self._quote = b"'"
        self._closing = False
        self._markup = b""  # the first bytes of a comment or the like
        self._end_mark = b""
        self._before = b""  # the last bytes of the part before

    def feed(self, data: bytes) -> Optional[int]:
        """Offset behind the stanza's end, or None if it goes on."""
        position: Optional[int] = 0
        while position is not None and position < len(data):
            state = self._state
            position = state(data, position)
            if state == self._tag and self._state == self._text and self._depth <= 0:
                return position
        self._before = (self._before + data)[-3:]
        return None

    def _text(self, data: bytes, position: int) -> Optional[int]:
        found = data.find(b"<", position)
        if found < 0:
            return None
        self._state = self._tag_begin
        return found + 1

    def _tag_begin(self, data: bytes, position: int) -> Optional[int]:
        first = data[position:position + 1]
        self._closing = first == b"/"
        if first in (b"!", b"?"):
            self._markup = b""
            self._state = self._markup_begin
            return position
        self._state = self._tag
        return position

    def _tag(self, data: bytes, position: int) -> Optional[int]:
        stop = _TAG_STOP.search(data, position)
        if stop is None:
            return None
        end = stop.end()
        if stop.group() != b">":
            self._quote = stop.group()
            self._state = self._value
            return end
        before = data[end - 2:end - 1] if end > 1 else self._before[-1:]
        if self._closing:
            self._depth -= 1
        elif before != b"/":
            self._depth += 1
        self._state = self._text
        return end

    def _value(self, data: bytes, position: int) -> Optional[int]:
        found = data.find(self._quote, position)
        if found < 0:
            return None
        self._state = self._tag
        return found + 1

    def _markup_begin(self, data: bytes, position: int) -> Optional[int]:
        self._markup += data[position:position + 1]
        if self._markup == b"?":
            self._end_mark = b"?>"
        elif self._markup == b"!-":
            self._end_mark = b"-->"
        elif self._markup == b"![":
            self._end_mark = b"]]>"
        elif len(self._markup) > 1:
            self._end_mark = b">"
        else:
            return position + 1
        self._markup = b""
        self._state = self._markup_body
        return position + 1

    def _markup_body(self, data: bytes, position: int) -> Optional[int]:
        self._markup += data[position:]
        found = self._markup.find(self._end_mark)
        if found < 0:
            self._markup = self._markup[-3:]
            return None
        end = len(data) - (len(self._markup) - found - len(self._end_mark))
        self._state = self._text
        return end
