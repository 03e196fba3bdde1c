"""Specs with assets, attempts that change them, and a look at what waits."""

from typing import Any

from leoflow import engine
from leoflow.engine import AssetRuns, ClaimedAttempt, Outcome, Outlets
from tests.sql.dags import Connection, dag, new_worker, scalar, task


def asset(name: str, uri: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"type": "asset", "name": name, "uri": uri or f"s3://{name}", "group": "asset", "extra": {}, **fields}


def alias(name: str) -> dict[str, Any]:
    return {"type": "alias", "name": name, "group": "asset"}


def all_of(*objects: dict[str, Any]) -> dict[str, Any]:
    return {"type": "all", "objects": list(objects)}


def any_of(*objects: dict[str, Any]) -> dict[str, Any]:
    return {"type": "any", "objects": list(objects)}


def producer(dag_id: str, *outlets: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return dag(dag_id, [task("make", outlets=list(outlets))], **fields)


def consumer(dag_id: str, expression: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return dag(dag_id, [task("use")], schedule={"type": "assets", "expression": expression}, **fields)


PROFILES = {"asset": "Asset", "alias": "AssetAlias", "name_ref": "AssetNameRef", "uri_ref": "AssetUriRef"}


def outlets(*given: dict[str, Any], events: list[dict[str, Any]] | None = None) -> Outlets:
    """What the Task SDK says of outlets when a task succeeds."""
    profiles = [{"type": PROFILES[o["type"]], "name": o.get("name"), "uri": o.get("uri")} for o in given]
    return Outlets(profiles, events or [])


def event(of: dict[str, Any], through: str | None = None, **extra: Any) -> dict[str, Any]:
    """What a task recorded about an outlet, or about an asset it resolved an alias to."""
    told = {"dest_asset_key": {"name": of["name"], "uri": of["uri"]}, "extra": extra}
    return told if through is None else {**told, "source_alias_name": through, "dest_asset_extra": {"by": "alias"}}


async def change(conn: Connection, *given: dict[str, Any], **fields: Any) -> AssetRuns:
    """A task of a DAG of its own succeeds with outlets; then what must follow, follows."""
    attempt = await attempt_with(conn, *given, dag_id="make_" + "_".join(str(o.get("name", "ref")) for o in given))
    worker = await new_worker(conn)
    await engine.finish(conn, worker, [Outcome(attempt.ref, "success", outlets=outlets(*given, **fields))])
    return await engine.create_asset_runs(conn)


async def attempt_with(conn: Connection, *given: dict[str, Any], dag_id: str = "producer") -> ClaimedAttempt:
    """A running attempt of a task with these outlets."""
    await engine.register_version(conn, producer(dag_id, *given, max_active_runs=1000))
    await engine.create_run(conn, dag_id, run_id=f"r{await scalar(conn, 'select count(*) from leoflow_core.dag_run')}")
    [attempt] = [a for a in await engine.claim(conn, await new_worker(conn), 100) if a.dag_id == dag_id]
    return attempt


async def runs(conn: Connection, dag_id: str) -> list[tuple[str, list[dict[str, Any]]]]:
    """The runs of a DAG in order: type, and the extras of the events that made it."""
    cursor = await conn.execute(
        "select r.run_type::text, coalesce((select jsonb_agg(e.extra order by e.event_key)"
        " from leoflow_core.dag_run_asset_event c join leoflow_core.asset_event e using (event_key)"
        " where c.run_key = r.run_key), '[]')"
        " from leoflow.dag_runs r where r.dag_id = %s order by r.run_key",
        (dag_id,),
    )
    return [(row[0], row[1]) for row in await cursor.fetchall()]
