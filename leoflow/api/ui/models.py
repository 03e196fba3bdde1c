"""The bodies of `/ui/*` answers, field for field as Airflow 3.2.2's.

Which endpoints leave out null keys, and which send them, differs and matters to the UI; the routes say so.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from leoflow.api.encoding import timestamp

Timestamp = Annotated[datetime, PlainSerializer(timestamp, return_type=str, when_used="json")]
IsoText = Annotated[
    datetime, PlainSerializer(lambda moment: moment.astimezone(UTC).isoformat(), return_type=str, when_used="json")
]
"""Ends in +00:00, where Airflow's others end in Z."""
Json = dict[str, Any]


class Model(BaseModel):
    """Base of all bodies."""

    model_config = ConfigDict(from_attributes=True)


class DagRunState(StrEnum):
    """The states of a run."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"


class Alert(Model):
    """A banner on the home page."""

    text: str
    category: Literal["info", "warning", "error"]


class Config(Model):
    """What the UI loads first; every key must be there, `theme` too."""

    fallback_page_limit: int
    auto_refresh_interval: int
    hide_paused_dags_by_default: bool
    instance_name: str
    enable_swagger_ui: bool
    require_confirmation_dag_change: bool
    default_wrap: bool
    test_connection: str
    dashboard_alert: list[Alert]
    show_external_log_redirect: bool
    external_log_name: str | None
    theme: Json | None
    multi_team: bool


class MenuItems(Model):
    """The navigation entries the user may open."""

    authorized_menu_items: list[str]
    extra_menu_items: list[Json]


class Me(Model):
    """The signed-in user."""

    id: str
    username: str


class TokenRequest(Model):
    """Which token the user's menu asks for."""

    token_type: Literal["api", "cli"] = "api"


class TokenAnswer(Model):
    """A token to copy."""

    access_token: str
    token_type: Literal["api", "cli"]
    expires_in_seconds: int


class Tag(Model):
    """A tag of a DAG."""

    name: str
    dag_id: str
    dag_display_name: str


class RunLight(Model):
    """A run as the cards of the DAG list show it."""

    id: int
    dag_id: str
    run_id: str
    logical_date: Timestamp | None
    run_after: Timestamp
    start_date: Timestamp | None
    end_date: Timestamp | None
    state: DagRunState
    duration: float | None


class DagWithRuns(Model):
    """A DAG with its latest runs."""

    dag_id: str
    dag_display_name: str
    is_paused: bool
    is_stale: bool
    last_parsed_time: Timestamp | None
    last_parse_duration: float | None
    last_expired: Timestamp | None
    bundle_name: str | None
    bundle_version: str | None
    relative_fileloc: str | None
    fileloc: str
    description: str | None
    timetable_summary: str | None
    timetable_description: str | None
    timetable_partitioned: bool
    tags: list[Tag]
    max_active_tasks: int
    max_active_runs: int | None
    max_consecutive_failed_dag_runs: int
    has_task_concurrency_limits: bool
    has_import_errors: bool
    next_dagrun_logical_date: Timestamp | None
    next_dagrun_data_interval_start: Timestamp | None
    next_dagrun_data_interval_end: Timestamp | None
    next_dagrun_run_after: Timestamp | None
    allowed_run_types: list[str] | None
    owners: list[str]
    asset_expression: Json | None
    latest_dag_runs: list[RunLight]
    pending_actions: list[Json]
    is_favorite: bool
    file_token: str


class DagCollection(Model):
    """A page of DAGs."""

    total_entries: int
    dags: list[DagWithRuns]


class DagStats(Model):
    """The counters on the home page."""

    active_dag_count: int
    failed_dag_count: int
    running_dag_count: int
    queued_dag_count: int


class HistoricalMetrics(Model):
    """Counts by state within a time range, each capped at `state_count_limit`."""

    dag_run_states: dict[str, int]
    task_instance_states: dict[str, int]
    state_count_limit: int


class GridNode(Model):
    """A row of the grid."""

    id: str
    label: str
    children: list["GridNode"] | None = None
    is_mapped: bool | None = None
    setup_teardown_type: Literal["setup", "teardown"] | None = None


class DagVersion(Model):
    """A registered version of a DAG."""

    id: UUID
    version_number: int
    dag_id: str
    bundle_name: str | None
    bundle_version: str | None
    created_at: Timestamp
    dag_display_name: str
    bundle_url: str | None


