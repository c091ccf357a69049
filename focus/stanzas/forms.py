"""Data forms (XEP-0004), and the room's configuration form of namespace muc#owner (C-413, C-414,
C-420…C-425)."""
from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from focus.stanzas import xml
from focus.stanzas.errors import Malformed
from focus.stanzas.registry import register

#: Bounds of a form; a text is cut at the last one (characters).
MAX_FIELDS = 512
MAX_VALUES = 1024
MAX_LENGTH = 65536

ROOM_CONFIG = "http://jabber.org/protocol/muc#roomconfig"
WHOIS = "muc#roomconfig_whois"

_FIELD = "{%s}field" % xml.NS_DATA
_VALUE = "{%s}value" % xml.NS_DATA


class Field(NamedTuple):
    """One field. ``type`` is empty where the form doesn't say (submitted forms)."""

    var: str
    type: str = ""
    values: Tuple[str, ...] = ()


class Form(NamedTuple):
    """A form: ``type`` is 'form', 'submit', 'result' or 'cancel'."""

    type: str
    fields: Tuple[Field, ...] = ()


def parse_form(el: Any) -> Form:
    """A form's fields that have a name, in their order; labels, options and instructions are dropped.

    Raises Malformed (bad-request) for a form beyond our bounds."""
    fields: List[Field] = []
    for part in xml.elements(el, _FIELD):
        var = part.get("var")
        if not var:
            continue
        values = tuple(xml.text_of(value, MAX_LENGTH) for value in xml.elements(part, _VALUE))
        if len(fields) >= MAX_FIELDS or len(values) > MAX_VALUES:
            raise Malformed("bad-request", "the form is too long")
        fields.append(Field(var, part.get("type", ""), values))
    return Form(el.get("type", "form"), tuple(fields))


def write_form(form: Form) -> str:
    """The ``<x/>``."""
    parts = []
    for field in form.fields:
        values = "".join("<value>%s</value>" % xml.escape(value) for value in field.values)
        parts.append(xml.element("field", {"var": field.var, "type": field.type or None}, values))
    return xml.element("x", {"type": form.type}, "".join(parts), xml.NS_DATA)


class RoomConfigGet(NamedTuple):
    """Asks a room for its configuration form."""


class RoomConfigForm(NamedTuple):
    """A room's configuration. The first field of a name counts."""

    fields: Mapping[str, Tuple[str, ...]]

    def text(self, var: str) -> Optional[str]:
        """The first value of a field; None if the field is missing, has no value or a blank one."""
        values = self.fields.get(var)
        return values[0] if values and values[0].strip() else None

    def flag(self, var: str) -> bool:
        """A boolean field (C-425)."""
        return xml.parse_bool(self.text(var))

    @property
    def shows_real_jids(self) -> bool:
        """Whether everybody sees real JIDs (C-420)."""
        return self.text(WHOIS) == "anyone"

    @property
    def is_breakout(self) -> bool:
        """Whether this is a breakout room (C-421)."""
        return self.flag("muc#roominfo_isbreakout")

    @property
    def main_room(self) -> Optional[str]:
        """The main room of a breakout room, as written (C-421)."""
        return self.text("muc#roominfo_breakout_main_room")

    @property
    def waits_for_metadata(self) -> bool:
        """Whether the room's metadata must come first (C-422)."""
        return self.flag("muc#roominfo_conference_presets_service_enabled")

    @property
    def meeting_id(self) -> Optional[str]:
        """The meeting id, or None if the room has none (C-423)."""
        return self.text("muc#roominfo_meetingId")


class RoomConfigSubmit(NamedTuple):
    """Changes a room's configuration: only the fields named (C-414, T-26)."""

    fields: Mapping[str, Tuple[str, ...]]


class RoomDestroy(NamedTuple):
    """Destroys a room (XEP-0045 10.9); the focus doesn't (C-823), peers in tests do."""

    reason: str = ""
    jid: Optional[str] = None


#: What the focus submits in every room it joins (C-414, C-420).
SHOW_REAL_JIDS = RoomConfigSubmit({WHOIS: ("anyone",)})

RoomOwnerPayload = Union[RoomConfigGet, RoomConfigForm, RoomConfigSubmit, RoomDestroy]


def _by_name(form: Form) -> Dict[str, Tuple[str, ...]]:
    fields: Dict[str, Tuple[str, ...]] = {}
    for field in form.fields:
        if field.var != "FORM_TYPE":
            fields.setdefault(field.var, field.values)
    return fields


def parse_room_owner(el: Any, iq_type: str) -> RoomOwnerPayload:
    """A ``<query/>`` of namespace muc#owner.

    Raises Malformed (bad-request) for a set without a submitted form or a destroy."""
    if iq_type == "get":
        return RoomConfigGet()
    form = xml.child(el, "{%s}x" % xml.NS_DATA)
    if iq_type == "result":
        return RoomConfigForm(_by_name(parse_form(form)) if form is not None else {})
    destroy = xml.child(el, "{%s}destroy" % xml.NS_MUC_OWNER)
    if destroy is not None:
        reason = xml.child_text(destroy, "{%s}reason" % xml.NS_MUC_OWNER, 1024) or ""
        return RoomDestroy(reason, destroy.get("jid"))
    if form is None or form.get("type") != "submit":
        raise Malformed("bad-request", "no submitted form")
    return RoomConfigSubmit(_by_name(parse_form(form)))


def _form_of(type: str, fields: Mapping[str, Sequence[str]]) -> str:
    first = Field("FORM_TYPE", "hidden", (ROOM_CONFIG,))
    return write_form(Form(type, (first,) + tuple(Field(var, "", tuple(v)) for var, v in fields.items())))


def write_room_owner(payload: RoomOwnerPayload) -> str:
    """The ``<query/>``."""
    content = ""
    if isinstance(payload, RoomConfigForm):
        content = _form_of("form", payload.fields)
    elif isinstance(payload, RoomConfigSubmit):
        content = _form_of("submit", payload.fields)
    elif isinstance(payload, RoomDestroy):
        reason = "<reason>%s</reason>" % xml.escape(payload.reason) if payload.reason else ""
        content = xml.element("destroy", {"jid": payload.jid}, reason)
    return xml.element("query", None, content, xml.NS_MUC_OWNER)


register(xml.NS_MUC_OWNER, "query", parse_room_owner)
