"""How answers look: Airflow's headers on every one, and its status and body for every fault."""

import datetime as dt
import json
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from leoflow.execution.faults import FaultError

API_VERSION = "2026-04-06"
OLDEST_VERSION = "2025-04-11"
VERSION_HEADER = "Airflow-API-Version"

_STATUS = {
    "VARIABLE_NOT_FOUND": 404,
    "CONNECTION_NOT_FOUND": 404,
    "XCOM_NOT_FOUND": 404,
    "ASSET_NOT_FOUND": 404,
    "DAGRUN_ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
}
_REASONS = {
    400: "invalid_request",
    403: "access_denied",
    404: "not_found",
    409: "invalid_state",
    413: "too_large",
    501: "not_supported",
}
_MESSAGES = {
    "VARIABLE_NOT_FOUND": "Variable with key '{key}' not found",
    "CONNECTION_NOT_FOUND": "Connection with ID {conn_id} not found",
    "XCOM_NOT_FOUND": "XCom with key={key!r} offset={offset} not found for task {task_id!r} in DAG run {run_id!r}"
    " of {dag_id!r}",
}

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class ExecutionRoute(APIRoute):
    """A route that checks the version asked for, answers faults, and adds the headers Airflow's client looks at."""

    def get_route_handler(self) -> Handler:
        """Wrap the handler."""
        inner = super().get_route_handler()

        async def handler(request: Request) -> Response:
            _check_version(request.headers.get(VERSION_HEADER))
            try:
                response = await inner(request)
            except FaultError as fault:
                response = answer(fault)
            response.headers[VERSION_HEADER] = API_VERSION
            if (correlation_id := request.headers.get("correlation-id")) is not None:
                response.headers["correlation-id"] = correlation_id
            token = getattr(request.state, "refreshed_token", None)
            if token is not None and response.status_code < 400:
                response.headers["Refreshed-API-Token"] = token
            return response

        return handler


def router(prefix: str) -> APIRouter:
    """Make a router of such routes."""
    return APIRouter(prefix=prefix, route_class=ExecutionRoute)


def reply(value: Any, status: int = 200) -> Response:
    """Answer JSON, dates in ISO 8601."""
    return Response(orjson.dumps(value), status, media_type="application/json")


def stored(value: Any) -> Response:
    """Answer a value a task stored: NaN, infinities and long integers stay what they are."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Response(text.encode("utf-8", "surrogatepass"), media_type="application/json")


def nothing() -> Response:
    """Answer 204."""
    return Response(status_code=204)


def answer(fault: FaultError) -> JSONResponse:
    """Turn a fault into Airflow's answer: `{"detail": {"reason", "message", …}}`."""
    facts = dict(fault.detail or {})
    status = int(facts.pop("status_code", _STATUS.get(fault.kind, 500)))
    if fault.kind in _MESSAGES:
        facts = {"message": _MESSAGES[fault.kind].format(**facts)}
    message = facts.pop("message", fault.kind)
    detail = {"reason": facts.pop("reason", _REASONS.get(status, "error")), "message": message, **facts}
    return JSONResponse({"detail": detail}, status)


def _check_version(asked: str | None) -> None:
    """Accept every version since the oldest Airflow still speaks; later ones only add to what we answer."""
    if asked is None:
        return
    try:
        dt.date.fromisoformat(asked)
    except ValueError:
        raise HTTPException(422, f"{VERSION_HEADER} must be a date, not {asked!r}") from None
    if asked < OLDEST_VERSION:
        raise HTTPException(422, f"{VERSION_HEADER} {asked} is older than {OLDEST_VERSION}, the oldest one served")
