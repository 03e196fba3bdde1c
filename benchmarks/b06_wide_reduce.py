"""B6, wide reduce in the engine alone: 10,000 trials and one reduce over all of them."""

import psycopg

from benchmarks.engine import Server, create_runs, drain, register, server, unfinished, wide
from benchmarks.harness import Options, Report

TITLE = "B6 wide reduce: 10,000 trials into one reduce, engine only"
TRIALS = 10_000
SINGLE_TRIALS = 2_000
SLOW_COMMIT = ("commit_delay = 2000", "commit_siblings = 0")
"""Every flush of the log waits 2 ms first, as on a disk that takes that long."""


def sample(on: Server, trials: int, *, reduce: bool, connections: int, batch: int) -> tuple[float, float, float, bool]:
    """Seconds to create the run, transitions per second, WAL bytes per task, whether the reducer became ready."""
    dsn = on.database("b06", template="b06_template")
    name = "reduced" if reduce else "wide"
    with psycopg.connect(dsn, autocommit=True) as connection:
        register(connection, wide(trials, reduce=reduce))
        connection.execute("vacuum leoflow_core.task")  # what registration leaves is not the run's
        connection.execute("checkpoint")
        before = connection.execute("select pg_current_wal_insert_lsn()").fetchone()[0]  # type: ignore[index]
        seconds = create_runs(connection, name, 1)
        # nobody takes the reducer: it is in another queue
        if reduce:
            connection.execute("insert into leoflow_core.queue (name) values ('later')")
            connection.execute(
                "update leoflow_core.task_instance set queue_key = (select max(queue_key) from leoflow_core.queue) "
                "where state is null"
            )
    rate, _ = drain(dsn, connections=connections, batch=batch)
    with psycopg.connect(dsn, autocommit=True) as connection:
        query = "select pg_current_wal_insert_lsn() - %s::pg_lsn"
        wal = float(connection.execute(query, [before]).fetchone()[0])  # type: ignore[index]
        left = connection.execute(
            "select state::text from leoflow_core.task_instance where not leoflow_core.is_final(state)"
        ).fetchall()
    if not reduce and unfinished(dsn):
        raise RuntimeError("instances are unfinished")
    return seconds, rate, wal / trials, left == [("scheduled",)]


def compare(on: Server, report: Report, repeat: int, name: str, trials: int, connections: int, batch: int) -> None:
    """The rate with a reduce over the rate without, sample by sample."""
    ratios = []
    for _ in range(repeat):
        _, alone, _, _ = sample(on, trials, reduce=False, connections=connections, batch=batch)
        _, reduced, _, ready = sample(on, trials, reduce=True, connections=connections, batch=batch)
        if not ready:
            raise RuntimeError("the reducer did not become ready with the last trial")
        ratios.append(reduced / alone)
    report.add(name, "x", ratios, ">= 0.9")


def run(options: Options) -> Report:
    """Create, drain in batches, and drain one at a time with a slow commit."""
    report = Report(TITLE, "the server's processor time; with one task per commit, the flush of the log")
    with server(options.scratch) as on:
        on.database("b06_template")
        samples = [sample(on, TRIALS, reduce=True, connections=4, batch=100) for _ in range(options.repeat)]
        report.add("create the run", "ms", [1000 * one[0] for one in samples], "<= 60")
        report.add("transitions, batches of 100, 4 connections", "1/s", [one[1] for one in samples])
        report.add("WAL per task with a small XCom", "B", [one[2] for one in samples], "<= 800")
        report.add("reducer ready with the last trial", "share", [float(one[3]) for one in samples], "1")
        compare(on, report, options.repeat, "with / without reduce, batches of 100", TRIALS, 4, 100)
        for setting in SLOW_COMMIT:
            on.execute(f"alter system set {setting}")
        on.execute("select pg_reload_conf()")
        try:
            name = "with / without reduce, 8 workers, one at a time, 2 ms commit"
            compare(on, report, options.repeat, name, SINGLE_TRIALS, 8, 1)
        finally:
            on.execute("alter system reset all")
            on.execute("select pg_reload_conf()")
    return report
