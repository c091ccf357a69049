"""Rows as bytes: every kind the program has, the fields of older and of later versions, and that none is ever moved."""
from __future__ import annotations

import dataclasses
import itertools
import typing
from typing import Any, Dict, Iterator, List, Tuple

import msgspec
import pytest

import focus.service
from focus.conference.signalling import Change
from focus.conference.state import BridgeSession, Participant
from focus.doubt import Pace
from focus.features import Features
from focus.journal.codec import CODEC, RowCodec
from focus.journal.rows import Row, Unreadable
from focus.values.sources import Source, SourceSet, SsrcGroup

STORED: Dict[str, Tuple[str, ...]] = {
    "focus.bridge.finding.brewery.Standing": ("inside", "entering", "attempts", "present", "retry_at"),
    "focus.bridge.bridge.Bridge": (
        "jid", "added_at", "seen_at", "average_stress", "stress", "graceful_shutdown", "shutting_down", "draining",
        "version", "release", "region", "relay_id", "healthy", "stamp", "real_jid", "sctp", "sctp_asked_at",
        "failed_at", "failed_why", "unproven",  # in its place stood "silent": not used before it is heard, too
        "passed", "failing_ice_until", "dialect", "dialect_from", "origin", "reported", "failures", "checkable",
        "dialect_asked_at", "dialect_awaited", "silent"),
    "focus.bridge.choice.pins.Pin": ("room", "version", "until"),
    "focus.bridge.debts.Owed": ("bridge", "meeting_id", "since"),
    "focus.bridge.finding.reports.Report": ("node", "at"),
    "focus.conference.signalling.SourceLog": ("version",),
    "focus.conference.state.Asker": ("connection", "id", "to", "from_", "since"),
    "focus.conference.state.BridgeSession": (
        "bridge", "id", "region", "phase", "feedback", "expired", "expiring", "clears", "internal_error_of"),
    "focus.conference.state.Clearing": ("bridge", "request", "until", "pause"),
    "focus.conference.state.ConferenceState": (
        "room", "number", "created_at", "properties", "phase", "meeting_id", "is_owner", "is_breakout", "join_attempt",
        "joined_at", "kicks", "seen_inside", "thrown_out", "asked", "answered_at", "joins", "invites", "drops",
        "timers", "owner", "no_bridge_since", "no_bridge_said"),
    "focus.conference.state.Endpoint": (
        "id", "invite", "created", "asked", "sctp", "transport", "unsent", "send_sources", "last_n", "repeated"),
    "focus.conference.state.Member": (
        "nick", "jid", "info", "order", "since", "features", "granted_at", "refusals", "renounced"),
    "focus.conference.state.Participant": (
        "endpoint", "jid", "phase", "invite", "sid", "bridge_session", "features", "json", "rewriting", "signalled",
        "confirmed", "update", "update_until", "flush_at", "refused_sids", "restarts", "attempts", "held", "retry_at",
        "reinvites", "excluded", "answers", "owed"),
    "focus.conference.state.Published": ("etherpad", "properties", "bridge_not_available", "sent", "sent_at"),
    "focus.conference.state.Relay": (
        "link", "bridge", "relay_id", "mesh", "initiator", "phase", "sctp", "refused_sctp", "transport", "handed_over",
        "silent_at", "renewals", "expired", "expiring", "until"),
    "focus.conference.state.RelayedEndpoint": ("id", "asked", "created", "send_sources"),
    "focus.conference.state.Request": ("id", "kind", "to", "endpoint", "invite", "session", "at", "sctp"),
    "focus.doubt.Pace": ("rate",),
    "focus.features.Asking": ("room", "jid", "caps", "key", "late"),
    "focus.journal.lanes.LaneRow": ("id", "kind", "args", "ids", "writes", "heard"),
}
"""What stands in the journals that are out there, field by field in its order. New fields are appended, in the class
and here; nothing is ever removed, renamed or moved without a new SCHEMA."""

