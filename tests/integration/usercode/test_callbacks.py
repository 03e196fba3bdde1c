"""Callbacks of DAGs, lost tasks and deadlines, called in real environments; what tasks call themselves as well."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from leoflow.config import LogsSettings, RetentionSettings, SchedulerSettings, SecretsSettings, UserCodeSettings
from leoflow.crypto import SecretBox
from leoflow.execution.access import SecretAccess
from leoflow.execution.context import Limits, Store
from leoflow.scheduler.callbacks import CallbackRequest, CallbackResult, Callbacks
from leoflow.scheduler.jobs import Jobs
from leoflow.scheduler.outbox import Outbox
from leoflow.worker.launchers.usercode import ForkedUserCode
from tests.integration.worker.harness import Harness, Run

pytestmark = pytest.mark.anyio

IMPORTS = """
from airflow.sdk import BaseNotifier, Variable
from airflow.sdk.definitions.callback import AsyncCallback, SyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

class Notifier(BaseNotifier):
    template_fields = ("text",)
    def __init__(self, text="", **kwargs):
        super().__init__(**kwargs)
        self.text = text
    def notify(self, context):
        print("notified:", self.text)
    async def async_notify(self, context):
        print("notified asynchronously:", self.text)
"""


@pytest.fixture
def callbacks(harness: Harness, usercode: ForkedUserCode) -> Callbacks:
    return Callbacks(harness.pool, usercode, UserCodeSettings(callback_seconds=20))


async def ended(harness: Harness, callbacks: Callbacks, source: str, dag_id: str) -> tuple[Run, list[CallbackResult]]:
    """Run a DAG and carry out what it asks for."""
    await harness.register(IMPORTS + source, dag_id)
    run = await harness.run(dag_id)
    return run, await callbacks.take(run.run_key)


async def test_the_dag_is_told_of_success_with_airflows_context(harness: Harness, callbacks: Callbacks) -> None:
    source = """
def told(context):
    ti = context["ti"]
    print(context["reason"], context["dag"].dag_id, context["run_id"] == ti.run_id, ti.task_id, ti.state)
    print(context["dag_run"].run_type, context["params"], context["task"].task_id)

with DAG("told", on_success_callback=told, params={"depth": 3}):
    @task
    def first(): ...
    @task
    def last(): ...
    first() >> last()
"""
    _, [done] = await ended(harness, callbacks, source, "told")
    assert (done.request.name, done.result, done.called) == ("on_success_callback", "success", ("told",))
    assert done.output.splitlines() == ["success told True last success", "DagRunType.MANUAL {'depth': 3} last"]


async def test_where_secrets_must_be_declared_callbacks_get_no_others(harness: Harness) -> None:
    box = SecretBox.load_or_create(harness.home)
    async with harness.pool.connection() as connection:
        await connection.execute(
            "insert into leoflow_core.variable (key, value) values ('undeclared', %s)", (box.encrypt("canary"),)
        )
    access = SecretAccess(SecretsSettings(access="declared"))
    usercode = ForkedUserCode(harness.launcher, harness.home, Store(harness.pool, box, Limits(), access))
    source = """
def told(context):
    print("got", Variable.get("undeclared"))

with DAG("nosy", on_success_callback=told):
    @task
    def only(): ...
    only()
"""
    _, [done] = await ended(harness, Callbacks(harness.pool, usercode, UserCodeSettings()), source, "nosy")
    assert done.result == "failed"
    assert "got" not in done.output.splitlines()[0]
    assert "canary" not in done.output


async def test_the_dag_is_told_of_failure_with_the_task_that_failed(harness: Harness, callbacks: Callbacks) -> None:
    source = """
def told(context):
    print(context["reason"], context["ti"].task_id, context["ti"].try_number)

with DAG("broken", on_failure_callback=told, default_args={"retries": 1, "retry_delay": timedelta(0)}):
    @task
    def fine(): ...
    @task
    def boom(): raise ValueError("boom")
    fine() >> boom()
"""
    run, [done] = await ended(harness, callbacks, source, "broken")
    assert run.state == "failed"
    assert (done.request.name, done.output) == ("on_failure_callback", "task_failure boom 2")


async def test_each_callback_is_called_whatever_the_others_raise(harness: Harness, callbacks: Callbacks) -> None:
    source = """
def bad(context): raise ValueError("no")
def leaves(context): sys.exit(3)

with DAG("several", on_success_callback=[bad, leaves, Notifier("run {{ run_id }}")]):
    @task
    def only(): ...
    only()
"""
    run, [done] = await ended(harness, callbacks, source, "several")
    assert (done.result, done.called) == ("failed", ("bad", "leaves", "Notifier"))
    assert done.error == "bad: ValueError: no; leaves: SystemExit: 3"
    assert f"notified: run {run.run_id}" in done.output and "line" in done.output
    [(extra,)] = await harness.fetch(
        "select extra from leoflow.audit_log where dag_id = 'several' and event = 'callback'"
    )
    assert extra["result"] == "failed" and "ValueError: no" in extra["output"]
    shown = await harness.fetch(
        "select callback, state, task_id, reason from leoflow.callbacks where dag_id = 'several'"
    )
    assert shown == [("on_success_callback", "failed", "only", "success")]


async def test_callbacks_get_variables_and_xcoms_and_their_secrets_are_hidden(
    harness: Harness, callbacks: Callbacks
) -> None:
    async with harness.pool.connection() as connection:
        value = SecretBox.load_or_create(harness.home).encrypt("s3cret-value")
        await connection.execute("insert into leoflow_core.variable (key, value) values ('api_token', %s)", (value,))
    source = """
