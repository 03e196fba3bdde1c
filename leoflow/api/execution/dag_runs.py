"""DAG runs and DAGs."""

import datetime as dt
from typing import Annotated, Any

from fastapi import Query, Response

from leoflow.api.execution.answers import nothing, reply
from leoflow.api.execution.answers import router as make_router
from leoflow.api.execution.caller import Asking
from leoflow.api.execution.models import TriggerDagRun
from leoflow.execution import dag_runs
from leoflow.execution.faults import FaultError, refused

router = make_router("")

Texts = Annotated[list[str] | None, Query()]
Dates = Annotated[list[dt.datetime] | None, Query()]


@router.get("/dag-runs/count")
async def count(
    asking: Asking, dag_id: str, logical_dates: Dates = None, run_ids: Texts = None, states: Texts = None
) -> Response:
    """Count matching runs."""
    message = {"dag_id": dag_id, "logical_dates": logical_dates, "run_ids": run_ids, "states": states}
    return reply((await asking.ask("GetDRCount", message))["count"])


@router.get("/dag-runs/previous")
async def previous(asking: Asking, dag_id: str, logical_date: dt.datetime, state: str | None = None) -> Response:
    """Return the latest run before a logical date, or null."""
    message = {"dag_id": dag_id, "logical_date": logical_date, "state": state}
    return reply((await asking.ask("GetPreviousDagRun", message))["dag_run"])


@router.get("/dag-runs/{dag_id}/{run_id}")
async def get(
    asking: Asking, dag_id: str, run_id: str, logical_date: dt.datetime | None = None, state: str | None = None
) -> Response:
    """Return a run; with `previous` for its id and a logical date, what older clients ask that way."""
    if run_id == "previous" and logical_date is not None:
        return await previous(asking, dag_id, logical_date, state)
    return reply(await asking.ask("GetDagRun", _run(dag_id, run_id)))


@router.post("/dag-runs/{dag_id}/{run_id}")
async def trigger(asking: Asking, dag_id: str, run_id: str, payload: TriggerDagRun) -> Response:
    """Create a run. One that exists is a conflict whatever `reset_dag_run` says: the client then asks to clear it."""
    message = {**_run(dag_id, run_id), **payload.model_dump(), "reset_dag_run": False}
    try:
        await asking.ask("TriggerDagRun", message)
    except FaultError as fault:
        if fault.kind != "DAGRUN_ALREADY_EXISTS":
            raise
        text = f"A run already exists for Dag '{dag_id}' with run_id '{run_id}'"
        raise refused(text, 409, reason="already_exists") from fault
    return nothing()


@router.post("/dag-runs/{dag_id}/{run_id}/clear")
async def clear(asking: Asking, dag_id: str, run_id: str) -> Response:
    """Clear a run."""
    await dag_runs.clear_dag_run(asking.store, asking.attempt, _run(dag_id, run_id))
    return nothing()


@router.get("/dag-runs/{dag_id}/{run_id}/state")
async def state(asking: Asking, dag_id: str, run_id: str) -> Response:
    """Return a run's state."""
    return reply(await asking.ask("GetDagRunState", _run(dag_id, run_id)))


@router.get("/dags/{dag_id}")
async def dag(asking: Asking, dag_id: str) -> Response:
    """Return what the SDK knows of a DAG."""
    return reply(await asking.ask("GetDag", {"dag_id": dag_id}))


def _run(dag_id: str, run_id: str) -> dict[str, Any]:
    return {"dag_id": dag_id, "run_id": run_id}
