"""Asks timetables that only a project's own code knows, from a process that has no such code: a scheduler answers."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from leoflow.db.queries import load
from leoflow.errors import LeoflowError

SQL = load("timetable_questions")
TAKEN_WITHIN_SECONDS = 15.0
_FIRST_LOOK_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 0.25

Connections = Callable[[], AbstractAsyncContextManager[AsyncConnection[Any]]]
"""Gives a connection in autocommit for as long as one statement takes."""


class NobodyAnswersError(LeoflowError):
    """No scheduler took the question, or the one that did has died."""


async def ask(connections: Connections, version_key: int, arguments: dict[str, Any]) -> Any:
    """Return what the timetable of a DAG's version answers; see `leoflow.runtime.usercode.timetables.answer`.

    Raises:
        NobodyAnswersError: try again later.
        LeoflowError: the timetable fails; the text is for users.
    """
    async with connections() as connection:
        row = await (await connection.execute(SQL["ask"], (version_key, Jsonb(arguments)))).fetchone()
    assert row is not None
    try:
        return await _answer(connections, row[0])
    finally:
        async with connections() as connection:
            await connection.execute(SQL["forget"], (row[0],))


async def _answer(connections: Connections, question_key: int) -> Any:
    pause = _FIRST_LOOK_SECONDS
    while True:
        await asyncio.sleep(pause)
        pause = min(pause * 1.3, _LONGEST_PAUSE_SECONDS)
        async with connections() as connection:
            row = await (await connection.execute(SQL["answer_of"], (TAKEN_WITHIN_SECONDS, question_key))).fetchone()
        if row is None:
            raise LeoflowError("the DAG was removed meanwhile", hint="register it again")
        answer, error, is_answered, is_lost = row
        if error is not None:
            raise LeoflowError(
                "the timetable fails", where=str(error), hint="correct the timetable; see docs/schedules.md"
            )
        if is_answered:
            return answer
        if is_lost:
            raise NobodyAnswersError(
                "no scheduler answers for the DAG's timetable", hint="is one running? see `leoflow doctor`"
            )
