"""DAG runs and DAGs, as tasks see them."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from leoflow import engine
from leoflow.db import queries
from leoflow.errors import LeoflowError
from leoflow.execution import manual_runs
from leoflow.execution.assets import consumed_events
from leoflow.execution.context import AttemptContext, Message, Reply, Store
from leoflow.execution.faults import FaultError, not_found, refused
from leoflow.execution.params import problem_with

_COLUMNS = (
    "dag_id",
    "run_id",
    "logical_date",
    "data_interval_start",
    "data_interval_end",
    "run_after",
    "start_date",
    "end_date",
    "clear_number",
    "run_type",
    "state",
    "conf",
    "triggering_user_name",
    "partition_key",
    "note",
)


async def dag_run_body(store: Store, row: TupleRow) -> dict[str, Any]:
    """Return the SDK's `DagRun` from a row of the queries `dag_run` and `dag_run_before`."""
    run_key, *columns = row
    body = dict(zip(_COLUMNS, columns, strict=True))
    return {**body, "consumed_asset_events": await consumed_events(store, run_key, body["run_type"])}


async def get_dag_run(store: Store, _attempt: AttemptContext, message: Message) -> Reply:
    """Return a run.

    Raises:
        FaultError: it does not exist.
    """
    row = await store.row(queries.load("execution_runs").dag_run, _run(message))
    if row is None:
        raise _no_run(message)
    return {"type": "DagRunResult", **await dag_run_body(store, row)}


async def get_dag_run_state(store: Store, _attempt: AttemptContext, message: Message) -> Reply:
    """Return a run's state.

    Raises:
        FaultError: it does not exist.
    """
    row = await store.row(queries.load("execution_runs").dag_run_state, _run(message))
    if row is None:
        raise _no_run(message)
    return {"type": "DagRunStateResult", "state": row[0]}


async def get_previous_dag_run(store: Store, _attempt: AttemptContext, message: Message) -> Reply:
    """Return the latest run before a logical date, or none."""
    row = await store.row(
        queries.load("execution_runs").dag_run_before,
        {"dag_id": message["dag_id"], "logical_date": message["logical_date"], "state": message.get("state")},
    )
    return {"type": "PreviousDagRunResult", "dag_run": await dag_run_body(store, row) if row else None}


async def get_previous_successful(store: Store, attempt: AttemptContext, _message: Message) -> Reply:
    """Return interval and dates of the last successful run before the attempt's own; nulls when there is none."""
    row = await store.row(
        queries.load("execution_runs").previous_successful_dag_run, {"run_key": attempt.claimed.run_key}
    )
    names = ("data_interval_start", "data_interval_end", "start_date", "end_date")
    return {"type": "PrevSuccessfulDagRunResult", **(dict(zip(names, row, strict=True)) if row else {})}


async def count_dag_runs(store: Store, _attempt: AttemptContext, message: Message) -> Reply:
    """Return how many runs match."""
    parameters = {name: message.get(name) or None for name in ("logical_dates", "run_ids", "states")}
    row = await store.row(queries.load("execution_runs").dag_run_count, {"dag_id": message["dag_id"], **parameters})
    return {"type": "DRCount", "count": row[0] if row else 0}


async def trigger_dag_run(store: Store, attempt: AttemptContext, message: Message) -> Reply:
    """Create a run of another DAG, or reset the one that exists when the message says so.

    Raises:
        FaultError: DAGRUN_ALREADY_EXISTS, no such DAG, or invalid.
    """
    wanted = manual_runs.ManualRun(run_id=message["run_id"], logical_date=_moment(message.get("logical_date")))
    await _check_trigger(store, message)
    try:
        planned = await manual_runs.plan(store.pool.connection, message["dag_id"], wanted, infers_from_now=True)
        async with store.pool.connection() as connection:
            await engine.create_run(
                connection,
                message["dag_id"],
                conf=message.get("conf") or {},
                triggered_by="operator",
                user=attempt.claimed.triggering_user_name,
                note=message.get("note"),
                partition_key=message.get("partition_key"),
                **planned.arguments(),
            )
            await engine.wake_workers(connection)
    except LeoflowError as error:
        raise refused(f"{error}; {error.hint}") from error
    except psycopg.Error as error:
        if error.sqlstate == "LF409" and message.get("reset_dag_run"):
            return await clear_dag_run(store, attempt, message)
        raise _translate(error, message) from error
    return {"type": "OKResponse", "ok": True}


