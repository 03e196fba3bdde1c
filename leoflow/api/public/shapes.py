"""What several resources share: strict request bodies, and the shapes that appear inside others.

Class names are the schema names of Airflow 3.2.2's OpenAPI description, so that ours has the same.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class StrictBody(BaseModel):
    """A request body that refuses unknown fields."""

    model_config = ConfigDict(extra="forbid")


def _empty_is_none(value: Any) -> Any:
    """The UI sends `team_name: ""` when it means none."""
    return None if value == "" else value


TeamName = Annotated[Annotated[str, Field(max_length=50)] | None, BeforeValidator(_empty_is_none)]
Note = Annotated[str | None, Field(max_length=1000)]


class DagRunState(StrEnum):
    """States of a DAG run."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"


class DagRunType(StrEnum):
    """What made a DAG run."""

    BACKFILL = "backfill"
    SCHEDULED = "scheduled"
    MANUAL = "manual"
    ASSET_TRIGGERED = "asset_triggered"
    ASSET_MATERIALIZATION = "asset_materialization"


class TaskInstanceState(StrEnum):
    """States of a task instance; null means no status yet."""

    REMOVED = "removed"
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    RESTARTING = "restarting"
    FAILED = "failed"
    UP_FOR_RETRY = "up_for_retry"
    UP_FOR_RESCHEDULE = "up_for_reschedule"
    UPSTREAM_FAILED = "upstream_failed"
    SKIPPED = "skipped"
    DEFERRED = "deferred"


class DagVersionResponse(BaseModel):
    """One registered version of a DAG."""

    id: UUID
    version_number: int
    dag_id: str
    bundle_name: str | None
    bundle_version: str | None
    created_at: datetime
    dag_display_name: str
    bundle_url: str | None


class DagTagResponse(BaseModel):
    """A tag of a DAG."""

    name: str
    dag_id: str
    dag_display_name: str


class TimeDelta(BaseModel):
    """A duration, as Airflow writes it inside tasks."""

    type_: str = Field("TimeDelta", alias="__type")
    days: int
    seconds: int
    microseconds: int

    @classmethod
    def of(cls, seconds: float | None) -> "TimeDelta | None":
        """Split a number of seconds."""
        if seconds is None:
            return None
        microseconds = round(seconds * 1_000_000)
        days, rest = divmod(microseconds, 86_400 * 1_000_000)
        whole, micro = divmod(rest, 1_000_000)
        return cls(days=days, seconds=whole, microseconds=micro)
