"""Airflow 3.2's public API under /api/v2, one module per resource.

Every module has a `router`, the shapes of its resource, and calls of named queries (`sql/queries/api_<noun>.sql`) on
views (`sql/views/api_<noun>.sql`) and engine functions. Function names are Airflow's operation ids, so the OpenAPI
description has the same ones. Nothing here decides what a state becomes.
"""

from fastapi import APIRouter

from leoflow.api.public import (
    about,
    assets,
    backfills,
    connections,
    dag_runs,
    dag_stats,
    dag_versions,
    dags,
    event_logs,
    hitl,
    import_errors,
    jobs,
    logs,
    pools,
    queued_events,
    task_instance_actions,
    task_instances,
    task_tries,
    tasks,
    variables,
    xcoms,
)

router = APIRouter(prefix="/api/v2", generate_unique_id_function=lambda route: route.name)

# Order matters where a literal segment and a parameter share a place: `assets/events` before `assets/{asset_id}`,
# XComs, logs and tries before `taskInstances/{task_id}/{map_index}`.
for module in (
    about,
    assets,
    backfills,
    connections,
    dag_stats,
    dag_versions,
    event_logs,
    hitl,
    import_errors,
    jobs,
    pools,
    queued_events,
    variables,
    xcoms,
    logs,
    task_tries,
    task_instance_actions,
    task_instances,
    tasks,
    dag_runs,
    dags,
):
    router.include_router(module.router)
