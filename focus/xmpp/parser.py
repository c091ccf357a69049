"""Bytes of a stream in, top-level elements out, within bounds of our own.

A server passes on what any guest sends. What exceeds our bounds (levels, bytes of a name, bytes of a stanza) is read
to its end without being kept and reported as `Refused`; it never ends the stream, since resumption would replay it
for ever. Invariants that make this work:

* lxml is fed only complete tags: an unfinished one waits in `_partial`. So names are counted, and long ones noticed,
  before lxml's dictionary gets them (`names`).
* It is fed in slices that hold fewer start tags than the library's own limit of levels, and the depth is looked at
  after each.
* After each slice the root has no child but the stanza that is still open, and no text. (libxml2 appends text to the
  last child it finds; text of other stanzas must not be that child.)
* The slices since the one in which the open stanza began are kept (`_kept`), so that, when it has to be given up, an
  exact scanner can find where it began and how deep we are in it (`skipping`).
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from lxml import etree

from focus.xmpp import names
from focus.xmpp.arrivals import Arrived, Refused
from focus.xmpp.errors import NotWellFormed
from focus.xmpp.skipping import Position, StanzaSkipper, locate_open_stanza, long_name_position, start_tag

STREAMS = "http://etherx.jabber.org/streams"
CLIENT = "jabber:client"
COMPONENT = "jabber:component:accept"

MAX_DEPTH = 64
"""Levels of elements in a stanza, itself included."""

STANZA_LIMIT = 2 * 1024 * 1024
"""Bytes of a stanza, unless configured."""

HEADER_LIMIT = 16 * 1024
SLICE_TAGS = 1024
"""Tags fed at once: with those already open, fewer levels than libxml2 bears (2048)."""

SLICE = 3 * SLICE_TAGS
"""Bytes fed at once where tags are dense: three bytes are the shortest start tag."""

READ_LIMIT = 65536
"""Bytes fed at once otherwise, which is how exact the limit of a stanza's bytes is."""

NONZAS = ("{%s}*" % STREAMS, "{urn:xmpp:sm:3}*", "{urn:ietf:params:xml:ns:xmpp-sasl}*",
          "{urn:ietf:params:xml:ns:xmpp-tls}*")

_any_too_deep = etree.XPath("boolean(%s)" % "/".join(["*"] * (MAX_DEPTH + 1)))  # of the root's children
_too_deep = etree.XPath("boolean(%s)" % "/".join(["*"] * MAX_DEPTH))  # this stanza


class StreamEnd:
    """The peer closed its stream: </stream:stream>."""


STREAM_END = StreamEnd()

Item = Any
"""What feed() returns: Arrived or Refused, STREAM_END, or another top-level element (features, ...) as it is."""


