"""The lists the UI polls every three seconds read what they show, not whole tables."""

from typing import Any

import pytest
from psycopg import sql

from leoflow.api.filters import Where
from leoflow.api.paging import Order
from leoflow.api.public.dag_runs import ORDER as RUN_ORDER
from leoflow.api.public.task_instances import ordering
from leoflow.db.pool import Pool
from tests.contract.public.stage import Stage

pytestmark = pytest.mark.anyio


@pytest.fixture
async def crowded(stage: Stage) -> Stage:
    """Fifteen hundred runs."""
    await stage.one(
        "select count(run.run_key) from generate_series(1, 1500) as n,"
        " lateral leoflow_core.create_run('etl', 'r' || n, p_run_after => now() + n * interval '1 s') as run"
    )
    async with stage.pool.connection() as conn:
        await conn.execute("analyze")
    return stage


async def nodes(pool: Pool, relation: str, order: Order, where: Where | None = None) -> list[dict[str, Any]]:
    """The plan of the first page of a list, flattened."""
    where = where or Where()
    async with pool.connection() as conn:
        cursor = await conn.execute(
            sql.SQL("explain (format json) select * from {} {} order by {} limit 51").format(
                sql.SQL(relation),  # type: ignore[arg-type]
                where.sql(),
                order.sql(),
            ),
            where.parameters,
        )
        plan = (await cursor.fetchone())[0][0]["Plan"]  # type: ignore[index]
    found, rest = [], [plan]
    while rest:
        node = rest.pop()
        found.append(node)
        rest += node.get("Plans", [])
    return found


def whole_reads(plan: list[dict[str, Any]]) -> list[str]:
    """The tables that grow with history and are read from end to end."""
    grown = {"task_instance", "dag_run", "xcom_default", "task_log_default"}
    return [
        node["Relation Name"] for node in plan if node["Node Type"] == "Seq Scan" and node["Relation Name"] in grown
    ]


async def test_the_newest_runs_come_from_an_index(pool: Pool, crowded: Stage) -> None:
    plan = await nodes(pool, "leoflow_core.api_dag_runs r", RUN_ORDER.parse(["-run_after"]))
    assert "dag_run_after" in {node.get("Index Name") for node in plan}
    assert whole_reads(plan) == []


async def test_the_newest_instances_come_from_the_primary_key(pool: Pool, crowded: Stage) -> None:
    plan = await nodes(pool, "leoflow_core.api_task_instances i", ordering(["-id"]))
    (scan,) = [node for node in plan if node.get("Index Name") == "task_instance_pkey"]
    assert scan["Scan Direction"] == "Backward"
    assert whole_reads(plan) == []


async def test_the_instances_of_a_run_are_read_by_its_key(pool: Pool, crowded: Stage) -> None:
    where = Where()
    where.equals("i.run_key", await crowded.one("select max(run_key) from leoflow_core.dag_run"))
    plan = await nodes(pool, "leoflow_core.api_task_instances i", ordering(["-id"]), where)
    (scan,) = [node for node in plan if node.get("Index Name") == "task_instance_pkey"]
    assert "run_key" in scan["Index Cond"]
    assert whole_reads(plan) == []
