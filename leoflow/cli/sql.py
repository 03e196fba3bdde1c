"""`leoflow sql`: read-only statements on the public views, once or in a console."""

import asyncio
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import psycopg
import typer
from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row

from leoflow.cli.database import DatabaseOption, database
from leoflow.cli.output import Output, OutputOption, print_rows
from leoflow.config import load_settings
from leoflow.db.pool import connect
from leoflow.errors import LeoflowError

READER = "leoflow_reader"
_HELP = r"""End a statement with ;
\d         list the views
\d VIEW    describe one view
\q         leave"""
_VIEWS = """
    select c.relname as name, obj_description(c.oid, 'pg_class') as description
    from pg_class as c
    where c.relnamespace = 'leoflow'::regnamespace and c.relkind = 'v'
    order by c.relname
"""
_COLUMNS = """
    select a.attname as column, format_type(a.atttypid, a.atttypmod) as type,
        col_description(a.attrelid, a.attnum) as description
    from pg_attribute as a
    where a.attrelid = to_regclass(%s) and a.attnum > 0 and not a.attisdropped
    order by a.attnum
"""

app = typer.Typer(rich_markup_mode=None)


@app.command("sql", epilog='Example: leoflow sql "select dag_id, state from leoflow.dag_runs" --output json')
def sql_(
    query: Annotated[str | None, typer.Argument(help="One statement; without it a console opens.")] = None,
    output: OutputOption = Output.TABLE,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds a statement may take; 0 for no limit.")] = 30.0,
    database_url: DatabaseOption = None,
) -> None:
    """Run read-only SQL on the public views, as role leoflow_reader."""
    settings = load_settings(database_url=database_url)

    async def run() -> None:
        async with database(settings) as dsn:
            connection = await connect(dsn, application_name="leoflow-sql")
            try:
                if query is not None:
                    await _show(connection, query, output, timeout)
                else:
                    await _console(connection, output, timeout)
            finally:
                await connection.close()

    asyncio.run(run())


async def read(connection: AsyncConnection[Any], query: str, timeout: float) -> tuple[list[str], list[dict[str, Any]]]:
    """Run one statement in a read-only transaction as the reader; returns column names and rows.

    Raises:
        LeoflowError: the statement was refused, with the server's words.
    """
    try:
        async with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute("set transaction read only")
            await cursor.execute(sql.SQL("set local role {}").format(sql.Identifier(READER)))
            await cursor.execute("select set_config('statement_timeout', %s, true)", (f"{int(timeout * 1000)}ms",))
            await cursor.execute("set local search_path = leoflow, pg_catalog")
            # Prepared: the server then refuses several statements, of which a later one could leave the role.
            await cursor.execute(sql.SQL(query), prepare=True)
            if cursor.description is None:
                return [], []
            return [column.name for column in cursor.description], await cursor.fetchall()
    except psycopg.Error as error:
        raise _explain(error, query, timeout) from error


def _explain(error: psycopg.Error, query: str, timeout: float) -> Exception:
    if isinstance(error, psycopg.errors.QueryCanceled):
        return LeoflowError(f"the statement took longer than {timeout:g} s", hint="narrow it, or raise --timeout")
    if isinstance(error, psycopg.errors.InvalidParameterValue) and READER in str(error):
        return LeoflowError("the database has no leoflow schema yet", hint="run `leoflow db migrate`")
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        return LeoflowError("only reading is allowed here", hint="`leoflow db shell` opens psql with all rights")
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        what = error.diag.message_primary or "permission denied"
        return LeoflowError(what, hint="`\\d` lists the views; `leoflow db shell` opens psql with all rights")
    if "multiple commands" in str(error):
        return LeoflowError(
            "one statement at a time", hint="the console (`leoflow sql` without argument) takes several"
        )
    if error.sqlstate is None:
        return error
    position = error.diag.statement_position
    line = query.count("\n", 0, int(position) - 1) + 1 if position else 0
    where = f"line {line}" if line and "\n" in query else ""
    return LeoflowError(
        (error.diag.message_primary or str(error)).strip(), where=where, hint=error.diag.message_hint or ""
    )


async def _show(connection: AsyncConnection[Any], query: str, output: Output, timeout: float) -> None:
    columns, rows = await read(connection, query, timeout)
    if columns:
        print_rows(rows, output, columns=columns)


async def _console(connection: AsyncConnection[Any], output: Output, timeout: float) -> None:
    if sys.stdin.isatty():
        import readline  # noqa: F401  (gives input() history and editing)

        print("Read-only console on the views of schema leoflow. \\? for help, \\q to leave.", file=sys.stderr)
    for statement in _statements():
        try:
            if statement == r"\d":
                await _show(connection, _VIEWS, output, timeout)
            elif statement.startswith(r"\d "):
                await _describe(connection, statement[3:].strip(), output)
            elif statement.startswith("\\"):
                print(_HELP, file=sys.stderr)
            else:
                await _show(connection, statement, output, timeout)
        except LeoflowError as error:
            if not sys.stdin.isatty():
                raise
            print(f"error: {error}" + (f"\nhint: {error.hint}" if error.hint else ""), file=sys.stderr)


async def _describe(connection: AsyncConnection[Any], view: str, output: Output) -> None:
    name = view if "." in view else f"leoflow.{view}"
    async with connection.cursor(row_factory=dict_row) as cursor:
        rows = await (await cursor.execute(_COLUMNS, (name,))).fetchall()
    if not rows:
        raise LeoflowError("no such view", where=view, hint=r"\d lists them")
    print_rows(rows, output)


def _statements() -> Iterator[str]:
    r"""Statements from standard input, up to the end or `\q`."""
    pending: list[str] = []
    while True:
        try:
            line = input(("leoflow=> " if not pending else "leoflow-> ") if sys.stdin.isatty() else "")
        except EOFError:
            break
        except KeyboardInterrupt:
            pending.clear()
            print(file=sys.stderr)
            continue
        if not pending and line.strip().startswith("\\"):
            if line.strip() == r"\q":
                return
            yield line.strip()
            continue
        pending.append(line)
        if line.rstrip().endswith(";"):
            yield "\n".join(pending).rstrip().rstrip(";")
            pending.clear()
    if "".join(pending).strip():
        yield "\n".join(pending)
