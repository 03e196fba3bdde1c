"""XComs: read anything, write one's own."""

from dataclasses import dataclass
from typing import Any

from leoflow import engine
from leoflow.db import queries
from leoflow.engine import XComValue
from leoflow.execution import values
from leoflow.execution.context import AttemptContext, Message, Reply, Store
from leoflow.execution.faults import FaultError, refused

RETURN_KEY = "return_value"
_WINDOW_BYTES = 1024 * 1024
_WINDOW_VALUES = 1000
_PAGE_BYTES = 64 * 1024 * 1024
"""So much of a reducer's inputs is held here at a time, and sent in one answer."""


@dataclass(frozen=True, slots=True)
class ReduceInputs:
    """What a reducer's list parameters are made of, as much as goes into one answer.

    Attributes:
        task_ids: whose return values these are, one a line.
        lengths: of each value in bytes, with commas between them.
        document: the values' JSON as it is stored, with commas between them; null for what was never pushed. Only the
            attempt's own process makes objects of it.
        rest_after: the upstream to go on after; None when these are all.
    """

    task_ids: str = ""
    lengths: str = ""
    document: bytes = b""
    rest_after: int | None = None


def hold_return_value(store: Store, attempt: AttemptContext, message: Message) -> Reply:
    """Keep an attempt's own return value for its outcome's transaction.

    Raises:
        FaultError: it is too large or not JSON.
    """
    attempt.held[message["key"]] = _encoded(store, message)
    return {"type": "OKResponse", "ok": True}


async def set_xcom(store: Store, attempt: AttemptContext, message: Message) -> Reply:
    """Write one of the attempt's own XComs now.

    Raises:
        FaultError: too large, not JSON, another task's, or the attempt is no longer current.
    """
    if not attempt.is_own(message):
        raise FaultError("PERMISSION_DENIED", {"status_code": 403, "message": "a task may only push its own XComs"})
    if not message["key"]:
        raise refused("XCom key must be a non-empty string.")
    held = _encoded(store, message)
    async with store.pool.connection() as connection:
        written = await engine.put_xcom(
            connection, attempt.claimed.ref, held.key, held.value, mapped_length=held.mapped_length
        )
    if not written:
        raise refused("this attempt has been superseded; its XComs are not kept", 409)
    return {"type": "OKResponse", "ok": True}


async def get_xcom(store: Store, attempt: AttemptContext, message: Message) -> Reply:
    """Return one value; None when it was never pushed, as Airflow does."""
    return await find_xcom(store, attempt, message) or _result(message["key"], None)


async def find_xcom(store: Store, attempt: AttemptContext, message: Message) -> Reply:
    """Return one value, or no reply when it was never pushed."""
    key = message["key"]
    if attempt.is_own(message) and key in attempt.held:
        return _result(key, values.decode(attempt.held[key].value))
    name = "xcom_including_prior_dates" if message.get("include_prior_dates") else "xcom"
    row = await store.row(queries.load("execution_xcoms")[name], _address(message))
    return _result(key, values.decode(row[0])) if row else None


async def count_xcoms(store: Store, _attempt: AttemptContext, message: Message) -> Reply:
    """Return how many values a task pushed under a key: one, or one per map index."""
    row = await store.row(queries.load("execution_xcoms").xcom_count, _address(message))
    return {"type": "XComLengthResponse", "len": row[0] if row else 0}


async def get_item(store: Store, _attempt: AttemptContext, message: Message) -> Reply:
    """Return the value at a position among a mapped task's values.

    Raises:
        FaultError: XCOM_NOT_FOUND beyond the ends; the SDK turns it into IndexError.
    """
    offset = message["offset"]
    row = await store.row(
        queries.load("execution_xcoms").xcom_at_offset,
        {**_address(message), "offset": offset if offset >= 0 else -1 - offset, "backwards": offset < 0},
    )
    if row is None:
        detail = {name: message[name] for name in ("dag_id", "run_id", "task_id", "key", "offset")}
        raise FaultError("XCOM_NOT_FOUND", detail, expected=True)
    return {"type": "XComSequenceIndexResult", "root": values.decode(row[0])}


