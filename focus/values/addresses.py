"""Addresses (JIDs) are plain strings. Here: their parts, room names as keys (C-210…C-213), who really asks
(C-104).

``bare``, ``domain``, ``local``, ``resource`` cut addresses that a server has written, so they check nothing.
``normalise_room`` and ``prepare_jid`` take what strangers wrote. They prepare by the profiles of RFC 7622, as
far as servers that still use those of RFC 6122 come to the same result; names on which the two would differ
are refused.
"""
from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Optional, Tuple

#: The longest part of an address, in bytes of UTF-8 (RFC 7622).
MAX_BYTES = 1023


class BadAddress(ValueError):
    """What somebody wrote is no address. ``condition`` is the stanza error's, ``text`` names the fault."""

    def __init__(self, condition: str, text: str) -> None:
        super().__init__(condition, text)
        self.condition = condition
        self.text = text

    def __str__(self) -> str:
        return self.text


def bare(jid: str) -> str:
    """The address without its resource."""
    return jid.partition("/")[0]


def resource(jid: str) -> str:
    """The resource, for an occupant its nick; empty if there is none."""
    return jid.partition("/")[2]


def bridge_name(jid: str) -> str:
    """Under which people know a bridge: its nickname in the brewery, or a component's address (B-104)."""
    return resource(jid) or jid


def domain(jid: str) -> str:
    """The domain part."""
    without = jid.partition("/")[0]
    return without[without.rfind("@") + 1:]


def local(jid: str) -> str:
    """The local part; empty if there is none."""
    without = jid.partition("/")[0]
    return without[:max(without.rfind("@"), 0)]


# What ASCII allows in a local part: no controls, no space, none of the eight that RFC 7622 3.3.1 excludes.
_ASCII_LOCAL = re.compile(r"[!#$%()*+,\-.0-9;=?A-Z\[\\\]^_`a-z{|}~]+", re.ASCII)
_EXCLUDED = frozenset("\"&'/:<>@")
# Letters, digits and marks; symbols, punctuation and spaces beyond ASCII are no part of names (RFC 8264 9).
_LETTERS_AND_DIGITS = frozenset(("Ll", "Lu", "Lo", "Nd", "Lm", "Mn", "Mc"))
# What ASCII forbids in a label: with tenants' domains allowed (C-210), and by the rules of host names.
_NO_TENANT_LABEL = re.compile(r"[\x00-$&-,./:-@\[-^`{-\x7f]")
_NO_HOST_LABEL = re.compile(r"[\x00-,./:-@\[-`{-\x7f]")
_LABEL_SEPARATORS = re.compile("[\u3002\uff0e\uff61]")


def _malformed(text: str) -> BadAddress:
    return BadAddress("jid-malformed", text)


def _check_length(part: str, what: str) -> None:
    try:
        length = len(part.encode("utf-8"))
    except UnicodeEncodeError:
        raise _malformed("%s holds half a character" % what) from None
    if length > MAX_BYTES:
        raise _malformed("%s is longer than %d bytes" % (what, MAX_BYTES))


def _map_width(text: str) -> str:
    # Full-width and half-width forms become their ordinary characters (RFC 8265 3.3.1).
    mapped = []
    for character in text:
        decomposition = unicodedata.decomposition(character)
        if decomposition.startswith(("<wide>", "<narrow>")):
            mapped.append("".join(chr(int(code, 16)) for code in decomposition.split()[1:]))
        else:
            mapped.append(character)
    return "".join(mapped)


def _check_direction(text: str, what: str) -> None:
    # RFC 3454 6, simpler than RFC 5893: whoever mixes directions gets no room on any server.
    directions = [unicodedata.bidirectional(character) for character in text]
    if any(d in ("R", "AL") for d in directions):
        ends = (directions[0], directions[-1])
        if "L" in directions or any(d not in ("R", "AL") for d in ends):
            raise _malformed("%s mixes writing directions" % what)


def _is_name_character(character: str) -> bool:
    if character <= "\x7f":
        return "!" <= character <= "~" and character not in _EXCLUDED
    return unicodedata.category(character) in _LETTERS_AND_DIGITS


def _nodeprep(text: str) -> str:
    # What a server that follows RFC 6122 makes of it (Prosody, ejabberd).
    import stringprep  # heavy, and seldom wanted
    mapped = [stringprep.map_table_b2(character) for character in text if not stringprep.in_table_b1(character)]
    return unicodedata.ucd_3_2_0.normalize("NFKC", "".join(mapped))


