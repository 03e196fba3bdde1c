"""Cron expressions with Airflow's treatment of time zones and daylight saving.

croniter only ever sees naive local times, as in Airflow: fed with aware ones it fires twice in a repeated hour.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from croniter import CroniterError, croniter

from leoflow.errors import LeoflowError
from leoflow.timetables.base import DataInterval, Restriction, RunInfo
from leoflow.timetables.delta import Delta, before

PRESETS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 */3 *",
    "@yearly": "0 0 1 1 *",
}
"""Airflow's presets (croniter itself accepts some more, such as `@midnight`)."""

SHORTEST_RECENT = timedelta(minutes=5)


@lru_cache(maxsize=1024)
def zone(name: str) -> tzinfo:
    """The time zone of an IANA name or of a fixed offset such as `+02:00`.

    Raises:
        LeoflowError: nobody knows that zone.
    """
    if name.upper() in ("UTC", "Z"):
        return UTC
    try:
        if name[:1] in "+-":
            offset = datetime.strptime(name, "%z").utcoffset()
            return timezone(offset) if offset is not None else UTC
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        raise LeoflowError(
            "unknown time zone", where=repr(name), hint="use an IANA name such as Europe/Berlin"
        ) from error


@lru_cache(maxsize=4096)
def _parsed(expression: str) -> croniter:
    """A croniter to be set to a moment before each use: parsing costs more than a step."""
    return croniter(expression, datetime(2024, 1, 1))


