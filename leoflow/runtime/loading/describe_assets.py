"""Describes assets, aliases, references and expressions over them."""

from typing import Any

from leoflow.runtime.loading.describe_values import literal, type_name
from leoflow.runtime.loading.failures import Failure


def describe_asset(value: Any) -> dict[str, Any]:
    """Return one asset, alias, reference, or an `all`/`any` expression; other inlets by their type."""
    from airflow.sdk.definitions import asset

    if isinstance(value, asset.Asset):
        return _asset(value)
    if isinstance(value, asset.AssetAlias):
        return {"type": "alias", "name": value.name, "group": value.group}
    if isinstance(value, asset.AssetNameRef):
        return {"type": "name_ref", "name": value.name}
    if isinstance(value, asset.AssetUriRef):
        return {"type": "uri_ref", "uri": value.uri}
    if isinstance(value, asset.AssetAll):
        return {"type": "all", "objects": [describe_asset(each) for each in value.objects]}
    if isinstance(value, asset.AssetAny):
        return {"type": "any", "objects": [describe_asset(each) for each in value.objects]}
    if hasattr(value, "asset_condition") or not hasattr(value, "objects"):
        return {"type": "object", "class": type_name(value), "value": literal(value)}
    # The core's own classes of an expression, from a timetable of the core.
    kind = "any" if "any" in type(value).__name__.lower() else "all"
    return {"type": kind, "objects": [describe_asset(each) for each in value.objects]}


def _asset(value: Any) -> dict[str, Any]:
    return {
        "type": "asset",
        "name": value.name,
        "uri": value.uri,
        "group": value.group,
        "extra": literal(value.extra),
        "watchers": [_watcher(each) for each in value.watchers],
    }


def _watcher(value: Any) -> dict[str, Any]:
    classpath, kwargs = value.trigger.serialize()
    return {"name": value.name, "trigger": {"classpath": classpath, "kwargs": _encoded(value.name, kwargs)}}


def _encoded(watcher: str, kwargs: Any) -> Any:
    """Encode the arguments of a trigger as those of a deferral are, to make it anew from them."""
    from airflow.sdk.serde import serialize

    try:
        return _ordered(serialize(kwargs))
    except (TypeError, AttributeError, RecursionError) as error:
        raise Failure(
            f"the trigger of the asset watcher {watcher!r} has arguments that cannot be kept: {error}",
            rule="watcher",
            hint="Its serialize() must return JSON values, or values Airflow can serialize.",
        ) from error


def _ordered(value: Any) -> Any:
    """Sort encoded sets, whose order differs from process to process."""
    if isinstance(value, dict):
        value = {key: _ordered(item) for key, item in value.items()}
        if value.get("__classname__") in ("builtins.set", "builtins.frozenset"):
            value["__data__"] = sorted(value["__data__"], key=repr)
        return value
    return [_ordered(item) for item in value] if isinstance(value, list) else value