def _prepare_local(text: str, what: str) -> str:
    # UsernameCaseMapped (RFC 8265 3.3): width, case, normal form; only letters, digits and ASCII may be left.
    if _ASCII_LOCAL.fullmatch(text) is not None:
        prepared = text.lower()
    else:
        prepared = unicodedata.normalize("NFC", _map_width(text).casefold())
        for character in prepared:
            if not _is_name_character(character):
                raise _malformed("%s holds U+%04X, which no name may hold" % (what, ord(character)))
        if _nodeprep(text) != prepared:
            raise _malformed("%s holds characters that servers understand differently" % what)
        _check_direction(prepared, what)
    _check_length(prepared, what)
    return prepared


def _prepare_label(label: str, what: str, tenants: bool) -> str:
    if not label.isascii():
        from encodings import idna  # heavy, and seldom wanted
        try:
            label = idna.nameprep(label)
            idna.ToASCII(label)
        except UnicodeError:
            raise _malformed("%s is no internationalised host name" % what) from None
    label = label.lower()
    if not label:
        raise _malformed("%s has an empty label" % what)
    if label[0] == "-" or label[-1] == "-":
        raise _malformed("a label of %s begins or ends with a hyphen" % what)
    if (_NO_TENANT_LABEL if tenants else _NO_HOST_LABEL).search(label):
        raise _malformed("%s holds a character that no host name may hold" % what)
    return label


def _prepare_domain(text: str, what: str, tenants: bool) -> str:
    if len(text) > MAX_BYTES:
        raise _malformed("%s is longer than %d bytes" % (what, MAX_BYTES))
    text = _LABEL_SEPARATORS.sub(".", text)
    if text.endswith("."):
        text = text[:-1]  # RFC 7622 3.2
    prepared = ".".join([_prepare_label(label, what, tenants) for label in text.split(".")])
    _check_length(prepared, what)
    return prepared


def _prepare_resource(text: str, what: str) -> str:
    # OpaqueString: spaces become the ordinary one, the rest stays but for its normal form.
    text = "".join(" " if unicodedata.category(character) == "Zs" else character for character in text)
    text = unicodedata.normalize("NFC", text)
    if not text:
        raise _malformed("%s is empty" % what)
    if any(unicodedata.category(character) in ("Cc", "Cs", "Cn") for character in text):
        raise _malformed("%s holds a control character" % what)
    _check_length(text, what)
    return text


def normalise_room(room: Optional[str], jitsi_validation: bool = True) -> str:
    """The key of a conference: the room's bare JID, prepared (C-210, C-211). Escapes are part of the name
    (C-212).

    ``jitsi_validation`` allows ``_`` and ``%`` in the domain, as tenants have them.

    Raises BadAddress: bad-request for one that is missing, has no ``@`` or no local part, else jid-malformed
    (C-213).
    """
    if not room:
        raise BadAddress("bad-request", "the room is missing")
    if len(room) > 2 * MAX_BYTES + 1:
        raise _malformed("the room's name is longer than %d bytes" % MAX_BYTES)
    return _normalise_room(room, jitsi_validation)


@lru_cache(maxsize=1024)
def _normalise_room(room: str, jitsi_validation: bool) -> str:
    name, at, host = room.rpartition("@")
    if not at:
        raise BadAddress("bad-request", "the room has no @")
    if not name:
        raise BadAddress("bad-request", "the room has no name before the @")
    name = _prepare_local(name, "the room's name")
    return "%s@%s" % (name, _prepare_domain(host, "the room's domain", jitsi_validation))


@lru_cache(maxsize=1024)
def _prepare_jid(jid: str) -> Tuple[str, str, str]:
    without, slash, nick = jid.partition("/")
    name, at, host = without.partition("@")
    if not at:
        name, host = "", without
    if at and not name:
        raise _malformed("the address has nothing before the @")
    return (_prepare_local(name, "the local part") if at else "", _prepare_domain(host, "the domain", True),
            _prepare_resource(nick, "the resource") if slash else "")


def prepare_jid(jid: Optional[str]) -> str:
    """An address as a server would write it: ``local@domain/resource``, each part prepared; only the domain
    must be there.

    Raises BadAddress (jid-malformed).
    """
    if not jid:
        raise _malformed("the address is missing")
    if len(jid) > 3 * MAX_BYTES + 2:
        raise _malformed("the address is too long")
    name, host, nick = _prepare_jid(jid)
    return (name + "@" if name else "") + host + ("/" + nick if nick else "")


def real_sender(from_: str, proxy_domain: Optional[str]) -> str:
    """Who asks: behind the client proxy the address in the resource, else the sender itself (C-104, S-730).

    For authentication and logs only: answers go to ``from_`` unchanged (C-102).
    """
    if proxy_domain and domain(from_) == proxy_domain.lower():
        inner = resource(from_)
        if inner:
            try:
                return prepare_jid(inner)
            except BadAddress:
                return from_
    return from_
