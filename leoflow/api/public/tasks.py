"""The tasks of a DAG's current version."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel

from leoflow.api.deps import Conn, Viewer
from leoflow.api.public import store
from leoflow.api.public.lookup import dag_or_404
from leoflow.api.public.shapes import TimeDelta
from leoflow.db import queries

SQL = queries.load("api_tasks")
router = APIRouter(prefix="/dags/{dag_id}/tasks", tags=["Task"])


class TaskResponse(BaseModel):
    """A task."""

    task_id: str | None
    task_display_name: str | None
    owner: str | None
    start_date: datetime | None
    end_date: datetime | None
    trigger_rule: str | None
    depends_on_past: bool
    wait_for_downstream: bool
    retries: float | None
    queue: str | None
    pool: str | None
    pool_slots: float | None
    execution_timeout: TimeDelta | None
    retry_delay: TimeDelta | None
    retry_exponential_backoff: float
    priority_weight: float | None
    weight_rule: str | None
    ui_color: str | None
    ui_fgcolor: str | None
    template_fields: list[str] | None
    downstream_task_ids: list[str] | None
    doc_md: str | None
    operator_name: str | None
    params: dict[str, Any] | None
    class_ref: dict[str, Any] | None
    is_mapped: bool | None
    extra_links: list[str]


class TaskCollectionResponse(BaseModel):
    """Tasks."""

    tasks: list[TaskResponse]
    total_entries: int


@router.get("", response_model=TaskCollectionResponse)
async def get_tasks(dag_id: str, conn: Conn, _: Viewer, order_by: str = "task_id") -> Any:
    """List the tasks, sorted by one of their fields."""
    dag = await dag_or_404(conn, dag_id)
    field = order_by.lstrip("-")
    if field not in TaskResponse.model_fields:
        raise HTTPException(400, f"'Task' object has no attribute '{field}'")
    found = [_task(row) for row in await store.rows(conn, SQL.tasks, {**_version(dag), "task_id": None})]
    found.sort(key=lambda task: _sort_key(getattr(task, field)), reverse=order_by.startswith("-"))
    return {"tasks": found, "total_entries": len(found)}


@router.get("/{task_id}", response_model=TaskResponse)
async def get_task(dag_id: str, task_id: str, conn: Conn, _: Viewer) -> Any:
    """Get a task."""
    dag = await dag_or_404(conn, dag_id)
    found = await store.row(conn, SQL.tasks, {**_version(dag), "task_id": task_id})
    if found is None:
        raise HTTPException(404, f"Task with id {task_id} was not found")
    return _task(found)


def _version(dag: store.Row) -> dict[str, Any]:
    return {"version_key": dag["current_version_key"]}


def _sort_key(value: Any) -> tuple[bool, Any]:
    """Nulls last; what has no order of its own by its text."""
    comparable = isinstance(value, str | int | float | datetime)
    return value is None, value if comparable else str(value)


def _task(row: store.Row) -> TaskResponse:
    """Combine the hot columns with what only the spec knows."""
    spec = row["spec"]
    module, _, name = str(spec.get("class") or "").rpartition(".")
    return TaskResponse(
        **{key: row[key] for key in row if key != "spec" and not key.endswith("_seconds")},
        execution_timeout=TimeDelta.of(row["execution_timeout_seconds"]),
        retry_delay=TimeDelta.of(row["retry_delay_seconds"]),
        weight_rule=spec.get("weight_rule"),
        ui_color=spec.get("ui_color"),
        ui_fgcolor=spec.get("ui_fgcolor"),
        template_fields=spec.get("template_fields") or [],
        doc_md=spec.get("doc_md"),
        params=spec.get("params") or {},
        class_ref={"module_path": module, "class_name": name} if name else None,
        extra_links=list(spec.get("extra_links") or []),
        priority_weight=spec.get("priority_weight"),
    )
