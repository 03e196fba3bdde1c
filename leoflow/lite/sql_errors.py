"""Refusals of the SQL functions (SQLSTATE class LF) as errors a user understands."""

import contextlib
from collections.abc import AsyncIterator

import psycopg

from leoflow.errors import LeoflowError


@contextlib.asynccontextmanager
async def in_users_words() -> AsyncIterator[None]:
    """Turn a refusal of the engine into a LeoflowError with its message and hint."""
    try:
        yield
    except psycopg.Error as error:
        if error.sqlstate is None or not error.sqlstate.startswith("LF"):
            raise
        raise LeoflowError(error.diag.message_primary or "refused", hint=error.diag.message_hint or "") from error
