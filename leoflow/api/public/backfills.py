"""Backfills: the runs of a DAG's schedule in a range of dates, made at once, paused and cancelled as one.

The dates come from the timetable; everything else (which exist already, what is refused, the runs) is SQL.
"""

import asyncio
import contextlib
import itertools
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, Field

from leoflow.api.deps import Conn, Connection, Editor, Viewer
from leoflow.api.filters import Where
from leoflow.api.paging import Ordering, Paged
from leoflow.api.public import store
from leoflow.api.public.criteria import Moment, Small
from leoflow.api.public.params import check_conf
from leoflow.api.public.shapes import StrictBody
from leoflow.db import queries
from leoflow.engine.workers import wake_workers
from leoflow.errors import LeoflowError
from leoflow.execution.timetable_questions import NobodyAnswersError, ask
from leoflow.timetables import RunInfo, runs_between

SQL = queries.load("api_backfills")
router = APIRouter(prefix="/backfills", tags=["Backfill"])
Key = Annotated[int, Field(ge=0, lt=2**63)]
ORDER = Ordering({"id": "b.id"}, default="id", unique="id")
RELATION = "leoflow.backfills b"


class BackfillResponse(BaseModel):
    """A backfill."""

    id: int
    dag_id: str
    from_date: datetime
    to_date: datetime
    dag_run_conf: dict[str, Any] | None
    is_paused: bool
    reprocess_behavior: str
    max_active_runs: int
    created_at: datetime
    completed_at: datetime | None
    updated_at: datetime
    dag_display_name: str


class BackfillCollectionResponse(BaseModel):
    """Backfills."""

    backfills: list[BackfillResponse]
    total_entries: int


class DryRunBackfillResponse(BaseModel):
    """A run that would be made."""

    logical_date: datetime | None
    partition_key: str | None = None
    partition_date: datetime | None = None


class DryRunBackfillCollectionResponse(BaseModel):
    """The runs that would be made."""

    backfills: list[DryRunBackfillResponse]
    total_entries: int


class BackfillPostBody(StrictBody):
    """A backfill to make."""

    dag_id: str
    from_date: Moment
    to_date: Moment
    run_backwards: bool = False
    dag_run_conf: dict[str, Any] | None = None
    reprocess_behavior: Literal["failed", "completed", "none"] = "none"
    max_active_runs: Small = 10
    run_on_latest_version: bool = True


@router.get("", response_model=BackfillCollectionResponse)
async def list_backfills(
    dag_id: str, conn: Conn, _: Viewer, page: Paged, order_by: Annotated[list[str] | None, Query()] = None
) -> Any:
    """List the backfills of a DAG."""
    where = Where()
    where.equals("b.dag_id", dag_id)
    found, total = await store.listing(conn, RELATION, where, ORDER.parse(order_by), page)
    return {"backfills": found, "total_entries": total}


@router.post("", response_model=BackfillResponse)
async def create_backfill(body: BackfillPostBody, conn: Conn, user: Editor) -> Any:
    """Make a backfill with all its runs."""
    plan = await _plan(conn, body)
    arguments = {**body.model_dump(exclude={"dag_run_conf"}), **plan.arrays(), "user": user.name}
    conf = None if body.dag_run_conf is None else store.jsonb(body.dag_run_conf)
    key = await store.value(conn, SQL.create, {**arguments, "conf": conf})
    await wake_workers(conn)
    return await _get(conn, key)


@router.post("/dry_run", response_model=DryRunBackfillCollectionResponse)
async def create_backfill_dry_run(body: BackfillPostBody, conn: Conn, _: Editor) -> Any:
    """Say which runs a backfill would make or run again."""
    plan = await _plan(conn, body)
    found = await store.rows(conn, SQL.dry_run, {**body.model_dump(), **plan.arrays(), "dag_key": plan.dag_key})
    return {"backfills": found, "total_entries": len(found)}


