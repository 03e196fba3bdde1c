"""Airflow connections, sealed at rest."""

import orjson

from leoflow.db import queries
from leoflow.execution.context import AttemptContext, Message, Reply, Store
from leoflow.execution.faults import FaultError
from leoflow.secrets.connections import unseal


async def get_connection(store: Store, attempt: AttemptContext, message: Message) -> Reply:
    """Return a connection and hide its password and the sensitive parts of its extra from the log.

    Raises:
        FaultError: CONNECTION_NOT_FOUND, or PERMISSION_DENIED when the project does not declare it.
    """
    conn_id = message["conn_id"]
    await store.access.require(store, attempt, "connection", conn_id)
    row = await store.row(queries.load("execution").connection, {"conn_id": conn_id})
    if row is None:
        raise FaultError("CONNECTION_NOT_FOUND", {"conn_id": conn_id}, expected=True)
    conn_type, sealed = row
    fields = unseal(store.secrets, sealed)
    attempt.secrecy.add(fields["password"])
    if fields["extra"]:
        _hide_extra(attempt, fields["extra"])
    return {"type": "ConnectionResult", "conn_id": conn_id, "conn_type": conn_type, **fields}


def _hide_extra(attempt: AttemptContext, extra: str) -> None:
    attempt.secrecy.add(extra)
    try:
        parsed = orjson.loads(extra)
    except orjson.JSONDecodeError:
        return
    if isinstance(parsed, dict):
        attempt.secrecy.add(parsed)
