"""`leoflow variables`: list, get, set, delete, import, export."""

import sys
from typing import Annotated

import typer

from leoflow.cli.admin import Resource, group
from leoflow.cli.servers import ServerOption, connect

VARIABLES = Resource("variables", "key", ("key", "value", "description"), ("value", "description"))
app = group(VARIABLES, "variable", "my_key")


@app.command("set", epilog="Example: leoflow variables set my_key my_value; secrets: … set my_key - < file")
def set_(
    key: Annotated[str, typer.Argument(help="The variable.")],
    value: Annotated[str, typer.Argument(help="Its value; - reads it from stdin.")],
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    server: ServerOption = None,
) -> None:
    """Create or change a variable."""
    entity = {"key": key, "value": sys.stdin.read().rstrip("\n") if value == "-" else value}
    if description is not None:
        entity["description"] = description
    print(f"{key} {VARIABLES.put(connect(server), entity)}")
