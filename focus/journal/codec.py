"""Rows as bytes: a MessagePack array of the fields, in their order.

What a row is made of is read off its class. A field that is added later stands behind the others and has a default:
so it has that default in rows written before, and a program that doesn't know it leaves it out. The same holds for the
fields of a NamedTuple within a row, but for the last: more of them than are known make the row unreadable.
"""
from __future__ import annotations

import dataclasses
import typing
from operator import attrgetter
from typing import Any, Callable, Dict, List, Tuple

import msgspec

from focus.journal.rows import Unreadable
from focus.values.sources import Source, SourceSet, SsrcGroup

_SOURCES = Tuple[Tuple[Source, ...], Tuple[SsrcGroup, ...]]


def _write(value: Any) -> Any:
    """What msgspec doesn't know by itself."""
    if isinstance(value, SourceSet):
        return (value.sources, value.groups)
    raise NotImplementedError("a row can't hold a %s" % type(value).__name__)


def _read(kind: type, value: Any) -> Any:
    if kind is SourceSet:
        return SourceSet(*msgspec.convert(value, _SOURCES))
    raise NotImplementedError("a row can't hold a %s" % kind.__name__)


_encoder = msgspec.msgpack.Encoder(enc_hook=_write)


class _Shape:
    """How the rows of one class are written; a row that is watched has a class of its own over it."""

    def __init__(self, kind: type) -> None:
        hints = typing.get_type_hints(kind)
        fields = [field for field in dataclasses.fields(kind) if field.metadata.get("journal", True)]
        self.kind = kind
        self.names: List[str] = [field.name for field in fields]
        self._get: Callable[[Any], Any] = attrgetter(*self.names) if len(fields) > 1 else self._single
        struct: Any = msgspec.defstruct(kind.__name__, [_field(field, hints[field.name]) for field in fields],
                                        array_like=True)
        self._decoder = msgspec.msgpack.Decoder(struct, dec_hook=_read)

    def _single(self, row: Any) -> Tuple[Any]:
        return (getattr(row, self.names[0]),)

    def encode(self, row: Any) -> bytes:
        data: bytes = _encoder.encode(self._get(row))
        return data

    def fields(self, data: bytes) -> Dict[str, Any]:
        stored = self._decoder.decode(data)
        return {name: getattr(stored, name) for name in self.names}


def _field(field: Any, hint: Any) -> Tuple[Any, ...]:
    if field.default_factory is not dataclasses.MISSING:
        return (field.name, hint, msgspec.field(default_factory=field.default_factory))
    if field.default is not dataclasses.MISSING:
        return (field.name, hint, field.default)
    return (field.name, hint)


class RowCodec:
    """The codec of all ledgers; made once."""

    def __init__(self) -> None:
        self._shapes: Dict[type, _Shape] = {}
        self._decoders: Dict[type, Any] = {}
        self._encoders: Dict[type, Callable[[Any], bytes]] = {}

    def _shape(self, kind: type) -> _Shape:
        shape = self._shapes.get(kind)
        if shape is None:
            shape = self._shapes[kind] = _Shape(kind)
        return shape

    def encode(self, row: Any) -> bytes:
        """The row as bytes."""
        kind = type(row)
        shape = self._shapes.get(kind)
        if shape is None:
            if not dataclasses.is_dataclass(kind):
                data: bytes = _encoder.encode(row)
                return data
            shape = self._shape(kind)
        return shape.encode(row)

    def encoder(self, kind: type) -> Callable[[Any], bytes]:
        """``encode`` for one kind of row."""
        encode = self._encoders.get(kind)
        if encode is None:
            encode = self._shape(kind).encode if dataclasses.is_dataclass(kind) else _encoder.encode
            self._encoders[kind] = encode
        return encode

    def decode(self, kind: type, data: bytes) -> Any:
        """A new row. Raises Unreadable."""
        try:
            if dataclasses.is_dataclass(kind):
                return kind(**self._shape(kind).fields(data))
            decoder = self._decoders.get(kind)
            if decoder is None:
                decoder = self._decoders[kind] = msgspec.msgpack.Decoder(kind, dec_hook=_read)
            return decoder.decode(data)
        except (msgspec.MsgspecError, ValueError, TypeError) as error:
            raise Unreadable("not a %s: %s" % (kind.__name__, error)) from None

    def restore(self, row: Any, data: bytes) -> None:
        """Give a row the fields it had when these bytes were made."""
        for name, value in self._shape(type(row)).fields(data).items():
            setattr(row, name, value)


CODEC = RowCodec()
