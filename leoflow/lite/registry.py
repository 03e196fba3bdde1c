"""What the database knows about the projects on this machine, and how the reload loop changes it."""

import time
from dataclasses import dataclass
from pathlib import Path

from leoflow import engine
from leoflow.compiler import CompiledDag
from leoflow.db import Pool, retry_transient
from leoflow.db.queries import load
from leoflow.lite.sql_errors import in_users_words
from leoflow.spec import as_json

SQL = load("lite")


@dataclass(frozen=True, slots=True)
class KnownDag:
    """A DAG that is active, and the project and file it was last found in."""

    dag_id: str
    project: Path
    file: str


@dataclass(frozen=True, slots=True)
class Registered:
    """The outcome of registering one DAG; `warnings` are the compiler's remarks on it."""

    dag_id: str
    version_number: int
    is_new: bool
    warnings: tuple[str, ...] = ()


class Registry:
    """The database side of hot reload. Every call may be repeated."""

    def __init__(self, pool: Pool, *, paused: bool | None = None) -> None:
        self._pool = pool
        self._paused = paused

    async def active_dags(self) -> list[KnownDag]:
        """The DAGs of all projects ever seen, of other workspaces too."""

        async def read() -> list[KnownDag]:
            async with self._pool.connection() as connection:
                rows = await (await connection.execute(SQL["active_dags"])).fetchall()
            return [KnownDag(dag_id, Path(project), file or "") for dag_id, project, file in rows]

        return await retry_transient(read)

    async def register(self, dag: CompiledDag, *, environment_key: str, started: float) -> Registered:
        """Store a version, or touch the one that has the same content.

        Raises:
            LeoflowError: the engine cannot run this DAG.
        """
        spec = dag.spec
        paused = self._paused if self._paused is not None else not dag.project.must_define_dags

        async def write() -> Registered:
            async with self._pool.connection() as connection, in_users_words():
                done = await engine.register_version(
                    connection,
                    as_json(spec),
                    content_hash=spec.content_hash,
                    source_code=spec.source.code,
                    bundle_path=str(dag.bundle_path),
                    environment_key=environment_key,
                    project_path=str(dag.project.root),
                    fileloc=str(dag.project.root / spec.source.path),
                    relative_fileloc=spec.source.path,
                    parse_seconds=time.monotonic() - started,
                    is_paused_upon_creation=paused,
                )
                await engine.set_spawn_reason(connection, spec.dag_id, dag.spawned_because)
            return Registered(spec.dag_id, done.version_number, done.is_new, dag.warnings)

        return await retry_transient(write)

    async def deactivate(self, dag_id: str) -> None:
        """Hide a DAG whose definition is gone; its history stays, and it comes back with its definition."""
        await self._run("deactivate_dag", dag_id)

    async def set_errors(self, root: Path, errors: dict[Path, str]) -> None:
        """Make the import errors below `root` exactly `errors`."""

        async def write() -> None:
            async with self._pool.connection() as connection:
                rows = await (await connection.execute(SQL["import_error_files"])).fetchall()
                for (name,) in rows:
                    if Path(name).is_relative_to(root) and Path(name) not in errors:
                        await connection.execute(SQL["clear_import_error"], (name,))
                for path, text in errors.items():
                    await connection.execute(SQL["set_import_error"], (str(path), text))

        await retry_transient(write)

    async def _run(self, statement: str, *arguments: str) -> None:
        async def write() -> None:
            async with self._pool.connection() as connection:
                await connection.execute(SQL[statement], arguments)

        await retry_transient(write)
