"""Airflow 3.2.2's private API for its UI under /ui, one module per resource, read from SQL views."""

from fastapi import APIRouter

from leoflow.api.ui import (
    assets,
    auth,
    backfills,
    calendar,
    config,
    connections,
    dags,
    dashboard,
    deadlines,
    dependencies,
    gantt,
    grid,
    structure,
)

router = APIRouter(prefix="/ui")
for _module in (
    assets,
    auth,
    backfills,
    calendar,
    config,
    connections,
    dags,
    dashboard,
    deadlines,
    dependencies,
    gantt,
    grid,
    structure,
):
    router.include_router(_module.router)
