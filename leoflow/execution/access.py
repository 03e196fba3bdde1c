"""Which connections and variables an attempt may have: in a cluster, those its leoflow.yaml or its DAG declares.

Checked where the value would leave the database, on our side of the socket and of HTTP. A refusal is told to the Task
SDK as such, which then asks no other backend; it is explained in the attempt's log and recorded in the audit log.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

from leoflow.config import SecretsSettings
from leoflow.db import queries
from leoflow.execution.faults import FaultError

if TYPE_CHECKING:
    from leoflow.execution.context import AttemptContext, Store

Kind = Literal["connection", "variable"]
_VERSIONS = 512
_PREFIXES: Mapping[Kind, str] = {"connection": "AIRFLOW_CONN_", "variable": "AIRFLOW_VAR_"}


@dataclass(frozen=True, slots=True)
class Declared:
    """What a DAG version may have: names, or patterns with `*` and `?`."""

    connections: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()

    def names(self, kind: Kind) -> tuple[str, ...]:
        """Return the patterns of one kind."""
        return self.connections if kind == "connection" else self.variables


class SecretAccess:
    """Answers what attempts may have; a version never changes, so what it declares is read once.

    Args:
        settings: whether all may have everything, and what is shared.
    """

    def __init__(self, settings: SecretsSettings | None = None) -> None:
        settings = settings or SecretsSettings()
        self.is_open = settings.access != "declared"
        self._shared = Declared(tuple(settings.shared_connections), tuple(settings.shared_variables))
        self._versions: OrderedDict[int, asyncio.Future[Declared]] = OrderedDict()

    async def require(
        self, store: "Store", attempt: "AttemptContext", kind: Kind, name: str, *, to_write: bool = False
    ) -> None:
        """Let an attempt read or write something, or record that it asked.

        Raises:
            FaultError: PERMISSION_DENIED, neither declared nor shared.
        """
        if self.is_open or _matches(name, await self._patterns(store, attempt.claimed.version_key, kind)):
            return
        await _record(store, attempt, kind, name)
        raise FaultError(
            "PERMISSION_DENIED",
            {
                "status_code": 403,
                "message": f"this task may not have the {kind} {name!r}: neither its project nor its DAG declares it",
            },
            expected=not to_write,  # the SDK looks at the answer of a read, and ignores the one of a write
            note=_explain(attempt, kind, name),
        )

    async def environment(self, store: "Store", version_key: int, given: Mapping[str, str]) -> dict[str, str]:
        """Return the variables among `given` (names like AIRFLOW_CONN_X) that a version's tasks may have."""
        allowed = {}
        for kind, prefix in _PREFIXES.items():
            patterns = [pattern.upper() for pattern in await self._patterns(store, version_key, kind)]
            for variable, value in given.items():
                if variable.startswith(prefix) and _matches(variable.removeprefix(prefix), patterns):
                    allowed[variable] = value
        return allowed

    async def _patterns(self, store: "Store", version_key: int, kind: Kind) -> Sequence[str]:
        known = self._versions.get(version_key)
        if known is None:
            known = self._versions[version_key] = asyncio.ensure_future(_declared(store, version_key))
            if len(self._versions) > _VERSIONS:
                self._versions.popitem(last=False)
        try:
            declared = await asyncio.shield(known)
        except Exception:
            self._versions.pop(version_key, None)
            raise
        return (*declared.names(kind), *self._shared.names(kind))


async def _declared(store: "Store", version_key: int) -> Declared:
    row = await store.row(queries.load("execution").declared_secrets, {"version_key": version_key})
    connections, variables = row or (None, None)
    return Declared(tuple(connections or ()), tuple(variables or ()))


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


async def _record(store: "Store", attempt: "AttemptContext", kind: Kind, name: str) -> None:
    """Write a refusal into the audit log, once per attempt: a task that asks in a loop must not fill it."""
    if (kind, name) in attempt.refused:
        return
    claimed = attempt.claimed
    await store.row(
        queries.load("execution").audit_refusal,
        {
            "event": f"refuse_{kind}",
            "name": name,
            "dag_id": claimed.dag_id,
            "task_id": claimed.task_id,
            "run_id": claimed.run_id,
            "map_index": claimed.map_index,
            "try_number": claimed.try_number,
        },
    )


def _explain(attempt: "AttemptContext", kind: Kind, name: str) -> str | None:
    """Return what the attempt's log must say, once."""
    if (kind, name) in attempt.refused:
        return None
    attempt.refused.add((kind, name))
    return (
        f"The task asked for the {kind} {name!r} and was refused: neither its project nor its DAG declares it. "
        f"Add it under `{kind}s:` in the leoflow.yaml beside {attempt.claimed.relative_fileloc or 'dag.py'}, "
        f'or give the task executor_config={{"leoflow": {{"{kind}s": ["{name}"]}}}}, '
        f"or have an administrator add it to the setting secrets.shared_{kind}s."
    )
