"""XComs: read anyone's, write one's own."""

from typing import Annotated, Any

from fastapi import HTTPException, Path, Request, Response

from leoflow.api.execution.answers import reply, stored
from leoflow.api.execution.answers import router as make_router
from leoflow.api.execution.caller import Asking, body
from leoflow.execution import values, xcoms
from leoflow.execution.faults import not_found, refused

router = make_router("/xcoms")

Key = Annotated[str, Path(min_length=1)]
_TASK = "/{dag_id}/{run_id}/{task_id}/{key:path}"


@router.get(_TASK + "/item/{offset}")
async def item(asking: Asking, dag_id: str, run_id: str, task_id: str, key: Key, offset: int) -> Response:
    """Return the value at a position among a mapped task's values."""
    message = {**_address(dag_id, run_id, task_id, key), "offset": offset}
    return stored((await asking.ask("GetXComSequenceItem", message))["root"])


@router.get(_TASK + "/slice")
async def slice_(
    asking: Asking,
    dag_id: str,
    run_id: str,
    task_id: str,
    key: Key,
    start: int | None = None,
    stop: int | None = None,
    step: int | None = None,
    include_prior_dates: bool = False,
) -> Response:
    """Return a slice of a mapped task's values."""
    message = {
        **_address(dag_id, run_id, task_id, key),
        "start": start,
        "stop": stop,
        "step": step or None,  # as in Airflow, 0 means every one
        "include_prior_dates": include_prior_dates,
    }
    return stored((await asking.ask("GetXComSequenceSlice", message))["root"])


@router.head(_TASK)
async def head(
    asking: Asking, dag_id: str, run_id: str, task_id: str, key: Key, map_index: int | None = None
) -> Response:
    """Return the number of values in the header `Content-Range`."""
    if map_index is not None:
        raise refused("Cannot specify map_index in a HEAD request", 400, reason="invalid_request")
    found = await asking.ask("GetNumberXComs", _address(dag_id, run_id, task_id, key))
    return Response(headers={"Content-Range": f"map_indexes {found['len']}"}, media_type="application/json")


@router.get(_TASK)
async def get(
    asking: Asking,
    dag_id: str,
    run_id: str,
    task_id: str,
    key: Key,
    map_index: int = -1,
    include_prior_dates: bool = False,
    offset: int | None = None,
) -> Response:
    """Return one value."""
    address = _address(dag_id, run_id, task_id, key)
    if offset is not None:
        found = await asking.ask("GetXComSequenceItem", {**address, "offset": offset})
        return stored({"key": key, "value": found["root"]})
    message = {**address, "map_index": map_index, "include_prior_dates": include_prior_dates}
    reply_ = await xcoms.find_xcom(asking.store, asking.attempt, message)
    if reply_ is None:
        raise not_found(
            f"XCom with key={key!r} map_index={map_index} not found for task {task_id!r} in DAG run {run_id!r}"
            f" of {dag_id!r}"
        )
    return stored(body(reply_))


@router.post(_TASK)
async def set_(
    asking: Asking,
    request: Request,
    dag_id: str,
    run_id: str,
    task_id: str,
    key: Key,
    map_index: int = -1,
    mapped_length: int | None = None,
) -> Response:
    """Store one of the attempt's own values."""
    message = {
        **_address(dag_id, run_id, task_id, key),
        "map_index": map_index,
        "mapped_length": mapped_length,
        "value": await _value(request),
    }
    await asking.ask("SetXCom", message)
    return reply({"message": "XCom successfully set"}, 201)


@router.delete(_TASK)
async def delete(asking: Asking, dag_id: str, run_id: str, task_id: str, key: Key, map_index: int = -1) -> Response:
    """Delete one of the attempt's own values."""
    await asking.ask("DeleteXCom", {**_address(dag_id, run_id, task_id, key), "map_index": map_index})
    return reply({"message": f"XCom with key: {key} successfully deleted."})


async def _value(request: Request) -> Any:
    try:
        return values.decode(await request.body() or None)
    except (ValueError, RecursionError) as error:
        raise HTTPException(422, f"The XCom's value is not valid JSON: {error}") from None


def _address(dag_id: str, run_id: str, task_id: str, key: str) -> dict[str, Any]:
    return {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "key": key}
