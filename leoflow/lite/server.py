"""uvicorn inside this process, on a socket that was bound before anything started."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

GRACE_SECONDS = 2


class Server(uvicorn.Server):
    """A uvicorn server that leaves the signals to us and says when it answers."""

    def __init__(self, config: uvicorn.Config, ready: asyncio.Event) -> None:
        super().__init__(config)
        self._ready = ready
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """End `serve` at once, after the requests that are open."""
        self.should_exit = True
        self._stop.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start answering."""
        await super().startup(sockets)
        self._ready.set()

    async def main_loop(self) -> None:
        """Renew the Date header once a second; uvicorn's own loop wakes ten times as often to see whether to stop."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._stop.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no handlers."""
        yield


async def serve(app: ASGIApp, bound: socket.socket, ready: asyncio.Event) -> None:
    """Serve until cancelled; then finish open requests for a moment. May be called again with the same socket."""
    loopback = bound.getsockname()[0] in ("127.0.0.1", "::1")
    config = uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        lifespan="on",
        proxy_headers=not loopback,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = Server(config, ready)
    task = asyncio.create_task(server.serve(sockets=[bound.dup()]), name="uvicorn")
    try:
        await asyncio.shield(task)
    finally:
        server.stop()
        with contextlib.suppress(asyncio.CancelledError):
            await task
