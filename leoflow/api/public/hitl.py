"""Questions of tasks to people. No task of this release can ask one, so the collections are truly empty."""

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, Field

from leoflow.api.deps import Conn, Editor, Viewer
from leoflow.api.paging import Paged
from leoflow.api.public.criteria import Small, all_or
from leoflow.api.public.lookup import dag_or_404, run_or_404
from leoflow.api.public.task_instances import instance_or_404

router = APIRouter(prefix="/dags/{dag_id}/dagRuns/{dag_run_id}", tags=["Task Instance"])


class HITLDetailCollection(BaseModel):
    """Questions."""

    hitl_details: list[dict[str, Any]]
    total_entries: int


class UpdateHITLDetailPayload(BaseModel):
    """An answer."""

    chosen_options: Annotated[list[str], Field(min_length=1)]
    params_input: dict[str, Any] = {}


@router.get("/hitlDetails", response_model=HITLDetailCollection)
async def get_hitl_details(dag_id: str, dag_run_id: str, conn: Conn, _: Viewer, page: Paged) -> Any:
    """List questions."""
    dag, run = all_or(dag_id), all_or(dag_run_id)
    if dag:
        await dag_or_404(conn, dag)
    if dag and run:
        await run_or_404(conn, dag, run)
    return {"hitl_details": [], "total_entries": 0}


@router.get("/taskInstances/{task_id}/{map_index}/hitlDetails")
async def get_hitl_detail(dag_id: str, dag_run_id: str, task_id: str, map_index: Small, conn: Conn, _: Viewer) -> Any:
    """Get the question of an instance."""
    raise await _no_question(conn, dag_id, dag_run_id, task_id, map_index)


@router.get("/taskInstances/{task_id}/{map_index}/hitlDetails/tries/{try_number}")
async def get_hitl_detail_try_detail(
    dag_id: str, dag_run_id: str, task_id: str, map_index: Small, try_number: Small, conn: Conn, _: Viewer
) -> Any:
    """Get the question of a try."""
    raise await _no_question(conn, dag_id, dag_run_id, task_id, map_index)


@router.patch("/taskInstances/{task_id}/{map_index}/hitlDetails")
async def update_hitl_detail(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    map_index: Small,
    body: UpdateHITLDetailPayload,
    conn: Conn,
    _: Editor,
) -> Any:
    """Answer the question of an instance."""
    raise await _no_question(conn, dag_id, dag_run_id, task_id, map_index)


async def _no_question(conn: Conn, dag_id: str, run_id: str, task_id: str, map_index: int) -> HTTPException:
    found = await instance_or_404(conn, dag_id, run_id, task_id, map_index)
    return HTTPException(404, f"Human-in-the-loop detail does not exist for Task Instance with id {found['id']}")
