"""How DAGs, assets, triggers and sensors hang together: Airflow 3.2.2's "DAG dependencies", from the database.

A dependency has two ends. An end that is the dependency's own kind says that nothing is beyond it: an asset that a DAG
waits for has the source `asset`, one that a DAG makes has the target `asset`. An alias that was resolved stands between
its assets and the DAG.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from leoflow.api.rows import Connection, Row, rows
from leoflow.db import queries

_REFERENCES = {"name_ref": "asset-name-ref", "uri_ref": "asset-uri-ref", "alias": "asset-alias"}
_WITH_ENDS = ("trigger", "sensor")


@dataclass(frozen=True, slots=True, order=True)
class Dependency:
    """One dependency; `task_id` names the task with the outlet, if it comes from one."""

    source: str
    target: str
    label: str
    kind: str
    id: str
    task_id: str | None = None

    @property
    def node_id(self) -> str:
        """The id of its node in graphs."""
        ends = f":{self.source}:{self.target}" if self.kind in _WITH_ENDS else ""
        return f"{self.kind}{ends}:{self.id}"

    @property
    def is_start(self) -> bool:
        """Nothing is known to come before it."""
        return self.source == self.kind

    @property
    def is_end(self) -> bool:
        """Nothing is known to come after it."""
        return self.target == self.kind


async def dag_dependencies(conn: Connection) -> dict[str, list[Dependency]]:
    """Return the dependencies of all DAGs that are in use, by dag_id, both sorted."""
    named = queries.load("ui")
    found: dict[str, set[Dependency]] = {}
    for row in await rows(conn, named.asset_mentions):
        found.setdefault(row["dag_id"], set()).update(_of_asset(row))
    for row in await rows(conn, named.linked_tasks):
        ends = (row["dag_id"], row["other"]) if row["kind"] == "trigger" else (row["other"], row["dag_id"])
        found.setdefault(row["dag_id"], set()).add(Dependency(*ends, row["label"], row["kind"], row["task_id"]))
    return {dag_id: sorted(found[dag_id], key=_sort_key) for dag_id in sorted(found)}


def _sort_key(dependency: Dependency) -> tuple[str, ...]:
    return (dependency.source, dependency.target, dependency.label, dependency.kind, dependency.id)


def _of_asset(row: Row) -> Iterator[Dependency]:
    """Translate one asset, alias or reference that a DAG mentions; `asset_id` is null where it stands for nothing."""
    dag_id, kind, task_id = row["dag_id"], row["type"], row["task_id"]
    name = row["name"] or row["uri"]
    if row["asset_id"] is None:
        kind = _REFERENCES.get(kind, "asset")
        yield _between(dag_id, kind, name, name, task_id)
        return
    asset_id, label = str(row["asset_id"]), row["asset_name"]
    if kind != "alias":
        yield _between(dag_id, "asset", label, asset_id, task_id)
        return
    near, far = f"asset-alias:{name}", f"asset:{asset_id}"
    if task_id is None:
        yield Dependency("asset", near, label, "asset", asset_id)
        yield Dependency(far, dag_id, name, "asset-alias", name)
    else:
        yield Dependency(near, "asset", label, "asset", asset_id, task_id)
        yield Dependency(dag_id, far, name, "asset-alias", name, task_id)


def _between(dag_id: str, kind: str, label: str, id_: str, task_id: str | None) -> Dependency:
    """An asset, alias or reference before a DAG, or after one of its tasks."""
    source, target = (kind, dag_id) if task_id is None else (dag_id, kind)
    return Dependency(source, target, label, kind, id_, task_id)
