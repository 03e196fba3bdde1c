"""Thin typed calls of the SQL functions that are the state machine. Holds no rule of its own.

Every function takes an autocommit `AsyncConnection` first and is one statement, so one transaction; inside a caller's
own transaction it takes part in it. May import `leoflow.db`, `leoflow.spec` and `leoflow.errors`.
"""

from leoflow.engine.attempts import (
    append_log,
    claim,
    finish,
    lost_attempts,
    put_xcom,
    reduce_values,
    start,
    xcom_values,
)
from leoflow.engine.definitions import (
    clear_import_error,
    deactivate_dag,
    register_version,
    set_import_error,
)
from leoflow.engine.maintenance import next_due, promote_due, reap, refresh_watermark
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
    "claim",
    "clear_import_error",
    "create_run",
    "deactivate_dag",
    "finish",
    "heartbeat",
    "lost_attempts",
    "next_due",
    "promote_due",
    "put_xcom",
    "reap",
    "reduce_values",
    "refresh_watermark",
    "register_version",
    "register_worker",
    "retire_worker",
    "set_idle",
    "set_import_error",
    "set_paused",
    "start",
    "wake_workers",
    "xcom_values",
]
