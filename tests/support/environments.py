"""The interpreters user code runs in, built once per machine and kept between test sessions."""

import asyncio
import getpass
import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from leoflow.environments import DEFAULT_ENVIRONMENT, EnvironmentSpec, ensure
from leoflow.environments.airflow_ui import ensure_ui


def shared_home() -> Path:
    """Where test sessions of this user keep what is slow to make: environments and the UI's files."""
    given = os.environ.get("LEOFLOW_TEST_HOME")
    return Path(given) if given else Path(tempfile.gettempdir()) / f"leoflow-tests-{getpass.getuser()}" / "home"


@cache
def python_of(spec: EnvironmentSpec) -> Path:
    """The interpreter of an environment, built if no earlier session did."""
    with ThreadPoolExecutor(1) as thread:  # a loop may be running in this one
        return thread.submit(asyncio.run, ensure(spec, shared_home())).result().python


def default_python() -> Path:
    """The interpreter of the default environment: the Task SDK and nothing else."""
    return python_of(DEFAULT_ENVIRONMENT)


def python_with_providers() -> Path:
    """The interpreter of an environment with a few of Airflow's providers."""
    return python_of(
        EnvironmentSpec(
            None,
            (
                "apache-airflow-providers-http==6.0.2",
                "apache-airflow-providers-postgres==6.7.0",
                "apache-airflow-providers-sqlite==4.3.2",
            ),
        )
    )


def find_python(*versions: str) -> tuple[str, str] | None:
    """The first of these Python versions that works here, and its directory; pyenv's shims alone are none."""
    for version in versions:
        name = f"python{version}"
        places = [shutil.which(name), *map(str, sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/{name}")))]
        for place in places:
            if place and subprocess.run([place, "-c", ""], capture_output=True).returncode == 0:
                return version, str(Path(place).parent)
    return None


@cache
def ui_files() -> Path:
    """The UI's files: `app` and `login` below it."""
    site_packages = next(default_python().parent.parent.glob("lib/python3*/site-packages"))
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, ensure_ui(shared_home(), site_packages=site_packages)).result()
