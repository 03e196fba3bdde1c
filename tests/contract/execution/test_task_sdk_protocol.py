"""Every message the Task SDK can send is answered, with something the SDK accepts."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from leoflow.crypto import SecretBox
from leoflow.execution.operations import LOCAL, OPERATIONS
from leoflow.secrets.connections import seal
from tests.integration.worker.harness import Harness, running
from tests.support.environments import default_python
from tests.support.postgres import Server

pytestmark = pytest.mark.anyio

LIST_MESSAGES = """
import json, typing
from airflow.sdk.execution_time import comms
union = typing.get_args(comms.ToSupervisor)[0]
print(json.dumps(sorted(model.model_fields["type"].default for model in typing.get_args(union))))
"""

WALK = """
from datetime import timezone
with DAG("walk") as dag:
    @task
    def earlier(): return [1, 2]
    @task
    def walk(_, ti=None):
        from airflow.sdk.exceptions import AirflowRuntimeError
        from airflow.sdk.execution_time import comms, task_runner
        now = datetime.now(timezone.utc)
        run = {"dag_id": ti.dag_id, "run_id": ti.run_id}
        value = {**run, "task_id": "earlier", "key": "return_value"}
        own = {**run, "task_id": "walk", "key": "mine", "map_index": ti.map_index}
        messages = [
            comms.GetXCom(**value), comms.GetXComCount(**value), comms.GetXComSequenceItem(**value, offset=0),
            comms.GetXComSequenceItem(**value, offset=7),
            comms.GetXComSequenceSlice(**value, start=None, stop=None, step=None),
            comms.GetXCom(**value, include_prior_dates=True), comms.GetXCom(**{**value, "key": "never"}),
            comms.SetXCom(**own, value={"a": [1]}), comms.DeleteXCom(**own),
            comms.PutVariable(key="v", value="secret value", description=None), comms.GetVariable(key="v"),
            comms.DeleteVariable(key="v"), comms.GetVariable(key="v"),
            comms.GetConnection(conn_id="db"), comms.GetConnection(conn_id="none"),
            comms.GetDagRun(**run), comms.GetDagRun(dag_id="no", run_id="no"), comms.GetDagRunState(**run),
            comms.GetDRCount(dag_id=ti.dag_id, states=["running"]), comms.GetDag(dag_id=ti.dag_id),
            comms.GetPreviousDagRun(dag_id=ti.dag_id, logical_date=now), comms.GetPrevSuccessfulDagRun(ti_id=ti.id),
            comms.GetPreviousTI(dag_id=ti.dag_id, task_id="earlier"),
            comms.GetPreviousTI(dag_id=ti.dag_id, task_id="earlier", state="failed"),
            comms.GetTaskRescheduleStartDate(ti_id=ti.id),
            comms.GetTICount(dag_id=ti.dag_id, run_ids=[ti.run_id], states=["success", "null"]),
            comms.GetTaskStates(dag_id=ti.dag_id, run_ids=[ti.run_id]), comms.GetTaskBreadcrumbs(**run),
            comms.TriggerDagRun(dag_id="walk", run_id=ti.run_id), comms.TriggerDagRun(dag_id="no", run_id="r"),
            comms.GetAssetByName(name="a"), comms.GetAssetByUri(uri="s3://a"),
            comms.GetAssetEventByAsset(name="a", uri=None), comms.GetAssetEventByAssetAlias(alias_name="a"),
            comms.ValidateInletsAndOutlets(ti_id=ti.id),
            comms.CreateHITLDetailPayload(ti_id=ti.id, options=["y"], subject="?"),
            comms.UpdateHITLDetail(ti_id=ti.id, chosen_options=["y"]), comms.GetHITLDetailResponse(ti_id=ti.id),
            comms.MaskSecret(value="swordfish"), comms.SetRenderedMapIndex(rendered_map_index="label"),
            comms.SetRenderedFields(rendered_fields={"a": 1}), comms.SkipDownstreamTasks(tasks=[]),
            comms.ResendLoggingFD(),
        ]
        answers = []
        for message in messages:
            try:
                reply = task_runner.SUPERVISOR_COMMS.send(message)
                kind = type(reply).__name__ if reply is not None else None
                if kind == "SentFDs": os.close(reply.fds[0])
                if kind == "ErrorResponse": kind = reply.error.value
            except AirflowRuntimeError as error:
                kind = f"raises {error.error.error.value}"
            answers.append([message.type, kind])
        return answers
    walk(earlier())
