"""Twenty thousand hostile stanzas against the real process, and the same grammar at the door with Hypothesis."""

from __future__ import annotations

from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from focus.stanzas.stanza import Iq, Message, Presence, parse_stanza
from focus.xmpp.arrivals import Arrived
from focus.xmpp.errors import NotWellFormed
from focus.xmpp.parser import StreamParser
from tests.hostile.grammar import Grammar, Targets, mutated
from tests.hostile.run import HEADER, besiege

TARGETS = Targets(["room@conference.meet.example/evil", "evil@meet.example/e"], ["focus@auth.meet.example/focus"],
                  ["room@conference.meet.example"])


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False), st.booleans())
def test_whatever_comes_is_a_value_or_refused_at_the_door(random: Random, is_mutated: bool) -> None:
    """DESIGN, "hostile until parsed": the parser gives stanzas or says that the stream is over; nothing else is raised.

    ids: J-506, J-507.
    """
    data = Grammar(random, TARGETS).stanza().encode()
    if is_mutated:
        data = mutated(random, data)
    parser = StreamParser(None)
    try:
        items = [item for part in (HEADER, data) for item in parser.feed(part)]
    except NotWellFormed:
        return
    for item in items:
        if isinstance(item, Arrived):
            assert isinstance(parse_stanza(item.element), (Iq, Presence, Message))


def test_twenty_thousand_hostile_stanzas() -> None:
    """Honest calls work after each batch, no traceback, the memory levels off (issue of hostile input, M-11)."""
    figures = besiege(20000, seed=7, size=1000, seconds=300)
    print(figures)
    assert figures["streams_broken"] >= 1 and figures["delivered"] > 15000
