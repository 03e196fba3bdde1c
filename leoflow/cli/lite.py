"""`leoflow lite`: the whole product on one machine."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from leoflow.cli.groups import DefaultCommandGroup


class LiteGroup(DefaultCommandGroup):
    """`leoflow lite --help` is the help of starting it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Anything but the name of a command belongs to `start`."""
        named = bool(args) and args[0] in self.commands
        return super().parse_args(ctx, args if named else [self.default, *args])


app = typer.Typer(cls=LiteGroup, no_args_is_help=False, rich_markup_mode=None, help="The whole product on one machine.")

HomeOption = Annotated[Path | None, typer.Option("--home", help="Where data is kept; default $LEOFLOW_HOME.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command(hidden=True, epilog="Example: leoflow lite examples --port 8089")
def start(
    path: Annotated[
        Path | None,
        typer.Argument(help="A project, a workspace, a folder of DAG files, or one .py file; default: this directory."),
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port of the UI and API; default 8088.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; default 127.0.0.1.")] = None,
    database_url: Annotated[
        str | None,
        typer.Option(help="Use this database instead of the embedded Postgres; better: LEOFLOW_DATABASE_URL."),
    ] = None,
    slots: Annotated[
        int | None, typer.Option(help="Attempts that run at the same time; default: from the cores.")
    ] = None,
    home: HomeOption = None,
) -> None:
    """Run everything on this machine until Ctrl-C, and follow every change of the files.

    Other commands: leoflow lite provision, password, reset, backup, restore.
    """
    from leoflow.cli.lite_terminal import LiteTerminal
    from leoflow.cli.logs import configure_logging, debugging
    from leoflow.config import load_settings
    from leoflow.errors import LeoflowError
    from leoflow.lite import process

    settings = load_settings(home=home, port=port, host=host, database_url=database_url, slots=slots)
    configure_logging(debug=debugging(), quiet=not debugging())
    where = (path or settings.lite.workspace or Path()).expanduser().absolute()
    if not where.exists():
        raise LeoflowError(
            "no such file or directory", where=str(where), hint=f"create a project with `leoflow init {path or where}`"
        )
    asyncio.run(process.run(settings, where, LiteTerminal()))


@app.command(epilog="Example: leoflow lite provision")
def provision(home: HomeOption = None) -> None:
    """Check this machine and fetch everything that Lite needs."""
    from leoflow.cli.progress import progress
    from leoflow.cli.provision import provision as prepare
    from leoflow.config import load_settings

    settings = load_settings(home=home)
    with progress("preparing this machine") as tell:
        done = asyncio.run(prepare(settings, tell))
    print(f"Python environment  {done.environment.python}")
    print(f"user interface      {done.ui_directory}")
    if done.postgres is not None:
        print(f"PostgreSQL          {done.postgres.version} ({done.postgres.source})")


@app.command(epilog="Example: leoflow lite password")
def password(
    new: Annotated[bool, typer.Option("--new", help="Set a new random password first.")] = False,
    home: HomeOption = None,
) -> None:
    """Print the password of the user `admin`."""
    from leoflow.config import load_settings
    from leoflow.errors import LeoflowError
    from leoflow.lite import admin, maintenance

    settings = load_settings(home=home)
    if new:
        asyncio.run(maintenance.new_password(settings))
    try:
        print((settings.home / admin.FILE_NAME).read_text().strip())
    except FileNotFoundError:
        raise LeoflowError(
            "there is no administrator yet", where=str(settings.home), hint="start Lite once: `leoflow lite`"
        ) from None


@app.command(epilog="Example: leoflow lite reset")
def reset(yes: YesOption = False, home: HomeOption = None) -> None:
    """Delete all runs, DAG versions, logs, users and variables of this home; environments stay."""
    from leoflow.config import load_settings
    from leoflow.lite import maintenance

    settings = load_settings(home=home)
    _confirm(f"Delete all data below {settings.home}?", yes)
    for removed in asyncio.run(maintenance.reset(settings)):
        print(f"removed {removed}")


@app.command(epilog="Example: leoflow lite backup leoflow.tar.gz")
def backup(file: Annotated[Path, typer.Argument(help="The archive to write.")], home: HomeOption = None) -> None:
    """Write the database and the secrets of this home into one archive."""
    from leoflow.config import load_settings
    from leoflow.lite import maintenance

    settings = load_settings(home=home)
    size = asyncio.run(maintenance.backup(settings, file))
    print(f"{file}: {size / 1e6:.1f} MB; it holds passwords and keys, keep it safe")


@app.command(epilog="Example: leoflow lite restore leoflow.tar.gz")
def restore(
    file: Annotated[Path, typer.Argument(help="An archive of `leoflow lite backup`.", exists=True)],
    yes: YesOption = False,
    home: HomeOption = None,
) -> None:
    """Replace the database and the secrets of this home by those of an archive."""
    from leoflow.config import load_settings
    from leoflow.lite import maintenance

    settings = load_settings(home=home)
    _confirm(f"Replace all data below {settings.home} by {file}?", yes)
    asyncio.run(maintenance.restore(settings, file))
    print(f"restored {settings.home}")


def _confirm(question: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        from leoflow.errors import ExitCode, LeoflowError

        raise LeoflowError("this destroys data", hint="say --yes to do it without asking", exit_code=ExitCode.USAGE)
    typer.confirm(question, abort=True)
