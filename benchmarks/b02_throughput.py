"""B2, small-task throughput: independent no-op tasks in one run, a process per attempt."""

from benchmarks.airflow_api import AirflowApi, FinishedRun
from benchmarks.harness import Options, Report
from benchmarks.systems import measured_lite, measured_peer

TITLE = "B2 throughput: 1,000 independent no-op tasks (peer: 100)"


def rate(run: FinishedRun, tasks: int) -> float:
    """Attempts per second over the whole run, from its start to its end."""
    if run.state != "success" or len(run.values) != tasks:
        raise RuntimeError(f"the run ended {run.state} with {len(run.values)} values of {tasks}")
    return tasks / run.seconds


def rates(api: AirflowApi, repeat: int, tasks: int) -> list[float]:
    """Rates of several runs, after one that warms caches up."""
    api.wait_for_dag("bench_wide")
    return [rate(api.run("bench_wide"), tasks) for _ in range(repeat + 1)][1:]


def run(options: Options) -> Report:
    """Measure Leoflow, and the peer where asked for."""
    report = Report(TITLE, "processor time of the forked children, about 12 to 17 ms each, on all cores")
    with measured_lite("wide", options, tasks=1000) as api:
        ours = report.add("leoflow", "attempts/s", rates(api, options.repeat, 1000), ">= 80")
    with measured_lite("wide", options, tasks=1000, reuse=100) as api:
        report.add("leoflow, 100 attempts per process", "attempts/s", rates(api, options.repeat, 1000), ">= 250")
    if options.peer:
        with measured_peer("wide", options, tasks=100) as api:
            theirs = report.add("airflow", "attempts/s", rates(api, 1, 100))
        report.add("ratio leoflow / airflow", "x", [ours.median / theirs.median], ">= 50")
    return report
