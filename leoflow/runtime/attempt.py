"""One attempt, from the fork to its exit: everything a child does around the SDK's task runner."""

import atexit
import contextlib
import io
import os
import resource
import signal
import sys
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from leoflow.runtime import hazards, printing, processes, sdk_adapter

_BOOTSTRAP = Path(__file__).with_name("bootstrap.py")


@dataclass(frozen=True)
class Descriptors:
    """The attempt's four channels, as received from the worker."""

    supervisor: int
    logs: int
    stdout: int
    stderr: int


def run(sdk: sdk_adapter.Sdk, order: dict[str, Any], channels: Descriptors, parent: int) -> NoReturn:
    """Become the attempt described by `order`; never returns. Called in a fresh fork of a zygote.

    Args:
        sdk: the warmed Task SDK of the zygote.
        order: `env` (added to the zygote's), `cwd`, `memory_bytes`, `cores` and `log_limit_bytes` (or null).
        channels: descriptors received with the order.
        parent: process id of the zygote.
    """
    code = 125
    try:
        detach(parent)
        code = run_here(sdk, order, channels)
    finally:
        os._exit(code)


def spawn(order: dict[str, Any], channels: Descriptors, parent: int) -> NoReturn:
    """Become the attempt described by `order` in an interpreter of its own; never returns. Called in a fresh fork.

    Nothing of the zygote's memory is left: for DAG files that cannot be forked.
    """
    code = 125
    try:
        detach(parent)
        _place(channels)
        os.set_inheritable(sdk_adapter.LOG_DESCRIPTOR, True)
        os.chdir(order["cwd"])
        processes.keep_to_cores(order.get("cores"))
        limits = [str(order.get(name) or 0) for name in ("memory_bytes", "log_limit_bytes")]
        arguments = [sys.executable, str(_BOOTSTRAP), "spawned", *limits]
        # The zygote's SDK has put something unusable in the place of its database's address.
        inherited = {**os.environ, **sdk_adapter.sdk_environment(os.environ["AIRFLOW_HOME"])}
        os.execve(sys.executable, arguments, {**inherited, **order["env"]})
    except BaseException:
        _complain()
        code = 126
    finally:
        os._exit(code)


def run_spawned(memory_bytes: int, log_limit_bytes: int) -> NoReturn:
    """Run the attempt whose process `spawn` has prepared, in the new interpreter; never returns. 0 is no limit."""
    code = 125
    try:
        os.set_inheritable(sdk_adapter.LOG_DESCRIPTOR, False)
        sdk_adapter.reopen_standard_input()
        with contextlib.redirect_stdout(io.StringIO()):  # libraries that say so when they are imported
            sdk = sdk_adapter.Sdk(has_log=True)
        sdk.limit_log(*printing.log_what_is_printed(sdk_adapter.LOG_DESCRIPTOR, log_limit_bytes or None))
        if memory_bytes:
            _limit_memory(memory_bytes)
        code = _run_task(sdk, ())
    except BaseException:
        _complain()
        code = 126
    finally:
        os._exit(code)


def run_here(sdk: sdk_adapter.Sdk, order: dict[str, Any], channels: Descriptors) -> int:
    """Run an attempt in this process, which `detach` has prepared, and return its exit code. Raises nothing."""
    try:
        _place(channels)
        sdk.limit_log(*printing.log_what_is_printed(sdk_adapter.LOG_DESCRIPTOR, order.get("log_limit_bytes")))
        _enter(order)
        return _run_task(sdk, order["env"])
    except BaseException:  # nothing may escape into the zygote's code
        _complain()
        return 126


def detach(parent: int) -> None:
    """Leave the zygote behind: a session of its own, its signals, the promise to die with it."""
    processes.die_with_parent(parent)
    processes.adopt_orphans()
    os.setsid()
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP, signal.SIGUSR2):
        signal.signal(sig, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    sys.excepthook = sys.__excepthook__


def mute() -> None:
    """Put /dev/null in the place of the four channels: nobody is there."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.dup2(null, sdk_adapter.LOG_DESCRIPTOR, inheritable=False)
    if null > sdk_adapter.LOG_DESCRIPTOR:
        os.close(null)


def _enter(order: dict[str, Any]) -> None:
    """Take the attempt's variables, directory and limit."""
    os.environ.update(order["env"])
    if "TZ" in order["env"]:
        processes.reread_time_zone()
    os.chdir(order["cwd"])
    tempfile: Any = sys.modules.get("tempfile")
    if tempfile is not None:
        tempfile.tempdir = None  # it may remember where temporary files went before TMPDIR was set
    processes.keep_to_cores(order.get("cores"))
    memory = order.get("memory_bytes")
    if memory:
        _limit_memory(memory)
    hazards.renew_random_generators()


def _limit_memory(own: int) -> None:
    """Let the task allocate `own` bytes beyond what the loaded DAG file takes, which its zygote shares with it."""
    limit = own + processes.data_bytes()
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _place(channels: Descriptors) -> None:
    """Put each channel where the SDK and user code expect it, and keep no other copy."""
    placed = (channels.supervisor, channels.stdout, channels.stderr, channels.logs)
    # Received descriptors are above 3: a zygote keeps 0 to 3 occupied.
    for target, source in enumerate(placed):
        os.dup2(source, target, inheritable=target != sdk_adapter.LOG_DESCRIPTOR)
        os.close(source)
    sdk_adapter.reopen_standard_input()


def _run_task(sdk: sdk_adapter.Sdk, environment: "Iterable[str]") -> int:
    atexit._clear()  # handlers of the zygote are not this child's
    try:
        sdk.run_attempt(environment)
        code = 0
    except SystemExit as stop:
        code = _exit_code(stop.code)
    except BaseException:
        _complain()
        code = 126
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BaseException):
            stream.flush()
            stream.buffer.raw.finish()  # type: ignore[union-attr]
    return code


def _exit_code(code: Any) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    with contextlib.suppress(BaseException):
        sys.stderr.write(f"{code}\n")
    return 1


def _complain() -> None:
    with contextlib.suppress(BaseException):
        traceback.print_exc()
        sys.stderr.flush()
