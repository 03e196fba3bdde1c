"""Finds what a path names, or answers 404 with Airflow's text."""

from fastapi import HTTPException

from leoflow.api.deps import Connection
from leoflow.api.public import store
from leoflow.db import queries

SQL = queries.load("api_lookup")


async def dag_or_404(conn: Connection, dag_id: str) -> store.Row:
    """Return the row of `leoflow_core.api_dags`."""
    dag = await store.row(conn, SQL.dag, {"dag_id": dag_id})
    if dag is None:
        raise no_dag(dag_id)
    return dag


def no_dag(dag_id: str) -> HTTPException:
    """Make the error for an unknown DAG."""
    return HTTPException(404, f"The Dag with ID: `{dag_id}` was not found")


async def run_or_404(conn: Connection, dag_id: str, run_id: str) -> store.Row:
    """Return the row of `leoflow_core.api_dag_runs`."""
    run = await store.row(conn, SQL.dag_run, {"dag_id": dag_id, "run_id": run_id})
    if run is None:
        raise HTTPException(404, f"The DagRun with dag_id: `{dag_id}` and run_id: `{run_id}` was not found")
    return run


async def run_key_or_404(conn: Connection, dag_id: str, run_id: str) -> int:
    """Return the key of a run."""
    key = await store.value(conn, SQL.run_key, {"dag_id": dag_id, "run_id": run_id})
    if key is None:
        raise HTTPException(404, f"DagRun with dag_id: `{dag_id}` and run_id: `{run_id}` was not found")
    return int(key)


async def instance(conn: Connection, dag_id: str, run_id: str, task_id: str, map_index: int) -> store.Row | None:
    """Return the row of `leoflow_core.api_task_instances`, if there is one."""
    names = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": map_index}
    return await store.row(conn, SQL.task_instance, names)
