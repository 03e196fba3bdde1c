"""What a run by hand is about: the data interval and the id that the DAG's timetable gives it, as in Airflow 3.2.2."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from leoflow.execution.timetable_questions import SQL, Connections, ask
from leoflow.timetables import DataInterval, timetable_of


@dataclass(frozen=True, slots=True)
class ManualRun:
    """A run somebody triggers; what is None is made up, by the timetable or by the engine."""

    run_type: str = "manual"
    run_id: str | None = None
    logical_date: datetime | None = None
    interval: DataInterval | None = None
    run_after: datetime | None = None

    def arguments(self) -> dict[str, Any]:
        """What `engine.create_run` takes."""
        return {
            "run_type": self.run_type,
            "run_id": self.run_id,
            "logical_date": self.logical_date,
            "data_interval_start": self.interval and self.interval.start,
            "data_interval_end": self.interval and self.interval.end,
            "run_after": self.run_after,
        }


async def plan(connections: Connections, dag_id: str, wanted: ManualRun, *, infers_from_now: bool = False) -> ManualRun:
    """Complete a run that somebody triggers.

    A run without a logical date has no data interval, whatever was asked for. One with a date and without an interval
    gets what the timetable infers: from the logical date, as Airflow's REST API does, or from the present time, as its
    TriggerDagRunOperator does.

    Args:
        connections: to read the schedule, and to ask a scheduler where only the project's code knows it.
        dag_id: the DAG; nothing is known of one that does not exist, and `create_run` refuses it.
        wanted: what the caller said.
        infers_from_now: see above.

    Raises:
        NobodyAnswersError: a custom timetable, and no scheduler to ask it.
        LeoflowError: the timetable fails.
    """
    async with connections() as connection:
        row = await (await connection.execute(SQL["schedule"], (dag_id,))).fetchone()
    if row is None:
        return wanted
    schedule, is_custom, version_key, now = row
    interval = wanted.interval if wanted.logical_date is not None else None
    run = replace(wanted, run_after=wanted.run_after or now, interval=interval)
    infers_from = None
    if run.logical_date is not None and run.interval is None:
        infers_from = run.run_after if infers_from_now else run.logical_date
    if is_custom and (infers_from is not None or run.run_id is None):
        return await _asked(connections, version_key, run, infers_from)
    if infers_from is not None:
        return replace(run, interval=timetable_of(schedule).manual_interval(infers_from))
    return run


async def _asked(connections: Connections, version_key: int, run: ManualRun, infers_from: datetime | None) -> ManualRun:
    question = {
        "question": "manual",
        "run_type": run.run_type,
        "run_after": _text(run.run_after),
        "infers_from": _text(infers_from),
        "interval": run.interval and [_text(run.interval.start), _text(run.interval.end)],
    }
    answer = await ask(connections, version_key, question)
    interval = None
    if answer["start"] is not None:
        interval = DataInterval(datetime.fromisoformat(answer["start"]), datetime.fromisoformat(answer["end"]))
    return replace(run, interval=interval, run_id=run.run_id or answer["run_id"])


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
