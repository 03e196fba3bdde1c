"""What the engine takes and gives: frozen dataclasses named like the SQL types."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """Result of `register_version`. `is_new` is False when the content was known already."""

    dag_key: int
    version_key: int
    version_number: int
    is_new: bool


@dataclass(frozen=True, slots=True)
class CreatedRun:
    """Result of `create_run`."""

    run_key: int
    run_id: str


@dataclass(frozen=True, slots=True)
class InstanceRef:
    """The key of a task instance."""

    run_key: int
    task_idx: int
    map_index: int = -1


@dataclass(frozen=True, slots=True)
class AttemptRef:
    """Names one attempt: the key of its instance and the id that fences it."""

    run_key: int
    task_idx: int
    map_index: int
    attempt_id: UUID


@dataclass(frozen=True, slots=True)
class ClaimedAttempt:
    """Everything needed to start an attempt; the fields of `leoflow_core.claimed_attempt`."""

    attempt_id: UUID
    run_key: int
    task_idx: int
    map_index: int
    version_key: int
    dag_id: str
    run_id: str
    task_id: str
    try_number: int
    max_tries: int
    should_retry: bool
    queue: str
    pool: str
    pool_slots: int
    priority: int
    kind: str
    execution_timeout_seconds: float | None
    dag_version_id: UUID
    version_number: int
    bundle_path: str | None
    environment_key: str | None
    relative_fileloc: str | None
    image: str | None
    state: str
    queued_at: datetime | None
    start_date: datetime | None
    first_start_date: datetime | None
    reschedule_count: int
    next_method: str | None
    next_kwargs: Any
    logical_date: datetime | None
    data_interval_start: datetime | None
    data_interval_end: datetime | None
    run_after: datetime
    run_start_date: datetime | None
    run_end_date: datetime | None
    run_state: str
    run_type: str
    clear_number: int
    conf: dict[str, Any]
    triggering_user_name: str | None
    partition_key: str | None
    run_note: str | None
    has_reduce: bool

    @property
    def ref(self) -> AttemptRef:
        """What names this attempt in later calls."""
        return AttemptRef(self.run_key, self.task_idx, self.map_index, self.attempt_id)


@dataclass(frozen=True, slots=True)
class XComValue:
    """An XCom to store with an outcome: the value is encoded JSON."""

    key: str
    value: bytes
    mapped_length: int | None = None


@dataclass(frozen=True, slots=True)
class Outlets:
    """What a successful attempt says of its outlets, in the words of the Task SDK's `SucceedTask`.

    Attributes:
        profiles: `{"type", "name", "uri"}` of each outlet.
        events: what the task recorded about them: extra, and the assets its aliases stand for.
    """

    profiles: list[dict[str, Any]]
    events: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended.

    Attributes:
        attempt: which one.
        state: success, failed, skipped, removed, up_for_retry, up_for_reschedule or deferred.
        retryable: for failed: whether the user's retries may be spent.
        due_at: for up_for_reschedule: when to run again.
        xcoms: values to store in the same transaction.
        outlets: of an attempt that changed assets; then call `create_asset_runs` after the commit.
        is_silent: its process ended without a report, so that its callbacks must be asked for.
    """

    attempt: AttemptRef
    state: str
    retryable: bool = True
    due_at: datetime | None = None
    xcoms: tuple[XComValue, ...] = ()
    outlets: Outlets | None = None
    is_silent: bool = False


@dataclass(frozen=True, slots=True)
class FinishResult:
    """Result of `finish`.

    Attributes:
        handed: successors this worker must run now.
        stale: attempts that had lost their place; nothing of them was written.
        ready: something became claimable: call `wake_workers` after the commit.
    """

    handed: list[ClaimedAttempt]
    stale: list[UUID]
    ready: bool


@dataclass(frozen=True, slots=True)
class AssetRuns:
    """Result of `create_asset_runs`: how many runs were created, how many DAGs wait for `max_active_runs`."""

    created: int
    blocked: int


@dataclass(frozen=True, slots=True)
class LogChunk:
    """Lines of one attempt, each a JSON object, ended by newlines; `is_last` when no more come."""

    run_key: int
    task_idx: int
    map_index: int
    try_number: int
    lines: str
    line_count: int
    attempt_id: UUID | None = None
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class Rendered:
    """What is to be written about one running attempt: template fields, label, process id. None keeps what is there."""

    attempt: AttemptRef
    fields: dict[str, Any] | None = None
    label: str | None = None
    pid: int | None = None
