"""Airflow plugins of a project: the folder `plugins` beside its DAG file."""

import os
import sys
from pathlib import Path
from typing import Any

FOLDER = "plugins"


def use_plugins_of(root: Path) -> None:
    """Make Airflow look for plugins in the project's own folder, if it has one, and forget those it found before.

    Without one, `AIRFLOW__CORE__PLUGINS_FOLDER` of the worker's environment stays in force, as in Airflow.
    """
    folder = root / FOLDER
    if not folder.is_dir():
        return
    from airflow import settings
    from airflow.sdk import listener, plugins_manager

    settings.PLUGINS_FOLDER = str(folder)
    os.environ["AIRFLOW__CORE__PLUGINS_FOLDER"] = str(folder)
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    found: tuple[Any, ...] = (
        plugins_manager._get_plugins,
        plugins_manager.integrate_macros_plugins,
        plugins_manager.get_hook_lineage_readers_plugins,
        listener.get_listener_manager,
    )
    for cached in found:
        cached.cache_clear()


def plugin_errors(root: Path) -> list[dict[str, Any]]:
    """Return what keeps plugins of the project from being loaded, as warnings that name the file."""
    if not (root / FOLDER).is_dir():
        return []
    from airflow.sdk import plugins_manager

    _, errors = plugins_manager._get_plugins()
    return [
        {
            "file": f"{FOLDER}/{Path(source).name}",
            "line": 1,
            "what": f"this plugin cannot be loaded and is left out: {reason}",
        }
        for source, reason in sorted(errors.items())
    ]
