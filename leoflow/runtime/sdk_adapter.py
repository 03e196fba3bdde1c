"""Everything that depends on private names of Airflow's Task SDK 1.2 (Airflow 3.2), in one place.

The child of every attempt runs the SDK's own `task_runner.main()`. Before the first fork this module replaces
names it uses, so that a fork does not repeat work its parent has done: the message decoders and the type adapters
(built once), `parse` (the DAG is loaded already), and what depends on Airflow's configuration alone (the metrics'
factory, the host's name) or on the DAG alone (its Jinja environment). Each of these costs a fork little time by itself
but makes it copy up to two hundred of the pages it shares with its parent.
"""

import gc
import io
import os
import signal
import sys
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from leoflow.runtime import processes
from leoflow.runtime.loading.quicker import quicker_loading
from leoflow.runtime.log_limit import Budget, LogFile, Overflow
from leoflow.runtime.plugins import use_plugins_of
from leoflow.runtime.prepared import Prepared, TemplateEnvironments
from leoflow.runtime.reduce_inputs import ReduceInputs

LOG_DESCRIPTOR = 3
"""Where a child finds the pipe for its structured log lines. 0 is the supervisor's socket, as in Airflow."""

BUNDLE_NAME = "leoflow"

_WARM_UP = "leoflow_warm_up"
_PREPARED_DAGS = 16
_XCOM_BACKEND = "AIRFLOW__CORE__XCOM_BACKEND"

REDUCE_INPUTS = "LeoflowReduceInputs"
"""A message of our own beside the SDK's: asks for all return values a task's list parameters are made of."""

XCOM_WINDOW = "LeoflowXComWindow"
"""Another one: asks for many values of a mapped task at once, from an offset on."""


def sdk_environment(home: str) -> dict[str, str]:
    """Return the settings that keep Airflow's library from touching anything outside `home`."""
    return {
        "AIRFLOW_HOME": home,
        "AIRFLOW__CORE__DAGS_FOLDER": f"{home}/dags",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "sqlite://",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": f"{home}/logs",
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": "[]",
    }


class _CachedComms:
    """Stands in for `CommsDecoder` inside the task runner: same object, with its decoders built once."""

    def __init__(self) -> None:
        from airflow.sdk.execution_time import comms
        from msgspec.msgpack import Decoder
        from pydantic import TypeAdapter

        self._class: Any = _with_reduce_inputs(comms)
        self._frame: Any = Decoder(comms._ResponseFrame)
        self._body: Any = TypeAdapter(comms.ToTask)
        self._override: Any = None

    def __getitem__(self, _parameters: Any) -> Callable[..., Any]:
        return self._build

    def _build(self, *, log: Any, **options: Any) -> Any:
        if self._override is not None:
            return self._override
        return self._class(
            log=log, resp_decoder=self._frame, body_decoder=self._body, err_decoder=self._body, **options
        )

    def answer_with(self, fake: Any) -> None:
        """Use `fake` instead of a real channel until called with None."""
        self._override = fake


def _with_reduce_inputs(comms: Any) -> Any:
    """Return a `CommsDecoder` that fetches what a reduce task reads in few messages of our own.

    The SDK asks for the elements of a list, and of a mapped task's results, one by one; ten thousand round trips
    become one, or ten.
    """

    class Comms(comms.CommsDecoder):  # type: ignore[misc]
        reduce_of: Any = None
        """dag_id and run_id of an attempt that has list parameters made of task calls."""
        _inputs: Any = None
        _window: Any = None
        """What is being read one after the other: its address, the offset of the first value held, the values."""

        def send(self, msg: Any) -> Any:
            if type(msg) is comms.GetXComSequenceItem and msg.offset >= 0:
                found = self._from_window(msg)
                if found is not None:
                    return comms.XComSequenceIndexResult.model_construct(root=found[0])
            if self.reduce_of is not None and type(msg) is comms.GetXCom and self._is_input(msg):
                if self._inputs is None:
                    self._inputs = self._fetch_inputs()
                if msg.task_id in self._inputs:
                    value = self._inputs.value_of(msg.task_id)
                    return comms.XComResult.model_construct(key=msg.key, value=value)
            return super().send(msg)

        def _is_input(self, msg: Any) -> bool:
            return (
                msg.key == "return_value"
                and (msg.dag_id, msg.run_id) == self.reduce_of
                and msg.map_index in (None, -1)
                and not msg.include_prior_dates
            )

        def _fetch_inputs(self) -> Any:
            """Return all inputs; more than fit into one answer come in several."""
            inputs = ReduceInputs()
            request: dict[str, Any] = {"type": REDUCE_INPUTS}
            while True:
                answer = self._ask(request)
                inputs.add(answer)
                if answer.get("rest_after") is None:
                    return inputs
                request = {"type": REDUCE_INPUTS, "after": answer["rest_after"]}

        def _from_window(self, msg: Any) -> Any:
            """Return the value in a list of one, or None when the SDK is to ask for it itself."""
            address = {name: getattr(msg, name) for name in ("dag_id", "run_id", "task_id", "key")}
            known, first, values = self._window or (None, 0, [])
            if known != address or not first <= msg.offset < first + len(values):
                if known != address and msg.offset != 0:
                    return None
                first = msg.offset
                values = self._ask({"type": XCOM_WINDOW, "offset": first, **address}).get("root", [])
                self._window = (address, first, values)
            return values[msg.offset - first : msg.offset - first + 1] or None

        def _ask(self, body: Any) -> Any:
            frame = comms._RequestFrame(id=next(self.id_counter), body=body).as_bytes()
            with self._thread_lock:
                self.socket.sendall(frame)
                return self._read_frame().body or {}

    return Comms


