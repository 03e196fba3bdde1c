"""What an attempt is told at its start, from the row that was claimed."""

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from leoflow.engine import ClaimedAttempt
from leoflow.execution.run_context import run_context
from leoflow.worker.frames import encode_frame
from leoflow.worker.launchers.base import LaunchOrder
from leoflow.worker.task_settings import TaskSettings

BUNDLE_NAME = "leoflow"


def launch_order(
    claimed: ClaimedAttempt,
    settings: TaskSettings,
    secrets: Mapping[str, str],
    asset_events: Sequence[dict[str, Any]] = (),
    log_limit_bytes: int | None = None,
) -> LaunchOrder:
    """Return what the launcher needs.

    `secrets` are the worker's AIRFLOW_CONN_X and the like the attempt may have, `asset_events` those that made the run,
    `log_limit_bytes` how much of its log the worker keeps.
    """
    env = {**secrets, **settings.env}
    if claimed.has_reduce:
        env["LEOFLOW_HAS_REDUCE"] = "1"
    if claimed.execution_timeout_seconds is not None:
        env["LEOFLOW_EXECUTION_TIMEOUT"] = str(claimed.execution_timeout_seconds)
    return LaunchOrder(
        greeting=encode_frame([0, startup_details(claimed, asset_events)]),
        attempt_id=str(claimed.attempt_id),
        environment_key=claimed.environment_key,
        bundle_path=Path(claimed.bundle_path or "/"),
        relative_fileloc=claimed.relative_fileloc or "dag.py",
        env=env,
        memory_bytes=settings.memory_bytes,
        cores=settings.cores,
        attempts_per_process=settings.attempts_per_process,
        log_limit_bytes=log_limit_bytes,
    )


def startup_details(claimed: ClaimedAttempt, asset_events: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """Return the SDK's `StartupDetails`."""
    return {
        "type": "StartupDetails",
        "ti": {
            "id": str(claimed.attempt_id),
            "task_id": claimed.task_id,
            "dag_id": claimed.dag_id,
            "run_id": claimed.run_id,
            "try_number": claimed.try_number,
            "dag_version_id": str(claimed.dag_version_id),
            "map_index": claimed.map_index,
        },
        "dag_rel_path": claimed.relative_fileloc or "dag.py",
        "bundle_info": {"name": BUNDLE_NAME, "version": None},
        "start_date": claimed.start_date or dt.datetime.now(dt.UTC),
        "sentry_integration": "",
        "ti_context": run_context(claimed, asset_events),
    }
