"""The models of dag.json: everything the engine must know about a DAG, and nothing else.

Every field is written out, defaults included, so that equal DAGs have equal bytes (`canonical_bytes`).
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from leoflow.spec.canonical import canonical_json, sha256

ID_PATTERN = r"^[\w.-]+$"
"""Airflow's rule for dag, task and group ids: letters (of any script), digits, dashes, dots, underscores."""

Identifier = Annotated[str, Field(pattern=ID_PATTERN, min_length=1, max_length=250)]
Json = dict[str, Any]
Name = Annotated[str, Field(min_length=1, max_length=256)]
Count = Annotated[int, Field(ge=0, lt=2**31)]
Seconds = Annotated[float, Field(ge=0, le=86_400_000_000_000)]
"""At most what a timedelta holds."""

TriggerRule = Literal[
    "all_success",
    "all_failed",
    "all_done",
    "all_done_min_one_success",
    "all_done_setup_success",
    "all_skipped",
    "always",
    "none_failed",
    "none_failed_min_one_success",
    "none_skipped",
    "one_done",
    "one_failed",
    "one_success",
]
TaskKind = Literal["python", "branch", "short_circuit", "sensor", "empty", "operator"]


class SpecModel(BaseModel):
    """Unknown fields are errors: a newer compiler's file must not be half understood."""

    # NaN must reach the canonical form, which refuses it, instead of becoming null on the way. By alias: whoever writes
    # a spec down, in a file or in the database, uses dag.json's names.
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants", serialize_by_alias=True)


class Source(SpecModel):
    """Where the DAG comes from.

    `tree_hash` covers every file of the project the DAG can use, so that a changed helper module is a new version.
    """

    path: str = Field(description="The DAG file, relative to the project.")
    tree_hash: str = Field(description="sha256 over the files of the project.")
    code: str = Field(description="The text of the DAG file.")


class ParamSpec(SpecModel):
    """One param of the DAG or of a task; without a value it must be given when a run is triggered."""

    value: Any = None
    has_value: bool = True
    json_schema: Json = Field(default_factory=dict, alias="schema")
    description: str | None = None

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Edge(SpecModel):
    """A labelled edge; between tasks, or the join ids of groups."""

    from_: str = Field(alias="from")
    to: str
    label: str

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class TaskGroupSpec(SpecModel):
    """A task group below the root."""

    group_id: Identifier
    label: str
    tooltip: str = ""
    parent_group_id: str | None = None
    prefix_group_id: bool = True
    ui_color: str = "CornflowerBlue"
    ui_fgcolor: str = "#000"
    is_mapped: bool = False
    mapping: Json | None = None
    upstream_group_ids: list[str] = []
    downstream_group_ids: list[str] = []
    upstream_task_ids: list[str] = []
    downstream_task_ids: list[str] = []


