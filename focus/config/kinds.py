"""The kinds of values an option can have: how the text is read, how the value is shown, what would be right.

Every ``parse`` takes the text as given by a flag, a variable or the ini and returns the value, or raises
:class:`WrongValue`, whose text says what is wrong with it; what would be right is ``Kind.right``.
"""
from __future__ import annotations

import re
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from focus.values.addresses import BadAddress, prepare_jid


class WrongValue(ValueError):
    """The text can't be such a value; the exception's text ends the sentence "it ..."."""


class Kind(NamedTuple):
    """A kind of value."""

    label: str
    """For the reference page: the type with its unit."""
    right: str
    """For error messages: what would be right."""
    parse: Callable[[str], Any]
    show: Callable[[Any], str] = str
    secret: bool = False


# --- words, names, addresses -----------------------------------------------------------------------------------------

_LABEL = re.compile(r"[\w](?:[\w-]*[\w])?", re.UNICODE)
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+|\[?[0-9a-f]*:[0-9a-f:.]*\]?", re.IGNORECASE)
_FORBIDDEN_IN_LOCAL = frozenset("\"&'/:<>@")


def _plain(text: str) -> str:
    if text[:1] in "\"'" and text[-1:] == text[:1] and len(text) > 1:
        raise WrongValue("is in quotes, which would be part of the value")
    return text


def _domain(text: str) -> str:
    """A domain in lower case. ``_`` is allowed in labels: installations have such names (C-210)."""
    text = _plain(text).lower().rstrip(".")
    if "@" in text or "/" in text:
        raise WrongValue("has an '@' or a '/', which a domain hasn't")
    if _ADDRESS.fullmatch(text):
        raise WrongValue("is an IP address; XMPP domains are names")
    if not text or len(text.encode()) > 1023 or not all(_LABEL.fullmatch(label) for label in text.split(".")):
        raise WrongValue("is not a domain")
    return text


def _host(text: str) -> str:
    text = _plain(text).strip()
    if _ADDRESS.fullmatch(text):
        return text.strip("[]")
    if re.fullmatch(r".*:\d+", text):
        raise WrongValue("has a port in it, which is an option of its own")
    try:
        return _domain(text)
    except WrongValue:
        raise WrongValue("is neither a host name nor an IP address") from None


def _local(text: str) -> str:
    text = text.lower()
    if not text or any(letter in _FORBIDDEN_IN_LOCAL or letter <= " " for letter in text):
        raise WrongValue("is not the part of an address before the '@'")
    return text


def _account(text: str) -> str:
    """``local`` or ``local@domain``."""
    local, at, domain = _plain(text).partition("@")
    return _local(local) + (at + _domain(domain) if at else "")


def _bare_jid(text: str) -> str:
    local, at, domain = _plain(text).partition("@")
    if not at:
        raise WrongValue("has no '@'")
    return _local(local) + "@" + _domain(domain)


def _room_or_none(text: str) -> str:
    return "" if text == "none" else _bare_jid(text)


def _resource(text: str) -> str:
    if len(text.encode()) > 1023 or any(letter < " " or letter == "\x7f" for letter in text):
        raise WrongValue("is not the part of an address after the '/'")
    return _plain(text)


def _node(text: str) -> str:
    if any(letter <= " " or letter == "\x7f" for letter in text) or len(text) > 1023:
        raise WrongValue("is not the name of a node")
    return _plain(text)


def _secret(text: str) -> str:
    if any(letter < " " or letter == "\x7f" for letter in text):
        raise WrongValue("has control characters in it")
    return text


def _path(text: str) -> str:
    if "\0" in text:
        raise WrongValue("has a null character in it")
    return _plain(text)


_MAX_NAMES = 1000


def _names(text: str) -> Tuple[str, ...]:
    """``jvb1, jvb2`` -> the names, each once."""
    names = tuple(dict.fromkeys(name.strip() for name in _resource(text).split(",") if name.strip()))
    if len(names) > _MAX_NAMES:
        raise WrongValue("has more than %d names" % _MAX_NAMES)
    return names


NAMES = Kind("names, separated by commas", "give names such as jvb1, jvb2", _names, ", ".join)
_MOST = 100
"""Entries of a list."""


