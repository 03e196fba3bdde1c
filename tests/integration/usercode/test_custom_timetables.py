"""Timetables that only a project's code knows: asked at compile time and after each run, bounded, never fatal."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leoflow.compiler.errors import CompileError
from leoflow.config import SchedulerSettings, UserCodeSettings
from leoflow.db import Listener
from leoflow.errors import LeoflowError
from leoflow.execution import manual_runs, timetable_questions
from leoflow.execution.timetable_questions import NobodyAnswersError
from leoflow.execution.usercode import Call, CallAnswer
from leoflow.scheduler.custom_timetables import CustomTimetables
from leoflow.scheduler.due_runs import DueRuns
from leoflow.scheduler.partitioned_runs import PartitionedRuns
from leoflow.scheduler.timetable_questions import TimetableQuestions
from leoflow.timetables import DataInterval
from leoflow.worker.launchers.usercode import ForkedUserCode
from tests.integration.worker.harness import Harness

pytestmark = pytest.mark.anyio

LUNAR = """
import pendulum
from airflow.timetables.base import DagRunInfo, DataInterval, Timetable

class Lunar(Timetable):
    description = "every 29 hours"
    def infer_manual_data_interval(self, *, run_after):
        return DataInterval(run_after.subtract(hours=29), run_after)
    def next_dagrun_info(self, *, last_automated_data_interval, restriction):
        start = last_automated_data_interval.end if last_automated_data_interval else restriction.earliest
        if restriction.latest and start > restriction.latest:
            return None
        return DagRunInfo.interval(start, start.add(hours=29))
    def generate_run_id(self, *, run_type, run_after, data_interval, **extra):
        return f"lunar__{run_after.int_timestamp}"
"""
SETTINGS = UserCodeSettings(timetable_seconds=30, timetable_retry_seconds=600)
IMPATIENT = UserCodeSettings(timetable_seconds=5, timetable_retry_seconds=600)


class Clockwork:
    """The two services, turned by hand."""

    def __init__(self, harness: Harness, usercode: Any, settings: UserCodeSettings = SETTINGS) -> None:
        self.due = DueRuns(harness.pool, SchedulerSettings())
        self.custom = CustomTimetables(harness.pool, SchedulerSettings(), settings, usercode)

    async def turn(self, times: int = 4) -> None:
        for _ in range(times):
            await self.custom.work()
            await self.due.work()


@pytest.fixture
def clockwork(harness: Harness, usercode: ForkedUserCode) -> Clockwork:
    return Clockwork(harness, usercode)


def body(dag_id: str, timetable: str = "Lunar()", **options: Any) -> str:
    start = options.pop("start", "datetime(2026, 1, 1)")
    more = "".join(f", {name}={value}" for name, value in options.items())
    return f"""
with DAG("{dag_id}", schedule={timetable}, start_date={start}{more}):
    @task
    def only(): ...
    only()
