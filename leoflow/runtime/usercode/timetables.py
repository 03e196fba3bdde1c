"""Evaluates a timetable that only the project's code knows."""

import importlib
from datetime import datetime, timezone
from typing import Any

from leoflow.runtime.loading.failures import Failure
from leoflow.runtime.usercode import partitions

LONGEST_ID = 250


def answer(dag: Any, request: "dict[str, Any]") -> Any:
    """Answer one question about the DAG's timetable.

    Args:
        dag: the DAG.
        request: `question`: `next` with `last` (start and end, or null), `earliest`, `latest`, `catchup`; or `manual`
            with `run_type`, `run_after`, and `interval` (start and end) or `infers_from` (the moment to infer one
            from), both null for a run without an interval; or `between` with `earliest`, `latest`, `before` and `most`;
            or `partition` with `asset` (a name) and `key`.

    Returns:
        `start`, `end`, `run_after`, `run_id`; null when there is no next run. For `between` a list of them, for
        `partition` the keys that the DAG's mapper makes of the key.
    """
    if request["question"] == "partition":
        return partitions.map_key(dag.timetable, request["asset"], request["key"])
    timetable = time_based(dag.timetable)
    if request["question"] == "manual":
        return _manual_run(timetable, request)
    earliest, latest = moment(request["earliest"]), moment(request["latest"])
    if request["question"] == "between":
        return runs_between(timetable, earliest, latest, before=moment(request["before"]), most=request["most"])
    last = request["last"] and tuple(moment(each) for each in request["last"])
    return next_run(timetable, last, earliest, latest, catchup=request["catchup"])


def time_based(timetable: Any) -> Any:
    """Return the timetable that knows times, where assets start runs as well."""
    return timetable.timetable if type(timetable).__name__ == "AssetOrTimeSchedule" else timetable


def next_run(timetable: Any, last: Any, earliest: Any, latest: Any, *, catchup: bool) -> "dict[str, Any] | None":
    """Return the run after the one about the interval `last`.

    Raises:
        Failure: the timetable raises, or its answer is no run info.
    """
    from airflow.timetables.base import DataInterval, TimeRestriction

    restriction = TimeRestriction(earliest=earliest, latest=latest, catchup=catchup)
    interval = None if last is None else DataInterval(*last)
    info = timetable.next_dagrun_info(last_automated_data_interval=interval, restriction=restriction)
    if info is None:
        return None
    where = f"{_name(timetable)}.next_dagrun_info()"
    _require(info, ("run_after", "data_interval"), where)
    run = _run(timetable, "scheduled", info.data_interval, info.run_after, where)
    if interval is not None and _utc(info.data_interval.start, where) == _utc(interval.start, where):
        raise _nonsense(where, "gives the interval it was asked to follow, so time would stand still")
    return run


def runs_between(timetable: Any, earliest: Any, latest: Any, *, before: Any, most: int) -> "list[dict[str, Any]]":
    """Return the runs in a range of dates, both ends included, whose intervals end before a moment; `most` at most."""
    found: list[dict[str, Any]] = []
    last: Any = None
    while len(found) < most:
        run = next_run(timetable, last, earliest, latest, catchup=True)
        if run is None:
            break
        interval = (moment(run["start"]), moment(run["end"]))
        if last is not None and interval[0] <= last[0]:
            raise _nonsense(f"{_name(timetable)}.next_dagrun_info()", "goes back in time")
        if interval[1] < before:
            found.append(run)
        last = interval
    return found


def _manual_run(timetable: Any, request: "dict[str, Any]") -> "dict[str, Any]":
    from airflow.timetables.base import DataInterval

    run_after = moment(request["run_after"])
    if request["infers_from"] is not None:
        return manual_run(timetable, moment(request["infers_from"]), run_after, request["run_type"])
    interval = request["interval"] and DataInterval(*(moment(each) for each in request["interval"]))
    return _run(timetable, request["run_type"], interval, run_after, _name(timetable))


def manual_run(timetable: Any, infers_from: Any, run_after: Any, run_type: str = "manual") -> "dict[str, Any]":
    """Return a run somebody triggers, with the interval that the timetable infers from a moment."""
    interval = timetable.infer_manual_data_interval(run_after=infers_from)
    where = f"{_name(timetable)}.infer_manual_data_interval()"
    _require(interval, ("start", "end"), where)
    return _run(timetable, run_type, interval, run_after, where)


def _run(timetable: Any, run_type: str, interval: Any, run_after: Any, where: str) -> "dict[str, Any]":
    from airflow.utils.types import DagRunType

    start = end = None
    if interval is not None:
        start, end = _utc(interval.start, where), _utc(interval.end, where)
        if end < start:
            raise _nonsense(where, f"gives a data interval that ends ({end}) before it starts ({start})")
    run_id = timetable.generate_run_id(run_type=DagRunType(run_type), run_after=run_after, data_interval=interval)
    if not isinstance(run_id, str) or not 0 < len(run_id) <= LONGEST_ID:
        raise _nonsense(
            f"{_name(timetable)}.generate_run_id()", f"gives {run_id!r:.100}; a run id is text of 1 to 250 characters"
        )
    moments = {"start": start, "end": end, "run_after": _utc(run_after, where)}
    return {**{name: value and value.isoformat() for name, value in moments.items()}, "run_id": run_id}


def _require(value: Any, names: "tuple[str, ...]", where: str) -> None:
    missing = [name for name in names if getattr(value, name, None) is None]
    if missing:
        raise _nonsense(where, f"gives {value!r:.200}, which has no {' and no '.join(missing)}")


def _utc(value: Any, where: str) -> datetime:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise _nonsense(where, f"gives {value!r:.100} where a moment with a time zone is needed")
    utc = value.astimezone(timezone.utc)
    # A pendulum DateTime becomes a plain one.
    moment = datetime(*utc.timetuple()[:6], utc.microsecond, tzinfo=timezone.utc)
    if not 1 < moment.year < 9999:
        raise _nonsense(where, f"gives the year {moment.year}")
    return moment


def moment(text: "str | None") -> Any:
    """Return an ISO 8601 moment as the pendulum object timetables expect."""
    pendulum: Any = importlib.import_module("pendulum")
    return None if text is None else pendulum.instance(datetime.fromisoformat(text)).in_timezone("UTC")


def _name(timetable: Any) -> str:
    return type(timetable).__name__


def _nonsense(where: str, what: str) -> Failure:
    return Failure(f"{where} {what}", rule="timetable", hint="Correct the timetable; see docs/schedules.md.")