@router.get("/{backfill_id}", response_model=BackfillResponse)
async def get_backfill(backfill_id: Key, conn: Conn, _: Viewer) -> Any:
    """Get a backfill."""
    found = await _get(conn, backfill_id)
    if found is None:
        raise HTTPException(404, "Backfill not found")
    return found


@router.put("/{backfill_id}/pause", response_model=BackfillResponse)
async def pause_backfill(backfill_id: Key, conn: Conn, user: Editor) -> Any:
    """Pause a backfill: no further run of it starts."""
    await store.execute(conn, SQL.pause, {"id": backfill_id, "is_paused": True, "user": user.name})
    return await _get(conn, backfill_id)


@router.put("/{backfill_id}/unpause", response_model=BackfillResponse)
async def unpause_backfill(backfill_id: Key, conn: Conn, user: Editor) -> Any:
    """Go on with a backfill."""
    await store.execute(conn, SQL.pause, {"id": backfill_id, "is_paused": False, "user": user.name})
    return await _get(conn, backfill_id)


@router.put("/{backfill_id}/cancel", response_model=BackfillResponse)
async def cancel_backfill(backfill_id: Key, conn: Conn, user: Editor) -> Any:
    """Cancel a backfill: its queued runs fail, running ones go on."""
    await store.execute(conn, SQL.cancel, {"id": backfill_id, "user": user.name})
    return await _get(conn, backfill_id)


@dataclass(frozen=True, slots=True)
class _Plan:
    """A DAG and the dates of its schedule that a backfill concerns, oldest first."""

    dag_key: int
    runs: list[RunInfo]

    def arrays(self) -> dict[str, Any]:
        """The dates as the SQL functions take them."""
        is_partitioned = any(run.partition_key is not None for run in self.runs)
        return {
            "partition_keys": [run.partition_key for run in self.runs] if is_partitioned else None,
            "partition_dates": [run.partition_date for run in self.runs] if is_partitioned else None,
            "logical_dates": [run.logical_date for run in self.runs],
            "interval_ends": [run.interval.end for run in self.runs],
            "run_afters": [run.run_after for run in self.runs],
        }


async def _plan(conn: Connection, body: BackfillPostBody) -> _Plan:
    """Find the dates, having refused what SQL refuses."""
    dag_key = await store.value(conn, SQL.check, body.model_dump())
    dag = await store.row(conn, SQL.dag, {"dag_key": dag_key})
    assert dag is not None
    if body.dag_run_conf is not None:
        try:
            check_conf(dag["params"] or {}, body.dag_run_conf)
        except HTTPException as error:
            raise HTTPException(422, error.detail) from None
    try:
        runs = await _runs(conn, dag, body)
    except NobodyAnswersError as error:
        raise HTTPException(503, f"{error}; {error.hint}") from error
    except (LeoflowError, OverflowError, ValueError) as error:
        raise HTTPException(422, f"The dates of this schedule cannot be found: {error}") from error
    await store.value(conn, SQL.check_count, {**body.model_dump(), "count": len(runs)})
    return _Plan(dag_key, runs)


async def _runs(conn: Connection, dag: store.Row, body: BackfillPostBody) -> list[RunInfo]:
    """Find the runs of the schedule in the range; one more than is allowed is enough to be refused."""
    most = dag["most"] + 1
    if dag["is_custom"]:
        question = {
            "question": "between",
            "earliest": body.from_date.isoformat(),
            "latest": min(body.to_date, dag["now"]).isoformat(),
            "before": dag["now"].isoformat(),
            "most": most,
        }
        answer = await ask(lambda: contextlib.nullcontext(conn), dag["version_key"], question)
        return [RunInfo.read(run) for run in answer]
    found = runs_between(dag["schedule"], body.from_date, body.to_date, dag["now"])
    # in a thread: thousands of cron dates take a while
    return await asyncio.to_thread(lambda: list(itertools.islice(found, most)))


async def _get(conn: Connection, key: int) -> store.Row | None:
    return await store.row(conn, SQL.one, {"id": key})
