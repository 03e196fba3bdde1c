"""Writes who did what into the audit log, in the transaction of the deed."""

import json
from typing import Any

from pydantic import BaseModel

from leoflow.api.deps import Connection, User
from leoflow.api.public import store
from leoflow.api.public.masking import MASK, redact
from leoflow.db import queries

SQL = queries.load("api_audit")


async def record(
    conn: Connection,
    user: User,
    event: str,
    *,
    dag_id: str | None = None,
    run_id: str | None = None,
    task_id: str | None = None,
    map_index: int | None = None,
    extra: dict[str, Any] | None = None,
) -> None:
    """Write one entry; secrets in `extra` are masked.

    Args:
        conn: the connection, inside the transaction of the change.
        user: who did it.
        event: the operation's name, as in Airflow's log: `trigger_dag_run`, `delete_connection`.
        dag_id: the DAG concerned, and so on for the others.
        run_id: the run.
        task_id: the task.
        map_index: the mapped instance.
        extra: details of the request.
    """
    await store.execute(
        conn,
        SQL.record,
        {
            "event": event,
            "owner": user.name,
            "dag_id": dag_id,
            "run_id": run_id,
            "task_id": task_id,
            "map_index": map_index,
            "extra": json.dumps(redact(extra or {}), default=str),
        },
    )


def body(model: BaseModel) -> dict[str, Any]:
    """What the caller sent, for `extra`, without the value of a variable: it is encrypted where it belongs."""
    sent = model.model_dump(mode="json", exclude_unset=True, by_alias=True)
    if "value" in sent:
        sent["value"] = MASK
    return sent
