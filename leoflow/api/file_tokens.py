"""The `file_token` of a DAG: names its file, signed, for `PUT /api/v2/parseDagFile/{file_token}`."""

import base64
import binascii
import hashlib
import hmac

import orjson

_SIGNATURE_BYTES = 20


def make(secret: str, bundle_name: str | None, relative_fileloc: str | None) -> str:
    """Sign the place of a file."""
    place = orjson.dumps({"bundle_name": bundle_name, "relative_fileloc": relative_fileloc})
    return f"{_text(place)}.{_text(_signature(secret, place))}"


def read(secret: str, token: str) -> tuple[str | None, str | None] | None:
    """Return bundle and file of a token of ours, None for any other text."""
    place, _, signature = token.partition(".")
    try:
        document, given = _bytes(place), _bytes(signature)
    except (binascii.Error, ValueError):
        return None
    if not hmac.compare_digest(_signature(secret, document), given):
        return None
    values = orjson.loads(document)
    return values["bundle_name"], values["relative_fileloc"]


def _signature(secret: str, document: bytes) -> bytes:
    return hmac.new(secret.encode(), b"file:" + document, hashlib.sha256).digest()[:_SIGNATURE_BYTES]


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
