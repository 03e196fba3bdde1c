"""`leoflow push`: registers compiled DAGs with a server."""

from pathlib import Path
from typing import Annotated, Any

import typer

from leoflow.cli.client import Client, api
from leoflow.cli.options import read_file, usage
from leoflow.cli.output import Output, OutputOption, print_rows
from leoflow.cli.servers import ServerOption, connect

app = typer.Typer(rich_markup_mode=None)
COLUMNS = ("dag_id", "version_number", "result", "content_hash")


@app.command("push", epilog="Example: leoflow push build/etl_daily.dag.json")
def push(
    files: Annotated[list[Path], typer.Argument(help="What `leoflow compile` wrote.")],
    server: ServerOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Register dag.json files: a new version each, or unchanged when the content is known."""
    specs = [_read(file) for file in files]
    client = connect(server)
    print_rows([register(client, spec) for spec in specs], output, columns=COLUMNS)


def register(client: Client, spec: dict[str, Any]) -> dict[str, Any]:
    """Register a compiled DAG and return its version, with `result`: new or unchanged."""
    made = client.post(api("leoflow", "dags", spec["dag_id"], "versions"), spec)
    return {**made, "result": "new" if made["is_new"] else "unchanged"}


def _read(file: Path) -> dict[str, Any]:
    spec = read_file(file)
    if not isinstance(spec, dict) or not isinstance(spec.get("dag_id"), str):
        raise usage("not a dag.json", str(file), "write one with `leoflow compile PATH -o DIR`")
    return spec
