"""The pool of stanzas that Hypothesis makes once, from which millions are filled in quickly."""

from __future__ import annotations

import random
from typing import Any, Callable, Dict, List, NamedTuple, Tuple

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.hostile import bridges, jingle, members, requests, values
from tests.hostile.values import SLOT
from tests.support.wire import escape

#: kind -> (its grammar, how many of a hundred stanzas are of it)
KINDS: Dict[str, Tuple[st.SearchStrategy[str], float]] = {
    "jingle": (requests.iq(jingle.request(), requests.requests, requests.to_focus), 34),
    "jingle that is right": (requests.iq(jingle.good_change, st.just("set"), values.slots("jid.self")), 16),
    "restart": (requests.iq(jingle.restart, st.just("set"), values.slots("jid.self")), 0.3),
    "conference": (requests.iq(requests.conference, requests.requests, requests.to_focus), 9),
    "conference for a session": (requests.iq(requests.a_session, st.just("set"), values.slots("jid.self")), 1),
    "mute": (requests.iq(requests.mute, requests.requests, requests.to_focus), 2),
    "login": (requests.iq(requests.login, requests.gets, requests.to_focus), 1),
    "discovery": (requests.iq(requests.discovery, requests.gets, requests.to_focus), 2),
    "other request": (requests.iq(requests.plain, requests.requests, requests.to_focus), 4),
    "unknown request": (requests.iq(requests.stranger, requests.requests, requests.to_focus), 4),
    "unasked answer": (bridges.unasked, 5),
    "disco answer": (members.discovered, 3),
    "presence of a member": (members.update, 8),
    "presence": (members.anything, 7),
    "presence of a newcomer": (members.newcomer, 1),
    "presence from outside": (members.outside, 3),
    "presence in the brewery": (bridges.presence, 1),
    "message": (members.message, 5),
}
ANSWER = "bridge's answer"
"""Kind of the templates that answer a request of the focus; they aren't sent on their own."""


class Template(NamedTuple):
    """A stanza with slots: texts, and between each two of them the name of a slot."""

    texts: Tuple[str, ...]
    names: Tuple[str, ...]

    def fill(self, value_of: Callable[[str], str]) -> bytes:
        """The stanza."""
        parts = [self.texts[0]]
        for name, text in zip(self.names, self.texts[1:]):
            parts += (_quoted(value_of(name)), text)
        return "".join(parts).encode("utf-8", "surrogatepass")


def _quoted(value: str) -> str:
    if value.isalnum():
        return value
    return escape(value).replace("\n", "&#10;").replace("\t", "&#9;")


def compiled(text: str) -> Template:
    """The template of a text with slots."""
    parts = SLOT.split(text)
    return Template(tuple(parts[::2]), tuple(parts[1::2]))


def generate(strategy: st.SearchStrategy[str], count: int, chosen_seed: int) -> List[Template]:
    """That many examples, the same ones for the same seed (fewer if there are no more)."""
    found: List[str] = []

    def note(text: str) -> None:
        found.append(text)

    run: Any = given(strategy)(note)
    run = seed(chosen_seed)(settings(
        max_examples=count, database=None, derandomize=False, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck))(run))
    run()
    return [compiled(text) for text in found]


class Pool:
    """Templates of all kinds.

    size: how many in all, about.
    """

    def __init__(self, chosen_seed: int, size: int) -> None:
        whole = sum(share for _, share in KINDS.values())
        self.kinds = list(KINDS)
        self.weights = [share for _, share in KINDS.values()]
        self._of: Dict[str, List[Template]] = {
            kind: generate(strategy, max(12, int(size * share / whole)), chosen_seed + number)
            for number, (kind, (strategy, share)) in enumerate(KINDS.items())}
        self._of[ANSWER] = generate(bridges.answers, max(40, size // 10), chosen_seed + len(KINDS))
        for kind, templates in self._of.items():
            if not templates:
                raise AssertionError("no template of %s" % kind)

    def __len__(self) -> int:
        return sum(map(len, self._of.values()))

    def draw(self, rng: random.Random, kind: str = "") -> Tuple[str, Template]:
        """One template, and its kind."""
        kind = kind or rng.choices(self.kinds, self.weights)[0]
        return kind, rng.choice(self._of[kind])
