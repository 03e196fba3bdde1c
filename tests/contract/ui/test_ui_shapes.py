"""Every answer under /ui has the shape of Airflow 3.2.2's recorded one."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from psycopg import AsyncConnection

from leoflow.api.app import create_app
from leoflow.api.settings import ApiSettings
from leoflow.db.pool import open_pool
from tests.contract.ui import seed
from tests.contract.ui.shapes import assert_shape, golden
from tests.support.postgres import Server

pytestmark = pytest.mark.anyio

RUN = "manual__2026-11-22T14:09:46.176548+00:00"


@pytest.fixture(scope="module")
async def seeded(
    server: Server, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[httpx.AsyncClient]:
    """The administrator of a server with three DAGs; the tests of this module only read."""
    settings = ApiSettings(home=tmp_path_factory.mktemp("home"), host="0.0.0.0")
    with server.database(template) as dsn:
        pool = await open_pool(dsn)
        async with pool.connection() as connection:
            await connection.execute("insert into leoflow_core.app_user (user_name, role) values ('admin', 'admin')")
            await _seed(connection)
        app = create_app(pool, settings)
        token = app.state.leoflow.signer.issue("admin", "admin", 600)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app),
            base_url="http://leoflow.test",
            headers={"Authorization": f"Bearer {token}"},
        ) as client:
            yield client
        await pool.close()


async def _seed(connection: AsyncConnection[Any]) -> None:
    """Three DAGs: one with groups and a finished run, one that failed, one scheduled and starred."""
    await seed.register(connection, seed.GROUPS)
    key = await seed.run(connection, "task_groups_dag", RUN, logical_date="2026-11-20T05:00:00Z")
    await seed.settle(connection, key, seed.all_success(seed.GROUPS) | {"right": "skipped"})
    await seed.register(connection, seed.FAILING)
    key = await seed.run(connection, "failing_dag", RUN)
    await seed.settle(connection, key, {"ok": "success", "boom": "failed", "after": "upstream_failed"}, "failed")
    await seed.register(connection, seed.ETL)
    key = await seed.run(
        connection,
        "etl_daily",
        "scheduled__2026-11-22T06:00:00+00:00",
        logical_date="2026-11-22T06:00:00Z",
        run_type="scheduled",
    )
    await seed.settle(connection, key, seed.all_success(seed.ETL))
    await connection.execute(
        "update leoflow_core.dag set next_logical_date = d, next_data_interval_start = d,"
        " next_data_interval_end = d, next_run_after = d"
        " from (values ('2026-11-23T06:00Z'::timestamptz)) as v (d) where dag_id = 'etl_daily'"
    )
    await connection.execute(
        "insert into leoflow_core.favorite (user_name, dag_key)"
        " select 'admin', dag_key from leoflow_core.dag where dag_id = 'etl_daily'"
    )


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/ui/config", "config"),
        ("/ui/auth/menus", "menus"),
        ("/ui/auth/me", "me"),
        ("/ui/dashboard/dag_stats", "dag_stats"),
        ("/ui/dashboard/historical_metrics_data?start_date=2026-11-21T00:00:00Z", "historical_metrics"),
        ("/ui/dags?dag_runs_limit=14&limit=50&offset=0&exclude_stale=true&order_by=dag_display_name", "dags"),
        ("/ui/dags?limit=10&is_favorite=true", "dags_favorite"),
        ("/ui/dags/failing_dag/latest_run", "latest_run"),
        ("/ui/grid/structure/task_groups_dag?limit=10&order_by=-run_after", "grid_structure"),
        ("/ui/grid/runs/task_groups_dag?limit=10&order_by=-run_after", "grid_runs"),
        (f"/ui/gantt/failing_dag/{RUN}", "gantt"),
        ("/ui/calendar/etl_daily?granularity=daily", "calendar"),
        ("/ui/structure/structure_data?dag_id=task_groups_dag", "structure_data"),
        ("/ui/dependencies", "dependencies"),
        ("/ui/next_run_assets/etl_daily", "next_run_assets"),
        ("/ui/connections/hook_meta", "hook_meta"),
        ("/ui/backfills?dag_id=etl_daily&active=true", "backfills"),
        ("/ui/partitioned_dag_runs?dag_id=etl_daily", "partitioned_dag_runs"),
        (f"/ui/dags/failing_dag/dagRuns/{RUN}/deadlines", "deadlines"),
    ],
)
async def test_answers_have_airflows_shape(seeded: httpx.AsyncClient, path: str, name: str) -> None:
    answer = await seeded.get(path)
    assert answer.status_code == 200, answer.text
    assert_shape(answer.json(), golden(name))


async def test_grid_and_graph_of_groups_are_exactly_airflows(seeded: httpx.AsyncClient) -> None:
    grid = await seeded.get("/ui/grid/structure/task_groups_dag?limit=10&order_by=-run_after")
    assert grid.json() == golden("grid_structure")
    graph = await seeded.get("/ui/structure/structure_data?dag_id=task_groups_dag")
    assert graph.json() == golden("structure_data")


async def test_summaries_stream_one_line_per_run(seeded: httpx.AsyncClient) -> None:
    answer = await seeded.get("/ui/grid/ti_summaries/task_groups_dag", params={"run_ids": [RUN, "manual__unknown"]})
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert len(lines) == 1
    theirs = golden("ti_summaries")
    assert_shape(lines[0], theirs)
    without_times = [_untimed(entry) for entry in lines[0]["task_instances"]]
    assert without_times == [_untimed(entry) for entry in theirs["task_instances"]]


def _untimed(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key not in ("min_start_date", "max_end_date")}


async def test_a_config_without_theme_would_empty_the_page(seeded: httpx.AsyncClient) -> None:
    assert (await seeded.get("/ui/config")).json().keys() == golden("config").keys()


@pytest.mark.parametrize("path", ["/ui/dags/etl_daily/latest_run", "/ui/grid/ti_summaries/etl_daily"])
async def test_a_dag_without_runs(admin: httpx.AsyncClient, connection: AsyncConnection[Any], path: str) -> None:
    await seed.register(connection, seed.ETL)
    answer = await admin.get(path)
    assert answer.status_code == 200
    assert answer.text in ("null", "")


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        ("/ui/structure/structure_data?dag_id=nope", 404, "Dag with id nope was not found"),
        (
            "/ui/structure/structure_data?dag_id=etl_daily&version_number=9",
            404,
            "Dag with id etl_daily and version number 9 was not found",
        ),
        ("/ui/grid/structure/nope", 404, "Dag with id nope was not found"),
        ("/ui/grid/runs/nope", 404, "Dag with id nope was not found"),
        ("/ui/gantt/etl_daily/nope", 404, "No task instances for dag_id=etl_daily run_id=nope"),
        ("/ui/next_run_assets/nope", 404, "Dag with id nope was not found"),
        ("/ui/teams", 403, "Multi-team mode is not configured in the Airflow environment"),
        (
            "/ui/dags?order_by=password",
            400,
            "Ordering with 'password' is disallowed or the attribute does not exist on the model",
        ),
    ],
)
async def test_refusals_have_airflows_texts(seeded: httpx.AsyncClient, path: str, status: int, detail: str) -> None:
    answer = await seeded.get(path)
    assert (answer.status_code, answer.json()) == (status, {"detail": detail})


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["etl_daily", "failing_dag", "task_groups_dag"]),
        ("order_by=-dag_id", ["task_groups_dag", "failing_dag", "etl_daily"]),
        ("tags=example", ["etl_daily", "task_groups_dag"]),
        ("tags=example&tags=groups&tags_match_mode=all", ["task_groups_dag"]),
        ("tags=etl&tags=groups&tags_match_mode=any", ["etl_daily", "task_groups_dag"]),
        ("dag_display_name_prefix_pattern=etl", ["etl_daily"]),
        ("dag_display_name_prefix_pattern=", ["etl_daily", "failing_dag", "task_groups_dag"]),
        ("dag_id_pattern=DAG", ["failing_dag", "task_groups_dag"]),
        ("dag_id_pattern=etl|failing", ["etl_daily", "failing_dag"]),
        ("last_dag_run_state=failed", ["failing_dag"]),
        ("paused=true", []),
        ("is_favorite=true", ["etl_daily"]),
        ("is_favorite=false", ["failing_dag", "task_groups_dag"]),
        ("owners=nobody", []),
        ("dag_ids=etl_daily&dag_ids=failing_dag", ["etl_daily", "failing_dag"]),
        ("has_pending_actions=true", []),
        ("limit=1&offset=1", ["failing_dag"]),
    ],
)
async def test_filters_of_the_dag_list(seeded: httpx.AsyncClient, query: str, expected: list[str]) -> None:
    answer = await seeded.get(f"/ui/dags?{query}")
    assert answer.status_code == 200, answer.text
    assert [dag["dag_id"] for dag in answer.json()["dags"]] == expected
