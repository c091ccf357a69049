"""Participants who change their sources, and who of them knows what of whom."""

from __future__ import annotations

import itertools
import random
import re
import time
from typing import Callable, Dict, Iterable, Iterator, List, Optional, Set, Tuple

from tests.support import media
from tests.support.client import Client
from tests.support.loop import Loop
from tests.support.media import Sources
from tests.support.wire import Opener, Stanza

_UPDATE = re.compile(rb"<jingle\b[^>]*\baction=.source-")
SSRCS_EACH = 1 << 22
"""SSRCs that a participant may use; no two are used twice."""


class Participant(Client):
    """One microphone and one simulcast camera; then a screen or a second microphone, on and off.

    answer_delay: seconds until a source-add or source-remove is answered, as a network would take.
    """

    def __init__(self, loop: Loop, login: Opener, number: int, answer_delay: float = 0.0) -> None:
        endpoint = "%08x" % number
        first = number * SSRCS_EACH
        sources = media.audio_source(endpoint, first).plus(media.video_source(endpoint, first + 1))
        self._answer_delay = answer_delay
        self._steps = _steps(endpoint, first + 16)
        self.changed_at: Optional[float] = None
        """When the change that isn't answered yet was sent."""
        super().__init__(loop, login, endpoint=endpoint, sources=sources, record=False, track=False)
        self.prepare()

    def change(self, answered: Callable[[Participant, Stanza], None]) -> None:
        """Send the next change; it is in force for the others from then on."""
        action, sources = next(self._steps)
        self.sources = self.sources.plus(sources) if action == "source-add" else self.sources.minus(sources)
        self.changed_at = time.monotonic()
        self.send_iq("set", self.focus, self.jingle(action, media.update_contents(sources)),
                     lambda answer: answered(self, answer))

    def reply(self, request: Stanza, payload: str = "") -> None:
        """Answer a request with a result, an update perhaps later."""
        if self._answer_delay and _UPDATE.search(request.raw):
            self.loop.call_later(self._answer_delay, lambda: self._reply_late(request))
        else:
            super().reply(request, payload)

    def _reply_late(self, request: Stanza) -> None:
        if not self.stream.closed:
            super().reply(request)

    def _on_stanza(self, stanza: Stanza) -> None:
        if stanza.name == "stream:error" or (b"error" in stanza.raw and stanza.get("type") == "error"):
            self.violations.append("an error: %r" % stanza)
        super()._on_stanza(stanza)


def _steps(endpoint: str, first: int) -> Iterator[Tuple[str, Sources]]:
    """What a participant does: a screen on and off, a second microphone on and off, and so on."""
    for ssrc in itertools.count(first, 4):
        screen = media.video_source(endpoint, ssrc, index=1, layers=1, desktop=True)
        microphone = media.audio_source(endpoint, ssrc + 2, index=1)
        for sources in (screen, microphone):
            yield "source-add", sources
            yield "source-remove", sources


