"""What it means when an attempt's process ended without saying how the task went, in plain words."""

import datetime as dt
import signal

from leoflow.execution.context import AttemptContext
from leoflow.execution.outcomes import Outcome
from leoflow.worker.launchers.base import Ended

Words = list[tuple[str, str]]
"""Log lines: level and text."""

_SIGNALS = {
    signal.SIGKILL: "Most often the kernel does this when memory runs out; it can also be an administrator's kill -9.",
    signal.SIGSEGV: "A native library accessed memory it must not (segmentation fault).",
    signal.SIGABRT: "A native library gave up (abort).",
    signal.SIGBUS: "A native library accessed memory that is not there, or a disk is full.",
    signal.SIGFPE: "A native library divided by zero or the like.",
    signal.SIGILL: "A native library needs a processor feature this machine does not have.",
    signal.SIGTERM: "Something asked the process to end.",
    signal.SIGXCPU: "The processor time limit was reached.",
}

SUPERSEDED = (
    "While this attempt ran, its task instance was cleared, marked, or given to another attempt: "
    "how this one ended is not recorded."
)


def left_behind(count: int) -> str:
    """Return the log line for processes that an attempt started and did not end."""
    were = "process was" if count == 1 else "processes were"
    return f"{count} {were} still running that the task had started; what a task starts ends with it."


def explain(ended: Ended, attempt: AttemptContext, *, stopped: bool) -> tuple[Outcome, Words]:
    """Return the outcome of an attempt that reported none, and the log lines that tell a user what happened.

    Args:
        ended: how its process ended.
        attempt: its context; values it pushed before are kept.
        stopped: True when the worker ended it and has already said why.
    """
    held = list(attempt.held.values())
    now = dt.datetime.now(dt.UTC)
    if stopped:
        return Outcome("failed", end_date=now, xcoms=held, is_silent=True), []
    if ended.status == 0:
        # Airflow takes exit code 0 for success, whatever the task did not get to.
        text = "The process ended with exit code 0 before the task was done (os._exit?); no return value was recorded."
        return Outcome("success", end_date=now, xcoms=held), [("warning", text)]
    return Outcome("failed", end_date=now, xcoms=held, is_silent=True), [("error", _describe(ended))]


def _describe(ended: Ended) -> str:
    if ended.status in (125, 126):
        return (
            f"The task's process could not go on (exit code {ended.status}); "
            "this happens when the task closes the descriptors it was given, or its connection to the worker."
        )
    if ended.status > 0:
        return f"The task's process ended with exit code {ended.status} before it reported how the task went."
    number = -ended.status
    try:
        sig = signal.Signals(number)
    except ValueError:
        return f"The task's process was killed by signal {number}."
    memory = ""
    if sig == signal.SIGKILL and ended.max_rss_kb:
        memory = f" It had used up to {ended.max_rss_kb / 1024:,.0f} MB of memory."
    return f"The task's process was killed by signal {number} ({sig.name}). {_SIGNALS.get(sig, '')}{memory}".strip()
