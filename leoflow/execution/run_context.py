"""What an attempt is told of its run when it starts: the SDK's `TIRunContext`."""

from collections.abc import Sequence
from typing import Any

from leoflow.engine import ClaimedAttempt


def run_context(claimed: ClaimedAttempt, asset_events: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """Return the context of an attempt; `asset_events` are those that made its run."""
    return {
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
            "consumed_asset_events": list(asset_events),
            "partition_key": claimed.partition_key,
            "note": claimed.run_note,
        },
        "task_reschedule_count": claimed.reschedule_count,
        "max_tries": claimed.max_tries,
        "should_retry": claimed.should_retry,
        "next_method": claimed.next_method,
        "next_kwargs": claimed.next_kwargs,
        "start_date": claimed.first_start_date,
    }