def _listed(text: str) -> List[str]:
    entries = [entry for entry in re.split(r"[\s,;]+", _plain(text)) if entry]
    if len(entries) > _MOST:
        raise WrongValue("has more than %d entries" % _MOST)
    return entries


def _domains(text: str) -> Tuple[str, ...]:
    return tuple(dict.fromkeys(_domain(entry) for entry in _listed(text)))


def _addresses(text: str) -> Tuple[str, ...]:
    found = []
    for entry in _listed(text):
        try:
            found.append(entry if entry == "*" else prepare_jid(entry))
        except BadAddress as error:
            raise WrongValue("has %r in it, of which %s" % (entry, error)) from None
    return tuple(dict.fromkeys(found))


def _nodes(text: str) -> Tuple[Tuple[str, str], ...]:
    """``jvb1.meet.example:nodeA; jvb2.meet.example:nodeB`` -> pairs; no node may stand for two bridges."""
    found: Dict[str, str] = {}
    for entry in _listed(text):
        address, colon, node = entry.partition(":")
        if not colon or not node:
            raise WrongValue("has %r where an address and a node should be" % entry)
        if node in found:
            raise WrongValue("has the node %s twice" % node)
        found[node] = _domain(address)
    return tuple((address, node) for node, address in found.items())


DOMAINS = Kind("domains", "give domains such as jvb1.meet.example, jvb2.meet.example", _domains, ", ".join)
ADDRESSES = Kind("addresses, or * for all", "give addresses such as jvb1.meet.example, or *", _addresses, ", ".join)
NODES = Kind("domains with nodes", "give domains with nodes such as jvb1.meet.example:node1; jvb2.meet.example:node2",
             _nodes, lambda pairs: "; ".join("%s:%s" % pair for pair in pairs))
DOMAIN = Kind("domain", "give a domain such as meet.example", _domain)
HOST = Kind("host name or IP address", "give a host name or an IP address", _host)
ACCOUNT = Kind("user name", "give a name such as focus, or name@domain", _account)
BARE_JID = Kind("address of a room", "give an address such as room@domain", _bare_jid)
ROOM_OR_NONE = Kind("address of a room, or none", "give an address such as room@domain, or none", _room_or_none,
                    lambda value: value or "none")
LABEL = Kind("domain label", "give a name such as focus", _domain)
RESOURCE = Kind("text", "give a name such as focus", _resource)
NODE = Kind("name of a node", "give a name such as videobridge-stats", _node)
SECRET = Kind("secret", "give the secret itself, without control characters", _secret, lambda value: "********", True)
PATH = Kind("path of a file", "give the path of a file", _path)


# --- switches and numbers --------------------------------------------------------------------------------------------

_SWITCH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def _switch(text: str) -> bool:
    try:
        return _SWITCH[text.lower()]
    except KeyError:
        raise WrongValue("is neither true nor false") from None


SWITCH = Kind("true or false", "give true or false", _switch, lambda value: "true" if value else "false")


