"""Publish-subscribe (XEP-0060), as far as bridges publish their statistics by it (B-1002): subscribing to a node, and
the events of one."""
from __future__ import annotations

from typing import Any, List, NamedTuple, Optional, Tuple

from focus.stanzas import xml
from focus.stanzas.bridge_stats import BridgeStats, parse_bridge_stats

NS_PUBSUB = "http://jabber.org/protocol/pubsub"
NS_EVENT = NS_PUBSUB + "#event"
EVENT = "{%s}event" % NS_EVENT
_ITEMS = "{%s}items" % NS_EVENT
_ITEM = "{%s}item" % NS_EVENT
_DELAY = "{%s}delay" % xml.NS_DELAY
MAX_ITEMS = 100
MAX_LENGTH = 1024


class PublishedItem(NamedTuple):
    """One item of an event."""

    id: str
    """Empty if it has none, or one too long to be an address."""
    stats: Optional[BridgeStats] = None
    unavailable: bool = False
    """It says ``service-unavailable``: the bridge is going."""


class PubSubEvent(NamedTuple):
    """Something was published; what was withdrawn isn't told apart from nothing."""

    node: str
    items: Tuple[PublishedItem, ...] = ()
    delayed: bool = False
    """The message was kept somewhere: it may be as old as it likes."""


def parse_event(message: Any) -> Optional[PubSubEvent]:
    """The event in a message element; None if it has none, or none with a node and items within our bounds."""
    event = xml.child(message, EVENT)
    items = xml.child(event, _ITEMS) if event is not None else None
    node = items.get("node", "") if items is not None else ""
    if items is None or not node or len(node) > MAX_LENGTH:
        return None
    found: List[PublishedItem] = []
    for item in xml.elements(items, _ITEM):
        if len(found) == MAX_ITEMS:
            break
        name = item.get("id", "")
        unavailable = any(xml.split_tag(part.tag)[1] == "service-unavailable" for part in xml.elements(item))
        found.append(PublishedItem(name if len(name) <= MAX_LENGTH else "", parse_bridge_stats(item), unavailable))
    return PubSubEvent(node, tuple(found), xml.child(message, _DELAY) is not None)


def write_event(event: PubSubEvent, payloads: Tuple[str, ...]) -> str:
    """The content of a message that tells of it; ``payloads`` are the written ones of its items."""
    items = "".join(xml.element("item", {"id": item.id or None}, payload)
                    for item, payload in zip(event.items, payloads))
    return xml.element("event", None, xml.element("items", {"node": event.node}, items), NS_EVENT)


def write_subscribe(node: str, jid: str) -> str:
    """The payload of a set that subscribes an address to a node; again does no harm."""
    return xml.element("pubsub", None, xml.element("subscribe", {"node": node, "jid": jid}), NS_PUBSUB)
