"""The captured exchanges as stanzas (``tests/fixtures/captures``)."""
from __future__ import annotations

import json
import pathlib
from typing import Any, Container, Iterator, List, NamedTuple

from lxml import etree

CAPTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "captures"
CALLS = ("call-2026", "call-2022", "relays-2026", "bridge-killed-2026")


class Line(NamedTuple):
    """One line of a capture: who sent or received what, when (seconds)."""

    number: int
    t: float
    who: str
    dir: str
    element: Any

    @property
    def payload(self) -> Any:
        """The first child of the stanza, or None."""
        return self.element[0] if len(self.element) else None


def read_capture(name: str) -> List[Line]:
    """All stanzas of a call."""
    lines = []
    with open(str(CAPTURES / (name + ".jsonl")), encoding="utf-8") as capture:
        for number, text in enumerate(capture):
            record = json.loads(text)
            if "xml" in record:
                lines.append(Line(number, record["t"], record["who"], record["dir"],
                                  etree.fromstring(record["xml"].encode("utf-8"))))
    return lines


def read_odd_requests() -> List[dict]:
    """Single Colibri 2 requests and the answers of a real bridge."""
    with open(str(CAPTURES / "colibri2-answers.jsonl"), encoding="utf-8") as capture:
        return [record for record in map(json.loads, capture) if "case" in record]


def payloads(tag: str) -> Iterator[tuple]:
    """(label, line) for every payload of that tag in the calls."""
    for name in CALLS:
        for line in read_capture(name):
            if line.payload is not None and line.payload.tag == tag:
                yield "%s:%d" % (name, line.number), line


def element(text: str) -> Any:
    """A stanza as the stream hands it over: detached, in the namespace jabber:client."""
    stream = etree.fromstring("<stream xmlns='jabber:client'>%s</stream>" % text,
                              etree.XMLParser(huge_tree=True, resolve_entities=False))
    stanza = stream[0]
    stream.remove(stanza)
    return stanza


def stanzas() -> List[tuple]:
    """(label, text) of every stanza of the calls."""
    return [("%s:%d" % (name, line.number), etree.tostring(line.element, encoding="unicode"))
            for name in CALLS for line in read_capture(name)]


def canonical(el: Any, dropped: Container[str] = ()) -> Any:
    """What two elements are compared by: names, attributes, texts, children in any order.

    ``dropped`` holds what doesn't count: ``name`` of elements, ``name/@attribute``, by local names.
    """
    name = etree.QName(el).localname
    attributes = sorted((key, value) for key, value in el.attrib.items()
                        if "%s/@%s" % (name, etree.QName(key).localname) not in dropped)
    children = sorted((canonical(child, dropped) for child in el
                       if etree.QName(child).localname not in dropped), key=repr)
    return (el.tag, tuple(attributes), (el.text or "").strip(), tuple(children))
