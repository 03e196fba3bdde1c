"""In the queues' environment: defer no-op jobs in procrastinate, drain them with several workers, print the rate."""

import asyncio
import json
import multiprocessing
import sys
import time

from procrastinate import App, PsycopgConnector
from psycopg.conninfo import make_conninfo


def application(dsn: str, database: str) -> App:
    """An app on the peer's own database."""
    app = App(connector=PsycopgConnector(conninfo=make_conninfo(dsn, dbname=database)))

    @app.task(name="noop")
    async def noop() -> None:
        return None

    return app


async def fill(dsn: str, database: str, jobs: int) -> None:
    """Install the schema and defer the jobs."""
    app = application(dsn, database)
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        await app.configure_task("noop").batch_defer_async(*[{} for _ in range(jobs)])


async def work(dsn: str, database: str) -> None:
    """One worker, until the queue is empty."""
    app = application(dsn, database)
    async with app.open_async():
        await app.run_worker_async(wait=False, concurrency=100, install_signal_handlers=False, listen_notify=False)


def main() -> None:
    """DSN, database, number of jobs, number of workers."""
    dsn, database, jobs, workers = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    asyncio.run(fill(dsn, database, jobs))
    processes = [multiprocessing.Process(target=lambda: asyncio.run(work(dsn, database))) for _ in range(workers)]
    started = time.perf_counter()
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    sys.stdout.write(json.dumps({"jobs_per_second": jobs / (time.perf_counter() - started)}) + "\n")


if __name__ == "__main__":
    main()
