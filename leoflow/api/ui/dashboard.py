"""`/ui/dashboard/*`: the counters of the home page."""

from datetime import datetime

from fastapi import APIRouter

from leoflow.api.deps import Conn, Viewer
from leoflow.api.rows import row, rows
from leoflow.api.ui.models import DagRunState, DagStats, HistoricalMetrics
from leoflow.db import queries

router = APIRouter(prefix="/dashboard", tags=["Dashboard"])

STATE_COUNT_LIMIT = 1000
_SCAN_LIMIT = 200_000

TASK_INSTANCE_STATES = (
    "no_status",
    "removed",
    "scheduled",
    "queued",
    "running",
    "success",
    "restarting",
    "failed",
    "up_for_retry",
    "up_for_reschedule",
    "upstream_failed",
    "skipped",
    "deferred",
)


@router.get("/dag_stats")
async def get_dag_stats(conn: Conn, _: Viewer) -> DagStats:
    """Count active DAGs, and DAGs by the state of their latest run."""
    return DagStats.model_validate(await row(conn, queries.load("ui").dag_stats))


@router.get("/historical_metrics_data")
async def get_historical_metrics(
    conn: Conn, _: Viewer, start_date: datetime, end_date: datetime | None = None
) -> HistoricalMetrics:
    """Count runs and task instances of a time range by state; every state has a key, even at 0."""
    named = queries.load("ui")
    span = {"start_date": start_date, "end_date": end_date, "cap": STATE_COUNT_LIMIT}
    runs = await rows(conn, named.run_state_counts, span)
    instances = await rows(conn, named.instance_state_counts, span | {"scan": _SCAN_LIMIT})
    return HistoricalMetrics(
        dag_run_states={state.value: 0 for state in DagRunState} | {r["state"]: r["count"] for r in runs},
        task_instance_states=dict.fromkeys(TASK_INSTANCE_STATES, 0) | {i["state"]: i["count"] for i in instances},
        state_count_limit=STATE_COUNT_LIMIT,
    )
