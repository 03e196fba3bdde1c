"""Answers questions to custom timetables that processes without the project's code ask (`leoflow.execution`).

A service of its own: a person waits for the answer, and must not wait for a timetable that hangs elsewhere.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import structlog
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from leoflow.config import UserCodeSettings
from leoflow.db import Pool, retry_transient
from leoflow.db.queries import load
from leoflow.execution.usercode import Call, CallError, CallLimits, CodePlace, UserCode
from leoflow.scheduler.custom_timetables import LEASE_SLACK_SECONDS, PARALLEL, words
from leoflow.scheduler.service import Service

SQL = load("timetable_questions")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and where the code is that must be asked."""

    question_key: int
    dag_id: str
    environment_key: str | None
    bundle_path: str | None
    relative_fileloc: str | None
    arguments: dict[str, Any]

    @property
    def place(self) -> CodePlace:
        """Where the code is."""
        return CodePlace(
            self.dag_id, self.environment_key, self.bundle_path or "/nowhere", self.relative_fileloc or "dag.py"
        )


class TimetableQuestions(Service):
    """The service behind `leoflow.execution.timetable_questions.ask`; any number may run."""

    name = "timetable questions"
    channels = ("leoflow_timetables",)
    poll_seconds = 10.0

    def __init__(self, pool: Pool, settings: UserCodeSettings, usercode: UserCode) -> None:
        super().__init__()
        self._pool = pool
        self._settings = settings
        self._limits = CallLimits(settings.timetable_seconds, settings.memory_bytes, settings.output_bytes)
        self._usercode = usercode

    async def work(self) -> float | None:
        """Answer one batch side by side."""
        questions = await self._take()
        await asyncio.gather(*(self._answer(question) for question in questions))
        return 0.0 if len(questions) == PARALLEL else None

    async def _take(self) -> list[Question]:
        arguments = {"limit": PARALLEL, "seconds": self._settings.timetable_seconds + LEASE_SLACK_SECONDS}
        async with self._pool.connection() as connection, connection.cursor(row_factory=class_row(Question)) as cursor:
            await cursor.execute(SQL["take"], arguments)
            return await cursor.fetchall()

    async def _answer(self, question: Question) -> None:
        answer = error = None
        try:
            answer = (
                await self._usercode.call(Call(question.place, "timetable", question.arguments, self._limits))
            ).result
        except CallError as problem:
            error = words(problem)
            log.warning("a timetable could not be asked", dag_id=question.dag_id, error=str(problem))
        await retry_transient(lambda: self._store(question, answer, error))

    async def _store(self, question: Question, answer: Any, error: str | None) -> None:
        arguments = {"question_key": question.question_key, "answer": Jsonb(answer), "error": error}
        async with self._pool.connection() as connection:
            await connection.execute(SQL["answer"], arguments)
