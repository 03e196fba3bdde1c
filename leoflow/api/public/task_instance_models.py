"""Bodies and answers of task instances."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field, model_validator

from leoflow.api.public.batch_body import BatchBody
from leoflow.api.public.criteria import Moment, Small
from leoflow.api.public.shapes import DagVersionResponse, Note, StrictBody, TaskInstanceState


class _Attempt(BaseModel):
    """What a task instance and each of its tries have in common."""

    task_id: str
    dag_id: str
    dag_run_id: str
    map_index: int
    start_date: datetime | None
    end_date: datetime | None
    duration: float | None
    state: TaskInstanceState | None
    try_number: int
    max_tries: int
    task_display_name: str
    dag_display_name: str
    hostname: str | None
    unixname: str | None
    pool: str
    pool_slots: int
    queue: str | None
    priority_weight: int | None
    operator: str | None
    operator_name: str | None
    queued_when: datetime | None
    scheduled_when: datetime | None
    pid: int | None
    executor: str | None
    executor_config: str
    dag_version: DagVersionResponse | None


class TaskInstanceResponse(_Attempt):
    """A task instance."""

    id: UUID
    logical_date: datetime | None
    run_after: datetime
    note: str | None
    rendered_map_index: str | None
    rendered_fields: dict[str, Any] = {}
    trigger: dict[str, Any] | None
    triggerer_job: dict[str, Any] | None


class TaskInstanceHistoryResponse(_Attempt):
    """One try of a task instance."""


class TaskInstanceCollectionResponse(BaseModel):
    """Task instances; `total_entries` without a cursor, the cursors with one."""

    task_instances: list[TaskInstanceResponse]
    total_entries: int | None = None
    next_cursor: str | None = None
    previous_cursor: str | None = None


class TaskInstanceHistoryCollectionResponse(BaseModel):
    """Tries of a task instance."""

    task_instances: list[TaskInstanceHistoryResponse]
    total_entries: int


class NewTaskResponse(BaseModel):
    """A task of the latest version that a run does not have yet."""

    task_id: str
    task_display_name: str


class ClearTaskInstanceCollectionResponse(BaseModel):
    """What clearing a run would touch."""

    task_instances: list[TaskInstanceResponse | NewTaskResponse]
    total_entries: int


class TaskDependencyResponse(BaseModel):
    """A reason why an instance does not run."""

    name: str
    reason: str


class TaskDependencyCollectionResponse(BaseModel):
    """Reasons why an instance does not run."""

    dependencies: list[TaskDependencyResponse]


class ExtraLinkCollectionResponse(BaseModel):
    """Links of a task instance by name."""

    extra_links: dict[str, str | None]
    total_entries: int


class PatchTaskInstanceBody(StrictBody):
    """Changes of task instances."""

    new_state: TaskInstanceState | None = None
    note: Note = None
    include_upstream: bool = False
    include_downstream: bool = False
    include_future: bool = False
    include_past: bool = False

    @model_validator(mode="after")
    def _only_final_states(self) -> "PatchTaskInstanceBody":
        if self.new_state is not None and self.new_state not in ("success", "failed", "skipped"):
            raise ValueError(f"'{self.new_state}' is not one of ['success', 'failed', 'skipped']")
        return self


class BulkTaskInstanceBody(PatchTaskInstanceBody):
    """Changes of one of several task instances."""

    task_id: str
    map_index: Small | None = None
    dag_id: str | None = None
    dag_run_id: str | None = None


TaskMarker = str | Annotated[tuple[str, Small], Field(description="task id and map index")]


class ClearTaskInstancesBody(StrictBody):
    """Which instances to run again."""

    dry_run: bool = True
    start_date: Moment | None = None
    end_date: Moment | None = None
    only_failed: bool = True
    only_running: bool = False
    reset_dag_runs: bool = True
    task_ids: Annotated[list[TaskMarker], Field(max_length=100_000)] | None = None
    dag_run_id: str | None = None
    include_upstream: bool = False
    include_downstream: bool = False
    include_future: bool = False
    include_past: bool = False
    run_on_latest_version: bool = False
    prevent_running_task: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> "ClearTaskInstancesBody":
        if self.only_failed and self.only_running:
            raise ValueError("only_failed and only_running both are set to True")
        if self.start_date and self.end_date and self.end_date < self.start_date:
            raise ValueError("end_date is sooner than start_date")
        if self.dag_run_id is not None and (self.start_date or self.end_date):
            raise ValueError("Exactly one of dag_run_id or (start_date and end_date) must be provided")
        return self


class TaskInstancesBatchBody(BatchBody):
    """Filters and paging of a batch listing."""

    dag_run_ids: list[str] | None = None
    task_ids: list[str] | None = None
    state: list[TaskInstanceState | None] | None = None
    pool: list[str] | None = None
    queue: list[str] | None = None
    executor: list[str] | None = None
