"""Stream management's arithmetic (XEP-0198): what is counted, what is kept, what a later process gets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focus.xmpp.errors import ProtocolMismatch
from focus.xmpp.resumption import WRAP, Session, SessionState


def session(*stanzas, **fields):
    made = Session("id", "focus@x/focus", 600)
    made.sent.extend(stanzas)
    made.sent_bytes = sum(map(len, stanzas))
    for name, value in fields.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize("acknowledged, h, left", [(0, 0, [b"1", b"22", b"333"]), (0, 2, [b"333"]), (5, 8, []),
                                                   (WRAP - 1, 1, [b"333"])])
def test_confirmed_stanzas_are_deleted(acknowledged, h, left):
    made = session(b"1", b"22", b"333", acknowledged=acknowledged)
    assert made.confirm(h) == 3 - len(left)
    assert list(made.sent) == left and made.acknowledged % WRAP == h and made.sent_bytes == sum(map(len, left))


@pytest.mark.parametrize("acknowledged, h", [(0, 4), (5, 4), (0, WRAP - 1)])
def test_what_was_never_sent_can_t_be_confirmed(acknowledged, h):
    made = session(b"1", b"2", b"3", acknowledged=acknowledged)
    with pytest.raises(ProtocolMismatch):
        made.confirm(h)
    assert len(made.sent) == 3 and made.acknowledged == acknowledged


def test_arrivals_of_earlier_sessions_do_not_count():
    made = Session("id", "focus@x/focus", foreign=5)
    assert made.handle(3) == 0 and made.handled == 0
    assert made.handle(4) == 2 and made.handled == 2
    assert made.handle(1) == 1 and made.handled == 3


def test_the_counter_wraps():
    made = session(handled=WRAP - 1)
    made.handle(2)
    assert made.handled == WRAP + 1 and made.answer() == b"<a xmlns='urn:xmpp:sm:3' h='1'/>"


def test_resume_request_is_escaped():
    made = session(handled=7)
    made.id = "a'b<c&d"
    assert made.resume_request() == b"<resume xmlns='urn:xmpp:sm:3' h='7' previd='a&apos;b&lt;c&amp;d'/>"


@given(st.lists(st.binary(min_size=1)), st.lists(st.binary(min_size=1)), st.integers(0, WRAP - 1))
def test_state_and_back(sent, waiting, handled):
    made = session(*sent, handled=handled, acknowledged=3)
    state = made.state(waiting)
    assert state == SessionState("id", "focus@x/focus", 600, handled, 3, sent + waiting)
    again = Session.restore(state)
    assert again.state([]) == state and again.sent_bytes == sum(map(len, sent + waiting)) and again.resumable
