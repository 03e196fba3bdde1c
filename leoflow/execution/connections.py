"""Airflow connections; password and extra are encrypted at rest."""

import orjson

from leoflow.db import queries
from leoflow.execution.context import AttemptContext, Message, Reply, Store
from leoflow.execution.faults import FaultError


async def get_connection(store: Store, attempt: AttemptContext, message: Message) -> Reply:
    """Return a connection and hide its password and the sensitive parts of its extra from the log.

    Raises:
        FaultError: CONNECTION_NOT_FOUND.
    """
    conn_id = message["conn_id"]
    row = await store.row(queries.load("execution").connection, {"conn_id": conn_id})
    if row is None:
        raise FaultError("CONNECTION_NOT_FOUND", {"conn_id": conn_id}, expected=True)
    conn_type, host, schema, login, password, port, extra = row
    clear_password = store.secrets.decrypt(password) if password is not None else None
    clear_extra = store.secrets.decrypt(extra) if extra is not None else None
    attempt.secrecy.add(clear_password)
    if clear_extra:
        _hide_extra(attempt, clear_extra)
    return {
        "type": "ConnectionResult",
        "conn_id": conn_id,
        "conn_type": conn_type,
        "host": host,
        "schema": schema,
        "login": login,
        "password": clear_password,
        "port": port,
        "extra": clear_extra,
    }


def _hide_extra(attempt: AttemptContext, extra: str) -> None:
    attempt.secrecy.add(extra)
    try:
        parsed = orjson.loads(extra)
    except orjson.JSONDecodeError:
        return
    if isinstance(parsed, dict):
        attempt.secrecy.add(parsed)
