"""A connection's sealed part: one encrypted JSON document."""

from collections.abc import Mapping
from typing import Any

import orjson

from leoflow.crypto import SecretBox

FIELDS = ("host", "schema", "login", "port", "password", "extra")
"""What is sealed; `connection_id`, `conn_type` and `description` are not."""

_UNSEALED = b"\x00"
"""Ahead of a document that an earlier version left readable: its password and extra are tokens of their own."""


def seal(box: SecretBox, values: Mapping[str, Any]) -> bytes:
    """Encrypt the fields of a connection."""
    return box.encrypt(orjson.dumps({name: values.get(name) for name in FIELDS}).decode())


def unseal(box: SecretBox, sealed: bytes | memoryview) -> dict[str, Any]:
    """Return the fields of a connection.

    Raises:
        LeoflowError: none of the keys sealed it.
    """
    data = bytes(sealed)
    if data.startswith(_UNSEALED):
        document = orjson.loads(data[len(_UNSEALED) :])
        for name in ("password", "extra"):
            if document[name] is not None:
                document[name] = box.decrypt(document[name].encode())
    else:
        document = orjson.loads(box.decrypt(data))
    return {name: document.get(name) for name in FIELDS}


def is_current(box: SecretBox, sealed: bytes | memoryview) -> bool:
    """Tell whether a connection is sealed with the key that writes now."""
    return box.is_current(sealed)
