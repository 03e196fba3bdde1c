"""Timetables without a calendar: every so often, once, without pause, at listed moments, never."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from leoflow.timetables.base import DataInterval, Restriction, RunInfo
from leoflow.timetables.delta import Delta, after, before


def _exact(at: datetime) -> RunInfo:
    return RunInfo.of(at, at)


@dataclass(frozen=True, slots=True)
class DeltaTrigger:
    """Airflow's default for `schedule=timedelta(…)` and `relativedelta(…)`: a run every `delta` from the first on."""

    delta: Delta
    interval: Delta = timedelta()
    active_runs_limit: int | None = None

    def next_run(self, last: DataInterval | None, restriction: Restriction, now: datetime) -> RunInfo | None:
        """See `Timetable.next_run`."""
        moments = [] if restriction.catchup else [now]
        if last is not None:
            moments.append(after(last.end, self.delta))
        if restriction.earliest is not None and (last is None or not restriction.catchup):
            moments.append(restriction.earliest)
        moment = max(moments, default=now)
        if restriction.latest is not None and restriction.latest < moment:
            return None
        return RunInfo.of(before(moment, self.interval), moment)

    def manual_interval(self, run_after: datetime) -> DataInterval:
        """See `Timetable.manual_interval`."""
        return DataInterval(before(run_after, self.interval), run_after)


@dataclass(frozen=True, slots=True)
class _Point:
    """Timetables whose manual runs are about one moment."""

    active_runs_limit: int | None = None

    def manual_interval(self, run_after: datetime) -> DataInterval:
        """See `Timetable.manual_interval`."""
        return DataInterval.exact(run_after)


@dataclass(frozen=True, slots=True)
class Never(_Point):
    """`schedule=None`, and schedules that only assets trigger."""

    def next_run(self, last: DataInterval | None, restriction: Restriction, now: datetime) -> RunInfo | None:
        """Never."""
        del last, restriction, now
        return None


@dataclass(frozen=True, slots=True)
class Once(_Point):
    """`@once`: at the start date, or as soon as possible."""

    def next_run(self, last: DataInterval | None, restriction: Restriction, now: datetime) -> RunInfo | None:
        """See `Timetable.next_run`."""
        if last is not None:
            return None
        at = restriction.earliest or now
        if restriction.latest is not None and at > restriction.latest:
            return None
        return _exact(at)


@dataclass(frozen=True, slots=True)
class Continuous(_Point):
    """`@continuous`: the next run as soon as the last one has ended."""

    active_runs_limit: int | None = 1

    def next_run(self, last: DataInterval | None, restriction: Restriction, now: datetime) -> RunInfo | None:
        """See `Timetable.next_run`."""
        first = restriction.earliest or now
        if last is None:
            start, end = first, max(first, now)
        elif last.end > now:
            start, end = first, first + (last.end - last.start)
        else:
            start, end = last.end, now
        if restriction.latest is not None and end > restriction.latest:
            return None
        return RunInfo.of(start, end)


@dataclass(frozen=True, slots=True)
class Events(_Point):
    """Airflow's EventsTimetable: a run at each of a list of moments."""

    moments: tuple[datetime, ...] = ()
    restrict_to_events: bool = False

    def next_run(self, last: DataInterval | None, restriction: Restriction, now: datetime) -> RunInfo | None:
        """See `Timetable.next_run`."""
        earliest = restriction.earliest
        if not restriction.catchup and (earliest is None or now > earliest):
            earliest = now
        for moment in self.moments:
            if (earliest is None or moment >= earliest) and (last is None or moment > last.end):
                return None if restriction.latest is not None and moment > restriction.latest else _exact(moment)
        return None

    def manual_interval(self, run_after: datetime) -> DataInterval:
        """See `Timetable.manual_interval`."""
        if not self.restrict_to_events or not self.moments:
            return DataInterval.exact(run_after)
        past = [moment for moment in self.moments if moment <= run_after]
        return DataInterval.exact(past[-1] if past else self.moments[0])
