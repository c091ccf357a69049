"""Service discovery (XEP-0030): questions and answers of both kinds, and what the focus says of itself
(C-901…C-907)."""
from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple, Optional, Tuple, Union

from focus.stanzas import xml
from focus.stanzas.caps import Caps, compute_ver
from focus.stanzas.errors import Malformed
from focus.stanzas.forms import Form, parse_form, write_form
from focus.stanzas.registry import register

#: More than this in one answer is refused: the answers of strangers are kept (C-643).
MAX_IDENTITIES = 64
MAX_FEATURES = 512
MAX_ITEMS = 1000
MAX_LENGTH = 1024

FOCUS_NODE = "http://jitsi.org/jicofo"
FEATURE_TERMINATE_RESTART = "https://jitsi.org/meet/jicofo/terminate-restart"
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"


class Identity(NamedTuple):
    """Who answers. A component of Jitsi's Prosody modules has its address in ``name`` (S-601)."""

    category: str
    type: str
    name: str = ""
    lang: str = ""


class DiscoInfoRequest(NamedTuple):
    """What are you?"""

    node: Optional[str] = None


class DiscoInfo(NamedTuple):
    """The answer to that."""

    node: Optional[str] = None
    identities: Tuple[Identity, ...] = ()
    features: Tuple[str, ...] = ()
    forms: Tuple[Form, ...] = ()


class DiscoItemsRequest(NamedTuple):
    """What have you got?"""

    node: Optional[str] = None


class DiscoItem(NamedTuple):
    """One thing that somebody has."""

    jid: str
    node: Optional[str] = None
    name: Optional[str] = None


class DiscoItems(NamedTuple):
    """The answer to that."""

    node: Optional[str] = None
    items: Tuple[DiscoItem, ...] = ()


def _bounded(text: Optional[str]) -> str:
    if text is not None and len(text) > MAX_LENGTH:
        raise Malformed("bad-request", "an attribute of the answer is too long")
    return text or ""


def parse_disco_info(el: Any, iq_type: str) -> Union[DiscoInfoRequest, DiscoInfo]:
    """Raises Malformed for an answer beyond our bounds; identities and features without names are skipped."""
    node = _bounded(el.get("node")) or None
    if iq_type == "get":
        return DiscoInfoRequest(node)
    if iq_type == "set":
        raise Malformed("feature-not-implemented", "disco#info is asked by get")
    identities = []
    features = []
    forms = []
    for part in xml.elements(el):
        namespace, name = xml.split_tag(part.tag)
        if namespace == xml.NS_DISCO_INFO and name == "feature":
            var = _bounded(part.get("var"))
            if var:
                features.append(var)
        elif namespace == xml.NS_DISCO_INFO and name == "identity":
            identities.append(Identity(_bounded(part.get("category")), _bounded(part.get("type")),
                                       _bounded(part.get("name")), _bounded(part.get(_XML_LANG))))
        elif namespace == xml.NS_DATA and name == "x":
            forms.append(parse_form(part))
        if len(features) > MAX_FEATURES or len(identities) > MAX_IDENTITIES or len(forms) > 16:
            raise Malformed("bad-request", "too many identities, features or forms")
    return DiscoInfo(node, tuple(identities), tuple(features), tuple(forms))


def write_disco_info_request(request: DiscoInfoRequest) -> str:
    """The payload of a get."""
    return xml.element("query", {"node": request.node}, xmlns=xml.NS_DISCO_INFO)


def write_disco_info(info: DiscoInfo) -> str:
    """The payload of the answer."""
    parts = [
        xml.element("identity", {"category": i.category, "type": i.type, "name": i.name or None,
                                 "xml:lang": i.lang or None})
        for i in info.identities
    ]
    parts += ["<feature var='%s'/>" % xml.quote(var) for var in info.features]
    parts += [write_form(form) for form in info.forms]
    return xml.element("query", {"node": info.node}, "".join(parts), xml.NS_DISCO_INFO)


def parse_disco_items(el: Any, iq_type: str) -> Union[DiscoItemsRequest, DiscoItems]:
    """Raises Malformed for an answer beyond our bounds; items without an address are skipped."""
    node = _bounded(el.get("node")) or None
    if iq_type == "get":
        return DiscoItemsRequest(node)
    if iq_type == "set":
        raise Malformed("feature-not-implemented", "disco#items is asked by get")
    items = []
    for part in xml.elements(el, "{%s}item" % xml.NS_DISCO_ITEMS):
        jid = _bounded(part.get("jid"))
        if jid:
            node_below, name = _bounded(part.get("node")), _bounded(part.get("name"))
            items.append(DiscoItem(jid, node_below or None, name or None))
        if len(items) > MAX_ITEMS:
            raise Malformed("bad-request", "too many items")
    return DiscoItems(node, tuple(items))


def write_disco_items_request(request: DiscoItemsRequest) -> str:
    """The payload of a get."""
    return xml.element("query", {"node": request.node}, xmlns=xml.NS_DISCO_ITEMS)


def write_disco_items(items: DiscoItems) -> str:
    """The payload of the answer."""
    parts = [xml.element("item", {"jid": i.jid, "node": i.node, "name": i.name}) for i in items.items]
    return xml.element("query", {"node": items.node}, "".join(parts), xml.NS_DISCO_ITEMS)


#: What we answer, and what says to clients that we restart a session when asked (J-208).
FOCUS_FEATURES = tuple(sorted((
    xml.NS_CAPS, xml.NS_DISCO_INFO, xml.NS_DISCO_ITEMS, xml.NS_LAST, xml.NS_PING, xml.NS_VERSION,
    xml.NS_FOCUS, FEATURE_TERMINATE_RESTART,
)))
FOCUS_INFO = DiscoInfo(None, (Identity("client", "bot", "Jicofo"),), FOCUS_FEATURES)
COMPONENT_INFO = DiscoInfo(None, (Identity("component", "generic", "Jitsi Meet Focus"),), tuple(sorted((
    xml.NS_DISCO_INFO, xml.NS_DISCO_ITEMS, xml.NS_LAST, xml.NS_PING, xml.NS_VERSION, xml.NS_FOCUS,
))))


@lru_cache(maxsize=1)
def focus_caps() -> Caps:
    """The caps of all our presences (C-905)."""
    return Caps(FOCUS_NODE, compute_ver(FOCUS_INFO) or "", "sha-1")


def answer_disco_info(request: DiscoInfoRequest, component: bool = False) -> DiscoInfo:
    """What the focus says of itself, as user or as component (C-901, C-902, C-907).

    Raises Malformed (item-not-found) for a node that isn't ours."""
    info = COMPONENT_INFO if component else FOCUS_INFO
    if request.node is None or (not component and request.node == focus_caps().key):
        return info._replace(node=request.node)
    raise Malformed("item-not-found", "no such node")


def answer_disco_items(request: DiscoItemsRequest) -> DiscoItems:
    """The focus has nothing below it (C-903)."""
    return DiscoItems(request.node)


register(xml.NS_DISCO_INFO, "query", parse_disco_info)
register(xml.NS_DISCO_ITEMS, "query", parse_disco_items)
