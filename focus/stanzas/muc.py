"""Chat rooms (XEP-0045): what rooms say of occupants (muc#user), joining (muc), rights (muc#admin).

Nothing here raises for a presence: what can't be read is as if it were not there.
"""
from __future__ import annotations

from typing import Any, Iterable, List, NamedTuple, Optional, Tuple, Union

from focus.stanzas import xml
from focus.stanzas.errors import Malformed
from focus.stanzas.registry import register

AFFILIATIONS = frozenset(("owner", "admin", "member", "none", "outcast"))
ROLES = frozenset(("moderator", "participant", "visitor", "none"))

#: Roles as the focus sees them (C-604, M-103).
OWNER, MODERATOR, PARTICIPANT, VISITOR = "owner", "moderator", "participant", "visitor"

#: Status codes that the focus looks at.
STATUS_REAL_JIDS_SHOWN = 100
STATUS_CONFIGURATION_CHANGED = 104
STATUS_SELF = 110
STATUS_CREATED = 201
STATUS_BANNED = 301
STATUS_NICK_CHANGED = 303
STATUS_KICKED = 307
STATUS_AFFILIATION_CHANGED = 321
STATUS_MEMBERS_ONLY = 322
STATUS_SHUTDOWN = 332
STATUS_TECHNICAL = 333

MAX_ITEMS = 64
MAX_ADMIN_ITEMS = 5000
_X_USER = "{%s}x" % xml.NS_MUC_USER
_STATUS = "{%s}status" % xml.NS_MUC_USER
_X_JOIN = "{%s}x" % xml.NS_MUC


class MucItem(NamedTuple):
    """One ``<item/>``: of muc#user one connection of an occupant (C-704), of muc#admin one person."""

    jid: Optional[str] = None
    affiliation: Optional[str] = None
    role: Optional[str] = None
    nick: Optional[str] = None
    reason: str = ""
    actor_jid: Optional[str] = None
    actor_nick: Optional[str] = None

    @property
    def focus_role(self) -> str:
        """OWNER, MODERATOR, PARTICIPANT or VISITOR (C-604, M-103)."""
        return focus_role(self.affiliation, self.role)


class Destroy(NamedTuple):
    """The room is no more (C-713)."""

    reason: str = ""
    jid: Optional[str] = None


class MucUser(NamedTuple):
    """A room's ``<x/>`` of namespace muc#user."""

    items: Tuple[MucItem, ...] = ()
    status: Tuple[int, ...] = ()
    destroy: Optional[Destroy] = None

    @property
    def item(self) -> Optional[MucItem]:
        """The first item: the connection that is asked (C-704); None if there is none (T-30)."""
        return self.items[0] if self.items else None

    @property
    def is_self(self) -> bool:
        """Whether the presence is our own (C-412)."""
        return STATUS_SELF in self.status


NO_MUC_USER = MucUser()


def focus_role(affiliation: Optional[str], role: Optional[str]) -> str:
    """What a room's affiliation and role make of an occupant (C-604, M-103): the affiliation outranks the
    role."""
    if affiliation == "owner":
        return OWNER
    if affiliation == "admin" or role == "moderator":
        return MODERATOR
    return PARTICIPANT if role == "participant" else VISITOR


def _parse_item(el: Any) -> MucItem:
    get = el.get
    affiliation = get("affiliation")
    role = get("role")
    reason = ""
    actor_jid = actor_nick = None
    for part in xml.elements(el):
        name = xml.split_tag(part.tag)[1]
        if name == "reason":
            reason = xml.text_of(part, 1024)
        elif name == "actor":
            actor_jid, actor_nick = part.get("jid"), part.get("nick")
    return MucItem(get("jid") or None, affiliation if affiliation in AFFILIATIONS else None,
                   role if role in ROLES else None, get("nick"), reason, actor_jid, actor_nick)


def parse_status_codes(x: Any) -> Tuple[int, ...]:
    """The status codes of an ``<x/>`` of muc#user, in their order; what is no number is skipped."""
    codes: List[int] = []
    for part in xml.elements(x, _STATUS):
        code = xml.optional_int(part.get("code"), 100, 999)
        if code is not None and len(codes) < MAX_ITEMS:
            codes.append(code)
    return tuple(codes)


