"""Bodies and answers of assets."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field

from leoflow.api.public.criteria import Moment
from leoflow.api.public.dag_run_models import TriggerDAGRunPostBody
from leoflow.api.public.masking import redact
from leoflow.api.public.shapes import StrictBody

Key = Annotated[int, Field(ge=0, lt=2**31)]
Extra = Annotated[dict[str, Any] | None, AfterValidator(redact)]


class DagScheduleAssetReference(BaseModel):
    """A DAG whose schedule mentions an asset."""

    dag_id: str
    created_at: datetime
    updated_at: datetime


class TaskInletAssetReference(BaseModel):
    """A task that reads an asset."""

    dag_id: str
    task_id: str
    created_at: datetime
    updated_at: datetime


class TaskOutletAssetReference(BaseModel):
    """A task that makes an asset."""

    dag_id: str
    task_id: str
    created_at: datetime
    updated_at: datetime


class LastAssetEventResponse(BaseModel):
    """The latest change of an asset."""

    id: int | None = None
    timestamp: datetime | None = None


class AssetWatcherResponse(BaseModel):
    """A trigger that makes events of an asset."""

    name: str
    trigger_id: int
    created_date: datetime


class AssetAliasResponse(BaseModel):
    """A name that tasks resolve to assets."""

    id: int
    name: str
    group: str


class AssetResponse(BaseModel):
    """An asset."""

    id: int
    name: str
    uri: str
    group: str
    extra: Extra = None
    created_at: datetime
    updated_at: datetime
    scheduled_dags: list[DagScheduleAssetReference]
    producing_tasks: list[TaskOutletAssetReference]
    consuming_tasks: list[TaskInletAssetReference]
    aliases: list[AssetAliasResponse]
    watchers: list[AssetWatcherResponse]
    last_asset_event: LastAssetEventResponse | None = None


class AssetCollectionResponse(BaseModel):
    """Assets."""

    assets: list[AssetResponse]
    total_entries: int


class AssetAliasCollectionResponse(BaseModel):
    """Names that stand for assets."""

    asset_aliases: list[AssetAliasResponse]
    total_entries: int


class DagRunAssetReference(BaseModel):
    """A run that an event made."""

    run_id: str
    dag_id: str
    logical_date: datetime | None
    start_date: datetime
    end_date: datetime | None
    state: str
    data_interval_start: datetime | None
    data_interval_end: datetime | None
    partition_key: str | None


class AssetEventResponse(BaseModel):
    """A change of an asset."""

    id: int
    asset_id: int
    uri: str | None = None
    name: str | None = None
    group: str | None = None
    extra: Extra = None
    source_task_id: str | None = None
    source_dag_id: str | None = None
    source_run_id: str | None = None
    source_map_index: int
    created_dagruns: list[DagRunAssetReference]
    timestamp: datetime
    partition_key: str | None = None


class AssetEventCollectionResponse(BaseModel):
    """Changes of assets."""

    asset_events: list[AssetEventResponse]
    total_entries: int


class QueuedEventResponse(BaseModel):
    """Changes of an asset that did not make a run of a DAG yet; `created_at` is when the first came."""

    dag_id: str
    asset_id: int
    created_at: datetime
    dag_display_name: str


class QueuedEventCollectionResponse(BaseModel):
    """Changes that did not make a run yet."""

    queued_events: list[QueuedEventResponse]
    total_entries: int


class CreateAssetEventsBody(StrictBody):
    """A change to record."""

    asset_id: Key
    partition_key: str | None = None
    extra: dict[str, Any] = {}


class MaterializeAssetBody(TriggerDAGRunPostBody):
    """A run to make of the DAG that makes an asset."""

    logical_date: Moment | None = None