class GridRun(Model):
    """A column of the grid."""

    dag_id: str
    run_id: str
    queued_at: Timestamp | None
    start_date: Timestamp | None
    end_date: Timestamp | None
    run_after: Timestamp
    state: DagRunState | None
    run_type: str
    dag_versions: list[DagVersion]
    has_missed_deadline: bool
    duration: float


class GanttTask(Model):
    """One try of one task in the Gantt chart."""

    task_id: str
    task_display_name: str
    try_number: int
    state: str | None
    scheduled_dttm: Timestamp | None
    queued_dttm: Timestamp | None
    start_date: Timestamp | None
    end_date: Timestamp | None
    is_group: bool = False
    is_mapped: bool = False


class Gantt(Model):
    """All tries of a run."""

    dag_id: str
    run_id: str
    task_instances: list[GanttTask]


class CalendarEntry(Model):
    """How many runs of one state an hour or day has."""

    date: Timestamp
    state: Literal["queued", "running", "success", "failed", "planned"]
    count: int


class Calendar(Model):
    """The runs of a time range, past and planned."""

    total_entries: int
    dag_runs: list[CalendarEntry]


class Edge(Model):
    """An arrow of the graph view."""

    source_id: str
    target_id: str
    is_setup_teardown: bool | None = None
    label: str | None = None
    is_source_asset: bool | None = None


class Node(Model):
    """A node of the graph view."""

    id: str
    label: str
    type: str
    children: list["Node"] | None = None
    is_mapped: bool | None = None
    tooltip: str | None = None
    setup_teardown_type: Literal["setup", "teardown"] | None = None
    operator: str | None = None
    asset_condition_type: Literal["or-gate", "and-gate"] | None = None


class Structure(Model):
    """The graph view."""

    edges: list[Edge]
    nodes: list[Node]


class NextRunAsset(Model):
    """An asset that a DAG waits for; `lastUpdate` is null when it has not changed since the last run."""

    id: int
    uri: str
    name: str
    lastUpdate: Timestamp | None  # noqa: N815  (Airflow's name)


class PartitionedRun(Model):
    """A run of a partition that asset events asked for; `state` is pending until it is made."""

    id: int
    partition_key: str
    created_at: IsoText
    total_received: int
    total_required: int
    dag_id: str
    state: str
    created_dag_run_id: str | None


class PartitionAsset(Model):
    """An asset of the schedule, and whether an event of it came for the partition."""

    asset_id: int
    asset_name: str
    asset_uri: str
    received: bool


class PendingPartitionedRun(Model):
    """A run that waits for events of its partition."""

    id: int
    dag_id: str
    partition_key: str
    created_at: IsoText
    updated_at: IsoText
    created_dag_run_id: str | None
    assets: list[PartitionAsset]
    total_required: int
    total_received: int
    asset_expression: dict[str, Any] | None


class DependencyEdge(Model):
    """An arrow between DAGs, assets, triggers and sensors."""

    source_id: str
    target_id: str


class DependencyNode(Model):
    """A DAG, asset, trigger or sensor."""

    id: str
    label: str
    type: str


class Dependencies(Model):
    """The graph of dependencies between DAGs."""

    edges: list[DependencyEdge]
    nodes: list[DependencyNode]


class FieldBehaviour(Model):
    """How the connection form shows a standard field."""

    hidden: bool = False
    title: str | None = None
    placeholder: str | None = None


class StandardFields(Model):
    """The standard fields of a connection type; null means as usual, a missing key breaks the UI."""

    description: FieldBehaviour | None = None
    url_schema: FieldBehaviour | None = None
    host: FieldBehaviour | None = None
    port: FieldBehaviour | None = None
    login: FieldBehaviour | None = None
    password: FieldBehaviour | None = None


class HookMeta(Model):
    """A connection type the form offers."""

    connection_type: str | None
    hook_class_name: str | None
    default_conn_name: str | None
    hook_name: str
    standard_fields: StandardFields | None
    extra_fields: Json | None


class Deadline(Model):
    """A deadline of a run."""

    id: UUID
    deadline_time: Timestamp
    missed: bool
    created_at: Timestamp
    alert_name: str | None = None
    alert_description: str | None = None


class Deadlines(Model):
    """A page of deadlines."""

    deadlines: list[Deadline]
    total_entries: int = Field(ge=0)
