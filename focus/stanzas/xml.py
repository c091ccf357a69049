"""The tools of the door: namespaces, writing XML as strings, reading lxml elements.

Writing: plain strings, attribute values in single quotes, no prefixes; each element of a namespace of its own
declares it (J T-5). What XML 1.0 can't hold is dropped from values on the way out.

Reading: functions that raise ``Malformed`` with the condition and a text that names the fault.
"""
from __future__ import annotations

import re
from typing import Any, Iterator, Mapping, Optional, Tuple, Union

from focus.stanzas.errors import Malformed

__all__ = [
    "Malformed", "element", "attributes", "escape", "quote", "split_tag", "elements", "child", "child_text",
    "text_of", "required", "parse_int", "optional_int", "parse_bool",
]

NS_CLIENT = "jabber:client"
NS_COMPONENT = "jabber:component:accept"
NS_STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"
NS_MUC = "http://jabber.org/protocol/muc"
NS_MUC_USER = "http://jabber.org/protocol/muc#user"
NS_MUC_OWNER = "http://jabber.org/protocol/muc#owner"
NS_MUC_ADMIN = "http://jabber.org/protocol/muc#admin"
NS_DATA = "jabber:x:data"
NS_DISCO_INFO = "http://jabber.org/protocol/disco#info"
NS_DISCO_ITEMS = "http://jabber.org/protocol/disco#items"
NS_CAPS = "http://jabber.org/protocol/caps"
NS_PING = "urn:xmpp:ping"
NS_VERSION = "jabber:iq:version"
NS_LAST = "jabber:iq:last"
NS_TIME = "urn:xmpp:time"
NS_ROSTER = "jabber:iq:roster"
NS_DELAY = "urn:xmpp:delay"
NS_FOCUS = "http://jitsi.org/protocol/focus"
NS_COLIBRI = "http://jitsi.org/protocol/colibri"
NS_COLIBRI2 = "jitsi:colibri2"
NS_HEALTH = "http://jitsi.org/protocol/healthcheck"
NS_JITMEET = "http://jitsi.org/jitmeet"
NS_JITMEET_AUDIO = "http://jitsi.org/jitmeet/audio"
NS_JITMEET_VIDEO = "http://jitsi.org/jitmeet/video"
NS_JITMEET_DESKTOP = "http://jitsi.org/jitmeet/desktop"
NS_ETHERPAD = "http://jitsi.org/jitmeet/etherpad"
NS_USERINFO = "http://jitsi.org/jitmeet/userinfo"
NS_START_MUTED = "http://jitsi.org/jitmeet/start-muted"
NS_JINGLE = "urn:xmpp:jingle:1"
NS_JINGLE_ERRORS = "urn:xmpp:jingle:errors:1"
NS_JINGLE_RTP = "urn:xmpp:jingle:apps:rtp:1"
NS_JINGLE_SSMA = "urn:xmpp:jingle:apps:rtp:ssma:0"
NS_JINGLE_FEEDBACK = "urn:xmpp:jingle:apps:rtp:rtcp-fb:0"
NS_JINGLE_HEADER_EXTENSIONS = "urn:xmpp:jingle:apps:rtp:rtp-hdrext:0"
NS_JINGLE_DTLS = "urn:xmpp:jingle:apps:dtls:0"
NS_JINGLE_ICE = "urn:xmpp:jingle:transports:ice-udp:1"
NS_JINGLE_SCTP = "urn:xmpp:jingle:transports:dtls-sctp:1"
NS_JINGLE_GROUPING = "urn:xmpp:jingle:apps:grouping:0"

Value = Union[str, int, bool, None]

# XML 1.0 has no way to hold these, not even as a reference: control characters, surrogates, U+FFFE, U+FFFF.
_INVALID = "\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff"
_ATTRIBUTE_SPECIAL = re.compile("[&<>'\t\n\r%s]" % _INVALID)
_TEXT_SPECIAL = re.compile("[&<>\r%s]" % _INVALID)
# A raw tab or line break in an attribute value becomes a space on the other side, a raw CR in a text a line
# feed.
_REPLACEMENTS = {
    "&": "&amp;", "<": "&lt;", ">": "&gt;", "'": "&apos;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;",
}


def _replacement(match: re.Match[str]) -> str:
    return _REPLACEMENTS.get(match.group(), "")


def quote(value: str) -> str:
    """``value`` as the content of an attribute value in single quotes (the quotes are not added)."""
    return _ATTRIBUTE_SPECIAL.sub(_replacement, value)


def escape(text: str) -> str:
    """``text`` as character data."""
    return _TEXT_SPECIAL.sub(_replacement, text)


