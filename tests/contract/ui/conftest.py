"""The application over a real database, asked in process."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from leoflow.api.app import create_app
from leoflow.api.auth import users
from leoflow.api.settings import ApiSettings
from leoflow.db.pool import Pool

PASSWORD = "correct horse"
PAGE = '<html><head><base href="{{ backend_server_base_url }}" /></head><body>page</body></html>'


@pytest.fixture
def api_settings(home: Path, tmp_path: Path) -> ApiSettings:
    home.mkdir()
    ui = tmp_path / "ui"
    for part in ("app", "login"):
        (ui / part / "assets").mkdir(parents=True)
        (ui / part / "index.html").write_text(PAGE)
        (ui / part / "assets" / "index-abc.js").write_text("const x = 1;\n" * 500)
    return ApiSettings(home=home, host="0.0.0.0", ui_directory=ui)


@pytest.fixture
async def app(pool: Pool, api_settings: ApiSettings) -> FastAPI:
    async with pool.connection() as conn:
        await users.put_user(conn, "admin", PASSWORD, "admin")
        await conn.execute(
            "insert into leoflow_core.app_user (user_name, role) select r, r from unnest(%s::text []) as r",
            [["viewer", "user", "op"]],
        )
    return create_app(pool, api_settings)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Nobody is signed in."""
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://leoflow.test") as found:
        yield found


@pytest.fixture
async def admin(app: FastAPI, client: httpx.AsyncClient) -> httpx.AsyncClient:
    """The administrator, by bearer token."""
    token = app.state.leoflow.signer.issue("admin", "admin", 600)
    client.headers["Authorization"] = f"Bearer {token}"
    return client


@pytest.fixture
async def local(pool: Pool, app: FastAPI, api_settings: ApiSettings) -> AsyncIterator[httpx.AsyncClient]:
    """A browser on the machine of a Lite server."""
    lite = create_app(pool, replace(api_settings, host="127.0.0.1", lite=True))
    transport = httpx.ASGITransport(app=lite)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8088") as found:
        yield found
