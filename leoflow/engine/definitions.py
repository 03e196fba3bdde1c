"""DAGs and their versions."""

import json
from typing import Any

from psycopg.types.json import Jsonb

from leoflow.engine import rows
from leoflow.engine.rows import Connection
from leoflow.engine.types import RegisteredVersion


async def register_version(
    conn: Connection,
    spec: dict[str, Any] | str | bytes,
    *,
    content_hash: str | None = None,
    source_code: str | None = None,
    bundle_path: str | None = None,
    environment_key: str | None = None,
    project_path: str | None = None,
    fileloc: str | None = None,
    relative_fileloc: str | None = None,
    parse_seconds: float | None = None,
    bundle_name: str = "dags",
    is_paused_upon_creation: bool | None = None,
) -> RegisteredVersion:
    """Register a compiled DAG (`dag.json`); known content only becomes current again.

    Raises:
        psycopg.Error: SQLSTATE LF422 with a hint for a spec the engine cannot run.
    """
    document = json.loads(spec) if isinstance(spec, str | bytes) else spec
    row = await rows.one(
        conn,
        "select * from leoflow_core.register_version(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            Jsonb(document),
            content_hash,
            source_code,
            bundle_path,
            environment_key,
            project_path,
            fileloc,
            relative_fileloc,
            parse_seconds,
            bundle_name,
            is_paused_upon_creation,
        ),
    )
    return RegisteredVersion(*row)


async def deactivate_dag(conn: Connection, dag_id: str) -> bool:
    """Take a DAG out of service whose project vanished; its history stays. False: unknown."""
    known: bool = await rows.value(conn, "select leoflow_core.deactivate_dag(%s)", (dag_id,))
    return known


async def set_spawn_reason(conn: Connection, dag_id: str, reason: str | None) -> None:
    """Note why attempts of a DAG get an interpreter of their own; None: they are forked."""
    await conn.execute("select leoflow_core.set_spawn_reason(%s, %s)", (dag_id, reason))


async def set_import_error(
    conn: Connection, filename: str, stack_trace: str, *, bundle_name: str = "dags", dag_ids: list[str] | None = None
) -> None:
    """Remember why a file cannot be loaded; its DAGs go on with their last good version."""
    await conn.execute(
        "select leoflow_core.set_import_error(%s, %s, %s, %s)", (filename, stack_trace, bundle_name, dag_ids)
    )


async def clear_import_error(conn: Connection, filename: str) -> None:
    """Forget the import error of a file."""
    await conn.execute("select leoflow_core.clear_import_error(%s)", (filename,))