def told(context):
    print("variable", Variable.get("api_token"), "missing", Variable.get("nope", default="none"))
    print("xcom", context["ti"].xcom_pull(task_ids="only"))

with DAG("asks", on_success_callback=told):
    @task
    def only(): return {"answer": 42}
    only()
"""
    _, [done] = await ended(harness, callbacks, source, "asks")
    assert done.result == "success", done.output
    assert "variable *** missing none" in done.output and "xcom {'answer': 42}" in done.output


async def test_no_credential_and_no_home_of_ours_is_visible(
    harness: Harness, callbacks: Callbacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEOFLOW_DATABASE_URL", "postgresql://secret")
    source = """
def told(context):
    print(sorted(name for name in os.environ if name.startswith(("LEOFLOW", "PG"))))
    print(os.listdir("."), os.environ["TMPDIR"].startswith(os.getcwd()), os.getpid() == os.getsid(0))

with DAG("bare", on_success_callback=told):
    @task
    def only(): ...
    only()
"""
    _, [done] = await ended(harness, callbacks, source, "bare")
    assert done.output.splitlines() == ["[]", "['tmp'] True True"]


@pytest.mark.parametrize(
    ("body", "result", "words"),
    [
        ("time.sleep(600)", "timed_out", "did not end within 2 s"),
        ("signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    while True: pass", "timed_out", "did not end within 2 s"),
        ("while True: print('x' * 1000)", "killed", "printed more than"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "killed", "crashed with signal 11"),
        ("os._exit(7)", "killed", "exit code 7"),
        ("bytearray(4 << 30)", "failed", "MemoryError"),
    ],
)
async def test_a_callback_that_misbehaves_is_ended_and_named(
    harness: Harness, usercode: ForkedUserCode, body: str, result: str, words: str
) -> None:
    strict = Callbacks(harness.pool, usercode, UserCodeSettings(callback_seconds=2, memory_bytes=1 << 30))
    name = f"bad_{abs(hash(body)) % 10**8}"
    source = f"""
def told(context):
    subprocess.Popen(["sleep", "4711{abs(hash(body)) % 1000}"])
    {body}

with DAG("{name}", on_success_callback=told):
    @task
    def only(): ...
    only()
"""
    _, [done] = await ended(harness, strict, source, name)
    assert done.result == result
    assert words in (done.error or "")
    async with asyncio.timeout(10):
        while any(f"4711{abs(hash(body)) % 1000}" in line for line in _command_lines()):
            await asyncio.sleep(0.02)


def _command_lines() -> list[str]:
    lines = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            lines.append(Path(f"/proc/{pid}/cmdline").read_text())
        except OSError:
            continue
    return lines


async def test_a_task_whose_process_is_lost_for_good_has_its_callback_called(
    harness: Harness, callbacks: Callbacks
) -> None:
    source = """
def told(context):
    print("lost", context["ti"].task_id, context["ti"].state, context["run_id"] is not None)

with DAG("lost"):
    @task(on_failure_callback=[told])
    def only(): time.sleep(600)
    only()
"""
    await harness.register(IMPORTS + source, "lost")
    run_key = await harness.trigger("lost")
    await harness.until(
        "select exists (select from leoflow_core.task_instance where run_key = %s and state = 'running')", run_key
    )
    async with harness.pool.connection() as connection:
        await connection.execute(
            "update leoflow_core.task_instance set infra_retries = 3 where run_key = %s",
            (run_key,),
        )
        await connection.execute(
            "select leoflow_core.place_again(array[row(%s, 0, -1)::leoflow_core.instance_ref], 'lost', true)",
            (run_key,),
        )
    [done] = await callbacks.take(run_key)
    assert (done.request.name, done.result, done.output) == ("on_failure_callback", "success", "lost only failed True")


async def test_a_task_whose_process_was_killed_has_its_callbacks_called_once(
    harness: Harness, callbacks: Callbacks
) -> None:
    source = """
import ctypes
def told(context):
    print(context["ti"].task_id, context["ti"].try_number)

with DAG("killed", default_args={"on_failure_callback": told, "on_retry_callback": told}):
    @task
    def killed(): os.kill(os.getpid(), signal.SIGKILL)
    @task(retries=1, retry_delay=timedelta(0))
    def crashes(): ctypes.string_at(0)
    @task(execution_timeout=timedelta(seconds=0.5))
    def deaf():
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGTERM})
        time.sleep(600)
    @task(retries=1, retry_delay=timedelta(0))
    def reports(): raise ValueError("its own process calls its callbacks")
    [killed(), crashes(), deaf(), reports()]
