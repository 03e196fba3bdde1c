"""The tries of a task instance, and its links."""

from typing import Any

from fastapi import APIRouter, HTTPException

from leoflow.api.deps import Conn, Connection, State, Viewer
from leoflow.api.public import store
from leoflow.api.public.criteria import Small
from leoflow.api.public.task_instance_models import (
    ExtraLinkCollectionResponse,
    TaskInstanceHistoryCollectionResponse,
    TaskInstanceHistoryResponse,
)
from leoflow.api.public.task_instances import PREFIX, instance_or_404
from leoflow.db import queries

SQL = queries.load("api_task_instances")
router = APIRouter(prefix=PREFIX, tags=["Task Instance"])


@router.get("/{task_id}/tries", response_model=TaskInstanceHistoryCollectionResponse)
async def get_task_instance_tries(
    dag_id: str, dag_run_id: str, task_id: str, conn: Conn, _: Viewer, map_index: Small = -1
) -> Any:
    """List the tries of an instance, the current one last."""
    await instance_or_404(conn, dag_id, dag_run_id, task_id, map_index)
    found = await tries(conn, dag_id, dag_run_id, task_id, map_index)
    return {"task_instances": found, "total_entries": len(found)}


@router.get("/{task_id}/{map_index}/tries", response_model=TaskInstanceHistoryCollectionResponse)
async def get_mapped_task_instance_tries(
    dag_id: str, dag_run_id: str, task_id: str, map_index: Small, conn: Conn, user: Viewer
) -> Any:
    """List the tries of a mapped instance."""
    return await get_task_instance_tries(dag_id, dag_run_id, task_id, conn, user, map_index)


@router.get("/{task_id}/tries/{task_try_number}", response_model=TaskInstanceHistoryResponse)
async def get_task_instance_try_details(
    dag_id: str, dag_run_id: str, task_id: str, task_try_number: Small, conn: Conn, _: Viewer, map_index: Small = -1
) -> Any:
    """Get one try of an instance."""
    found = await tries(conn, dag_id, dag_run_id, task_id, map_index, task_try_number)
    if not found:
        raise HTTPException(
            404,
            f"The Task Instance with dag_id: `{dag_id}`, run_id: `{dag_run_id}`, task_id: `{task_id}`, "
            f"try_number: `{task_try_number}` and map_index: `{map_index}` was not found",
        )
    return found[-1]


@router.get("/{task_id}/{map_index}/tries/{task_try_number}", response_model=TaskInstanceHistoryResponse)
async def get_mapped_task_instance_try_details(
    dag_id: str, dag_run_id: str, task_id: str, map_index: Small, task_try_number: Small, conn: Conn, user: Viewer
) -> Any:
    """Get one try of a mapped instance."""
    return await get_task_instance_try_details(dag_id, dag_run_id, task_id, task_try_number, conn, user, map_index)


@router.get("/{task_id}/links", response_model=ExtraLinkCollectionResponse)
async def get_extra_links(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    conn: Conn,
    state: State,
    _: Viewer,
    map_index: Small = -1,
    try_number: Small | None = None,
) -> Any:
    """List the links of an instance: those of its operator, with what the attempt stored for them."""
    found = await instance_or_404(conn, dag_id, dag_run_id, task_id, map_index)
    own = f"{state.settings.base_url}/"
    links = {
        row["name"]: f"/{row['url'].removeprefix(own)}" if str(row["url"]).startswith(own) else row["url"]
        for row in await store.rows(conn, SQL.extra_links, found)
    }
    return {"extra_links": links, "total_entries": len(links)}


async def tries(
    conn: Connection, dag_id: str, run_id: str, task_id: str, map_index: int, try_number: int | None = None
) -> list[store.Row]:
    """Read the tries of an instance, or one of them; the current one comes last."""
    names = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": map_index}
    return await store.rows(conn, SQL.tries, {**names, "try_number": try_number})
