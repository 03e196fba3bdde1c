"""What the API asks of hot reload: the UI's button that loads a file again."""

from pathlib import Path

from leoflow.db import Listener
from leoflow.lite.reload import Reloader

CHANNEL = "leoflow_reparse"


async def follow_requests(dsn: str, reloader: Reloader) -> None:
    """Load again each file that is named in a notification, until cancelled."""
    async with Listener(dsn, [CHANNEL], application_name="leoflow-reload-listen") as listener:
        while True:
            for notification in await listener.wait(None):
                if notification.payload:
                    await reloader.again(Path(notification.payload))
