"""Composes the HTTP server: Airflow's public API, UI API and task execution API, sign-in, the UI's files, health."""

from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware

from leoflow.api import errors, health, pages
from leoflow.api.auth.guard import LocalGuard, StaleCookie
from leoflow.api.auth.limiter import LoginLimiter
from leoflow.api.auth.routes import router as auth_router
from leoflow.api.auth.tokens import TokenSigner, load_or_create_secret
from leoflow.api.deps import ApiState
from leoflow.api.execution import install as install_execution
from leoflow.api.graph_cache import GraphCache
from leoflow.api.json_bodies import JsonBodies
from leoflow.api.limits import MEBIBYTE, BodyLimit
from leoflow.api.metrics import ApiMetrics, MeasuredRequests
from leoflow.api.own import router as own_router
from leoflow.api.public import router as public_router
from leoflow.api.settings import ApiSettings
from leoflow.api.ui import router as ui_router
from leoflow.db.pool import Pool
from leoflow.log_store import LogStore

DESCRIPTION = "Airflow 3.2.2's REST API, served by Leoflow from Postgres."


def create_app(pool: Pool, settings: ApiSettings) -> FastAPI:
    """Compose the server; the caller owns the pool and opens and closes it."""
    app = FastAPI(title="Leoflow", version="2", description=DESCRIPTION, separate_input_output_schemas=False)
    signer = TokenSigner(load_or_create_secret(settings.home))
    copies = LogStore(settings.log_store_url) if settings.log_store_url else None
    state = ApiState(pool, settings, signer, LoginLimiter(), GraphCache(), copies)
    metrics = ApiMetrics(pool)
    app.state.leoflow = state
    errors.install(app)
    app.include_router(health.router(metrics))
    app.include_router(auth_router)
    app.include_router(ui_router)
    app.include_router(public_router)
    app.include_router(own_router)
    install_execution(app, pool, settings)
    pages.install(app, state)
    # The last one added is the outermost.
    # What tasks say is theirs: values are stored as they come.
    app.add_middleware(JsonBodies, exceptions=("/execution/",))
    app.add_middleware(BodyLimit, exceptions={"/execution/xcoms/": settings.xcom_limit_bytes + MEBIBYTE})
    app.add_middleware(GZipMiddleware, minimum_size=1024, compresslevel=5)
    app.add_middleware(StaleCookie, signer=signer)
    if settings.signs_in_locally:
        app.add_middleware(LocalGuard, settings=settings)
    app.add_middleware(MeasuredRequests, metrics=metrics)
    return app
