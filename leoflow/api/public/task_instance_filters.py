"""The filters of listing task instances."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query

from leoflow.api.filters import Where
from leoflow.api.public.criteria import Bounds, Pattern, Small, moments, numbers, pattern, states
from leoflow.api.public.shapes import TaskInstanceState


def where_state(where: Where, wanted: Sequence[str], without_status: bool) -> None:
    """Require one of the states; `without_status` lets instances in that have none."""
    if without_status:
        where.add("(i.state = any(%s) or i.state is null)", list(wanted))
    else:
        where.any_of("i.state", list(wanted))


@dataclass
class MappedFilters:
    """Conditions on `leoflow_core.api_task_instances i` that mapped lists have as well."""

    run_after: Annotated[Bounds, Depends(moments("run_after"))]
    logical_date: Annotated[Bounds, Depends(moments("logical_date"))]
    start_date: Annotated[Bounds, Depends(moments("start_date"))]
    end_date: Annotated[Bounds, Depends(moments("end_date"))]
    updated_at: Annotated[Bounds, Depends(moments("updated_at"))]
    duration: Annotated[Bounds, Depends(numbers("duration"))]
    pool_name: Annotated[Pattern, Depends(pattern("pool_name"))]
    queue_name: Annotated[Pattern, Depends(pattern("queue_name"))]
    operator_name: Annotated[Pattern, Depends(pattern("operator_name"))]
    rendered_map_index: Annotated[Pattern, Depends(pattern("rendered_map_index"))]
    state: Annotated[list[str] | None, Query()] = None
    pool: Annotated[list[str] | None, Query()] = None
    queue: Annotated[list[str] | None, Query()] = None
    executor: Annotated[list[str] | None, Query()] = None
    version_number: Annotated[list[Small] | None, Query()] = None
    try_number: Annotated[list[Small] | None, Query()] = None
    operator: Annotated[list[str] | None, Query()] = None
    map_index: Annotated[list[Small] | None, Query()] = None

    def where(self) -> Where:
        """Build the conditions."""
        where = Where()
        self.run_after.apply(where, "i.run_after")
        self.logical_date.apply(where, "i.logical_date")
        self.start_date.apply(where, "i.start_date")
        self.end_date.apply(where, "i.end_date")
        self.updated_at.apply(where, "i.updated_at")
        self.duration.apply(where, "i.duration")
        self.pool_name.apply(where, "i.pool")
        self.queue_name.apply(where, "i.queue")
        self.operator_name.apply(where, "i.operator_name")
        self.rendered_map_index.apply(where, "coalesce(i.rendered_map_index, i.map_index::text)")
        where_state(where, *states(self.state, TaskInstanceState))
        where.any_of("i.pool", self.pool)
        where.any_of("i.queue", self.queue)
        where.any_of("i.executor", self.executor)
        where.any_of("i.version_number", self.version_number)
        where.any_of("i.try_number", self.try_number)
        where.any_of("i.operator", self.operator)
        where.any_of("i.map_index", self.map_index)
        return where


@dataclass
class MoreInstanceFilters:
    """The conditions only the general list has."""

    task_display_name: Annotated[Pattern, Depends(pattern("task_display_name"))]
    dag_id_search: Annotated[Pattern, Depends(pattern("dag_id"))]
    run_id: Annotated[Pattern, Depends(pattern("run_id"))]
    task_id: str | None = None
    task_group_id: str | None = None

    def apply(self, where: Where) -> None:
        """Add the conditions."""
        self.task_display_name.apply(where, "i.task_display_name")
        self.dag_id_search.apply(where, "i.dag_id")
        self.run_id.apply(where, "i.dag_run_id")
        where.equals("i.task_id", self.task_id)
        if self.task_group_id is not None:
            where.add("i.task_idx in (select leoflow_core.api_group_tasks(i.version_key, %s))", self.task_group_id)


MappedFiltersDep = Annotated[MappedFilters, Depends()]
MoreInstanceFiltersDep = Annotated[MoreInstanceFilters, Depends()]
