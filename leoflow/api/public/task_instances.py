"""Task instances: list and get."""

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query

from leoflow.api.deps import Conn, Connection, Viewer
from leoflow.api.filters import Where
from leoflow.api.paging import MAXIMUM_PAGE_LIMIT, Order, Ordering, Page, Paged, Term
from leoflow.api.public import store
from leoflow.api.public.criteria import Bounds, Small, Wildcard, all_or
from leoflow.api.public.lookup import dag_or_404, instance, run_key_or_404
from leoflow.api.public.task_instance_filters import MappedFiltersDep, MoreInstanceFiltersDep, where_state
from leoflow.api.public.task_instance_models import (
    TaskDependencyCollectionResponse,
    TaskInstanceCollectionResponse,
    TaskInstanceResponse,
    TaskInstancesBatchBody,
)
from leoflow.db import queries

SQL = queries.load("api_task_instances")
PREFIX = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances"
router = APIRouter(prefix=PREFIX, tags=["Task Instance"])
RELATION = "leoflow_core.api_task_instances i"

_FIELDS = Ordering(
    {
        "id": "i.run_key",
        "state": "i.state",
        "duration": "i.duration",
        "start_date": "i.start_date",
        "end_date": "i.end_date",
        "map_index": "i.map_index",
        "try_number": "i.try_number",
        "logical_date": "i.logical_date",
        "run_after": "i.run_after",
        "data_interval_start": "i.data_interval_start",
        "data_interval_end": "i.data_interval_end",
        "rendered_map_index": "i.rendered_map_index",
        "operator": "i.operator",
        "dag_id": "i.dag_id",
        "run_id": "i.dag_run_id",
        "task_id": "i.task_id",
    },
    default="map_index",
    unique="id",
)


def ordering(order_by: list[str] | None) -> Order:
    """Parse `order_by`; `id` is the instances' primary key, so that the newest come first without a sort."""
    terms: list[Term] = []
    for term in _FIELDS.parse(order_by).terms:
        if term.field == "id":
            terms.append(Term("run_key", "i.run_key", term.descending))
            terms.append(Term("task_idx", "i.task_idx", term.descending))
            terms.append(Term("map_index", "i.map_index", term.descending))
        else:
            terms.append(term)
    return Order(tuple(terms))


@router.get("", response_model=TaskInstanceCollectionResponse)
async def get_task_instances(
    dag_id: str,
    dag_run_id: str,
    conn: Conn,
    _: Viewer,
    page: Paged,
    filters: MappedFiltersDep,
    more: MoreInstanceFiltersDep,
    order_by: Annotated[list[str] | None, Query()] = None,
    cursor: str | None = None,
) -> Any:
    """List task instances of a run, of all runs (`~`) or of all DAGs (`~`), in cursor mode with `cursor`."""
    where = filters.where()
    more.apply(where)
    await _scope(conn, where, dag_id, dag_run_id)
    found, others = await store.page_of(conn, RELATION, where, ordering(order_by), page, cursor)
    return {"task_instances": found, **others}


@router.post("/list", response_model=TaskInstanceCollectionResponse)
async def get_task_instances_batch(
    dag_id: Wildcard, dag_run_id: Wildcard, body: TaskInstancesBatchBody, conn: Conn, _: Viewer
) -> Any:
    """List task instances of several DAGs with filters in the body."""
    where = Where()
    where.any_of("i.dag_id", body.dag_ids)
    where.any_of("i.dag_run_id", body.dag_run_ids)
    where.any_of("i.task_id", body.task_ids)
    wanted = body.state or []
    where_state(where, [state.value for state in wanted if state], None in wanted)
    where.any_of("i.pool", body.pool)
    where.any_of("i.queue", body.queue)
    where.any_of("i.executor", body.executor)
    given = body.model_dump()
    Bounds.of("run_after", given).apply(where, "i.run_after")
    Bounds.of("logical_date", given).apply(where, "i.logical_date")
    Bounds.of("start_date", given).apply(where, "i.start_date")
    Bounds.of("end_date", given).apply(where, "i.end_date")
    Bounds.of("duration", given).apply(where, "i.duration")
    page = Page(min(body.page_limit, MAXIMUM_PAGE_LIMIT), body.page_offset)
    order = ordering([body.order_by] if body.order_by else None)
    found, total = await store.listing(conn, RELATION, where, order, page)
    return {"task_instances": found, "total_entries": total}


