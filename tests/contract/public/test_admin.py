"""Variables, connections, pools, DAGs' own switches, and the rest of the administration."""

import json
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from leoflow.secrets.connections import unseal
from leoflow.spec import as_json, content_hash_of
from tests.contract.public.stage import ETL, Stage, spec, task

pytestmark = pytest.mark.anyio

ODD = "quote's/ü+ :%?"


def at(path: str, name: str) -> str:
    """A name in a path as the UI writes it, `+` and `:` left as they are."""
    return path + "/" + name.replace("%", "%25").replace("?", "%3F").replace(" ", "%20")


async def test_variables_are_kept_encrypted_and_masked(client: httpx.AsyncClient, stage: Stage) -> None:
    created = await client.post("/variables", json={"description": "d", "key": ODD, "value": "plain"})
    assert created.status_code == 201
    assert created.json() == {
        "key": ODD,
        "value": "plain",
        "description": "d",
        "is_encrypted": True,
        "team_name": None,
    }
    stored = await stage.one("select value from leoflow_core.variable where key = %s", ODD)
    assert b"plain" not in stored
    assert (await client.post("/variables", json={"key": ODD, "value": "again"})).status_code == 409
    edited = {"description": "e", "key": ODD, "team_name": "", "value": {"n": 1}}
    assert (await client.patch(at("/variables", ODD), json=edited)).json()["value"] == '{"n": 1}'
    masked = await client.patch(at("/variables", ODD) + "?update_mask=description", json=edited | {"value": "x"})
    assert masked.json()["value"] == '{"n": 1}'
    secret = (await client.post("/variables", json={"key": "db_password", "value": "hunter2"})).json()
    assert secret["value"] == "***"
    await client.patch("/variables/db_password", json={"key": "db_password", "value": "***", "description": "kept"})
    await client.post("/variables", json={"key": "nested", "value": {"api_key": "k", "n": 1}})
    assert json.loads((await client.get("/variables/nested")).json()["value"]) == {"api_key": "***", "n": 1}
    listed = (await client.get("/variables?limit=30&offset=0&order_by=-_val&variable_key_prefix_pattern=db")).json()
    assert (listed["variables"][0]["key"], listed["total_entries"]) == ("db_password", 1)
    log = (await client.get("/eventLogs?event_pattern=variable&limit=100")).text
    assert "hunter2" not in log
    assert (await client.delete(at("/variables", ODD))).status_code == 204
    assert (await client.delete(at("/variables", ODD))).status_code == 404
    assert (await client.get(at("/variables", ODD))).status_code == 404


async def test_a_masked_secret_that_comes_back_is_not_stored(
    client: httpx.AsyncClient, app: FastAPI, stage: Stage
) -> None:
    await client.post("/variables", json={"key": "my_token", "value": "t0p"})
    await client.patch("/variables/my_token", json={"key": "my_token", "value": "***", "description": "x"})
    stored = await stage.one("select value from leoflow_core.variable where key = 'my_token'")
    assert app.state.secret_box.decrypt(stored) == "t0p"


async def test_variables_are_imported_and_deleted_in_bulk(client: httpx.AsyncClient) -> None:
    entities = [{"key": "imp_a", "value": "1"}, {"key": "imp_b", "value": {"x": 1}}]

    async def bulk(**action: Any) -> dict[str, Any]:
        answer = await client.patch("/variables", json={"actions": [action]})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    created = await bulk(action="create", action_on_existence="fail", entities=entities)
    assert created == {"create": {"success": ["imp_a", "imp_b"], "errors": []}, "update": None, "delete": None}
    again = await bulk(action="create", action_on_existence="fail", entities=entities)
    assert (again["create"]["success"], again["create"]["errors"][0]["status_code"]) == ([], 409)
    skipped = await bulk(action="create", action_on_existence="skip", entities=[*entities, {"key": "c", "value": "3"}])
    assert skipped["create"]["success"] == ["c"]
    await bulk(action="create", action_on_existence="overwrite", entities=[{"key": "c", "value": "4"}])
    assert (await client.get("/variables/c")).json()["value"] == "4"
    deleted = await bulk(action="delete", action_on_non_existence="fail", entities=["imp_a", "imp_b", "nope"])
    assert (deleted["delete"]["success"], deleted["delete"]["errors"][0]["status_code"]) == ([], 404)
    deleted = await bulk(action="delete", action_on_non_existence="skip", entities=["imp_a", "imp_b", "nope"])
    assert deleted["delete"]["success"] == ["imp_a", "imp_b"]


