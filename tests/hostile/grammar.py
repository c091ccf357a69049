"""Elements as a grammar gives them, each with a chance to be wrong.

`element` draws attributes and children; now and then it leaves something out, says it twice, in another order or in
another namespace, or puts in what doesn't belong there. The result is text with slots (see `values`).
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

from hypothesis import strategies as st

from tests.hostile.values import any_text, odd_numbers, odd_texts
from tests.support.wire import escape

NAMESPACES = (
    "jabber:client", "jabber:server", "jabber:component:accept", "urn:xmpp:jingle:1", "urn:xmpp:jingle:apps:rtp:1",
    "urn:xmpp:jingle:apps:rtp:ssma:0", "urn:xmpp:jingle:transports:ice-udp:1", "urn:xmpp:jingle:apps:dtls:0",
    "urn:xmpp:jingle:apps:grouping:0", "jitsi:colibri2", "http://jitsi.org/jitmeet", "http://jitsi.org/protocol/focus",
    "http://jitsi.org/protocol/colibri", "http://jabber.org/protocol/muc#user", "urn:xmpp:sm:3",
    "http://etherx.jabber.org/streams", "urn:ietf:params:xml:ns:xmpp-stanzas")
FAULTS = ("omit attribute", "odd attribute", "odd number", "namespace", "no namespace", "drop child", "double child",
          "reverse", "stranger", "text", "rename", "flood", "foreign attribute")
FLOOD = 210
"""Copies of a child: more than the focus reads of anything in a list."""

Attributes = Dict[str, Union[str, st.SearchStrategy[str], None]]
Child = Union[str, st.SearchStrategy[str]]


class _Draft:
    """An element being made."""

    def __init__(self, name: str, xmlns: str, attributes: List[Tuple[str, str]], children: List[str]) -> None:
        self.name = name
        self.xmlns = xmlns
        self.attributes = attributes
        self.children = children

    def write(self) -> str:
        """As text."""
        head = "<" + self.name
        if self.xmlns:
            head += " xmlns='%s'" % escape(self.xmlns)
        head += "".join(" %s='%s'" % (name, _attribute(value)) for name, value in self.attributes)
        return "%s>%s</%s>" % (head, "".join(self.children), self.name) if self.children else head + "/>"


def _attribute(value: str) -> str:
    return escape(value).replace("\n", "&#10;").replace("\t", "&#9;")


def _drawn(draw: Any, what: Any) -> str:
    return what if isinstance(what, str) else draw(what)


@st.composite
def element(draw: Any, name: str, xmlns: str = "", attributes: Optional[Attributes] = None,
            children: Sequence[Child] = (), sound: int = 12) -> str:
    """An element.

    attributes: by name; None as a value leaves it out. children: written ones, or strategies for them; "" is none.
    sound: it is wrong once in so many times; 0: never.
    """
    given = [(key, _drawn(draw, value)) for key, value in (attributes or {}).items() if value is not None]
    written = [_drawn(draw, child) for child in children]
    draft = _Draft(name, xmlns, given, [child for child in written if child])
    if sound and draw(st.integers(1, sound)) == sound // 2:  # not at an end, which comes more often
        _spoil(draw, draft, draw(st.sampled_from(FAULTS)))
    return draft.write()


def _spoil(draw: Any, draft: _Draft, fault: str) -> None:
    attributes, children = draft.attributes, draft.children
    at = draw(st.integers(0, max(0, len(attributes) - 1)))
    if fault == "omit attribute" and attributes:
        del attributes[at]
    elif fault in ("odd attribute", "odd number") and attributes:
        odd = odd_numbers if fault == "odd number" else odd_texts
        attributes[at] = (attributes[at][0], draw(odd))
    elif fault == "namespace":
        draft.xmlns = draw(st.sampled_from(NAMESPACES))
    elif fault == "no namespace":
        draft.xmlns = ""
    elif fault == "stranger":
        children.insert(0, "<stranger xmlns='urn:example:stranger' a='%s'/>" % _attribute(draw(odd_texts)))
    elif fault == "text":
        children.insert(0, escape(draw(odd_texts)))
    elif fault == "rename":
        draft.name = draw(st.sampled_from(("x", "query", "jingle", "content", "source", "iq", "message", "error")))
    elif fault == "foreign attribute":
        attributes.append(("xml:lang", draw(any_text)))
    elif children:
        _spoil_children(draw, children, fault)


def _spoil_children(draw: Any, children: List[str], fault: str) -> None:
    at = draw(st.integers(0, len(children) - 1))
    if fault == "drop child":
        del children[at]
    elif fault == "double child":
        children.append(children[at])
    elif fault == "reverse":
        children.reverse()
    elif fault == "flood" and len(children[at]) < 200:
        children.extend([children[at]] * FLOOD)


def maybe(strategy: Child, share: int = 2) -> st.SearchStrategy[str]:
    """The element once in `share` times, otherwise nothing."""
    some = st.just(strategy) if isinstance(strategy, str) else strategy
    return st.integers(1, share).flatmap(lambda drawn: some if drawn == 1 else st.just(""))


def several(strategy: st.SearchStrategy[str], most: int = 4) -> st.SearchStrategy[str]:
    """A row of them."""
    return st.lists(strategy, max_size=most).map("".join)


def content(text: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """A text as character data."""
    return text.map(escape)
