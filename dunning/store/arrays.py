"""Whole columns for PostgreSQL, packed as it sends them itself.

As text each value would be written, searched for what must be quoted, and read again; a webhook's
body would double in size. Packed it is its length and its bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final

from psycopg import adapters
from psycopg.adapt import Dumper
from psycopg.pq import Format
from sqlalchemy import (
    ARRAY,
    Boolean,
    DateTime,
    Dialect,
    Integer,
    LargeBinary,
    String,
    TypeDecorator,
)
from sqlalchemy.types import TypeEngine

from dunning.clock import utc

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_NULL: Final = struct.pack(">i", -1)

_head = struct.Struct(">iiiii").pack
_length = struct.Struct(">i").pack
_number = struct.Struct(">iq").pack
_truth = struct.Struct(">i?").pack


def _bytes(value: bytes) -> bytes:
    return _length(len(value)) + value


def _text(value: str) -> bytes:
    encoded = value.encode()
    return _length(len(encoded)) + encoded


def _int(value: int) -> bytes:
    return _number(8, value)


def _bool(value: bool) -> bytes:
    return _truth(1, value)


def _time(value: datetime) -> bytes:
    return _number(8, (utc(value) - _EPOCH) // _MICROSECOND)


class _Packed(bytes):
    """An array as PostgreSQL reads it; each kind says what its elements are."""

    __slots__ = ()
    of: ClassVar[int]  # the number PostgreSQL knows the type of an element by
    array: ClassVar[int]  # and that of the array


class _Texts(_Packed):
    of, array = 25, 1009


class _Numbers(_Packed):
    of, array = 20, 1016


class _Truths(_Packed):
    of, array = 16, 1000


class _Times(_Packed):
    of, array = 1184, 1185


class _Blobs(_Packed):
    of, array = 17, 1001


_KINDS: Final[tuple[tuple[type[TypeEngine[Any]], type[_Packed], Callable[[Any], bytes]], ...]] = (
    (DateTime, _Times, _time),
    (Boolean, _Truths, _bool),
    (Integer, _Numbers, _int),
    (String, _Texts, _text),
    (LargeBinary, _Blobs, _bytes),
)


def _pack(kind: type[_Packed], one: Callable[[Any], bytes], values: Iterable[Any]) -> _Packed:
    packed = [_NULL if value is None else one(value) for value in values]
    if not packed:
        return kind(struct.pack(">iii", 0, 0, kind.of))
    return kind(b"".join([_head(1, 1, kind.of, len(packed), 1), *packed]))


class Column(TypeDecorator[Any]):
    """The values of one column, as a parameter of a statement."""

    impl = ARRAY
    cache_ok = True

    def __init__(self, of: TypeEngine[Any]) -> None:
        super().__init__(of)
        self.of = of  # by this SQLAlchemy tells the statements apart that it has compiled
        plain = of.impl_instance if isinstance(of, TypeDecorator) else of
        self._kind, self._one = next(
            (kind, one) for known, kind, one in _KINDS if isinstance(plain, known)
        )

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], _Packed]:
        """Pack the values; nothing is left to do for the driver."""
        kind, one = self._kind, self._one
        return lambda values: _pack(kind, one, values)


def _dumper(kind: type[_Packed]) -> type[Dumper]:
    class _AsItIs(Dumper):
        format = Format.BINARY
        oid = kind.array

        def dump(self, obj: _Packed) -> bytes:
            return obj

    return _AsItIs


for _kind in (_Texts, _Numbers, _Truths, _Times, _Blobs):
    adapters.register_dumper(_kind, _dumper(_kind))
