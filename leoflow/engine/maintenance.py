"""What time causes: retries and reschedules that fall due, lost workers, the low watermark."""

from datetime import datetime, timedelta

from leoflow.engine import rows
from leoflow.engine.rows import Connection


async def promote_due(conn: Connection, limit: int = 1000) -> int:
    """Make instances whose time has come claimable and start queued runs; wake workers if it returns more than 0."""
    moved: int = await rows.value(conn, "select leoflow_core.promote_due(%s)", (limit,))
    return moved


async def next_due(conn: Connection) -> datetime | None:
    """When `promote_due` has work next, None when nothing waits for a time."""
    due: datetime | None = await rows.value(conn, "select leoflow_core.next_due()")
    return due


async def reap(conn: Connection, limit: int = 1000) -> int:
    """Place the attempts of lost workers again; wake workers if it returns more than 0."""
    done: int = await rows.value(conn, "select leoflow_core.reap(%s)", (limit,))
    return done


async def refresh_watermark(conn: Connection) -> int:
    """Raise the low watermark to the oldest unfinished run; about once a second."""
    watermark: int = await rows.value(conn, "select leoflow_core.refresh_watermark()")
    return watermark


async def expire_runs(conn: Connection, limit: int = 100) -> int:
    """Fail running runs beyond their DAG's `dagrun_timeout`; returns how many."""
    done: int = await rows.value(conn, "select leoflow_core.expire_runs(%s)", (limit,))
    return done


async def archive_runs(conn: Connection, limit: int = 20_000) -> int:
    """Move about `limit` instances of runs that ended a while ago to history; returns how many runs. Repeat until 0."""
    done: int = await rows.value(conn, "select leoflow_core.archive_runs(%s)", (limit,))
    return done


async def maintain_partitions(conn: Connection, weeks: int = 3) -> int:
    """Create the weekly partitions of the coming weeks; returns how many were missing."""
    made: int = await rows.value(conn, "select leoflow_core.maintain_partitions(%s)", (weeks,))
    return made


async def retain(conn: Connection, keep: timedelta, limit: int = 100) -> int:
    """Delete what is older than `keep`; returns how many runs. Repeat while it returns `limit`."""
    done: int = await rows.value(conn, "select leoflow_core.retain(%s, %s)", (keep, limit))
    return done
