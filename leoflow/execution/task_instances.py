"""Task instances: what tasks ask about others, and what they say about themselves while running."""

from typing import Any

from leoflow import engine
from leoflow.db import queries
from leoflow.engine import Rendered
from leoflow.execution.context import AttemptContext, Message, Reply, Store
from leoflow.execution.faults import not_found, refused
from leoflow.execution.values import without_nul
from leoflow.storable import shown

_DONE: Reply = {"type": "OKResponse", "ok": True}


def set_rendered_fields(attempt: AttemptContext, message: Message) -> Reply:
    """Keep the rendered template fields; they are written with the outcome, or soon when the attempt runs on."""
    attempt.rendered_fields = message["rendered_fields"]
    return _DONE


def set_rendered_map_index(attempt: AttemptContext, message: Message) -> Reply:
    """Keep the label of a mapped instance, written like the rendered fields."""
    attempt.rendered_map_index = message["rendered_map_index"]
    return _DONE


def take_rendered(attempt: AttemptContext) -> Rendered | None:
    """Return what `set_rendered_*` kept, once; None when nothing is kept."""
    fields, label = attempt.rendered_fields, attempt.rendered_map_index
    if fields is None and label is None:
        return None
    attempt.rendered_fields = attempt.rendered_map_index = None
    return Rendered(
        attempt.claimed.ref,
        without_nul(fields) if fields is not None else None,
        shown(label) if label is not None else None,
    )


async def skip_downstream(store: Store, attempt: AttemptContext, message: Message) -> Reply:
    """Skip tasks downstream of the attempt: what a branch does not follow.

    Raises:
        FaultError: the attempt is no longer current.
    """
    tasks = [(task, -1) if isinstance(task, str) else (task[0], task[1]) for task in message["tasks"]]
    async with store.pool.connection() as connection:
        done = await engine.skip_downstream(connection, attempt.claimed.ref, tasks)
        await engine.wake_workers(connection)
    if not done:
        raise refused("this attempt has been superseded; it cannot skip tasks any more", 409)
    return None


async def count_task_instances(store: Store, _attempt: AttemptContext, message: Message) -> Reply:
    """Return how many instances match Airflow's filters."""
    await _require_group(store, message)
    query = queries.load("execution_runs").task_instance_count
    row = await store.row(query, _criteria(message, message.get("states")))
    return {"type": "TICount", "count": row[0] if row else 0}


async def get_task_states(store: Store, _attempt: AttemptContext, message: Message) -> Reply:
    """Return states by run and task, mapped instances as `task_<index>`."""
    await _require_group(store, message)
    states: dict[str, dict[str, str | None]] = {}
    for run_id, task_id, map_index, state, *_ in await _instances(store, message):
        name = task_id if map_index < 0 else f"{task_id}_{map_index}"
        states.setdefault(run_id, {})[name] = state
    return {"type": "TaskStatesResult", "task_states": states}


async def get_breadcrumbs(store: Store, _attempt: AttemptContext, message: Message) -> Reply:
    """Return the finished instances of a run with their duration."""
    final = ["success", "failed", "skipped", "upstream_failed", "removed"]
    rows = await _instances(store, {"dag_id": message["dag_id"], "run_ids": [message["run_id"]]}, states=final)
    names = ("task_id", "map_index", "state", "operator", "duration")
    return {
        "type": "TaskBreadcrumbsResult",
        "breadcrumbs": [dict(zip(names, row[1:], strict=True)) for row in rows],
    }


async def get_previous_instance(store: Store, _attempt: AttemptContext, message: Message) -> Reply:
    """Return the latest instance of a task before a logical date, or none."""
    wanted = {name: message.get(name) for name in ("dag_id", "task_id", "logical_date", "state")}
    row = await store.row(
        queries.load("execution_runs").previous_task_instance, {**wanted, "map_index": message.get("map_index", -1)}
    )
    if row is None:
        return {"type": "PreviousTIResult", "task_instance": None}
    run_id, logical_date, start_date, end_date, state, try_number, duration = row
    instance = {
        "dag_id": message["dag_id"],
        "task_id": message["task_id"],
        "run_id": run_id,
        "logical_date": logical_date,
        "start_date": start_date,
        "end_date": end_date,
        "state": state,
        "try_number": try_number,
        "map_index": message.get("map_index", -1),
        "duration": duration,
    }
    return {"type": "PreviousTIResult", "task_instance": instance}


async def _require_group(store: Store, message: Message) -> None:
    """Raise FaultError for a task group that the DAG does not have, so that a sensor fails and does not wait for it."""
    if not (group_id := message.get("task_group_id")):
        return
    query = queries.load("execution_runs").task_group
    if await store.row(query, {"dag_id": message["dag_id"], "task_group_id": group_id}) is None:
        raise not_found(f"Task group {group_id} not found in DAG {message['dag_id']}")


async def _instances(store: Store, message: Message, states: list[str] | None = None) -> list[Any]:
    return await store.rows(queries.load("execution_runs").task_instances, _criteria(message, states))


def _criteria(message: Message, states: list[str] | None) -> dict[str, Any]:
    names = ("run_ids", "logical_dates", "task_ids", "task_group_id")
    map_index = message.get("map_index")
    return {
        "dag_id": message["dag_id"],
        **{name: message.get(name) or None for name in names},
        "map_index": map_index if map_index is not None and map_index >= 0 else None,
        "states": states or None,
    }