def number(low: int, high: int, unit: str = "") -> Kind:
    """A whole number from ``low`` to ``high``."""
    def parse(text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
            raise WrongValue("is not a whole number")
        value = int(text)
        if not low <= value <= high:
            raise WrongValue("is too %s" % ("small" if value < low else "large"))
        return value
    label = "number of %s" % unit if unit else "number"
    return Kind("%s, %d to %d" % (label, low, high), "give a whole number from %d to %d" % (low, high), parse)


PORT = number(1, 65535)._replace(label="port, 1 to 65535")


def choice(*words: str, aliases: Tuple[Tuple[str, str], ...] = ()) -> Kind:
    """One of some words, in any case; an alias stands for the word it is paired with."""
    known = {word.lower(): word for word in words}
    known.update((alias.lower(), word) for alias, word in aliases)

    def parse(text: str) -> str:
        try:
            return known[text.lower()]
        except KeyError:
            raise WrongValue("is none of them") from None
    listing = ", ".join(words[:-1]) + " or " + words[-1]
    return Kind(listing, "give one of " + listing, parse)


def decimal(low: float, high: float) -> Kind:
    """A number from ``low`` to ``high`` that may have a fraction."""
    def parse(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
            raise WrongValue("is not a number such as 0.8")
        value = float(text)
        if not low <= value <= high:
            raise WrongValue("is too %s" % ("small" if value < low else "large"))
        return value
    return Kind("number, %g to %g" % (low, high), "give a number from %g to %g, such as 0.8" % (low, high), parse,
                lambda value: "%g" % value)


def class_name(suffix: str, *words: str) -> Kind:
    """One of some class names of the reference, with or without their package and common end (single-mesh)."""
    short = choice(*words, aliases=tuple((word[:-len(suffix)], word) for word in words))
    return short._replace(parse=lambda text: short.parse(re.sub("[-_]", "", text.rpartition(".")[2])))


# --- durations and sizes ---------------------------------------------------------------------------------------------

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_SECONDS.update((name + plural, seconds) for name, seconds in (
    ("millisecond", 0.001), ("milli", 0.001), ("sec", 1.0), ("second", 1.0), ("minute", 60.0), ("hour", 3600.0),
    ("day", 86400.0)) for plural in ("", "s"))
_BYTES = {"": 1, "b": 1, "byte": 1, "bytes": 1, "kb": 1000, "mb": 1000000, "kib": 1024, "mib": 1048576}
_QUANTITY = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([a-zA-Z]*)")


def parse_duration(text: str) -> float:
    """Seconds of ``15``, ``15s``, ``15 seconds``, ``500ms``, ``1 minute``; a bare number is seconds."""
    match = _QUANTITY.fullmatch(text.strip())
    if not match:
        raise WrongValue("is not a duration")
    digits, unit = match.groups()
    seconds = _SECONDS.get(unit.lower() or "s")
    if seconds is None:
        raise WrongValue("has the unit %r, which is none of ms, s, m, h, d or their long names" % unit)
    return round(float(digits) * seconds, 6)


def show_duration(seconds: float) -> str:
    """The duration as :func:`parse_duration` reads it."""
    if seconds and seconds * 1000 % 1000:
        return "%g ms" % round(seconds * 1000, 3)
    if seconds and seconds % 3600 == 0:
        return "%d h" % (seconds // 3600)
    if seconds and seconds % 60 == 0:
        return "%d min" % (seconds // 60)
    return "%d s" % seconds


def duration(low: float, high: float) -> Kind:
    """A duration of ``low`` to ``high`` seconds."""
    def parse(text: str) -> float:
        seconds = parse_duration(text)
        if not low <= seconds <= high:
            bare = text.strip().isdigit() and seconds > high
            raise WrongValue("is too %s%s" % ("short" if seconds < low else "long",
                                              " (a bare number is seconds)" if bare else ""))
        return seconds
    bounds = "%s to %s" % (show_duration(low), show_duration(high))
    return Kind("duration, %s" % bounds, "give a duration of %s, such as 15 s or 500 ms" % bounds, parse, show_duration)


def size(low: int, high: int) -> Kind:
    """A size of ``low`` to ``high`` bytes; kB and MB are powers of ten, KiB and MiB of two."""
    def parse(text: str) -> int:
        match = _QUANTITY.fullmatch(text.strip())
        factor = _BYTES.get(match.group(2).lower()) if match else None
        if not match or factor is None:
            raise WrongValue("is not a size")
        value = int(float(match.group(1)) * factor)
        if not low <= value <= high:
            raise WrongValue("is too %s" % ("small" if value < low else "large"))
        return value
    bounds = "%s to %s" % (_show_size(low), _show_size(high))
    return Kind("size in bytes, %s" % bounds, "give a size of %s, such as 500 kB or 2 MB" % bounds, parse, _show_size)


def _show_size(value: int) -> str:
    for unit, factor in (("MB", 1000000), ("kB", 1000)):
        if value >= factor and value % factor == 0:
            return "%d %s" % (value // factor, unit)
    return "%d bytes" % value


def _repetition(text: str) -> float:
    if text.strip() == "-1":
        return -1.0
    return 0.0 if text.strip() == "0" else _AT_LEAST_A_SECOND.parse(text)


_AT_LEAST_A_SECOND = duration(1, 86400)
REPETITION = Kind("duration, 1 s to 1 d; 0 is never, -1 once", "give a duration of 1 s to 24 h, 0 or -1", _repetition,
                  lambda value: "-1" if value < 0 else show_duration(value))


# --- delays by conference size ---------------------------------------------------------------------------------------

_LONGEST_DELAY = 60.0


def _delays(text: str) -> Tuple[Tuple[int, float], ...]:
    """``50: 500 ms, 100: 1 s`` -> ((50, 0.5), (100, 1.0)), by ascending size."""
    found = {}
    for part in text.strip("{} ").split(","):
        if not part.strip():
            continue
        people, colon, delay = part.partition(":")
        people = people.strip(" \"'")
        if not colon or not re.fullmatch("[0-9]{1,6}", people):
            raise WrongValue("has %r where a size and a delay should be" % part.strip())
        seconds = parse_duration(delay)
        if seconds > _LONGEST_DELAY:
            raise WrongValue("has a delay of more than a minute (a bare number is seconds)")
        found[int(people)] = seconds
    return tuple(sorted(found.items()))


def _show_delays(delays: Tuple[Tuple[int, float], ...]) -> str:
    return ", ".join("%d: %s" % (people, show_duration(seconds)) for people, seconds in delays)


DELAYS = Kind("sizes with durations", "give sizes with delays such as 50: 500 ms, 100: 1 s", _delays, _show_delays)


# --- bridges: strategies and regions ---------------------------------------------------------------------------------

SPLIT, VISITOR = "SplitBridgeSelectionStrategy", "VisitorSelectionStrategy"
_STRATEGIES = {"single": "SingleBridgeSelectionStrategy", "split": SPLIT,
               "region-based": "RegionBasedBridgeSelectionStrategy",
               "intra-region": "IntraRegionBridgeSelectionStrategy", "visitor": VISITOR}
_MAX_REGION = 128


def strategy(*names: str) -> Kind:
    """One of some strategies by its short name, or by the reference's with or without its package (B-525)."""
    known = {name: _STRATEGIES[name] for name in names}
    known.update((name.lower(), name) for name in list(known.values()))
    short = {value: name for name, value in _STRATEGIES.items()}

    def parse(text: str) -> str:
        found = known.get(_plain(text).rpartition(".")[2].lower().replace("_", "-"))
        if found is None:
            raise WrongValue("is none of them")
        return found
    listing = ", ".join(names[:-1]) + " or " + names[-1]
    return Kind(listing, "give one of " + listing, parse, lambda value: short[value])


STRATEGY = strategy(*_STRATEGIES)
INNER_STRATEGY = strategy(*(name for name in _STRATEGIES if name != "visitor"))


def _region(text: str) -> str:
    if len(text) > _MAX_REGION or not re.fullmatch(r"[^\s,\[\]\"']+", text):
        raise WrongValue("is not the name of a region")
    return text


def _region_groups(text: str) -> Tuple[Tuple[str, ...], ...]:
    """``[us-east us-west] [eu-central eu-west]``; commas, quotes and brackets around the whole do no harm."""
    bare = re.sub("[\"',]", " ", text).strip()
    if re.fullmatch(r"\[\s*(\[.*\])?\s*\]", bare):
        bare = bare[1:-1].strip()
    if re.sub(r"\[[^\[\]]*\]", "", bare).strip():
        raise WrongValue("has something outside of its groups")
    groups = tuple(tuple(map(_region, group.split())) for group in re.findall(r"\[([^\[\]]*)\]", bare))
    seen = set()
    for region in (region for group in groups for region in group):
        if region in seen:
            raise WrongValue("has the region %s twice" % region)
        seen.add(region)
    return tuple(group for group in groups if group)


REGION = Kind("name of a region", "give a name such as eu-west", _region)
REGION_GROUPS = Kind("groups of regions", "give groups such as [us-east us-west] [eu-central eu-west], no region twice",
                     _region_groups, lambda groups: " ".join("[%s]" % " ".join(group) for group in groups))


def shown(kind: Kind, value: Optional[Any]) -> str:
    """The value as the ini would have it, secrets masked; nothing for a value that isn't set."""
    return "" if value is None else kind.show(value)
