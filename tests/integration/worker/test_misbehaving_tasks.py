"""Tasks that die, lie, shout, hang and leave things behind hurt only themselves, and their log says what happened."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.integration.worker.harness import Harness, Run

pytestmark = pytest.mark.anyio


async def run_one(harness: Harness, name: str, body: str, *, decorator: str = "@task", timeout: float = 60) -> Run:
    await harness.register(f"""
    with DAG({name!r}) as dag:
        {decorator}
        def it(ti=None):
            {body}
        it()
    """)
    return await harness.run(name, timeout)


async def test_a_killed_task_fails_and_says_by_what(harness: Harness) -> None:
    run = await run_one(harness, "killed", "os.kill(os.getpid(), 9)")
    assert run.state == "failed"
    assert "killed by signal 9 (SIGKILL)" in run.messages("it") and "memory" in run.messages("it")


async def test_a_crash_in_native_code_names_the_signal(harness: Harness) -> None:
    run = await run_one(harness, "crashed", "import ctypes; ctypes.string_at(0)")
    assert run.state == "failed" and "SIGSEGV" in run.messages("it")


async def test_a_killed_task_is_retried(harness: Harness) -> None:
    run = await run_one(
        harness,
        "killed_once",
        "ti.try_number == 1 and os.kill(os.getpid(), 9); return ti.try_number",
        decorator="@task(retries=1, retry_delay=timedelta(0))",
    )
    assert run.state == "success" and run.xcoms[("it", "return_value")] == 2


@pytest.mark.parametrize("body", ["os._exit(3)", "sys.exit(3)"])
async def test_an_exit_code_is_a_failure(harness: Harness, body: str) -> None:
    run = await run_one(harness, f"exits_{body[:2]}", body)
    assert run.state == "failed"
    assert "exit code 3" in run.messages("it") or any(line.get("exit_code") == 3 for line in run.logs["it"])


async def test_an_unserialisable_value_is_an_error_of_the_task(harness: Harness) -> None:
    run = await run_one(harness, "unserialisable", "return lambda: 1")
    assert run.state == "failed"
    assert any("serialize" in str(line.get("error_detail", "")).lower() for line in run.logs["it"])


async def test_a_value_above_the_limit_is_refused_with_its_size(harness: Harness) -> None:
    run = await run_one(harness, "large", "return 'x' * (66 * 1024 * 1024)")
    assert run.state == "failed" and not run.xcoms
    assert "too large" in str(run.logs["it"]) and "67,108,864" in str(run.logs["it"])


async def test_a_message_above_the_frame_limit_is_read_away(harness: Harness) -> None:
    run = await run_one(harness, "enormous", "return 'x' * (120 * 1024 * 1024)")
    assert run.state == "failed" and "the limit is" in str(run.logs["it"])


async def test_printing_without_end_is_cut_with_a_notice(harness: Harness) -> None:
    run = await run_one(
        harness, "shouting", "line = 'y' * 1000 + chr(10)\n            for _ in range(100_000): sys.stdout.write(line)"
    )
    assert run.state == "success"
    assert "reached its limit of 10,485,760 bytes" in run.messages("it")
    assert sum(len(str(line)) for line in run.logs["it"]) < 14_000_000


async def test_a_line_without_end_is_cut(harness: Harness) -> None:
    run = await run_one(harness, "one_line", "sys.stdout.write('z' * 1_000_000); print(); print('after')")
    assert "line cut at 65,536 bytes" in run.messages("it") and "\nafter\n" in run.messages("it")


async def test_the_time_limit_ends_a_task_that_ignores_signals(harness: Harness) -> None:
    run = await run_one(
        harness,
        "stubborn",
        "[signal.signal(s, signal.SIG_IGN) for s in (signal.SIGTERM, signal.SIGALRM)]; subprocess.run(['sleep', '60'])",
        decorator="@task(execution_timeout=timedelta(seconds=0.5))",
    )
    assert run.state == "failed" and "exceeded its execution_timeout of 0.5 s" in run.messages("it")


async def test_the_time_limit_lets_a_task_clean_up(harness: Harness) -> None:
    run = await run_one(harness, "slow", "time.sleep(60)", decorator="@task(execution_timeout=timedelta(seconds=0.3))")
    assert run.state == "failed" and "AirflowTaskTimeout" in str(run.logs["it"])


async def test_daemons_and_children_end_with_their_task(harness: Harness) -> None:
    run = await run_one(
        harness,
        "daemonic",
        """
            pids = [subprocess.Popen(["sleep", "300"]).pid]
            read, write = os.pipe()
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    os.write(write, str(os.getpid()).encode())
                    time.sleep(300)
                os._exit(0)
            pids.append(int(os.read(read, 20)))
            return pids""",
    )
    assert run.state == "success"
    assert "2 processes were still running that the task had started" in run.messages("it")
    assert not [pid for pid in run.xcoms[("it", "return_value")] if _is_alive(pid)]


async def test_closing_all_descriptors_is_a_failure_of_the_task(harness: Harness) -> None:
    run = await run_one(harness, "closing", "os.closerange(0, 256); return 1")
    assert run.state == "failed" and "descriptors" in run.messages("it")


@pytest.mark.parametrize("junk", [r"b'\x00\x00\x00\x05hello'", r"b'GET / HTTP/1.1\r\n\r\n' * 4"])
async def test_a_corrupt_stream_ends_the_task(harness: Harness, junk: str) -> None:
    run = await run_one(harness, f"corrupt{len(junk)}", f"os.write(0, {junk}); time.sleep(60)")
    assert run.state == "failed" and "not a message of the Task SDK" in run.messages("it")


async def test_a_message_announced_with_a_gigabyte_ends_the_task_at_once(harness: Harness) -> None:
    run = await run_one(
        harness,
        "announcing",
        "os.write(0, (1 << 30).to_bytes(4, 'big') + bytes([0x92, 5]) + b'x' * 64); time.sleep(60)",
    )
    assert run.state == "failed"
    assert "announced a message of 1,073,741,824 bytes" in run.messages("it")


async def test_a_task_that_forks_and_returns_twice_ends_once(harness: Harness) -> None:
    run = await run_one(harness, "forking", "os.fork(); return 'both'")
    assert run.state == "success" and run.tasks["it"].try_number == 1
    assert run.xcoms[("it", "return_value")] == "both"


async def test_killing_every_process_of_the_same_group_and_parent_hurts_nobody_else(harness: Harness) -> None:
    await harness.register("""
    with DAG("massacre") as dag:
        @task(retries=1, retry_delay=timedelta(0))
        def murderer(ti=None):
            if ti.try_number == 1:
                os.kill(os.getppid(), 9)  # its fork server
                os.killpg(0, 9)
            return ti.try_number
        murderer()
    """)
    run = await harness.run("massacre")
    assert run.state == "success"


async def test_a_second_report_is_refused(harness: Harness) -> None:
    run = await run_one(
        harness,
        "twice",
        """
            from datetime import timezone
            from airflow.sdk.execution_time import task_runner
            from airflow.sdk.execution_time.comms import SucceedTask, TaskState
            now = datetime.now(timezone.utc)
            task_runner.SUPERVISOR_COMMS.send(SucceedTask(end_date=now))
            try:
                task_runner.SUPERVISOR_COMMS.send(TaskState(state="failed", end_date=now))
            except Exception as error:
                print("refused:", error)""",
    )
    assert run.state == "success" and "refused:" in run.messages("it") and "already reported" in run.messages("it")


async def test_a_report_after_the_task_was_given_up_changes_nothing_and_is_explained(
    harness: Harness, tmp_path: Path
) -> None:
    await harness.register(f"""
    with DAG("late") as dag:
        @task
        def it():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            Path({str(tmp_path / "runs")!r}).touch()
            while not Path({str(tmp_path / "go")!r}).exists(): time.sleep(0.01)
            return "too late"
        it()
    """)
    key = await harness.trigger("late", run_id="r")
    async with asyncio.timeout(30):
        while not (tmp_path / "runs").exists():
            await asyncio.sleep(0.01)
    await harness.fetch("select leoflow.mark_tasks('late', 'r', '[\"it\"]', 'success')")
    (tmp_path / "go").touch()
    run = await harness.finished(key)
    assert run.tasks["it"].state == "success" and not run.xcoms
    assert "how this one ended is not recorded" in run.messages("it")


async def test_a_value_for_another_task_is_refused(harness: Harness) -> None:
    run = await run_one(
        harness,
        "forging",
        """
            from airflow.sdk.execution_time.xcom import XCom
            XCom.set(key="k", value=1, dag_id=ti.dag_id, task_id="other", run_id=ti.run_id)""",
    )
    assert run.state == "failed" and "may only push its own" in str(run.logs["it"])


async def test_a_dag_file_that_starts_threads_is_not_forked(harness: Harness) -> None:
    await harness.register("""
    import threading
    stop = threading.Event()
    worker = threading.Thread(target=stop.wait, daemon=True, name="mine")
    worker.start()
    loaded_by = os.getpid()
    with DAG("threaded") as dag:
        @task
        def alive():
            from multiprocessing import get_context
            with get_context("spawn").Pool(1) as pool: assert pool.map(abs, [-1]) == [1]
            return [worker.is_alive(), loaded_by == os.getpid(), sys.orig_argv[-3]]
        alive()
    """)
    run = await harness.run("threaded")
    is_alive, is_own_import, command = run.xcoms[("alive", "return_value")]
    assert is_alive and is_own_import and command == "spawned"
    reason = "importing the DAG file started threads (mine)"
    assert f"dag.py cannot be forked: {reason}" in run.messages("alive")
    assert any(reason in remark for remark in harness.remarks["threaded"])


async def test_a_dag_file_that_initialises_cuda_is_not_forked_and_keeps_its_surroundings(harness: Harness) -> None:
    await harness.register(
        """
    import types
    torch = sys.modules["torch"] = types.ModuleType("torch")
    torch.cuda = types.SimpleNamespace(is_initialized=lambda: True)
    context = os.getpid()
    with DAG("cuda") as dag:
        @task(retries=1, retry_delay=timedelta(0))
        def uses(ti=None):
            if ti.try_number == 1:
                return os.kill(os.getpid(), 9)
            assert context == os.getpid(), "a context of another process"
            print("in", os.getcwd())
            return [os.environ["OWN"], sorted(os.listdir("/proc/self/fd")), os.sched_getaffinity(0).__len__()]
        @task
        def large(): return len(bytearray(256 << 20))
        uses()
        large()
    """,
        name="cuda",
        yaml="""
    tasks:
      uses: {env: {OWN: mine}, resources: {limits: {cpu: "1"}}}
      large: {resources: {limits: {memory: 64Mi}}}
    """,
    )
    run = await harness.run("cuda")
    assert (run.tasks["uses"].state, run.tasks["large"].state) == ("success", "failed")
    own, descriptors, cores = run.xcoms[("uses", "return_value")]
    assert (own, cores) == ("mine", 1) and descriptors[:4] == ["0", "1", "2", "3"] and len(descriptors) <= 5
    said = run.messages("uses")
    assert "importing the DAG file initialised CUDA" in said and "/tmp/attempts/" in said and "SIGKILL" in said
    assert "memory limit of 64Mi" in run.messages("large")


async def test_a_branch_of_neighbours_is_not_disturbed(harness: Harness) -> None:
    await harness.register("""
    with DAG("neighbours") as dag:
        @task
        def bad(i):
            os.kill(os.getpid(), [9, 11, 15, 6][i])
        @task
        def good(i): return i
        for i in range(4): bad(i); good(i)
    """)
    run = await harness.run("neighbours")
    assert sorted(run.xcoms.values()) == [0, 1, 2, 3]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIG_DFL)
    except ProcessLookupError:
        return False
    return True
