"""An attempt in a process that a fork server made for it."""

import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from leoflow.worker.launchers.base import Ended
from leoflow.worker.launchers.cores import Cores
from leoflow.worker.launchers.directories import AttemptDirectories
from leoflow.worker.launchers.fork_client import ZygoteClient


class Belongings:
    """What an attempt has for itself while it runs: a working directory and, with a limit, some of the cores.

    Args:
        directories: where its directory comes from.
        cores: where its cores come from.
        wanted_cores: its limit.
    """

    def __init__(self, directories: AttemptDirectories, cores: Cores, wanted_cores: int | None) -> None:
        self._directories = directories
        self._cores = cores
        self.directory: Path = directories.take()
        self.cores: Sequence[int] = cores.take(wanted_cores)

    async def give_back(self) -> None:
        """Take all back when the attempt's processes are gone."""
        self._cores.give_back(self.cores)
        await self._directories.give_back(self.directory)


class ForkedAttempt:
    """A running attempt. See `leoflow.worker.launchers.base.AttemptProcess`."""

    def __init__(
        self,
        client: ZygoteClient,
        order_id: str,
        pid: int,
        supervisor_fd: int,
        ungreeted: bytes,
        outputs: dict[str, int],
        belongings: Belongings,
        remarks: Sequence[str],
    ) -> None:
        self.pid = pid
        self.supervisor_fd = supervisor_fd
        self.ungreeted = ungreeted
        self.output_fds = outputs
        self.remarks = remarks
        self._client = client
        self._order_id = order_id
        self._belongings = belongings

    def kill(self, sig: int) -> None:
        """Signal the attempt's process group."""
        self._client.kill(self._order_id, sig)

    async def wait(self) -> Ended:
        """Return how the process ended, after its working directory was cleaned."""
        try:
            return await self._client.wait(self._order_id)
        finally:
            self._client.forget(self._order_id)
            await self._belongings.give_back()


async def fork_attempt(
    client: ZygoteClient, message: dict[str, Any], belongings: Belongings, greeting: bytes, remarks: Sequence[str]
) -> ForkedAttempt:
    """Send a fork server the order for an attempt, and return the attempt once its process is there.

    Raises:
        LaunchError: the server is gone or cannot fork; what belonged to the attempt is given back.
    """
    ours, theirs = socket.socketpair()
    rest = _send_what_fits(ours, greeting)
    pipes = {name: os.pipe() for name in ("log", "stdout", "stderr")}
    order_id = str(message["id"])
    try:
        pid = await client.fork(message, (theirs.fileno(), *(write for _, write in pipes.values())))
    except BaseException:
        ours.close()
        for read, _ in pipes.values():
            os.close(read)
        await belongings.give_back()
        raise
    finally:
        theirs.close()
        for _, write in pipes.values():
            os.close(write)
    outputs = {name: read for name, (read, _) in pipes.items()}
    return ForkedAttempt(client, order_id, pid, ours.detach(), rest, outputs, belongings, remarks)


def _send_what_fits(sock: socket.socket, data: bytes) -> bytes:
    """Put as much into a socket nobody reads yet as it takes; return the rest."""
    if not data:
        return data
    sock.setblocking(False)
    try:
        return data[sock.send(data) :]
    except BlockingIOError:
        return data
