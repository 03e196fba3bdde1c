"""Sign-in, tokens, and every text the UI reacts to."""

import httpx
import jwt
import pytest
from fastapi import FastAPI

from leoflow.api.auth.routes import is_own_url
from tests.contract.ui.conftest import PASSWORD

pytestmark = pytest.mark.anyio

LOGIN = {"username": "admin", "password": PASSWORD}


async def test_a_password_buys_a_token_with_airflows_claims(client: httpx.AsyncClient, app: FastAPI) -> None:
    answer = await client.post("/auth/token", json=LOGIN)
    assert answer.status_code == 201
    token = answer.json()["access_token"]
    assert jwt.get_unverified_header(token) == {"alg": "HS512", "kid": "not-used", "typ": "JWT"}
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims.keys() == {"sub", "role", "teams", "jti", "aud", "nbf", "exp", "iat"}
    assert (claims["sub"], claims["role"], claims["aud"]) == ("admin", "admin", "apache-airflow")
    me = await client.get("/ui/auth/me", headers={"Authorization": f"Bearer {token}"})
    assert me.json() == {"id": "admin", "username": "admin"}


async def test_a_form_and_the_cli_buy_tokens_too(client: httpx.AsyncClient) -> None:
    assert (await client.post("/auth/token", data=LOGIN)).status_code == 201
    assert (await client.post("/auth/token/cli", json=LOGIN)).status_code == 201


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ({"username": "admin", "password": "wrong"}, 401, "Invalid credentials"),
        ({"username": "nobody", "password": "wrong"}, 401, "Invalid credentials"),
        ({"username": "", "password": ""}, 400, "Username and password must be provided"),
    ],
)
async def test_bad_logins_are_refused(client: httpx.AsyncClient, body: dict, status: int, detail: str) -> None:
    answer = await client.post("/auth/token", json=body)
    assert (answer.status_code, answer.json()) == (status, {"detail": detail})


async def test_a_malformed_login_is_422_with_a_text(client: httpx.AsyncClient) -> None:
    for body in ({"username": "admin"}, {**LOGIN, "extra": 1}):
        answer = await client.post("/auth/token", json=body)
        assert answer.status_code == 422
        assert isinstance(answer.json()["detail"], str)
    answer = await client.post("/auth/token", content=b"x", headers={"content-type": "text/plain"})
    assert answer.status_code == 415


async def test_guessing_passwords_is_slowed_down(client: httpx.AsyncClient) -> None:
    for _ in range(10):
        answer = await client.post("/auth/token", json={"username": "viewer", "password": "guess"})
        assert answer.status_code == 401
    answer = await client.post("/auth/token", json={"username": "viewer", "password": PASSWORD})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert (await client.post("/auth/token", json=LOGIN)).status_code == 201


async def test_the_texts_of_401_and_403(client: httpx.AsyncClient, app: FastAPI) -> None:
    signer = app.state.leoflow.signer
    cases = {
        "": (401, "Not authenticated"),
        "Bearer rubbish": (403, "Invalid JWT token"),
        f"Bearer {signer.issue('admin', 'admin', -60)}": (401, "Token Expired"),
        f"Bearer {signer.issue('removed', 'admin', 60)}": (403, "Invalid JWT token"),
    }
    for header, expected in cases.items():
        answer = await client.get("/ui/config", headers={"Authorization": header} if header else {})
        assert (answer.status_code, answer.json()["detail"]) == expected


async def test_a_role_too_low_is_forbidden(client: httpx.AsyncClient, app: FastAPI) -> None:
    token = app.state.leoflow.signer.issue("viewer", "viewer", 60)
    answer = await client.get("/ui/connections/hook_meta", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()) == (403, {"detail": "Forbidden"})


async def test_the_cookie_signs_in_and_a_bad_one_is_dropped(client: httpx.AsyncClient, app: FastAPI) -> None:
    token = app.state.leoflow.signer.issue("viewer", "viewer", 60)
    answer = await client.get("/ui/auth/me", headers={"Cookie": f"_token={token}"})
    assert answer.json()["id"] == "viewer"
    assert "set-cookie" not in answer.headers
    for bad in ("rubbish", app.state.leoflow.signer.issue("viewer", "viewer", -60)):
        answer = await client.get("/ui/auth/me", headers={"Cookie": f"_token={bad}"})
        assert answer.status_code in (401, 403)
        assert answer.headers["set-cookie"].startswith('_token=""')
        assert "Max-Age=0" in answer.headers["set-cookie"]


