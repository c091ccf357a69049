"""Which function reads which IQ payload.

A payload module calls ``register`` when it is imported; the modules of the table below are imported when the
first payload of theirs arrives.
"""
from __future__ import annotations

import importlib
from typing import Any, Callable, Dict, Optional

from focus.stanzas import xml

#: A parser gets the payload element and the IQ's type ('get', 'set' or 'result'); it returns a value or
#: raises Malformed.
Parser = Callable[[Any, str], Any]

#: Tag of a payload (``{namespace}name``) -> its parser.
parsers: Dict[str, Parser] = {}

#: (namespace, local name) of a payload -> the module that registers its parser when it is imported.
_MODULES = {
    (xml.NS_FOCUS, "conference"): "focus.stanzas.conference_iq",
    (xml.NS_FOCUS, "login-url"): "focus.stanzas.small",
    (xml.NS_FOCUS, "logout"): "focus.stanzas.small",
    (xml.NS_DISCO_INFO, "query"): "focus.stanzas.disco",
    (xml.NS_DISCO_ITEMS, "query"): "focus.stanzas.disco",
    (xml.NS_MUC_OWNER, "query"): "focus.stanzas.forms",
    (xml.NS_MUC_ADMIN, "query"): "focus.stanzas.muc",
    (xml.NS_PING, "ping"): "focus.stanzas.small",
    (xml.NS_VERSION, "query"): "focus.stanzas.small",
    (xml.NS_LAST, "query"): "focus.stanzas.small",
    (xml.NS_HEALTH, "healthcheck"): "focus.stanzas.small",
    (xml.NS_JITMEET_AUDIO, "mute"): "focus.stanzas.mute",
    (xml.NS_JITMEET_VIDEO, "mute"): "focus.stanzas.mute",
    (xml.NS_JITMEET_DESKTOP, "mute"): "focus.stanzas.mute",
    (xml.NS_JINGLE, "jingle"): "focus.stanzas.jingle",
    (xml.NS_COLIBRI, "conference"): "focus.stanzas.colibri1",
    (xml.NS_COLIBRI, "stats"): "focus.stanzas.bridge_stats",
    (xml.NS_COLIBRI2, "conference-modify"): "focus.stanzas.colibri2",
    (xml.NS_COLIBRI2, "conference-modified"): "focus.stanzas.colibri2",
}


def register(namespace: str, name: str, parse: Parser) -> None:
    """Payloads ``<name xmlns='namespace'/>`` of IQs are read by ``parse(element, iq_type)``."""
    parsers["{%s}%s" % (namespace, name)] = parse


def find_parser(tag: str) -> Optional[Parser]:
    """The parser of payloads with that tag (``{namespace}name``), or None."""
    parse = parsers.get(tag)
    if parse is None:
        module = _MODULES.get(xml.split_tag(tag))
        if module is not None:
            importlib.import_module(module)
            parse = parsers.get(tag)
    return parse
