"""What a connection puts into the inbox, in the order in which it happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Protocol, Union

if TYPE_CHECKING:
    from focus.xmpp.errors import StreamFailure


class Inbox(Protocol):
    """Where the readers put what they read. One inbox serves all connections."""

    def put(self, item: Any) -> None:
        """Append an arrival; never blocks."""

    def wait_for_room(self) -> None:
        """Block the calling reader while too much is unprocessed."""


class Arrived:
    """One top-level stanza.

    element: the lxml element, detached from the stream; size: its bytes on the wire, exact in the sum over a burst.
    """

    __slots__ = ("connection", "element", "size")

    def __init__(self, connection: Any, element: Any, size: int) -> None:
        self.connection = connection
        self.element = element
        self.size = size

    def __repr__(self) -> str:
        return "Arrived(%s, %d bytes)" % (self.element.tag, self.size)


class Refused:
    """A stanza that exceeded our bounds and was read to its end without being kept. The stream goes on.

    kind: the local name ('iq', 'presence', 'message'); attrs: type, id, from, to of its start tag, where given;
    reason: a text for the log and for the answer to a request; size: bytes.
    """

    __slots__ = ("connection", "kind", "attrs", "reason", "size")

    def __init__(self, connection: Any, kind: str, attrs: Dict[str, str], reason: str, size: int) -> None:
        self.connection = connection
        self.kind = kind
        self.attrs = attrs
        self.reason = reason
        self.size = size

    def __repr__(self) -> str:
        return "Refused(%s, %r, %s, %d bytes)" % (self.kind, self.attrs, self.reason, self.size)


class Connected:
    """The connection is logged in and its stanzas follow.

    resumed: the XEP-0198 session goes on, nothing was lost; otherwise everything starts anew.
    jid: our full JID, or the component's domain. session: number of the session; it changes when not resumed.
    """

    __slots__ = ("connection", "resumed", "jid", "session")

    def __init__(self, connection: Any, resumed: bool, jid: str, session: int) -> None:
        self.connection = connection
        self.resumed = resumed
        self.jid = jid
        self.session = session

    def __repr__(self) -> str:
        return "Connected(%s, resumed=%s, session %d)" % (self.jid, self.resumed, self.session)


class Disconnected:
    """A connection that was logged in is lost.

    error: why; `error.text` is for the log. will_resume: the server may still hold the XEP-0198 session, and the
    next attempt tries to resume it.
    """

    __slots__ = ("connection", "error", "will_resume")

    def __init__(self, connection: Any, error: StreamFailure, will_resume: bool) -> None:
        self.connection = connection
        self.error = error
        self.will_resume = will_resume

    def __repr__(self) -> str:
        return "Disconnected(%s, will_resume=%s)" % (self.error, self.will_resume)


InboxItem = Union[Arrived, Refused, Connected, Disconnected]
