"""What an environment is made of, and the key it is cached under."""

import hashlib
import json
import platform
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from leoflow import AIRFLOW_VERSION, TASK_SDK_VERSION
from leoflow.errors import LeoflowError

CONSTRAINTS = Path(__file__).with_name(f"constraints-{AIRFLOW_VERSION}.txt")
"""Releases of the Task SDK's dependencies that work with it; later ones of some do not."""

SUPPORTED_PYTHONS = ("3.10", "3.11", "3.12", "3.13")
_LAYOUT = 1  # raise it when environments of older programs must be built anew
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class EnvironmentSpec:
    """The wishes of a project.

    Attributes:
        python_version: `3.10` to `3.13`; None for the version Leoflow itself runs on.
        dependencies: requirements as pip writes them, besides the Task SDK, which is always there.
    """

    python_version: str | None = None
    dependencies: tuple[str, ...] = ()

    @property
    def python(self) -> str:
        """The Python version wanted, always given."""
        return self.python_version or f"{sys.version_info.major}.{sys.version_info.minor}"

    @property
    def requirements(self) -> tuple[str, ...]:
        """Everything to install, sorted.

        Raises:
            LeoflowError: an entry is an option of pip, not a requirement.
        """
        for dependency in self.dependencies:
            if dependency.lstrip().startswith("-"):
                raise LeoflowError(
                    "not a requirement", where=f"dependencies: {dependency}", hint="name packages, not options of pip"
                )
        return (f"apache-airflow-task-sdk=={TASK_SDK_VERSION}", *sorted(set(self.dependencies)))

    @property
    def named_packages(self) -> frozenset[str]:
        """Normalised names of the packages the project itself asks for."""
        found = (_NAME.match(dependency.strip()) for dependency in self.dependencies)
        return frozenset(normalise(match[0]) for match in found if match)

    @property
    def key(self) -> str:
        """Content key: equal wishes on equal machines share one environment."""
        content = [_LAYOUT, self.python, self.requirements, platform.system(), platform.machine(), _constraints_text()]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:20]

    def constraints(self) -> str:
        """The shipped constraints without the packages that the project chooses itself."""
        lines = _constraints_text().splitlines()
        return "\n".join(line for line in lines if normalise(line.partition("==")[0]) not in self.named_packages)


@dataclass(frozen=True, slots=True)
class Environment:
    """A built environment.

    Attributes:
        key: the spec's content key.
        python: the interpreter to run user code with.
    """

    key: str
    python: Path

    @property
    def site_packages(self) -> Path:
        """Where its packages are."""
        return next(self.python.parent.parent.glob("lib/python3*/site-packages"))


DEFAULT_ENVIRONMENT = EnvironmentSpec()
"""The Task SDK alone, for projects without wishes."""


def normalise(name: str) -> str:
    """A package's name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


@cache
def _constraints_text() -> str:
    return CONSTRAINTS.read_text()
