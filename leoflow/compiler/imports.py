"""Which modules of its own directory a DAG file imports, found by reading, not by running."""

import ast
from collections.abc import Iterator
from pathlib import Path

MAX_BYTES = 10 << 20


def local_imports(root: Path, file: str) -> set[str]:
    """Return the relative paths of the modules below `root` that `file` imports, directly or through others."""
    found: set[str] = set()
    pending = [file]
    while pending:
        current = pending.pop()
        for module in _imported(root / current):
            for path in _files_of(root, module):
                if path not in found and path != file:
                    found.add(path)
                    pending.append(path)
    return found


def _imported(path: Path) -> Iterator[str]:
    try:
        if path.stat().st_size > MAX_BYTES:
            return
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _files_of(root: Path, module: str) -> Iterator[str]:
    """Yield the files of a module and of the packages it lies in; a package comes whole."""
    top = module.partition(".")[0]
    if (root / f"{top}.py").is_file():
        yield f"{top}.py"
    elif (root / top).is_dir() and top.isidentifier():
        yield from (each.relative_to(root).as_posix() for each in sorted((root / top).rglob("*.py")))
