"""Marking, clearing and annotating task instances."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query

from leoflow.api.deps import Conn, Connection, Editor, User
from leoflow.api.public import audit, bulk, store
from leoflow.api.public.criteria import Small
from leoflow.api.public.lookup import dag_or_404, run_or_404
from leoflow.api.public.task_instance_models import (
    BulkTaskInstanceBody,
    ClearTaskInstancesBody,
    PatchTaskInstanceBody,
    TaskInstanceCollectionResponse,
    TaskMarker,
)
from leoflow.api.public.task_instances import PREFIX, instance_or_404
from leoflow.db import queries
from leoflow.engine.workers import wake_workers

SQL = queries.load("api_actions")
router = APIRouter(tags=["Task Instance"])
NO_LOGICAL_DATE = "Cannot use include_past or include_future with no logical_date(e.g. manually or asset-triggered)."
Mask = Annotated[list[str] | None, Query()]


@router.patch(PREFIX + "/{task_id}/dry_run", response_model=TaskInstanceCollectionResponse)
async def patch_task_instance_dry_run(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    body: PatchTaskInstanceBody,
    conn: Conn,
    user: Editor,
    map_index: Small | None = None,
    update_mask: Mask = None,
) -> Any:
    """Say which instances a change would touch."""
    names = await _target(conn, dag_id, dag_run_id, task_id, map_index)
    if body.new_state is None or (update_mask and "new_state" not in update_mask):
        found = await store.rows(conn, SQL.instances, names)
    else:
        found = await _mark(conn, user, names, body, dry_run=True)
    return {"task_instances": found, "total_entries": len(found)}


@router.patch(PREFIX + "/{task_id}/{map_index}/dry_run", response_model=TaskInstanceCollectionResponse)
async def patch_task_instance_dry_run_by_map_index(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    map_index: Small,
    body: PatchTaskInstanceBody,
    conn: Conn,
    user: Editor,
    update_mask: Mask = None,
) -> Any:
    """Say which instances a change of a mapped instance would touch."""
    return await patch_task_instance_dry_run(dag_id, dag_run_id, task_id, body, conn, user, map_index, update_mask)


@router.patch(PREFIX + "/{task_id}", response_model=TaskInstanceCollectionResponse)
async def patch_task_instance(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    body: PatchTaskInstanceBody,
    conn: Conn,
    user: Editor,
    map_index: Small | None = None,
    update_mask: Mask = None,
) -> Any:
    """Set the state or the note of an instance, or of all instances of a mapped task."""
    names = await _target(conn, dag_id, dag_run_id, task_id, map_index)
    async with conn.transaction():
        found = await _patch(conn, user, names, body, update_mask)
    await wake_workers(conn)
    return {"task_instances": found, "total_entries": len(found)}


@router.patch(PREFIX + "/{task_id}/{map_index}", response_model=TaskInstanceCollectionResponse)
async def patch_task_instance_by_map_index(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    map_index: Small,
    body: PatchTaskInstanceBody,
    conn: Conn,
    user: Editor,
    update_mask: Mask = None,
) -> Any:
    """Set the state or the note of a mapped instance."""
    return await patch_task_instance(dag_id, dag_run_id, task_id, body, conn, user, map_index, update_mask)


@router.patch(PREFIX, response_model=bulk.BulkResponse)
async def bulk_task_instances(
    dag_id: str, dag_run_id: str, body: bulk.BulkBody[BulkTaskInstanceBody], conn: Conn, user: Editor
) -> Any:
    """Change several instances."""
    answer = await bulk.run(conn, body, _Bulk(conn, user, dag_id, dag_run_id))
    await wake_workers(conn)
    return answer


@router.delete(PREFIX + "/{task_id}")
async def delete_task_instance(
    dag_id: str, dag_run_id: str, task_id: str, conn: Conn, user: Editor, map_index: Small = -1
) -> None:
    """Delete a finished instance."""
    await instance_or_404(conn, dag_id, dag_run_id, task_id, map_index)
    names = {"dag_id": dag_id, "run_id": dag_run_id, "task_id": task_id, "map_index": map_index}
    async with conn.transaction():
        await store.execute(conn, SQL.delete_instance, names)
        await audit.record(conn, user, "delete_task_instance", **_audited(names), extra={"method": "DELETE"})


@router.post("/dags/{dag_id}/clearTaskInstances", response_model=TaskInstanceCollectionResponse)
async def post_clear_task_instances(dag_id: str, body: ClearTaskInstancesBody, conn: Conn, user: Editor) -> Any:
    """Run instances again; a dry run says which."""
    await dag_or_404(conn, dag_id)
    await _check_clear(conn, dag_id, body)
    tasks = None if body.task_ids is None else store.jsonb([_marker(one) for one in body.task_ids])
    arguments = {**body.model_dump(exclude={"task_ids"}), "dag_id": dag_id, "tasks": tasks, "user": user.name}
    found = await store.rows(conn, SQL.clear, arguments)
    if not body.dry_run:
        await wake_workers(conn)
    return {"task_instances": found, "total_entries": len(found)}


def _marker(marker: TaskMarker) -> Any:
    """Write a task, or one of its instances, as the engine reads it."""
    return marker if isinstance(marker, str) else list(marker)


async def _check_clear(conn: Connection, dag_id: str, body: ClearTaskInstancesBody) -> None:
    if body.dag_run_id is None:
        return
    names = {"dag_id": dag_id, "run_id": body.dag_run_id}
    run = await store.row(conn, SQL.run, names)
    if run is None:
        raise HTTPException(404, f"Dag Run id {body.dag_run_id} not found in dag {dag_id}")
    if (body.include_past or body.include_future) and run["logical_date"] is None:
        raise HTTPException(400, NO_LOGICAL_DATE)


async def _target(conn: Connection, dag_id: str, run_id: str, task_id: str, map_index: int | None) -> dict[str, Any]:
    """Check that a task has instances in a run; without a map index all of them are meant."""
    await dag_or_404(conn, dag_id)
    await run_or_404(conn, dag_id, run_id)
    names = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": map_index}
    if await store.row(conn, SQL.target, names) is None:
        which = f"and map_index: `{map_index}` " if map_index is not None else ""
        raise HTTPException(
            404,
            f"The Task Instance with dag_id: `{dag_id}`, run_id: `{run_id}`, task_id: `{task_id}` {which}was not found",
        )
    return names


async def _mark(
    conn: Connection, user: User, names: dict[str, Any], body: PatchTaskInstanceBody, *, dry_run: bool
) -> list[store.Row]:
    """Set a state and return the instances it changes."""
    if (body.include_past or body.include_future) and await store.value(conn, SQL.logical_date, names) is None:
        raise HTTPException(400, NO_LOGICAL_DATE)
    index = names["map_index"]
    tasks = [names["task_id"] if index is None else [names["task_id"], index]]
    arguments = {**names, **body.model_dump(), "tasks": store.jsonb(tasks), "dry_run": dry_run, "user": user.name}
    return await store.rows(conn, SQL.mark, {**arguments, "dag_id": names["dag_id"], "run_id": names["run_id"]})


async def _patch(
    conn: Connection, user: User, names: dict[str, Any], body: PatchTaskInstanceBody, mask: list[str] | None
) -> list[store.Row]:
    fields = body.model_fields_set & set(mask or body.model_fields_set)
    # The UI sends `note: null` with every new state, meaning the note stays.
    has_note = "note" in fields and (body.note is not None or bool(mask))
    if "new_state" in fields and body.new_state is not None:
        found = await _mark(conn, user, names, body, dry_run=False)
        if not found and not has_note:
            raise HTTPException(409, f"Task id {names['task_id']} is already in {body.new_state} state")
    if has_note:
        async with conn.transaction():
            await store.execute(conn, SQL.restore_run, names)
            await store.execute(conn, SQL.set_note, {**names, "note": body.note or None, "user": user.name})
        extra = {"note": body.note, "method": "PATCH"}
        await audit.record(conn, user, "patch_task_instance", **_audited(names), extra=extra)
    # As in Airflow: the instances that were named, not all that changed with them.
    return await store.rows(conn, SQL.instances, names)


def _audited(names: dict[str, Any]) -> dict[str, Any]:
    return {key: names[key] for key in ("dag_id", "run_id", "task_id", "map_index")}


class _Bulk:
    """Task instances, for the bulk endpoint; an entity is named `dag/run/task[/index]`."""

    noun = "task instances"

    def __init__(self, conn: Connection, user: User, dag_id: str, run_id: str) -> None:
        self._conn, self._user, self._dag_id, self._run_id = conn, user, dag_id, run_id
        self._names: dict[str, dict[str, Any]] = {}

    def key(self, entity: BulkTaskInstanceBody) -> str:
        """Name an instance, taking what the entity leaves out from the path."""
        dag_id = self._choose(self._dag_id, entity.dag_id, "dag_id")
        run_id = self._choose(self._run_id, entity.dag_run_id, "dag_run_id")
        key = f"{dag_id}.{run_id}.{entity.task_id}[{-1 if entity.map_index is None else entity.map_index}]"
        self._names[key] = {
            "dag_id": dag_id,
            "run_id": run_id,
            "task_id": entity.task_id,
            "map_index": entity.map_index,
        }
        return key

    async def existing(self, keys: Sequence[str]) -> set[str]:
        """Return the names that exist; a bare text is a task id of the path's run."""
        found = set()
        for key in keys:
            if await store.row(self._conn, SQL.target, self._of(key)) is not None:
                found.add(key)
        return found

    async def put(self, entity: BulkTaskInstanceBody) -> None:
        """Refuse: only the engine makes instances."""
        raise HTTPException(405, f"Task instances bulk create is not supported: `{entity.task_id}`")

    async def patch(self, entity: BulkTaskInstanceBody, update_mask: list[str] | None) -> None:
        """Change an instance."""
        await _patch(self._conn, self._user, self._of(self.key(entity)), entity, update_mask)

    async def remove(self, key: str) -> None:
        """Delete a finished instance."""
        names = self._of(key)
        await store.execute(self._conn, SQL.delete_instance, {**names, "map_index": names["map_index"] or -1})
        await audit.record(self._conn, self._user, "delete_task_instance", **_audited(names))

    def _of(self, key: str) -> dict[str, Any]:
        bare = {"dag_id": self._dag_id, "run_id": self._run_id, "task_id": key, "map_index": None}
        return self._names.get(key, bare)

    @staticmethod
    def _choose(in_path: str, in_body: str | None, field: str) -> str:
        if in_path == "~" and in_body is None:
            raise HTTPException(400, f"{field} is required when the path has ~ for it")
        if in_path != "~" and in_body is not None and in_body != in_path:
            raise HTTPException(400, f"{field} in the body does not match the one in the path")
        return in_body or in_path
