"""Finds the projects in a path: a project, a workspace of projects, a plain folder of DAG files, or one file."""

import zipfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from leoflow.compiler.airflowignore import IgnoreRules
from leoflow.compiler.errors import CompileError
from leoflow.compiler.files import list_files
from leoflow.compiler.imports import local_imports
from leoflow.compiler.project import Project
from leoflow.errors import LeoflowError
from leoflow.spec.leoflow_yaml import LeoflowYaml
from leoflow.spec.yaml_reader import Document, YamlError, read_with_lines

YAML_NAME = "leoflow.yaml"
DEFAULT_DAG_FILE = "dag.py"
MAX_SNIFFED_BYTES = 10 << 20
MAX_NEIGHBOURS = 1000
"""A lone file takes its directory along, unless that has more files than this (a home directory, say)."""


def discover(path: Path) -> list[Project]:
    """Return the projects of `path`, sorted by directory.

    A leoflow.yaml that is wrong does not hide the other projects: its project carries the error.

    Raises:
        LeoflowError: there is no such path, or nothing in it is a DAG file.
    """
    path = Path(path).expanduser().absolute()
    if path.is_file():
        return [_lone_file(path)]
    if not path.is_dir():
        raise LeoflowError("no such file or directory", where=str(path), hint="Create one with `leoflow init PATH`.")
    projects = _in_directory(path)
    if not projects:
        raise LeoflowError(
            "no DAG files", where=str(path), hint="A project needs a dag.py; `leoflow init PATH` writes one."
        )
    return projects


def _in_directory(path: Path) -> list[Project]:
    if (path / YAML_NAME).is_file():
        return [_with_yaml(path)]
    files = list(list_files(path))
    roots = sorted({_parent(file) for file in files if PurePosixPath(file).name == YAML_NAME})
    roots = [root for root in roots if not any(_inside(root, other) for other in roots if other != root)]
    loose = [file for file in _dag_candidates(path, files) if not any(_inside(file, root) for root in roots)]
    lone = _lone_projects(loose)
    projects = [_with_yaml(path / root) for root in roots]
    if lone:
        projects += [_plain(path / root, [DEFAULT_DAG_FILE], must=True) for root in lone]
    elif loose:
        own = [parent for parent in _alone(loose) if _needs_its_directory(path, parent)]
        projects += [_plain(path / root, [DEFAULT_DAG_FILE], must=True) for root in own]
        rest = [file for file in loose if _parent(file) not in own]
        if rest:
            projects.append(_plain(path, rest, excludes=[*roots, *own], must=len(loose) == 1 and not roots))
    return sorted(projects, key=lambda project: project.root)


def _lone_projects(loose: list[str]) -> list[str]:
    """Return the directories when every DAG file is a `dag.py` in a directory of its own."""
    parents = [_parent(file) for file in loose]
    if all(PurePosixPath(file).name == DEFAULT_DAG_FILE for file in loose) and "." not in parents:
        nested = any(_inside(parent, other) for parent in parents for other in parents if other != parent)
        return [] if nested else parents
    return []


def _alone(loose: list[str]) -> list[str]:
    """Return the directories in and below which a `dag.py` is the only DAG file."""
    below = Counter(directory.as_posix() for file in loose for directory in PurePosixPath(file).parents)
    parents = [_parent(file) for file in loose if PurePosixPath(file).name == DEFAULT_DAG_FILE]
    return [parent for parent in parents if parent != "." and below[parent] == 1]


def _needs_its_directory(path: Path, parent: str) -> bool:
    """Say whether a `dag.py` imports modules that are beside it and not in the folder's root.

    Among other DAG files it cannot be imported then (nor by Airflow), but it was a project alone, and somebody who puts
    a file beside that project does not mean to break it.
    """
    tops = {PurePosixPath(file).parts[0].removesuffix(".py") for file in local_imports(path / parent, DEFAULT_DAG_FILE)}
    return any(not (path / f"{top}.py").is_file() and not (path / top).is_dir() for top in tops)


def _parent(file: str) -> str:
    return PurePosixPath(file).parent.as_posix()


