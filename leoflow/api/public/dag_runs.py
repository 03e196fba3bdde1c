"""DAG runs: list, get, trigger, change, clear, delete, wait."""

import contextlib
from collections.abc import AsyncIterator
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, HTTPException, Query, Request
from pydantic import Field

from leoflow.api.deps import Conn, Connection, Editor, Pool, State, User, Viewer
from leoflow.api.encoding import NdjsonResponse
from leoflow.api.filters import Where
from leoflow.api.paging import MAXIMUM_PAGE_LIMIT, Ordering, Page, Paged
from leoflow.api.public import audit, store
from leoflow.api.public.criteria import Bounds, Wildcard, all_or
from leoflow.api.public.dag_run_filters import RunFilters
from leoflow.api.public.dag_run_models import (
    DAGRunClearBody,
    DAGRunCollectionResponse,
    DAGRunPatchBody,
    DAGRunResponse,
    DAGRunsBatchBody,
    TriggerDAGRunPostBody,
)
from leoflow.api.public.lookup import dag_or_404, run_or_404
from leoflow.api.public.params import check_conf
from leoflow.api.public.task_instance_models import ClearTaskInstanceCollectionResponse
from leoflow.db import queries
from leoflow.engine.runs import create_run
from leoflow.engine.workers import wake_workers
from leoflow.errors import LeoflowError
from leoflow.execution import manual_runs
from leoflow.execution.timetable_questions import NobodyAnswersError
from leoflow.timetables import DataInterval

SQL = queries.load("api_dag_runs")
router = APIRouter(prefix="/dags/{dag_id}/dagRuns", tags=["DagRun"])

ORDER = Ordering(
    {
        "id": "r.run_key",
        "state": "r.state",
        "dag_id": "r.dag_id",
        "run_id": "r.dag_run_id",
        "dag_run_id": "r.dag_run_id",
        "logical_date": "r.logical_date",
        "run_after": "r.run_after",
        "start_date": "r.start_date",
        "end_date": "r.end_date",
        "updated_at": "r.updated_at",
        "conf": "r.conf",
        "duration": "r.duration",
        "run_type": "r.run_type",
    },
    default="id",
    unique="id",
)
RELATION = "leoflow_core.api_dag_runs r"


@router.get("", response_model=DAGRunCollectionResponse)
async def get_dag_runs(
    dag_id: str,
    conn: Conn,
    _: Viewer,
    page: Paged,
    filters: RunFilters,
    order_by: Annotated[list[str] | None, Query()] = None,
    cursor: str | None = None,
) -> Any:
    """List runs of a DAG, or of all with `~`; with `cursor` (empty for the first page) in cursor mode."""
    where = filters.where()
    if only := all_or(dag_id):
        await dag_or_404(conn, dag_id)
        where.equals("r.dag_id", only)
    found, others = await store.page_of(conn, RELATION, where, ORDER.parse(order_by), page, cursor)
    return {"dag_runs": found, **others}


@router.post("/list", response_model=DAGRunCollectionResponse)
async def get_list_dag_runs_batch(dag_id: Wildcard, body: DAGRunsBatchBody, conn: Conn, _: Viewer) -> Any:
    """List runs of several DAGs with filters in the body."""
    where = Where()
    where.any_of("r.dag_id", body.dag_ids)
    where.any_of("r.state", [str(state) for state in body.states or [] if state])
    given = body.model_dump()
    for name in ("run_after", "logical_date", "start_date", "end_date"):
        Bounds.of(name, given).apply(where, f"r.{name}")
    Bounds.of("duration", given).apply(where, "r.duration")
    if body.conf_contains:
        where.add("r.conf::text ilike %s", f"%{body.conf_contains}%")
    page = Page(min(body.page_limit, MAXIMUM_PAGE_LIMIT), body.page_offset)
    order = ORDER.parse([body.order_by] if body.order_by else None)
    found, total = await store.listing(conn, RELATION, where, order, page)
    return {"dag_runs": found, "total_entries": total}


@router.post("", response_model=DAGRunResponse)
async def trigger_dag_run(dag_id: str, body: TriggerDAGRunPostBody, conn: Conn, user: Editor, request: Request) -> Any:
    """Make a run now."""
    return await start_run(conn, user, request, await dag_or_404(conn, dag_id), body)


async def start_run(
    conn: Connection,
    user: User,
    request: Request,
    dag: store.Row,
    body: TriggerDAGRunPostBody,
    *,
    run_type: str = "manual",
    event: str = "trigger_dag_run",
) -> store.Row:
    """Make a run of a DAG (a row of `leoflow_core.api_dags`) now; `event` is its name in the audit log.

    Raises:
        HTTPException: 400 or 422, what the body asks for does not fit the DAG.
    """
    dag_id = dag["dag_id"]
    _check_trigger(dag, body)
    check_conf(await store.value(conn, SQL.params, dag) or {}, body.conf or {})
    planned = await _plan(conn, dag_id, body, run_type)
    async with conn.transaction():
        created = await create_run(
            conn,
            dag_id,
            conf=body.conf,
            triggered_by=_origin(request),
            user=user.name,
            note=body.note or None,
            partition_key=body.partition_key,
            **planned.arguments(),
        )
        extra = {**body.model_dump(mode="json", exclude_unset=True), "method": "POST"}
        await audit.record(conn, user, event, dag_id=dag_id, run_id=created.run_id, extra=extra)
    await wake_workers(conn)
    return await run_or_404(conn, dag_id, created.run_id)


@router.get("/{dag_run_id}", response_model=DAGRunResponse)
async def get_dag_run(dag_id: str, dag_run_id: str, conn: Conn, _: Viewer) -> Any:
    """Get a run."""
    return await run_or_404(conn, dag_id, dag_run_id)


