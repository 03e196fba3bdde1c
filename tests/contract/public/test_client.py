"""The real `apache-airflow-client` 3.2.2 against the server over HTTP: its models are strict about every answer."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import airflow_client.client as airflow
import anyio
import httpx
import pytest
import uvicorn
from airflow_client.client.api import (
    ConfigApi,
    ConnectionApi,
    DAGApi,
    DagRunApi,
    DagSourceApi,
    DagStatsApi,
    DagVersionApi,
    EventLogApi,
    ImportErrorApi,
    JobApi,
    MonitorApi,
    PoolApi,
    ProviderApi,
    TaskApi,
    TaskInstanceApi,
    VariableApi,
    VersionApi,
    XComApi,
)
from fastapi import FastAPI

from tests.contract.public.conftest import PASSWORD
from tests.contract.public.stage import Stage

pytestmark = pytest.mark.anyio


@pytest.fixture
async def address(app: FastAPI) -> AsyncIterator[str]:
    """The server on a free port."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", ws="none"))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        with contextlib.suppress(asyncio.CancelledError):
            await task
        listener.close()


@pytest.fixture
async def api(address: str) -> AsyncIterator[airflow.ApiClient]:
    async with httpx.AsyncClient(base_url=address) as http:
        answer = await http.post("/auth/token", json={"username": "admin", "password": PASSWORD})
    with airflow.ApiClient(airflow.Configuration(host=address, access_token=answer.json()["access_token"])) as found:
        yield found


async def test_the_python_client_drives_a_dag_from_trigger_to_result(api: airflow.ApiClient, stage: Stage) -> None:
    def trigger() -> str:
        assert [dag.dag_id for dag in DAGApi(api).get_dags(limit=100).dags] == ["etl", "flaky", "grouped"]
        assert DAGApi(api).get_dag("etl").is_paused is False
        assert DAGApi(api).get_dag_details("etl").params["n"]["value"] == 3
        body = airflow.TriggerDAGRunPostBody(logical_date=datetime(2026, 1, 1, tzinfo=UTC), conf={"n": 1})
        return DagRunApi(api).trigger_dag_run("etl", body).dag_run_id

    run_id = await anyio.to_thread.run_sync(trigger)
    await stage.work({"extract": {"value": [1, 2]}})

    def look() -> None:
        assert DagRunApi(api).get_dag_run("etl", run_id).state == "success"
        instances = TaskInstanceApi(api).get_task_instances("etl", run_id).task_instances
        assert {one.task_id: one.state for one in instances} == dict.fromkeys(
            ("extract", "transform", "load"), "success"
        )
        assert TaskInstanceApi(api).get_task_instance("etl", run_id, "extract").try_number == 1
        assert TaskInstanceApi(api).get_task_instance_tries("etl", run_id, "extract").total_entries == 1
        log = TaskInstanceApi(api).get_log("etl", run_id, "extract", 1, full_content=True)
        assert log.content.actual_instance[-1].event == "hello"
        xcom = XComApi(api).get_xcom_entry(dag_id="etl", task_id="extract", dag_run_id=run_id, xcom_key="return_value")
        assert xcom.actual_instance.value == [1, 2]
        assert XComApi(api).get_xcom_entries("etl", run_id, "extract").total_entries == 1
        assert [task.task_id for task in TaskApi(api).get_tasks("etl").tasks] == ["extract", "load", "transform"]
        assert TaskApi(api).get_task("etl", "load").class_ref["class_name"] == "_PythonDecoratedOperator"
        clear = airflow.ClearTaskInstancesBody(
            dry_run=False,
            dag_run_id=run_id,
            only_failed=False,
            task_ids=[airflow.ClearTaskInstancesBodyTaskIdsInner("load")],
        )
        assert TaskInstanceApi(api).post_clear_task_instances("etl", clear).total_entries == 1
        patch = airflow.DAGRunPatchBody(state="success", note="done")
        assert DagRunApi(api).patch_dag_run("etl", run_id, patch).note == "done"
        assert DagRunApi(api).get_dag_runs("~", state=["success"]).total_entries == 1
        assert DAGApi(api).patch_dag("etl", airflow.DAGPatchBody(is_paused=True)).is_paused is True
        DagRunApi(api).delete_dag_run("etl", run_id)
        with pytest.raises(airflow.exceptions.NotFoundException):
            DagRunApi(api).get_dag_run("etl", run_id)

    await anyio.to_thread.run_sync(look)


async def test_the_python_client_administrates(api: airflow.ApiClient, stage: Stage) -> None:
    def administrate() -> None:
        variables = VariableApi(api)
        variables.post_variable(airflow.VariableBody(key="a b/c", value="1"))
        assert variables.get_variable("a b/c").value == "1"
        variables.patch_variable("a b/c", airflow.VariableBody(key="a b/c", value="2"))
        assert variables.get_variables().variables[0].value == "2"
        variables.delete_variable("a b/c")
        connections = ConnectionApi(api)
        connections.post_connection(airflow.ConnectionBody(connection_id="c", conn_type="http", password="s"))
        assert connections.get_connection("c").password == "***"
        assert connections.get_connections().total_entries == 1
        connections.delete_connection("c")
        pools = PoolApi(api)
        pools.post_pool(airflow.PoolBody(name="p", slots=2))
        assert pools.patch_pool("p", airflow.PoolPatchBody(slots=3), update_mask=["slots"]).slots == 3
        assert pools.get_pools().total_entries == 2
        pools.delete_pool("p")
        assert VersionApi(api).get_version().version == "3.2.2"
        assert MonitorApi(api).get_health().metadatabase.status == "healthy"
        assert ConfigApi(api).get_config().sections
        assert JobApi(api).get_jobs().total_entries == 0
        assert ProviderApi(api).get_providers().total_entries == 0
        assert ImportErrorApi(api).get_import_errors().total_entries == 0
        assert EventLogApi(api).get_event_logs(limit=100).total_entries > 5
        assert DagSourceApi(api).get_dag_source("etl").content == "# etl\n"
        assert DagVersionApi(api).get_dag_versions("etl").total_entries == 1
        assert DagStatsApi(api).get_dag_stats(dag_ids=["etl"]).total_entries == 1
        assert DAGApi(api).get_dag_tags().total_entries == 4

    await anyio.to_thread.run_sync(administrate)
