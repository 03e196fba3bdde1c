"""One request, one answer: import the DAG file, check its DAGs, describe them."""

import json
import os
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

from leoflow.runtime import hazards, processes
from leoflow.runtime.loading.dag_file import Lines, import_dag_file
from leoflow.runtime.loading.failures import Failure, explain
from leoflow.runtime.plugins import plugin_errors, use_plugins_of

MAX_TRACEBACK = 20_000


def load(request: dict[str, Any]) -> dict[str, Any]:
    """Load a DAG file.

    Args:
        request: `root` (the project directory), `file` (the DAG file, relative to it).

    Returns:
        `dags` (one description each, sorted by id), `warnings`, `hazards` (why the file cannot be forked once it is
        loaded), `python_version`, `seconds`; or `error`
        with `what`, `file`, `line`, `rule`, `hint`, `traceback`. Never raises for what user code does.
    """
    root, file = Path(request["root"]).resolve(), request["file"]
    started = time.monotonic()
    threads = processes.thread_count()
    answer: dict[str, Any] = {"python_version": "{}.{}".format(*sys.version_info[:2]), "hazards": []}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        try:
            answer["dags"] = _load(root, file)
            answer["plugin_errors"] = plugin_errors(root)
            answer["hazards"] = hazards.fork_hazards(threads)
        except BaseException as error:
            answer["error"] = failure_as_json(error, root, file)
    answer["warnings"] = _warnings(caught, root) + answer.pop("plugin_errors", []) + _cost_of(answer["hazards"], file)
    answer["seconds"] = round(time.monotonic() - started, 6)
    return answer


def _load(root: Path, file: str) -> list[dict[str, Any]]:
    from leoflow.runtime.loading.checks import check
    from leoflow.runtime.loading.describe_dag import describe_dag

    os.chdir(root)
    # As Airflow does with its dags folder: at the end, so that a helper cannot shadow an installed package.
    if str(root) not in sys.path:
        sys.path.append(str(root))
    sys.dont_write_bytecode = True
    use_plugins_of(root)
    lines = Lines(root, root / file)
    dags = import_dag_file(root, file, lines)
    described = []
    for dag in dags:
        check(dag, lines, file)
        try:
            spec = describe_dag(dag, root, file)
        except Failure as failure:
            if failure.file is None:
                failure.file, failure.line = lines.of_dag(dag) or (file, None)
            raise
        _require_json(spec, dag, lines, file)
        described.append({"spec": spec, **lines.of(dag)})
    return described


def _require_json(spec: dict[str, Any], dag: Any, lines: Lines, file: str) -> None:
    """Refuse what cannot leave this process, naming the attribute."""
    try:
        json.dumps(spec)
    except (TypeError, ValueError) as error:
        parts = [(task["task_id"], task) for task in spec["tasks"]] + [(None, spec)]
        task_id, name = next((task_id, name) for task_id, part in parts for name in part if not _is_json(part[name]))
        owner = f"task {task_id!r}" if task_id else f"DAG {dag.dag_id!r}"
        place = lines.of_task(dag, task_id) if task_id else lines.of_dag(dag)
        where, line = place or (file, None)
        hint = "Use plain values: text, numbers, lists, dicts."
        raise Failure(
            f"{owner}: {name} is not a JSON value ({error})", file=where, line=line, rule="not-json", hint=hint
        ) from error


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def failure_as_json(error: BaseException, root: Path, file: str) -> dict[str, Any]:
    """Return what went wrong, with its place, its remedy and a traceback without this machine's paths."""
    failure = error if isinstance(error, Failure) else explain(error, root, file)
    text = "" if isinstance(error, Failure) else "".join(traceback.format_exception(error))
    return {**failure.as_json(), "traceback": _tidy(text, root)}


def _tidy(text: str, root: Path) -> str:
    """Keep the traceback short and free of this machine's paths; drop the frames of the loader itself."""
    here = str(Path(__file__).parent)
    kept, skipping = [], False
    for line in text.splitlines(keepends=True):
        if line.startswith("  File "):
            skipping = here in line or "<frozen importlib" in line
        elif not line.startswith("    "):
            skipping = False
        if not skipping:
            kept.append(line.replace(f"{root}/", ""))
    return "".join(kept)[-MAX_TRACEBACK:]


def _cost_of(hazards_found: list[str], file: str) -> list[dict[str, Any]]:
    """Return the warning that attempts of a file start slowly, if they do."""
    if not hazards_found:
        return []
    what = (
        f"{' and '.join(hazards_found)}, which does not survive a fork: each attempt starts an interpreter of its own "
        "and imports the file again. Do it inside the tasks that need it, and they start in milliseconds"
    )
    return [{"file": file, "line": 1, "what": what}]


def _warnings(caught: list[warnings.WarningMessage], root: Path) -> list[dict[str, Any]]:
    """Return the warnings that point at the project's own files, each once."""
    found: dict[tuple[str, int, str], dict[str, Any]] = {}
    for warning in caught:
        path = Path(warning.filename)
        if path.is_relative_to(root):
            file = path.relative_to(root).as_posix()
            text = f"{warning.category.__name__}: {warning.message}"
            found[(file, warning.lineno, text)] = {"file": file, "line": warning.lineno, "what": text}
    return list(found.values())[:100]
