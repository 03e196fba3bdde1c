"""Due runs on a real database: created once, whoever creates them, and never lost."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from leoflow import engine
from leoflow.config import SchedulerSettings
from leoflow.db import Pool
from leoflow.scheduler.due_runs import DueRuns
from leoflow.spec.dag_spec import DagSpec

pytestmark = pytest.mark.anyio

HOURLY = {"type": "cron", "expression": "0 * * * *", "timezone": "UTC", "data_interval": False}


def now() -> datetime:
    return datetime.now(UTC)


def spec(dag_id: str, **attributes: Any) -> dict[str, Any]:
    task = {"task_id": "only", "operator": "_PythonDecoratedOperator", "class": "x.Y", "kind": "python", "owner": "me"}
    task |= {"task_display_name": "only", "operator_name": "@task", "depends_on": []}
    values = {
        "dag_id": dag_id,
        "dag_display_name": dag_id,
        "timetable_summary": "",
        "timetable_description": "",
        "source": {"path": "dag.py", "tree_hash": "0" * 64, "code": ""},
        "tasks": [task],
        **attributes,
    }
    return DagSpec.model_validate(values).with_content_hash().model_dump(mode="json")


@pytest.fixture
async def register(pool: Pool) -> Callable[..., Any]:
    async def register(dag_id: str, **attributes: Any) -> None:
        async with pool.connection() as connection:
            await engine.register_version(connection, spec(dag_id, **attributes), is_paused_upon_creation=False)

    return register


@pytest.fixture
async def due(pool: Pool) -> AsyncIterator[DueRuns]:
    yield DueRuns(pool, SchedulerSettings())


async def query(pool: Pool, text: str, *arguments: Any) -> list[tuple[Any, ...]]:
    async with pool.connection() as connection:
        return await (await connection.execute(text, arguments)).fetchall()


async def runs(pool: Pool, dag_id: str) -> list[tuple[Any, ...]]:
    return await query(
        pool,
        "select r.run_id, r.logical_date, r.data_interval_start, r.data_interval_end, r.run_after"
        " from leoflow_core.dag_run r join leoflow_core.dag d using (dag_key) where d.dag_id = %s order by r.run_after",
        dag_id,
    )


async def next_run(pool: Pool, dag_id: str) -> datetime | None:
    rows = await query(pool, "select next_run_after from leoflow_core.dag where dag_id = %s", dag_id)
    return rows[0][0]


async def rewind(pool: Pool, dag_id: str, run_after: datetime) -> None:
    """Pretend that nobody looked since `run_after`."""
    await query(
        pool,
        "update leoflow_core.dag set next_logical_date = %s, next_data_interval_start = %s,"
        " next_data_interval_end = %s, next_run_after = %s where dag_id = %s returning 1",
        *([run_after] * 4),
        dag_id,
    )


async def end_all_runs(pool: Pool) -> None:
    await query(pool, "update leoflow_core.dag_run set state = 'success' returning 1")


async def test_a_new_dag_is_planned_and_its_run_created_when_due(
    pool: Pool, register: Callable[..., Any], due: DueRuns
) -> None:
    await register("hourly", schedule=HOURLY, start_date="2024-01-01T00:00:00+00:00")
    assert await due.work() == pytest.approx(3600 - (now().timestamp() % 3600), abs=5)
    [(run_id, logical, start, end, after)] = await runs(pool, "hourly")
    hour = now().replace(minute=0, second=0, microsecond=0)
    assert logical == start == end == after == hour
    assert run_id == f"scheduled__{hour.isoformat()}"
    assert await next_run(pool, "hourly") == hour + timedelta(hours=1)


async def test_without_catchup_only_the_latest_missed_run_is_created(
    pool: Pool, register: Callable[..., Any], due: DueRuns
) -> None:
    await register("hourly", schedule=HOURLY, start_date="2024-01-01T00:00:00+00:00")
    await due.work()
    hour = now().replace(minute=0, second=0, microsecond=0)
    await query(pool, "delete from leoflow_core.task_instance returning 1")
    await query(pool, "delete from leoflow_core.dag_run returning 1")
    await rewind(pool, "hourly", hour - timedelta(days=3))
    await due.work()
    assert [row[1] for row in await runs(pool, "hourly")] == [hour]


async def test_catchup_creates_every_missed_run_within_the_active_run_limit(
    pool: Pool, register: Callable[..., Any], due: DueRuns
) -> None:
    hour = now().replace(minute=0, second=0, microsecond=0)
    start = hour - timedelta(hours=9)
    await register("catching", schedule=HOURLY, start_date=start.isoformat(), catchup=True, max_active_runs=4)
    while (pause := await due.work()) == 0:
        pass
    for _ in range(6):
        await due.work()
    assert len(await runs(pool, "catching")) == 4
    assert pause is None or pause <= 1.0, "it looks again soon while runs wait for room"
    for _ in range(20):
        await end_all_runs(pool)
        await due.work()
    assert [row[1] for row in await runs(pool, "catching")] == [start + timedelta(hours=n) for n in range(10)]


@pytest.mark.parametrize("start", ["2025-10-25T20:00:00+00:00", "2026-03-28T20:00:00+00:00"])
async def test_a_night_of_changing_clocks_has_the_runs_it_has_in_airflow(
    pool: Pool, register: Callable[..., Any], due: DueRuns, start: str
) -> None:
    """An hour that comes twice has a daily run once, the second time, and one left out has it an hour later."""
    begin = datetime.fromisoformat(start)
    end = begin + timedelta(hours=8)
    expressions = {"daily": "30 2 * * *", "often": "*/30 * * * *"}
    for dag_id, expression in expressions.items():
        await register(
            dag_id,
            schedule={"type": "cron", "expression": expression, "timezone": "Europe/Berlin", "data_interval": False},
            start_date=start,
            end_date=end.isoformat(),
            catchup=True,
            max_active_runs=100,
        )
    while await next_run(pool, "often") is not None or not await runs(pool, "often"):
        await due.work()
    assert [row[1] for row in await runs(pool, "daily")] == [begin + timedelta(hours=5, minutes=30)]
    assert [row[1] for row in await runs(pool, "often")] == [begin + timedelta(minutes=30 * n) for n in range(17)]


async def test_many_schedulers_create_each_run_once(pool: Pool, register: Callable[..., Any]) -> None:
    for number in range(12):
        await register(f"dag_{number}", schedule=HOURLY, start_date="2024-01-01T00:00:00+00:00")
    services = [DueRuns(pool, SchedulerSettings(batch_size=5)) for _ in range(4)]

    async def work(service: DueRuns) -> None:
        for _ in range(8):
            await service.work()

    await asyncio.gather(*(work(service) for service in services))
    assert await query(pool, "select count(*), count(distinct dag_key) from leoflow_core.dag_run") == [(12, 12)]


async def test_a_crash_between_the_run_and_the_next_one_leaves_neither(
    pool: Pool, register: Callable[..., Any], due: DueRuns
) -> None:
    await register("hourly", schedule=HOURLY, start_date="2024-01-01T00:00:00+00:00")
    async with pool.connection() as connection:
        await connection.execute(
            "create function leoflow_core.crash() returns trigger language plpgsql as $$ begin"
            " if old.next_run_after is not null then raise exception 'crash' using errcode = '57P01'; end if;"
            " return new; end $$"
        )
        await connection.execute(
            "create trigger crash before update of next_run_after on leoflow_core.dag"
            " for each row execute function leoflow_core.crash()"
        )
    with pytest.raises(psycopg.Error, match="crash"):
        await due.work()
    assert await runs(pool, "hourly") == []
    before = await next_run(pool, "hourly")
    async with pool.connection() as connection:
        await connection.execute("drop trigger crash on leoflow_core.dag")
    await due.work()
    assert [row[4] for row in await runs(pool, "hourly")] == [before]


async def test_a_run_that_exists_already_is_skipped_and_the_next_one_planned(
    pool: Pool, register: Callable[..., Any], due: DueRuns
) -> None:
    await register("hourly", schedule=HOURLY, start_date="2024-01-01T00:00:00+00:00")
    await due.work()
    hour = now().replace(minute=0, second=0, microsecond=0)
    await rewind(pool, "hourly", hour)
    await due.work()
    assert len(await runs(pool, "hourly")) == 1
    assert await next_run(pool, "hourly") == hour + timedelta(hours=1)


async def test_paused_and_stale_dags_create_nothing_and_unpausing_plans_anew(
    pool: Pool, register: Callable[..., Any], due: DueRuns
) -> None:
    await register("hourly", schedule=HOURLY, start_date="2024-01-01T00:00:00+00:00")
    async with pool.connection() as connection:
        await engine.set_paused(connection, "hourly", True)
    await due.work()
    assert await runs(pool, "hourly") == []
    async with pool.connection() as connection:
        await engine.set_paused(connection, "hourly", False)
        await engine.deactivate_dag(connection, "hourly")
    await due.work()
    assert await runs(pool, "hourly") == []
    await register("hourly", schedule=HOURLY, start_date="2024-01-01T00:00:00+00:00")
    await due.work()
    assert len(await runs(pool, "hourly")) == 1


async def test_a_changed_schedule_takes_effect_at_once(pool: Pool, register: Callable[..., Any], due: DueRuns) -> None:
    await register("moving", schedule=HOURLY, start_date="2024-01-01T00:00:00+00:00")
    await due.work()
    await register("moving", schedule={**HOURLY, "expression": "30 4 1 1 *"}, start_date="2024-01-01T00:00:00+00:00")
    await due.work()
    planned = await next_run(pool, "moving")
    assert planned is not None and (planned.month, planned.day, planned.hour, planned.minute) == (1, 1, 4, 30)
    await register("moving", schedule=None)
    await due.work()
    assert await next_run(pool, "moving") is None


async def test_a_schedule_that_cannot_be_computed_disturbs_no_other(
    pool: Pool, register: Callable[..., Any], due: DueRuns
) -> None:
    await register("custom", schedule={"type": "custom", "class": "acme.Lunar"})
    await register("hourly", schedule=HOURLY, start_date="2024-01-01T00:00:00+00:00")
    await due.work()
    assert await next_run(pool, "custom") is None
    assert len(await runs(pool, "hourly")) == 1


async def test_once_runs_once_and_continuous_one_at_a_time(
    pool: Pool, register: Callable[..., Any], due: DueRuns
) -> None:
    await register("once", schedule={"type": "once"})
    await register("always", schedule={"type": "continuous"}, max_active_runs=1)
    for _ in range(4):
        await due.work()
    assert (len(await runs(pool, "once")), len(await runs(pool, "always"))) == (1, 1)
    await end_all_runs(pool)
    for _ in range(4):
        await due.work()
    assert (len(await runs(pool, "once")), len(await runs(pool, "always"))) == (1, 2)


async def test_the_end_date_ends_the_schedule(pool: Pool, register: Callable[..., Any], due: DueRuns) -> None:
    hour = now().replace(minute=0, second=0, microsecond=0)
    start, end = hour - timedelta(hours=5), hour - timedelta(hours=3)
    await register("ended", schedule=HOURLY, start_date=start.isoformat(), end_date=end.isoformat(), catchup=True)
    for _ in range(8):
        await due.work()
    assert [row[1] for row in await runs(pool, "ended")] == [start + timedelta(hours=n) for n in range(3)]
    assert await next_run(pool, "ended") is None


PARTITIONED = {
    **{"type": "cron_partition", "expression": "0 * * * *", "timezone": "UTC", "run_offset": -1},
    **{"key_format": "%Y-%m-%dT%H", "run_immediately": False},
}


async def partitions(pool: Pool, dag_id: str) -> list[tuple[Any, ...]]:
    return await query(
        pool,
        "select r.run_id, r.partition_key, r.partition_date, r.run_after, r.logical_date, r.data_interval_start"
        " from leoflow_core.dag_run r join leoflow_core.dag d using (dag_key) where d.dag_id = %s order by r.run_after",
        dag_id,
    )


async def test_runs_of_partitions_are_caught_up_on_and_created_once(pool: Pool, register: Callable[..., Any]) -> None:
    hour = now().replace(minute=0, second=0, microsecond=0)
    start = hour - timedelta(hours=4)
    await register("parts", schedule=PARTITIONED, start_date=start.isoformat(), catchup=True)
    services = [DueRuns(pool, SchedulerSettings()) for _ in range(3)]
    for _ in range(8):
        await asyncio.gather(*(service.work() for service in services))
    found = await partitions(pool, "parts")
    assert [row[3] for row in found] == [start + timedelta(hours=number) for number in range(5)]
    for run_id, key, date, after, logical_date, interval in found:
        assert date == after - timedelta(hours=1) and key == date.strftime("%Y-%m-%dT%H")
        assert run_id.startswith(f"scheduled__{after.isoformat()}__{key}__") and len(run_id.rpartition("__")[2]) == 8
        assert (logical_date, interval) == (None, None)
    [planned] = await query(
        pool,
        "select next_run_after, next_partition_key, next_logical_date from leoflow_core.dag where dag_id = 'parts'",
    )
    assert planned == (hour + timedelta(hours=1), hour.strftime("%Y-%m-%dT%H"), None)


async def test_without_catchup_only_the_latest_missed_partition_is_made(
    pool: Pool, register: Callable[..., Any], due: DueRuns
) -> None:
    hour = now().replace(minute=0, second=0, microsecond=0)
    await register("parts", schedule=PARTITIONED, start_date="2024-01-01T00:00:00+00:00")
    for _ in range(3):
        await due.work()
    assert [row[3] for row in await partitions(pool, "parts")] == [hour]
    await register("parts", schedule=HOURLY, start_date="2024-01-01T00:00:00+00:00")
    await due.work()
    assert await query(pool, "select next_partition_key from leoflow_core.dag where dag_id = 'parts'") == [(None,)]


@pytest.mark.parametrize(
    "schedule",
    [
        {"type": "delta", "seconds": 86400.0 * 365 * 9000, "data_interval": False},
        {"type": "delta", "seconds": None, "relativedelta": {"day": 1}, "data_interval": False},
    ],
    ids=["beyond the calendar", "standing still"],
)
async def test_a_schedule_that_nothing_can_follow_makes_its_run_and_disturbs_no_other(
    pool: Pool, register: Callable[..., Any], due: DueRuns, schedule: dict[str, Any]
) -> None:
    await register("odd", schedule=schedule, start_date="2024-01-01T00:00:00+00:00", catchup=True)
    await register("hourly", schedule=HOURLY, start_date="2024-01-01T00:00:00+00:00")
    for _ in range(3):
        await due.work()
    assert (len(await runs(pool, "odd")), len(await runs(pool, "hourly"))) == (1, 1)
    assert await next_run(pool, "odd") is None


async def test_a_clock_that_was_ahead_and_goes_back_makes_no_run_twice(
    pool: Pool, register: Callable[..., Any], due: DueRuns
) -> None:
    await register("hourly", schedule=HOURLY, start_date="2024-01-01T00:00:00+00:00")
    await due.work()
    ahead = "logical_date + interval '3 hours'"
    await query(
        pool,
        f"update leoflow_core.dag_run set logical_date = {ahead}, data_interval_start = {ahead},"
        f" data_interval_end = {ahead} returning 1",
    )
    await end_all_runs(pool)
    last = (await runs(pool, "hourly"))[0][1]
    for is_paused in (True, False):  # it is planned anew
        async with pool.connection() as connection:
            await engine.set_paused(connection, "hourly", is_paused)
    for _ in range(3):
        await due.work()
    assert len(await runs(pool, "hourly")) == 1
    assert await next_run(pool, "hourly") == last + timedelta(hours=1)


async def test_an_end_before_the_start_is_a_schedule_without_runs(
    pool: Pool, register: Callable[..., Any], due: DueRuns
) -> None:
    for catchup in (True, False):
        dates = {"start_date": "2024-02-01T00:00:00+00:00", "end_date": "2024-01-01T00:00:00+00:00"}
        await register(f"never_{catchup}", schedule=HOURLY, catchup=catchup, **dates)
        await due.work()
        assert await runs(pool, f"never_{catchup}") == [] and await next_run(pool, f"never_{catchup}") is None