@router.get("/{task_id}", response_model=TaskInstanceResponse)
async def get_task_instance(dag_id: str, dag_run_id: str, task_id: str, conn: Conn, _: Viewer) -> Any:
    """Get the instance of a task that is not mapped."""
    found = await instance(conn, dag_id, dag_run_id, task_id, -1)
    if found is not None:
        return await _with_rendered_fields(conn, found)
    if await store.row(conn, SQL.any_of_task, _names(dag_id, dag_run_id, task_id)) is not None:
        raise HTTPException(404, "Task instance is mapped, add the map_index value to the URL")
    raise HTTPException(
        404,
        f"The Task Instance with dag_id: `{dag_id}`, run_id: `{dag_run_id}` and task_id: `{task_id}` was not found",
    )


@router.get("/{task_id}/listMapped", response_model=TaskInstanceCollectionResponse)
async def get_mapped_task_instances(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    conn: Conn,
    _: Viewer,
    page: Paged,
    filters: MappedFiltersDep,
    order_by: Annotated[list[str] | None, Query()] = None,
) -> Any:
    """List the instances of a mapped task."""
    where = filters.where()
    run_key = await run_key_or_404(conn, dag_id, dag_run_id)
    where.equals("i.run_key", run_key)
    where.equals("i.task_id", task_id)
    where.add("i.map_index >= 0")
    found, total = await store.listing(conn, RELATION, where, ordering(order_by), page)
    if not total and not await store.row(conn, SQL.mapped_task, {"run_key": run_key, "task_id": task_id}):
        raise HTTPException(404, f"Task id {task_id} is not mapped")
    return {"task_instances": found, "total_entries": total}


@router.get("/{task_id}/dependencies", response_model=TaskDependencyCollectionResponse)
async def get_task_instance_dependencies(
    dag_id: str, dag_run_id: str, task_id: str, conn: Conn, _: Viewer, map_index: Small = -1
) -> Any:
    """Say why an instance does not run now; nothing blocks one that is active or done."""
    found = await instance_or_404(conn, dag_id, dag_run_id, task_id, map_index)
    if found["state"] not in (None, "scheduled"):
        return {"dependencies": []}
    return {"dependencies": await store.rows(conn, SQL.dependencies, found)}


@router.get("/{task_id}/{map_index}/dependencies", response_model=TaskDependencyCollectionResponse)
async def get_task_instance_dependencies_by_map_index(
    dag_id: str, dag_run_id: str, task_id: str, map_index: Small, conn: Conn, user: Viewer
) -> Any:
    """Say why a mapped instance does not run now."""
    return await get_task_instance_dependencies(dag_id, dag_run_id, task_id, conn, user, map_index)


@router.get("/{task_id}/{map_index}", response_model=TaskInstanceResponse)
async def get_mapped_task_instance(
    dag_id: str, dag_run_id: str, task_id: str, map_index: Small, conn: Conn, _: Viewer
) -> Any:
    """Get one instance of a task, mapped or (`-1`) not."""
    found = await instance(conn, dag_id, dag_run_id, task_id, map_index)
    if found is None:
        raise HTTPException(
            404,
            f"The Mapped Task Instance with dag_id: `{dag_id}`, run_id: `{dag_run_id}`, task_id: `{task_id}`, "
            f"and map_index: `{map_index}` was not found",
        )
    return await _with_rendered_fields(conn, found)


async def instance_or_404(conn: Connection, dag_id: str, run_id: str, task_id: str, map_index: int) -> store.Row:
    """Return the row of `leoflow_core.api_task_instances`."""
    found = await instance(conn, dag_id, run_id, task_id, map_index)
    if found is None:
        raise HTTPException(
            404,
            f"The Task Instance with dag_id: `{dag_id}`, run_id: `{run_id}`, task_id: `{task_id}` "
            f"and map_index: `{map_index}` was not found",
        )
    return found


def _names(dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
    return {"dag_id": dag_id, "run_id": run_id, "task_id": task_id}


async def _scope(conn: Connection, where: Where, dag_id: str, run_id: str) -> None:
    """Restrict a list to the DAG and run in the path; by key, so that the primary key can be walked."""
    dag, run = all_or(dag_id), all_or(run_id)
    if dag and run:
        where.equals("i.run_key", await run_key_or_404(conn, dag, run))
    elif dag:
        where.equals("i.dag_key", (await dag_or_404(conn, dag))["dag_key"])
    elif run:
        where.equals("i.dag_run_id", run)


async def _with_rendered_fields(conn: Connection, found: store.Row) -> store.Row:
    fields = await store.value(conn, SQL.rendered_fields, found)
    return {**found, "rendered_fields": fields or {}}
