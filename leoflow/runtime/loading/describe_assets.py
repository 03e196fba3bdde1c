"""Describes assets, aliases, references and expressions over them."""

from typing import Any

from leoflow.runtime.loading.describe_values import literal, type_name


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
    return {"name": value.name, "trigger": {"classpath": classpath, "kwargs": literal(kwargs)}}
