"""From the `schedule` object of a dag.json to a timetable."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from leoflow.errors import LeoflowError
from leoflow.timetables.base import Timetable, utc
from leoflow.timetables.cron import CronPartition, CronSchedule, CronTrigger, MultipleCron
from leoflow.timetables.delta import delta_of
from leoflow.timetables.intervals import cron_interval, delta_interval
from leoflow.timetables.simple import Continuous, DeltaTrigger, Events, Never, Once


def timetable_of(schedule: Mapping[str, Any] | None) -> Timetable:
    """The timetable of a dag.json's `schedule` (None: only triggered by hand).

    Raises:
        LeoflowError: the schedule is malformed, or of a type that has no timetable here.
    """
    if schedule is None:
        return Never()
    match schedule.get("type"):
        case "cron":
            return _cron(schedule)
        case "multiple_cron":
            return MultipleCron(tuple(_trigger(schedule, each) for each in schedule["expressions"]))
        case "cron_partition":
            trigger = _trigger(schedule, schedule["expression"])
            return CronPartition(trigger, schedule.get("run_offset") or 0, schedule["key_format"])
        case "delta":
            return _delta(schedule)
        case "once":
            return Once()
        case "continuous":
            return Continuous()
        case "events":
            return _events(schedule)
        case "assets" | "partitioned_assets":
            return Never()
        case "asset_or_time":
            return timetable_of(schedule.get("timetable"))
        case other:
            raise LeoflowError(
                "this kind of schedule cannot be computed here",
                where=str(schedule.get("class") or other),
                hint="use a cron expression, a timedelta, or one of Airflow's own timetables",
            )


def _cron(schedule: Mapping[str, Any]) -> Timetable:
    if schedule.get("data_interval"):
        return cron_interval(CronSchedule.parse(schedule["expression"], schedule.get("timezone") or "UTC"))
    return _trigger(schedule, schedule["expression"])


def _trigger(schedule: Mapping[str, Any], expression: str) -> CronTrigger:
    immediately = schedule.get("run_immediately") or False
    return CronTrigger(
        CronSchedule.parse(expression, schedule.get("timezone") or "UTC"),
        interval=delta_of(schedule, "interval_"),
        run_immediately=immediately if isinstance(immediately, bool) else timedelta(seconds=immediately),
    )


def _delta(schedule: Mapping[str, Any]) -> Timetable:
    delta = delta_of(schedule)
    if isinstance(delta, timedelta) and delta <= timedelta():
        raise LeoflowError("a schedule interval must be positive", where=str(delta), hint="use a longer timedelta")
    if schedule.get("data_interval"):
        return delta_interval(delta)
    return DeltaTrigger(delta, delta_of(schedule, "interval_"))


def _events(schedule: Mapping[str, Any]) -> Events:
    moments = sorted(utc(datetime.fromisoformat(text)) for text in schedule.get("events") or ())
    return Events(moments=tuple(moments), restrict_to_events=bool(schedule.get("restrict_to_events")))
