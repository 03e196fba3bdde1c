"""From the partition of an asset's event to that of a run: Airflow 3.2.2's mappers, as dag.json describes them."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from leoflow.errors import LeoflowError
from leoflow.timetables.cron import zone

Mapper = Mapping[str, Any]
_MONTHS = {"month": 1, "quarter": 3, "year": 12}


def mapper_of(schedule: Mapping[str, Any], asset_name: str) -> Mapper:
    """The mapper of a `partitioned_assets` schedule for an asset.

    As in Airflow 3.2.2 only names count: a mapper given for a bare uri is never found, and the default one maps.
    """
    found = schedule.get("default_mapper") or {}
    for given in schedule.get("mappers") or ():
        if asset_name in _names(given["asset"]):
            found = given["mapper"]
    mapper: Mapper = found
    return mapper


def _names(asset: Mapping[str, Any]) -> Sequence[str]:
    if asset["type"] in ("all", "any"):
        return [name for each in asset["objects"] for name in _names(each)]
    return [asset["name"]] if asset["type"] in ("asset", "name_ref") else []


def is_custom(mapper: Mapper) -> bool:
    """Whether only the project's code can map."""
    return mapper.get("type") == "custom" or any(is_custom(each) for each in mapper.get("mappers") or ())


def map_key(mapper: Mapper, key: str) -> str:
    """The partition of the run.

    Raises:
        ValueError: the mapper does not take this key.
        LeoflowError: nobody knows this mapper.
    """
    match mapper.get("type"):
        case "identity":
            return key
        case "allowed_key":
            if key not in mapper["allowed_keys"]:
                raise ValueError(f"key {key!r} is not one of {', '.join(map(repr, mapper['allowed_keys']))}")
            return key
        case "chain":
            for each in mapper["mappers"]:
                key = map_key(each, key)
            return key
        case "product":
            return _product(mapper, key)
        case "start_of":
            return _start_of(mapper, key)
        case other:
            raise LeoflowError(
                "this kind of partition mapper is not known here", where=str(other), hint="compile again"
            )


def _product(mapper: Mapper, key: str) -> str:
    parts = key.split(mapper["delimiter"])
    if len(parts) != len(mapper["mappers"]):
        raise ValueError(f"key {key!r} has {len(parts)} parts, the mapper {len(mapper['mappers'])}")
    mapped = (map_key(each, part) for each, part in zip(mapper["mappers"], parts, strict=True))
    return str(mapper["delimiter"]).join(mapped)


def _start_of(mapper: Mapper, key: str) -> str:
    moment = datetime.strptime(key, mapper["input_format"])
    tz = zone(mapper.get("timezone") or "UTC")
    moment = moment.replace(tzinfo=tz, fold=1) if moment.tzinfo is None else moment.astimezone(tz)
    moment = moment.replace(minute=0, second=0, microsecond=0)
    unit = mapper["unit"]
    if unit != "hour":
        moment = moment.replace(hour=0)
    if unit == "week":
        moment -= timedelta(days=moment.weekday())
    if unit in _MONTHS:
        moment = moment.replace(day=1, month=moment.month - (moment.month - 1) % _MONTHS[unit])
    text = moment.strftime(mapper["output_format"])
    return text.format(quarter=(moment.month - 1) // 3 + 1) if unit == "quarter" else text
