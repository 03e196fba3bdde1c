"""A project whose trigger watches a file, and a look at the events it made."""

from pathlib import Path
from typing import Any

from tests.integration.worker.harness import Harness

DAG = """
from airflow.sdk import Asset, AssetWatcher
from {module} import {name}
with DAG("{dag_id}", schedule=[Asset("{dag_id}", watchers=[AssetWatcher(name="w", trigger={name}({arguments}))])]):
    @task
    def use(triggering_asset_events=None):
        return [event.extra for events in triggering_asset_events.values() for event in events]
    use()
"""
LINES = """
import asyncio, os
from pathlib import Path
from airflow.sdk import Variable
from airflow.triggers.base import BaseEventTrigger, TriggerEvent
class Lines(BaseEventTrigger):
    '''One event per line of a file; takes each away once it is recorded.'''
    def __init__(self, path):
        super().__init__()
        self.path = path
    def serialize(self):
        return "lines.Lines", {"path": self.path}
    async def run(self):
        path = Path(self.path)
        while True:
            lines = path.read_text().splitlines() if path.exists() else []
            for at, line in enumerate(lines):
                if line == "raise":
                    path.unlink()
                    raise RuntimeError("the source is broken")
                if line == "process":
                    line = os.getpid()
                if line == "variable":
                    line = await asyncio.to_thread(Variable.get, "region", default="none")
                yield TriggerEvent({"line": line})
                rest = Path(self.path + ".rest")
                rest.write_text("\\n".join(lines[at + 1:]))
                rest.replace(path)
            await asyncio.sleep(0.02)
"""


async def register(harness: Harness, dag_id: str, path: Path) -> None:
    root = harness.home.parent / dag_id
    root.mkdir(exist_ok=True)
    (root / "lines.py").write_text(LINES)
    await harness.register(
        DAG.format(module="lines", name="Lines", dag_id=dag_id, arguments=f"path={str(path)!r}"), name=dag_id
    )


async def payloads(harness: Harness, dag_id: str) -> list[Any]:
    rows = await harness.fetch(
        "select e.extra -> 'payload' -> 'line' from leoflow_core.asset_event e"
        " join leoflow_core.asset a using (asset_key) where a.name = %s order by e.event_key",
        dag_id,
    )
    return [row[0] for row in rows]


async def seen(harness: Harness, dag_id: str, count: int, timeout: float = 60) -> list[Any]:
    question = "select coalesce(sum(events), 0) >= %s from leoflow.asset_watchers where dag_id = %s"
    await harness.until(question, count, dag_id, timeout=timeout)
    return await payloads(harness, dag_id)