class StreamParser:
    """Parses one stream, from its header on. A restarted stream needs a new one.

    connection: goes into the arrivals; namespace: of the stanzas, CLIENT or COMPONENT;
    stanza_limit: bytes.
    """

    def __init__(self, connection: Any = None, namespace: str = CLIENT, stanza_limit: int = STANZA_LIMIT,
                 ledger: names.NameLedger = names.LEDGER) -> None:
        self.header: Dict[str, str] = {}
        """Attributes of the stream header; empty until it has arrived."""
        self.failure: Optional[NotWellFormed] = None
        """Set when the stream can't be parsed any further; what came before was returned."""
        self._connection = connection
        self._stanza_tags = frozenset("{%s}%s" % (namespace, kind) for kind in ("iq", "presence", "message"))
        self._filter = tuple(self._stanza_tags) + NONZAS
        if namespace != CLIENT:
            self._filter += ("{%s}handshake" % namespace,)
        self._stanza_limit = stanza_limit
        self._ledger = ledger
        self._header_bytes = b""
        self._parser: Any = None
        self._root: Any = None
        self._partial: List[bytes] = []  # of a tag whose end has not arrived
        self._partial_size = 0
        self._kept: List[bytes] = []
        self._open_size = 0  # bytes not yet accounted to a stanza
        self._open_tags = 0  # upper bound of the tags since the open stanza began
        self._skipping: Optional[_Skipping] = None

    def feed(self, data: bytes) -> List[Item]:
        """Parse what arrived; return the top-level elements completed by it, in order.

        After a fault of the stream itself `failure` is set and nothing more is parsed.
        """
        items: List[Item] = []
        if self._root is None:
            data = self._feed_header(data)
        while data and self.failure is None:
            if self._skipping is not None:
                data = self._skip(data, items)
            else:
                data = self._feed_body(data, items)
        return items

    def _feed_header(self, data: bytes) -> bytes:
        """Collect the stream header; returns what follows it."""
        data = self._header_bytes + data
        end = -1
        begin = data.find(b"<")
        while begin >= 0 and data[begin + 1:begin + 2] == b"?":  # XML declaration
            begin = data.find(b"<", begin + 1)
        if data[begin + 1:begin + 2] == b"!":  # entities could be declared there (RFC 6120 11.1 forbids it)
            self.failure = NotWellFormed("the server's stream begins with a DTD or comment")
            return b""
        if begin >= 0 and len(data) > begin + 1:
            end = data.find(b">", begin)
        if end < 0:
            self._header_bytes = data
            if len(data) > HEADER_LIMIT:
                self.failure = NotWellFormed("the server's stream header does not end")
            return b""
        self._header_bytes = data[:end + 1]
        self._ledger.note(self._header_bytes)
        self._begin()
        return data[end + 1:]

    def _begin(self) -> None:
        """A fresh parser that has read the stream header."""
        self._parser = etree.XMLPullParser(events=("start", "end"), tag=self._filter, huge_tree=True,
                                           resolve_entities=False, collect_ids=False, no_network=True,
                                           remove_comments=True, remove_pis=True)
        self._root = None
        self._kept = []
        self._open_size = self._open_tags = 0
        try:
            self._parser.feed(self._header_bytes)
        except etree.XMLSyntaxError as error:
            self.failure = NotWellFormed("the server's stream header is not XML: %s" % error)
            return
        for _, element in self._parser.read_events():
            self._root = element
        if self._root is None:
            self.failure = NotWellFormed("the server's answer is not an XMPP stream")
            return
        self.header = dict(self._root.attrib)

    def _feed_body(self, data: bytes, items: List[Item]) -> bytes:
        if self._partial:
            if b">" not in data:
                return self._wait_for_tag_end(data, items)
            data = b"".join(self._partial) + data
            self._partial = []
            self._partial_size = 0
        unfinished = rest = b""
        if not data.endswith(b">"):
            cut = data.rfind(b"<")
            if cut >= 0 and data.find(b">", cut) < 0:
                data, unfinished = data[:cut], data[cut:]
        if not self._ledger.note(data):
            offender = long_name_position(data, self._position())
            if offender is not None:
                rest = data[offender:] + unfinished
                left = self._feed_slices(data[:offender], items)
                if self.failure is None and self._skipping is None:
                    self._give_up("a name is longer than %d bytes" % names.MAX_NAME, rest)
                return left + rest
        rest = self._feed_slices(data, items)
        if unfinished and self._skipping is None and self.failure is None:
            return self._wait_for_tag_end(unfinished, items)
        return rest + unfinished

    def _wait_for_tag_end(self, data: bytes, items: List[Item]) -> bytes:
        self._partial.append(data)
        self._partial_size += len(data)
        if self._open_size + self._partial_size <= self._stanza_limit:
            return b""
        unfinished = b"".join(self._partial)
        self._partial = []
        self._partial_size = 0
        self._give_up("the stanza is longer than %d bytes" % self._stanza_limit, unfinished)
        return unfinished

    def _feed_slices(self, data: bytes, items: List[Item]) -> bytes:
        """Feed complete tags; returns what is left when a stanza must be given up (or the stream has failed)."""
        tags = data.count(b"<")
        if tags <= SLICE_TAGS and len(data) <= READ_LIMIT:
            self._feed_slice(data, tags, items)
            return b""
        begin = 0
        while begin < len(data):
            end = begin + SLICE
            tag = data.rfind(b"<", begin, end)
            if tag > data.rfind(b">", begin, end):  # not within a tag
                end = tag if tag > begin else data.find(b">", end) + 1 or len(data)
            self._feed_slice(data[begin:end], data.count(b"<", begin, end), items)
            begin = end
            if self._skipping is not None or self.failure is not None:
                return data[begin:]
        return b""

    def _feed_slice(self, data: bytes, tags: int, items: List[Item]) -> None:
        root = self._root
        if not tags and not self._open_size:
            return  # white space between stanzas: a sign of life only
        try:
            self._parser.feed(data)
        except etree.XMLSyntaxError as error:
            self.failure = NotWellFormed("the server's XML can't be read: %s" % error)
        self._open_size += len(data)
        self._open_tags += tags
        deep = self._open_tags > MAX_DEPTH and bool(_any_too_deep(root))
        events = list(self._parser.read_events())
        completed = [element for event, element in events if event == "end" and element.getparent() is root]
        if completed:
            self._take(completed, deep, items)
        if len(root):
            if completed:
                self._kept = [data]
                self._open_tags = tags
            else:
                self._kept.append(data)
            self._check_open(deep)
        else:
            self._kept = []
            self._open_size = self._open_tags = 0
        if root.text is not None:
            root.text = None
        if events and events[-1][1] is root:
            items.append(STREAM_END)

    def _take(self, completed: List[Any], deep: bool, items: List[Item]) -> None:
        """Detach completed elements from the root and report them."""
        root = self._root
        if len(root) == len(completed):
            size = self._open_size // len(completed)
        else:  # some bytes belong to the one that is still open
            size = self._open_size // (len(completed) + 1)
        for element in completed:
            previous = element.getprevious()
            while previous is not None:  # a top-level element of a kind not asked for
                root.remove(previous)
                previous = element.getprevious()
            root.remove(element)
            if element.tag not in self._stanza_tags:
                items.append(element)
            elif deep and _too_deep(element):
                reason = "it is nested deeper than %d levels" % MAX_DEPTH
                items.append(Refused(self._connection, _kind(element), _attributes(element), reason, size))
            elif size > self._stanza_limit:
                reason = "the stanza is longer than %d bytes" % self._stanza_limit
                items.append(Refused(self._connection, _kind(element), _attributes(element), reason, size))
            else:
                items.append(Arrived(self._connection, element, size))
        self._open_size -= size * len(completed)

    def _check_open(self, deep: bool) -> None:
        """Give the open stanza up if it exceeds a bound."""
        if deep and _too_deep(self._root[-1]):
            self._give_up("it is nested deeper than %d levels" % MAX_DEPTH, b"")
        elif self._open_size > self._stanza_limit:
            self._give_up("the stanza is longer than %d bytes" % self._stanza_limit, b"")

    def _position(self) -> Position:
        """Where we are in the open stanza, from what was fed of it."""
        if not len(self._root):
            return Position(0, 0)
        return locate_open_stanza(b"".join(self._kept))

    def _give_up(self, reason: str, rest: bytes) -> None:
        """Skip the open stanza, or the one that `rest` begins with if none is open."""
        depth = self._position().depth
        if len(self._root):
            element = self._root[-1]
            kind, attributes = _kind(element), _attributes(element)
            if element.tag not in self._stanza_tags:
                self.failure = NotWellFormed("the server sent an element <%s/>: %s" % (kind, reason))
                return
        else:
            kind, attributes = start_tag(rest)
        self._skipping = _Skipping(StanzaSkipper(depth), kind, attributes, reason, self._open_size)

    def _skip(self, data: bytes, items: List[Item]) -> bytes:
        skipping = self._skipping
        if skipping is None:
            return data
        end = skipping.skipper.feed(data)
        if end is None:
            skipping.size += len(data)
            return b""
        self._skipping = None
        items.append(Refused(self._connection, skipping.kind, skipping.attributes, skipping.reason,
                             skipping.size + end))
        if len(self._root):
            self._begin()
        self._open_size = 0
        return data[end:]


class _Skipping:
    """A stanza being read to its end without being kept."""

    def __init__(self, skipper: StanzaSkipper, kind: str, attributes: Dict[str, str], reason: str, size: int) -> None:
        self.skipper = skipper
        self.kind = kind
        self.attributes = attributes
        self.reason = reason
        self.size = size


def _kind(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


def _attributes(element: Any) -> Dict[str, str]:
    return {name: element.get(name) for name in ("type", "id", "from", "to") if element.get(name) is not None}
