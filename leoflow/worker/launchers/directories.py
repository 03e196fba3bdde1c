"""Working directories of attempts: each attempt has one to itself, empty at its start and removed with its content."""

import asyncio
import os
import secrets
import shutil
from pathlib import Path

_KEPT = 64


class AttemptDirectories:
    """Hands out empty directories (each with an empty `tmp` in it) and takes them back.

    A directory that comes back as empty as it went is used again: creating and removing two directories costs more
    than a small task on a busy disk.

    Args:
        root: where they are made.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._empty: list[Path] = []
        self._counter = 0
        self._name = f"-{secrets.token_hex(2)}-"

    def take(self) -> Path:
        """Return an empty directory nobody else uses."""
        if self._empty:
            return self._empty.pop()
        self._counter += 1
        # Short: sockets in a temporary directory (multiprocessing's) have 107 bytes for their whole path.
        directory = self._root / f"{os.getpid()}{self._name}{self._counter}"
        (directory / "tmp").mkdir(parents=True, mode=0o700)
        return directory

    async def give_back(self, directory: Path) -> None:
        """Take a directory back when the processes that used it are gone."""
        if len(self._empty) < _KEPT and _is_untouched(directory):
            self._empty.append(directory)
        else:
            await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)

    def close(self) -> None:
        """Remove the empty directories."""
        for directory in self._empty:
            shutil.rmtree(directory, ignore_errors=True)
        self._empty.clear()


def _is_untouched(directory: Path) -> bool:
    try:
        return [entry.name for entry in directory.iterdir()] == ["tmp"] and not any((directory / "tmp").iterdir())
    except OSError:
        return False
