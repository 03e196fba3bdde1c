"""The SQL engine alone: databases, DAGs of no-op tasks, and workers that only claim and finish.

A worker is a process with one connection that claims a batch and finishes it, both through the functions the product's
worker calls; it reads whole answers but decodes only the keys. Nothing runs in between.
"""

import asyncio
import contextlib
import json
import multiprocessing
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier

from leoflow.db import migrate
from leoflow.db.embedded import EmbeddedPostgres

Connection = psycopg.Connection[Any]
XCOM = b'{"score": 0.5}'

_CLAIM = "select run_key, task_idx, map_index, attempt_id from leoflow_core.claim(%s, %s, '{default}')"
_FINISH = """
select f.outcome, (f.attempt).run_key, (f.attempt).task_idx, (f.attempt).map_index, (f.attempt).attempt_id
from leoflow_core.finish(%s, %s::bigint[], %s::int[], %s::int[], %s::uuid[], array_fill('success'::text, array[%s]),
    p_xcom_items => %s::int[], p_xcom_keys => array_fill('return_value'::text, array[%s]),
    p_xcom_values => array_fill(%s::bytea, array[%s]), p_handoff => %s) as f
"""


class Server:
    """A Postgres of its own, with the product's settings."""

    def __init__(self, scratch: Path) -> None:
        self._embedded = EmbeddedPostgres(scratch / "engine-postgres")
        self.dsn = asyncio.run(self._embedded.start())
        self.bin = asyncio.run(self._embedded.prepare()).directory

    def stop(self) -> None:
        """Stop it; its data stays in the scratch directory."""
        asyncio.run(self._embedded.stop())

    def restart(self) -> None:
        """Stop it and start it again."""
        self.stop()
        asyncio.run(self._embedded.start())

    def execute(self, statement: str) -> None:
        """A statement outside any database under test."""
        with psycopg.connect(self.dsn, autocommit=True) as admin:
            admin.execute(SQL(statement))  # type: ignore[arg-type]

    def database(self, name: str, template: str | None = None) -> str:
        """The DSN of a database made anew, migrated unless it is a copy."""
        with psycopg.connect(self.dsn, autocommit=True) as admin:
            admin.execute(SQL("drop database if exists {} with (force)").format(Identifier(name)))
            admin.execute(
                SQL("create database {} template {}").format(Identifier(name), Identifier(template or "template0"))
            )
        dsn = make_conninfo(self.dsn, dbname=name)
        if template is None:
            asyncio.run(migrate.upgrade(dsn))
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute("update leoflow_core.pool set slots = -1")
                connection.execute("select leoflow_core.maintain_partitions()")
        return dsn


@contextlib.contextmanager
def server(scratch: Path) -> Iterator[Server]:
    """A server until the block ends."""
    started = Server(scratch)
    try:
        yield started
    finally:
        started.stop()


def dag(dag_id: str, tasks: list[dict[str, Any]]) -> dict[str, Any]:
    """A spec whose limits are out of the way."""
    limits = {"max_active_tasks": 1_000_000, "max_active_runs": 1_000_000, "is_paused_upon_creation": False}
    return {"dag_id": dag_id, "tasks": tasks, **limits}


def wide(count: int, *, reduce: bool = False) -> dict[str, Any]:
    """Independent tasks, with one reduce over all of them if asked for."""
    names = [f"trial{i:05}" for i in range(count)]
    tasks: list[dict[str, Any]] = [{"task_id": name, "depends_on": []} for name in names]
    if reduce:
        tasks.insert(0, {"task_id": "best", "depends_on": names, "xcom_input": {"scores": names}})
    return dag("reduced" if reduce else "wide", tasks)


def chain(count: int) -> dict[str, Any]:
    """Tasks one after the other."""
    names = [f"t{i:03}" for i in range(count)]
    befores = [[], *([name] for name in names)]
    return dag("chain", [{"task_id": n, "depends_on": b} for n, b in zip(names, befores, strict=False)])


