"""`leoflow worker`: runs attempts on this machine, as a process of a cluster."""

from typing import Annotated

import typer

app = typer.Typer(rich_markup_mode=None)


@app.command(epilog="Example: LEOFLOW_DATABASE_URL=postgresql://… leoflow worker --slots 16 --queue gpu")
def worker(
    slots: Annotated[int | None, typer.Option(help="Attempts to run at the same time.", min=1)] = None,
    queue: Annotated[list[str] | None, typer.Option(help="Queue to serve; may be repeated. Default: all.")] = None,
) -> None:
    """Claim attempts and run them here; run as many as you like. SIGTERM lets running attempts finish."""
    import asyncio

    from leoflow.cli.cluster import run_process
    from leoflow.config import Settings
    from leoflow.db import Pool
    from leoflow.lite.interpreters import Interpreters
    from leoflow.worker.launchers.process import ForkServerLauncher
    from leoflow.worker.worker import Worker

    async def work(pool: Pool, dsn: str, settings: Settings) -> None:
        timeout = settings.environments.build_timeout_seconds
        interpreters = Interpreters(settings.home, pool, timeout=timeout, progress=lambda _: None)
        launcher = ForkServerLauncher(
            interpreters.python_of, settings.home, shares_secrets=settings.secrets.access != "declared"
        )
        running = Worker(pool, settings, launcher, dsn=dsn, queues=queue or None)
        service = asyncio.ensure_future(running.run())
        try:
            await asyncio.shield(service)
        except asyncio.CancelledError:
            await running.drain()
            raise
        finally:
            service.cancel()
            await asyncio.wait({service})

    run_process("worker", work, slots=slots)
