"""Keeps the sources of a project as they are now, where later edits cannot reach them."""

import contextlib
import errno
import os
import shutil
import uuid
from pathlib import Path

from leoflow.compiler.errors import CompileError
from leoflow.compiler.files import Tree, read_snapshot
from leoflow.compiler.project import Project

ATTEMPTS = 3


def snapshot(project: Project, home: Path) -> Path:
    """Copy the project's files to `home/bundles/<tree_hash>` and return that directory.

    Atomic: a directory under its final name is complete, and holds exactly the files its name is the hash of.
    A project that is edited meanwhile is copied again.
    """
    bundles = home / "bundles"
    for _ in range(ATTEMPTS):
        tree = project.tree()
        final = bundles / tree.hash()
        if final.is_dir():
            return final
        temporary = bundles / f".{uuid.uuid4().hex}"
        try:
            bundles.mkdir(parents=True, exist_ok=True)
            if _copy(tree, temporary):
                _publish(temporary, final)
                return final
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise CompileError(
                f"cannot keep a copy of the project: {error.strerror}",
                root=project.root,
                rule="snapshot",
                hint="Free some space." if full else f"Check {bundles} and its permissions.",
            ) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    raise CompileError(
        "the files change faster than they can be read",
        root=project.root,
        rule="changing",
        hint="Leave generated files out with exclude_paths in leoflow.yaml.",
    )


def _copy(tree: Tree, target: Path) -> bool:
    """Copy the files; say whether the copy is what the tree promised."""
    target.mkdir()
    for file in tree.files:
        destination = target / file.path
        destination.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(tree.root / file.path, destination)
        except FileNotFoundError:
            return False
        destination.chmod(0o555 if file.executable else 0o444)
    return read_snapshot(target).hash() == tree.hash()


def _publish(temporary: Path, final: Path) -> None:
    with contextlib.suppress(FileExistsError):
        try:
            os.rename(temporary, final)  # noqa: PTH104 - pathlib's rename hides the error number
        except OSError:
            if not final.is_dir():
                raise
