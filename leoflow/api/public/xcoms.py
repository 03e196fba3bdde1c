"""XComs: list without values, one with its value, and writes by hand."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query
from pydantic import BaseModel, Field, field_validator

from leoflow.api.deps import Conn, Connection, Editor, Viewer
from leoflow.api.filters import Where
from leoflow.api.paging import Order, Ordering, Paged, Term
from leoflow.api.public import audit, store, xcom_values
from leoflow.api.public.criteria import Bounds, Pattern, Small, all_or, moments, pattern
from leoflow.api.public.lookup import dag_or_404, run_key_or_404
from leoflow.api.public.shapes import StrictBody
from leoflow.db import queries

SQL = queries.load("api_xcoms")
router = APIRouter(prefix="/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/xcomEntries", tags=["XCom"])
RELATION = "leoflow_core.api_xcoms x"
MapIndex = Annotated[int, Field(ge=-1, lt=2**31)]

ORDER = Ordering(
    {
        "dag_id": "x.dag_id",
        "task_id": "x.task_id",
        "run_id": "x.run_id",
        "map_index": "x.map_index",
        "key": "x.key",
        "timestamp": 'x."timestamp"',
        "run_after": "x.run_after",
        "logical_date": "x.logical_date",
    },
    default="dag_id",
    unique="key",
)
# The default order as of Airflow, ended by the primary key.
DEFAULT_ORDER = ["dag_id", "task_id", "run_id", "map_index", "key"]


class XComResponse(BaseModel):
    """An XCom without its value."""

    key: str
    timestamp: datetime
    logical_date: datetime | None
    map_index: int
    task_id: str
    dag_id: str
    run_id: str
    dag_display_name: str
    task_display_name: str
    run_after: datetime


class XComResponseNative(XComResponse):
    """An XCom with its value as JSON."""

    value: Any


class XComResponseString(XComResponse):
    """An XCom with its value as text."""

    value: str | None


class XComCollectionResponse(BaseModel):
    """XComs."""

    xcom_entries: list[XComResponse]
    total_entries: int


class _Value(StrictBody):
    value: Any
    map_index: MapIndex = -1

    @field_validator("value")
    @classmethod
    def _not_reserved(cls, value: Any) -> Any:
        found = xcom_values.reserved_keys(value)
        if found:
            raise ValueError(
                f"XCom value contains reserved serialization keys: {', '.join(sorted(found))}. "
                "These keys are reserved for internal use."
            )
        return value


class XComCreateBody(_Value):
    """An XCom to write."""

    key: str = Field(min_length=1, max_length=512)


class XComUpdateBody(_Value):
    """A value to replace another."""


@dataclass
class XComFilters:
    """Conditions on `leoflow_core.api_xcoms x`, from the query string."""

    keys: Annotated[Pattern, Depends(pattern("xcom_key"))]
    dag_display_name: Annotated[Pattern, Depends(pattern("dag_display_name"))]
    run_id: Annotated[Pattern, Depends(pattern("run_id"))]
    task_id_search: Annotated[Pattern, Depends(pattern("task_id"))]
    logical_date: Annotated[Bounds, Depends(moments("logical_date"))]
    run_after: Annotated[Bounds, Depends(moments("run_after"))]
    xcom_key: str | None = None
    map_index: MapIndex | None = None
    map_index_filter: Small | None = None

    def where(self) -> Where:
        """Build the conditions."""
        where = Where()
        self.keys.apply(where, "x.key")
        self.dag_display_name.apply(where, "x.dag_display_name")
        self.run_id.apply(where, "x.run_id")
        self.task_id_search.apply(where, "x.task_id")
        self.logical_date.apply(where, "x.logical_date")
        self.run_after.apply(where, "x.run_after")
        where.equals("x.key", self.xcom_key)
        where.equals("x.map_index", self.map_index)
        where.equals("x.map_index", self.map_index_filter)
        return where


@router.get("", response_model=XComCollectionResponse)
async def get_xcom_entries(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    conn: Conn,
    _: Viewer,
    page: Paged,
    filters: Annotated[XComFilters, Depends()],
    order_by: Annotated[list[str] | None, Query()] = None,
) -> Any:
    """List XComs of an instance; `~` stands for all DAGs, runs or tasks."""
    where = filters.where()
    dag, run = all_or(dag_id), all_or(dag_run_id)
    if dag and run:
        where.equals("x.run_key", await run_key_or_404(conn, dag, run))
    elif dag:
        await dag_or_404(conn, dag)
        where.equals("x.dag_id", dag)
    elif run:
        where.equals("x.run_id", run)
    where.equals("x.task_id", all_or(task_id))
    found, total = await store.listing(conn, RELATION, where, _order(order_by), page)
    return {"xcom_entries": found, "total_entries": total}


@router.post("", status_code=201, response_model=XComResponseNative)
async def create_xcom_entry(
    dag_id: str, dag_run_id: str, task_id: str, body: XComCreateBody, conn: Conn, user: Editor
) -> Any:
    """Write an XCom by hand."""
    names = {"dag_id": dag_id, "run_id": dag_run_id, "task_id": task_id, "map_index": body.map_index, "key": body.key}
    place = await _place(conn, names)
    async with conn.transaction():
        if not await store.execute(conn, SQL.insert, {**names, **place, "value": xcom_values.dump(body.value)}):
            raise HTTPException(409, f"The XCom with key: `{body.key}` with mentioned task instance already exists.")
        await _audit(conn, user, "create_xcom_entry", names, "POST")
    return await _get(conn, names, _missing_for_write(body.key))


@router.get("/{xcom_key:path}", response_model=XComResponseNative | XComResponseString)
async def get_xcom_entry(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    xcom_key: str,
    conn: Conn,
    _: Viewer,
    map_index: MapIndex = -1,
    deserialize: bool = False,
    stringify: bool = False,
) -> Any:
    """Get an XCom with its value; `deserialize` makes serialised objects readable, `stringify` a text of it."""
    names = {"dag_id": dag_id, "run_id": dag_run_id, "task_id": task_id, "map_index": map_index, "key": xcom_key}
    found = await _get(conn, names, HTTPException(404, f"XCom entry with key: `{xcom_key}` not found"))
    if deserialize:
        found["value"] = xcom_values.readable(found["value"])
    if stringify and found["value"] is not None:
        found["value"] = str(found["value"])
    return (XComResponseString if stringify else XComResponseNative).model_validate(found)


@router.patch("/{xcom_key:path}", response_model=XComResponseNative)
async def update_xcom_entry(
    dag_id: str, dag_run_id: str, task_id: str, xcom_key: str, body: XComUpdateBody, conn: Conn, user: Editor
) -> Any:
    """Replace the value of an XCom."""
    names = {"dag_id": dag_id, "run_id": dag_run_id, "task_id": task_id, "map_index": body.map_index, "key": xcom_key}
    async with conn.transaction():
        if not await store.execute(conn, SQL.update, {**names, "value": xcom_values.dump(body.value)}):
            raise _missing_for_write(xcom_key)
        await _audit(conn, user, "update_xcom_entry", names, "PATCH")
    return await _get(conn, names, _missing_for_write(xcom_key))


@router.delete("/{xcom_key:path}", status_code=204)
async def delete_xcom_entry(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    xcom_key: str,
    conn: Conn,
    user: Editor,
    map_index: MapIndex = -1,
) -> None:
    """Delete an XCom."""
    names = {"dag_id": dag_id, "run_id": dag_run_id, "task_id": task_id, "map_index": map_index, "key": xcom_key}
    async with conn.transaction():
        if not await store.execute(conn, SQL.delete, names):
            raise _missing_for_write(xcom_key)
        await _audit(conn, user, "delete_xcom_entry", names, "DELETE")


def _order(order_by: list[str] | None) -> Order:
    """Parse `order_by` and end it with what tells all XComs apart."""
    terms = list(ORDER.parse(order_by or DEFAULT_ORDER).terms)
    descending = terms[0].descending
    asked = {term.field for term in terms}
    rest = (
        Term("map_index", "x.map_index", descending),
        Term("run_key", "x.run_key", descending),
        Term("task_idx", "x.task_idx", descending),
    )
    return Order((*terms, *(term for term in rest if term.field not in asked)))


def _missing_for_write(key: str) -> HTTPException:
    return HTTPException(404, f"The XCom with key: `{key}` with mentioned task instance doesn't exist.")


async def _place(conn: Connection, names: dict[str, Any]) -> dict[str, int]:
    """Find the run and task an XCom is to be written for, as numbers."""
    await dag_or_404(conn, names["dag_id"])
    run_key = await store.value(conn, SQL.run_key, names)
    if run_key is None:
        raise HTTPException(404, f"Dag Run with ID: `{names['run_id']}` not found for dag: `{names['dag_id']}`")
    task_idx = await store.value(conn, SQL.task_idx, {**names, "run_key": run_key})
    if task_idx is None:
        raise HTTPException(404, f"Task with ID: `{names['task_id']}` not found in dag: `{names['dag_id']}`")
    return {"run_key": run_key, "task_idx": task_idx}


async def _get(conn: Connection, names: dict[str, Any], missing: HTTPException) -> store.Row:
    found = await store.row(conn, SQL.one, names)
    if found is None:
        raise missing
    return {**found, "value": xcom_values.load(found["value"])}


async def _audit(conn: Connection, user: Any, event: str, names: dict[str, Any], method: str) -> None:
    await audit.record(
        conn,
        user,
        event,
        dag_id=names["dag_id"],
        run_id=names["run_id"],
        task_id=names["task_id"],
        map_index=names["map_index"],
        extra={"xcom_key": names["key"], "method": method},
    )
