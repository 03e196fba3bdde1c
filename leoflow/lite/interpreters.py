"""Which environment a project or a stored version runs in, built when it is missing."""

from collections.abc import Callable
from pathlib import Path

from leoflow.compiler import DagLoader, Project
from leoflow.db import Pool
from leoflow.db.queries import load
from leoflow.environments import Environment, EnvironmentSpec, ensure
from leoflow.lite.reload import Interpreter

SQL = load("lite")

Progress = Callable[[str], None]


class Interpreters:
    """Gives projects their loader, and attempts their Python.

    Args:
        home: LEOFLOW_HOME.
        pool: where versions are, for environments that were removed from the home since.
        timeout: seconds one build may take.
        progress: told what a build does.
    """

    def __init__(self, home: Path, pool: Pool, *, timeout: float, progress: Progress) -> None:
        self._home = home
        self._pool = pool
        self._timeout = timeout
        self._progress = progress
        self._specs: dict[str, EnvironmentSpec] = {}
        self._loader_of: Callable[[str], DagLoader] | None = None

    def use(self, loader_of: Callable[[str], DagLoader]) -> None:
        """Set how a loader for an environment key is made."""
        self._loader_of = loader_of

    async def of_project(self, project: Project) -> Interpreter:
        """The loader of a project.

        Raises:
            LeoflowError: its environment cannot be built.
        """
        assert self._loader_of is not None
        config = project.config
        spec = EnvironmentSpec(config.python_version, config.requirements())
        environment = await self._ensure(spec)
        return Interpreter(self._loader_of(environment.key), environment.key)

    async def python_of(self, key: str | None) -> Path:
        """The Python of an environment key; None means the default environment.

        Raises:
            LeoflowError: it cannot be built.
        """
        spec = EnvironmentSpec() if key is None else self._specs.get(key) or await self._spec_of_version(key)
        return (await self._ensure(spec)).python

    async def _ensure(self, spec: EnvironmentSpec) -> Environment:
        self._specs[spec.key] = spec
        return await ensure(spec, self._home, self._progress, timeout=self._timeout)

    async def _spec_of_version(self, key: str) -> EnvironmentSpec:
        async with self._pool.connection() as connection:
            row = await (await connection.execute(SQL["environment_of_key"], (key,))).fetchone()
        return EnvironmentSpec(row[0], tuple(row[1] or ())) if row else EnvironmentSpec()
