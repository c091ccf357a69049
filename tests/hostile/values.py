"""What hostile values look like: numbers, texts, names and addresses, as Hypothesis strategies.

A slot stands for what is known only when a stanza is sent: an address, a session id, somebody's SSRC. It is a word
between two private characters, and `cast` says what it means then.
"""

from __future__ import annotations

import re

from hypothesis import strategies as st

BEGIN, END = "\ue000", "\ue001"
SLOT = re.compile("%s([a-z.]+)%s" % (BEGIN, END))


def slot(name: str) -> str:
    """A place to be filled; see `cast.Cast.fill` for the names."""
    return BEGIN + name + END


def slots(*names: str) -> st.SearchStrategy[str]:
    """One of these places."""
    return st.sampled_from([slot(name) for name in names])


def _xml_only(text: str) -> str:
    return "".join(c for c in text if c in "\t\n" or " " <= c < "\ud800" or "\uf000" <= c < "\ufffe" or c > "\uffff")


def either(usual: st.SearchStrategy[str], odd: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Mostly the usual one: what is wrong everywhere is refused at the first place."""
    return st.one_of(usual, usual, usual, usual, odd)


any_text = st.text(max_size=30).map(_xml_only)
odd_numbers = st.sampled_from((
    "", " ", "0", "-0", "-1", "+7", "-2147483648", "-4000000000", "4294967295", "4294967296", "99999999999999999999999",
    "1" * 5000, "0x1F", "1_000", "1e9", "1.5", "NaN", "Infinity", "\u0663\u0664", "\uff11\uff12", "\u00b2", "x",
    "true", " 12 ", "12\n", "0012", "1,2"))
odd_texts = st.one_of(st.sampled_from((
    "", " ", "\t\n", "x", "0", "true", "null", "None", "{}", "[]", "%s%n", "../../etc/passwd", "'\"<&>]]>", "-", "--",
    "jvb", "focus", "a" * 257, "b" * 1025, "\u20ac\U0001f600", "\u202e\u2066", "\u0000".replace("\0", "\u0085"),
    "\u00e4" * 400, "\u212a", "\u0130", "\ufeff", "{" * 40, "[" * 2000, "%00", "\\u0000", "\\ud800")), any_text)
booleans = st.sampled_from(("true", "false", "TRUE", "1", "0", "yes", "", "\uff11", "true ", "2"))
odd_ids = st.one_of(
    slots("id.reused", "id.flying"),
    st.sampled_from(("", " ", "x", "0", "id'\"<&>", "\u0000".replace("\0", "\u0090"), "i" * 1200, "\U0001f4a5", "\n")))
media = either(st.sampled_from(("audio", "video")),
               st.one_of(st.sampled_from(("data", "application", "text", "Audio", "message")), odd_texts))

ssrcs = either(slots("ssrc.own", "ssrc.own", "ssrc.new", "ssrc.new", "ssrc.new", "ssrc.victim"), odd_numbers)
msids = either(slots("msid.own", "msid.new", "msid.new", "msid.victim"), odd_texts)
source_names = either(slots("name.own", "name.own", "name.victim", "name.stranger"), odd_texts)
endpoints = either(slots("endpoint.own", "endpoint.victim"), odd_texts)
sids = either(slots("sid.own", "sid.own", "sid.own", "sid.own", "sid.victim", "sid.stale", "sid.stranger"), odd_texts)
bridge_sessions = either(slots("bridge.own", "bridge.own", "bridge.victim"), odd_texts)
addresses = either(slots("jid.victim", "jid.own", "jid.focus", "jid.outsider", "room.victim", "room.attack"),
                   st.one_of(odd_texts, st.sampled_from(("@", "/", "a@", "@b", "a@b/", "a@b@c/d/e", "A@B/C", "a b@c"))))
rooms = either(
    slots("room.victim", "room.attack", "room.attack", "room.known"),
    st.one_of(slots("room.new", "room.upper", "room.tenant", "room.lobby", "room.brewery", "room.foreign"),
              st.sampled_from(("", "@", "room", "a@b@c", "a b@conference.meet.example", "\u212a@conference.meet.example",
                               "x" * 1100 + "@conference.meet.example", "a@conference.meet.example/nick",
                               "\uff21@conference.meet.example", "'@conference.meet.example", "[t]a@meet.example")),
              odd_texts))
