"""Bytes that no polite server sends: damaged stanzas, and stanzas beyond all bounds.

What comes out is looked at with a parser of our own (`look`): a readable stanza is sent like any other, what isn't
well-formed goes where a broken stream is wanted.
"""

from __future__ import annotations

import random
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from lxml import etree

from tests.support.wire import escape

_PARSER = etree.XMLParser(huge_tree=True, resolve_entities=False, remove_comments=False, no_network=True)
_WRAP = b"<w xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>%s</w>"
_STANZAS = {"{jabber:client}%s" % kind: kind for kind in ("iq", "presence", "message")}

TOKENS = (
    b"<", b">", b"&", b"'", b'"', b"/", b"=", b"\x00", b"\x0b", b"\x7f", b"\xff", b"\xc0\xaf", b"\xed\xa0\x80",
    b"\xed\xb0\x80", b"\xf4\x90\x80\x80", b"\xef\xbf\xbf", b"\xef\xbb\xbf", b"&#xD800;", b"&#0;", b"&#x10FFFF;", b"&#65;",
    b"&lol;", b"&lt;", b"]]>", b"<!--", b"-->", b"<!-- x -->", b"<![CDATA[", b"<![CDATA[<x>]]>", b"<?x y?>", b"<?xml?>",
    b"<!DOCTYPE x>", b" xmlns='x'", b" a:b='c'", b" type='get'", b" id='2'", b"</iq>", b"<iq>", b"<x/>", b"\n", b"\r\n",
    b"\xc2\x85", b"\xe2\x80\xa8", b"%", b"xml:", b"xmlns:")
ILL_FORMED = (
    b"<!DOCTYPE lolz [<!ENTITY a 'lol'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>]><message><body>&b;</body></message>",
    b"<!DOCTYPE x SYSTEM 'file:///etc/passwd'><iq type='get' id='1'>&x;</iq>", b"<message><body>&b;</body></message>",
    b"<iq type='get' id='1' id='2'/>", b"<iq type='get'><a></b></iq>",
    b"<iq type=get/>", b"<iq type='get' id='\xed\xa0\x80'/>", b"<message><body>\xed\xbf\xbf</body></message>",
    b"<message><body>\xff\xfe</body></message>", b"<message><body>\xc0\xaf</body></message>", b"<iq type='<'/>",
    b"<message><body>\x00</body></message>", b"<message><body>&#xD800;</body></message>", b"<message>]]></message>",
    b"<?xml version='1.0'?><iq type='get' id='1'/>", b"<message><body>&#0;</body></message>", b"</iq>", b"<1/>", b"< iq/>",
    b"<message><!-- -- --></message>", b"<?xml x?>", b"<>", b"<\xff/>")
CLOSERS = b"'>\"> --> ]]> ?></broken>"
"""Ends whatever may be open, and then what isn't."""


class Seen(NamedTuple):
    """A stanza as our parser reads it."""

    kind: str
    type: str
    id: str
    sender: str

    @property
    def is_request(self) -> bool:
        """Whether it gets an answer."""
        return self.kind == "iq" and self.type in ("get", "set")


def look(raw: bytes) -> Optional[Seen]:
    """The one stanza that the bytes are. None: something else; raises ValueError if they aren't well-formed."""
    try:
        root = etree.fromstring(_WRAP % raw, _PARSER)
    except etree.XMLSyntaxError as error:
        if all(entry.domain == etree.ErrorDomains.NAMESPACE for entry in error.error_log):
            return None  # well-formed but for its prefixes, which parsers see differently
        raise ValueError(str(error)) from None
    if len(root) != 1 or (root.text or "").strip() or (root[0].tail or "").strip():
        return None
    return seen(root[0])


def seen(element: Any) -> Optional[Seen]:
    """The same for an element."""
    kind = _STANZAS.get(element.tag)
    if kind is None:
        return None
    return Seen(kind, element.get("type", ""), element.get("id", ""), element.get("from", ""))


def payload_of(raw: bytes) -> str:
    """What is inside of a stanza, for somebody who writes the stanza itself."""
    try:
        root = etree.fromstring(_WRAP % raw, _PARSER)
    except etree.XMLSyntaxError as error:
        raise ValueError(str(error)) from None
    return "".join(etree.tostring(child, encoding="unicode", with_tail=False) for child in root[0])


