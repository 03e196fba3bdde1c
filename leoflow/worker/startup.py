"""What an attempt is told at its start, from the row that was claimed."""

import datetime as dt
from pathlib import Path
from typing import Any

from leoflow.engine import ClaimedAttempt
from leoflow.worker.launchers.base import LaunchOrder
from leoflow.worker.task_settings import TaskSettings

BUNDLE_NAME = "leoflow"


def launch_order(claimed: ClaimedAttempt, settings: TaskSettings) -> LaunchOrder:
    """Return what the launcher needs."""
    env = dict(settings.env)
    if claimed.has_reduce:
        env["LEOFLOW_HAS_REDUCE"] = "1"
    if claimed.execution_timeout_seconds is not None:
        env["LEOFLOW_EXECUTION_TIMEOUT"] = str(claimed.execution_timeout_seconds)
    return LaunchOrder(
        attempt_id=str(claimed.attempt_id),
        environment_key=claimed.environment_key,
        bundle_path=Path(claimed.bundle_path or "/"),
        relative_fileloc=claimed.relative_fileloc or "dag.py",
        env=env,
        memory_bytes=settings.memory_bytes,
    )


def startup_details(claimed: ClaimedAttempt) -> dict[str, Any]:
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
        "ti_context": {
            "dag_run": {
                "dag_id": claimed.dag_id,
                "run_id": claimed.run_id,
                "logical_date": claimed.logical_date,
                "data_interval_start": claimed.data_interval_start,
                "data_interval_end": claimed.data_interval_end,
                "run_after": claimed.run_after,
                "start_date": claimed.run_start_date,
                "end_date": claimed.run_end_date,
                "clear_number": claimed.clear_number,
                "run_type": claimed.run_type,
                "state": claimed.run_state,
                "conf": claimed.conf or {},
                "triggering_user_name": claimed.triggering_user_name,
                "consumed_asset_events": [],
                "partition_key": claimed.partition_key,
                "note": claimed.run_note,
            },
            "task_reschedule_count": claimed.reschedule_count,
            "max_tries": claimed.max_tries,
            "should_retry": claimed.should_retry,
            "next_method": claimed.next_method,
            "next_kwargs": claimed.next_kwargs,
            "start_date": claimed.first_start_date,
        },
    }
