"""Assets: answered, though what stands behind them comes later."""

from leoflow.execution.context import AttemptContext, Message, Reply, Store
from leoflow.execution.faults import FaultError


async def get_asset(_store: Store, _attempt: AttemptContext, message: Message) -> Reply:
    """Answer that the asset is unknown.

    Raises:
        FaultError: ASSET_NOT_FOUND.
    """
    wanted = {name: message[name] for name in ("name", "uri") if message.get(name)}
    raise FaultError("ASSET_NOT_FOUND", wanted, expected=True)


async def get_asset_events(_store: Store, _attempt: AttemptContext, _message: Message) -> Reply:
    """Return the events of an asset: none are recorded."""
    return {"type": "AssetEventsResult", "asset_events": []}


async def validate_inlets_and_outlets(_store: Store, _attempt: AttemptContext, _message: Message) -> Reply:
    """Return the inactive assets among a task's inlets and outlets: none is ever inactive."""
    return {"type": "InactiveAssetsResult", "inactive_assets": []}
