"""The settings of every process: environment over `$LEOFLOW_HOME/config.toml` over defaults.

Assembled once by each composition root with `load_settings` and passed on explicitly.
"""

import difflib
import os
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.sources import InitSettingsSource

from leoflow.errors import ExitCode, LeoflowError

ENV_PREFIX = "LEOFLOW_"
ENV_DELIMITER = "__"


def default_home() -> Path:
    """`$LEOFLOW_HOME`, else `~/.leoflow`."""
    return Path(os.environ.get("LEOFLOW_HOME") or "~/.leoflow").expanduser()


class Section(BaseModel):
    """Base of the nested groups: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PostgresSettings(Section):
    """How Leoflow uses Postgres, and the embedded server of Lite."""

    bin_dir: Path | None = Field(
        None, description="Directory of the `postgres` and `initdb` to run for Lite; default: found by itself."
    )
    pool_max_size: int = Field(10, ge=1, description="Connections each process may open to the database.")
    connect_timeout_seconds: int = Field(10, ge=1, description="Seconds to wait for a connection.")
    prepared_statements: bool = Field(
        True, description="Prepare repeated statements. Turn off behind PgBouncer in transaction mode before 1.21."
    )


class EnvironmentSettings(Section):
    """How the interpreters of projects are built."""

    build_timeout_seconds: int = Field(900, ge=1, description="Seconds one environment may take to build.")


class SchedulerSettings(Section):
    """Duties that time causes."""

    batch_size: int = Field(100, ge=1, description="Rows one pass of a scheduler service takes.")
    heartbeat_seconds: float = Field(10.0, gt=0, description="Seconds between the heartbeats of a scheduler.")


class UserCodeSettings(Section):
    """What projects' code may cost that Leoflow calls outside of tasks: callbacks, deadlines, custom timetables."""

    callback_seconds: float = Field(60.0, gt=0, description="Seconds the callbacks of one event may take together.")
    timetable_seconds: float = Field(10.0, gt=0, description="Seconds a custom timetable may take for one answer.")
    timetable_retry_seconds: float = Field(
        300.0, gt=0, description="Seconds after which a custom timetable that failed is asked again."
    )
    memory_bytes: int = Field(2 << 30, ge=64 << 20, description="Bytes of memory one call may use.")
    output_bytes: int = Field(1 << 20, ge=1024, description="Bytes one call may print.")


class RetentionSettings(Section):
    """How long finished work is kept."""

    days: int = Field(90, ge=1, description="Days finished runs are kept, with their XComs, logs and events.")
    log_days: int | None = Field(
        None, ge=1, description="Days logs are kept; unset: as long as their runs. Whole weeks are removed at once."
    )
    schedule: str = Field("23 * * * *", description="Cron expression (UTC) of the clean-up job.")


class LogsSettings(Section):
    """Copies of logs outside the database. See docs/logs.md."""

    store_url: str | None = Field(
        None,
        description="Where the scheduler copies the logs of ended attempts: `s3://bucket/prefix`, `gs://…`, `az://…` "
        "or `file:///…`; needs `leoflow[object-store]`. Unset: nowhere.",
    )
    copy_attempts: int = Field(
        20,
        ge=1,
        description="How often copying a log is tried, after 10 s, 20 s, … at most an hour, then given up.",
    )


class WorkerSettings(Section):
    """What a worker allows its attempts, and how it treats them."""

    lease_seconds: float = Field(20.0, gt=1, description="Seconds after its last heartbeat a worker counts as lost.")
    heartbeat_seconds: float = Field(5.0, gt=0, description="Seconds between two heartbeats of a worker.")
    poll_seconds: float = Field(3.0, gt=0, description="Seconds an idle worker waits at most before it looks for work.")
    drain_seconds: float = Field(30.0, ge=0, description="Seconds running attempts get when the worker is stopped.")
    kill_grace_seconds: float = Field(5.0, ge=0, description="Seconds between asking an attempt to end and killing it.")
    timeout_slack_seconds: float = Field(
        5.0, ge=0, description="Seconds after its execution_timeout an attempt that ignores it is ended."
    )
    overtime_seconds: float = Field(
        20.0, ge=0, description="Seconds an attempt's process may run on after it reported its end (callbacks)."
    )
    log_limit_bytes: int = Field(
        10 * 1024 * 1024, ge=1024, description="Bytes of log kept of one attempt; what follows is dropped."
    )
    xcom_limit_bytes: int = Field(64 * 1024 * 1024, ge=1024, description="Bytes of JSON one XCom may have.")
    max_map_length: int = Field(
        1024, ge=1, description="Values a task may return for tasks that are mapped over them (`.expand()`)."
    )
    frame_limit_bytes: int = Field(
        80 * 1024 * 1024, ge=1024, description="Bytes of one message between an attempt and its worker."
    )


class SecretsSettings(Section):
    """Which connections and variables tasks may have. See docs/secrets.md."""

    access: Literal["open", "declared"] | None = Field(
        None,
        description="`declared`: a task gets what its project's leoflow.yaml names under `connections` and "
        "`variables`; `open`: everything. Unset: `declared` for the processes of a cluster, `open` for Lite and "
        "`leoflow run`.",
    )
    shared_connections: list[str] = Field(
        [], description="Connections every task may have; names or patterns with `*`. In the environment as JSON."
    )
    shared_variables: list[str] = Field([], description="Variables every task may have, likewise.")


