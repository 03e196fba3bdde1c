"""Writes docs/cli.md from the commands themselves: `python -m tools.cli_doc`."""

import importlib
from pathlib import Path
from typing import Any

import typer

from leoflow.cli.main import COMMANDS

TARGET = Path(__file__).parent.parent / "docs" / "cli.md"

_INTRODUCTION = """\
# The command line

Written by `python -m tools.cli_doc` from the commands themselves; edit those.

Every command has `--help` with an example. Data goes to stdout, everything else to stderr; `--output json` prints one
JSON document. Exit codes: `0` done, `1` what was asked for failed, `2` usage error, `3` timed out waiting, `4` server
or database unreachable, or not authorised. Errors are `error: <what>: <where>` and a `hint:` line; `--debug` anywhere
on the line shows tracebacks.

Commands that talk to a server find it in this order: `--server`, `LEOFLOW_SERVER_URL`, the server of the last
`leoflow auth login`, the Lite that runs on this home. On a Lite home they sign in by themselves; elsewhere with
`leoflow auth login` or `LEOFLOW_TOKEN`.
"""


def render() -> str:
    """The whole document."""
    parts = [_INTRODUCTION, "| Command | What it does |\n|---|---|"]
    parts[-1] += "".join(f"\n| [`leoflow {name}`](#leoflow-{name}) | {lazy.help} |" for name, lazy in COMMANDS.items())
    for name, lazy in COMMANDS.items():
        group = typer.main.get_group(importlib.import_module(lazy.module).app)
        parts.append(_section(["leoflow", name], group.commands[name] if lazy.single else group))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _section(path: list[str], command: Any) -> str:
    title = f"{'#' * len(path)} {' '.join(path)}"
    inner = getattr(command, "commands", None)
    text = [title, (command.help or "").strip()]
    if inner:
        return "\n\n".join([*text, *(_section([*path, name], one) for name, one in inner.items() if not one.hidden)])
    context = typer.Context(command, info_name=path[-1])
    arguments, options = [], []
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if parameter.param_type_name == "argument":
            name = parameter.name.upper().removesuffix("_") + ("…" if parameter.nargs < 0 else "")
            arguments.append(name if parameter.required else f"[{name}]")
        elif record is not None and record[0] != "--help":
            name, text_ = record[0].replace("|", "\\|"), " ".join(record[1].split())
            options.append(f"| `{name}` | {text_} |")
    example = (command.epilog or "").removeprefix("Example: ").strip()
    text.append("```sh\n" + " ".join([*path, *arguments, *(["[OPTIONS]"] if options else [])]) + "\n```")
    if options:
        text.append("| Option | |\n|---|---|\n" + "\n".join(options))
    if example:
        text.append(f"Example: `{example}`")
    return "\n\n".join(text)


if __name__ == "__main__":
    TARGET.write_text(render())
    print(TARGET)
