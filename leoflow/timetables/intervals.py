"""Timetables whose runs cover consecutive data intervals, due at the end of each."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from leoflow.timetables.base import DataInterval, Restriction, RunInfo
from leoflow.timetables.cron import CronSchedule
from leoflow.timetables.delta import Delta, after, before, rounded_down


class Steps(Protocol):
    """The boundaries between intervals."""

    def next(self, current: datetime) -> datetime:
        """The first boundary after `current`."""
        ...

    def previous(self, current: datetime) -> datetime:
        """The last boundary before `current`."""
        ...

    def align_next(self, current: datetime) -> datetime:
        """`current` if it is a boundary, else the next one."""
        ...

    def align_previous(self, current: datetime) -> datetime:
        """`current` if it is a boundary, else the previous one."""
        ...


@dataclass(frozen=True, slots=True)
class DeltaSteps:
    """Boundaries one step apart, with no fixed origin: every moment is one."""

    delta: Delta

    def next(self, current: datetime) -> datetime:
        """See `Steps.next`."""
        return after(current, self.delta)

    def previous(self, current: datetime) -> datetime:
        """See `Steps.previous`."""
        return before(current, self.delta)

    def align_next(self, current: datetime) -> datetime:
        """See `Steps.align_next`."""
        return current

    def align_previous(self, current: datetime) -> datetime:
        """See `Steps.align_previous`."""
        return current


@dataclass(frozen=True, slots=True)
class IntervalTimetable:
    """What Airflow's two data-interval timetables share."""

    steps: Steps
    active_runs_limit: int | None = None

    def next_run(self, last: DataInterval | None, restriction: Restriction, now: datetime) -> RunInfo | None:
        """See `Timetable.next_run`."""
        start = self._start(last, restriction, now)
        if start is None or (restriction.latest is not None and start > restriction.latest):
            return None
        return RunInfo.of(start, self.steps.next(start))

    def _start(self, last: DataInterval | None, restriction: Restriction, now: datetime) -> datetime | None:
        earliest = restriction.earliest
        if not restriction.catchup:
            earliest = self._skip_to_latest(earliest, now)
        elif earliest is not None:
            earliest = self.steps.align_next(earliest)
        if last is None:
            return earliest
        start = self.steps.align_previous(last.end)
        if earliest is not None:
            start = max(start, earliest)
        # The last run came from a point-in-time schedule: the same start would be the same logical date again.
        if last.start == last.end == start:
            start = self.steps.next(start)
        return start

    def _skip_to_latest(self, earliest: datetime | None, now: datetime) -> datetime:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class CronInterval(IntervalTimetable):
    """Airflow's CronDataIntervalTimetable."""

    def manual_interval(self, run_after: datetime) -> DataInterval:
        """The last complete interval before `run_after`."""
        end = self.steps.align_previous(run_after)
        return DataInterval(self.steps.previous(end), end)

    def _skip_to_latest(self, earliest: datetime | None, now: datetime) -> datetime:
        start = self.steps.previous(now)
        if self.steps.next(start) != now:
            start = self.steps.previous(start)
        return start if earliest is None else max(start, self.steps.align_next(earliest))


@dataclass(frozen=True, slots=True)
class DeltaInterval(IntervalTimetable):
    """Airflow's DeltaDataIntervalTimetable."""

    delta: Delta = timedelta(days=1)

    def manual_interval(self, run_after: datetime) -> DataInterval:
        """The step before `run_after`."""
        return DataInterval(before(run_after, self.delta), run_after)

    def _skip_to_latest(self, earliest: datetime | None, now: datetime) -> datetime:
        start = before(rounded_down(now, self.delta), self.delta)
        return start if earliest is None else max(start, earliest)


def cron_interval(cron: CronSchedule) -> CronInterval:
    """Intervals between the moments of a cron expression."""
    return CronInterval(cron)


def delta_interval(delta: Delta) -> DeltaInterval:
    """Intervals of one step each."""
    return DeltaInterval(DeltaSteps(delta), delta=delta)
