"""Tasks ask people, who answer through the API; the real operators go on with the answer."""

import httpx
import pytest

from leoflow.triggerer import Triggerer
from tests.integration.worker.harness import Harness

pytestmark = pytest.mark.anyio

DAGS = """
from airflow.providers.standard.operators.hitl import (
    ApprovalOperator, HITLBranchOperator, HITLEntryOperator, HITLOperator
)
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import Param
from airflow.providers.standard.triggers.hitl import HITLTrigger
with DAG("asking"):
    HITLOperator(
        task_id="choose", subject="Pick", body="a **colour**", options=["red", "green"],
        params={"comment": Param("", type="string"), "reason": Param(None, type=["null", "string"])},
        response_timeout=timedelta(minutes=5),
    )
    ApprovalOperator(task_id="approve", subject="Release?", assigned_users=[{"id": "ann", "name": "ann"}])
    reject = ApprovalOperator(task_id="reject", subject="Delete?")
    reject >> EmptyOperator(task_id="after_reject")
    branch = HITLBranchOperator(task_id="branch", subject="Where to?", options=["left", "right"])
    branch >> [EmptyOperator(task_id="left"), EmptyOperator(task_id="right")]
    HITLEntryOperator(task_id="enter", subject="Number?", params={"n": Param(0, type="integer")})
with DAG("default_answer"):
    HITLOperator(
        task_id="choose", subject="Pick", options=["red", "green"], defaults=["red"],
        response_timeout=timedelta(seconds=1),
    )
with DAG("no_answer"):
    HITLOperator(task_id="choose", subject="Pick", options=["red"], response_timeout=timedelta(seconds=1))
"""
QUESTIONS = ("choose", "approve", "reject", "branch", "enter")


async def test_every_operator_goes_on_with_the_answer(
    harness: Harness, triggerer: Triggerer, client: httpx.AsyncClient
) -> None:
    await harness.register(DAGS, name="asking")
    key = await harness.trigger("asking", run_id="r")
    await harness.until("select count(*) = 5 from leoflow_core.task_instance where state = 'deferred'")
    listed = (await client.get("/api/v2/dags/~/dagRuns/~/hitlDetails?response_received=false&state=deferred")).json()
    assert listed["total_entries"] == 5
    assert {one["task_instance"]["task_id"] for one in listed["hitl_details"]} == set(QUESTIONS)
    assert all(one["task_instance"]["trigger"]["classpath"].endswith("HITLTrigger") for one in listed["hitl_details"])

    pending = (await client.get("/ui/dags?has_pending_actions=true")).json()
    assert [dag["dag_id"] for dag in pending["dags"]] == ["asking"]
    assert len(pending["dags"][0]["pending_actions"]) == 5
    others = (await client.get("/ui/dags?has_pending_actions=false")).json()
    assert "asking" not in {dag["dag_id"] for dag in others["dags"]}

    def path(task_id: str) -> str:
        return f"/api/v2/dags/asking/dagRuns/r/taskInstances/{task_id}/-1/hitlDetails"

    asked = (await client.get(path("choose"))).json()
    assert (asked["subject"], asked["body"], asked["options"]) == ("Pick", "a **colour**", ["red", "green"])
    assert asked["params"]["comment"]["schema"] == {"type": "string"}
    # As Airflow's API sends it, whose page shows such a field as [object Object] (docs/deferral.md).
    assert asked["params"]["reason"]["value"] is None
    waits = dict(await harness.fetch("select task_id, blocked_by from leoflow.queue where state = 'deferred'"))
    assert waits["choose"] == "waits for an answer: Pick"

    refused = await client.patch(path("choose"), json={"chosen_options": ["blue"]})
    assert refused.status_code == 422
    assert (await client.patch(path("choose"), json={"chosen_options": []})).status_code == 422
    assert (await client.patch(path("choose"), json={"chosen_options": ["red", "green"]})).status_code == 422
    not_me = await client.patch(path("approve"), json={"chosen_options": ["Approve"]})
    assert not_me.status_code == 403

    answers = {
        "choose": {"chosen_options": ["green"], "params_input": {"comment": "nice", "reason": None}},
        "reject": {"chosen_options": ["Reject"]},
        "branch": {"chosen_options": ["right"]},
        "enter": {"chosen_options": ["OK"], "params_input": {"n": 7}},
    }
    for task_id, answer in answers.items():
        answered = await client.patch(path(task_id), json=answer)
        assert answered.status_code == 200, answered.text
        assert answered.json()["responded_by"] == {"id": "admin", "name": "admin"}
    ann = client.ann  # type: ignore[attr-defined]
    assert (await client.patch(path("approve"), json={"chosen_options": ["Approve"]}, headers=ann)).status_code == 200
    again = await client.patch(path("choose"), json={"chosen_options": ["red"]})
    assert again.status_code == 409

    run = await harness.finished(key)
    assert {name: one.state for name, one in run.tasks.items()} == {
        "choose": "success",
        "approve": "success",
        "reject": "success",
        "after_reject": "skipped",
        "branch": "success",
        "left": "skipped",
        "right": "success",
        "enter": "success",
    }, run.logs
    chosen = run.xcoms[("choose", "return_value")]
    assert (chosen["chosen_options"], chosen["params_input"]) == (["green"], {"comment": "nice", "reason": None})
    assert run.xcoms[("enter", "return_value")]["params_input"] == {"n": 7}
    audited = await harness.fetch(
        "select owner, task_id from leoflow_core.audit_log where event = 'update_hitl_detail' order by task_id"
    )
    assert audited == [("ann", "approve"), *[("admin", task_id) for task_id in sorted(answers)]]
    done = (await client.get(path("choose") + "/tries/1")).json()
    assert (done["chosen_options"], done["task_instance"]["state"]) == (["green"], "success")


async def test_without_an_answer_in_time_the_default_holds_or_the_task_fails(
    harness: Harness, triggerer: Triggerer, client: httpx.AsyncClient
) -> None:
    await harness.register(DAGS, name="asking")
    run = await harness.run("default_answer", run_id="r")
    assert run.tasks["choose"].state == "success", run.logs
    assert run.xcoms[("choose", "return_value")]["chosen_options"] == ["red"]
    asked = await client.get("/api/v2/dags/default_answer/dagRuns/r/taskInstances/choose/-1/hitlDetails")
    assert (asked.json()["responded_by_user"], asked.json()["response_received"]) == (None, True)
    assert (await harness.run("no_answer")).tasks["choose"].state == "failed"


async def test_a_cleared_question_is_asked_anew(
    harness: Harness, triggerer: Triggerer, client: httpx.AsyncClient
) -> None:
    await harness.register(DAGS, name="asking")
    await harness.trigger("asking", run_id="cleared")
    deferred = """
        select count(*) = 1 from leoflow.task_instances
        where dag_run_id = 'cleared' and task_id = 'reject' and state = 'deferred' and try_number = %s
    """
    await harness.until(deferred, 1)
    path = "/api/v2/dags/asking/dagRuns/cleared/taskInstances/reject/-1/hitlDetails"
    await harness.fetch("select leoflow.clear_tasks('asking', 'cleared', '[\"reject\"]')")
    await harness.until(deferred, 2)
    assert (await client.get(path)).json()["task_instance"]["try_number"] == 2
    assert (await client.get(path + "/tries/1")).status_code == 200
    await client.patch(path, json={"chosen_options": ["Approve"]})
    await harness.until(deferred.replace("'deferred'", "'success'"), 2)
    await harness.fetch("select leoflow.cancel_run('asking', 'cleared')")
