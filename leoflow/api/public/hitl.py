"""Questions of tasks to people, and their answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query
from pydantic import BaseModel, Field, field_validator

from leoflow.api.deps import Conn, Connection, Editor, User, Viewer
from leoflow.api.filters import Where
from leoflow.api.paging import Ordering, Paged
from leoflow.api.public import audit, store
from leoflow.api.public.criteria import Bounds, Pattern, Small, all_or, moments, pattern, states
from leoflow.api.public.lookup import dag_or_404, run_key_or_404
from leoflow.api.public.shapes import TaskInstanceState
from leoflow.api.public.task_instance_filters import where_state
from leoflow.api.public.task_instance_models import TaskInstanceHistoryResponse, TaskInstanceResponse
from leoflow.api.public.task_instances import instance_or_404
from leoflow.api.public.task_tries import tries
from leoflow.db import queries

SQL = queries.load("api_hitl")
RELATION = "leoflow_core.api_hitl_details i"
INSTANCE = "/taskInstances/{task_id}/{map_index}/hitlDetails"

router = APIRouter(prefix="/dags/{dag_id}/dagRuns/{dag_run_id}", tags=["Task Instance"])

ORDER = Ordering(
    {
        "ti_id": "i.ti_id",
        "subject": "i.subject",
        "responded_at": "i.responded_at",
        "created_at": "i.created_at",
        "responded_by_user_id": "i.responded_by_user_id",
        "responded_by_user_name": "i.responded_by_user_name",
        "dag_id": "i.dag_id",
        "run_id": "i.dag_run_id",
        "task_display_name": "i.task_display_name",
        "run_after": "i.run_after",
        "rendered_map_index": "i.rendered_map_index",
        "task_instance_operator": "i.operator",
        "task_instance_state": "i.state",
    },
    default="ti_id",
    unique="ti_id",
)


class HITLUser(BaseModel):
    """Somebody who answered or may answer."""

    id: str
    name: str


class _Detail(BaseModel):
    options: list[str]
    subject: str
    body: str | None
    defaults: list[str] | None
    multiple: bool
    params: dict[str, Any]
    assigned_users: list[HITLUser]
    created_at: datetime
    responded_by_user: HITLUser | None
    responded_at: datetime | None
    chosen_options: list[str] | None
    params_input: dict[str, Any]
    response_received: bool

    @field_validator("params", mode="before")
    @classmethod
    def _complete(cls, params: Mapping[str, Any]) -> dict[str, Any]:
        """A bare value becomes a parameter without a schema, as in Airflow."""
        return {
            name: given
            if isinstance(given, dict) and {"description", "schema", "value"} <= given.keys()
            else {"value": given, "description": None, "schema": {}}
            for name, given in params.items()
        }


class HITLDetail(_Detail):
    """A question of a task instance."""

    task_instance: TaskInstanceResponse


class HITLDetailHistory(_Detail):
    """A question of one try of a task instance."""

    task_instance: TaskInstanceHistoryResponse


class HITLDetailCollection(BaseModel):
    """Questions."""

    hitl_details: list[HITLDetail]
    total_entries: int


class UpdateHITLDetailPayload(BaseModel):
    """An answer."""

    chosen_options: Annotated[list[str], Field(min_length=1)]
    params_input: dict[str, Any] = {}


class HITLDetailResponse(BaseModel):
    """An answer as it was recorded."""

    responded_by: HITLUser
    responded_at: datetime
    chosen_options: list[str]
    params_input: dict[str, Any]


@dataclass
class Filters:
    """The filters of listing questions."""

    dag_id_search: Annotated[Pattern, Depends(pattern("dag_id"))]
    task_id_search: Annotated[Pattern, Depends(pattern("task_id"))]
    created_at: Annotated[Bounds, Depends(moments("created_at"))]
    task_id: str | None = None
    map_index: Small | None = None
    state: Annotated[list[str] | None, Query()] = None
    response_received: bool | None = None
    responded_by_user_id: Annotated[list[str] | None, Query()] = None
    responded_by_user_name: Annotated[list[str] | None, Query()] = None
    subject_search: str | None = None
    body_search: str | None = None

    def where(self) -> Where:
        """Build the conditions."""
        where = Where()
        where.add("i.is_current")
        self.dag_id_search.apply(where, "i.dag_id")
        self.task_id_search.apply(where, "i.task_id")
        self.created_at.apply(where, "i.created_at")
        where.equals("i.task_id", self.task_id)
        where.equals("i.map_index", self.map_index)
        where_state(where, *states(self.state, TaskInstanceState))
        where.equals("i.response_received", self.response_received)
        where.any_of("i.responded_by_user_id", self.responded_by_user_id)
        where.any_of("i.responded_by_user_name", self.responded_by_user_name)
        where.contains("i.subject", self.subject_search)
        where.contains("i.body", self.body_search)
        return where


@router.get("/hitlDetails", response_model=HITLDetailCollection)
async def get_hitl_details(
    dag_id: str,
    dag_run_id: str,
    conn: Conn,
    _: Viewer,
    page: Paged,
    filters: Annotated[Filters, Depends()],
    order_by: Annotated[list[str] | None, Query()] = None,
) -> Any:
    """List the questions of current tries."""
    where = filters.where()
    dag, run = all_or(dag_id), all_or(dag_run_id)
    if dag and run:
        try:
            where.equals("i.run_key", await run_key_or_404(conn, dag, run))
        except HTTPException:  # as in Airflow, where a run that is not there has no questions
            return {"hitl_details": [], "total_entries": 0}
    elif dag:
        where.equals("i.dag_key", (await dag_or_404(conn, dag))["dag_key"])
    elif run:
        where.equals("i.dag_run_id", run)
    found, total = await store.listing(conn, RELATION, where, ORDER.parse(order_by), page)
    return {"hitl_details": found, "total_entries": total}


@router.get(INSTANCE, response_model=HITLDetail)
async def get_hitl_detail(dag_id: str, dag_run_id: str, task_id: str, map_index: Small, conn: Conn, _: Viewer) -> Any:
    """Get the question of an instance."""
    return (await _detail_or_404(conn, dag_id, dag_run_id, task_id, map_index))[1]


@router.get(INSTANCE + "/tries/{try_number}", response_model=HITLDetailHistory)
async def get_hitl_detail_try_detail(
    dag_id: str, dag_run_id: str, task_id: str, map_index: Small, try_number: Small, conn: Conn, _: Viewer
) -> Any:
    """Get the question of a try."""
    instance = await instance_or_404(conn, dag_id, dag_run_id, task_id, map_index)
    detail = await store.row(conn, SQL.of_try, {**instance, "try_number": try_number})
    attempts = await tries(conn, dag_id, dag_run_id, task_id, map_index, try_number)
    if not attempts:
        raise HTTPException(
            404,
            f"The Task Instance with dag_id: `{dag_id}`, run_id: `{dag_run_id}`, task_id: `{task_id}` and map_index: "
            f"`{map_index}` was not found",
        )
    if detail is None:
        raise _no_question(instance)
    return {**detail, "task_instance": attempts[-1]}


@router.patch(INSTANCE, response_model=HITLDetailResponse)
async def update_hitl_detail(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    map_index: Small,
    body: UpdateHITLDetailPayload,
    conn: Conn,
    user: Editor,
) -> Any:
    """Answer the question of an instance: once, and only by who may."""
    async with conn.transaction():
        instance, detail = await _detail_or_404(conn, dag_id, dag_run_id, task_id, map_index)
        held = await store.row(conn, SQL.open_for_answer, detail)
        if held is None:
            raise _no_question(instance)
        _require_unanswered(held, instance)
        _require_respondent(held, user)
        _require_options(detail, body.chosen_options)
        answer = await store.row(
            conn,
            SQL.answer,
            {
                **detail,
                "user_name": user.name,
                "chosen_options": body.chosen_options,
                "params_input": store.jsonb(body.params_input),
            },
        )
        await audit.record(
            conn,
            user,
            "update_hitl_detail",
            dag_id=dag_id,
            run_id=dag_run_id,
            task_id=task_id,
            map_index=map_index,
            extra=audit.body(body),
        )
    return answer


def _require_unanswered(detail: store.Row, instance: store.Row) -> None:
    if detail["responded_at"] is not None:
        raise HTTPException(
            409,
            "Human-in-the-loop detail has already been updated for Task Instance with id "
            f"{instance['id']} and is not allowed to write again.",
        )


def _require_respondent(detail: store.Row, user: User) -> None:
    allowed = {assigned["id"] for assigned in detail["assigned_users"]}
    if allowed and user.name not in allowed:
        raise HTTPException(403, f"User={user.name} (id={user.name}) is not a respondent for the task.")


def _require_options(detail: store.Row, chosen: list[str]) -> None:
    """Refuse what the operator would fail on: an unknown option, or several where one is asked for."""
    unknown = [option for option in chosen if option not in detail["options"]]
    if unknown:
        raise HTTPException(422, f"chosen_options: {unknown} are not among the options {detail['options']}")
    if len(chosen) > 1 and not detail["multiple"]:
        raise HTTPException(422, "chosen_options: exactly one of the options may be chosen")


async def _detail_or_404(
    conn: Connection, dag_id: str, run_id: str, task_id: str, map_index: int
) -> tuple[store.Row, store.Row]:
    instance = await instance_or_404(conn, dag_id, run_id, task_id, map_index)
    detail = await store.row(conn, SQL.of_instance, instance)
    if detail is None:
        raise _no_question(instance)
    return instance, detail


def _no_question(instance: store.Row) -> HTTPException:
    return HTTPException(404, f"Human-in-the-loop detail does not exist for Task Instance with id {instance['id']}")
