"""Members' features by service discovery, each client version asked once (C-640 to C-645).

The cache is shared by all conferences and bounded. One request is in flight per version; its answer serves all who
wait. Only an answer that hashes to the version enters the cache.
"""
from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Tuple

from focus.conference.offer import Features, features_from_vars
from focus.journal.rows import Row, Rows
from focus.requests import Requests
from focus.stanzas.caps import Caps, verify
from focus.stanzas.disco import DiscoInfo, DiscoInfoRequest, write_disco_info_request
from focus.stanzas.stanza import write_iq
from focus.values.addresses import resource

LOG = logging.getLogger(__name__)
MAX_KNOWN = 1000
ANSWER_SOON = 1.0
"""Seconds after which the next member of the same version is asked as well."""


class Waiting(NamedTuple):
    """A member whose features a conference wants to know."""

    room: str
    jid: str
    caps: Any


@dataclass(eq=False)
class Asking(Row):
    """A member that was asked, keyed by the request's id."""

    room: str
    jid: str
    caps: Optional[Caps]
    key: str
    """Of the version, for which others wait too; empty if it is asked for itself alone."""
    late: bool = False
    """It didn't answer soon: what it says counts for itself only."""


class FeatureFinder:
    """Knows or asks.

    One member of a version is asked for all; if it doesn't answer soon the next that waits is asked too, so that a
    silent client spoils nothing for others. What a silent one says later still counts for itself.

    Args:
        found: ``found(room, nick, jid, features or None)``, told in a tick.
    """

    def __init__(self, requests: Requests, send: Callable[[str, str], None], new_id: Callable[[], str],
                 found: Callable[[str, str, str, Optional[Features]], None]) -> None:
        self._requests = requests
        self._send = send
        self._new_id = new_id
        self._found = found
        self.known: Rows[Features] = Rows("features", Features)
        """By the key of the version, the one known longest first."""
        self.asking: Rows[Asking] = Rows("asking", Asking)
        self._waiting: Dict[str, List[Waiting]] = {}

    def __len__(self) -> int:
        return len(self.known)

    def discover(self, room: str, info: Any, jid: str) -> Optional[Features]:
        """The member's features if they are known; otherwise it is asked and ``found`` is told."""
        caps = info.caps
        member = Waiting(room, jid, caps)
        if caps is None:
            self._ask(member, "")
            return None
        features = self.known.get(caps.key)
        if features is not None:
            return features
        queue = self._waiting.get(caps.key)
        if queue is None:
            self._waiting[caps.key] = []
            self._ask(member, caps.key)
        else:
            queue.append(member)
        return None

    def disconnected(self) -> None:
        """Whoever was being asked won't answer; conferences give up by themselves (C-641)."""
        self._waiting.clear()
        self.asking.clear()

    def restore(self, unknown: Iterable[Tuple[str, Any, str]]) -> None:
        """Wait again for the answers that an earlier process waited for.

        Args:
            unknown: (room, member info, occupant JID) of every member whose features aren't known.
        """
        asked = set()
        for request, row in self.asking.items():
            asked.add(row.jid)
            if row.key:
                self._waiting.setdefault(row.key, [])
            self._expect(request, row)
        for room, info, jid in unknown:
            if jid not in asked and info.caps is not None and info.caps.key in self._waiting:
                self._waiting[info.caps.key].append(Waiting(room, jid, info.caps))
            elif jid not in asked:
                self.discover(room, info, jid)

    def _ask(self, member: Waiting, key: str) -> None:
        request = self._new_id()
        row = self.asking[request] = Asking(member.room, member.jid, member.caps, key)
        self._expect(request, row)
        node = member.caps.key if member.caps is not None else None
        self._send("client", write_iq("get", request, member.jid, write_disco_info_request(DiscoInfoRequest(node))))

    def _expect(self, request: str, row: Asking) -> None:
        if row.late:
            self._requests.expect("client", request, row.jid, self._answered)
        else:
            self._requests.expect("client", request, row.jid, self._first, ANSWER_SOON)

    def _first(self, request: str, iq: Optional[Any]) -> None:
        if iq is not None:
            self._answered(request, iq)
            return
        row = self.asking.get(request)
        if row is not None:
            row.late, key, row.key = True, row.key, ""
            self._expect(request, row)
            self._next(key)

    def _next(self, key: str) -> None:
        """The one that was asked brought no proof for the others: the next of them is asked."""
        queue = self._waiting.pop(key, []) if key else []
        if queue:
            self._waiting[key] = queue[1:]
            self._ask(queue[0], key)

    def _answered(self, request: str, iq: Optional[Any]) -> None:
        row = self.asking.pop(request, None)
        if row is None:
            return
        info = iq.payload if iq is not None else None
        features = features_from_vars(info.features) if isinstance(info, DiscoInfo) else None
        self._found(row.room, resource(row.jid), row.jid, features)
        if features is None or row.caps is None or not isinstance(info, DiscoInfo) or not verify(row.caps, info):
            self._next(row.key)
            return
        self.known[row.caps.key] = features
        if len(self.known) > MAX_KNOWN:
            del self.known[next(iter(self.known))]
        for other in self._waiting.pop(row.caps.key, []):
            self._found(other.room, resource(other.jid), other.jid, features)
