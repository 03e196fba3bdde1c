"""Files, pages, and the addresses that are not there."""

import httpx
import pytest

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("path", ["/", "/dags", "/dags/etl/runs/manual__2026-11-22T14:07:20+00:00", "/pluginsx"])
async def test_every_other_path_is_the_ui(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert '<base href="/" />' in answer.text
    assert "lite-badge" not in answer.text


async def test_lite_marks_its_pages(local: httpx.AsyncClient) -> None:
    assert "static/leoflow/lite-badge.js" in (await local.get("/")).text
    assert (await local.get("/static/leoflow/lite-badge.js")).status_code == 200


async def test_the_login_page(client: httpx.AsyncClient) -> None:
    answer = await client.get("/auth/login?next=/dags")
    assert answer.status_code == 200
    assert '<base href="/" />' in answer.text


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v2/nope", {"error": "API route not found"}),
        (
            "/api/v1/dags",
            {"error": "/api/v1 has been removed in Airflow 3, please use its upgraded version /api/v2 instead."},
        ),
        ("/health", {"error": "Moved in Airflow 3. Please change config to check `/api/v2/monitor/health`"}),
        ("/static/wasm/sqlparser_rs_wasm.js", {"detail": "Not Found"}),
        ("/ui/nope", {"detail": "Not Found"}),
        ("/execution/nope", {"detail": "Not Found"}),
    ],
)
async def test_what_is_not_there(client: httpx.AsyncClient, path: str, body: dict) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.json()) == (404, body)


async def test_files_are_compressed_and_not_sent_twice(client: httpx.AsyncClient) -> None:
    first = await client.get("/static/assets/index-abc.js")
    assert first.headers["content-encoding"] == "gzip"
    assert first.text.startswith("const x")
    assert "immutable" in first.headers["cache-control"]
    again = await client.get("/static/assets/index-abc.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_files_outside_the_directory_are_not_served(client: httpx.AsyncClient) -> None:
    for path in ("/static/../../home/jwt-secret", "/static/%2e%2e/%2e%2e/home/jwt-secret"):
        answer = await client.get(path)
        assert answer.status_code == 404 or "<html>" in answer.text


async def test_health_readiness_and_metrics_need_no_sign_in(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    ready = await client.get("/readyz")
    assert (ready.status_code, ready.json()["failing"]) == (200, [])
    metrics = await client.get("/metrics")
    assert 'leoflow_http_requests_total{method="GET",route="/healthz",status="200"} 1.0' in metrics.text
    assert "leoflow_database_connections" in metrics.text


async def test_readiness_names_what_is_missing(client: httpx.AsyncClient, connection) -> None:
    await connection.execute("drop schema leoflow_core cascade")
    ready = await client.get("/readyz")
    assert (ready.status_code, ready.json()["failing"]) == (503, ["schema"])


async def test_the_api_describes_itself(client: httpx.AsyncClient) -> None:
    assert "/ui/config" in (await client.get("/openapi.json")).json()["paths"]
    assert (await client.get("/docs")).status_code == 200


async def test_a_body_too_large_is_refused(client: httpx.AsyncClient) -> None:
    async def flood():
        for _ in range(40):
            yield b"x" * 1024 * 1024

    answer = await client.post("/auth/token", content=flood(), headers={"content-type": "application/json"})
    assert answer.status_code == 413
    answer = await client.post("/auth/token", content=b"", headers={"content-length": "99999999999"})
    assert answer.status_code == 413
