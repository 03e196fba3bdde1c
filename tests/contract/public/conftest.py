"""The application over a real database with registered DAGs."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from leoflow.api.app import create_app
from leoflow.api.auth import users
from leoflow.api.settings import ApiSettings
from leoflow.db.pool import Pool
from tests.contract.public.stage import ETL, FLAKY, GROUPED, Stage

PASSWORD = "correct horse"


@pytest.fixture
def settings(home: Path) -> ApiSettings:
    home.mkdir()
    return ApiSettings(home=home, host="0.0.0.0", base_url="http://ui.test:1")


@pytest.fixture
async def app(pool: Pool, settings: ApiSettings) -> FastAPI:
    async with pool.connection() as conn:
        await users.put_user(conn, "admin", PASSWORD, "admin")
        await conn.execute(
            "insert into leoflow_core.app_user (user_name, role) select r, r from unnest(%s::text []) as r",
            [["viewer", "user", "op"]],
        )
    return create_app(pool, settings)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """The administrator."""
    token = app.state.leoflow.signer.issue("admin", "admin", 600)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app),
        base_url="http://leoflow.test/api/v2",
        headers={"Authorization": f"Bearer {token}"},
    ) as found:
        yield found


@pytest.fixture
async def stage(pool: Pool) -> Stage:
    """Three DAGs, no runs."""
    made = Stage(pool)
    await made.register(ETL, FLAKY, GROUPED)
    return made
