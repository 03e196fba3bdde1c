"""Evaluates a timetable that only the project's code knows."""

import importlib
from datetime import datetime, timezone
from typing import Any

from leoflow.runtime.loading.failures import Failure

LONGEST_ID = 250


def answer(dag: Any, request: "dict[str, Any]") -> Any:
    """Answer one question about the DAG's timetable.

    Args:
        dag: the DAG.
        request: `question`: `next` with `last` (start and end, or null), `earliest`, `latest`, `catchup`; or `manual`
            with `run_after`.

    Returns:
        `start`, `end`, `run_after`, `run_id`; null when there is no next run.
    """
    timetable = time_based(dag.timetable)
    if request["question"] == "manual":
        return manual_run(timetable, moment(request["run_after"]))
    last = request["last"] and tuple(moment(each) for each in request["last"])
    return next_run(timetable, last, moment(request["earliest"]), moment(request["latest"]), catchup=request["catchup"])


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


def manual_run(timetable: Any, run_after: Any) -> "dict[str, Any]":
    """Return the interval of a run somebody triggers for `run_after`."""
    interval = timetable.infer_manual_data_interval(run_after=run_after)
    where = f"{_name(timetable)}.infer_manual_data_interval()"
    _require(interval, ("start", "end"), where)
    return _run(timetable, "manual", interval, run_after, where)


def _run(timetable: Any, run_type: str, interval: Any, run_after: Any, where: str) -> "dict[str, Any]":
    from airflow.utils.types import DagRunType

    start, end = _utc(interval.start, where), _utc(interval.end, where)
    if end < start:
        raise _nonsense(where, f"gives a data interval that ends ({end}) before it starts ({start})")
    run_id = timetable.generate_run_id(run_type=DagRunType(run_type), run_after=run_after, data_interval=interval)
    if not isinstance(run_id, str) or not 0 < len(run_id) <= LONGEST_ID:
        raise _nonsense(
            f"{_name(timetable)}.generate_run_id()", f"gives {run_id!r:.100}; a run id is text of 1 to 250 characters"
        )
    moments = {"start": start, "end": end, "run_after": _utc(run_after, where)}
    return {**{name: moment.isoformat() for name, moment in moments.items()}, "run_id": run_id}


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
