"""What the focus said to whom in one run, and whether every request had exactly one answer.

A *transcript* is the list of stanzas of the focus that one receiver got, in order. Receivers are the participants, the
bridge, and as receivers of requests and presences each room and the server itself.
"""

from __future__ import annotations

import copy
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from lxml import etree

Transcripts = Dict[str, List[Any]]


class Asked(NamedTuple):
    """A request. by_focus: asked by the focus; otherwise of it. peer: the name of the other side."""

    by_focus: bool
    peer: str
    id: str

    def __str__(self) -> str:
        asker, asked = ("the focus", self.peer) if self.by_focus else (self.peer, "the focus")
        return "request %s of %s to %s" % (self.id, asker, asked)


class Record:
    """Listens in a scripted world.

    focus: the full JID of the focus. name_of: the name of a receiver or sender for an address of it.
    """

    def __init__(self, focus: str, name_of: Callable[[str], str]) -> None:
        self.transcripts: Transcripts = {}
        self.asked: Dict[Asked, int] = {}
        """How often each request was made."""
        self.answered: Dict[Asked, int] = {}
        """How often it was answered."""
        self.on_first: Optional[Callable[[float], None]] = None
        """Told the time (monotonic seconds) of the next stanza of the focus, once."""
        self._focus = focus
        self._name_of = name_of

    def heard(self, receiver: str, stanza: Any) -> None:
        """A stanza is about to be handled by its receiver: an address."""
        sender = stanza.get("from", "")
        if receiver == self._focus:
            if self._name_of(sender) != "focus":
                self._count(stanza, self._name_of(sender), by_focus=False)
        elif sender == self._focus or self._name_of(sender) == "focus":
            name = self._name_of(receiver)
            self._count(stanza, name, by_focus=True)
            self.transcripts.setdefault(name, []).append(copy.deepcopy(stanza))
            if self.on_first is not None:
                call, self.on_first = self.on_first, None
                call(time.monotonic())

    def _count(self, stanza: Any, peer: str, by_focus: bool) -> None:
        if etree.QName(stanza).localname != "iq":
            return
        if stanza.get("type") in ("get", "set"):
            request = Asked(by_focus, peer, stanza.get("id", ""))
            self.asked[request] = self.asked.get(request, 0) + 1
        else:
            request = Asked(not by_focus, peer, stanza.get("id", ""))
            self.answered[request] = self.answered.get(request, 0) + 1

    def unanswered(self) -> List[Asked]:
        """Requests without an answer until now."""
        return [request for request in self.asked if request not in self.answered]

    def complaints(self) -> List[str]:
        """What is wrong with requests and answers at the end of a run, in words."""
        return complaints(self.asked, self.answered)


def complaints(asked: Dict[Asked, int], answered: Dict[Asked, int]) -> List[str]:
    """Every request is made once and has one answer, and there is no answer without a request."""
    found = ["%s was made %d times" % (request, times) for request, times in asked.items() if times > 1]
    for request in asked:
        times = answered.get(request, 0)
        if times != 1:
            found.append("%s has %s" % (request, "no answer" if not times else "%d answers" % times))
    return found + ["an answer to %s, which was never made" % (one,) for one in answered if one not in asked]