def parse_muc_user(presence: Any) -> Optional[MucUser]:
    """The muc#user extension of a presence (or message) element; None if it has none."""
    x = xml.child(presence, _X_USER)
    if x is None:
        return None
    items: List[MucItem] = []
    destroy = None
    for part in xml.elements(x):
        namespace, name = xml.split_tag(part.tag)
        if namespace != xml.NS_MUC_USER:
            continue
        if name == "item" and len(items) < MAX_ITEMS:
            items.append(_parse_item(part))
        elif name == "destroy":
            reason = xml.child_text(part, "{%s}reason" % xml.NS_MUC_USER, 1024)
            destroy = Destroy(reason or "", part.get("jid"))
    return MucUser(tuple(items), parse_status_codes(x), destroy)


def write_item(item: MucItem) -> str:
    """An ``<item/>`` of muc#user or muc#admin."""
    content = ""
    if item.actor_jid is not None or item.actor_nick is not None:
        content += xml.element("actor", {"jid": item.actor_jid, "nick": item.actor_nick})
    if item.reason:
        content += "<reason>%s</reason>" % xml.escape(item.reason)
    return xml.element("item", {"affiliation": item.affiliation, "jid": item.jid, "nick": item.nick,
                                "role": item.role}, content)


def write_muc_user(user: MucUser) -> str:
    """The ``<x/>`` that a room adds to a presence."""
    parts = [write_item(item) for item in user.items]
    if user.destroy is not None:
        reason = "<reason>%s</reason>" % xml.escape(user.destroy.reason) if user.destroy.reason else ""
        parts.append(xml.element("destroy", {"jid": user.destroy.jid}, reason))
    parts += ["<status code='%d'/>" % code for code in user.status]
    return xml.element("x", None, "".join(parts), xml.NS_MUC_USER)


class MucJoin(NamedTuple):
    """The ``<x/>`` of namespace muc: only in the presence that joins (C-411, C-417)."""

    password: Optional[str] = None

    def __repr__(self) -> str:
        return "MucJoin(%s)" % ("password" if self.password is not None else "")


def parse_muc_join(presence: Any) -> Optional[MucJoin]:
    """What a joining presence says; None if the presence doesn't join."""
    x = xml.child(presence, _X_JOIN)
    return None if x is None else MucJoin(xml.child_text(x, "{%s}password" % xml.NS_MUC, 1024))


def write_muc_join(join: MucJoin) -> str:
    """The ``<x/>`` of a joining presence."""
    content = "" if join.password is None else "<password>%s</password>" % xml.escape(join.password)
    return xml.element("x", None, content, xml.NS_MUC)


#: What a room's lists of people are made of; only the first five fields mean something there.
AdminItem = MucItem


class AdminGet(NamedTuple):
    """Asks a room for the people of one affiliation or role (C-431)."""

    affiliation: Optional[str] = None
    role: Optional[str] = None


class AdminItems(NamedTuple):
    """The room's answer to that."""

    items: Tuple[MucItem, ...] = ()


class AdminSet(NamedTuple):
    """Changes affiliations or roles (M-210)."""

    items: Tuple[MucItem, ...]


AdminPayload = Union[AdminGet, AdminItems, AdminSet]


def parse_admin(el: Any, iq_type: str) -> AdminPayload:
    """A ``<query/>`` of namespace muc#admin.

    Raises Malformed (bad-request) for a request without an item or an answer beyond our bounds."""
    items: List[MucItem] = []
    for part in xml.elements(el, "{%s}item" % xml.NS_MUC_ADMIN):
        if len(items) >= MAX_ADMIN_ITEMS:
            raise Malformed("bad-request", "too many items")
        items.append(_parse_item(part))
    if iq_type == "result":
        return AdminItems(tuple(items))
    if not items:
        raise Malformed("bad-request", "no item")
    if iq_type == "get":
        return AdminGet(items[0].affiliation, items[0].role)
    return AdminSet(tuple(items))


def _write_admin(items: Iterable[MucItem]) -> str:
    return xml.element("query", None, "".join(write_item(item) for item in items), xml.NS_MUC_ADMIN)


def write_admin_get(request: AdminGet) -> str:
    """The payload of a get."""
    return _write_admin((MucItem(affiliation=request.affiliation, role=request.role),))


def write_admin_items(answer: AdminItems) -> str:
    """The payload of its answer."""
    return _write_admin(answer.items)


def write_admin_set(request: AdminSet) -> str:
    """The payload of a set. A grant has one item, of bare address and affiliation only (M-210)."""
    return _write_admin(request.items)


register(xml.NS_MUC_ADMIN, "query", parse_admin)
