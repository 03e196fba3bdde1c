"""Airflow's task execution API over HTTP: paths, bodies and status codes of 3.2.2 around `leoflow.execution`.

Holds no rule of its own: every route turns a request into one of the Task SDK's messages and the reply, or the fault,
into Airflow's answer. What differs from the local socket is who asks: an attempt that proves itself by a token.
"""

from fastapi import APIRouter, FastAPI

from leoflow.api.auth.tokens import load_or_create_secret
from leoflow.api.execution import assets, dag_runs, health, hitl, secrets, task_instances, xcoms
from leoflow.api.execution.caller import ExecutionState
from leoflow.api.settings import ApiSettings
from leoflow.crypto import SecretBox
from leoflow.db.pool import Pool
from leoflow.execution.access import SecretAccess
from leoflow.execution.context import Limits, Store
from leoflow.execution.tokens import AttemptTokens

_ROUTERS = (health, task_instances, xcoms, secrets, dag_runs, assets, hitl)


def install(app: FastAPI, pool: Pool, settings: ApiSettings) -> None:
    """Serve the API below `/execution`. It describes itself to Airflow's clients only, so `/openapi.json` omits it."""
    secret_box = SecretBox.load_or_create(settings.home)
    app.state.leoflow_execution = ExecutionState(
        Store(
            pool,
            secret_box,
            Limits(settings.xcom_limit_bytes, settings.max_map_length),
            SecretAccess(settings.secrets),
        ),
        AttemptTokens(load_or_create_secret(settings.home)),
    )
    api = APIRouter(prefix="/execution", include_in_schema=False)
    for module in _ROUTERS:
        api.include_router(module.router)
    app.include_router(api)
