"""Bodies of the execution API's requests, strict as Airflow's."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue


class Strict(BaseModel):
    """Refuses unknown fields."""

    model_config = ConfigDict(extra="forbid")


class EnterRunning(Strict):
    """`PATCH …/run`."""

    state: Literal["running"] = "running"
    hostname: str
    unixname: str
    pid: int
    start_date: AwareDatetime


class Heartbeat(Strict):
    """`PUT …/heartbeat`."""

    hostname: str
    pid: int


class Succeeded(Strict):
    """The attempt succeeded."""

    state: Literal["success"]
    end_date: AwareDatetime
    task_outlets: list[dict[str, JsonValue]] = []
    outlet_events: list[dict[str, Any]] = []
    rendered_map_index: str | None = None


class Ended(Strict):
    """The attempt ended without success."""

    state: Literal["failed", "skipped", "removed", "upstream_failed"]
    end_date: AwareDatetime
    rendered_map_index: str | None = None


class Retry(Strict):
    """The attempt failed and is to be tried again."""

    state: Literal["up_for_retry"]
    end_date: AwareDatetime
    rendered_map_index: str | None = None


class Reschedule(Strict):
    """A sensor wants to look again later."""

    state: Literal["up_for_reschedule"]
    reschedule_date: AwareDatetime
    end_date: AwareDatetime


class Deferred(Strict):
    """The attempt waits for a trigger."""

    state: Literal["deferred"]
    classpath: str
    trigger_kwargs: dict[str, JsonValue] | str = {}
    trigger_timeout: str | float | None = None
    queue: str | None = None
    next_method: str
    next_kwargs: dict[str, JsonValue] = {}
    rendered_map_index: str | None = None


StateUpdate = Annotated[Succeeded | Ended | Retry | Reschedule | Deferred, Field(discriminator="state")]

MESSAGE_OF_STATE = {
    "success": "SucceedTask",
    "failed": "TaskState",
    "skipped": "TaskState",
    "removed": "TaskState",
    "upstream_failed": "TaskState",
    "up_for_retry": "RetryTask",
    "up_for_reschedule": "RescheduleTask",
    "deferred": "DeferTask",
}
"""The Task SDK's message that says the same over the local socket."""


class SkipDownstream(Strict):
    """`PATCH …/skip-downstream`."""

    tasks: list[str | tuple[str, int]]


class PutVariable(BaseModel):
    """`PUT variables/{key}`; Airflow calls the value `val`."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    value: str | None = Field(alias="val")
    description: str | None = None


class TriggerDagRun(Strict):
    """`POST dag-runs/{dag_id}/{run_id}`."""

    logical_date: AwareDatetime | None = None
    conf: dict[str, Any] = {}
    reset_dag_run: bool = False
    partition_key: str | None = None
    note: str | None = None


class HitlUser(BaseModel):
    """Somebody who may answer."""

    id: str
    name: str


class HitlRequest(BaseModel):
    """`POST hitlDetails/{id}`."""

    ti_id: UUID
    options: list[str] = Field(min_length=1)
    subject: str
    body: str | None = None
    defaults: list[str] | None = None
    multiple: bool = False
    params: dict[str, Any] | None = None
    assigned_users: list[HitlUser] | None = None


class HitlUpdate(BaseModel):
    """`PATCH hitlDetails/{id}`."""

    ti_id: UUID
    chosen_options: list[str] = Field(min_length=1)
    params_input: dict[str, Any] = {}