class TriggererSettings(Section):
    """How a triggerer runs the triggers of deferred tasks."""

    capacity: int = Field(10_000, ge=1, description="Triggers one triggerer runs at the same time.")
    lease_seconds: float = Field(20.0, gt=1, description="Seconds after its last heartbeat a triggerer counts as lost.")
    heartbeat_seconds: float = Field(5.0, gt=0, description="Seconds between two heartbeats of a triggerer.")
    poll_seconds: float = Field(
        5.0, gt=0, description="Seconds a triggerer waits at most before it looks for triggers."
    )


class LiteSettings(Section):
    """The product on one machine."""

    pause_new_dags: bool | None = Field(
        None,
        description="Whether DAGs are paused when they first appear; unset: those of a plain folder of Airflow DAG "
        "files are, as in Airflow, those of Leoflow projects are not.",
    )
    workspace: Path | None = Field(
        None, description="What `leoflow lite` without a PATH runs; unset: the current directory."
    )
    parallel_loads: int = Field(2, ge=1, description="DAG files hot reload loads at the same time.")


class Settings(BaseSettings):
    """All settings. Environment variables are upper case with prefix `LEOFLOW_`, groups joined by `__`."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter=ENV_DELIMITER, extra="forbid", frozen=True
    )

    home: Path = Field(default_factory=default_home, description="Where Lite keeps its data, environments and secrets.")
    database_url: SecretStr | None = Field(
        None, description="libpq URL or key=value string of the database; unset: Lite starts its own Postgres."
    )
    host: str = Field("127.0.0.1", description="Address the API listens on. Anything but loopback requires a login.")
    port: int = Field(8088, ge=0, le=65535, description="Port the API and UI listen on.")
    server_url: str | None = Field(
        None,
        description="Server that commands such as `leoflow runs` talk to; unset: the one signed in to, or this Lite.",
    )
    token: SecretStr | None = Field(
        None, description="Token for that server; unset: that of `leoflow auth login`, or the home's own means."
    )
    slots: int | None = Field(
        None, ge=1, description="Attempts one worker runs at the same time; default: from the number of cores."
    )
    postgres: PostgresSettings = PostgresSettings()
    worker: WorkerSettings = WorkerSettings()
    triggerer: TriggererSettings = TriggererSettings()
    environments: EnvironmentSettings = EnvironmentSettings()
    scheduler: SchedulerSettings = SchedulerSettings()
    retention: RetentionSettings = RetentionSettings()
    usercode: UserCodeSettings = UserCodeSettings()
    logs: LogsSettings = LogsSettings()
    secrets: SecretsSettings = SecretsSettings()
    lite: LiteSettings = LiteSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, the environment over the file of the chosen home."""
        given = init_settings().get("home")
        file = Path(given if given else default_home()).expanduser() / "config.toml"
        return init_settings, env_settings, InitSettingsSource(settings_cls, init_kwargs=_read_toml(file))

    @property
    def dsn(self) -> str | None:
        """The configured database, readable: never log it."""
        return self.database_url.get_secret_value() if self.database_url else None


def load_settings(**overrides: Any) -> Settings:
    """Read the settings; `overrides` that are None count as not given.

    Raises:
        LeoflowError: a value is invalid, naming the setting and where it came from.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        raise _explain(error) from error
    return settings.model_copy(update={"home": settings.home.expanduser().absolute()})


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except PermissionError as error:
        raise LeoflowError(
            "the configuration cannot be read",
            where=str(file),
            hint="run as the user that owns LEOFLOW_HOME, or set LEOFLOW_HOME to a directory of your own",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LeoflowError(
            f"not valid TOML: {error}", where=str(file), hint="correct the line, or remove the file"
        ) from error


def _explain(error: ValidationError) -> LeoflowError:
    first = error.errors(include_input=False, include_url=False)[0]
    path = [str(part) for part in first["loc"]]
    variable = ENV_PREFIX + ENV_DELIMITER.join(path).upper()
    source = f"environment variable {variable}" if variable in os.environ else "config.toml or an argument"
    hint = f"see docs/configuration.md for {'.'.join(path)}"
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(path[-1], _names(path[:-1]), n=1)
        hint = f"did you mean {near[0]!r}?" if near else "remove the key; docs/configuration.md lists all settings"
        return LeoflowError(
            "unknown setting", where=f"{'.'.join(path)} ({source})", hint=hint, exit_code=ExitCode.USAGE
        )
    what = f"invalid setting: {first['msg'][:1].lower()}{first['msg'][1:]}"
    return LeoflowError(what, where=f"{'.'.join(path)} ({source})", hint=hint, exit_code=ExitCode.USAGE)


def _names(path: list[str]) -> list[str]:
    model: type[BaseModel] = Settings
    for part in path:
        annotation = model.model_fields[part].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return list(model.model_fields)