"""


async def state(harness: Harness, dag_id: str) -> tuple[Any, ...]:
    [row] = await harness.fetch(
        "select next_data_interval_start, next_run_after, schedule_pending, schedule_error"
        " from leoflow_core.dag where dag_id = %s",
        dag_id,
    )
    return row


async def runs(harness: Harness, dag_id: str) -> list[tuple[Any, ...]]:
    return await harness.fetch(
        "select r.run_id, r.data_interval_start, r.data_interval_end from leoflow_core.dag_run r"
        " join leoflow_core.dag d using (dag_key) where d.dag_id = %s order by r.logical_date",
        dag_id,
    )


async def test_each_run_is_created_and_the_next_one_asked_for(harness: Harness, clockwork: Clockwork) -> None:
    first = datetime(2026, 1, 1, tzinfo=UTC)
    await harness.register(LUNAR + body("lunar", catchup=True, end_date="datetime(2026, 1, 4)"), "lunar")
    await clockwork.turn(8)
    spans = [(first + timedelta(hours=29 * n), first + timedelta(hours=29 * (n + 1))) for n in range(3)]
    assert await runs(harness, "lunar") == [(f"lunar__{int(end.timestamp())}", start, end) for start, end in spans]
    assert await state(harness, "lunar") == (None, None, False, None), "the end date ends it"


async def test_the_run_that_is_not_due_yet_waits(harness: Harness, clockwork: Clockwork) -> None:
    start = "datetime.now() + timedelta(days=1)"
    await harness.register(LUNAR + body("waits", start=start), "waits")
    await clockwork.turn()
    assert await runs(harness, "waits") == []
    _, run_after, pending, _ = await state(harness, "waits")
    assert run_after > datetime.now(UTC) and not pending


async def test_a_timetable_in_a_module_of_the_project(harness: Harness, clockwork: Clockwork) -> None:
    root = harness.home.parent / "modules"
    root.mkdir()
    (root / "moons.py").write_text(LUNAR)
    await harness.register("from moons import Lunar\n" + body("modules", max_active_runs=1), "modules")
    await clockwork.turn()
    assert await runs(harness, "modules"), await state(harness, "modules")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("raise KeyError('moon')", "KeyError: 'moon'"),
        ("while True: pass", "no answer within"),
        ("return 'tomorrow'", "which has no run_after and no data_interval"),
        (
            "return DagRunInfo(run_after=None, data_interval=None, partition_date=None, partition_key=None)",
            "which has no",
        ),
        ("return DagRunInfo.interval(restriction.earliest, restriction.earliest.subtract(days=1))", "ends"),
        ("return DagRunInfo.interval(datetime(2026, 1, 1), datetime(2026, 1, 2))", "time zone"),
    ],
)
async def test_a_broken_timetable_is_an_error_of_its_file(harness: Harness, answer: str, words: str) -> None:
    source = (
        LUNAR
        + f"""
class Broken(Lunar):
    def next_dagrun_info(self, *, last_automated_data_interval, restriction):
        {answer}
"""
    )
    with pytest.raises(CompileError, match=words) as refusal:
        await harness.register(source + body("broken", "Broken()"), "broken")
    assert refusal.value.rule == "timetable" and refusal.value.file == "dag.py" and refusal.value.line
    assert refusal.value.hint


LATER = """
class Later(Lunar):
    '''Fine when it is loaded, not after its first run.'''
    def next_dagrun_info(self, *, last_automated_data_interval, restriction):
        if last_automated_data_interval is not None:
            {answer}
        return super().next_dagrun_info(
            last_automated_data_interval=last_automated_data_interval, restriction=restriction)
