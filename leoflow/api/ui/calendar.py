"""`/ui/calendar`: runs by hour or day, those that were and those that are planned."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends

from leoflow.api.deps import Conn, Viewer
from leoflow.api.rows import Row, row, rows
from leoflow.api.ui.models import Calendar, CalendarEntry
from leoflow.db import queries
from leoflow.errors import LeoflowError
from leoflow.timetables import DataInterval, Restriction, timetable_of

router = APIRouter(prefix="/calendar", tags=["Calendar"])

MAXIMUM_PLANNED = 2000
_PERIODIC = frozenset({"cron", "multiple_cron", "delta", "cron_partition"})

Granularity = Literal["hourly", "daily"]


@dataclass(frozen=True, slots=True)
class Span:
    """The range of dates that is shown: logical ones, or those of partitions."""

    gte: datetime | None
    gt: datetime | None
    lte: datetime | None
    lt: datetime | None

    def holds(self, moment: datetime) -> bool:
        """Whether a moment is inside."""
        return (
            (self.gte is None or moment >= self.gte)
            and (self.gt is None or moment > self.gt)
            and (self.lte is None or moment <= self.lte)
            and (self.lt is None or moment < self.lt)
        )


def _span(
    logical_date_gte: datetime | None = None,
    logical_date_gt: datetime | None = None,
    logical_date_lte: datetime | None = None,
    logical_date_lt: datetime | None = None,
    partition_date_gte: datetime | None = None,
    partition_date_gt: datetime | None = None,
    partition_date_lte: datetime | None = None,
    partition_date_lt: datetime | None = None,
) -> Span:
    bounds = (partition_date_gte, partition_date_gt, partition_date_lte, partition_date_lt)
    if not any(bounds):
        bounds = (logical_date_gte, logical_date_gt, logical_date_lte, logical_date_lt)
    return Span(*(b if b is None or b.tzinfo else b.replace(tzinfo=UTC) for b in bounds))


@router.get("/{dag_id}")
async def get_calendar(
    dag_id: str,
    conn: Conn,
    _: Viewer,
    span: Annotated[Span, Depends(_span)],
    granularity: Granularity = "daily",
) -> Calendar:
    """Count runs by their logical date or their partition's, and the scheduled ones that the year still brings."""
    named = queries.load("ui")
    bounds = {"gte": span.gte, "gt": span.gt, "lte": span.lte, "lt": span.lt}
    unit = "hour" if granularity == "hourly" else "day"
    past = await rows(conn, named.calendar, {"dag_id": dag_id, "unit": unit} | bounds)
    entries = [CalendarEntry.model_validate(entry) for entry in past if entry["date"] is not None]
    dag = await row(conn, named.schedule, {"dag_id": dag_id})
    if dag is not None and past:
        entries.extend(await asyncio.to_thread(_planned, dag, past[-1], span, granularity))
    return Calendar(total_entries=len(entries), dag_runs=entries)


def _planned(dag: Row, last: Row, span: Span, granularity: Granularity) -> list[CalendarEntry]:
    """Count the runs the timetable has after the last one, within its year."""
    schedule = dag["schedule"] or {}
    if schedule.get("type") not in _PERIODIC or last["data_interval_end"] is None:
        return []
    try:
        dates = Counter(_truncate(date, granularity) for date in _dates(dag, last) if span.holds(date))
    except (LeoflowError, OverflowError):
        return []
    return [CalendarEntry(date=date, state="planned", count=count) for date, count in dates.items()]


def _dates(dag: Row, last: Row) -> Iterator[datetime]:
    timetable = timetable_of(dag["schedule"])
    restriction = Restriction(dag["start_date"], dag["end_date"], True)
    interval = DataInterval(last["data_interval_start"], last["data_interval_end"])
    year = interval.end.year
    for _ in range(MAXIMUM_PLANNED):
        run = timetable.next_run(interval, restriction, dag["now"])
        if run is None:
            return
        date = run.partition_date or run.logical_date
        if date.year != year:
            return
        yield date
        interval = run.interval


def _truncate(moment: datetime, granularity: Granularity) -> datetime:
    hour = moment.hour if granularity == "hourly" else 0
    return moment.astimezone(UTC).replace(hour=hour, minute=0, second=0, microsecond=0)