class _CachedTypeAdapter:
    """Stands in for pydantic's `TypeAdapter` inside the task runner, which builds one per template field."""

    def __init__(self, factory: Any) -> None:
        self._factory = factory
        self._built: dict[Any, Any] = {}

    def __call__(self, wanted: Any) -> Any:
        try:
            adapter = self._built.get(wanted)
        except TypeError:
            return self._factory(wanted)
        if adapter is None:
            adapter = self._built[wanted] = self._factory(wanted)
        return adapter


class _MappedNodes:
    """Stands in for the search for mapped successors: of a loaded DAG it looks at the mapped tasks and groups only.

    The SDK's looks at every task, after each one, and so copies the pages of all of them in a forked attempt.
    """

    def __init__(self) -> None:
        from airflow.sdk.definitions._internal.abstractoperator import AbstractOperator
        from airflow.sdk.definitions.mappedoperator import MappedOperator
        from airflow.sdk.definitions.taskgroup import MappedTaskGroup, TaskGroup

        self._mapped, self._group = (MappedOperator, MappedTaskGroup), TaskGroup
        self._known: dict[int, list[Any]] = {}
        known, search = self._known, AbstractOperator._iter_all_mapped_downstreams

        def iter_all_mapped_downstreams(task: Any) -> Any:
            nodes = known.get(id(task.get_dag()))
            if nodes is None:
                return search(task)
            return (each for each in nodes if task.node_id in each.upstream_task_ids)

        AbstractOperator._iter_all_mapped_downstreams = iter_all_mapped_downstreams

    def prepare(self, dags: "Iterable[Any]") -> None:
        """Find the mapped tasks and groups of freshly loaded DAGs."""
        for dag in dags:
            self._known[id(dag)] = list(self._within(dag.task_group))

    def _within(self, group: Any) -> "Iterable[Any]":
        for child in group.children.values():
            if isinstance(child, self._mapped):
                yield child
            if isinstance(child, self._group):
                yield from self._within(child)