async def test_connections_hide_their_secrets_and_keep_them_when_edited(
    client: httpx.AsyncClient, app: FastAPI, stage: Stage
) -> None:
    body = {
        "connection_id": "warehouse.eu-1",
        "conn_type": "postgres",
        "host": "db",
        "login": "me",
        "password": "s3cret",
        "port": 5432,
        "schema": "sales",
        "extra": '{"sslmode": "require", "token": "t0p"}',
    }
    created = await client.post("/connections", json=body)
    assert created.status_code == 201
    shown = created.json()
    assert (shown["password"], json.loads(shown["extra"])["token"], shown["schema"]) == ("***", "***", "sales")
    assert json.loads(shown["extra"])["sslmode"] == "require"
    edited = {**shown, "host": "db2", "port": None, "team_name": ""}
    path = "/connections/warehouse.eu-1"
    assert (await client.patch(f"{path}?update_mask=host", json=edited)).json()["port"] == 5432
    assert (await client.patch(path, json=edited)).json()["port"] is None
    row = await stage.one("select to_jsonb(c) from leoflow_core.connection c")
    fields = unseal(app.state.secret_box, bytes.fromhex(row["sealed"][2:]))
    assert (fields["password"], fields["host"]) == ("s3cret", "db2")
    assert json.loads(fields["extra"])["token"] == "t0p"
    log = (await client.get("/eventLogs?event_pattern=connection")).text
    assert "s3cret" not in log
    assert "t0p" not in log
    assert (await client.post("/connections", json=body)).status_code == 409
    test = await client.post("/connections/test", json={**body, "port": 0, "description": ""})
    assert (test.status_code, "disabled" in test.json()["detail"]) == (403, True)
    assert (await client.post("/connections/defaults")).status_code == 204
    assert (await client.delete(path)).status_code == 204
    assert (await client.get(path)).status_code == 404


@pytest.mark.parametrize(
    "changes",
    [
        {"connection_id": "a b"},
        {"connection_id": "x" * 201},
        {"extra": "[1]"},
        {"extra": "{"},
        {"port": "many"},
        {"port": 2**40},
        {"surprise": 1},
    ],
)
async def test_a_bad_connection_is_refused(client: httpx.AsyncClient, changes: dict[str, Any]) -> None:
    answer = await client.post("/connections", json={"connection_id": "a", "conn_type": "http", **changes})
    assert answer.status_code == 422, answer.text


async def test_pools_are_made_changed_and_deleted(client: httpx.AsyncClient) -> None:
    body = {"description": "d", "include_deferred": False, "name": "a/b c", "slots": 3}
    created = await client.post("/pools", json=body)
    assert (created.status_code, created.json()["open_slots"]) == (201, 3)
    assert (await client.post("/pools", json=body)).status_code == 409
    changed = {"description": "e", "include_deferred": True, "pool": "a/b c", "slots": 7}
    assert (await client.patch("/pools/a/b c?update_mask=slots", json=changed)).json()["slots"] == 7
    assert (await client.get("/pools/a/b c")).json()["description"] == "d"
    assert (await client.patch("/pools/a/b c", json=changed)).json()["include_deferred"] is True
    assert (await client.patch("/pools/a/b c", json={"slots": -2})).status_code == 422
    assert (await client.patch("/pools/default_pool", json={"description": "x"})).status_code == 400
    assert (await client.patch("/pools/default_pool?update_mask=slots", json={"slots": 9})).json()["slots"] == 9
    assert (await client.delete("/pools/default_pool")).status_code == 400
    names = [pool["name"] for pool in (await client.get("/pools?order_by=-name")).json()["pools"]]
    assert names == ["default_pool", "a/b c"]
    assert (await client.delete("/pools/a/b c")).status_code == 204
    assert (await client.delete("/pools/a/b c")).status_code == 404


