"""Changes one condition or line of an engine function at a time, and lists the changes no test notices.

`python -m tools.mutate_sql finish propagate --most 40` tries 40 changes of two functions, drawn evenly, on databases of
their own; the files stay as they are. A survivor is a test to write, or a condition that only saves work. Takes about
10 s of processor time for a change that is noticed, and up to two minutes for one that is not.
"""

import argparse
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests.support.postgres import Server, database_name, postgres_server

ROOT = Path(__file__).resolve().parent.parent
FUNCTIONS = ROOT / "sql" / "functions"
EXAMPLES = "12"

FLOW = ("test_flow", "test_decide", "test_mapping", "test_limits", "test_operations", "test_triggers", "test_reduce")
LAST = ("test_history", "test_backfills", "test_clock_jumps", "test_bad_input", "test_properties")
"""Files of tests/sql in the order they are tried: what fails soonest comes first."""

_SWAPS: tuple[tuple[str, str], ...] = (
    (r"(?<![-<>=:])<=(?!>)", "<"),
    (r"(?<![-<>=@?])>=", ">"),
    (r"(?<![-<>=@?])<(?![=>@])", "<="),
    (r"(?<![-<>=@?])>(?![=>])", ">="),
    (r"\bnot exists\b", "exists"),
    (r"\bis not null\b", "is null"),
    (r"\bis not distinct from\b", "is distinct from"),
    (r"(?<=\w )\+ 1\b", "- 1"),
    (r"(?<=\w )- (?=\w)", "+ "),
    (r"'success'", "'failed'"),
    (r"'failed'", "'skipped'"),
    (r"\btrue\b", "false"),
    (r"\bfalse\b", "true"),
    (r"\bleast\(", "greatest("),
)
_CONDITION = re.compile(r"^\s+(?:and|or) .*[^,]$")
_STATEMENT = re.compile(r"^(\s+)perform .*;$")


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change.

    Attributes:
        name: of the function's file.
        line: number of the line, from 1.
        before: the line.
        after: what it becomes.
    """

    name: str
    line: int
    before: str
    after: str

    def text(self) -> str:
        """The file with the change."""
        lines = (FUNCTIONS / f"{self.name}.sql").read_text().splitlines()
        lines[self.line - 1] = self.after
        return "\n".join(lines) + "\n"

    def __str__(self) -> str:
        return f"{self.name}.sql:{self.line}  {self.before.strip()}  ->  {self.after.strip() or '(nothing)'}"


def mutants_of(name: str, text: str) -> Iterator[Mutant]:
    """Yield every change there is in bodies: conditions left out, comparisons and states exchanged, calls left out."""
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        code = line.partition("--")[0]
        if "$$" in code:
            inside = not inside
        if not inside or not code.strip() or "set_config" in code:
            continue
        if _CONDITION.match(code) and code.count("(") == code.count(")"):
            yield Mutant(name, number, line, "")
        if found := _STATEMENT.match(code):
            yield Mutant(name, number, line, f"{found[1]}null;")
        for pattern, other in _SWAPS:
            if "clock_timestamp" in code and other[0] in "<>":
                continue  # the same but for one moment
            for match in re.finditer(pattern, code):
                yield Mutant(name, number, line, code[: match.start()] + other + code[match.end() :])


def is_noticed(mutant: Mutant, server: Server, template: str, tests: list[str]) -> bool | None:
    """Whether a test fails with the change; None when Postgres does not take it."""
    with server.database(template) as dsn:
        try:
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute(mutant.text().encode())
        except psycopg.Error:
            return None
        environ = {**os.environ, "LEOFLOW_TEST_TEMPLATE": database_name(dsn), "LEOFLOW_TEST_EXAMPLES": EXAMPLES}
        command = [sys.executable, *["-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider"]]
        command += [f"tests/sql/{each}.py" for each in tests]
        try:
            done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=900)
        except subprocess.TimeoutExpired:
            return True  # it hangs
    if done.returncode not in (0, 1):
        raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])
    return done.returncode == 1


def _of(given: str) -> Iterator[Mutant]:
    name, _, line = given.partition(":")
    found = mutants_of(name, (FUNCTIONS / f"{name}.sql").read_text())
    return (each for each in found if not line or each.line == int(line))


def main() -> int:
    """Try the changes and print the survivors; 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("functions", nargs="+", help="files of sql/functions, without .sql; finish:63 is one line")
    parser.add_argument("--most", type=int, default=20, help="changes to try")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tests", nargs="+", default=[*FLOW, *LAST], help="files of tests/sql, without .py")
    options = parser.parse_args()
    all_ = [each for given in options.functions for each in _of(given)]
    chosen = random.Random(options.seed).sample(all_, min(options.most, len(all_)))
    counts = {True: 0, False: 0, None: 0}
    with postgres_server() as server:
        template = server.migrated_template()
        for mutant in chosen:
            noticed = is_noticed(mutant, server, template, options.tests)
            counts[noticed] += 1
            print({True: "noticed ", False: "SURVIVED", None: "invalid "}[noticed], mutant, flush=True)
    print(f"{len(all_)} changes, {counts[True]} noticed, {counts[False]} survived, {counts[None]} invalid")
    return 1 if counts[False] else 0


if __name__ == "__main__":
    sys.exit(main())
