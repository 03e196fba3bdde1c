"""Runs in the queues' environment: enqueue no-op jobs in PGQueuer, drain them with several workers, print the rate."""

import asyncio
import json
import multiprocessing
import sys
import time

import asyncpg
from pgqueuer.db import AsyncpgDriver
from pgqueuer.qm import QueueManager
from pgqueuer.queries import Queries
from pgqueuer.types import QueueExecutionMode
from psycopg.conninfo import conninfo_to_dict


async def connect(dsn: str, database: str) -> asyncpg.Connection:
    """A connection to the peer's own database."""
    words = conninfo_to_dict(dsn)
    return await asyncpg.connect(
        user=words.get("user"), host=words["host"], port=int(words.get("port") or 5432), database=database
    )


async def fill(dsn: str, database: str, jobs: int) -> None:
    """Install the schema and enqueue the jobs."""
    queries = Queries(AsyncpgDriver(await connect(dsn, database)))
    await queries.install()
    await queries.enqueue(["noop"] * jobs, [b"{}"] * jobs, [0] * jobs)


async def work(dsn: str, database: str) -> None:
    """One worker, until the queue is empty."""
    manager = QueueManager(Queries(AsyncpgDriver(await connect(dsn, database))))

    @manager.entrypoint("noop")
    async def noop(job: object) -> None:
        del job

    await manager.run(batch_size=100, mode=QueueExecutionMode.drain)


async def count(dsn: str, database: str) -> int:
    """Jobs that were not done."""
    return int(await (await connect(dsn, database)).fetchval("select count(*) from pgqueuer"))


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
    seconds = time.perf_counter() - started
    if left := asyncio.run(count(dsn, database)):
        raise RuntimeError(f"{left} jobs are left")
    sys.stdout.write(json.dumps({"jobs_per_second": jobs / seconds}) + "\n")


if __name__ == "__main__":
    main()