"""


@pytest.fixture(scope="module")
async def harness(server: Server, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Harness]:
    home = tmp_path_factory.mktemp("protocol") / "home"
    with server.database(template) as dsn:
        async with running(dsn, home) as started:
            yield started


async def test_every_message_of_the_sdk_has_an_answer() -> None:
    process = await asyncio.create_subprocess_exec(
        default_python(), "-c", LIST_MESSAGES, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    output, _ = await process.communicate()
    known = json.loads(output.splitlines()[-1])
    assert len(known) == 40
    assert sorted({*OPERATIONS, *LOCAL}) == known


async def test_every_answer_is_one_the_sdk_accepts(harness: Harness) -> None:
    box = SecretBox.load_or_create(harness.home)
    await harness.fetch(
        "insert into leoflow_core.connection (connection_id, conn_type, sealed) values ('db', 'postgres', %s)"
        " returning 1",
        seal(box, {"password": "hunter22"}),
    )
    await harness.register(WALK)
    run = await harness.run("walk")
    assert run.state == "success", run.logs
    answers = [tuple(pair) for pair in run.xcoms[("walk", "return_value")]]
    assert answers == [
        ("GetXCom", "XComResult"),
        ("GetNumberXComs", "XComCountResponse"),
        ("GetXComSequenceItem", "XComSequenceIndexResult"),
        ("GetXComSequenceItem", "XCOM_NOT_FOUND"),
        ("GetXComSequenceSlice", "XComSequenceSliceResult"),
        ("GetXCom", "XComResult"),
        ("GetXCom", "XComResult"),
        ("SetXCom", "OKResponse"),
        ("DeleteXCom", "OKResponse"),
        ("PutVariable", "OKResponse"),
        ("GetVariable", "VariableResult"),
        ("DeleteVariable", "OKResponse"),
        ("GetVariable", "VARIABLE_NOT_FOUND"),
        ("GetConnection", "ConnectionResult"),
        ("GetConnection", "CONNECTION_NOT_FOUND"),
        ("GetDagRun", "DagRunResult"),
        ("GetDagRun", "raises API_SERVER_ERROR"),
        ("GetDagRunState", "DagRunStateResult"),
        ("GetDRCount", "DRCount"),
        ("GetDag", "DagResult"),
        ("GetPreviousDagRun", "PreviousDagRunResult"),
        ("GetPrevSuccessfulDagRun", "PrevSuccessfulDagRunResult"),
        ("GetPreviousTI", "PreviousTIResult"),
        ("GetPreviousTI", "PreviousTIResult"),
        ("GetTaskRescheduleStartDate", "TaskRescheduleStartDate"),
        ("GetTICount", "TICount"),
        ("GetTaskStates", "TaskStatesResult"),
        ("GetTaskBreadcrumbs", "TaskBreadcrumbsResult"),
        ("TriggerDagRun", "DAGRUN_ALREADY_EXISTS"),
        ("TriggerDagRun", "raises API_SERVER_ERROR"),
        ("GetAssetByName", "ASSET_NOT_FOUND"),
        ("GetAssetByUri", "ASSET_NOT_FOUND"),
        ("GetAssetEventByAsset", "AssetEventsResult"),
        ("GetAssetEventByAssetAlias", "AssetEventsResult"),
        ("ValidateInletsAndOutlets", "InactiveAssetsResult"),
        ("CreateHITLDetailPayload", "HITLDetailRequestResult"),
        ("UpdateHITLDetail", "raises API_SERVER_ERROR"),
        ("GetHITLDetailResponse", "raises API_SERVER_ERROR"),
        ("MaskSecret", None),
        ("SetRenderedMapIndex", "OKResponse"),
        ("SetRenderedFields", "OKResponse"),
        ("SkipDownstreamTasks", None),
        ("ResendLoggingFD", "SentFDs"),
    ]


async def test_a_triggered_dag_runs(harness: Harness) -> None:
    await harness.register("""
    from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
    with DAG("child") as child:
        @task
        def echo(dag_run=None): return dag_run.conf
        echo()
    with DAG("parent") as parent:
        TriggerDagRunOperator(
            task_id="go", trigger_dag_id="child", conf={"a": 1}, wait_for_completion=True, poke_interval=0.1
        )
    """)
    run = await harness.run("parent")
    assert run.state == "success", run.logs
    [(child_key,)] = await harness.fetch(
        "select run_key from leoflow_core.dag_run join leoflow_core.dag using (dag_key) where dag_id = 'child'"
    )
    child = await harness.finished(child_key)
    assert child.xcoms[("echo", "return_value")] == {"a": 1}


async def test_a_branch_skips_what_it_does_not_follow(harness: Harness) -> None:
    await harness.register("""
    with DAG("branching") as dag:
        @task.branch
        def choose(): return "left"
        @task
        def left(): return 1
        @task
        def right(): return 2
        @task.short_circuit
        def stop(): return False
        @task
        def never(): return 3
        choose() >> [left(), right()]
        stop() >> never()
    """)
    run = await harness.run("branching")
    assert {name: found.state for name, found in run.tasks.items()} == {
        "choose": "success",
        "left": "success",
        "right": "skipped",
        "stop": "success",
        "never": "skipped",
    }


async def test_operators_of_the_standard_provider_run(harness: Harness) -> None:
    await harness.register("""
    from airflow.providers.standard.operators.bash import BashOperator
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.providers.standard.operators.python import PythonOperator
    with DAG("standard", params={"who": "world"}) as dag:
        bash = BashOperator(task_id="bash", bash_command="echo hello {{ params.who }} {{ ds_nodash | length }}")
        python = PythonOperator(task_id="python", python_callable=lambda **context: context["ti"].xcom_pull("bash"))
        @task.bash
        def shell(): return "echo from-the-shell"
        bash >> python >> shell() >> EmptyOperator(task_id="end")
    """)
    run = await harness.run("standard", logical_date="2026-01-01T00:00:00+00:00")
    assert run.state == "success", run.logs
    assert run.xcoms[("python", "return_value")] == "hello world 8"
    assert run.xcoms[("shell", "return_value")] == "from-the-shell"
