"""Assets and their events."""

import datetime as dt
from typing import Any

from fastapi import Response

from leoflow.api.execution.answers import reply
from leoflow.api.execution.answers import router as make_router
from leoflow.api.execution.caller import Asking
from leoflow.execution.faults import FaultError, not_found, refused

router = make_router("")


@router.get("/assets/by-name")
async def by_name(asking: Asking, name: str) -> Response:
    """Return an asset."""
    return await _asset(asking, "GetAssetByName", {"name": name}, f"Asset with name {name} not found")


@router.get("/assets/by-uri")
async def by_uri(asking: Asking, uri: str) -> Response:
    """Return an asset."""
    return await _asset(asking, "GetAssetByUri", {"uri": uri}, f"Asset with URI {uri} not found")


@router.get("/asset-events/by-asset")
async def events_by_asset(
    asking: Asking,
    name: str | None = None,
    uri: str | None = None,
    after: dt.datetime | None = None,
    before: dt.datetime | None = None,
    ascending: bool = True,
    limit: int | None = None,
) -> Response:
    """Return events of an asset."""
    if not name and not uri:
        raise refused("name and uri cannot both be None", 400, reason="Missing parameter")
    message = {"name": name, "uri": uri, **_window(after, before, ascending, limit)}
    return reply(await asking.ask("GetAssetEventByAsset", message))


@router.get("/asset-events/by-asset-alias")
async def events_by_alias(
    asking: Asking,
    name: str,
    after: dt.datetime | None = None,
    before: dt.datetime | None = None,
    ascending: bool = True,
    limit: int | None = None,
) -> Response:
    """Return events that came through an alias."""
    message = {"alias_name": name, **_window(after, before, ascending, limit)}
    return reply(await asking.ask("GetAssetEventByAssetAlias", message))


async def _asset(asking: Asking, kind: str, message: dict[str, Any], missing: str) -> Response:
    try:
        return reply(await asking.ask(kind, message))
    except FaultError as fault:
        if fault.kind != "ASSET_NOT_FOUND":
            raise
        raise not_found(missing) from fault


def _window(
    after: dt.datetime | None, before: dt.datetime | None, ascending: bool, limit: int | None
) -> dict[str, Any]:
    return {"after": after, "before": before, "ascending": ascending, "limit": limit}
