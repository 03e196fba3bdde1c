"""Sensors in both modes, and operators that look at other runs or start them."""

from pathlib import Path

import pytest

from tests.integration.worker.harness import Harness

pytestmark = pytest.mark.anyio


async def test_sensors_poke_until_it_is_there(harness: Harness, tmp_path: Path) -> None:
    awaited = tmp_path / "awaited"
    await harness.register(
        f"""
    from airflow.providers.standard.sensors.bash import BashSensor
    from airflow.providers.standard.sensors.date_time import DateTimeSensor
    from airflow.providers.standard.sensors.filesystem import FileSensor
    from airflow.providers.standard.sensors.python import PythonSensor
    from airflow.providers.standard.sensors.time_delta import TimeDeltaSensor
    from airflow.sdk import PokeReturnValue
    with DAG("poking") as dag:
        @task
        def make():
            time.sleep(0.3)
            Path({str(awaited)!r}).write_text("x")
        @task.sensor(poke_interval=0.1, timeout=20)
        def decorated(): return PokeReturnValue(Path({str(awaited)!r}).exists(), xcom_value="found")
        make(); decorated()
        PythonSensor(task_id="python", python_callable=lambda: Path({str(awaited)!r}).exists(), poke_interval=0.1)
        BashSensor(task_id="bash", bash_command="test -e {awaited}", poke_interval=0.1)
        FileSensor(task_id="file", filepath={str(awaited)!r}, poke_interval=0.1, fs_conn_id="fs_root")
        DateTimeSensor(task_id="moment", target_time="2026-01-01T00:00:00+00:00", poke_interval=0.1)
    """,
        "poking",
        yaml='tasks: {file: {env: {AIRFLOW_CONN_FS_ROOT: "fs://"}}}',
    )
    run = await harness.run("poking")
    assert run.state == "success", run.logs
    assert run.xcoms[("decorated", "return_value")] == "found"


async def test_a_rescheduled_sensor_gives_its_slot_back(harness: Harness, tmp_path: Path) -> None:
    counter = tmp_path / "pokes"
    await harness.register(f"""
    from airflow.providers.standard.sensors.python import PythonSensor
    def poke():
        with open({str(counter)!r}, "a") as file: file.write("x")
        return Path({str(counter)!r}).stat().st_size >= 3
    with DAG("rescheduling") as dag:
        PythonSensor(task_id="wait", python_callable=poke, mode="reschedule", poke_interval=0.2)
        PythonSensor(task_id="patient", python_callable=lambda: False, mode="reschedule", poke_interval=0.1,
                     timeout=0.3, soft_fail=True)
        PythonSensor(task_id="strict", python_callable=lambda: False, mode="reschedule", poke_interval=0.1, timeout=0.3,
                     retries=3)
    """)
    run = await harness.run("rescheduling")
    assert {name: (one.state, one.try_number) for name, one in run.tasks.items()} == {
        "wait": ("success", 1),
        "patient": ("skipped", 1),
        "strict": ("failed", 1),
    }
    assert counter.read_text() == "xxx"
    assert "AirflowSensorTimeout" in str(run.logs["strict"])


async def test_a_dag_starts_another_and_waits_for_it(harness: Harness) -> None:
    await harness.register(
        """
    from airflow.sdk import Param
    with DAG("started") as dag:
        @task
        def echo(dag_run): return dag_run.conf
        echo()
    with DAG("started_with", params={"n": Param(1, type="integer")}) as dag:
        @task
        def never(): pass
        never()
    with DAG("starts_badly") as dag:
        @task
        def fail(): raise ValueError("on purpose")
        fail()
    """,
        "started",
    )
    await harness.register(
        """
    from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
    with DAG("starter") as dag:
        TriggerDagRunOperator(task_id="go", trigger_dag_id="started", conf={"n": "{{ run_id }}"}, poke_interval=0.2,
                              trigger_run_id="once", wait_for_completion=True)
        TriggerDagRunOperator(task_id="again", trigger_dag_id="started", trigger_run_id="once",
                              skip_when_already_exists=True, trigger_rule="all_done")
        TriggerDagRunOperator(task_id="bad", trigger_dag_id="starts_badly", wait_for_completion=True, poke_interval=0.2)
        TriggerDagRunOperator(task_id="nowhere", trigger_dag_id="no_such_dag")
        TriggerDagRunOperator(task_id="wrongly", trigger_dag_id="started_with", conf={"n": "no number"})
        dag.get_task("go") >> dag.get_task("again")
    """,
        "starter",
    )
    run = await harness.run("starter")
    assert {name: one.state for name, one in run.tasks.items()} == {
        "go": "success",
        "again": "skipped",
        "bad": "failed",
        "nowhere": "failed",
        "wrongly": "failed",
    }
    [(conf, state)] = await harness.fetch(
        "select conf, state::text from leoflow.dag_runs where dag_id = 'started' and dag_run_id = 'once'"
    )
    assert conf == {"n": run.run_id}
    assert state == "success"
    assert "no_such_dag" in str(run.logs["nowhere"])
    # As in Airflow, a conf that does not fit never becomes a run.
    assert "Invalid input for param n:" in str(run.logs["wrongly"])
    assert await harness.fetch("select count(*) from leoflow.dag_runs where dag_id = 'started_with'") == [(0,)]