def attributes(values: Mapping[str, Value]) -> str:
    """`` name='value' …``; None is left out, booleans are ``true``/``false``. Names are ours: they aren't
    checked."""
    parts = []
    for name, value in values.items():
        if value is None:
            continue
        if not isinstance(value, str):
            value = str(value).lower() if isinstance(value, bool) else str(value)
        parts.append(" %s='%s'" % (name, _ATTRIBUTE_SPECIAL.sub(_replacement, value)))
    return "".join(parts)


def element(name: str, values: Optional[Mapping[str, Value]] = None, content: str = "",
            xmlns: str = "") -> str:
    """One element. ``content`` is XML already (written children, or a text passed through ``escape``)."""
    head = "<%s xmlns='%s'" % (name, quote(xmlns)) if xmlns else "<" + name
    if values:
        head += attributes(values)
    return "%s>%s</%s>" % (head, content, name) if content else head + "/>"


def split_tag(tag: str) -> Tuple[str, str]:
    """``{namespace}name`` -> (namespace, name)."""
    if tag[:1] == "{":
        namespace, _, name = tag[1:].rpartition("}")
        return namespace, name
    return "", tag


def elements(parent: Any, tag: Optional[str] = None) -> Iterator[Any]:
    """The child elements (of that tag, ``{namespace}name``), without comments and processing instructions."""
    found: Iterator[Any] = parent.iterchildren(tag if tag is not None else "*")
    return found


def child(parent: Any, tag: str) -> Optional[Any]:
    """The first child of that tag (``{namespace}name``), or None."""
    return next(parent.iterchildren(tag), None)


def text_of(el: Any, limit: int = 65536) -> str:
    """All character data directly in ``el``, at most ``limit`` characters of it; children are skipped."""
    text: str = el.text or ""
    if len(el):
        for part in el:
            if part.tail:
                text += part.tail
                if len(text) > limit:
                    break
    return text[:limit]


def child_text(parent: Any, tag: str, limit: int = 65536) -> Optional[str]:
    """The text of the first child of that tag, or None if there is no such child."""
    found = next(parent.iterchildren(tag), None)
    return None if found is None else text_of(found, limit)


def required(el: Any, name: str) -> str:
    """The attribute, which must be there and not empty.

    Raises Malformed (bad-request)."""
    value = el.get(name)
    if not value:
        raise Malformed("bad-request", "<%s/> has no %s" % (split_tag(el.tag)[1][:64], name))
    return str(value)


# int() takes underscores, other scripts' digits and numbers of any length; XML Schema's integer doesn't.
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)


def parse_int(text: str, what: str, low: int = -(2 ** 63), high: int = 2 ** 64 - 1) -> int:
    """An integer within bounds (included); ``what`` names it in the error.

    Raises Malformed (bad-request)."""
    text = text.strip()
    if _INTEGER.fullmatch(text):
        number = int(text)
        if low <= number <= high:
            return number
    raise Malformed("bad-request", "%s is no number in the range allowed" % what)


def optional_int(text: Optional[str], low: int = -(2 ** 63), high: int = 2 ** 64 - 1) -> Optional[int]:
    """The integer, or None where there is none that can be used."""
    if text is None:
        return None
    text = text.strip()
    if _INTEGER.fullmatch(text):
        number = int(text)
        if low <= number <= high:
            return number
    return None


def parse_bool(text: Optional[str], default: bool = False) -> bool:
    """An XML boolean: ``1`` and ``true`` (any case) are true; None and blank are the default; all else is
    false."""
    if text is None:
        return default
    text = text.strip()
    if not text:
        return default
    return text == "1" or text.lower() == "true"


def empty(name: str, attributes_: Mapping[str, str]) -> Any:
    """An element without content, to be read like one that arrived."""
    from lxml.etree import Element

    return Element(name, {key: value for key, value in attributes_.items() if value})


def text_of_element(el: Any) -> str:
    """A received element as text."""
    from lxml import etree

    text: str = etree.tostring(el, encoding="unicode", with_tail=False)
    return text


def element_of_text(text: str) -> Any:
    """The element of such a text; it has passed our bounds already. Raises ValueError.

    A prefix that nothing declares is part of the name, as it is for the parser of the stream.
    """
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, huge_tree=True, no_network=True, recover=True)
    try:
        el = etree.fromstring(text, parser)
    except etree.XMLSyntaxError as error:
        raise ValueError("no XML: %s" % error) from None
    wrong = [entry for entry in parser.error_log if entry.type != etree.ErrorTypes.NS_ERR_UNDEFINED_NAMESPACE]
    if el is None or wrong:
        raise ValueError("no XML: %s" % (wrong[0].message if wrong else "nothing"))
    return el