"""


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("raise ValueError('no moon')", "ValueError: no moon"),
        ("while True: pass", "did not end within 5 s"),
        (
            "return DagRunInfo.interval(last_automated_data_interval.start, last_automated_data_interval.end)",
            "stand still",
        ),
        ("os._exit(1)", "exit code 1"),
    ],
)
async def test_one_that_breaks_later_stops_its_dag_alone_until_it_is_mended(
    harness: Harness, usercode: ForkedUserCode, answer: str, words: str
) -> None:
    clockwork = Clockwork(harness, usercode, IMPATIENT)
    dag_id = f"later_{abs(hash(answer)) % 10**8}"
    await harness.register(
        LUNAR + LATER.format(answer=answer) + body(dag_id, "Later()", catchup=True, max_active_runs=3), dag_id
    )
    await clockwork.turn(8)
    assert len(await runs(harness, dag_id)) == 1
    _, run_after, _, error = await state(harness, dag_id)
    assert run_after is None and words in error and "dag.py" in error
    [(message,)] = await harness.fetch("select message from leoflow_core.api_dag_warnings where dag_id = %s", dag_id)
    assert "is not scheduled" in message and words in message
    mended = LUNAR + LATER.format(answer="pass") + body(dag_id, "Later()", catchup=True, max_active_runs=3)
    await harness.register(mended, dag_id)
    await clockwork.turn(8)
    assert len(await runs(harness, dag_id)) > 1, "a new version is asked at once"
    assert (await state(harness, dag_id))[3] is None


async def test_a_hanging_timetable_delays_no_other_dag(harness: Harness, usercode: ForkedUserCode) -> None:
    clockwork = Clockwork(harness, usercode, IMPATIENT)
    source = LUNAR + LATER.format(answer="time.sleep(600)")
    await harness.register(source + body("hangs", "Later()", catchup=True), "hangs")
    await clockwork.turn(1)
    await harness.register(body("plain", "'@once'"), "plain")
    hanging = asyncio.create_task(clockwork.custom.work())
    await clockwork.due.work()
    await clockwork.due.work()
    assert len(await runs(harness, "plain")) == 1
    assert not hanging.done()
    await hanging


async def test_an_answer_for_an_older_version_is_not_stored(harness: Harness, usercode: ForkedUserCode) -> None:
    await harness.register(LUNAR + body("moving", start="datetime(2020, 1, 1)"), "moving")

    class Overtaken:
        """Registers another version while the first one is asked."""

        async def call(self, call: Call) -> CallAnswer:
            answer = await usercode.call(call)
            if call.place.dag_id == "moving":  # a slow machine asks for DAGs of earlier tests again
                await harness.register(LUNAR + body("moving", start="datetime(2026, 1, 1)"), "moving")
            return answer

    await Clockwork(harness, Overtaken()).custom.work()
    start, _, pending, _ = await state(harness, "moving")
    assert start is None and pending
    await Clockwork(harness, usercode).custom.work()
    assert (await state(harness, "moving"))[0] == datetime(2026, 1, 1, tzinfo=UTC)


async def test_a_scheduler_that_dies_while_it_asks_is_replaced(harness: Harness, usercode: ForkedUserCode) -> None:
    await harness.register(LUNAR + body("orphan"), "orphan")
    dying = Clockwork(harness, usercode, UserCodeSettings(timetable_seconds=1))
    await dying.custom._take()
    assert await Clockwork(harness, usercode).custom._take() == [], "it is taken"
    await harness.fetch(
        "update leoflow_core.dag set plan_after = clock_timestamp() where dag_id = 'orphan' returning 1"
    )
    await Clockwork(harness, usercode).turn(1)
    assert (await state(harness, "orphan"))[1] is not None or await runs(harness, "orphan")


@contextlib.asynccontextmanager
async def answering(
    harness: Harness, usercode: ForkedUserCode, settings: UserCodeSettings = SETTINGS
) -> AsyncIterator[None]:
    """A scheduler that answers, woken like the real one."""
    service = TimetableQuestions(harness.pool, settings, usercode)
    task = asyncio.create_task(service.run())

    async def listen() -> None:
        async with Listener(harness.dsn, service.channels) as listener:
            while True:
                await listener.wait()
                service.wake()

    listening = asyncio.create_task(listen())
    try:
        yield
    finally:
        for each in (listening, task):
            each.cancel()
        await asyncio.gather(listening, task, return_exceptions=True)


async def test_a_run_by_hand_gets_interval_and_id_from_its_timetable(
    harness: Harness, usercode: ForkedUserCode
) -> None:
    await harness.register(LUNAR + body("by_hand", is_paused_upon_creation="True"), "by_hand")
    date, after = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 9, tzinfo=UTC)
    week = DataInterval(date, after)
    wanted = manual_runs.ManualRun(logical_date=date, run_after=after)

    async def plan(**changes: Any) -> manual_runs.ManualRun:
        run = dataclasses.replace(wanted, **changes)
        return await manual_runs.plan(harness.pool.connection, "by_hand", run)

    async with answering(harness, usercode):
        inferred = DataInterval(date - timedelta(hours=29), date)
        run_id = f"lunar__{int(after.timestamp())}"
        assert await plan() == dataclasses.replace(wanted, interval=inferred, run_id=run_id)
        assert (await plan(run_id="mine")).run_id == "mine"
        assert (await plan(interval=week)).interval == week
        without = await plan(logical_date=None, interval=week)
        assert (without.interval, without.run_id) == (None, run_id)
    assert await harness.fetch("select count(*) from leoflow_core.timetable_question") == [(0,)]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("raise ValueError('no moon')", "ValueError: no moon"),
        ("while True: pass", "did not end within 5 s"),
        ("return DataInterval(run_after, run_after.subtract(days=1))", "ends"),
    ],
)
async def test_a_timetable_that_fails_for_a_run_by_hand_says_why(
    harness: Harness, usercode: ForkedUserCode, answer: str, words: str
) -> None:
    source = (
        LUNAR
        + f"""