async def test_external_tasks_are_waited_for(harness: Harness) -> None:
    await harness.register(
        """
    with DAG("awaited", start_date=datetime(2026, 1, 1)) as dag:
        @task
        def first(): return 1
        @task
        def second(n):
            if "bad" in os.environ.get("AIRFLOW_CTX_DAG_RUN_ID", ""): raise ValueError("no")
        second(first())
    """,
        "awaited",
    )
    await harness.register(
        """
    from airflow.providers.standard.sensors.external_task import ExternalTaskSensor
    with DAG("awaiting", start_date=datetime(2026, 1, 1)) as dag:
        common = {"poke_interval": 0.2, "timeout": 20, "external_dag_id": "awaited"}
        ExternalTaskSensor(task_id="whole", **common)
        ExternalTaskSensor(task_id="one", external_task_id="first", mode="reschedule", **common)
        ExternalTaskSensor(task_id="both", external_task_ids=["first", "second"], **common)
        ExternalTaskSensor(task_id="failed", external_task_id="second", execution_delta=timedelta(days=-1),
                           failed_states=["failed"], **common)
    """,
        "awaiting",
    )
    waiting = await harness.trigger("awaiting", logical_date="2026-03-01T00:00:00+00:00")
    await harness.until(
        "select count(*) > 0 from leoflow.task_instances where dag_id = 'awaiting' and state = 'running'"
    )
    await harness.trigger("awaited", run_id="good", logical_date="2026-03-01T00:00:00+00:00")
    await harness.trigger("awaited", run_id="bad", logical_date="2026-03-02T00:00:00+00:00")
    run = await harness.finished(waiting)
    assert {name: one.state for name, one in run.tasks.items()} == {
        "whole": "success",
        "one": "success",
        "both": "success",
        "failed": "failed",
    }


async def test_latest_only_skips_what_is_late(harness: Harness) -> None:
    await harness.register("""
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.providers.standard.operators.latest_only import LatestOnlyOperator
    with DAG("latest", schedule="@daily", start_date=datetime(2020, 1, 1), catchup=False) as dag:
        gate = LatestOnlyOperator(task_id="gate")
        gate >> EmptyOperator(task_id="below") >> EmptyOperator(task_id="end", trigger_rule="all_done")
    """)
    late = await harness.run(
        "latest",
        run_type="scheduled",
        logical_date="2020-02-01T00:00:00+00:00",
        data_interval_start="2020-02-01T00:00:00+00:00",
        data_interval_end="2020-02-02T00:00:00+00:00",
    )
    assert {name: one.state for name, one in late.tasks.items()} == {
        "gate": "success",
        "below": "skipped",
        "end": "success",
    }
    by_hand = await harness.run("latest")
    assert {one.state for one in by_hand.tasks.values()} == {"success"}


async def test_weekdays_and_times_of_day_decide(harness: Harness) -> None:
    await harness.register("""
    from airflow.providers.standard.operators.datetime import BranchDateTimeOperator
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.providers.standard.operators.weekday import BranchDayOfWeekOperator
    from airflow.providers.standard.sensors.weekday import DayOfWeekSensor
    with DAG("calendar", start_date=datetime(2026, 1, 1)) as dag:
        a, b, c, d = (EmptyOperator(task_id=name) for name in "abcd")
        BranchDayOfWeekOperator(task_id="weekday", follow_task_ids_if_true="a", follow_task_ids_if_false="b",
                                week_day="Monday", use_task_logical_date=True) >> [a, b]
        BranchDateTimeOperator(task_id="hour", follow_task_ids_if_true="c", follow_task_ids_if_false="d",
                               target_lower=datetime(2026, 1, 4), target_upper=datetime(2026, 1, 6),
                               use_task_logical_date=True) >> [c, d]
        DayOfWeekSensor(task_id="sensor", week_day={"Monday"}, use_task_logical_date=True, poke_interval=0.1)
    """)
    run = await harness.run("calendar", logical_date="2026-01-05T12:00:00+00:00")
    states = {name: one.state for name, one in run.tasks.items()}
    assert (states["a"], states["b"], states["c"], states["d"]) == ("success", "skipped", "success", "skipped")
    assert states["sensor"] == "success"