VALUES: Dict[str, Tuple[str, ...]] = {
    "focus.conference.offer.Features": (
        "audio", "video", "sctp", "rtx", "tcc", "remb", "red", "json_sources", "ssrc_rewriting", "rtp_mid_demux",
        "audio_mute", "start_muted_metadata", "visitors", "audio_translation", "assumed"),
    "focus.conference.signalling.Change": ("version", "owner", "before", "after"),
    "focus.conference.state.Allocated": ("endpoint", "invite", "transport", "sctp_port", "bridge"),
    "focus.conference.state.Answer": ("id", "action", "sid", "error"),
    "focus.stanzas.caps.Caps": ("node", "ver", "hash"),
    "focus.stanzas.errors.StanzaError": ("type", "condition", "text", "extra"),
    "focus.stanzas.focus_presence.FocusPresence": (
        "caps", "etherpad", "version", "properties", "bridge_not_available", "extensions"),
    "focus.stanzas.member.MemberInfo": (
        "role", "real_jid", "connections", "sources", "audio_muted", "video_muted", "stats_id", "region", "codecs",
        "diarize", "features", "caps", "status", "robot", "start_muted"),
    "focus.stanzas.source_info.SourceState": ("name", "media", "muted", "video_type"),
    "focus.values.channels.Channels": ("endpoint", "ids", "muted"),
    "focus.values.channels.Leftover": ("conference", "channels"),
    "focus.values.sources.Source": ("ssrc", "media", "name", "msid", "video_type"),
    "focus.values.sources.SsrcGroup": ("semantics", "media", "ssrcs"),
    "focus.values.transport.Candidate": ("attributes",),
    "focus.values.transport.Fingerprint": ("value", "hash", "setup", "required", "cryptex"),
    "focus.values.transport.Transport": ("attributes", "rtcp_mux", "fingerprints", "web_sockets", "candidates"),
}
"""The same for the named tuples within rows. An earlier version can't read one with more fields: READABLE_FROM."""


def row_kinds() -> Iterator[Any]:
    """Every class of rows that the program has."""
    kinds: List[Any] = list(Row.__subclasses__())
    for kind in kinds:
        if Row in kind.__bases__ and kind.__module__.startswith("focus."):
            yield kind


def name_of(kind: Any) -> str:
    return "%s.%s" % (kind.__module__, kind.__name__)


def stored_fields(kind: Any) -> List[Any]:
    return [field for field in dataclasses.fields(kind) if field.metadata.get("journal", True)]


def values_in(hint: Any) -> Iterator[Any]:
    """The named tuples in a type."""
    for argument in getattr(hint, "__args__", None) or ():
        yield from values_in(argument)
    if hasattr(hint, "_fields"):
        yield hint
        for inner in typing.get_type_hints(hint).values():
            yield from values_in(inner)


KINDS = sorted(row_kinds(), key=name_of)


NAMED = {name_of(value): value for kind in KINDS for field in stored_fields(kind)
         for value in values_in(typing.get_type_hints(kind)[field.name])}
NAMED.update((name_of(value), value) for kind in (Change, Features, Source, SsrcGroup) for value in values_in(kind))


# --- samples --------------------------------------------------------------------------------------------------------

class Samples:
    """Values for a type, no two alike and none a default."""

    def __init__(self) -> None:
        self._numbers = itertools.count(3)

    def row(self, kind: type) -> Any:
        return kind(**self.fields(kind, [field.name for field in stored_fields(kind)]))

    def fields(self, kind: type, names: Any) -> Dict[str, Any]:
        hints = typing.get_type_hints(kind)
        return {name: self.value(hints[name]) for name in names}

    def value(self, hint: Any) -> Any:
        number = next(self._numbers)
        origin: Any = getattr(hint, "__origin__", None)
        arguments: Any = getattr(hint, "__args__", ())
        if origin is typing.Union:
            return self.value(next(one for one in arguments if one is not type(None)))
        if origin is tuple:
            kinds = arguments[:1] * 2 if arguments[-1] is Ellipsis else arguments
            return tuple(self.value(one) for one in kinds)
        if origin is list:
            return [self.value(arguments[0])]
        if origin is not None:  # a dict or a mapping
            return {self.value(arguments[0]): self.value(arguments[1]) for _ in range(2)}
        if hint is SourceSet:
            return SourceSet((Source(number, "audio", "n", None, "camera"), Source(number + 1, "video")),
                             (SsrcGroup("FID", "video", (number, number + 1)),))
        if hasattr(hint, "_fields"):
            return hint(**self.fields(hint, hint._fields))
        plain = {str: "ö<%d>" % number, int: number * 2 ** 40, float: number / 7, bool: True, Any: number}
        return plain[hint]


def as_stored(row: Any) -> Dict[str, Any]:
    return {field.name: getattr(row, field.name) for field in stored_fields(type(row))}


# --- every kind -----------------------------------------------------------------------------------------------------

def test_every_kind_is_known_here():
    """Nobody adds a row class without saying here what it stores."""
    assert focus.service is not None
    assert sorted(name_of(kind) for kind in KINDS) == sorted(STORED)


@pytest.mark.parametrize("kind", KINDS, ids=name_of)
def test_stored_fields_are_only_appended(kind):
    fields = stored_fields(kind)
    pinned = list(STORED[name_of(kind)])
    assert [field.name for field in fields][:len(pinned)] == pinned
    for field in fields[len(pinned):]:
        assert field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING, (
            "%s needs a default: rows that are out there don't have it" % field.name)


