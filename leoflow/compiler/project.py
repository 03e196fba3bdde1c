"""A project: the directory, its settings, and its DAG files."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from leoflow.compiler.errors import CompileError
from leoflow.compiler.files import Tree, read_tree
from leoflow.environments import EnvironmentSpec
from leoflow.spec.dag_spec import DagSpec
from leoflow.spec.leoflow_yaml import LeoflowYaml
from leoflow.spec.yaml_reader import Document


@dataclass(frozen=True, slots=True, eq=False)
class Project:
    """One unit of compilation.

    Attributes:
        root: the directory that becomes importable for the DAG files.
        name: for people.
        yaml_path: its leoflow.yaml, if it has one.
        dag_files: relative paths of the DAG files.
        config: the settings; defaults without leoflow.yaml.
        must_define_dags: whether a file without any DAG is an error. In a plain folder of Airflow DAG files it is not.
        excludes: paths that belong to other projects.
        only: when set, the only files that belong to the project (a lone file in a large directory).
        error: what is wrong with leoflow.yaml; the project is reported, not compiled.
    """

    root: Path
    name: str
    yaml_path: Path | None
    dag_files: tuple[str, ...]
    config: LeoflowYaml
    must_define_dags: bool = True
    excludes: tuple[str, ...] = ()
    only: tuple[str, ...] | None = None
    error: CompileError | None = None
    document: Document = field(default_factory=lambda: Document(None))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Project) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Path, tuple[str, ...], str]:
        return self.root, self.dag_files, self.name

    @property
    def environment(self) -> EnvironmentSpec:
        """The interpreter the project asks for."""
        return EnvironmentSpec(self.config.python_version, self.config.requirements())

    def tree(self) -> Tree:
        """Read the project's files as they are now."""
        extra = [*self.dag_files, *([self.yaml_path.name] if self.yaml_path else [])]
        include = self.only if self.only is not None else self.config.include_paths
        exclude = (*self.config.exclude_paths, *self.excludes)
        return read_tree(self.root, include=include, exclude=exclude, extra=extra)

    def tree_hash(self) -> str:
        """Return the hash over all files of the project."""
        return self.tree().hash()

    def unrelated_files(self, tree: Tree, dag_file: str) -> frozenset[str]:
        """Return the other DAG files of the project that no Python file mentions in an import.

        Editing one DAG of a folder must not make new versions of its neighbours.
        """
        others = [path for path in self.dag_files if path != dag_file]
        if not others:
            return frozenset()
        return frozenset(path for path in others if Path(path).stem not in tree.imported_words)


class _Compiled(Protocol):
    @property
    def spec(self) -> DagSpec: ...
    @property
    def project(self) -> Project: ...
    @property
    def line(self) -> int | None: ...


def duplicate_dag_ids(compiled: Iterable[_Compiled]) -> list[CompileError]:
    """Return an error for each DAG whose id an earlier one, in another file, has already."""
    places: dict[str, list[_Compiled]] = defaultdict(list)
    for dag in compiled:
        places[dag.spec.dag_id].append(dag)
    return [
        CompileError(
            f"dag_id {dag_id!r} is also defined in {dags[0].project.root / dags[0].spec.source.path}",
            root=dag.project.root,
            file=dag.spec.source.path,
            line=dag.line,
            rule="duplicate-dag-id",
            hint="Give each DAG its own dag_id.",
        )
        for dag_id, dags in places.items()
        for dag in dags[1:]
    ]
