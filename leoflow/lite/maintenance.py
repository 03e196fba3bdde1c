"""Data management of a Lite home: reset, password, backup, restore."""

import asyncio
import contextlib
import secrets
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import psycopg

from leoflow.config import Settings
from leoflow.db import binaries, migrate, open_pool
from leoflow.db.embedded import EmbeddedPostgres
from leoflow.errors import LeoflowError
from leoflow.lite import admin, lock

SECRETS = ("admin-password", "secret-key", "jwt-secret", "config.toml")
DATA = ("pg", "bundles", "tmp", "admin-password", "secret-key", "jwt-secret")
DUMP_NAME = "database.dump"


async def reset(settings: Settings) -> list[Path]:
    """Remove the data of a home; environments, the UI and the configuration stay. Returns what was removed.

    Raises:
        LeoflowError: a Lite runs on the home, or its data is in a database of the user's own.
    """
    _require_own_data(settings)
    with lock.hold_home(settings.home):
        await _embedded(settings).stop()
        present = _present(settings.home)
        for path in present:
            await asyncio.to_thread(_remove, path)
        return present


async def new_password(settings: Settings) -> str:
    """Give the administrator a new random password; works while Lite runs."""
    async with _database(settings) as dsn:
        pool = await open_pool(dsn, max_size=1)
        try:
            return await admin.set_password(pool, settings.home, secrets.token_urlsafe(12))
        finally:
            await pool.close()


async def backup(settings: Settings, file: Path) -> int:
    """Write an archive with the database, the sources of all versions and the secrets; returns its size in bytes.

    Raises:
        LeoflowError: the file exists, or the dump failed.
    """
    if file.exists():
        raise LeoflowError("the file exists", where=str(file), hint="choose another name")
    async with _database(settings) as dsn:
        with tempfile.TemporaryDirectory(dir=settings.home) as scratch:
            dump = Path(scratch) / DUMP_NAME
            await _program(settings, "pg_dump", "--format=custom", f"--file={dump}", dsn)
            await asyncio.to_thread(_pack, settings.home, dump, file)
    return file.stat().st_size


async def restore(settings: Settings, file: Path) -> None:
    """Replace the data of a home by an archive's; when that fails, everything is as it was.

    Raises:
        LeoflowError: a Lite runs on the home, or the archive is not one of ours.
    """
    _require_own_data(settings)
    with lock.hold_home(settings.home), tempfile.TemporaryDirectory(dir=settings.home, prefix=".restore-") as scratch:
        unpacked, before = Path(scratch) / "new", Path(scratch) / "before"
        unpacked.mkdir()
        before.mkdir()
        await asyncio.to_thread(_unpack, file, unpacked)
        await _embedded(settings).stop()
        _move(DATA, settings.home, before)
        try:
            _move(SECRETS, unpacked, settings.home)
            _move(("bundles",), unpacked, settings.home)
            await _load(settings, unpacked / DUMP_NAME)
        except BaseException:
            await _embedded(settings).stop()
            for path in _present(settings.home):
                _remove(path)
            _move(DATA, before, settings.home)
            raise


async def _load(settings: Settings, dump: Path) -> None:
    """Fill a new database from a dump. Roles belong to a server, not to a dump: they are granted again."""
    async with _database(settings) as dsn:
        await _program(
            settings, "pg_restore", "--no-owner", "--no-privileges", "--exit-on-error", f"--dbname={dsn}", str(dump)
        )
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
            await connection.execute("delete from leoflow_core.applied_object")
        await migrate.upgrade(dsn)


def _move(names: Iterable[str], source: Path, target: Path) -> None:
    for name in names:
        if (source / name).exists():
            _remove(target / name)
            shutil.move(source / name, target / name)


def _present(home: Path) -> list[Path]:
    return [home / name for name in DATA if (home / name).exists()]


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _require_own_data(settings: Settings) -> None:
    if settings.dsn is not None:
        raise LeoflowError(
            "the data is in a database of your own", hint="use `leoflow db clean`, or unset LEOFLOW_DATABASE_URL"
        )


@contextlib.asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[str]:
    """The DSN of the home's database; its server runs at least as long as the block."""
    if settings.dsn is not None:
        yield settings.dsn
        return
    postgres = _embedded(settings)
    was_running = postgres.running()
    dsn = await postgres.start()
    try:
        yield dsn
    finally:
        if not was_running:
            await postgres.stop()


def _embedded(settings: Settings) -> EmbeddedPostgres:
    return EmbeddedPostgres(settings.home, bin_dir=settings.postgres.bin_dir)


async def _program(settings: Settings, name: str, *arguments: str) -> None:
    data = settings.home / "pg"
    found = binaries.find(data, binaries.account_for(data), settings.postgres.bin_dir)
    try:
        process = await asyncio.create_subprocess_exec(
            found.program(name), *arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
    except FileNotFoundError:
        raise LeoflowError(
            f"{name} is not installed", where=str(found.directory), hint="install the PostgreSQL client programs"
        ) from None
    _, said = await process.communicate()
    if process.returncode != 0:
        raise LeoflowError(f"{name} failed ({said.decode(errors='replace').strip()})", where=str(settings.home))


def _pack(home: Path, dump: Path, file: Path) -> None:
    with tarfile.open(file, "x:gz") as archive:
        file.chmod(0o600)
        archive.add(dump, DUMP_NAME)
        for name in (*SECRETS, "bundles"):
            if (home / name).exists():
                archive.add(home / name, name)


def _extract(archive: tarfile.TarFile, target: Path) -> None:
    if hasattr(tarfile, "data_filter"):
        archive.extractall(target, filter="data")
        return
    # Python before 3.11.4, as in Debian 12, has no filters: only plain files and directories below the target.
    base = target.resolve()
    for member in archive.getmembers():
        if not (member.isfile() or member.isdir()) or not (base / member.name).resolve().is_relative_to(base):
            raise tarfile.TarError(f"it holds {member.name!r}, which is no part of a backup")
    archive.extractall(target)


def _unpack(file: Path, target: Path) -> None:
    try:
        with tarfile.open(file) as archive:
            _extract(archive, target)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise LeoflowError(f"not an archive that can be read ({error})", where=str(file)) from error
    if not (target / DUMP_NAME).is_file():
        raise LeoflowError("not a backup of Leoflow Lite", where=str(file), hint="give a file of `leoflow lite backup`")
