"""`python -m benchmarks.soak [attempts]`: memory and descriptors of every process over many attempts.

Lite runs one DAG of 500 no-op tasks again and again. After each run one line is printed per part: resident memory in
MB, descriptors and processes. They must not grow with the number of attempts; a last line compares the second run
with the last.
"""

import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.airflow_api import AirflowApi
from benchmarks.b04_idle_cost import processes
from benchmarks.harness import Options
from benchmarks.systems import measured_lite

TASKS = 500


def finish(api: AirflowApi, dag_id: str) -> None:
    """Trigger a run and wait for its end, asking seldom."""
    path = f"/api/v2/dags/{dag_id}/dagRuns/{api.trigger(dag_id)}"
    while (state := api.get(path)["state"]) in ("queued", "running"):
        time.sleep(0.5)
    if state != "success":
        raise RuntimeError(f"the run ended {state}")


def look(home: Path) -> dict[str, tuple[float, int, int]]:
    """Megabytes resident, descriptors and processes of each part."""
    lite, *servers = processes(home)
    return {"lite": sizes([lite]), "fork servers": sizes(servers)}


def sizes(found: list[psutil.Process]) -> tuple[float, int, int]:
    """Megabytes resident, descriptors and number of processes together."""
    megabytes, descriptors, count = 0.0, 0, 0
    for process in found:
        try:
            megabytes += process.memory_info().rss / 1e6
            descriptors += process.num_fds()
            count += 1
        except psutil.Error:
            continue
    return megabytes, descriptors, count


def main() -> None:
    """Run, and print the series."""
    attempts = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    with tempfile.TemporaryDirectory(prefix="leoflow-soak-") as scratch:
        options = Options(1, False, Path(scratch).resolve())
        with measured_lite("wide", options, tasks=TASKS) as api:
            api.wait_for_dag("bench_wide")
            series = []
            for number in range(1, max(2, attempts // TASKS) + 1):
                finish(api, "bench_wide")
                series.append(look(options.scratch / "home-wide-1"))
                runs = api.get("/api/v2/dags/bench_wide/dagRuns", state="success")["total_entries"]
                print(f"{runs * TASKS:>7} attempts  {line(series[-1])}", flush=True)
                if runs != number:
                    raise RuntimeError(f"{number} runs were triggered and {runs} have succeeded")
    print(f"from {2 * TASKS} to {len(series) * TASKS} attempts: {growth(series[1], series[-1])}")


def line(sizes: dict[str, tuple[float, int, int]]) -> str:
    """One look in a line."""
    return "   ".join(
        f"{part}: {mb:8.3f} MB {fds:>4} fds {count} processes" for part, (mb, fds, count) in sizes.items()
    )


def growth(first: dict[str, tuple[float, int, int]], last: dict[str, tuple[float, int, int]]) -> str:
    """What became more between two looks."""
    changes = ((part, last[part][0] - first[part][0], last[part][1] - first[part][1]) for part in first)
    return ", ".join(f"{part} {megabytes:+.3f} MB {descriptors:+d} fds" for part, megabytes, descriptors in changes)


if __name__ == "__main__":
    main()
