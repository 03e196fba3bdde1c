"""Every feature of the SDK is in dag.json, none is dropped."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leoflow.compiler import compile_project, discover
from tests.contract.compiler.conftest import Compile, task_of
from tests.contract.compiler.fork_loader import ForkLoader

pytestmark = pytest.mark.anyio

CRON = {"type": "cron", "timezone": "UTC", "data_interval": False}


@pytest.mark.parametrize(
    ("schedule", "expected", "summary"),
    [
        ("None", None, None),
        ("'@once'", {"type": "once"}, "@once"),
        ("'0 6 * * *'", {**CRON, "expression": "0 6 * * *"}, "0 6 * * *"),
        ("'@weekly'", {**CRON, "expression": "0 0 * * 0"}, "0 0 * * 0"),
        ("timedelta(hours=6)", {"type": "delta", "seconds": 21600.0, "data_interval": False}, "6:00:00"),
        (
            "relativedelta(months=1)",
            {"type": "delta", "seconds": None, "relativedelta": {"months": 1}, "data_interval": False},
            "relativedelta(months=+1)",
        ),
        (
            "DeltaTriggerTimetable(relativedelta(months=1, hour=0, day=31, weekday=FR(-1)), interval=one_week)",
            {
                "type": "delta",
                "seconds": None,
                "relativedelta": {"months": 1, "day": 31, "weekday": [4, -1]},
                "data_interval": False,
                "interval_seconds": None,
                "interval_relativedelta": {"days": 7},
            },
            "relativedelta(months=+1, day=31, weekday=FR(-1))",
        ),
        (
            "CronDataIntervalTimetable('@daily', timezone='Europe/Zurich')",
            {"type": "cron", "expression": "0 0 * * *", "timezone": "Europe/Zurich", "data_interval": True},
            "0 0 * * *",
        ),
        (
            "CronTriggerTimetable('@daily', timezone='UTC', interval=timedelta(days=1), run_immediately=True)",
            {**CRON, "expression": "0 0 * * *", "interval_seconds": 86400.0, "run_immediately": True},
            "0 0 * * *",
        ),
        (
            "MultipleCronTriggerTimetable('0 1 * * *', '0 2 * * 1', timezone='UTC')",
            {"type": "multiple_cron", "expressions": ["0 1 * * *", "0 2 * * 1"], "timezone": "UTC"},
            "0 1 * * *, 0 2 * * 1",
        ),
        (
            "DeltaDataIntervalTimetable(timedelta(hours=1))",
            {"type": "delta", "seconds": 3600.0, "data_interval": True},
            "1:00:00",
        ),
        (
            "EventsTimetable([pendulum.datetime(2026, 2, 1), pendulum.datetime(2026, 1, 1, tz='Europe/Zurich')])",
            {
                "type": "events",
                "events": ["2025-12-31T23:00:00Z", "2026-02-01T00:00:00Z"],
                "restrict_to_events": False,
            },
            "2 events",
        ),
    ],
)
async def test_schedules(
    compiled: Compile, schedule: str, expected: dict[str, Any] | None, summary: str | None
) -> None:
    source = f"""
