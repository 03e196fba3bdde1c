"""Arrays as parameters of hot statements: binary, of one fixed type each.

psycopg's own lists are text, escaped value by value, and take the type of their largest number, so that one statement
is prepared once per combination of sizes. These are a twentieth of the work, and their statements are prepared once.
"""

import struct
from collections.abc import Callable
from typing import Any, ClassVar

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

_HEADER = struct.Struct("!iIIii")
_EMPTY = struct.Struct("!iII")
_INT4 = struct.Struct("!ii").pack
_INT8 = struct.Struct("!iq").pack
_LENGTH = struct.Struct("!i").pack
_NULL = _LENGTH(-1)


class Ints(list[int]):
    """An `int[]`."""


class Bigints(list[int]):
    """A `bigint[]`."""


class Uuids(list[Any]):
    """A `uuid[]`."""


class Bools(list[bool]):
    """A `boolean[]`."""


class Texts(list[str | None]):
    """A `text[]`; None is null."""


class Byteas(list[bytes]):
    """A `bytea[]`."""


class Jsonbs(list[bytes | None]):
    """A `jsonb[]` of encoded JSON; None is null."""


def _with_length(data: bytes) -> bytes:
    return _LENGTH(len(data)) + data


class _ArrayDumper(Dumper):
    format = Format.BINARY
    element_oid: ClassVar[int]
    encode: ClassVar[Callable[[Any], bytes]]

    def dump(self, obj: Any) -> Buffer | None:
        """Return the array as the server reads it."""
        if not obj:
            return _EMPTY.pack(0, 0, self.element_oid)
        encode = type(self).encode
        items = [_NULL if item is None else encode(item) for item in obj]
        return _HEADER.pack(1, _NULL in items, self.element_oid, len(items), 1) + b"".join(items)


def _register(kind: type, type_name: str, encode: Callable[[Any], bytes]) -> None:
    info = psycopg.adapters.types[type_name]
    attributes = {"oid": info.array_oid, "element_oid": info.oid, "encode": staticmethod(encode)}
    psycopg.adapters.register_dumper(kind, type(f"_{kind.__name__}Dumper", (_ArrayDumper,), attributes))


_register(Ints, "int4", lambda number: _INT4(4, number))
_register(Bigints, "int8", lambda number: _INT8(8, number))
_register(Uuids, "uuid", lambda uuid: _with_length(uuid.bytes))
_register(Bools, "bool", lambda flag: b"\x00\x00\x00\x01\x01" if flag else b"\x00\x00\x00\x01\x00")
_register(Texts, "text", lambda text: _with_length(text.encode()))
_register(Byteas, "bytea", _with_length)
_register(Jsonbs, "jsonb", lambda document: _with_length(b"\x01" + document))
