"""The `leoflow` command: finds the command group, and turns errors into `error:` and `hint:` lines.

A group's module is imported when the group is used, so that `leoflow --help` and tab completion stay quick. To add a
command, add one line to `COMMANDS`.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

import leoflow
from leoflow.errors import ExitCode, LeoflowError


@dataclass(frozen=True, slots=True)
class Lazy:
    """Where a command is: `module` has a Typer `app`; a `single` command is one of its commands, a group all of it."""

    module: str
    help: str
    single: bool = False


COMMANDS = {
    "init": Lazy("leoflow.cli.project", "Scaffold a project: leoflow.yaml and dag.py.", single=True),
    "validate": Lazy("leoflow.cli.project", "Check a project without running task code.", single=True),
    "compile": Lazy("leoflow.cli.project", "Turn a project into its dag.json.", single=True),
    "run": Lazy("leoflow.cli.run", "Run one DAG to the end, without a server.", single=True),
    "lite": Lazy("leoflow.cli.lite", "The whole product on one machine, with hot reload."),
    "dags": Lazy("leoflow.cli.dags", "DAGs of a server: list, show, pause, delete, versions."),
    "runs": Lazy("leoflow.cli.runs", "Runs: list, trigger, cancel, clear, delete, note, logs."),
    "tasks": Lazy("leoflow.cli.tasks", "Tasks: list, states, clear, mark, note, logs."),
    "backfill": Lazy("leoflow.cli.backfill", "Backfills: create, list, show, pause, cancel."),
    "assets": Lazy("leoflow.cli.assets", "Assets: list, show, events, materialize."),
    "variables": Lazy("leoflow.cli.variables", "Variables: get, set, delete, import, export."),
    "connections": Lazy("leoflow.cli.connections", "Connections: get, set, delete, import, export."),
    "pools": Lazy("leoflow.cli.pools", "Pools: get, set, delete, import, export."),
    "push": Lazy("leoflow.cli.push", "Register dag.json files with a server.", single=True),
    "deploy": Lazy("leoflow.cli.deploy", "Compile, build, push and register, optionally run.", single=True),
    "auth": Lazy("leoflow.cli.auth", "Sign in, make users and tokens."),
    "server": Lazy("leoflow.cli.server", "The API and UI of a cluster.", single=True),
    "scheduler": Lazy("leoflow.cli.scheduler", "The scheduler of a cluster.", single=True),
    "worker": Lazy("leoflow.cli.worker", "A worker of a cluster.", single=True),
    "triggerer": Lazy("leoflow.cli.triggerer", "The triggerer of a cluster.", single=True),
    "db": Lazy("leoflow.cli.db", "The database: schema, clean-up, keys, shell."),
    "sql": Lazy("leoflow.cli.sql", "Read-only SQL on the public views.", single=True),
    "doctor": Lazy("leoflow.cli.doctor", "What is installed, reachable, misconfigured.", single=True),
}


class LazyGroup(TyperGroup):
    """Lists commands by name and help alone; imports the one that is invoked."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """All names, in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """A stand-in with the name and help, enough for `leoflow --help` and completion."""
        lazy = COMMANDS.get(cmd_name)
        return TyperCommand(cmd_name, help=lazy.help, callback=None) if lazy else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The real command, because it is about to run."""
        name, command, rest = super().resolve_command(ctx, args)
        if name is None or name not in COMMANDS:
            return name, command, rest
        return name, _load(name, COMMANDS[name]), rest


def _load(name: str, lazy: Lazy) -> Any:
    # Nothing but data may reach stdout; the long-running processes configure their own logging.
    importlib.import_module("leoflow.cli.logs").configure_logging(debug=_debug(), quiet=True)
    group = typer.main.get_group(importlib.import_module(lazy.module).app)
    return group.commands[name] if lazy.single else group


app = typer.Typer(cls=LazyGroup, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"leoflow {leoflow.__version__} (Airflow {leoflow.AIRFLOW_VERSION})")
        raise typer.Exit


@app.callback(epilog="Example: leoflow lite examples")
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; may stand anywhere.")] = False,
) -> None:
    """Run Airflow DAGs with Postgres as the orchestrator."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; the console script's entry point."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = given[: given.index("--")] if "--" in given else given
    if "--debug" in options:
        given.remove("--debug")
        os.environ["LEOFLOW_DEBUG"] = "1"
    try:
        result = app(args=given, prog_name="leoflow", standalone_mode=False)
    except KeyboardInterrupt:
        return _report("interrupted", "", 130)
    except Exception as error:
        if _debug():
            raise
        return _explain(error)
    sys.stdout.flush()
    return result if isinstance(result, int) else ExitCode.OK


def _debug() -> bool:
    return bool(os.environ.get("LEOFLOW_DEBUG"))


def _explain(error: Exception) -> int:
    if isinstance(error, LeoflowError):
        return _report(str(error), error.hint, error.exit_code)
    if isinstance(error, typer.Abort):
        return _report("aborted", "", ExitCode.FAILED)
    if isinstance(error, BrokenPipeError):
        # Whoever read our output has gone: nothing to say, and nothing more to flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):
        return _explain_usage(error)
    if _is_connection_loss(error):
        return _report(f"the database went away ({_line(error)})", "start it and try again", ExitCode.UNREACHABLE)
    hint = "this is a mistake in leoflow; run again with --debug and report the traceback"
    return _report(f"{type(error).__name__}: {_line(error)}", hint, ExitCode.FAILED)


def _explain_usage(error: Any) -> int:
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        print(context.get_help() if context else "")
        return ExitCode.USAGE
    hint = f"see `{context.command_path} --help`" if context else "see `leoflow --help`"
    return _report(error.format_message().rstrip("."), hint, ExitCode.USAGE)


def _is_connection_loss(error: Exception) -> bool:
    # psycopg is only asked when it is loaded: importing it here would cost every command.
    psycopg: Any = sys.modules.get("psycopg")
    return psycopg is not None and isinstance(error, psycopg.OperationalError)


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0]


def _report(what: str, hint: str, code: int) -> int:
    red, plain = ("\033[31m", "\033[0m") if sys.stderr.isatty() and not os.environ.get("NO_COLOR") else ("", "")
    print(f"{red}error:{plain} {what}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)
    return int(code)


def entry_point() -> None:
    """The console script: `main` and its exit code."""
    sys.exit(main())