class Sdk:
    """The Task SDK, imported and warmed. One per zygote, inherited by its forks.

    Args:
        has_log: the structured log's pipe is at its place already.
    """

    def __init__(self, *, has_log: bool = False) -> None:
        self._log_io = _open_log_descriptor(is_there=has_log)
        # A class of the project cannot be imported before its files are there: see _use_xcom_backend.
        xcom_backend = os.environ.pop(_XCOM_BACKEND, None)
        import airflow.dag_processing.dagbag
        from airflow.sdk import DAG
        from airflow.sdk.execution_time import supervisor, task_runner

        self._runner: Any = task_runner
        self._supervisor: Any = supervisor
        self._dagbag: Any = airflow.dag_processing.dagbag
        supervisor.block_orm_access()
        self._configure_logging()
        self._comms = _CachedComms()
        task_runner.CommsDecoder = self._comms
        task_runner.TypeAdapter = _CachedTypeAdapter(task_runner.TypeAdapter)
        task_runner.parse = self._parse
        self._prepared = Prepared()
        task_runner.get_hostname = self._prepared.once(task_runner.get_hostname)
        stats_factory = self._prepared.once(task_runner.stats_utils.get_stats_factory)
        task_runner.stats_utils = SimpleNamespace(get_stats_factory=stats_factory)
        self._template_environments = TemplateEnvironments(DAG)
        self._mapped_nodes = _MappedNodes()
        if xcom_backend is not None:
            os.environ[_XCOM_BACKEND] = xcom_backend
        self._dags: dict[tuple[str, str], dict[str, Any]] = {}
        self._bundles: dict[str, Any] = {}

    def _configure_logging(self) -> None:
        import logging

        import structlog
        from airflow.sdk.log import configure_logging, reset_logging

        reset_logging()
        configure_logging(json_output=True, output=self._log_io, sending_to_supervisor=True)
        # Loggers that exist share the list, and the handler of the root logger is everybody's.
        structlog.get_config()["processors"].insert(0, self._log_io.admit_event)
        for handler in logging.getLogger().handlers:
            handler.addFilter(self._log_io.admit_record)

    # -- loading ------------------------------------------------------------------------------------------

    def load(self, bundle_path: str, relative_path: str) -> dict[str, Any]:
        """Import one DAG file of a project snapshot and keep its DAGs for the attempts forked from here.

        Raises:
            RuntimeError: the file cannot be imported; the text is Airflow's import error.
        """
        sys.dont_write_bytecode = True  # a snapshot of sources never changes
        use_plugins_of(Path(bundle_path))
        with quicker_loading():
            bag = self._bag(bundle_path, relative_path)
        if bag.import_errors and not bag.dags:
            raise RuntimeError("\n".join(str(text) for text in bag.import_errors.values()))
        dags: dict[str, Any] = dict(bag.dags)
        self._dags[bundle_path, relative_path] = dags
        self._template_environments.prepare(islice(dags.values(), _PREPARED_DAGS))
        self._mapped_nodes.prepare(dags.values())
        self._bundle(bundle_path)
        return dags

    def _bag(self, bundle_path: str, relative_path: str) -> Any:
        # Airflow's importer leaves a Python handler for SIGSEGV behind, which makes a crash an endless loop.
        handler = signal.getsignal(signal.SIGSEGV)
        try:
            return self._dagbag.BundleDagBag(
                dag_folder=str(Path(bundle_path, relative_path)),
                safe_mode=False,
                load_op_links=False,
                bundle_path=Path(bundle_path),
                bundle_name=BUNDLE_NAME,
            )
        finally:
            signal.signal(signal.SIGSEGV, handler)

    def _bundle(self, path: str) -> Any:
        bundle = self._bundles.get(path)
        if bundle is None:
            from airflow.dag_processing.bundles.local import LocalDagBundle

            bundle = self._bundles[path] = LocalDagBundle(name=BUNDLE_NAME, path=path)
        return bundle

    def _parse(self, what: Any, log: Any) -> Any:
        """Replace `task_runner.parse`: same result, from the DAG loaded before the fork."""
        bundle_path = os.environ.get("LEOFLOW_BUNDLE_PATH", "")
        if os.environ.pop("LEOFLOW_HAS_REDUCE", None):
            self._runner.SUPERVISOR_COMMS.reduce_of = (what.ti.dag_id, what.ti.run_id)
        key = (bundle_path, what.dag_rel_path)
        dags = self._dags.get(key)
        if dags is None:
            dags = self.load(*key)
        dag = dags.get(what.ti.dag_id)
        task = dag.task_dict.get(what.ti.task_id) if dag is not None else None
        if task is None:
            log.error(
                "The DAG file does not define this task any more",
                dag_id=what.ti.dag_id,
                task_id=what.ti.task_id,
                path=what.dag_rel_path,
            )
            sys.exit(1)
        _apply_overlay(task)
        if what.ti.dag_id != _WARM_UP:
            _use_xcom_backend(self._runner)
        return self._runner.RuntimeTaskInstance.model_construct(
            **what.ti.model_dump(exclude_unset=True),
            task=task,
            bundle_instance=self._bundle(bundle_path),
            _ti_context_from_server=what.ti_context,
            max_tries=what.ti_context.max_tries,
            start_date=what.start_date,
            state=self._runner.TaskInstanceState.RUNNING,
            sentry_integration=what.sentry_integration,
        )

    # -- running ------------------------------------------------------------------------------------------

    def run_attempt(self, environment: "Iterable[str]" = ()) -> None:
        """Run the attempt whose details arrive on descriptor 0. Returns or raises like the SDK's `main`.

        Args:
            environment: names of the variables that were set for this attempt alone.
        """
        if any(name.startswith("AIRFLOW__") for name in environment):
            self._prepared.forget()
        self._runner.main()

    def limit_log(self, budget: Budget, overflow: Overflow) -> None:
        """Let loggers write to the structured log as long as the budget lasts."""
        self._log_io.limit(budget, overflow)

    def forget_attempt(self) -> None:
        """Drop what an attempt left in the SDK, before another one runs in this process."""
        _forget_context()

    def connect_supervisor(self) -> None:
        """Let user code that is no attempt ask for connections, variables and XComs, over descriptor 0."""
        import structlog

        os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "client"
        self._runner.SUPERVISOR_COMMS = self._comms[None](log=structlog.get_logger(logger_name="task"))

    def warm_up(self) -> None:
        """Run a task that does nothing against a fake supervisor, filling every lazy import and cache."""
        from airflow.sdk import DAG, task

        with DAG(_WARM_UP, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)) as dag:

            @task  # type: ignore[untyped-decorator]
            def nothing(value: int) -> int:
                return value

            nothing(1)
        self._dags["", _WARM_UP] = {_WARM_UP: dag}
        self._run_nothing()

    def rehearse(self) -> None:
        """Run the task that does nothing again, in a fork, so that the pages it writes to are copied."""
        from airflow.sdk.listener import get_listener_manager

        if not get_listener_manager().has_listeners:  # they would be told of a task nobody has
            self._run_nothing()

    def _run_nothing(self) -> None:
        environment = os.environ.copy()
        self._comms.answer_with(_FakeSupervisor(self._startup_details(_WARM_UP)))
        os.environ["LEOFLOW_BUNDLE_PATH"] = ""
        try:
            self._runner.main()
        finally:
            self._comms.answer_with(None)
            processes.restore_environment(environment)
            _forget_context()

    def _startup_details(self, dag_id: str) -> Any:
        now = datetime.now(timezone.utc)
        nil = "00000000-0000-0000-0000-000000000000"
        return self._runner.StartupDetails.model_validate(
            {
                "ti": {
                    "id": nil,
                    "task_id": "nothing",
                    "dag_id": dag_id,
                    "run_id": "warm_up",
                    "try_number": 1,
                    "dag_version_id": nil,
                    "map_index": -1,
                },
                "dag_rel_path": _WARM_UP,
                "bundle_info": {"name": BUNDLE_NAME, "version": None},
                "start_date": now,
                "ti_context": {
                    "dag_run": {
                        "dag_id": dag_id,
                        "run_id": "warm_up",
                        "run_after": now,
                        "logical_date": now,
                        "data_interval_start": now,
                        "data_interval_end": now,
                        "run_type": "manual",
                        "state": "running",
                        "consumed_asset_events": [],
                    },
                    "max_tries": 0,
                },
                "sentry_integration": "",
            }
        )