async def test_a_deleted_pool_is_gone_though_tasks_name_it(client: httpx.AsyncClient, stage: Stage) -> None:
    await stage.register(spec("pooled", [task("a", pool="special")]))
    assert (await client.get("/pools/special")).status_code == 404  # as long as nobody creates it
    assert (await client.delete("/pools/special")).status_code == 404
    assert (await client.post("/pools", json={"name": "special", "slots": 3})).status_code == 201
    assert (await client.get("/pools?pool_name_pattern=special")).json()["total_entries"] == 1
    assert (await client.delete("/pools/special")).status_code == 204
    assert (await client.get("/pools?pool_name_pattern=special")).json()["total_entries"] == 0
    assert (await client.patch("/pools/special", json={"slots": 4})).status_code == 404
    assert (await client.post("/pools", json={"name": "special", "slots": 3})).status_code == 201


async def test_dags_are_found_paused_marked_and_deleted(client: httpx.AsyncClient, stage: Stage) -> None:
    async def found(query: str) -> list[str]:
        answer = await client.get(f"/dags?{query}")
        assert answer.status_code == 200, answer.text
        return [dag["dag_id"] for dag in answer.json()["dags"]]

    assert await found("order_by=-dag_id") == ["grouped", "flaky", "etl"]
    assert await found("dag_display_name_prefix_pattern=et") == ["etl"]
    assert await found("tags=etl&tags=example&tags_match_mode=all") == ["etl"]
    assert await found("tags=etl&tags=flaky&tags_match_mode=any") == ["etl", "flaky"]
    assert await found("owners=nobody") == []
    assert await found("limit=1&offset=1") == ["flaky"]
    assert (await client.post("/dags/etl/favorite")).status_code == 204
    assert (await client.post("/dags/etl/favorite")).status_code == 204
    assert await found("is_favorite=true") == ["etl"]
    assert (await client.get("/dags/etl/details")).json()["is_favorite"] is True
    assert (await client.post("/dags/etl/unfavorite")).status_code == 204
    assert (await client.post("/dags/etl/unfavorite")).status_code == 409
    assert (await client.post("/dags/nope/favorite")).status_code == 404
    paused = (await client.patch("/dags?dag_id_pattern=~&limit=100", json={"is_paused": True})).json()
    assert [dag["is_paused"] for dag in paused["dags"]] == [True, True, True]
    assert await found("paused=false") == []
    await client.patch("/dags/etl", json={"is_paused": False})
    await stage.start("etl", "r")
    stage.worker_key = await stage.one("select leoflow_core.register_worker('stage', 1, 16)")
    await stage._claim()
    assert (await client.delete("/dags/etl")).status_code == 409
    await client.patch("/dags/etl/dagRuns/r", json={"state": "failed"})
    assert (await client.delete("/dags/etl")).status_code == 200
    assert (await client.get("/dags/etl")).status_code == 404
    assert await found("") == ["flaky", "grouped"]


async def test_details_carry_what_the_forms_need(client: httpx.AsyncClient, stage: Stage) -> None:
    details = (await client.get("/dags/etl/details")).json()
    assert details["params"] == {
        "n": {"value": 3, "schema": {"type": "integer"}, "description": "how many", "source": None}
    }
    assert details["dag_run_timeout"] == "PT1H"
    assert details["latest_dag_version"]["version_number"] == 1
    assert details["doc_md"] == "# ETL"


async def test_source_comes_as_json_or_as_text(client: httpx.AsyncClient, stage: Stage) -> None:
    text = await client.get("/dagSources/etl", headers={"accept": "text/plain"})
    assert (text.text, text.headers["content-type"]) == ("# etl\n", "text/plain; charset=utf-8")
    assert (await client.get("/dagSources/etl?version_number=1")).json()["content"] == "# etl\n"
    assert (await client.get("/dagSources/etl?version_number=2")).status_code == 404
    assert (await client.get("/dagSources/etl", headers={"accept": "image/png"})).status_code == 406


