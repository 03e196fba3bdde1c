"""Which names mean secrets: Airflow's list, the same for a task's log and for what the API shows."""

NAMES = (
    "access_key",
    "access_token",
    "api_key",
    "apikey",
    "auth_header",
    "authorization",
    "bearer",
    "connection_string",
    "dsn",
    "keyfile_dict",
    "passphrase",
    "passwd",
    "password",
    "private_key",
    "proxies",
    "proxy",
    "proxy_password",
    "secret",
    "service_account",
    "service_key",
    "token",
    "webhook_url",
)
"""Of Airflow 3.2: a name that contains one of these, in any case, names a secret."""


def is_sensitive(name: str | None) -> bool:
    """Tell whether values under this name must not be shown."""
    if not name:
        return False
    lowered = name.strip().lower()
    return any(part in lowered for part in NAMES)
