"""DAGs and runs for the tests of the UI: registered through the engine, moved through their states by it or by SQL."""

from typing import Any

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from leoflow.spec.dag_spec import DagSpec, as_json

Conn = AsyncConnection[Any]


def task(task_id: str, *depends_on: str, **more: Any) -> dict[str, Any]:
    """A TaskFlow task."""
    return {
        "task_id": task_id,
        "task_display_name": task_id,
        "operator": "_PythonDecoratedOperator",
        "operator_name": "@task",
        "class": "airflow.providers.standard.decorators.python._PythonDecoratedOperator",
        "kind": "python",
        "depends_on": sorted(depends_on),
    } | more


def dag(dag_id: str, tasks: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A complete spec."""
    code = f"# the file of {dag_id}\n"
    spec = DagSpec.model_validate(
        {
            "dag_id": dag_id,
            "dag_display_name": dag_id,
            "owners": ["airflow"],
            "timetable_description": "Never, external triggers only",
            "source": {"path": "dag.py", "tree_hash": "0" * 64, "code": code},
            "tasks": sorted(tasks, key=lambda each: each["task_id"]),
        }
        | more
    )
    return as_json(spec)


DAILY = {"type": "cron", "expression": "0 6 * * *", "timezone": "UTC", "data_interval": False}

ETL = dag(
    "etl_daily",
    [task("extract"), task("transform", "extract"), task("load", "transform")],
    schedule=DAILY,
    timetable_summary="0 6 * * *",
    timetable_description="At 06:00",
    description="A small ETL",
    tags=["etl", "example"],
)

RATES = ["0.001", "0.01", "0.05", "0.1", "0.5"]
TRIALS = ["trial", *(f"trial__{n}" for n in range(1, len(RATES)))]
SEARCH = dag(
    "hparam_search",
    [*(task(trial) for trial in TRIALS), task("select_best", *TRIALS, xcom_input={"results": TRIALS})],
    tags=["example"],
)


def _group(group_id: str, **more: Any) -> dict[str, Any]:
    label = group_id.rpartition(".")[2]
    return {"group_id": group_id, "label": label} | more


def _empty(task_id: str, *depends_on: str, **more: Any) -> dict[str, Any]:
    return task(task_id, *depends_on, operator="EmptyOperator", operator_name="EmptyOperator", kind="empty", **more)


GROUPS = dag(
    "task_groups_dag",
    [
        _empty("start"),
        _empty("section_1.t1", "start", group_id="section_1") | {"operator_name": "BashOperator"},
        _empty("section_1.inner.t2", "section_1.t1", group_id="section_1.inner"),
        _empty("section_1.inner.t3", "section_1.inner.t2", group_id="section_1.inner"),
        _empty("section_2.t4", "section_1.inner.t3", group_id="section_2"),
        task("branch", "section_2.t4", operator_name="@task.branch", kind="branch"),
        _empty("left", "branch"),
        _empty("right", "branch"),
        _empty("end", "left", "right"),
    ],
    dag_display_name="Task Groups (display name)",
    tags=["example", "groups"],
    task_groups=[
        _group(
            "section_1",
            tooltip="Section one tasks",
            upstream_task_ids=["start"],
            downstream_group_ids=["section_2"],
        ),
        _group("section_1.inner", parent_group_id="section_1", upstream_task_ids=["section_1.t1"]),
        _group("section_2", upstream_group_ids=["section_1"], downstream_task_ids=["branch"]),
    ],
)

FAILING = dag("failing_dag", [task("ok"), task("boom", "ok", retries=1), task("after", "boom")])


async def register(conn: Conn, spec: dict[str, Any], *, paused: bool = False) -> int:
    """Register a spec; returns the key of its version."""
    cursor = await conn.execute(
        "select version_key from leoflow_core.register_version(%s, p_fileloc => %s, p_parse_seconds => 0.5)",
        [Jsonb(spec), f"/dags/{spec['dag_id']}/dag.py"],
    )
    found = await cursor.fetchone()
    assert found is not None
    await conn.execute("update leoflow_core.dag set is_paused = %s where dag_id = %s", [paused, spec["dag_id"]])
    return int(found[0])


async def run(conn: Conn, dag_id: str, run_id: str, **more: Any) -> int:
    """Create a run; returns its key."""
    names = ", ".join(f"p_{name} => %s" for name in more)
    statement = "select run_key from leoflow_core.create_run(%s, p_run_id => %s" + (f", {names})" if names else ")")
    cursor = await conn.execute(statement.encode(), [dag_id, run_id, *more.values()])
    found = await cursor.fetchone()
    assert found is not None
    return int(found[0])


async def settle(conn: Conn, run_key: int, states: dict[str, str | None], state: str = "success") -> None:
    """Put a run and its task instances into states, as if it had gone that way."""
    await conn.execute(
        "update leoflow_core.task_instance i set state = s.state::leoflow.task_instance_state, ready_key = null,"
        " try_number = case when s.state in ('success', 'failed') then 1 else 0 end,"
        " scheduled_at = now() - interval '9 s', queued_at = now() - interval '8 s',"
        " start_date = case when s.state is not null then now() - interval '7 s' end,"
        " end_date = case when s.state is not null then now() - interval '5 s' end, hostname = 'host', pid = 7"
        " from leoflow_core.task t, jsonb_each_text(%s) as s (task_id, state)"
        " where i.run_key = %s and t.version_key = i.version_key and t.task_idx = i.task_idx"
        " and t.task_id = s.task_id",
        [Jsonb(states), run_key],
    )
    await conn.execute(
        "update leoflow_core.dag_run set state = %s::leoflow.dag_run_state, start_date = now() - interval '7 s',"
        " end_date = now() where run_key = %s",
        [state, run_key],
    )


def all_success(spec: dict[str, Any]) -> dict[str, str | None]:
    """Every task of a spec, successful."""
    return {each["task_id"]: "success" for each in spec["tasks"]}
