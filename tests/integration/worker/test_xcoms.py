"""What tasks return reaches other tasks as Airflow's serialisation means it, and the server makes no object of it."""

import dataclasses
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from leoflow import engine
from leoflow.api.public import xcom_values
from leoflow.crypto import SecretBox
from leoflow.db.pool import Pool
from leoflow.engine import Outcome, XComValue
from leoflow.execution import xcoms
from leoflow.execution.access import SecretAccess
from leoflow.execution.context import AttemptContext, Limits, Store
from leoflow.runtime.reduce_inputs import ReduceInputs
from leoflow.worker.masking import Masker
from tests.integration.worker.harness import TEST_WORKER, Harness, running
from tests.sql import dags
from tests.support.postgres import Server

pytestmark = pytest.mark.anyio

LIMIT = 100_000


@pytest.fixture(scope="module")
async def harness(server: Server, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Harness]:
    home = tmp_path_factory.mktemp("xcoms") / "home"
    worker = TEST_WORKER.model_copy(update={"xcom_limit_bytes": LIMIT})
    with server.database(template) as dsn:
        async with running(dsn, home, worker=worker) as started:
            yield started


async def test_values_keep_their_types_from_task_to_task(harness: Harness) -> None:
    await harness.register("""
    from datetime import date, timezone
    from decimal import Decimal
    from uuid import UUID

    class Point:
        __version__ = 2
        def __init__(self, x, y): self.x, self.y = x, y
        def serialize(self): return {"x": self.x, "y": self.y}
        @staticmethod
        def deserialize(data, version): return Point(**data)

    VALUES = {
        "datetime": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=timezone.utc), "date": date(2026, 1, 2),
        "timedelta": timedelta(days=1, microseconds=5), "decimal": Decimal("1.10"), "set": {1, 2},
        "frozenset": frozenset(["a"]), "tuple": (1, ("b", None)), "nested": [{"k": (1, {2})}],
        "long": 2**63, "text": "ü 😀 \\u2028", "float": 0.1, "none": None, "bool": True, "empty": [],
    }
    with DAG("types") as dag:
        @task
        def give(): return VALUES
        @task
        def point(): return [Point(1, 2)]
        @task
        def take(values, points):
            wrong = [name for name, value in VALUES.items()
                     if values[name] != value or type(values[name]) is not type(value)]
            return [wrong, len(values), [vars(one) for one in points], type(points[0]).__name__]
        take(give(), point())
    """)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__CORE__ALLOWED_DESERIALIZATION_CLASSES", "unused")
        run = await harness.run("types")
    assert run.tasks["give"].state == "success", str(run.logs["give"])
    stored = run.xcoms[("point", "return_value")]
    assert stored[0]["__version__"] == 2 and stored[0]["__classname__"].endswith("Point")
    if run.tasks["take"].state == "success":
        assert run.xcoms[("take", "return_value")] == [[], 14, [{"x": 1, "y": 2}], "Point"]
    else:
        assert "not found in allow list" in str(run.logs["take"])


async def test_dataclasses_models_zones_and_bytes_are_as_in_airflow(harness: Harness) -> None:
    project = harness.home.parent / "shapes"
    project.mkdir(exist_ok=True)
    (project / "shapes.py").write_text("""
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo
from pydantic import BaseModel
@dataclass
class Point:
    x: int
    y: list
class Model(BaseModel):
    name: str
    at: datetime
class Pair(NamedTuple):
    a: int
    b: str
WINTER = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=ZoneInfo("Europe/Zurich"))
VALUES = {
    "zone": WINTER, "pair": Pair(1, "b"), "point": Point(1, [2, (3,)]), "model": Model(name="m", at=WINTER),
    "nested": {"deep": [[{"set": {1}}]]}, "date keys": {1: "one"},
}
""")
    await harness.register(
        """
    with DAG("shapes") as dag:
        @task
        def give():
            from shapes import VALUES
            return VALUES
        @task
        def take(values):
            from shapes import VALUES, Point
            assert values["zone"] == VALUES["zone"] and str(values["zone"].tzinfo) == "Europe/Zurich", values["zone"]
            assert values["pair"] == (1, "b") and values["point"] == Point(1, [2, (3,)]), values
            assert values["model"] == VALUES["model"] and values["nested"] == VALUES["nested"], values
            assert values["date keys"] == {"1": "one"}
        @task
        def shown(ti=None):
            from airflow.serialization.stringify import stringify
            from airflow.sdk.execution_time import comms, task_runner
            stored = task_runner.SUPERVISOR_COMMS.send(comms.GetXCom(
                dag_id=ti.dag_id, run_id=ti.run_id, task_id="give", key="return_value")).value
            return stringify(stored)  # what Airflow's UI shows
        @task
        def binary(): return b"bytes"
        given = give()
        take(given), given >> shown(), binary()
    """,
        name="shapes",
        yaml="""
        tasks:
          take: {env: {AIRFLOW__CORE__ALLOWED_DESERIALIZATION_CLASSES: "airflow.* shapes.*"}}
        """,
    )
    run = await harness.run("shapes")
    assert run.tasks["take"].state == "success", run.logs["take"]
    assert run.tasks["binary"].state == "failed"
    assert "cannot serialize object of type <class 'bytes'>" in str(run.logs["binary"])
    given = run.xcoms[("give", "return_value")]
    assert xcom_values.readable(given) == run.xcoms[("shown", "return_value")]


