"""Stanzas: the three kinds, read from lxml elements and written as strings.

``parse_stanza`` never raises for what a peer sent: a payload that can't be read becomes a ``Malformed``
payload, one that nobody registered an ``Unknown``. The namespace of the stanza's own element isn't looked at,
so the streams of a client and of a component look the same.

Payload modules register their parsers: see ``focus.stanzas.registry``.
"""
from __future__ import annotations

import logging
from typing import Any, List, NamedTuple, Optional, Protocol, Tuple, Union

from focus.stanzas import xml
from focus.stanzas.bridge_stats import BridgeStats, parse_bridge_stats
from focus.stanzas.errors import ERROR_TYPES, Malformed, ParsedError, StanzaError, stanza_error
from focus.stanzas.muc import NO_MUC_USER, MucUser, parse_muc_user, parse_status_codes
from focus.stanzas.pubsub import EVENT, PubSubEvent, parse_event
from focus.stanzas.registry import find_parser, parsers, register
from focus.values.written import Shared

__all__ = [
    "ERROR_TYPES", "Iq", "Malformed", "Message", "ParsedError", "Presence", "StanzaError", "Unknown",
    "parse_stanza", "read_stanza", "register", "stanza_error", "write_error", "write_iq", "write_message",
    "write_presence", "write_result", "write_shared_iq", "write_stanza", "write_stanza_error",
]

log = logging.getLogger(__name__)

_STANZA_NAMESPACES = (xml.NS_CLIENT, xml.NS_COMPONENT, "")

class Unknown(NamedTuple):
    """A payload that nobody reads (C-252)."""

    namespace: str
    name: str


class Request(Protocol):
    """What an answer has to know of a request."""

    id: str
    to: str
    from_: str


class Iq:
    """One IQ. ``type`` is 'get', 'set', 'result' or 'error'; missing attributes are empty strings.

    ``payload`` is the value of the first child, ``Unknown``, ``Malformed``, or None (a result without a
    child, an error). ``error`` is set exactly if the type is 'error'.
    """

    __slots__ = ("type", "id", "to", "from_", "payload", "error", "element", "via")

    def __init__(self, type: str, id: str, to: str, from_: str, payload: Any = None,
                 error: Optional[ParsedError] = None, element: Any = None) -> None:
        self.element = element
        self.via = "client"
        """Name of the connection it came by, which has to answer it."""
        self.type = type
        self.id = id
        self.to = to
        self.from_ = from_
        self.payload = payload
        self.error = error

    def __repr__(self) -> str:
        # Payloads by their kind only: tokens and passwords travel in them, and this ends up in logs.
        payload = self.payload if isinstance(self.payload, (Malformed, Unknown)) else type(self.payload).__name__
        return "Iq(%s, id=%r, from=%r, to=%r, %s)" % (
            self.type, self.id, self.from_, self.to, self.error or payload)


class Presence:
    """One presence. ``type`` is empty for an available one.

    What it carries is read from ``element`` when it is asked for; nothing of that raises. A room member's has
    more: ``focus.stanzas.member.read_member``.
    """

    __slots__ = ("from_", "to", "type", "id", "element", "_muc")

    def __init__(self, from_: str, to: str, type: str, id: str, element: Any) -> None:
        self.from_ = from_
        self.to = to
        self.type = type
        self.id = id
        self.element = element
        self._muc: Optional[MucUser] = None

    def __repr__(self) -> str:
        return "Presence(%s, from=%r, to=%r)" % (self.type or "available", self.from_, self.to)

    @property
    def muc(self) -> MucUser:
        """What the room says: items, status codes, destroy. Empty if the presence has no ``<x/>`` of
        muc#user."""
        if self._muc is None:
            self._muc = parse_muc_user(self.element) or NO_MUC_USER
        return self._muc

    @property
    def status_codes(self) -> Tuple[int, ...]:
        """The room's status codes."""
        return self.muc.status

    @property
    def affiliation(self) -> Optional[str]:
        """The first item's; None if the presence doesn't say (T-30)."""
        item = self.muc.item
        return item.affiliation if item is not None else None

    @property
    def destroyed(self) -> bool:
        """Whether the room was destroyed (C-713)."""
        return self.muc.destroy is not None

    @property
    def destroy_reason(self) -> str:
        """Why, in the words of whoever did it."""
        return self.muc.destroy.reason if self.muc.destroy is not None else ""

    @property
    def status(self) -> str:
        """The status text; ``switch_room`` of one who goes to a breakout room (C-629)."""
        for namespace in _STANZA_NAMESPACES:
            text = xml.child_text(self.element, "{%s}status" % namespace if namespace else "status", 1024)
            if text is not None:
                return text
        return ""

    @property
    def stats(self) -> Optional[BridgeStats]:
        """A bridge's statistics; None if there is no such element (B-105)."""
        return parse_bridge_stats(self.element)

    @property
    def error(self) -> Optional[ParsedError]:
        """The error of a presence of type error, else None."""
        return _parse_error(self.element) if self.type == "error" else None


