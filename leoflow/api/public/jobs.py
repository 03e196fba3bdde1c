"""The processes of Leoflow (as Airflow's jobs), whether they are well, and the version."""

from datetime import datetime
from typing import Annotated, Any

import psycopg
from fastapi import APIRouter, Depends, Query
from psycopg_pool import PoolClosed, PoolTimeout
from pydantic import BaseModel

from leoflow.api.deps import Conn, State, Viewer
from leoflow.api.filters import Where
from leoflow.api.paging import Ordering, Paged
from leoflow.api.public import store
from leoflow.api.public.criteria import Bounds, moments
from leoflow.db import queries

AIRFLOW_VERSION = "3.2.2"
SQL = queries.load("api_jobs")
router = APIRouter()
ORDER = Ordering(
    {
        "id": "j.id",
        "dag_id": "j.dag_id",
        "state": "j.state",
        "job_type": "j.job_type",
        "start_date": "j.start_date",
        "end_date": "j.end_date",
        "latest_heartbeat": "j.latest_heartbeat",
        "executor_class": "j.executor_class",
        "hostname": "j.hostname",
        "unixname": "j.unixname",
    },
    default="id",
    unique="id",
)


class JobResponse(BaseModel):
    """A process."""

    id: int
    dag_id: str | None
    state: str | None
    job_type: str | None
    start_date: datetime | None
    end_date: datetime | None
    latest_heartbeat: datetime | None
    executor_class: str | None
    hostname: str | None
    unixname: str | None
    dag_display_name: str | None


class JobCollectionResponse(BaseModel):
    """Processes."""

    jobs: list[JobResponse]
    total_entries: int


class BaseInfoResponse(BaseModel):
    """Whether something is well."""

    status: str | None


class SchedulerInfoResponse(BaseInfoResponse):
    """Whether a scheduler is well."""

    latest_scheduler_heartbeat: str | None


class TriggererInfoResponse(BaseInfoResponse):
    """Whether a triggerer is well."""

    latest_triggerer_heartbeat: str | None


class DagProcessorInfoResponse(BaseInfoResponse):
    """Whether the watcher is well."""

    latest_dag_processor_heartbeat: str | None


class HealthInfoResponse(BaseModel):
    """Whether each part is well; null where a part does not run at all."""

    metadatabase: BaseInfoResponse
    scheduler: SchedulerInfoResponse
    triggerer: TriggererInfoResponse
    dag_processor: DagProcessorInfoResponse | None


class VersionInfo(BaseModel):
    """The version of Airflow this API is that of."""

    version: str
    git_version: str | None


@router.get("/jobs", response_model=JobCollectionResponse, tags=["Job"])
async def get_jobs(
    conn: Conn,
    _: Viewer,
    page: Paged,
    started: Annotated[Bounds, Depends(moments("start_date"))],
    ended: Annotated[Bounds, Depends(moments("end_date"))],
    is_alive: bool | None = None,
    job_state: str | None = None,
    job_type: str | None = None,
    hostname: str | None = None,
    executor_class: str | None = None,
    order_by: Annotated[list[str] | None, Query()] = None,
) -> Any:
    """List processes."""
    where = Where()
    started.apply(where, "j.start_date")
    ended.apply(where, "j.end_date")
    where.equals("j.is_alive", is_alive)
    where.equals("j.state", job_state)
    where.equals("j.job_type", job_type)
    where.equals("j.hostname", hostname)
    where.equals("j.executor_class", executor_class)
    found, total = await store.listing(conn, "leoflow_core.api_jobs j", where, ORDER.parse(order_by), page)
    return {"jobs": found, "total_entries": total}


@router.get("/monitor/health", response_model=HealthInfoResponse, tags=["Monitor"])
async def get_health(state: State) -> Any:
    """Say whether the database and each kind of process are well; needs no sign-in."""
    try:
        async with state.pool.connection(timeout=5) as conn:
            found = {row["job_type"]: row for row in await store.rows(conn, SQL.health)}
            waits_for_triggerer = await store.value(conn, SQL.any_deferred)
            database = "healthy"
    except (psycopg.Error, PoolTimeout, PoolClosed):
        found, waits_for_triggerer, database = {}, True, "unhealthy"
    scheduler, processor = found.get("SchedulerJob"), found.get("DagProcessorJob")
    triggerer = found.get("TriggererJob")
    # Without deferred tasks nobody misses a triggerer, and the UI would paint its absence red.
    needs_none = triggerer is None and not waits_for_triggerer
    return {
        "metadatabase": {"status": database},
        "scheduler": {"status": _status(scheduler), "latest_scheduler_heartbeat": _heartbeat(scheduler)},
        "triggerer": {
            "status": "healthy" if needs_none else _status(triggerer),
            "latest_triggerer_heartbeat": _heartbeat(triggerer),
        },
        "dag_processor": processor
        and {"status": _status(processor), "latest_dag_processor_heartbeat": _heartbeat(processor)},
    }


@router.get("/version", response_model=VersionInfo, tags=["Version"])
async def get_version() -> Any:
    """Say which Airflow's API this is; needs no sign-in."""
    return {"version": AIRFLOW_VERSION, "git_version": None}


def _status(row: store.Row | None) -> str:
    return "healthy" if row and row["is_alive"] else "unhealthy"


def _heartbeat(row: store.Row | None) -> str | None:
    return row["latest_heartbeat"].isoformat() if row else None
