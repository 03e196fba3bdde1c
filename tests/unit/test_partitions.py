"""Partition keys are mapped and runs of partitions planned as under Airflow 3.2.2 (see tests/truth)."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from leoflow.errors import LeoflowError
from leoflow.timetables import DataInterval, Restriction, timetable_of
from leoflow.timetables.partitions import is_custom, map_key, mapper_of

TRUTH: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parents[1] / "truth" / "partitions.json").read_text()
)
IDENTITY, DAY = {"type": "identity"}, {"type": "start_of", "unit": "day"}


def mapped(mapper: dict[str, Any], key: str) -> str | None:
    try:
        return map_key(mapper, key)
    except ValueError:
        return None


def test_keys_are_mapped_as_in_airflow() -> None:
    assert len(TRUTH["mappers"]) > 300
    wrong = [case for case in TRUTH["mappers"] if mapped(case["mapper"], case["key"]) != case["mapped"]]
    assert wrong == []


def moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def chain(case: dict[str, Any]) -> list[list[str]]:
    """The same chain of questions as the recording script asked Airflow."""
    now, last = datetime.fromisoformat(case["now"]), None
    restriction = Restriction(moment(case["earliest"]), moment(case["latest"]), case["catchup"])
    runs: list[list[str]] = []
    while len(runs) < 5:
        run = timetable_of(case["schedule"]).next_run(last, restriction, now)
        if run is None:
            break
        assert run.partition_date is not None and run.partition_key is not None and run.dates == (None, None)
        runs.append([run.run_after.isoformat(), run.partition_date.isoformat(), run.partition_key])
        last = DataInterval.exact(run.run_after)
        if not case["catchup"]:
            now = max(now, run.run_after + timedelta(seconds=1))
    return runs


@pytest.mark.parametrize("number", range(len(TRUTH["runs"])))
def test_runs_of_partitions_are_those_of_airflow(number: int) -> None:
    assert chain(TRUTH["runs"][number]) == TRUTH["runs"][number]["runs"]


def test_the_mapper_is_found_by_the_name_of_the_asset() -> None:
    leaves = [{"type": "name_ref", "name": "b"}, {"type": "uri_ref", "uri": "s3://c"}, {"type": "alias", "name": "d"}]
    mappers = [{"asset": {"type": "all", "objects": leaves}, "mapper": DAY}]
    schedule = {"default_mapper": IDENTITY, "mappers": mappers}
    assert [mapper_of(schedule, name) for name in ("a", "b", "s3://c", "d")] == [IDENTITY, DAY, IDENTITY, IDENTITY]


def test_a_mapper_of_the_project_is_not_computed_here() -> None:
    own = {"type": "custom", "class": "my.Mapper", "fields": {}}
    assert is_custom({"type": "chain", "mappers": [IDENTITY, {"type": "product", "mappers": [own, IDENTITY]}]})
    assert not is_custom({"type": "chain", "mappers": [IDENTITY, DAY]})
    with pytest.raises(LeoflowError, match="custom"):
        map_key(own, "a")
