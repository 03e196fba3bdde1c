"""Tasks that ask for it share a process, one after the other, and only as long as it is clean."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from leoflow.spec.leoflow_yaml import Execution
from tests.integration.worker.harness import Harness

pytestmark = pytest.mark.anyio

HELPERS = """
import tempfile, threading
seen = []

def about_me():
    seen.append(1)
    with tempfile.NamedTemporaryFile() as file:
        temporary = file.name.startswith(os.environ["TMPDIR"])
    return {"pid": os.getpid(), "seen": len(seen), "cwd": os.getcwd(), "temporary": temporary,
            "own": os.environ.get("OWN"), "task": os.environ["AIRFLOW_CTX_TASK_ID"],
            "fds": len(os.listdir("/proc/self/fd")), "time_zone": time.tzname[0]}
"""


async def steps(harness: Harness, name: str, codes: list[str], yaml: str = "") -> list[dict[str, Any]]:
    """Run a task that executes each code in turn, each after the process of the one before is free again."""
    await harness.register(
        f"""{HELPERS}
with DAG({name!r}) as dag:
    @task
    def it(dag_run=None):
        me = about_me()
        exec(dag_run.conf["code"], globals(), {{"me": me}})
        return me
    it()
""",
        name=name,
        yaml=yaml or "defaults: {attempts_per_process: 10}",
    )
    found = []
    for code in codes:
        run = await harness.run(name, conf={"code": code})
        assert run.state == "success", run.logs
        found.append({**run.xcoms[("it", "return_value")], "log": run.messages("it")})
    return found


async def test_attempts_share_a_process_but_not_their_surroundings(harness: Harness) -> None:
    first, second, third = await steps(
        harness,
        "reusing",
        ["print('alpha')", "print('beta')", "print('gamma')"],
        "defaults: {attempts_per_process: 10}\ntasks: {it: {env: {OWN: mine, TZ: UTC7}}}",
    )
    assert first["pid"] == second["pid"] == third["pid"]
    assert [each["seen"] for each in (first, second, third)] == [1, 2, 3]
    assert all(each["temporary"] and each["own"] == "mine" for each in (first, second, third))
    assert first["fds"] == second["fds"] == third["fds"] and third["time_zone"] == "UTC"
    words = [[word for word in ("alpha", "beta", "gamma") if word in each["log"]] for each in (first, second, third)]
    assert words == [["alpha"], ["beta"], ["gamma"]]


async def test_variables_of_one_task_are_not_the_next_ones(harness: Harness) -> None:
    await harness.register(
        HELPERS
        + """
with DAG("between_tasks") as dag:
    @task
    def one():
        return about_me()
    @task
    def other():
        return about_me()
    one()
    other()
""",
        name="between_tasks",
        yaml="defaults: {attempts_per_process: 10}\ntasks: {one: {env: {OWN: mine}}}",
    )
    for _ in range(3):
        run = await harness.run("between_tasks")
        one, other = (run.xcoms[(name, "return_value")] for name in ("one", "other"))
        assert (one["own"], other["own"]) == ("mine", None)
        assert (one["task"], other["task"]) == ("one", "other")


@pytest.mark.parametrize(
    ("name", "dirt"),
    [
        ("environment", "os.environ['LEFT'] = 'behind'"),
        ("directory", "os.chdir('/')"),
        ("thread", "threading.Thread(target=time.sleep, args=(300,), daemon=True).start()"),
        ("descriptor", "os.dup(1)"),
        ("child", "me['child'] = subprocess.Popen(['sleep', '300']).pid"),
        ("signal", "signal.signal(signal.SIGUSR1, lambda *_: None)"),
        ("timer", "signal.setitimer(signal.ITIMER_REAL, 300)"),
        ("memory", "seen.append(bytearray(100 << 20))"),
        ("path", "sys.path.append('/nowhere')"),
    ],
)
async def test_a_process_is_not_used_again_once_it_is_dirty(harness: Harness, name: str, dirt: str) -> None:
    clean, dirty, after = await steps(harness, f"dirty_{name}", ["pass", dirt, "pass"])
    assert clean["pid"] == dirty["pid"] != after["pid"]
    assert after["seen"] == 1
    if "child" in dirty:
        assert not Path(f"/proc/{dirty['child']}").exists()


async def test_a_process_ends_after_its_number_of_attempts(harness: Harness) -> None:
    found = await steps(harness, "counted", ["pass"] * 4, "defaults: {attempts_per_process: 2}")
    pids = [each["pid"] for each in found]
    assert pids[0] == pids[1] != pids[2] == pids[3]


@pytest.mark.parametrize(
    "yaml",
    [
        "tasks: {it: {execution: {attempts_per_process: 1}}}",
        "tasks: {it: {execution: {attempts_per_process: 5}, resources: {limits: {memory: 1Gi}}}}",
    ],
)
async def test_with_a_memory_limit_or_without_asking_a_task_has_a_process_to_itself(
    harness: Harness, yaml: str
) -> None:
    first, second = await steps(harness, f"alone{len(yaml)}", ["pass", "pass"], yaml)
    assert first["pid"] != second["pid"] and second["seen"] == 1


async def test_failures_and_crashes_are_told_as_ever(harness: Harness) -> None:
    await harness.register(
        HELPERS
        + """
with DAG("failing_reused") as dag:
    @task
    def fine():
        return about_me()["pid"]
    @task(trigger_rule="all_done")
    def fails():
        raise ValueError("no")
    @task(trigger_rule="all_done")
    def crashes():
        os.kill(os.getpid(), 9)
    @task(trigger_rule="all_done")
    def last():
        return about_me()["pid"]
    fine() >> fails() >> crashes() >> last()
""",
        name="failing_reused",
        yaml="defaults: {attempts_per_process: 10}",
    )
    run = await harness.run("failing_reused")
    states = {name: found.state for name, found in run.tasks.items()}
    assert states == {"fine": "success", "fails": "failed", "crashes": "failed", "last": "success"}
    assert "ValueError" in str(run.logs["fails"]) and "SIGKILL" in run.messages("crashes")
    assert run.xcoms[("fine", "return_value")] != run.xcoms[("last", "return_value")]


async def test_the_idle_process_ends_with_its_fork_server(harness: Harness) -> None:
    [me] = await steps(harness, "orphaned", ["me['zygote'] = os.getppid()"])
    assert Path(f"/proc/{me['pid']}").exists()
    os.kill(me["zygote"], signal.SIGKILL)
    while Path(f"/proc/{me['pid']}").exists():
        await harness._watch()
    assert (await harness.run("orphaned", conf={"code": "pass"})).state == "success"


def test_the_number_is_bounded() -> None:
    assert Execution(attempts_per_process=1000).attempts_per_process == 1000
    for wrong in (0, 1001, 1.5):
        with pytest.raises(ValueError, match="attempts_per_process"):
            Execution.model_validate({"attempts_per_process": wrong})
