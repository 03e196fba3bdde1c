"""Says in a user's words why PostgreSQL did not start, from what it wrote."""

from pathlib import Path

from leoflow.errors import LeoflowError

_FULL = ("No space left on device", "Disk quota exceeded")
_DAMAGED = (
    "could not locate a valid checkpoint record",
    "invalid checkpoint record",
    "invalid primary checkpoint record",
    "invalid magic number",
    "incorrect checksum in control file",
    "calculated CRC checksum does not match",
    "could not open file",
    "could not read file",
    "could not access status of transaction",
    "is not a valid data directory",
    "bogus data in",
    "invalid page in block",
    "required WAL",
    "unexpected pageaddr",
    "global/pg_control",
)
_OTHER_SERVER = ("database files are incompatible with server", "The data directory was initialized by PostgreSQL")


def explain_failure(output: str, data_dir: Path, log_file: Path | None) -> LeoflowError:
    """The error for a server (or initdb) that ended with `output`."""
    hint = f"the whole story is in {log_file}" if log_file else "run `leoflow doctor`"
    if any(text in output for text in _FULL):
        return LeoflowError(
            "the disk is full", where=str(data_dir), hint="free some space and start again; no data was lost"
        )
    line = _reason(output)
    if any(text in output for text in _OTHER_SERVER):
        return LeoflowError(
            f"the data belongs to another PostgreSQL ({line})", where=str(data_dir), hint=f"{hint}; nothing was changed"
        )
    if any(text in output for text in _DAMAGED):
        return LeoflowError(
            f"the data directory is damaged ({line})",
            where=str(data_dir),
            hint=f"restore a backup (`leoflow lite restore`); {hint}; nothing was deleted",
        )
    return LeoflowError(f"PostgreSQL did not start ({line})", where=str(data_dir), hint=hint)


def _reason(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for mark in ("PANIC:", "FATAL:", "error:", "ERROR:"):
        for line in lines:
            if mark in line:
                return line.partition(mark)[2].strip()
    return lines[-1] if lines else "it wrote nothing"
