"""Connections, listener, named queries, migrations, and the embedded Postgres."""