async def test_a_value_above_the_limit_fails_its_task_with_the_reason_in_the_log(harness: Harness) -> None:
    await harness.register(f"""
    with DAG("large") as dag:
        @task
        def below(): return "x" * ({LIMIT} - 2)
        @task
        def above(): return "x" * ({LIMIT} - 1)
        @task
        def pushed(ti=None): ti.xcom_push("mine", ["ü" * {LIMIT}])
        below(), above(), pushed()
    """)
    run = await harness.run("large")
    assert {name: found.state for name, found in run.tasks.items()} == {
        "below": "success",
        "above": "failed",
        "pushed": "failed",
    }
    for name in ("above", "pushed"):
        assert "is too large: the value has" in str(run.logs[name]), run.logs[name]
        assert "the limit is 100,000; write large data to a file or object store" in str(run.logs[name])


async def test_hostile_values_are_carried_or_refused_and_never_interpreted(harness: Harness) -> None:
    await harness.register("""
    with DAG("hostile") as dag:
        def value(make, name):
            @task(task_id=name)
            def give(): return make()
            @task(task_id=name + "_read", trigger_rule="all_done")
            def read(ti=None):
                from airflow.sdk.execution_time import comms, task_runner
                # As stored, without the SDK's own deserialisation.
                found = task_runner.SUPERVISOR_COMMS.send(comms.GetXCom(
                    dag_id=ti.dag_id, run_id=ti.run_id, task_id=name, key="return_value")).value
                return repr(found)[:60]
            give() >> read()
        def deep():
            found = []
            for _ in range(200): found = [found]
            return found
        value(lambda: ["a\\x00b", "\\\\u0000"], "nul")
        value(lambda: "\\ud800", "lone_surrogate")
        value(lambda: float("nan"), "nan")
        value(lambda: 10**400, "huge_integer")
        value(deep, "deep")
        value(lambda: {"": 1, "a" * 1000: 2}, "odd_keys")
    """)
    run = await harness.run("hostile")
    read = {name.removesuffix("_read"): value for (name, _), value in run.xcoms.items() if name.endswith("_read")}
    assert read["nul"] == repr(["a\x00b", "\\u0000"])
    assert read["nan"] == "nan"
    assert read["odd_keys"].startswith("{'': 1")
    # Text that is no Unicode cannot be sent or stored; whatever fails, fails with words and in its own task.
    for name in ("lone_surrogate", "deep", "huge_integer"):
        assert run.tasks[name].state == "success" or run.messages(name).strip(), name


async def test_a_task_reads_others_in_all_the_ways_of_xcom_pull(harness: Harness) -> None:
    source = """
    from airflow.sdk import XComArg
    from airflow.sdk.bases.xcom import BaseXCom
    with DAG("pulling", start_date=datetime(2026, 1, 1)) as dag:
        @task
        def a(dag_run=None): return dag_run.conf.get("value")
        @task
        def b(ti=None):
            ti.xcom_push("k1", 1)
            ti.xcom_push("k2", {"two": 2})
            ti.xcom_push("k2", {"two": 22})
            return "b"
        @task
        def pull(ti=None):
            address = {"dag_id": ti.dag_id, "run_id": ti.run_id, "task_id": "b"}
            return {
                "one": ti.xcom_pull("b"), "list": ti.xcom_pull(["b", "a"]), "key": ti.xcom_pull("b", key="k2"),
                "default": ti.xcom_pull("b", key="never", default="d"), "none": ti.xcom_pull("nobody"),
                "prior": ti.xcom_pull("a", include_prior_dates=True),
                "indexes": ti.xcom_pull("b", map_indexes=[-1]),
                "get_one": BaseXCom.get_one(key="k1", **address),
                "get_all": list(BaseXCom.get_all(key="return_value", dag_id=ti.dag_id, run_id=ti.run_id, task_id="b")),
            }
        [a(), b()] >> pull()
    """
    await harness.register(source)
    first = await harness.run("pulling", logical_date="2026-01-01T00:00:00+00:00", conf={"value": "earlier"})
    assert first.state == "success", first.logs
    run = await harness.run("pulling", logical_date="2026-01-02T00:00:00+00:00")
    assert run.xcoms[("pull", "return_value")] == {
        "one": "b",
        "list": ["b", None],
        "key": {"two": 22},
        "default": None,
        "none": None,
        "prior": "earlier",
        "indexes": ["b"],
        "get_one": 1,
        "get_all": ["b"],
    }


