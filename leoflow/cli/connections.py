"""`leoflow connections`: list, get, set, delete, import, export. Secrets are read from stdin, never from arguments."""

import getpass
import sys
from typing import Annotated, Any

import typer

from leoflow.cli.admin import Resource, group
from leoflow.cli.servers import ServerOption, connect

CONNECTIONS = Resource(
    "connections",
    "connection_id",
    ("connection_id", "conn_type", "host", "port", "login", "schema", "description"),
    ("conn_type", "host", "port", "login", "schema", "password", "extra", "description"),
)
app = group(CONNECTIONS, "connection", "warehouse")


@app.command("set", epilog="Example: leoflow connections set warehouse postgres --host db --login etl --password")
def set_(
    connection_id: Annotated[str, typer.Argument(help="The connection.")],
    conn_type: Annotated[str, typer.Argument(help="Its type: postgres, http, aws, …")],
    host: Annotated[str | None, typer.Option(help="Host.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port.")] = None,
    login: Annotated[str | None, typer.Option(help="User name.")] = None,
    schema: Annotated[str | None, typer.Option(help="Schema or database.")] = None,
    extra: Annotated[str | None, typer.Option(help="Further fields, a JSON object without secrets.")] = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    password: Annotated[bool, typer.Option("--password", help="Ask for the password, or read it from stdin.")] = False,
    server: ServerOption = None,
) -> None:
    """Create or change a connection."""
    given: dict[str, Any] = {
        "host": host,
        "port": port,
        "login": login,
        "schema": schema,
        "extra": extra,
        "description": description,
        "password": read_password("Password: ") if password else None,
    }
    entity = {"connection_id": connection_id, "conn_type": conn_type}
    entity |= {name: value for name, value in given.items() if value is not None}
    print(f"{connection_id} {CONNECTIONS.put(connect(server), entity)}")


def read_password(question: str) -> str:
    """Ask on the terminal, or read a line from stdin."""
    return getpass.getpass(question) if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
