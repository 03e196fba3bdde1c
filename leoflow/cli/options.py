"""Options and small readers that the command groups share."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from leoflow.errors import ExitCode, LeoflowError
from leoflow.storable import find_flaw

LimitOption = Annotated[int, typer.Option(min=1, help="Rows at most.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")]


def usage(what: str, where: str, hint: str) -> LeoflowError:
    """An error of the command line."""
    return LeoflowError(what, where=where, hint=hint, exit_code=ExitCode.USAGE)


def read_moment(text: str | None, option: str) -> str | None:
    """Check a date or time; without a zone it is UTC."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise usage("not a date", f"{option} {text}", "for example 2026-01-31 or 2026-01-31T06:00:00+00:00") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).isoformat()


def read_object(text: str | None, option: str) -> dict[str, Any] | None:
    """Check a JSON object."""
    if text is None:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise usage(f"not JSON ({error})", option, """for example '{"name": "value"}'""") from None
    if not isinstance(found, dict):
        raise usage("not a JSON object", option, """for example '{"name": "value"}'""")
    if flaw := find_flaw(found):
        raise usage(str(flaw), option, "correct the value that is named")
    return found


def read_file(path: Path) -> Any:
    """Read a JSON or YAML file."""
    try:
        text = path.read_text()
        if path.suffix in (".yaml", ".yml"):
            import yaml

            try:
                return yaml.safe_load(text)
            except yaml.YAMLError as error:
                raise usage(f"not YAML ({str(error).splitlines()[0]})", str(path), "correct the file") from None
        return json.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise usage(f"cannot be read ({error})", str(path), "name a readable JSON or YAML file") from None
    except (ValueError, RecursionError) as error:
        raise usage(f"not JSON ({error})", str(path), "correct the file") from None


def read_tasks(tasks: list[str] | None) -> list[Any] | None:
    """Read `task_id` or `task_id[map_index]`."""
    if not tasks:
        return None
    found: list[Any] = []
    for one in tasks:
        name, bracket, rest = one.partition("[")
        if not bracket:
            found.append(one)
        elif rest.endswith("]") and rest[:-1].lstrip("-").isdigit():
            found.append([name, int(rest[:-1])])
        else:
            raise usage("not a task", one, "task_id, or task_id[map_index] of a mapped one")
    return found


def confirm(question: str, yes: bool) -> None:
    """Ask before something is destroyed; without a terminal `--yes` must be given."""
    import sys

    if yes:
        return
    if not sys.stdin.isatty():
        raise usage("this destroys data", question, "say --yes to do it without asking")
    typer.confirm(question, abort=True)