def _inside(path: str, root: str) -> bool:
    return path == root or path.startswith(f"{root}/")


def _with_yaml(root: Path) -> Project:
    yaml_path = root / YAML_NAME
    config, document, error = LeoflowYaml(), Document(None), None
    try:
        config, document = read_with_lines(yaml_path)
    except YamlError as problem:
        error = CompileError(
            problem.what, root=root, file=YAML_NAME, line=problem.line, rule="leoflow-yaml", hint=problem.hint
        )
    project = Project(
        root=root,
        name=config.dag_id or root.name,
        yaml_path=yaml_path,
        dag_files=(PurePosixPath(config.dag_source).as_posix(),),
        config=config,
        error=error,
        document=document,
    )
    return project if error else _checked(project)


def _checked(project: Project) -> Project:
    """Return the project, with an error when a path in its leoflow.yaml leads nowhere."""
    dag_file = project.dag_files[0]
    missing = [path for path in project.config.include_paths if not (project.root / path).exists()]
    if not (project.root / dag_file).is_file():
        error = CompileError(
            "the DAG file does not exist",
            root=project.root,
            file=dag_file,
            rule="file-missing",
            hint=f"Create {dag_file}, or name the file with dag_source in leoflow.yaml.",
        )
    elif missing:
        error = CompileError(
            f"include_paths names {missing[0]!r}, which does not exist",
            root=project.root,
            file=YAML_NAME,
            line=project.document.line_of(("include_paths", project.config.include_paths.index(missing[0]))),
            rule="include-path",
            hint="Correct the path, or leave it out.",
        )
    else:
        return project
    return Project(
        project.root,
        project.name,
        project.yaml_path,
        project.dag_files,
        project.config,
        error=error,
        document=project.document,
    )


def _plain(root: Path, files: Iterable[str], *, must: bool, excludes: Iterable[str] = ()) -> Project:
    return Project(
        root=root,
        name=root.name,
        yaml_path=None,
        dag_files=tuple(sorted(files)),
        config=LeoflowYaml(),
        must_define_dags=must,
        excludes=tuple(excludes),
    )


def _lone_file(path: Path) -> Project:
    root = path.parent
    yaml_path = root / YAML_NAME
    if path.name == YAML_NAME:
        return _with_yaml(root)
    if path.suffix != ".py":
        raise LeoflowError("not a Python file", where=str(path), hint="Give a directory or a .py file.")
    if yaml_path.is_file():
        project = _with_yaml(root)
        if project.error or project.dag_files == (path.name,):
            return project
    only = None
    for count, _ in enumerate(list_files(root)):
        if count >= MAX_NEIGHBOURS:
            only = tuple(sorted({path.name, *local_imports(root, path.name)}))
            break
    return Project(root=root, name=path.stem, yaml_path=None, dag_files=(path.name,), config=LeoflowYaml(), only=only)


def _dag_candidates(root: Path, files: Iterable[str]) -> list[str]:
    """Return the files that may define DAGs: every `dag.py`, and what Airflow's own rule finds.

    Airflow's rule is that a file mentions `dag` and `airflow`; a `dag.py` that does not (yet) is somebody's mistake,
    which is to be reported, not passed over.
    """
    ignored = IgnoreRules(root)
    reads = {".py": _mentions_dags, ".zip": _packs_dags}

    def is_candidate(file: str) -> bool:
        path = PurePosixPath(file)
        read = reads.get(path.suffix)
        return read is not None and (path.name == DEFAULT_DAG_FILE or read(root / file))

    return sorted(file for file in files if is_candidate(file) and not ignored.match(file))


def _mentions_dags(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_SNIFFED_BYTES).lower()
    except OSError:
        return False
    return b"dag" in content and b"airflow" in content


def _packs_dags(path: Path) -> bool:
    """Say whether an archive is a packaged DAG: it is reported then, because Leoflow does not unpack it."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [
                info for info in archive.infolist() if info.filename.endswith(".py") and "/" not in info.filename
            ]
            contents = (archive.read(info).lower() for info in members if info.file_size < MAX_SNIFFED_BYTES)
            return any(b"dag" in content and b"airflow" in content for content in contents)
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError):
        return False
