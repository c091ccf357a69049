"""Damages captured stanzas at random, for tests of what the door does with hostile input."""
from __future__ import annotations

from typing import Any, List

from hypothesis import strategies as st
from lxml import etree

TEXTS = ("", " ", "x", "0", "-1", "-2147483649", "4294967296", "99999999999999999999999", "1_0", "\u0663", "true",
         "audio", "video", "data", "SIM", "fid", "FEC-FR", "{\"sources\":{}}", "{", "[[[[", "a" * 3000,
         "\u20ac\U0001f600")
NAMESPACES = ("", "jabber:client", "urn:xmpp:jingle:1", "urn:xmpp:jingle:apps:rtp:1",
              "urn:xmpp:jingle:apps:rtp:ssma:0", "jitsi:colibri2", "http://jitsi.org/jitmeet")
KINDS = ("delete", "attribute", "remove attribute", "text", "namespace", "duplicate", "flood", "move", "comment",
         "foreign attribute")

mutations = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 10 ** 6), st.integers(0, 10 ** 6),
                               st.sampled_from(TEXTS)), min_size=1, max_size=6)


def mutate(element: Any, changes: List[tuple]) -> Any:
    """A damaged copy; ``changes`` come from ``mutations``."""
    root = etree.fromstring(etree.tostring(element))
    for kind, where, which, text in changes:
        elements = list(root.iter("*"))
        _apply(root, elements[where % len(elements)], elements[which % len(elements)], kind, which, text)
    return root


def _apply(root: Any, el: Any, other: Any, kind: str, which: int, text: str) -> None:
    parent = el.getparent()
    attributes = el.attrib.keys()
    if kind == "delete" and parent is not None:
        parent.remove(el)
    elif kind == "attribute" and attributes:
        el.set(attributes[which % len(attributes)], text)
    elif kind == "remove attribute" and attributes:
        del el.attrib[attributes[which % len(attributes)]]
    elif kind == "text":
        el.text = text
    elif kind == "namespace":
        namespace = NAMESPACES[which % len(NAMESPACES)]
        name = etree.QName(el).localname
        el.tag = "{%s}%s" % (namespace, name) if namespace else name
    elif kind in ("duplicate", "flood") and parent is not None:
        for _ in range(1 if kind == "duplicate" else 250):
            parent.append(etree.fromstring(etree.tostring(el, with_tail=False)))
            if sum(1 for _ in root.iter()) > 20000:
                break
    elif kind == "move" and parent is not None and el not in list(other.iterancestors()) and el is not other:
        other.append(el)
    elif kind == "comment":
        el.insert(0, etree.Comment("x"))
        el.append(etree.ProcessingInstruction("x", "y"))
    elif kind == "foreign attribute":
        el.set("{urn:example:x}y", text)
