"""Describes timetables. Exact classes only: a subclass may decide anything, so it is `custom`."""

from typing import Any

from leoflow.runtime.loading.describe_assets import describe_asset
from leoflow.runtime.loading.describe_values import literal, seconds, timestamp, type_name

_PRESETS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 */3 *",
    "@yearly": "0 0 1 1 *",
}


_CALENDAR_PARTS = (
    *("years", "months", "leapdays", "days", "hours", "minutes", "seconds", "microseconds"),
    *("year", "month", "day", "weekday", "hour", "minute", "second", "microsecond"),
)


def describe_schedule(timetable: Any) -> "dict[str, Any] | None":
    """Return the schedule of dag.json; null for a DAG that never runs by itself."""
    kind = type(timetable)
    if not kind.__module__.startswith(("airflow.sdk.definitions.timetables", "airflow.timetables")):
        return _custom(timetable)
    described: dict[str, Any] | None = _DESCRIBERS.get(kind.__name__, _custom)(timetable)
    return described


def summary_of(timetable: Any) -> "tuple[str | None, str | None]":
    """Return Airflow's own one-word and one-line texts for a timetable."""
    if type(timetable).__name__ == "NullTimetable":
        return None, "Never, external triggers only"
    if type(timetable).__name__ == "EventsTimetable":
        return _events_summary(timetable)
    try:
        from airflow.serialization.encoders import coerce_to_core_timetable

        core = coerce_to_core_timetable(timetable)
        return str(core.summary), str(core.description)
    except Exception:
        if type(timetable).__name__ == "PartitionedAssetTimetable":  # with a mapper that no plugin registers
            return "Partitioned Asset", "Triggered by assets"
        # A custom timetable of a DAG file cannot always be rebuilt; its name is all there is to show.
        return type(timetable).__name__, str(getattr(timetable, "description", "") or "")


def _events_summary(timetable: Any) -> "tuple[str, str]":
    if timetable.description:
        return timetable.description, timetable.description
    dates = sorted(timetable.event_dates)
    if not dates:
        return "0 events", "No events"
    return f"{len(dates)} events", f"{len(dates)} events between {dates[0].isoformat()} and {dates[-1].isoformat()}"


def _delta(value: Any) -> dict[str, Any]:
    """Describe a timedelta in seconds, a relativedelta by its calendar parts.

    Parts that are zero are left out, also absolute ones such as `hour=0`: Airflow's scheduler never sees them either.
    """
    if hasattr(value, "total_seconds"):
        return {"seconds": float(value.total_seconds())}
    given = {part: getattr(value, part) for part in _CALENDAR_PARTS if getattr(value, part)}
    return {"seconds": None, "relativedelta": {part: _calendar_part(amount) for part, amount in given.items()}}


def _calendar_part(amount: Any) -> Any:
    """Return a number, or a weekday as its number from 0 and which of them, as dateutil's class takes them."""
    if hasattr(amount, "weekday"):
        return [amount.weekday, amount.n] if amount.n else [amount.weekday]
    return literal(amount)


def _field(timetable: Any, name: str, default: Any = None) -> Any:
    """Read a field of the SDK's or the core's version of a timetable."""
    return getattr(timetable, name, getattr(timetable, f"_{name}", default))


def _timezone(value: Any) -> str:
    return value if isinstance(value, str) else str(value.name)


def _trigger_options(timetable: Any) -> dict[str, Any]:
    options: dict[str, Any] = {}
    interval = _field(timetable, "interval")
    if interval is not None and _delta(interval) != {"seconds": 0.0}:
        options |= {f"interval_{name}": value for name, value in _delta(interval).items()}
    immediately = _field(timetable, "run_immediately", False)
    if immediately is not False:
        options["run_immediately"] = seconds(immediately) if hasattr(immediately, "total_seconds") else immediately
    return options


def _cron(timetable: Any) -> dict[str, Any]:
    expression = _field(timetable, "expression")
    return {
        "type": "cron",
        "expression": _PRESETS.get(expression, expression),
        "timezone": _timezone(_field(timetable, "timezone")),
        "data_interval": type(timetable).__name__ == "CronDataIntervalTimetable",
        **_trigger_options(timetable),
    }


def _multiple_cron(timetable: Any) -> dict[str, Any]:
    crons = [_cron(each) for each in _field(timetable, "timetables")]
    return {
        "type": "multiple_cron",
        "expressions": [cron["expression"] for cron in crons],
        "timezone": crons[0]["timezone"],
        **_trigger_options(_field(timetable, "timetables")[0]),
    }


