"""Timetables answer what Airflow 3.2.2 answered (see `tests/dev/record_timetables.py`)."""

import json
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from leoflow.errors import LeoflowError
from leoflow.timetables import DataInterval, Restriction, timetable_of
from leoflow.timetables.cron import CronSchedule

DATA = Path(__file__).parent / "data" / "timetables.jsonl"
CASES = [json.loads(line) for line in DATA.read_text().splitlines()]
GROUPS = {name: list(cases) for name, cases in groupby(CASES, key=lambda case: json.dumps(case["schedule"]))}


def moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None


def span(interval: DataInterval) -> str:
    ends = [interval.start.replace(tzinfo=None).isoformat(), interval.end.replace(tzinfo=None).isoformat()]
    return "/".join(dict.fromkeys(ends))


def chain(case: dict[str, Any]) -> list[str | None]:
    """The same chain of questions as the recording script asked Airflow."""
    table, last, now = timetable_of(case["schedule"]), None, moment(case["now"])
    restriction = Restriction(moment(case["earliest"]), moment(case["latest"]), case["catchup"])
    answers: list[str | None] = []
    for _ in case["runs"]:
        assert now is not None
        run = table.next_run(last, restriction, now)
        if run is None:
            return [*answers, None]
        assert run.run_after == run.interval.end
        last = run.interval
        answers.append(span(last))
        if not case["catchup"]:
            now = max(now, run.run_after + timedelta(seconds=1))
    return answers


@pytest.mark.parametrize("name", GROUPS)
def test_next_runs_and_manual_intervals_are_those_of_airflow(name: str) -> None:
    for case in GROUPS[name]:
        now = moment(case["now"])
        assert now is not None
        assert chain(case) == case["runs"], case
        assert span(timetable_of(case["schedule"]).manual_interval(now)) == case["manual"], case


def test_the_recording_covers_repeated_and_skipped_hours() -> None:
    zones = {case["schedule"].get("timezone") for case in CASES}
    assert {"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "UTC"} <= zones
    assert len(CASES) > 1500


@pytest.mark.parametrize("expression", ["", "* * *", "61 * * * *", "0 25 * * *", "0 0 31 2 *", "every day", "@never"])
def test_a_bad_cron_expression_is_refused_with_a_remedy(expression: str) -> None:
    with pytest.raises(LeoflowError, match="bad cron expression") as refusal:
        CronSchedule.parse(expression, "UTC")
    assert "five fields" in refusal.value.hint


@pytest.mark.parametrize("zone", ["Mars/Olympus", "+99:00", "../etc/passwd"])
def test_an_unknown_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(LeoflowError, match="unknown time zone"):
        CronSchedule.parse("0 0 * * *", zone)


@pytest.mark.parametrize("seconds", [0, -60])
def test_a_delta_that_does_not_advance_is_refused(seconds: int) -> None:
    with pytest.raises(LeoflowError, match="must be positive"):
        timetable_of({"type": "delta", "seconds": seconds, "data_interval": False})


@pytest.mark.parametrize("parts", [{"months": -1}, {"day": 1}, {"weekday": [0, 1]}, {}])
def test_calendar_steps_that_lead_nowhere_are_refused_where_they_do(parts: dict[str, Any]) -> None:
    monday = datetime(2024, 4, 1, tzinfo=UTC)
    table = timetable_of({"type": "delta", "seconds": None, "relativedelta": parts, "data_interval": False})
    with pytest.raises(LeoflowError, match="does not advance"):
        table.next_run(DataInterval.exact(monday), Restriction(monday, None, True), monday)


def test_calendar_steps_without_a_length_cannot_skip_to_the_present() -> None:
    table = timetable_of({"type": "delta", "seconds": None, "relativedelta": {"day": 1}, "data_interval": True})
    with pytest.raises(LeoflowError, match="no length"):
        table.next_run(None, Restriction(None, None, False), datetime(2024, 4, 2, tzinfo=UTC))


@pytest.mark.parametrize("parts", [{"months": 1.5}, {"fortnights": 1}, {"month": "May"}])
def test_bad_calendar_steps_are_refused(parts: dict[str, Any]) -> None:
    with pytest.raises(LeoflowError, match="bad relativedelta"):
        timetable_of({"type": "delta", "seconds": None, "relativedelta": parts, "data_interval": False})


def test_no_schedule_and_asset_schedules_have_no_next_run() -> None:
    now = datetime(2024, 1, 1, tzinfo=UTC)
    for schedule in (None, {"type": "assets", "expression": {}}):
        assert timetable_of(schedule).next_run(None, Restriction(None, None, True), now) is None


def test_an_asset_or_time_schedule_follows_its_timetable() -> None:
    now = datetime(2024, 1, 1, 12, tzinfo=UTC)
    table = timetable_of({"type": "asset_or_time", "timetable": {"type": "cron", "expression": "0 0 * * *"}})
    run = table.next_run(None, Restriction(None, None, False), now)
    assert run is not None and run.run_after == datetime(2024, 1, 2, tzinfo=UTC)


def test_a_custom_timetable_is_named_in_the_refusal() -> None:
    with pytest.raises(LeoflowError, match=r"acme\.Lunar"):
        timetable_of({"type": "custom", "class": "acme.Lunar"})
