"""Copies of logs in an object store: S3, Google Cloud Storage, Azure Blob Storage or a directory, through `obstore`.

`obstore` is an optional part of the installation (`leoflow[object-store]`): one wheel without dependencies of its own
for all four stores, asynchronous, with multipart uploads. Credentials come from where each store's own tools look for
them: AWS_*, GOOGLE_* and AZURE_* variables, instance roles.
"""

import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlsplit

from leoflow.errors import ExitCode, LeoflowError

SCHEMES = ("s3", "gs", "az", "abfs", "abfss", "file")
_SEGMENT = 180
_PART = 8 * 1024 * 1024
_READ = 1024 * 1024
_OPTIONS: dict[str, Any] = {
    # Short: whoever copies tries again later, and nobody who reads a log should wait for minutes.
    "client_options": {"timeout": "30s", "connect_timeout": "5s", "allow_http": True},
    "retry_config": {"max_retries": 2, "retry_timeout": timedelta(seconds=20)},
}


class LogStore:
    """One place for copies of logs.

    Args:
        url: `s3://bucket/prefix`, `gs://…`, `az://container/prefix` or `file:///directory`.

    Raises:
        LeoflowError: the URL is not one of these, or `obstore` is not installed.
    """

    def __init__(self, url: str) -> None:
        scheme = urlsplit(url).scheme
        if scheme not in SCHEMES:
            raise LeoflowError(
                f"logs cannot be copied to {scheme or 'a path'}",
                where="logs.store_url",
                hint=f"use a URL that starts with {', '.join(f'{name}://' for name in SCHEMES)}",
                exit_code=ExitCode.USAGE,
            )
        try:
            from obstore.store import from_url
        except ImportError as error:
            raise LeoflowError(
                "copying logs needs the package obstore",
                where="logs.store_url",
                hint="pip install 'leoflow[object-store]'",
                exit_code=ExitCode.USAGE,
            ) from error
        options: dict[str, Any] = {"mkdir": True} if scheme == "file" else _OPTIONS
        try:
            self._store: Any = from_url(url, **options)
        except Exception as error:
            raise LeoflowError(
                f"the store of logs cannot be used: {_first_line(error)}",
                where="logs.store_url",
                hint="see docs/logs.md",
                exit_code=ExitCode.USAGE,
            ) from error

    async def write(self, name: str, chunks: AsyncIterator[bytes]) -> None:
        """Write an object, replacing one of the same name; readers see it whole or not at all.

        Raises:
            StoreError: the store is away or refuses.
        """
        try:
            await self._store.put_async(name, chunks, chunk_size=_PART)
        except Exception as error:
            raise StoreError(_first_line(error)) from error

    async def read(self, name: str) -> AsyncIterator[bytes] | None:
        """Return an object's bytes as they come; None when there is none of that name.

        Raises:
            StoreError: the store is away or refuses.
        """
        try:
            found = await self._store.get_async(name)
        except FileNotFoundError:
            return None
        except Exception as error:
            raise StoreError(_first_line(error)) from error
        return _pieces(found)


class StoreError(Exception):
    """The object store could not do it; the text says why."""


def object_name(dag_id: str, run_id: str, task_id: str, map_index: int, try_number: int) -> str:
    """Return the name of an attempt's log, as Airflow's own remote logs are named; the same one every time."""
    segments = [f"dag_id={dag_id}", f"run_id={run_id}", f"task_id={task_id}"]
    if map_index >= 0:
        segments.append(f"map_index={map_index}")
    return "/".join([*map(_segment, segments), f"attempt={try_number}.log"])


def _segment(text: str) -> str:
    """Make one path segment of a text: quoted, and shortened where a file system would refuse it."""
    quoted = quote(text, safe="=:+@~")
    if len(quoted) <= _SEGMENT:
        return quoted
    return f"{quoted[: _SEGMENT - 20]}~{hashlib.sha256(text.encode()).hexdigest()[:16]}"


async def _pieces(found: Any) -> AsyncIterator[bytes]:
    try:
        async for piece in found.stream(min_chunk_size=_READ):
            yield bytes(piece)
    except Exception as error:
        raise StoreError(_first_line(error)) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
