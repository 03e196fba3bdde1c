"""Thin typed calls of the SQL functions that are the state machine. Holds no rule of its own.

Every function takes an autocommit `AsyncConnection` first and is one statement, so one transaction; inside a caller's
own transaction it takes part in it. May import `leoflow.db`, `leoflow.spec` and `leoflow.errors`.
"""

from leoflow.engine.attempts import (
    append_log,
    claim,
    describe,
    enter_running,
    finish,
    lost_attempts,
    put_xcom,
    reduce_values,
    release,
    skip_downstream,
    start,
    xcom_values,
)
from leoflow.engine.definitions import (
    clear_import_error,
    deactivate_dag,
    register_version,
    set_import_error,
)
from leoflow.engine.maintenance import (
    archive_runs,
    expire_runs,
    maintain_partitions,
    next_due,
    promote_due,
    reap,
    refresh_watermark,
    retain,
)
from leoflow.engine.operations import cancel_run, clear_tasks, delete_dag, delete_run, mark_tasks, set_run_state
from leoflow.engine.runs import create_run, set_paused
from leoflow.engine.types import (
    AttemptRef,
    ClaimedAttempt,
    CreatedRun,
    FinishResult,
    InstanceRef,
    LogChunk,
    Outcome,
    ReduceParam,
    RegisteredVersion,
    XComValue,
)
from leoflow.engine.workers import heartbeat, register_worker, retire_worker, set_idle, wake_workers

__all__ = [
    "AttemptRef",
    "ClaimedAttempt",
    "CreatedRun",
    "FinishResult",
    "InstanceRef",
    "LogChunk",
    "Outcome",
    "ReduceParam",
    "RegisteredVersion",
    "XComValue",
    "append_log",
    "archive_runs",
    "cancel_run",
    "claim",
    "clear_import_error",
    "clear_tasks",
    "create_run",
    "deactivate_dag",
    "delete_dag",
    "delete_run",
    "describe",
    "enter_running",
    "expire_runs",
    "finish",
    "heartbeat",
    "lost_attempts",
    "maintain_partitions",
    "mark_tasks",
    "next_due",
    "promote_due",
    "put_xcom",
    "reap",
    "reduce_values",
    "refresh_watermark",
    "register_version",
    "register_worker",
    "release",
    "retain",
    "retire_worker",
    "set_idle",
    "set_import_error",
    "set_paused",
    "set_run_state",
    "skip_downstream",
    "start",
    "wake_workers",
    "xcom_values",
]
