"""Deferred tasks run to their end: triggers of the project and of the standard provider, in a process of theirs."""

import pytest

from leoflow.triggerer import Triggerer
from tests.integration.worker.harness import Harness

pytestmark = pytest.mark.anyio

TRIGGERS = """
import asyncio, os, time
from pathlib import Path
from asgiref.sync import sync_to_async
from airflow.sdk import Variable
from airflow.triggers.base import BaseTrigger, TaskFailedEvent, TaskSkippedEvent, TaskSuccessEvent, TriggerEvent

class Own(BaseTrigger):
    def __init__(self, what, where=None):
        super().__init__()
        self.what, self.where = what, where
    def serialize(self):
        return "own_triggers.Own", {"what": self.what, "where": self.where}
    async def cleanup(self):
        if self.where and self.what == "forever":
            Path(self.where).write_text("cleaned")
    async def run(self):
        self.log.info("the trigger says hello")
        match self.what:
            case "event": yield TriggerEvent({"answer": 42})
            case "ends well": yield TaskSuccessEvent(xcoms={"return_value": [1, 2]})
            case "ends badly": yield TaskFailedEvent()
            case "ends skipped": yield TaskSkippedEvent()
            case "raises": raise ValueError("boom in the trigger")
            case "says nothing": pass
            case "yields rubbish": yield object()
            case "unserialisable": yield TriggerEvent(object())
            case "forever": await asyncio.sleep(3600)
            case "blocks":
                time.sleep(1.6)
                yield TriggerEvent(None)
            case "asks":
                awaited = await sync_to_async(Variable.get)("absent", default="a")
                direct = Variable.get("absent", default="b")
                yield TaskSuccessEvent(xcoms={"return_value": [awaited, direct, self.task_instance.task_id]})
            case "dies once":
                if not Path(self.where).exists():
                    Path(self.where).write_text("x")
                    os._exit(3)
                yield TaskSuccessEvent()
"""
OPERATOR = """
from airflow.sdk import BaseOperator
from airflow.triggers.base import StartTriggerArgs
class Wait(BaseOperator):
    def __init__(self, *, what, where=None, limit=None, **options):
        super().__init__(**options)
        self.what, self.where, self.limit = what, where, limit
    def execute(self, context):
        from own_triggers import Own
        print("execute of try", context["ti"].try_number)
        self.defer(trigger=Own(self.what, self.where), method_name="go_on", kwargs={"kept": (1, 2)}, timeout=self.limit)
    def go_on(self, context, event, kept):
        return [event, list(kept)]
class Early(Wait):
    start_from_trigger = True
    start_trigger_args = StartTriggerArgs("own_triggers.Own", "go_on", {"what": "raises"}, {"kept": ()})
"""


async def register(harness: Harness, name: str, body: str) -> None:
    root = harness.home.parent / name
    root.mkdir(exist_ok=True)
    (root / "own_triggers.py").write_text(TRIGGERS)
    source = f"{OPERATOR}\nwith DAG({name!r}) as dag:\n" + "\n".join(f"    {line}" for line in body.splitlines())
    await harness.register(source, name=name)


async def test_a_trigger_of_the_project_resumes_or_ends_its_task(harness: Harness, triggerer: Triggerer) -> None:
    body = "\n".join(
        f"Wait(what={what!r}, task_id={what.replace(' ', '_')!r})"
        for what in ("event", "ends well", "ends badly", "ends skipped", "asks")
    )
    body += "\nEarly(what='event', task_id='early')\nEarly.partial(task_id='mapped').expand(what=['event'])"
    await register(harness, "own", body)
    run = await harness.run("own")
    assert {name: one.state for name, one in run.tasks.items()} == {
        "event": "success",
        "ends_well": "success",
        "ends_badly": "failed",
        "ends_skipped": "skipped",
        "asks": "success",
        "early": "success",
        "mapped": "success",
    }
    assert {one.try_number for one in run.tasks.values()} == {1}
    assert run.xcoms[("event", "return_value")] == [{"answer": 42}, [1, 2]]
    assert run.xcoms[("ends_well", "return_value")] == [1, 2]
    assert run.xcoms[("asks", "return_value")] == ["a", "b", "asks"]
    # Airflow 3.2.2 ignores start_from_trigger: execute runs first (docs/decisions/0004).
    assert run.xcoms[("early", "return_value")] == run.xcoms[("mapped", "return_value")] == [{"answer": 42}, [1, 2]]
    assert "execute of try 1" in run.messages("early")
    assert "the trigger says hello" in run.messages("event")
    assert "Trigger fired event" in run.messages("event")
    assert triggerer.waiting == 0


async def test_a_trigger_that_fails_fails_its_task_with_the_reason_in_its_log(
    harness: Harness, triggerer: Triggerer
) -> None:
    body = "\n".join(
        f"Wait(what={what!r}, task_id={what.replace(' ', '_')!r})"
        for what in ("raises", "says nothing", "yields rubbish", "unserialisable")
    )
    await register(harness, "failing_triggers", body)
    run = await harness.run("failing_triggers")
    assert {one.state for one in run.tasks.values()} == {"failed"}
    assert "boom in the trigger" in str(run.logs["raises"])
    assert "ended without an event" in run.messages("says_nothing")
    assert "not a TriggerEvent" in str(run.logs["yields_rubbish"])
    assert triggerer.waiting == 0


