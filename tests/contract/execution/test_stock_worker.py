"""Airflow's stock worker entry point, from the unmodified wheels, runs tasks against our execution API.

Starting such a process takes seconds, so one run of one DAG holds what all tests look at.
"""

from collections.abc import AsyncIterator

import pytest

from leoflow.crypto import SecretBox
from leoflow.db.pool import open_pool
from leoflow.secrets.connections import seal
from tests.integration.worker.harness import Harness, Run
from tests.support.postgres import Server
from tests.support.stock import StockWorker, stock_worker

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(600)]

DAG = """
from airflow.sdk import Connection, Variable
from airflow.sdk.exceptions import AirflowSkipException

with DAG("child") as child:
    pass

with DAG("stock", start_date=datetime(2026, 1, 1)) as dag:
    @task
    def produce(): return {"rows": [1, 2, 3], "name": "ü"}
    @task
    def consume(data): return sum(data["rows"])
    consume(produce())

    @task(retries=1, retry_delay=timedelta(0))
    def flaky(ti=None):
        if ti.try_number == 1:
            raise ValueError("not yet")
        return f"try {ti.try_number}"
    flaky()

    @task(retries=1, retry_delay=timedelta(0))
    def killed(ti=None):
        if ti.try_number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return "alive"
    killed()

    @task
    def broken(): raise ValueError("for good")
    broken()

    @task
    def skipped(): raise AirflowSkipException("no need")
    skipped()

    @task.branch
    def choose(): return "left"
    @task
    def left(): return "left ran"
    @task
    def right(): return "right ran"
    choose() >> [left(), right()]

    @task
    def trial(i):
        return None if i == 1 else i * 10
    @task
    def best(values): return [type(values).__name__, *values]
    best([trial(i) for i in range(3)])

    @task.sensor(mode="reschedule", poke_interval=1, timeout=300)
    def wait(dag_run=None):
        marker = Path(dag_run.conf["marker"])
        if marker.exists():
            return True
        marker.touch()
        return False
    wait()

    @task
    def secrets():
        Variable.set("made", "by task")
        found = [Variable.get("greeting"), Variable.get("none", default="default"), Variable.get("made")]
        Variable.delete("made")
        return [*found, Variable.get("made", default="gone"), Connection.get("db").password]
    secrets()

    @task
    def walk(ti=None, dag_run=None):
        from datetime import timezone
        from airflow.sdk.exceptions import AirflowRuntimeError
        from airflow.sdk.execution_time import comms, task_runner
        now = datetime.now(timezone.utc)
        run = {"dag_id": ti.dag_id, "run_id": ti.run_id}
        value = {**run, "task_id": "walk", "key": "mine"}
        messages = [
            comms.SetXCom(**value, value={"a": [1]}), comms.GetXCom(**value),
            comms.GetXCom(**{**value, "key": "never"}),
            comms.GetXCom(**value, include_prior_dates=True), comms.GetXComCount(**value),
            comms.GetXComSequenceItem(**value, offset=0), comms.GetXComSequenceItem(**value, offset=7),
            comms.GetXComSequenceSlice(**value, start=None, stop=None, step=None), comms.DeleteXCom(**value),
            comms.SetXCom(**{**value, "task_id": "produce"}, value=1), comms.GetConnection(conn_id="none"),
            comms.GetDagRun(**run), comms.GetDagRun(dag_id="no", run_id="no"), comms.GetDagRunState(**run),
            comms.GetDRCount(dag_id=ti.dag_id, states=["running"]), comms.GetDag(dag_id=ti.dag_id),
            comms.GetPreviousDagRun(dag_id=ti.dag_id, logical_date=now), comms.GetPrevSuccessfulDagRun(ti_id=ti.id),
            comms.GetPreviousTI(dag_id=ti.dag_id, task_id="walk"),
            comms.GetPreviousTI(dag_id=ti.dag_id, task_id="walk", state="failed"),
            comms.GetTaskRescheduleStartDate(ti_id=ti.id),
            comms.GetTICount(dag_id=ti.dag_id, run_ids=[ti.run_id], task_ids=["walk"], states=["running", "null"]),
            comms.GetTaskStates(dag_id=ti.dag_id, run_ids=[ti.run_id], task_ids=["walk"]),
            comms.GetTaskBreadcrumbs(**run),
            comms.TriggerDagRun(dag_id="child", run_id="from stock"),
            comms.TriggerDagRun(dag_id="child", run_id="from stock"),
            comms.TriggerDagRun(dag_id="child", run_id="from stock", reset_dag_run=True),
            comms.TriggerDagRun(dag_id="no", run_id="r"),
            comms.GetAssetByName(name="a"), comms.GetAssetByUri(uri="s3://a"),
            comms.GetAssetEventByAsset(name="a", uri=None), comms.GetAssetEventByAssetAlias(alias_name="a"),
            comms.ValidateInletsAndOutlets(ti_id=ti.id), comms.SetRenderedMapIndex(rendered_map_index="label"),
        ]
        answers = []
        for message in messages:
            try:
                answer = task_runner.SUPERVISOR_COMMS.send(message)
                error = getattr(answer, "error", None)
                said = error.value if error is not None else type(answer).__name__
                said = "done" if said in ("NoneType", "OKResponse") else said
            except AirflowRuntimeError as failure:
                said = f"refused {(failure.error.detail or {}).get('status_code')}"
            answers.append([type(message).__name__, said])
        return answers
    walk()
"""

