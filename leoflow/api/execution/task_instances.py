"""Task instances: what an attempt says about itself, and asks about others."""

import datetime as dt
from typing import Annotated, Any
from uuid import UUID

from fastapi import Body, HTTPException, Query, Request, Response
from pydantic import JsonValue

from leoflow.api.execution.answers import nothing, reply
from leoflow.api.execution.answers import router as make_router
from leoflow.api.execution.caller import Asking, LaunchToken, Reporting, State, Token, body
from leoflow.api.execution.models import MESSAGE_OF_STATE, EnterRunning, Heartbeat, SkipDownstream, StateUpdate
from leoflow.execution import attempts, task_instances

router = make_router("")

Texts = Annotated[list[str] | None, Query()]
Dates = Annotated[list[dt.datetime] | None, Query()]


@router.get("/task-instances/count")
async def count(
    asking: Asking,
    dag_id: str,
    map_index: int | None = None,
    task_ids: Texts = None,
    task_group_id: str | None = None,
    logical_dates: Dates = None,
    run_ids: Texts = None,
    states: Texts = None,
) -> Response:
    """Count matching instances."""
    message = _criteria(dag_id, map_index, task_ids, task_group_id, logical_dates, run_ids)
    return reply((await asking.ask("GetTICount", {**message, "states": states}))["count"])


@router.get("/task-instances/states")
async def states(
    asking: Asking,
    dag_id: str,
    map_index: int | None = None,
    task_ids: Texts = None,
    task_group_id: str | None = None,
    logical_dates: Dates = None,
    run_ids: Texts = None,
) -> Response:
    """Return states by run and task."""
    message = _criteria(dag_id, map_index, task_ids, task_group_id, logical_dates, run_ids)
    return reply(await asking.ask("GetTaskStates", message))


@router.get("/task-instances/breadcrumbs")
async def breadcrumbs(asking: Asking, dag_id: str, run_id: str) -> Response:
    """Return the finished instances of a run."""
    return reply(await asking.ask("GetTaskBreadcrumbs", {"dag_id": dag_id, "run_id": run_id}))


@router.get("/task-instances/previous/{dag_id}/{task_id}")
async def previous(
    asking: Asking,
    dag_id: str,
    task_id: str,
    logical_date: dt.datetime | None = None,
    map_index: int = -1,
    state: str | None = None,
) -> Response:
    """Return the latest earlier instance of a task, or null."""
    message = {
        "dag_id": dag_id,
        "task_id": task_id,
        "logical_date": logical_date,
        "map_index": map_index,
        "state": state,
    }
    return reply((await asking.ask("GetPreviousTI", message))["task_instance"])


@router.patch("/task-instances/{task_instance_id}/run")
async def run(
    request: Request, state: State, token: LaunchToken, task_instance_id: UUID, payload: EnterRunning
) -> Response:
    """Start the attempt; the answer's header carries the token for all that follows."""
    context = await attempts.enter_running(state.store, token.attempt, pid=payload.pid, hostname=payload.hostname)
    request.state.refreshed_token = state.tokens.for_execution(token.attempt)
    return reply(_for_start(body(context)))


def _for_start(context: dict[str, Any]) -> dict[str, Any]:
    """Leave out, as Airflow does, what only an attempt that resumes from a trigger is told."""
    fresh = {**context, "variables": [], "connections": [], "xcom_keys_to_clear": []}
    if fresh["next_method"] is None:
        for name in ("next_method", "next_kwargs", "start_date"):
            del fresh[name]
    return fresh


@router.patch("/task-instances/{task_instance_id}/state")
async def update_state(
    reporting: Reporting, task_instance_id: UUID, payload: Annotated[StateUpdate, Body()]
) -> Response:
    """Record how the attempt ended."""
    message = {**payload.model_dump(), "type": MESSAGE_OF_STATE[payload.state]}
    await attempts.report(reporting.store, reporting.attempt, message)
    return nothing()


@router.put("/task-instances/{task_instance_id}/heartbeat")
async def heartbeat(state: State, token: Token, task_instance_id: UUID, payload: Heartbeat) -> Response:
    """Tell the attempt whether it is to go on."""
    await attempts.heartbeat(state.store, token.attempt, pid=payload.pid, hostname=payload.hostname)
    return nothing()


@router.put("/task-instances/{task_instance_id}/rtif")
async def rendered_fields(
    asking: Asking, task_instance_id: UUID, fields: Annotated[dict[str, JsonValue], Body()]
) -> Response:
    """Store the rendered template fields."""
    task_instances.set_rendered_fields(asking.attempt, {"rendered_fields": fields})
    await attempts.save_rendered(asking.store, asking.attempt)
    return reply({"message": "Rendered task instance fields successfully set"}, 201)


@router.patch("/task-instances/{task_instance_id}/rendered-map-index")
async def rendered_map_index(asking: Asking, task_instance_id: UUID, label: Annotated[str, Body()]) -> Response:
    """Store the label of a mapped instance."""
    if not label:
        raise HTTPException(422, "rendered_map_index cannot be empty")
    task_instances.set_rendered_map_index(asking.attempt, {"rendered_map_index": label})
    await attempts.save_rendered(asking.store, asking.attempt)
    return nothing()


@router.patch("/task-instances/{task_instance_id}/skip-downstream")
async def skip_downstream(asking: Asking, task_instance_id: UUID, payload: SkipDownstream) -> Response:
    """Skip tasks the attempt does not follow."""
    await asking.ask("SkipDownstreamTasks", {"tasks": payload.tasks})
    return nothing()


@router.get("/task-instances/{task_instance_id}/previous-successful-dagrun")
async def previous_successful_dag_run(asking: Asking, task_instance_id: UUID) -> Response:
    """Return the dates of the last successful run before this one."""
    names = ("data_interval_start", "data_interval_end", "start_date", "end_date")
    return reply({**dict.fromkeys(names), **await asking.ask("GetPrevSuccessfulDagRun", {})})


@router.get("/task-instances/{task_instance_id}/validate-inlets-and-outlets")
async def validate_inlets_and_outlets(asking: Asking, task_instance_id: UUID) -> Response:
    """Return the inactive assets among the task's inlets and outlets."""
    return reply(await asking.ask("ValidateInletsAndOutlets", {"ti_id": task_instance_id}))


@router.get("/task-reschedules/{task_instance_id}/start_date")
async def reschedule_start(asking: Asking, task_instance_id: UUID, try_number: int = 1) -> Response:
    """Return when this try started first, if it was rescheduled."""
    message = {"ti_id": task_instance_id, "try_number": try_number}
    return reply((await asking.ask("GetTaskRescheduleStartDate", message))["start_date"])


def _criteria(
    dag_id: str,
    map_index: int | None,
    task_ids: list[str] | None,
    task_group_id: str | None,
    logical_dates: list[dt.datetime] | None,
    run_ids: list[str] | None,
) -> dict[str, Any]:
    return {
        "dag_id": dag_id,
        "map_index": map_index,
        "task_ids": task_ids,
        "task_group_id": task_group_id,
        "logical_dates": logical_dates,
        "run_ids": run_ids,
    }
