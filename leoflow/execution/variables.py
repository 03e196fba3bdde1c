"""Airflow variables, encrypted at rest."""

from leoflow.db import queries
from leoflow.execution.context import AttemptContext, Message, Reply, Store
from leoflow.execution.faults import FaultError


async def get_variable(store: Store, attempt: AttemptContext, message: Message) -> Reply:
    """Return a variable's value and hide it from the log when its key is a sensitive name.

    Raises:
        FaultError: VARIABLE_NOT_FOUND, or PERMISSION_DENIED when the project does not declare it.
    """
    key = message["key"]
    await store.access.require(store, attempt, "variable", key)
    row = await store.row(queries.load("execution").variable, {"key": key})
    if row is None:
        raise FaultError("VARIABLE_NOT_FOUND", {"key": key}, expected=True)
    value = store.secrets.decrypt(row[0])
    attempt.secrecy.add(value, key)
    return {"type": "VariableResult", "key": key, "value": value}


async def put_variable(store: Store, attempt: AttemptContext, message: Message) -> Reply:
    """Create or replace a variable, and hide its value from the log when its key is a sensitive name.

    Raises:
        FaultError: PERMISSION_DENIED, the project does not declare it.
    """
    await store.access.require(store, attempt, "variable", message["key"], to_write=True)
    attempt.secrecy.add(message["value"], message["key"])
    await store.rows(
        queries.load("execution").put_variable,
        {
            "key": message["key"],
            "value": store.secrets.encrypt(message["value"] or ""),
            "description": message.get("description"),
        },
    )
    return {"type": "OKResponse", "ok": True}


async def delete_variable(store: Store, attempt: AttemptContext, message: Message) -> Reply:
    """Delete a variable; one that does not exist is fine.

    Raises:
        FaultError: PERMISSION_DENIED, the project does not declare it.
    """
    await store.access.require(store, attempt, "variable", message["key"], to_write=True)
    await store.rows(queries.load("execution").delete_variable, {"key": message["key"]})
    return {"type": "OKResponse", "ok": True}