def mutate(rng: random.Random, raw: bytes, other: bytes) -> bytes:
    """Damage a few places; `other` is a stanza to take parts from."""
    data = bytearray(raw)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.choice((1, 1, 2, 5, 20, 100)))
        way = rng.randrange(7)
        if way == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif way == 1:
            del data[at:end]
        elif way in (2, 3):
            data[at:at] = rng.choice(TOKENS)
        elif way == 4:
            data[at:at] = data[at:end] * rng.choice((1, 2, 30))
        elif way == 5:
            begin = rng.randrange(len(other) + 1)
            data[at:end] = other[begin:begin + rng.choice((3, 20, 100))]
        elif at < len(data):
            data[at] = rng.randrange(256)
    return bytes(data)


# Beyond all bounds, and yet well-formed

def _wrapped(rng: random.Random, sender: str, id: str, inner: str, attributes: str = "") -> bytes:
    kind, word = rng.choice((("iq", "set"), ("iq", "get"), ("iq", "set"), ("presence", ""), ("message", "groupchat")))
    return ("<%s from='%s' id='%s'%s%s>%s</%s>" % (
        kind, escape(sender), escape(id), " type='%s'" % word if word else "", attributes, inner, kind)).encode()


def _deep(rng: random.Random) -> str:
    levels = rng.choice((40, 62, 63, 64, 65, 70, 300, 1500))
    return "<a xmlns='urn:example:deep'>" * levels + "</a>" * levels


def _long_name(rng: random.Random) -> str:
    name = "y" * rng.choice((1000, 1023, 1024, 1025, 3000, 70000))
    return rng.choice(("<%s/>", "<a %s='1'/>", "<a xmlns='%s'/>", "<a xmlns:%s='x'/>")) % name


def _giant_value(rng: random.Random) -> str:
    value = rng.choice(("z", "&amp;", "\u20ac", "&#65;")) * rng.choice((70000, 200000))
    return rng.choice(("<a b='%s'/>", "<a>%s</a>", "<jingle xmlns='urn:xmpp:jingle:1' action='session-info' sid='%s'/>",
                       "<SourceInfo>%s</SourceInfo>")) % value


def _beyond_the_size(rng: random.Random) -> str:
    return "<a>%s</a>" % (("w" * 1000 + "<b/>") * 2200)


def _many(rng: random.Random) -> str:
    count = rng.choice((300, 3000, 20000))
    return rng.choice((
        "<a/>" * count, "<a %s/>" % " ".join("b%d='1'" % number for number in range(min(count, 1000))),
        "<jingle xmlns='urn:xmpp:jingle:1' action='source-add' sid='x'>%s</jingle>" % ("<content name='audio'/>" * count),
        "<query xmlns='http://jabber.org/protocol/disco#info'>%s</query>" % ("<feature var='x'/>" * count)))


def _markup(rng: random.Random) -> str:
    return rng.choice(("<!-- <iq> -->", "<![CDATA[</iq><iq>]]>", "<?php echo ?>", "<a><![CDATA[&b;]]></a>",
                       "<p:a xmlns:p='urn:xmpp:jingle:1'/>", "<u:a/>", "<a u:b='1'/>", "<iq xmlns='jabber:client' type='get' id='1'/>",
                       "<stream:error/>", "<a xml:space='preserve' xml:lang='%s'/>" % ("d" * 900), "<a></a >"))


def _new_names(rng: random.Random) -> str:
    return "<n%x xmlns='urn:x:%x' a%x='1'/>" % (rng.getrandbits(40), rng.getrandbits(40), rng.getrandbits(40))


#: by name, and how often of a thousand
BOUNDS: Dict[str, Callable[[random.Random], str]] = {
    "deep": _deep, "long name": _long_name, "giant value": _giant_value, "beyond the size": _beyond_the_size,
    "many": _many, "markup": _markup, "new names": _new_names}
_WEIGHTS = (20, 15, 6, 0.5, 6, 25, 25)


class Beyond(NamedTuple):
    """Such a stanza. is_request: it gets an answer, whatever of it can be read."""

    name: str
    raw: bytes
    seen: Seen


def beyond(rng: random.Random, sender: str, id: str) -> Beyond:
    """A stanza at the bounds or beyond them."""
    name = rng.choices(list(BOUNDS), _WEIGHTS)[0]
    raw = _wrapped(rng, sender, id, BOUNDS[name](rng))
    head = raw[1:raw.index(b" ")].decode()
    word = {b"<iq": "set", b"<pr": "", b"<me": "groupchat"}[raw[:3]]
    return Beyond(name, raw, Seen(head, word, id, sender))


def ill_formed(rng: random.Random, heap: List[bytes]) -> bytes:
    """Something that ends the stream: from the heap of what mutation has broken, or of the classic kind."""
    raw = heap.pop(rng.randrange(len(heap))) if heap and rng.random() < 0.6 else rng.choice(ILL_FORMED)
    return raw + CLOSERS
