"""The filters of listing DAG runs."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query

from leoflow.api.filters import Where
from leoflow.api.public.criteria import Bounds, Pattern, Small, moments, numbers, pattern, states
from leoflow.api.public.shapes import DagRunState, DagRunType

_CONSUMES = (
    "exists (select from leoflow_core.dag_run_asset_event c"
    " join leoflow_core.asset_event e on e.created_at = c.event_at and e.event_key = c.event_key"
    " join leoflow_core.asset a on a.asset_key = e.asset_key"
    " where c.run_key = r.run_key and (a.name ilike %s or a.uri ilike %s))"
)


@dataclass
class DagRunFilters:
    """Conditions on `leoflow_core.api_dag_runs r`, from the query string."""

    run_after: Annotated[Bounds, Depends(moments("run_after"))]
    logical_date: Annotated[Bounds, Depends(moments("logical_date"))]
    start_date: Annotated[Bounds, Depends(moments("start_date"))]
    end_date: Annotated[Bounds, Depends(moments("end_date"))]
    updated_at: Annotated[Bounds, Depends(moments("updated_at"))]
    duration: Annotated[Bounds, Depends(numbers("duration"))]
    run_id: Annotated[Pattern, Depends(pattern("run_id"))]
    dag_id_search: Annotated[Pattern, Depends(pattern("dag_id"))]
    triggering_user_name: Annotated[Pattern, Depends(pattern("triggering_user_name"))]
    partition_key: Annotated[Pattern, Depends(pattern("partition_key"))]
    conf_contains: str | None = None
    run_type: Annotated[list[str] | None, Query()] = None
    state: Annotated[list[str] | None, Query()] = None
    dag_version: Annotated[list[Small] | None, Query()] = None
    bundle_version: str | None = None
    consuming_asset_pattern: str | None = None

    def where(self) -> Where:
        """Build the conditions."""
        where = Where()
        self.run_after.apply(where, "r.run_after")
        self.logical_date.apply(where, "r.logical_date")
        self.start_date.apply(where, "r.start_date")
        self.end_date.apply(where, "r.end_date")
        self.updated_at.apply(where, "r.updated_at")
        self.duration.apply(where, "r.duration")
        self.run_id.apply(where, "r.dag_run_id")
        self.dag_id_search.apply(where, "r.dag_id")
        self.triggering_user_name.apply(where, "r.triggering_user_name")
        self.partition_key.apply(where, "r.partition_key")
        if self.conf_contains:
            where.add("r.conf::text ilike %s", f"%{self.conf_contains}%")
        where.any_of("r.run_type", states(self.run_type, DagRunType)[0])
        where.any_of("r.state", states(self.state, DagRunState)[0])
        where.any_of("r.version_number", self.dag_version)
        where.equals("r.bundle_version", self.bundle_version)
        if self.consuming_asset_pattern:
            pattern = f"%{self.consuming_asset_pattern}%"
            where.add(_CONSUMES, pattern, pattern)
        return where


RunFilters = Annotated[DagRunFilters, Depends()]
