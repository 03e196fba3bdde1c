"""`/healthz`, `/readyz`, `/metrics`: for probes and Prometheus, without sign-in."""

import asyncio
from collections.abc import Awaitable, Callable

import psycopg
from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from psycopg_pool import PoolTimeout

from leoflow.api.deps import State
from leoflow.api.metrics import CONTENT_TYPE, ApiMetrics
from leoflow.db.pool import Pool

_PATIENCE_SECONDS = 3.0

Check = Callable[[Pool], Awaitable[None]]


async def _database(pool: Pool) -> None:
    async with pool.connection(timeout=_PATIENCE_SECONDS) as conn:
        await conn.execute("select 1")


async def _schema(pool: Pool) -> None:
    async with pool.connection(timeout=_PATIENCE_SECONDS) as conn:
        await conn.execute("select from leoflow_core.dag limit 1")


_CHECKS: dict[str, Check] = {"database": _database, "schema": _schema}


def router(metrics: ApiMetrics) -> APIRouter:
    """Make the routes of one application."""
    routes = APIRouter(include_in_schema=False)

    async def alive() -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(state: State) -> Response:
        outcome = {name: await _outcome(check, state.pool) for name, check in _CHECKS.items()}
        failing = [name for name, error in outcome.items() if error]
        body = {
            "status": "not ready" if failing else "ready",
            "failing": failing,
            "checks": {name: error or "ok" for name, error in outcome.items()},
        }
        return JSONResponse(body, 503 if failing else 200)

    async def exposition() -> Response:
        return Response(metrics.render(), media_type=CONTENT_TYPE)

    routes.add_api_route("/healthz", alive, methods=["GET"])
    routes.add_api_route("/readyz", ready, methods=["GET"])
    routes.add_api_route("/metrics", exposition, methods=["GET"])
    return routes


async def _outcome(check: Check, pool: Pool) -> str:
    """Run a check; an empty text is good news."""
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await check(pool)
    except PoolTimeout:
        return "no connection in time"
    except TimeoutError:
        return "no answer in time"
    except psycopg.Error as error:
        return str(error).splitlines()[0] if str(error) else type(error).__name__
    return ""
