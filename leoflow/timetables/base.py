"""The words every timetable speaks: interval, restriction, run info."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class DataInterval:
    """The span of time a run is about, both ends aware and in UTC."""

    start: datetime
    end: datetime

    @classmethod
    def exact(cls, at: datetime) -> "DataInterval":
        """An interval of no length."""
        return cls(at, at)


@dataclass(frozen=True, slots=True)
class Restriction:
    """A DAG's `start_date`, `end_date` (both inclusive) and `catchup`."""

    earliest: datetime | None
    latest: datetime | None
    catchup: bool


@dataclass(frozen=True, slots=True)
class RunInfo:
    """The next run: its interval, and the moment from which it may start.

    A run of a partition has no interval of its own in the database; here it is the moment from which it may start.
    """

    interval: DataInterval
    run_after: datetime
    partition_key: str | None = None
    partition_date: datetime | None = None

    @property
    def logical_date(self) -> datetime:
        """Airflow's logical date: where the interval starts."""
        return self.interval.start

    @property
    def dates(self) -> tuple[datetime | None, datetime | None]:
        """Both ends of the interval as the database has them: none for a run of a partition."""
        return (None, None) if self.partition_key is not None else (self.interval.start, self.interval.end)

    @classmethod
    def of(cls, start: datetime, end: datetime) -> "RunInfo":
        """A run due at the end of its interval."""
        return cls(DataInterval(start, end), end)

    @classmethod
    def read(cls, answer: Mapping[str, str]) -> "RunInfo":
        """What a project's code answered (`leoflow.runtime.usercode.timetables`)."""
        start, end, run_after = (datetime.fromisoformat(answer[name]) for name in ("start", "end", "run_after"))
        return cls(DataInterval(start, end), run_after)


class Timetable(Protocol):
    """A schedule that can say when the next run is."""

    @property
    def active_runs_limit(self) -> int | None:
        """Upper bound on concurrent runs that the timetable itself sets."""
        ...

    def next_run(self, last: DataInterval | None, restriction: Restriction, now: datetime) -> RunInfo | None:
        """The run after the one about `last` (None: no scheduled run yet), or None when there is none."""
        ...

    def manual_interval(self, run_after: datetime) -> DataInterval:
        """The interval of a run somebody triggers for `run_after`."""
        ...


def utc(moment: datetime) -> datetime:
    """The same moment in UTC; a naive one is taken as UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
