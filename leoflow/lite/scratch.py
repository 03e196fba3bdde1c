"""A home for one command: removed with everything in it, also what an earlier killed command left behind."""

import asyncio
import contextlib
import fcntl
import os
import shutil
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import structlog

from leoflow.db.embedded import EmbeddedPostgres

log = structlog.get_logger(__name__)

LOCK_NAME = "in-use"


@contextlib.asynccontextmanager
async def scratch_home(home: Path) -> AsyncIterator[Path]:
    """A directory below `home/tmp/once` that lives as long as the block; sweeps abandoned ones first."""
    parent = home / "tmp" / "once"
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    await _sweep(parent)
    mine = parent / uuid.uuid4().hex[:8]
    mine.mkdir(mode=0o700)
    descriptor = os.open(mine / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield mine
    finally:
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, mine, ignore_errors=True))
        os.close(descriptor)


async def _sweep(parent: Path) -> None:
    """Stop the servers and remove the directories of commands that were killed."""
    for directory in parent.iterdir():
        try:
            descriptor = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            log.info("removing what an earlier command left behind", directory=str(directory))
            await EmbeddedPostgres(directory).stop()
            await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)
        finally:
            os.close(descriptor)
