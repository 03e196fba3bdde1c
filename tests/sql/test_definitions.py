"""Registering versions: what is refused, what is new, what order tasks get."""

import itertools

import psycopg
import pytest

from leoflow import engine
from tests.sql.dags import Connection, chain, dag, literal, over, run_of, scalar, task

pytestmark = pytest.mark.anyio


async def test_known_content_adds_no_version_and_can_become_current_again(connection: Connection) -> None:
    one = await engine.register_version(connection, chain("d", "a"))
    two = await engine.register_version(connection, chain("d", "a", "b"))
    again = await engine.register_version(connection, chain("d", "a"))
    assert (one.is_new, two.is_new, again.is_new) == (True, True, False)
    assert (one.version_number, two.version_number, again.version_number) == (1, 2, 1)
    assert await scalar(connection, "select latest_version_number from leoflow.dags") == 1


async def test_a_run_stays_on_the_version_it_started_with(connection: Connection) -> None:
    run = await run_of(connection, chain("d", "a"))
    await engine.register_version(connection, chain("d", "a", "b"))
    assert await scalar(connection, "select version_number from leoflow.dag_runs where run_key = %s", run.run_key) == 1


async def test_every_priority_is_in_one_band_and_bands_are_few(connection: Connection) -> None:
    priorities = [*range(-70, 71), *(sign * 2**n + i for sign in (-1, 1) for n in range(7, 31) for i in (-1, 0, 1))]
    priorities += [2**31 - 1, -(2**31)]
    cursor = await connection.execute(
        "select p.at, b.first_key, b.last_key from unnest(%s::int[]) as p(at) "
        "cross join lateral leoflow_core.priority_band(p.at) as b order by p.at desc",
        (priorities,),
    )
    bands = await cursor.fetchall()
    assert all(first <= min(-at, 2**31 - 1) <= last for at, first, last in bands)
    distinct = sorted({(first, last) for _, first, last in bands})
    assert all(end < begin for (_, end), (begin, _) in itertools.pairwise(distinct))
    assert all(first == last for at, first, last in bands if abs(at) < 16)
    await engine.register_version(
        connection, dag("d", [task(f"t{i:04}", effective_priority=i) for i in range(1, 1001)])
    )
    assert await scalar(connection, "select count(*) from leoflow_core.priority_band") < 70


async def test_positions_follow_the_edges(connection: Connection) -> None:
    await engine.register_version(connection, chain("d", "z", "m", "a"))
    cursor = await connection.execute("select task_id from leoflow_core.task order by position")
    assert [row[0] for row in await cursor.fetchall()] == ["z", "m", "a"]


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([task("a", "b"), task("b", "a")], "cycle"),
        ([task("a", "a")], "cycle"),
        ([task("a", "ghost")], "unknown task: ghost"),
        ([task("a"), task("a")], "used twice: a"),
        ([task("x" * 251)], "1 to 250 characters"),
        ([task("a") | {"mapping": {"kind": "expand"}}], "the mapping of a names no inputs"),
        ([task("a", mapping=over(literal(10_000_000)))], "task a is mapped over more than 100000 values"),
        ([task("a", mapping=over(literal(1_000), literal(1_000)))], "mapped over more than 100000 values"),
        ([task("")], "1 to 250 characters"),
        ([task("a", trigger_rule="sometimes")], "unknown trigger rule: sometimes"),
        ([task("a", pool_slots=0)], "out of range in task a"),
        ([task("a", pool_slots=-1)], "out of range in task a"),
        ([task(f"t{i}") for i in range(50_001)], "50001 tasks, more than 50000"),
    ],
)
async def test_what_the_engine_cannot_run_is_refused_with_a_hint(
    connection: Connection, tasks: list[dict[str, object]], message: str
) -> None:
    with pytest.raises(psycopg.Error, match=message) as error:
        await engine.register_version(connection, dag("d", tasks))
    assert error.value.sqlstate == "LF422"
    assert error.value.diag.message_hint
    assert await scalar(connection, "select count(*) from leoflow_core.dag") == 0


async def test_a_spec_beyond_the_size_limit_is_refused(connection: Connection) -> None:
    await connection.execute("update leoflow_core.setting set value = '10000' where key = 'max_spec_bytes'")
    with pytest.raises(psycopg.Error, match="larger than 10000 bytes"):
        await engine.register_version(connection, dag("d", [task(f"t{i}") for i in range(300)]))


