"""Nothing secret can be read in a dump of the database, in logs, in the API's answers or in a dag.json."""

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from leoflow.api.app import create_app
from leoflow.api.auth import users
from leoflow.api.settings import ApiSettings
from leoflow.db import binaries
from tests.integration.worker.harness import Harness, running

pytestmark = pytest.mark.anyio

FIELDS = ("host", "schema", "login", "password")
CANARY = "canary-4711"
CONNECTION = {name: f"{CANARY}-{name}" for name in FIELDS}
EXTRA = {"token": f"{CANARY}-token", "plain": f"{CANARY}-plain", "deep": {"secret": [f"{CANARY}-deep"]}}

DAG = """
from airflow.sdk import Connection, Variable
from airflow.sdk.log import mask_secret
from airflow.providers.standard.operators.bash import BashOperator
with DAG("canary") as dag:
    @task
    def leak():
        import logging
        found = Connection.get("canary")
        for text in (found.password, found.extra_dejson["token"], found.extra_dejson["deep"]["secret"][0]):
            print("printed", text)
            logging.getLogger("mine").warning("logged %s", text)
            os.system(f"echo shell {text}")
        try:
            raise ValueError(found.password)
        except ValueError as error:
            secret = Variable.get("canary_password")
            raise RuntimeError(f"{secret} in {found.extra}") from error
    leak()
    # The SDK hides rendered templates by the masks it has when they are rendered.
    BashOperator(
        task_id="template", do_xcom_push=False, bash_command="echo {{ conn.canary.password }}",
        env={"MY_PASSWORD": "{{ var.value.canary_password }}"},
    )
"""


async def call(client: httpx.AsyncClient, method: str, path: str, body: Any = None) -> str:
    return (await client.request(method, f"/api/v2{path}", json=body)).text


async def test_no_canary_is_found_anywhere(database_url: str, home: Path) -> None:
    body = {"connection_id": "canary", "conn_type": "http", "port": 4711, **CONNECTION, "extra": json.dumps(EXTRA)}
    overwrite = {"action": "create", "action_on_existence": "overwrite"}
    variable = {"key": "canary_password", "value": f"{CANARY}-variable"}
    async with running(database_url, home) as harness:
        async with harness.pool.connection() as connection:
            await users.put_user(connection, "admin", "x", "admin")
        app = create_app(harness.pool, ApiSettings(home=home, host="0.0.0.0"))
        token = app.state.leoflow.signer.issue("admin", "admin", 600)
        with capture_logs() as said:
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(app=app, raise_app_exceptions=False),
                base_url="http://leoflow.test",
                headers={"Authorization": f"Bearer {token}"},
            ) as client:
                answers = [
                    await call(client, "POST", "/connections", {**body, "port": f"{CANARY}-port"}),
                    await call(client, "POST", "/connections", {**body, "extra": f"[{CANARY}"}),
                    await call(client, "POST", "/variables", {**variable, "nonsense": CANARY}),
                    await call(client, "POST", "/variables", variable),
                    await call(client, "POST", "/variables", variable),
                    await call(client, "POST", "/connections/test", body),
                    await call(client, "PATCH", "/variables", {"actions": [{**overwrite, "entities": [variable]}]}),
                    await call(client, "PATCH", "/connections", {"actions": [{**overwrite, "entities": [body]}]}),
                    await call(client, "PATCH", "/variables/canary_password", variable),
                ]
                await call(client, "PATCH", "/connections/canary", body)
                answers.append(await call(client, "POST", "/connections", body))
                shown = json.loads(await call(client, "GET", "/connections/canary"))
                # Who may see connections may see where they lead; not their secrets.
                hidden = {"password": "***", "token": "***", "deep": {"secret": ["***"]}}
                extra = json.loads(shown["extra"])
                assert {"password": shown["password"], "token": extra["token"], "deep": extra["deep"]} == hidden
                assert shown["host"] == f"{CANARY}-host"
                answers.append(await call(client, "GET", "/eventLogs?limit=100"))
            await harness.register(DAG, yaml="connections: [canary]")
            run = await harness.run("canary")
        assert run.tasks["leak"].state == "failed"
        assert run.tasks["template"].state == "success", run.logs
        await assert_dump_is_clean(harness)
    assert "printed ***" in run.messages("leak") and "shell ***" in run.messages("leak")
    assert CANARY not in str(run.logs)
    assert CANARY not in str([each.rendered_fields for each in run.tasks.values()])
    assert CANARY not in "".join(answers)
    assert CANARY not in str(said)


async def assert_dump_is_clean(harness: Harness) -> None:
    dump = _dump(harness.dsn)
    assert b"canary_password" in dump  # it is the right database
    [(specs,)] = await harness.fetch("select string_agg(spec::text, '') from leoflow_core.dag_version")
    for form in (CANARY, CANARY.encode().hex()):
        assert form not in specs
        found = dump.find(form.encode())
        assert found < 0, dump[max(0, found - 300) : found + 100]


def _dump(dsn: str) -> bytes:
    own = [found.program("pg_dump") for found in binaries.candidates(None)]
    for program in [Path(name) for name in ("/usr/bin/pg_dump", *own) if name]:
        if program.exists():
            done = subprocess.run([program, "--dbname", dsn], capture_output=True, check=False)
            if done.returncode == 0:
                return done.stdout
    raise AssertionError("no pg_dump that can read this server")
