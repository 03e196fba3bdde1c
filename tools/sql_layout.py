"""Runs sqlfluff over all SQL of the repository: `python -m tools.sql_layout lint` or `… fix`.

The named queries hold psycopg's `%s` and `%(name)s`, which are no SQL: sqlfluff is given `$1` of the same length,
and each statement ended by a semicolon; fixes are turned back.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_PLACEHOLDER = re.compile(r"%(?:\((\w+)\))?s\b")
_NUMBERED = re.compile(r"\$0*(\d+)\b")
_NAME = re.compile(r"^-- name: ", re.MULTILINE)
_VENDORED = "0001_pre_install_procrastinate"


def to_sql(text: str) -> tuple[str, list[str]]:
    """Query text as plain SQL, and its placeholders in the order of their numbers."""
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        names.append(match[0])
        return "$" + str(len(names)).rjust(len(match[0]) - 1, "0")

    return _PLACEHOLDER.sub(number, _terminated(text)), names


def from_sql(text: str, names: list[str]) -> str:
    """The reverse of `to_sql`."""
    return _NUMBERED.sub(lambda match: names[int(match[1]) - 1], text)


def _terminated(text: str) -> str:
    head, *parts = _NAME.split(text)
    ended = [part.rstrip() if part.rstrip().endswith(";") else f"{part.rstrip()};" for part in parts]
    return head + "\n\n".join(f"-- name: {part}" for part in ended) + "\n"


def main() -> int:
    """Lint or fix; the exit code is sqlfluff's."""
    action = sys.argv[1]
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        shutil.copyfile(ROOT / "pyproject.toml", scratch / "pyproject.toml")
        shutil.copytree(ROOT / "sql", scratch / "sql")
        shutil.copytree(ROOT / "migrations", scratch / "migrations")
        for file in (scratch / "migrations").rglob(f"{_VENDORED}*"):
            file.unlink()
        (scratch / "sql" / "schema.sql").unlink(missing_ok=True)  # a dump, written by pg_dump
        names: dict[Path, list[str]] = {}
        for file in sorted((scratch / "sql" / "queries").glob("*.sql")):
            text, names[file] = to_sql(file.read_text())
            file.write_text(text)
        command = [Path(sys.executable).with_name("sqlfluff"), action, "--disable-progress-bar", "--processes", "2"]
        done = subprocess.run([*command, "sql", "migrations"], cwd=scratch, check=False)
        if action == "fix":
            for file in scratch.rglob("*.sql"):
                text = from_sql(file.read_text(), names[file]) if file in names else file.read_text()
                target = ROOT / file.relative_to(scratch)
                if target.read_text() != text:
                    target.write_text(text)
                    print(f"changed {target.relative_to(ROOT)}")
        return done.returncode


if __name__ == "__main__":
    sys.exit(main())
