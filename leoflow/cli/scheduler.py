"""`leoflow scheduler`: the duties of time, as a process of a cluster."""

import typer

app = typer.Typer(rich_markup_mode=None)


@app.command(epilog="Example: LEOFLOW_DATABASE_URL=postgresql://… leoflow scheduler")
def scheduler() -> None:
    """Create due runs, place lost attempts again, time out and clean up; run as many as you like."""
    from leoflow.cli.cluster import run_process
    from leoflow.config import Settings
    from leoflow.db import Pool
    from leoflow.scheduler.scheduler import Scheduler

    async def work(pool: Pool, dsn: str, settings: Settings) -> None:
        await Scheduler(pool, dsn, settings).run()

    run_process("scheduler", work)
