"""Turns exceptions into Airflow's error answers: a status and `{"detail": …}`.

The engine's SQL functions raise SQLSTATE `LFnnn`, where nnn is the HTTP status (LF404 unknown, LF409 conflict,
LF422 invalid); everything else the database says is ours to log and theirs to see as 500 or 503.
"""

import psycopg
import structlog
from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from psycopg_pool import PoolTimeout

from leoflow.errors import LeoflowError, UnreachableError

_BEYOND_LIMITS = "54"  # the class of SQLSTATEs, to psycopg operational errors like a lost connection
_SECRETIVE = ("/connections", "/variables", "/auth/")
MASK = "***"

log = structlog.get_logger(__name__)


def install(app: FastAPI) -> None:
    """Register the handlers on an application."""
    app.add_exception_handler(psycopg.Error, _database_error)
    app.add_exception_handler(PoolTimeout, _unreachable)
    app.add_exception_handler(LeoflowError, _leoflow_error)
    app.add_exception_handler(RequestValidationError, _invalid)


def detail(status: int, message: str) -> JSONResponse:
    """Build Airflow's error shape."""
    return JSONResponse({"detail": message}, status_code=status)


async def _database_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, psycopg.Error)
    state = error.sqlstate or ""
    if state.startswith("LF") and state[2:].isdigit():
        return detail(int(state[2:]), error.diag.message_primary or "Refused by the engine")
    if isinstance(error, psycopg.DataError):
        return detail(400, f"A value cannot be stored: {_first_line(error)}")
    if state.startswith(_BEYOND_LIMITS):
        return detail(422, f"A value is too large or nested too deeply: {_first_line(error)}")
    if isinstance(error, psycopg.IntegrityError):
        return detail(409, _first_line(error))
    if isinstance(error, psycopg.OperationalError):
        return await _unreachable(request, error)
    log.error("request failed in the database", path=request.url.path, sqlstate=state, exc_info=error)
    return detail(500, "The database refused the request; see the server's log")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """FastAPI's answer, which repeats what was sent: not where that may be a secret."""
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(noun in request.url.path for noun in _SECRETIVE):
        found = [{**each, "input": MASK} for each in found]
    return JSONResponse({"detail": jsonable_encoder(found)}, 422)


async def _unreachable(request: Request, error: Exception) -> JSONResponse:
    log.warning("database unavailable", path=request.url.path, error=str(error))
    return JSONResponse({"detail": "The database is unreachable"}, 503, headers={"Retry-After": "1"})


async def _leoflow_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, LeoflowError)
    status = 503 if isinstance(error, UnreachableError) else 400
    return detail(status, f"{error}. {error.hint}" if error.hint else str(error))
