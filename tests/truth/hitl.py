"""Questions to people as one walks through them over the API: by whom records Airflow's answers, and by the test."""

import asyncio
import re
from typing import Any

import httpx

RUN = "/api/v2/dags/people/dagRuns/walk"
QUESTIONS = "/api/v2/dags/people/dagRuns/~/hitlDetails"
ANSWERS: dict[str, dict[str, Any]] = {
    "choose": {"chosen_options": ["green"], "params_input": {"comment": "nice", "plain": 6}},
    "many": {"chosen_options": ["b", "c"]},
    "one_of_many": {"chosen_options": ["a", "b"]},
    "unknown_option": {"chosen_options": ["z"]},
    "bad_params": {"chosen_options": ["ok"], "params_input": {"count": 99}},
    "other_params": {"chosen_options": ["ok"], "params_input": {"other": 1}},
    "good_params": {"chosen_options": ["ok"], "params_input": {"count": 7}},
    "for_me": {"chosen_options": ["Approve"]},
    "for_others": {"chosen_options": ["Approve"]},
    "approve": {"chosen_options": ["Approve"]},
    "reject": {"chosen_options": ["Reject"]},
    "reject_all": {"chosen_options": ["Reject"]},
    "fail": {"chosen_options": ["Reject"]},
    "branch": {"chosen_options": ["to the left", "up"]},
    "enter": {"chosen_options": ["OK"], "params_input": {"count": 3}},
}
REFUSED_ALWAYS: dict[str, Any] = {
    "no options": {"chosen_options": []},
    "nothing": {},
    "wrong type": {"chosen_options": "red"},
    "params are a list": {"chosen_options": ["red"], "params_input": []},
}
FILTERS = (
    "order_by=-subject&limit=3",
    "order_by=subject&limit=2&offset=18",
    "response_received=true",
    "response_received=false&state=success",
    "task_id=branch",
    "task_id_pattern=params",
    "task_id=mapped&map_index=1",
    "subject_search=?",
    "body_search=colour",
    "responded_by_user_id=admin&responded_by_user_name=admin&order_by=-subject&limit=4",
    "responded_by_user_id=nobody",
    "dag_id_pattern=peo",
    "created_at_lt=2026-01-01T00:00:00Z",
    "order_by=nonsense",
    "limit=1&order_by=task_instance_operator",
)
REFUSED_HERE = ("unknown_option", "one_of_many")
"""Airflow takes an option that is none, and two where one is asked for; Leoflow does not, so these end otherwise."""
_TIME = re.compile(r"^\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)$")
_UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")


def plain(value: Any) -> Any:
    """A body without what differs from run to run; of the task instance, only what says which one it is."""
    if isinstance(value, dict):
        if "task_instance" in value:
            instance = value["task_instance"]
            kept = {key: instance[key] for key in ("task_id", "map_index", "state", "try_number", "operator_name")}
            value = {**value, "task_instance": kept}
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, str):
        return "<time>" if _TIME.match(value) else _UUID.sub("<uuid>", value)
    return value


def comparable(said: dict[str, Any]) -> dict[str, Any]:
    """What was said, without moments inside values, the order nobody asked for, and what `REFUSED_HERE` became of."""
    kept = {}
    for name, answer in said.items():
        if name.startswith("value of ") and isinstance(answer, dict):
            answer = {key: item for key, item in answer.items() if key != "responded_at"}
        if name.startswith("list ") and answer[0] == 200:
            found = [one for one in answer[1]["hitl_details"] if one["task_instance"]["task_id"] not in REFUSED_HERE]
            if "order_by" not in name:
                found.sort(key=lambda one: _where(one["task_instance"]))
            answer = [200, {**answer[1], "hitl_details": found}]
        if name.endswith("order_by=task_instance_operator"):
            answer = [answer[0], [one["task_instance"]["operator_name"] for one in answer[1]["hitl_details"]]]
        kept[name] = answer
    return kept


def _where(instance: dict[str, Any]) -> tuple[str, int]:
    return instance["task_id"], instance["map_index"]


class Walk:
    """Asks a server and notes what it says.

    Args:
        client: signed in as an administrator named admin.
    """

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self.said: dict[str, Any] = {}

    async def ask(self, name: str, method: str, path: str, body: Any = None) -> Any:
        """Note an answer under a name; of errors of the body only the status and the fields."""
        answer = await self._client.request(method, path, json=body)
        document = answer.json()
        if answer.status_code == 422 and isinstance(document["detail"], list):
            document = {"detail": sorted({".".join(map(str, error["loc"])) for error in document["detail"]})}
        self.said[name] = [answer.status_code, plain(document)]
        return document

    async def states(self) -> dict[str, str]:
        """The states of all instances, with their tries."""
        found = (await self._client.get(f"{RUN}/taskInstances", params={"limit": 100})).json()["task_instances"]
        return {
            one["task_id"] if one["map_index"] < 0 else f"{one['task_id']}[{one['map_index']}]": (
                f"{one['state']} {one['try_number']}"
            )
            for one in found
        }

    async def until(self, what: Any, seconds: float = 180) -> None:
        """Wait until the states are so."""
        async with asyncio.timeout(seconds):
            while True:
                if what(await self.states()):
                    return
                await asyncio.sleep(0.3)


