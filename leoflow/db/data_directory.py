"""Makes the data directory of a server of our own: a copy of what initdb leaves, made once per version."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from leoflow.db import binaries as programs
from leoflow.db.binaries import Account, Binaries
from leoflow.db.startup_errors import explain_failure
from leoflow.errors import LeoflowError

SUPERUSER = "leoflow"


def create(data_dir: Path, cache_dir: Path, found: Binaries, account: Account | None, *, durable: bool) -> None:
    """Copy the template into place, whole or not at all; what stands there is only replaced when it is empty.

    Args:
        data_dir: where the data shall be.
        cache_dir: where templates are kept.
        found: the PostgreSQL to use.
        account: who the server runs as; None is the user of this process.
        durable: wait until all of it is on the disk.

    Raises:
        LeoflowError: `data_dir` holds something else, or initdb failed.
    """
    if data_dir.exists() and any(data_dir.iterdir()):
        raise LeoflowError(
            "the data directory is damaged: it holds files but no PG_VERSION",
            where=str(data_dir),
            hint="restore a backup (`leoflow lite restore`), or move the directory away; nothing was changed",
        )
    source = template(cache_dir, found, account)
    with tempfile.TemporaryDirectory(dir=data_dir.parent, prefix=".pg-new-") as scratch:
        fresh = Path(scratch) / "pg"
        shutil.copytree(source, fresh)
        give(fresh, account)
        if durable:
            os.sync()
        fresh.rename(data_dir)


def template(cache_dir: Path, found: Binaries, account: Account | None) -> Path:
    """Return a data directory as initdb leaves it; copying one is four times quicker than making it.

    Raises:
        LeoflowError: initdb failed.
    """
    kept = cache_dir / f"initdb-{found.version}"
    if (kept / "PG_VERSION").is_file():
        return kept
    cache_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_dir, prefix=".new-") as scratch:
        fresh = Path(scratch) / "data"
        fresh.mkdir(mode=0o700)
        give(fresh, account)
        _initdb(found, account, fresh)
        with contextlib.suppress(OSError):  # another process was faster: its template is as good
            fresh.rename(kept)
    return kept


def _initdb(found: Binaries, account: Account | None, directory: Path) -> None:
    with named(directory, account) as (data, descriptors):
        done = subprocess.run(
            [
                *(found.program("initdb"), "--no-sync", "--no-instructions", "--no-locale", "--encoding=UTF8"),
                *("--auth=trust", f"--username={SUPERUSER}", "-D", data),
            ],
            **programs.as_account(account),
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            pass_fds=descriptors,
            env=environment(),
        )
    if done.returncode != 0:
        raise explain_failure(done.stderr or done.stdout, directory, None)


@contextlib.contextmanager
def named(directory: Path, account: Account | None) -> Iterator[tuple[str, tuple[int, ...]]]:
    """A name of `directory` that `account` can use, and the descriptors its process must inherit for that."""
    if account is None:
        yield str(directory), ()
        return
    if not Path("/proc/self/fd").is_dir():
        raise LeoflowError(
            "/proc is not mounted",
            hint="mount it (`mount -t proc proc /proc`), or run leoflow as a user instead of root",
        )
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}", (descriptor,)
    finally:
        os.close(descriptor)


def give(path: Path, account: Account | None) -> None:
    """Make `account` the owner of a directory and of all below it."""
    if account is None:
        return
    for directory, _, names in os.walk(path):
        for each in (directory, *(os.path.join(directory, name) for name in names)):  # noqa: PTH118
            os.chown(each, account.uid, account.gid, follow_symlinks=False)


def environment() -> dict[str, str]:
    """Return our variables without the user's PG* and locale ones: they would change what the programs do."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C"}
