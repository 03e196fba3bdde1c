"""The port between the worker and the ways to run an attempt."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


class LaunchError(Exception):
    """An attempt could not be started; the text is for its log.

    Args:
        reason: what went wrong, in words for the DAG's author.
        infrastructure: True when the attempt itself is not to blame and may be placed again without a retry.
    """

    def __init__(self, reason: str, *, infrastructure: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.infrastructure = infrastructure


@dataclass(frozen=True, slots=True)
class LaunchOrder:
    """What a launcher needs to know about an attempt.

    `greeting` is put into the attempt's socket before it starts, so that it need not wait for its supervisor.
    `cores` is how many of the machine's processor cores it may use.
    """

    attempt_id: str
    environment_key: str | None
    bundle_path: Path
    relative_fileloc: str
    env: dict[str, str] = field(default_factory=dict)
    memory_bytes: int | None = None
    cores: int | None = None
    attempts_per_process: int = 1
    log_limit_bytes: int | None = None
    greeting: bytes = b""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended.

    Attributes:
        status: exit code, or the negative number of the signal that killed it.
        lost: True when the process disappeared with its fork server, so that nobody saw it end.
        max_rss_kb: the most memory it had.
        left_behind: processes it had started that still ran, and were killed.
    """

    status: int
    lost: bool = False
    max_rss_kb: int | None = None
    left_behind: int = 0


class AttemptProcess(Protocol):
    """A running attempt."""

    @property
    def pid(self) -> int:
        """Process id on this machine."""

    @property
    def supervisor_fd(self) -> int:
        """Our end of the socket that speaks the Task SDK's protocol; the caller owns it."""

    @property
    def ungreeted(self) -> bytes:
        """The part of the greeting that did not fit into the socket and is to be sent first."""

    @property
    def output_fds(self) -> dict[str, int]:
        """Pipes to read by stream name ("log", "stdout", "stderr"); the caller owns them."""

    @property
    def remarks(self) -> Sequence[str]:
        """What its log must say about the way it was started."""

    def kill(self, sig: int) -> None:
        """Signal the attempt's whole process group."""

    async def wait(self) -> Ended:
        """Return how it ended. May be awaited once, by one task."""


class Launcher(Protocol):
    """Starts attempts."""

    async def launch(self, order: LaunchOrder) -> AttemptProcess:
        """Start an attempt.

        Raises:
            LaunchError: it could not be started.
        """

    async def close(self) -> None:
        """Kill what still runs and free everything."""
