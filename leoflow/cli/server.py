"""`leoflow server`: the API and UI, as a process of a cluster."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(rich_markup_mode=None)


@app.command(epilog="Example: LEOFLOW_DATABASE_URL=postgresql://… leoflow server --host 0.0.0.0")
def server(
    port: Annotated[int | None, typer.Option(help="Port of the UI and API; default 8088.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; default 127.0.0.1.")] = None,
    home: Annotated[Path | None, typer.Option(help="Where the UI's files and secrets are.")] = None,
) -> None:
    """Serve the API and UI; run as many as you like, with the same secrets."""
    import asyncio

    from leoflow.api.app import create_app
    from leoflow.api.settings import ApiSettings
    from leoflow.cli.cluster import run_process
    from leoflow.config import Settings
    from leoflow.db import Pool
    from leoflow.environments.airflow_ui import ensure_ui
    from leoflow.lite import lock
    from leoflow.lite.server import serve

    async def work(pool: Pool, dsn: str, settings: Settings) -> None:
        del dsn
        with lock.bind(settings.host, settings.port) as bound:
            ui = await ensure_ui(settings.home)
            api = ApiSettings(
                home=settings.home,
                host=settings.host,
                ui_directory=ui,
                xcom_limit_bytes=settings.worker.xcom_limit_bytes,
                max_map_length=settings.worker.max_map_length,
                secrets=settings.secrets,
                log_store_url=settings.logs.store_url,
            )
            await serve(create_app(pool, api), bound, asyncio.Event())

    run_process("server", work, home=home, port=port, host=host)
