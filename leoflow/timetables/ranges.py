"""The runs of a schedule in a range of dates, for backfills (Airflow, iter_dagrun_infos_between)."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from leoflow.timetables.base import DataInterval, Restriction, RunInfo
from leoflow.timetables.spec import timetable_of


def runs_between(
    schedule: Mapping[str, Any] | None, earliest: datetime, latest: datetime, now: datetime
) -> Iterator[RunInfo]:
    """Yield the runs whose moments lie in the range, both ends included, and whose intervals are over.

    Of a schedule of partitions it is the moment from which a run may start that lies there, and moments to come count
    too, as in Airflow: their runs wait for them.

    Args:
        schedule: the `schedule` of a dag.json.
        earliest: the first date.
        latest: the last date.
        now: the database's time; intervals that end later are left out, partitions are not.

    Raises:
        LeoflowError: the schedule cannot be computed here.
    """
    timetable = timetable_of(schedule)
    is_partitioned = (schedule or {}).get("type") == "cron_partition"
    restriction = Restriction(earliest, latest if is_partitioned else min(latest, now), catchup=True)
    last: DataInterval | None = None
    while run := timetable.next_run(last, restriction, now):
        if last is not None and run.logical_date <= last.start:
            return  # `@continuous` would propose the same moment for ever
        if is_partitioned or run.interval.end < now:
            yield run
        last = run.interval