async def _check_trigger(store: Store, message: Message) -> None:
    row = await store.row(queries.load("execution_runs").trigger, _run(message))
    if row is None:  # no such DAG, or the run exists: the engine says so
        return
    has_import_errors, params = row
    if has_import_errors:
        raise refused(f"Dag with dag_id '{message['dag_id']}' has import errors and cannot be triggered")
    problem = problem_with(params or {}, message.get("conf") or {})
    if problem is not None:
        raise refused(f"{problem} (DAG {message['dag_id']})")


async def clear_dag_run(store: Store, _attempt: AttemptContext, message: Message) -> Reply:
    """Clear all tasks of a run, so that it runs again.

    Raises:
        FaultError: no such run, or refused by the engine.
    """
    if await store.row(queries.load("execution_runs").dag_run_state, _run(message)) is None:
        raise not_found(f"Dag run with run_id: '{message['run_id']}' not found")
    try:
        async with store.pool.connection() as connection:
            await engine.clear_tasks(connection, message["dag_id"], message["run_id"])
            await engine.wake_workers(connection)
    except psycopg.Error as error:
        if not (error.sqlstate or "").startswith("LF"):
            raise
        raise refused(error.diag.message_primary or str(error)) from error
    return {"type": "OKResponse", "ok": True}


async def get_dag(store: Store, _attempt: AttemptContext, message: Message) -> Reply:
    """Return what the SDK knows of a DAG.

    Raises:
        FaultError: it does not exist.
    """
    row = await store.row(queries.load("execution_runs").dag, {"dag_id": message["dag_id"]})
    if row is None:
        raise not_found(f"The Dag with ID: `{message['dag_id']}` was not found")
    is_paused, bundle_name, relative_fileloc, owners, tags, next_dagrun = row
    return {
        "type": "DagResult",
        "dag_id": message["dag_id"],
        "is_paused": is_paused,
        "bundle_name": bundle_name,
        "bundle_version": None,
        "relative_fileloc": relative_fileloc,
        "owners": owners,
        "tags": tags,
        "next_dagrun": next_dagrun,
    }


async def get_reschedule_start(_store: Store, attempt: AttemptContext, _message: Message) -> Reply:
    """Return when this try of a rescheduled sensor started first; its own start when it was never rescheduled."""
    claimed = attempt.claimed
    first: dt.datetime | None = claimed.first_start_date if claimed.reschedule_count else None
    return {"type": "TaskRescheduleStartDate", "start_date": first}


def _moment(value: dt.datetime | str | None) -> dt.datetime | None:
    """A date of a message: text over the local socket, read already over HTTP."""
    return dt.datetime.fromisoformat(value) if isinstance(value, str) else value


def _run(message: Message) -> Mapping[str, Any]:
    return {"dag_id": message["dag_id"], "run_id": message["run_id"]}


def _no_run(message: Message) -> FaultError:
    return not_found(f"Dag run with dag_id '{message['dag_id']}' and run_id '{message['run_id']}' was not found")


def _translate(error: psycopg.Error, message: Message) -> FaultError:
    text = error.diag.message_primary or str(error)
    if error.sqlstate == "LF409":
        return FaultError("DAGRUN_ALREADY_EXISTS", None, expected=True)
    if error.sqlstate == "LF404":
        return not_found(f"Dag with dag_id: '{message['dag_id']}' not found")
    return refused(text)
