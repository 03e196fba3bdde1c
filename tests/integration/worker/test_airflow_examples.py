"""Airflow's own example DAGs end here in the states they end in under Airflow 3.2.2 (recorded: tests/truth)."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from leoflow import engine
from leoflow.compiler.compile import report_project
from leoflow.compiler.discovery import discover
from leoflow.worker.launchers.loader import ForkServerLoader
from tests.integration.worker.harness import Harness, running
from tests.support.environments import default_python
from tests.support.postgres import Server
from tests.truth.airflow_examples import EXCLUDED, FIRST, FOLDERS, LOGICAL_DATE, WATCHED

pytestmark = pytest.mark.anyio

TRUTH: dict[str, Any] = json.loads((Path(__file__).parents[2] / "truth" / "airflow_examples.json").read_text())
SECONDS = 100


def compared() -> list[str]:
    return [dag_id for dag_id in TRUTH if dag_id not in {**EXCLUDED, **WATCHED}]


def copy_examples(target: Path) -> None:
    code = "import importlib.util; print(importlib.util.find_spec('airflow').submodule_search_locations[0])"
    found = subprocess.run([default_python(), "-c", code], check=True, capture_output=True, text=True)
    package = Path(found.stdout.strip())
    for folder in FOLDERS:
        ignored = shutil.ignore_patterns("plugins", "standard", "__pycache__")
        shutil.copytree(package / folder, target / folder, ignore=ignored)


async def register(harness: Harness, root: Path) -> None:
    [project] = discover(root)
    report = await report_project(project, ForkServerLoader(harness.launcher), home=harness.home)
    async with harness.pool.connection() as connection:
        for compiled in report.dags:
            spec = compiled.spec.model_dump(mode="json")
            await engine.register_version(
                connection,
                spec,
                content_hash=spec["content_hash"],
                bundle_path=str(compiled.bundle_path),
                relative_fileloc=spec["source"]["path"],
            )
            await engine.set_paused(connection, spec["dag_id"], spec["dag_id"] not in compared())


async def run_all(harness: Harness, dag_ids: Iterable[str]) -> dict[str, Any]:
    """Trigger each DAG, wait for all, and read how they ended, in the truth's form."""
    moment = datetime.fromisoformat(LOGICAL_DATE)
    keys = {dag_id: await harness.trigger(dag_id, logical_date=moment) for dag_id in dag_ids}
    open_runs = "select count(*) from leoflow_core.dag_run where run_key = any(%s) and end_date is null"
    deadline = asyncio.get_running_loop().time() + SECONDS
    while (await harness.fetch(open_runs, list(keys.values())))[0][0]:
        if asyncio.get_running_loop().time() > deadline:
            break
        async with harness.pool.connection() as connection:
            if await engine.promote_due(connection):
                await engine.wake_workers(connection)
        await asyncio.sleep(0.2)
    return {dag_id: await ended(harness, key) for dag_id, key in keys.items()}


async def ended(harness: Harness, run_key: int) -> dict[str, Any]:
    state = (await harness.fetch("select state::text from leoflow_core.dag_run where run_key = %s", run_key))[0][0]
    tasks: dict[str, dict[str, str | None]] = {}
    query = "select task_id, map_index, state::text from leoflow.task_instances where run_key = %s order by 1, 2"
    for task_id, map_index, task_state in await harness.fetch(query, run_key):
        tasks.setdefault(task_id, {})[str(map_index)] = task_state
    return {"state": state, "tasks": tasks}


@pytest.fixture(scope="module")
async def examples(server: Server, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Harness]:
    root = tmp_path_factory.mktemp("examples")
    copy_examples(root / "dags")
    with server.database(template) as dsn:
        async with running(dsn, root / "home", slots=4) as harness:
            await register(harness, root / "dags")
            yield harness


async def test_every_example_is_compared_or_has_a_reason(examples: Harness) -> None:
    registered = {dag_id for (dag_id,) in await examples.fetch("select dag_id from leoflow.dags")}
    assert registered - {*compared(), *EXCLUDED, *WATCHED} == set()
    assert set(compared()) <= registered
    assert set(FIRST) <= TRUTH.keys()
    assert all(EXCLUDED.values())


async def test_they_end_as_under_airflow(examples: Harness) -> None:
    first = [dag_id for dag_id in compared() if dag_id in FIRST]
    found = await run_all(examples, first)
    found |= await run_all(examples, [dag_id for dag_id in compared() if dag_id not in FIRST])
    different = {dag_id: (TRUTH[dag_id], here) for dag_id, here in found.items() if here != TRUTH[dag_id]}
    assert not different, "\n".join(f"{name}\n  {want}\n  {have}" for name, (want, have) in different.items())
