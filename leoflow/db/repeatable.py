"""Applies the SQL objects that are replaced rather than migrated: functions, views, roles.

When the text of any file changed, all are applied in one transaction, in the order functions, views, roles. A file
that needs an object of a later one is tried again after it. `create or replace` comes first, so that objects built by
users on our views survive; where Postgres cannot replace (other columns, another return type), our own views and
functions are dropped and created anew, with the roles file restoring the grants.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Connection, errors, sql

import leoflow
from leoflow.errors import LeoflowError
from leoflow.share import share_dir

_DEFINES = re.compile(
    r"^\s*create\s+(?:or\s+replace\s+)?(?P<kind>function|procedure|view)\s+(?P<schema>\w+)\.(?P<name>\w+)",
    re.IGNORECASE | re.MULTILINE,
)
_NOT_YET_THERE = (
    errors.UndefinedTable,
    errors.UndefinedFunction,
    errors.UndefinedObject,
    errors.UndefinedColumn,
)
_CANNOT_REPLACE = (errors.InvalidFunctionDefinition, errors.InvalidTableDefinition, errors.WrongObjectType)


@dataclass(frozen=True, slots=True)
class ObjectName:
    """A function (all its overloads), procedure or view."""

    kind: str
    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class SqlFile:
    """One file of SQL objects, its path relative to `sql/`."""

    path: str
    text: str

    @property
    def digest(self) -> str:
        """Content hash."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def objects(self) -> tuple[ObjectName, ...]:
        """What the file defines, found by its `create … schema.name` lines."""
        found = (
            ObjectName(m["kind"].lower(), m["schema"].lower(), m["name"].lower()) for m in _DEFINES.finditer(self.text)
        )
        return tuple(dict.fromkeys(found))


@cache
def files() -> tuple[SqlFile, ...]:
    """All files in the order they are applied."""
    root = share_dir("sql")
    paths = [*sorted((root / "functions").rglob("*.sql")), *sorted((root / "views").rglob("*.sql"))]
    paths += [path for path in (root / "roles.sql",) if path.is_file()]
    return read_files(root, paths)


def read_files(root: Path, paths: Iterable[Path]) -> tuple[SqlFile, ...]:
    """Read `paths`; a name defined in two files is a mistake of ours and raises ValueError."""
    read = tuple(SqlFile(path.relative_to(root).as_posix(), path.read_text()) for path in paths)
    owner: dict[ObjectName, str] = {}
    for file in read:
        for name in file.objects:
            if owner.setdefault(name, file.path) != file.path:
                raise ValueError(f"{name} is defined in {owner[name]} and in {file.path}")
    return read


def prepare(connection: Connection[Any]) -> None:
    """Create the table that remembers what was applied."""
    connection.execute("""
        create table if not exists leoflow_core.applied_object (
            path text primary key,
            digest text not null,
            objects text[] not null,
            program_version text not null,
            applied_at timestamptz not null default clock_timestamp()
        )""")
    connection.execute(
        "comment on table leoflow_core.applied_object is 'Files of functions, views and roles as last applied.'"
    )


def stale(connection: Connection[Any]) -> list[str]:
    """Paths whose applied text differs from this program's, vanished ones included."""
    applied = {path: digest for path, digest, *_ in _applied(connection)}
    current = {file.path: file.digest for file in files()}
    return sorted(path for path in applied.keys() | current.keys() if applied.get(path) != current.get(path))


def newer_program(connection: Connection[Any]) -> str | None:
    """The version that applied the objects, when it is newer than this program's."""
    versions = {version for *_, version in _applied(connection)}
    newest = max(versions, key=_version, default=None)
    return newest if newest and _version(newest) > _version(leoflow.__version__) else None


def apply(connection: Connection[Any], sources: tuple[SqlFile, ...] | None = None) -> None:
    """Make the database's objects those of `sources` (default: this program's), in one transaction.

    Raises:
        LeoflowError: a file cannot be applied, named with the server's message.
    """
    sources = files() if sources is None else sources
    with connection.transaction():
        connection.execute("set local check_function_bodies = off")
        connection.execute("set local client_min_messages = warning")
        before = _recorded(connection)
        try:
            with connection.transaction():
                _apply_in_order(connection, sources)
        except _CANNOT_REPLACE:
            _drop(connection, dict.fromkeys([*before, *_defined(sources)]))
            _apply_in_order(connection, sources)
        _drop(connection, [name for name in before if name not in set(_defined(sources))])
        _record(connection, sources)


def drop_all(connection: Connection[Any]) -> None:
    """Drop every object that was applied."""
    with connection.transaction():
        _drop(connection, _recorded(connection))
        connection.execute("delete from leoflow_core.applied_object")


