"""The port through which a DAG file is loaded: a request, limits, and a result or an error."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from leoflow.compiler.errors import CompileError


@dataclass(frozen=True, slots=True)
class LoadLimits:
    """What loading one DAG file may cost."""

    seconds: float = 30.0
    startup_seconds: float = 120.0
    memory_bytes: int = 2 << 30
    output_bytes: int = 16 << 20
    result_bytes: int = 128 << 20


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """Load `file`, relative to the directory `root`; errors speak of `shown_root` instead."""

    root: Path
    file: str
    shown_root: Path
    limits: LoadLimits = LoadLimits()

    def message(self) -> dict[str, Any]:
        """Return the request as `leoflow.runtime.loading.load` expects it."""
        return {"root": str(self.root), "file": self.file}

    def error(self, what: str, *, rule: str, hint: str, output: str = "") -> CompileError:
        """Return an error about the DAG file as a whole."""
        return CompileError(what, root=self.shown_root, file=self.file, rule=rule, hint=hint, traceback=output)


@dataclass(frozen=True, slots=True)
class LoadedDag:
    """One DAG as the loading process describes it, and where in the sources it and its tasks are made."""

    spec: dict[str, Any]
    place: tuple[str, int] | None
    task_places: dict[str, tuple[str, int]]
    explicit: dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class LoadResult:
    """The DAGs of one file."""

    dags: tuple[LoadedDag, ...]
    warnings: tuple[str, ...] = ()
    output: str = field(default="", compare=False)
    """What the file printed, its first and last part."""
    seconds: float = field(default=0.0, compare=False)
    fork_hazards: tuple[str, ...] = ()
    """Why the file cannot be forked once it is loaded; each attempt then gets an interpreter of its own."""


class DagLoader(Protocol):
    """Runs user code somewhere it can do no harm."""

    async def load(self, request: LoadRequest) -> LoadResult:
        """Load one DAG file.

        Raises:
            CompileError: the file is wrong, or broke a limit.
        """
        ...


def read_result(request: LoadRequest, document: bytes, output: str = "") -> LoadResult:
    """Turn the answer of `leoflow.runtime.loading.load` into a result, or raise the error it holds."""
    answer = json.loads(document)
    if problem := answer.get("error"):
        raise CompileError(
            problem["what"],
            root=request.shown_root,
            file=problem["file"] or request.file,
            line=problem["line"],
            rule=problem["rule"],
            hint=problem["hint"],
            traceback=problem["traceback"],
        )
    dags = tuple(
        LoadedDag(
            dag["spec"],
            tuple(dag["place"]) if dag["place"] else None,
            {task_id: tuple(place) for task_id, place in dag["task_places"].items() if place},
            dag["explicit"],
        )
        for dag in answer["dags"]
    )
    warnings = tuple(f"{each['file']}:{each['line']}: {each['what']}" for each in answer["warnings"])
    return LoadResult(dags, warnings, output, answer["seconds"], tuple(answer["hazards"]))


def died(request: LoadRequest, status: int, output: str) -> CompileError:
    """Explain a loading process that ended without an answer; `status` as `subprocess` has it."""
    limits = request.limits
    if status == -9 or "MemoryError" in output[-2000:]:
        return request.error(
            f"loading the DAG file was killed; it may need more than {limits.memory_bytes >> 20} MiB of memory",
            rule="memory-limit",
            hint="Load data inside tasks, not at module level.",
            output=output,
        )
    if status < 0:
        return request.error(
            f"loading the DAG file crashed with signal {-status}",
            rule="crash",
            hint="A native library failed while it was imported; import it inside the task.",
            output=output,
        )
    return request.error(
        f"the DAG file ended the process that loads it (exit status {status})",
        rule="exit",
        hint="Move os._exit() or similar into a task.",
        output=output,
    )


def too_slow(request: LoadRequest, output: str) -> CompileError:
    """Explain a file that did not finish in time."""
    return request.error(
        f"loading the DAG file took longer than {request.limits.seconds:g} s",
        rule="time-limit",
        hint="Look for an endless loop or a slow call at module level; move the work into a task.",
        output=output,
    )


def too_loud(request: LoadRequest, output: str) -> CompileError:
    """Explain a file that printed too much."""
    return request.error(
        f"the DAG file prints more than {request.limits.output_bytes >> 20} MiB while it is loaded",
        rule="output-limit",
        hint="Print inside tasks, not at module level.",
        output=output,
    )


def too_large(request: LoadRequest) -> CompileError:
    """Explain a file whose DAGs are too large to describe."""
    return request.error(
        f"the description of the DAGs is larger than {request.limits.result_bytes >> 20} MiB",
        rule="too-large",
        hint="Use fewer tasks, or .expand() over data.",
    )