@router.patch("/{dag_run_id}", response_model=DAGRunResponse)
async def patch_dag_run(
    dag_id: str,
    dag_run_id: str,
    body: DAGRunPatchBody,
    conn: Conn,
    user: Editor,
    update_mask: Annotated[list[str] | None, Query()] = None,
) -> Any:
    """Set the state or the note of a run."""
    await run_or_404(conn, dag_id, dag_run_id)
    changes = body.model_dump(include=body.model_fields_set & set(update_mask or body.model_fields_set))
    names = {"dag_id": dag_id, "run_id": dag_run_id}
    async with conn.transaction():
        if changes.get("state") is not None:
            await store.execute(conn, SQL.mark_run, {**names, "state": changes["state"], "user": user.name})
        if "note" in changes:
            await store.execute(conn, SQL.set_note, {**names, "note": changes["note"] or None, "user": user.name})
            extra = {"note": changes["note"], "method": "PATCH"}
            await audit.record(conn, user, "patch_dag_run", dag_id=dag_id, run_id=dag_run_id, extra=extra)
    await wake_workers(conn)
    return await run_or_404(conn, dag_id, dag_run_id)


@router.delete("/{dag_run_id}", status_code=204)
async def delete_dag_run(dag_id: str, dag_run_id: str, conn: Conn, user: Editor) -> None:
    """Delete a run that is not running."""
    run = await run_or_404(conn, dag_id, dag_run_id)
    if run["state"] == "running":
        raise HTTPException(
            409,
            f"The DagRun with dag_id: `{dag_id}` and run_id: `{dag_run_id}` cannot be deleted in {run['state']} state",
        )
    await store.execute(conn, SQL.delete, {"dag_id": dag_id, "run_id": dag_run_id, "user": user.name})


@router.post("/{dag_run_id}/clear", response_model=ClearTaskInstanceCollectionResponse | DAGRunResponse)
async def clear_dag_run(dag_id: str, dag_run_id: str, body: DAGRunClearBody, conn: Conn, user: Editor) -> Any:
    """Run the tasks of a run again; a dry run answers which ones.

    `run_on_latest_version` moves the run to the DAG's latest version; `only_new` does so and runs only the tasks that
    the run did not have.
    """
    await run_or_404(conn, dag_id, dag_run_id)
    names = {"dag_id": dag_id, "run_id": dag_run_id, **body.model_dump(), "user": user.name}
    found = await store.rows(conn, SQL.new_tasks if body.only_new else SQL.clear_run, names)
    if body.dry_run:
        return ClearTaskInstanceCollectionResponse.model_validate(
            {"task_instances": found, "total_entries": len(found)}
        )
    await wake_workers(conn)
    return DAGRunResponse.model_validate(await run_or_404(conn, dag_id, dag_run_id))


@router.get("/{dag_run_id}/wait")
async def wait_dag_run_until_finished(
    dag_id: str,
    dag_run_id: str,
    conn: Conn,
    _: Viewer,
    state: State,
    interval: Annotated[float, Query(gt=0), Field(allow_inf_nan=False, le=3600)],
    result: Annotated[list[str] | None, Query()] = None,
) -> Any:
    """Stream the state every `interval` seconds until the run ends, then the XComs of the `result` tasks."""
    await run_or_404(conn, dag_id, dag_run_id)
    return NdjsonResponse(_states(state.pool, dag_id, dag_run_id, interval, result))


async def _states(
    pool: Pool, dag_id: str, run_id: str, interval: float, result: list[str] | None
) -> AsyncIterator[dict[str, Any]]:
    """Read with a connection of its own each time, so that a long wait holds none."""
    names = {"dag_id": dag_id, "run_id": run_id}
    while True:
        async with pool.connection() as conn:
            found = await store.value(conn, SQL.state, names)
            if found not in ("queued", "running"):
                values = await _results(conn, names, result) if result else None
                break
        yield {"state": found}
        await anyio.sleep(interval)
    yield {"state": found} if values is None else {"state": found, "results": values}


async def _results(conn: Connection, names: dict[str, str], result: list[str]) -> dict[str, Any]:
    found = await store.rows(conn, SQL.results, {**names, "task_ids": result})
    return {row["task_id"]: row["value"] for row in found}


def _check_trigger(dag: store.Row, body: TriggerDAGRunPostBody) -> None:
    if dag["has_import_errors"]:
        raise HTTPException(400, f"Dag with dag_id: '{dag['dag_id']}' has import errors and cannot be triggered")
    if (body.data_interval_start is None) != (body.data_interval_end is None):
        raise HTTPException(
            422, "Either both data_interval_start and data_interval_end must be provided or both must be None"
        )


async def _plan(conn: Connection, dag_id: str, body: TriggerDAGRunPostBody, run_type: str) -> manual_runs.ManualRun:
    """Find the interval and id that the DAG's timetable gives the run."""
    interval = None
    if body.data_interval_start is not None and body.data_interval_end is not None:
        interval = DataInterval(body.data_interval_start, body.data_interval_end)
    wanted = manual_runs.ManualRun(run_type, body.dag_run_id, body.logical_date, interval, body.run_after)
    try:
        return await manual_runs.plan(lambda: contextlib.nullcontext(conn), dag_id, wanted)
    except NobodyAnswersError as error:
        raise HTTPException(503, f"{error}; {error.hint}") from error
    except (LeoflowError, OverflowError, ValueError) as error:
        raise HTTPException(400, str(error)) from error


def _origin(request: Request) -> str:
    """Tell the browser's requests from scripts: only the UI sends its own page as referer."""
    referer = request.headers.get("referer", "")
    return "ui" if referer.startswith(str(request.base_url)) and "/docs" not in referer else "rest_api"