class Crowd:
    """All participants of one room, and for each of them who doesn't know exactly its sources at this moment."""

    def __init__(self, room: str, participants: List[Participant]) -> None:
        self.room = room
        self.participants = participants
        self.on_known: Optional[Callable[[str], None]] = None
        """Called with an endpoint whose sources have become known to all others."""
        self._truth = {one.endpoint: one.sources.stripped() for one in participants}
        self._ignorant: Dict[str, Set[str]] = {}
        self._unknown: Set[str] = set()
        for one in participants:
            one.on_remote = self._learned
            self._look(one)

    @property
    def is_complete(self) -> bool:
        """Whether everybody knows everybody's sources."""
        return not self._unknown

    def changed(self, owner: Participant) -> None:
        """The owner's sources are others now."""
        self._truth[owner.endpoint] = owner.sources.stripped()
        self._look(owner)

    def _look(self, owner: Participant) -> None:
        truth = self._truth[owner.endpoint]
        ignorant = {one.endpoint for one in self.participants
                    if one is not owner and one.remote.get(owner.endpoint) != truth}
        self._ignorant[owner.endpoint] = ignorant
        (self._unknown.add if ignorant else self._unknown.discard)(owner.endpoint)

    def _learned(self, client: Client, owners: Iterable[str]) -> None:
        for owner in owners:
            if owner not in self._truth:
                continue  # the bridge
            ignorant = self._ignorant[owner]
            if client.remote.get(owner) != self._truth[owner]:
                ignorant.add(client.endpoint)
                self._unknown.add(owner)
            elif client.endpoint in ignorant:
                ignorant.discard(client.endpoint)
                if not ignorant:
                    self._unknown.discard(owner)
                    if self.on_known is not None:
                        self.on_known(owner)

    def problems(self) -> List[str]:
        """What no run with a correct focus shows; compares the sets of everybody with those of everybody else."""
        found = []
        for client in self.participants:
            found += ["%s: %s" % (client.endpoint, text) for text in client.violations]
            expected = {owner: sources for owner, sources in self._truth.items() if owner != client.endpoint}
            if client.others != expected or "jvb" not in client.remote:
                found.append("%s does not know exactly the sources of all others" % client.endpoint)
            if client.session is None or client.session.state != "active" or len(client.sessions) != 1:
                found.append("%s has had %d sessions" % (client.endpoint, len(client.sessions)))
            if client.stream.closed:
                found.append("%s has lost its stream: %s" % (client.endpoint, client.stream.end_reason))
        return found

    def summary(self) -> str:
        """Who is known to too few, for an error message."""
        lines = ["%s is unknown to %d" % (owner, len(self._ignorant[owner])) for owner in sorted(self._unknown)[:5]]
        ignorant = {name for owner in self._unknown for name in self._ignorant[owner]}
        lines += [one.summary() for one in self.participants if one.endpoint in ignorant][:2]
        return "%d are not known to all\n%s" % (len(self._unknown), "\n".join(lines))


class Changes:
    """So many changes a second for so many seconds, each by another participant, none of whom has two under way.

    The order is random, from a seed: each round everybody has one turn.
    """

    def __init__(self, loop: Loop, crowd: Crowd, rate: float, seconds: float, seed: int) -> None:
        self.made = 0
        self.answered: List[float] = []
        """Seconds from each change to its answer, as the changer sees it."""
        self.known: List[float] = []
        """Seconds from each change until the last other one knew it."""
        self.not_made = 0
        """Changes for which nobody was free."""
        self.refused: List[str] = []
        self._loop = loop
        self._crowd = crowd
        self._interval = 1.0 / rate
        self._random = random.Random(seed)
        self._round: List[Participant] = []
        self._under_way: Dict[str, float] = {}
        """Since when each endpoint's last change is not known to all."""
        self._unanswered = 0
        crowd.on_known = self._is_known
        begin = time.monotonic()
        self._left = max(1, round(rate * seconds))
        self._due = begin
        self._next()

    @property
    def are_done(self) -> bool:
        """Whether the last one has been made, all are answered, and everybody knows everything."""
        return not (self._left or self._unanswered) and self._crowd.is_complete

    @property
    def overtaken(self) -> int:
        """Changes that were followed by another of the same participant before everybody knew them."""
        return self.made - len(self.known)

    def _next(self) -> None:
        self._left -= 1
        changer = self._free()
        if changer is None:
            self.not_made += 1
        else:
            self.made += 1
            self._unanswered += 1
            changer.change(self._is_answered)
            self._under_way[changer.endpoint] = changer.changed_at or 0.0
            self._crowd.changed(changer)
        if self._left:
            self._due += self._interval
            self._loop.call_at(self._due, self._next)

    def _free(self) -> Optional[Participant]:
        """The next one of this round without a change under way."""
        for _ in range(2):
            for at in range(len(self._round) - 1, -1, -1):
                if self._round[at].changed_at is None:
                    return self._round.pop(at)
            self._round = list(self._crowd.participants)
            self._random.shuffle(self._round)
        return None

    def _is_answered(self, changer: Participant, answer: Stanza) -> None:
        self._unanswered -= 1
        self.answered.append(answer.at - (changer.changed_at or 0.0))
        changer.changed_at = None
        if answer.get("type") != "result":
            self.refused.append("a change was refused: %r" % answer)

    def _is_known(self, owner: str) -> None:
        since = self._under_way.pop(owner, None)
        if since is not None:
            self.known.append(time.monotonic() - since)
