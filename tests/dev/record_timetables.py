"""Record what Airflow 3.2.2's timetables answer, for `tests/unit/test_timetables.py` to compare with.

Run it with an interpreter that has apache-airflow 3.2.2:  `python tests/dev/record_timetables.py`
Every case is a chain: each run's interval is the next question's last interval. With catch-up the clock stands still,
without it the clock is one second after the run that was just found.
"""

import itertools
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

import pendulum
from airflow.serialization.decoders import decode_relativedelta
from airflow.serialization.encoders import encode_relativedelta
from airflow.timetables import interval, trigger
from airflow.timetables.base import DataInterval, TimeRestriction
from airflow.timetables.events import EventsTimetable
from airflow.timetables.interval import CronDataIntervalTimetable, DeltaDataIntervalTimetable
from airflow.timetables.simple import ContinuousTimetable, OnceTimetable
from airflow.timetables.trigger import CronTriggerTimetable, DeltaTriggerTimetable, MultipleCronTriggerTimetable

CRONS = [
    *("0 * * * *", "30 * * * *", "*/20 * * * *", "30 2 * * *", "0 2 * * *", "0 */2 * * *", "15 1-3 * * *", "0 0 * * *"),
    *("@daily", "@hourly", "@weekly", "@monthly", "59 23 L * *", "0 3 * * 0", "0 0 13 * 5", "30 1 * * 1-5"),
]
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Asia/Kolkata",
    "+02:00",
]
NIGHTS = [
    "2024-03-09T22:10:00",
    "2024-03-30T23:30:00",
    "2024-10-26T22:00:00",
    "2024-11-02T23:45:00",
    "2024-04-06T12:00:00",
]
EXTRA_NIGHTS = {
    "America/Sao_Paulo": ["2018-02-17T23:00:00", "2018-11-03T20:00:00"],
    "Australia/Lord_Howe": ["2024-10-05T12:00:00"],
}
EVENTS = ["2024-10-26T22:00:00+00:00", "2024-10-19T01:00:00+00:00", "2024-10-28T00:00:00+02:00"]
STEPS = 6


def timetable(schedule):
    kind = schedule["type"]
    zone = schedule.get("timezone", "UTC")
    if kind == "cron" and schedule.get("data_interval"):
        return CronDataIntervalTimetable(schedule["expression"], parse_zone(zone))
    if kind == "cron":
        return CronTriggerTimetable(
            schedule["expression"],
            timezone=parse_zone(zone),
            interval=step(schedule, "interval_"),
            run_immediately=schedule.get("run_immediately", False),
        )
    if kind == "multiple_cron":
        return MultipleCronTriggerTimetable(
            *schedule["expressions"], timezone=parse_zone(zone), interval=step(schedule, "interval_")
        )
    if kind == "delta":
        delta = step(schedule)
        if schedule.get("data_interval"):
            return DeltaDataIntervalTimetable(delta)
        return DeltaTriggerTimetable(delta, interval=step(schedule, "interval_"))
    if kind == "events":
        events = [pendulum.parse(each) for each in schedule["events"]]
        return EventsTimetable(events, restrict_to_events=schedule.get("restrict_to_events", False))
    return {"once": OnceTimetable, "continuous": ContinuousTimetable}[kind]()


def step(schedule, prefix=""):
    parts = schedule.get(f"{prefix}relativedelta")
    if parts is not None:
        return decode_relativedelta(parts)
    return timedelta(seconds=schedule.get(f"{prefix}seconds") or 0)


def parse_zone(name):
    return pendulum.FixedTimezone(7200) if name == "+02:00" else pendulum.timezone(name)


def at(moment):
    frozen = pendulum.instance(moment)
    return (
        mock.patch.object(trigger, "utcnow", lambda: frozen),
        mock.patch.object(interval, "utcnow", lambda: frozen),
        mock.patch("airflow._shared.timezones.timezone.utcnow", lambda: frozen),
        mock.patch.object(time, "time", lambda: frozen.timestamp()),
    )


def chain(schedule, earliest, latest, catchup, now, steps):
    table, last, runs = timetable(schedule), None, []
    restriction = TimeRestriction(
        earliest and pendulum.instance(earliest), latest and pendulum.instance(latest), catchup
    )
    for _ in range(steps):
        one, two, three, four = at(now)
        with one, two, three, four:
            info = table.next_dagrun_info(last_automated_data_interval=last, restriction=restriction)
        if info is None:
            runs.append(None)
            break
        last = DataInterval(info.data_interval.start, info.data_interval.end)
        assert info.run_after == last.end
        runs.append(span(last))
        if not catchup:
            now = max(now, datetime.fromtimestamp(info.run_after.timestamp(), UTC) + timedelta(seconds=1))
    return runs


def manual(schedule, now):
    return span(timetable(schedule).infer_manual_data_interval(run_after=pendulum.instance(now)))


def span(interval):
    """An interval as text; a run is due at its end."""
    return "/".join(dict.fromkeys([text(interval.start), text(interval.end)]))


def text(moment):
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() if moment else None


