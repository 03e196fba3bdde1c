"""Says errors of the file system in a user's words."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from leoflow.errors import LeoflowError


def private_directory(home: Path, *below: str) -> Path:
    """Create LEOFLOW_HOME, for its owner alone, and a directory below it; returns the latter."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory = home.joinpath(*below)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory


@contextlib.contextmanager
def explain_os_error(home: Path) -> Iterator[None]:
    """Turn errors of the file system below `home` into ones a user understands."""
    try:
        yield
    except OSError as error:
        where = str(error.filename or home)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise LeoflowError("the disk is full", where=where, hint="free some space and start again") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise LeoflowError(
                f"no permission to write ({error.strerror})",
                where=where,
                hint="run as the user that owns the directory, or set LEOFLOW_HOME to one of your own",
            ) from error
        raise
