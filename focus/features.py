"""Members' features by service discovery, each client version asked once (C-640 to C-645).

The cache is shared by all conferences and bounded. One request is in flight per version; its answer serves all who
wait. Only an answer that hashes to the version enters the cache.
"""
from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from focus.conference.offer import Features, features_from_vars
from focus.requests import Requests
from focus.stanzas.caps import verify
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
        self._known: OrderedDict[str, Features] = OrderedDict()
        self._waiting: Dict[str, List[Waiting]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def discover(self, room: str, info: Any, jid: str) -> Optional[Features]:
        """The member's features if they are known; otherwise it is asked and ``found`` is told."""
        caps = info.caps
        member = Waiting(room, jid, caps)
        if caps is None:
            self._ask(member, "")
            return None
        features = self._known.get(caps.key)
        if features is not None:
            self._known.move_to_end(caps.key)
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

    def _ask(self, member: Waiting, key: str) -> None:
        request = self._new_id()
        self._requests.expect("client", request, member.jid, lambda _, iq: self._first(request, member, key, iq),
                              ANSWER_SOON)
        node = member.caps.key if member.caps is not None else None
        self._send("client", write_iq("get", request, member.jid, write_disco_info_request(DiscoInfoRequest(node))))

    def _first(self, request: str, member: Waiting, key: str, iq: Optional[Any]) -> None:
        if iq is not None:
            self._answered(member, key, iq)
            return
        self._requests.expect("client", request, member.jid, lambda _, late: self._answered(member, "", late))
        self._next(key)

    def _next(self, key: str) -> None:
        """The one that was asked brought no proof for the others: the next of them is asked."""
        queue = self._waiting.pop(key, []) if key else []
        if queue:
            self._waiting[key] = queue[1:]
            self._ask(queue[0], key)

    def _answered(self, member: Waiting, key: str, iq: Optional[Any]) -> None:
        info = iq.payload if iq is not None else None
        features = features_from_vars(info.features) if isinstance(info, DiscoInfo) else None
        self._found(member.room, resource(member.jid), member.jid, features)
        if features is None or member.caps is None or not isinstance(info, DiscoInfo) or not verify(member.caps, info):
            self._next(key)
            return
        self._known[member.caps.key] = features
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        for other in self._waiting.pop(member.caps.key, []):
            self._found(other.room, resource(other.jid), other.jid, features)
