"""One trigger as its triggerer knows it."""

from collections.abc import Callable
from dataclasses import dataclass

from leoflow.engine import ClaimedTrigger
from leoflow.execution.context import AttemptContext
from leoflow.worker.masking import Masker

RunnerKey = tuple[str | None, str | None]
"""Environment key, and the project whose modules may be imported, if it must be one."""


@dataclass(slots=True)
class Waiting:
    """A claimed trigger, with what its requests and its log need.

    Attributes:
        trigger: the trigger and the attempt that waits for it.
        context: the attempt, as operations see it.
        masker: the secrets it has seen.
        emit: takes lines of the task's log.
        runner: where it runs.
        fired: it has said what came of it; the database may not know yet.
        is_leaving: a watcher's trigger that was told to stop and has not said yet that it did.
    """

    trigger: ClaimedTrigger
    context: AttemptContext
    masker: Masker
    emit: Callable[[bytes], None]
    runner: RunnerKey
    fired: bool = False
    is_leaving: bool = False

    @property
    def name(self) -> str:
        """What logs call it."""
        attempt = self.trigger.attempt
        if self.trigger.is_watcher:
            return f"asset watcher of {attempt.dag_id} ({self.trigger.classpath})"
        instance = attempt.task_id if attempt.map_index < 0 else f"{attempt.task_id}[{attempt.map_index}]"
        return f"{attempt.dag_id}/{attempt.run_id}/{instance}/{attempt.try_number} ({self.trigger.classpath})"

    def order(self) -> dict[str, object]:
        """Return what its runner needs to start it."""
        return {
            "key": self.trigger.key,
            "name": self.name,
            "classpath": self.trigger.classpath,
            "kwargs": self.trigger.kwargs,
            "is_watcher": self.trigger.is_watcher,
            "ti": None if self.trigger.is_watcher else self._instance(),
        }

    def _instance(self) -> dict[str, object]:
        attempt = self.trigger.attempt
        return {
            "id": str(attempt.attempt_id),
            "dag_version_id": str(attempt.dag_version_id),
            "dag_id": attempt.dag_id,
            "run_id": attempt.run_id,
            "task_id": attempt.task_id,
            "try_number": attempt.try_number,
            "map_index": attempt.map_index,
        }
