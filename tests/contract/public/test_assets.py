"""Assets in the API: the values Airflow 3.2.2 answered for the same DAGs, filters, and what is refused."""

import re
from typing import Any

import httpx
import pytest

from tests.contract import lake
from tests.contract.public.shapes import differences, golden
from tests.contract.public.stage import Stage, spec, task

pytestmark = pytest.mark.anyio

DAGS = [
    # Airflow numbered its assets in this order.
    spec("asset_consumer", [task("consume", **lake.CONSUMER)], **lake.schedule(lake.RAW)),
    spec("asset_multi_consumer", [task("c")], **lake.schedule(lake.RAW, lake.CLEAN)),
    spec("asset_producer", [task("produce", **lake.PRODUCER)]),
]
_VOLATILE = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)(_\w{8})?")


@pytest.fixture
async def stage(pool: Any) -> Stage:
    """The three DAGs; the producer ran once, so that all ran."""
    made = Stage(pool)
    await made.register(*DAGS)
    await made.start("asset_producer", "scheduled__2026-11-22T15:00:00+00:00")
    await made.work({"produce": {"extra": {"rows": 42}}})
    return made


def steady(value: Any) -> Any:
    """The value without times, the random end of run ids, and numbers of events."""
    if isinstance(value, dict):
        return {key: steady(item) for key, item in value.items()}
    if isinstance(value, list):
        return [steady(item) for item in value]
    return _VOLATILE.sub("TIME", value) if isinstance(value, str) else value


def without_ids(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**event, "id": None} for event in steady(events)]


async def test_assets_have_the_values_airflow_recorded(stage: Stage, client: httpx.AsyncClient) -> None:
    for path, name in (("/assets?order_by=-name", "assets"), ("/assets/1", "asset")):
        ours, theirs = (await client.get(path)).json(), golden(name)
        for body in (ours, theirs):
            for one in body.get("assets", [body]):
                one["last_asset_event"]["id"] = None
        assert steady(ours) == steady(theirs)


async def test_events_have_the_values_airflow_recorded(stage: Stage, client: httpx.AsyncClient) -> None:
    ours, theirs = (await client.get("/assets/events?limit=3&order_by=-timestamp")).json(), golden("asset_events")
    assert without_ids(ours["asset_events"]) == without_ids(theirs["asset_events"][:2])
    runs = (await client.get("/dags/asset_consumer/dagRuns")).json()["dag_runs"]
    path = f"/dags/asset_consumer/dagRuns/{runs[0]['dag_run_id']}/upstreamAssetEvents"
    ours, theirs = (await client.get(path)).json(), golden("upstream_asset_events")
    assert without_ids(ours["asset_events"]) == without_ids(theirs["asset_events"])
    assert ours["total_entries"] == 1


async def test_runs_that_assets_made_are_airflows(stage: Stage, client: httpx.AsyncClient) -> None:
    [run] = (await client.get("/dags/asset_multi_consumer/dagRuns")).json()["dag_runs"]
    assert (run["run_type"], run["triggered_by"], run["logical_date"]) == ("asset_triggered", "asset", None)
    assert re.fullmatch(r"asset_triggered__[\d-]{10}T[\d:]{8}\.\d{6}\+00:00_\w{8}", run["dag_run_id"])
    found = (await client.get("/dags/~/dagRuns?consuming_asset_pattern=clean.csv")).json()["dag_runs"]
    assert [one["dag_id"] for one in found] == ["asset_multi_consumer"]


async def test_the_schedule_of_a_dag_is_shown_as_airflow_does(stage: Stage, client: httpx.AsyncClient) -> None:
    ours = (await client.get("/dags/asset_multi_consumer/details")).json()
    assert ours["asset_expression"] == {
        "all": [
            {"asset": {"uri": "s3://bucket/raw.csv", "name": "raw_data", "group": "lake", "id": 1}},
            {"asset": {"uri": "s3://bucket/clean.csv", "name": "clean_data", "group": "lake", "id": 2}},
        ]
    }
    found = (await client.get("/dags?asset_dependency=clean_data")).json()["dags"]
    assert [one["dag_id"] for one in found] == ["asset_multi_consumer"]


FILTERS = {
    "": [1, 2],
    "order_by=name": [2, 1],
    "order_by=-uri": [1, 2],
    "limit=1&offset=1": [2],
    "name_pattern=RAW": [1],
    "name_prefix_pattern=clean": [2],
    "uri_pattern=bucket": [1, 2],
    "uri_prefix_pattern=s3://bucket/c": [2],
    "dag_ids=asset_producer": [1],
    "dag_ids=asset_producer,asset_consumer": [1, 2],
    "dag_ids=nope": [],
    "only_active=false": [1, 2, 3],
}


async def test_filters(stage: Stage, client: httpx.AsyncClient) -> None:
    await stage.one("insert into leoflow_core.asset (name, uri) values ('old', 'z://old')")
    found = {query: (await client.get(f"/assets?{query}")).json() for query in FILTERS}
    assert {query: [one["id"] for one in body["assets"]] for query, body in found.items()} == FILTERS
    assert found["limit=1&offset=1"]["total_entries"] == 2