async def get_slice(store: Store, _attempt: AttemptContext, message: Message) -> Reply:
    """Return a slice of a mapped task's values, in map order."""
    found = await _values_of_task(store, message)
    chosen = found[slice(message.get("start"), message.get("stop"), message.get("step"))]
    return {"type": "XComSequenceSliceResult", "root": [values.decode(value) for value in chosen]}


async def get_window(store: Store, _attempt: AttemptContext, message: Message) -> Reply:
    """Return values from an offset on, as many as fit into one answer but at least one if there is one."""
    rows = await store.rows(
        queries.load("execution_xcoms").xcom_window,
        {**_address(message), "offset": message["offset"], "bytes": _WINDOW_BYTES, "limit": _WINDOW_VALUES},
    )
    return {"type": "XComSequenceSliceResult", "root": [values.decode(row[0]) for row in rows]}


async def delete_xcom(store: Store, attempt: AttemptContext, message: Message) -> Reply:
    """Delete one of the attempt's own XComs.

    Raises:
        FaultError: it belongs to another task.
    """
    if not attempt.is_own(message):
        raise FaultError("PERMISSION_DENIED", {"status_code": 403, "message": "a task may only delete its own XComs"})
    attempt.held.pop(message["key"], None)
    claimed = attempt.claimed
    await store.rows(
        queries.load("execution_xcoms").delete_own_xcom,
        {
            "run_key": claimed.run_key,
            "task_idx": claimed.task_idx,
            "map_index": claimed.map_index,
            "attempt_id": claimed.attempt_id,
            "key": message["key"],
        },
    )
    return {"type": "OKResponse", "ok": True}


async def prefetch(store: Store, attempt: AttemptContext, after: int = -1) -> ReduceInputs:
    """Read the values of a reduce task's list parameters in one query.

    Args:
        store: the database.
        attempt: the reducer's.
        after: go on after this upstream, where an earlier answer ended.
    """
    if not attempt.claimed.has_reduce:
        return ReduceInputs()
    [row] = await store.rows(
        queries.load("execution_xcoms").reduce_inputs,
        {
            "version_key": attempt.claimed.version_key,
            "run_key": attempt.claimed.run_key,
            "task_idx": attempt.claimed.task_idx,
            "after": after,
            "max_bytes": _PAGE_BYTES,
        },
        binary=True,
    )
    task_ids, lengths, document, last_idx, has_more = row
    return ReduceInputs(task_ids or "", lengths or "", document or b"", last_idx if has_more else None)


def _encoded(store: Store, message: Message) -> XComValue:
    try:
        data = values.encode(message["value"], store.limits.xcom_bytes)
    except values.TooLargeError as error:
        raise refused(f"XCom {message['key']!r} is too large: {error}", 413) from error
    except ValueError as error:
        raise refused(f"XCom {message['key']!r}: {error}") from error
    length = message.get("mapped_length")
    if length is None or length < 0:
        return XComValue(message["key"], data)
    if length > store.limits.map_length:
        text = (
            f"pushed value is too large to map as a downstream's dependency: it has {length:,} items and "
            f"max_map_length is {store.limits.map_length:,}; return fewer, larger items, "
            "or raise LEOFLOW_WORKER__MAX_MAP_LENGTH"
        )
        raise refused(text, 400, reason="unmappable_return_value_length")
    return XComValue(message["key"], data, length)


async def _values_of_task(store: Store, message: Message) -> list[bytes]:
    prior = message.get("include_prior_dates")
    name = "xcom_values_of_task_including_prior_dates" if prior else "xcom_values_of_task"
    rows = await store.rows(queries.load("execution_xcoms")[name], _address(message))
    return [row[0] for row in rows]


def _address(message: Message) -> dict[str, Any]:
    map_index = message.get("map_index")
    address = {name: message[name] for name in ("dag_id", "run_id", "task_id", "key")}
    # Airflow's client leaves negative indexes out and its server then takes -1.
    return {**address, "map_index": map_index if map_index is not None and map_index >= 0 else -1}


def _result(key: str, value: Any) -> Reply:
    return {"type": "XComResult", "key": key, "value": value}
