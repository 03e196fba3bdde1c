"""Loads one DAG file with the real Task SDK and describes its DAGs as plain JSON values.

Runs in the project's own interpreter (Python 3.10 or newer), as a process of its own (`__main__`) or in a forked
child of a warm process: `load` needs nothing but its request. It may leave the process changed (imports, `sys.path`,
working directory), so the process must end afterwards.
"""

from typing import Any

__all__ = ["load"]


def load(request: "dict[str, Any]") -> "dict[str, Any]":
    """Load `request["file"]` (relative) under the directory `request["root"]`; see `loader.load`."""
    from leoflow.runtime.loading import loader

    return loader.load(request)
