"""Turns a project (leoflow.yaml + dag.py) into its canonical dag.json by loading it in the project's interpreter.

`discover` finds projects, `snapshot` keeps their sources, `compile_project` makes specs through a `DagLoader`.
"""

from leoflow.compiler.compile import CompiledDag, ProjectReport, compile_file, compile_project, report_project
from leoflow.compiler.discovery import discover
from leoflow.compiler.errors import CompileError
from leoflow.compiler.loader import DagLoader, LoadLimits, LoadRequest, LoadResult
from leoflow.compiler.project import Project, duplicate_dag_ids
from leoflow.compiler.snapshot import snapshot
from leoflow.compiler.subprocess_loader import SubprocessLoader

__all__ = [
    "CompileError",
    "CompiledDag",
    "DagLoader",
    "LoadLimits",
    "LoadRequest",
    "LoadResult",
    "Project",
    "ProjectReport",
    "SubprocessLoader",
    "compile_file",
    "compile_project",
    "discover",
    "duplicate_dag_ids",
    "report_project",
    "snapshot",
]
