"""Runs Alembic without an ini file or env.py. Imported only when a migration is to be applied or undone."""

from typing import Any

import psycopg
import sqlalchemy
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from leoflow.share import share_dir


def run(dsn: str, direction: str, revision: str, *, version_table_schema: str) -> None:
    """Migrate `upgrade` or `downgrade` to a revision, one transaction per migration.

    Raises:
        psycopg.Error: what a statement of a migration raised.
    """
    scripts = ScriptDirectory(str(share_dir("migrations")))
    steps = scripts._upgrade_revs if direction == "upgrade" else scripts._downgrade_revs
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(dsn, connect_timeout=10, application_name="leoflow-migrate"),
        poolclass=sqlalchemy.pool.NullPool,
    )
    config = Config()
    config.set_main_option("script_location", str(share_dir("migrations")))

    def plan(current: Any, _context: MigrationContext) -> Any:
        return steps(revision, current)

    environment = EnvironmentContext(config, scripts, fn=plan, destination_rev=revision)
    try:
        with environment, engine.connect() as connection:
            # A migration that cannot get its locks gives up rather than queue everyone behind itself.
            connection.exec_driver_sql("set lock_timeout = '30s'")
            connection.exec_driver_sql("set search_path = pg_catalog")
            connection.commit()
            environment.configure(
                connection=connection, version_table_schema=version_table_schema, transaction_per_migration=True
            )
            environment.run_migrations()
    except sqlalchemy.exc.DBAPIError as error:
        if isinstance(error.orig, psycopg.Error):
            raise error.orig from error
        raise
    finally:
        engine.dispose()
