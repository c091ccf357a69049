"""What a server counts of one stream under XEP-0198, as Prosody 0.12 does it. Plain data and arithmetic: no socket.

Stanzas are numbered from 1 in each direction. The queue of what the client has not acknowledged holds only the last
`limit` stanzas; a stream that has lost one of them can't be resumed any more, which shows only when that is tried.
"""

from __future__ import annotations

import copy
from collections import deque
from typing import Any, Deque, List, Optional

from lxml import etree

from tests.support.wire import Splitter

DELAY = "<delay xmlns='urn:xmpp:delay' from='%s' stamp='2026-01-01T00:00:00Z'/>"


class ServerSession:
    """One session of the account.

    A stanza for the client is an element, or bytes that are written as they are.

    jid: full JID. remembers: keep all that was received. token: what `<resume/>` names it by; empty if it can't be
    resumed (stream management is off).
    """

    def __init__(self, jid: str, limit: int, remembers: bool = True) -> None:
        self.jid = jid
        self.token = ""
        self.managed = False
        self.received: List[bytes] = []
        """Every stanza of the client since stream management was switched on; empty without `remembers`."""
        self.h = 0
        """Their number."""
        self.sent = 0
        """Stanzas numbered for the client, whether a connection took them or not."""
        self.acknowledged = 0
        """The last number the client has acknowledged, by `<a/>` or by `<resume/>`."""
        self.ended = ""
        """Why the session is over; empty while it lives."""
        self.unread: Optional[Splitter] = None
        """That of the connection that broke last, with what it had read of a stanza."""
        self._unacknowledged: Deque[Any] = deque(maxlen=limit)
        self._remembers = remembers

    def receive(self, raw: bytes) -> None:
        """A stanza of the client has come."""
        if self.managed:
            self.h += 1
            if self._remembers:
                self.received.append(raw)

    @property
    def overflown(self) -> bool:
        """Whether a stanza has fallen out of the queue that the client has not acknowledged."""
        return len(self._unacknowledged) < self.sent - self.acknowledged

    def number(self, stanza: Any) -> None:
        """Give the next number to a stanza for the client and keep it until it is acknowledged."""
        if self.managed:
            self.sent += 1
            self._unacknowledged.append(stanza)

    def acknowledge(self, h: int) -> bool:
        """The client has handled `h` stanzas; False for a number that can't be: it was less before, or none was sent.
        """
        if not self.acknowledged <= h <= self.sent:
            return False
        self.acknowledged = h
        while len(self._unacknowledged) > self.sent - h:
            self._unacknowledged.popleft()
        return True

    def replay(self) -> List[bytes]:
        """What the client has not acknowledged, in order, as it is sent once more."""
        return [_delayed(stanza, self.jid.partition("/")[0]) for stanza in self._unacknowledged]

    def undelivered(self) -> List[Any]:
        """What the client has never acknowledged, when the session ends; the oldest may be lost."""
        return [stanza for stanza in self._unacknowledged if not isinstance(stanza, bytes)]


def _delayed(stanza: Any, account: str) -> bytes:
    """A stanza of the queue: presences and messages say that they are late, requests and answers do not."""
    if isinstance(stanza, bytes):
        return stanza
    late = copy.deepcopy(stanza)
    if etree.QName(late).localname != "iq" and late.find("{urn:xmpp:delay}delay") is None:
        late.append(etree.fromstring(DELAY % account))
    return serialised(late)


def serialised(stanza: Any) -> bytes:
    """A stanza as it is written to a stream of jabber:client."""
    return stanza if isinstance(stanza, bytes) else bytes(etree.tostring(stanza, encoding="utf-8"))
