"""Which function answers which request, and how errors leave the process."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from leoflow.runtime.loading.dag_file import Lines, import_dag_file
from leoflow.runtime.loading.failures import Failure
from leoflow.runtime.loading.loader import failure_as_json
from leoflow.runtime.plugins import use_plugins_of
from leoflow.runtime.usercode import callbacks, timetables

CALLS: "dict[str, Callable[[Any, dict[str, Any]], Any]]" = {
    "dag_success": callbacks.dag_success,
    "dag_failure": callbacks.dag_failure,
    "task_failure": callbacks.task_failure,
    "task_retry": callbacks.task_retry,
    "deadline": callbacks.deadline,
    "timetable": timetables.answer,
}


def call(request: "dict[str, Any]") -> "dict[str, Any]":
    """Import the DAG file and call what the request asks for.

    Args:
        request: `root`, `file`, `dag_id`, `call` (a key of `CALLS`), `cwd` (where the code runs), and what that call
            needs.

    Returns:
        `result`, or `error` with `what`, `file`, `line`, `rule`, `hint`, `traceback`; and `seconds`. Never raises.
    """
    root, file = Path(request["root"]).resolve(), request["file"]
    started = time.monotonic()
    answer: dict[str, Any] = {}
    try:
        dag = _load(root, file, request["dag_id"])
        if request.get("cwd"):
            os.chdir(request["cwd"])
        answer["result"] = CALLS[request["call"]](dag, request)
    except BaseException as error:
        answer["error"] = failure_as_json(error, root, file)
    answer["seconds"] = round(time.monotonic() - started, 6)
    return answer


def _load(root: Path, file: str, dag_id: str) -> Any:
    os.chdir(root)
    if str(root) not in sys.path:
        sys.path.append(str(root))
    sys.dont_write_bytecode = True
    use_plugins_of(root)
    dags = {dag.dag_id: dag for dag in import_dag_file(root, file, Lines(root, root / file))}
    if dag_id not in dags:
        raise Failure(
            f"the file does not define DAG {dag_id!r} any more",
            file=file,
            rule="dag-missing",
            hint="Does its dag_id depend on the time or on the machine?",
        )
    return dags[dag_id]
