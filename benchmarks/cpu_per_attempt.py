"""`python -m benchmarks.cpu_per_attempt [wide|chain] [tasks] [attempts per process]`: processor time per attempt.

Wall times on a shared machine say little; processor time does. Lite runs the benchmark DAG twice, the second run
counts.
"""

import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.b04_idle_cost import processes
from benchmarks.harness import Options
from benchmarks.soak_lite import finish
from benchmarks.systems import measured_lite


def seconds(home: Path) -> dict[str, float]:
    """Processor seconds so far: Lite itself, its fork servers, the attempts they have reaped, Postgres."""
    lite, *servers = processes(home)
    own = lite.cpu_times()
    found = {"lite": own.user + own.system, "fork servers": 0.0, "attempts": 0.0, "postgres": 0.0}
    for server in servers:
        try:
            times = server.cpu_times()
        except psutil.Error:
            continue
        found["fork servers"] += times.user + times.system
        found["attempts"] += times.children_user + times.children_system
    found["postgres"] = sum(map(_own_and_reaped, _postgres(home)))
    return found


def _postgres(home: Path) -> list[psutil.Process]:
    for pid_file in home.rglob("postmaster.pid"):
        server = psutil.Process(int(pid_file.read_text().split()[0]))
        return [server, *server.children()]
    return []


def _own_and_reaped(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def main() -> None:
    """Measure and print."""
    name = sys.argv[1] if len(sys.argv) > 1 else "wide"
    tasks = int(sys.argv[2]) if len(sys.argv) > 2 else 300
    reuse = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    with tempfile.TemporaryDirectory(prefix="leoflow-cpu-") as scratch:
        options = Options(1, False, Path(scratch).resolve())
        home = options.scratch / f"home-{name}-{reuse}"
        with measured_lite(name, options, tasks=tasks, reuse=reuse) as api:
            dag_id = f"bench_{name}"
            api.wait_for_dag(dag_id)
            api.run(dag_id, poll=1)
            before, started = seconds(home), time.monotonic()
            finish(api, dag_id)
            took, after = time.monotonic() - started, seconds(home)
    spent = {part: 1000 * (after[part] - before[part]) / tasks for part in before}
    print(
        "ms per attempt:",
        ", ".join(f"{part} {value:.1f}" for part, value in spent.items()),
        f"= {sum(spent.values()):.1f}",
    )
    print(f"wall: {1000 * took / tasks:.1f} ms per attempt, {tasks / took:.0f} attempts/s")


if __name__ == "__main__":
    main()
