"""The error of everything that can be wrong with a project."""

import os
from pathlib import Path

from leoflow.errors import LeoflowError


class CompileError(LeoflowError):
    """A broken rule in a project.

    Args:
        what: the rule that was broken, one line.
        root: the project's directory.
        file: the file concerned, relative to `root`; empty for the project itself.
        line: its line, from 1.
        rule: a short stable name, such as `syntax`, `cycle` or `time-limit`.
        hint: the remedy.
        traceback: user code's traceback, for people; may be empty.
    """

    def __init__(
        self,
        what: str,
        *,
        root: Path,
        file: str = "",
        line: int | None = None,
        rule: str,
        hint: str = "",
        traceback: str = "",
    ) -> None:
        path = shown(root / file if file else root)
        super().__init__(what, where=f"{path}:{line}" if line else path, hint=hint)
        self.root = root
        self.file = file
        self.line = line
        self.rule = rule
        self.traceback = traceback

    @property
    def path(self) -> Path:
        """The file concerned, or the project's directory."""
        return self.root / self.file if self.file else self.root

    def text(self) -> str:
        """Return everything there is to say, for an import error in the UI."""
        lines = [f"error: {self}"]
        if self.hint:
            lines.append(f"hint: {self.hint}")
        if self.traceback:
            lines += ["", self.traceback.rstrip()]
        return "\n".join(lines)


def shown(path: Path) -> str:
    """Return the shorter of the absolute path and the one relative to the working directory."""
    absolute = str(path)
    try:
        relative = os.path.relpath(path)
    except (ValueError, OSError):
        return absolute
    return absolute if relative.startswith("..") else relative
