"""The audit log."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query
from pydantic import BaseModel, Field

from leoflow.api.deps import Conn, Viewer
from leoflow.api.filters import Where
from leoflow.api.paging import Ordering, Paged
from leoflow.api.public import store
from leoflow.api.public.criteria import Moment, Pattern, Small, pattern
from leoflow.db import queries

SQL = queries.load("api_event_logs")
router = APIRouter(prefix="/eventLogs", tags=["Event Log"])
ORDER = Ordering(
    {
        "id": "e.event_log_id",
        "event_log_id": "e.event_log_id",
        "when": 'e."when"',
        "dttm": 'e."when"',
        "dag_id": "e.dag_id",
        "task_id": "e.task_id",
        "run_id": "e.run_id",
        "map_index": "e.map_index",
        "try_number": "e.try_number",
        "event": "e.event",
        "logical_date": "e.logical_date",
        "owner": "e.owner",
        "extra": "e.extra",
    },
    default="id",
    unique="id",
)


class EventLogResponse(BaseModel):
    """Who did what."""

    event_log_id: int
    when: datetime
    dag_id: str | None
    task_id: str | None
    run_id: str | None
    map_index: int | None
    try_number: int | None
    event: str
    logical_date: datetime | None
    owner: str | None
    extra: str | None
    dag_display_name: str | None
    task_display_name: str | None


class EventLogCollectionResponse(BaseModel):
    """Entries of the audit log."""

    event_logs: list[EventLogResponse]
    total_entries: int


@dataclass
class EventLogFilters:
    """Conditions on `leoflow_core.api_event_logs e`, from the query string."""

    dag_id_search: Annotated[Pattern, Depends(pattern("dag_id"))]
    task_id_search: Annotated[Pattern, Depends(pattern("task_id"))]
    run_id_search: Annotated[Pattern, Depends(pattern("run_id"))]
    owner_search: Annotated[Pattern, Depends(pattern("owner"))]
    event_search: Annotated[Pattern, Depends(pattern("event"))]
    dag_id: str | None = None
    task_id: str | None = None
    run_id: str | None = None
    map_index: Small | None = None
    try_number: Small | None = None
    owner: str | None = None
    event: str | None = None
    excluded_events: Annotated[list[str] | None, Query()] = None
    included_events: Annotated[list[str] | None, Query()] = None
    before: Moment | None = None
    after: Moment | None = None

    def where(self) -> Where:
        """Build the conditions."""
        where = Where()
        self.dag_id_search.apply(where, "e.dag_id")
        self.task_id_search.apply(where, "e.task_id")
        self.run_id_search.apply(where, "e.run_id")
        self.owner_search.apply(where, "e.owner")
        self.event_search.apply(where, "e.event")
        where.equals("e.dag_id", self.dag_id)
        where.equals("e.task_id", self.task_id)
        where.equals("e.run_id", self.run_id)
        where.equals("e.map_index", self.map_index)
        where.equals("e.try_number", self.try_number)
        where.equals("e.owner", self.owner)
        where.equals("e.event", self.event)
        where.any_of("e.event", self.included_events)
        if self.excluded_events:
            where.add("e.event <> all(%s)", self.excluded_events)
        where.range('e."when"', gt=self.after, lt=self.before)
        return where


@router.get("", response_model=EventLogCollectionResponse)
async def get_event_logs(
    conn: Conn,
    _: Viewer,
    page: Paged,
    filters: Annotated[EventLogFilters, Depends()],
    order_by: Annotated[list[str] | None, Query()] = None,
) -> Any:
    """List entries."""
    relation = "leoflow_core.api_event_logs e"
    found, total = await store.listing(conn, relation, filters.where(), ORDER.parse(order_by), page)
    return {"event_logs": found, "total_entries": total}


@router.get("/{event_log_id}", response_model=EventLogResponse)
async def get_event_log(event_log_id: Annotated[int, Field(ge=0, lt=2**63)], conn: Conn, _: Viewer) -> Any:
    """Get an entry."""
    found = await store.row(conn, SQL.entry, {"event_log_id": event_log_id})
    if found is None:
        raise HTTPException(404, f"The Event Log with id: `{event_log_id}` not found")
    return found
