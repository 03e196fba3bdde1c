"""What TaskFlow offers runs as in Airflow: the real Task SDK and its standard provider on the real worker."""

import pytest

from tests.integration.worker.harness import Harness

pytestmark = pytest.mark.anyio


async def test_templates_see_airflows_context_and_macros(harness: Harness) -> None:
    await harness.register("""
    from airflow.providers.standard.operators.bash import BashOperator
    from airflow.providers.standard.operators.python import PythonOperator
    with DAG("templates", user_defined_macros={"shout": str.upper}, user_defined_filters={"twice": lambda s: s * 2},
             params={"city": "Bern"}, start_date=datetime(2026, 1, 1)) as dag:
        rendered = BashOperator(task_id="rendered", bash_command=(
            "echo '{{ ds }}|{{ ds_nodash }}|{{ logical_date.year }}|{{ dag.dag_id }}|{{ task.task_id }}"
            "|{{ ti.try_number }}|{{ run_id }}|{{ params.city }}|{{ dag_run.conf.n }}|{{ shout('a') }}"
            "|{{ 'b' | twice }}|{{ macros.ds_add(ds, 5) }}|{{ data_interval_start | ds }}|{{ ts_nodash }}"
            "|{{ task_instance_key_str }}'"))
        def look(context_keys, ds=None, **context):
            return sorted(set(context_keys) - set(context) - {"ds"})
        PythonOperator(task_id="look", python_callable=look, op_args=[[
            "dag", "dag_run", "data_interval_end", "data_interval_start", "ds", "ds_nodash", "inlets", "inlet_events",
            "logical_date", "macros", "outlets", "outlet_events", "params", "prev_data_interval_start_success",
            "run_id", "task", "task_instance", "task_instance_key_str", "ti", "triggering_asset_events", "ts",
            "ts_nodash", "ts_nodash_with_tz", "var", "conn", "prev_start_date_success", "prev_end_date_success"]])
    """)
    run = await harness.run(
        "templates",
        run_id="r1",
        logical_date="2026-02-03T04:05:06+00:00",
        data_interval_start="2026-02-03T04:05:06+00:00",
        data_interval_end="2026-02-03T04:05:06+00:00",
        conf={"n": 7},
    )
    assert run.state == "success", run.logs
    assert run.xcoms[("rendered", "return_value")] == (
        "2026-02-03|20260203|2026|templates|rendered|1|r1|Bern|7|A|bb|2026-02-08|2026-02-03|20260203T040506"
        "|templates__rendered__20260203"
    )
    assert run.xcoms[("look", "return_value")] == []
    assert "2026-02-03|20260203" in run.tasks["rendered"].rendered_fields["bash_command"]


async def test_params_come_from_the_dag_the_task_and_the_conf(harness: Harness) -> None:
    await harness.register("""
    from airflow.sdk import Param
    with DAG("params", params={"n": Param(3, type="integer", minimum=1), "who": "dag"}) as dag:
        @task(params={"who": "task"})
        def read(params): return dict(params)
        read()
    """)
    run = await harness.run("params", conf={"n": 5})
    assert run.xcoms[("read", "return_value")] == {"n": 5, "who": "task"}
    refused = await harness.run("params", conf={"n": 0})
    assert refused.state == "failed"
    text = str(refused.logs["read"])
    assert "0 is less than the minimum of 1" in text


async def test_several_outputs_are_xcoms_of_their_own(harness: Harness) -> None:
    await harness.register("""
    with DAG("outputs") as dag:
        @task
        def split() -> dict: return {"left": 1, "right": [2]}
        @task(multiple_outputs=True)
        def pair(): return {"a": "x"}
        @task
        def add(left, right, a): return [left, *right, a]
        halves = split()
        add(halves["left"], halves["right"], pair()["a"])
    """)
    run = await harness.run("outputs")
    assert run.xcoms[("add", "return_value")] == [1, 2, "x"]
    assert run.xcoms[("split", "left")] == 1
    assert run.xcoms[("split", "return_value")] == {"left": 1, "right": [2]}


async def test_bash_in_all_its_forms(harness: Harness) -> None:
    await harness.register("""
    from airflow.providers.standard.operators.bash import BashOperator
    with DAG("bash") as dag:
        @task.bash(env={"NAME": "leo"}, append_env=True)
        def greet(): return "echo hi $NAME; echo last"
        greet()
        BashOperator(task_id="skips", bash_command="exit 99")
        BashOperator(task_id="fails", bash_command="echo to-the-log; exit 3")
        BashOperator(task_id="where", bash_command="pwd", cwd="/")
        BashOperator(task_id="parsed", bash_command="echo 41", output_processor=lambda out: int(out) + 1)
    """)
    run = await harness.run("bash")
    assert {name: one.state for name, one in run.tasks.items()} == {
        "greet": "success",
        "skips": "skipped",
        "fails": "failed",
        "where": "success",
        "parsed": "success",
    }
    assert run.xcoms[("greet", "return_value")] == "last"
    assert run.xcoms[("where", "return_value")] == "/"
    assert run.xcoms[("parsed", "return_value")] == 42
    assert "hi leo" in run.messages("greet")
    assert "to-the-log" in run.messages("fails")


