"""B9, growth: the engine's rate with nothing, one million and ten million finished instances in history."""

import os

import psycopg

from benchmarks.engine import Server, create_runs, drain, register, server, unfinished, wide
from benchmarks.harness import Options, Report

TITLE = "B9 growth: B5 (wide, batches of 100, 4 connections) with finished instances in history"
MILLIONS = tuple(float(n) for n in os.environ.get("LEOFLOW_BENCH_MILLIONS", "0,1,10").split(","))
"""Millions of finished instances of each database, the first of them empty."""
TASKS = 10_000
FILL = """
insert into leoflow_core.dag_run (
    run_key, dag_key, version_key, run_id, run_type, state, remaining, instance_count, run_after, queued_at, end_date,
    archived_at
)
select n, d.dag_key, d.current_version_key, 'old' || n, 'manual', 'success', 0, 10000, now(), now(), now(), now()
from leoflow_core.dag as d, generate_series(1, %(runs)s) as n;
insert into leoflow_core.task_instance_history (
    run_key, version_key, task_idx, state, trigger_rule, priority, queue_key, pool_key, pool_slots, max_tries,
    upstreams, is_leaf, is_counted, feeds_slots, has_downstream, is_gated, attempt_id, worker_key, try_number,
    start_date, end_date
)
select
    r, d.current_version_key, i, 'success', 'all_success', 1, 1, 1, 1, 0, 0, true, true, false, false, false,
    gen_random_uuid(), 1, 1, now(), now()
from leoflow_core.dag as d, generate_series(1, %(runs)s) as r, generate_series(0, 9999) as i;
"""


def filled(on: Server, millions: float) -> str:
    """The name of a database with a wide DAG and that much history."""
    name = f"b09_{millions:g}m"
    dsn = on.database(name)
    with psycopg.connect(dsn, autocommit=True) as connection:
        register(connection, wide(TASKS))
        for statement in filter(None, map(str.strip, FILL.split(";"))):
            connection.execute(statement, {"runs": round(millions * 100)}, prepare=False)  # type: ignore[arg-type]
        connection.execute("vacuum (analyze)")
    return dsn


def sample(dsn: str) -> float:
    """The rate of one more wide run, moved to history afterwards."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        create_runs(connection, "wide", 1)
    rate, _ = drain(dsn, connections=4, batch=100)
    if unfinished(dsn):
        raise RuntimeError("instances are unfinished")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("update leoflow_core.setting set value = '-1' where key = 'history_after_seconds'")
        connection.execute("select leoflow_core.archive_runs()")
        connection.execute("vacuum leoflow_core.task_instance")
    return rate


def run(options: Options) -> Report:
    """Fill the databases first, then sample them in turn, so that a slow minute hits all of them."""
    report = Report(TITLE, "the hot tables hold unfinished and just finished runs only, whatever history holds")
    with server(options.scratch) as on:
        databases = {millions: filled(on, millions) for millions in MILLIONS}
        rates: dict[float, list[float]] = {millions: [] for millions in MILLIONS}
        for _ in range(options.repeat):
            for millions, dsn in databases.items():
                rates[millions].append(sample(dsn))
        found = {m: report.add(f"{m:g} million finished", "1/s", rates[m]) for m in MILLIONS}
        for millions in MILLIONS[1:]:
            ratio = found[millions].median / found[0].median
            report.add(f"{millions:g} million / none", "x", [ratio], ">= 0.95")
    return report
