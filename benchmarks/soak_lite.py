"""`python -m benchmarks.soak_lite [attempts] [attempts per process]`: the whole of Lite over many attempts.

Lite runs one DAG of 500 no-op tasks again and again, 100,000 attempts unless told otherwise. After every two runs one
row is printed: memory and descriptors of Lite, of its fork servers by kind, and of Postgres. Exit code 1 when one of
them is bigger at the end than after the first fifth.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks.airflow_api import AirflowApi
from benchmarks.b04_idle_cost import processes
from benchmarks.harness import Options
from benchmarks.soak import TASKS, Allowed, Look, show, size, verdict
from benchmarks.systems import measured_lite

RUNS_PER_LOOK = 2

ALLOWED = {
    "lite": Allowed(2.5, 8),  # its heap grows by 2.1 MB at a time; connections of its pools come and go
    "environment server": Allowed(0.5, 0),
    "project server": Allowed(1.0, 3),
    "postgres": Allowed(6, 100),  # on average: plans and files of a connection fill up, it is replaced after an hour
}
_LEVELS = {0: "lite", 1: "environment server", 2: "project server"}


def finish(api: AirflowApi, dag_id: str) -> None:
    """Trigger a run and wait for its end, asking seldom."""
    path = f"/api/v2/dags/{dag_id}/dagRuns/{api.trigger(dag_id)}"
    while (state := api.get(path)["state"]) in ("queued", "running"):
        time.sleep(0.5)
    if state != "success":
        raise RuntimeError(f"the run ended {state}")


def look(home: Path) -> Look:
    """Measure each part as it is now."""
    parts: dict[str, list[psutil.Process]] = {
        part: [] for part in (*_LEVELS.values(), "attempts and spares", "postgres")
    }
    for level, process in _family(processes(home)[0]):
        parts[_LEVELS.get(level, "attempts and spares")].append(process)
    postmaster = psutil.Process(int((home / "pg" / "postmaster.pid").read_text().split()[0]))
    parts["postgres"] = [postmaster, *postmaster.children()]
    return {part: size(found) for part, found in parts.items()}


def _family(process: psutil.Process, level: int = 0) -> Iterator[tuple[int, psutil.Process]]:
    yield level, process
    try:
        children = process.children()
    except psutil.Error:
        return
    for child in children:
        yield from _family(child, level + 1)


def soak(scratch: Path, attempts: int, reuse: int) -> bool:
    """Run, print the table and the verdict."""
    options = Options(1, False, scratch)
    with measured_lite("wide", options, tasks=TASKS, reuse=reuse) as api:
        api.wait_for_dag("bench_wide")
        home = scratch / f"home-wide-{reuse}"
        series: list[Look] = []
        began = time.monotonic()
        for number in range(1, max(8, attempts // TASKS) + 1):
            finish(api, "bench_wide")
            if number % RUNS_PER_LOOK == 0:
                series.append(look(home))
                show(number * TASKS, time.monotonic() - began, series[-1])
        runs = api.get("/api/v2/dags/bench_wide/dagRuns", state="success", limit=1)["total_entries"]
        if runs != number:
            raise RuntimeError(f"{number} runs were triggered and {runs} have succeeded")
    return verdict(series, ALLOWED, RUNS_PER_LOOK * TASKS)


def main() -> None:
    """Measure; the exit code says whether memory and descriptors were flat."""
    attempts = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    reuse = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    with tempfile.TemporaryDirectory(prefix="leoflow-soak-") as scratch:
        is_flat = soak(Path(scratch).resolve(), attempts, reuse)
    sys.exit(not is_flat)


if __name__ == "__main__":
    main()