async def test_values_survive_a_cleared_reducer_and_a_retry_replaces_its_own(harness: Harness) -> None:
    await harness.register("""
    with DAG("cleared") as dag:
        @task
        def trial(i): return [i, os.getpid()]
        @task
        def reduce(values, ti=None):
            ti.xcom_push(f"try_{ti.try_number}", ti.try_number)
            return values
        reduce([trial(i) for i in range(3)])
    """)
    run = await harness.run("cleared")
    async with harness.pool.connection() as connection:
        await engine.clear_tasks(connection, "cleared", run.run_id, ["reduce"])
        await engine.wake_workers(connection)
    again = await harness.finished(run.run_key)
    assert again.tasks["reduce"].try_number == 2
    values = again.xcoms[("reduce", "return_value")]
    assert values == run.xcoms[("reduce", "return_value")] and [i for i, _ in values] == [0, 1, 2]
    assert [key for task_id, key in again.xcoms if task_id == "reduce"] in (
        ["return_value", "try_2"],
        ["try_2", "return_value"],
    )


async def test_a_custom_xcom_backend_of_the_project_works(harness: Harness) -> None:
    project = harness.home.parent / "xcom_backend"
    project.mkdir(exist_ok=True)
    (project / "boxed.py").write_text("""
from airflow.sdk.bases.xcom import BaseXCom
class Boxed(BaseXCom):
    @staticmethod
    def serialize_value(value, **_): return BaseXCom.serialize_value({"boxed": value})
    @staticmethod
    def deserialize_value(result): return BaseXCom.deserialize_value(result)["boxed"]
""")
    await harness.register(
        """
    with DAG("backed") as dag:
        @task
        def give(): return [1, 2]
        @task
        def take(value, *others): return [value, list(others)]
        take(give(), [give.override(task_id="other")()])
    """,
        name="xcom_backend",
        yaml="""
        tasks:
          give: {env: {AIRFLOW__CORE__XCOM_BACKEND: boxed.Boxed}}
          other: {env: {AIRFLOW__CORE__XCOM_BACKEND: boxed.Boxed}}
          take: {env: {AIRFLOW__CORE__XCOM_BACKEND: boxed.Boxed}}
        """,
    )
    run = await harness.run("backed")
    assert run.state == "success", run.logs
    assert "boxed" in json.dumps(run.xcoms[("give", "return_value")])
    assert run.xcoms[("take", "return_value")] == {"boxed": [[1, 2], [[[1, 2]]]]}


class CountingStore(Store):
    statements = 0

    async def rows(self, query: str, parameters: Mapping[str, Any], *, binary: bool = False) -> list[Any]:
        self.statements += 1
        return await super().rows(query, parameters, binary=binary)


@pytest.mark.parametrize(("count", "size", "pages"), [(2000, 100, 1), (30, 100_000, 2)])
async def test_the_inputs_of_a_reducer_are_one_read_and_large_ones_bounded_pages(
    pool: Pool, home: Path, monkeypatch: pytest.MonkeyPatch, count: int, size: int, pages: int
) -> None:
    monkeypatch.setattr(xcoms, "_PAGE_BYTES", 2_000_000)
    trials = [f"t{number:05}" for number in range(count)]
    tasks = [dags.task("reduce", *trials, xcom_input={"values": trials}), *(dags.task(name) for name in trials)]
    async with pool.connection() as connection:
        await dags.unlimited(connection)
        await dags.run_of(connection, dags.dag("wide", tasks, max_active_tasks=count + 1))
        worker = await dags.new_worker(connection, count)
        value = XComValue("return_value", json.dumps("x" * (size - 2)).encode())
        while trials:
            claimed = await engine.claim(connection, worker, 500)
            await engine.finish(connection, worker, [Outcome(one.ref, "success", xcoms=(value,)) for one in claimed])
            trials = trials[len(claimed) :]
        [reducer] = await engine.claim(connection, worker, 1)
    store = CountingStore(pool, SecretBox.load_or_create(home), Limits(), SecretAccess())
    attempt = AttemptContext(reducer, Masker())
    found = ReduceInputs()
    after: int | None = -1
    while after is not None:
        page = await xcoms.prefetch(store, attempt, after)
        assert len(page.document) <= 2_000_000 + size
        found.add(dataclasses.asdict(page))
        after = page.rest_after
    assert store.statements == pages
    names = [f"t{number:05}" for number in range(count)]
    assert {found.value_of(name) for name in names} == {"x" * (size - 2)}
    assert "other" not in found
