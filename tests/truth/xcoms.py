"""What becomes of values that tasks push, asked over the API: by whom records Airflow's answers, and by the test."""

import asyncio
import json
import re
from typing import Any

import httpx

RUN = "/api/v2/dags/xcoms/dagRuns/walk"
VARIANTS: dict[str, dict[str, bool]] = {
    "plain": {},
    "stringify": {"stringify": True},
    "deserialize": {"deserialize": True},
    "both": {"deserialize": True, "stringify": True},
}
_MODULE = re.compile(r"unusual_prefix_[0-9a-f]+_")
_SEPARATORS = re.compile(r"[\s,(){}]+")
_ADDRESS = re.compile(r"0x[0-9a-f]+")


async def walk(client: httpx.AsyncClient) -> dict[str, Any]:
    """Run the DAG `xcoms`; return, by value: the states of the task that pushes it and the one that takes it, what that
    one said of it, and what the API shows (JSON as text, or the status of an error).
    """
    await client.post("/api/v2/dags/xcoms/dagRuns", json={"dag_run_id": "walk", "logical_date": None})
    while (await client.get(RUN)).json()["state"] in ("queued", "running"):
        await asyncio.sleep(0.5)
    found: list[dict[str, Any]] = []
    total = 1
    while len(found) < total:
        page = (await client.get(f"{RUN}/taskInstances", params={"limit": 100, "offset": len(found)})).json()
        found, total = found + page["task_instances"], page["total_entries"]
    states = {one["task_id"]: one["state"] for one in found}
    names = sorted(task_id.removeprefix("push_") for task_id in states if task_id.startswith("push_"))
    return {name: await _entry(client, name, states) for name in names}


async def _entry(client: httpx.AsyncClient, name: str, states: dict[str, str | None]) -> dict[str, Any]:
    async def value(task_id: str, **params: bool) -> Any:
        answer = await client.get(f"{RUN}/taskInstances/{task_id}/xcomEntries/return_value", params=params)
        return _plain(json.dumps(answer.json()["value"])) if answer.status_code == 200 else answer.status_code

    taken = await value(f"take_{name}")
    return {
        "push": states[f"push_{name}"],
        "take": states[f"take_{name}"],
        "taken": json.loads(taken) if isinstance(taken, str) else taken,
        "api": {variant: await value(f"push_{name}", **params) for variant, params in VARIANTS.items()},
    }


def comparable(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry without the order of keys, which Airflow's database changes and ours does not."""
    return {**entry, "api": {variant: _unordered(text) for variant, text in entry["api"].items()}}


def _unordered(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    value = json.loads(text.replace("dag.Point", "xcoms.Point"))
    return sorted(_SEPARATORS.split(value)) if isinstance(value, str) else value


def _plain(text: str) -> str:
    """A text without what differs from run to run and by server: the name of the DAG file's module, addresses."""
    return _ADDRESS.sub("0x", _MODULE.sub("", text))