def register(connection: Connection, spec: dict[str, Any]) -> None:
    """Register a spec; statistics are as after its registration."""
    connection.execute("select leoflow_core.register_version(p_spec => %s)", [json.dumps(spec)])


def create_runs(connection: Connection, dag_id: str, count: int) -> float:
    """Create runs one by one; returns the seconds it took."""
    started = time.perf_counter()
    for _ in range(count):
        connection.execute(
            "select leoflow_core.create_run(%s, p_run_id => gen_random_uuid()::text)", [dag_id], prepare=True
        )
    return time.perf_counter() - started


def _work(dsn: str, batch: int, handoff: int, begin: Any, results: Any) -> None:
    """One worker: claim and finish until nothing is claimable; reports transitions and claim times."""
    with psycopg.connect(dsn, autocommit=True, prepare_threshold=0) as connection:
        worker = connection.execute("select leoflow_core.register_worker('bench', 1, 1000)").fetchone()[0]  # type: ignore[index]
        connection.execute("update leoflow_core.worker set lease_until = 'infinity' where worker_key = %s", [worker])
        begin.wait()
        done, claims, idle = 0, [], 0
        while idle < 3:
            started = time.perf_counter()
            found = connection.execute(_CLAIM, (worker, batch)).fetchall()
            claims.append(time.perf_counter() - started)
            idle = 0 if found else idle + 1
            while found:
                keys = [list(column) for column in zip(*found, strict=True)]
                n = len(found)
                values = (worker, *keys, n, list(range(1, n + 1)), n, XCOM, n, handoff)
                outcomes = connection.execute(_FINISH, values).fetchall()
                done += n
                found = [rest for outcome, *rest in outcomes if outcome == "handed"]
            if idle:
                time.sleep(0.002)
        results.put((done, claims, time.perf_counter()))


def drain(dsn: str, *, connections: int, batch: int, handoff: int = 0) -> tuple[float, list[float]]:
    """Run everything claimable; returns transitions (a claim with its finish) per second and the claims' seconds."""
    context = multiprocessing.get_context("fork")
    begin, results = context.Barrier(connections + 1), context.Queue()
    workers = [
        context.Process(target=_work, args=(dsn, batch, handoff, begin, results), daemon=True)
        for _ in range(connections)
    ]
    for worker in workers:
        worker.start()
    begin.wait()
    started = time.perf_counter()
    reports = [results.get(timeout=900) for _ in workers]
    for worker in workers:
        worker.join()
    ended = max(moment for _, _, moment in reports)
    return sum(done for done, _, _ in reports) / (ended - started), [one for _, claims, _ in reports for one in claims]


def unfinished(dsn: str) -> int:
    """Instances that are not final: 0 after a drain."""
    with psycopg.connect(dsn) as connection:
        query = "select count(*) from leoflow_core.task_instance where not leoflow_core.is_final(state)"
        return int(connection.execute(query).fetchone()[0])  # type: ignore[index]


def pgbench(server_: Server, connections: int, seconds: int = 10) -> float:
    """The yardstick: pgbench's simple-update transactions per second on a database of its own."""
    dsn = make_conninfo(server_.dsn, dbname="pgbench")
    with psycopg.connect(server_.dsn, autocommit=True) as admin:
        exists = admin.execute("select from pg_database where datname = 'pgbench'").fetchone()
        if exists is None:
            admin.execute("create database pgbench")
            subprocess.run([server_.bin / "pgbench", "-i", "-q", "-s", "10", dsn], check=True, capture_output=True)
    command = ["-N", "-c", str(connections), "-j", str(min(connections, 2)), "-T", str(seconds), "-n", dsn]
    ran = subprocess.run([server_.bin / "pgbench", *command], check=True, capture_output=True, text=True)
    return float(re.search(r"tps = ([\d.]+)", ran.stdout).group(1))  # type: ignore[union-attr]
