"""Bodies and answers of DAG runs."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field

from leoflow.api.public.batch_body import BatchBody
from leoflow.api.public.criteria import Moment
from leoflow.api.public.shapes import DagRunState, DagRunType, DagVersionResponse, Note, StrictBody

# Airflow's default `allowed_run_id_pattern`.
_RUN_ID = re.compile(r"[A-Za-z0-9_.~:+-]+")
MAX_RUN_ID = 250


class DAGRunResponse(BaseModel):
    """A DAG run."""

    dag_run_id: str
    dag_id: str
    logical_date: datetime | None
    queued_at: datetime | None
    start_date: datetime | None
    end_date: datetime | None
    duration: float | None
    data_interval_start: datetime | None
    data_interval_end: datetime | None
    run_after: datetime
    last_scheduling_decision: datetime | None
    run_type: DagRunType
    state: DagRunState
    triggered_by: str | None
    triggering_user_name: str | None
    conf: dict[str, Any] | None
    note: str | None
    dag_versions: list[DagVersionResponse]
    bundle_version: str | None
    dag_display_name: str
    partition_key: str | None


class DAGRunCollectionResponse(BaseModel):
    """DAG runs; `total_entries` without a cursor, the cursors with one."""

    dag_runs: list[DAGRunResponse]
    total_entries: int | None = None
    next_cursor: str | None = None
    previous_cursor: str | None = None


def _run_id(value: str | None) -> str | None:
    """An empty field of the trigger form means: make one up."""
    if not value:
        return None
    if not _RUN_ID.fullmatch(value):
        raise ValueError(f"The run_id provided '{value}' does not match regex pattern '^{_RUN_ID.pattern}$'")
    return value


class TriggerDAGRunPostBody(StrictBody):
    """A run to make. `logical_date` must be there, but may be null."""

    dag_run_id: Annotated[str | None, Field(max_length=MAX_RUN_ID), AfterValidator(_run_id)] = None
    data_interval_start: Moment | None = None
    data_interval_end: Moment | None = None
    logical_date: Moment | None
    run_after: Moment | None = None
    conf: dict[str, Any] | None = None
    note: Note = None
    partition_key: str | None = None


class DAGRunPatchBody(StrictBody):
    """Changes of a run."""

    state: Literal["queued", "success", "failed"] | None = None
    note: Note = None


class DAGRunClearBody(StrictBody):
    """How to clear a run."""

    dry_run: bool = True
    only_failed: bool = False
    only_new: bool = False
    run_on_latest_version: bool = False


class DAGRunsBatchBody(BatchBody):
    """Filters and paging of a batch listing."""

    states: list[DagRunState | None] | None = None
    conf_contains: str | None = None
