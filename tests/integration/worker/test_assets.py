"""Tasks change assets, their changes start other DAGs, and those see what started them: with the real Task SDK."""

import asyncio

import pytest

from leoflow import engine
from leoflow.config import SchedulerSettings
from leoflow.scheduler.asset_runs import AssetRuns
from tests.integration.worker.harness import Harness, Run

pytestmark = pytest.mark.anyio

SOURCE = """
from airflow.sdk import Asset, AssetAlias, Metadata, asset

orders, customers = Asset("orders", uri="file://data/orders"), Asset("customers", extra={"owner": "crm"})

with DAG("producer") as producer:
    @task(outlets=[orders, AssetAlias("files")])
    def make(*, outlet_events):
        yield Metadata(orders, {"rows": 42})
        outlet_events[AssetAlias("files")].add(Asset("found", uri="file://data/found"), extra={"size": 7})
    @task(outlets=[customers])
    def crm(outlet_events=None):
        outlet_events[customers].extra = {"who": "everyone"}
    [make(), crm()]

with DAG("consumer", schedule=(orders & customers) | Asset("never"), max_active_runs=1) as consumer:
    @task(inlets=[orders, AssetAlias("files")])
    def look(triggering_asset_events=None, inlet_events=None, dag_run=None):
        events = triggering_asset_events
        through = inlet_events[AssetAlias("files")]
        return {
            "by_asset": {key.uri: [event.extra for event in found] for key, found in events.items()},
            "sources": sorted({f"{e.source_dag_id}.{e.source_task_id}" for found in events.values() for e in found}),
            "inlet": [event.extra for event in inlet_events[orders]],
            "newest": [event.extra for event in inlet_events[orders].ascending(False).limit(1)],
            "none_before": len(inlet_events[orders].before("2000-01-01T00:00:00Z")),
            "alias": [[event.asset.uri, event.extra, event.source_task_instance.task_id] for event in through],
            "run": [dag_run.run_type, dag_run.logical_date, len(dag_run.consumed_asset_events)],
        }
    look()

with DAG("by_alias", schedule=AssetAlias("files")) as by_alias:
    @task
    def who(triggering_asset_events=None):
        return [[key.name, [event.extra for event in found]] for key, found in triggering_asset_events.items()]
    who()

@asset(schedule=None, uri="file://data/first")
def first():
    return 1

@asset(schedule=[first], extra={"made": "by decorator"})
def second(self, first):
    return [self.name, first.uri]
"""


async def started(harness: Harness, dag_id: str) -> Run:
    """The run that something else starts."""
    async with asyncio.timeout(60):
        while True:
            async with harness.pool.connection() as connection:
                cursor = await connection.execute(
                    "select run_key from leoflow.dag_runs where dag_id = %s order by run_key limit 1", (dag_id,)
                )
                row = await cursor.fetchone()
            if row is not None:
                return await harness.finished(row[0])
            await asyncio.sleep(0.05)


async def test_changes_of_assets_start_dags_that_see_them(harness: Harness) -> None:
    await harness.register(SOURCE)
    assert (await harness.run("producer")).state == "success"
    consumer = await started(harness, "consumer")
    assert consumer.state == "success", consumer.logs
    assert consumer.xcoms["look", "return_value"] == {
        "by_asset": {"file://data/orders": [{"rows": 42}], "customers": [{"who": "everyone"}]},
        "sources": ["producer.crm", "producer.make"],
        "inlet": [{"rows": 42}],
        "newest": [{"rows": 42}],
        "none_before": 0,
        "alias": [["file://data/found", {"size": 7}, "make"]],
        "run": ["asset_triggered", None, 2],
    }
    by_alias = await started(harness, "by_alias")
    assert by_alias.xcoms["who", "return_value"] == [["found", [{"size": 7}]], ["files", [{"size": 7}]]]
    assert (await harness.run("first")).state == "success"
    second = await started(harness, "second")
    assert second.state == "success", second.logs
    assert second.xcoms["second", "return_value"] == ["second", "file://data/first"]


async def test_a_task_with_an_inactive_outlet_refuses_to_run(harness: Harness) -> None:
    await harness.register("""
    from airflow.sdk import Asset
    with DAG("one") as one:
        @task(outlets=[Asset("same", uri="file://1")])
        def a(): pass
        a()
    with DAG("two") as two:
        @task(outlets=[Asset("same", uri="file://2")])
        def b(): pass
        b()
    """)
    run = await harness.run("two")
    assert run.state == "failed"
    assert "inactive assets" in str(run.logs["b"])


async def test_a_scheduler_starts_what_events_from_outside_are_sufficient_for(harness: Harness) -> None:
    await harness.register("""
    from airflow.sdk import Asset
    with DAG("waiting", schedule=Asset("outside")) as dag:
        @task
        def look(triggering_asset_events=None):
            [[event]] = triggering_asset_events.values()
            return event.extra
        look()
    """)
    async with harness.pool.connection() as connection:
        await connection.execute("""select leoflow.create_asset_event('outside', extra => '{"n": 1}')""")
    assert await AssetRuns(harness.pool, SchedulerSettings()).work() is None
    assert (await started(harness, "waiting")).xcoms["look", "return_value"] == {"n": 1}
    async with harness.pool.connection() as connection:
        assert (await engine.create_asset_runs(connection)).created == 0
