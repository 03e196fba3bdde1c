"""Turns what went wrong in user code into one line a person can act on: file, line, rule, remedy."""

import sys
import traceback
from pathlib import Path
from typing import Any

_MOVED = {
    "airflow.operators.bash": "airflow.providers.standard.operators.bash",
    "airflow.operators.bash_operator": "airflow.providers.standard.operators.bash",
    "airflow.operators.branch": "airflow.providers.standard.operators.branch",
    "airflow.operators.dummy": "airflow.providers.standard.operators.empty (EmptyOperator)",
    "airflow.operators.dummy_operator": "airflow.providers.standard.operators.empty (EmptyOperator)",
    "airflow.operators.python_operator": "airflow.providers.standard.operators.python",
    "airflow.operators.subdag": "airflow.sdk (task_group)",
    "airflow.sensors.external_task_sensor": "airflow.providers.standard.sensors.external_task",
    "airflow.contrib": "the provider package of that service",
}


class Failure(Exception):  # noqa: N818 - a verdict about user code, raised to stop loading
    """A broken rule, with its place and remedy."""

    def __init__(
        self, what: str, *, file: "str | None" = None, line: "int | None" = None, rule: str, hint: str = ""
    ) -> None:
        super().__init__(what)
        self.what, self.file, self.line, self.rule, self.hint = what, file, line, rule, hint

    def as_json(self) -> dict[str, Any]:
        """Return the failure as plain values."""
        return {"what": self.what, "file": self.file, "line": self.line, "rule": self.rule, "hint": self.hint}


def explain(error: BaseException, root: Path, file: str) -> Failure:
    """Describe an exception that left the DAG file."""
    if isinstance(error, SyntaxError):
        return _syntax(error, root, file)
    where, line = place_of(error, root, file)
    what, rule, hint = _meaning(error)
    return Failure(_one_line(what), file=where, line=line, rule=rule, hint=hint)


def place_of(error: BaseException, root: Path, file: str) -> "tuple[str, int | None]":
    """Return the innermost line of the project's own code on the way to the error."""
    prefix = f"{root}/"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename.startswith(prefix):
            return frame.filename[len(prefix) :], frame.lineno
    return file, None


def _syntax(error: SyntaxError, root: Path, file: str) -> Failure:
    where = file
    if error.filename:
        path = Path(error.filename)
        where = path.relative_to(root).as_posix() if path.is_relative_to(root) else error.filename
    hint = f"Near: {error.text.strip()[:200]}" if error.text else "Check the file with `python -m py_compile`."
    return Failure(f"syntax error: {error.msg}", file=where, line=error.lineno, rule="syntax", hint=hint)


def _meaning(error: BaseException) -> "tuple[str, str, str]":
    name = type(error).__name__
    if isinstance(error, ModuleNotFoundError) and error.name:
        return _missing_module(error.name)
    if isinstance(error, ImportError):
        return f"import failed: {error}", "import", "The installed version of the package may lack this name."
    if isinstance(error, SystemExit):
        text = f"the DAG file calls sys.exit({error.code!r}) while it is loaded"
        return text, "exit", "Move it into a task, or under `if __name__ == '__main__':`."
    if isinstance(error, MemoryError):
        return "the DAG file needs too much memory", "memory-limit", "Load data inside tasks, not at module level."
    if isinstance(error, RecursionError):
        return "the DAG file recurses without end", "recursion", "Look at the repeating lines of the traceback."
    if isinstance(error, KeyboardInterrupt):
        return "the DAG file raised KeyboardInterrupt", "exception", "Do not interrupt the process that loads it."
    for words, refused in _REFUSED_MAPS.items():
        if words in str(error):
            return refused
    rule, hint = _RULES.get(
        name, ("exception", "Loading the DAG file runs this line; correct it, or move it into a task.")
    )
    return f"{name}: {error}" if str(error) else name, rule, hint


_RULES = {
    "AirflowDagCycleException": ("cycle", "Remove one of the dependencies in the circle."),
    "DuplicateTaskIdFound": ("duplicate-task-id", "Give each task its own task_id."),
    "ParamValidationError": ("params", "Params must be JSON values that satisfy their schema."),
    "AirflowTimetableInvalid": ("schedule", "Use five cron fields, a preset such as @daily, or a timetable."),
    "AirflowNotFoundException": (
        "secret-at-parse-time",
        "Connections are not available while the file is loaded; read them inside a task.",
    ),
    "AirflowRuntimeError": (
        "secret-at-parse-time",
        "Variables are not available while the file is loaded; read them inside a task or as {{ var.value.x }}.",
    ),
}

# What the Task SDK refuses in a mapped group, by words of its message.
_REFUSED_MAPS = {
    "operator expansion in an expanded task group": (
        "a task is mapped inside a mapped task group, which Airflow does not support",
        "nested-map",
        "Put the task into a mapped @task_group of its own inside the group, over values from outside of it, "
        "or map once over all combinations.",
    ),
    "Nested Mapped TaskGroups": (
        "a task group is mapped over an argument of the mapped group around it, which Airflow does not support",
        "nested-map",
        "Map the inner group over a list or over the result of a task outside of the outer group, "
        "or map one group over all combinations.",
    ),
}


def _missing_module(name: str) -> "tuple[str, str, str]":
    what = f"package {name.partition('.')[0]!r} is not installed"
    for old, new in _MOVED.items():
        if name == old or name.startswith(f"{old}."):
            return f"module {name!r} does not exist in Airflow 3", "moved-module", f"Import from {new}."
    if name.startswith("airflow.providers."):
        provider = name.split(".")[2]
        hint = f"Add `connectors: [{provider}]` to leoflow.yaml."
        return f"module {name!r} is not installed", "missing-package", hint
    top = name.partition(".")[0]
    if top in sys.modules or top in sys.stdlib_module_names:
        return f"module {name!r} does not exist", "missing-module", f"{top!r} is there; check the rest of the name."
    return what, "missing-package", "Add it to `dependencies` in leoflow.yaml, or put the module into the project."


def _one_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines[:3])[:500]
