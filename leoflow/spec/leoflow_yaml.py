"""The model of leoflow.yaml, the optional file beside dag.py that says where and how the DAG runs."""

import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from leoflow.spec.dag_spec import ID_PATTERN

SCHEMA_FILE = "leoflow-yaml.schema.json"
DEFAULT_EXCLUDES = (".git", "__pycache__", "*.pyc", ".venv", "venv", "node_modules", ".env")

_SHELL_UNSAFE = re.compile(r"[\s'\"\\$`;<>]")


def _relative_path(value: str) -> str:
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError("must be a path inside the project, without '..'")
    if value.startswith("-") or _SHELL_UNSAFE.search(value):
        raise ValueError("must not start with '-' or hold white space, quotes, '$', '\\', '`', ';', '<' or '>'")
    return value


def _visible_path(value: str) -> str:
    path = _relative_path(value)
    if any(part.startswith(".") and part != "." for part in PurePosixPath(path).parts):
        raise ValueError("names something hidden; hidden files are never part of a project")
    return path


def _image_reference(value: str) -> str:
    if not value or value.startswith("-") or _SHELL_UNSAFE.search(value):
        raise ValueError("is not an image reference")
    return value


def _one_line(value: str) -> str:
    if not value.strip() or "\n" in value or "\r" in value:
        raise ValueError("must be one non-empty line")
    return value


def _system_package(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9+.:=~_-]*", value):
        raise ValueError("is not a Debian package name")
    return value


def _connector(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]+([.-][a-z0-9]+)*", value):
        raise ValueError("is not a provider name such as 'postgres' or 'cncf-kubernetes'")
    return value


RelativePath = Annotated[str, AfterValidator(_relative_path)]
VisiblePath = Annotated[str, AfterValidator(_visible_path)]
ImageReference = Annotated[str, AfterValidator(_image_reference)]
Line = Annotated[str, AfterValidator(_one_line)]
SystemPackage = Annotated[str, AfterValidator(_system_package)]
Connector = Annotated[str, AfterValidator(_connector)]
Retries = Annotated[int, Field(ge=0, le=1000)]
Seconds = Annotated[float, Field(ge=0, le=10 * 365 * 86400)]
Timeout = Annotated[float, Field(gt=0, le=10 * 365 * 86400)]
AttemptsPerProcess = Annotated[int, Field(ge=1, le=1000)]
Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei)?$")]
EnvName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class YamlModel(BaseModel):
    """Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ResourceAmounts(YamlModel):
    """Amounts as Kubernetes writes them: `500m`, `2`, `1Gi`."""

    cpu: Quantity | None = None
    memory: Quantity | None = None
    ephemeral_storage: Quantity | None = None


class Resources(YamlModel):
    """What a task asks for (`requests`) and may use at most (`limits`)."""

    requests: ResourceAmounts = ResourceAmounts()
    limits: dict[str, Quantity] = Field(default={}, description="cpu, memory, or a device such as nvidia.com/gpu.")


class DefaultResources(YamlModel):
    """Requested and at the same time the limit, for every task without its own."""

    cpu: Quantity
    memory: Quantity


class Execution(YamlModel):
    """How a task's attempts are run: in what process, and where its pod may run, and as what."""

    attempts_per_process: AttemptsPerProcess | None = Field(
        default=None, description="Attempts a process may run one after the other (default 1); see docs/runtime.md."
    )
    node_selector: dict[str, str] | None = None
    tolerations: list[dict[str, Any]] | None = None
    affinity: dict[str, Any] | None = None
    topology_spread_constraints: list[dict[str, Any]] | None = None
    service_account: str | None = None
    priority_class_name: str | None = None
    runtime_class_name: str | None = None
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    termination_grace_period_seconds: Annotated[int, Field(ge=0)] | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class TaskOverlay(YamlModel):
    """Settings of one task; they win over dag.py."""

    retries: Retries | None = None
    retry_delay_seconds: Seconds | None = None
    execution_timeout_seconds: Timeout | None = None
    env: dict[EnvName, str] = {}
    resources: Resources | None = None
    execution: Execution | None = None


class Defaults(YamlModel):
    """For every task that says nothing itself, neither in dag.py nor under `tasks`."""

    retries: Retries | None = None
    retry_delay_seconds: Seconds | None = None
    execution_timeout_seconds: Timeout | None = None
    resources: DefaultResources | None = None
    node_selector: dict[str, str] | None = None
    attempts_per_process: AttemptsPerProcess | None = None


class Build(YamlModel):
    """How the image is built."""

    dockerfile: RelativePath | None = Field(default=None, description="Your own Dockerfile instead of the generated.")
    context: RelativePath = "."
    platforms: list[Annotated[str, Field(pattern=r"^[a-z0-9]+/[a-z0-9]+(/[a-z0-9]+)?$")]] = ["linux/amd64"]
    labels: dict[str, str] = {}


class Registry(YamlModel):
    """Where the image goes."""

    url: ImageReference
    image_name: ImageReference | None = Field(default=None, description="Default: the dag_id.")
    tag_strategy: Literal["version", "git_sha", "git_tag", "content_hash"] = "version"


class Staging(YamlModel):
    """A volume that the tasks of one run share."""

    enabled: bool = False
    size: Quantity = "1Gi"
    storage_class: str | None = None


class Alert(YamlModel):
    """A message sent when a run fails."""

    type: Literal["slack", "webhook"]
    conn: str = Field(description="The connection that holds the address.")
    message: str | None = None


class Alerts(YamlModel):
    """What is sent, and when."""

    on_failure: list[Alert] = []


class LeoflowYaml(YamlModel):
    """Settings of a project. All optional: a lone dag.py is a project."""

    schema_version: Literal["1.0"] = "1.0"
    dag_id: Annotated[str, Field(pattern=ID_PATTERN, max_length=250)] | None = None
    description: str | None = None
    owner: Line | None = None
    tags: list[Annotated[str, Field(min_length=1, max_length=100)]] | None = None
    python_version: Literal["3.10", "3.11", "3.12", "3.13"] | None = None
    base_image: ImageReference | None = None
    dependencies: list[Line] = Field(default=[], description="Requirements as pip writes them.")
    system_packages: list[SystemPackage] = []
    connectors: list[Connector] = Field(default=[], description="Short names of Airflow providers, e.g. postgres.")
    connections: list[Line] | None = Field(
        default=None, description="Connections its tasks may have in a cluster; names, or patterns with `*`."
    )
    variables: list[Line] | None = Field(default=None, description="Variables its tasks may have, likewise.")
    dag_source: RelativePath = "dag.py"
    include_paths: list[VisiblePath] = ["."]
    exclude_paths: list[Line] = list(DEFAULT_EXCLUDES)
    build: Build = Build()
    registry: Registry | None = None
    defaults: Defaults = Defaults()
    staging: Staging = Staging()
    alerts: Alerts = Alerts()
    tasks: dict[Annotated[str, Field(pattern=ID_PATTERN)], TaskOverlay] = {}

    def requirements(self) -> tuple[str, ...]:
        """Return `dependencies` and what `connectors` stand for, sorted and without repetitions."""
        providers = (f"apache-airflow-providers-{name.replace('.', '-')}" for name in self.connectors)
        return tuple(sorted({*self.dependencies, *providers}))