@pytest.mark.parametrize("name", ["it's", 'quo"te', "ünïcode 任务", "a;drop table x", "x" * 250])
async def test_any_name_up_to_250_characters_works(connection: Connection, name: str) -> None:
    run = await run_of(connection, dag(name, [task(name)]), run_id=name)
    assert (
        await scalar(connection, "select task_id from leoflow.task_instances where run_key = %s", run.run_key) == name
    )


async def test_a_changed_schedule_is_computed_anew(connection: Connection) -> None:
    cron = {"type": "cron", "expression": "0 6 * * *", "timezone": "UTC", "data_interval": False}
    await engine.register_version(connection, dag("d", [task("a")], schedule=cron))
    await connection.execute("update leoflow_core.dag set schedule_pending = false")
    await engine.register_version(connection, dag("d", [task("a"), task("b")], schedule=cron))
    assert not await scalar(connection, "select schedule_pending from leoflow_core.dag")
    await engine.register_version(connection, dag("d", [task("a"), task("b")], schedule=None))
    assert await scalar(connection, "select schedule_pending from leoflow_core.dag")


async def test_a_vanished_dag_is_deactivated_and_comes_back(connection: Connection) -> None:
    run = await run_of(connection, dag("d", [task("a")]))
    assert await engine.deactivate_dag(connection, "d")
    assert not await engine.deactivate_dag(connection, "ghost")
    with pytest.raises(psycopg.Error) as error:
        await engine.create_run(connection, "d")
    assert error.value.sqlstate == "LF404"
    assert await scalar(connection, "select count(*) from leoflow.dag_runs where run_key = %s", run.run_key) == 1
    await engine.register_version(connection, dag("d", [task("a")]))
    await engine.create_run(connection, "d")


async def test_import_errors_come_and_go(connection: Connection) -> None:
    await engine.register_version(connection, dag("d", [task("a")]), fileloc="/p/dag.py")
    await engine.set_import_error(connection, "/p/dag.py", "SyntaxError: line 3")
    assert await scalar(connection, "select has_import_errors from leoflow.dags")
    assert await scalar(connection, "select stack_trace from leoflow.import_errors") == "SyntaxError: line 3"
    await engine.register_version(connection, dag("d", [task("a")]), fileloc="/p/dag.py")
    assert not await scalar(connection, "select has_import_errors from leoflow.dags")
    assert await scalar(connection, "select count(*) from leoflow.import_errors") == 0


async def test_run_ids_are_airflows(connection: Connection) -> None:
    await engine.register_version(connection, dag("d", [task("a")]))
    cursor = await connection.execute(
        "select run_id from leoflow_core.create_run("
        "'d', p_run_type => 'scheduled', p_logical_date => '2026-01-02 06:00+00')"
    )
    assert await cursor.fetchone() == ("scheduled__2026-01-02T06:00:00+00:00",)
    with pytest.raises(psycopg.Error, match="already has a run with logical date 2026-01-02T06:00:00") as error:
        await connection.execute("select leoflow_core.create_run('d', p_logical_date => '2026-01-02 06:00+00')")
    assert error.value.sqlstate == "LF409"


@pytest.mark.parametrize(("conf", "kind"), [("[1]", "manual"), ("{}", "weekly")])
async def test_a_wrong_run_is_refused(connection: Connection, conf: str, kind: str) -> None:
    await engine.register_version(connection, dag("d", [task("a")]))
    with pytest.raises(psycopg.Error) as error:
        await connection.execute(
            "select leoflow_core.create_run('d', p_conf => %s::jsonb, p_run_type => %s)", (conf, kind)
        )
    assert error.value.sqlstate == "LF422"


async def test_five_thousand_tasks_register_fast_whatever_the_statistics_say(connection: Connection) -> None:
    def wide(name: str, width: int) -> dict[str, object]:
        names = [f"trial__{i}" for i in range(width)]
        return dag(name, [*(task(one) for one in names), task("best", *names, xcom_input={"scores": names})])

    await engine.register_version(connection, wide("small", 20))
    await connection.execute("analyze")
    await connection.execute("set statement_timeout = '30s'")  # quadratic plans took minutes
    run = await run_of(connection, wide("large", 5000))
    assert await scalar(connection, "select count(*) from leoflow_core.task_edge where is_slotted") == 5000
    await engine.mark_tasks(connection, "large", run.run_id, ["trial__7"], "failed")
    await engine.clear_tasks(connection, "large", run.run_id)
