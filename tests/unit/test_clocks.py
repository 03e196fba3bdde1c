"""Only the database's clock decides: what processes read of their own is for people and for tokens they check alone."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOR_PEOPLE_OR_TOKENS = {
    "leoflow/api/auth/tokens.py",  # expiry of sign-ins, issued and checked by the server
    "leoflow/execution/tokens.py",  # the same of attempts
    "leoflow/execution/attempts.py",  # timestamps of log lines
    "leoflow/worker/log_lines.py",
    "leoflow/worker/endings.py",  # end_date as the SDK's messages have it; the engine writes its own
    "leoflow/worker/session.py",
    "leoflow/worker/startup.py",  # told to the task where the database has not said it yet
}


def readers_of_clocks(package: Path) -> Iterator[str]:
    for file in sorted(package.rglob("*.py")):
        calls = (node.func for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call))
        if any(_reads_the_clock(call) for call in calls):
            yield file.relative_to(ROOT).as_posix()


def _reads_the_clock(call: ast.expr) -> bool:
    if not isinstance(call, ast.Attribute):
        return False
    owner = ast.unparse(call.value)
    return (call.attr in ("now", "utcnow", "today") and "date" in owner.lower()) or (
        (owner, call.attr) in (("time", "time"), ("dt.datetime", "now"))
    )


def test_no_process_of_the_control_plane_decides_by_its_own_clock() -> None:
    found = set(readers_of_clocks(ROOT / "leoflow"))
    runs_in_the_project = {name for name in found if name.startswith("leoflow/runtime/")}
    assert found - runs_in_the_project == FOR_PEOPLE_OR_TOKENS


def test_the_engine_reads_the_clock_and_not_the_begin_of_a_transaction() -> None:
    """`now()` stands still in a caller's long transaction."""
    for file in (ROOT / "sql").rglob("*.sql"):
        code = "\n".join(line.partition("--")[0] for line in file.read_text().lower().splitlines())
        for word in (
            " now()",
            "(now()",
            "current_timestamp",
            "transaction_timestamp",
            "localtimestamp",
            "current_date",
        ):
            assert word not in code, f"{file.name}: {word}"
