"""A bridge's statistics (B-120…B-126), in its brewery presence, in what it publishes, or sent by itself (K-773): eleven
of some eighty are read, and the time stamp."""
from __future__ import annotations

import re
from typing import Any, Dict, NamedTuple, Optional, Union

from focus.stanzas import xml
from focus.stanzas.errors import Malformed
from focus.stanzas.registry import register

_STATS = "{%s}stats" % xml.NS_COLIBRI
_NUMBERS = frozenset(("stress_level", "average_participant_stress"))
_FLAGS = frozenset(("graceful_shutdown", "shutting_down", "drain", "healthy", "colibri2"))
_TEXTS = frozenset(("version", "release", "region", "relay_id", "current_timestamp"))
_NAMES = _NUMBERS | _FLAGS | _TEXTS
_DECIMAL = re.compile(r"\+?[0-9]{1,15}(\.[0-9]{0,30})?([eE][+-]?[0-9]{1,2})?", re.ASCII)
MAX_LENGTH = 256


class BridgeStats(NamedTuple):
    """What one presence reports; None: not reported, so what was known before stands (B-121)."""

    stress_level: Optional[float] = None
    """Load divided by the bridge's own overload mark; above 1 is possible."""
    average_participant_stress: Optional[float] = None
    """What one more endpoint will add."""
    graceful_shutdown: Optional[bool] = None
    shutting_down: Optional[bool] = None
    drain: Optional[bool] = None
    version: Optional[str] = None
    release: Optional[str] = None
    region: Optional[str] = None
    relay_id: Optional[str] = None
    healthy: Optional[bool] = None
    current_timestamp: Optional[str] = None
    """As written. A dead session's last presence repeats it: only a changed one is a sign of life (B-410)."""
    colibri2: Optional[bool] = None
    """Whether it speaks Colibri 2; said by bridges of January 2022 to April 2024 only (K-830, K-831)."""


def parse_bridge_stats(presence: Any) -> Optional[BridgeStats]:
    """The statistics of a presence element; None if it carries none (B-105). The first of a name counts."""
    stats = xml.child(presence, _STATS)
    return None if stats is None else _read(stats)


def parse_sent_stats(el: Any, iq_type: str) -> BridgeStats:
    """Those that a bridge sends as a request. Raises Malformed for a get."""
    if iq_type == "get":
        raise Malformed("feature-not-implemented", "statistics are sent by set")
    return _read(el)


def _read(stats: Any) -> BridgeStats:
    found: Dict[str, Any] = {}
    for stat in xml.elements(stats):
        name = stat.get("name")
        if name not in _NAMES or name in found:
            continue
        value = stat.get("value")
        if value is None:
            continue
        if name in _NUMBERS:
            found[name] = float(value) if _DECIMAL.fullmatch(value) else None
        elif name in _FLAGS:
            found[name] = value.lower() == "true"
        else:
            found[name] = value[:MAX_LENGTH] or None
    return BridgeStats(**found)


def write_bridge_stats(stats: BridgeStats, **others: Union[str, int, float]) -> str:
    """The ``<stats/>`` a bridge publishes; ``others`` are further statistics by name."""
    values: Dict[str, Union[str, int, float, bool, None]] = dict(stats._asdict())
    values.update(others)
    parts = []
    for name, value in values.items():
        if value is not None:
            text = ("true" if value else "false") if isinstance(value, bool) else str(value)
            parts.append("<stat name='%s' value='%s'/>" % (name, xml.quote(text)))
    return xml.element("stats", None, "".join(parts), xml.NS_COLIBRI)


register(xml.NS_COLIBRI, "stats", parse_sent_stats)
