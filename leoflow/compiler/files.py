"""Which files belong to a project, and the hash over them."""

import fnmatch
import hashlib
import os
import re
import stat
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from leoflow.compiler.errors import CompileError

MAX_FILES = 20_000
MAX_TOTAL_BYTES = 1 << 30
ALWAYS_EXCLUDED = ("__pycache__", "*.pyc", "venv", "node_modules", "dag.json", "*.dag.json")
"""Never part of a project, like anything hidden: caches, interpreters, and what `leoflow compile` writes."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of a project."""

    path: str
    """Relative to the project, with forward slashes."""
    size: int
    executable: bool
    sha256: str

    def line(self) -> bytes:
        """Return the file's contribution to the hash of its tree."""
        mode = b"x" if self.executable else b"-"
        return b"%s %s %s\0" % (mode, self.sha256.encode(), os.fsencode(self.path))


@dataclass(frozen=True)
class Tree:
    """The files of a project at one moment, sorted by path."""

    root: Path
    files: tuple[File, ...]

    def hash(self, without: Collection[str] = ()) -> str:
        """Return the sha256 over paths, contents and executable bits; the same wherever the project lies."""
        digest = hashlib.sha256()
        for file in self.files:
            if file.path not in without:
                digest.update(file.line())
        return digest.hexdigest()

    @cached_property
    def imported_words(self) -> frozenset[str]:
        """Every word in an import statement of any Python file: what a file's name must be among to be imported."""
        python = (self.root / file.path for file in self.files if file.path.endswith(".py"))
        return frozenset(word for path in python for word in _words_of_imports(path))

    def get(self, path: str) -> File | None:
        """Return one file."""
        return next((file for file in self.files if file.path == path), None)


def read_tree(root: Path, *, include: Sequence[str], exclude: Sequence[str], extra: Sequence[str] = ()) -> Tree:
    """Read and hash the files of a project.

    Args:
        root: the project's directory.
        include: directories and files to take, relative; `.` for all.
        exclude: names or paths to leave out, with wildcards.
        extra: files to take in any case.
    """
    chosen = [path for path in list_files(root, exclude=exclude) if path in extra or _included(path, include)]
    if len(chosen) > MAX_FILES:
        raise CompileError(
            f"the project has more than {MAX_FILES} files",
            root=root,
            rule="too-many-files",
            hint="Leave data out with exclude_paths in leoflow.yaml, or choose include_paths.",
        )
    files, total = [], 0
    for path in sorted(chosen):
        file = _read(root, path)
        if file is None:
            continue
        total += file.size
        if total > MAX_TOTAL_BYTES:
            raise CompileError(
                f"the project is larger than {MAX_TOTAL_BYTES >> 20} MiB",
                root=root,
                file=path,
                rule="too-large",
                hint="Leave data out with exclude_paths in leoflow.yaml, or choose include_paths.",
            )
        files.append(file)
    return Tree(root, tuple(files))


def read_snapshot(root: Path) -> Tree:
    """Read a directory all of whose files belong to the project."""
    return read_tree(root, include=["."], exclude=[])


def list_files(root: Path, *, exclude: Sequence[str] = ()) -> Iterator[str]:
    """Yield the relative paths of regular files, following links to directories once."""
    patterns = (*ALWAYS_EXCLUDED, *exclude)
    pending: list[tuple[Path, str]] = [(root, "")]
    seen: set[tuple[int, int]] = set()
    while pending:
        directory, prefix = pending.pop()
        if not _first_visit(directory, seen):
            continue
        for entry in _entries(directory, root):
            path = prefix + entry.name
            if entry.name.startswith(".") or excluded(path, patterns):
                continue
            kind = _kind(entry)
            if kind == "directory" and not (directory / entry.name / "pyvenv.cfg").exists():
                pending.append((directory / entry.name, f"{path}/"))
            elif kind == "file":
                yield path


def excluded(path: str, patterns: Sequence[str]) -> bool:
    """Say whether a relative path matches a pattern: a name at any depth, or a path from the project's root."""
    name = PurePosixPath(path).name
    for pattern in patterns:
        bare = pattern.removeprefix("./").rstrip("/")
        if "/" in bare:
            if fnmatch.fnmatchcase(path, bare.removeprefix("/")):
                return True
        elif fnmatch.fnmatchcase(name, bare):
            return True
    return False


def _included(path: str, include: Sequence[str]) -> bool:
    for each in include:
        prefix = each.removeprefix("./").rstrip("/")
        if prefix in ("", ".") or path == prefix or path.startswith(f"{prefix}/"):
            return True
    return False


_IMPORT = re.compile(r"^[ \t]*(?:from|import)\b[^\n(]*(?:\([^)]*\))?|import_module\([^)]*\)", re.MULTILINE)


def _words_of_imports(path: Path) -> set[str]:
    try:
        text = path.read_text("utf-8", "replace")
    except OSError:
        return set()
    return set(re.findall(r"\w+", " ".join(_IMPORT.findall(text))))


def _kind(entry: os.DirEntry[str]) -> str:
    try:
        return "directory" if entry.is_dir() else "file" if entry.is_file() else "other"
    except OSError:  # a link to itself
        return "other"


def _first_visit(directory: Path, seen: set[tuple[int, int]]) -> bool:
    try:
        status = directory.stat()
    except OSError:
        return False
    key = (status.st_dev, status.st_ino)
    if key in seen:
        return False
    seen.add(key)
    return True


def _entries(directory: Path, root: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        if directory == root:
            hint = "Check the path and its permissions."
            raise CompileError(f"cannot be read: {error.strerror}", root=root, rule="unreadable", hint=hint) from error
        return []


def _read(root: Path, path: str) -> File | None:
    digest = hashlib.sha256()
    try:
        with (root / path).open("rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                return None
            size = 0
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
                size += len(chunk)
    except FileNotFoundError:
        return None
    except OSError as error:
        hint = "Make it readable, or name it in exclude_paths."
        raise CompileError(
            f"cannot be read: {error.strerror}", root=root, file=path, rule="unreadable", hint=hint
        ) from error
    return File(path, size, bool(status.st_mode & stat.S_IXUSR), digest.hexdigest())
