"""`leoflow pools`: list, get, set, delete, import, export."""

from typing import Annotated, Any

import typer

from leoflow.cli.admin import Resource, group
from leoflow.cli.servers import ServerOption, connect

POOLS = Resource(
    "pools",
    "name",
    ("name", "slots", "occupied_slots", "open_slots", "include_deferred", "description"),
    ("slots", "description", "include_deferred"),
    patch_key="pool",
    fixed={"default_pool": ("description",)},
)
app = group(POOLS, "pool", "etl")


@app.command("set", epilog="Example: leoflow pools set etl 8 --include-deferred")
def set_(
    name: Annotated[str, typer.Argument(help="The pool.")],
    slots: Annotated[int, typer.Argument(min=-1, help="Its slots; -1 for no limit (write `-- -1`).")],
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    include_deferred: Annotated[
        bool | None, typer.Option("--include-deferred/--exclude-deferred", help="Whether deferred tasks count.")
    ] = None,
    server: ServerOption = None,
) -> None:
    """Create or change a pool."""
    given: dict[str, Any] = {"description": description, "include_deferred": include_deferred}
    entity = {"name": name, "slots": slots, **{key: value for key, value in given.items() if value is not None}}
    print(f"{name} {POOLS.put(connect(server), entity)}")
