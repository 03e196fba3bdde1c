"""`leoflow scheduler`: the duties of time, as a process of a cluster."""

import typer

app = typer.Typer(rich_markup_mode=None)


@app.command(epilog="Example: LEOFLOW_DATABASE_URL=postgresql://… leoflow scheduler")
def scheduler() -> None:
    """Create due runs, place lost attempts again, time out and clean up; run as many as you like."""
    from leoflow.cli.cluster import run_process
    from leoflow.config import Settings
    from leoflow.db import Pool
    from leoflow.execution.context import Store
    from leoflow.lite.interpreters import Interpreters
    from leoflow.scheduler.scheduler import Scheduler
    from leoflow.worker.launchers.process import ForkServerLauncher
    from leoflow.worker.launchers.usercode import ForkedUserCode

    async def work(pool: Pool, dsn: str, settings: Settings) -> None:
        timeout = settings.environments.build_timeout_seconds
        interpreters = Interpreters(settings.home, pool, timeout=timeout, progress=lambda _: None)
        launcher = ForkServerLauncher(interpreters.python_of, settings.home)
        store = Store.of(pool, settings)
        try:
            await Scheduler(pool, dsn, settings, ForkedUserCode(launcher, settings.home, store)).run()
        finally:
            await launcher.close()

    run_process("scheduler", work)
