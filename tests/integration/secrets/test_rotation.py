"""Keys change without a moment at which something stored cannot be read, whatever is killed when."""

import multiprocessing
import signal
from pathlib import Path

import psycopg
import pytest
from psycopg import AsyncConnection

from leoflow.cli.main import main
from leoflow.crypto import SecretBox, read_keys, write_keys
from leoflow.db import migrate
from leoflow.db.pool import connect
from leoflow.errors import LeoflowError
from leoflow.secrets import rotation
from leoflow.secrets.connections import seal, unseal
from leoflow.share import share_dir

pytestmark = pytest.mark.anyio

COUNT = rotation.BATCH * 2 + 7


@pytest.fixture
async def box(connection: AsyncConnection, home: Path) -> SecretBox:
    """Stored with the first key of a home: several batches of variables, and connections."""
    made = SecretBox.load_or_create(home)
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "insert into leoflow_core.variable (key, value) values (%s, %s)",
            [(f"v{number:04}", made.encrypt(f"value {number}")) for number in range(COUNT)],
        )
        await cursor.executemany(
            "insert into leoflow_core.connection (connection_id, conn_type, sealed) values (%s, 'http', %s)",
            [(f"c{number}", seal(made, {"host": f"host {number}", "port": number})) for number in range(3)],
        )
    return made


async def opened(connection: AsyncConnection, box: SecretBox) -> tuple[list[str], list[str]]:
    rows = await (await connection.execute("select value from leoflow_core.variable order by key")).fetchall()
    sealed = await (
        await connection.execute("select sealed from leoflow_core.connection order by connection_id")
    ).fetchall()
    return [box.decrypt(value) for (value,) in rows], [unseal(box, value)["host"] for (value,) in sealed]


ALL = ([f"value {number}" for number in range(COUNT)], [f"host {number}" for number in range(3)])


async def test_everything_is_sealed_again_and_the_old_key_needed_no_more(
    connection: AsyncConnection, home: Path, box: SecretBox
) -> None:
    [old] = read_keys(home).current
    done = await rotation.rotate(connection, home)
    assert (done.new_key, done.resealed, done.old_keys) == (True, COUNT + 3, 1)
    assert await rotation.forget_old_keys(connection, home) == 1
    [new] = read_keys(home).current
    assert new != old
    assert await opened(connection, SecretBox([new])) == ALL
    with pytest.raises(LeoflowError):
        await opened(connection, SecretBox([old]))


async def test_a_process_that_runs_meanwhile_goes_on_reading_and_writes_with_the_new_key(
    connection: AsyncConnection, home: Path, box: SecretBox
) -> None:
    await rotation.rotate(connection, home)
    assert await opened(connection, box) == ALL
    await rotation.forget_old_keys(connection, home)
    assert SecretBox(read_keys(home).current).decrypt(box.encrypt("later")) == "later"


def _rotate_and_hang(dsn: str, home: Path, batches: int) -> None:
    import asyncio

    async def run() -> None:
        seen = 0
        original = rotation._variable

        def counted(box: SecretBox, value: bytes) -> bytes | None:
            nonlocal seen
            sealed = original(box, value)
            seen += sealed is not None
            if seen > batches * rotation.BATCH:
                signal.raise_signal(signal.SIGKILL)
            return sealed

        rotation._variable = counted
        await rotation.rotate(await connect(dsn), home)

    asyncio.run(run())


@pytest.mark.parametrize("batches", [0, 1, 2])
async def test_a_killed_rotation_is_completed_by_the_next_with_the_same_key(
    connection: AsyncConnection, database_url: str, home: Path, box: SecretBox, batches: int
) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_rotate_and_hang, args=(database_url, home, batches))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    keys = read_keys(home).current
    assert len(keys) == 2
    assert await opened(connection, SecretBox.load_or_create(home)) == ALL
    left = await rotation.reseal(connection, SecretBox.load_or_create(home), only_look=True)
    assert left == COUNT + 3 - batches * rotation.BATCH
    done = await rotation.rotate(connection, home)
    assert (done.new_key, done.resealed, read_keys(home).current) == (False, left, keys)
    assert await opened(connection, SecretBox(keys[:1])) == ALL


async def test_a_prepared_key_is_read_by_all_before_anyone_writes_with_it(
    connection: AsyncConnection, home: Path, box: SecretBox, tmp_path: Path
) -> None:
    rotation.prepare(home)
    rotation.prepare(home)
    prepared = read_keys(home).prepared
    assert prepared
    elsewhere = tmp_path / "other machine"
    elsewhere.mkdir()
    write_keys(elsewhere, read_keys(home))
    await rotation.rotate(connection, home)
    assert read_keys(home).current[0] == prepared
    assert await opened(connection, SecretBox.load_or_create(elsewhere)) == ALL


async def test_a_value_no_key_reads_stops_a_rotation_before_anything_changes(
    connection: AsyncConnection, home: Path, box: SecretBox
) -> None:
    foreign = SecretBox.load_or_create(home / "foreign").encrypt("x")
    await connection.execute("insert into leoflow_core.variable (key, value) values ('zz', %s)", [foreign])
    keys = read_keys(home)
    with pytest.raises(LeoflowError, match="another key") as caught:
        await rotation.rotate(connection, home)
    assert "zz" in str(caught.value)
    assert read_keys(home) == keys


def test_the_command_rotates_and_forgets(
    database_url: str, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEOFLOW_DATABASE_URL", database_url)
    box = SecretBox.load_or_create(home)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("insert into leoflow_core.variable (key, value) values ('v', %s)", [box.encrypt("x")])
    assert main(["db", "rotate-key"]) == 0
    assert "encrypted 1 variables and connections with a new key" in capsys.readouterr().err
    assert main(["db", "rotate-key", "--forget-old"]) == 0
    assert len(read_keys(home).current) == 1


def _revision_before(name: str) -> str:
    [file] = (share_dir("migrations") / "versions").glob(f"*_{name}.py")
    return f"{int(file.name[:4]) - 1:04}"


async def test_connections_of_an_earlier_version_are_carried_over_and_sealed(
    empty_database_url: str, home: Path
) -> None:
    await migrate.upgrade(empty_database_url)
    await migrate.downgrade(empty_database_url, _revision_before("seal_connections"))
    box = SecretBox.load_or_create(home)
    connection = await connect(empty_database_url)
    async with connection:
        await connection.execute(
            "insert into leoflow_core.connection (connection_id, conn_type, host, login, port, password)"
            " values ('old', 'http', 'canary-host', 'me', 80, %s), ('bare', 'http', null, null, null, null)",
            [box.encrypt("swordfish")],
        )
        await migrate.upgrade(empty_database_url)
        assert await rotation.seal_what_was_readable(connection, home) == 2
        assert await rotation.seal_what_was_readable(connection, home) == 0
        cursor = await connection.execute("select sealed from leoflow_core.connection where connection_id = 'old'")
        [(sealed,)] = await cursor.fetchall()
    assert b"canary-host" not in bytes(sealed)
    fields = unseal(box, sealed)
    assert [fields[name] for name in ("host", "login", "port", "password", "extra")] == [
        "canary-host",
        "me",
        80,
        "swordfish",
        None,
    ]
