"""Runs the callbacks of a DAG, of a task whose process could not, and of a missed deadline.

Contexts and what happens to errors follow Airflow's DAG processor, executor and triggerer: each callback gets the
context, one that raises is reported and the next is called all the same.
"""

import asyncio
import importlib
import inspect
import traceback
from collections.abc import Callable, Iterable
from typing import Any

from leoflow.runtime.usercode.timetables import moment


def dag_success(dag: Any, request: "dict[str, Any]") -> Any:
    """Call the DAG's on_success_callback."""
    return _call_each(dag.on_success_callback, lambda: _dag_context(dag, request))


def dag_failure(dag: Any, request: "dict[str, Any]") -> Any:
    """Call the DAG's on_failure_callback."""
    return _call_each(dag.on_failure_callback, lambda: _dag_context(dag, request))


def task_failure(dag: Any, request: "dict[str, Any]") -> Any:
    """Call a task's on_failure_callback."""
    return _call_task(dag, request, "on_failure_callback")


def task_retry(dag: Any, request: "dict[str, Any]") -> Any:
    """Call a task's on_retry_callback."""
    return _call_task(dag, request, "on_retry_callback")


def deadline(dag: Any, request: "dict[str, Any]") -> Any:
    """Call the callback of a deadline alert, function or notifier class, sync or async."""
    alerts = _listed(dag.deadline)
    position = request["alert_idx"]
    if position >= len(alerts):
        raise LookupError(f"the DAG has no deadline alert number {position + 1} any more")
    wanted = alerts[position].callback
    context = {"dag_run": request["dag_run"], "deadline": dict(request["deadline"])}
    context["deadline"]["deadline_time"] = moment(request["deadline"]["deadline_time"])

    def run() -> None:
        target = _import(wanted.path)
        arguments = {**wanted.kwargs, **({"context": context} if _takes_context(target) else {})}
        result = target(**arguments)
        if callable(result):  # a notifier class: the call made the object
            result = result.async_notify(context) if _is_async(wanted, result) else result(context)
        if inspect.isawaitable(result):
            asyncio.run(_awaited(result))

    return _report([(wanted.path.rpartition(".")[2], run)])


def _is_async(wanted: Any, notifier: Any) -> bool:
    return type(wanted).__name__ == "AsyncCallback" and hasattr(notifier, "async_notify")


async def _awaited(result: Any) -> Any:
    return await result


def _import(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _takes_context(target: Any) -> bool:
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError):
        return True
    return "context" in parameters or any(each.kind is each.VAR_KEYWORD for each in parameters.values())


def _call_task(dag: Any, request: "dict[str, Any]", attribute: str) -> Any:
    task = dag.get_task(request["ti"]["task_id"])
    return _call_each(getattr(task, attribute), lambda: _task_context(dag, request))


def _call_each(callbacks: Any, context_of: "Callable[[], Any]") -> Any:
    found = _listed(callbacks)
    context = context_of() if found else None

    def calling(callback: Any) -> "Callable[[], Any]":
        return lambda: callback(context)

    return _report((_name(callback), calling(callback)) for callback in found)


def _report(calls: "Iterable[tuple[str, Callable[[], Any]]]") -> "dict[str, Any]":
    called, failures = [], []
    for name, run in calls:
        called.append(name)
        try:
            run()
        except (Exception, SystemExit) as error:
            _print(error)
            failures.append({"callback": name, "error": f"{type(error).__name__}: {error}"[:2000]})
    return {"called": called, "failures": failures}


def _print(error: BaseException) -> None:
    """Print the traceback without the frames of this module."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    traceback.print_exception(type(error), error, trace)


def _listed(value: Any) -> "list[Any]":
    if not value:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _name(callback: Any) -> str:
    return getattr(callback, "__name__", None) or type(callback).__name__


def _dag_context(dag: Any, request: "dict[str, Any]") -> Any:
    if request.get("ti") is None:
        return {"dag": dag, "run_id": request["run_id"], "reason": request["reason"]}
    context = _task_context(dag, request)
    context["reason"] = request["reason"]
    return context


def _task_context(dag: Any, request: "dict[str, Any]") -> Any:
    """Return the template context of a task instance, as its own process would have it."""
    from airflow.sdk.api.datamodels import _generated as models
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    ti = models.TaskInstance.model_validate(request["ti"])
    server = models.TIRunContext.model_validate(request["ti_context"])
    runtime: Any = RuntimeTaskInstance.model_construct(
        **ti.model_dump(exclude_unset=True),
        task=dag.get_task(ti.task_id),
        _ti_context_from_server=server,
        max_tries=server.max_tries,
        start_date=server.start_date,
        end_date=request.get("ti_end_date"),
        state=request.get("ti_state"),
    )
    return runtime.get_template_context()
