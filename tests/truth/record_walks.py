"""Walk through DAGs over the API of Airflow 3.2.2 and note what it says, for tests that walk the same way here.

A development tool: it starts Airflow (LocalExecutor, scheduler, triggerer, DAG processor) from an environment of its
own on an embedded Postgres, which takes some minutes of both cores of a small machine. The output is committed:

    python -m tests.truth.record_walks --scratch ~/truth hitl xcoms    # writes hitl.json and xcoms.json here
"""

import argparse
import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx

from benchmarks.peers.airflow import install
from leoflow.db.embedded import EmbeddedPostgres
from tests.truth import hitl, xcoms
from tests.truth.record_airflow_examples import airflow

HERE = Path(__file__).parent
WALKS: dict[str, tuple[str, Callable[[httpx.AsyncClient], Awaitable[dict[str, Any]]]]] = {
    "hitl": ("people", hitl.walk),
    "xcoms": ("xcoms", xcoms.walk),
}
"""By name of the file: its DAG, and the way through it."""


def main() -> None:
    """Record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("walks", nargs="+", choices=WALKS)
    options = parser.parse_args()
    scratch = options.scratch.resolve()
    scratch.mkdir(parents=True, exist_ok=True)
    program = install(scratch / "airflow-peer")

    def copy(_program: Path, dags: Path, _plugins: Path) -> None:
        dags.mkdir()
        for name in options.walks:
            shutil.copy(HERE / "dags" / f"{name}.py", dags)

    server = EmbeddedPostgres(scratch / "truth-postgres")
    url = asyncio.run(server.start())
    try:
        with airflow(program, scratch / "airflow-home", url, copy) as (api, _):
            for name in options.walks:
                dag_id, walk = WALKS[name]
                api.wait_for_dag(dag_id)
                said = asyncio.run(_walk(walk, api.url, dict(api._client.headers)))
                (HERE / f"{name}.json").write_text(json.dumps(said, indent=1, sort_keys=True) + "\n")
    finally:
        asyncio.run(server.stop())


async def _walk(
    walk: Callable[[httpx.AsyncClient], Awaitable[dict[str, Any]]], url: str, headers: dict[str, str]
) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as client:
        return await walk(client)


if __name__ == "__main__":
    main()
