"""Postgres job queues beside the engine, in a virtual environment of their own: PGQueuer and procrastinate.

Four workers each, a no-op job, defaults but for what their documentation recommends for throughput (PGQueuer takes
batches of 100; procrastinate fetches jobs one at a time, with a concurrency of 100).
"""

import json
import subprocess
from pathlib import Path

from uv import find_uv_bin

from benchmarks.engine import Server

REQUIREMENTS = ("pgqueuer", "procrastinate", "asyncpg", "psycopg[binary,pool]")
RELEASED_BEFORE = "2026-06-01"
JOBS = {"pgqueuer": 20_000, "procrastinate": 2_000}
WORKERS = 4


def install(directory: Path) -> Path:
    """Create the environment once and return its Python."""
    python = directory / "bin" / "python"
    if not python.exists():
        uv = find_uv_bin()
        subprocess.run([uv, "venv", "--quiet", "--clear", directory], check=True)
        pip = [uv, "pip", "install", "--quiet", "--exclude-newer", RELEASED_BEFORE, "--python", python]
        subprocess.run([*pip, *REQUIREMENTS], check=True)
    return python


def jobs_per_second(on: Server, name: str, scratch: Path) -> float:
    """Jobs per second of one of the queues on the same server."""
    python = install(scratch / "queues-peer")
    on.execute(f"drop database if exists {name} with (force)")
    on.execute(f"create database {name}")
    host = on.dsn
    script = Path(__file__).with_name(f"drain_{name}.py")
    command = [python, script, host, name, str(JOBS[name]), str(WORKERS)]
    ran = subprocess.run(command, check=True, capture_output=True, text=True, timeout=900)
    return float(json.loads(ran.stdout.splitlines()[-1])["jobs_per_second"])
