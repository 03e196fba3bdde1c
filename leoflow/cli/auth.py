"""`leoflow auth`: login, logout, create-user, create-token."""

import asyncio
from typing import Annotated

import typer

from leoflow.cli.client import Client
from leoflow.cli.connections import read_password
from leoflow.cli.options import usage
from leoflow.cli.servers import ServerOption, find_server, forget_login, remember_login, sign_token
from leoflow.config import Settings, load_settings
from leoflow.errors import UnreachableError

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)
DatabaseOption = Annotated[str | None, typer.Option("--database-url", help="The database; as for `leoflow db`.")]
ROLES = ("viewer", "user", "op", "admin")
UserName = Annotated[str, typer.Option("--username", "-u", help="The user.")]


@app.command("login", epilog="Example: leoflow auth login --server https://leoflow.example.com --username ann")
def login(username: UserName = "admin", server: ServerOption = None) -> None:
    """Sign in to a server with a password; later commands talk to it."""
    settings = load_settings()
    url = find_server(server, settings)
    remember_login(settings.home, url, _ask_token(url, username))
    print(f"signed in to {url} as {username}")


@app.command("logout", epilog="Example: leoflow auth logout")
def logout() -> None:
    """Forget the servers that were signed in to."""
    print("signed out" if forget_login(load_settings().home) else "nobody was signed in")


@app.command("create-token", epilog="Example: leoflow auth create-token > token")
def create_token(username: UserName = "admin", server: ServerOption = None) -> None:
    """Print a token, and nothing else. On a Lite home it needs no password."""
    settings = load_settings()
    token = sign_token(settings.home, user=username, role="admin") if username == "admin" else None
    print(token or _ask_token(find_server(server, settings), username))


@app.command("create-user", epilog="Example: leoflow auth create-user ann --role op")
def create_user(
    name: Annotated[str, typer.Argument(help="The user.")],
    role: Annotated[str, typer.Option(help="viewer, user, op or admin.")] = "viewer",
    database_url: DatabaseOption = None,
) -> None:
    """Create a user, or set the password and role of one; needs the database."""
    if role not in ROLES:
        raise usage("not a role", f"--role {role}", "viewer, user, op or admin")
    if not name or len(name) > 250:
        raise usage("a user name has 1 to 250 characters", name[:20], "choose another")
    password = read_password(f"Password of {name}: ")
    if not password:
        raise usage("the password is empty", name, "type one, or send it through stdin")
    asyncio.run(_put_user(load_settings(database_url=database_url), name, password, role))
    print(f"{name} is {role}")


def _ask_token(url: str, username: str) -> str:
    answer = Client(url).post(
        "/auth/token/cli", {"username": username, "password": read_password(f"Password of {username}: ")}
    )
    token = answer.get("access_token")
    if not token:
        raise UnreachableError("the server gave no token", where=url, hint="is it a Leoflow server?")
    return str(token)


async def _put_user(settings: Settings, name: str, password: str, role: str) -> None:
    from leoflow.api.auth import users
    from leoflow.cli.database import database
    from leoflow.db.pool import connect

    async with database(settings) as dsn:
        connection = await connect(dsn, application_name="leoflow-auth")
        try:
            await users.put_user(connection, name, password, role)
        finally:
            await connection.close()
