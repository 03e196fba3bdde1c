"""Operators and hooks of Airflow's providers, installed in a project's environment, against real parts."""

import json
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.integration.worker.harness import Harness, running
from tests.support.environments import python_with_providers
from tests.support.postgres import Server

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def providers(server: Server, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Harness]:
    """A worker whose projects have providers."""
    home = tmp_path_factory.mktemp("providers") / "home"
    with server.database(template) as dsn:
        async with running(dsn, home, python=python_with_providers) as started:
            yield started


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was asked."""

    def do_GET(self) -> None:
        self._answer(200 if self.path != "/missing" else 404)

    def do_POST(self) -> None:
        self._answer(201)

    def _answer(self, status: int) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        content = json.dumps({"path": self.path, "body": body, "user": self.headers.get("authorization")}).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def website() -> Iterator[int]:
    """The port of a web server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


async def test_postgres_hook_and_operator(providers: Harness, database_url: str) -> None:
    target = conninfo_to_dict(database_url)
    host = quote(str(target.get("host", "localhost")), safe="")
    login = quote(str(target.get("user", "")), safe="")
    password = f":{quote(str(target['password']), safe='')}" if target.get("password") else ""
    port = f":{target['port']}" if target.get("port") else ""
    address = f"postgres://{login}{password}@{host}{port}/{target['dbname']}"
    await providers.register(
        """
    from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
    from airflow.providers.postgres.hooks.postgres import PostgresHook
    with DAG("postgres_provider") as dag:
        fill = SQLExecuteQueryOperator(task_id="fill", conn_id="warehouse", sql=[
            "create table orders (id int, amount int)", "insert into orders values (1, 10), (2, {{ params.amount }})"],
            params={"amount": 32})
        @task
        def total(): return PostgresHook("warehouse").get_first("select sum(amount) from orders")[0]
        fill >> total()
    """,
        "postgres_provider",
        yaml=f"""
        tasks:
          fill: {{env: {{AIRFLOW_CONN_WAREHOUSE: "{address}"}}}}
          total: {{env: {{AIRFLOW_CONN_WAREHOUSE: "{address}"}}}}
        """,
    )
    run = await providers.run("postgres_provider")
    assert run.state == "success", run.logs
    assert run.xcoms[("total", "return_value")] == 42


async def test_http_operator(providers: Harness, website: int) -> None:
    address = f"http://user:secret-of-the-test@127.0.0.1:{website}"
    await providers.register(
        """
    from airflow.providers.http.operators.http import HttpOperator
    with DAG("http_provider") as dag:
        HttpOperator(task_id="post", http_conn_id="site", endpoint="/orders/{{ run_id }}", data='{"n": 1}',
                     response_filter=lambda response: response.json(), log_response=True)
        HttpOperator(task_id="missing", http_conn_id="site", endpoint="/missing", method="GET")
    """,
        "http_provider",
        yaml=f"""
        tasks:
          post: {{env: {{AIRFLOW_CONN_SITE: "{address}"}}}}
          missing: {{env: {{AIRFLOW_CONN_SITE: "{address}"}}}}
        """,
    )
    run = await providers.run("http_provider", run_id="r1")
    answer = run.xcoms[("post", "return_value")]
    assert (answer["path"], answer["body"]) == ("/orders/r1", '{"n": 1}')
    assert answer["user"].startswith("Basic ")
    assert run.tasks["missing"].state == "failed"
    assert "404" in str(run.logs["missing"])
    assert "secret-of-the-test" not in str(run.logs)


async def test_sqlite_and_files(providers: Harness, tmp_path: Path) -> None:
    local = json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "db")})
    await providers.register(
        f"""
    from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator, SQLColumnCheckOperator
    from airflow.providers.common.io.operators.file_transfer import FileTransferOperator
    from airflow.sdk import ObjectStoragePath
    with DAG("sqlite_provider") as dag:
        make = SQLExecuteQueryOperator(task_id="make", conn_id="local",
                                       sql="create table t as select 1 as a union select 2")
        check = SQLColumnCheckOperator(task_id="check", conn_id="local", table="t",
                                       column_mapping={{"a": {{"max": {{"equal_to": 2}}}}}})
        read = SQLExecuteQueryOperator(task_id="read", conn_id="local", sql="select a from t order by a")
        @task
        def write(rows):
            target = ObjectStoragePath("file://{tmp_path}/rows.txt")
            target.write_text(repr(rows))
            return target
        move = FileTransferOperator(task_id="move", src=write(read.output), dst="file://{tmp_path}/moved.txt")
        make >> check >> read
    """,
        "sqlite_provider",
        yaml=f"""
        tasks:
          make: {{env: &database {{AIRFLOW_CONN_LOCAL: '{local}'}}}}
          check: {{env: *database}}
          read: {{env: *database}}
        """,
    )
    run = await providers.run("sqlite_provider")
    assert run.state == "success", json.dumps(run.logs)
    assert (tmp_path / "moved.txt").read_text() == "[(1,), (2,)]"
