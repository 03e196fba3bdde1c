"""Assets and their events, as tasks see them."""

from typing import Any

from psycopg.rows import TupleRow

from leoflow.db import queries
from leoflow.execution.context import AttemptContext, Message, Reply, Store
from leoflow.execution.faults import FaultError, refused

_EVENT = (
    "id",
    "timestamp",
    "extra",
    "created_dagruns",
    "source_task_id",
    "source_dag_id",
    "source_run_id",
    "source_map_index",
    "partition_key",
)
_ASSET = ("name", "uri", "group", "extra")
_CONSUMED = ("source_task_id", "source_dag_id", "source_run_id", "source_map_index", "source_aliases", "timestamp")


async def consumed_events(store: Store, run_key: int, run_type: str) -> list[dict[str, Any]]:
    """Return the events that made a run, as the SDK's `AssetEventDagRunReference`; none unless assets started it."""
    if run_type != "asset_triggered":
        return []
    rows = await store.rows(queries.load("execution_assets").consumed_asset_events, {"run_key": run_key})
    return [
        {
            "asset": {"name": name, "uri": uri, "extra": asset_extra},
            "extra": extra,
            **dict(zip(_CONSUMED, rest, strict=True)),
        }
        for name, uri, asset_extra, extra, *rest in rows
    ]


async def get_asset(store: Store, _attempt: AttemptContext, message: Message) -> Reply:
    """Return the active asset of a name or a uri.

    Raises:
        FaultError: ASSET_NOT_FOUND.
    """
    wanted = {name: message.get(name) or None for name in ("name", "uri")}
    row = await store.row(queries.load("execution_assets").asset, wanted)
    if row is None:
        raise FaultError("ASSET_NOT_FOUND", {key: value for key, value in wanted.items() if value}, expected=True)
    return {"type": "AssetResult", **dict(zip(_ASSET, row, strict=True))}


async def get_asset_events(store: Store, _attempt: AttemptContext, message: Message) -> Reply:
    """Return events of an asset, or those that came through an alias.

    Raises:
        FaultError: neither is named.
    """
    wanted = {name: message.get(name) or None for name in ("alias_name", "name", "uri")}
    if not any(wanted.values()):
        raise refused("name and uri cannot both be None", 400, reason="Missing parameter")
    window = {
        "after": message.get("after"),
        "before": message.get("before"),
        "ascending": message.get("ascending", True),
        "limit": message.get("limit"),
    }
    rows = await store.rows(queries.load("execution_assets").asset_events, {**window, **wanted})
    return {"type": "AssetEventsResult", "asset_events": [_event(row) for row in rows]}


def _event(row: TupleRow) -> dict[str, Any]:
    event, asset = row[: len(_EVENT)], row[len(_EVENT) :]
    return {**dict(zip(_EVENT, event, strict=True)), "asset": dict(zip(_ASSET, asset, strict=True))}


async def validate_inlets_and_outlets(store: Store, attempt: AttemptContext, _message: Message) -> Reply:
    """Return the assets among the task's inlets and outlets that are not active: the task then refuses to run."""
    claimed = attempt.claimed
    rows = await store.rows(
        queries.load("execution_assets").inactive_assets,
        {"version_key": claimed.version_key, "task_idx": claimed.task_idx},
    )
    inactive = [{"name": name, "uri": uri, "type": "Asset"} for name, uri in rows]
    return {"type": "InactiveAssetsResult", "inactive_assets": inactive}