async def test_a_class_that_cannot_be_imported_fails_its_task(harness: Harness, triggerer: Triggerer) -> None:
    await harness.register("""
    from airflow.sdk import BaseOperator
    from airflow.triggers.base import BaseTrigger
    class Lost(BaseTrigger):
        def serialize(self): return "nowhere_to_be_found.Lost", {}
        async def run(self): yield
    class Wait(BaseOperator):
        def execute(self, context): self.defer(trigger=Lost(), method_name="go_on")
    with DAG("lost_class"):
        Wait(task_id="wait")
    """)
    run = await harness.run("lost_class")
    assert run.tasks["wait"].state == "failed"
    assert "nowhere_to_be_found" in str(run.logs["wait"])
    assert triggerer.waiting == 0


async def test_a_retry_starts_from_the_beginning(harness: Harness, triggerer: Triggerer) -> None:
    await register(harness, "retried", "Wait(what='raises', task_id='wait', retries=1, retry_delay=timedelta(0))")
    run = await harness.run("retried")
    assert (run.tasks["wait"].state, run.tasks["wait"].try_number) == ("failed", 2)
    assert "execute of try 1" in run.messages("wait") and "execute of try 2" in run.messages("wait")
    assert triggerer.waiting == 0


async def test_a_trigger_that_blocks_the_loop_is_named(harness: Harness, triggerer: Triggerer) -> None:
    await register(harness, "blocking", "Wait(what='blocks', task_id='wait')")
    run = await harness.run("blocking")
    assert run.state == "success"
    assert "blocking/" in run.messages("wait") and "has blocked the event loop" in run.messages("wait")
    assert triggerer.waiting == 0


async def test_a_timeout_fails_the_task_and_cancels_the_trigger(harness: Harness, triggerer: Triggerer) -> None:
    where = harness.home.parent / "timed-out"
    await register(
        harness, "timing_out", f"Wait(what='forever', where={str(where)!r}, limit=timedelta(seconds=1), task_id='wait')"
    )
    run = await harness.run("timing_out")
    assert run.tasks["wait"].state == "failed"
    assert "TaskDeferralTimeout" in str(run.logs["wait"])
    await harness.until("select count(*) = 0 from leoflow_core.trigger")
    while triggerer.waiting or not where.exists():
        await harness._watch()
    assert where.read_text() == "cleaned"


async def test_a_cancelled_run_cancels_its_triggers(harness: Harness, triggerer: Triggerer) -> None:
    where = harness.home.parent / "cancelled"
    await register(harness, "cancelling", f"Wait(what='forever', where={str(where)!r}, task_id='wait')")
    key = await harness.trigger("cancelling", run_id="r")
    await harness.until("select bool_or(triggerer_key is not null) from leoflow_core.trigger")
    await harness.fetch("select leoflow.cancel_run('cancelling', 'r')")
    run = await harness.finished(key)
    assert run.tasks["wait"].state == "failed"
    while triggerer.waiting or not where.exists():
        await harness._watch()


async def test_triggers_survive_the_death_of_the_process_that_runs_them(harness: Harness, triggerer: Triggerer) -> None:
    where = harness.home.parent / "died"
    await register(
        harness,
        "dying",
        f"Wait(what='dies once', where={str(where)!r}, task_id='wait')\nWait(what='event', task_id='beside')",
    )
    run = await harness.run("dying")
    assert {one.state for one in run.tasks.values()} == {"success"}
    assert {one.try_number for one in run.tasks.values()} == {1}
    assert triggerer.waiting == 0


async def test_the_standard_providers_deferrable_operators_run(harness: Harness, triggerer: Triggerer) -> None:
    file = harness.home.parent / "awaited"
    await harness.register(
        f"""
        from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
        from airflow.providers.standard.sensors.date_time import DateTimeSensorAsync
        from airflow.providers.standard.sensors.external_task import ExternalTaskSensor
        from airflow.providers.standard.sensors.filesystem import FileSensor
        from airflow.providers.standard.sensors.time_delta import TimeDeltaSensor
        from airflow.sdk.timezone import utcnow
        os.environ["AIRFLOW_CONN_FS_DEFAULT"] = "fs://"
        with DAG("other"):
            @task
            def work():
                Path({str(file)!r}).write_text("x")
            work()
        with DAG("standard", start_date=datetime(2026, 1, 1)):
            TimeDeltaSensor(task_id="time_delta", delta=timedelta(seconds=0.3), deferrable=True)
            DateTimeSensorAsync(task_id="date_time", target_time=utcnow() + timedelta(seconds=1))
            FileSensor(task_id="file", filepath={str(file)!r}, poke_interval=0.2, deferrable=True)
            trigger = TriggerDagRunOperator(
                task_id="trigger", trigger_dag_id="other", trigger_run_id="theirs", wait_for_completion=True,
                poke_interval=1, deferrable=True, logical_date="2026-01-01T00:00:00+00:00",
            )
            sensor = ExternalTaskSensor(
                task_id="external", external_dag_id="other", external_task_id="work", deferrable=True,
                poll_interval=0.2, execution_date_fn=lambda _: datetime.fromisoformat("2026-01-01T00:00:00+00:00"),
            )
        """,
        name="standard",
    )
    run = await harness.run("standard", logical_date="2026-01-02T00:00:00+00:00")
    assert {name: one.state for name, one in run.tasks.items()} == dict.fromkeys(
        ["time_delta", "date_time", "file", "trigger", "external"], "success"
    ), run.logs
    assert triggerer.waiting == 0
