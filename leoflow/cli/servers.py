"""Which server a command talks to, and as whom.

The server: `--server`, the setting `server_url`, the one of the last `leoflow auth login`, the Lite that runs on this
home. The token: the setting `token`, that of the login, and for a Lite of this home one signed with the home's secret.
"""

import json
import os
import socket
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from leoflow.cli.client import Client
from leoflow.config import Settings, load_settings
from leoflow.errors import UnreachableError

ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server", metavar="URL", help="The server; default: LEOFLOW_SERVER_URL, the one signed in to, or this Lite."
    ),
]
CREDENTIALS = "credentials.json"
LITE_USER = "admin"
TOKEN_SECONDS = 24 * 3600
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def connect(server: str | None) -> Client:
    """The client of a command.

    Raises:
        UnreachableError: there is no server to talk to, or no way to sign in.
    """
    settings = load_settings()
    url = find_server(server, settings)
    return Client(url, find_token(url, settings))


def find_server(server: str | None, settings: Settings) -> str:
    """The URL of the server, without a slash at its end."""
    logins = read_logins(settings.home)
    url = server or settings.server_url or logins.get("server") or running_lite(settings.home)
    if not url:
        raise UnreachableError(
            "there is no server to talk to",
            where=str(settings.home),
            hint="start `leoflow lite`, sign in with `leoflow auth login --server URL`, or set LEOFLOW_SERVER_URL",
        )
    if urlsplit(url).scheme not in ("http", "https"):
        raise UnreachableError("a server's URL begins with http:// or https://", where=url, hint="--server http://…")
    return url.rstrip("/")


def find_token(url: str, settings: Settings) -> str:
    """The token for a server."""
    if settings.token is not None:
        return settings.token.get_secret_value()
    known = read_logins(settings.home).get("tokens", {}).get(url)
    if known:
        return str(known)
    if urlsplit(url).hostname in _LOOPBACK or url == running_lite(settings.home):
        token = sign_token(settings.home)
        if token is not None:
            return token
    raise UnreachableError(
        "you are not signed in", where=url, hint=f"run `leoflow auth login --server {url}`, or set LEOFLOW_TOKEN"
    )


def sign_token(home: Path, *, user: str = LITE_USER, role: str = "admin", seconds: int = TOKEN_SECONDS) -> str | None:
    """A token signed with the secret of a home; None when it has none that we may read."""
    from leoflow.api.auth.tokens import TokenSigner

    try:
        secret = (home / "jwt-secret").read_text().strip()
    except OSError:
        return None
    return TokenSigner(secret).issue(user, role, seconds)


def running_lite(home: Path) -> str | None:
    """The URL of the Lite that runs on a home now."""
    from leoflow.lite import lock

    owner = lock.read_owner(home) if lock.is_held(home) else None
    return _resolvable(owner.url) if owner and owner.url else None


def _resolvable(url: str) -> str:
    """The same address in numbers where the machine does not know the name `localhost`: a bare container may not."""
    try:
        socket.getaddrinfo("localhost", None)
    except OSError:
        return url.replace("//localhost:", "//127.0.0.1:")
    return url


def read_logins(home: Path) -> dict[str, Any]:
    """What `leoflow auth login` remembered: the last server, and a token for each."""
    try:
        found = json.loads((home / CREDENTIALS).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def remember_login(home: Path, url: str, token: str) -> None:
    """Keep a token in a file only the user can read, and its server as the one to talk to."""
    logins = read_logins(home)
    tokens = {**logins.get("tokens", {}), url: token}
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = home / f".{CREDENTIALS}.{os.getpid()}"
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({"server": url, "tokens": tokens}, file)
    fresh.replace(home / CREDENTIALS)


def forget_login(home: Path) -> bool:
    """Forget all logins; False when there was none."""
    try:
        (home / CREDENTIALS).unlink()
    except FileNotFoundError:
        return False
    return True
