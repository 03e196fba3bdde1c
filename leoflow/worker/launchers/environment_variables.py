"""Which of the worker's environment variables user code gets to see."""

from collections.abc import Mapping

_OURS = ("LEOFLOW_", "_AIRFLOW_", "AIRFLOW__DATABASE__", "AIRFLOW__API_AUTH__", "AIRFLOW__CELERY__")
_CREDENTIALS = {
    "DATABASE_URL",
    "PGPASSWORD",
    "PGPASSFILE",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGHOST",
    "PGUSER",
    "PGDATABASE",
    "AIRFLOW__CORE__SQL_ALCHEMY_CONN",
    "AIRFLOW__CORE__FERNET_KEY",
    "AIRFLOW__API__SECRET_KEY",
    "AIRFLOW__WEBSERVER__SECRET_KEY",
}
_INTERPRETER = {"PYTHONHOME", "VIRTUAL_ENV", "PYTHONSTARTUP", "PYTHONDONTWRITEBYTECODE", "__PYVENV_LAUNCHER__"}


_SECRETS = ("AIRFLOW_CONN_", "AIRFLOW_VAR_")


def is_reserved(name: str) -> bool:
    """Tell whether a variable is Leoflow's own, so that a project may not set it."""
    return name.startswith(_OURS)


def clean_environment(environment: dict[str, str]) -> dict[str, str]:
    """Return the variables that user code may inherit.

    Everything the person who started Leoflow has set, as Airflow's local executor does, except Leoflow's own
    settings, credentials of databases, and what belongs to this interpreter.
    """
    kept = {
        name: value
        for name, value in environment.items()
        if not name.startswith(_OURS) and name not in _CREDENTIALS and name not in _INTERPRETER
    }
    return {"PYTHONUNBUFFERED": "1", **kept}


def secrets_in(environment: Mapping[str, str]) -> dict[str, str]:
    """Return Airflow's connections and variables (AIRFLOW_CONN_X, AIRFLOW_VAR_X) in the worker's environment."""
    return {name: value for name, value in environment.items() if name.startswith(_SECRETS)}
