"""What leoflow.yaml sets for the tasks of a version: environment variables, limits, reuse of processes."""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from leoflow.db import queries
from leoflow.engine import ClaimedAttempt
from leoflow.execution.context import Store
from leoflow.worker.launchers.environment_variables import is_reserved

_VERSIONS = 512

_UNITS = {
    "": 1,
    "m": 0.001,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "P": 10**15,
    "E": 10**18,
    "Ki": 1 << 10,
    "Mi": 1 << 20,
    "Gi": 1 << 30,
    "Ti": 1 << 40,
    "Pi": 1 << 50,
    "Ei": 1 << 60,
}


@dataclass(frozen=True, slots=True)
class TaskSettings:
    """Settings of one task.

    Attributes:
        env: variables to set in its process.
        reserved: names leoflow.yaml gives that belong to Leoflow, and are not set.
        memory: its memory limit as written, such as `2Gi`.
        cpu: its limit of processor time as written, such as `500m`.
        attempts_per_process: how many attempts one process may run, one after the other.
    """

    env: Mapping[str, str] = field(default_factory=dict)
    reserved: tuple[str, ...] = ()
    memory: str | None = None
    cpu: str | None = None
    attempts_per_process: int = 1

    @property
    def memory_bytes(self) -> int | None:
        """The memory limit in bytes."""
        return None if self.memory is None else int(_amount(self.memory))

    @property
    def cores(self) -> int | None:
        """The limit of processor time in whole cores, the only ones a process can be kept to; at least one."""
        return None if self.cpu is None else max(1, math.ceil(_amount(self.cpu)))


_NOTHING = TaskSettings()


class TaskSettingsCache:
    """The settings of the versions this worker has run lately. A version never changes, so each is read once.

    Args:
        store: the database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._versions: OrderedDict[int, asyncio.Future[Mapping[int, TaskSettings]]] = OrderedDict()

    async def of(self, attempt: ClaimedAttempt) -> TaskSettings:
        """Return the settings of an attempt's task.

        Raises:
            psycopg.Error: they could not be read; the next call tries again.
        """
        known = self._versions.get(attempt.version_key)
        if known is None:
            known = self._versions[attempt.version_key] = asyncio.ensure_future(self._read(attempt.version_key))
            if len(self._versions) > _VERSIONS:
                self._versions.popitem(last=False)
        try:
            settings = await asyncio.shield(known)
        except Exception:
            self._versions.pop(attempt.version_key, None)
            raise
        return settings.get(attempt.task_idx, _NOTHING)

    async def _read(self, version_key: int) -> Mapping[int, TaskSettings]:
        rows = await self._store.rows(queries.load("execution").task_settings, {"version_key": version_key})
        return {task_idx: _settings(env or {}, resources or {}, most or 1) for task_idx, env, resources, most in rows}


def _settings(env: Mapping[str, str], resources: Mapping[str, Any], attempts_per_process: int) -> TaskSettings:
    reserved = tuple(sorted(name for name in env if is_reserved(name)))
    kept = {name: str(value) for name, value in env.items() if name not in reserved}
    limits = resources.get("limits") or {}
    return TaskSettings(kept, reserved, limits.get("memory"), limits.get("cpu"), attempts_per_process)


def _amount(quantity: str) -> float:
    """Return a Kubernetes quantity: bytes of memory, or processor cores."""
    number = quantity.rstrip("kmKMGTPEi")
    return float(number) * _UNITS[quantity[len(number) :]]
