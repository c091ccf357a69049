"""Stream management (XEP-0198): what is counted, and what must survive to resume a stream.

`Session` is plain data and arithmetic: no socket, no clock. It can be written down and made again by a later process
(`SessionState`), which then resumes the stream of the one that died.

Stanzas sent are numbered from 1; `acknowledged` is the number of the last one the server has confirmed. Stanzas that
arrive count as handled only when the service says so, in order. Arrivals of an older session may still be in the
inbox when a new one begins, hence `_foreign`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Deque, List, Optional

from focus.xmpp.errors import ProtocolMismatch

NAMESPACE = "urn:xmpp:sm:3"
WRAP = 2 ** 32
REQUEST = b"<r xmlns='urn:xmpp:sm:3'/>"


@dataclass
class SessionState:
    """Everything needed to resume a stream, in this process or a later one."""

    id: str
    """The server's token, `previd` when resuming. Who knows it can take the stream over: keep it like a password."""
    jid: str
    """The full JID bound."""
    max_seconds: Optional[int] = None
    """How long the server keeps a cut stream; None if it did not say."""
    handled: int = 0
    """Our h: stanzas received and fully handled, not wrapped."""
    acknowledged: int = 0
    """The server's h: stanzas of ours it has confirmed, not wrapped."""
    unacknowledged: List[bytes] = field(default_factory=list)
    """Stanzas of ours it has not, the first one being number acknowledged + 1."""


class Session:
    """The counters and queues of one stream-managed session."""

    def __init__(self, id: str, jid: str, max_seconds: Optional[int] = None,
                 foreign: int = 0) -> None:
        self.id = id
        self.jid = jid
        self.max_seconds = max_seconds
        self.handled = 0
        self.acknowledged = 0
        self.sent: Deque[bytes] = deque()
        """Written to the socket and not confirmed."""
        self.sent_bytes = 0
        self._foreign = foreign

    @property
    def resumable(self) -> bool:
        """Whether the server gave us a token."""
        return bool(self.id)

    @classmethod
    def restore(cls, state: SessionState) -> Session:
        """The session of an earlier process; all its unconfirmed output counts as sent."""
        session = cls(state.id, state.jid, state.max_seconds)
        session.handled = state.handled
        session.acknowledged = state.acknowledged
        session.sent = deque(state.unacknowledged)
        session.sent_bytes = sum(map(len, state.unacknowledged))
        return session

    def state(self, waiting: List[bytes]) -> SessionState:
        """What a later process needs; `waiting`: stanzas decided but not yet written."""
        return SessionState(self.id, self.jid, self.max_seconds, self.handled, self.acknowledged,
                            list(self.sent) + waiting)

    def handle(self, count: int) -> int:
        """That many more arrivals are handled; returns how many of them belong to this session."""
        foreign = min(count, self._foreign)
        self._foreign -= foreign
        self.handled += count - foreign
        return count - foreign

    def will_handle(self, count: int) -> int:
        """What ``handled`` will be after ``handle(count)``."""
        return self.handled + count - min(count, self._foreign)

    def confirm(self, h: int) -> int:
        """The server has handled `h` stanzas of ours; returns how many that covers anew.

        Raises ProtocolMismatch if it confirms what was never sent: the counters no longer mean the same.
        """
        covered = (h - self.acknowledged) % WRAP
        if covered > len(self.sent):
            raise ProtocolMismatch("the server confirms %d stanzas, we sent %d"
                                   % (h, (self.acknowledged + len(self.sent)) % WRAP))
        for _ in range(covered):
            self.sent_bytes -= len(self.sent.popleft())
        self.acknowledged += covered
        return covered

    def answer(self) -> bytes:
        """The <a/> element."""
        return b"<a xmlns='urn:xmpp:sm:3' h='%d'/>" % (self.handled % WRAP)

    def resume_request(self) -> bytes:
        """The <resume/> element."""
        return b"<resume xmlns='urn:xmpp:sm:3' h='%d' previd='%s'/>" % (self.handled % WRAP, escape(self.id))


def escape(text: str) -> bytes:
    """Text as it stands in a single-quoted attribute or in character data."""
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), ("'", "&apos;")):
        text = text.replace(character, entity)
    return text.encode("utf-8")