class TaskSpec(SpecModel):
    """One task. Durations are in seconds."""

    task_id: Identifier
    task_display_name: str
    operator: str
    operator_name: str
    class_: str = Field(alias="class")
    kind: TaskKind
    depends_on: list[str]
    trigger_rule: TriggerRule = "all_success"
    retries: Annotated[int, Field(ge=0, le=10**9)] = 0
    retry_delay_seconds: Seconds = 300.0
    retry_exponential_backoff: Annotated[float, Field(ge=0, le=10**9)] = 0.0
    max_retry_delay_seconds: float | None = None
    execution_timeout_seconds: Seconds | None = None
    pool: Name = "default_pool"
    pool_slots: Annotated[int, Field(ge=1, le=10**9)] = 1
    priority_weight: int = 1
    weight_rule: str = "downstream"
    effective_priority: int = 1
    queue: Name = "default"
    owner: str = "airflow"
    depends_on_past: bool = False
    wait_for_downstream: bool = False
    max_active_tis_per_dag: Count | None = None
    max_active_tis_per_dagrun: Count | None = None
    is_setup: bool = False
    is_teardown: bool = False
    on_failure_fail_dagrun: bool = False
    group_id: str | None = None
    map_index_template: str | None = None
    mapping: Json | None = None
    xcom_input: dict[str, list[str]] = Field(
        default_factory=dict,
        description="Params given a list made only of task calls: the tasks, in declaration order.",
    )
    xcom_refs: list[tuple[str, str]] = Field(
        default_factory=list, description="Every XCom the task's arguments refer to: [task_id, key]."
    )
    call_args: Json = Field(default_factory=dict, description="Literal arguments, for people to read.")
    template_fields: list[str] = []
    multiple_outputs: bool = False
    do_xcom_push: bool = True
    doc_md: str | None = None
    ui_color: str = "#fff"
    ui_fgcolor: str = "#000"
    params: dict[str, ParamSpec] = {}
    extra_links: list[str] = []
    extra_link_keys: dict[str, str] = {}
    has_on_execute_callback: bool = False
    has_on_failure_callback: bool = False
    has_on_retry_callback: bool = False
    has_on_skipped_callback: bool = False
    has_on_success_callback: bool = False
    inlets: list[Json] = []
    outlets: list[Json] = []
    extra: Json = Field(default_factory=dict, description="Rarely used attributes that differ from their default.")
    env: dict[str, str] = {}
    resources: Json = {}
    execution: Json = {}

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class DagSpec(SpecModel):
    """One DAG: the whole content of a dag.json."""

    schema_version: Literal["1.0"] = "1.0"
    dag_id: Identifier
    dag_version: str | None = None
    content_hash: str = ""
    image: str | None = None
    dag_display_name: str
    description: str | None = None
    doc_md: str | None = None
    owners: list[str] = []
    owner_links: dict[str, str] = {}
    tags: list[str] = []
    schedule: Json | None = None
    timetable_summary: str | None = None
    timetable_description: str | None = None
    timezone: str = "UTC"
    start_date: str | None = None
    end_date: str | None = None
    catchup: bool = False
    max_active_runs: Count = 16
    max_active_tasks: Annotated[int, Field(ge=1, lt=2**31)] = 16
    max_consecutive_failed_dag_runs: Count = 0
    dagrun_timeout_seconds: Seconds | None = None
    fail_fast: bool = False
    is_paused_upon_creation: bool | None = None
    render_template_as_native_obj: bool = False
    allowed_run_types: list[str] | None = None
    has_on_failure_callback: bool = False
    has_on_success_callback: bool = False
    deadlines: list[Json] = []
    params: dict[str, ParamSpec] = {}
    default_args: Json = {}
    source: Source
    python_version: str | None = None
    dependencies: list[str] = []
    system_packages: list[str] = []
    connections: list[str] | None = None
    variables: list[str] | None = None
    staging: Json | None = None
    alerts: Json | None = None
    task_groups: list[TaskGroupSpec] = []
    edges: list[Edge] = []
    tasks: Annotated[list[TaskSpec], Field(max_length=20_000)]

    @model_validator(mode="after")
    def _references_exist(self) -> Self:
        ids = {task.task_id for task in self.tasks}
        if len(ids) != len(self.tasks):
            raise ValueError("task ids are not unique")
        for task in self.tasks:
            if unknown := set(task.depends_on) - ids:
                raise ValueError(f"task {task.task_id} depends on unknown tasks {sorted(unknown)}")
        return self

    def with_content_hash(self) -> "DagSpec":
        """Return the same spec with its `content_hash` filled in."""
        return self.model_copy(update={"content_hash": content_hash(self)})


def as_json(spec: DagSpec) -> Json:
    """Return the spec as the plain JSON value that dag.json holds."""
    return spec.model_dump(mode="json")


def canonical_bytes(spec: DagSpec) -> bytes:
    """Return the bytes of dag.json."""
    return canonical_json(as_json(spec))


def content_hash(spec: DagSpec) -> str:
    """Return the sha256 of the canonical spec without its own `content_hash`."""
    return content_hash_of(as_json(spec))


def content_hash_of(document: Json) -> str:
    """Return the same of a dag.json as it stands, which may lack fields that were invented after it was written."""
    return sha256(canonical_json({name: value for name, value in document.items() if name != "content_hash"}))