def _cron_partition(timetable: Any) -> dict[str, Any]:
    return {
        **_cron(timetable),
        "type": "cron_partition",
        "run_offset": _field(timetable, "run_offset"),
        "key_format": _field(timetable, "key_format"),
    }


def _delta_timetable(timetable: Any) -> dict[str, Any]:
    return {
        "type": "delta",
        **_delta(_field(timetable, "delta")),
        "data_interval": type(timetable).__name__ == "DeltaDataIntervalTimetable",
        **_trigger_options(timetable),
    }


def _assets(timetable: Any) -> dict[str, Any]:
    return {"type": "assets", "expression": describe_asset(timetable.asset_condition)}


def _asset_or_time(timetable: Any) -> dict[str, Any]:
    time = describe_schedule(timetable.timetable)
    return {"type": "asset_or_time", "expression": describe_asset(timetable.asset_condition), "timetable": time}


def _partitioned_assets(timetable: Any) -> dict[str, Any]:
    mappers = [
        {"asset": describe_asset(asset), "mapper": describe_mapper(mapper)}
        for asset, mapper in timetable.partition_mapper_config.items()
    ]
    return {
        "type": "partitioned_assets",
        "expression": describe_asset(timetable.asset_condition),
        "mappers": mappers,
        "default_mapper": describe_mapper(timetable.default_partition_mapper),
    }


def describe_mapper(mapper: Any) -> dict[str, Any]:
    """Describe a partition mapper; one that is not Airflow's own is known by its class only."""
    kind = type(mapper)
    name = kind.__name__
    if kind.__module__.startswith(("airflow.sdk.definitions.partition_mappers", "airflow.partition_mappers")):
        if name == "IdentityMapper":
            return {"type": "identity"}
        if name == "AllowedKeyMapper":
            return {"type": "allowed_key", "allowed_keys": [str(key) for key in mapper.allowed_keys]}
        if name == "ChainMapper":
            return {"type": "chain", "mappers": [describe_mapper(each) for each in mapper.mappers]}
        if name == "ProductMapper":
            parts = [describe_mapper(each) for each in mapper.mappers]
            return {"type": "product", "delimiter": mapper.delimiter, "mappers": parts}
        if name in _UNITS:
            return _start_of(mapper)
    return {"type": "custom", **_plain_object(mapper)}


_UNITS = {f"StartOf{unit.title()}Mapper": unit for unit in ("hour", "day", "week", "month", "quarter", "year")}


def _start_of(mapper: Any) -> dict[str, Any]:
    zone = getattr(mapper, "_timezone", None)  # the SDK's classes have none
    return {
        "type": "start_of",
        "unit": _UNITS[type(mapper).__name__],
        "input_format": mapper.input_format,
        "output_format": mapper.output_format,
        "timezone": "UTC" if zone is None else _timezone(zone),
    }


def _events(timetable: Any) -> dict[str, Any]:
    return {
        "type": "events",
        "events": sorted({timestamp(date) for date in timetable.event_dates if date is not None}, key=str),
        "restrict_to_events": bool(timetable.restrict_to_events),
    }


def _custom(timetable: Any) -> dict[str, Any]:
    return {
        "type": "custom",
        **_plain_object(timetable),
        "can_be_scheduled": bool(timetable.can_be_scheduled),
    }


def _plain_object(value: Any) -> dict[str, Any]:
    """Describe an object by its class and its public fields."""
    names = [name for name in dir(type(value)) if name in getattr(type(value), "__slots__", ())]
    fields = {**{name: getattr(value, name, None) for name in names}, **getattr(value, "__dict__", {})}
    shown = {name.lstrip("_"): literal(fields[name]) for name in sorted(fields) if not name.startswith("__")}
    return {"class": type_name(value), "fields": shown}


_DESCRIBERS: dict[str, Any] = {
    "NullTimetable": lambda _: None,
    "OnceTimetable": lambda _: {"type": "once"},
    "ContinuousTimetable": lambda _: {"type": "continuous"},
    "CronTriggerTimetable": _cron,
    "CronDataIntervalTimetable": _cron,
    "MultipleCronTriggerTimetable": _multiple_cron,
    "CronPartitionTimetable": _cron_partition,
    "DeltaTriggerTimetable": _delta_timetable,
    "DeltaDataIntervalTimetable": _delta_timetable,
    "EventsTimetable": _events,
    "AssetTriggeredTimetable": _assets,
    "AssetOrTimeSchedule": _asset_or_time,
    "PartitionedAssetTimetable": _partitioned_assets,
}
