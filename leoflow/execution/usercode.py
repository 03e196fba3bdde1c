"""The port through which the control plane has a piece of a project's code called, somewhere it can do no harm."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from leoflow.engine import ClaimedAttempt
from leoflow.errors import LeoflowError


@dataclass(frozen=True, slots=True)
class CodePlace:
    """Where a DAG's code is: its environment, its snapshot, and its file in there."""

    dag_id: str
    environment_key: str | None
    bundle_path: str
    file: str


@dataclass(frozen=True, slots=True)
class CallLimits:
    """What one call may cost."""

    seconds: float
    memory_bytes: int = 2 << 30
    output_bytes: int = 1 << 20
    result_bytes: int = 1 << 20


@dataclass(frozen=True, slots=True)
class Call:
    """One call.

    Attributes:
        place: whose code.
        name: which function of `leoflow.runtime.usercode`.
        arguments: JSON values it needs.
        limits: enforced from outside.
        attempt: the task instance in whose name the code may ask for connections, variables and XComs; None: it may
            not.
    """

    place: CodePlace
    name: str
    arguments: Mapping[str, Any]
    limits: CallLimits
    attempt: ClaimedAttempt | None = None


@dataclass(frozen=True, slots=True)
class CallAnswer:
    """What came out: the result, and what the code printed and logged (its beginning and its end)."""

    result: Any
    output: str = field(default="", compare=False)
    seconds: float = field(default=0.0, compare=False)


class CallError(LeoflowError):
    """A call without a result.

    Args:
        what: what went wrong.
        rule: `environment` when the machine failed and not the code; `time-limit`, `output-limit`, `result-limit`,
            `died`, or the rule of the DAG file or timetable that was broken.
        where: the file and line.
        hint: what to do.
        output: what the code printed, with its traceback.
    """

    def __init__(self, what: str, *, rule: str, where: str, hint: str, output: str = "") -> None:
        super().__init__(what, where=where, hint=hint)
        self.rule = rule
        self.output = output

    @property
    def is_passing(self) -> bool:
        """Worth another try without any change of the code."""
        return self.rule == "environment"


class UserCode(Protocol):
    """Calls code of projects in their environments."""

    async def call(self, call: Call) -> CallAnswer:
        """Make one call.

        Raises:
            CallError: there is no result; whatever the call had started is dead.
        """
        ...
