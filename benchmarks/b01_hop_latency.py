"""B1, hop latency: a chain of no-op tasks; from one task's user code to the next one's."""

from itertools import pairwise

from benchmarks.airflow_api import AirflowApi, FinishedRun
from benchmarks.harness import Options, Report, percentile
from benchmarks.systems import measured_lite, measured_peer

TITLE = "B1 hop latency: chain of 50 no-op tasks (peer: 10)"


def hops(run: FinishedRun) -> list[float]:
    """Milliseconds between the user code of consecutive tasks of a finished chain."""
    if run.state != "success":
        raise RuntimeError(f"the chain ended {run.state}")
    times = sorted(run.values.values())
    return [(later - earlier) * 1000 for earlier, later in pairwise(times)]


def chains(api: AirflowApi, repeat: int) -> list[list[float]]:
    """Hop latencies of several runs, after one that warms caches up."""
    api.wait_for_dag("bench_chain")
    api.run("bench_chain")
    return [hops(api.run("bench_chain")) for _ in range(repeat)]


def run(options: Options) -> Report:
    """Measure Leoflow, and the peer where asked for."""
    report = Report(TITLE, "fork, the Task SDK's start-up in the child, and one durable commit per hop")
    with measured_lite("chain", options, tasks=50) as api:
        runs = chains(api, options.repeat)
    ours = report.add("leoflow hop, median of a run", "ms", [percentile(r, 0.5) for r in runs], "<= 20")
    report.add("leoflow hop, p99 of a run", "ms", [percentile(r, 0.99) for r in runs], "<= 80")
    if options.peer:
        with measured_peer("chain", options, tasks=10) as api:
            theirs = report.add(
                "airflow hop, median of a run", "ms", [percentile(r, 0.5) for r in chains(api, min(2, options.repeat))]
            )
        report.add("ratio airflow / leoflow", "x", [theirs.median / ours.median], ">= 100")
    return report
