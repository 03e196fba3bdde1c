"""Connections, listener, named queries, migrations, and the embedded Postgres."""

from leoflow.db.listener import Listener, Notification
from leoflow.db.pool import Pool, open_pool
from leoflow.db.queries import Queries
from leoflow.db.retry import retry_transient

__all__ = ["Listener", "Notification", "Pool", "Queries", "open_pool", "retry_transient"]