class Later(Lunar):
    def infer_manual_data_interval(self, *, run_after):
        if run_after.year < 2000:
            {answer}
        return super().infer_manual_data_interval(run_after=run_after)
"""
    )
    dag_id = f"hand_{abs(hash(answer)) % 10**8}"
    await harness.register(source + body(dag_id, "Later()"), dag_id)
    wanted = manual_runs.ManualRun(logical_date=datetime(1999, 1, 1, tzinfo=UTC))
    async with answering(harness, usercode, IMPATIENT):
        with pytest.raises(LeoflowError) as failure:
            await manual_runs.plan(harness.pool.connection, dag_id, wanted)
    assert words in str(failure.value) and "dag.py" in str(failure.value)


async def test_without_a_scheduler_nobody_answers(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    await harness.register(LUNAR + body("alone"), "alone")
    monkeypatch.setattr(timetable_questions, "TAKEN_WITHIN_SECONDS", 0.1)
    with pytest.raises(NobodyAnswersError, match="no scheduler answers"):
        await manual_runs.plan(harness.pool.connection, "alone", manual_runs.ManualRun())


async def test_a_backfill_asks_for_the_runs_of_its_dates(harness: Harness, usercode: ForkedUserCode) -> None:
    await harness.register(LUNAR + body("filled"), "filled")
    first = datetime(2026, 1, 1, tzinfo=UTC)
    [(version_key,)] = await harness.fetch("select current_version_key from leoflow_core.dag where dag_id = 'filled'")
    question = {"question": "between", "earliest": first.isoformat(), "latest": (first + timedelta(days=4)).isoformat()}
    question |= {"before": (first + timedelta(days=5)).isoformat(), "most": 100}
    async with answering(harness, usercode):
        found = await timetable_questions.ask(harness.pool.connection, version_key, question)
        few = await timetable_questions.ask(harness.pool.connection, version_key, {**question, "most": 2})
    starts = [first + timedelta(hours=29 * number) for number in range(4)]
    assert [each["start"] for each in found] == [start.isoformat() for start in starts]
    assert few == found[:2]


OWN_MAPPER = """
from airflow.partition_mappers.base import PartitionMapper
from airflow.sdk import Asset, ChainMapper, IdentityMapper, PartitionedAssetTimetable, StartOfDayMapper
class Regions(PartitionMapper):
    def to_downstream(self, key):
        if key == "hang":
            while True: pass
        return [key[:2], key[2:]] if key != "odd" else 7
lake = Asset("lake")
own = PartitionedAssetTimetable(assets=lake, default_partition_mapper=Regions())
chained = PartitionedAssetTimetable(
    assets=lake, partition_mapper_config={lake: ChainMapper(StartOfDayMapper(), Regions())}
)
"""


async def test_a_projects_own_partition_mapper_is_asked_within_limits(
    harness: Harness, usercode: ForkedUserCode
) -> None:
    await harness.register(OWN_MAPPER + body("own_keys", "own") + body("chained_keys", "chained"), "own_keys")
    for key in ("eu-1", "odd", "hang", "2026-05-01T10:00:00"):
        await harness.fetch("select leoflow.create_asset_event('lake', partition_key => %s)", key)
    await PartitionedRuns(harness.pool, SchedulerSettings(), IMPATIENT, usercode).work()

    async def found(dag_id: str) -> list[str]:
        rows = await harness.fetch(
            "select r.partition_key from leoflow_core.dag_run r join leoflow_core.dag d using (dag_key)"
            " where d.dag_id = %s order by 1",
            dag_id,
        )
        return [row[0] for row in rows]

    assert await found("own_keys") == ["-1", "20", "26-05-01T10:00:00", "eu"]
    assert await found("chained_keys") == ["20", "26-05-01"]
    errors = await harness.fetch(
        "select extra ->> 'partition_key', extra ->> 'error' from leoflow_core.audit_log"
        " where event = 'failed to map partition_key' and extra ->> 'target_dag_id' = 'own_keys' order by 1"
    )
    assert [key for key, _ in errors] == ["hang", "odd"]
    assert "did not end within 5 s" in errors[0][1] and "Regions.to_downstream() gives 7" in errors[1][1]
