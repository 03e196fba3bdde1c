"""Whatever a task prints is bounded, cut with a notice, and readable for what was kept."""

import re
import resource
from collections.abc import AsyncIterator

import pytest

from tests.integration.worker.harness import TEST_WORKER, Harness, running
from tests.support.postgres import Server

pytestmark = pytest.mark.anyio

LIMIT = 1_000_000
FLOOD_MB = 60
LINES = 100_000


@pytest.fixture(scope="module")
async def harness(server: Server, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Harness]:
    home = tmp_path_factory.mktemp("floods") / "home"
    with server.database(template) as dsn:
        worker = TEST_WORKER.model_copy(update={"log_limit_bytes": LIMIT})
        async with running(dsn, home, worker=worker) as started:
            yield started


async def test_a_flood_is_cut_with_a_notice_and_costs_neither_memory_nor_disk(harness: Harness) -> None:
    await harness.register(f"""
    import logging
    from airflow.providers.standard.operators.bash import BashOperator
    with DAG("flood") as dag:
        @task
        def flood(how):
            block = b"x" * 999 + b"\\n"
            write = {{"print": lambda: print(block.decode() * 100, end=""),
                     "raw": lambda: os.write(1, block * 100),
                     "one line": lambda: os.write(1, b"y" * 100_000)}}[how]
            for _ in range({FLOOD_MB * 10}): write()
            print("the end")
            return "done"
        for how in ("print", "raw", "one line"): flood(how)
        @task
        def neighbour(): print("undisturbed")
        neighbour()
        @task
        def logs():
            log = logging.getLogger("mine")
            for number in range({LINES}): log.info("%s", "y" * 9)
            raise ValueError("the reason")
        logs()
        BashOperator(task_id="bash", bash_command="yes zzzzzzzzz | head -n {LINES}; exit 3", do_xcom_push=False)
    """)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    [(size,)] = await harness.fetch("select pg_total_relation_size('leoflow_core.task_log_default')")
    run = await harness.run("flood", timeout=240)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    [(now,)] = await harness.fetch("select pg_total_relation_size('leoflow_core.task_log_default')")
    assert {name: one.state for name, one in run.tasks.items() if one.state != "success"} == {
        "logs": "failed",
        "bash": "failed",
    }
    assert grown < 60, f"the worker grew by {grown:.0f} MB"
    assert now - size < 4 * LIMIT
    assert "undisturbed" in run.messages("neighbour")
    for task_id in ("flood", "flood__1"):
        said = run.messages(task_id)
        assert "reached its limit of 1,000,000 bytes" in said
        assert "more bytes of output were dropped" in said
        assert len(said) < 1.2 * LIMIT
    assert "line cut at 65,536 bytes" in run.messages("flood__2")
    for task_id, reason in (("logs", "the reason"), ("bash", "returned a non-zero exit code 3")):
        said = run.messages(task_id)
        assert "reached its limit of 1,000,000 bytes" in said
        # Beyond the limit no log lines are made any more, of a hundred bytes each: only what they would say comes.
        [dropped] = re.findall(r"([\d,]+) more bytes of output were dropped", said)
        assert LINES * 5 < int(dropped.replace(",", "")) < LINES * 20
        assert reason in str([line.get("error_detail") for line in run.logs[task_id]])


async def test_many_tiny_writes_and_odd_bytes_arrive_in_order(harness: Harness) -> None:
    await harness.register("""
    with DAG("odd") as dag:
        @task
        def tiny():
            for number in range(20_000):
                os.write(1, b"%d " % number)
                if number % 1000 == 999: os.write(1, b"\\n")
        tiny()
        @task
        def odd():
            os.write(1, bytes(range(256)) + b"\\n")
            print("\\x1b[31mred\\x1b[0m <script>alert(1)</script> {\\"event\\": \\"not mine\\"}")
            print('{"event": 5, "level": ["x"], "timestamp": "no time"}')
            os.write(3, b'[1]\\n')
            print("line\\u2028separator\\x85next")
            print("a\\rb")
        odd()
    """)
    run = await harness.run("odd")
    assert run.state == "success", run.logs
    numbers = [int(word) for word in run.messages("tiny").split() if word.isdigit()]
    assert numbers == list(range(20_000))
    said = run.messages("odd")
    assert "\x1b[31mred\x1b[0m <script>alert(1)</script>" in said
    assert '{"event": 5, "level": ["x"], "timestamp": "no time"}' in said
    assert "line\u2028separator\x85next" in said
    assert all(isinstance(line["event"], str) for line in run.logs["odd"])
