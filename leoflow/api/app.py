"""Composes the HTTP server: Airflow's public API, its UI's private API, sign-in, the UI's files, health."""

from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware

from leoflow.api import errors
from leoflow.api.auth.tokens import TokenSigner, load_or_create_secret
from leoflow.api.deps import ApiState, Pool
from leoflow.api.public import router as public_router
from leoflow.api.settings import ApiSettings

DESCRIPTION = "Airflow 3.2.2's REST API, served by Leoflow from Postgres."


def create_app(pool: Pool, settings: ApiSettings) -> FastAPI:
    """Compose the server; the caller owns the pool and opens and closes it."""
    app = FastAPI(title="Leoflow", version="2", description=DESCRIPTION, separate_input_output_schemas=False)
    app.state.leoflow = ApiState(pool, settings, TokenSigner(load_or_create_secret(settings.home)))
    errors.install(app)
    app.include_router(public_router)
    app.add_middleware(GZipMiddleware, minimum_size=1024, compresslevel=5)
    return app
