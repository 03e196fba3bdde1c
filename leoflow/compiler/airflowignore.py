"""`.airflowignore` files, in the glob syntax that is Airflow 3's default (that of .gitignore)."""

import re
from pathlib import Path, PurePosixPath

NAME = ".airflowignore"


class IgnoreRules:
    """Answers whether a file is ignored, reading each directory's rules once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._rules: dict[str, list[tuple[re.Pattern[str], bool]]] = {}

    def match(self, file: str) -> bool:
        """Say whether the last rule that matches the file, or a directory above it, ignores it."""
        parts = PurePosixPath(file).parts
        return any(self._decide(parts[:count], is_directory=count < len(parts)) for count in range(1, len(parts) + 1))

    def _decide(self, parts: tuple[str, ...], *, is_directory: bool) -> bool:
        ignored = False
        for depth in range(len(parts)):
            below = "/".join(parts[depth:]) + ("/" if is_directory else "")
            for pattern, ignores in self._rules_of("/".join(parts[:depth])):
                if pattern.match(below):
                    ignored = ignores
        return ignored

    def _rules_of(self, directory: str) -> list[tuple[re.Pattern[str], bool]]:
        if directory not in self._rules:
            try:
                text = (self._root / directory / NAME).read_text("utf-8", "replace")
            except OSError:
                text = ""
            self._rules[directory] = [rule for line in text.splitlines() if (rule := _rule(line))]
        return self._rules[directory]


def _rule(line: str) -> tuple[re.Pattern[str], bool] | None:
    line = line.rstrip()
    if not line or line.startswith("#"):
        return None
    ignores = not line.startswith("!")
    pattern = line.removeprefix("!").removeprefix("\\")
    only_directories = pattern.endswith("/")
    pattern = pattern.rstrip("/")
    anchored = "/" in pattern
    body = _translate(pattern.lstrip("/"))
    prefix = "" if anchored else "(?:.*/)?"
    return re.compile(f"{prefix}{body}{'/' if only_directories else '/?'}$"), ignores


def _translate(pattern: str) -> str:
    result, index = [], 0
    while index < len(pattern):
        if pattern.startswith("**/", index):
            result.append("(?:.*/)?")
            index += 3
        elif pattern.startswith("**", index):
            result.append(".*")
            index += 2
        elif pattern[index] == "*":
            result.append("[^/]*")
            index += 1
        elif pattern[index] == "?":
            result.append("[^/]")
            index += 1
        elif pattern[index] == "[" and (end := pattern.find("]", index + 2)) > 0:
            inside = pattern[index + 1 : end].replace("\\", "\\\\")
            result.append(f"[^{inside[1:]}]" if inside.startswith("!") else f"[{inside}]")
            index = end + 1
        else:
            result.append(re.escape(pattern[index]))
            index += 1
    return "".join(result)