def _apply_overlay(task: Any) -> None:
    """Give the task the time limit its project's leoflow.yaml may have set over the DAG file's."""
    seconds = os.environ.pop("LEOFLOW_EXECUTION_TIMEOUT", None)
    if seconds is None:
        return
    limit = timedelta(seconds=float(seconds))
    if hasattr(task, "partial_kwargs"):
        task.partial_kwargs["execution_timeout"] = limit
    else:
        task.execution_timeout = limit


def _use_xcom_backend(runner: Any) -> None:
    """Make the attempt's XCom class the one its environment names: the SDK chose one when it was imported."""
    from airflow.sdk.execution_time import xcom

    if os.environ.get(_XCOM_BACKEND):
        runner.XCom = xcom.XCom = xcom.resolve_xcom_backend()


class _FakeSupervisor:
    """Answers the warm-up task as a supervisor would: the start, then an empty reply to everything."""

    socket = None

    def __init__(self, startup: Any) -> None:
        self._startup = startup

    def _get_response(self) -> Any:
        return self._startup

    def send(self, msg: Any) -> None:
        """Swallow what the warm-up task reports."""


def _open_log_descriptor(*, is_there: bool) -> LogFile:
    """Return an unbuffered file on `LOG_DESCRIPTOR`, on /dev/null until a child puts its pipe there."""
    if not is_there:
        null = os.open(os.devnull, os.O_WRONLY)
        if null != LOG_DESCRIPTOR:
            os.dup2(null, LOG_DESCRIPTOR, inheritable=False)
            os.close(null)
    return LogFile(LOG_DESCRIPTOR)


def _forget_context() -> None:
    """Drop what the warm-up task left in logging context and signal handlers."""
    from structlog.contextvars import clear_contextvars

    clear_contextvars()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def reopen_standard_input() -> None:
    """Give `sys.stdin` a fresh buffer over descriptor 0, as Airflow's supervisor does."""
    sys.stdin = io.TextIOWrapper(os.fdopen(0, "wb", closefd=False), line_buffering=True)


def reopen_standard_streams() -> None:
    """Give Python's standard streams fresh buffers over descriptors 0 to 2."""
    reopen_standard_input()
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = io.TextIOWrapper(
            os.fdopen(descriptor, "wb", closefd=False),
            encoding="utf-8",
            errors="backslashreplace",
            line_buffering=True,
        )
        setattr(sys, name, stream)


def settle() -> None:
    """Move everything allocated so far out of the collector's sight, so forks do not copy its pages."""
    gc.collect()
    gc.freeze()