def _at(task_id: str, map_index: int = -1) -> str:
    return f"{RUN}/taskInstances/{task_id}/{map_index}/hitlDetails"


async def walk(client: httpx.AsyncClient) -> dict[str, Any]:
    """Trigger the DAG `people`, answer, time out, fail, clear, answer again; return all answers of the server."""
    on = Walk(client)
    await client.post("/api/v2/dags/people/dagRuns", json={"dag_run_id": "walk", "logical_date": None})
    at_first = (*ANSWERS, "entry_default", "too_late", "mapped[0]", "mapped[1]")
    await on.until(lambda now: all(now.get(name, "None").split()[0] in _ASKED for name in at_first))
    await on.ask("detail of choose", "GET", _at("choose"))
    await on.ask("try of choose", "GET", _at("choose") + "/tries/1")
    await on.ask("no such try", "GET", _at("choose") + "/tries/9")
    await on.ask("no question", "GET", _at("left"))
    await on.ask("no task", "GET", _at("nowhere"))
    await on.ask("no instance", "PATCH", _at("choose", 7), ANSWERS["choose"])
    await on.ask("no question to answer", "PATCH", _at("left"), ANSWERS["choose"])
    for name, body in REFUSED_ALWAYS.items():
        await on.ask(f"answer with {name}", "PATCH", _at("choose"), body)
    for task_id, body in ANSWERS.items():
        await on.ask(f"answer {task_id}", "PATCH", _at(task_id), body)
    await on.ask("answer choose again", "PATCH", _at("choose"), {"chosen_options": ["red"]})
    await on.ask("answer mapped 1", "PATCH", _at("mapped", 1), {"chosen_options": ["no"]})
    await on.ask("mapped 0 waits", "GET", _at("mapped", 0))
    await on.ask("answer mapped 0", "PATCH", _at("mapped", 0), {"chosen_options": ["ok"]})
    await on.until(lambda now: now.get("again") == "deferred 2")
    await on.ask("asked again", "GET", _at("again"))
    await on.ask("first try of again", "GET", _at("again") + "/tries/1")
    await on.ask("answer again", "PATCH", _at("again"), {"chosen_options": ["Approve"]})
    for task_id in REFUSED_HERE:
        if on.said[f"answer {task_id}"][0] == 422:  # refused here, and still open
            await client.patch(_at(task_id), json={"chosen_options": ["a"]})
    await client.patch(f"{RUN}/taskInstances/for_others", json={"new_state": "success"})
    await on.until(lambda now: not any(state.split()[0] in _UNFINISHED for state in now.values()))
    on.said["states"] = await on.states()
    for task_id in ("choose", "many", "good_params", "for_me", "approve", "branch", "enter", "entry_default"):
        value = (await client.get(f"{RUN}/taskInstances/{task_id}/xcomEntries/return_value")).json().get("value")
        on.said[f"value of {task_id}"] = plain(value)
    told = await client.get(f"{RUN}/taskInstances/choose/xcomEntries/told")
    on.said["told"] = plain(told.json().get("value"))
    for task_id in ("choose", "for_others", "entry_default", "too_late", "again"):
        await on.ask(f"detail of {task_id} at the end", "GET", _at(task_id))
    await on.ask("answer of too_late after its time", "PATCH", _at("too_late"), {"chosen_options": ["ok"]})
    await on.ask("answer of entry_default after its time", "PATCH", _at("entry_default"), {"chosen_options": ["OK"]})
    for query in FILTERS:
        await on.ask(f"list {query}", "GET", f"{QUESTIONS}?{query}")
    await on.ask("list of the run", "GET", f"{RUN}/hitlDetails?limit=1&order_by=subject")
    await on.ask("list of no run", "GET", "/api/v2/dags/people/dagRuns/nowhere/hitlDetails")
    body = {"dry_run": False, "dag_run_id": "walk", "task_ids": ["approve"], "only_failed": False}
    await client.post("/api/v2/dags/people/clearTaskInstances", json=body)
    await on.until(lambda now: now["approve"] == "deferred 2")
    await on.ask("cleared", "GET", _at("approve"))
    await on.ask("answer before it was cleared", "GET", _at("approve") + "/tries/1")
    await on.ask("answer of the cleared one", "PATCH", _at("approve"), {"chosen_options": ["Reject"]})
    await on.until(lambda now: now["approve"] == "success 2")
    on.said["states after clearing"] = {name: (await on.states())[name] for name in ("approve", "after_approve")}
    await on.ask("the cleared one at the end", "GET", _at("approve") + "/tries/2")
    return on.said


_ASKED = ("deferred", "success", "failed")
_UNFINISHED = ("None", "scheduled", "queued", "running", "deferred", "up_for_retry", "restarting")