def _apply_in_order(connection: Connection[Any], sources: tuple[SqlFile, ...]) -> None:
    waiting = list(sources)
    while waiting:
        later: list[SqlFile] = []
        first_error: tuple[SqlFile, psycopg.Error] | None = None
        for file in waiting:
            try:
                with connection.transaction():
                    _apply_file(connection, file)
            except _NOT_YET_THERE as error:
                later.append(file)
                first_error = first_error or (file, error)
            except _CANNOT_REPLACE:
                raise
            except psycopg.Error as error:
                raise _explain(file, error) from error
        if first_error is not None and len(later) == len(waiting):
            raise _explain(*first_error) from first_error[1]
        waiting = later


def _apply_file(connection: Connection[Any], file: SqlFile) -> None:
    """Apply one file, then drop the overloads of its functions that it no longer defines."""
    functions = [name for name in file.objects if name.kind != "view"]
    before = _overloads(connection, functions)
    connection.execute(sql.SQL(file.text))
    for oid, (row, signature) in _overloads(connection, functions).items():
        if oid in before and before[oid][0] == row:  # not written by this file: an overload of the past
            connection.execute(sql.SQL("drop routine {}").format(sql.SQL(signature)))


def _overloads(connection: Connection[Any], names: list[ObjectName]) -> dict[int, tuple[str, str]]:
    found = connection.execute(
        """
        select p.oid, p.ctid::text || p.xmin::text, p.oid::regprocedure::text
        from pg_proc as p
        join pg_namespace as n on n.oid = p.pronamespace
        join unnest(%s::text[], %s::text[]) as wanted (schema, name)
            on wanted.schema = n.nspname and wanted.name = p.proname
        """,
        ([name.schema for name in names], [name.name for name in names]),
    )
    return {oid: (row, signature) for oid, row, signature in found}


def _drop(connection: Connection[Any], names: Iterable[ObjectName]) -> None:
    """Drop ours, views before functions, until nothing more goes; what others hold on to is an error for views."""
    waiting = sorted(names, key=lambda name: name.kind != "view")
    while waiting:
        held: list[tuple[ObjectName, psycopg.Error]] = []
        for name in waiting:
            try:
                with connection.transaction():
                    _drop_one(connection, name)
            except errors.DependentObjectsStillExist as error:
                held.append((name, error))
        if len(held) == len(waiting):
            _refuse_held_views(held)
            return
        waiting = [name for name, _ in held]


def _drop_one(connection: Connection[Any], name: ObjectName) -> None:
    if name.kind == "view":
        connection.execute(sql.SQL("drop view if exists {}").format(sql.Identifier(name.schema, name.name)))
        return
    for _, signature in _overloads(connection, [name]).values():
        connection.execute(sql.SQL("drop routine {}").format(sql.SQL(signature)))


def _refuse_held_views(held: list[tuple[ObjectName, psycopg.Error]]) -> None:
    for name, error in held:
        if name.kind == "view":
            raise LeoflowError(
                f"a view that changes is used by an object of yours ({error.diag.message_detail})",
                where=str(name),
                hint="drop your object, run `leoflow db migrate`, create it again",
            ) from error


def _explain(file: SqlFile, error: psycopg.Error) -> LeoflowError:
    position = error.diag.statement_position
    line = f":{file.text.count(chr(10), 0, int(position)) + 1}" if position else ""
    return LeoflowError(
        f"SQL cannot be applied ({error.diag.message_primary})", where=f"sql/{file.path}{line}", hint=_hint(error)
    )


def _hint(error: psycopg.Error) -> str:
    if isinstance(error, errors.InsufficientPrivilege):
        return "migrate as the owner of the database, or as a user that may create roles"
    return error.diag.message_hint or "this is a mistake in Leoflow's SQL; please report it"


def _applied(connection: Connection[Any]) -> list[tuple[str, str, list[str], str]]:
    exists = connection.execute("select to_regclass('leoflow_core.applied_object') is not null").fetchone()
    if not exists or not exists[0]:
        return []
    return connection.execute(
        "select path, digest, objects, program_version from leoflow_core.applied_object order by path"
    ).fetchall()


def _recorded(connection: Connection[Any]) -> list[ObjectName]:
    return [_parse(text) for _, _, names, _ in _applied(connection) for text in names]


def _parse(text: str) -> ObjectName:
    kind, _, qualified = text.partition(" ")
    schema, _, name = qualified.partition(".")
    return ObjectName(kind, schema, name)


def _defined(sources: Iterable[SqlFile]) -> list[ObjectName]:
    return [name for file in sources for name in file.objects]


def _record(connection: Connection[Any], sources: tuple[SqlFile, ...]) -> None:
    connection.execute("delete from leoflow_core.applied_object")
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into leoflow_core.applied_object (path, digest, objects, program_version) values (%s, %s, %s, %s)",
            [(file.path, file.digest, [str(name) for name in file.objects], leoflow.__version__) for file in sources],
        )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])
