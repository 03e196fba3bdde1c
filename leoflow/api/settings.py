"""What the API must know, independent of where it is configured."""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from leoflow.config import SecretsSettings

DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Settings of one API process.

    Attributes:
        home: `LEOFLOW_HOME`; holds the token secret.
        host: the address the server binds to; decides whether the local browser is signed in without a form.
        ui_directory: the Airflow UI's files: `app/` and `login/`; None serves the APIs alone.
        allowed_hosts: further names under which a loopback server may be asked for (a tunnel, a dev proxy).
        lite: show the Lite badge.
        instance_name: the name the UI shows in titles.
        token_seconds: life of a browser's token.
        cli_token_seconds: life of a token from `/auth/token/cli`.
        auto_refresh_seconds: how often the UI polls while something runs.
        xcom_limit_bytes: the largest XCom a task may push over the execution API.
        max_map_length: how many values it may push there for tasks mapped over them.
        log_store_url: where copies of logs are that the database has no more.
        secrets: which connections and variables tasks may have that ask over HTTP.
        base_url: what tasks were told of where people find this server. Links that begin with it are shown without it,
            so that they hold under whatever name somebody has come (a tunnel, another machine).
    """

    home: Path
    host: str = "127.0.0.1"
    ui_directory: Path | None = None
    allowed_hosts: frozenset[str] = field(default_factory=frozenset)
    lite: bool = False
    instance_name: str = "Leoflow"
    token_seconds: int = DAY_SECONDS
    cli_token_seconds: int = DAY_SECONDS
    auto_refresh_seconds: int = 3
    xcom_limit_bytes: int = 64 * 1024 * 1024
    max_map_length: int = 1024
    log_store_url: str | None = None
    secrets: SecretsSettings = field(default_factory=SecretsSettings)
    base_url: str | None = None

    @property
    def signs_in_locally(self) -> bool:
        """Whether the local browser needs no form: Lite, and reachable from this machine alone."""
        return self.lite and is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