async def test_filters_of_events(stage: Stage, client: httpx.AsyncClient) -> None:
    found = {
        query: [one["name"] for one in (await client.get(f"/assets/events?{query}")).json()["asset_events"]]
        for query in (
            "order_by=timestamp",
            "asset_id=2",
            "source_dag_id=asset_producer",
            "source_task_id=consume&source_map_index=-1",
            "name_pattern=raw",
            "timestamp_lt=2000-01-01T00:00:00Z",
        )
    }
    assert list(found.values()) == [
        ["raw_data", "clean_data"],
        ["clean_data"],
        ["raw_data"],
        ["clean_data"],
        ["raw_data"],
        [],
    ]


async def test_an_event_through_the_api_starts_what_waits_for_it(stage: Stage, client: httpx.AsyncClient) -> None:
    answer = await client.post("/assets/events", json={"asset_id": 1, "extra": {"by": "hand", "password": "x"}})
    assert answer.status_code == 200
    body = answer.json()
    assert body["extra"] == {"by": "hand", "password": "***", "from_rest_api": True}
    assert (body["source_dag_id"], body["source_map_index"]) == (None, -1)
    assert [run["dag_id"] for run in body["created_dagruns"]] == ["asset_consumer"]


async def test_queued_events(stage: Stage, client: httpx.AsyncClient) -> None:
    await client.post("/assets/events", json={"asset_id": 1})
    one = (await client.get("/dags/asset_multi_consumer/assets/1/queuedEvents")).json()
    assert {**one, "created_at": None} == {
        "dag_id": "asset_multi_consumer",
        "asset_id": 1,
        "created_at": None,
        "dag_display_name": "asset_multi_consumer",
    }
    everything = {"queued_events": [one], "total_entries": 1}
    for path in ("/dags/asset_multi_consumer/assets/queuedEvents", "/assets/1/queuedEvents"):
        assert (await client.get(path)).json() == everything
        assert (await client.get(path, params={"before": "2000-01-01T00:00:00Z"})).json()["queued_events"] == []
        assert (await client.delete(path, params={"before": "2000-01-01T00:00:00Z"})).status_code == 404
    assert (await client.delete("/dags/asset_multi_consumer/assets/1/queuedEvents")).status_code == 204
    for path in ("/dags/asset_multi_consumer/assets/queuedEvents", "/assets/1/queuedEvents"):
        assert (await client.get(path)).json() == {"queued_events": [], "total_entries": 0}
        assert (await client.delete(path)).status_code == 404


async def test_materialize_runs_the_dag_that_makes_the_asset(stage: Stage, client: httpx.AsyncClient) -> None:
    answer = await client.post("/assets/1/materialize", json={"conf": {"a": 1}, "note": "now"})
    assert answer.status_code == 200
    run = answer.json()
    assert differences(run, golden("dag_run")) == []
    assert (run["dag_id"], run["run_type"], run["conf"]) == ("asset_producer", "asset_materialization", {"a": 1})
    assert run["dag_run_id"].startswith("asset_materialization__")
    assert (await client.post("/assets/1/materialize")).status_code == 200


async def test_refusals_have_airflows_texts(stage: Stage, client: httpx.AsyncClient) -> None:
    await stage.register(
        spec("other", [task("make", **lake.PRODUCER)]),
        spec("only", [task("a", outlets=[{**lake.RAW, "name": "x", "uri": "x"}])]),
    )
    await stage.one(
        'update leoflow_core.dag_version set spec = spec || \'{"allowed_run_types": ["manual"]}\''
        " where version_key = (select current_version_key from leoflow_core.dag where dag_id = 'only')"
    )
    found = [
        (answer.status_code, answer.json().get("detail"))
        for answer in [
            await client.get("/assets/99"),
            await client.get("/assets/aliases/99"),
            await client.post("/assets/events", json={"asset_id": 99}),
            await client.post("/assets/99/materialize"),
            await client.post("/assets/1/materialize"),
            await client.post("/assets/3/materialize"),
            await client.get("/assets?order_by=secret"),
        ]
    ]
    assert found == [
        (404, "The Asset with ID: `99` was not found"),
        (404, "The Asset Alias with ID: `99` was not found"),
        (404, "Asset with ID: `99` was not found"),
        (404, "No Dag materializes asset with ID: 99"),
        (409, "More than one Dag materializes asset with ID: 1"),
        (400, "Dag with dag_id: 'only' does not allow asset materialization runs"),
        (400, "Ordering with 'secret' is disallowed or the attribute does not exist on the model"),
    ]
    assert (await client.post("/assets/events", json={"asset_id": 1, "x": 1})).status_code == 422


async def test_aliases(stage: Stage, client: httpx.AsyncClient) -> None:
    await stage.register(spec("aliased", [task("a", outlets=[{"type": "alias", "name": "x", "group": "g"}])]))
    assert (await client.get("/assets/aliases?name_pattern=X")).json() == {
        "asset_aliases": [{"id": 1, "name": "x", "group": "g"}],
        "total_entries": 1,
    }
    assert (await client.get("/assets/aliases/1")).json() == {"id": 1, "name": "x", "group": "g"}


async def test_viewers_change_nothing(stage: Stage, client: httpx.AsyncClient, app: Any) -> None:
    client.headers["Authorization"] = f"Bearer {app.state.leoflow.signer.issue('viewer', 'viewer', 600)}"
    assert (await client.get("/assets")).status_code == 200
    assert (await client.post("/assets/events", json={"asset_id": 1})).status_code == 403
    assert (await client.post("/assets/1/materialize")).status_code == 403
    assert (await client.delete("/assets/1/queuedEvents")).status_code == 403
