"""Runs uv and reads what it says."""

import asyncio
import configparser
import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import uv

from leoflow.errors import ExitCode, LeoflowError

Progress = Callable[[str], None]
"""Told one line per step of long work."""

_STEPS = ("Resolved", "Prepared", "Downloading", "Downloaded", "Building", "Built", "Installed", "Bytecode compiled")
_SYSTEM_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_CERTIFICATE_VARIABLES = ("UV_SYSTEM_CERTS", "UV_NATIVE_TLS", "SSL_CERT_FILE", "SSL_CERT_DIR")
_PIP_FILES = ("/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf")


class UvError(Exception):
    """uv refused; `output` is what it wrote to stderr."""

    def __init__(self, output: str) -> None:
        super().__init__(output)
        self.output = output


async def run_uv(arguments: Sequence[str], progress: Progress, *, timeout: float, cwd: Path) -> None:
    """Run uv, telling its steps to `progress`; a cancelled call ends the process.

    Raises:
        UvError: it ended with an error.
        LeoflowError: it took longer than `timeout` seconds.
    """
    process = await asyncio.create_subprocess_exec(
        _binary(),
        *arguments,
        cwd=cwd,
        env=_environment(os.environ),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    lines: list[str] = []
    try:
        async with asyncio.timeout(timeout):
            assert process.stderr is not None
            async for raw in process.stderr:
                line = raw.decode(errors="replace").rstrip()
                lines.append(line)
                if line.startswith(_STEPS):
                    progress(line)
            code = await process.wait()
    except TimeoutError as error:
        raise LeoflowError(
            f"building an environment took longer than {timeout:.0f} s",
            hint="raise LEOFLOW_ENVIRONMENTS__BUILD_TIMEOUT_SECONDS, or check the connection to the package index",
            exit_code=ExitCode.TIMED_OUT,
        ) from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if code != 0:
        raise UvError("\n".join(lines))


def _binary() -> str:
    """The uv that came with Leoflow, else the one on PATH."""
    with contextlib.suppress(FileNotFoundError):
        return uv.find_uv_bin()
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.is_file() else shutil.which("uv")
    if found is None:
        raise LeoflowError("uv is not installed", hint="pip install uv")
    return found


def offer_tools(environment: Mapping[str, str], directory: Path) -> dict[str, str]:
    """Return variables with which tasks find what Airflow's `@task.virtualenv` calls: `uv` and `python`.

    What is not on PATH is linked in `directory`, which holds nothing else and is put at the end of PATH: Leoflow's own
    uv, and the interpreter Leoflow runs on (a bare Debian only has a `python3`). So that this makes no difference to
    where packages come from, our uv is also told what pip is configured to use. Where links cannot be made, the
    variables stay as they are.
    """
    offered = dict(environment)
    path = offered.get("PATH", os.defpath)
    missing = [name for name in ("uv", "python") if shutil.which(name, path=path) is None]
    try:
        for name in missing:
            _link(directory / name, _binary() if name == "uv" else str(Path(sys.executable).resolve()))
    except (LeoflowError, OSError):
        return offered
    if missing:
        offered["PATH"] = os.pathsep.join((path, str(directory)))
    if "uv" not in missing:
        return offered
    more = _pip_setting(environment, "extra-index-url")
    if more and "UV_INDEX" not in environment and "UV_EXTRA_INDEX_URL" not in environment:
        # To pip all indexes are alike; uv would look into the others only for what the first one does not know.
        offered |= {"UV_INDEX": " ".join(more.split()), "UV_INDEX_STRATEGY": "unsafe-best-match"}
    return {**offered, **_as_configured(environment)}


def _link(link: Path, target: str) -> None:
    """Make a link, or correct it; a task that looks meanwhile finds the old one or the new one."""
    if link.is_symlink() and str(link.readlink()) == target:
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    fresh = link.with_name(f".{link.name}-{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(link)


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for uv: nothing of our own virtual environment, and pip's package index where uv has none."""
    dropped = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "UV_PYTHON", "UV_PROJECT_ENVIRONMENT")
    kept = {name: value for name, value in environ.items() if name not in dropped}
    return {**kept, "NO_COLOR": "1", **_as_configured(environ)}


def _as_configured(environ: Mapping[str, str]) -> dict[str, str]:
    """What uv must be told to use the certificates and the package index that pip uses here."""
    told = {}
    if Path(_SYSTEM_CERTIFICATES).is_file() and not any(name in environ for name in _CERTIFICATE_VARIABLES):
        # Company networks put their own authority there; uv would only trust the ones it was built with.
        told["UV_SYSTEM_CERTS"] = told["UV_NATIVE_TLS"] = "1"
    has_index = any(name in environ for name in ("UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX", "UV_CONFIG_FILE"))
    index = _pip_setting(environ, "index-url")
    if index and not has_index:
        told["UV_DEFAULT_INDEX"] = index
    return told


def _pip_setting(environ: Mapping[str, str], name: str) -> str | None:
    """What pip is configured to use, from its environment variable or its configuration files."""
    variable = environ.get("PIP_" + name.upper().replace("-", "_"))
    if variable:
        return variable
    parser = configparser.ConfigParser(interpolation=None)
    files = [Path(file).expanduser() for file in (*_PIP_FILES, environ.get("PIP_CONFIG_FILE") or "/dev/null")]
    with contextlib.suppress(configparser.Error, OSError):
        parser.read([file for file in files if file.is_file()])
    return parser.get("global", name, fallback=None)
