"""Assets: what attempts say of them, and the runs that follow."""

from collections.abc import Sequence

from psycopg.types.json import Jsonb

from leoflow.engine import rows
from leoflow.engine.rows import Connection
from leoflow.engine.types import AssetRuns, Outcome


def outlets_json(outcomes: Sequence[Outcome]) -> Jsonb | None:
    """What `finish` is told of outlets; None when no attempt has any."""
    told = [
        {
            "run_key": outcome.attempt.run_key,
            "task_idx": outcome.attempt.task_idx,
            "map_index": outcome.attempt.map_index,
            "outlets": outcome.outlets.profiles,
            "events": outcome.outlets.events,
        }
        for outcome in outcomes
        if outcome.outlets is not None
    ]
    return Jsonb(told) if told else None


async def create_asset_runs(conn: Connection, limit: int = 100) -> AssetRuns:
    """Create the runs that committed asset events are sufficient for; wake workers if any were created."""
    return AssetRuns(*await rows.one(conn, "select created, blocked from leoflow_core.create_asset_runs(%s)", (limit,)))
