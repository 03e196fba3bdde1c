"""Leoflow Lite as a benchmark runs it: a fresh home, a free port, stopped with Ctrl-C at the end."""

import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from benchmarks.airflow_api import AirflowApi


def free_port() -> int:
    """A TCP port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def lite(dags: Path, home: Path, *, slots: int) -> Iterator[AirflowApi]:
    """Run `leoflow lite` on a directory of DAGs until the block ends."""
    port = free_port()
    log = (home.parent / f"{home.name}.log").open("wb")
    command = [
        sys.executable, "-m", "leoflow", "lite", str(dags),
        "--port", str(port), "--home", str(home), "--slots", str(slots),
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(f"{url}/readyz", process)
        yield AirflowApi(url, "admin", (home / "admin-password").read_text().strip())
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
        log.close()


def wait_until_ready(url: str, process: subprocess.Popen[bytes], seconds: float = 300) -> None:
    """Poll a readiness URL until it answers 200, or the process ends, or the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, timeout=5).status_code == 200:
                return
        if process.poll() is not None:
            raise RuntimeError(f"process ended with {process.returncode} before {url} was ready")
        if time.monotonic() > deadline:
            raise TimeoutError(f"{url} not ready in {seconds:.0f} s")
        time.sleep(0.1)
