"""Builds environments: once per content key, in a directory of its own that is renamed when complete."""

import asyncio
import contextlib
import fcntl
import os
import re
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import structlog

from leoflow.environments.spec import SUPPORTED_PYTHONS, Environment, EnvironmentSpec
from leoflow.environments.uv import Progress, UvError, run_uv
from leoflow.errors import LeoflowError
from leoflow.os_errors import explain_os_error, private_directory

_COMPLETE = "leoflow-environment"
_NETWORK = ("Failed to fetch", "error sending request", "dns error", "Connection refused", "tcp connect error")

log = structlog.get_logger(__name__)


async def ensure(
    spec: EnvironmentSpec, home: Path, progress: Progress | None = None, *, timeout: float = 900.0
) -> Environment:
    """The environment for `spec`, built if this home does not have it yet.

    Args:
        spec: what the project asks for.
        home: LEOFLOW_HOME; environments are in `envs/<key>`.
        progress: told what happens, line by line.
        timeout: seconds the build may take.

    Raises:
        LeoflowError: the Python version is not there, the dependencies cannot be resolved or built, disk full, ….
    """
    tell: Progress = progress or (lambda line: log.debug(line))
    directory = home / "envs" / spec.key
    environment = Environment(spec.key, directory / "bin" / "python")
    if _complete(environment):
        return environment
    with explain_os_error(home):
        private_directory(home, "envs")
        async with _locked(directory.with_suffix(".lock"), tell):
            if not _complete(environment):
                await _build(spec, directory, tell, timeout)
    return environment


def _complete(environment: Environment) -> bool:
    """True when it is there and its base interpreter was not removed since."""
    return (environment.python.parent.parent / _COMPLETE).is_file() and environment.python.exists()


async def _build(spec: EnvironmentSpec, directory: Path, tell: Progress, timeout: float) -> None:
    requirements = spec.requirements
    prefix = f".new-{spec.key}-"
    for leftover in directory.parent.glob(f"{prefix}*"):  # of a build that was killed: the lock is ours now
        await asyncio.to_thread(shutil.rmtree, leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=prefix, ignore_cleanup_errors=True) as scratch:
        fresh = Path(scratch) / "env"
        tell(f"creating a Python {spec.python} environment")
        try:
            await run_uv(
                ["venv", "--relocatable", "--no-project", "--python", _interpreter(spec), str(fresh)],
                lambda _line: None,
                timeout=timeout,
                cwd=directory.parent,
            )
        except UvError as error:
            raise _explain_python(spec, error) from error
        constraints = Path(scratch) / "constraints.txt"
        constraints.write_text(spec.constraints())
        tell(f"installing {', '.join(requirements)}")
        await _install(requirements, fresh, constraints, tell, timeout)
        (fresh / _COMPLETE).write_text("\n".join(requirements) + "\n")
        await asyncio.to_thread(_replace, directory, fresh, Path(scratch) / "old")


def _replace(directory: Path, fresh: Path, old: Path) -> None:
    if directory.exists():  # its base interpreter is gone
        directory.rename(old)
    fresh.rename(directory)


async def _install(
    requirements: tuple[str, ...], fresh: Path, constraints: Path, tell: Progress, timeout: float
) -> None:
    """Install with the releases known to work; without them where the project's own wishes contradict them."""
    command = ["pip", "install", "--compile-bytecode", "--python", str(fresh / "bin" / "python")]
    try:
        await run_uv(
            [*command, "--constraint", str(constraints), "--", *requirements], tell, timeout=timeout, cwd=fresh
        )
    except UvError as error:
        if "No solution found" not in error.output or len(requirements) == 1:
            raise _explain_install(error) from error
        tell("the dependencies contradict the releases Airflow was tested with; trying without those")
        try:
            await run_uv([*command, "--", *requirements], tell, timeout=timeout, cwd=fresh)
        except UvError as second:
            raise _explain_install(second) from second


def _interpreter(spec: EnvironmentSpec) -> str:
    """The interpreter Leoflow runs on where it has the wanted version, else what uv finds."""
    if spec.python not in SUPPORTED_PYTHONS:
        raise LeoflowError(
            f"Python {spec.python} is not supported",
            where="python_version",
            hint=f"one of {', '.join(SUPPORTED_PYTHONS)}",
        )
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    base: str = getattr(sys, "_base_executable", sys.executable)
    return base if spec.python == own and os.access(base, os.X_OK) else spec.python


@contextlib.asynccontextmanager
async def _locked(file: Path, tell: Progress) -> AsyncIterator[None]:
    with file.open("w") as lock:
        told = False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not told:
                    tell("waiting for another process that builds the same environment")
                    told = True
                await asyncio.sleep(0.1)
        yield


def _explain_python(spec: EnvironmentSpec, error: UvError) -> LeoflowError:
    if "No space left" in error.output:
        return _disk_full()
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    return LeoflowError(
        f"Python {spec.python} is not installed and could not be downloaded",
        where="python_version",
        hint=f"install it (`apt-get install python{spec.python}` or `uv python install {spec.python}`), "
        f"or ask for another version: {own} is here",
    )


def _explain_install(error: UvError) -> LeoflowError:
    output = error.output
    if "No space left" in output:
        return _disk_full()
    reason = _reason(output)
    if any(text in output for text in _NETWORK):
        return LeoflowError(
            f"the package index cannot be reached ({reason})",
            hint="check the network, or set UV_DEFAULT_INDEX (or PIP_INDEX_URL) to an index you can reach",
        )
    if "Failed to build" in output:
        return LeoflowError(
            f"a dependency has no wheel for this machine and cannot be built ({reason})",
            where="dependencies",
            hint="choose a release with a wheel, or install the compiler and headers it needs",
        )
    return LeoflowError(
        f"the dependencies cannot be installed together ({reason})",
        where="dependencies",
        hint="correct `dependencies` in leoflow.yaml: names, versions and that they fit apache-airflow-task-sdk",
    )


def _reason(output: str) -> str:
    """uv's explanation in one line."""
    text = re.sub(r"[×╰─▶│├\s]+", " ", output).strip()
    _, _, because = text.partition("Because ")
    if because:
        return f"Because {because.partition(' hint:')[0]}"[:600]
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return next(
        (line.removeprefix("error: ") for line in lines if line.startswith("error:")), lines[-1] if lines else ""
    )


def _disk_full() -> LeoflowError:
    free = shutil.disk_usage(tempfile.gettempdir()).free // 2**20
    return LeoflowError("the disk is full", where=f"{free} MB free", hint="an environment needs about 300 MB")