import pendulum
from dateutil.relativedelta import FR, relativedelta
from airflow.sdk import (
    CronDataIntervalTimetable, CronTriggerTimetable, DeltaDataIntervalTimetable, DeltaTriggerTimetable, EventsTimetable,
    MultipleCronTriggerTimetable,
)
one_week = relativedelta(weeks=1)
d = DAG("d", schedule={schedule})
"""
    spec = await compiled(source)
    assert spec["schedule"] == expected
    assert spec["timetable_summary"] == summary


@pytest.mark.parametrize(
    ("dag", "words"),
    [
        (
            "deadline=DeadlineAlert(AcmeReference(), timedelta(1), SyncCallback(print_it))",
            "AcmeReference cannot be computed",
        ),
    ],
)
async def test_what_is_recorded_but_not_acted_on_is_said(
    write: Callable[..., Path], loader: ForkLoader, dag: str, words: str
) -> None:
    imports = (
        "from datetime import timedelta\nfrom airflow.sdk import Asset\n"
        "from airflow.sdk.definitions.callback import SyncCallback\n"
        "from airflow.sdk.definitions.deadline import BaseDeadlineReference, DeadlineAlert\n"
        "def print_it(): pass\nclass AcmeReference(BaseDeadlineReference): pass\n"
    )
    [compiled] = await compile_project(discover(write(f"{imports}d = DAG('d', {dag})\n"))[0], loader)
    assert any(words in warning for warning in compiled.warnings)


async def test_continuous_limits_active_runs(compiled: Compile) -> None:
    spec = await compiled("d = DAG('d', schedule='@continuous', max_active_runs=1)\n")
    assert spec["schedule"] == {"type": "continuous"}
    assert spec["max_active_runs"] == 1


async def test_the_time_zone_of_the_start_date_is_that_of_the_schedule(compiled: Compile) -> None:
    source = """
    import pendulum
    d = DAG("d", start_date=pendulum.datetime(2026, 7, 1, tz="Europe/Zurich"), schedule="@daily")
    """
    spec = await compiled(source)
    assert spec["timezone"] == "Europe/Zurich"
    assert spec["start_date"] == "2026-06-30T22:00:00Z"
    assert spec["schedule"]["timezone"] == "Europe/Zurich"


def asset(name: str) -> dict[str, Any]:
    return {"type": "asset", "name": name, "uri": name, "group": "asset", "extra": {}, "watchers": []}


async def test_asset_schedules_and_outlets(compiled: Compile) -> None:
    source = """
    from airflow.sdk import Asset, AssetAlias, AssetOrTimeSchedule, CronTriggerTimetable
    a, b = Asset("a"), Asset("b")
    schedule = AssetOrTimeSchedule(
        timetable=CronTriggerTimetable("@daily", timezone="UTC"), assets=(a & (b | AssetAlias("c")))
    )
    with DAG("d", schedule=schedule):
        @task(outlets=[a, AssetAlias("c")], inlets=[Asset.ref(name="z")])
        def t(): ...
        t()
    """
    spec = await compiled(source)
    alias = {"type": "alias", "name": "c", "group": "asset"}
    either = {"type": "any", "objects": [asset("b"), alias]}
    assert spec["schedule"]["type"] == "asset_or_time"
    assert spec["schedule"]["expression"] == {"type": "all", "objects": [asset("a"), either]}
    assert spec["schedule"]["timetable"]["expression"] == "0 0 * * *"
    assert task_of(spec, "t")["outlets"] == [asset("a"), alias]
    assert task_of(spec, "t")["inlets"] == [{"type": "name_ref", "name": "z"}]


async def test_watchers_have_the_arguments_of_their_triggers_as_the_sdk_encodes_them(compiled: Compile) -> None:
    source = """
    from airflow.sdk import Asset, AssetWatcher
    from airflow.triggers.base import BaseEventTrigger
    class Watch(BaseEventTrigger):
        def serialize(self):
            return "project.Watch", {"since": datetime(2026, 1, 2), "names": {"b", "a"}, "queue_conn_id": "queue"}
        async def run(self): yield
    with DAG("d", schedule=[Asset("a", watchers=[AssetWatcher(name="w", trigger=Watch())])]):
        @task
        def t(): ...
        t()
    """
    spec = await compiled(source)
    [watcher] = spec["schedule"]["expression"]["objects"][0]["watchers"]
    kwargs = watcher["trigger"]["kwargs"]
    assert (watcher["name"], watcher["trigger"]["classpath"]) == ("w", "project.Watch")
    assert kwargs["since"]["__classname__"] == "datetime.datetime"
    assert kwargs["names"]["__data__"] == ["a", "b"]
    assert spec["connections"] == ["queue"]


async def test_a_custom_timetable_is_described_by_its_class(compiled: Compile) -> None:
    source = """
    from airflow.timetables.base import DataInterval, Timetable
    class EveryFullMoon(Timetable):
        def __init__(self, hour): self.hour = hour
        def serialize(self): return {"hour": self.hour}
        def infer_manual_data_interval(self, run_after): return DataInterval.exact(run_after)
        def next_dagrun_info(self, **_): ...
    d = DAG("d", schedule=EveryFullMoon(3))
    """
    spec = await compiled(source)
    assert spec["schedule"]["type"] == "custom"
    assert spec["schedule"]["class"] == "dag.EveryFullMoon"
    assert spec["schedule"]["fields"] == {"hour": 3}


async def test_dag_attributes(compiled: Compile) -> None:
    source = """
    d = DAG(
        "d", dag_display_name="D!", description="text", doc_md="# Doc", tags=["b", "a"], catchup=True,
        start_date=datetime(2026, 1, 1), end_date=datetime(2027, 1, 1), max_active_runs=3, max_active_tasks=4,
        max_consecutive_failed_dag_runs=5, dagrun_timeout=timedelta(minutes=1), fail_fast=True,
        is_paused_upon_creation=False, render_template_as_native_obj=True, owner_links={"me": "https://x.y"},
        default_args={"owner": "me", "retries": 2, "retry_delay": timedelta(seconds=5)}, schedule="@daily",
        on_failure_callback=print, params={"n": 3},
    )
    """
    spec = await compiled(source)
    expected = {
        "dag_display_name": "D!", "description": "text", "doc_md": "# Doc", "tags": ["a", "b"], "catchup": True,
        "start_date": "2026-01-01T00:00:00Z", "end_date": "2027-01-01T00:00:00Z", "max_active_runs": 3,
        "max_active_tasks": 4, "max_consecutive_failed_dag_runs": 5, "dagrun_timeout_seconds": 60.0,
        "fail_fast": True, "is_paused_upon_creation": False, "render_template_as_native_obj": True,
        "owner_links": {"me": "https://x.y"}, "has_on_failure_callback": True, "has_on_success_callback": False,
        "params": {"n": {"value": 3, "has_value": True, "schema": {}, "description": None}},
        "default_args": {"owner": "me", "retries": 2, "retry_delay": {"$type": "timedelta", "seconds": 5.0}},
    }  # fmt: skip
    assert {name: spec[name] for name in expected} == expected


async def test_partitioned_schedules(compiled: Compile) -> None:
    source = """
    from airflow.partition_mappers.base import PartitionMapper
    from airflow.partition_mappers.temporal import StartOfWeekMapper
    from airflow.sdk import (
        AllowedKeyMapper, Asset, ChainMapper, IdentityMapper, PartitionedAssetTimetable, ProductMapper,
        StartOfDayMapper,
    )
    class Own(PartitionMapper):
        def to_downstream(self, key): return key[:2]
    a, b = Asset("a"), Asset("b")
    d = DAG("d", schedule=PartitionedAssetTimetable(
        assets=a & b,
        partition_mapper_config={
            a: ChainMapper(IdentityMapper(), ProductMapper(AllowedKeyMapper(["us"]), StartOfDayMapper())),
            Asset.ref(name="b"): StartOfWeekMapper(timezone="Europe/Berlin"),
        },
        default_partition_mapper=Own(),
    ))
    """
    spec = await compiled(source)
    formats = {"type": "start_of", "input_format": "%Y-%m-%dT%H:%M:%S"}
    day = {**formats, "unit": "day", "output_format": "%Y-%m-%d", "timezone": "UTC"}
    week = {**formats, "unit": "week", "output_format": "%Y-%m-%d (W%V)", "timezone": "Europe/Berlin"}
    product = {"type": "product", "delimiter": "|", "mappers": [{"type": "allowed_key", "allowed_keys": ["us"]}, day]}
    assert spec["schedule"] == {
        "type": "partitioned_assets",
        "expression": {"type": "all", "objects": [asset("a"), asset("b")]},
        "mappers": [
            {"asset": asset("a"), "mapper": {"type": "chain", "mappers": [{"type": "identity"}, product]}},
            {"asset": {"type": "name_ref", "name": "b"}, "mapper": week},
        ],
        "default_mapper": {"type": "custom", "class": "dag.Own", "fields": {}},
    }
    assert spec["timetable_summary"] == "Partitioned Asset"


async def test_a_partition_for_each_moment_of_a_cron_expression(compiled: Compile) -> None:
    source = """
    from airflow.sdk import CronPartitionTimetable
    days = CronPartitionTimetable("@daily", timezone="Europe/Berlin", run_offset=-1, key_format="%Y-%m-%d")
    d = DAG("d", schedule=days)
    """
    spec = await compiled(source)
    assert spec["schedule"] == {
        **{"type": "cron_partition", "expression": "0 0 * * *", "timezone": "Europe/Berlin", "data_interval": False},
        **{"run_offset": -1, "key_format": "%Y-%m-%d"},
    }


async def test_task_attributes(compiled: Compile) -> None:
    source = """
    with DAG("d", default_args={"retries": 1, "owner": "me"}):
        @task(
            retries=3, retry_delay=timedelta(seconds=7), retry_exponential_backoff=2.0,
            max_retry_delay=timedelta(minutes=1), execution_timeout=timedelta(seconds=9), pool="p", pool_slots=2,
            priority_weight=5, weight_rule="absolute", queue="q", depends_on_past=True, wait_for_downstream=True,
            max_active_tis_per_dag=1, max_active_tis_per_dagrun=2, trigger_rule="one_failed", doc_md="doc",
            on_retry_callback=print, on_execute_callback=print, do_xcom_push=False, map_index_template="{{ x }}",
            task_display_name="A!", params={"k": 1}, run_as_user="nobody",
        )
        def a(): ...
        @task
        def b(): ...
        a() >> b()
    """
    spec = await compiled(source)
    expected = {
        "retries": 3, "retry_delay_seconds": 7.0, "retry_exponential_backoff": 2.0, "max_retry_delay_seconds": 60.0,
        "execution_timeout_seconds": 9.0, "pool": "p", "pool_slots": 2, "priority_weight": 5,
        "weight_rule": "absolute", "effective_priority": 5, "queue": "q", "depends_on_past": True,
        "wait_for_downstream": True, "max_active_tis_per_dag": 1, "max_active_tis_per_dagrun": 2,
        "trigger_rule": "one_failed", "doc_md": "doc", "has_on_retry_callback": True,
        "has_on_execute_callback": True, "has_on_failure_callback": False, "do_xcom_push": False,
        "map_index_template": "{{ x }}", "task_display_name": "A!", "owner": "me", "operator_name": "@task",
        "kind": "python",
    }  # fmt: skip
    task = task_of(spec, "a")
    assert {name: task[name] for name in expected} == expected
    assert task["params"]["k"]["value"] == 1
    assert task["extra"]["run_as_user"] == "nobody"
    assert task["extra"]["python_callable"] == "dag.a"
    assert task_of(spec, "b")["retries"] == 1
    assert task_of(spec, "b")["depends_on"] == ["a"]
    assert spec["owners"] == ["me"]


async def test_priorities_follow_the_weight_rules(compiled: Compile) -> None:
    source = """
    from airflow.providers.standard.operators.empty import EmptyOperator
    with DAG("d"):
        def make(name, weight, rule): return EmptyOperator(task_id=name, priority_weight=weight, weight_rule=rule)
        a, b, c, e = (make(n, w, r) for n, w, r in [("a", 1, "downstream"), ("b", 10, "downstream"),
            ("c", 100, "upstream"), ("e", 1000, "absolute")])
        a >> [b, c] >> e
        big = make("big", 2**31 - 1, "downstream") >> make("big2", 2**31 - 1, "absolute")
    """
    spec = await compiled(source)
    weights = {task["task_id"]: task["effective_priority"] for task in spec["tasks"]}
    assert weights == {"a": 1111, "b": 1010, "c": 101, "e": 1000, "big": 2**31 - 1, "big2": 2**31 - 1}


async def test_a_custom_weight_rule_is_named_and_warned_about(write: Callable[..., Path], loader: ForkLoader) -> None:
    source = """
    from airflow.task.priority_strategy import PriorityWeightStrategy
    class Mine(PriorityWeightStrategy):
        def get_weight(self, ti): return 1
    from airflow.providers.standard.operators.empty import EmptyOperator
    with DAG("d"):
        EmptyOperator(task_id="t", executor_config={"k": object()}, executor="X")
    """
    [dag] = await compile_project(discover(write(source))[0], loader)
    assert any("executor_config" in warning for warning in dag.warnings)
    assert any("executor=" in warning for warning in dag.warnings)


async def test_kinds_of_tasks(compiled: Compile) -> None:
    source = """
    from airflow.providers.standard.operators.bash import BashOperator
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.providers.standard.operators.latest_only import LatestOnlyOperator
    from airflow.providers.standard.operators.python import BranchPythonOperator, PythonOperator
    from airflow.providers.standard.sensors.filesystem import FileSensor
    with DAG("d"):
        @task.branch
        def branch(): ...
        @task.short_circuit(ignore_downstream_trigger_rules=False)
        def short(): ...
        @task.sensor(poke_interval=3, mode="reschedule", timeout=9)
        def sense(): ...
        @task.bash
        def shell(): ...
        @task
        async def aio(): ...
        branch(), short(), sense(), shell(), aio()
        EmptyOperator(task_id="empty")
        LatestOnlyOperator(task_id="latest")
        BashOperator(task_id="bash", bash_command="echo {{ ds }}")
        PythonOperator(task_id="python", python_callable=print, op_args=[1], op_kwargs={"sep": ","})
        BranchPythonOperator(task_id="branch2", python_callable=print)
        FileSensor(task_id="file", filepath="x", deferrable=True)
    """
    spec = await compiled(source)
    kinds = {task["task_id"]: task["kind"] for task in spec["tasks"]}
    assert kinds == {
        "branch": "branch", "branch2": "branch", "latest": "branch", "short": "short_circuit", "sense": "sensor",
        "file": "sensor", "empty": "empty", "python": "python", "aio": "python", "bash": "operator",
        "shell": "python",
    }  # fmt: skip
    assert task_of(spec, "sense")["extra"]["sensor"]["mode"] == "reschedule"
    assert task_of(spec, "sense")["extra"]["sensor"]["poke_interval"] == 3
    assert task_of(spec, "file")["extra"]["deferrable"] is True
    assert "ignore_downstream_trigger_rules" not in task_of(spec, "short")["extra"]
    assert task_of(spec, "bash")["call_args"] == {"bash_command": "echo {{ ds }}"}
    assert task_of(spec, "bash")["template_fields"] == ["bash_command", "cwd", "env"]


async def test_groups_setup_teardown_and_labels(compiled: Compile) -> None:
    source = """
    from airflow.sdk import Label, setup, teardown
    with DAG("d"):
        @setup
        def create(): ...
        @teardown(on_failure_fail_dagrun=True)
        def drop(): ...
        @task
        def work(): ...
        @task_group(tooltip="outer group")
        def outer():
            a = work()
            @task_group
            def inner():
                work() >> Label("then") >> work()
            a >> inner()
        s, g, t = create(), outer(), drop()
        s >> g >> t
        s >> t
    """
    spec = await compiled(source)
    groups = {group["group_id"]: group for group in spec["task_groups"]}
    assert groups["outer"]["tooltip"] == "outer group"
    assert groups["outer"]["upstream_task_ids"] == ["create"]
    assert groups["outer"]["downstream_task_ids"] == ["drop"]
    assert groups["outer.inner"]["parent_group_id"] == "outer"
    assert groups["outer.inner"]["label"] == "inner"
    assert task_of(spec, "outer.inner.work")["group_id"] == "outer.inner"
    assert spec["edges"] == [{"from": "outer.inner.work", "to": "outer.inner.work__1", "label": "then"}]
    assert task_of(spec, "create")["is_setup"]
    drop = task_of(spec, "drop")
    assert drop["is_teardown"]
    assert drop["on_failure_fail_dagrun"]
    assert drop["trigger_rule"] == "all_done_setup_success"
    assert "create" in drop["depends_on"]


async def test_every_form_of_mapping(compiled: Compile) -> None:
    source = """
    from airflow.providers.standard.operators.bash import BashOperator
    with DAG("d"):
        @task
        def numbers(): return [1, 2]
        @task
        def add(x, y=0): return x + y
        def double(x): return 2 * x
        n, m = numbers(), numbers()
        add.partial(y=[n]).expand(x=[1, 2, 3])
        add.override(task_id="cross").expand(x=[1, 2], y=n)
        add.override(task_id="kwargs").expand_kwargs([{"x": 1}, {"x": 2}])
        add.override(task_id="dynamic_kwargs").expand_kwargs(n.map(double))
        add.override(task_id="zip").expand(x=n.zip(m, fillvalue=0))
        add.override(task_id="concat").expand(x=n.concat(m))
        BashOperator.partial(task_id="bash", retries=4).expand(bash_command=["echo 1", "echo 2"])
        @task_group
        def group(value):
            return add.override(task_id="in_group")(value)
        group.expand(value=[1, 2, 3, 4])
    """
    spec = await compiled(source)
    mapping = {task["task_id"]: task["mapping"] for task in spec["tasks"]}
    first = {"type": "xcom", "task_id": "numbers", "key": "return_value"}
    second = {**first, "task_id": "numbers__1"}
    literal = {"type": "literal"}
    assert mapping["add"] == {
        "kind": "expand", "length": 3, "inputs": [{"param": "x", **literal, "length": 3}],
    }  # fmt: skip
    assert mapping["cross"]["inputs"] == [{"param": "x", **literal, "length": 2}, {"param": "y", **first}]
    assert mapping["cross"]["length"] is None
    assert mapping["kwargs"] == {"kind": "expand_kwargs", "length": 2, "inputs": [{**literal, "length": 2}]}
    assert mapping["dynamic_kwargs"]["inputs"] == [{"type": "map", "arg": first, "callables": ["dag.double"]}]
    assert mapping["zip"]["inputs"] == [{"param": "x", "type": "zip", "args": [first, second], "fillvalue": 0}]
    assert mapping["concat"]["inputs"] == [{"param": "x", "type": "concat", "args": [first, second]}]
    assert mapping["bash"]["length"] == 2
    assert mapping["group.in_group"] is None
    assert task_of(spec, "add")["depends_on"] == ["numbers"]
    assert task_of(spec, "bash")["retries"] == 4
    [group] = spec["task_groups"]
    assert group["is_mapped"]
    assert group["mapping"]["length"] == 4


async def test_params_keep_their_schema_and_may_lack_a_value(compiled: Compile) -> None:
    source = """
    from airflow.sdk import Param
    d = DAG("d", params={
        "n": Param(3, type="integer", minimum=1, description="how many"), "required": Param(type="string"),
    })
    """
    params = (await compiled(source))["params"]
    assert params["n"] == {
        "value": 3, "has_value": True, "description": "how many", "schema": {"type": "integer", "minimum": 1},
    }  # fmt: skip
    assert params["required"]["has_value"] is False


async def test_several_dags_of_a_file(write: Callable[..., Path], loader: ForkLoader) -> None:
    source = """
    @dag
    def one(): ...
    one()
    with DAG("two"): ...
    three = DAG("three", auto_register=False)
    unused = None
    """
    [project] = discover(write(source))
    assert [each.spec.dag_id for each in await compile_project(project, loader)] == ["one", "three", "two"]
    [project] = discover(write(source, yaml="dag_id: two\n"))
    [only] = await compile_project(project, loader)
    assert only.spec.dag_id == "two"
    assert "one, three" in only.warnings[0]


async def test_leoflow_yaml_is_laid_over(compiled: Compile) -> None:
    source = """
    with DAG("d", description="from code", tags=["code"]):
        @task
        def plain(): ...
        @task(retries=7, execution_timeout=timedelta(seconds=1), owner="someone")
        def explicit(): ...
        plain() >> explicit()
    """
    yaml = """
    description: from yaml
    owner: team
    tags: [yaml]
    python_version: "3.11"
    dependencies: [pandas]
    connectors: [postgres]
    connections: [b, a]
    system_packages: [jq]
    staging: {enabled: true}
    alerts: {on_failure: [{type: slack, conn: s}]}
    defaults:
      retries: 2
      retry_delay_seconds: 5
      execution_timeout_seconds: 60
      resources: {cpu: "1", memory: 1Gi}
      node_selector: {pool: batch}
    tasks:
      explicit:
        retries: 9
        env: {MODE: x}
        resources: {requests: {memory: 2Gi}}
        execution: {service_account: sa, node_selector: {gpu: "yes"}}
    """
    spec = await compiled(source, yaml=yaml)
    plain, explicit = task_of(spec, "plain"), task_of(spec, "explicit")
    assert (plain["retries"], plain["retry_delay_seconds"], plain["execution_timeout_seconds"]) == (2, 5.0, 60.0)
    assert (explicit["retries"], explicit["execution_timeout_seconds"]) == (9, 1.0)
    assert (plain["owner"], explicit["owner"]) == ("team", "someone")
    assert plain["resources"]["limits"] == {"cpu": "1", "memory": "1Gi"}
    assert explicit["resources"] == {"requests": {"memory": "2Gi"}, "limits": {}}
    assert plain["execution"] == {"node_selector": {"pool": "batch"}}
    assert explicit["execution"] == {"service_account": "sa", "node_selector": {"gpu": "yes"}}
    assert explicit["env"] == {"MODE": "x"}
    assert spec["description"] == "from yaml"
    assert spec["tags"] == ["code", "yaml"]
    assert spec["owners"] == ["someone", "team"]
    assert spec["dependencies"] == ["apache-airflow-providers-postgres", "pandas"]
    assert (spec["connections"], spec["variables"]) == (["a", "b"], None)
    assert spec["staging"]["size"] == "1Gi"
    assert spec["alerts"]["on_failure"][0]["conn"] == "s"


async def test_connections_and_variables_that_a_dag_names_are_declared(compiled: Compile) -> None:
    source = """
    from airflow.sdk import BaseNotifier, BaseOperator
    class Notify(BaseNotifier):
        def __init__(self, smtp_conn_id):
            super().__init__()
            self.smtp_conn_id = smtp_conn_id
        def notify(self, context): ...
    class Copy(BaseOperator):
        template_fields, template_ext = ("sql", "options"), (".sql",)
        def __init__(self, sql="", options=None, source_conn_id="source_default", target_conn_id=None, **kwargs):
            super().__init__(**kwargs)
            self.sql, self.options = sql, options
            self.source_conn_id, self.target_conn_id = source_conn_id, target_conn_id
        def execute(self, context): ...
    with DAG("d", on_failure_callback=Notify("mail")):
        Copy(task_id="a", target_conn_id="target", options=[{"x": "{{ var.json.get('options', {}) }}"}])
        Copy(task_id="b", target_conn_id="{{ conn_of_run }}", sql="{{ var.value['table'] }} {{ conn.get('c').host }}")
        Copy.partial(task_id="m", sql="{{ conn.warehouse.host }} {{ var.value.get(name) }}").expand(
            target_conn_id=["one", "two"]
        )
        Copy(task_id="f", sql="query.sql")
        @task(executor_config={"leoflow": {"connections": ["vault_*"], "variables": ["region"]}})
        def t(): ...
        t()
    """
    yaml = "connections: [declared]"
    spec = await compiled(source, yaml=yaml, files={"query.sql": "select '{{ var.value.from_file }}'"})
    named = ["c", "mail", "one", "source_default", "target", "two", "vault_*", "warehouse"]
    assert spec["connections"] == sorted(["declared", *named])
    assert spec["variables"] == ["from_file", "options", "region", "table"]
