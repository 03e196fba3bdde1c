"""User code runs in processes of its own, and its results, errors and logs arrive."""

import ctypes
import math
import os

import pytest

from tests.integration.worker.harness import Harness

pytestmark = pytest.mark.anyio

PR_GET_DUMPABLE = 3


async def test_values_pass_from_task_to_task(harness: Harness) -> None:
    await harness.register("""
    with DAG("passing") as dag:
        @task
        def extract(): return {"rows": [1, 2, 3], "name": "ü"}
        @task
        def total(data): return sum(data["rows"])
        total(extract())
    """)
    run = await harness.run("passing")
    assert run.state == "success"
    assert run.xcoms[("extract", "return_value")] == {"rows": [1, 2, 3], "name": "ü"}
    assert run.xcoms[("total", "return_value")] == 6
    assert run.tasks["total"].rendered_fields["op_args"] == [{"rows": [1, 2, 3], "name": "ü"}]


async def test_reduce_gets_a_list_in_declaration_order_with_none_for_what_is_missing(harness: Harness) -> None:
    await harness.register("""
    with DAG("reducing") as dag:
        @task
        def trial(i):
            if i == 1: return None
            if i == 3: raise ValueError("no")
            time.sleep(max(0, 0.2 - i * 0.05))
            return i
        @task(trigger_rule="all_done")
        def best(values): return [type(values).__name__, *values]
        best([trial(i) for i in range(5)])
        @task
        def only(values): return [type(values).__name__, *values]
        only([trial.override(task_id="single")(7)])
    """)
    run = await harness.run("reducing")
    assert run.xcoms[("best", "return_value")] == ["list", 0, None, 2, None, 4]
    assert run.xcoms[("only", "return_value")] == ["list", 7]


async def test_nested_task_calls_resolve(harness: Harness) -> None:
    await harness.register("""
    with DAG("nested") as dag:
        @task
        def one(): return 1
        @task
        def two(): return {"deep": 2}
        @task
        def both(data): return data
        t = two()
        both({"a": [one(), 5, {"b": t["deep"] if False else t}]})
    """)
    run = await harness.run("nested")
    assert run.xcoms[("both", "return_value")] == {"a": [1, 5, {"b": {"deep": 2}}]}


async def test_non_finite_numbers_survive(harness: Harness) -> None:
    await harness.register("""
    with DAG("numbers") as dag:
        @task
        def losses(): return [float("nan"), float("inf"), 1.5]
        @task
        def check(xs): return [str(x) for x in xs]
        check(losses())
    """)
    run = await harness.run("numbers")
    assert run.xcoms[("check", "return_value")] == ["nan", "inf", "1.5"]
    assert math.isnan(run.xcoms[("losses", "return_value")][0])


async def test_exceptions_are_shown_with_their_frames(harness: Harness) -> None:
    await harness.register("""
    with DAG("raising") as dag:
        @task
        def divide(): return 1 / 0
        divide()
    """)
    run = await harness.run("raising")
    assert run.state == "failed"
    [line] = [line for line in run.logs["divide"] if line.get("error_detail")]
    assert line["level"] == "error"
    assert line["error_detail"][0]["exc_type"] == "ZeroDivisionError"
    assert any(frame["name"] == "divide" for frame in line["error_detail"][0]["frames"])


async def test_output_is_logged_line_by_line_with_its_stream(harness: Harness) -> None:
    await harness.register("""
    import logging
    with DAG("printing") as dag:
        @task
        def speak():
            print("to stdout")
            print("to stderr", file=sys.stderr)
            logging.getLogger("mine").warning("careful %s", "now")
            sys.stdout.buffer.write(b"\\xff\\x00binary\\n")
            os.system("echo from a shell")
            sys.stdout.write("no newline")
        speak()
    """)
    run = await harness.run("printing")
    lines = {line["event"]: line for line in run.logs["speak"]}
    assert lines["to stdout"]["logger"] == "task.stdout"
    assert lines["to stderr"]["level"] == "error"
    assert lines["careful now"]["level"] == "warning" and lines["careful now"]["logger"] == "mine"
    assert {"\ufffd\ufffdbinary", "from a shell", "no newline"} <= set(lines)
    assert all(line["timestamp"] for line in run.logs["speak"])


async def test_secrets_are_masked_in_every_stream(harness: Harness) -> None:
    await harness.register("""
    from airflow.sdk import Variable
    from airflow.sdk.log import mask_secret
    with DAG("masking") as dag:
        @task
        def leak():
            mask_secret("swordfish-1")
            Variable.set("db_password", "swordfish-2")
            print("a swordfish-1 b", Variable.get("db_password"))
            raise ValueError("swordfish-1")
        leak()
    """)
    run = await harness.run("masking")
    text = str(run.logs)
    assert "swordfish" not in text and "a *** b ***" in text


async def test_retries_run_again_and_keep_only_the_last_values(harness: Harness) -> None:
    await harness.register("""
    with DAG("retrying") as dag:
        @task(retries=2, retry_delay=timedelta(seconds=0))
        def flaky(ti=None):
            ti.xcom_push(f"try_{ti.try_number}", ti.try_number)
            if ti.try_number < 3: raise RuntimeError("again")
            return "done"
        flaky()
    """)
    run = await harness.run("retrying")
    assert run.state == "success"
    assert run.tasks["flaky"].try_number == 3
    assert run.xcoms == {("flaky", "try_3"): 3, ("flaky", "return_value"): "done"}


