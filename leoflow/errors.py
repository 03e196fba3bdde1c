"""The errors a user sees: what went wrong, where, and what to do about it."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every `leoflow` command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    TIMED_OUT = 3
    UNREACHABLE = 4


class LeoflowError(Exception):
    """An error with a remedy. The CLI prints `error: <what>: <where>` and `hint: <hint>`, the API a 4xx.

    Args:
        what: the rule that was broken, one line, no full stop.
        where: the file, field, address or object concerned.
        hint: what the user can do.
        exit_code: the CLI's exit code.
    """

    exit_code = ExitCode.FAILED

    def __init__(self, what: str, *, where: str = "", hint: str = "", exit_code: ExitCode | None = None) -> None:
        super().__init__(f"{what}: {where}" if where else what)
        self.what = what
        self.where = where
        self.hint = hint
        if exit_code is not None:
            self.exit_code = exit_code


class UnreachableError(LeoflowError):
    """The server or database cannot be reached, or refuses the caller."""

    exit_code = ExitCode.UNREACHABLE
