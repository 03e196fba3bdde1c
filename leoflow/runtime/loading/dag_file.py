"""Imports a DAG file as Airflow does and remembers in which line each DAG and task was made."""

import contextlib
import hashlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from leoflow.runtime.loading.failures import Failure
from leoflow.runtime.loading.quicker import quicker_loading


class Lines:
    """Where the objects of a DAG file were made: the innermost line of the file itself, else of a helper."""

    def __init__(self, root: Path, dag_file: Path) -> None:
        self.root = root
        self._root = f"{root}/"
        self._file = str(dag_file)
        self._dags: dict[int, tuple[str, int]] = {}
        self._tasks: dict[tuple[int, str], tuple[str, int]] = {}

    def here(self) -> "tuple[str, int] | None":
        """Return the (relative) file and line of project code that is running now."""
        frame: Any = sys._getframe(1)
        fallback = None
        while frame is not None:
            name = frame.f_code.co_filename
            if name == self._file:
                return name[len(self._root) :], frame.f_lineno
            if fallback is None and name.startswith(self._root):
                fallback = name[len(self._root) :], frame.f_lineno
            frame = frame.f_back
        return fallback

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Note the line of every DAG and task made meanwhile."""
        from airflow.sdk import DAG

        make, add = DAG.__attrs_post_init__, DAG.add_task

        def post_init(dag: Any) -> None:
            if place := self.here():
                self._dags[id(dag)] = place
            make(dag)

        def add_task(dag: Any, task: Any) -> None:
            if place := self.here():
                self._tasks[(id(dag), task.task_id)] = place
            add(dag, task)

        DAG.__attrs_post_init__, DAG.add_task = post_init, add_task
        try:
            yield
        finally:
            DAG.__attrs_post_init__, DAG.add_task = make, add

    def of_dag(self, dag: Any) -> "tuple[str, int] | None":
        """Return where the DAG was made."""
        return self._dags.get(id(dag))

    def of_task(self, dag: Any, task_id: str) -> "tuple[str, int] | None":
        """Return where the task was made, or at least its DAG."""
        return self._tasks.get((id(dag), task_id)) or self.of_dag(dag)

    def of(self, dag: Any) -> dict[str, Any]:
        """Return the lines for errors found later, outside this process."""
        tasks = {task_id: self.of_task(dag, task_id) for task_id in dag.task_dict}
        return {
            "place": self.of_dag(dag),
            "task_places": tasks,
            "explicit": {task_id: _explicit(task) for task_id, task in dag.task_dict.items()},
        }


def _explicit(task: Any) -> list[str]:
    """Name the overlayable attributes dag.py sets itself, directly or through `default_args`."""
    given = getattr(task, "partial_kwargs", None) or getattr(task, "_BaseOperator__init_kwargs", {})
    inherited = {**task.dag.default_args, **(getattr(task.task_group, "default_args", None) or {})}
    names = ("retries", "retry_delay", "execution_timeout", "owner")
    return [name for name in names if name in given or name in inherited]


def import_dag_file(root: Path, file: str, lines: Lines) -> list[Any]:
    """Run the file and return the DAGs it defines: module-level ones and those of `with` blocks, sorted by id."""
    from airflow.sdk.definitions._internal.contextmanager import DagContext

    path = root / file
    if not path.is_file():
        raise Failure("the DAG file is gone", file=file, rule="file-missing", hint="Was it deleted meanwhile?")
    name = f"unusual_prefix_{hashlib.sha1(file.encode()).hexdigest()}_{path.stem}"
    loader = importlib.machinery.SourceFileLoader(name, str(path))
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    DagContext.autoregistered_dags.clear()
    DagContext.current_autoregister_module_name = name
    try:
        with lines.recording(), quicker_loading():
            loader.exec_module(module)
    finally:
        DagContext.current_autoregister_module_name = None
    return _dags_of(module, file, lines)


def _dags_of(module: Any, file: str, lines: Lines) -> list[Any]:
    from airflow.sdk import DAG
    from airflow.sdk.definitions._internal.contextmanager import DagContext

    found = {id(value): value for value in vars(module).values() if isinstance(value, DAG)}
    found.update((id(dag), dag) for dag, _ in DagContext.autoregistered_dags)
    by_id: dict[str, Any] = {}
    for dag in found.values():
        if dag.dag_id in by_id:
            place = lines.of_dag(dag) or (file, None)
            raise Failure(
                f"dag_id {dag.dag_id!r} is defined twice in this file",
                file=place[0],
                line=place[1],
                rule="duplicate-dag-id",
                hint="Give each DAG its own dag_id.",
            )
        by_id[dag.dag_id] = dag
    return [by_id[dag_id] for dag_id in sorted(by_id)]
