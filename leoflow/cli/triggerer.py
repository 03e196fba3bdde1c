"""`leoflow triggerer`: runs the triggers of deferred tasks, as a process of a cluster."""

from typing import Annotated

import typer

app = typer.Typer(rich_markup_mode=None)


@app.command(epilog="Example: LEOFLOW_DATABASE_URL=postgresql://… leoflow triggerer --capacity 5000")
def triggerer(
    capacity: Annotated[int | None, typer.Option(help="Triggers to run at the same time.", min=1)] = None,
    queue: Annotated[
        list[str] | None,
        typer.Option(help="Serve only triggers deferred to this queue; may be repeated. Default: all."),
    ] = None,
) -> None:
    """Run what deferred tasks wait for; run as many as you like. A killed one's triggers go to another."""
    from leoflow.cli.cluster import run_process
    from leoflow.config import Settings
    from leoflow.db import Pool
    from leoflow.lite.interpreters import Interpreters
    from leoflow.triggerer import Triggerer
    from leoflow.worker.launchers.process import ForkServerLauncher

    async def work(pool: Pool, dsn: str, settings: Settings) -> None:
        if capacity is not None:
            own = settings.triggerer.model_copy(update={"capacity": capacity})
            settings = settings.model_copy(update={"triggerer": own})
        timeout = settings.environments.build_timeout_seconds
        interpreters = Interpreters(settings.home, pool, timeout=timeout, progress=lambda _: None)
        launcher = ForkServerLauncher(
            interpreters.python_of, settings.home, shares_secrets=settings.secrets.access != "declared"
        )
        try:
            await Triggerer(pool, settings, launcher.fork_trigger_runner, dsn=dsn, queues=queue or None).run()
        finally:
            await launcher.close()

    run_process("triggerer", work)
