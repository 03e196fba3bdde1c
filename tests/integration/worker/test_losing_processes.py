"""Whatever process dies, attempts are placed again or ended, and nothing runs on unseen."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from leoflow import engine
from leoflow.db.pool import Pool
from tests.integration.worker.harness import Harness, running

pytestmark = pytest.mark.anyio

SLOW = """
with DAG("slow") as dag:
    @task
    def wait(ti=None):
        flag = Path({flag!r})
        first = not flag.exists()
        flag.write_text(str(os.getpid()))
        if first:
            subprocess.run(["sleep", "300"])
        return "second time"
    wait()
"""


async def test_a_killed_fork_server_returns_its_attempts_to_the_queue(harness: Harness, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    await harness.register(SLOW.format(flag=str(flag)))
    run_key = await harness.trigger("slow")
    attempt = await started(harness, flag)
    project_zygote = attempt.parent()
    assert project_zygote is not None
    family = [attempt, *attempt.children(recursive=True)]
    project_zygote.kill()
    run = await harness.finished(run_key)
    assert run.state == "success"
    assert run.xcoms[("wait", "return_value")] == "second time"
    assert run.tasks["wait"].try_number <= 2
    psutil.wait_procs(family, timeout=5)
    assert not [process for process in family if process.is_running() and process.status() != "zombie"]


async def test_a_killed_environment_server_is_replaced(harness: Harness, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    await harness.register(SLOW.format(flag=str(flag)), name="other")
    run_key = await harness.trigger("slow")
    attempt = await started(harness, flag)
    environment_zygote = attempt.parents()[1]
    environment_zygote.kill()
    assert (await harness.finished(run_key)).state == "success"


async def test_a_cancelled_run_ends_its_processes(harness: Harness, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    await harness.register(SLOW.format(flag=str(flag)).replace('"slow"', '"cancelled"'))
    run_key = await harness.trigger("cancelled")
    attempt = await started(harness, flag)
    async with harness.pool.connection() as connection:
        [(run_id,)] = await harness.fetch("select run_id from leoflow_core.dag_run where run_key = %s", run_key)
        await engine.cancel_run(connection, "cancelled", run_id)
    run = await harness.finished(run_key)
    assert run.state == "failed"
    assert "changed from outside" in run.messages("wait")
    assert not attempt.is_running()


async def test_a_stopped_worker_returns_its_attempts(pool: Pool, database_url: str, home: Path, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    async with running(database_url, home) as harness:
        await harness.register(SLOW.format(flag=str(flag)))
        run_key = await harness.trigger("slow")
        attempt = await started(harness, flag)
        await harness.stop()
        assert not attempt.is_running()
        [(state,)] = await harness.fetch(
            "select state::text from leoflow_core.task_instance where run_key = %s", run_key
        )
        assert state == "scheduled"
    async with running(database_url, home) as harness:
        run = await harness.finished(run_key)
        assert (run.state, run.xcoms[("wait", "return_value")]) == ("success", "second time")


async def test_a_worker_killed_by_force_loses_nothing(database_url: str, home: Path, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    script = tmp_path / "worker.py"
    script.write_text(
        "import asyncio, sys\nfrom pathlib import Path\n"
        "from tests.integration.worker.harness import running, TEST_WORKER\n"
        "async def main():\n"
        "    quick = TEST_WORKER.model_copy(update={'lease_seconds': 2.0})\n"
        "    async with running(sys.argv[1], Path(sys.argv[2]), worker=quick):\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), database_url, str(home), env={**os.environ, "PYTHONPATH": str(Path.cwd())}
    )
    try:
        async with running(database_url, home) as harness:
            await harness.stop()
            await harness.register(SLOW.format(flag=str(flag)))
            run_key = await harness.trigger("slow")
            attempt = await started(harness, flag)
            family = [*attempt.parents()[:2], attempt, *attempt.children(recursive=True)]
            process.send_signal(signal.SIGKILL)
            await process.wait()
            psutil.wait_procs(family, timeout=10)
            assert not [one for one in family if one.is_running() and one.status() != "zombie"]
            await harness.until("select leoflow_core.reap(100) > 0")
            harness.start()
            run = await harness.finished(run_key)
            assert (run.state, run.xcoms[("wait", "return_value")]) == ("success", "second time")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def started(harness: Harness, flag: Path) -> psutil.Process:
    """The process of the attempt that wrote its id into `flag`."""
    async with asyncio.timeout(30):
        while not (flag.exists() and flag.read_text()):
            await asyncio.sleep(0.01)
    return psutil.Process(int(flag.read_text()))
