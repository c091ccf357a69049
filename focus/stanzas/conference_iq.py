"""The conference IQ: a client asks for a room's focus (C-201…C-216), the focus answers (C-230…C-234), or
refuses."""
from __future__ import annotations

from typing import Any, Dict, Mapping, NamedTuple, Optional, Union

from focus.stanzas import xml
from focus.stanzas.errors import Malformed
from focus.stanzas.registry import register
from focus.values.addresses import BadAddress, normalise_room

#: Bounds of what a stranger can make us keep, in bytes of UTF-8 (C-216).
MAX_ID = 256
MAX_PROPERTIES = 64
MAX_PROPERTY_NAME = 64
MAX_PROPERTY_VALUE = 1024
#: A longer token can't be read, so it counts as absent (C-201).
MAX_TOKEN = 16384

_PROPERTY = "{%s}property" % xml.NS_FOCUS

#: Application conditions of refusals: written children of ``<error/>``.
SESSION_INVALID = "<session-invalid xmlns='%s'/>" % xml.NS_FOCUS
GRACEFUL_SHUTDOWN = "<graceful-shutdown xmlns='%s'/>" % xml.NS_COLIBRI


def reservation_error(code: int) -> str:
    """The application condition of a refused reservation (C-248, C-1130)."""
    return xml.element("reservation-error", {"error-code": code}, xmlns=xml.NS_FOCUS)


class ConferenceRequest(NamedTuple):
    """A client asks for a conference."""

    room: str
    """Normalised, with the allowance for tenants' domains; with that option off it must be normalised once
    more."""
    machine_uid: Optional[str] = None
    session_id: Optional[str] = None
    token: Optional[str] = None
    """A JSON web token, unverified. Never to be logged."""
    properties: Mapping[str, str] = {}
    """Those given; one without a value isn't (C-202)."""

    def __repr__(self) -> str:
        return "ConferenceRequest(%r, %r)" % (self.room, self.properties)  # without what identifies people

    def flag(self, name: str, default: bool) -> bool:
        """A boolean property: ``true`` in any case is true, blank or missing the default (C-202)."""
        value = self.properties.get(name, "").strip()
        return value.lower() == "true" if value else default

    def number(self, name: str) -> Optional[int]:
        """An integer property; None if it isn't given, can't be read or is negative (C-202, M-553)."""
        return xml.optional_int(self.properties.get(name), 0, 2 ** 31 - 1)

    @property
    def understands_visitors(self) -> bool:
        """Whether the client can be redirected (S-520)."""
        return "visitors-version" in self.properties

    @property
    def wants_to_visit(self) -> bool:
        """Whether it wants to be a visitor."""
        return self.flag("visitor", False)


class ConferenceAnswer(NamedTuple):
    """The focus's answer."""

    room: str
    ready: bool
    focusjid: Optional[str] = None
    """The bare JID of the account that sits in the room (C-120, T-2)."""
    properties: Mapping[str, str] = {}
    session_id: Optional[str] = None
    identity: Optional[str] = None
    vnode: Optional[str] = None

    def __repr__(self) -> str:
        return "ConferenceAnswer(%r, ready=%r, %r)" % (self.room, self.ready, self.properties)


def _bounded(value: Optional[str], limit: int, what: str) -> Optional[str]:
    if value is not None and len(value) * 4 > limit and len(value.encode("utf-8", "replace")) > limit:
        raise Malformed("bad-request", "%s is longer than %d bytes" % (what, limit))
    return value


def _parse_properties(el: Any) -> Dict[str, str]:
    properties: Dict[str, str] = {}
    count = 0
    for part in xml.elements(el, _PROPERTY):
        count += 1
        if count > MAX_PROPERTIES:
            raise Malformed("bad-request", "more than %d properties" % MAX_PROPERTIES)
        name = _bounded(part.get("name"), MAX_PROPERTY_NAME, "a property's name")
        value = _bounded(part.get("value"), MAX_PROPERTY_VALUE, "a property's value")
        if not name:
            continue
        if name == "visitor" and properties.get(name, "").strip().lower() == "true":
            continue  # of this one a single yes is enough (C-202)
        if value is not None:
            properties[name] = value
        elif name == "visitors-version":
            properties.setdefault(name, "")
        elif name != "visitor":
            properties.pop(name, None)
    return properties


def parse_conference(el: Any, iq_type: str) -> Union[ConferenceRequest, ConferenceAnswer]:
    """A ``<conference/>``: of a set a request, of a result an answer.

    Raises Malformed: bad-request or jid-malformed for the faults of C-213 and C-216, feature-not-implemented
    for a get (C-201)."""
    get = el.get
    if iq_type == "result":
        return ConferenceAnswer(
            get("room", ""), get("ready") == "true", get("focusjid"), _parse_properties(el), get("session-id"),
            get("identity"), get("vnode"))
    if iq_type == "get":
        raise Malformed("feature-not-implemented", "a conference is asked for by set")
    try:
        room = normalise_room(get("room"))
    except BadAddress as fault:
        raise Malformed(fault.condition, fault.text) from None
    machine_uid = _bounded(get("machine-uid"), MAX_ID, "machine-uid")
    session_id = _bounded(get("session-id"), MAX_ID, "session-id")
    token = get("token")
    if token is not None and len(token) > MAX_TOKEN:
        token = None
    return ConferenceRequest(room, machine_uid, session_id, token, _parse_properties(el))


def _write_properties(properties: Mapping[str, str]) -> str:
    return "".join(xml.element("property", {"name": name, "value": value})
                   for name, value in properties.items())


def write_conference_request(request: ConferenceRequest) -> str:
    """The payload of a set."""
    return xml.element("conference", {
        "room": request.room, "machine-uid": request.machine_uid, "session-id": request.session_id,
        "token": request.token,
    }, _write_properties(request.properties), xml.NS_FOCUS)


def write_conference_answer(answer: ConferenceAnswer) -> str:
    """The payload of the result (C-231, C-232)."""
    return xml.element("conference", {
        "room": answer.room, "ready": answer.ready, "focusjid": answer.focusjid,
        "session-id": answer.session_id, "identity": answer.identity, "vnode": answer.vnode,
    }, _write_properties(answer.properties), xml.NS_FOCUS)


register(xml.NS_FOCUS, "conference", parse_conference)