@dataclass(frozen=True, slots=True)
class CronSchedule:
    """The moments of one cron expression in one time zone, found from any moment in either direction."""

    expression: str
    tz: tzinfo

    @classmethod
    @lru_cache(maxsize=4096)
    def parse(cls, expression: str, timezone_name: str) -> "CronSchedule":
        """Check and normalise an expression: five or six fields, or a preset.

        Raises:
            LeoflowError: the expression or the time zone is not valid, or never matches.
        """
        plain = PRESETS.get(expression, expression)
        try:
            croniter(plain, datetime(2024, 1, 1)).get_next(datetime)
        except (CroniterError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise LeoflowError(
                f"bad cron expression: {error}",
                where=repr(expression),
                hint="five fields: minute hour day-of-month month day-of-week, for example '0 6 * * *'",
            ) from error
        return cls(plain, zone(timezone_name))

    def next(self, current: datetime) -> datetime:
        """The first moment after `current`."""
        return self._step(current, "get_next")

    def previous(self, current: datetime) -> datetime:
        """The last moment before `current`."""
        return self._step(current, "get_prev")

    def align_next(self, current: datetime) -> datetime:
        """`current` when it is one of the moments, else the next."""
        following = self.next(current)
        return current if self.previous(following) == current else following

    def align_previous(self, current: datetime) -> datetime:
        """`current` when it is one of the moments, else the previous."""
        preceding = self.previous(current)
        return current if self.next(preceding) == current else preceding

    def _step(self, current: datetime, method: str) -> datetime:
        return _stepped(self.expression, self.tz, current.astimezone(UTC), method)


@lru_cache(maxsize=4096)
def _stepped(expression: str, tz: tzinfo, current: datetime, method: str) -> datetime:
    """A step from a UTC moment, computed once for all DAGs of one expression that are due together."""
    naive = current.astimezone(tz).replace(tzinfo=None)
    cron = _parsed(expression)
    cron.set_current(naive, force=True)
    found: datetime = getattr(cron, method)(datetime)
    # Airflow's rule: an expression with hour `*` runs through a repeated hour twice, every other one once.
    if cron.expanded[1] == ["*"]:
        return current + (found - naive)
    return _localise(found, tz)


def _localise(naive: datetime, tz: tzinfo) -> datetime:
    """The UTC moment of a local time: the second one of two, and pushed forward out of a gap."""
    late = naive.replace(tzinfo=tz, fold=1)
    moment = late.astimezone(UTC)
    if moment.astimezone(tz).replace(tzinfo=None) != naive:
        return late.replace(fold=0).astimezone(UTC)
    return moment


@dataclass(frozen=True, slots=True)
class CronTrigger:
    """Airflow's default for `schedule="<cron>"`: a run at each moment, its interval of length `interval`."""

    cron: CronSchedule
    interval: Delta = timedelta()
    run_immediately: bool | timedelta = False
    active_runs_limit: int | None = None

    def next_run(self, last: DataInterval | None, restriction: Restriction, now: datetime) -> RunInfo | None:
        """See `Timetable.next_run`."""
        moment = self._next_moment(last, restriction, now)
        if restriction.latest is not None and restriction.latest < moment:
            return None
        return RunInfo.of(before(moment, self.interval), moment)

    def manual_interval(self, run_after: datetime) -> DataInterval:
        """See `Timetable.manual_interval`."""
        return DataInterval(before(run_after, self.interval), run_after)

    def _next_moment(self, last: DataInterval | None, restriction: Restriction, now: datetime) -> datetime:
        earliest = restriction.earliest
        if restriction.catchup:
            if last is not None:
                return self.cron.next(last.end)
            return self._first(now) if earliest is None else self.cron.align_next(earliest)
        candidates = [self.cron.align_previous(now)]
        if last is not None:
            candidates.append(self.cron.next(last.end))
        elif earliest is None:
            candidates.append(self._first(now))
        if earliest is not None:
            candidates.append(self.cron.align_next(earliest))
        return max(candidates)

    def _first(self, now: datetime) -> datetime:
        """The first moment of a DAG without a start date: the past one only if it is recent."""
        past, following = self.cron.align_previous(now), self.cron.align_next(now)
        if self.run_immediately is True:
            return past
        recent = max((following - past) / 10, SHORTEST_RECENT)
        if isinstance(self.run_immediately, timedelta):
            recent = self.run_immediately
        return past if now - past <= recent else following


@dataclass(frozen=True, slots=True)
class MultipleCron:
    """A run whenever one of several expressions matches, one run for moments that coincide."""

    triggers: tuple[CronTrigger, ...]
    active_runs_limit: int | None = None

    def next_run(self, last: DataInterval | None, restriction: Restriction, now: datetime) -> RunInfo | None:
        """See `Timetable.next_run`."""
        runs = [trigger.next_run(last, restriction, now) for trigger in self.triggers]
        found = [run for run in runs if run is not None]
        if restriction.catchup:
            return min(found, key=lambda run: run.logical_date, default=None)
        # Without catch-up: the latest of those already due, else the earliest of those to come.
        due = [run for run in found if run.logical_date <= now]
        if due:
            return max(due, key=lambda run: run.logical_date)
        return min(found, key=lambda run: run.logical_date, default=None)

    def manual_interval(self, run_after: datetime) -> DataInterval:
        """See `Timetable.manual_interval`."""
        return min((trigger.manual_interval(run_after) for trigger in self.triggers), key=lambda span: span.start)


@dataclass(frozen=True, slots=True)
class CronPartition:
    """Airflow's CronPartitionTimetable: a run for a partition at each moment, the one `run_offset` moments away."""

    trigger: CronTrigger
    run_offset: int
    key_format: str
    active_runs_limit: int | None = None

    def next_run(self, last: DataInterval | None, restriction: Restriction, now: datetime) -> RunInfo | None:
        """See `Timetable.next_run`; `last` is the moment from which the last run could start."""
        run = self.trigger.next_run(last, restriction, now)
        if run is None:
            return None
        date = run.run_after
        for _ in range(abs(self.run_offset)):
            date = self.trigger.cron.next(date) if self.run_offset > 0 else self.trigger.cron.previous(date)
        key = date.astimezone(UTC).strftime(self.key_format)
        return replace(run, partition_key=key, partition_date=date)

    def manual_interval(self, run_after: datetime) -> DataInterval:
        """See `Timetable.manual_interval`."""
        return DataInterval.exact(run_after)
