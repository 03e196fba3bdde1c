"""Workers and their leases."""

from datetime import timedelta
from uuid import UUID

from leoflow.engine import rows
from leoflow.engine.rows import Connection

DEFAULT_LEASE = timedelta(seconds=30)


async def register_worker(
    conn: Connection,
    *,
    hostname: str,
    pid: int,
    slots: int,
    kind: str = "local",
    queues: list[str] | None = None,
    lease: timedelta = DEFAULT_LEASE,
    worker_id: UUID | None = None,
) -> int:
    """Register a worker with a lease; returns its key. `queues` None means it serves every queue."""
    key: int = await rows.value(
        conn,
        "select leoflow_core.register_worker(%s, %s, %s, %s, %s, %s, %s)",
        (hostname, pid, slots, kind, queues, lease, worker_id),
    )
    return key


async def heartbeat(
    conn: Connection, worker_key: int, lease: timedelta = DEFAULT_LEASE, *, is_idle: bool | None = None
) -> bool:
    """Renew the lease. False: it is lost; stop every attempt and register again."""
    alive: bool = await rows.value(conn, "select leoflow_core.heartbeat(%s, %s, %s)", (worker_key, lease, is_idle))
    return alive


async def retire_worker(conn: Connection, worker_key: int) -> None:
    """Say goodbye; attempts it still has are placed again."""
    await conn.execute("select leoflow_core.retire_worker(%s)", (worker_key,))


async def set_idle(conn: Connection, worker_key: int, is_idle: bool) -> None:
    """Say whether the worker sleeps until it is woken. Call it before the last claim that precedes the sleep."""
    await conn.execute("select leoflow_core.set_idle(%s, %s)", (worker_key, is_idle))


async def wake_workers(conn: Connection) -> bool:
    """Wake sleeping workers, if any (channel `leoflow_work`). Call it after the commit that made work claimable."""
    woken: bool = await rows.value(conn, "select leoflow_core.wake_workers()")
    return woken
