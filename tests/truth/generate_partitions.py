"""Ask Airflow 3.2.2's partition mappers and CronPartitionTimetable, and write down what they answer.

Run in an environment of its own with `apache-airflow==3.2.2`, in an empty AIRFLOW_HOME; the output is committed:

    AIRFLOW_HOME=$(mktemp -d) python tests/truth/generate_partitions.py tests/truth/partitions.json

A row of `mappers` is a mapper as dag.json has it, a key, and what it is mapped to (null: it is refused). A row of
`runs` is a chain: each run is the last one of the next question, the clock is a second after it unless runs are caught
up on. A run is `[run_after, partition_date, partition_key]`.
"""

import itertools
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pendulum
from airflow.partition_mappers import temporal
from airflow.partition_mappers.allowed_key import AllowedKeyMapper
from airflow.partition_mappers.chain import ChainMapper
from airflow.partition_mappers.identity import IdentityMapper
from airflow.partition_mappers.product import ProductMapper
from airflow.timetables import trigger
from airflow.timetables.base import TimeRestriction
from airflow.timetables.trigger import CronPartitionTimetable

SECONDS, DAY = "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"


def start_of(unit: str, **options: str) -> tuple[dict[str, Any], Any]:
    mapper = getattr(temporal, f"StartOf{unit.title()}Mapper")(**options)
    formats = {"input_format": mapper.input_format, "output_format": mapper.output_format}
    return {"type": "start_of", "unit": unit, "timezone": options.get("timezone", "UTC"), **formats}, mapper


IDENTITY = ({"type": "identity"}, IdentityMapper())
REGIONS = ({"type": "allowed_key", "allowed_keys": ["us", "eu"]}, AllowedKeyMapper(["us", "eu"]))
UNITS = ("hour", "day", "week", "month", "quarter", "year")


def joined(kind: str, *parts: tuple[dict[str, Any], Any], **options: Any) -> tuple[dict[str, Any], Any]:
    described = {"type": kind, "mappers": [each for each, _ in parts], **options}
    return described, {"chain": ChainMapper, "product": ProductMapper}[kind](*(each for _, each in parts), **options)


MAPPERS = [
    IDENTITY,
    REGIONS,
    *(start_of(unit) for unit in UNITS),
    *(start_of(unit, timezone="Europe/Berlin", input_format="%Y-%m-%dT%H:%M:%S%z") for unit in UNITS),
    start_of("day", input_format=DAY, output_format="day %j of %Y"),
    start_of("quarter", input_format="%Y-%m", output_format="Q{quarter} {quarter} %y"),
    joined("product", REGIONS, start_of("day"), delimiter="|"),
    joined("product", IDENTITY, IDENTITY, start_of("month", input_format=DAY), delimiter="/"),
    joined("chain", start_of("day"), start_of("month", input_format=DAY)),
    joined("chain", start_of("year"), REGIONS),
]
KEYS = [
    *("us", "asia", "", "2026-01-01T00:00:00", "2024-02-29T23:59:59", "2026-12-31T10:11:12", "2026-07-05T01:02:03"),
    *("2026-03-29T01:30:00+0000", "2026-10-24T22:30:00-0500", "2026-05", "2026-05-17", "eu|2026-05-17T08:00:00"),
    *("asia|2026-05-17T08:00:00", "eu|us|2026", "a/b/2026-05-17", "2026-13-01T00:00:00"),
]


def mapped(mapper: Any, key: str) -> str | None:
    try:
        return str(mapper.to_downstream(key))
    except ValueError:
        return None


def text(moment: Any) -> str:
    return str(moment.astimezone(UTC).isoformat())


def chain(
    schedule: dict[str, Any], earliest: str | None, latest: str | None, catchup: bool, now: datetime
) -> list[Any]:
    options = {name: schedule[name] for name in ("run_offset", "key_format")}
    zone = pendulum.timezone(schedule["timezone"])
    table = CronPartitionTimetable(
        schedule["expression"], timezone=zone, run_immediately=schedule["run_immediately"], **options
    )
    restriction = TimeRestriction(earliest and pendulum.parse(earliest), latest and pendulum.parse(latest), catchup)
    last, runs = None, []
    for _ in range(5):
        with mock.patch.object(trigger, "utcnow", lambda now=now: pendulum.instance(now)):
            last = table.next_dagrun_info_v2(last_dagrun_info=last, restriction=restriction)
        if last is None:
            break
        runs.append([text(last.run_after), text(last.partition_date), last.partition_key])
        if not catchup:
            now = max(now, datetime.fromisoformat(runs[-1][0]) + timedelta(seconds=1))
    return runs


def main() -> None:
    mappers = [
        {"mapper": described, "key": key, "mapped": mapped(mapper, key)}
        for (described, mapper), key in itertools.product(MAPPERS, KEYS)
    ]
    runs = []
    now = "2024-10-26T22:07:13+00:00"
    for expression, zone, offset, key_format, immediately in [
        ("0 * * * *", "UTC", 0, SECONDS, False),
        ("0 * * * *", "Europe/Berlin", -1, SECONDS, True),
        ("30 2 * * *", "Europe/Berlin", 2, "%Y-%m-%d (W%V)", False),
        ("0 6 1 * *", "America/New_York", -3, "%Y/%m", True),
    ]:
        schedule = {"type": "cron_partition", "expression": expression, "timezone": zone, "run_offset": offset}
        schedule |= {"key_format": key_format, "run_immediately": immediately}
        limits = [(None, None), ("2024-10-25T22:30:00+00:00", None), ("2024-10-01T00:00:00Z", "2024-10-26T23:30:00Z")]
        for (earliest, latest), catchup in itertools.product(limits, (True, False)):
            given = {"schedule": schedule, "earliest": earliest, "latest": latest, "catchup": catchup, "now": now}
            runs.append({**given, "runs": chain(schedule, earliest, latest, catchup, datetime.fromisoformat(now))})
    lines = [
        f'"{name}": [\n' + ",\n".join(map(json.dumps, rows)) + "\n]"
        for name, rows in (("mappers", mappers), ("runs", runs))
    ]
    Path(sys.argv[1]).write_text("{\n" + ",\n".join(lines) + "\n}\n")


main()
