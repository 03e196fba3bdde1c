"""Attempts forked ahead are as fresh, as separate and as mortal as any other."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.worker.harness import Harness

pytestmark = pytest.mark.anyio

HELPERS = """
seen = []

def spare():
    # The other child of this task's zygote; it is forked while a task runs.
    zygote = os.getppid()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for pid in Path(f"/proc/{zygote}/task/{zygote}/children").read_text().split():
            if int(pid) != os.getpid():
                return int(pid)
        time.sleep(0.01)
    raise TimeoutError("no spare")

def is_dead(pid):
    # The kernel takes its time after a SIGKILL.
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True

def about_me():
    seen.append(1)
    files = sorted(os.readlink(f"/proc/self/fd/{name}").split(":")[0] for name in os.listdir("/proc/self/fd") if
                   os.path.exists(f"/proc/self/fd/{name}"))
    return {"pid": os.getpid(), "session": os.getsid(0), "seen": len(seen), "zygote": os.getppid(), "files": files,
            "secret": os.environ.get("SECRET"), "cwd": os.getcwd()}
"""


async def test_the_spare_becomes_the_next_attempt_in_a_fresh_process(harness: Harness) -> None:
    await harness.register(
        HELPERS
        + """
with DAG("handed_on") as dag:
    @task
    def first():
        return {**about_me(), "spare": spare()}
    @task
    def second():
        return about_me()
    first() >> second()
""",
        name="handed_on",
        yaml="tasks: {first: {env: {SECRET: mine}}}",
    )
    run = await harness.run("handed_on")
    assert run.state == "success"
    first, second = (run.xcoms[(name, "return_value")] for name in ("first", "second"))
    assert second["pid"] == first["spare"] == second["session"]
    assert second["seen"] == 1 and second["secret"] is None and second["zygote"] == first["zygote"]
    assert second["files"] == first["files"]


async def test_a_killed_spare_costs_no_attempt(harness: Harness) -> None:
    await harness.register(
        HELPERS
        + """
with DAG("spare_killed") as dag:
    @task
    def first():
        killed = spare()
        os.kill(killed, 9)
        while not is_dead(killed):
            time.sleep(0.01)
    @task
    def second():
        return about_me()["seen"]
    first() >> second()
""",
        name="spare_killed",
    )
    run = await harness.run("spare_killed")
    assert run.state == "success" and run.xcoms[("second", "return_value")] == 1
    assert run.tasks["second"].try_number == 1


async def test_a_spare_dies_with_its_zygote(harness: Harness) -> None:
    await harness.register(
        HELPERS
        + """
with DAG("zygote_killed") as dag:
    @task
    def it():
        return [os.getppid(), spare()]
    it()
""",
        name="zygote_killed",
    )
    run = await harness.run("zygote_killed")
    zygote, spare = run.xcoms[("it", "return_value")]
    assert _lives(spare)
    os.kill(zygote, 9)
    async with asyncio.timeout(10):
        while _lives(spare):
            await harness._watch()
    assert (await harness.run("zygote_killed")).state == "success"


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


LIFE = """
import os
from leoflow.runtime import spares

os.open(os.devnull, os.O_RDONLY)  # a zygote keeps descriptor 3 occupied

class Sdk:
    def rehearse(self):
        raise RuntimeError("is not fatal")

kept = spares.Spares(Sdk(), lambda: None)
assert not kept.wanted(0) and kept.pause() is None, "before the first attempt there are none"
assert kept.give({"id": "a"}, []) is None
assert kept.wanted(0) and not kept.wanted(1000)
kept.add()
[pid] = kept.pids
assert not kept.wanted(0) and kept.pause() > 1000
kept.retire()
assert kept.pids == {pid}, "in use"
kept._needed_until = 0
kept.retire()
assert not kept.pids and kept.pause() is None
assert os.waitpid(pid, 0)[1] == 0
kept.bury(pid)
kept.give({"id": "b"}, [])
assert kept.wanted(0)
"""


def test_a_project_that_rests_keeps_no_spare() -> None:
    done = subprocess.run([sys.executable, "-c", LIFE], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
