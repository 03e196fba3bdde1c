"""Registers compiled DAGs, as `leoflow push` and `leoflow deploy` send them, and gives them back."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import BaseModel

from leoflow.api.deps import Conn, Operator, Viewer
from leoflow.api.public import audit, store
from leoflow.api.public.criteria import Small
from leoflow.db import queries
from leoflow.engine.definitions import register_version
from leoflow.errors import LeoflowError
from leoflow.spec import DagSpec, as_json, content_hash, content_hash_of
from leoflow.timetables import timetable_of
from leoflow.timetables.cron import zone

SQL = queries.load("api_own")
router = APIRouter()


class RegisteredVersion(BaseModel):
    """What a registration led to.

    Attributes:
        is_new: false when this content was known: nothing was added, it is (again) the current version.
    """

    dag_id: str
    version_number: int
    id: UUID
    content_hash: str
    is_new: bool


@router.post("/dags/{dag_id}/versions", status_code=201, response_model=RegisteredVersion)
async def register_dag_version(
    dag_id: str, spec: DagSpec, request: Request, response: Response, conn: Conn, user: Operator
) -> Any:
    """Register a dag.json: 201 for a new version, 200 when its content is known."""
    if spec.dag_id != dag_id:
        raise HTTPException(400, f"The dag_id in the body, `{spec.dag_id}`, does not match the URL")
    expected = content_hash(spec)
    # An artifact of an older Leoflow has the hash of what that one knew.
    if spec.content_hash not in (expected, content_hash_of(await request.json())):
        raise HTTPException(
            422,
            f"content_hash is `{spec.content_hash}`, but this content has `{expected}`. "
            "Send the file as `leoflow compile` wrote it.",
        )
    _check_schedule(spec)
    async with conn.transaction():
        version = await register_version(conn, as_json(spec), content_hash=spec.content_hash)
        extra = {
            "version_number": version.version_number,
            "content_hash": spec.content_hash,
            "is_new": version.is_new,
        }
        await audit.record(conn, user, "register_dag_version", dag_id=dag_id, extra=extra)
        version_id = await store.value(conn, SQL.version_id, {"version_key": version.version_key})
    if not version.is_new:
        response.status_code = 200
    return {**extra, "dag_id": dag_id, "id": version_id}


def _check_schedule(spec: DagSpec) -> None:
    """Refuse what the scheduler could only log; a timetable of the project's own was checked when it was compiled."""
    try:
        zone(spec.timezone)
    except LeoflowError as error:
        raise HTTPException(422, f"timezone: {error}") from error
    schedule = spec.schedule or {}
    timetable = schedule.get("timetable") if schedule.get("type") == "asset_or_time" else schedule
    if spec.schedule is None or (isinstance(timetable, dict) and timetable.get("type") == "custom"):
        return
    try:
        timetable_of(schedule)
    except (LeoflowError, AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise HTTPException(422, f"schedule: {error}") from error


@router.get("/dags/{dag_id}/versions/{version_number}")
async def get_dag_version_spec(dag_id: str, version_number: Small, conn: Conn, _: Viewer) -> dict[str, Any]:
    """Get the dag.json of a version."""
    spec = await store.value(conn, SQL.spec, {"dag_id": dag_id, "version_number": version_number})
    if spec is None:
        raise HTTPException(
            404, f"The DagVersion with dag_id: `{dag_id}` and version_number: `{version_number}` was not found"
        )
    return dict(spec)