def test_the_fields_of_values_are_only_appended():
    assert sorted(NAMED) == sorted(VALUES)
    for name, kind in NAMED.items():
        pinned, fields = list(VALUES[name]), list(kind._fields)
        assert fields[:len(pinned)] == pinned
        assert set(fields[len(pinned):]) <= set(kind._field_defaults), name


@pytest.mark.parametrize("kind", KINDS, ids=name_of)
def test_there_and_back(kind):
    """Full of values, and with defaults only."""
    row = Samples().row(kind)
    data = CODEC.encode(row)
    found = CODEC.decode(kind, data)
    assert type(found) is kind and as_stored(found) == as_stored(row) and CODEC.encode(found) == data
    needed = [field.name for field in stored_fields(kind) if field.default is dataclasses.MISSING
              and field.default_factory is dataclasses.MISSING]
    plain = kind(**Samples().fields(kind, needed))
    assert as_stored(CODEC.decode(kind, CODEC.encode(plain))) == as_stored(plain)
    CODEC.restore(plain, data)
    assert as_stored(plain) == as_stored(row)


@pytest.mark.parametrize("kind", KINDS, ids=name_of)
def test_of_a_later_version(kind):
    """Fields behind those that are known are left out."""
    row = Samples().row(kind)
    parts = msgspec.msgpack.decode(CODEC.encode(row))
    later = msgspec.msgpack.encode([*parts, {"new": [1, None]}, "newer"])
    assert as_stored(CODEC.decode(kind, later)) == as_stored(row)


@pytest.mark.parametrize("kind", KINDS, ids=name_of)
def test_of_an_earlier_version(kind):
    """Fields that are missing have their defaults; those without one have to be there."""
    row = Samples().row(kind)
    parts = msgspec.msgpack.decode(CODEC.encode(row))
    fields = stored_fields(kind)
    for count in range(len(fields)):
        rest = fields[count:]
        data = msgspec.msgpack.encode(parts[:count])
        if any(f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING for f in rest):
            with pytest.raises(Unreadable):
                CODEC.decode(kind, data)
            continue
        found = as_stored(CODEC.decode(kind, data))
        for number, field in enumerate(fields):
            made = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
            assert found[field.name] == (getattr(row, field.name) if number < count else made)


@pytest.mark.parametrize("kind", KINDS, ids=name_of)
@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x90\x90", b"\x80", b"\xa3abc", b"\x93\xc0\xc0\xc0", b"\xff" * 40])
def test_garbage(kind, data):
    """What can't be a row is told, or is one with defaults."""
    try:
        found = CODEC.decode(kind, data)
    except Unreadable as error:
        assert kind.__name__ in str(error)
    else:
        assert type(found) is kind


@pytest.mark.parametrize("kind", KINDS, ids=name_of)
def test_damaged(kind):
    """Any byte of it is another: a row, or Unreadable, and nothing else."""
    data = CODEC.encode(Samples().row(kind))
    for place in range(len(data)):
        for byte in (0x00, 0x80, 0xc0, 0xc1, 0xdd, 0xff, data[place] ^ 1):
            try:
                CODEC.decode(kind, data[:place] + bytes([byte]) + data[place + 1:])
            except Unreadable:
                pass
        try:
            CODEC.decode(kind, data[:place])
        except Unreadable:
            pass


# --- what is no Row -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", [str, SourceSet, Change, Features], ids=lambda kind: kind.__name__)
def test_values_without_fields(kind):
    """Texts, sets of sources and named tuples stand in tables too."""
    value = Samples().value(kind)
    data = CODEC.encode(value)
    found = CODEC.decode(kind, data)
    assert found == value and type(found) is kind and CODEC.encode(found) == data
    with pytest.raises(Unreadable):
        CODEC.decode(kind, b"\xc1")


def test_equal_rows_are_equal_bytes():
    """A row that is watched is written like one that isn't, and by every codec."""
    for kind in KINDS:
        assert CODEC.encode(Samples().row(kind)) == RowCodec().encode(Samples().row(kind))


def test_infinite_times():
    """`never` stands in many rows."""
    row = Participant("a", "b", retry_at=float("inf"), flush_at=float("-inf"))
    found = CODEC.decode(Participant, CODEC.encode(row))
    assert (found.retry_at, found.flush_at) == (float("inf"), float("-inf"))


def test_only_one_field():
    assert CODEC.encode(Pace(2.5)) == b"\x91" + msgspec.msgpack.encode(2.5)


def test_derived_fields_are_not_stored():
    session = BridgeSession("b", "id", None)
    assert "endpoints" not in as_stored(session) and CODEC.decode(BridgeSession, CODEC.encode(session)).endpoints == {}


def test_what_cannot_be_stored():
    @dataclasses.dataclass(eq=False)
    class Odd(Row):
        thing: Any = None

    with pytest.raises(NotImplementedError, match="a row can't hold a object"):
        RowCodec().encode(Odd(object()))
