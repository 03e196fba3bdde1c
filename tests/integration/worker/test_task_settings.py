"""What leoflow.yaml sets for tasks reaches their processes: environment variables and memory limits."""

import os

import pytest

from leoflow.worker.launchers.cores import Cores
from leoflow.worker.task_settings import TaskSettings
from tests.integration.worker.harness import Harness

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("written", "expected"),
    [("1024", 1024), ("64Mi", 64 << 20), ("1.5Gi", 3 << 29), ("2k", 2000), ("128974848000m", 128974848)],
)
def test_quantities_are_read_as_kubernetes_reads_them(written: str, expected: int) -> None:
    assert TaskSettings(memory=written).memory_bytes == expected


@pytest.mark.parametrize(("written", "expected"), [("2", 2), ("500m", 1), ("1500m", 2), ("0", 1), (None, None)])
def test_processor_limits_are_whole_cores(written: str | None, expected: int | None) -> None:
    assert TaskSettings(cpu=written).cores == expected


def test_limited_attempts_spread_over_the_cores() -> None:
    cores = Cores([2, 3, 5])
    assert (cores.take(None), cores.take(3), cores.take(7)) == ([], [], [])
    first, second, third = cores.take(1), cores.take(1), cores.take(2)
    assert (first, second, third) == ([2], [3], [5, 2])
    cores.give_back(first)
    cores.give_back(third)
    assert cores.take(2) == [2, 5]
    assert not Cores([]).can_limit and Cores([]).take(1) == []


async def test_env_reaches_the_task_it_is_for_and_no_other(harness: Harness) -> None:
    await harness.register(
        """
        with DAG("with_env") as dag:
            @task
            def first():
                import time
                return [os.environ.get("MODEL"), os.environ.get("AIRFLOW_VAR_REGION"), time.tzname[0]]
            @task
            def second():
                return [os.environ.get("MODEL"), [name for name in os.environ if name.startswith("LEOFLOW_OWN")]]
            @task
            def third():
                from airflow.sdk import Variable
                return Variable.get("region")
            first() >> second() >> third()
        """,
        name="with_env",
        yaml="""
        tasks:
          first: {env: {MODEL: "gpt-ä=1", AIRFLOW_VAR_REGION: eu, TZ: UTC0}}
          second: {env: {LEOFLOW_OWN_DATABASE_URL: "postgresql://x"}}
          third: {env: {AIRFLOW_VAR_REGION: us}}
        """,
    )
    run = await harness.run("with_env")
    assert run.state == "success"
    assert run.xcoms[("first", "return_value")] == ["gpt-ä=1", "eu", "UTC0"[:3]]
    assert run.xcoms[("second", "return_value")] == [None, []]
    assert run.xcoms[("third", "return_value")] == "us"
    assert "LEOFLOW_OWN_DATABASE_URL" in run.messages("second") and "reserved" in run.messages("second")


async def test_a_task_above_its_memory_limit_fails_alone_and_says_why(harness: Harness) -> None:
    await harness.register(
        """
        with DAG("with_limit") as dag:
            @task
            def small():
                return len(bytearray(8 << 20))
            @task
            def large():
                return len(bytearray(256 << 20))
            @task
            def unlimited():
                return len(bytearray(256 << 20))
            small(), large(), unlimited()
        """,
        name="with_limit",
        yaml="""
        defaults: {resources: {cpu: "1", memory: 64Mi}}
        tasks:
          unlimited: {resources: {requests: {memory: 64Mi}}}
        """,
    )
    run = await harness.run("with_limit")
    states = {task_id: instance.state for task_id, instance in run.tasks.items()}
    assert states == {"small": "success", "large": "failed", "unlimited": "success"}
    assert "memory limit of 64Mi" in run.messages("large")
    assert "memory limit" not in run.messages("small")


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core cannot be limited further")
@pytest.mark.parametrize("attempts_per_process", [1, 10])
async def test_a_task_stays_on_as_many_cores_as_its_limit_says(harness: Harness, attempts_per_process: int) -> None:
    name = f"with_cores_{attempts_per_process}"
    await harness.register(
        f"""
        with DAG("{name}") as dag:
            @task
            def limited():
                in_child = int(subprocess.check_output(["nproc"]))
                return [len(os.sched_getaffinity(0)), in_child]
            @task
            def half(): return [len(os.sched_getaffinity(0))]
            @task
            def unlimited(): return [len(os.sched_getaffinity(0))]
            limited() >> half() >> unlimited()
        """,
        name=name,
        yaml=f"""
        defaults: {{attempts_per_process: {attempts_per_process}}}
        tasks:
          limited: {{resources: {{limits: {{cpu: "1"}}}}}}
          half: {{resources: {{limits: {{cpu: 500m}}}}}}
        """,
    )
    run = await harness.run(name)
    values = [run.xcoms[(task_id, "return_value")] for task_id in ("limited", "half", "unlimited")]
    assert values == [[1, 1], [1], [len(os.sched_getaffinity(0))]]


async def test_an_environment_too_large_to_pass_fails_the_task_with_a_reason(harness: Harness) -> None:
    await harness.register(
        """
        with DAG("large_env") as dag:
            @task
            def it(): ...
            it()
        """,
        name="large_env",
        yaml=f"tasks: {{it: {{env: {{BIG: {'x' * 200_000}}}}}}}\n",
    )
    run = await harness.run("large_env")
    assert run.state == "failed" and "environment variables are too large" in run.messages("it")
