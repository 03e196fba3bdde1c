"""Asks a custom timetable for its first run while the file is loaded, so that a broken one is an error of the file."""

import contextlib
import signal
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

from leoflow.runtime.loading.dag_file import Lines
from leoflow.runtime.loading.describe_schedule import describe_schedule
from leoflow.runtime.loading.failures import Failure, explain
from leoflow.runtime.usercode import timetables

SECONDS = 10.0


def check_timetable(dag: Any, lines: Lines, file: str) -> None:
    """Raise `Failure` when the DAG has a timetable of its own that raises, hangs, or answers nonsense."""
    timetable = timetables.time_based(dag.timetable)
    if (describe_schedule(timetable) or {}).get("type") != "custom" or not timetable.can_be_scheduled:
        return
    place, line = lines.of_dag(dag) or (file, None)
    try:
        with _time_limit(timetable):
            timetables.next_run(timetable, None, *_restriction(dag), catchup=bool(dag.catchup))
            now = timetables.moment(datetime.now(timezone.utc).isoformat())
            timetables.manual_run(timetable, now, now)
    except Failure as failure:
        raise Failure(failure.what, file=place, line=line, rule=failure.rule, hint=failure.hint) from None
    except Exception as error:
        found = explain(error, lines.root, place)
        raise Failure(
            f"the timetable {type(timetable).__name__} of DAG {dag.dag_id!r} fails: {found.what}",
            file=found.file,
            line=found.line or line,
            rule="timetable",
            hint="It is asked for the first run (last interval None) and for a run triggered by hand.",
        ) from error


def _restriction(dag: Any) -> "tuple[Any, Any]":
    return (
        None if dag.start_date is None else timetables.moment(dag.start_date.isoformat()),
        None if dag.end_date is None else timetables.moment(dag.end_date.isoformat()),
    )


@contextlib.contextmanager
def _time_limit(timetable: Any) -> "Iterator[None]":
    def ring(*_: Any) -> None:
        raise Failure(
            f"the timetable {type(timetable).__name__} gives no answer within {SECONDS:g} s",
            rule="timetable",
            hint="Look for an endless loop in next_dagrun_info() and infer_manual_data_interval().",
        )

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
