"""B5, engine transitions: claim and finish of no-op instances, beside pgbench, PGQueuer and procrastinate."""

import psycopg

from benchmarks.engine import Server, chain, create_runs, drain, pgbench, register, server, unfinished, wide
from benchmarks.harness import Options, Report
from benchmarks.peers.queues import jobs_per_second

TITLE = "B5 engine: claims with finishes per second (a small XCom each), by shape, connections and batch"
INSTANCES = {1: 1_000, 10: 4_000, 100: 10_000}
"""How many instances one sample runs, by batch."""
SHAPES = ("wide", "chain", "small runs")


def prepare(dsn: str, shape: str, instances: int) -> None:
    """Register a DAG of the shape and create its runs."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        if shape == "wide":
            register(connection, wide(min(instances, 10_000)))
            create_runs(connection, "wide", max(1, instances // 10_000))
        else:
            length = 50 if shape == "chain" else 5
            register(connection, chain(length))
            create_runs(connection, "chain", instances // length)


def rate(on: Server, shape: str, connections: int, batch: int) -> float:
    """Transitions per second on a fresh copy of the migrated database."""
    dsn = on.database("b05", template="b05_template")
    prepare(dsn, shape, INSTANCES[batch])
    found, _ = drain(dsn, connections=connections, batch=batch, handoff=0 if shape == "wide" else batch)
    if left := unfinished(dsn):
        raise RuntimeError(f"{left} instances of {shape} are unfinished")
    return found


def run(options: Options) -> Report:
    """Measure every combination of connections and batch on one wide run, the other shapes on four connections."""
    report = Report(
        TITLE, "processor time of the server: both cores are busy with batches; with single ones the commit"
    )
    with server(options.scratch) as on:
        on.database("b05_template")
        tps = {n: report.add(f"pgbench -N, {n} connections", "tx/s", [pgbench(on, n)]) for n in (1, 2, 4, 8)}
        found = {}
        for batch in (1, 10, 100):
            for connections in (1, 2, 4, 8):
                samples = [rate(on, "wide", connections, batch) for _ in range(options.repeat)]
                found[batch, connections] = report.add(
                    f"wide, batch {batch}, {connections} connections", "1/s", samples
                )
        for shape in SHAPES[1:]:
            for batch in (1, 100):
                samples = [rate(on, shape, 4, batch) for _ in range(options.repeat)]
                report.add(f"{shape}, batch {batch}, 4 connections", "1/s", samples)
        tps4 = report.add("pgbench -N, 4 connections, afterwards", "tx/s", [pgbench(on, 4)]).median
        tps4 = (tps4 + tps[4].median) / 2
        report.add("batches of 100 / pgbench, 4 connections", "x", [found[100, 4].median / tps4], ">= 10")
        report.add("single / pgbench, 4 connections", "x", [found[1, 4].median / tps4], ">= 0.7")
        if options.peer:
            for name, target in (("pgqueuer", ">= 8"), ("procrastinate", ">= 50")):
                theirs = report.add(name, "jobs/s", [jobs_per_second(on, name, options.scratch)])
                report.add(f"batches of 100 / {name}", "x", [found[100, 4].median / theirs.median], target)
    return report