async def test_a_bad_cookie_does_not_hide_a_good_header(admin: httpx.AsyncClient) -> None:
    assert (await admin.get("/ui/auth/me", headers={"Cookie": "_token=rubbish"})).status_code == 200


async def test_logout_revokes_the_token(client: httpx.AsyncClient, app: FastAPI) -> None:
    token = app.state.leoflow.signer.issue("admin", "admin", 60)
    answer = await client.get("/api/v2/auth/logout", headers={"Cookie": f"_token={token}"})
    assert (answer.status_code, answer.headers["location"]) == (307, "/auth/login")
    assert answer.headers["set-cookie"].startswith('_token=""')
    answer = await client.get("/ui/auth/me", headers={"Cookie": f"_token={token}"})
    assert (answer.status_code, answer.json()["detail"]) == (403, "Invalid JWT token")
    assert answer.headers["set-cookie"].startswith('_token=""')


async def test_the_way_to_the_login_page_keeps_where_one_was(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/v2/auth/login", params={"next": "/dags?a=1"})
    assert (answer.status_code, answer.headers["location"]) == (307, "/auth/login?next=%2Fdags%3Fa%3D1")
    answer = await client.get("/api/v2/auth/login", params={"next": "https://evil.test/"})
    assert (answer.status_code, answer.json()) == (400, {"detail": "Invalid or unsafe next URL"})


@pytest.mark.parametrize(
    ("target", "own"),
    [
        ("/dags", True),
        ("http://leoflow.test/dags", True),
        ("//evil.test", False),
        ("/\\evil.test", False),
        ("https%3A//evil.test", False),
        ("javascript:alert(1)", False),
        ("http://leoflow.test@evil.test/", False),
    ],
)
def test_only_own_addresses_are_redirected_to(target: str, own: bool) -> None:
    assert is_own_url(target, "http://leoflow.test/") is own


async def test_a_token_to_copy(admin: httpx.AsyncClient) -> None:
    answer = await admin.post("/ui/auth/token", json={"token_type": "cli"})
    assert answer.status_code == 200
    assert answer.json().keys() == {"access_token", "token_type", "expires_in_seconds"}


async def test_a_local_browser_is_signed_in_without_a_form(local: httpx.AsyncClient) -> None:
    page = await local.get("/")
    assert "HttpOnly" in page.headers["set-cookie"]
    assert (await local.get("/ui/auth/me")).json()["id"] == "admin"
    assert "set-cookie" not in (await local.get("/dags")).headers


async def test_a_local_browser_with_an_old_cookie_gets_a_new_one(local: httpx.AsyncClient) -> None:
    page = await local.get("/", headers={"Cookie": "_token=rubbish"})
    assert page.headers.get_list("set-cookie")[0].startswith("_token=ey")
    assert len(page.headers.get_list("set-cookie")) == 1
    answer = await local.get("/api/v2/auth/login", params={"next": "/dags"})
    assert answer.headers["location"] == "/dags"


async def test_a_local_script_without_a_token_is_not_signed_in(local: httpx.AsyncClient) -> None:
    answer = await local.get("/ui/auth/me")
    assert (answer.status_code, answer.json()) == (401, {"detail": "Not authenticated"})


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.test"},
        {"Host": "localhost.evil.test:8088"},
        {"Host": ""},
        {"Origin": "https://evil.test"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "null"},
    ],
)
async def test_foreign_hosts_and_origins_are_refused(local: httpx.AsyncClient, headers: dict[str, str]) -> None:
    for path in ("/", "/ui/config", "/healthz", "/static/assets/index-abc.js"):
        answer = await local.get(path, headers=headers)
        assert answer.status_code == 403, path
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("host", ["localhost", "localhost:9000", "127.0.0.1:8088", "[::1]:8088"])
async def test_names_of_this_machine_are_welcome(local: httpx.AsyncClient, host: str) -> None:
    answer = await local.get("/", headers={"Host": host, "Origin": f"http://{host}"})
    assert answer.status_code == 200


async def test_other_binds_ask_for_a_login(client: httpx.AsyncClient) -> None:
    page = await client.get("/")
    assert page.status_code == 200
    assert "set-cookie" not in page.headers
    assert (await client.get("/ui/config")).status_code == 401
