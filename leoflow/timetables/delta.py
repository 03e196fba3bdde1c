"""Steps through time: of a fixed length, or of calendar parts (dateutil's relativedelta)."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from dateutil.relativedelta import relativedelta, weekday

from leoflow.errors import LeoflowError

Delta = timedelta | relativedelta
"""Both are added to and subtracted from moments; all happens in UTC, as in Airflow."""

_DAY = 24 * 60 * 60


def delta_of(described: Mapping[str, Any], prefix: str = "") -> Delta:
    """The step of a schedule's `seconds` or `relativedelta`, or of the two with a prefix; of no length without both.

    Raises:
        LeoflowError: the parts are none of relativedelta's.
    """
    parts = described.get(f"{prefix}relativedelta")
    if parts is None:
        return timedelta(seconds=described.get(f"{prefix}seconds") or 0)
    given = dict(parts)
    if "weekday" in given:
        given["weekday"] = weekday(*given["weekday"])
    try:
        return relativedelta(**given)
    except (TypeError, ValueError) as error:
        raise LeoflowError(
            f"bad relativedelta: {error}", where=str(parts), hint="whole years and months; see dateutil.relativedelta"
        ) from error


def after(moment: datetime, delta: Delta) -> datetime:
    """The moment one step later.

    Raises:
        LeoflowError: the step leads nowhere, as `relativedelta(day=1)` does on the first of a month.
    """
    following: datetime = moment.astimezone(UTC) + delta
    if following <= moment:
        raise LeoflowError(
            "this schedule does not advance",
            where=f"{delta!r} from {moment.isoformat()}",
            hint="give it a length, for example relativedelta(months=1, day=1)",
        )
    return following


def before(moment: datetime, delta: Delta) -> datetime:
    """The moment one step earlier; with calendar parts it may be the same one."""
    preceding: datetime = moment.astimezone(UTC) - delta
    return preceding


def rounded_down(moment: datetime, delta: Delta) -> datetime:
    """The moment rounded down to whole steps since 1970, a year taken for 365 days and a month for 30, as in Airflow.

    Raises:
        LeoflowError: the step has no length by that count.
    """
    seconds = _seconds(delta)
    if seconds == 0:
        raise LeoflowError(
            "this schedule has no length to round the present time to",
            where=repr(delta),
            hint="use a cron expression, or catchup=True",
        )
    return datetime.fromtimestamp(moment.timestamp() - moment.timestamp() % seconds, tz=UTC)


def _seconds(delta: Delta) -> float:
    if isinstance(delta, timedelta):
        return delta.total_seconds()
    days = delta.years * 365 + delta.months * 30 + delta.days
    return float(days * _DAY + delta.hours * 3600 + delta.minutes * 60 + delta.seconds)