def bare_presence(from_: str, to: str, type: str) -> Presence:
    """A presence without content, for one whose content was beyond our bounds."""
    return Presence(from_, to, type, "", xml.empty("presence", {"from": from_, "to": to, "type": type}))


class Message:
    """One message: what the focus needs to tell its kinds apart (C-532, C-715).

    ``status_codes`` are those of muc#user. ``subject`` is None without a ``<subject/>``, ``event`` without something
    published.
    """

    __slots__ = ("from_", "to", "type", "id", "body", "subject", "status_codes", "error", "event")

    def __init__(self, from_: str, to: str, type: str, id: str, body: bool = False,
                 subject: Optional[str] = None, status_codes: Tuple[int, ...] = (),
                 error: Optional[ParsedError] = None) -> None:
        self.from_ = from_
        self.to = to
        self.type = type
        self.id = id
        self.body = body
        self.subject = subject
        self.status_codes = status_codes
        self.error = error
        self.event: Optional[PubSubEvent] = None

    def __repr__(self) -> str:
        return "Message(%s, from=%r, %s)" % (self.type, self.from_, self.kind)

    @property
    def kind(self) -> str:
        """'error', 'configuration' (status 104), 'status' (other codes), 'subject', 'chat' or 'other'."""
        if self.type == "error":
            return "error"
        if self.status_codes:
            return "configuration" if 104 in self.status_codes else "status"
        if self.subject is not None and not self.body:
            return "subject"
        return "chat" if self.body else "other"


def parse_stanza(el: Any) -> Union[Iq, Presence, Message]:
    """The value of a top-level stanza element.

    Raises ValueError if it is neither iq nor presence nor message: the stream hands no other elements over.
    """
    tag = el.tag
    kind = tag[tag.rfind("}") + 1:]
    get = el.get
    if kind == "iq":
        iq_type = get("type", "")
        iq = Iq(iq_type, get("id", ""), get("to", ""), get("from", ""), element=el)
        if iq_type == "error":
            iq.error = _parse_error(el)
        elif len(el) or iq_type != "result":
            iq.payload = _parse_payload(el, iq_type)
        return iq
    if kind == "presence":
        return Presence(get("from", ""), get("to", ""), get("type", ""), get("id", ""), el)
    if kind == "message":
        return _parse_message(el)
    raise ValueError("no stanza: %s" % kind[:64])


def _parse_payload(el: Any, iq_type: str) -> Any:
    children = list(xml.elements(el))
    if iq_type == "result":
        if not children:
            return None
    elif iq_type not in ("get", "set"):
        return Malformed("bad-request", "unknown IQ type")
    elif len(children) != 1:
        return Malformed("bad-request", "a request has exactly one child element")
    payload = children[0]
    tag = payload.tag
    parse = parsers.get(tag) or find_parser(tag)
    if parse is None:
        return Unknown(*xml.split_tag(tag))
    try:
        return parse(payload, iq_type)
    except Malformed as refused:
        # A new one: the one caught holds the frames it came through, and the element with them.
        return Malformed(refused.condition, refused.text)
    except Exception:
        # A parser of ours has a gap. The peer gets its answer and the stream goes on; the log has the place.
        log.exception("can't read a payload %s", tag[:200])
        return Malformed("internal-server-error", "the payload could not be read")


#: Reasons of Colibri 2 errors (K-401).
COLIBRI_REASONS = frozenset((
    "conference_not_found", "conference_already_exists", "feature_not_implemented", "graceful_shutdown",
    "unknown_endpoint", "unspecified",
))


def _parse_error(stanza: Any) -> ParsedError:
    for found in xml.elements(stanza):
        namespace, name = xml.split_tag(found.tag)
        if name == "error" and namespace in _STANZA_NAMESPACES:
            break
    else:
        return ParsedError("", "undefined-condition")
    condition = ""
    text = ""
    reason: Optional[str] = None
    endpoint: Optional[str] = None
    application: List[Tuple[str, str]] = []
    for part in xml.elements(found):
        namespace, name = xml.split_tag(part.tag)
        if name == "text" and (namespace == xml.NS_STANZAS or namespace in _STANZA_NAMESPACES):  # K-403
            text = text or xml.text_of(part, 1024)
        elif namespace == xml.NS_STANZAS:
            condition = condition or (name if name in ERROR_TYPES else "undefined-condition")
            if name == "gone":
                text = text or xml.text_of(part, 1024)  # J-504
        elif namespace == xml.NS_COLIBRI2 and name == "error":
            given = part.get("reason", "unspecified").lower()
            reason = given if given in COLIBRI_REASONS else "unspecified"
        elif namespace == xml.NS_COLIBRI2 and name == "endpoint":
            endpoint = part.get("id")
        elif len(application) < 8:
            application.append((namespace, name))
    return ParsedError(found.get("type", ""), condition or "undefined-condition", text, reason, endpoint,
                       tuple(application))


