"""Ask Airflow 3.2.2 what interval and id a run by hand gets from each timetable and each way to trigger it.

Run in an environment of its own with `apache-airflow==3.2.2`, in an empty AIRFLOW_HOME; the output is committed:

    AIRFLOW_HOME=$(mktemp -d) python tests/truth/generate_manual_runs.py tests/truth/manual_runs.json

The ways are the REST API, materializing an asset, and the TriggerDagRunOperator (which names its run itself). A row:
the schedule as dag.json has it, the way, what was asked for, and the run's interval and id.
"""

import itertools
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pendulum
from airflow.api.common import trigger_dag
from airflow.api_fastapi.core_api.datamodels.assets import MaterializeAssetBody
from airflow.api_fastapi.core_api.datamodels.dag_run import TriggerDAGRunPostBody
from airflow.serialization.definitions.assets import SerializedAsset, SerializedAssetAll
from airflow.timetables.assets import AssetOrTimeSchedule
from airflow.timetables.events import EventsTimetable
from airflow.timetables.interval import CronDataIntervalTimetable, DeltaDataIntervalTimetable
from airflow.timetables.simple import AssetTriggeredTimetable, ContinuousTimetable, NullTimetable, OnceTimetable
from airflow.timetables.trigger import CronTriggerTimetable, DeltaTriggerTimetable, MultipleCronTriggerTimetable
from airflow.utils.types import DagRunTriggeredByType
from dateutil.relativedelta import relativedelta

UTC_ZONE, BERLIN = pendulum.timezone("UTC"), pendulum.timezone("Europe/Berlin")
EVENTS = ["2026-01-02T03:00:00+00:00", "2026-05-01T00:00:00+00:00"]
ASSET = SerializedAssetAll([SerializedAsset("a", "s3://a", "asset", {}, [])])
EXPRESSION = {
    "type": "all",
    "objects": [{"type": "asset", "name": "a", "uri": "s3://a", "group": "asset", "extra": {}}],
}
DAILY = {"type": "cron", "expression": "0 6 * * *", "timezone": "Europe/Berlin", "data_interval": True}
SCHEDULES: list[tuple[dict[str, Any] | None, Any]] = [
    (None, NullTimetable()),
    ({"type": "once"}, OnceTimetable()),
    ({"type": "continuous"}, ContinuousTimetable()),
    (DAILY, CronDataIntervalTimetable("0 6 * * *", BERLIN)),
    ({**DAILY, "data_interval": False}, CronTriggerTimetable("0 6 * * *", timezone=BERLIN)),
    (
        {**DAILY, "data_interval": False, "interval_seconds": 3600.0},
        CronTriggerTimetable("0 6 * * *", timezone=BERLIN, interval=timedelta(hours=1)),
    ),
    (
        {
            "type": "multiple_cron",
            "expressions": ["0 6 * * *", "0 9 1 * *"],
            "timezone": "UTC",
            "interval_seconds": 60.0,
        },
        MultipleCronTriggerTimetable("0 6 * * *", "0 9 1 * *", timezone=UTC_ZONE, interval=timedelta(minutes=1)),
    ),
    ({"type": "delta", "seconds": 5400.0, "data_interval": True}, DeltaDataIntervalTimetable(timedelta(minutes=90))),
    ({"type": "delta", "seconds": 5400.0, "data_interval": False}, DeltaTriggerTimetable(timedelta(minutes=90))),
    (
        {"type": "delta", "seconds": None, "relativedelta": {"months": 1}, "data_interval": True},
        DeltaDataIntervalTimetable(relativedelta(months=1)),
    ),
    ({"type": "events", "events": EVENTS}, EventsTimetable([pendulum.parse(each) for each in EVENTS])),
    (
        {"type": "events", "events": EVENTS, "restrict_to_events": True},
        EventsTimetable([pendulum.parse(each) for each in EVENTS], restrict_to_events=True),
    ),
    ({"type": "assets", "expression": EXPRESSION}, AssetTriggeredTimetable(ASSET)),
    (
        {"type": "asset_or_time", "expression": EXPRESSION, "timetable": DAILY},
        AssetOrTimeSchedule(timetable=CronDataIntervalTimetable("0 6 * * *", BERLIN), assets=ASSET),
    ),
]
LOGICAL_DATES = [None, "2026-03-29T03:30:00+00:00", "2025-12-31T12:00:00+00:00"]
RUN_AFTER = "2026-04-01T10:11:12.131415+00:00"
INTERVAL = ["2026-01-01T00:00:00+00:00", "2026-01-08T00:00:00+00:00"]


def text(moment: Any) -> str | None:
    return moment and moment.astimezone(UTC).isoformat()


def row(schedule: Any, way: str, asked: dict[str, Any], made: dict[str, Any]) -> dict[str, Any]:
    span = made["data_interval"]
    return {
        **{"schedule": schedule, "way": way, **asked, "run_id": made["run_id"]},
        "made": span and [text(span.start), text(span.end)],
    }


def main() -> None:
    rows = []
    for (schedule, timetable), date, interval in itertools.product(SCHEDULES, LOGICAL_DATES, (None, INTERVAL)):
        asked = {"logical_date": date, "interval": interval}
        spans = dict(zip(("data_interval_start", "data_interval_end"), interval or (None, None), strict=True))
        for way, kind in (("rest", TriggerDAGRunPostBody), ("materialize", MaterializeAssetBody)):
            body = kind(logical_date=date, run_after=RUN_AFTER, **spans)
            made = body.validate_context(SimpleNamespace(timetable=timetable))
            rows.append(row(schedule, way, asked, made))
        if interval is None:
            dag = SimpleNamespace(timetable=timetable, default_args={}, create_dagrun=lambda **kwargs: kwargs)
            bag = SimpleNamespace(get_latest_version_of_dag=lambda *_, dag=dag, **__: dag)
            with mock.patch.object(trigger_dag.DagRun, "find_duplicate", lambda **_: None):
                made = trigger_dag._trigger_dag(
                    "d",
                    bag,
                    triggered_by=DagRunTriggeredByType.OPERATOR,
                    run_id="manual__named",
                    run_after=datetime.fromisoformat(RUN_AFTER),
                    logical_date=date and pendulum.parse(date),
                    replace_microseconds=False,
                    session=mock.Mock(),
                )
            rows.append(row(schedule, "operator", asked, made))
    Path(sys.argv[1]).write_text("[\n" + ",\n".join(json.dumps(each, separators=(",", ":")) for each in rows) + "\n]\n")


main()