ANSWERS = [
    ["SetXCom", "done"],
    ["GetXCom", "XComResult"],
    ["GetXCom", "XComResult"],
    ["GetXCom", "XComResult"],
    ["GetXComCount", "XComCountResponse"],
    ["GetXComSequenceItem", "XComSequenceIndexResult"],
    ["GetXComSequenceItem", "XCOM_NOT_FOUND"],
    ["GetXComSequenceSlice", "XComSequenceSliceResult"],
    ["DeleteXCom", "done"],
    ["SetXCom", "refused 403"],
    ["GetConnection", "CONNECTION_NOT_FOUND"],
    ["GetDagRun", "DagRunResult"],
    ["GetDagRun", "refused 404"],
    ["GetDagRunState", "DagRunStateResult"],
    ["GetDRCount", "DRCount"],
    ["GetDag", "DagResult"],
    ["GetPreviousDagRun", "PreviousDagRunResult"],
    ["GetPrevSuccessfulDagRun", "PrevSuccessfulDagRunResult"],
    ["GetPreviousTI", "PreviousTIResult"],
    ["GetPreviousTI", "PreviousTIResult"],
    ["GetTaskRescheduleStartDate", "TaskRescheduleStartDate"],
    ["GetTICount", "TICount"],
    ["GetTaskStates", "TaskStatesResult"],
    ["GetTaskBreadcrumbs", "TaskBreadcrumbsResult"],
    ["TriggerDagRun", "done"],
    ["TriggerDagRun", "DAGRUN_ALREADY_EXISTS"],
    ["TriggerDagRun", "done"],
    ["TriggerDagRun", "refused 404"],
    ["GetAssetByName", "ASSET_NOT_FOUND"],
    ["GetAssetByUri", "ASSET_NOT_FOUND"],
    ["GetAssetEventByAsset", "AssetEventsResult"],
    ["GetAssetEventByAssetAlias", "AssetEventsResult"],
    ["ValidateInletsAndOutlets", "InactiveAssetsResult"],
    ["SetRenderedMapIndex", "done"],
]


@pytest.fixture(scope="module")
async def finished(
    server: Server, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Run, StockWorker]]:
    root = tmp_path_factory.mktemp("stock")
    with server.database(template) as dsn:
        pool = await open_pool(dsn, max_size=8)
        harness = Harness(pool, dsn, root / "home")
        try:
            await harness.register(DAG)
            await _add_secrets(harness)
            async with stock_worker(pool, root / "home") as worker:
                run_key = await harness.trigger("stock", conf={"marker": str(root / "marker")})
                yield await harness.finished(run_key, timeout=500), worker
        finally:
            await harness.launcher.close()
            await pool.close()


async def _add_secrets(harness: Harness) -> None:
    box = SecretBox.load_or_create(harness.home)
    async with harness.pool.connection() as connection:
        await connection.execute(
            "insert into leoflow_core.variable (key, value) values ('greeting', %s)", [box.encrypt("hello")]
        )
        await connection.execute(
            "insert into leoflow_core.connection (connection_id, conn_type, sealed) values ('db', 'http', %s)",
            [seal(box, {"password": "swordfish"})],
        )


Finished = tuple[Run, StockWorker]


async def test_success_with_xcom_and_rendered_fields(finished: Finished) -> None:
    run, _ = finished
    assert run.tasks["consume"].state == "success"
    assert run.xcoms["produce", "return_value"] == {"rows": [1, 2, 3], "name": "ü"}
    assert run.xcoms["consume", "return_value"] == 6
    assert run.tasks["consume"].rendered_fields["op_args"] == [{"rows": [1, 2, 3], "name": "ü"}]


async def test_a_failure_is_tried_again(finished: Finished) -> None:
    run, _ = finished
    assert (run.tasks["flaky"].state, run.tasks["flaky"].try_number) == ("success", 2)
    assert run.xcoms["flaky", "return_value"] == "try 2"


async def test_a_killed_process_is_tried_again_though_its_supervisor_says_nothing(finished: Finished) -> None:
    run, _ = finished
    assert (run.tasks["killed"].state, run.tasks["killed"].try_number) == ("success", 2)


async def test_a_failure_without_retries_fails_the_run(finished: Finished) -> None:
    run, _ = finished
    assert (run.tasks["broken"].state, run.tasks["broken"].try_number) == ("failed", 1)
    assert run.state == "failed"


async def test_skip(finished: Finished) -> None:
    run, _ = finished
    assert run.tasks["skipped"].state == "skipped"


async def test_a_branch_skips_what_it_does_not_follow(finished: Finished) -> None:
    run, worker = finished
    assert run.tasks["left"].state == "success"
    assert run.tasks["right"].state == "skipped"
    assert "right#1" not in worker.outputs


async def test_reduce_over_a_list_of_tasks_keeps_order_and_gaps(finished: Finished) -> None:
    run, _ = finished
    assert run.xcoms["best", "return_value"] == ["list", 0, None, 20]


async def test_a_sensor_is_rescheduled_in_one_try(finished: Finished) -> None:
    run, _ = finished
    assert (run.tasks["wait"].state, run.tasks["wait"].try_number) == ("success", 1)


async def test_variables_and_connections(finished: Finished) -> None:
    run, worker = finished
    assert run.xcoms["secrets", "return_value"] == ["hello", "default", "by task", "gone", "swordfish"]
    assert "swordfish" not in worker.outputs["secrets#1"]


async def test_every_other_message_is_answered_over_http(finished: Finished) -> None:
    run, worker = finished
    assert run.tasks["walk"].state == "success", worker.outputs["walk#1"]
    assert run.xcoms["walk", "return_value"] == ANSWERS


async def test_tokens_stay_out_of_what_processes_print(finished: Finished) -> None:
    _, worker = finished
    assert "eyJ" not in "".join(worker.outputs.values())
