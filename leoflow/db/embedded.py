"""Runs a PostgreSQL of our own on a data directory below the home.

The server outlives us: it runs in its own session, and whoever starts next on the same home finds it running and uses
it. One lock file says whether a server lives: it is locked by whoever starts the server and its descriptor is handed
to the server, so the kernel releases it exactly when the last process of that server is gone, however that happened.

Started by root, the server runs as an unprivileged user that cannot pass root's home. It need not: it inherits an open
descriptor of the data directory, and `/proc/self/fd/<n>` names that without walking there.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import structlog

from leoflow.db import binaries as programs
from leoflow.db import data_directory
from leoflow.db.binaries import Account, Binaries
from leoflow.db.startup_errors import explain_failure
from leoflow.errors import LeoflowError
from leoflow.os_errors import explain_os_error, private_directory

DATABASE = "leoflow"
_LONGEST_SOCKET_PATH = 100  # the kernel's limit is 107 bytes on Linux, 103 on macOS
_SOCKET = ".s.PGSQL.5432"
_READY_SECONDS = 300.0  # crash recovery of a large database takes a while
_STOP_SECONDS = 60.0
_LOG_BYTES = 10_000_000
_LOWEST_FREE_BYTES = 64 * 1024 * 1024

# Small and quiet: a developer's machine, a few dozen connections, nothing to replicate. fsync stays on.
_SERVER_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "80",
    "shared_buffers": "128MB",
    "max_wal_size": "512MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "jit": "off",
    "client_connection_check_interval": "1s",
    "search_path": "public",  # the user is called like our schema: `"$user"` would hide unqualified names
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
    "lc_messages": "C",
}
_SETTINGS_SINCE = {18: {"io_method": "sync"}}

log = structlog.get_logger(__name__)


class EmbeddedPostgres:
    """The server of one home.

    Args:
        home: LEOFLOW_HOME; the data is `home/pg`.
        bin_dir: the PostgreSQL to use, instead of looking for one.
        settings: further server settings, for tests.
        cache_dir: where a freshly initialised data directory is kept to be copied; default `home/pg-cache`.
    """

    def __init__(
        self,
        home: Path,
        *,
        bin_dir: Path | None = None,
        settings: Mapping[str, str] | None = None,
        cache_dir: Path | None = None,
    ) -> None:
        self.home = home
        self.data_dir = home / "pg"
        self.log_file = home / "postgres.log"
        self._bin_dir = bin_dir
        self._settings = dict(settings or {})
        self._cache_dir = cache_dir or home / "pg-cache"
        self._lock_file = home / "pg.lock"
        self._log_start = 0

    @property
    def dsn(self) -> str:
        """How to connect while the server runs."""
        return self._dsn_of(DATABASE)

    async def start(self) -> str:
        """Make sure that the server runs, and return its DSN; adopts one that already runs.

        Raises:
            LeoflowError: it cannot run: no PostgreSQL, disk full, damaged data, other major version, …
        """
        return await asyncio.to_thread(self._start)

    async def stop(self) -> None:
        """Stop the server, also an adopted one: disconnect everyone, write everything, end."""
        await asyncio.to_thread(self._stop)

    def kill(self) -> None:
        """End the server at once, without waiting for anything; its next start recovers."""
        pid = self._postmaster_pid()
        if pid is not None and self.running():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGQUIT)

    async def prepare(self) -> Binaries:
        """Find the programs and initialise the data directory's template, so that the first start is quick."""
        return await asyncio.to_thread(self._prepare)

    def running(self) -> bool:
        """True while any process of the server lives, or while someone starts it."""
        if not self._lock_file.exists():
            return False
        descriptor = self._try_lock()
        if descriptor is None:
            return True
        os.close(descriptor)
        return False

    # ---- start

    def _start(self) -> str:
        with explain_os_error(self.home):
            private_directory(self.home)
            deadline = time.monotonic() + _READY_SECONDS
            told = time.monotonic() + 5
            while True:
                descriptor = self._try_lock()
                if descriptor is not None:
                    with os.fdopen(descriptor):
                        self._launch(descriptor)
                    self._wait_until_ready(deadline)
                    break
                if self._answers():
                    log.info("using the PostgreSQL that already runs", data=str(self.data_dir))
                    break
                if time.monotonic() > deadline:
                    raise LeoflowError(
                        "another process holds the data directory, but no server answers",
                        where=str(self.data_dir),
                        hint=f"see {self.log_file}; end the process that holds {self._lock_file}",
                    )
                if time.monotonic() > told:
                    log.warning("waiting for the processes of an earlier PostgreSQL to end", data=str(self.data_dir))
                    told += 30
                time.sleep(0.05)
            self._create_database()
        return self.dsn

    def _launch(self, lock_descriptor: int) -> None:
        """Start the server while holding the lock: no process of an earlier server is alive."""
        account = programs.account_for(self.data_dir)
        found = programs.find(self.data_dir, account, self._bin_dir)
        if not (self.data_dir / "PG_VERSION").is_file():
            durable = self._settings.get("fsync") != "off"
            data_directory.create(self.data_dir, self._cache_dir, found, account, durable=durable)
        self._clear_leftovers()
        self._check_disk()
        if self.data_dir.stat().st_mode & 0o077:
            self.data_dir.chmod(0o700)
        settings = dict(_SERVER_SETTINGS)
        for major, more in _SETTINGS_SINCE.items():
            settings.update(more if found.major >= major else {})
        settings.update(self._settings)
        self._make_socket_dir(account)
        with data_directory.named(self.data_dir, account) as (data, descriptors), self._open_log() as output:
            in_data = self._socket_dir == self.data_dir
            settings["unix_socket_directories"] = data if in_data else str(self._socket_dir)
            command = [found.program("postgres"), "-D", data]
            command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
            # The shell ends at once, so that the server is nobody's child: adopted or not, it is treated alike.
            subprocess.run(
                ["/bin/sh", "-c", '"$@" &', "sh", *command],
                **programs.as_account(account),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                check=True,
                pass_fds=(lock_descriptor, *descriptors),
                env=data_directory.environment(),
            )
        log.debug("starting PostgreSQL", version=found.version, source=found.source, data=str(self.data_dir))

    def _wait_until_ready(self, deadline: float) -> None:
        told = time.monotonic() + 5
        while not self._answers():
            if not self.running() and not self._answers():
                raise explain_failure(self._log_tail(), self.data_dir, self.log_file)
            if time.monotonic() > deadline:
                raise LeoflowError(
                    "PostgreSQL does not get ready", where=str(self.data_dir), hint=f"see {self.log_file}"
                )
            if time.monotonic() > told:
                log.warning("PostgreSQL is recovering", data=str(self.data_dir))
                told += 30
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._maintenance_dsn, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _create_database(self) -> None:
        with psycopg.connect(self._maintenance_dsn, autocommit=True) as connection:
            known = connection.execute("select 1 from pg_database where datname = %s", (DATABASE,)).fetchone()
            if known is None:
                with contextlib.suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                    connection.execute("create database leoflow")

    def _clear_leftovers(self) -> None:
        """Remove the pid and socket files of a server that was killed; the lock says that it is gone."""
        pid = self._postmaster_pid()
        if pid is not None and _is_postgres(pid):
            raise LeoflowError(
                "a PostgreSQL that leoflow did not start runs on the data directory",
                where=f"{self.data_dir}, process {pid}",
                hint="stop it first",
            )
        for leftover in (self.data_dir / "postmaster.pid", self._socket_dir / _SOCKET):
            leftover.unlink(missing_ok=True)
            leftover.with_name(leftover.name + ".lock").unlink(missing_ok=True)

    def _check_disk(self) -> None:
        if shutil.disk_usage(self.data_dir).free < _LOWEST_FREE_BYTES:
            raise LeoflowError(
                "the disk is full", where=str(self.data_dir), hint="free some space and start again; no data was lost"
            )

    def _prepare(self) -> Binaries:
        with explain_os_error(self.home):
            private_directory(self.home)
            account = programs.account_for(self.data_dir)
            found = programs.find(self.data_dir, account, self._bin_dir)
            if not (self.data_dir / "PG_VERSION").is_file():
                data_directory.template(self._cache_dir, found, account)
            return found

    # ---- stop

    def _stop(self) -> None:
        pid = self._postmaster_pid()
        if pid is None or not self.running():
            return
        for number, patience in ((signal.SIGINT, _STOP_SECONDS), (signal.SIGQUIT, 10.0)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            if self._wait_until_gone(patience):
                return
        raise LeoflowError("PostgreSQL does not stop", where=f"process {pid}", hint=f"see {self.log_file}")

    def _wait_until_gone(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self.running():
                return True
            time.sleep(0.01)
        return False

    # ---- files

    @property
    def _socket_dir(self) -> Path:
        if len(os.fsencode(self.data_dir / _SOCKET)) <= _LONGEST_SOCKET_PATH:
            return self.data_dir
        digest = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"leoflow-{os.getuid()}-{digest}"

    @property
    def _maintenance_dsn(self) -> str:
        return self._dsn_of("postgres")

    def _dsn_of(self, database: str) -> str:
        return f"postgresql://{data_directory.SUPERUSER}@/{database}?host={quote(str(self._socket_dir))}&port=5432"

    def _make_socket_dir(self, account: Account | None) -> None:
        """Make the short directory for the socket, where the data directory's path is too long for one."""
        directory = self._socket_dir
        if directory == self.data_dir:
            return
        directory.mkdir(mode=0o700, exist_ok=True)
        owner = account.uid if account else os.getuid()
        if directory.is_symlink() or directory.stat().st_uid not in (os.getuid(), owner):
            raise LeoflowError("the socket directory belongs to someone else", where=str(directory), hint="remove it")
        directory.chmod(0o700)
        data_directory.give(directory, account)

    def _try_lock(self) -> int | None:
        """The locked lock file, or None while someone else holds it."""
        descriptor = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def _postmaster_pid(self) -> int | None:
        try:
            return int((self.data_dir / "postmaster.pid").read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return None

    @contextlib.contextmanager
    def _open_log(self) -> Iterator[Any]:
        if self.log_file.exists() and self.log_file.stat().st_size > _LOG_BYTES:
            self.log_file.replace(self.log_file.with_suffix(".log.1"))
        with self.log_file.open("ab") as output:
            self._log_start = output.tell()
            yield output

    def _log_tail(self) -> str:
        with self.log_file.open("rb") as written:
            written.seek(self._log_start)
            return written.read(100_000).decode(errors="replace")


def _is_postgres(pid: int) -> bool:
    """True when `pid` is alive and a PostgreSQL server, not a later process with the same number."""
    if Path("/proc/self").exists():
        try:
            name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition(") ")
        except OSError:
            return False
        return name.endswith(("(postgres", "(postmaster")) and not rest.startswith("Z")
    listed = subprocess.run(["ps", "-o", "comm=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return "postgres" in listed.stdout
