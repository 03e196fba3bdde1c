"""Takes the built files of Airflow's UI out of the apache-airflow-core wheel; they are served as they are."""

import asyncio
import base64
import csv
import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from leoflow import AIRFLOW_VERSION
from leoflow.environments.uv import Progress, UvError, run_uv
from leoflow.errors import LeoflowError
from leoflow.os_errors import explain_os_error, private_directory

_PARTS = {
    "app": "airflow/ui/dist",
    "login": "airflow/api_fastapi/auth/managers/simple/ui/dist",
}
_LISTING = "files.json"


@dataclass(frozen=True, slots=True)
class _File:
    """One file of the wheel: where it goes, and its recorded size and hash."""

    target: str
    source: str
    digest: str
    size: int


def ui_directory(home: Path) -> Path:
    """Where this home keeps the UI: `app` and `login` below it."""
    return home / "airflow-ui" / AIRFLOW_VERSION


def is_complete(directory: Path) -> bool:
    """True when every file that was put there is still there in its full size."""
    try:
        listing = json.loads((directory / _LISTING).read_text())
        return bool(listing) and all((directory / name).stat().st_size == size for name, size in listing.items())
    except (OSError, ValueError, AttributeError):
        return False


async def ensure_ui(
    home: Path, progress: Progress | None = None, *, site_packages: Path | None = None, timeout: float = 600.0
) -> Path:
    """The directory with the UI's files, fetched if this home does not have them.

    Args:
        home: LEOFLOW_HOME.
        progress: told what happens.
        site_packages: of an environment that has apache-airflow-core installed; else the wheel is downloaded.
        timeout: seconds a download may take.

    Raises:
        LeoflowError: the wheel cannot be had, or its files are not those its own record lists.
    """
    directory = ui_directory(home)
    tell: Progress = progress or (lambda _line: None)
    if await asyncio.to_thread(is_complete, directory):
        return directory
    with explain_os_error(home):
        private_directory(home, "airflow-ui")
        scratch = Path(tempfile.mkdtemp(dir=directory.parent, prefix=".new-"))
        try:
            if site_packages is None or not _record(site_packages).is_file():
                tell(f"downloading the user interface of Airflow {AIRFLOW_VERSION}")
                site_packages = await _download(scratch / "wheel", timeout)
            tell(f"copying the user interface of Airflow {AIRFLOW_VERSION}")
            await asyncio.to_thread(_take, site_packages, scratch, directory)
        finally:
            await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)
    return directory


async def _download(target: Path, timeout: float) -> Path:
    requirement = f"apache-airflow-core=={AIRFLOW_VERSION}"
    try:
        await run_uv(
            ["pip", "install", "--no-deps", "--no-build", "--target", str(target), requirement],
            lambda _line: None,
            timeout=timeout,
            cwd=target.parent,
        )
    except UvError as error:
        raise LeoflowError(
            f"the user interface of Airflow cannot be downloaded ({error.output.strip().splitlines()[-1:]})",
            where=requirement,
            hint="check the network and the package index, then run `leoflow lite provision` again",
        ) from error
    return target


def _take(site_packages: Path, scratch: Path, directory: Path) -> None:
    fresh = scratch / "ui"
    files = _files(site_packages)
    for file in files:
        target = fresh / file.target
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(site_packages / file.source, target)
        content = target.read_bytes()
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        if len(content) != file.size or digest != file.digest:
            raise _incomplete(file.source)
    (fresh / _LISTING).write_text(json.dumps({file.target: file.size for file in files}, indent=1))
    if directory.exists():  # damaged, or another process was faster: the same files either way
        directory.rename(scratch / "old")
    fresh.rename(directory)


def _files(site_packages: Path) -> list[_File]:
    """The UI's files as the wheel's own record lists them."""
    files: list[_File] = []
    with _record(site_packages).open(newline="") as record:
        for source, digest, size in csv.reader(record):
            for part, prefix in _PARTS.items():
                if source.startswith(f"{prefix}/"):
                    target = part + source.removeprefix(prefix)
                    files.append(_File(target, source, digest.removeprefix("sha256="), int(size or -1)))
    for part in _PARTS:
        if not any(file.target == f"{part}/index.html" for file in files):
            raise _incomplete(f"{part}/index.html")
    return files


def _record(site_packages: Path) -> Path:
    return site_packages / f"apache_airflow_core-{AIRFLOW_VERSION}.dist-info" / "RECORD"


def _incomplete(name: str) -> LeoflowError:
    return LeoflowError(
        f"the wheel of apache-airflow-core {AIRFLOW_VERSION} does not hold the user interface as recorded",
        where=name,
        hint="remove the environments below LEOFLOW_HOME/envs and run `leoflow lite provision` again",
    )