"""
    run, done = await ended(harness, callbacks, source, "killed")
    assert {one.state for one in run.tasks.values()} == {"failed"}
    assert sorted((one.request.name, one.result, one.output.strip()) for one in done) == [
        ("on_failure_callback", "success", "crashes 2"),
        ("on_failure_callback", "success", "deaf 1"),
        ("on_failure_callback", "success", "killed 1"),
        ("on_retry_callback", "success", "crashes 1"),
    ]
    assert await callbacks.take(run.run_key) == []


async def test_a_run_that_times_out_tells_the_dag(harness: Harness, callbacks: Callbacks) -> None:
    source = """
def told(context): print(context["reason"], context["ti"].task_id)

with DAG("slow", dagrun_timeout=timedelta(seconds=0.2), on_failure_callback=told):
    @task
    def only(): time.sleep(600)
    only()
"""
    await harness.register(IMPORTS + source, "slow")
    run_key = await harness.trigger("slow")
    await harness.until("select leoflow_core.expire_runs()")
    [done] = await callbacks.take(run_key)
    assert done.output == "timed_out only"


async def test_missed_deadlines_call_functions_and_notifiers_sync_and_async(
    harness: Harness, callbacks: Callbacks
) -> None:
    source = """
def late(context, text): print(text, context["dag_run"]["dag_run_id"], context["deadline"]["deadline_time"].year > 2000)
async def later(**kwargs): print(sorted(kwargs))
def without(): print("no context")

def alert(callback): return DeadlineAlert(DeadlineReference.DAGRUN_QUEUED_AT, timedelta(seconds=-1), callback)

with DAG("due", deadline=[
    alert(SyncCallback(late, kwargs={"text": "late:"})),
    alert(AsyncCallback(later, kwargs={"more": 1})),
    alert(SyncCallback(without)),
    alert(SyncCallback(Notifier, kwargs={"text": "by class"})),
    alert(AsyncCallback(Notifier, kwargs={"text": "by class"})),
]):
    @task
    def only(): ...
    only()
"""
    run, done = await ended(harness, callbacks, source, "due")
    assert [each.output for each in done] == [
        f"late: {run.run_id} True",
        "['context', 'more']",
        "no context",
        "notified: by class",
        "notified asynchronously: by class",
    ]
    assert {each.result for each in done} == {"success"}


async def test_the_callbacks_of_a_task_run_in_its_own_process(harness: Harness, callbacks: Callbacks) -> None:
    source = """
from airflow.sdk.exceptions import AirflowSkipException

def say(word):
    return lambda context: print(word, context["ti"].task_id)

calls = {f"on_{name}_callback": say(name) for name in ("execute", "failure", "retry", "skipped", "success")}

with DAG("own"):
    @task(**calls)
    def fine(): ...
    @task(**calls)
    def skips(): raise AirflowSkipException
    @task(retries=1, retry_delay=timedelta(0), **{**calls, "on_failure_callback": [say("failure"), Notifier("down")]})
    def breaks(): raise ValueError
    [fine(), skips(), breaks()]
"""
    run, done = await ended(harness, callbacks, source, "own")
    said = {
        name: [
            line
            for line in run.messages(name).splitlines()
            if line.startswith(("execute", "failure", "retry", "skipped", "success", "notified"))
        ]
        for name in run.tasks
    }
    assert said == {
        "fine": ["execute fine", "success fine"],
        "skips": ["execute skips", "skipped skips"],
        "breaks": ["execute breaks", "retry breaks", "execute breaks", "failure breaks", "notified: down"],
    }
    assert done == []


@pytest.fixture
async def jobs(harness: Harness, callbacks: Callbacks) -> AsyncIterator[Callable[[], None]]:
    """Background jobs and the pump that feeds them."""
    running = asyncio.create_task(Jobs(harness.dsn, RetentionSettings(), LogsSettings(), callbacks).run())
    pump = asyncio.create_task(Outbox(harness.pool, SchedulerSettings()).run())
    yield lambda: None
    for part in (running, pump):
        part.cancel()
    await asyncio.gather(running, pump, return_exceptions=True)


async def test_requests_reach_their_code_through_the_background_jobs(
    harness: Harness, jobs: Callable[[], None]
) -> None:
    source = """
def told(context): print("told")

with DAG("through_jobs", on_success_callback=told):
    @task
    def only(): ...
    only()
"""
    await harness.register(IMPORTS + source, "through_jobs")
    await harness.run("through_jobs")
    state = await harness.until(
        "select max(state) from leoflow.callbacks where dag_id = 'through_jobs' and ended_at is not null"
    )
    assert state == "success"
    assert await harness.fetch("select count(*) from leoflow_core.outbox") == [(0,)]


async def test_a_callback_of_a_deleted_run_is_dropped(callbacks: Callbacks) -> None:
    request = CallbackRequest(1, "dag_success", 1, 0, -1, 1, {"reason": "success"}, "2026-01-01T00:00:00Z")
    assert await callbacks.carry_out(request, is_last_try=False) is None