async def test_branches_follow_what_was_chosen(harness: Harness) -> None:
    await harness.register("""
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.providers.standard.operators.python import BranchPythonOperator
    from airflow.sdk import task_group
    with DAG("branches") as dag:
        @task.branch
        def choose(): return ["b", "group.first"]
        @task_group
        def group():
            EmptyOperator(task_id="first") >> EmptyOperator(task_id="second")
        a, b = EmptyOperator(task_id="a"), EmptyOperator(task_id="b")
        join = EmptyOperator(task_id="join", trigger_rule="none_failed_min_one_success")
        grouped = group()
        choose() >> [a, b, grouped] >> join
        classic = BranchPythonOperator(task_id="classic", python_callable=lambda: None)
        classic >> EmptyOperator(task_id="unwanted")
        @task.branch
        def wrong(): return "no_such_task"
        wrong() >> EmptyOperator(task_id="after_wrong")
    """)
    run = await harness.run("branches")
    states = {name: one.state for name, one in run.tasks.items()}
    assert states == {
        "choose": "success",
        "a": "skipped",
        "b": "success",
        "group.first": "success",
        "group.second": "success",
        "join": "success",
        "classic": "success",
        "unwanted": "skipped",
        "wrong": "failed",
        "after_wrong": "upstream_failed",
    }
    assert "no_such_task" in str(run.logs["wrong"])


async def test_short_circuits_with_and_without_regard_for_trigger_rules(harness: Harness) -> None:
    await harness.register("""
    from airflow.providers.standard.operators.empty import EmptyOperator
    def chain(prefix, circuit):
        end = EmptyOperator(task_id=prefix + "_end", trigger_rule="all_done")
        circuit >> EmptyOperator(task_id=prefix + "_mid") >> end
    with DAG("circuits") as dag:
        @task.short_circuit
        def hard(): return False
        @task.short_circuit(ignore_downstream_trigger_rules=False)
        def soft(): return []
        @task.short_circuit
        def closed(): return "yes"
        chain("hard", hard()); chain("soft", soft()); chain("closed", closed())
    """)
    run = await harness.run("circuits")
    states = {name: one.state for name, one in run.tasks.items()}
    assert (states["hard_mid"], states["hard_end"]) == ("skipped", "skipped")
    assert (states["soft_mid"], states["soft_end"]) == ("skipped", "success")
    assert (states["closed_mid"], states["closed_end"]) == ("success", "success")


async def test_conditions_on_tasks(harness: Harness) -> None:
    await harness.register("""
    with DAG("conditions") as dag:
        @task.run_if(lambda context: context["params"]["on"], skip_message="it is off")
        @task
        def wanted(): return 1
        @task.skip_if(lambda context: context["params"]["on"])
        @task.bash
        def unwanted(): return "echo never"
        wanted(); unwanted()
        dag.params["on"] = True
    """)
    run = await harness.run("conditions")
    assert {name: one.state for name, one in run.tasks.items()} == {"wanted": "success", "unwanted": "skipped"}
    run = await harness.run("conditions", conf={"on": False})
    assert {name: one.state for name, one in run.tasks.items()} == {"wanted": "skipped", "unwanted": "success"}
    assert "it is off" in str(run.logs["wanted"])


async def test_tasks_in_other_interpreters(harness: Harness) -> None:
    await harness.register("""
    with DAG("interpreters") as dag:
        @task.external_python(python=sys.executable, expect_airflow=False)
        def outside(n):
            import os
            return {"n": n + 1, "pid": os.getpid()}
        @task.virtualenv(requirements=["iniconfig==2.1.0"], system_site_packages=False)
        def apart(n):
            import importlib.metadata
            return [n, importlib.metadata.version("iniconfig")]
        @task.branch_external_python(python=sys.executable, expect_airflow=False)
        def choose(): return "yes"
        @task
        def yes(): return "chosen"
        @task
        def no(): return "not"
        outside(1); apart(2); choose() >> [yes(), no()]
    """)
    run = await harness.run("interpreters", timeout=120)
    assert run.state == "success", run.messages("apart")
    assert run.xcoms[("outside", "return_value")]["n"] == 2
    assert run.xcoms[("apart", "return_value")] == [2, "2.1.0"]
    assert (run.tasks["yes"].state, run.tasks["no"].state) == ("success", "skipped")


async def test_async_tasks_and_generators_of_context(harness: Harness) -> None:
    await harness.register("""
    from airflow.sdk import get_current_context
    with DAG("asynchronous") as dag:
        @task
        async def later():
            import asyncio
            await asyncio.sleep(0)
            return get_current_context()["ti"].task_id
        later()
    """)
    run = await harness.run("asynchronous")
    assert run.xcoms[("later", "return_value")] == "later"