def _parse_message(el: Any) -> Message:
    get = el.get
    message = Message(get("from", ""), get("to", ""), get("type", "normal"), get("id", ""))
    if message.type == "error":
        message.error = _parse_error(el)
        return message
    for part in xml.elements(el):
        namespace, name = xml.split_tag(part.tag)
        if namespace in _STANZA_NAMESPACES:
            if name == "body":
                message.body = True
            elif name == "subject" and message.subject is None:
                message.subject = xml.text_of(part, 4096)
        elif namespace == xml.NS_MUC_USER and name == "x":
            message.status_codes = parse_status_codes(part)
        elif part.tag == EVENT and message.event is None:
            message.event = parse_event(el)
    return message


def write_stanza(stanza: Union[Iq, Presence]) -> str:
    """A stanza that was received, as text, to be read again by :func:`read_stanza`."""
    element = stanza.element
    if element is None:  # its content was beyond our bounds
        element = xml.empty("iq", {"from": stanza.from_, "to": stanza.to, "type": stanza.type, "id": stanza.id})
    return xml.text_of_element(element)


def read_stanza(text: str) -> Any:
    """What :func:`write_stanza` wrote. Raises ValueError for anything else."""
    return parse_stanza(xml.element_of_text(text))


def write_iq(type: str, id: str, to: str, payload_xml: str = "", from_: Optional[str] = None) -> str:
    """An IQ around a written payload. ``from_`` only for components; a server fills in a client's."""
    sender = " from='%s'" % xml.quote(from_) if from_ else ""
    head = "<iq type='%s' id='%s' to='%s'%s" % (type, xml.quote(id), xml.quote(to), sender)
    return "%s>%s</iq>" % (head, payload_xml) if payload_xml else head + "/>"


def write_shared_iq(type: str, id: str, to: str, payload: Shared) -> Shared:
    """An IQ whose payload has a part that many receivers get."""
    head = write_iq(type, id, to)[:-2]
    return Shared("%s>%s" % (head, payload.head), payload.body, payload.tail + "</iq>")


def write_result(request: Request, payload_xml: str = "", from_: Optional[str] = None) -> str:
    """The answer to a request: same id, to where it came from, unchanged (C-102). A component gives
    ``from_=request.to``."""
    return write_iq("result", request.id, request.from_, payload_xml, from_)


def write_stanza_error(error: StanzaError) -> str:
    """The ``<error/>``: the condition first, then the text, then application conditions (J-502, S-106).

    ``gone`` has its text inside of itself (J-504).
    """
    kind = error.type or ERROR_TYPES.get(error.condition, "cancel")
    if error.condition == "gone" and error.text:
        return "<error type='%s'><gone xmlns='%s'>%s</gone>%s</error>" % (
            kind, xml.NS_STANZAS, xml.escape(error.text), "".join(error.extra))
    text = "<text xmlns='%s'>%s</text>" % (xml.NS_STANZAS, xml.escape(error.text)) if error.text else ""
    return "<error type='%s'><%s xmlns='%s'/>%s%s</error>" % (
        kind, error.condition, xml.NS_STANZAS, text, "".join(error.extra))


def write_error(request: Request, error: StanzaError, from_: Optional[str] = None) -> str:
    """The refusal of a request (C-102, S-106). A component gives ``from_=request.to``."""
    return write_iq("error", request.id, request.from_, write_stanza_error(error), from_)


def write_presence(to: Optional[str], type: str = "", payload_xml: str = "", id: Optional[str] = None,
                   from_: Optional[str] = None) -> str:
    """A presence; no ``to``: the initial presence, ``type`` empty: available."""
    head = "<presence" + xml.attributes({"to": to or None, "type": type or None, "id": id, "from": from_})
    return "%s>%s</presence>" % (head, payload_xml) if payload_xml else head + "/>"


def write_message(to: str, type: str = "normal", payload_xml: str = "", id: Optional[str] = None,
                  from_: Optional[str] = None) -> str:
    """A message around written children."""
    written_type = None if type == "normal" else type
    head = "<message" + xml.attributes({"to": to, "type": written_type, "id": id, "from": from_})
    return "%s>%s</message>" % (head, payload_xml) if payload_xml else head + "/>"