async def test_a_reparse_is_asked_for_by_token(client: httpx.AsyncClient, stage: Stage) -> None:
    token = (await client.get("/dags/etl")).json()["file_token"]
    async with stage.pool.connection() as conn:
        await conn.execute("listen leoflow_reparse")
        answer = await client.put(f"/parseDagFile/{token}")
        assert (answer.status_code, answer.json()) == (201, None)
        notices = [notice.payload async for notice in conn.notifies(timeout=10, stop_after=1)]
    assert notices == ["/work/etl.py"]
    assert (await client.put(f"/parseDagFile/{token}x")).status_code == 404


async def test_registering_a_version_twice_changes_nothing(client: httpx.AsyncClient, stage: Stage) -> None:
    made = spec("pushed", [task("a")])
    path = "/leoflow/dags/pushed/versions"
    first = await client.post(path, json=as_json(made))
    assert (first.status_code, first.json()["version_number"], first.json()["is_new"]) == (201, 1, True)
    again = await client.post(path, json=as_json(made))
    assert (again.status_code, again.json()["is_new"], again.json()["id"]) == (200, False, first.json()["id"])
    changed = spec("pushed", [task("a"), task("b", "a")])
    assert (await client.post(path, json=as_json(changed))).json()["version_number"] == 2
    assert (await client.get(f"{path}/1")).json() == as_json(made)
    assert (await client.get(f"{path}/3")).status_code == 404
    assert (await client.post("/leoflow/dags/other/versions", json=as_json(made))).status_code == 400
    forged = as_json(made) | {"description": "forged"}
    assert "content_hash" in (await client.post(path, json=forged)).json()["detail"]
    assert (await client.post(path, json=as_json(ETL) | {"tasks": "none"})).status_code == 422


async def test_a_dag_says_whether_it_can_be_backfilled(client: httpx.AsyncClient, stage: Stage) -> None:
    assert (await client.get("/dags/etl")).json()["is_backfillable"] is True
    assert (await client.get("/dags/flaky")).json()["is_backfillable"] is False
    await stage.one("update leoflow_core.dag set allowed_run_types = '{manual,scheduled}' returning 1")
    assert (await client.get("/dags/etl")).json()["is_backfillable"] is False


async def test_an_artifact_that_lacks_what_was_invented_later_is_registered(client: httpx.AsyncClient) -> None:
    old = as_json(spec("pushed", [task("a")]))
    del old["tasks"][0]["extra_link_keys"]
    old["content_hash"] = content_hash_of(old)
    first, again = [await client.post("/leoflow/dags/pushed/versions", json=old) for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["content_hash"] == old["content_hash"]


async def test_roles_limit_what_a_user_may_do(app: FastAPI, client: httpx.AsyncClient, stage: Stage) -> None:
    async def status(user: str, method: str, path: str, **more: Any) -> int:
        token = app.state.leoflow.signer.issue(user, user, 600)
        answer = await client.request(method, path, headers={"Authorization": f"Bearer {token}"}, **more)
        if answer.status_code == 403:
            assert answer.json() == {"detail": "Forbidden"}
        return answer.status_code

    run = {"logical_date": None}
    assert await status("viewer", "GET", "/dags") == 200
    assert await status("viewer", "POST", "/dags/etl/dagRuns", json=run) == 403
    assert await status("viewer", "GET", "/variables") == 403
    assert await status("user", "POST", "/dags/etl/dagRuns", json=run) == 200
    assert await status("user", "GET", "/connections") == 403
    assert await status("op", "GET", "/connections") == 200
    assert await status("user", "POST", "/leoflow/dags/x/versions", json=as_json(ETL)) == 403
    client.headers.pop("Authorization")
    assert (await client.get("/dags")).status_code == 401
    assert (await client.get("/version")).status_code == 200
    assert (await client.get("/monitor/health")).status_code == 200


async def test_settings_are_listed_as_json_and_as_text(client: httpx.AsyncClient) -> None:
    text = await client.get("/config", headers={"accept": "text/plain"})
    assert "[api]\n" in text.text
    one = (await client.get("/config/section/api/option/maximum_page_limit")).json()
    assert one == {"sections": [{"name": "api", "options": [{"key": "maximum_page_limit", "value": "100"}]}]}
    assert (await client.get("/config?section=nope")).status_code == 404
    assert (await client.get("/config/section/api/option/nope")).status_code == 404