def case(schedule, now, earliest=None, latest=None, catchup=True, steps=STEPS):
    return {
        "schedule": schedule,
        "earliest": text(earliest),
        "latest": text(latest),
        "catchup": catchup,
        "now": text(now),
        "runs": chain(schedule, earliest, latest, catchup, now, steps),
        "manual": manual(schedule, now),
    }


def moment(value):
    return datetime.fromisoformat(value).replace(tzinfo=UTC)


def cron_cases():
    for expression, zone, interval_kind in itertools.product(CRONS, ZONES, (False, True)):
        schedule = {"type": "cron", "expression": expression, "timezone": zone, "data_interval": interval_kind}
        for night in [*NIGHTS, *EXTRA_NIGHTS.get(zone, [])]:
            yield case(schedule, moment(night) + timedelta(days=2), earliest=moment(night))
        yield case(schedule, moment("2024-10-26T22:00:00"), catchup=False)
        yield case(schedule, moment("2024-03-30T23:59:59"), earliest=moment("2024-01-01T00:00:00"), catchup=False)
        yield case(schedule, moment("2024-05-05T10:00:00"), latest=moment("2024-05-06T00:00:00"), catchup=False)


def other_cases():
    now, start = moment("2024-10-26T22:07:13"), moment("2024-10-20T05:00:00")
    schedules = [
        {"type": "once"},
        {"type": "continuous"},
        {
            "type": "events",
            "events": ["2024-10-26T22:00:00+00:00", "2024-10-19T01:00:00+00:00", "2024-10-28T00:00:00+02:00"],
        },
        *(
            {"type": "delta", "seconds": s, "data_interval": d}
            for s in (1.5, 3600, 86400, 90061)
            for d in (False, True)
        ),
        *(
            {"type": "multiple_cron", "expressions": expressions, "timezone": zone}
            for expressions in (["0 6 * * *", "30 2 * * *"], ["*/30 * * * *", "0 * * * *", "10 5 1 * *"])
            for zone in ("UTC", "Europe/Berlin")
        ),
        {"type": "cron", "expression": "0 0 * * *", "timezone": "UTC", "interval_seconds": 86400},
        {"type": "cron", "expression": "0 * * * *", "timezone": "UTC", "run_immediately": True},
    ]
    limits = [(None, None), (start, None), (start, start + timedelta(days=1)), (now + timedelta(days=3), None)]
    for schedule, (earliest, latest), catchup in itertools.product(schedules, limits, (True, False)):
        yield case(schedule, now, earliest, latest, catchup)


CALENDAR_STEPS = [
    *({"months": 1}, {"years": 1}, {"months": 1, "day": 31}, {"months": 3, "days": -1}, {"days": 10, "hours": 36}),
    *({"months": 1, "day": 31, "weekday": [4, -1]}, {"days": 1, "weekday": [0, 1]}, {"days": 1, "weekday": [2]}),
    *({"months": 1, "day": 1, "hour": 6, "minute": 30}, {"days": 1.5}, {"weeks": 2}, {"minutes": 90}),
    *({"years": 1, "month": 9, "day": 16, "leapdays": -1}, {"years": 4, "month": 2, "day": 29}),
]


def calendar_cases():
    """`relativedelta` as a schedule and as the interval of others."""
    schedules = [
        *(
            {"type": "delta", "seconds": None, "relativedelta": plain(parts), "data_interval": interval_kind}
            for parts in CALENDAR_STEPS
            for interval_kind in (False, True)
        ),
        {"type": "delta", "seconds": 86400.0, "data_interval": False, "interval_relativedelta": {"months": 1}},
        {
            **{"type": "delta", "seconds": None, "relativedelta": {"months": 1}, "data_interval": False},
            **{"interval_seconds": None, "interval_relativedelta": {"months": 1}},
        },
        {
            "type": "cron",
            "expression": "0 6 1 * *",
            "timezone": "Europe/Berlin",
            "interval_relativedelta": {"months": 1},
        },
        {
            **{"type": "multiple_cron", "expressions": ["0 6 31 * *", "0 7 1 * *"], "timezone": "UTC"},
            "interval_relativedelta": {"months": 1, "day": 31},
        },
        {"type": "events", "events": EVENTS, "restrict_to_events": True},
    ]
    starts = ["2024-01-31T05:00:00", "2023-11-30T23:59:59.5", "2024-02-29T00:00:00"]
    now = moment("2024-10-26T22:07:13")
    for schedule, start, catchup in itertools.product(schedules, starts, (True, False)):
        yield case(schedule, now, moment(start), None, catchup)
    for schedule in schedules:
        yield case(schedule, now, None, moment("2026-01-01T00:00:00"), catchup=False)
        yield case(
            schedule, moment("2024-10-01T00:00:00"), moment("2024-01-31T05:00:00"), moment("2024-05-01T00:00:00")
        )


def plain(parts):
    """The parts as dag.json has them: relativedelta turns weeks into days, whole days of hours too."""
    return encode_relativedelta(decode_relativedelta(parts))


def main():
    target = Path(__file__).parents[1] / "unit" / "data" / "timetables.jsonl"
    cases = [*cron_cases(), *other_cases(), *calendar_cases()]
    target.write_text("".join(json.dumps(each, separators=(",", ":")) + "\n" for each in cases))


main()
