"""The execution API over HTTP: who may ask what, and Airflow's status codes and error bodies."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest

from leoflow import engine
from leoflow.api.app import create_app
from leoflow.api.auth import users
from leoflow.api.auth.tokens import TokenSigner, load_or_create_secret
from leoflow.api.settings import ApiSettings
from leoflow.config import SecretsSettings
from leoflow.db.pool import Pool
from leoflow.engine import ClaimedAttempt, CreatedRun, Outcome
from leoflow.execution.tokens import AUDIENCE, AttemptTokens
from tests.sql import dags

pytestmark = pytest.mark.anyio

NOW = "2026-11-23T00:00:00Z"
PLACE = {"hostname": "here", "pid": 7}
ENTER = {**PLACE, "state": "running", "unixname": "me", "start_date": NOW}
SUCCESS = {"state": "success", "end_date": NOW, "task_outlets": [], "outlet_events": [], "rendered_map_index": None}


class Stage:
    """A run of two parallel tasks and one after them, a worker, and a client."""

    def __init__(self, pool: Pool, client: httpx.AsyncClient, tokens: AttemptTokens) -> None:
        self.pool = pool
        self.client = client
        self.tokens = tokens
        self.worker = 0
        self.run: CreatedRun

    async def prepare(self) -> None:
        async with self.pool.connection() as conn:
            self.worker = await dags.new_worker(conn)
            tasks = [dags.task("a", retries=1, retry_delay_seconds=0.0), dags.task("b"), dags.task("c", "a")]
            self.run = await dags.run_of(conn, dags.dag("d", tasks))

    async def claim(self) -> dict[str, ClaimedAttempt]:
        async with self.pool.connection() as conn:
            claimed = await engine.claim(conn, self.worker, 10, start=False)
        return {attempt.task_id: attempt for attempt in claimed}

    async def ask(self, method: str, path: str, token: str | None, **options: Any) -> httpx.Response:
        headers = {"Airflow-API-Version": "2026-04-06"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return await self.client.request(method, f"/execution/{path}", headers=headers, **options)

    async def enter(self, attempt: ClaimedAttempt) -> str:
        """Start an attempt and return its token."""
        path = f"task-instances/{attempt.attempt_id}/run"
        answer = await self.ask("PATCH", path, self.tokens.for_launch(attempt.ref), json=ENTER)
        assert answer.status_code == 200, answer.text
        return answer.headers["Refreshed-API-Token"]

    async def states(self) -> dict[str, str | None]:
        async with self.pool.connection() as conn:
            return await dags.states(conn, self.run)


@pytest.fixture
async def stage(pool: Pool, home: Path) -> AsyncIterator[Stage]:
    home.mkdir()
    app = create_app(pool, ApiSettings(home=home))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://leoflow.test") as client:
        made = Stage(pool, client, AttemptTokens(load_or_create_secret(home)))
        await made.prepare()
        yield made


def detail(answer: httpx.Response) -> Any:
    return answer.json()["detail"]


async def test_run_starts_a_queued_attempt_and_gives_it_its_token(stage: Stage) -> None:
    a = (await stage.claim())["a"]
    path = f"task-instances/{a.attempt_id}/run"
    answer = await stage.ask("PATCH", path, stage.tokens.for_launch(a.ref), json=ENTER)
    assert answer.status_code == 200
    assert answer.headers["Airflow-API-Version"] == "2026-04-06"
    context = answer.json()
    assert context["dag_run"]["run_id"] == stage.run.run_id
    assert context["max_tries"] == 1
    assert context["should_retry"] is True
    assert "next_method" not in context
    token = stage.tokens.read(answer.headers["Refreshed-API-Token"])
    assert (token.attempt, token.scope) == (a.ref, "execution")
    assert (await stage.states())["a"] == "running"


async def test_run_again_is_for_the_same_process_only(stage: Stage) -> None:
    a = (await stage.claim())["a"]
    await stage.enter(a)
    await stage.enter(a)
    launch = stage.tokens.for_launch(a.ref)
    answer = await stage.ask("PATCH", f"task-instances/{a.attempt_id}/run", launch, json={**ENTER, "pid": 8})
    assert answer.status_code == 409
    assert detail(answer)["reason"] == "invalid_state"
    assert detail(answer)["previous_state"] == "running"


async def test_heartbeat_tells_whether_to_go_on(stage: Stage) -> None:
    a = (await stage.claim())["a"]
    token = await stage.enter(a)
    path = f"task-instances/{a.attempt_id}/heartbeat"
    assert (await stage.ask("PUT", path, token, json=PLACE)).status_code == 204
    elsewhere = await stage.ask("PUT", path, token, json={**PLACE, "pid": 8})
    assert elsewhere.status_code == 409
    assert detail(elsewhere)["reason"] == "running_elsewhere"
    assert (detail(elsewhere)["current_hostname"], detail(elsewhere)["current_pid"]) == ("here", 7)
    async with stage.pool.connection() as conn:
        await engine.clear_tasks(conn, "d", stage.run.run_id, ["a"])
    cleared = await stage.ask("PUT", path, token, json=PLACE)
    assert cleared.status_code == 409
    assert (detail(cleared)["reason"], detail(cleared)["current_state"]) == ("not_running", "restarting")


async def test_heartbeat_of_a_superseded_attempt_is_gone_and_of_an_unknown_one_not_found(stage: Stage) -> None:
    a = (await stage.claim())["a"]
    token = await stage.enter(a)
    async with stage.pool.connection() as conn:
        await engine.release(conn, stage.worker, [a.ref])
    gone = await stage.ask("PUT", f"task-instances/{a.attempt_id}/heartbeat", token, json=PLACE)
    assert (gone.status_code, detail(gone)["reason"]) == (410, "not_found")
    never = replace(a.ref, attempt_id=uuid4())
    unknown = await stage.ask(
        "PUT", f"task-instances/{never.attempt_id}/heartbeat", stage.tokens.for_execution(never), json=PLACE
    )
    assert (unknown.status_code, detail(unknown)) == (
        404,
        {"reason": "not_found", "message": "Task Instance not found"},
    )


async def test_success_lets_the_next_task_start_and_is_said_once(stage: Stage) -> None:
    a = (await stage.claim())["a"]
    token = await stage.enter(a)
    path = f"task-instances/{a.attempt_id}/state"
    assert (await stage.ask("PATCH", path, token, json=SUCCESS)).status_code == 204
    assert "c" in await stage.claim()
    again = await stage.ask("PATCH", path, token, json={"state": "failed", "end_date": NOW})
    assert again.status_code == 409
    assert (detail(again)["reason"], detail(again)["previous_state"]) == ("invalid_state", "success")
    assert (await stage.states())["a"] == "success"


async def test_a_superseded_attempt_changes_nothing(stage: Stage) -> None:
    first = (await stage.claim())["a"]
    old = await stage.enter(first)
    async with stage.pool.connection() as conn:
        await engine.release(conn, stage.worker, [first.ref])
    second = (await stage.claim())["a"]
    await stage.enter(second)
    path = f"task-instances/{first.attempt_id}"
    assert (await stage.ask("PATCH", f"{path}/state", old, json=SUCCESS)).status_code == 404
    assert (await stage.ask("PATCH", f"{path}/run", stage.tokens.for_launch(first.ref), json=ENTER)).status_code == 404
    for method, rest, body in [
        ("PUT", f"{path}/rtif", {"x": 1}),
        ("PATCH", f"{path}/skip-downstream", {"tasks": ["c"]}),
        ("POST", f"xcoms/d/{stage.run.run_id}/a/return_value", 1),
        ("GET", "variables/any", None),
    ]:
        refused = await stage.ask(method, rest, old, json=body)
        assert refused.status_code == 403, rest
        assert detail(refused)["message"] == "Invalid auth token: the attempt is over"
    assert await stage.states() == {"a": "running", "b": "queued", "c": None}


async def test_retry_reschedule_and_deferral(stage: Stage) -> None:
    claimed = await stage.claim()
    token = await stage.enter(claimed["a"])
    retry = {"state": "up_for_retry", "end_date": NOW, "rendered_map_index": None}
    path = f"task-instances/{claimed['a'].attempt_id}/state"
    assert (await stage.ask("PATCH", path, token, json=retry)).status_code == 204
    async with stage.pool.connection() as conn:
        await engine.promote_due(conn)
    again = (await stage.claim())["a"]
    assert again.try_number == 2
    token = await stage.enter(again)
    later = {"state": "up_for_reschedule", "end_date": NOW, "reschedule_date": NOW}
    path = f"task-instances/{again.attempt_id}/state"
    assert (await stage.ask("PATCH", path, token, json=later)).status_code == 204
    assert (await stage.states())["a"] == "up_for_reschedule"
    token = await stage.enter(claimed["b"])
    deferred = {"state": "deferred", "classpath": "x.Y", "trigger_timeout": "P7D", "next_method": "go"}
    path = f"task-instances/{claimed['b'].attempt_id}/state"
    assert (await stage.ask("PATCH", path, token, json=deferred)).status_code == 204
    assert (await stage.states())["b"] == "deferred"
    async with stage.pool.connection() as conn:
        assert await dags.scalar(conn, "select timeout_seconds from leoflow_core.trigger where is_armed") == 7 * 86400
        assert await dags.scalar(conn, "select max(due_at) > clock_timestamp() from leoflow_core.task_instance")


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"classpath": "noModule"}, "no import path"),
        ({"trigger_kwargs": {"x": "a\x00b"}}, "NUL"),
        ({"trigger_kwargs": "gAAAA"}, "not a mapping"),
        ({"trigger_timeout": "soon"}, "no duration"),
        ({"next_method": ""}, "next_method"),
        ({"next_kwargs": {"x": "y" * 2**20}}, "the limit is"),
    ],
)
async def test_a_deferral_that_cannot_be_kept_fails_the_task_and_says_why(
    stage: Stage, wrong: dict[str, Any], reason: str
) -> None:
    a = (await stage.claim())["a"]
    token = await stage.enter(a)
    body = {"state": "deferred", "classpath": "x.Y", "next_method": "go", **wrong}
    path = f"task-instances/{a.attempt_id}/state"
    assert (await stage.ask("PATCH", path, token, json=body)).status_code == 204
    assert (await stage.states())["a"] == "failed"
    async with stage.pool.connection() as conn:
        assert reason in await dags.scalar(conn, "select lines from leoflow_core.task_log")


async def test_a_question_to_a_person(stage: Stage) -> None:
    a = (await stage.claim())["a"]
    token = await stage.enter(a)
    path = f"hitlDetails/{a.attempt_id}"
    assert (await stage.ask("GET", path, token)).status_code == 404
    answer = {"ti_id": str(a.attempt_id), "chosen_options": ["y"], "params_input": {"n": 1}}
    assert (await stage.ask("PATCH", path, token, json=answer)).status_code == 404
    asked = {
        "ti_id": str(a.attempt_id), "options": ["y", "n"], "subject": "Sure?", "body": None, "defaults": ["n"],
        "multiple": False, "params": {}, "assigned_users": [{"id": "ann", "name": "Ann"}],
    }  # fmt: skip
    created = await stage.ask("POST", path, token, json=asked)
    assert (created.status_code, created.json()) == (201, asked)
    found = (await stage.ask("GET", path, token)).json()
    assert (found["response_received"], found["responded_by_user"], found["chosen_options"]) == (False, None, None)
    found = (await stage.ask("PATCH", path, token, json=answer)).json()
    assert (found["response_received"], found["responded_by_user"]) == (True, None)
    assert (found["chosen_options"], found["params_input"]) == (["y"], {"n": 1})
    assert (await stage.ask("PATCH", path, token, json=answer)).status_code == 409
    await stage.ask("POST", path, token, json=asked)
    assert (await stage.ask("GET", path, token)).json()["response_received"] is False
    assert (await stage.ask("POST", path, token, json={**asked, "options": []})).status_code == 422


async def test_nobody_answers_between_a_clearing_and_the_next_question(stage: Stage, home: Path) -> None:
    async with stage.pool.connection() as conn:
        await users.put_user(conn, "admin", "correct horse", "admin")
    signer = TokenSigner(load_or_create_secret(home))
    admin = {"Authorization": f"Bearer {signer.issue('admin', 'admin', 600)}"}
    run = f"/api/v2/dags/d/dagRuns/{stage.run.run_id}"
    path, answer = f"{run}/taskInstances/a/-1/hitlDetails", {"chosen_options": ["y"]}

    async def ask() -> None:
        """The task asks, defers, and the next question is put in its place only when its next try asks."""
        a = (await stage.claim())["a"]
        token = await stage.enter(a)
        asked = {"ti_id": str(a.attempt_id), "options": ["y"], "subject": f"Try {a.try_number}?"}
        assert (await stage.ask("POST", f"hitlDetails/{a.attempt_id}", token, json=asked)).status_code == 201
        deferred = {"state": "deferred", "classpath": "x.Y", "trigger_timeout": "P7D", "next_method": "go"}
        state = await stage.ask("PATCH", f"task-instances/{a.attempt_id}/state", token, json=deferred)
        assert state.status_code == 204

    async def seen() -> tuple[int, int, int]:
        one, listed = [await stage.client.get(at, headers=admin) for at in (path, f"{run}/hitlDetails")]
        return one.status_code, listed.json()["total_entries"], len(await pending())

    async def pending() -> list[Any]:
        found = await stage.client.get("/ui/dags?has_pending_actions=true", headers=admin)
        return found.json()["dags"]

    await ask()
    assert await seen() == (200, 1, 1)
    async with stage.pool.connection() as conn:
        await conn.execute("select leoflow.clear_tasks('d', %s, '[\"a\"]')", [stage.run.run_id])
    assert await seen() == (404, 0, 0)
    assert (await stage.client.patch(path, json=answer, headers=admin)).status_code == 404
    await ask()
    assert await seen() == (200, 1, 1)
    question = (await stage.client.get(path, headers=admin)).json()
    assert (question["subject"], question["response_received"]) == ("Try 2?", False)
    assert (await stage.client.patch(path, json=answer, headers=admin)).status_code == 200
    first = (await stage.client.get(f"{path}/tries/1", headers=admin)).json()
    assert (first["subject"], first["response_received"]) == ("Try 1?", False)


async def test_malformed_bodies_are_422(stage: Stage) -> None:
    a = (await stage.claim())["a"]
    token = await stage.enter(a)
    path = f"task-instances/{a.attempt_id}"
    for method, rest, body in [
        ("PATCH", f"{path}/state", {"state": "queued"}),
        ("PATCH", f"{path}/state", {"state": "success"}),
        ("PATCH", f"{path}/state", {**SUCCESS, "more": 1}),
        ("PUT", f"{path}/heartbeat", {"pid": "x"}),
        ("PATCH", f"{path}/rendered-map-index", ""),
        ("PATCH", f"{path}/skip-downstream", {"tasks": 1}),
    ]:
        assert (await stage.ask(method, rest, token, json=body)).status_code == 422, (rest, body)
    bad = await stage.ask("POST", f"xcoms/d/{stage.run.run_id}/a/k", token, content=b"{")
    assert bad.status_code == 422
    assert (await stage.states())["a"] == "running"


async def test_without_a_token_is_401(stage: Stage) -> None:
    answer = await stage.ask("GET", "variables/x", None)
    assert (answer.status_code, detail(answer)) == (401, "Missing auth token")
    assert (await stage.ask("GET", "health", None)).json() == {"status": "healthy"}
    assert (await stage.ask("GET", "health/ping", None)).status_code == 200


async def test_forged_expired_and_other_installations_tokens_are_403(stage: Stage, home: Path) -> None:
    a = (await stage.claim())["a"]
    await stage.enter(a)
    secret = load_or_create_secret(home)
    good = jwt.decode(stage.tokens.for_execution(a.ref), secret, algorithms=["HS512"], audience=AUDIENCE)
    tokens = {
        "garbage": "abc.def.ghi",
        "unsigned": jwt.encode(good, None, algorithm="none"),
        "foreign": AttemptTokens("another secret of another installation" * 2).for_execution(a.ref),
        "expired": stage.tokens.for_execution(a.ref, seconds=-60),
        "user": TokenSigner(secret).issue("admin", "admin", 600),
        "other audience": jwt.encode({**good, "aud": "apache-airflow"}, secret, algorithm="HS512"),
        "no instance": jwt.encode({k: v for k, v in good.items() if k != "instance"}, secret, algorithm="HS512"),
        "odd scope": jwt.encode({**good, "scope": "all"}, secret, algorithm="HS512"),
        "odd subject": jwt.encode({**good, "sub": "me"}, secret, algorithm="HS512"),
    }
    for name, token in tokens.items():
        answer = await stage.ask("GET", "variables/x", token)
        assert answer.status_code == 403, name
        assert detail(answer).startswith("Invalid auth token"), name
    expired = await stage.ask("GET", "variables/x", tokens["expired"])
    assert detail(expired) == "Invalid auth token: Signature has expired"


async def test_a_token_is_useless_for_another_task(stage: Stage) -> None:
    claimed = await stage.claim()
    a, b = claimed["a"], claimed["b"]
    token = await stage.enter(a)
    await stage.enter(b)
    path = f"task-instances/{b.attempt_id}"
    for method, rest, body in [
        ("PATCH", f"{path}/run", ENTER),
        ("PATCH", f"{path}/state", SUCCESS),
        ("PUT", f"{path}/heartbeat", PLACE),
        ("PUT", f"{path}/rtif", {"x": 1}),
        ("PATCH", f"{path}/rendered-map-index", "x"),
        ("PATCH", f"{path}/skip-downstream", {"tasks": ["c"]}),
        ("GET", f"{path}/previous-successful-dagrun", None),
        ("GET", f"{path}/validate-inlets-and-outlets", None),
        ("GET", f"task-reschedules/{b.attempt_id}/start_date", None),
        ("POST", f"hitlDetails/{b.attempt_id}", {}),
        ("PATCH", f"hitlDetails/{b.attempt_id}", {}),
        ("GET", f"hitlDetails/{b.attempt_id}", None),
    ]:
        answer = await stage.ask(method, rest, token, json=body)
        assert answer.status_code == 403, rest
        assert detail(answer) == "Token subject does not match task instance ID"
    for method in ("POST", "DELETE"):
        other = await stage.ask(method, f"xcoms/d/{stage.run.run_id}/b/return_value", token, json=1)
        assert (other.status_code, detail(other)["reason"]) == (403, "access_denied")
    assert (await stage.states())["b"] == "running"


async def test_a_launch_token_is_good_for_run_alone(stage: Stage) -> None:
    a = (await stage.claim())["a"]
    launch = stage.tokens.for_launch(a.ref)
    await stage.enter(a)
    for method, rest, body in [
        ("GET", "variables/x", None),
        ("PATCH", f"task-instances/{a.attempt_id}/state", SUCCESS),
        ("PUT", f"task-instances/{a.attempt_id}/heartbeat", PLACE),
    ]:
        answer = await stage.ask(method, rest, launch, json=body)
        assert answer.status_code == 403
        assert detail(answer).startswith("Token type 'workload' not allowed for this endpoint")


async def test_tokens_are_replayed_in_vain_once_the_attempt_is_over(stage: Stage) -> None:
    b = (await stage.claim())["b"]
    token = await stage.enter(b)
    await stage.ask("PATCH", f"task-instances/{b.attempt_id}/state", token, json=SUCCESS)
    assert (await stage.ask("GET", "variables/x", token)).status_code == 404  # its last words may still come
    async with stage.pool.connection() as conn:
        await conn.execute(
            "update leoflow_core.task_instance set end_date = clock_timestamp() - interval '1 minute'"
            " where attempt_id = %s",
            [b.attempt_id],
        )
    assert (await stage.ask("GET", "variables/x", token)).status_code == 403
    launch = await stage.ask("PATCH", f"task-instances/{b.attempt_id}/run", stage.tokens.for_launch(b.ref), json=ENTER)
    assert (launch.status_code, detail(launch)["previous_state"]) == (409, "success")


async def test_a_worn_token_is_renewed(stage: Stage) -> None:
    a = (await stage.claim())["a"]
    token = await stage.enter(a)
    path = f"task-instances/{a.attempt_id}/heartbeat"
    assert "Refreshed-API-Token" not in (await stage.ask("PUT", path, token, json=PLACE)).headers
    worn = stage.tokens.for_execution(a.ref, seconds=60)
    answer = await stage.ask("PUT", path, worn, json=PLACE)
    renewed = stage.tokens.read(answer.headers["Refreshed-API-Token"])
    assert renewed.attempt == a.ref
    assert not renewed.is_worn
    async with stage.pool.connection() as conn:
        await engine.release(conn, stage.worker, [a.ref])
    over = await stage.ask("PUT", path, worn, json=PLACE)
    assert over.status_code == 410
    assert "Refreshed-API-Token" not in over.headers


async def test_error_bodies_are_airflows(stage: Stage) -> None:
    a = (await stage.claim())["a"]
    token = await stage.enter(a)
    run_id = stage.run.run_id
    xcom = f"xcoms/d/{run_id}/a/k/with/slashes"
    for method, path, body, status, expected in [
        ("GET", "variables/no", None, 404, "Variable with key 'no' not found"),
        ("GET", "connections/no", None, 404, "Connection with ID no not found"),
        ("GET", "dags/no", None, 404, "The Dag with ID: `no` was not found"),
        ("GET", "dag-runs/d/no", None, 404, "Dag run with dag_id 'd' and run_id 'no' was not found"),
        ("GET", "dag-runs/d/no/state", None, 404, "Dag run with dag_id 'd' and run_id 'no' was not found"),
        ("POST", "dag-runs/no/r", {}, 404, "Dag with dag_id: 'no' not found"),
        ("POST", f"dag-runs/d/{run_id}", {}, 409, f"A run already exists for Dag 'd' with run_id '{run_id}'"),
        ("POST", "dag-runs/d/no/clear", None, 404, "Dag run with run_id: 'no' not found"),
        ("GET", "assets/by-name?name=x", None, 404, "Asset with name x not found"),
        ("GET", "assets/by-uri?uri=x", None, 404, "Asset with URI x not found"),
        ("GET", "asset-events/by-asset", None, 400, "name and uri cannot both be None"),
        (
            "GET",
            xcom,
            None,
            404,
            f"XCom with key='k/with/slashes' map_index=-1 not found for task 'a' in DAG run '{run_id}' of 'd'",
        ),
        (
            "GET",
            f"{xcom}/item/3",
            None,
            404,
            f"XCom with key='k/with/slashes' offset=3 not found for task 'a' in DAG run '{run_id}' of 'd'",
        ),
    ]:
        answer = await stage.ask(method, path, token, json=body)
        assert (answer.status_code, detail(answer)["message"]) == (status, expected)
    head = await stage.ask("HEAD", f"{xcom}?map_index=1", token)
    assert head.status_code == 400


async def test_xcoms_keep_what_json_cannot_say(stage: Stage) -> None:
    a = (await stage.claim())["a"]
    token = await stage.enter(a)
    path = f"xcoms/d/{stage.run.run_id}/a/k/with/slashes"
    text = b'{"a":[NaN,-Infinity,123456789012345678901234567890],"b":null}'
    assert (await stage.ask("POST", path, token, content=text)).status_code == 201
    answer = await stage.ask("GET", path, token)
    assert answer.content == b'{"key":"k/with/slashes","value":' + text + b"}"
    assert (await stage.ask("GET", f"{path}/item/-1", token)).content == text
    assert (await stage.ask("GET", f"{path}/slice?step=0", token)).content == b"[" + text + b"]"
    assert (await stage.ask("HEAD", path, token)).headers["Content-Range"] == "map_indexes 1"
    assert (await stage.ask("DELETE", path, token)).status_code == 200
    assert (await stage.ask("GET", path, token)).status_code == 404


async def test_versions_are_read_leniently(stage: Stage) -> None:
    headers = {"correlation-id": "c1"}
    for version, status in [("2025-04-11", 200), ("2026-06-30", 200), ("2024-01-01", 422), ("new", 422)]:
        answer = await stage.client.get("/execution/health", headers={**headers, "Airflow-API-Version": version})
        assert answer.status_code == status, version
    assert (await stage.client.get("/execution/health", headers=headers)).headers["correlation-id"] == "c1"


async def test_outcomes_reported_elsewhere_win_once(stage: Stage) -> None:
    a = (await stage.claim())["a"]
    token = await stage.enter(a)
    await stage.ask("PATCH", f"task-instances/{a.attempt_id}/state", token, json=SUCCESS)
    async with stage.pool.connection() as conn:
        result = await engine.finish(conn, stage.worker, [Outcome(a.ref, "failed")])
    assert result.stale == [a.attempt_id]


async def test_values_up_to_the_xcom_limit_pass_and_no_larger_ones(stage: Stage) -> None:
    a = (await stage.claim())["a"]
    token = await stage.enter(a)
    path = f"xcoms/d/{stage.run.run_id}/a/big"
    mebibyte = 1024 * 1024
    large = await stage.ask("POST", path, token, content=b'"' + b"x" * (33 * mebibyte) + b'"')
    assert large.status_code == 201
    larger = await stage.ask("POST", path, token, content=b'"' + b"x" * (64 * mebibyte) + b'"')
    assert (larger.status_code, detail(larger)["reason"]) == (413, "too_large")
    body = b"x" * (33 * mebibyte)
    assert (await stage.ask("PUT", "variables/x", token, content=body)).status_code == 413


async def test_what_a_project_does_not_declare_is_refused_and_explained(pool: Pool, home: Path) -> None:
    home.mkdir()
    app = create_app(pool, ApiSettings(home=home, secrets=SecretsSettings(access="declared", shared_variables=["ok"])))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://leoflow.test") as client:
        stage = Stage(pool, client, AttemptTokens(load_or_create_secret(home)))
        await stage.prepare()
        token = await stage.enter((await stage.claim())["a"])
        for method, path, options in (
            ("GET", "variables/secret", {}),
            ("GET", "connections/db", {}),
            ("PUT", "variables/secret", {"json": {"val": "x"}}),
            ("DELETE", "variables/secret", {}),
        ):
            refused = await stage.ask(method, path, token, **options)
            assert (refused.status_code, refused.json()["detail"]["reason"]) == (403, "access_denied")
        assert (await stage.ask("GET", "variables/ok", token)).status_code == 404
    async with pool.connection() as conn:
        cursor = await conn.execute("select string_agg(lines, '') from leoflow_core.task_log")
        [(log,)] = await cursor.fetchall()
        assert "asked for the variable 'secret' and was refused" in log
        cursor = await conn.execute("select count(*) from leoflow.audit_log where event like 'refuse%%'")
        assert await cursor.fetchall() == [(4,)]