async def test_a_fail_exception_is_not_retried(harness: Harness) -> None:
    await harness.register("""
    from airflow.sdk.exceptions import AirflowFailException
    with DAG("giving_up") as dag:
        @task(retries=5, retry_delay=timedelta(seconds=0))
        def hopeless(): raise AirflowFailException("never")
        hopeless()
    """)
    run = await harness.run("giving_up")
    assert (run.tasks["hopeless"].state, run.tasks["hopeless"].try_number) == ("failed", 1)


async def test_skipping_propagates(harness: Harness) -> None:
    await harness.register("""
    from airflow.sdk.exceptions import AirflowSkipException
    with DAG("skipping") as dag:
        @task
        def skip(): raise AirflowSkipException("not today")
        @task
        def after(x): return x
        after(skip())
    """)
    run = await harness.run("skipping")
    assert {name: found.state for name, found in run.tasks.items()} == {"skip": "skipped", "after": "skipped"}


async def test_a_rescheduling_sensor_waits_without_a_process(harness: Harness) -> None:
    await harness.register("""
    with DAG("sensing") as dag:
        @task.sensor(mode="reschedule", poke_interval=0.1, timeout=30)
        def ready(ti=None):
            flag = Path(os.environ["HOME"]) / f"leoflow-test-{ti.run_id}"
            if flag.exists():
                flag.unlink()
                return True
            flag.touch()
            return False
        ready()
    """)
    run = await harness.run("sensing")
    assert run.state == "success"


async def test_a_task_computes_in_threads_and_processes_of_every_kind(harness: Harness) -> None:
    await harness.register("""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
    with DAG("parallel") as dag:
        @task
        def compute(kind):
            if kind == "threads":
                pool = ThreadPoolExecutor(2)
            else:
                pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(kind))
            with pool: return list(pool.map(abs, [-1, -2]))
        for kind in ("threads", "fork", "spawn"): compute.override(task_id=kind)(kind)
    """)
    run = await harness.run("parallel")
    assert run.xcoms == {(kind, "return_value"): [1, 2] for kind in ("threads", "fork", "spawn")}


async def test_attempts_do_not_share_random_numbers(harness: Harness) -> None:
    await harness.register("""
    import random
    with DAG("dice") as dag:
        @task
        def roll(): return random.random()
        for _ in range(4): roll()
    """)
    run = await harness.run("dice")
    assert len(set(run.xcoms.values())) == 4


async def test_user_code_sees_no_secret_of_the_control_plane(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    await harness.register("""
    with DAG("spying") as dag:
        @task
        def look():
            fds = sorted(int(fd) for fd in os.listdir("/proc/self/fd"))
            return {"env": sorted(os.environ), "fds": fds, "cwd": os.getcwd(), "tmp": os.environ["TMPDIR"]}
        look()
    """)
    seen = (await harness.run("spying")).xcoms[("look", "return_value")]
    assert not [name for name in seen["env"] if name.startswith("LEOFLOW_") and name != "LEOFLOW_BUNDLE_PATH"]
    assert not {"PGPASSWORD", "DATABASE_URL"} & set(seen["env"])
    # 0 to 3 are the attempt's own; the last one is the listing itself.
    assert seen["fds"][:-1] == [0, 1, 2, 3]
    assert seen["cwd"].startswith(str(harness.home)) and seen["tmp"].startswith(seen["cwd"])


async def test_temporary_files_go_to_the_attempts_own_directory(harness: Harness) -> None:
    await harness.register("""
    import tempfile
    tempfile.gettempdir()
    with DAG("temporary") as dag:
        @task
        def it():
            return [tempfile.gettempdir(), os.environ["TMPDIR"]]
        it()
    """)
    used, own = (await harness.run("temporary")).xcoms[("it", "return_value")]
    assert used == own


async def test_no_process_a_task_descends_from_shows_it_a_secret(harness: Harness) -> None:
    await harness.register("""
    with DAG("ancestors") as dag:
        @task
        def names():
            found, pid = {}, os.getppid()
            for _ in range(2):  # its project's fork server and that one's parent
                entries = Path(f"/proc/{pid}/environ").read_bytes().split(bytes(1))
                found[pid] = sorted(entry.partition(b"=")[0].decode() for entry in entries if entry)
                pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            return {"servers": found, "worker": pid}
        names()
    """)
    seen = (await harness.run("ancestors")).xcoms[("names", "return_value")]
    assert seen["worker"] == os.getpid()
    for names in seen["servers"].values():
        assert names and not [name for name in names if name.startswith("LEOFLOW_") or name.startswith("PG")]
    # The worker itself, whose memory holds credentials, is closed to other processes of its user.
    assert ctypes.CDLL(None).prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0


async def test_a_start_message_larger_than_a_socket_arrives_whole(harness: Harness) -> None:
    await harness.register("""
    with DAG("large_conf") as dag:
        @task
        def it(dag_run=None):
            return len(dag_run.conf["text"])
        it()
    """)
    run = await harness.run("large_conf", conf={"text": "x" * 2_000_000})
    assert run.xcoms[("it", "return_value")] == 2_000_000
