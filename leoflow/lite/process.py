"""The composition root of Lite: what starts in which order, and what stops when."""

import asyncio
import contextlib
import functools
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from leoflow.api.app import create_app
from leoflow.api.settings import ApiSettings
from leoflow.config import Settings
from leoflow.db import Pool
from leoflow.db.embedded import EmbeddedPostgres
from leoflow.environments.airflow_ui import ensure_ui
from leoflow.lite import lock
from leoflow.lite.admin import ensure_admin
from leoflow.lite.data import database, keep_server
from leoflow.lite.interpreters import Interpreters
from leoflow.lite.local_worker import LocalWorker
from leoflow.lite.registry import Registry
from leoflow.lite.reload import Observer, Reloader
from leoflow.lite.requests import follow_requests
from leoflow.lite.server import serve
from leoflow.lite.stopping import stop_on_signals
from leoflow.os_errors import explain_os_error
from leoflow.scheduler.scheduler import Scheduler, retire_earlier_workers
from leoflow.supervision import Part, running
from leoflow.triggerer import Triggerer


@dataclass(frozen=True, slots=True)
class Ready:
    """What a user needs to know once everything answers."""

    url: str
    path: Path
    home: Path
    slots: int
    new_password: str | None


class Terminal(Observer, Protocol):
    """Shows a person what happens."""

    def step(self, text: str) -> None:
        """Something that may take a while begins, or goes on."""

    def ready(self, facts: Ready) -> None:
        """Everything answers."""

    def stopping(self) -> None:
        """Ctrl-C arrived."""


async def run(settings: Settings, path: Path, terminal: Terminal) -> None:
    """Run Lite on `path` until Ctrl-C.

    Raises:
        LeoflowError: it cannot start; what had started is stopped again.
    """
    postgres = None if settings.dsn else EmbeddedPostgres(settings.home, bin_dir=settings.postgres.bin_dir)

    def force() -> None:
        if postgres is not None:
            postgres.kill()

    give_up = settings.worker.drain_seconds + 45
    async with stop_on_signals(terminal.stopping, force, give_up_seconds=give_up):
        with (
            explain_os_error(settings.home),
            lock.hold_home(settings.home) as held,
            contextlib.closing(lock.bind(settings.host, settings.port)) as port,
        ):
            url = _url(settings.host, port.getsockname()[1])
            lock.tell(held, url)
            async with database(settings, postgres, terminal.step) as (dsn, pool):
                keeper: dict[str, Part] = {"database": functools.partial(keep_server, postgres)} if postgres else {}
                async with running(keeper):
                    await _serve(settings, path, dsn, pool, port, url, terminal)


async def _serve(
    settings: Settings, path: Path, dsn: str, pool: Pool, port: socket.socket, url: str, terminal: Terminal
) -> None:
    """Provision what is missing, start every part, say that it is ready, and go on until cancelled."""
    if settings.dsn is None:
        await retire_earlier_workers(pool)
    password = await ensure_admin(pool, settings.home)
    terminal.step("user interface")
    ui = await ensure_ui(settings.home, terminal.step)
    timeout = settings.environments.build_timeout_seconds
    interpreters = Interpreters(settings.home, pool, timeout=timeout, progress=terminal.step)
    terminal.step("Python environment")
    await interpreters.python_of(None)
    answers = asyncio.Event()
    api = ApiSettings(
        home=settings.home,
        host=settings.host,
        ui_directory=ui,
        lite=True,
        xcom_limit_bytes=settings.worker.xcom_limit_bytes,
        max_map_length=settings.worker.max_map_length,
        secrets=settings.secrets,
        log_store_url=settings.logs.store_url,
        base_url=url,
    )
    app = create_app(pool, api)
    worker = LocalWorker(settings, pool, dsn, interpreters, url)
    interpreters.use(worker.loader)
    registry = Registry(pool, paused=settings.lite.pause_new_dags)
    parallel = settings.lite.parallel_loads
    reloader = Reloader(path, settings.home, registry, interpreters.of_project, terminal, parallel)
    parts: dict[str, Part] = {
        "web server": functools.partial(serve, app, port, answers),
        "scheduler": Scheduler(pool, dsn, settings, worker, kinds=("scheduler", "dag_processor")).run,
        "worker": worker.run,
        "triggerer": lambda: Triggerer(pool, settings, worker.fork_trigger_runner, dsn=dsn).run(),
        "hot reload": reloader.run,
        "reload requests": functools.partial(follow_requests, dsn, reloader),
    }
    try:
        async with running(parts):
            await answers.wait()
            terminal.ready(Ready(url, path, settings.home, worker.slots, password))
            await asyncio.Event().wait()
    finally:
        await worker.close()


def _url(host: str, port: int) -> str:
    shown = {"0.0.0.0": "localhost", "::": "localhost", "127.0.0.1": "localhost", "::1": "localhost"}.get(host, host)
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"
